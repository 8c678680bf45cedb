#!/usr/bin/env python3
"""What happens at each limit, and that the counters say so by exact numbers: waiting, shedding, refusing, and what
the kernel drops."""

import os
import select
import signal
import socket
import unittest

import drover
from drover import Client, Drover

PAGE = b"<p>hello\n"
ROOM = 5  # limits.connections
REFUSALS = 32  # CONFIG_REFUSALS in daemon/config/config.h
REST = b"st: a\r\nConnection: close\r\n\r\n"


class Overload(unittest.TestCase):
    accept = "reuseport"

    def start(self, settings=None, limits=None, **more):
        settings = {"accept": self.accept, "workers": 1, "limits": {"connections": ROOM, **(limits or {})},
                    **(settings or {})}
        server = Drover(settings, **more)
        self.addCleanup(server.close)
        return server

    def client(self, server, **more):
        client = Client(server.address, **more)
        self.addCleanup(client.close)
        return client

    def begun(self, server, count=ROOM):
        """Connections with a request under way."""
        clients = [self.client(server) for _ in range(count)]
        for client in clients:
            client.send(b"GET / HTTP/1.1\r\nHo")
        server.wait_status(lambda status: status["totals"]["accepted"] >= count)
        return clients

    def finish(self, clients):
        for client in clients:
            client.send(REST)
            self.assertEqual(client.response().body, PAGE)

    def losses(self, server):
        totals = server.status()["totals"]
        return {name: totals[name] for name in ("refused", "shed", "kernel_dropped", "lost_crashed", "drain_cut")
                if totals[name] > 0}


class Refusing(Overload):
    def refusing(self, *, retry_after="7s", **more):
        server = self.start(limits={"when_full": "refuse", "retry_after": retry_after}, **more)
        return server, self.begun(server)

    def refused(self, client, method="GET", retry_after="7"):
        answer = client.response(method)
        self.assertEqual((answer.status, answer.reason, answer.body), (503, "Service Unavailable", b""))
        self.assertEqual(answer.header("Retry-After"), retry_after)
        self.assertEqual(answer.header("Content-Length"), "0")
        self.assertTrue(answer.closes)
        self.assertTrue(client.at_end())

    def test_one_too_many_is_told_to_come_again(self):
        server, busy = self.refusing()
        for number in range(1, 4):
            client = self.client(server)
            client.send(client.head("/"))
            self.refused(client)
            client.close()
            self.assertEqual(self.losses(server), {"refused": number})
        self.assertEqual(server.status()["totals"]["accepted"], ROOM)
        self.assertEqual(server.status()["totals"]["open"], ROOM)
        self.finish(busy)

    def test_an_answer_that_fits_every_method(self):
        server, _ = self.refusing()
        for method in ("HEAD", "POST", "OPTIONS"):
            client = self.client(server)
            client.send(client.head("/", method=method))
            self.refused(client, method)
            client.close()

    def test_a_client_that_goes_on_sending_gets_the_answer(self):
        """Were the socket closed behind the answer, a reset would destroy it."""
        server, _ = self.refusing()
        client = self.client(server)
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\n\r\n")
        select.select([client.socket], [], [], drover.DEADLINE)     # the answer is there, and stays unread
        client.send(b"x" * 4000000)
        self.refused(client)

    def test_clients_of_other_families(self):
        server = self.start(limits={"when_full": "refuse", "retry_after": "7s"})
        addresses = [drover.free_address(socket.AF_INET6), os.path.join(server.dir, "socket")]
        server.configure({"listen": [{"address": drover.address_text(one)} for one in [server.address, *addresses]]})
        self.assertEqual(server.reload()[0], 0)
        busy = self.begun(server)
        for address in addresses:
            client = Client(address)
            self.addCleanup(client.close)
            client.send(client.head("/"))
            self.refused(client)
            client.close()
        self.assertEqual(self.losses(server), {"refused": 2})
        self.finish(busy)

    def test_a_client_that_says_nothing_is_told_too(self):
        server, _ = self.refusing()
        self.refused(self.client(server))

    def test_only_so_many_are_refused_at_a_time(self):
        """They keep their connections open behind the answer; further ones wait until there is a place."""
        server, _ = self.refusing()
        clients = [self.client(server) for _ in range(REFUSALS + 3)]
        for client in clients:
            client.send(client.head("/"))
        status = server.wait_status(lambda status: status["totals"]["accept_paused"] > 0)
        self.assertEqual(status["totals"]["refused"], REFUSALS)
        for client in clients:
            self.refused(client)
            client.close()
        self.assertEqual(self.losses(server), {"refused": REFUSALS + 3})

    def test_an_idle_connection_makes_room_first(self):
        server = self.start(limits={"when_full": "refuse"})
        busy = self.begun(server, ROOM - 1)
        idle = self.client(server)
        self.assertEqual(idle.request("/").status, 200)
        server.wait_status(lambda status: status["totals"]["requests"] == 1)
        end = drover.deadline()
        while True:     # who became idle a moment ago is left alone
            drover.left(end)
            client = self.client(server)
            if client.request("/").status == 200:
                break
            client.close()
        self.assertTrue(idle.at_end())
        self.assertEqual(self.losses(server)["shed"], 1)
        self.finish(busy)

    def test_when_there_is_room_again_nobody_is_refused(self):
        server, busy = self.refusing()
        client = self.client(server)
        client.send(client.head("/"))
        self.refused(client)
        self.finish(busy)
        server.wait_status(lambda status: status["totals"]["open"] == 0)
        self.assertEqual(server.get().body, PAGE)
        self.assertEqual(self.losses(server), {"refused": 1})

    def test_a_reload_that_says_wait(self):
        server, busy = self.refusing()
        server.configure({"accept": self.accept, "workers": 1, "limits": {"connections": ROOM}})
        self.assertEqual(server.reload()[0], 0)
        client = self.client(server)
        client.send(client.head("/", close=True))
        server.wait_status(lambda status: status["totals"]["accept_paused"] > 0)
        self.assertTrue(client.is_quiet())
        self.finish(busy)
        self.assertEqual(client.response().body, PAGE)

    def test_a_stop_waits_for_those_that_were_refused(self):
        server, busy = self.refusing()
        client = self.client(server)
        client.send(client.head("/"))
        server.wait_status(lambda status: status["totals"]["refused"] == 1)
        server.kill(signal.SIGTERM)
        self.finish(busy)
        self.refused(client)
        client.close()
        self.assertEqual(server.wait_exit(), 0)


