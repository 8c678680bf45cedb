"""Workers that crash or are killed: what the log says of them, and that nobody else notices."""

import json
import os
import re
import select
import signal
import time
import unittest

import drover
from drover import AIDED, Client, Closed, Drover

LARGE = 20 << 20
HANDLED = (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT)
# a sanitizer would take the faults for itself
OWN_FAULTS = {**os.environ, "ASAN_OPTIONS": "handle_segv=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0:handle_abort=0"}
ROUTES = [{"match": "/trouble", "trouble": {}}]
FRAME = r"[\w.+-]+\+0x[0-9a-f]+"


def name_of(number):
    return signal.Signals(number).name[3:]


class Crash(unittest.TestCase):
    def start(self, settings=None, **more):
        server = Drover(settings or {}, env=OWN_FAULTS, **more)
        self.addCleanup(server.close)
        with open(os.path.join(server.site, "large"), "wb") as file:
            file.truncate(LARGE)
        os.chmod(os.path.join(server.site, "large"), 0o644)
        return server

    def client(self, server, **more):
        client = Client(server.address, **more)
        self.addCleanup(client.close)
        return client

    def name(self, client):
        return "%s:%d" % client.socket.getsockname()[:2]

    def waits(self, pid):
        """There is only one thing that a worker sleeps for."""
        end = drover.deadline()
        while drover.process_state(pid) != "S":
            drover.left(end)
            select.select([], [], [], 0.005)

    def slow(self, server, target="/large?x=1"):
        """A download that is under way and goes no further."""
        client = self.client(server, receive_buffer=4096)
        client.send(client.head(target))
        client.line()
        return client

    def killed(self, server, pid, number):
        """What is said of it."""
        mark = server.log.mark()
        drover.strike(pid, number)
        event = server.log.wait("worker_exited", since=mark, pid=pid)
        self.assertEqual(event.fields["how"], name_of(number))
        self.assertEqual(event.level, "error", server.log.text())
        return event.fields

    def serves_again(self, server, *gone):
        server.wait_status(lambda status: len(server.workers(status)) == len(status["slots"]) and
                           not set(gone) & set(server.workers(status).values()))
        self.assertEqual(server.get().status, 200)


