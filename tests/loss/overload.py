#!/usr/bin/env python3
"""More work than a worker can do, and one client that wants it all.

    overload.py [--seconds N] [--quota PERCENT] [--patience MS] [--factor N]      about 2 minutes
    overload.py --short                                                           for `make check`: counts alone

Overload: one worker on one CPU, of which its cgroup's quota leaves it PERCENT (10), clients on another CPU
(tests/bench/flood.c).  The peak is the median second of 64 clients that ask again as soon as they have an answer;
then FACTOR (3) times as many requests as that are due each second, for N (60) seconds, and half as many as the peak
right behind.  Every client gives up after MS (1000).  Once each has a connection of its own, once every other uses
one that is kept.  The bars: on average as many answers in time as at the peak, less 10 %, and in no second fewer than
half, once the queue of the first one is worked off (FACTOR seconds); the master's and the worker's memory grow by no
more than 8 MiB; from the first second behind the overload on, everybody who comes is answered.

The quota takes the server's CPU and leaves the clients theirs, so that they are the ones who set the pace; without it
three times as much as one CPU can serve would need more than three for the clients.  What the kernel does for a packet
is charged to who sends it, so the drops of a full backlog are not the server's.

Puller: one worker, one client that takes a large file as fast as it can, again and again, and 100 clients that ask for
a small one, 1000 times a second together.  The bar: their p99 is below 5 ms.

Short: a service that burns 10 ms a request (the test build) and 300 requests a second for 3 seconds; asserts what can
be counted.  Prints Markdown; exit status 1 when a bar is missed.
"""

import argparse
import contextlib
import math
import os
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "blackbox"))

import drover  # noqa: E402  (the path comes first)
import reloads  # noqa: E402
import waits  # noqa: E402

FLOOD = os.path.join(drover.BUILD, "tests/bench/flood")
LOAD = os.path.join(drover.BUILD, "tests/bench/load")
PAGE = b"<p>hello\n"
PERIOD_US = 10000
PEAK_CLIENTS, PEAK_MS = 64, 5000
CALM_MS = 5000
GROWTH_KB = 8192
LEAST_SHARE = 0.9
LARGE = 128 << 20
SMALL_CLIENTS, SMALL_RATE, PULL_SECONDS, P99_MS = 100, 1000, 10.0, 5.0
BURN_MS, SHORT_RATE, SHORT_MS, SHORT_PATIENCE_MS = 10, 300, 3000, 700
SETTLED_REQUESTS = 100


class Claims(reloads.Claims):
    """Said at the end: another table comes first."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def claim(self, good, what, value):
        self.passed += good
        self.failed += not good
        self.lines.append("| %s | %s | %s |" % (what, value, "ok" if good else "FAILED"))

    def report(self):
        print("\n| claim | value | |\n|---|---|---|\n%s\n%d passed, %d failed, 0 skipped" % (
            "\n".join(self.lines), self.passed, self.failed))
        return 1 if self.failed else 0


class Second:
    """What became of those whose time was over in one second (flood.c)."""

    def __init__(self, line):
        (self.due, self.good, self.refused, self.silent, self.reset, self.busy, self.p50, self.p99,
         self.longest) = map(int, line.split())


def flood(address, target, length, *how, prepare=None):
    result = subprocess.run([FLOOD, "-a", address[0], "-p", str(address[1]), "-u", target, "-b", str(length),
                             *map(str, how)], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                            preexec_fn=prepare)
    if result.returncode != 0:
        raise RuntimeError(result.stderr)
    return [Second(line) for line in result.stdout.splitlines()]


# ---- where they run ----------------------------------------------------------------------------------------


def cgroup_root():
    """The directory of the cgroup whose child can have a quota, and whether it is of the first kind."""
    if os.path.exists("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") or os.path.isdir("/sys/fs/cgroup/cpu"):
        return "/sys/fs/cgroup/cpu", True
    return "/sys/fs/cgroup", False


@contextlib.contextmanager
def limited(percent):
    """A function for the server's process, before it executes: it gets so much of the first CPU, no more and, whatever
    else the machine does, no less."""
    root, is_old = cgroup_root()
    path = os.path.join(root, "drover-overload-%d" % os.getpid())
    quota = str(PERIOD_US * percent // 100)
    os.mkdir(path)
    try:
        for name, value in ((("cpu.cfs_period_us", str(PERIOD_US)), ("cpu.cfs_quota_us", quota),
                             ("cpu.shares", "262144")) if is_old else
                            (("cpu.max", "%s %d" % (quota, PERIOD_US)), ("cpu.weight", "10000"))):
            with open(os.path.join(path, name), "w", encoding="ascii") as file:
                file.write(value)

        def enter():
            with open(os.path.join(path, "cgroup.procs"), "w", encoding="ascii") as file:
                file.write("0")
            os.sched_setaffinity(0, {cpus()[0]})
        yield enter
    finally:
        os.rmdir(path)


def cpus():
    return sorted(os.sched_getaffinity(0))


def beside():
    """A client's process: on another CPU than the server, and not kept waiting for it."""
    os.sched_setaffinity(0, {cpus()[-1]})
    waits.promptly()


