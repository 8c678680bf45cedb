#!/usr/bin/env python3
"""What clients lose while the operator works.

    loss.py                 the full table: REQUESTS requests in each cell
    loss.py --short         short cells, for `make check`
    loss.py --requests N    the full table with so many
    loss.py CELL ...        the cells with these words in their names; after the options

A cell is something that the operator does, again and again, in an accept mode.  All kinds of clients (client.c) are
at work meanwhile, over IPv4, IPv6 and a unix socket, and every request is accounted for: it got its whole right
answer, or it is lost, and why.  Idle connections must all stay open.  Where there is nobody to be reached any more
(an address that was removed, a service that stopped), to be refused is no loss; where the service stops, nor is an
idle connection's end and a request that crosses it.  Everything else is.  Prints a Markdown table and "N passed,
N failed, N skipped" (one test is one cell); exit status 1 when anything was lost.
"""

import collections
import os
import shutil
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "blackbox"))

import clients  # noqa: E402
import drover  # noqa: E402
from clients import LOSSES, UNWELCOME, Clients, pause  # noqa: E402
from drover import Drover  # noqa: E402

MIX = {"one-shot": 4, "keep-alive": 12, "distant": 12, "download": 4, "post": 4, "pipelined": 4, "partial": 8,
       "idle": 40}
SHARE = {"IPv4": 2, "IPv6": 1, "unix": 1}       # of the requests; and clients: all of MIX, half of it
REQUESTS = 200000
FULL_RATE, SHORT_RATE = 6000, 1000       # bursts a second, of which one kind has several requests
SHORT_SECONDS = 1.5
LIFETIME = 20           # bursts on a connection
INTERVAL = 0.1          # between two things that the operator does
LEAST_STEPS = 3         # however long they take
DRAIN_SECONDS = 10      # longer than a download takes
DOWNLOAD_RATE = 2 << 20
STOP_AFTER_SECONDS = 0.5
BACKLOG = 511
AT_FDCWD, RENAME_EXCHANGE = -100, 2     # renameat2(2)


# ---- what the operator does -------------------------------------------------------------------------------


def undisturbed(server, step):
    pass


def reload(server, step):
    """Another root with the same content."""
    server.configure({"sites": server.both_sites[step % 2]})
    expect(server.reload())


def replace(server, step):
    expect(server.reload("--replace"))


def resize(server, step):
    server.configure({"workers": (4, 1, 3, 2)[step % 4]})
    expect(server.reload())


def upgrade(server, step):
    result = server.ctl("upgrade")
    expect((result.returncode, result.stdout + result.stderr))


def tune(server, step):
    """One that counts at once, one that takes fresh workers, others for a moment, and back."""
    words = (("set", "limits.headers", "90", "log.level", "notice"), ("set", "survive", "true"),
             ("set", "--confirm", "1h", "limits.headers", "80", "workers", "3"), ("unset", "--all"))[step % 4]
    result = server.ctl(*words)
    expect((result.returncode, result.stdout + result.stderr))


