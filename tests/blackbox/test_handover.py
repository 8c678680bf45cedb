"""Workers that leave hand their connections over: by replacement, by resize, when there is no room, when somebody
dies, and what is said of it."""

import contextlib
import json
import os
import re
import signal
import time
import unittest

import drover
from drover import Client, Drover
from supervisor import Supervisor
from test_http import pattern

LARGE = 8 << 20
PAGE = b"<p>hello\n"
KINDS = ("idle", "head", "body", "sending", "pipelined", "leaving")
ROOM = 8  # limits.connections where some are not to fit


class Handover(unittest.TestCase):
    accept = "reuseport"

    def start(self, settings=None, **more):
        server = Drover({"accept": self.accept, **(settings or {})}, **more)
        self.addCleanup(server.close)
        return server

    def client(self, server, address=None, **more):
        client = Client(address or server.address, **more)
        self.addCleanup(client.close)
        return client

    def idle(self, server, count, address=None):
        clients = [self.client(server, address) for _ in range(count)]
        for client in clients:
            self.assertEqual(client.request("/").body, PAGE)
        return clients

    def reload(self, server, *args):
        status, text = server.reload(*args)
        self.assertEqual(status, 0, text + "\n" + server.log.text())
        return text

    def resize(self, server, count):
        server.configure({"workers": count})
        return self.reload(server)

    def still_open(self, clients, body=PAGE):
        for client in clients:
            response = client.request("/")
            self.assertEqual((response.body, response.closes), (body, False))

    def alone(self, server, count):
        """Waits until the old workers are gone."""
        return server.wait_status(lambda status: [worker["state"] for worker in status["workers"]] ==
                                  ["serving"] * count)

    def done(self, server, since=0):
        """What became of the connections, as the log line says it."""
        fields = server.log.wait("handover_done", since).fields
        return {name: int(value) for name, value in fields.items() if value.isdigit()}

    def by_kind(self, done):
        return {kind: done["handed_" + kind] for kind in KINDS if done["handed_" + kind] > 0}

    def generations(self, server):
        answer = server.ctl("--json", "generations")
        self.assertEqual(answer.returncode, 0, answer.stderr)
        return json.loads(answer.stdout)["generations"]


class Moves(Handover):
    def test_a_replacement_keeps_every_idle_connection(self):
        server = self.start()
        clients = self.idle(server, 40)
        since = server.log.mark()
        self.reload(server, "--replace")
        done = self.done(server, since)
        self.assertEqual((self.by_kind(done), done["finished"], done["cut"], done["workers"]), ({"idle": 40}, 0, 0, 2))
        self.still_open(clients)

    def test_each_worker_says_what_became_of_its_connections(self):
        server = self.start()
        before = server.workers()
        self.idle(server, 40)
        self.reload(server, "--replace")
        self.done(server)
        lines = {int(line.fields["pid"]): line.fields for line in server.log.find("worker_drained")}
        self.assertEqual(sorted(lines), sorted(before.values()))
        self.assertEqual(sum(int(fields["handed_idle"]) for fields in lines.values()), 40)

    def test_a_resize_keeps_every_idle_connection(self):
        server = self.start()
        clients = self.idle(server, 40)
        for count in (4, 1, 3):
            with self.subTest(count):
                self.resize(server, count)
                self.alone(server, count)
                self.still_open(clients)

    def test_a_change_that_needs_fresh_workers_keeps_every_idle_connection(self):
        server = self.start()
        clients = self.idle(server, 20)
        server.configure({"limits": {"open_files": 500}})
        self.reload(server)
        self.alone(server, 2)
        self.still_open(clients)

    def test_kinds_are_counted_as_what_they_were(self):
        server = self.start()
        server.write("large", pattern(LARGE))
        idle = self.idle(server, 3)
        heads = [self.client(server) for _ in range(4)]
        for client in heads:
            client.send(b"GET / HTTP/1.1\r\nHo")
        downloads = [self.client(server, receive_buffer=4096) for _ in range(5)]
        for client in downloads:
            client.send(client.head("/large"))
        server.wait_status(lambda _: self.states(server, "sending") == 5 and self.states(server, "head") == 4)
        since = server.log.mark()
        self.reload(server, "--replace")
        self.assertEqual(self.by_kind(self.done(server, since)), {"idle": 3, "head": 4, "sending": 5})
        for client in heads:
            client.send(b"st: x\r\n\r\n")
            self.assertEqual(client.response().body, PAGE)
        for client in downloads:
            self.assertTrue(client.hurry().response().body == pattern(LARGE))
        self.still_open(idle + heads)

    def states(self, server, name):
        return sum(worker["connections"][name] for generation in self.generations(server)
                   for worker in generation["workers"])

    def test_replaced_again_and_again(self):
        server = self.start()
        clients = self.idle(server, 20)
        for _ in range(20):
            self.reload(server, "--replace")
        self.alone(server, 2)
        self.still_open(clients)

    def test_a_unix_socket(self):
        path = os.path.join(drover.temporary_directory(), "web.sock")
        server = self.start()
        server.configure({"listen": [{"address": "unix:" + path, "mode": "0666"}]})
        self.reload(server)
        clients = self.idle(server, 20, path)
        self.reload(server, "--replace")
        self.alone(server, 2)
        self.still_open(clients)
        self.resize(server, 1)
        self.alone(server, 1)
        self.still_open(clients)