def alone_there():
    """The server's process, where its CPU shall be its own whatever else the machine does."""
    os.sched_setaffinity(0, {cpus()[0]})
    waits.promptly()


def eager():
    os.sched_setaffinity(0, {cpus()[-1]})
    with contextlib.suppress(PermissionError):
        os.nice(-20)


# ---- what is seen of the server -----------------------------------------------------------------------------


def memory_kb(server):
    """Of the master and of its worker."""
    return [int(drover.process_status(pid)["VmRSS"].split()[0]) for pid in [server.pid, *server.workers().values()]]


def descriptors(server):
    return [drover.fds(pid) for pid in [server.pid, *server.workers().values()]]


# ---- overload -----------------------------------------------------------------------------------------------


def overloaded(options, kept, claims):
    with limited(options.quota) as enter, drover.Drover({"workers": 1, "accept": options.accept},
                                                        preexec=enter) as server:
        address = server.address
        how = ("-k", kept, "-w", options.patience)
        seconds = flood(address, "/", len(PAGE), "-k", kept, "-w", 10000, "-c", PEAK_CLIENTS, "-t", PEAK_MS,
                        prepare=beside)
        peak = int(statistics.median(one.good for one in seconds[1:-1]))
        before = memory_kb(server)
        rate = int(peak * options.factor)
        seconds = flood(address, "/", len(PAGE), *how, "-r", rate, "-t", options.seconds * 1000, "-r", peak // 2,
                        "-t", CALM_MS, prepare=beside)
        grown = [after - then for after, then in zip(memory_kb(server), before)]
        totals = server.status()["totals"]
    report(options, kept, peak, seconds, grown, totals, claims)


