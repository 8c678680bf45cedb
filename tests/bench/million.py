#!/usr/bin/env python3
"""Many idle connections on one machine, up to a million: what they cost, and whether they notice a reload, a
replacement and an upgrade.

    million.py [COUNT ...]      by default 10000 100000 300000 1000000, as far as the machine goes

A process has as many descriptors as its limit allows, so there are many workers and many holders of the clients' ends;
each holder has source addresses of its own in 127.0.0.0/8, as an address has 28,000 ports.  Every connection has asked
once and was answered.  Prints a Markdown table for each count; exit status 1 when one was lost.

A count that the machine has no memory or no descriptors for is left out, and the reason is printed.
"""

import contextlib
import multiprocessing
import os
import random
import resource
import select
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "blackbox"))

import drover  # noqa: E402

STEPS = (10000, 100000, 300000, 1000000)
SPARE_FILES = 1000      # of a process: sockets to listen at, what it needs itself, and what is uneven
SOURCES = 8             # addresses of one holder: with few connections for each, a free port is found at once
SAMPLE = 1000           # answers afterwards
QUIET_SECONDS = 10
QUIET_WINDOWS = 12
BYTES_EACH = 9500       # both ends: what is looked for before it is begun
BYTES_SPARE = 2 << 30
BYTES_MAX = 13 << 30    # others may be on the machine
REQUEST = b"GET /small HTTP/1.1\r\nHost: million.example\r\n\r\n"
SLABS = ("TCP", "sock_inode_cache", "filp", "dentry", "eventpoll_epi", "eventpoll_pwq")
CTL_SECONDS = 900
IP_BIND_ADDRESS_NO_PORT = 24
EXPECTED = b"s" * 1024


# ---- the clients' ends ----

class Holder:
    """In a process of its own: opens connections, and does what it is told."""

    def __init__(self, number, address, count):
        self.address = address
        self.sources = ["127.%d.%d.%d" % (1 + number // 250, number % 250, 10 + i) for i in range(SOURCES)]
        self.held = []
        for index in range(count):
            self.held.append(self.connect(index))
            self.ask(self.held[-1])

    def connect(self, index):
        connection = socket.socket()
        connection.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        connection.bind((self.sources[index % SOURCES], 0))
        connection.settimeout(120)
        connection.connect(self.address)
        return connection

    def ask(self, connection):
        connection.sendall(REQUEST)
        got = b""
        while not got.endswith(EXPECTED):
            data = connection.recv(65536)
            if not data:
                raise RuntimeError("closed before the answer was whole")
            got += data
        if not got.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError("another answer than was due: %r" % got[:200])

    def lost(self):
        """How many were closed, or have something to read that nobody asked for."""
        poll = select.poll()
        for connection in self.held:
            poll.register(connection, select.POLLIN)
        return len(poll.poll(0))

    def sample(self, count):
        """How many of `count` are answered."""
        good = 0
        for connection in random.sample(self.held, min(count, len(self.held))):
            try:
                self.ask(connection)
                good += 1
            except (OSError, RuntimeError) as error:
                print("a connection of the sample: %s" % error, file=sys.stderr)
        return good


def hold(pipe, number, address, count):
    try:
        holder = Holder(number, address, count)
        pipe.send("held")
    except (OSError, RuntimeError) as error:
        pipe.send("holder %d: %s" % (number, error))
        return
    while True:
        try:
            what, argument = pipe.recv()
        except EOFError:
            return
        pipe.send(holder.lost() if what == "lost" else holder.sample(argument))


class Crowd:
    def __init__(self, address, count, each):
        context = multiprocessing.get_context("fork")
        self.parts = []
        for number, begin in enumerate(range(0, count, each)):
            ours, theirs = context.Pipe()
            what = (theirs, number, address, min(each, count - begin))
            process = context.Process(target=hold, args=what, daemon=True)
            process.start()
            theirs.close()
            self.parts.append((process, ours))
        self.problems = [said for said in (pipe.recv() for _, pipe in self.parts) if said != "held"]

    def all(self, what, argument=None):
        for _, pipe in self.parts:
            pipe.send((what, argument))
        return sum(pipe.recv() for _, pipe in self.parts)

    def close(self):
        for process, pipe in self.parts:
            pipe.close()
            process.terminate()
        for process, _ in self.parts:
            process.join()


# ---- figures ----

def meminfo(name):
    with open("/proc/meminfo", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name + ":"))


def slabs():
    try:
        with open("/proc/slabinfo", encoding="ascii") as file:
            rows = [line.split() for line in file]
        return sum(int(row[1]) * int(row[3]) for row in rows if row[0] in SLABS)
    except OSError:
        return 0


def children(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid), encoding="ascii") as file:
        return [int(word) for word in file.read().split()]


def processes(server):
    return [server.pid, *children(server.pid)]


def own_bytes(server):
    total = 0
    for pid in processes(server):
        with open("/proc/%d/smaps_rollup" % pid, encoding="ascii") as file:
            total += sum(int(line.split()[1]) * 1024 for line in file if line.startswith("Private_Dirty:"))
    return total


def activity(server):
    """(CPU ticks, how often they have waited) of all processes: who makes no system call does not wait anew."""
    ticks = waits = 0
    for pid in processes(server):
        with open("/proc/%d/stat" % pid, encoding="ascii") as file:
            ticks += sum(int(word) for word in file.read().rsplit(")", 1)[1].split()[11:13])
        with open("/proc/%d/status" % pid, encoding="ascii") as file:
            waits += sum(int(line.split()[1]) for line in file if line.startswith("voluntary_ctxt_switches"))
    return ticks, waits