class Crowd(Handover):
    """A worker that has room for no more than `limits.connections`; the rest stays where it is."""

    def crowded(self, clients=30, supervisor=None, **settings):
        """All workers but the first retire, and most of their connections find no room there: a server, its clients,
        and how many of these the old workers had."""
        limits, timeouts = settings.pop("limits", {}), settings.pop("timeouts", {})
        if self.accept != "shared":     # each gets its part, also one that has no CPU for a moment
            timeouts = {"stall": "10s", **timeouts}
        server = self.start({"workers": 3, "limits": limits, "timeouts": timeouts, **settings},
                            env=supervisor and supervisor.environment())
        with self.stopped(server.workers()[0]):
            clients = self.idle(server, clients)
        first = self.of_slot(server.status(), 0)
        server.configure({"workers": 1, "limits": {**limits, "connections": ROOM}})
        self.reload(server)
        server.wait_status(lambda status: self.of_slot(status, 0) == max(first, ROOM))
        return server, clients, len(clients) - first

    @contextlib.contextmanager
    def stopped(self, worker):
        """In mode shared one worker might take all connections: it shall not be this one."""
        if self.accept == "shared":
            os.kill(worker, signal.SIGSTOP)
            drover.wait_stopped(worker)
        yield
        os.kill(worker, signal.SIGCONT)

    def of_slot(self, status, slot):
        return sum(worker["counters"]["open"] for worker in status["workers"]
                   if worker["slot"] == slot and worker["state"] == "serving")


class WithoutRoom(Crowd):
    def test_what_does_not_fit_is_served_where_it_is(self):
        _, clients, _ = self.crowded()
        for _ in range(3):
            self.still_open(clients)

    def test_what_does_not_fit_follows_when_there_is_room(self):
        server, clients, _ = self.crowded()
        server.configure({"limits": {"connections": 100}})
        self.reload(server)
        self.alone(server, 1)
        self.still_open(clients)

    def test_what_does_not_fit_is_closed_at_the_deadline_and_counted(self):
        server, clients, old = self.crowded(timeouts={"drain": "3s"})      # in which what fits has gone
        done = self.done(server)
        self.alone(server, 1)
        self.assertEqual((done["handed_idle"] + done["finished"], done["cut"]), (old, 0))
        open_ones = [client for client in clients if client.is_quiet()]
        self.assertEqual(len(clients) - len(open_ones), done["finished"])
        self.still_open(open_ones)

    def test_a_receiver_that_dies_is_followed_by_another(self):
        server, clients, _ = self.crowded(12)
        os.kill(server.workers()[0], signal.SIGKILL)
        server.log.wait("worker_exited", how="KILL")
        server.wait_status(lambda status: self.of_slot(status, 0) > 0)
        held = [client for client in clients if client.is_quiet()]
        self.assertGreater(len(held), 0)
        self.still_open(held)

    def test_who_leaves_too_hands_over_to_the_newest(self):
        server, clients, _ = self.crowded()
        server.configure({"limits": {"connections": 100}})
        self.reload(server, "--replace")
        self.alone(server, 1)
        self.still_open(clients)

    def test_a_stop_finishes_what_stayed(self):
        server, clients, _ = self.crowded(timeouts={"drain": "60s"}, log={"level": "debug"})
        self.assertNotEqual(server.log.find("handover_begun"), [])
        since = server.log.mark()
        self.assertEqual(server.stop(), 0)
        self.assertEqual(server.log.find("handover_begun", since), [])
        for client in clients:
            self.assertTrue(client.at_end())

    def test_the_status_says_how_far_it_is(self):
        server, _, old = self.crowded()
        status = server.status()["handover"]
        self.assertEqual(status["connections"], old)
        self.assertEqual(status["handed"], status["handed_idle"])
        self.assertLess(status["handed"], old)
        self.assertRegex(server.ctl("status").stdout,
                         r"(?m)^handing over: [12] workers?, %d of %d connections$" % (status["handed"], old))

    def test_systemd_is_told_how_far_it_is(self):
        supervisor = Supervisor()
        self.addCleanup(supervisor.close)
        server, clients, old = self.crowded(supervisor=supervisor)
        status = server.status()["handover"]
        supervisor.wait(lambda: re.search(r"; handing over: [12] workers?, %d of %d connections" %
                                          (status["handed"], old), supervisor.values("STATUS")[-1]))
        server.configure({"limits": {"connections": 100}})
        self.reload(server, "--replace")
        self.alone(server, 1)
        supervisor.wait(lambda: "handing over" not in supervisor.values("STATUS")[-1])
        self.still_open(clients)