def report(options, kept, peak, seconds, grown, totals, claims):
    during, calm = seconds[1:options.seconds], seconds[options.seconds:options.seconds + CALM_MS // 1000]
    good = sorted(one.good for one in during)
    print("| %d %% | %d | %d | %d | %d | %d | %.0f | %.0f | %d | %d | %s |" % (
        kept, peak, statistics.median(one.due for one in during), good[0], statistics.median(good), good[-1],
        statistics.median(one.p50 for one in during) / 1000, max(one.p99 for one in during) / 1000,
        totals["kernel_dropped"], max(grown), ", ".join("%d of %d" % (one.good, one.due) for one in calm)), flush=True)
    what = "%d %% kept: " % kept
    claims.claim(statistics.mean(good) >= LEAST_SHARE * peak, what + "as many answers as at the peak, less 10 %",
                 "%d of %d a second" % (statistics.mean(good), peak))
    least = min(one.good for one in during[math.ceil(options.factor):])
    claims.claim(least >= peak / 2, what + "then never fewer than half of it in a second", "%d at least" % least)
    claims.claim(max(grown) <= GROWTH_KB, what + "memory is bounded", "%d KiB more" % max(grown))
    claims.claim(calm[0].good >= calm[0].due * LEAST_SHARE and calm[1].good >= calm[1].due * LEAST_SHARE,
                 what + "in the first second after it everybody is answered", "%d of %d" % (calm[0].good, calm[0].due))
    claims.claim(sum(one.reset for one in seconds) == 0, what + "nobody is reset", "")


# ---- one that wants it all ----------------------------------------------------------------------------------


def small_ones(server):
    """How long a hundred small clients waited, in milliseconds, in order."""
    load = waits.Load(server.address, SMALL_RATE, PULL_SECONDS, "-k", str(SMALL_CLIENTS))
    found = load.waits()
    bad = [one.outcome for one in found if one.outcome not in ("good", "busy")]
    if bad:
        raise RuntimeError("not good: %s" % bad[:3])
    return sorted(1000 * one.waited for one in found if one.outcome == "good")


def puller(options, claims):
    with drover.Drover({"workers": 1, "accept": options.accept}, preexec=alone_there) as server:
        server.write("tiny", "x" * waits.BYTES)
        server.write("large", "")
        os.truncate(server.path("large"), LARGE)
        os.utime(server.path("large"), (1e9, 1e9))      # an old one: it is sent by the kernel
        with open(server.path("large"), "rb") as large:
            while large.read(1 << 20):  # the page cache has it: the disk is not what is measured
                pass
        with open(os.path.join(server.dir, "targets"), "w", encoding="ascii") as file:
            file.write("/large 200 %d\n" % LARGE)
        alone = small_ones(server)
        before = server.status()["totals"]["bytes_sent"]
        pull = subprocess.Popen([LOAD, "-a", server.address[0], "-p", str(server.address[1]), "-f", file.name, "-c",
                                 "1", "-t", str(int(PULL_SECONDS * 1000) + 1000)], stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, preexec_fn=eager)
        with pull:
            beside_it = small_ones(server)
            pulled = server.status()["totals"]["bytes_sent"] - before
    print("\n| 100 small clients | p50 | p99 | longest, ms |\n|---|---|---|---|")
    for name, times in (("alone", alone), ("beside one that took %.1f GB" % (pulled / 1e9), beside_it)):
        print("| %s | %.2f | %.2f | %.2f |" % (name, waits.percentile(times, 50), waits.percentile(times, 99), times[-1]))
    claims.claim(waits.percentile(beside_it, 99) < P99_MS, "the p99 of small clients beside a puller is below 5 ms",
                 "%.2f ms" % waits.percentile(beside_it, 99))


# ---- the short form -----------------------------------------------------------------------------------------


def short(claims):
    settings = {"workers": 1, "sites": [{"routes": [{"match": "/", "trouble": {}}]}]}
    with drover.Drover(settings, program=drover.AIDED) as server:
        length = len("%d\n" % server.workers()[0])
        server.get("/")
        memory, open_before = memory_kb(server), descriptors(server)
        seconds = flood(server.address, "/?burn=%d" % BURN_MS, length, "-k", 50, "-w", SHORT_PATIENCE_MS, "-r",
                        SHORT_RATE, "-t", SHORT_MS)
        gave_up = sum(one.silent for one in seconds)
        claims.claim(gave_up > 0, "more came than could be served", "%d gave up" % gave_up)
        claims.claim(sum(one.good for one in seconds) > 0, "many were served in time",
                     "%d" % sum(one.good for one in seconds))
        claims.claim(sum(one.reset for one in seconds) == 0, "nobody was reset", "")
        server.wait_status(lambda status: status["listeners"][0]["waiting"] == 0)
        answered = sum(int(server.get("/").status == 200) for _ in range(SETTLED_REQUESTS))
        claims.claim(answered == SETTLED_REQUESTS, "everybody is answered afterwards", "%d" % answered)
        status = server.wait_status(lambda status: status["totals"]["open"] == 0)
        grown = [after - then for after, then in zip(memory_kb(server), memory)]
        claims.claim(max(grown) <= GROWTH_KB, "memory is bounded", "%d KiB more" % max(grown))
        claims.claim(descriptors(server) == open_before, "no descriptor is left behind",
                     "%s, before %s" % (descriptors(server), open_before))
        claims.claim(status["totals"]["overloaded"] > 0, "the worker noticed", "")
        claims.claim(status["listeners"][0]["waiting"] == 0, "nobody is left waiting", "")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--quota", type=int, default=10)
    parser.add_argument("--patience", type=int, default=1000)
    parser.add_argument("--factor", type=float, default=3)
    parser.add_argument("--accept", default="directed")
    options = parser.parse_args()
    claims = Claims()
    if options.short:
        short(claims)
        return claims.report()
    print("| kept | peak a second | due | answered in time: least | median | most | p50, ms | p99 | dropped by the "
          "kernel | KiB more | the seconds after it |\n|%s" % ("---|" * 11))
    for kept in (0, 50):
        overloaded(options, kept, claims)
    puller(options, claims)
    return claims.report()


if __name__ == "__main__":
    sys.exit(main())
