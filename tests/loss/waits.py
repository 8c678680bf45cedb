#!/usr/bin/env python3
"""How long new connections wait while one of four workers is in trouble: drover in each accept mode, beside nginx and
HAProxy in the same run.

    waits.py [--rounds N] [--rate R] [--server NAME ...] [--while NAME ...]

A new connection asks for a small file; its wait is from before connect() to the whole answer.  RATE of them are due
each second, whatever the server does (tests/bench/waits.c), for 3 seconds a round, in which another worker is in
trouble each time:

    nothing     none is
    stopped     SIGSTOP, for the whole 3 seconds
    halting     SIGSTOP for 200 ms, then 50 ms of work, again and again
    stalling    clients keep asking it for what blocks it for 200 ms (the test build of drover alone has such a service)

Beside them, 40 connections that were there before ask 400 times a second; "kept" is what those wait that belong to
the other workers.  Servers take turns within a round; as root, they and the client go before other programs of the
machine.  Prints Markdown, and says where the bar is missed: while one is stopped no new connection to drover waits
longer than `timeouts.stall` and 20 ms; while one stalls, the p99 of new connections and of the other workers' clients
is what it is otherwise (within a factor of 2, or 2 ms).  Exit status 1 then.  HAProxy has threads: its one process is
stopped as a whole.
"""

import argparse
import collections
import concurrent.futures
import contextlib
import glob
import math
import os
import platform
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "blackbox"))

import clients  # noqa: E402  (the path comes first)
import drover  # noqa: E402
import peers  # noqa: E402

CLIENT = os.path.join(drover.BUILD, "tests", "bench", "waits")
WORKERS = 4
ROUNDS, RATE = 5, 800
LEAD_SECONDS, SECONDS, TAIL_SECONDS = 0.5, 3.0, 1.0
PATIENCE_MS = 10000
KEPT, KEPT_RATE = 40, 400
HALT_SECONDS, WORK_SECONDS = 0.2, 0.05
STALL_MS = 200
STALLERS = 3            # clients that keep a worker stalling
TARGET, BYTES = "/tiny", 30
NICE = -15
SLACK_MS = 20           # of the bar, beyond timeouts.stall
STALL_SETTING_MS = 50   # drover's default
WORSE, WORSE_MS = 2, 2  # what is not a raised p99 on a machine with other work

Wait = collections.namedtuple("Wait", "began waited late outcome source")       # seconds, by CLOCK_MONOTONIC


# ---- figures: what the client says, and what becomes of it ------------------------------------------------


def parse(text):
    """The waits that tests/bench/waits.c printed."""
    for line in text.splitlines():
        if line.startswith("held "):
            continue
        began, waited, late, outcome, source = line.split(" ")
        yield Wait(int(began) / 1e6, int(waited) / 1e6, int(late) / 1e6, outcome, source)


def percentile(ordered, percent):
    """The least of `ordered` that so many percent do not exceed; 0 of none."""
    if not ordered:
        return 0.0
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def within(waits, begin, end):
    return [wait for wait in waits if begin <= wait.began < end]


class Figures:
    """Of the same situation in several rounds."""

    def __init__(self):
        self.waited_ms = []
        self.longest_ms = []    # of each round
        self.bad = collections.Counter()        # outcomes but "good"
        self.late_ms = 0.0      # how long at most the client itself was late

    def add(self, waits):
        self.waited_ms = sorted(self.waited_ms + [1000 * wait.waited for wait in waits])
        self.longest_ms.append(max([1000 * wait.waited for wait in waits], default=0.0))
        self.bad += collections.Counter(wait.outcome for wait in waits if wait.outcome != "good")
        self.late_ms = max([self.late_ms] + [1000 * wait.late for wait in waits])

    def ms(self, percent):
        return percentile(self.waited_ms, percent)

    def over(self, milliseconds):
        return len([one for one in self.waited_ms if one > milliseconds])

    def lost(self):
        return sum(self.bad.values()) - self.bad["busy"]

    def within_bar(self, bar_ms):
        """In how many rounds no wait was longer."""
        return sum(longest <= bar_ms for longest in self.longest_ms)


# ---- what is asked -----------------------------------------------------------------------------------------


class Load:
    """The client, for `seconds` from now."""

    def __init__(self, address, rate, seconds, *how):
        self.process = subprocess.Popen(
            [CLIENT, "-a", address[0], "-p", str(address[1]), "-u", TARGET, "-b", str(BYTES), "-r", str(rate),
             "-n", str(int(rate * seconds)), "-w", str(PATIENCE_MS), *how],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, preexec_fn=promptly)
        self.pidfd = os.pidfd_open(self.process.pid)
        self.reader = concurrent.futures.ThreadPoolExecutor(1)
        self.output = self.reader.submit(self.process.communicate)

    def waits(self):
        text = self.output.result()[0]
        self.reader.shutdown()
        os.close(self.pidfd)
        if self.process.returncode != 0:
            raise RuntimeError("the client failed")
        return list(parse(text))


