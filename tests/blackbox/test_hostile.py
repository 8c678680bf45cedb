"""A worker that turns against the others (tests/aids/hostile.c), with all that it shares with them: the master does
what it is told to, the others serve, and nothing hangs, grows or spins."""

import json
import os
import select
import signal
import socket
import unittest

import drover
import openmetrics
from drover import Drover

WORKERS = 3
ROUTES = [{"match": "/trouble", "trouble": {}}, {"match": "/hostile", "hostile": {}},
          {"match": "/status", "status": {}}]
ASKED = 12
MOST_GROWTH_KB = 4096
IDLE_TICKS = 5      # of 10 ms, in which a master that does nothing does nothing


def memory_kb(pid):
    """What is its own: the board's pages are counted to whoever looks at them."""
    return int(drover.process_status(pid)["RssAnon"].split()[0])


def ticks(pid):
    with open("/proc/%d/stat" % pid, encoding="ascii", errors="replace") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


class Lab(unittest.TestCase):
    refusal = None              # a status that is no answer, where the table of clients is written, too
    mode = "reuseport"
    settings = {}

    def setUp(self):
        self.server = Drover({"workers": WORKERS, "accept": self.mode, "survive": True,
                              "timeouts": {"hang_kill": "2s"}, "sites": [{"routes": ROUTES}], **self.settings},
                             own=True, program=drover.AIDED)
        self.addCleanup(self.server.close)

    def turn(self, *queries):
        """One worker begins with this; its pid."""
        with self.server.client() as client:
            for query in queries:
                answer = client.request("/hostile?" + query)
                self.assertEqual(answer.status, 200, query)
            return int(answer.body)

    def sibling(self, hostile):
        return next(pid for pid in self.server.workers().values() if pid != hostile)

    def check_served(self):
        for _ in range(ASKED):
            self.assertEqual(self.server.get("/trouble").status, 200)

    def check_status(self):
        """It is JSON, and its numbers are numbers; a column of a hostile worker's says what that likes."""
        text = self.server.ctl("status", "--json").stdout
        status = json.loads(text)["status"]
        self.assertEqual(status["pid"], self.server.pid)
        self.assertEqual(len(status["slots"]), WORKERS)
        for counter in status["totals"].values():
            self.assertIsInstance(counter, int)
            self.assertGreaterEqual(counter, 0)
        self.assertEqual(self.server.ctl("status").returncode, 0)
        self.check_shown()

    def check_shown(self):
        """What workers show of the board is still JSON, and metrics."""
        for _ in range(WORKERS):
            shown, metrics = self.server.get("/status/json"), self.server.get("/status/metrics")
            if shown.status != self.refusal:
                self.assertIn("counters", json.loads(shown.body))
            if metrics.status != self.refusal:
                openmetrics.read(metrics.body)

    def settled(self):
        """Every slot has its worker, and nobody is left of those before."""
        self.server.wait_status(lambda status: all(slot["pid"] for slot in status["slots"]) and
                                len(status["workers"]) == WORKERS)
        end = drover.deadline()
        while len(self.server.children()) > 2 * WORKERS:        # each has a keeper
            drover.left(end)
            select.select([], [], [], 0.01)

    def reload(self, *args):
        code, text = self.server.reload(*args)
        self.assertEqual(code, 0, text)

    def operate(self, hostile):
        """What may happen meanwhile: deaths, hangs, reloads, a replacement."""
        self.check_status()
        self.check_served()
        victim = self.sibling(hostile)
        os.kill(victim, signal.SIGKILL)
        self.server.log.wait("worker_exited", pid=victim)
        self.server.wait_status(lambda status: all(slot["pid"] for slot in status["slots"]))
        victim = self.sibling(hostile)
        drover.stop(victim)
        self.check_served()
        drover.go_on(victim)
        self.reload("--replace")
        self.check_served()
        self.check_status()


class Memory(Lab):
    def check(self, how):
        with self.subTest(how):
            fds, memory = drover.fds(self.server.pid), memory_kb(self.server.pid)
            self.operate(self.turn("board=" + how, "hot=" + how))
            self.settled()
            self.turn("board=" + how, "hot=" + how)
            upgraded = self.server.ctl("upgrade")
            self.assertEqual(upgraded.returncode, 0, upgraded.stdout + upgraded.stderr)
            self.check_served()
            self.check_status()
            self.settled()
            self.assertLessEqual(drover.fds(self.server.pid), fds + 2)
            self.assertLess(memory_kb(self.server.pid) - memory, MOST_GROWTH_KB)

    def test_zeros(self):
        self.check("zeros")

    def test_ones(self):
        self.check("ones")

    def test_random(self):
        self.check("random")

    def test_aimed(self):
        self.check("aimed")


class Steered(Memory):
    mode = "directed"


class Quota(Lab):
    # no bandwidth: as often as somebody writes that it was used up, an answer waits for a minute
    refusal = 429
    settings = {"clients": {"connections": 100, "requests": 10000, "burst": 10000, "network_connections": 200}}

    def check_served(self):
        """Whom the table calls too many is told so; when nobody writes it any more, it is true again."""
        for _ in range(ASKED):
            self.assertIn(self.server.get("/trouble").status, (200, 429))

    def check_true(self):
        """Counts begin anew when a worker dies, in each worker for itself; times that cannot be are found when they are
        met, and then are not."""
        os.kill(self.sibling(0), signal.SIGKILL)
        self.settled()
        end = drover.deadline()
        served = 0              # in a row
        while served < ASKED:
            served = served + 1 if self.server.get("/trouble").status == 200 else 0
            drover.left(end)

    def test_whatever_is_written(self):
        for how in ("ones", "random", "aimed"):
            with self.subTest(how):
                self.operate(self.turn("quota=" + how))
                self.settled()
                self.check_true()


