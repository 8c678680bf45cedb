"""droverctl drain and resume: a slot leaves and nobody notices, and it stays away; the whole service fails its health
checks and serves as before."""

import json
import os
import signal
import unittest

import drover
from drover import Client, Drover

PAGE = b"<p>hello\n"
LARGE = 8 << 20


def with_health(server):
    return [{"routes": [{"match": "/", "files": {"root": server.site}}, {"match": "/health", "health": {}}]}]


class Drains(unittest.TestCase):
    accept = "reuseport"

    def start(self, settings=None, **more):
        server = Drover({"accept": self.accept, "workers": 3, **(settings or {})}, **more)
        self.addCleanup(server.close)
        return server

    def idle(self, server, count):
        clients = []
        for _ in range(count):
            client = Client(server.address)
            self.addCleanup(client.close)
            self.assertEqual(client.request("/").body, PAGE)
            clients.append(client)
        return clients

    def still_open(self, clients):
        for client in clients:
            response = client.request("/")
            self.assertEqual((response.body, response.closes), (PAGE, False))

    def run_ctl(self, server, *args, status=0):
        result = server.ctl(*args)
        self.assertEqual(result.returncode, status, result.stdout + result.stderr + server.log.text())
        return (result.stdout + result.stderr).strip()

    def drain(self, server, slot, **more):
        return self.run_ctl(server, "drain", str(slot), **more)

    def resume(self, server, slot, **more):
        return self.run_ctl(server, "resume", str(slot), **more)

    def drained(self, status):
        return [slot["slot"] for slot in status["slots"] if slot["drained"]]

    def only(self, server, *slots):
        """Waits until these slots serve and no other one has a worker."""
        return server.wait_status(lambda status: sorted(server.workers(status)) == sorted(slots) and
                                  all(worker["state"] == "serving" for worker in status["workers"]) and
                                  len(status["workers"]) == len(slots))