def promptly():
    """The client measures: it shall not wait for a CPU; without the right to it, it is late, and says so."""
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


def prefer():
    """All that is measured, to other work of this machine."""
    with contextlib.suppress(PermissionError):
        os.nice(NICE)


def rest(seconds, *loads):
    """Unless a client ends before."""
    select.select([load.pidfd for load in loads], [], [], max(0.0, seconds))


def owners(address, workers):
    """source -> the worker that has the connection from there."""
    mine = {}
    for pid in workers:
        for path in glob.glob("/proc/%d/fd/*" % pid):
            with contextlib.suppress(OSError):
                inode = re.match(r"socket:\[(\d+)\]", os.readlink(path))
                mine[inode and inode.group(1)] = pid
    with open("/proc/net/tcp", "rb") as file:   # with a line for all that have ended, too
        lines = re.findall(rb"^ *\d+: %s (\w+:\w+) 01 (?:\S+ +){5}(\d+) " % in_hexadecimal(address), file.read(), re.M)
    return {from_hexadecimal(source.decode()): mine[inode.decode()]
            for source, inode in lines if inode.decode() in mine}


def in_hexadecimal(address):
    """As in /proc/net/tcp."""
    return b"%s:%04X" % (socket.inet_aton(address[0])[::-1].hex().upper().encode(), address[1])


def from_hexadecimal(text):
    host, port = text.split(":")
    return "%s:%d" % (socket.inet_ntoa(bytes.fromhex(host)[::-1]), int(port, 16))


# ---- trouble -----------------------------------------------------------------------------------------------


def is_stopped(pid):
    """All threads are, or soon will have been there."""
    return drover.process_status(pid)["State"].startswith("T")


def stop(pid):
    os.kill(pid, signal.SIGSTOP)
    end = drover.deadline()
    while not is_stopped(pid) and drover.left(end):
        os.sched_yield()


# Each gives what begins the trouble, and ends it at its own end.

@contextlib.contextmanager
def nothing(server, victim):
    yield lambda: None


@contextlib.contextmanager
def stopped(server, victim):
    try:
        yield lambda: stop(victim)
    finally:
        go_on(victim)


def go_on(victim):
    """It may have been killed, by a daemon that has no use for it."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(victim, signal.SIGCONT)


@contextlib.contextmanager
def halting(server, victim):
    over = threading.Event()
    thread = threading.Thread(target=halt, args=(victim, over))
    try:
        yield thread.start
    finally:
        over.set()
        thread.join()
        go_on(victim)


def halt(victim, over):
    while not over.is_set():
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGSTOP)
        over.wait(HALT_SECONDS)
        go_on(victim)
        over.wait(WORK_SECONDS)


@contextlib.contextmanager
def stalling(server, victim):
    """Clients on connections that are the victim's, each asking again as soon as it has its answer."""
    over = threading.Event()
    held = [one for _, one in zip(range(STALLERS), connections_of(server, victim))]
    threads = [threading.Thread(target=keep_stalling, args=(one, over)) for one in held]
    try:
        yield lambda: [thread.start() for thread in threads]
    finally:
        over.set()
        for thread in threads:
            thread.join()
        for one in held:
            one.close()


def who_answers(server):
    """Whose turn it is: not every worker gets a connection when there is little to do, and no other can be held up."""
    with drover.Client(server.address) as client:
        return int(client.request("/trouble").body)


def connections_of(server, victim):
    """Who is asked without a query says its pid.  The others' stay for so long: steering prefers who has fewer."""
    end = drover.deadline()
    with contextlib.ExitStack() as others:
        while drover.left(end):
            one = drover.Client(server.address)
            if int(one.request("/trouble", close=False).body) == victim:
                yield one
            else:
                others.enter_context(one)


def keep_stalling(client, over):
    while not over.is_set():
        client.request("/trouble?stall=%d" % STALL_MS)


SITUATIONS = {"nothing": nothing, "stopped": stopped, "halting": halting, "stalling": stalling}


# ---- servers -----------------------------------------------------------------------------------------------


class Aided(peers.DroverMode):
    """With the service that stalls."""

    program = drover.AIDED

    def start(self):
        self.settings = {"sites": [{"routes": [{"match": "/", "files": {"root": self.site}},
                                               {"match": "/trouble", "trouble": {}}]}]}
        super().start()


def kinds():
    """name -> class, with four workers."""
    others = [peers.with_workers(kind, WORKERS) for kind in (peers.Nginx, peers.NginxReuseport, peers.Haproxy)]
    modes = [peers.in_mode(mode, Aided, count=WORKERS) for mode in peers.MODES]
    return {kind.name: kind for kind in others + modes}


def can(kind, situation):
    return situation != "stalling" or issubclass(kind, Aided)