def drain(server, step):
    """One slot after the other leaves and comes back."""
    slot = str(step // 2 % 2)
    result = server.ctl("resume" if step % 2 else "drain", slot)
    expect((result.returncode, result.stdout + result.stderr))
    if (slot in map(str, server.workers())) != bool(step % 2):
        raise AssertionError("slot %s: %s" % (slot, result.stdout))


def change_mode(server, step):
    server.configure({"accept": ("shared", "reuseport")[step % 2]})
    expect(server.reload())


def change_address(server, step):
    """One of them goes, and comes back; then the next."""
    gone = step // 2 % len(server.listen) if step % 2 == 0 else None
    server.configure({"listen": [entry for number, entry in enumerate(server.listen) if number != gone]})
    expect(server.reload())


def confine(server, step):
    """A root that is swapped below what workers may read, by a symlink or by its name; then one that is not below
    it, so that the reload is a replacement."""
    near, far = (os.path.join(server.dir, name) for name in ("near", "far"))
    if step % 4 == 1:
        os.symlink(str(step // 4 % 2 + 1), near + "/new")
        os.rename(near + "/new", near + "/current")
    elif step % 4 == 3:
        exchange(far + "/root", far + "/other")
    else:
        server.configure({"sites": [{"routes": [{"match": "/", "files": {
            "root": near + "/current" if step % 4 == 0 else far + "/root"}}]}]})
        before = server.workers()
        expect(server.reload())
        # the first one has less than the root before: both are below the daemon's directory
        if step > 0 and set(before.values()) & set(server.workers().values()):
            raise AssertionError("workers stayed although they cannot read the root")


def exchange(one, other):
    if drover.libc.renameat2(AT_FDCWD, one.encode(), AT_FDCWD, other.encode(), RENAME_EXCHANGE) != 0:
        raise AssertionError("renameat2 %s" % one)


def expect(result):
    status, text = result
    if status != 0:
        raise AssertionError(text.strip())


# ---- a cell ------------------------------------------------------------------------------------------------


class Cell:
    """The operator does `act` every INTERVAL."""

    modes = ("reuseport", "shared")
    allowed = ()                # outcomes that are no loss here
    moves = False               # connections to another process
    reloads = True              # a step is a reload of the file, or more
    passed = ()
    settings = {"timeouts": {"drain": "%ds" % DRAIN_SECONDS}}
    program = drover.DROVER
    files = {}                  # settings of the files' route
    routes = ()                 # besides it
    mix = MIX
    interval = INTERVAL
    client_options = {}

    def __init__(self, name, act, mode, size):
        self.name, self.act, self.mode, self.size = name, act, mode, size
        self.counts = collections.Counter()
        self.endings = []       # of connections: [seconds, kind, outcome, requests, fresh]
        self.slowest_ms = 0
        self.steps = self.moved = 0
        self.problems = []

    def run(self):
        directory = drover.temporary_directory()
        try:
            self.run_in(directory)
        except AssertionError as error:         # the daemon did not start, or ended
            self.problems.append(str(error))
        finally:
            shutil.rmtree(directory)
        return not self.problems

    def run_in(self, directory):
        """`directory` is for the unix socket."""
        addresses = self.addresses(directory)
        listen = [{"address": drover.address_text(address)} for address in addresses.values()]
        settings = {"accept": self.mode, "listen": listen, **self.settings}
        with Drover(settings, passed=self.passed, program=self.program) as server:
            self.prepare(server, addresses, listen)
            before = server.status()["last_reload"]
            try:
                self.load(server)
            except AssertionError as error:
                self.problems.append(str(error))
            self.check_end(server, before)

    def addresses(self, directory):
        return {"IPv4": drover.free_address(), "IPv6": drover.free_address(socket.AF_INET6),
                "unix": os.path.join(directory, "socket")}

    def prepare(self, server, addresses, listen):
        """Two roots with the same content."""
        server.addresses, server.listen = addresses, listen
        server.both_sites = []
        for name in ("one", "two"):
            root = os.path.join(server.dir, name)
            self.fill(root)
            server.both_sites.append([{"routes": [{"match": "/", "files": {"root": root, **self.files}}, *self.routes]}])
        reload(server, 1)

    def fill(self, root):
        clients.files(root)

    def start_clients(self, server):
        self.clients = {}
        for name, share in SHARE.items():
            kinds = {kind: count * share // max(SHARE.values()) for kind, count in self.mix.items()}
            options = {"rate": self.size["rate"] * share // sum(SHARE.values()), "download_rate": DOWNLOAD_RATE,
                       "lifetime": LIFETIME, **self.client_options}
            if self.size["requests"]:
                options["requests"] = self.size["requests"] * share // sum(SHARE.values())
            self.clients[name] = Clients(server.addresses[name], os.path.join(server.dir, "one"), kinds, **options)

    def load(self, server):
        self.start_clients(server)
        try:
            for one in self.clients.values():
                one.wait_ready()
            self.disturb(server)
        finally:
            self.end_clients()

    def disturb(self, server):
        end = time.monotonic() + self.size["seconds"]
        due = time.monotonic()
        while self.goes_on(end):
            self.operate(server)
            self.steps += 1
            due = max(due + self.interval, time.monotonic())
            if pause(self.clients.values(), min(due, max(end, time.monotonic())) - time.monotonic()):
                break

    def goes_on(self, end):
        return (time.monotonic() < end or self.steps < LEAST_STEPS) and self.steps < self.size.get("steps", self.steps + 1)

    def operate(self, server):
        self.act(server, self.steps)

    def end_clients(self):
        for one in self.clients.values():
            one.stop()
        for name, one in self.clients.items():
            report = one.report()
            self.counts += collections.Counter({key: value for key, value in report["total"].items()
                                                if isinstance(value, int)})
            self.slowest_ms = max(self.slowest_ms, report["total"]["max_ms"])
            self.endings += report["endings"]
            self.problems += ["%s: endings without number" % name] * (report["more_endings"] > 0)
            bad = clients.sum_up(report, [outcome for outcome in UNWELCOME if outcome not in self.allowed])
            self.problems += ["%s, %s" % (name, text) for text in bad]

    def check_end(self, server, before):
        """What was done has to have happened, and the daemon has nothing to complain of."""
        status = server.status()
        succeeded = status["last_reload"]["succeeded"] - before["succeeded"]
        if status["last_reload"]["failed"] != before["failed"]:
            self.problems.append("a reload failed")
        if self.reloads and self.act is not undisturbed and succeeded < self.steps:
            self.problems.append("%d reloads in %d steps" % (succeeded, self.steps))
        if self.steps < LEAST_STEPS:
            self.problems.append("only %d steps" % self.steps)
        self.moved = sum(count for name, count in status["totals"].items() if name.startswith("handed_"))
        if self.moves != (self.moved > 0):
            self.problems.append("%d connections moved" % self.moved)
        cut = [event.line for event in server.log.find("worker_drained") if event.fields["cut"] != "0"]
        self.problems += cut
        self.check_stop(server, server.stop())

    def check_stop(self, server, status):
        stopped = server.log.wait("stopped")
        if status != 0 or stopped.fields["lost"] != "0" or stopped.fields["cut"] != "0":
            self.problems.append("status %d, %s" % (status, stopped.line))
        self.problems += [event.line for event in server.log.events if event.level == "error"]

    def row(self):
        lost = sum(self.counts[outcome] for outcome in LOSSES)
        return "| %s | %s | %d | %d | %d | %d | %d | %d | %d | %.0f |" % (
            self.name, self.mode, self.steps, self.moved, self.counts["requests"] - self.counts["refused"], lost,
            self.counts["refused"], self.counts["crossed"], self.counts["idle_closed"], self.slowest_ms)


class MovingCell(Cell):
    """Workers are replaced: what is connected moves to others, and counts as its client's there.  No client meets
    a limit: one that did would have been counted twice."""

    moves = True
    settings = {**Cell.settings, "clients": {"connections": 3000, "network_connections": 6000,
                                             "requests": 500000, "bandwidth": "50g"}}

    def check_end(self, server, before):
        totals = server.status()["totals"]
        limited = {name: totals[name] for name in totals if name.startswith("limited_") and totals[name] > 0}
        if limited or totals["clients_untracked"] > 0:
            self.problems.append("clients met a limit: %s" % limited)
        super().check_end(server, before)


class TuningCell(MovingCell):
    """What is set is no reload of the file."""

    reloads = False

    def check_end(self, server, before):
        changed = len(server.log.find("settings_changed"))
        if changed < self.steps:
            self.problems.append("%d changes of settings in %d steps" % (changed, self.steps))
        super().check_end(server, before)


class UpgradeCell(MovingCell):
    def check_end(self, server, before):
        done = server.status()["upgrade"]
        if done["failed"] or done["succeeded"] != self.steps:
            self.problems.append("%d upgrades in %d steps: %s" % (done["succeeded"], self.steps, done["text"]))
        super().check_end(server, before)


class ConfineCell(MovingCell):
    modes = ("directed", "reuseport", "cpu", "shared")

    def prepare(self, server, addresses, listen):
        for name in ("near/1", "near/2", "far/root", "far/other"):
            self.fill(os.path.join(server.dir, name))
        os.symlink("2", os.path.join(server.dir, "near/current"))
        super().prepare(server, addresses, listen)

    def operate(self, server):
        super().operate(server)
        self.reloads = self.steps // 2 + 1      # every other step is one

    def check_end(self, server, before):
        succeeded = server.status()["last_reload"]["succeeded"] - before["succeeded"]
        if succeeded != self.reloads:
            self.problems.append("%d reloads, wanted %d" % (succeeded, self.reloads))
        self.act = undisturbed                  # whose steps are no reloads
        super().check_end(server, before)


class DrainCell(MovingCell):
    modes = ("directed", "reuseport", "cpu", "shared")

    def check_end(self, server, before):
        self.act = undisturbed                  # whose steps are no reloads
        super().check_end(server, before)


class ModeCell(Cell):
    """Begins in one mode, and changes to the other and back."""

    modes = ("reuseport",)


class AddressCell(Cell):
    """Addresses come and go, and their clients with them."""

    allowed = ("refused",)


class StopCell(Cell):
    """The service stops under load, and is started again: what reached it before is answered."""

    allowed = ("refused", "idle_closed", "crossed")

    def disturb(self, server):
        while self.steps < self.size["stops"] and not pause(self.clients.values(), STOP_AFTER_SECONDS):
            self.steps += 1
            self.check_stop(server, server.stop())
            server.start_again()

    def check_end(self, server, before):
        self.check_stop(server, server.stop())


class HeldCell(StopCell):
    """The same, but somebody else (as systemd would) holds the listening sockets: nobody is refused."""

    allowed = ("idle_closed", "crossed")

    def addresses(self, directory):
        addresses = super().addresses(directory)
        self.held = [self.hold(address) for address in addresses.values()]
        if self.mode == "reuseport":
            self.held.append(self.hold(addresses["IPv4"]))
        self.passed = [(one.fileno(), "http") for one in self.held]
        return addresses

    @staticmethod
    def hold(address):
        if isinstance(address, str):
            family = socket.AF_UNIX
        else:
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        one = socket.socket(family, socket.SOCK_STREAM)
        if family != socket.AF_UNIX:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind(address)
        one.listen(BACKLOG)
        return one

    def run_in(self, directory):
        try:
            super().run_in(directory)
        finally:
            for one in self.held:
                one.close()


CELLS = (
    ("nothing", undisturbed, Cell),
    ("reload", reload, Cell),
    ("reload --replace", replace, MovingCell),
    ("roots that workers cannot read", confine, ConfineCell),
    ("workers 4-1-3-2", resize, MovingCell),
    ("upgrade", upgrade, UpgradeCell),
    ("droverctl set", tune, TuningCell),
    ("drain and resume", drain, DrainCell),
    ("shared - reuseport", change_mode, ModeCell),
    ("addresses come and go", change_address, AddressCell),
    ("stop, and start again", None, StopCell),
    ("the same, sockets held", None, HeldCell),
)


def table(size, words):
    """(passed, failed)"""
    print("| while | mode | times | connections moved | requests | lost | refused | crossed | idle closed"
          " | slowest, ms |\n|---|---|---|---|---|---|---|---|---|---|", flush=True)
    passed = failed = 0
    for name, act, kind in CELLS:
        for mode in kind.modes:
            if words and not any(word in "%s %s" % (name, mode) for word in words):
                continue
            cell = kind(name, act, mode, size)
            good = cell.run()
            print(cell.row(), flush=True)
            for problem in cell.problems[:20]:
                print("%s, %s: %s" % (mode, name, problem), flush=True)
            passed, failed = passed + good, failed + (not good)
    return passed, failed


def main(arguments):
    size = {"seconds": 1000, "requests": REQUESTS, "rate": FULL_RATE, "stops": 1000}
    while arguments and arguments[0].startswith("--"):
        option = arguments.pop(0)
        if option == "--short":
            size = {"seconds": SHORT_SECONDS, "requests": 0, "rate": SHORT_RATE, "stops": 1}
        elif option == "--requests" and arguments and arguments[0].isdigit():
            size["requests"] = int(arguments.pop(0))
        else:
            print(__doc__.strip())
            return 2
    passed, failed = table(size, arguments)
    print("%d passed, %d failed, 0 skipped" % (passed, failed))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
