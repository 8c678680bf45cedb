"""A worker that hangs: nobody waits for it, the log has one line of it, and it is ended if it does not go on."""

import os
import select
import signal
import socket
import threading
import unittest

import drover
from drover import Client, Drover

WORKERS = 4
CONNECTIONS = 200
ROUTES = [{"match": "/", "trouble": {}}]
SHORT = {"timeouts": {"hang_kill": "300ms"}}
STALL_MS = 6000         # all that is to be seen meanwhile is, also where the machine stands still for a moment
STALLED = ("do_sys_poll", "poll_schedule_timeout")      # of poll(2), not of epoll_wait(2)


def waits_in(pid):
    """The function of the kernel that it sleeps in."""
    with open("/proc/%d/wchan" % pid, encoding="ascii") as file:
        return file.read().partition(".")[0]


class Rescue(unittest.TestCase):
    accept = "reuseport"

    def start(self, settings=None):
        server = Drover({"workers": WORKERS, "accept": self.accept, "sites": [{"routes": ROUTES}], **(settings or {})},
                        program=drover.AIDED)
        self.addCleanup(server.close)
        return server

    def stop(self, server, *slots):
        """The workers' pids."""
        pids = [server.workers()[slot] for slot in slots]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
            self.addCleanup(drover.go_on, pid)
        for pid in pids:
            drover.wait_stopped(pid)
        return pids

    def slot(self, server, index=1, status=None):
        return (status or server.status())["slots"][index]

    def wait_bad(self, server, *slots, bad=True):
        return server.wait_status(lambda status: all(status["slots"][slot]["bad"] is bad for slot in slots))

    def stall(self, server, ms):
        """A client whose request has its worker stall, and that worker's pid."""
        client = Client(server.address)
        self.addCleanup(client.close)
        worker = int(client.request("/").body)
        client.send(client.head("/?stall=%d" % ms))
        end = drover.deadline()
        while waits_in(worker) not in STALLED:
            self.assertGreater(drover.left(end), 0)
        return client, worker

    def come_until_bad(self, server, worker):
        """Connections come and are answered until the worker is known not to take any; its slot."""
        return self.come_until(server, worker, lambda: [slot["slot"] for slot in server.status()["slots"]
                                                        if slot["pid"] == worker and slot["bad"]])[0]

    def come_until(self, server, worker, condition):
        """Connections come and are answered by others until it holds; what it said."""
        end = drover.deadline()
        while True:
            self.answered(self.begin(server, 50), but=[worker])
            if found := condition():
                return found
            drover.left(end)

    def begin(self, server, count=CONNECTIONS):
        """So many connections at once, each with a request."""
        clients = [Client(server.address) for _ in range(count)]
        for client in clients:
            self.addCleanup(client.close)
            client.send(client.head("/", close=True))
        return clients

    def answered(self, clients, but=()):
        for client in clients:
            response = client.response()
            self.assertEqual(response.status, 200)
            self.assertNotIn(int(response.body), but)


