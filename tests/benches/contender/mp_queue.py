"""Python's multiprocessing.Queue between processes: takes a job a line on stdin, and answers each on stdout."""
import ctypes
import json
import multiprocessing as mp
import os
import sys
import time

FILLER = b"\xa5"


def message(number, size):
    return number.to_bytes(8, "little") + FILLER * (size - 8)


def put_all(queue, producer, job):
    body, first = FILLER * (job["size"] - 8), producer << 40
    began = time.monotonic_ns()
    for number in range(first, first + job["messages"]):
        queue.put(number.to_bytes(8, "little") + body)
    return {"began": began, "ended": time.monotonic_ns(), "sum": sum(range(first, first + job["messages"]))}


def get_all(queue, job):
    body, total, last = FILLER * (job["size"] - 8), 0, {}
    began = time.monotonic_ns()
    for _ in range(job["messages"]):
        came = queue.get()
        number = int.from_bytes(came[:8], "little")
        if came[8:] != body or number <= last.get(number >> 40, -1):
            raise ValueError("a message arrived changed, twice, or out of order")
        last[number >> 40] = number
        total += number
    return {"began": began, "ended": time.monotonic_ns(), "sum": total}


def ping(forth, back, job):
    times = []
    for number in range(job["messages"]):
        time.sleep(0.0003)
        began = time.monotonic_ns()
        forth.put(message(number, job["size"]))
        came = back.get()
        times.append(time.monotonic_ns() - began)
        if came != message(number, job["size"]):
            raise ValueError("a message came back changed")
    times.sort()
    at = lambda percent: times[len(times) * percent // 100]
    return {"began": 0, "ended": sum(times), "sum": 0, "p50": at(50), "p99": at(99)}


def pong(forth, back, job):
    for _ in range(job["messages"]):
        back.put(forth.get())
    return {"began": 0, "ended": 0, "sum": 0}


def work(puts, number, forth, back, jobs):
    """One process: it takes jobs until there are no more, and ends with whoever started it."""
    ctypes.CDLL(None).prctl(1, 9)
    while True:
        job = jobs.recv()
        if job is None:
            return
        try:
            # Feeder threads start with the first put, and stay where they were started.
            os.sched_setaffinity(0, job["cpus"][0 if puts else 1])
            before = time.process_time_ns()
            if job["trips"]:
                report = ping(forth, back, job) if puts else pong(forth, back, job)
            else:
                report = put_all(forth, number, job) if puts else get_all(forth, job)
            report["busy"] = time.process_time_ns() - before
            jobs.send(report)
        except Exception as error:  # What went wrong is said by the one that measures.
            jobs.send({"fault": str(error)})


def main():
    producers, consumers, capacity = map(int, sys.argv[1:4])
    everywhere = sorted(os.sched_getaffinity(0))
    forth, back = mp.Queue(capacity), mp.Queue(capacity)
    processes, pipes = [], []
    for puts, count in ((True, producers), (False, consumers)):
        for number in range(count):
            ours, theirs = mp.Pipe()
            process = mp.Process(target=work, args=(puts, number, forth, back, theirs), daemon=True)
            process.start()
            processes.append(process)
            pipes.append((puts, ours))
    for line in sys.stdin:
        job = json.loads(line)
        job["cpus"] = [[job["put"]], [job["get"]]] if job.get("put") is not None else [everywhere] * 2
        total = job["messages"]
        for puts, pipe in pipes:
            pipe.send({**job, "messages": total // (producers if puts else consumers)})
        reports = [pipe.recv() for _, pipe in pipes]
        faults = [report["fault"] for report in reports if "fault" in report]
        if not faults:
            sums = [sum(r["sum"] for (puts, _), r in zip(pipes, reports) if puts == side) for side in (True, False)]
            faults = [] if sums[0] == sums[1] else ["the messages that arrived are not those that were put"]
        if faults:
            print(json.dumps({"fault": faults[0]}), flush=True)
            continue
        answer = {
            "ns": max(r["ended"] for r in reports) - min(r["began"] for r in reports),
            "busy": sum(r["busy"] for r in reports),
            "p50": max(r.get("p50", 0) for r in reports),
            "p99": max(r.get("p99", 0) for r in reports),
        }
        print(json.dumps(answer), flush=True)
    for _, pipe in pipes:
        pipe.send(None)
    for process in processes:
        process.join()


if __name__ == "__main__":
    main()
