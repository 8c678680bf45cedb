"""What idle connections cost: memory of their own, and CPU of those that are active beside them.

Each idle connection has asked once and was answered (hold.py), so it is what a browser leaves behind.  Memory is what
the server's processes have dirtied of their own between a thousand of them and many more: what a server sets aside for
the first one, or at its start, does not count.
"""

import contextlib
import os
import shutil
import subprocess
import sys

from servers import FILES_MAX, SCENARIOS, Drover, Floor, Nginx, make_site, temporary_directory

HOLD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hold.py")
FIRST, COUNT = 1000, 8000       # lighttpd takes half as many as it has descriptors
HELD_BY_ONE = 15000             # processes of clients have descriptors, too
SLABS_OF_BOTH = ("TCP", "sock_inode_cache", "filp", "dentry")
SLABS_OF_SERVER = ("eventpoll_epi",)
SCENARIO = SCENARIOS["1k"]._replace(connections=64)
assert HELD_BY_ONE < FILES_MAX


class Patient(Drover):
    """It does not close what is idle while this is measured."""

    more = {"timeouts": {"keep_alive": "1h"}}


class PatientSeven(Patient):
    worker_count = 7            # of at most `limits.connections`, 16384, each


class NginxSeven(Nginx):
    worker_count = 7            # so many sockets cost the kernel something, too, and anybody has to bear that


def patient(cls):
    return Patient if cls is Drover else cls


class Crowd:
    """Idle connections to a server."""

    def __init__(self, server, count):
        host, port = server.address
        self.holders = []
        for begin in range(0, count, HELD_BY_ONE):
            command = [sys.executable, HOLD, host, str(port), server.scenario.files[0],
                       str(min(HELD_BY_ONE, count - begin))]
            self.holders.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        for holder in self.holders:
            if holder.stdout.readline() != b"held\n":
                raise RuntimeError("%s does not take %d connections" % (server.name, count))

    def close(self):
        for holder in self.holders:
            holder.communicate()


# ---- memory ----

def own_bytes(server):
    """Memory that no other process shares with the server's, or that they share with each other alone."""
    total = 0
    for pid in {int(task.split("/")[2]) for task in server.tasks()}:
        with open("/proc/%d/smaps_rollup" % pid, encoding="ascii") as file:
            total += sum(int(line.split()[1]) * 1024 for line in file if line.startswith("Private_Dirty:"))
    return total


def slabs(names):
    """Bytes of the kernel's objects; root alone sees them."""
    with open("/proc/slabinfo", encoding="ascii") as file:
        rows = [line.split() for line in file]
    return sum(int(row[1]) * int(row[3]) for row in rows if row[0] in names)


def kernel_bytes():
    try:
        return slabs(SLABS_OF_BOTH) / 2 + slabs(SLABS_OF_SERVER)
    except OSError:
        return None


def memory_of(server):
    """(its own bytes, the kernel's bytes) of an idle connection"""
    first = more = None
    with contextlib.ExitStack() as crowds:
        first = Crowd(server, FIRST)
        crowds.callback(first.close)
        own, kernel = own_bytes(server), kernel_bytes()
        more = Crowd(server, COUNT)
        crowds.callback(more.close)
        grown = own_bytes(server) - own
        return grown / COUNT, None if kernel is None else (kernel_bytes() - kernel) / COUNT


@contextlib.contextmanager
def serving(cls, top, label):
    server = cls(top, SCENARIO, label)
    try:
        server.start()
        server.warm_up()
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def site():
    top = temporary_directory()
    try:
        make_site(os.path.join(top, "site"), SCENARIO)
        yield top
    finally:
        shutil.rmtree(top)


def run_memory(classes):
    found = {"count": COUNT, "own": {}, "kernel": {}}
    for cls in classes:
        with site() as top, serving(patient(cls), top, cls.name) as server:
            found["own"][cls.name], found["kernel"][cls.name] = memory_of(server)
    return found


# ---- active ones beside them ----

def beside(cls, count, cpu, rounds, milliseconds):
    """The same server twice, with a crowd and without, in turns; for the second half it is the other one that has it:
    two that do the same are not quite alike, by where their memory lies."""
    found = {"server": cls.name, "workers": cls.worker_count, "idle": count, "with": [], "without": []}
    with site() as top, serving(cls, top, "one") as one, serving(cls, top, "other") as other:
        for crowded, empty in ((one, other), (other, one)):
            crowd = Crowd(crowded, count)
            try:
                compare(found, crowded, empty, cpu, max(rounds // 2, 1), milliseconds)
            finally:
                crowd.close()
    return found


def compare(found, crowded, empty, cpu, rounds, milliseconds):
    pairs = [("with", crowded), ("without", empty)]
    for server in (crowded, empty):
        server.pin(cpu, True)
        server.measure(milliseconds, cpu, True)
    for turn in range(rounds):
        for which, server in pairs[::-1] if turn % 2 else pairs:
            found[which].append(server.measure(milliseconds, cpu, True))


def run_active(classes, cpu, rounds, milliseconds):
    cases = [(patient(cls), 15000) for cls in (Floor, Nginx, Drover) if cls in classes]
    cases += [(cls, 100000) for cls in (NginxSeven, PatientSeven) if cls is PatientSeven or Nginx in classes]
    for cls, count in cases:
        yield beside(cls, count, cpu, rounds, milliseconds)
