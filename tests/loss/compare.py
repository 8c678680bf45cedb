#!/usr/bin/env python3
"""What clients lose while the operator works: drover beside other servers, with the same clients (client.c).

    compare.py [--seconds S] [--server NAME ...] [--action NAME ...]
    compare.py --latency    how long answers take meanwhile; drover alone, unless servers are named
    compare.py --trouble    four workers, of which one is killed every 300 ms, or frozen (SIGSTOP) every other second

Each server runs with two workers otherwise; each action is repeated all through its cell.  Lost is every request
without its whole right answer, those included that crossed the end of an idle connection; connections that were idle
and closed before the time that was promised are counted apart, and so are requests that were pipelined behind an
answer that announced the end: their client knows that it may send them again (RFC 9112, 9.3.2).  Where the service
stops, to be refused afterwards is no loss.  Servers that are not installed are left out, with a line.  Prints
Markdown; only a server that loses something while nothing happens makes it fail: its figures would mean nothing.
"""

import argparse
import contextlib
import os
import platform
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "blackbox"))

import clients  # noqa: E402  (the path comes first)
import drover  # noqa: E402
import peers  # noqa: E402
from clients import Clients, pause  # noqa: E402

MIX = {"one-shot": 8, "keep-alive": 24, "distant": 24, "download": 6, "post": 6, "pipelined": 4, "partial": 8, "idle": 200}
RATE = 3000
DOWNLOAD_RATE = 1 << 20
SECONDS = 6
LATENCY_SECONDS = 20
# action -> (column, seconds between two of it)
ACTIONS = {
    "nothing": ("nothing", SECONDS),
    "reload": ("reload every 300 ms", 0.3),
    "replace": ("reload --replace every 300 ms", 0.3),
    "workers": ("workers 4-1-2, every 300 ms", 0.3),
    "kill": ("kill -9 a worker every second", 1.0),
    "upgrade": ("upgrade every second", 1.0),
    "stop": ("stop", SECONDS / 2),
    "strike": ("kill -9 any worker every 300 ms", 0.3),
    "freeze": ("any worker frozen for 1 s, every 2 s", 1.0),
}
COMPARED = ("nothing", "reload", "workers", "kill", "upgrade", "stop")
LATENCIES = ("nothing", "reload", "replace", "upgrade")
TROUBLES = ("strike", "freeze")
TROUBLED_WORKERS, TROUBLED_SECONDS = 4, 10
REQUEST_LOSSES = ("reset", "unanswered", "truncated", "wrong", "stalled", "crossed")


class Cell:
    """One server under one action."""

    def __init__(self, kind, action, top, seconds):
        self.kind, self.action, self.top, self.seconds = kind, action, top, seconds
        self.report = None
        self.name = kind.name
        self.gone = False           # it did not serve any more at the end

    def run(self):
        site = os.path.join(self.top, "site")
        directory = os.path.join(self.top, self.action)
        os.makedirs(directory)
        with self.kind(directory, site) as server:
            self.name = server.name
            load = Clients(server.address, site, MIX, rate=RATE, download_rate=DOWNLOAD_RATE,
                           post_status=server.post_status)
            load.wait_ready()
            try:
                self.disturb(server, load)
                server.thaw()
                self.gone = self.action != "stop" and not server.answers()
            finally:
                load.stop()
                self.report = load.report()
        return self

    def disturb(self, server, load):
        interval, end = ACTIONS[self.action][1], time.monotonic() + self.seconds
        due, step = time.monotonic() + min(interval, self.seconds / 2), 0
        while not pause([load], min(due, end) - time.monotonic()) and time.monotonic() < end:
            with contextlib.suppress(RuntimeError if not issubclass(self.kind, peers.DroverPeer) else ()):
                server.do(self.action, step)
            due, step = max(due + interval, time.monotonic()), step + 1

    def lost(self):
        total = self.report["total"]
        return sum(total[name] for name in REQUEST_LOSSES) + (total["refused"] if self.action != "stop" else 0)

    def text(self):
        if self.gone:
            return "the whole service"
        idle, behind = (self.report["total"][name] for name in ("idle_closed", "behind_close"))
        return "%d" % self.lost() + (" (%d)" % idle if idle else "") + (" + %d" % behind if behind else "")


def write_site():
    top = drover.temporary_directory()
    clients.files(os.path.join(top, "site"))
    return top


def introduce(seconds):
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        cpus = sum(line.startswith("processor") for line in file)
    print("%d CPUs, Linux %s; %d s a cell; clients: %s; %d bursts a second\n" % (
        cpus, platform.release(), seconds, ", ".join("%d %s" % (count, kind) for kind, count in MIX.items()), RATE))