def workers_of(server):
    return sorted(server.workers())


class Round:
    """One server in one situation, once: `new` and `kept` are waits."""

    def __init__(self, server, situation, number, rate):
        workers = workers_of(server)
        victim = who_answers(server) if situation == "stalling" else workers[number % len(workers)]
        with SITUATIONS[situation](server, victim) as begin:
            kept = Load(server.address, KEPT_RATE, LEAD_SECONDS + SECONDS + TAIL_SECONDS, "-k", str(KEPT))
            rest(LEAD_SECONDS, kept)
            belong = owners(server.address, workers)
            begin()
            began = time.monotonic()
            new = Load(server.address, rate, SECONDS)
            rest(SECONDS, new)
            ended = time.monotonic()
        self.new = within(new.waits(), began, ended)
        self.kept = [wait for wait in within(kept.waits(), began, ended)
                     if len(workers) > 1 and belong.get(wait.source, victim) != victim]
        server.wait_for(lambda: len(server.workers()) == len(workers), "have its workers again")


def measure(chosen, situations, rounds, rate):
    """(name, situation) -> (new, kept), of servers that run side by side and are asked in turn."""
    top = drover.temporary_directory()
    clients.files(os.path.join(top, "site"))
    found = collections.defaultdict(lambda: (Figures(), Figures()))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, top)
        servers = [stack.enter_context(kind(top, os.path.join(top, "site"))) for kind in chosen]
        for number in range(rounds):
            for situation in situations:
                for server in servers:
                    if can(type(server), situation):
                        one = Round(server, situation, number, rate)
                        found[server.name, situation][0].add(one.new)
                        found[server.name, situation][1].add(one.kept)
            print("round %d of %d" % (number + 1, rounds), file=sys.stderr)
    return found


# ---- the table ---------------------------------------------------------------------------------------------


def row(name, situation, new, kept):
    return "| %s | %s | %d | %s | %d | %d | %d | %s |" % (
        name, situation, len(new.waited_ms), " | ".join("%.1f" % new.ms(percent) for percent in (50, 99, 99.9, 100)),
        new.over(200), new.over(1000), new.lost(),
        "%.1f, %.1f" % (kept.ms(99), kept.ms(100)) if kept.waited_ms else "-")


def raised(now, before):
    return now.ms(99) > max(WORSE * before.ms(99), before.ms(99) + WORSE_MS)


def missed(found):
    """A line for each bar that is not met."""
    bar_ms = STALL_SETTING_MS + SLACK_MS
    for (name, situation), (new, kept) in found.items():
        if not name.startswith("drover"):
            continue
        if new.lost():
            yield "%s, %s: lost %s" % (name, situation, dict(new.bad))
        if situation == "stopped" and new.within_bar(bar_ms) < len(new.longest_ms):
            yield "%s, %s: %d of %d rounds within %d ms; the longest of each: %s" % (
                name, situation, new.within_bar(bar_ms), len(new.longest_ms), bar_ms,
                ", ".join("%.1f" % longest for longest in new.longest_ms))
        before = found.get((name, "nothing"))
        for what, now, then in zip(("new connections", "other workers' clients"), (new, kept), before or ()):
            if situation == "stalling" and raised(now, then):
                yield "%s, %s: p99 of %s is %.1f ms, otherwise %.1f" % (name, situation, what, now.ms(99), then.ms(99))


def report(found, options):
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        cpus = sum(line.startswith("processor") for line in file)
    print("\n%d CPUs, Linux %s, load %.1f; %d workers, %d rounds of %d s, %d new connections a second; the client "
          "itself was at most %.1f ms late\n" % (
              cpus, platform.release(), os.getloadavg()[0], WORKERS, options.rounds, SECONDS, options.rate,
              max(new.late_ms for new, _ in found.values())))
    print("| server | one worker is | new | p50 | p99 | p99.9 | longest, ms | > 200 ms | > 1 s | lost | kept: p99,"
          " longest |\n|%s" % (11 * "---|"))
    for (name, situation), (new, kept) in found.items():
        print(row(name, situation, new, kept))
    problems = list(missed(found))
    print("".join("\n- MISSED: %s" % problem for problem in problems) or "\nAll bars are met.")
    return 1 if problems else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = kinds()
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--rate", type=int, default=RATE)
    parser.add_argument("--server", nargs="+", choices=list(known), default=list(known))
    parser.add_argument("--while", nargs="+", choices=list(SITUATIONS), default=list(SITUATIONS), dest="situations")
    options = parser.parse_args()
    prefer()
    peers.adopt_orphans()
    chosen = []
    for kind in [known[name] for name in options.server]:
        if kind.installed():
            chosen.append(kind)
        else:
            print("%s is not installed" % kind.name)
    return report(measure(chosen, options.situations, options.rounds, options.rate), options)


if __name__ == "__main__":
    sys.exit(main())
