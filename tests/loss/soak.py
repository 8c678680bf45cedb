#!/usr/bin/env python3
"""Everything at once, for long: nothing may grow, and nothing may be lost but what the dead had in hand.

    soak.py                 30 minutes; --minutes N: so many
    soak.py --short         seconds, for `make check`
    soak.py --seed NUMBER   what a run that printed this seed did, as far as chance goes

All kinds of clients (client.c) over IPv4, IPv6 and a unix socket, 2,000 idle connections among them, and one that
asks for listings; an access log, and limits that nobody reaches.  Meanwhile the operator reloads, each time something
else, replaces, resizes, upgrades, rotates the log and goes through the accept modes, so that every quarter of the run
has all of them; and workers are killed, stopped, stalled and crashed (trouble.py).  What is lost is judged as bad.py
does.  Memory, descriptors, shared memory, columns of the board and zombies are looked at again and again, while nothing
befalls anybody and nobody is leaving; between the second quarter and the last they may not grow, mode by mode.  Prints
Markdown tables and "N passed, N failed, N skipped" (what is claimed, one by one); exit status 1 when one failed.
"""

import argparse
import os
import random
import re
import statistics
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "blackbox"))

import bad  # noqa: E402
import drover  # noqa: E402
import loss  # noqa: E402
import reloads  # noqa: E402
import trouble  # noqa: E402
from bad import MODES, WORKERS, BadCell  # noqa: E402
from clients import LOSSES  # noqa: E402

# The numbers behind the actions: every so many reloads.
FULL = {"interval": 1.0, "replacement": 10, "upgrade": 60, "resize": 17, "rotation": 29, "sample": 10,
        "trouble": (1.0, 5.0), "hang_kill": "3s", "rate": 2000, "idle": 1000, "requests": 0}
SHORT = {"interval": 0.15, "replacement": 5, "upgrade": 10, "resize": 7, "rotation": 8, "sample": 2,
         "trouble": (0.3, 0.8), "hang_kill": "3s", "rate": 600, "idle": 100, "requests": 0, "steps": 48}
BOUND_SECONDS = 120             # of a short run
QUARTERS = 4
SEGMENTS = QUARTERS * len(MODES)
BUSY = {"one-shot": 6, "keep-alive": 24, "distant": 12, "download": 6, "post": 6, "pipelined": 6, "partial": 8}
SIZES = (1, 2, 3, 6)            # how many workers there are for a moment, instead of WORKERS
SMALL_FILES, LISTED_FILES = 150, 100
LISTING_SECONDS = 0.02          # between two
WHOLE_LINE = re.compile(rb'\S+ - \S+ \[[^]]+\] ".*" \d{3} (\d+|-)( ".*")*')
# struct board
VERSION, COLUMNS_AT, COLUMN_BYTES, COLUMNS = 8, 32 + 120 * 32, 1024, 2048
OTHERS_MAX = 10         # descriptors of a worker besides sockets and the files that it sends; two are for watches
# How much more there may be in the last quarter than in the second.  Buffers grow with what clients happen to do at
# once; whatever is left behind by a reload, a death or a replacement would be there hundreds of times.  600 KiB of the
# master are now its own and now shared with workers that were just forked; and a worker that is seconds old has up to
# 1 MiB more than a fresh one, for it has cached files and ready answers.
BOUNDS = {"master, descriptors": 1, "master, private KiB": 768, "workers, other descriptors": 8,
          "workers, sockets beyond the open": 20, "workers, private KiB": 4096, "shared memory, KiB": 64,
          "shared memories": 0, "columns": 0, "zombies": 0}


# ---- what befalls workers ------------------------------------------------------------------------------------


