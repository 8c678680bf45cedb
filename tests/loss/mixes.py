#!/usr/bin/env python3
"""Workers are replaced, upgraded or retired under a known crowd of connections: each is handed over, counted by kind,
and served to its end.

    mixes.py                500 idle ones and some of each other kind: counts and bytes
    mixes.py --timed        10,000 idle, 200 downloads that are far from their end, 100 begun requests, 50 pipelined:
                            also how long it takes until the old workers are gone; then 100,000 idle over 6 workers

"Gone" is measured from the operator's command to the word in the log that the last old worker has ended.  Prints a
Markdown table and "N passed, N failed, N skipped" (what is claimed, one by one); exit status 1 when one failed.
"""

import os
import re
import select
import shutil
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "blackbox"))

import drover  # noqa: E402  (the path comes first)
from clients import Clients  # noqa: E402
from drover import Client, Drover  # noqa: E402
from reloads import Claims  # noqa: E402

SHORT = {"idle": 500, "sending": 20, "head": 20, "pipelined": 10}
TIMED = {"idle": 10000, "sending": 200, "head": 100, "pipelined": 50}
GONE_SECONDS = 1.0
# the hash gives some workers more than their share
CROWDED = {"connections": 100000, "workers": 6, "limit": 19000, "seconds": 2.0, "patience": 120}
CRAMPED = {"connections": 40, "limit": 30}
MOVE_SECONDS = 0.1      # between two moves
LARGE = 6 << 20         # more than the buffers between a server and a client that takes nothing
YOUNG_SECONDS = 4       # files_body.c has 3
PATIENCE = 5            # seconds for an answer
ENOUGH = 2              # connections that were lost: no need to look at more
BEHIND = 3              # requests behind a pipelined download
KINDS = ("idle", "head", "body", "sending", "pipelined", "leaving")
SETTINGS = {"timeouts": {"request_head": "10m", "keep_alive": "1h", "send": "10m", "drain": "20s"}}


