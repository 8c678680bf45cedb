#!/usr/bin/env python3
"""What clients of a fleet lose: HAProxy in front of three drovers.

    fleet.py                the full table
    fleet.py --short        a rolling restart, for `make check`
    fleet.py CELL ...       the cells with these words in their names; after the option

HAProxy, by conf/haproxy/drover.cfg, and each drover have a network namespace of their own, connected by veth; the
clients (tests/loss/client.c) have another one.  Where the kernel does not give us any, all are on loopback, and the
first line says so.  What the operator does loses nothing, with no retry of HAProxy's; what dies loses what it had in
hand.  Prints a Markdown table and "N passed, N failed, N skipped" (one test is one cell); exit status 1 when anything
was lost that must not be.
"""

import collections
import csv
import os
import signal
import socket
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(TOP, "tests", "blackbox"), os.path.join(TOP, "tests", "loss")]

import clients  # noqa: E402
import drover  # noqa: E402
from clients import LOSSES, Clients, pause  # noqa: E402
from drover import Drover  # noqa: E402

TEMPLATE = os.path.join(TOP, "conf", "haproxy", "drover.cfg")
HAPROXY = "haproxy"
DROVERS = 3
PORT = 8080
CLONE_NEWNET = 0x40000000
MIX = {"one-shot": 8, "keep-alive": 24, "distant": 8, "download": 3, "pipelined": 4, "partial": 4, "idle": 10}
RATE = 600
PAUSE = 0.5             # seconds, between two drovers
DOWNLOAD_RATE = 2 << 20
ROUNDS, SHORT_ROUNDS = 5, 1
QUIET = "60s"           # droverctl drain all --wait
NAMES = ("drover-0", "drover-1", "drover-2")


# ---- the network -------------------------------------------------------------------------------------------


class Refused(Exception):
    """Namespaces are not to be had here."""


def unshare():
    if drover.libc.unshare(CLONE_NEWNET) != 0:
        raise Refused("unshare is refused")


class Namespace:
    """Lives as long as this process; its own one holds it open."""

    def __init__(self):
        self.holder = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, preexec_fn=unshare)
        self.fd = os.open("/proc/%d/ns/net" % self.holder.pid, os.O_RDONLY | os.O_CLOEXEC)
        self.ip("link", "set", "lo", "up")

    def enter(self):
        if drover.libc.setns(self.fd, CLONE_NEWNET) != 0:
            os._exit(1)

    def ip(self, *words):
        ip(*words, preexec_fn=self.enter)

    def close(self):
        os.close(self.fd)
        self.holder.stdin.close()
        self.holder.wait()


def ip(*words, **more):
    result = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=drover.DEADLINE, **more)
    if result.returncode != 0:
        raise Refused("ip %s: %s" % (" ".join(words), result.stderr.strip()))


class Machines:
    """The balancer's and the drovers', and this process among their clients."""

    def __init__(self):
        self.balancer = Namespace()
        self.drovers = [Namespace() for _ in range(DROVERS)]
        unshare()
        ip("link", "set", "lo", "up")
        ip("link", "add", "eth0", "type", "veth", "peer", "name", "front", "netns", str(self.balancer.holder.pid))
        ip("address", "add", "10.77.9.2/24", "dev", "eth0")
        ip("link", "set", "eth0", "up")
        self.balancer.ip("address", "add", "10.77.9.1/24", "dev", "front")
        self.balancer.ip("link", "set", "front", "up")
        for number, machine in enumerate(self.drovers):
            self.connect(number, machine)
        self.front = ("10.77.9.1", PORT)
        self.back = [("10.77.%d.2" % number, PORT) for number in range(DROVERS)]
        self.trusted = ["10.77.%d.1" % number for number in range(DROVERS)]

    def connect(self, number, machine):
        name = "back%d" % number
        self.balancer.ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", str(machine.holder.pid))
        self.balancer.ip("address", "add", "10.77.%d.1/24" % number, "dev", name)
        self.balancer.ip("link", "set", name, "up")
        machine.ip("address", "add", "10.77.%d.2/24" % number, "dev", "eth0")
        machine.ip("link", "set", "eth0", "up")

    def close(self):
        for one in (self.balancer, *self.drovers):
            one.close()


class Here:
    enter = None


class Loopback:
    """All on one machine."""

    def __init__(self):
        self.balancer, self.drovers = Here(), [Here()] * DROVERS
        self.front = drover.free_address()
        self.back = [drover.free_address() for _ in range(DROVERS)]
        self.trusted = ["127.0.0.0/8"] * DROVERS

    def close(self):
        pass


def network():
    try:
        machines = Machines()
        print("each in a network namespace of its own", flush=True)
    except (Refused, subprocess.SubprocessError) as error:
        machines = Loopback()
        print("on loopback, because there are no network namespaces: %s" % error, flush=True)
    return machines


# ---- the balancer ------------------------------------------------------------------------------------------


def replaced(text, old, new):
    if text.count(old) != 1:
        raise AssertionError("%s: %d times %r" % (TEMPLATE, text.count(old), old))
    return text.replace(old, new)


