"""Idle connections of a worker that crashes are served on by another one: each gets its own answers, and nothing is
left of whoever died. A request in hand is closed and never tried again."""

import os
import resource
import signal
import time
import unittest

import drover
from test_aids import OWN_FAULTS
from test_handover import PAGE, Handover

KILLS = 50
MANY = 1000
PATIENT = {"keep_alive": "10m"}         # a crowd may take its time


class Survival(Handover):
    survive = True

    def start(self, settings=None, **more):
        return super().start({"survive": self.survive, "timeouts": PATIENT, **(settings or {})}, **more)

    def crowd(self, server, count):
        """Clients, each of which has had an answer of its own."""
        clients = []
        for number in range(count):     # who says nothing for long is closed
            server.write("page-%d" % number, "page %d\n" % number)
            clients.append(self.client(server))
            self.assertEqual(clients[-1].request("/page-%d" % number).body, b"page %d\n" % number)
        return clients

    def crash(self, server, number=signal.SIGKILL, slot=0):
        """The worker of the slot dies by that signal; its pid, when its successor serves."""
        pid = server.workers()[slot]
        drover.wait_asleep(pid)
        drover.strike(pid, number)
        server.log.wait("worker_exited", pid=str(pid))
        server.wait_status(lambda status: server.workers(status).get(slot, pid) != pid)
        return pid

    def answered(self, clients):
        """Those that get their own page, however it comes."""
        there = []
        for number, client in enumerate(clients):
            try:
                if client.request("/page-%d" % number).body == b"page %d\n" % number:
                    there.append(client)
            except (drover.Closed, OSError):
                pass
        return there

    def counters(self, server):
        return server.status()["totals"]


class Kept(Survival):
    """By the keeper: of all that a worker dies of."""

    signals = (signal.SIGKILL,)

    def test_every_idle_connection_is_served_on(self):
        server = self.start()
        clients = self.crowd(server, MANY)
        for number in self.signals:
            with self.subTest(number):
                workers = server.status()["workers"]
                most = max(workers, key=lambda worker: worker["counters"]["open"])
                pid = self.crash(server, number, most["slot"])
                self.assertEqual(len(self.answered(clients)), MANY)
                said = server.log.wait("connections_survived", from_pid=str(pid)).fields
                self.assertEqual((said["from_slot"], said["closed"]), (str(most["slot"]), "0"))
                self.assertGreater(int(said["survived"]), 0)
        self.assertEqual(self.counters(server)["survived_not"], 0)
        self.assertEqual(self.counters(server)["requests"], MANY * (1 + len(self.signals)))

    def test_requests_on_their_way_are_answered(self):
        server = self.start({"workers": 1})
        clients = self.crowd(server, 20)
        pid = server.workers()[0]
        drover.wait_asleep(pid)
        drover.stop(pid)
        for client in clients:
            client.send(client.head("/"))
        drover.strike(pid, self.signals[0])
        drover.go_on(pid)
        for client in clients:
            self.assertEqual(client.response().body, PAGE)

    def test_new_connections_that_have_said_nothing_survive_too(self):
        server = self.start({"workers": 1})
        clients = [self.client(server) for _ in range(20)]
        server.wait_status(lambda status: status["totals"]["open"] == 20)
        self.crash(server, self.signals[0])
        self.still_open(clients)

    def test_nothing_is_left_of_many_deaths(self):
        server = self.start({"workers": KILLS})
        clients = self.idle(server, 2 * KILLS)
        before, children = drover.fds(server.pid), len(server.children())
        for slot in range(KILLS):
            self.crash(server, self.signals[0], slot)
        self.still_open(clients)
        server.wait_status(lambda _: len(server.children()) == children)
        drover.wait_fds(server.pid, before)

    def test_who_has_no_successor_at_once_has_a_sibling(self):
        server = self.start()
        clients = self.idle(server, 40)
        end = drover.deadline()
        while True:             # until one dies so young that its slot waits before it tries again
            pid = server.workers()[0]
            drover.wait_asleep(pid)
            drover.strike(pid, self.signals[0])
            if server.log.after_exit(pid, 0).name == "respawn_delayed":
                break
            self.still_open(clients)
            server.wait_status(lambda status, pid=pid: server.workers(status).get(0, pid) != pid)
            drover.left(end)
        self.still_open(clients)

    def test_an_upgrade_takes_along_what_nobody_has_inherited_yet(self):
        server = self.start({"workers": 1}, own=True)
        clients = self.idle(server, 20)
        for failures in range(4):       # each time its slot waits for longer
            pid = server.workers()[0]
            drover.wait_asleep(pid)     # else it may have an answer in hand that its client has read
            drover.strike(pid, self.signals[0])
            server.log.wait("worker_exited", pid=str(pid))
            if failures < 3:
                server.wait_status(lambda status: server.workers(status).get(0, pid) != pid)
                self.still_open(clients)
        self.assertEqual(server.ctl("upgrade").returncode, 0)
        self.still_open(clients)
        server.wait_status(lambda _: len(server.children()) == 1 + self.survive)

    def test_a_replacement_and_a_stop_leave_no_keeper(self):
        server = self.start()
        clients = self.idle(server, 20)
        children = len(server.children())
        self.reload(server, "--replace")
        self.still_open(clients)
        server.wait_status(lambda _: len(server.children()) == children)
        kept = server.children()
        for client in clients:
            client.close()
        self.assertEqual(server.stop(), 0)
        for pid in kept:
            drover.wait_dead(pid, 0)

    def test_after_an_upgrade_they_survive_all_the_same(self):
        server = self.start({"workers": 1}, own=True)
        clients = self.idle(server, 20)
        self.assertEqual(server.ctl("upgrade").returncode, 0)
        self.alone(server, 1)
        self.crash(server, self.signals[0])
        self.still_open(clients)
        server.wait_status(lambda _: len(server.children()) == 1 + self.survive)