def numbered(size):
    """Different at every offset."""
    return b"".join(b"%015d\n" % number for number in range(size // 16 + 1))[:size]


CONTENT = {"small": b"small\n", "large": numbered(LARGE)}


def make_site():
    """Files so old that they are sent by sendfile."""
    site = drover.temporary_directory()
    for name, content in CONTENT.items():
        with open(os.path.join(site, name), "wb") as file:
            file.write(content)
    while time.time() - os.stat(os.path.join(site, "large")).st_ctime <= YOUNG_SECONDS:
        select.select([], [], [], 0.1)
    return site


def routes(server, site):
    return [{"routes": [{"match": "/", "files": {"root": site}},
                        {"match": "/new", "files": {"root": server.site}}]}]


class Crowd:
    """Connections of each kind, as many as `sizes` says."""

    def __init__(self, server, sizes):
        server.write("young", CONTENT["large"])         # what may still be written to is copied
        self.small, self.large = CONTENT["small"], CONTENT["large"]
        self.address = server.address
        self.clients = {kind: [getattr(self, kind)() for _ in range(count)] for kind, count in sizes.items()}

    def idle(self):
        client = Client(self.address, PATIENCE)
        assert client.request("/small").body == self.small
        return client

    def head(self):
        """The beginning of a request, on a connection that has had an answer."""
        client = self.idle()
        client.send(client.head("/small")[:30])
        return client

    def sending(self):
        client = Client(self.address, PATIENCE, receive_buffer=16384)
        client.send(client.head("/large"))
        client.line()           # it is being answered
        return client

    def pipelined(self):
        client = Client(self.address, PATIENCE, receive_buffer=16384)
        client.send(client.head("/new/young") + BEHIND * client.head("/small"))
        client.line()
        return client

    # each to its end, and once more; True when every byte was right and nobody was told to go

    def is_right(self, response, body):
        return response.status == 200 and response.body == body and not response.closes

    def is_served_idle(self, client):
        return client.is_quiet() and self.is_right(client.request("/small"), self.small)

    def is_served_head(self, client):
        quiet = client.is_quiet()
        client.send(client.head("/small")[30:])
        return quiet and self.is_right(client.response(), self.small)

    def is_served_sending(self, client):
        """Its status line was taken already."""
        client.buffer[:0] = b"HTTP/1.1 200 OK\r\n"
        return self.is_right(client.hurry().response(), self.large) and self.is_served_idle(client)

    def is_served_pipelined(self, client):
        client.buffer[:0] = b"HTTP/1.1 200 OK\r\n"
        return (self.is_right(client.hurry().response(), self.large) and
                all(self.is_right(client.response(), self.small) for _ in range(BEHIND)))

    def lost(self, kind):
        """How many of them were not served as if nothing had happened, as far as it matters."""
        check = getattr(self, "is_served_" + kind)
        lost = 0
        for client in self.clients[kind]:
            try:
                lost += not check(client)
            except (OSError, drover.Closed, ValueError):
                lost += 1
            if lost == ENOUGH:
                break
        return lost

    def close(self):
        for clients in self.clients.values():
            for client in clients:
                client.close()


def reload_replacing(server):
    return server.reload("--replace")


def upgrade(server):
    result = server.ctl("upgrade")
    return result.returncode, result.stdout + result.stderr


def shrink(server):
    server.configure({"workers": 1})
    return server.reload()


# what the operator does -> how, and the slots whose workers leave
ACTS = {"reload --replace": (reload_replacing, (0, 1)), "upgrade": (upgrade, (0, 1)), "workers 2-1": (shrink, (1,))}


def act(server, name):
    """(seconds from the command until the old workers were gone, what was handed over; how it went, in words)"""
    mark, began = server.log.mark(), time.monotonic()
    status, text = ACTS[name][0](server)
    if status != 0:
        raise AssertionError("%s: %s" % (name, text))
    done = server.log.wait("handover_done", since=mark)
    took, leaving = time.monotonic() - began, int(done.fields["took_ms"])
    handed = {kind: int(done.fields["handed_" + kind]) for kind in KINDS}
    text = "%.3f s (%d ms of it for %d connections)" % (took, leaving, sum(handed.values()))
    return took, handed, text


def leaving_connections(server, name):
    """How many there are in the slots that are left."""
    return sum(worker["counters"]["open"] for worker in server.status()["workers"] if worker["slot"] in ACTS[name][1])


def mix(claims, site, mode, name, sizes, limit):
    what = "%s, %s" % (mode, name)
    with Drover({"accept": mode, **SETTINGS}) as server:
        server.configure({"sites": routes(server, site)})
        assert server.reload()[0] == 0
        crowd = Crowd(server, sizes)
        # who asked before has gone, and a worker has seen it
        server.wait_status(lambda status: status["totals"]["open"] == sum(sizes.values()))
        expected = leaving_connections(server, name)
        took, handed, text = act(server, name)
        claims.claim(sum(handed.values()) == expected, "%s: %d connections, handed over" % (what, expected),
                     sum(handed.values()))
        for kind, count in sizes.items() if expected == sum(sizes.values()) else ():
            claims.claim(handed[kind] == count, "%s: %d %s, handed over" % (what, count, kind), handed[kind])
        if limit is not None:
            claims.claim(took <= limit, "%s: the old workers are gone after" % what, text)
        for kind in sizes:
            lost = crowd.lost(kind)
            claims.claim(lost == 0, "%s: %s, not served to the end" % (what, kind), lost)
        crowd.close()


def crowd_of_idle(claims, name):
    """As many as there is room for in so many workers, each with the descriptors that a process may have here."""
    each = -(-CROWDED["connections"] // CROWDED["workers"])
    total = each * CROWDED["workers"]
    what = "%d workers, %s" % (CROWDED["workers"], name)
    limits = {"connections": CROWDED["limit"]}
    with Drover({"workers": CROWDED["workers"], "limits": limits, **SETTINGS}) as server:
        idle = [Clients(server.address, server.site, {"idle": each}) for _ in range(CROWDED["workers"])]
        try:
            for one in idle:
                one.wait_ready(CROWDED["patience"])
            took, handed, text = act(server, name)
        finally:
            for one in idle:
                one.stop()
            reports = [one.report()["total"] for one in idle]
        claims.claim(handed["idle"] == total, "%s: %d idle, handed over" % (what, total), handed["idle"])
        claims.claim(took <= CROWDED["seconds"], "%s: the old workers are gone after" % what, text)
        good = sum(report["good"] for report in reports)
        claims.claim(good == 2 * total and sum(report["requests"] for report in reports) == good,
                     "%s: served before and after, on the same connections" % what, "%d answers" % good)


def strangers(pid):
    """How many sockets a process watches (epoll) that it does not hold: others have them, and it is woken for them."""
    held, watched = set(), []
    for fd in os.listdir("/proc/%d/fd" % pid):
        target = os.readlink("/proc/%d/fd/%s" % (pid, fd))
        socket = re.match(r"socket:\[(\d+)", target)
        held.add(int(socket[1]) if socket else os.stat("/proc/%d/fd/%s" % (pid, fd)).st_ino)
        with open("/proc/%d/fdinfo/%s" % (pid, fd), encoding="ascii") as file:
            watched += [int(inode, 16) for inode in re.findall(r"^tfd:.* ino:([0-9a-f]+)", file.read(), re.M)]
    return sum(inode not in held for inode in watched)


def no_room(claims, name):
    """There is room for some only: the others are served where they are, by a worker that has let go of the rest."""
    what = "%s, room for some" % name
    with Drover({"limits": {"connections": CRAMPED["limit"]}, **SETTINGS}) as server:
        clients = [Client(server.address, PATIENCE) for _ in range(CRAMPED["connections"])]
        assert all(client.request("/").status == 200 for client in clients)
        status = server.status()
        room = CRAMPED["limit"] - sum(worker["counters"]["open"] for worker in status["workers"]
                                      if worker["slot"] not in ACTS[name][1])
        leaving = server.workers(status)[ACTS[name][1][0]]
        assert ACTS[name][0](server)[0] == 0
        server.wait_status(lambda status: status["totals"]["handed_idle"] >= room)
        lost = sum(not client.is_quiet() or client.request("/").status != 200 for client in clients)
        claims.claim(lost == 0, "%s: not served on" % what, lost)
        handed = server.status()["totals"]["handed_idle"]
        claims.claim(handed == room, "%s: %d, handed over" % (what, room), handed)
        watched = strangers(leaving)
        claims.claim(watched == 0, "%s: moved, and watched by the old worker" % what, watched)
        for client in clients:
            client.close()


def on_time(claims, name):
    """However often they move: idle connections, and begun requests, end when their time is over."""
    timeouts = {**SETTINGS["timeouts"], "request_head": "1s", "keep_alive": "1s", "keep_alive_grace": "1s"}
    with Drover({"timeouts": timeouts}) as server:
        began, took, moves = time.monotonic(), {}, 0
        idle, head = Client(server.address, PATIENCE), Client(server.address, PATIENCE)
        assert idle.request("/").status == 200
        head.send(head.head("/")[:10])
        while len(took) < 2 and time.monotonic() < began + PATIENCE:
            assert ACTS[name][0](server)[0] == 0
            moves += 1
            waiting = [client.socket for client in (idle, head) if client not in took]
            ended = select.select(waiting, [], [], MOVE_SECONDS)[0]
            took.update((client, time.monotonic() - began) for client in (idle, head) if client.socket in ended)
        for client, kind, least in ((idle, "an idle one", 2), (head, "half a request", 1)):
            claims.claim(took.get(client, 0) >= least and moves > 3, "%s again and again: %s ends on time" % (name, kind),
                         "%.1f s, %d moves" % (took[client], moves) if client in took else "never")
        claims.claim(len(took) == 2 and idle.at_end() and head.response().status == 408,
                     "%s again and again: how they end" % name, "with a FIN, with 408")
        idle.close()
        head.close()


def main(args):
    if args not in ([], ["--timed"]):
        print(__doc__.strip())
        return 2
    claims = Claims()
    print("| | | |\n|---|---|---|")
    site = make_site()
    for mode in ("directed", "reuseport", "shared"):
        for name in ACTS:
            mix(claims, site, mode, name, TIMED if args else SHORT, GONE_SECONDS if args else None)
    no_room(claims, "workers 2-1")
    on_time(claims, "reload --replace")
    for name in ("reload --replace", "upgrade") if args else ():
        crowd_of_idle(claims, name)
    shutil.rmtree(site)
    print("%d passed, %d failed, 0 skipped" % (claims.passed, claims.failed))
    return 1 if claims.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
