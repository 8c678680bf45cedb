#!/usr/bin/env python3
"""Many slow clients beside normal ones: nobody may notice them, and they end.

    slow.py            10,000 slow clients
    slow.py --short    300, for `make check`

A third sends a request's head, another a request's body, a byte at a time; the last takes an answer a few bytes at a
time.  Meanwhile normal clients, in a process of their own, ask for a small file: each must have its whole answer
within SLOWEST seconds.  Afterwards every slow client was ended in the way that is due to it, and no connection is left.
Prints a Markdown table and "N passed, N failed, N skipped" (what is claimed, one by one); exit status 1 when one
failed.
"""

import json
import os
import random
import resource
import select
import socket
import statistics
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "blackbox"))

import drover  # noqa: E402  (the path comes first)
from drover import Client, Closed, Drover  # noqa: E402
from reloads import Claims  # noqa: E402

FULL = {"clients": 10000, "timeout": 20}
SHORT = {"clients": 300, "timeout": 2}
TICK = 0.25         # between two bytes; shorter than the pause of a body that counts as its end
SLOWEST = 2.0       # seconds for a normal request, on a machine that is busy with the slow ones too
LARGE = 1 << 20
SEGMENT = 1000      # small ones: else the kernel would keep a megabyte ready for each client that does not read
IP_BIND_ADDRESS_NO_PORT = 24


class Slow:
    """A slow client; `how` is head, body or read."""

    BEGIN = {
        "head": b"GET / HTTP/1.1\r\nHost: slow.example\r\nX-Slow: ",
        "body": b"POST / HTTP/1.1\r\nHost: slow.example\r\nContent-Length: 100000\r\n\r\n",
        "read": b"GET /large HTTP/1.1\r\nHost: slow.example\r\n\r\n",
    }

    def __init__(self, address, how):
        self.how = how
        self.got = bytearray()
        self.ended = None   # "end" or "reset"
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT)
        self.socket.settimeout(drover.DEADLINE)
        self.socket.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        self.socket.bind(("127.0.1.%d" % random.randint(1, 250), 0))     # one address has too few ports for all
        self.socket.connect(address)
        self.socket.sendall(self.BEGIN[how])
        self.socket.setblocking(False)

    def tick(self):
        """Takes a little; sends a byte unless it has its answer."""
        try:
            if data := self.socket.recv(16 if self.how == "read" else 65536):
                self.got += data
            else:
                self.end("end")
        except BlockingIOError:
            if self.how != "read" and not self.got:
                self.drip()
        except ConnectionError:
            self.end("reset")

    def drip(self):
        try:
            self.socket.send(b"x")
        except (BlockingIOError, ConnectionError):
            pass            # the next look says why

    def end(self, how):
        self.ended = how
        self.socket.close()

    def ended_well(self):
        """As it is due to it: an answer that says why, or a cut."""
        if self.how == "read":
            return len(self.got) < LARGE
        head, _, body = bytes(self.got).partition(b"\r\n\r\n")
        status = b"408" if self.how == "head" else b"405"
        length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        return (self.ended == "end" and head.startswith(b"HTTP/1.1 " + status) and len(length) == 1 and
                int(length[0].split(b":")[1]) == len(body))


def ask(address, seconds):
    """One request on a new connection, and one more on it: (good answers, the time of each)."""
    times, good = [], 0
    with Client(address, seconds=seconds) as client:
        for _ in range(2):
            began = time.monotonic()
            good += client.request("/index.html").body == b"<p>hello\n"
            times.append(time.monotonic() - began)
    return good, times


def normal(address, until, out):
    """The normal clients; runs in a child from the byte in `until` to its end."""
    times, asked, good = [], 0, 0
    os.read(until, 1)
    while not select.select([until], [], [], 0.005)[0]:
        asked += 2
        try:
            answered, took = ask(address, drover.DEADLINE)
        except (OSError, Closed):
            continue
        good += answered
        times += took
    os.write(out, json.dumps({"asked": asked, "good": good, "times": sorted(times)[-2000:],
                              "median": statistics.median(times) if times else 0}).encode() + b"\n")


class Normal:
    """Normal clients in a child; made before the slow ones, whose descriptors it shall not have."""

    def __init__(self, address):
        self.until, self.stop = os.pipe()
        self.results, out = os.pipe()
        self.child = os.fork()
        if self.child == 0:
            status = 1
            try:
                os.close(self.stop)
                normal(address, self.until, out)
                status = 0
            finally:
                os._exit(status)
        os.close(out)
        os.close(self.until)

    def begin(self):
        os.write(self.stop, b"b")

    def finish(self):
        os.close(self.stop)
        with os.fdopen(self.results, "rb") as results:
            text = results.read()
        os.waitpid(self.child, 0)
        return json.loads(text)


def connect(address, count):
    kinds = ("head", "body", "read")
    return [Slow(address, kinds[number % 3]) for number in range(count)]


def be_slow(clients, seconds):
    """Ticks until all have ended; `seconds` is far more than that takes."""
    end = time.monotonic() + seconds
    left = clients
    resets = select.epoll()     # what is in a socket's buffer would be read before its reset is seen
    by_number = {client.socket.fileno(): client for client in clients if client.how == "read"}
    for number in by_number:
        resets.register(number, select.EPOLLERR)
    while left and time.monotonic() < end:
        began = time.monotonic()
        for number, _ in resets.poll(0, len(clients)):
            by_number[number].end("reset")
        for client in left:
            if client.ended is None:
                client.tick()
        left = [client for client in left if client.ended is None]
        select.select([], [], [], max(0.0, TICK - (time.monotonic() - began)))
    resets.close()
    return left


def raise_limit(count):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < count + 100:
        sys.exit("%d open files are too few for %d clients" % (hard, count))


def main(args):
    size = SHORT if "--short" in args else FULL
    count, timeout = size["clients"], "%ds" % size["timeout"]
    raise_limit(count)
    claims = Claims()
    print("| %d slow clients | | |\n|---|---|---|" % count)
    with Drover({"timeouts": {"request_head": timeout, "send": timeout, "body": timeout}}) as server:
        server.write("large", b"x" * LARGE)
        beside = Normal(server.address)
        clients = connect(server.address, count)
        most = server.wait_status(lambda status: status["totals"]["open"] >= count)["totals"]["open"]
        beside.begin()
        left = be_slow(clients, 60 + 6 * size["timeout"])
        result = beside.finish()
        claims.claim(most >= count, "connections open at once", most)
        claims.claim(result["asked"] >= 100 and result["good"] == result["asked"], "normal requests, answered",
                     "%d, %d" % (result["asked"], result["good"]))
        claims.claim(bool(result["times"]) and result["times"][-1] < SLOWEST, "the slowest of them, the median",
                     "%.0f ms, %.1f ms" % (1000 * max(result["times"], default=0), 1000 * result["median"]))
        claims.claim(not left, "slow clients without an end", len(left))
        for how in ("head", "body", "read"):
            ones = [client for client in clients if client.how == how]
            good = sum(client.ended_well() for client in ones)
            claims.claim(good == len(ones), "slow to %s, ended as is due" % how, "%d, %d" % (len(ones), good))
        server.wait_status(lambda status: status["totals"]["open"] == 0)
        claims.claim(True, "connections left", 0)
    print("%d passed, %d failed, 0 skipped" % (claims.passed, claims.failed))
    return 1 if claims.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