class Reuseport(Rescue):
    OWN_SOCKETS = True          # each slot has its own

    def rescued(self, server):
        """Connections were accepted from the sockets of others."""
        count = server.status()["totals"]["rescued"]
        if self.OWN_SOCKETS:
            self.assertGreater(count, 0)
        else:
            self.assertEqual(count, 0)

    def test_nobody_waits_for_a_stopped_worker(self):
        server = self.start()
        worker, = self.stop(server, 1)
        self.answered(self.begin(server), but=[worker])
        self.wait_bad(server, 1)
        self.answered(self.begin(server), but=[worker])
        self.rescued(server)
        self.assertEqual(server.log.find("hang_over", pid=worker), [])
        drover.go_on(worker)
        self.wait_bad(server, 1, bad=False)
        self.assertEqual(server.workers()[1], worker)

    def test_nobody_waits_for_one_that_is_busy(self):
        server = self.start()
        stalls, worker = self.stall(server, STALL_MS)
        slot = self.come_until_bad(server, worker)
        self.answered(self.begin(server), but=[worker])
        self.assertRegex(server.ctl("status").stdout, "slot %d: .* not got on for [0-9]+ ms" % slot)
        self.rescued(server)
        self.assertEqual(int(stalls.response().body), worker)
        event = server.log.wait("hang_over", pid=worker)
        self.assertEqual(event.fields["slot"], str(slot))
        self.assertEqual(event.fields["how"], "it moves again")
        self.assertEqual((event.fields["phase"], event.fields["request"]), ("service", "GET /?stall=%d HTTP/1.1" % STALL_MS))
        self.assertGreaterEqual(int(event.fields["for_ms"]), STALL_MS)
        self.assertEqual(int(event.fields["rescued"]), server.status()["totals"]["rescued"])
        self.wait_bad(server, slot, bad=False)
        self.assertNotRegex(server.ctl("status").stdout, "slot %d: .* not got on" % slot)
        self.assertEqual(len(server.log.find("hang_over", pid=worker)), 1)

    def test_nobody_waits_for_two(self):
        server = self.start()
        workers = self.stop(server, 1, 2)
        self.answered(self.begin(server), but=workers)
        self.wait_bad(server, 1, 2)
        for worker in workers:
            drover.go_on(worker)
        self.wait_bad(server, 1, 2, bad=False)
        self.answered(self.begin(server))

    def test_when_all_hang_nothing_is_lost(self):
        server = self.start()
        workers = self.stop(server, *range(WORKERS))
        clients = self.begin(server)
        self.wait_bad(server, *range(WORKERS))
        drover.go_on(workers[0])
        self.answered(clients, but=workers[1:])
        self.rescued(server)

    def test_who_hangs_for_long_is_killed(self):
        """SIGABRT does nothing to who is stopped; SIGKILL does."""
        server = self.start(SHORT)
        worker, = self.stop(server, 1)
        self.answered(self.begin(server), but=[worker])
        server.log.wait("worker_killed", pid=str(worker), signal="ABRT")
        self.answered(self.begin(server), but=[worker])
        server.log.wait("worker_killed", pid=str(worker), signal="KILL")
        event = server.log.wait("hang_over", pid=worker)
        self.assertEqual((event.fields["slot"], event.fields["how"]), ("1", "killed"))
        self.assertGreaterEqual(int(event.fields["for_ms"]), 1300)
        server.wait_status(lambda status: server.workers(status).get(1) not in (None, worker))
        self.wait_bad(server, 1, bad=False)
        self.answered(self.begin(server))
        self.assertEqual(len(server.log.find("hang_over", pid=worker)), 1)
        self.assertEqual(server.log.find("respawn_delayed"), [])

    def test_who_is_busy_for_long_is_killed(self):
        server = self.start(SHORT)
        _, worker = self.stall(server, 60000)
        self.come_until(server, worker, lambda: server.log.find("worker_killed", signal="ABRT", pid=worker))
        self.assertEqual(server.log.wait("hang_over", pid=worker).fields["how"], "killed")
        self.assertEqual(server.log.find("worker_killed", signal="KILL"), [])
        self.answered(self.begin(server), but=[worker])

    def test_nobody_is_killed_for_many_short_hangs(self):
        """Together they are longer than what one may last, and that is longer than a machine stands still."""
        server = self.start({"timeouts": {"hang_kill": "2s"}})
        before = server.workers()
        with Client(server.address) as stalls:
            for _ in range(18):
                stalls.send(stalls.head("/?stall=120"))
                others = self.begin(server, 20)
                self.assertEqual(stalls.response().status, 200)
                self.answered(others)
        self.assertEqual(server.workers(), before)
        self.assertEqual(server.log.find("worker_killed"), [])

    def test_with_0_nobody_is_killed(self):
        server = self.start({"timeouts": {"hang_kill": "0"}})
        worker, = self.stop(server, 1)
        self.answered(self.begin(server), but=[worker])
        server.wait_status(lambda status: status["slots"][1]["bad_ms"] > 1500)
        self.assertEqual(server.workers()[1], worker)
        drover.go_on(worker)
        self.assertGreaterEqual(int(server.log.wait("hang_over", pid=worker).fields["for_ms"]), 1500)
        self.wait_bad(server, 1, bad=False)

    def test_a_reload_while_one_is_stopped(self):
        """It fails, because that one does not vote; nobody waits, and afterwards all is as before."""
        server = self.start({"timeouts": {"prepare": "1s"}})
        worker, = self.stop(server, 1)
        server.configure({"workers": 2})
        self.assertIn("slot 1", server.reload()[1])
        self.answered(self.begin(server), but=[worker])
        drover.go_on(worker)
        self.wait_bad(server, 1, bad=False)
        self.assertEqual(server.reload()[0], 0)
        self.answered(self.begin(server))

    def test_addresses_come_and_go(self):
        """Whatever is watched is let go, and what is new is watched."""
        server = self.start()
        first, second = server.address, drover.free_address()
        for address in (second, first, second):
            server.configure({"listen": [{"address": drover.address_text(address)}]})
            self.assertEqual(server.reload()[0], 0)
            server.address = address
            worker, = self.stop(server, 1)
            self.answered(self.begin(server, 50), but=[worker])
            drover.go_on(worker)
            self.wait_bad(server, 1, bad=False)

    def test_after_an_upgrade(self):
        server = self.start()
        self.assertEqual(server.ctl("upgrade").returncode, 0)
        worker, = self.stop(server, 1)
        self.answered(self.begin(server), but=[worker])
        self.wait_bad(server, 1)

    def test_a_unix_socket(self):
        server = self.start()
        path = os.path.join(server.dir, "listen.sock")
        server.configure({"listen": [{"address": "unix:" + path, "mode": "0666"}]})
        self.assertEqual(server.reload()[0], 0)
        workers = self.stop(server, 0, 1, 2)
        for _ in range(20):
            with socket.socket(socket.AF_UNIX) as one:
                one.settimeout(drover.DEADLINE)
                one.connect(path)
                one.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                self.assertIn(b" 200 ", one.recv(1000))
        for worker in workers:
            drover.go_on(worker)
        self.wait_bad(server, 0, 1, 2, bad=False)

    def test_when_nothing_comes_nothing_is_done(self):
        """Also after a hang: each process waits, and is not woken."""
        server = self.start()
        worker, = self.stop(server, 1)
        self.answered(self.begin(server), but=[worker])
        drover.go_on(worker)
        server.wait_status(lambda status: not status["looking"])
        before = self.switches([server.pid, *server.workers().values()])
        select.select([server.pidfd], [], [], 1)
        for pid, switches in self.switches(before).items():     # without a question between
            self.assertLess(switches - before[pid], 5, pid)
        worker, = self.stop(server, 2)
        self.answered(self.begin(server), but=[worker])         # and it is found again

    def switches(self, pids):
        for pid in pids:
            drover.wait_asleep(pid)
        return {pid: int(drover.process_status(pid)["voluntary_ctxt_switches"]) for pid in pids}