class Mixed(trouble.Trouble):
    """One of all of them after the other, by chance."""

    kills = True
    kinds = {trouble.Killed: 8, trouble.Crashed: 6, trouble.Stopped: 6, trouble.Stalled: 6,
             trouble.StoppedForLong: 2, trouble.AllKilled: 1}

    def __init__(self, server, seed, pauses):
        super().__init__(server, seed)
        self.pauses, self.calm, self.befell = pauses, threading.Lock(), {}
        self.parts = [kind(server) for kind in self.kinds]
        for part in self.parts:
            part.random, part.over = self.random, self.over
            part.deaths, part.own_endings, part.stood = self.deaths, self.own_endings, self.stood

    def befall(self):
        """Each kind at least once, if there is time for so many."""
        fresh = [part for part in self.parts if part not in self.befell]
        part = fresh[0] if fresh else self.random.choices(self.parts, self.kinds.values())[0]
        self.befell[part] = self.befell.get(part, 0) + 1
        with self.calm:
            before = part.times
            part.befall()
            self.times += part.times - before
            if isinstance(part, trouble.Stalled):       # the next one's victim may be whom it is connected to
                part.close()
                part.clients = {}
        self.pause_seconds = self.random.uniform(*self.pauses)

    def settle(self):
        for part in self.parts:
            if not isinstance(part, trouble.StoppedForLong):    # all parts have what was stopped together
                part.settle()
        self.settle_killed()

    def text(self):
        return ", ".join("%d %s" % (count, type(part).__name__) for part, count in self.befell.items())


class Lister(threading.Thread):
    """Asks for a listing, on a connection of its own each time; all have to be like the first."""

    def __init__(self, server, address):
        super().__init__(daemon=True)
        self.server, self.address = server, address
        self.over, self.endings = threading.Event(), []
        self.good, self.wrong, self.first = 0, 0, None

    def run(self):
        while not self.over.wait(LISTING_SECONDS):
            try:
                answer = self.server.get("/list/", address=self.address)
            except (OSError, drover.Closed):
                self.endings.append([time.monotonic(), "listing", "unanswered", 1, True])
                continue
            self.first = self.first or answer.body
            last = b"item-%03d" % (LISTED_FILES - 1)
            right = answer.status == 200 and answer.body == self.first and last in answer.body
            self.good, self.wrong = self.good + right, self.wrong + (not right)


# ---- what is looked at ---------------------------------------------------------------------------------------


def links(pid):
    """What its descriptors are: (link, inode, bytes in use)."""
    for entry in os.scandir("/proc/%d/fd" % pid):
        try:
            about = os.stat(entry.path)
            yield os.readlink(entry.path), about.st_ino, about.st_blocks * 512
        except FileNotFoundError:       # closed meanwhile
            pass


def columns(pid):
    """The pids that the board says own a column; of itself it says how large it is."""
    name = [entry.path for entry in os.scandir("/proc/%d/fd" % pid) if "drover-board" in os.readlink(entry.path)]
    with open(name[0], "rb") as file:
        board = file.read(COLUMNS_AT + COLUMN_BYTES * COLUMNS)
    if struct.unpack_from("=II", board) != (VERSION, COLUMNS):
        raise AssertionError("the board has another layout than this test knows")
    pids = [struct.unpack_from("=I", board, COLUMNS_AT + COLUMN_BYTES * number)[0] for number in range(1, COLUMNS)]
    return [pid for pid in pids if pid]


def resident_kib(pid):
    return int(drover.process_status(pid)["VmRSS"].split()[0])


def look(server, status):
    """Figures of a daemon that is settled: {what: how much}."""
    pids = [worker["pid"] for worker in status["workers"]]
    of_workers = [link for pid in pids for link in links(pid)]
    of_master = list(links(server.pid))
    memories = {inode: size for link, inode, size in of_workers + of_master if link.startswith("/memfd:")}
    sockets = sum(link.startswith("socket:") for link, _, _ in of_workers)
    files = sum(link.startswith(server.dir) for link, _, _ in of_workers)
    owners = columns(server.pid)
    if missing := set(pids) - set(owners):
        raise AssertionError("workers without a column of the board: %s" % missing)
    return {"master, descriptors": len(of_master),
            "master, private KiB": reloads.dirty_bytes(server.pid) // 1024,
            "master, resident KiB": resident_kib(server.pid),
            "workers, other descriptors": len(of_workers) - sockets - files,
            "workers, sockets beyond the open": sockets - sum(one["counters"]["open"] for one in status["workers"]),
            "workers, private KiB": sum(reloads.dirty_bytes(pid) for pid in pids) // 1024,
            "shared memory, KiB": sum(memories.values()) // 1024,
            "shared memories": len(memories),
            "columns": len(owners),
            "zombies": len(set(server.children()) - set(pids)),
            "connections": status["totals"]["open"],
            "age, s": statistics.median(worker["age_ms"] for worker in status["workers"]) / 1000}


# ---- the run -------------------------------------------------------------------------------------------------