class Epitaph(Crash):
    def test_a_signal_says_who_was_served_what_and_where_it_was(self):
        server = self.start({"workers": 1})
        for number in HANDLED:
            with self.subTest(name_of(number)):
                client, (pid,) = self.slow(server), server.workers().values()
                self.waits(pid)
                fields = self.killed(server, pid, number)
                self.assertEqual(fields["phase"], "waiting")
                self.assertEqual(fields["client"], self.name(client))
                self.assertEqual(fields["request"], "GET /large?x=1 HTTP/1.1")
                self.assertEqual(fields["lost"], "1")
                self.assertEqual(fields["sent_by"], str(os.getpid()))
                self.assertGreater(int(fields["lived_ms"]), 0)
                self.assertNotIn("address", fields)
                self.assertRegex(fields["stack"], r"^%s( %s){3,}$" % (FRAME, FRAME))
                self.assertIn("drover+0x", fields["stack"])
                self.serves_again(server, pid)

    def test_so_does_the_kernels_own_kill_but_for_the_stack(self):
        server = self.start({"workers": 1})
        client, (pid,) = self.slow(server), server.workers().values()
        self.waits(pid)
        fields = self.killed(server, pid, signal.SIGKILL)
        self.assertEqual((fields["phase"], fields["client"], fields["request"]),
                         ("waiting", self.name(client), "GET /large?x=1 HTTP/1.1"))
        self.assertNotIn("stack", fields)
        self.serves_again(server, pid)

    def test_secrets_of_a_request_are_not_in_it(self):
        server = self.start({"workers": 1, "log": {"query": False}})
        for head, said in (("GET /part?geheim=1", "GET /part?-"), ("GET http://u:geheim", "GET http://-"),
                           ("GET http://h/?geheim HTTP/1.1\r\nAuthorization: geheim", "GET http://h/?- HTTP/1.1"),
                           ("GET / HTTP/1.1\r\nAuthorization: Basic geheim\r\n", "GET / HTTP/1.1")):
            with self.subTest(head):
                client, (pid,) = self.client(server), server.workers().values()
                client.send(head)
                server.wait_status(lambda status: status["workers"][0]["counters"]["open"] == 1)
                self.waits(pid)
                fields = self.killed(server, pid, signal.SIGKILL)
                self.assertEqual(fields["request"], said)
                self.assertNotIn("geheim", server.ctl("status", "--json").stdout + server.log.text())
                self.serves_again(server, pid)

    def test_part_of_a_head_is_said_too(self):
        server = self.start({"workers": 1})
        client, (pid,) = self.client(server), server.workers().values()
        client.send("GET /part")
        server.wait_status(lambda status: status["workers"][0]["counters"]["open"] == 1)
        self.waits(pid)
        fields = self.killed(server, pid, signal.SIGKILL)
        self.assertEqual((fields["client"], fields["request"]), (self.name(client), "GET /part"))

    def test_an_idle_worker_was_serving_nobody(self):
        server = self.start({"workers": 1})
        client, (pid,) = self.client(server), server.workers().values()
        self.assertEqual(client.request("/").status, 200)
        self.waits(pid)
        fields = self.killed(server, pid, signal.SIGABRT)
        self.assertEqual(fields["phase"], "waiting")
        self.assertNotIn("client", fields)
        self.assertNotIn("request", fields)
        self.assertEqual(fields["lost"], "1")

    def test_a_client_that_is_gone_is_not_said(self):
        server = self.start({"workers": 1})
        (pid,) = server.workers().values()
        self.slow(server).close()
        server.wait_status(lambda status: status["workers"][0]["counters"]["open"] == 0)
        self.waits(pid)
        self.assertNotIn("client", self.killed(server, pid, signal.SIGKILL))

    def test_no_request_forges_a_line(self):
        server = self.start({"workers": 1})
        client, (pid,) = self.client(server), server.workers().values()
        client.send(b'GET /"x\\" stack=forged')        # a quote is no part of a target, but it is not refused before
        server.wait_status(lambda status: status["workers"][0]["counters"]["open"] == 1)
        self.waits(pid)
        fields = self.killed(server, pid, signal.SIGKILL)
        self.assertNotIn("stack", fields)
        self.assertIn('GET /"x', fields["request"])

    def test_a_crash_in_a_request_says_which_and_where(self):
        server = self.start({"workers": 1, "sites": [{"routes": ROUTES}]}, program=AIDED)
        for how, number in (("segv", signal.SIGSEGV), ("stack", signal.SIGSEGV), ("abort", signal.SIGABRT),
                            ("kill", signal.SIGKILL)):
            with self.subTest(how):
                (pid,) = server.workers().values()
                client = self.client(server)
                mark = server.log.mark()
                client.send(client.head("/trouble?crash=" + how))
                fields = server.log.wait("worker_exited", since=mark, pid=pid).fields
                self.assertEqual(fields["how"], name_of(number))
                self.assertEqual((fields["phase"], fields["client"], fields["request"]),
                                 ("service", self.name(client), "GET /trouble?crash=%s HTTP/1.1" % how))
                self.assertEqual("stack" in fields, how != "kill")
                self.assertEqual("address" in fields, how in ("segv", "stack"))
                with self.assertRaises((Closed, ConnectionResetError)):
                    client.response()
                server.wait_status(lambda status, pid=pid: server.workers(status).get(0, pid) != pid)

    def test_the_last_death_of_a_slot_is_in_the_status(self):
        server = self.start({"workers": 2})
        client = self.slow(server)
        status = server.wait_status(lambda status: any(worker["counters"]["open"] for worker in status["workers"]))
        (pid,) = [worker["pid"] for worker in status["workers"] if worker["counters"]["open"]]
        (slot,) = [number for number, worker in server.workers(status).items() if worker == pid]
        self.assertNotIn("last_death", status["slots"][slot])
        self.waits(pid)
        began = int(time.time())
        self.killed(server, pid, signal.SIGSEGV)
        slots = server.status()["slots"]
        death = slots[slot]["last_death"]
        self.assertNotIn("last_death", slots[1 - slot])
        self.assertGreaterEqual(death.pop("at"), began)
        self.assertGreater(death.pop("lived_ms"), 0)
        self.assertEqual(death, {"signal": "SEGV", "lost": 1, "phase": "waiting", "client": self.name(client),
                                 "request": "GET /large?x=1 HTTP/1.1"})
        self.assertRegex(server.ctl("status").stdout,
                         r"(?m)^slot %d: a worker ended at \S+ by SEGV after \d+ ms, waiting, client %s, "
                         r"GET /large\?x=1 HTTP/1.1$" % (slot, re.escape(self.name(client))))

    def test_json_says_the_same(self):
        server = self.start({"workers": 1, "log": {"format": "json"}}, wait=False)
        end = drover.deadline()
        while '"event":"serving"' not in server.log.text():
            drover.left(end)
            select.select([server.pidfd], [], [], 0.01)
        client, (pid,) = self.slow(server), server.workers().values()
        self.waits(pid)
        os.kill(pid, signal.SIGSEGV)
        server.wait_status(lambda status: "last_death" in status["slots"][0])
        while '"event":"worker_exited"' not in server.log.text():       # a helper writes it
            drover.left(end)
            select.select([server.pidfd], [], [], 0.01)
        lines = [json.loads(line) for line in server.log.text().splitlines() if line.startswith("{")]
        (line,) = [line for line in lines if line["event"] == "worker_exited"]
        self.assertEqual((line["client"], line["request"], line["phase"], line["lost"]),
                         (self.name(client), "GET /large?x=1 HTTP/1.1", "waiting", 1))
        self.assertRegex(line["stack"], r"drover\+0x[0-9a-f]+")