class TooMany(Crowd):
    def full_slot(self, **settings):
        """Slot 1 has as many draining workers as it may: its newest one has no room for what they have."""
        server, clients, _ = self.crowded(90, limits={"max_draining": 1}, **settings)
        server.configure({"workers": 2})
        self.reload(server)
        server.wait_status(lambda status: self.of_slot(status, 1) == ROOM)
        return server, clients

    def test_a_reload_that_would_make_too_many_is_refused(self):
        server, clients = self.full_slot()
        before = server.workers()
        status, text = server.reload("--replace")
        self.assertEqual(status, 1)
        self.assertRegex(text, r"^failed at drain: slot 1 has 1 draining worker already \(limits\.max_draining\); "
                               r"the oldest, pid \d+, has drained for \d+ s and has \d+ connections left$")
        self.assertEqual(server.workers(), before)
        self.still_open(clients)

    def test_a_check_says_that_it_would_be_refused(self):
        server, _ = self.full_slot()
        server.configure({"reload": "replace"})
        answer = server.ctl("check")
        self.assertEqual(answer.returncode, 1)
        self.assertRegex(answer.stdout + answer.stderr, "would fail at drain: slot 1 has 1 draining worker")

    def test_a_reload_by_which_nobody_leaves_is_not_refused(self):
        server, clients = self.full_slot()
        self.reload(server)
        self.still_open(clients)

    def test_a_crash_is_never_refused(self):
        server, _ = self.full_slot()
        os.kill(server.workers()[1], signal.SIGKILL)
        server.log.wait("worker_exited", how="KILL")
        server.wait_status(lambda status: sorted(server.workers(status)) == [0, 1])


class Generations(Handover):
    def test_the_current_one(self):
        server = self.start()
        clients = self.idle(server, 10)
        (only,) = self.generations(server)
        self.assertEqual((only["generation"], only["current"], only["requests"], only["why"]), (1, True, 0, "current"))
        self.assertLess(only["age_ms"], 60000)
        self.assertEqual({worker["pid"] for worker in only["workers"]}, set(server.workers().values()))
        self.assertEqual(sum(worker["connections"]["idle"] for worker in only["workers"]), len(clients))

    def test_one_whose_workers_could_not_hand_everything_over(self):
        server = self.start()
        self.idle(server, 30)
        server.configure({"workers": 1, "limits": {"connections": ROOM}})
        self.reload(server)
        current, old = self.generations(server)
        (worker,) = old["workers"]
        self.assertEqual((current["generation"], old["generation"], old["why"]), (2, 1, "1 worker of it"))
        self.assertEqual((worker["state"], worker["slot"], worker["answers"]), ("draining", 1, True))
        self.assertGreater(worker["connections"]["idle"], 0)
        self.assertGreater(worker["deadline_ms"], 0)
        self.assertRegex(worker["why"], r"cannot be handed over to pid %d" % server.workers()[0])
        text = server.ctl("generations").stdout
        self.assertRegex(text, r"(?m)^generation 1, .* old: 1 worker of it$")
        self.assertRegex(text, r"(?m)^ +1  draining .* \(ends in \d+ \w+\)$")

    def test_a_worker_that_hangs_is_shown_as_such(self):
        server = self.start()
        hung, other = server.workers()[0], server.workers()[1]
        os.kill(hung, signal.SIGSTOP)
        drover.wait_stopped(hung)
        self.addCleanup(os.kill, hung, signal.SIGCONT)
        expected, found, end = {hung: (False, "does not answer"), other: (True, "")}, None, drover.deadline()
        while found != expected:        # the other one may be late, too, once
            drover.left(end)
            begin = time.monotonic()
            (only,) = self.generations(server)
            self.assertLess(time.monotonic() - begin, 10)
            found = {worker["pid"]: (worker["answers"], worker["why"]) for worker in only["workers"]}
            self.assertEqual(found[hung], expected[hung])
        self.assertRegex(server.ctl("generations").stdout, r"(?m)^ +0  serving +%d( +\?){6}  does not answer$" % hung)

    def test_many_who_ask_while_one_hangs(self):
        server = self.start()
        hung = server.workers()[0]
        os.kill(hung, signal.SIGSTOP)
        drover.wait_stopped(hung)
        for _ in range(3):
            self.generations(server)
        os.kill(hung, signal.SIGCONT)
        server.wait_status(lambda _: all(worker["answers"] for worker in self.generations(server)[0]["workers"]))


for base in (Moves, WithoutRoom):
    for mode in ("shared", "directed"):
        name = base.__name__ + mode.capitalize()
        globals()[name] = type(name, (base,), {"accept": mode})

if __name__ == "__main__":
    unittest.main()