class Soak(BadCell):
    files = {"listing": True}

    def __init__(self, size, seed):
        super().__init__("kill -9 one", "nothing", MODES[0], size)      # its accounting; what befalls is our own
        self.random, self.seed, self.interval = random.Random(seed), seed, size["interval"]
        self.make_trouble = lambda server: Mixed(server, seed, size["trouble"])
        self.mix = {**BUSY, "idle": size["idle"]}
        self.client_options = {"reopen": 1, "seed": seed % 1000000 + 1}
        self.timeouts = {"drain": "%ds" % loss.DRAIN_SECONDS, "hang_kill": size["hang_kill"]}
        generous = {"connections": 100000, "requests": 500000, "bandwidth": "10g"}
        self.settings = {"workers": WORKERS, "timeouts": self.timeouts,
                         "clients": {**generous, **{"network_" + name: value for name, value in generous.items()}}}
        self.actions = {"replacement": self.replace, "upgrade": loss.upgrade, "resize": self.resize,
                        "rotation": self.rotate, "sample": self.sample}
        self.done = dict.fromkeys(["reload", *self.actions], 0)
        self.samples, self.torn = [], []
        self.log_lines = 0

    def fill(self, root):
        """Beside the clients' files many small ones, and a directory with many."""
        super().fill(root)
        os.makedirs(os.path.join(root, "list"), mode=0o755)
        os.chmod(os.path.join(root, "list"), 0o755)
        small = ["small-%03d" % number for number in range(SMALL_FILES)]
        for name in small + ["list/item-%03d" % number for number in range(LISTED_FILES)]:
            path = os.path.join(root, name)
            with open(path, "wb") as file:
                file.write(name.encode() * 50)
            os.chmod(path, 0o644)
            os.utime(path, (0, 0))      # listings of both roots are the same

    def prepare(self, server, addresses, listen):
        self.access = os.path.join(server.dir, "access.log")
        self.log = {"access": self.access}
        server.configure({"log": self.log})
        super().prepare(server, addresses, listen)
        self.change_size(server, max(SIZES))    # sockets of slots that there were once stay (ARCHITECTURE.md)

    def load(self, server):
        self.lister = Lister(server, server.addresses["IPv4"])
        self.lister.start()
        try:
            super().load(server)
        finally:
            self.lister.over.set()
            self.lister.join(drover.DEADLINE)
            self.endings += self.lister.endings

    def part(self, parts):
        """Which of so many parts of the run it is."""
        return self.steps * parts // self.size["steps"]

    def operate(self, server):
        """Whatever is due now; a look first, while those who are there have lived longest."""
        due = [name for name in reversed(self.actions) if self.steps % self.size[name] == self.size[name] - 1]
        for name in ["reload", *due]:
            self.act = self.actions.get(name, self.change)
            before = self.called_off
            super().operate(server)
            self.done[name] += self.called_off == before

    # what the operator does: (server, step)

    def change(self, server, step):
        """Another root, and one setting or another; the accept mode when it is time."""
        changes = (
            {"timeouts": {**self.timeouts, "keep_alive": "%ds" % self.random.randint(60, 3600)}},
            {"limits": {"headers": self.random.randint(50, 200)}},
            {"log": {**self.log, "access_format": self.random.choice(("common", "combined"))}},
            {"clients": {**self.settings["clients"], "requests": self.random.randint(400000, 500000)}},
        )
        server.configure({**self.random.choice(changes), "accept": MODES[self.part(SEGMENTS) % len(MODES)]})
        loss.reload(server, step)

    def replace(self, server, _):
        loss.expect(server.reload("--replace"))

    def resize(self, server, _):
        """And back, so that every look sees as many."""
        self.change_size(server, self.random.choice(SIZES))

    def change_size(self, server, count):
        for count in (count, WORKERS):
            server.configure({"workers": count})
            loss.expect(server.reload())

    def rotate(self, server, _):
        os.rename(self.access, self.access + ".1")
        result = server.ctl("reopen")
        loss.expect((result.returncode, result.stdout + result.stderr))
        self.read_log(self.access + ".1")

    def read_log(self, path):
        with open(path, "rb") as file:
            lines = file.read().split(b"\n")
        self.log_lines += len(lines) - 1
        self.torn += [line for line in lines[:-1] if not WHOLE_LINE.fullmatch(line)] + list(filter(None, lines[-1:]))
        os.unlink(path)

    def sample(self, server, _):
        with self.trouble.calm:
            status, found = self.look_at_settled(server)
        found["mode"], found["quarter"] = status["accept"]["effective"], self.part(QUARTERS)
        found["reloads"] = self.done["reload"]
        found["lost with workers"] = status["totals"]["lost_crashed"]
        if not self.samples:
            print("| %s |\n|%s" % (" | ".join(found), "---|" * len(found)))
        print("| %s |" % " | ".join("%.1f" % value if isinstance(value, float) else str(value)
                                    for value in found.values()), flush=True)
        self.samples.append(found)

    @classmethod
    def look_at_settled(cls, server):
        """Who was killed just now may be among the workers for a moment still: then all is looked at again."""
        end = drover.deadline()
        while True:
            status = server.wait_status(cls.is_settled)
            try:
                found = look(server, status)
                if cls.pids(server.status()) == cls.pids(status):
                    return status, found
            except (AssertionError, FileNotFoundError, ProcessLookupError):
                if time.monotonic() > end or cls.pids(server.status()) == cls.pids(status):
                    raise

    @staticmethod
    def pids(status):
        return {worker["pid"] for worker in status["workers"]}

    @staticmethod
    def is_settled(status):
        return (status["phase"] == "idle" and len(status["workers"]) == len(status["slots"]) == WORKERS and
                all(worker["state"] == "serving" for worker in status["workers"]))

    # the end

    def check_end(self, server, before):
        super().check_end(server, before)
        self.read_log(self.access)

    def growth(self, name):
        """(the most that it grew in a mode, what it was there in the second and the last quarter)"""
        found = []
        for mode in MODES:
            second, last = ([one[name] for one in self.samples if (one["mode"], one["quarter"]) == (mode, quarter)]
                            for quarter in (1, QUARTERS - 1))
            if second and last:
                second, last = statistics.median(second), statistics.median(last)
                found.append((last - second, second, last))
        return max(found, default=(1 << 40, 0, 0))

    def claims(self):
        claims = reloads.Claims()
        print("\n| claim | | |\n|---|---|---|")
        claims.claim(not self.problems, "nothing lost but what the dead had in hand, none refused, no error",
                     "%d requests, %d in hand, %d survived, %d connections ended, %d requests lost with them" % (
                         self.counts["requests"], self.in_hand, self.survived, len(self.endings),
                         sum(self.counts[outcome] for outcome in LOSSES)))
        claims.claim(self.lister.good > 0 and self.lister.wrong == 0, "listings, wrong ones",
                     "%d, %d" % (self.lister.good, self.lister.wrong))
        claims.claim(self.log_lines > 0 and not self.torn, "lines in the access logs, torn ones",
                     "%d, %d %s" % (self.log_lines, len(self.torn), self.torn[:2]))
        claims.claim(all(self.done.values()), "the operator did everything",
                     ", ".join("%d %ss" % (count, name) for name, count in self.done.items()))
        claims.claim(len(self.trouble.befell) == len(Mixed.kinds), "everything befell somebody", self.trouble.text())
        for name, bound in BOUNDS.items():
            grown, second, last = self.growth(name)
            claims.claim(grown <= bound, "growth of: " + name, "%d, then %d (at most %+d)" % (second, last, bound))
        most = max((one["workers, other descriptors"] for one in self.samples), default=1 << 30)
        claims.claim(most <= OTHERS_MAX * WORKERS, "workers, other descriptors", most)
        claims.claim(not any(one["zombies"] for one in self.samples), "zombies", 0)
        claims.claim(all(one["columns"] == WORKERS for one in self.samples), "columns of the board", WORKERS)
        return claims


def main():
    parser = argparse.ArgumentParser(description="Everything at once, for long.")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--short", action="store_true", help="for `make check`")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    options = parser.parse_args()
    seconds = BOUND_SECONDS if options.short else options.minutes * 60
    size = {"seconds": 2 * seconds, "steps": int(seconds / FULL["interval"]), **(SHORT if options.short else FULL)}
    print("seed %d\n" % options.seed, flush=True)
    soak = Soak(size, options.seed)
    soak.run()
    for problem in soak.problems[:40]:
        print("problem: %s" % problem)
    claims = soak.claims()
    print("%d passed, %d failed, 0 skipped" % (claims.passed, claims.failed))
    return 1 if claims.failed else 0


if __name__ == "__main__":
    sys.exit(main())
