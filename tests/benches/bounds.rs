//! What bounds ipcq where it misses a target, and what was tried.

use crate::results::Results;
use crate::targets::{Verdict, verdicts};

/// Why targets are missed, if they are.
struct Reason {
    targets: &'static [Missed],
    bound: &'static str,
    /// What came of it, too; nothing where nothing was tried.
    tried: &'static str,
}

/// A target: the scenario, ipcq's part in it, and whom it is beside, which is nobody in particular where all have the
/// same reason.
struct Missed(&'static str, &'static str, Option<&'static str>);

const REASONS: [Reason; 9] = [
    Reason {
        targets: &[Missed("roundtrip-busy/1x1/64B", "pipe", None)],
        bound: "the locks and counts in the control file, whose lines go from processor to processor beside the same two \
            system calls as the raw pipe's",
        tried: "one more look before a call sleeps, which came to 1.54, but a get from an empty queue did not pass its tests of deaths",
    },
    Reason {
        targets: &[Missed("roundtrip-busy/1x1/64B", "zmq", None)],
        bound: "two puts and two gets, there and back, are each a request and a reply: eight things go to or from the broker, \
            one after the other through its one thread, and four to or from the relay. Little of it is ipcq's: less than 10 \
            in 100 samples of a profile were in its code, the others in system calls, and a C program that sends the same requests and replies, with \
            one broker for both ways and nothing behind it, took 1.1 to 1.4 times the relay's time (five runs)",
        tried: "clients and broker that speak ZMTP themselves, so that a call is one `send` and a few `recv`; looking for an \
            answer before sleeping, on both sides; reading those who were heard last before asking the kernel; leaving it \
            to the kernel to say what was read, and holding gets that would find nothing (0.65 times the time together). No \
            gain: answering a put before its message goes out (1.07 and 1.09 times the time, medians of 16 pairs), and learning \
            from how long a yield takes, rather than how often one looked, when to leave the processor to others (1.08, 1.11). \
            Asking before each request who has died is 0.16 us of each, and belongs to what a death means",
    },
    Reason {
        targets: &[
            Missed("stream/1x1/8B", "zmq, 16 callers", None),
            Missed("stream/1x1/64B", "zmq, 16 callers", None),
            Missed("stream/1x1/1KiB", "zmq, 16 callers", None),
            Missed("stream/4x4/64B", "zmq", None),
        ],
        bound: "a put and a get are each a request to the broker and its reply, so that a put \
            that returned is in the queue and counts against its capacity; the others hand theirs to a thread of their own \
            process and return, before anybody else knows of it",
        tried: "what was for round trips; calls of several threads in rounds, of which the last one asks for all (1.3 to 1.6 \
            times for 8 threads; 2 to 4 of 8 calls were in a request before); waiters that sleep until one wake-up tells all of \
            them (half as fast): a thread that sleeps on another processor takes longer to be woken than a request takes. A C \
            program of the same rounds without queue or protocol was no faster, unless the threads of each process were bound to \
            one processor (twice as fast). Batches are one request for many messages",
    },
    Reason {
        targets: &[Missed("stream/1x1/64KiB", "zmq", None), Missed("stream/1x1/1MiB", "zmq", None)],
        bound: "each message passes two sockets, one to the broker and one from there, so that the kernel copies it twice as \
            often as between two that are connected to each other",
        tried: "",
    },
    Reason {
        targets: &[Missed("batch/4x4/64B", "shm", Some("crossbeam-channel, threads"))],
        bound: "moving cache lines from processor to processor: a loop in C through a bare ring, 1x1, without locks, headers \
            or checks, did 71 M messages/s where batches of 64 did 65, and more processes take the same lines from each other",
        tried: "a loop that keeps all in registers (26.6 to 65.1 M/s, 1x1), streamed stores (1.7 to 6.4 times as fast on far \
            processors, 4x4), records aligned to 8 bytes (1.07), a few looks before sleeping on a lock (1.09), shorter \
            spinning (1.23); prefetching and more chunks made no difference",
    },
    Reason {
        targets: &[Missed("batch/1x1/64B", "shm", Some("Aeron IPC"))],
        bound: "moving cache lines from processor to processor: a loop in C through a bare ring, without locks, headers or \
            checks, did 71 M messages/s where batches of 64 did 65. Aeron's publisher may be 32 MiB ahead, some 350,000 such \
            messages, and ipcq's queue holds 1000",
        tried: "a loop that keeps all in registers (26.6 to 65.1 M/s), streamed stores (1.7 to 2.9 times as fast on far \
            processors); prefetching and more chunks made no difference",
    },
    Reason {
        targets: &[Missed("batch/1x1/64B", "pipe", Some("raw pipe"))],
        bound: "twice as many bytes go through the kernel: a message of 64 bytes is a record of 128, which has its number, so \
            that what a killed process read or wrote can be told; the raw pipe's bytes have nothing around them. A third of a \
            putter's time is the kernel's copying into pages that another processor has just read",
        tried: "many records in one write and one read; records as long as their messages (32 to 39 M/s of 56 bytes rather \
            than 26, but 64 of 64 bytes and their heads are more than a page, and the second write takes the gain)",
    },
    Reason {
        targets: &[Missed("typed/1x1/32B", "shm, typed", Some("shm"))],
        bound: "where messages are put: by one process alone a put takes 15 ns as bytes and 24 typed, a get 14 and 25, and \
            getters wait for putters. A put waits for all that was stored before it, so what encoding stores costs more \
            between processes, 0.4 to 0.5 ns each, than in one, 0.17; 9 ns of computing before each put cost 6. In results up \
            to d97f97c the struct has 33 bytes encoded, which take 48 in the ring where 32 take 40: 33 plain bytes get 0.87 \
            to 0.92 of what 32 do",
        tried: "numbers written and read with one look at the room there is rather than bincode's two or three (386 to 261 \
            instructions to encode), a buffer each for puts and gets (261 to 213), fields read without a way out at each \
            (decoding 36.6 to 19.8 ns), what encoding returns in two words (27.5 to 24 ns a put), small structs read from a \
            copy in registers (37 to 25 ns a get), encoding into the buffer where it is (71 to 67 ns a message between near \
            processors). No gain: fetching the next lines of the ring before they are written, widths of numbers by \
            branches, encoding expanded where it is called, structs written from a copy, buffers borrowed in their place",
    },
    Reason {
        targets: &[
            Missed("stream/4x4/64B", "shm", None),
            Missed("stream/1x1/64KiB", "shm", None),
            Missed("stream/1x1/1MiB", "shm", None),
            Missed("typed/1x1/32B", "pipe, typed", None),
            Missed("typed/1x1/32B", "zmq, typed", None),
        ],
        bound: "how far the processors are from each other, which changes by the minute, and by which the ratios within a run \
            differ more than between runs; while all were near, 30 rounds at 2ab3db701f62 met it with the whole interval",
        tried: "",
    },
];

impl Missed {
    fn is(&self, verdict: &Verdict) -> bool {
        let [scenario, own, peer] = verdict.parts();
        self.0 == scenario && self.1 == own && self.2.is_none_or(|named| named == peer)
    }
}

impl Reason {
    fn is_for(&self, verdict: &Verdict) -> bool {
        self.targets.iter().any(|target| target.is(verdict))
    }

    fn text(&self) -> String {
        let Self { bound, tried, .. } = self;
        match *tried {
            "" => format!("What bounds it: {bound}."),
            tried => format!("What bounds it: {bound}. What was tried: {tried}."),
        }
    }
}

/// The section about what is missed of `all`; nothing where nothing is.
pub(crate) fn section(all: &[Verdict]) -> String {
    let missed = || all.iter().filter(|verdict| verdict.is_missed());
    let known = |verdict: &&Verdict| REASONS.iter().any(|reason| reason.is_for(verdict));
    let mut rows = String::new();
    let mut row = |verdicts: Vec<&Verdict>, why: &str| {
        let misses: Vec<String> = verdicts.into_iter().map(Verdict::miss).collect();
        if !misses.is_empty() {
            rows += &format!("- {}. {why}\n", misses.join("; "));
        }
    };
    for reason in &REASONS {
        row(missed().filter(|verdict| reason.is_for(verdict)).collect(), &reason.text());
    }
    row(missed().filter(|verdict| !known(verdict)).collect(), "What bounds it has not been found out.");
    if rows.is_empty() { rows } else { format!("\n## Missed, and what bounds them\n\n{rows}") }
}

/// Fails unless each reason is for targets that exist, and no target has two.
pub(crate) fn check() -> Result<(), String> {
    let all = verdicts(&Results::default());
    for Missed(scenario, own, peer) in REASONS.iter().flat_map(|reason| reason.targets) {
        if !all.iter().any(|verdict| Missed(scenario, own, *peer).is(verdict)) {
            return Err(format!("there is no target of {own} beside {peer:?} in {scenario} to miss"));
        }
    }
    let doubly = |verdict: &&Verdict| REASONS.iter().filter(|reason| reason.is_for(verdict)).count() > 1;
    all.iter().find(doubly).map_or(Ok(()), |verdict| Err(format!("two reasons are for {}", verdict.row())))
}
