#!/usr/bin/env python3
"""Many reloads with many idle connections: nothing may grow, and nobody may notice.

    reloads.py            1,000 reloads with 10,000 connections
    reloads.py --short    50 with 500, for `make check`

Each reload brings a new generation.  Afterwards the daemon has the same processes and descriptors as before the
first, private memory has not grown by more than TOLERANCE, and every connection is open and answers.  Prints a
Markdown table and "N passed, N failed, N skipped" (what is claimed, one by one); exit status 1 when one failed.
"""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "blackbox"))

from drover import Client, Drover, fds  # noqa: E402  (the path comes first)

FULL = {"reloads": 1000, "connections": 10000}
SHORT = {"reloads": 50, "connections": 500}
SETTLING = 20   # reloads before the first look: buffers and the allocator's arenas have found their size then
# A generation takes about 10 KiB, so a thousand that stay behind would be 10 MiB; the allocator's own ups and downs,
# page by page, are far below a tenth of that.
TOLERANCE = 256 * 1024


def dirty_bytes(pid):
    """Private memory that this process alone pays for."""
    with open("/proc/%d/smaps_rollup" % pid, encoding="ascii") as file:
        return sum(int(line.split()[1]) * 1024 for line in file if line.startswith("Private_Dirty:"))


def figures(server):
    """[(what, descriptors, bytes)] of the master and its workers."""
    status = server.wait_status(lambda s: s["phase"] == "idle" and len(s["workers"]) == len(s["slots"]))
    pids = [("master", server.pid)] + [("worker %d" % slot["slot"], slot["pid"]) for slot in status["slots"]]
    return [(what, pid, fds(pid), dirty_bytes(pid)) for what, pid in pids]


class Claims:
    def __init__(self):
        self.passed = self.failed = 0

    def claim(self, good, what, value):
        self.passed += good
        self.failed += not good
        print("| %s | %s | %s |" % (what, value, "ok" if good else "FAILED"), flush=True)


def reload(server, number):
    """True when it went well; every one is another configuration."""
    server.configure({"timeouts": {"keep_alive": "%ds" % (3600 + number)}})
    return server.reload()[0] == 0


def main(args):
    size = SHORT if "--short" in args else FULL
    claims = Claims()
    print("| %d reloads, %d idle connections | | |\n|---|---|---|" % (size["reloads"], size["connections"]))
    with Drover({"timeouts": {"keep_alive": "3600s"}}) as server:
        clients = [Client(server.address) for _ in range(size["connections"])]
        claims.claim(all(client.request("/").status == 200 for client in clients), "all served before", len(clients))
        bad = sum(not reload(server, number) for number in range(SETTLING))
        before = figures(server)
        began = time.monotonic()
        bad += sum(not reload(server, SETTLING + number) for number in range(size["reloads"]))
        took = time.monotonic() - began
        claims.claim(bad == 0, "failed reloads", "%d (%.1f ms each)" % (bad, took * 1000 / size["reloads"]))
        after = figures(server)
        claims.claim([row[1] for row in before] == [row[1] for row in after] and
                     server.children() == sorted(row[1] for row in after[1:]), "processes", "the same")
        for old, new in zip(before, after):
            claims.claim(old[2] == new[2], "descriptors of the %s" % new[0], "%d, then %d" % (old[2], new[2]))
            grown = new[3] - old[3]
            claims.claim(grown <= TOLERANCE, "memory of the %s" % new[0],
                         "%d KiB, then %+d" % (old[3] // 1024, grown // 1024))
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