def row(kind, actions, top, seconds):
    """False when it loses without any cause."""
    cells = [Cell(kind, action, os.path.join(top, kind.__name__), seconds).run() if kind.can(action) else None
             for action in actions]
    print("| %s %s | %s |" % (kind.name, kind.version(), " | ".join("-" if cell is None else cell.text()
                                                                     for cell in cells)), flush=True)
    for cell in cells:
        for text in clients.sum_up(cell.report) if cell is not None else ():
            print("  %s, %s: %s" % (kind.name, cell.action, text), file=sys.stderr)
    return cells[0].action != "nothing" or cells[0].lost() == 0


def compare(kinds, actions, seconds):
    """The number of servers that lose something while nothing happens."""
    introduce(seconds)
    print("Requests lost (idle connections closed) + requests behind an answer that was said to be the last:\n")
    print("| server | %s |" % " | ".join(ACTIONS[action][0] for action in actions))
    print("|---|%s" % ("---|" * len(actions)), flush=True)
    return sum(not row(kind, actions, prepared(kind), seconds) for kind in kinds)


def prepared(kind):
    top = write_site()
    os.makedirs(os.path.join(top, kind.__name__))
    os.rename(os.path.join(top, "site"), os.path.join(top, kind.__name__, "site"))
    return top


def latency(kinds, actions, seconds):
    introduce(seconds)
    print("| server | while | clients | requests | p50 | p99 | longest, ms | lost |\n|---|---|---|---|---|---|---|---|")
    for kind in kinds:
        top = os.path.join(prepared(kind), kind.__name__)
        for action in actions:
            if not kind.can(action):
                continue
            cell = Cell(kind, action, top, seconds).run()
            for name, counts in cell.report["kinds"].items():
                print("| %s | %s | %s | %d | %.2f | %.2f | %.1f | %d |" % (
                    kind.name, ACTIONS[action][0], name, counts["requests"], counts["p50_ms"], counts["p99_ms"],
                    counts["max_ms"], sum(counts[loss] for loss in REQUEST_LOSSES)), flush=True)
    return 0


def trouble(kinds, actions, seconds):
    """Of new connections apart: nobody can answer on one that a worker has accepted but the worker."""
    introduce(seconds)
    print("| server | %d workers, while | requests | lost | idle closed | > 200 ms | > 1 s | on new connections | > 200 ms"
          " | > 1 s |\n|%s" % (TROUBLED_WORKERS, 10 * "---|"))
    for kind in kinds:
        top = os.path.join(prepared(kind), kind.__name__)
        for action in actions:
            cell = Cell(peers.with_workers(kind, TROUBLED_WORKERS), action, top, seconds).run()
            total, new = cell.report["total"], cell.report["kinds"]["one_shot"]
            print("| %s | %s | %d | %s | %d | %d | %d | %d | %d | %d |" % (
                cell.name, ACTIONS[action][0], total["requests"], "the whole service" if cell.gone else cell.lost(),
                total["idle_closed"], total["over_200ms"], total["over_1s"], new["requests"], new["over_200ms"],
                new["over_1s"]), flush=True)
    return 0


def chosen(names):
    known = {kind.name: kind for kind in (*peers.PEERS, *map(peers.in_mode, peers.MODES))}
    for name in names:
        if name not in known:
            sys.exit("compare: no server is called \"%s\"; there are: %s" % (name, ", ".join(known)))
    for kind in [known[name] for name in names]:
        if kind.installed():
            yield kind
        else:
            print("%s is not installed (Debian package %s)\n" % (kind.name, kind.program))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--server", nargs="+")
    parser.add_argument("--action", nargs="+", choices=list(ACTIONS))
    parser.add_argument("--latency", action="store_true")
    parser.add_argument("--trouble", action="store_true")
    words = parser.parse_args()
    peers.adopt_orphans()
    if words.latency:
        return latency(list(chosen(words.server or ["drover"])), words.action or LATENCIES,
                       words.seconds or LATENCY_SECONDS)
    if words.trouble:
        names = [kind.name for kind in peers.PEERS if kind is not peers.DroverPeer]
        return trouble(list(chosen(words.server or names + ["drover, " + mode for mode in peers.MODES])),
                       words.action or TROUBLES, words.seconds or TROUBLED_SECONDS)
    kinds = list(chosen(words.server or [kind.name for kind in peers.PEERS]))
    return 1 if compare(kinds, words.action or COMPARED, words.seconds or SECONDS) else 0


if __name__ == "__main__":
    sys.exit(main())