class Reloads(Rescue):
    def test_who_hangs_is_ended_between_two(self):
        """However often somebody asks: one of two is always under way."""
        server = self.start({"timeouts": {"hang_kill": "2s", "prepare": "1s"}})
        worker, = self.stop(server, 1)
        self.answered(self.begin(server), but=[worker])
        self.wait_bad(server, 1)
        asking = True

        def ask():
            while asking:
                server.reload()

        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            server.log.wait("worker_killed", pid=str(worker))
        finally:
            asking = False
            for thread in threads:
                thread.join()
        server.wait_status(lambda status: server.workers(status).get(1) not in (None, worker))
        self.assertEqual(server.reload()[0], 0)

    def test_who_is_being_ended_is_not_asked(self):
        server = self.start(SHORT)
        worker, = self.stop(server, 1)
        self.answered(self.begin(server), but=[worker])
        server.log.wait("worker_killed", pid=str(worker), signal="ABRT")
        status, text = server.reload()
        self.assertEqual(status, 0)
        self.assertNotIn("died meanwhile", text)
        server.wait_status(lambda status: server.workers(status).get(1) not in (None, worker))
        server.log.wait("worker_started", slot="1", generation="2")


class Shared(Reuseport):
    accept = "shared"
    OWN_SOCKETS = False

    def wait_bad(self, server, *slots, bad=True):
        """Whom the kernel does not wake, because others are there, is not known to hang: more have to come."""
        end = drover.deadline()
        while bad and not all(server.status()["slots"][slot]["bad"] for slot in slots):
            self.begin(server, 10)
            drover.left(end)
        return super().wait_bad(server, *slots, bad=bad)


class Cpu(Reuseport):
    accept = "cpu"

    def rescued(self, server):
        """There may be fewer CPUs than slots, and then most slots are given nothing."""


class Directed(Reuseport):
    accept = "directed"

    def rescued(self, server):
        """Who is known to be bad before anybody was sent there is given nothing."""


if __name__ == "__main__":
    unittest.main()