class KeptShared(Kept):
    accept = "shared"


class Willed(Kept):
    """By the handler of whoever crashes, without a keeper."""

    survive = False
    signals = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL)


class WilledShared(Willed):
    accept = "shared"
    signals = (signal.SIGSEGV, signal.SIGABRT)


class InHand(Survival):
    """What a worker has in hand when it crashes is closed, and nobody tries it again."""

    survive = False

    def start(self, settings=None, **more):
        routes = [{"match": "/trouble", "trouble": {}}, {"match": "/", "respond": {"body": PAGE.decode()}}]
        return super().start({"sites": [{"routes": routes}], **(settings or {})}, program=drover.AIDED, env=OWN_FAULTS)

    def test_a_request_that_crashes_is_not_tried_again(self):
        for survive, how in ((False, "segv"), (False, "abort"), (False, "stack"), (True, "segv"), (True, "kill")):
            with self.subTest(how=how, survive=survive):
                server = self.start({"survive": survive})
                clients = self.idle(server, 20)
                bad = clients.pop()
                bad.send(bad.head("/trouble?crash=" + how) + bad.head("/"))
                self.assertTrue(self.is_closed(bad))
                server.log.wait("worker_exited")
                self.still_open(clients)
                self.assertEqual(len(server.log.find("worker_exited")), 1)

    def is_closed(self, client):
        try:
            return client.at_end()
        except ConnectionResetError:    # there was more than it had read
            return True

    def test_one_that_crashes_each_worker_it_meets_ends_with_the_first(self):
        server = self.start({"workers": 1})
        clients = self.idle(server, 20)
        pid = server.workers()[0]
        drover.stop(pid)
        bad = clients.pop()
        bad.send(bad.head("/trouble?crash=segv"))       # nobody has read it when the first worker dies
        drover.strike(pid, signal.SIGSEGV)
        os.kill(pid, signal.SIGCONT)
        self.assertTrue(self.is_closed(bad))
        server.log.wait("worker_exited", count=2)
        self.still_open(clients)
        self.assertEqual(len(server.log.find("worker_exited")), 2)


class Keeper(Survival):
    def test_it_follows_in_the_same_slot(self):
        server = self.start({"workers": 3})
        self.crowd(server, 30)
        served = time.monotonic() + 0.3         # else it has to wait for its successor, and another one has them
        server.wait_status(lambda _: time.monotonic() > served)
        self.crash(server)
        self.assertEqual(server.log.wait("connections_survived").role, "worker-0")

    def test_no_keeper_no_survivor(self):
        server = self.start({"survive": False, "workers": 1})
        clients = self.idle(server, 20)
        self.assertEqual(len(server.children()), 1)
        self.crash(server)
        for client in clients:
            self.assertTrue(client.at_end())

    def test_it_takes_no_signal_that_is_meant_for_others(self):
        server = self.start({"workers": 1})
        clients = self.idle(server, 20)
        (worker,) = server.workers().values()
        (keeper,) = set(server.children()) - {worker}
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGABRT, signal.SIGALRM):
            os.kill(keeper, number)
        self.crash(server)
        self.still_open(clients)

    def test_one_that_is_killed_is_missed_and_reaped(self):
        server = self.start({"workers": 1})
        clients = self.idle(server, 20)
        (worker,) = server.workers().values()
        (keeper,) = set(server.children()) - {worker}
        os.kill(keeper, signal.SIGKILL)
        server.log.wait("keeper_gone", slot="0", pid=str(worker))
        self.assertEqual(server.children(), [worker])
        self.still_open(clients)

    @unittest.skipIf(os.geteuid() != 0, "nobody's limit is not root's")
    def test_where_none_can_be_made_the_worker_serves_without(self):
        server = self.start({"workers": 1}, preexec=lambda: resource.setrlimit(resource.RLIMIT_NPROC, (0, 0)))
        self.assertEqual(len(server.log.find("keeper_impossible")), 1)
        clients = self.idle(server, 5)
        self.crash(server, signal.SIGSEGV)
        self.still_open(clients)

    def test_it_is_a_setting_for_fresh_workers(self):
        server = self.start({"survive": False, "workers": 1})
        clients = self.idle(server, 20)
        server.configure({"survive": True})
        self.assertIn("replace", self.reload(server))
        self.alone(server, 1)
        self.crash(server)
        self.still_open(clients)

    def test_what_the_receiver_has_no_room_for_is_closed_and_counted(self):
        server = self.start({"workers": 1, "limits": {"connections": 20}})
        clients = self.crowd(server, 20)
        server.configure({"limits": {"connections": 5}})
        self.reload(server)
        self.crash(server)
        said = server.log.wait("connections_survived").fields
        self.assertEqual((said["survived"], said["closed"]), ("5", "15"))
        self.assertEqual(len(self.answered(clients)), 5)

    def test_a_connection_of_a_proxy_is_not_taken_for_another_client(self):
        server = self.start({"workers": 1})
        server.configure({"listen": [{"address": drover.address_text(server.address), "proxy_protocol": True,
                                      "proxy_from": ["127.0.0.0/8"]}]})
        self.reload(server)
        client = self.client(server)
        client.send(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n")
        self.assertEqual(client.request("/").body, PAGE)
        self.crash(server)
        self.assertTrue(client.at_end())


if __name__ == "__main__":
    unittest.main()
