#!/usr/bin/env python3
"""How 20,000 connections fall to four workers, in each accept mode.

    balance.py [--connections N] [--rate N] [--mode NAME ...] [--case NAME ...]

    one-shot    each is closed after its answer; counted is what each worker accepted
    held        all stay; counted is what each worker has open in the end
    uneven      some stay for seconds, most not at all: open in the end
    every 4th   every fourth stays, all others are closed at once: who is dealt out in turn falls to one worker

Prints Markdown: connections of each worker, and how much less than the one with the most the one with the fewest has;
and "N passed, N failed, N skipped" (one test is one case).  The bar: all are answered, and `directed`, where it can be
in effect, keeps what is open within 10 %.  Exit status 1 when it is missed.  No part of `make check`: a worker that
gets no CPU on a busy machine is given no connections, as it should be.
"""

import argparse
import concurrent.futures
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "blackbox"))

import clients  # noqa: E402  (the path comes first)
import drover  # noqa: E402
import peers  # noqa: E402
import waits  # noqa: E402

CONNECTIONS = 20000
RATE = 2000             # a second
HELD_MAX = 10000        # more than a process has descriptors for take another client
BAR_PERCENT = 10
FOREVER_MS = 3600000
UNEVEN_MS = "0,50,0,3000,0,400,0,0,20,0,6000,0,100,0,0,1500"
CASES = {               # lifetimes, and the counter that is looked at
    "one-shot": ("0", "accepted"),
    "held": ("%d" % FOREVER_MS, "open"),
    "uneven": (UNEVEN_MS, "open"),
    "every 4th": ("0,0,0,%d" % FOREVER_MS, "open"),
}


class Holder:
    """A client that keeps what it has until it is told to end."""

    def __init__(self, address, count, rate, lifetimes):
        self.process = subprocess.Popen(
            [waits.CLIENT, "-a", address[0], "-p", str(address[1]), "-u", waits.TARGET, "-b", str(waits.BYTES),
             "-r", str(rate), "-n", str(count), "-l", lifetimes, "-x"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.reader = concurrent.futures.ThreadPoolExecutor(1)
        self.held = self.reader.submit(self.read)

    def read(self):
        """How many it has, once all have their answers; and how many had none."""
        bad = 0
        for line in self.process.stdout:
            if line.startswith("held "):
                return int(line.split()[1]), bad
            bad += " good " not in line
        raise RuntimeError("the client failed")

    def end(self):
        self.process.stdin.close()
        self.process.wait()
        self.reader.shutdown()
        self.process.stdout.close()


def spread_percent(counts):
    """How much less than the most the fewest are."""
    return 100.0 * (max(counts) - min(counts)) / max(counts) if max(counts) else 0.0


def measure(server, case, connections, rate):
    """(connections of each worker, how many were not answered)"""
    lifetimes, counter = CASES[case]
    before = counters(server.status(), "accepted")
    count = -(-connections // HELD_MAX) if case == "held" else 1
    holders = [Holder(server.address, connections // count, rate // count, lifetimes) for _ in range(count)]
    try:
        held, bad = (sum(each) for each in zip(*(holder.held.result() for holder in holders)))
        status = server.wait_status(lambda status: sum(counters(status, "open")) == held)
        if counter == "open":
            return counters(status, "open"), bad
        return [now - then for now, then in zip(counters(status, "accepted"), before)], bad
    finally:
        for holder in holders:
            holder.end()
        server.wait_status(lambda status: sum(counters(status, "open")) == 0)


def counters(status, name):
    return [worker["counters"][name] for worker in sorted(status["workers"], key=lambda worker: worker["slot"])]


def run(mode, options):
    """A list for each case, of what is wrong."""
    settings = {"accept": mode, "workers": waits.WORKERS, "limits": {"connections": options.connections}}
    with drover.Drover(settings) as server:     # in `shared`, one worker may have nearly all
        clients.files(server.site)
        name = peers.in_effect(mode, server.status())
        for case in options.case:
            counts, bad = measure(server, case, options.connections, options.rate)
            print("| %s | %s | %s | %.1f %% |" % (name, case, " ".join(map(str, counts)), spread_percent(counts)), flush=True)
            problems = ["%d were not answered" % bad] if bad else []
            if name == "directed" and CASES[case][1] == "open" and spread_percent(counts) > BAR_PERCENT:
                problems.append("more than %d %% apart" % BAR_PERCENT)
            yield ["%s, %s: %s" % (name, case, problem) for problem in problems]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--mode", nargs="+", choices=peers.MODES, default=peers.MODES)
    parser.add_argument("--rate", type=int, default=RATE)
    parser.add_argument("--case", nargs="+", choices=list(CASES), default=list(CASES))
    options = parser.parse_args()
    waits.prefer()
    print("%d connections, %d workers\n\n| mode | connections are | of each worker | the fewest are fewer by |\n"
          "|---|---|---|---|" % (options.connections, waits.WORKERS), flush=True)
    found = [problems for mode in options.mode for problems in run(mode, options)]
    print("".join("\n- MISSED: %s" % problem for problems in found for problem in problems))
    failed = sum(bool(problems) for problems in found)
    print("%d passed, %d failed, 0 skipped" % (len(found) - failed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
