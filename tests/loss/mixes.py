#!/usr/bin/env python3
"""Workers are replaced, and the binary is upgraded, under a known crowd of connections: each is handed over, counted by
kind, and served to its end.

    mixes.py                1,000 idle ones and some of each other kind: counts and bytes
    mixes.py --timed        10,000 idle, 200 downloads that are far from their end, 100 begun requests, 50 pipelined:
                            also how long it takes until the old workers are gone; then 100,000 idle over 6 workers

"Gone" is measured from the operator's command to the word in the log that the last old worker has ended.  Prints a
Markdown table and "N passed, N failed, N skipped" (what is claimed, one by one); exit status 1 when one failed.
"""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "blackbox"))

import drover  # noqa: E402  (the path comes first)
from clients import Clients  # noqa: E402
from drover import Client, Drover  # noqa: E402
from reloads import Claims  # noqa: E402

SHORT = {"idle": 1000, "sending": 20, "head": 20, "pipelined": 10}
TIMED = {"idle": 10000, "sending": 200, "head": 100, "pipelined": 50}
GONE_SECONDS = 1.0
# the hash gives some workers more than their share
CROWDED = {"connections": 100000, "workers": 6, "limit": 19000, "seconds": 2.0, "patience": 120}
LARGE = 6 << 20         # more than the buffers between a server and a client that takes nothing
BEHIND = 3              # requests behind a pipelined download
COMMANDS = (["reload", "--replace"], ["upgrade"])
KINDS = ("idle", "head", "body", "sending", "pipelined", "leaving")
SETTINGS = {"timeouts": {"request_head": "10m", "keep_alive": "1h", "send": "10m", "drain": "20s"}}


def numbered(size):
    """Different at every offset."""
    return b"".join(b"%015d\n" % number for number in range(size // 16 + 1))[:size]


class Crowd:
    """Connections of each kind, as many as `sizes` says; none of them has anything coming that it did not ask for."""

    def __init__(self, server, sizes):
        self.small, self.large = b"small\n", numbered(LARGE)
        server.write("small", self.small)
        server.write("large", self.large)
        self.address = server.address
        self.clients = {kind: [getattr(self, kind)() for _ in range(count)] for kind, count in sizes.items()}

    def idle(self):
        client = Client(self.address)
        assert client.request("/small").body == self.small
        return client

    def head(self):
        """The beginning of a request, on a connection that has had an answer."""
        client = self.idle()
        client.send(client.head("/small")[:30])
        return client

    def sending(self):
        client = Client(self.address, receive_buffer=16384)
        client.send(client.head("/large"))
        client.line()           # it is being answered
        return client

    def pipelined(self):
        client = Client(self.address, receive_buffer=16384)
        client.send(client.head("/large") + BEHIND * client.head("/small"))
        client.line()
        return client

    # each to its end; True when every byte was right

    def is_served_idle(self, client):
        return client.is_quiet() and client.request("/small").body == self.small

    def is_served_head(self, client):
        quiet = client.is_quiet()
        client.send(client.head("/small")[30:])
        return quiet and client.response().body == self.small

    def is_served_sending(self, client):
        """Its status line was taken already."""
        client.buffer[:0] = b"HTTP/1.1 200 OK\r\n"
        return client.hurry().response().body == self.large and client.request("/small").body == self.small

    def is_served_pipelined(self, client):
        client.buffer[:0] = b"HTTP/1.1 200 OK\r\n"
        return (client.hurry().response().body == self.large and
                all(client.response().body == self.small for _ in range(BEHIND)))

    def lost(self, kind):
        """How many of them were not served as if nothing had happened."""
        check = getattr(self, "is_served_" + kind)
        lost = 0
        for client in self.clients[kind]:
            try:
                lost += not check(client)
            except (OSError, drover.Closed, ValueError):
                lost += 1
        return lost

    def close(self):
        for clients in self.clients.values():
            for client in clients:
                client.close()


def crowd_of_idle(claims, command):
    """As many as there is room for in so many workers, each with the descriptors that a process may have here."""
    each = -(-CROWDED["connections"] // CROWDED["workers"])
    total = each * CROWDED["workers"]
    what = "%d workers, %s" % (CROWDED["workers"], " ".join(command))
    limits = {"connections": CROWDED["limit"]}
    with Drover({"workers": CROWDED["workers"], "limits": limits, **SETTINGS}) as server:
        idle = [Clients(server.address, server.site, {"idle": each}) for _ in range(CROWDED["workers"])]
        try:
            for one in idle:
                one.wait_ready(CROWDED["patience"])
            took, handed, text = replace(server, *command)
        finally:
            for one in idle:
                one.stop()
            reports = [one.report()["total"] for one in idle]
        claims.claim(handed["idle"] == total, "%s: %d idle, handed over" % (what, total), handed["idle"])
        claims.claim(took <= CROWDED["seconds"], "%s: the old workers are gone after" % what, text)
        good = sum(report["good"] for report in reports)
        claims.claim(good == 2 * total and sum(report["requests"] for report in reports) == good,
                     "%s: served before and after, on the same connections" % what, "%d answers" % good)


def replace(server, *command):
    """(seconds from the command until the old workers were gone, what was handed over; how it went, in words)"""
    mark, began = server.log.mark(), time.monotonic()
    result = server.ctl(*command)
    if result.returncode != 0:
        raise AssertionError("droverctl %s: %s%s" % (" ".join(command), result.stdout, result.stderr))
    done = server.log.wait("handover_done", since=mark)
    took, leaving = time.monotonic() - began, int(done.fields["took_ms"])
    handed = {kind: int(done.fields["handed_" + kind]) for kind in KINDS}
    text = "%.3f s (%d ms of it for %d connections)" % (took, leaving, sum(handed.values()))
    return took, handed, text


def mix(claims, mode, command, sizes, limit):
    what = "%s, %s" % (mode, " ".join(command))
    with Drover({"accept": mode, **SETTINGS}) as server:
        crowd = Crowd(server, sizes)
        took, handed, text = replace(server, *command)
        for kind, count in sizes.items():
            claims.claim(handed[kind] == count, "%s: %d %s, handed over" % (what, count, kind), handed[kind])
        if limit is not None:
            claims.claim(took <= limit, "%s: the old workers are gone after" % what, text)
        for kind in sizes:
            lost = crowd.lost(kind)
            claims.claim(lost == 0, "%s: %s, not served to the end" % (what, kind), lost)
        crowd.close()


def main(args):
    if args not in ([], ["--timed"]):
        print(__doc__.strip())
        return 2
    claims = Claims()
    print("| | | |\n|---|---|---|")
    for mode in ("reuseport", "shared"):
        for command in COMMANDS:
            mix(claims, mode, command, TIMED if args else SHORT, GONE_SECONDS if args else None)
    for command in COMMANDS if args else ():
        crowd_of_idle(claims, command)
    print("%d passed, %d failed, 0 skipped" % (claims.passed, claims.failed))
    return 1 if claims.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