class Slots(Drains):
    def test_its_connections_are_served_on(self):
        server = self.start()
        clients = self.idle(server, 60)
        answer = json.loads(self.run_ctl(server, "drain", "1", "--json"))
        self.assertEqual((answer["ok"], answer["handed"], answer["finished"], answer["cut"]),
                         (True, answer["connections"], 0, 0))
        self.still_open(clients)
        self.assertEqual(self.drained(self.only(server, 0, 2)), [1])

    def test_new_connections_go_to_the_others(self):
        server = self.start()
        self.drain(server, 1)
        self.idle(server, 60)
        status = self.only(server, 0, 2)
        if self.accept == "reuseport":      # a third of them came to its sockets
            self.assertGreater(status["totals"]["rescued"], 0, status)

    def test_it_is_told_how_many_there_were(self):
        server = self.start({"workers": 2})
        self.idle(server, 30)
        self.assertRegex(self.drain(server, 0), r"^slot 0 is out of service; of \d+ connections? of its worker "
                                                r"\d+ (was|were) handed over, 0 finished, 0 were cut$")

    def test_what_cannot_be_moved_is_finished(self):
        server = self.start({"workers": 2})
        server.write("large", b"x" * LARGE)
        downloads = [Client(server.address, receive_buffer=4096) for _ in range(8)]
        for client in downloads:
            self.addCleanup(client.close)
            client.send(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        self.run_ctl(server, "drain", "0", "--no-wait")
        for client in downloads:
            self.assertEqual(len(client.response().body), LARGE)
        self.only(server, 1)

    def test_a_worker_follows_when_it_is_resumed(self):
        server = self.start()
        before = server.workers()
        clients = self.idle(server, 20)
        self.drain(server, 2)
        self.assertRegex(self.resume(server, 2), r"^slot 2 serves: pid \d+$")
        after = server.workers(self.only(server, 0, 1, 2))
        self.assertEqual((after[0], after[1]), (before[0], before[1]))
        self.assertNotEqual(after[2], before[2])
        self.still_open(clients)

    def test_to_ask_twice_is_no_error(self):
        server = self.start()
        self.drain(server, 1)
        self.assertEqual(self.drain(server, 1), "slot 1 is out of service")
        self.resume(server, 1)
        self.assertEqual(self.resume(server, 1), "slot 1 is in service")

    def test_the_last_one_stays(self):
        server = self.start({"workers": 2})
        self.drain(server, 0)
        text = self.drain(server, 1, status=1)
        self.assertIn("slot 1 stays in service", text)
        self.assertEqual(server.get("/").body, PAGE)
        self.resume(server, 0)
        self.drain(server, 1)

    def test_a_slot_that_is_not_there_is_refused(self):
        server = self.start()
        self.assertEqual(self.drain(server, 3, status=1), "there is no slot 3: they are 0 to 2")
        self.assertEqual(self.resume(server, 7, status=1), "there is no slot 7: they are 0 to 2")

    def test_it_stays_empty_over_reloads(self):
        server = self.start()
        self.drain(server, 1)
        for args in ((), ("--replace",)):
            status, text = server.reload(*args)
            self.assertEqual(status, 0, text)
            self.only(server, 0, 2)
        server.configure({"workers": 4})
        self.assertEqual(server.reload()[0], 0)
        self.only(server, 0, 2, 3)
        self.assertEqual(server.get("/").body, PAGE)

    def test_and_over_crashes_of_the_others(self):
        server = self.start()
        self.drain(server, 1)
        for slot in (0, 2):
            pid = server.workers()[slot]
            os.kill(pid, signal.SIGKILL)
            server.wait_status(lambda status, gone=pid: gone not in server.workers(status).values())
        self.only(server, 0, 2)
        self.idle(server, 10)

    def test_and_over_an_upgrade(self):
        server = self.start(own=True)
        clients = self.idle(server, 30)
        self.drain(server, 1)
        self.run_ctl(server, "upgrade")
        self.only(server, 0, 2)
        self.still_open(clients)
        self.resume(server, 1)
        self.only(server, 0, 1, 2)

    def test_a_reload_that_would_leave_nobody_is_refused(self):
        server = self.start()
        self.drain(server, 0)
        server.configure({"workers": 1})
        status, text = server.reload()
        self.assertEqual(status, 1)
        self.assertIn("the 1 slot that it would leave is out of service", text)
        self.only(server, 1, 2)
        self.resume(server, 0)
        self.assertEqual(server.reload()[0], 0)
        self.only(server, 0)

    def test_a_slot_that_a_reload_takes_away_comes_back_in_service(self):
        server = self.start()
        self.drain(server, 2)
        for count in (2, 3):
            server.configure({"workers": count})
            self.assertEqual(server.reload()[0], 0)
        self.only(server, 0, 1, 2)

    def test_status_says_it(self):
        server = self.start()
        self.drain(server, 1)
        self.assertRegex(self.run_ctl(server, "status"), r"(?m)^ +1  drained *$")

    def test_the_log_says_it(self):
        server = self.start()
        pid = server.workers()[1]
        self.drain(server, 1)
        server.log.wait("slot_held", slot=1, pid=pid)
        server.log.wait("worker_drained", slot=1, pid=pid)
        self.resume(server, 1)
        server.log.wait("slot_resumed", slot=1)

    def test_all_but_one_at_once(self):
        server = self.start({"workers": 4})
        clients = self.idle(server, 80)
        for slot in (0, 1, 2):
            self.drain(server, slot)
        self.still_open(clients)
        for slot in (0, 1, 2):
            self.resume(server, slot)
        self.only(server, 0, 1, 2, 3)
        self.still_open(clients)


class SlotsDirected(Slots):
    accept = "directed"


class SlotsCpu(Slots):
    accept = "cpu"


class SlotsShared(Slots):
    accept = "shared"


class All(Drains):
    def start(self, settings=None, **more):
        server = super().start(settings, **more)
        server.configure({"sites": with_health(server), **(settings or {})})
        self.assertEqual(server.reload()[0], 0)
        return server

    def health(self, server):
        """What workers say, on so many connections that each is asked."""
        return {server.get("/health").status for _ in range(20)}

    def wait_health(self, server, status):
        end = drover.deadline()
        while self.health(server) != {status}:
            drover.left(end)

    def test_health_checks_fail_and_all_else_is_served(self):
        server = self.start()
        clients = self.idle(server, 10)
        self.assertEqual(self.health(server), {200})
        self.drain(server, "all")
        self.wait_health(server, 503)
        self.still_open(clients)
        self.idle(server, 10)
        self.assertTrue(server.status()["drained"])
        self.assertRegex(self.run_ctl(server, "status"), "out of service for .*: health routes answer 503")
        self.resume(server, "all")
        self.wait_health(server, 200)
        self.assertFalse(server.status()["drained"])
        server.log.wait("service_held")
        server.log.wait("service_resumed")

    def test_whoever_comes_later_is_told(self):
        server = self.start(own=True)
        self.drain(server, "all")
        self.wait_health(server, 503)
        self.assertEqual(server.reload()[0], 0)
        self.assertEqual(server.reload("--replace")[0], 0)
        self.assertEqual(self.health(server), {503})
        pid = server.workers()[0]
        os.kill(pid, signal.SIGKILL)
        server.wait_status(lambda status: server.workers(status).get(0, pid) != pid)
        self.assertEqual(self.health(server), {503})
        self.run_ctl(server, "upgrade")
        self.assertEqual(self.health(server), {503})
        self.resume(server, "all")
        self.wait_health(server, 200)

    def test_waiting_ends_when_only_health_checks_come(self):
        server = self.start()
        self.idle(server, 3)
        answer = json.loads(self.run_ctl(server, "drain", "all", "--wait", "30s", "--json"))
        self.assertEqual((answer["ok"], answer["idle"], answer["busy"]), (True, 3, 0))

    def test_waiting_ends_when_the_time_is_over(self):
        server = self.start()
        with Client(server.address) as client:
            client.send(b"GET / HTTP/1.1\r\nHo")
            server.wait_status(lambda status: status["totals"]["open"] == 1)
            text = self.run_ctl(server, "drain", "all", "--wait", "300ms", status=1)
        self.assertIn("requests still come", text)

    def test_a_stop_delays_no_more_when_that_time_has_passed(self):
        server = self.start({"timeouts": {"drain_delay": "10m"}})
        self.drain(server, "all")
        server.kill(signal.SIGTERM)
        server.log.wait("stopping")
        self.assertEqual(self.health(server), {503})    # the delay is not over: it serves
        server.kill(signal.SIGTERM)
        server.wait_exit()

    def test_a_stop_begins_at_once_behind_a_long_drain(self):
        server = self.start({"timeouts": {"drain_delay": "100ms"}})
        self.drain(server, "all")
        server.wait_status(lambda status: status["drained_ms"] > 100)
        self.assertEqual(server.stop(), 0)

    def test_wrong_words_are_said(self):
        server = self.start()
        for args in (("drain",), ("drain", "two"), ("drain", "-1"), ("drain", "all", "--wait", "soon"),
                     ("drain", "1", "--wait", "3s"), ("resume", "all", "--wait", "3s"), ("drain", "1", "2")):
            with self.subTest(args):
                self.run_ctl(server, *args, status=2)
        self.assertEqual(self.drained(server.status()), [])


if __name__ == "__main__":
    unittest.main()