class Channel(Lab):
    def check(self, how):
        hostile = self.turn("channel=" + how)
        fds, memory = drover.fds(self.server.pid), memory_kb(self.server.pid)
        if how == "broken":
            self.server.log.wait("worker_exited", pid=hostile)
        else:
            self.operate(hostile)
        self.check_served()
        drover.wait_dead(hostile)
        self.settled()
        self.assertLessEqual(drover.fds(self.server.pid), fds + 4)
        self.assertLess(memory_kb(self.server.pid) - memory, MOST_GROWTH_KB)
        self.wait_calm()

    def wait_calm(self):
        """The master does no more than it is asked for. To it, too, the kernel may charge what the machine stood still."""
        end = drover.deadline()
        while True:
            before = ticks(self.server.pid)
            self.check_status()
            if ticks(self.server.pid) - before < IDLE_TICKS:
                return
            drover.left(end)

    def test_any_messages(self):
        self.check("random")

    def test_messages_with_descriptors(self):
        if self.has_no_rights():
            with self.server.client() as client:        # the kernel lets nobody send any
                client.request("/hostile?channel=notes")
            self.operate(self.server.workers()[0])
        else:
            self.check("notes")

    @staticmethod
    def has_no_rights():
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.getsockopt(socket.SOL_SOCKET, 83)         # SO_PASSRIGHTS
            except OSError:
                return False
        return True

    def test_calls_without_end(self):
        self.check("calls")

    def test_no_messages(self):
        self.check("broken")


class Wills(Lab):
    def test_a_will_that_is_none(self):
        for how in ("word", "random", "broken"):
            with self.subTest(how):
                self.settled()
                hostile = self.turn("will=" + how)
                os.kill(hostile, signal.SIGKILL)
                self.server.log.wait("worker_exited", pid=hostile)
                self.operate(hostile)
        self.settled()

    def lingering(self, how):
        """A client that reads nothing, of whose connection the hostile worker makes what nobody wants to close."""
        client = self.server.client(receive_buffer=4096)
        self.addCleanup(client.close)
        client.send(client.head("/hostile?%s=%d" % (how, client.socket.getsockname()[1])))
        return client

    def test_nobody_closes_what_lingers_for_an_hour(self):
        for how in ("linger", "bequeath"):
            with self.subTest(how):
                client = self.lingering(how)
                client.read(1)
                self.operate(0)
                self.check_served()


class Confined(Lab):
    def test_listening_sockets_are_nobodys_to_shut_or_to_filter(self):
        self.server.tries_calls = True
        for how, call in (("close", "shutdown"), ("disconnect", "connect"), ("deafen", "setsockopt")):
            mark = self.server.log.mark()
            with self.subTest(how), self.server.client() as client:
                answer = client.request("/hostile?%s=%d" % (how, self.server.address[1]))
                self.assertEqual(answer.status, 500)
                self.assertEqual(self.server.log.wait("syscall_denied", since=mark).fields["name"], call)
        self.check_served()
        self.assertEqual(self.server.log.find("listener_restored"), [])


class Sockets(Lab):
    settings = {"sandbox": {"seccomp": False}}
    how = "close"

    def check_restored(self):
        """One worker shuts every socket for all; the master has them listen again."""
        sockets = 1 if self.mode == "shared" else WORKERS
        mark = self.server.log.mark()
        hostile = self.turn("%s=%d" % (self.how, self.server.address[1]))
        self.server.log.wait("listener_restored", since=mark, count=sockets)
        self.check_served()
        self.assertEqual(self.server.status()["accept"]["effective"], self.mode)
        self.assertIn(hostile, self.server.workers().values())

    def test_what_was_shut_listens_again(self):
        for _ in range(2):
            self.check_restored()


class DisconnectedSockets(Sockets):
    how = "disconnect"


class SharedSockets(Sockets):
    mode = "shared"


class SteeredSockets(Sockets):
    mode = "directed"
    settings = {**Sockets.settings, "timeouts": {"hang_kill": "10m"}}

    def test_what_was_shut_is_steered_again(self):
        """A worker that stands still gets nothing: by the program, for the hash would give it a third."""
        self.check_restored()
        victim = self.server.workers()[1]
        drover.stop(victim)
        end = drover.deadline()
        while not self.server.status()["slots"][1]["bad"]:      # until somebody comes to it
            drover.left(end)
            self.check_answer_of_others(victim)
        while self.rescued_of(10 * ASKED, victim) > 0:      # another one may have been found bad for a moment, too
            drover.left(end)
        drover.go_on(victim)

    def rescued_of(self, count, victim):
        before = self.server.status()["totals"]["rescued"]
        for _ in range(count):
            self.check_answer_of_others(victim)
        return self.server.status()["totals"]["rescued"] - before

    def check_answer_of_others(self, victim):
        self.assertNotEqual(int(self.server.get("/trouble").body), victim)


if __name__ == "__main__":
    unittest.main()
