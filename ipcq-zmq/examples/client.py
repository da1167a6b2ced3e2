"""A client of an ipcq queue in plain pyzmq: `client.py SOCKET put TEXT...` or `client.py SOCKET get COUNT`."""
import os, struct, sys, zmq

HELLO, PUT, GET, CONFIRM, WELCOME, OK, MSG = 1, 2, 4, 14, 100, 101, 102

class Queue:
    def __init__(self, path):
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.connect(f"ipc://{path}")
        self.id = 0
        assert self.call(HELLO, [os.urandom(16)])[0] == WELCOME

    def call(self, op, contents=(), a=0, b=0, c=0):
        self.id += 1
        header = struct.pack(">4sBBH6Q", b"IPCQ", 3, op, 0, self.id, self.id - 1, 0, a, b, c)
        self.socket.send_multipart([header, *contents])
        header, *contents = self.socket.recv_multipart()
        return header[5], contents

    def put(self, *messages):
        return self.call(PUT, [b"".join(struct.pack(">I", len(m)) + m for m in messages)])[0] == OK

    def get(self, count=1):
        status, contents = self.call(GET, a=count, b=1 << 20, c=1 << 20)
        if status == MSG and self.call(CONFIRM, a=self.id)[0] != OK:
            return self.get(count)  # this process was stopped, and others wanted them
        packed, messages = b"".join(contents), []
        while packed:  # the length of a message, and the message
            end = 4 + int.from_bytes(packed[:4], "big")
            messages, packed = [*messages, packed[4:end]], packed[end:]
        return messages if status == MSG else None

path, action, *rest = sys.argv[1:]
queue = Queue(path)
if action == "put": sys.exit(not queue.put(*(text.encode() for text in rest)))
for _ in range(int(rest[0])):
    print(*(message.decode() for message in queue.get() or [b"(closed)"]))
queue.socket.close()