class Balancer:
    """HAProxy by the example, with other addresses; `retries`: as it is there, or none."""

    def __init__(self, machines, directory, retries):
        self.path = os.path.join(directory, "haproxy.cfg")
        self.admin = os.path.join(directory, "admin.sock")
        with open(TEMPLATE, encoding="utf-8") as file:
            text = file.read()
        text = replaced(text, "stats socket /run/haproxy/admin.sock", "stats socket " + self.admin)
        text = replaced(text, "\tbind :80\n", "\tbind %s\n" % drover.address_text(machines.front))
        for number, address in enumerate(machines.back):
            text = replaced(text, "server drover-%d 10.0.0.%d:8080" % (number, 11 + number),
                            "server drover-%d %s" % (number, drover.address_text(address)))
        if not retries:
            text = replaced(text, "\tretries 2\n\toption redispatch 1\n", "\tretries 0\n")
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(text)
        self.output = open(os.path.join(directory, "haproxy.log"), "w+b")
        self.process = subprocess.Popen([HAPROXY, "-db", "-f", self.path], stdin=subprocess.DEVNULL,
                                        stdout=self.output, stderr=self.output, preexec_fn=machines.balancer.enter)

    def ask(self, command):
        with socket.socket(socket.AF_UNIX) as admin:
            admin.connect(self.admin)
            admin.sendall(command.encode() + b"\n")
            return b"".join(iter(lambda: admin.recv(1 << 16), b"")).decode()

    def servers(self):
        """name -> its row of the statistics."""
        text = self.ask("show stat").lstrip("# ")
        return {row["svname"]: row for row in csv.DictReader(text.splitlines())
                if row["pxname"] == "drovers" and row["svname"] in NAMES}

    def sum(self, column):
        return sum(int(row[column] or 0) for row in self.servers().values())

    def wait(self, number, state):
        """Until the drover counts as UP or DOWN."""
        end = drover.deadline()
        while True:
            try:
                found = self.servers()[NAMES[number]]["status"]
            except OSError:             # it is just starting
                found = "?"
            if found.split(" ")[0] == state:
                return
            if time.monotonic() >= end or self.process.poll() is not None:
                self.output.seek(0)
                raise AssertionError("%s is %s, not %s: %s" % (NAMES[number], found, state,
                                                               self.output.read().decode()))
            drover.select.select([], [], [], 0.02)      # between two questions

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.output.close()


# ---- what is done ------------------------------------------------------------------------------------------


def expect(result):
    if result.returncode != 0:
        raise AssertionError((result.stdout + result.stderr).strip())


def nothing(fleet, number):
    pause(fleet.clients, 1)


def restart(fleet, number):
    """As drover-fleet(7) has it."""
    server = fleet.servers[number]
    expect(server.ctl("drain", "all", "--wait", QUIET, seconds=120))
    fleet.balancer.wait(number, "DOWN")
    fleet.stopped(server, server.stop())
    server.start_again()
    fleet.balancer.wait(number, "UP")


def plain_restart(fleet, number):
    """Without a word to it: timeouts.drain_delay alone."""
    server = fleet.servers[number]
    fleet.stopped(server, server.stop())
    server.start_again()
    fleet.balancer.wait(number, "UP")


def upgrade(fleet, number):
    expect(fleet.servers[number].ctl("upgrade"))
    pause(fleet.clients, PAUSE)


def reload(fleet, number):
    expect(fleet.servers[number].ctl("reload"))
    pause(fleet.clients, PAUSE)


def drain_slot(fleet, number):
    for command in ("drain", "resume"):
        expect(fleet.servers[number].ctl(command, "1"))
        pause(fleet.clients, PAUSE / 2)


def kill_worker(fleet, number):
    server = fleet.servers[number]
    pid = server.workers()[0]
    os.kill(pid, signal.SIGKILL)
    status = server.wait_status(lambda status: server.workers(status).get(0, pid) != pid)
    fleet.may_lose += status["totals"]["lost_crashed"] - status["totals"]["survived"] - fleet.counted[number]
    fleet.counted[number] = status["totals"]["lost_crashed"] - status["totals"]["survived"]
    pause(fleet.clients, PAUSE)


def kill_drover(fleet, number):
    """All of it at once, as a machine does that loses its power: what it had open is in hand."""
    server = fleet.servers[number]
    fleet.may_lose += server.status()["totals"]["open"]
    failed = fleet.balancer.sum("econ")
    os.killpg(server.pid, signal.SIGKILL)
    server.wait_exit()
    fleet.balancer.wait(number, "DOWN")
    if not fleet.retries:
        fleet.may_lose += fleet.balancer.sum("econ") - failed
    server.start_again()
    fleet.balancer.wait(number, "UP")


class Cell:
    def __init__(self, name, act, retries=False, settings=None, rounds=None, operator=True):
        self.name, self.act, self.retries, self.settings = name, act, retries, settings or {}
        self.rounds, self.operator = rounds, operator


