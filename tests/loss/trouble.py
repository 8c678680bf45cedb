"""What can befall workers, again and again, in a thread of its own: they are killed, stopped, or stall (by the service
of tests/aids/trouble.c).  Only children of the daemon that was given are touched, by a pidfd."""

import datetime
import os
import random
import select
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "blackbox"))

import drover  # noqa: E402  (the path comes first)

ROUTE = {"match": "/trouble", "trouble": {}}
TRIES = 300                     # connections, until every worker has one


def parent(pid):
    try:
        with open("/proc/%d/stat" % pid, encoding="ascii", errors="replace") as file:
            return int(file.read().rsplit(")", 1)[1].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def take(events, when, pid):
    """Takes the first event of this process behind `when` from the list, or None: numbers of processes come again."""
    began = when + time.time() - time.monotonic() - 1
    for event in events:
        if event.fields["pid"] == str(pid) and event_seconds(event) >= began:
            events.remove(event)
            return event
    return None


def event_seconds(event):
    return datetime.datetime.fromisoformat(event.line.split(" ", 1)[0].replace("Z", "+00:00")).timestamp()


class Victim:
    """A worker; every method is harmless once it is gone."""

    def __init__(self, server, pid):
        self.pid = pid
        try:
            self.pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            self.pidfd = None
        if self.pidfd is not None and parent(pid) != server.pid:
            self.close()

    def send(self, number):
        """False: it is gone."""
        if self.pidfd is None:
            return False
        try:
            signal.pidfd_send_signal(self.pidfd, number)
        except ProcessLookupError:
            return False
        return True

    def wait_end(self, seconds):
        return self.pidfd is None or bool(select.select([self.pidfd], [], [], seconds)[0])

    def close(self):
        if self.pidfd is not None:
            os.close(self.pidfd)
        self.pidfd = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Trouble(threading.Thread):
    """Calls self.befall until it is told to end; `deaths` has (when at the earliest, pid) of those it kills, and
    `times` how often something befell a worker."""

    pause_seconds = 0.3
    kills = False
    settings, timeouts = {}, {}     # of the daemon

    def __init__(self, server, seed=None):
        super().__init__(daemon=True)
        self.server = server
        self.random = random.Random(seed)
        self.over = threading.Event()
        self.deaths, self.times, self.problem = [], 0, None
        self.crashed = []       # (when, the client that did it), of those whose pid is not known yet
        self.stood = []         # (when, pid) of those that were stopped
        self.own_endings = []   # of its own connections, as in the clients' reports

    def run(self):
        try:
            while not self.over.is_set():
                self.befall()
                self.over.wait(self.pause_seconds)
        except Exception as error:  # pylint: disable=broad-except; it is the cell that fails
            self.problem = "%s: %s" % (type(error).__name__, error)
        finally:
            self.close()

    def end(self):
        """What befalls somebody just now comes to its end."""
        self.over.set()
        self.join(drover.DEADLINE)
        if self.is_alive():
            self.problem = "the trouble does not end"

    def close(self):
        pass

    def settle(self):
        """The daemon has ended, and its log is whole: who died is known at the latest now."""

    def settle_killed(self):
        """Who was stopped for longer than it may, says the daemon, which killed it: also one that it had begun to
        replace, or that all of the machine kept for longer than was meant."""
        killed = self.server.log.find("worker_killed")
        self.deaths += [(when, pid) for when, pid in reversed(self.stood) if take(killed, when, pid)]

    def states(self):
        return {worker["pid"]: worker["state"] for worker in self.server.status()["workers"]}

    def serving(self):
        return [pid for pid, state in self.states().items() if state == "serving"]

    def any_of(self, pids):
        return [self.random.choice(pids)] if pids else []

    def kill(self, pids):
        for pid in pids:
            with Victim(self.server, pid) as victim:
                when = time.monotonic()
                if victim.send(signal.SIGKILL):
                    self.deaths.append((when, pid))
                    self.times += 1

    def stop(self, pids, wait):
        """Stops them, until wait(victims) is over."""
        victims = [Victim(self.server, pid) for pid in pids]
        try:
            self.stood += [(time.monotonic(), pid) for pid in pids]
            self.times += sum(victim.send(signal.SIGSTOP) for victim in victims)
            wait(victims)
        finally:
            for victim in victims:
                victim.send(signal.SIGCONT)
                victim.close()

    def befall(self):
        raise NotImplementedError


class Killed(Trouble):
    """kill -9 of a random worker every 300 ms."""

    kills = True

    def befall(self):
        self.kill(self.any_of(self.serving()))


class KilledAndKept(Killed):
    """The same, and idle connections survive."""

    settings = {"survive": True}


class AllKilled(Trouble):
    kills = True
    pause_seconds = 1

    def befall(self):
        self.kill(self.serving())


class Stopped(Trouble):
    """One for a second."""

    def befall(self):
        self.stop(self.any_of(self.serving()), lambda _: self.over.wait(1))


class AllStopped(Trouble):
    def befall(self):
        self.stop(self.serving(), lambda _: self.over.wait(0.5))


class StoppedForLong(Trouble):
    """One for longer than timeouts.hang_kill: it is the daemon that kills it."""

    kills = True
    timeouts = {"prepare": "1s", "hang_kill": "400ms"}

    def befall(self):
        self.stop(self.any_of(self.serving()), self.wait_for_kills)

    def settle(self):
        self.settle_killed()

    def wait_for_kills(self, victims):
        """Of those that serve: one that was replaced meanwhile has the drain's time."""
        end = drover.deadline(drover.DEADLINE / 2)
        for victim in victims:
            while not victim.wait_end(0.05) and self.states().get(victim.pid) != "draining":
                if time.monotonic() > end:
                    raise AssertionError("worker %d, stopped, was not killed" % victim.pid)


class Stalled(Trouble):
    """One, for 50 to 500 ms at a time."""

    pause_seconds = 0.05

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.clients = {}       # pid of the worker: a connection to it

    def befall(self):
        self.gather(1)
        self.stall(self.any_of(list(self.clients)))

    def stall(self, pids):
        """All at the same time."""
        ms = self.random.randint(50, 500)
        for pid in pids:
            self.clients[pid].send(self.clients[pid].head("/trouble?stall=%d" % ms))
        for pid in pids:
            answer = self.clients[pid].response()
            if answer.status != 200:
                raise AssertionError("stall: %d" % answer.status)
            self.times += 1
            if answer.closes:
                self.clients.pop(pid).close()

    def who(self, client):
        return int(client.request("/trouble").body)

    def gather(self, count):
        """Connections to `count` workers; those of before are asked again, for they may have moved."""
        found = {}
        for client in self.clients.values():
            self.keep(found, client)
        self.clients = found
        for _ in range(TRIES):
            if len(found) >= count:
                return
            # in mode shared the next connection goes to one that is not at work
            asked = list(found.values())
            for client in asked:
                client.send(client.head("/trouble?stall=10"))
            self.keep(found, self.server.client(self.server.addresses["IPv4"]))
            for client in asked:
                client.response()

    def keep(self, found, client):
        pid = self.who(client)
        if pid in found:
            client.close()
        else:
            found[pid] = client

    def close(self):
        for client in self.clients.values():
            client.close()


class AllStalled(Stalled):
    pause_seconds = 0.3

    def befall(self):
        self.gather(len(self.serving()))
        self.stall(list(self.clients))


class Crashed(Trouble):
    """One, by a fault of its own, in every way; the log says which one it was."""

    kills = True
    ways = ("segv", "exit", "abort", "stack", "bus", "fpe", "ill")

    def befall(self):
        way = self.ways[self.times % len(self.ways)]
        with self.server.client(self.server.addresses["IPv4"]) as client:
            self.crashed.append((time.monotonic(), "%s:%d" % client.socket.getsockname()[:2]))
            client.send(client.head("/trouble?crash=" + way))
            try:
                client.rest()
            except ConnectionResetError:
                pass
        self.own_endings.append([time.monotonic(), "trouble", "unanswered", 1, True])
        self.times += 1

    def settle(self):
        """The log says who it was; of one that drained and ended with status 0, only what it cut: one after the
        other, in the log's order."""
        exits, unseen = {}, []
        for event in self.server.log.find("worker_exited"):
            if "/trouble?crash=" in event.fields.get("request", ""):
                exits.setdefault(event.fields["client"], []).append(int(event.fields["pid"]))
        for when, client in self.crashed:
            if exits.get(client):       # ports come again
                self.deaths.append((when, exits[client].pop(0)))
            else:
                unseen.append(when)
        known = {pid for _, pid in self.deaths}
        cut = [int(event.fields["pid"]) for event in self.server.log.find("worker_drained")
               if event.fields["cut"] != "0"]
        self.deaths += zip(unseen, [pid for pid in cut if pid not in known])


TROUBLES = {
    "kill -9 one": Killed,
    "kill -9 one, survive": KilledAndKept,
    "stop one 1 s": Stopped,
    "stop one until killed": StoppedForLong,
    "stall one 50-500 ms": Stalled,
    "crash one": Crashed,
    "kill -9 all": AllKilled,
    "stop all 0.5 s": AllStopped,
    "stall all 50-500 ms": AllStalled,
}