def quiet(server):
    """(seconds until nothing was left to do, CPU ticks and wake-ups of as many seconds then): a timer of each connection
    that was for its first request fires once more."""
    for window in range(QUIET_WINDOWS):
        before = activity(server)
        select.select([server.pidfd], [], [], QUIET_SECONDS)
        ticks, waits = (after - one for one, after in zip(before, activity(server)))
        if waits < len(processes(server)):
            break
    return window * QUIET_SECONDS, ticks, waits


def timed(server, *args):
    """(seconds, what it said when it failed)"""
    began = time.monotonic()
    result = server.ctl(*args, seconds=CTL_SECONDS)
    took = time.monotonic() - began
    return took, "" if result.returncode == 0 else (result.stdout + result.stderr).strip()


# ---- a step ----

def open_files():
    """The most of one process: as many as there may be, where that may be raised."""
    with open("/proc/sys/fs/nr_open", encoding="ascii") as file:
        most = int(file.read())
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def obstacle(count):
    """Why it cannot be done here, or None."""
    with open("/proc/sys/fs/file-max", encoding="ascii") as file:
        most = int(file.read())
    needed = count * BYTES_EACH
    if 2 * count + 10000 > most:
        return "fs.file-max is %d" % most
    if needed > BYTES_MAX or needed + BYTES_SPARE > meminfo("MemAvailable"):
        return "%.1f GB of memory are needed, %.1f are there" % (needed / 1e9, meminfo("MemAvailable") / 1e9)
    return None


def wait_drained(server):
    """Until no old worker is left; seconds."""
    began = time.monotonic()
    server.wait_status(lambda status: not any(worker["state"] == "draining" for worker in status["workers"]),
                       seconds=CTL_SECONDS)
    return time.monotonic() - began


def operate(server, crowd, row):
    """What the operator does with all of them open."""
    for name, args in (("reload", ("reload",)), ("replace", ("reload", "--replace")), ("upgrade", ("upgrade",))):
        took, problem = timed(server, *args)
        drained = wait_drained(server)
        row("%s until it was answered, s" % name, "%.2f" % took)
        row("until the last old worker had gone, s", "%.2f" % (took + drained))
        if problem:
            row("it failed", problem)
        row("lost", crowd.all("lost"))
    for name in ("status", "generations"):
        row("droverctl %s, ms" % name, "%.0f" % (timed(server, name)[0] * 1000))


def measure(server, crowd, count, before, row):
    settled, ticks, waits = quiet(server)
    own, kernel = own_bytes(server) - before[0], slabs() - before[1]
    row("kernel bytes for each, both ends", "%.0f" % (kernel / count))
    row("memory less available for each, everything", "%.0f" % ((before[2] - meminfo("MemAvailable")) / count))
    row("bytes of the workers' own for each", "%.0f" % (own / count))
    row("idle after at most, s", settled)
    row("CPU of all drover processes in %d s, ticks" % QUIET_SECONDS, ticks)
    row("times that one of them woke up", waits)
    operate(server, crowd, row)
    per_holder = -(-SAMPLE // len(crowd.parts))
    row("answers, of a sample of %d" % (per_holder * len(crowd.parts)), crowd.all("sample", per_holder))
    row("lost in all", crowd.all("lost"))
    totals = server.status()["totals"]
    row("handed over", sum(value for key, value in totals.items() if key.startswith("handed_")))
    row("what the daemon counted", " ".join("%s=%d" % (key, totals[key]) for key in (
        "kernel_dropped", "refused", "shed", "drain_cut", "lost_crashed", "rescued", "hand_declined", "out_of_memory")
        if totals.get(key)))
    return per_holder * len(crowd.parts)


def step(count, files):
    each = files - SPARE_FILES
    workers = max(2, -(-count // each) + 3)
    found = {}
    print("\n| %d connections, %d workers | |\n|---|---|" % (count, workers), flush=True)

    def row(name, value):
        found[name] = value
        print("| %s | %s |" % (name, value), flush=True)

    settings = {"workers": workers, "accept": "directed", "timeouts": {"keep_alive": "1d", "drain": "10m"},
                "limits": {"connections": each + SPARE_FILES // 2}}
    server = drover.Drover(settings, own=True)
    try:
        server.write("small", EXPECTED)
        began, before = time.monotonic(), (own_bytes(server), slabs(), meminfo("MemAvailable"))
        crowd = Crowd(server.address, count, each)
        try:
            row("set up, s", "%.1f" % (time.monotonic() - began))
            for problem in crowd.problems[:3]:
                row("a problem", problem)
            if not crowd.problems:
                measure(server, crowd, count, before, row)
        finally:
            crowd.close()
    finally:
        server.close()
    return not crowd.problems and found["lost in all"] == 0


def main(arguments):
    counts = [int(word) for word in arguments] or STEPS
    tempfile.tempdir = "/var/tmp"       # workers are told of each file that comes and goes in /tmp, if a root is below
    files = open_files()
    print("%d descriptors for a process" % files)
    good = True
    for count in counts:
        why = obstacle(count)
        if why is not None:
            print("\n%d connections were not tried: %s" % (count, why))
            break
        good = step(count, files) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