class Respawn(Crash):
    def test_a_worker_killed_again_and_again(self):
        server = self.start()
        for turn in range(12):
            slot = turn % 2
            pid = server.workers()[slot]
            self.killed(server, pid, signal.SIGKILL if turn % 3 else signal.SIGSEGV)
            for _ in range(10):
                self.assertEqual(server.get().status, 200)
            self.serves_again(server, pid)

    def test_all_at_once(self):
        server = self.start({"workers": 4})
        for number in (signal.SIGKILL, signal.SIGSEGV):
            pids = list(server.workers().values())
            for pid in pids:
                os.kill(pid, number)
            for _ in range(20):
                self.assertEqual(server.get().status, 200)
            self.serves_again(server, *pids)

    def test_poison_sent_again_and_again(self):
        """Whoever sends it loses his connection, each time one worker dies of it, and all others are served."""
        server = self.start({"workers": 2, "sites": [{"routes": ROUTES}]}, program=AIDED)
        crashes = 8
        for _ in range(crashes):
            with self.client(server) as client:
                client.send(client.head("/trouble?crash=segv"))
                with self.assertRaises((Closed, ConnectionResetError)):
                    client.response()
            for _ in range(5):
                self.assertEqual(server.get("/trouble").status, 200)
        server.log.wait("worker_exited", count=crashes)
        deaths = [event for event in server.log.events if event.name == "worker_exited"]
        self.assertEqual(len(deaths), crashes)          # nobody tried it a second time
        self.assertEqual({event.fields["request"] for event in deaths}, {"GET /trouble?crash=segv HTTP/1.1"})


if __name__ == "__main__":
    unittest.main()
