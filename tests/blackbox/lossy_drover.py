#!/usr/bin/env python3
"""Plays a drover that loses on purpose, for droverctl selftest to find out: it reads the configuration that selftest
writes, answers on its control socket, and does to every EVERY-th request (or connection, or idle connection) what
$LOSSY says.

    LOSSY=good|reset|cut|silence|byte|status|idle|refuse|says-no lossy_drover.py -c CONFIG
"""

import os
import re
import selectors
import signal
import socket
import struct
import sys
import time

EVERY = 50
CLOSED_SECONDS = 0.3            # where connections are refused: at once nobody would come meanwhile
WAY = os.environ["LOSSY"]
STATUS = ('{"ok":true,"status":{"version":"lossy","accept":{"effective":"none"},"totals":{},'
          '"slots":[{"pid":1},{"pid":1},{"pid":1},{"pid":1}]}}\n')


class Connection:
    def __init__(self, sock):
        sock.setblocking(False)
        self.sock, self.got, self.out, self.closes = sock, b"", b"", False


class Lossy:
    def __init__(self, text):
        def find(pattern):
            return re.search(pattern, text).group(1)

        self.root = find(r'root = "([^"]*)"')
        self.seen = 0
        self.selector = selectors.DefaultSelector()
        self.address = ("127.0.0.1", int(find(r'address = "127.0.0.1:(\d+)"')))
        self.listener, self.closed = None, 0.0
        self.listen()
        self.control = socket.socket(socket.AF_UNIX)
        self.control.bind(find(r'control = "([^"]*)"'))
        self.control.listen(64)
        self.selector.register(self.control, selectors.EVENT_READ, self.answer_control)

    def listen(self):
        self.listener = socket.create_server(self.address, backlog=1024)
        self.selector.register(self.listener, selectors.EVENT_READ, self.accept)

    def run(self):
        while True:
            for key, mask in self.selector.select(0.05):
                key.data(key.fileobj, mask)
            if self.listener is None and time.monotonic() > self.closed + CLOSED_SECONDS:
                self.listen()

    def answer_control(self, listener, _mask):
        with listener.accept()[0] as sock:
            said = sock.recv(4096)
            if b"status" in said:
                sock.sendall(STATUS.encode())
            elif WAY == "says-no":
                sock.sendall(b'{"ok":false,"text":"failed at whim"}\n')
            else:
                sock.sendall(b'{"ok":true,"text":"done"}\n')

    def accept(self, listener, _mask):
        connection = Connection(listener.accept()[0])
        self.selector.register(connection.sock, selectors.EVENT_READ, lambda _sock, mask: self.serve(connection, mask))
        if WAY == "refuse" and self.due():
            self.selector.unregister(listener)
            listener.close()
            self.listener, self.closed = None, time.monotonic()

    def due(self):
        self.seen += 1
        return self.seen % EVERY == 0

    def close(self, connection, reset=False):
        self.selector.unregister(connection.sock)
        if reset:
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sock.close()

    def serve(self, connection, mask):
        if mask & selectors.EVENT_READ:
            try:
                data = connection.sock.recv(4096)
            except OSError:
                data = b""
            connection.got += data
            if not data:
                return self.close(connection)
            if connection.got.endswith(b"\r\n\r\n") and not self.answer(connection):
                return None
        return self.send(connection)

    def answer(self, connection):
        """False: it was closed."""
        name = re.match(rb"GET /(\w+) ", connection.got).group(1).decode()
        connection.closes = b"onnection: close" in connection.got
        connection.got = b""
        with open(os.path.join(self.root, name), "rb") as file:
            body = file.read()
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
        due = WAY not in ("good", "refuse", "says-no") and not (WAY == "idle" and connection.closes) and self.due()
        if due and WAY == "reset":
            return self.close(connection, reset=True)
        if due and WAY == "silence":
            return True
        if due and WAY == "status":
            head = head.replace(b"200 OK", b"503 No")
        if due and WAY == "byte":
            body = body[:-1] + bytes([body[-1] ^ 1])
        connection.out = head + body
        if due and WAY == "cut":
            connection.out = connection.out[:-1]
        connection.closes |= due and WAY in ("cut", "idle")
        return True

    def send(self, connection):
        if connection.out:
            try:
                connection.out = connection.out[connection.sock.send(connection.out):]
            except BlockingIOError:
                pass
            except OSError:
                return self.close(connection)
            if not connection.out and connection.closes:
                return self.close(connection)
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.out else 0)
        self.selector.modify(connection.sock, events, self.selector.get_key(connection.sock).data)
        return None


def main():
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    with open(sys.argv[2], encoding="utf-8") as file:
        text = file.read()
    Lossy(text).run()


if __name__ == "__main__":
    main()