CELLS = (
    Cell("nothing", nothing),
    Cell("rolling restart, drained first", restart, rounds=2),
    Cell("rolling restart, drain_delay alone", plain_restart, rounds=2, settings={"timeouts": {"drain_delay": "3s"}}),
    Cell("rolling upgrade", upgrade),
    Cell("rolling reload", reload),
    Cell("drain and resume a slot of each", drain_slot),
    Cell("a worker killed", kill_worker, operator=False),
    Cell("the same, survive = true", kill_worker, operator=False, settings={"survive": True}),
    Cell("a drover killed", kill_drover, rounds=1, operator=False),
    Cell("the same, retries 2", kill_drover, rounds=1, retries=True, operator=False),
)


class Fleet:
    def __init__(self, machines, cell, rounds):
        self.machines, self.cell, self.retries = machines, cell, cell.retries
        self.rounds = min(rounds, cell.rounds or rounds)
        self.directory = drover.temporary_directory()
        self.servers, self.clients, self.problems = [], [], []
        self.balancer = None
        self.may_lose, self.counted = 0, collections.Counter()
        self.report = {"total": collections.Counter(), "kinds": {}}
        self.retried = 0

    def start(self):
        for number in range(DROVERS):
            self.servers.append(self.start_drover(number))
        self.balancer = Balancer(self.machines, self.directory, self.retries)
        for number in range(DROVERS):
            self.balancer.wait(number, "UP")

    def start_drover(self, number):
        root = os.path.join(self.directory, "root")
        clients.files(root)
        address = drover.address_text(self.machines.back[number])
        return Drover({"accept": "directed",
                       "listen": [{"address": address, "keep_alive": "10m", "proxy_protocol": True,
                                   "proxy_from": [self.machines.trusted[number]]}],
                       "sites": [{"routes": [{"match": "/health", "health": {}},
                                             {"match": "/", "files": {"root": root}}]}],
                       **self.cell.settings},
                      preexec=self.machines.drovers[number].enter, own=True)

    def stopped(self, server, status):
        event = server.log.wait("stopped")
        if status != 0 or event.fields["cut"] != "0" or event.fields["lost"] != "0":
            self.problems.append("status %d, %s" % (status, event.line))

    def run(self):
        try:
            self.start()
            self.clients = [Clients(self.machines.front, os.path.join(self.directory, "root"), MIX, rate=RATE,
                                    download_rate=DOWNLOAD_RATE)]
            try:
                self.clients[0].wait_ready()
                for step in range(self.rounds * DROVERS):
                    self.cell.act(self, step % DROVERS)
            finally:
                self.clients[0].stop()
                self.report = self.clients[0].report()
            self.retried = self.balancer.sum("wretr") + self.balancer.sum("wredis")
            self.judge()
        except AssertionError as error:
            self.problems.append(str(error))
        finally:
            self.close()
        return not self.problems

    def lost(self):
        return sum(self.report["total"][outcome] for outcome in (*LOSSES, "crossed", "idle_closed"))

    def judge(self):
        total = self.report["total"]
        if self.lost() + total["refused"] > (0 if self.cell.operator else self.may_lose):
            self.problems += clients.sum_up(self.report)
        if not self.cell.retries and self.retried > 0:
            self.problems.append("HAProxy tried %d times again" % self.retried)
        spread = [int(row["stot"]) for row in self.balancer.servers().values()]
        if min(spread) == 0:
            self.problems.append("not all had clients: %s" % spread)
        for server in self.servers:
            self.problems += [event.line for event in server.log.events
                              if event.level == "error" and self.cell.operator]

    def row(self):
        total = self.report["total"]
        return "| %s | %d | %d | %s | %d | %d | %d | %.0f |" % (
            self.cell.name, self.rounds * DROVERS, total["requests"],
            "%d" % self.lost() if self.cell.operator else "%d of %d" % (self.lost(), self.may_lose), total["refused"],
            total["stalled"], self.retried, total.get("max_ms", 0))

    def close(self):
        for server in self.servers:
            server.close()
        if self.balancer is not None:
            self.balancer.close()
        drover.shutil.rmtree(self.directory)


def main(arguments):
    rounds, cells = ROUNDS, CELLS
    if arguments[:1] == ["--short"]:
        arguments.pop(0)
        rounds, cells = SHORT_ROUNDS, CELLS[1:2]
    if any(word.startswith("-") for word in arguments):
        print(__doc__.strip())
        return 2
    machines = network()
    passed = failed = 0
    print("| while | times | requests | lost | refused | stalled | retried | slowest, ms |\n"
          "|---|---|---|---|---|---|---|---|", flush=True)
    for cell in cells:
        if arguments and not any(word in cell.name for word in arguments):
            continue
        fleet = Fleet(machines, cell, rounds)
        good = fleet.run()
        print(fleet.row(), flush=True)
        for problem in fleet.problems[:20]:
            print("%s: %s" % (cell.name, problem), flush=True)
        passed, failed = passed + good, failed + (not good)
    machines.close()
    print("%d passed, %d failed, 0 skipped" % (passed, failed))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
