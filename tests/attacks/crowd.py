"""An attacker's connections: many at once, each slow in its own way, and what became of each.

Used by attacks.py, in a process of its own.  Nothing here sleeps: the crowd waits for events until its next tick.
"""

import collections
import os
import random
import resource
import select
import socket
import struct
import time

IP_BIND_ADDRESS_NO_PORT = 24
CHUNK = 65536
PATIENCE_SECONDS = 30
LINGER_NONE = struct.pack("ii", 1, 0)   # closing resets


def raise_limit():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def source(where):
    """An address of the attacker: where is "many", which are in thousands of networks, or that address itself."""
    if where != "many":
        return where
    # not 127.66: who comes from there in other attacks has used up what its network may
    return "127.%d.%d.%d" % (random.randint(67, 120), random.randint(0, 250), random.randint(1, 250))


def connected(address, where="many", receive_buffer=None, segment=None):
    """A connection from there that does not block any more."""
    one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if receive_buffer is not None:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    if segment is not None:
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, segment)
    one.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    one.settimeout(10)
    one.bind((source(where), 0))
    try:
        one.connect(address)
    except BaseException:
        one.close()
        raise
    one.setblocking(False)
    return one


class Way:
    """How a connection is slow, and how it has to end.

    begin: what is sent at once.  drip(n): the n-th thing that is sent, one at each tick; None: nothing.  take: how
    many bytes are read at a tick, None: all that come.  half: the client says that it sends no more.  ends: what is
    due to it, a set of (status or None, "end" or "reset"); "idle": it stays until the crowd goes.  to: which address
    of the server.  counted: as what, of which each is moved."""

    def __init__(self, name, begin=b"", drip=None, take=None, half=False, ends=(), to="plain", counted="timeouts"):
        self.name, self.begin, self.drip, self.take = name, begin, drip, take
        self.half, self.ends, self.to, self.counted = half, ends, to, counted


class One:
    def __init__(self, way, address, where):
        self.way = way
        self.got, self.total, self.ticks = bytearray(), 0, 0
        little = way.take is not None
        self.socket = connected(address, where, 4096 if little else None, 1000 if little else None)
        if way.begin:
            self.socket.send(way.begin)
        if way.half:
            self.socket.shutdown(socket.SHUT_WR)

    def status(self):
        """Of its last answer; None: there was none."""
        statuses = bytes(self.got).split(b"HTTP/1.1 ")[1:]
        return int(statuses[-1][:3]) if statuses else None

    def take(self, most):
        """What has come, up to `most`; returns how it ended, if it did."""
        try:
            data = self.socket.recv(most)
        except BlockingIOError:
            return None
        except ConnectionError:
            return "reset"
        if not data:
            return "end"
        self.total += len(data)
        if len(self.got) < CHUNK:
            self.got += data
        return None

    def tick(self):
        self.ticks += 1
        if self.way.drip is not None and not self.total:
            try:
                self.socket.send(self.way.drip(self.ticks))
            except (BlockingIOError, ConnectionError):
                pass            # the next look says why


class Crowd:
    """`count` connections of each way.  run() ends when all have ended, those that stay ("idle") apart, or when
    `until` is readable; outcomes: way -> Counter of (status, how)."""

    def __init__(self, ways, count, addresses, where="many", tick=0.2, again=False):
        self.ways, self.count, self.addresses, self.where, self.pause = ways, count, addresses, where, tick
        self.again = again      # who has ended comes again
        self.ones = {}
        self.poll = select.epoll()
        self.outcomes = {way.name: collections.Counter() for way in ways}
        self.refused = 0

    def add(self, way):
        try:
            one = One(way, self.addresses[way.to], self.where)
        except OSError:
            self.refused += 1
            return
        self.ones[one.socket.fileno()] = one
        self.poll.register(one.socket, select.EPOLLERR | (select.EPOLLIN if way.take is None else 0))

    def end(self, one, how):
        self.outcomes[one.way.name][(one.status(), how)] += 1
        del self.ones[one.socket.fileno()]
        one.socket.close()
        if self.again:
            self.add(one.way)

    def handle(self, number, events):
        one = self.ones.get(number)
        if one is None:
            return
        if events & select.EPOLLERR and not events & select.EPOLLIN:
            self.end(one, "reset")
            return
        how = one.take(CHUNK)
        if how:
            self.end(one, how)

    def tick(self):
        for one in list(self.ones.values()):
            if one.way.take:
                how = one.take(one.way.take)
                if how:
                    self.end(one, how)
                    continue
            one.tick()

    def is_over(self):
        return all(one.way.ends == "idle" for one in self.ones.values())

    def has_ended(self):
        return sum(sum(outcomes.values()) for outcomes in self.outcomes.values())

    def run(self, until, seconds, least=0):
        """Until `until` is readable, at most `seconds`; then, if they came again, until the last has ended.  Where
        many have to come before any ends: for as long as less than `least` have."""
        end = time.monotonic() + seconds
        patience = end + PATIENCE_SECONDS
        for _ in range(self.count):
            for way in self.ways:
                self.add(way)
        due = time.monotonic() + self.pause
        while (time.monotonic() < end or (self.has_ended() < least and time.monotonic() < patience)) and (
                self.again or not self.is_over()):
            for number, events in self.poll.poll(max(0.0, due - time.monotonic()), 1024):
                self.handle(number, events)
            if time.monotonic() >= due:
                due += self.pause
                self.tick()
                if self.again and self.has_ended() >= least and select.select([until], [], [], 0)[0]:
                    self.again = False
        return self

    def close(self):
        for one in self.ones.values():
            one.socket.close()


def wrong_endings(ways, outcomes):
    """Text of what ended otherwise than is due to it, or not at all."""
    wrong = []
    for way in ways:
        if way.ends == "idle":
            continue
        for ending, count in outcomes[way.name].items():
            if ending not in way.ends:
                wrong.append("%s: %d x %s" % (way.name, count, ending))
    return ", ".join(wrong)


def write_all(out, text):
    data = text.encode()
    while data:
        data = data[os.write(out, data):]
