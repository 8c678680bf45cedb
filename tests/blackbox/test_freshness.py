"""What is served under load while it changes: no client ever sees a version older than the last one whose change had
returned before its request was sent, nor one whose change had not begun when the answer came."""

import ctypes
import mmap
import os
import re
import socket
import unittest

import drover
from drover import Drover

CHANGES = 300
CLIENTS = 4
GONE = 5                # each so many changes the file is removed
BEGUN, RETURNED, ENDED, ASKED = range(4)        # numbers that all processes share; ASKED: the first of the clients'

HEAD = re.compile(rb"HTTP/1\.1 (\d+) .*?\r\ncontent-length: (\d+)\r\n.*?\r\n\r\n", re.DOTALL | re.IGNORECASE)


class Numbers:
    def __init__(self):
        self.all = (ctypes.c_uint64 * (ASKED + CLIENTS)).from_buffer(mmap.mmap(-1, 4096))

    def get(self, which):
        return self.all[which]

    def set(self, which, number):
        self.all[which] = number


class Writer:
    """The root is a symlink to a release; `f` in it says which version it is."""

    def __init__(self, server, numbers):
        self.top, self.numbers, self.release = server.dir, numbers, 0
        self.make_release(b"0")
        self.point()

    def path(self, name):
        return os.path.join(self.top, name)

    def put(self, path, text):
        with open(path, "wb") as file:
            file.write(text)
        os.chmod(path, 0o644)

    def make_release(self, text):
        self.release += 1
        os.mkdir(self.path("r%d" % self.release), 0o755)
        self.put(self.path("r%d/f" % self.release), text)

    def point(self):
        os.symlink("r%d" % self.release, self.path("next"))
        os.rename(self.path("next"), self.path("current"))

    def change(self, number):
        """Returns when it is done; nobody can see a half of it."""
        text, file = b"%d" % number, self.path("r%d/f" % self.release)
        if number % GONE == 0:
            self.numbers.set(BEGUN, number)
            os.unlink(file)
        elif number % 3 == 0:
            self.make_release(text)
            self.numbers.set(BEGUN, number)
            self.point()
        elif number % 7 == 0:   # the directory on the way
            old = self.path("r%d" % self.release)
            self.make_release(text)
            self.numbers.set(BEGUN, number)
            os.rename(old, old + ".old")        # what was there is gone, and that counts as the next version
            self.point()
        else:
            self.put(self.path("new"), text)
            self.numbers.set(BEGUN, number)
            os.rename(self.path("new"), file)
        self.numbers.set(RETURNED, number)


class Asker:
    """A process that asks until the writer has ended: on one connection, a new one for each, or some at once."""

    def __init__(self, server, numbers, place):
        self.address, self.numbers, self.place = server.address, numbers, ASKED + place
        self.at_once = (1, 1, 4, 16)[place % 4]
        self.stays = place % 4 != 1
        self.socket, self.buffer = None, b""

    def ask(self):
        if self.socket is None:
            self.socket, self.buffer = socket.create_connection(self.address), b""
        self.socket.sendall(b"GET /f HTTP/1.1\r\nHost: h\r\n\r\n" * self.at_once)

    def answer(self):
        while True:
            head = HEAD.match(self.buffer)
            if head is not None and len(self.buffer) >= head.end() + int(head[2]):
                body = self.buffer[head.end():head.end() + int(head[2])]
                self.buffer = self.buffer[head.end() + int(head[2]):]
                return int(head[1]), body
            more = self.socket.recv(65536)
            if more == b"":
                raise AssertionError("closed after %r" % self.buffer)
            self.buffer += more

    def check(self, returned):
        status, body = self.answer()
        begun = self.numbers.get(BEGUN)
        if status == 200:
            good = returned <= int(body) <= begun
        else:   # gone, or on the way to another release
            good = status == 404 and any(n % GONE == 0 or n % 7 == 0 for n in range(returned, begun + 1))
        if not good:
            raise AssertionError("%d %r for a version of %d to %d" % (status, body, returned, begun))

    def run(self):
        while self.numbers.get(ENDED) == 0:
            returned = self.numbers.get(RETURNED)
            self.ask()
            for _ in range(self.at_once):
                self.check(returned)
            self.numbers.set(self.place, self.numbers.get(self.place) + 1)
            if not self.stays:
                self.socket.close()
                self.socket = None


class Freshness:
    accept = "reuseport"

    def asker(self, server, numbers, place):
        child = os.fork()
        if child != 0:
            return child
        try:
            Asker(server, numbers, place).run()
            os._exit(0)
        except BaseException as error:  # pylint: disable=broad-except
            os.write(2, ("asker %d: %r\n" % (place, error)).encode())
            numbers.set(ASKED + place, 1 << 62)
            os._exit(1)

    def wait_for_answers(self, numbers, seen, more):
        """Each client has had so many more answers since `seen`."""
        end = drover.deadline()
        for place, before in enumerate(seen):
            while numbers.get(ASKED + place) < before + more:
                drover.left(end)
                os.sched_yield()

    def test_nobody_sees_what_was_there_before(self):
        numbers = Numbers()
        with Drover({"accept": self.accept, "workers": 2}) as server:
            writer = Writer(server, numbers)
            server.configure({"sites": [{"routes": [{"match": "/", "files": {"root": server.dir + "/current"}}]}]})
            self.assertEqual(server.reload()[0], 0)
            children = [self.asker(server, numbers, place) for place in range(CLIENTS)]
            try:
                for number in range(1, CHANGES + 1):
                    writer.change(number)
                    if number % 4 != 0:         # else the next change comes at once
                        seen = [numbers.get(ASKED + place) for place in range(CLIENTS)]
                        self.wait_for_answers(numbers, seen, number % 3)
            finally:
                numbers.set(ENDED, 1)
                states = [os.waitpid(child, 0)[1] for child in children]
                self.assertEqual(states, [0] * CLIENTS)


class FreshnessReuseport(Freshness, unittest.TestCase):
    accept = "reuseport"


class FreshnessShared(Freshness, unittest.TestCase):
    accept = "shared"


class FreshnessDirected(Freshness, unittest.TestCase):
    accept = "directed"


class FreshnessCpu(Freshness, unittest.TestCase):
    accept = "cpu"


if __name__ == "__main__":
    unittest.main()
