#!/usr/bin/env python3
"""Figures that do not depend on the machine's speed: memory of an idle connection, what 200 reloads leave behind.
Prints a Markdown table; nothing here passes or fails.  System calls are counted by tests/gate/calls.

    figures.py [CONNECTIONS]    (default 10000; two descriptors each are needed, RLIMIT_NOFILE bounds it)
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "blackbox"))

from drover import Client, Drover, fds  # noqa: E402  (the path comes first)


def dirty_bytes(pid):
    """Private memory that this process alone pays for."""
    with open("/proc/%d/smaps_rollup" % pid, encoding="ascii") as file:
        for line in file:
            if line.startswith("Private_Dirty:"):
                return int(line.split()[1]) * 1024
    raise RuntimeError("no Private_Dirty")


def start():
    server = Drover({"workers": 2})
    server.wait_status(lambda status: all(slot["pid"] for slot in status["slots"]))
    return server


def row(what, value):
    print("| %s | %s |" % (what, value), flush=True)


def idle_and_reloads(server, count):
    workers = list(server.workers().values())
    before = sum(map(dirty_bytes, workers))
    clients = [Client(server.address) for _ in range(count)]
    for client in clients:
        assert client.request("/").status == 200
    after = sum(map(dirty_bytes, workers))
    row("private memory of an idle connection, of %d" % count, "%.0f bytes" % ((after - before) / count))
    pids = [server.pid, *workers]
    begin = [(fds(pid), dirty_bytes(pid)) for pid in pids]
    failed = sum(server.reload()[0] != 0 for _ in range(200))
    end = [(fds(pid), dirty_bytes(pid)) for pid in pids]
    row("200 reloads with them: failed", failed)
    row("descriptors gained, memory gained, by process",
        ", ".join("%+d, %+d KiB" % (b[0] - a[0], (b[1] - a[1]) // 1024) for a, b in zip(begin, end)))
    row("workers still the same", "yes" if list(server.workers().values()) == workers else "no")
    row("idle connections closed", sum(client.request("/").status != 200 for client in clients))
    for client in clients:
        client.close()


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10000
    print("| figure | value |\n|---|---|")
    with start() as server:
        idle_and_reloads(server, count)


if __name__ == "__main__":
    main()