class SomeAreFull(Overload):
    """Two workers: who comes to a full one is not refused while the other one has room."""

    accept = "directed"

    def test_only_when_all_are_full_somebody_is_refused(self):
        server = self.start({"workers": 2}, limits={"when_full": "refuse"})
        busy = self.begun(server, 2 * ROOM)
        self.assertEqual(self.losses(server), {})
        client = self.client(server)
        client.send(client.head("/"))
        self.assertEqual(client.response().status, 503)
        self.assertEqual(self.losses(server), {"refused": 1})
        self.finish(busy)


class Dropped(Overload):
    def overflow(self, server):
        """More connections than the queue of a stopped worker takes: the numbers of those that wait, and were
        dropped."""
        worker = server.workers()[0]
        drover.stop(worker)
        self.addCleanup(drover.go_on, worker)
        for _ in range(9):
            one = socket.socket()
            self.addCleanup(one.close)
            one.setblocking(False)
            one.connect_ex(server.address)
        # the kernel may have all of them in hand still
        status = server.wait_status(lambda status: status["listeners"][0]["dropped"] >= 6)
        return status["listeners"][0]["waiting"], status["listeners"][0]["dropped"]

    def listening(self, backlog=2):
        server = self.start({"timeouts": {"hang_kill": "0"}})
        server.configure({"accept": self.accept, "workers": 1, "timeouts": {"hang_kill": "0"},
                          "listen": [{"address": drover.address_text(server.address), "backlog": backlog}]})
        self.assertEqual(server.reload()[0], 0)
        return server

    def test_what_the_kernel_drops_is_counted(self):
        server = self.listening()
        waiting, dropped = self.overflow(server)
        self.assertEqual(waiting, 3)    # the kernel's limit is one more than asked for
        self.assertGreaterEqual(server.status()["totals"]["kernel_dropped"], dropped)
        said = server.ctl("status").stdout
        self.assertRegex(said, r"3 connections waiting, \d+ dropped by the kernel")
        self.assertRegex(said, r"\nlost: kernel_dropped \d+\n")

    def test_an_address_that_goes_leaves_its_number(self):
        server = self.listening()
        _, dropped = self.overflow(server)
        os.kill(server.workers()[0], signal.SIGCONT)
        other = drover.free_address()
        server.configure({"accept": self.accept, "workers": 1,
                          "listen": [{"address": drover.address_text(other)}]})
        self.assertEqual(server.reload()[0], 0)
        status = server.wait_status(lambda status: len(status["listeners"]) == 1)
        self.assertEqual(status["listeners"][0]["dropped"], 0)
        self.assertGreaterEqual(status["totals"]["kernel_dropped"], dropped)

    def test_an_upgrade_keeps_the_number(self):
        server = self.listening()
        _, dropped = self.overflow(server)
        os.kill(server.workers()[0], signal.SIGCONT)
        self.assertEqual(server.ctl("upgrade").returncode, 0, server.log.text())
        status = server.status()
        self.assertGreaterEqual(status["listeners"][0]["dropped"], dropped)
        self.assertEqual(status["totals"]["kernel_dropped"], status["listeners"][0]["dropped"])


class Crashed(Overload):
    def test_what_a_dead_worker_had_is_counted(self):
        server = self.start()
        self.begun(server, 3)
        os.kill(server.workers()[0], signal.SIGKILL)
        status = server.wait_status(lambda status: status["totals"]["lost_crashed"] > 0)
        self.assertEqual(status["totals"]["lost_crashed"], 3)

    def test_a_worker_that_leaves_costs_nothing(self):
        server = self.start()
        idle = self.client(server)
        self.assertEqual(idle.request("/").status, 200)
        self.assertEqual(server.reload("--replace")[0], 0)
        server.wait_status(lambda status: len(status["workers"]) == 1)
        self.assertEqual(self.losses(server), {})


for base in (Refusing, SomeAreFull, Dropped, Crashed):
    globals()[base.__name__ + "Shared"] = type(base.__name__ + "Shared", (base,),
                                               {"accept": "shared", "__module__": __name__})
del base

if __name__ == "__main__":
    unittest.main()
