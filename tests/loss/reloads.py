#!/usr/bin/env python3
"""Many reloads, replacements and upgrades with many idle connections: nothing may grow, and nobody may notice.

    reloads.py            1,000 reloads, 1,000 replacements and 200 upgrades with 10,000 connections
    reloads.py --short    50, 30 and 10 with 500, for `make check`

Afterwards the daemon has as many processes and descriptors as before the first, none is a zombie, private memory has
not grown by more than TOLERANCE, and every connection is open and answers.  Prints a Markdown table and "N passed,
N failed, N skipped" (what is claimed, one by one); exit status 1 when one failed.
"""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "blackbox"))

from drover import Client, Drover, lasting_fds  # noqa: E402  (the path comes first)

FULL = {"reload": 1000, "replacement": 1000, "upgrade": 200, "connections": 10000}
SHORT = {"reload": 50, "replacement": 30, "upgrade": 10, "connections": 500}
SETTLING = {"reload": 20, "replacement": 5, "upgrade": 2}      # before the first look: buffers have found their size then
# A generation takes about 10 KiB, so a thousand that stay behind would be 10 MiB; the allocator's own ups and downs,
# page by page, are far below a tenth of that.
TOLERANCE = 256 * 1024


def dirty_bytes(pid):
    """Private memory that this process alone pays for."""
    with open("/proc/%d/smaps_rollup" % pid, encoding="ascii") as file:
        return sum(int(line.split()[1]) * 1024 for line in file if line.startswith("Private_Dirty:"))


def settled(server):
    """The status when nobody is leaving any more."""
    return server.wait_status(lambda s: s["phase"] == "idle" and len(s["workers"]) == len(s["slots"]))


def figures(server):
    """[(what, descriptors, bytes)] of the master and its workers."""
    pids = [("master", server.pid)] + [("worker %d" % slot["slot"], slot["pid"]) for slot in settled(server)["slots"]]
    return [(what, lasting_fds(pid), dirty_bytes(pid)) for what, pid in pids]


class Claims:
    def __init__(self):
        self.passed = self.failed = 0

    def claim(self, good, what, value):
        self.passed += good
        self.failed += not good
        print("| %s | %s | %s |" % (what, value, "ok" if good else "FAILED"), flush=True)


# ---- one of each, which says whether it went well -----------------------------------------------------------


def reload(server, number):
    """Every one is another configuration."""
    server.configure({"timeouts": {"keep_alive": "%ds" % (3600 + number)}})
    return server.reload()[0] == 0


def replace(server, number):
    good = server.reload("--replace")[0] == 0
    settled(server)
    return good


def upgrade(server, number):
    good = server.ctl("upgrade").returncode == 0
    settled(server)
    return good


WAYS = {"reload": reload, "replacement": replace, "upgrade": upgrade}


def repeat(claims, server, way, count):
    """`count` of them; what the daemon holds does not depend on how many there were."""
    do, what = WAYS[way], "%d %ss: " % (count, way)
    bad = sum(not do(server, number) for number in range(SETTLING[way]))
    before = figures(server)
    began = time.monotonic()
    bad += sum(not do(server, SETTLING[way] + number) for number in range(count))
    took = time.monotonic() - began
    claims.claim(bad == 0, what + "failed", "%d (%.1f ms each)" % (bad, took * 1000 / count))
    after = figures(server)
    workers = sorted(server.workers().values())
    claims.claim(len(before) == len(after) and server.children() == workers, what + "processes", "as many, no zombie")
    for old, new in zip(before, after):
        claims.claim(old[1] == new[1], what + "descriptors of the %s" % new[0], "%d, then %d" % (old[1], new[1]))
        grown = new[2] - old[2]
        claims.claim(grown <= TOLERANCE, what + "memory of the %s" % new[0],
                     "%d KiB, then %+d" % (old[2] // 1024, grown // 1024))


def main(args):
    size = SHORT if "--short" in args else FULL
    claims = Claims()
    print("| %d idle connections | | |\n|---|---|---|" % size["connections"])
    with Drover({"timeouts": {"keep_alive": "3600s"}}) as server:
        clients = [Client(server.address) for _ in range(size["connections"])]
        claims.claim(all(client.request("/").status == 200 for client in clients), "all served before", len(clients))
        for way in WAYS:
            repeat(claims, server, way, size[way])
        closed = sum(not client.is_quiet() for client in clients)
        claims.claim(closed == 0, "closed, or sent something unasked", closed)
        silent = sum(client.request("/").status != 200 for client in clients)
        claims.claim(silent == 0, "wrong answers afterwards", silent)
        for client in clients:
            client.close()
    print("%d passed, %d failed, 0 skipped" % (claims.passed, claims.failed))
    return 1 if claims.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
