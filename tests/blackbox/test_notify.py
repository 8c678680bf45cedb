"""What the daemon tells its supervisor: readiness, reloads, the stop, the watchdog, the sockets to keep."""

import contextlib
import os
import select
import signal
import socket
import struct
import subprocess
import unittest

import drover
from drover import Client, Drover
from supervisor import Supervisor

PERIOD_US = 400000      # of the watchdog


class Supervised(unittest.TestCase):
    def setUp(self):
        self.supervisor = Supervisor()
        self.addCleanup(self.supervisor.close)

    def start(self, settings=None, environment=None, **more):
        server = Drover(settings or {}, env=self.supervisor.environment(**(environment or {})), **more)
        self.addCleanup(server.close)
        return server

    def start_ready(self, *args, **more):
        server = self.start(*args, **more)
        self.supervisor.wait(lambda: "READY" in self.supervisor.states())
        return server

    def stop_worker(self, pid):
        os.kill(pid, signal.SIGSTOP)
        self.addCleanup(drover.go_on, pid)
        drover.wait_stopped(pid)


class States(Supervised):
    """RELOADING=1 without a READY=1 would hang `systemctl reload` without bound."""

    def check(self, server, reloads):
        """Every RELOADING is followed by its READY, now that nothing is under way."""
        self.supervisor.settle()        # who was answered sooner than its last RELOADING was read here
        self.supervisor.wait(lambda: self.supervisor.states()[-1] == "READY")
        states = self.supervisor.states()
        self.assertEqual(states, ["READY"] + ["RELOADING", "READY"] * (len(states) // 2))
        if reloads is not None:
            self.assertEqual(len(states) // 2, reloads)

    def test_start_and_stop(self):
        server = self.start_ready()
        self.assertEqual(server.stop(), 0)
        self.supervisor.wait(lambda: len(self.supervisor.states()) == 2)
        self.assertEqual(self.supervisor.states(), ["READY", "STOPPING"])
        self.assertEqual(self.supervisor.values("STATUS")[0], "starting")
        self.assertRegex(self.supervisor.values("STATUS")[1], r"^2 workers, generation 1, 1 address$")

    def test_a_start_that_fails_is_never_ready(self):
        server = self.start({"nonsense": 1}, wait=False)
        self.assertEqual(server.wait_exit(), 2)
        self.supervisor.wait(lambda: len(self.supervisor.values("STATUS")) == 2)
        self.assertNotIn("READY", self.supervisor.states())
        self.assertRegex(self.supervisor.values("STATUS")[-1], "failed at check: .*nonsense")

    def test_a_good_reload(self):
        server = self.start_ready()
        self.assertEqual(server.reload()[0], 0)
        self.check(server, 1)
        self.assertRegex(self.supervisor.values("MONOTONIC_USEC")[0], r"^\d+$")
        self.assertIn("generation 2", self.supervisor.values("STATUS")[-1])

    def test_a_bad_configuration(self):
        server = self.start_ready()
        server.configure("nonsense = 1;\nmore = 2;\n")
        self.assertNotEqual(server.reload()[0], 0)
        self.check(server, 1)
        self.assertRegex(self.supervisor.values("STATUS")[-1], "last reload failed: .*nonsense")

    def test_a_port_that_is_taken(self):
        server = self.start_ready()
        with socket.create_server(drover.free_address()) as other:
            server.configure({"listen": [{"address": drover.address_text(server.address)},
                                         {"address": drover.address_text(other.getsockname())}]})
            self.assertNotEqual(server.reload()[0], 0)
        self.check(server, 1)

    def test_a_worker_that_is_not_ready_in_time(self):
        server = self.start_ready({"timeouts": {"prepare": "200ms"}})
        self.stop_worker(server.workers()[1])
        self.assertNotEqual(server.reload()[0], 0)
        self.check(server, 1)

    def test_a_worker_that_dies_meanwhile(self):
        server = self.start_ready({"timeouts": {"prepare": "20s"}})
        worker = server.workers()[0]
        self.stop_worker(worker)
        server.hup()
        server.wait_status(lambda status: status["phase"] == "preparing")
        os.kill(worker, signal.SIGKILL)
        server.log.wait("reload_done")
        self.check(server, 1)

    def test_a_killed_checker(self):
        """It lives for a moment only: a configuration that takes a while to read, and some attempts."""
        server = self.start_ready()
        sites = [{"hosts": ["h%d.example" % i], "routes": [{"match": "/", "files": {"root": server.site}}]}
                 for i in range(500)]
        server.configure({"sites": sites})
        known = set(server.children())
        end = drover.deadline()
        while not self.kill_checker(server, known):
            drover.left(end)
        self.check(server, None)
        self.assertIn("last reload failed", self.supervisor.values("STATUS")[-1])

    def kill_checker(self, server, known):
        """In a reload.  False: it was gone before that."""
        mark = server.log.mark()
        end = drover.deadline()
        server.hup()
        while not (fresh := set(server.children()) - known) and not server.log.find("reload_done", mark):
            drover.left(end)
            os.sched_yield()
        if fresh:
            with contextlib.suppress(ProcessLookupError):
                os.kill(min(fresh), signal.SIGKILL)
        with server.log.changed:
            while not (found := server.log.find("reload_done", mark) + server.log.find("reload_failed", mark)):
                server.log.changed.wait(drover.left(end))
        return found[0].name == "reload_failed"

    def test_a_storm_of_signals(self):
        server = self.start_ready()
        for i in range(200):
            server.hup()
            if i % 50 == 0:
                server.configure("nonsense = 1;\n" if i % 100 else server.settings)
        server.configure(server.settings)
        self.assertEqual(server.reload()[0], 0)
        server.wait_status(lambda status: status["phase"] == "idle")
        self.check(server, None)

    def test_a_stop_during_a_reload(self):
        server = self.start_ready({"timeouts": {"prepare": "1m", "drain": "100ms"}})
        self.stop_worker(server.workers()[0])
        server.hup()
        server.wait_status(lambda status: status["phase"] == "preparing")
        self.assertEqual(server.stop(), 0)
        self.supervisor.wait(lambda: "STOPPING" in self.supervisor.states())
        self.assertEqual(self.supervisor.states(), ["READY", "RELOADING", "STOPPING"])

    def test_a_worker_that_is_gone_shows_in_the_status(self):
        server = self.start_ready()
        os.kill(server.workers()[0], signal.SIGKILL)
        self.supervisor.wait(lambda: any("1 without a process" in text for text in self.supervisor.values("STATUS")))
        self.supervisor.wait(lambda: self.supervisor.values("STATUS")[-1] == "2 workers, generation 1, 1 address")


class Time(Supervised):
    def test_a_long_drain_asks_for_more_time(self):
        server = self.start_ready({"timeouts": {"drain": "1m"}})
        server.write("large", b"x" * (20 << 20))
        with Client(server.address, receive_buffer=4096) as client:
            client.send(client.head("/large"))
            while b"\r\n\r\n" not in client.buffer:
                client.buffer += client.socket.recv(1024)
            server.kill(signal.SIGTERM)
            self.supervisor.wait(lambda: "STOPPING" in self.supervisor.states())
            before = len(self.supervisor.values("EXTEND_TIMEOUT_USEC"))
            self.supervisor.wait(lambda: len(self.supervisor.values("EXTEND_TIMEOUT_USEC")) >= before + 2)
            self.assertRegex(self.supervisor.values("STATUS")[-1], r"^stopping: 1 connections of 1 workers")
            self.assertEqual(len(client.hurry().response().body), 20 << 20)
        self.assertEqual(server.wait_exit(), 0)

    def test_a_long_reload_asks_for_more_time(self):
        server = self.start_ready({"timeouts": {"prepare": "1m"}})
        worker = server.workers()[0]
        self.stop_worker(worker)
        server.hup()
        server.wait_status(lambda status: status["phase"] == "preparing")
        before = len(self.supervisor.values("EXTEND_TIMEOUT_USEC"))
        self.supervisor.wait(lambda: len(self.supervisor.values("EXTEND_TIMEOUT_USEC")) >= before + 1)
        drover.go_on(worker)
        server.log.wait("reload_done")


class Watchdog(Supervised):
    def start_watched(self, settings=None):
        return self.start_ready(settings, {"WATCHDOG_USEC": str(PERIOD_US)})

    def pings(self):
        return len(self.supervisor.values("WATCHDOG"))

    def wait_pings(self, count):
        target = self.pings() + count
        self.supervisor.wait(lambda: self.pings() >= target)

    def withheld(self, server, count=3):
        """The daemon has said so often that it does not ping, and has not pinged meanwhile."""
        event = server.log.wait("watchdog_withheld")
        self.supervisor.settle()        # the ping before it may not have been read yet
        before, mark = self.pings(), server.log.mark()
        server.log.wait("watchdog_withheld", since=mark, count=count)
        self.supervisor.settle()
        self.assertEqual(self.pings(), before)
        return event

    def test_an_idle_daemon_pings(self):
        server = self.start_watched()
        self.wait_pings(10)
        self.assertEqual(server.log.find("watchdog_withheld"), [])

    def test_without_a_watchdog_there_is_no_ping(self):
        server = self.start_ready()
        self.assertEqual(server.reload()[0], 0)
        self.assertEqual(self.pings(), 0)

    def test_a_stopped_worker_that_nobody_ends_stops_the_ping(self):
        server = self.start_watched({"timeouts": {"hang_kill": "0"}})
        worker = server.workers()[1]
        self.stop_worker(worker)
        event = self.withheld(server)
        self.assertEqual((event.fields["slot"], event.fields["pid"]), ("1", str(worker)))
        self.assertIn("stopped", event.fields["why"])
        drover.go_on(worker)
        self.wait_pings(3)

    def test_a_stopped_worker_that_will_be_killed_does_not(self):
        """The others serve its slot until then."""
        server = self.start_watched({"timeouts": {"hang_kill": "2s"}})
        worker = server.workers()[1]
        self.stop_worker(worker)
        server.log.wait("worker_started", since=server.log.mark(), slot="1")
        drover.wait_dead(worker)
        self.wait_pings(3)
        self.assertEqual(server.log.find("watchdog_withheld"), [])

    def test_a_worker_that_dies_again_and_again_does_not(self):
        server = self.start_watched()
        for _ in range(4):
            status = server.wait_status(lambda status: len(server.workers(status)) == 2)
            os.kill(server.workers(status)[0], signal.SIGKILL)
            self.wait_pings(1)
        self.wait_pings(2 * 4)
        self.assertEqual(server.log.find("watchdog_withheld"), [])

    def test_a_full_worker_does_not(self):
        server = self.start_watched({"workers": 1, "limits": {"connections": 1}})
        with Client(server.address) as one, Client(server.address) as two:
            self.assertEqual(one.request("/").status, 200)
            two.send(two.head())
            self.wait_pings(3 * 4)
            self.assertEqual(server.log.find("watchdog_withheld"), [])
            one.close()
            self.assertEqual(two.response().status, 200)

    def test_an_idle_worker_takes_what_a_full_one_was_woken_for(self):
        server = self.start_watched({"workers": 2, "accept": "shared", "limits": {"connections": 1},
                                     "timeouts": {"request_head": "1m"}})
        with Client(server.address) as one:
            one.send(b"GET / HTTP/1.1\r\nHo")
            server.wait_status(lambda status: status["totals"]["accepted"] == 1)
            with Client(server.address) as two:     # the kernel wakes the same worker again
                self.assertEqual(two.request("/").status, 200)
            self.assertEqual(server.log.find("watchdog_withheld"), [])

    def test_a_worker_that_finishes_does_not(self):
        """At a stop the workers drain, and nobody is asked for progress."""
        server = self.start_watched({"timeouts": {"drain": "1m"}})
        server.write("large", b"x" * (20 << 20))
        with Client(server.address, receive_buffer=4096) as client:
            client.send(client.head("/large"))
            while b"\r\n\r\n" not in client.buffer:
                client.buffer += client.socket.recv(1024)
            server.kill(signal.SIGTERM)
            self.supervisor.wait(lambda: "STOPPING" in self.supervisor.states())
            self.wait_pings(4)
            self.assertEqual(len(client.hurry().response().body), 20 << 20)
        self.assertEqual(server.wait_exit(), 0)


class Store(Supervised):
    """The sockets that outlive the process; the supervisor passes them to the next one."""

    def start_stored(self, settings=None, most=64):
        return self.start_ready(settings, {"FDSTORE": str(most)})

    def next(self, before, settings=None, most=64, **more):
        """The process after `before`, at the same place."""
        fds = [(os.dup(fd), name) for fd, name in self.supervisor.stored()]
        try:
            same = {name: value for name, value in before.settings.items() if name != "control"}
            server = Drover({**same, **(settings or {})}, passed=fds,
                            env=self.supervisor.environment(FDSTORE=str(most)), **more)
        finally:
            for fd, _ in fds:
                os.close(fd)
        self.addCleanup(server.close)
        server.address = before.address
        return server

    def test_every_socket_is_stored_once(self):
        server = self.start_stored({"workers": 3})
        self.assertEqual(server.reload()[0], 0)
        self.supervisor.wait(lambda: self.supervisor.states().count("READY") == 2)  # what it sent before is here
        self.assertEqual(len(self.supervisor.stored()), 3)
        server.configure({"workers": 4})
        self.assertEqual(server.reload()[0], 0)
        self.supervisor.wait(lambda: len(self.supervisor.stored()) == 4)
        self.assertEqual(self.supervisor.values("FDPOLL"), ["0"] * 4)

    def test_they_come_back_to_their_places(self):
        """The program of accept = "cpu" counts on it."""
        server = self.start_stored({"accept": "cpu"})
        self.supervisor.wait(lambda: len(self.supervisor.stored()) == 2)
        server.kill(signal.SIGKILL)
        server.wait_exit()
        after = self.next(server)
        cpus = sorted(os.sched_getaffinity(0))
        self.addCleanup(os.sched_setaffinity, 0, cpus)
        number = 1 % len(cpus)
        os.sched_setaffinity(0, [cpus[number]])
        before, end = after.status(), drover.deadline()
        while True:
            for _ in range(20):
                self.assertEqual(after.get().status, 200)
            status = after.status()
            if status["totals"]["rescued"] == before["totals"]["rescued"]:
                break
            before = status     # somebody had not got on for a moment, and another one accepted for it
            drover.left(end)
        got = [now["slot"] for was, now in zip(before["workers"], status["workers"])
               if now["counters"]["accepted"] > was["counters"]["accepted"]]
        self.assertTrue(number in got and (len(got) == 1 or len(cpus) == 1), got)

    def test_without_a_store_nothing_is_sent(self):
        self.start_ready()
        self.assertEqual(self.supervisor.values("FDSTORE"), [])

    def test_a_store_that_is_too_small_is_said(self):
        server = self.start_stored(most=1)
        server.log.wait("not_stored")
        self.assertEqual(self.supervisor.values("FDSTORE"), [])

    def test_a_removed_address_leaves_the_store(self):
        server = self.start_stored()
        more = drover.free_address()
        server.configure({"listen": [{"address": drover.address_text(server.address)},
                                     {"address": drover.address_text(more)}]})
        self.assertEqual(server.reload()[0], 0)
        self.supervisor.wait(lambda: len(self.supervisor.stored()) == 4)
        server.configure({"listen": [{"address": drover.address_text(server.address)}]})
        self.assertEqual(server.reload()[0], 0)
        self.supervisor.wait(lambda: len(self.supervisor.stored()) == 2)
        with self.assertRaises(ConnectionRefusedError):
            server.get(address=more)
        # and it may come back at once
        server.configure({"listen": [{"address": drover.address_text(server.address)},
                                     {"address": drover.address_text(more)}]})
        self.assertEqual(server.reload()[0], 0)
        self.assertEqual(server.get(address=more).status, 200)

    def restart(self, server, signal_number, settings=None):
        """Requests queue while there is no process; the next one answers them."""
        server.kill(signal_number)
        server.wait_exit()
        clients = [Client(server.address) for _ in range(50)]
        for client in clients:
            client.send(client.head())
        after = self.next(server, settings)
        for client in clients:
            self.assertEqual(client.response().status, 200)
            client.close()
        return after

    def test_a_restart_loses_nothing_that_waits(self):
        server = self.start_stored()
        after = self.restart(server, signal.SIGTERM)
        self.assertEqual(len(self.supervisor.stored()), 2)
        self.assertEqual(after.status()["listeners"][0]["keeper"], "fd store")

    def test_who_has_just_connected_is_answered(self):
        """Its request is on its way when the stop begins."""
        server = self.start_stored({"workers": 1})
        with Client(server.address) as client:
            server.wait_status(lambda status: status["totals"]["accepted"] == 1)
            server.kill(signal.SIGTERM)
            self.supervisor.wait(lambda: "STOPPING" in self.supervisor.states())
            client.send(client.head())
            self.assertEqual(client.response().status, 200)
        self.assertEqual(server.wait_exit(), 0)

    def test_a_hung_worker_does_not_hold_up_a_restart(self):
        server = self.start_stored({"timeouts": {"drain": "300ms"}})
        for worker in server.workers().values():
            self.stop_worker(worker)
        with Client(server.address) as client:
            client.send(client.head())
            self.assertEqual(server.stop(), 0)
            fields = server.log.wait("stopped").fields
            self.assertEqual((fields["killed"], fields["lost"]), ("0", "0"))
            self.next(server)
            self.assertEqual(client.response().status, 200)

    def test_int_leaves_the_queues_to_the_next_process(self):
        self.restart(self.start_stored(), signal.SIGINT)

    def test_a_killed_master_loses_nothing_that_waits(self):
        self.restart(self.start_stored(), signal.SIGKILL)

    def test_more_workers_after_a_restart(self):
        after = self.restart(self.start_stored(), signal.SIGTERM, {"workers": 4})
        self.assertEqual(after.status()["listeners"][0]["sockets"], 4)
        self.supervisor.wait(lambda: len(self.supervisor.stored()) == 4)

    def test_fewer_workers_after_a_restart(self):
        after = self.restart(self.start_stored({"workers": 4}), signal.SIGTERM, {"workers": 1})
        self.assertEqual(after.status()["listeners"][0]["sockets"], 4)

    def test_mode_shared_after_a_restart(self):
        self.restart(self.start_stored(), signal.SIGTERM, {"accept": "shared"})

    def test_a_unix_socket_keeps_its_path(self):
        with Drover() as scratch:  # a directory that outlives the daemon under test
            path = os.path.join(scratch.dir, "http.sock")
            server = self.start_stored({"listen": [{"address": "unix:" + path}]})
            server.address = path
            after = self.restart(server, signal.SIGTERM)
            self.assertEqual(after.stop(), 0)
            self.assertTrue(drover.is_socket(path))

    def test_a_unix_socket_whose_path_is_gone_is_made_anew(self):
        with Drover() as scratch:
            path = os.path.join(scratch.dir, "http.sock")
            server = self.start_stored({"listen": [{"address": "unix:" + path}]})
            server.address = path
            self.assertEqual(server.stop(), 0)
            os.unlink(path)
            after = self.next(server)
            self.assertIn("path is gone", after.log.wait("stored_socket_dropped").fields["why"])
            self.assertEqual(after.get().status, 200)
            self.supervisor.wait(lambda: len(self.supervisor.stored()) == 1)

    def test_a_unix_socket_whose_path_is_anothers(self):
        """Served on, nobody would reach it; and the path is not ours to remove."""
        with Drover() as scratch:
            path = os.path.join(scratch.dir, "http.sock")
            server = self.start_stored({"listen": [{"address": "unix:" + path}]})
            server.address = path
            self.assertEqual(server.stop(), 0)
            os.unlink(path)
            with socket.socket(socket.AF_UNIX) as other:
                other.bind(path)
                other.listen()
                failed = self.next(server, wait=False)
                self.assertEqual(failed.wait_exit(), 1)
                failed.log.thread.join(drover.DEADLINE)
                self.assertIn("path leads to another", failed.log.text())
                self.assertIn("another program listens there", failed.log.text())
                self.assertTrue(drover.is_socket(path))

    def test_what_waits_at_a_stored_one_beside_one_that_is_not(self):
        """The store takes the first address alone; nothing is taken out of its queue, and nothing there is lost."""
        with Drover() as scratch:
            path = os.path.join(scratch.dir, "http.sock")
            own = drover.free_address()
            server = self.start_stored({"listen": [{"address": "unix:" + path},
                                                   {"address": drover.address_text(own)}],
                                        "workers": 1, "timeouts": {"drain": "200ms"}}, most=1)
            server.log.wait("not_stored")
            server.address = path
            self.stop_worker(server.workers()[0])
            with Client(path) as client, Client(own) as other:
                client.send(client.head())
                other.send(other.head())
                self.assertEqual(server.stop(), 0)
                self.assertEqual(server.log.wait("stopped").fields["lost"], "1")
                self.next(server, most=1)
                self.assertEqual(client.response().status, 200)

    def test_an_address_that_is_not_configured_any_more_is_dropped(self):
        server = self.start_stored()
        self.assertEqual(server.stop(), 0)
        address = drover.free_address()
        after = self.next(server, {"listen": [{"address": drover.address_text(address)}]})
        after.log.wait("stored_socket_dropped", count=2)
        with self.assertRaises(ConnectionRefusedError):
            after.get()
        self.assertEqual(after.get(address=address).status, 200)
        self.supervisor.wait(lambda: len(self.supervisor.stored()) == 2)

    def test_a_wildcard_that_gives_way_to_one_address(self):
        """What was stored is in the way of what is to be bound."""
        port = drover.free_address()[1]
        server = self.start_stored({"listen": [{"address": "0.0.0.0:%d" % port}]})
        self.assertEqual(server.stop(), 0)
        after = self.next(server, {"listen": [{"address": "127.0.0.1:%d" % port}]})
        self.assertEqual(after.get(address=("127.0.0.1", port)).status, 200)

    def test_a_start_that_fails_keeps_the_store(self):
        server = self.start_stored()
        self.assertEqual(server.stop(), 0)
        failed = self.next(server, {"log": {"access": "/nonexistent/log"}}, wait=False)
        self.assertEqual(failed.wait_exit(), 1)
        self.assertEqual(len(self.supervisor.stored()), 2)
        self.assertEqual(self.next(server, {"log": {"access": "off"}}).get().status, 200)


class Activated(Supervised):
    """Sockets of a .socket unit."""

    def sockets(self, count, family=socket.AF_INET, path=None):
        """`count` listening sockets at one address, as ReusePort=yes makes them."""
        address = path or drover.free_address(family)
        found = []
        for _ in range(count):
            one = socket.socket(family, socket.SOCK_STREAM)
            self.addCleanup(one.close)
            if path is None:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            one.bind(address)
            one.listen(64)
            found.append(one)
        if path is not None:
            os.chmod(path, 0o604)
        return address, found

    def start_activated(self, address, sockets, settings=None, name="http", entry=None, **more):
        server = self.start({"listen": [{"address": drover.address_text(address), **(entry or {})}],
                             **(settings or {})}, {"FDSTORE": "64"},
                            passed=[(one.fileno(), name) for one in sockets], **more)
        server.address = address
        return server

    def sockets_of(self, server):
        return server.status()["listeners"][0]

    def spread(self, server, clients=120):
        """How many connections each worker accepted."""
        for client in [Client(server.address) for _ in range(clients)]:
            self.assertEqual(client.request("/").status, 200)
            client.close()
        return [worker["counters"]["accepted"] for worker in server.status()["workers"]]

    def check(self, count, workers, family=socket.AF_INET, path=None):
        address, sockets = self.sockets(count, family, path)
        server = self.start_activated(address, sockets, {"workers": workers})
        found = self.sockets_of(server)
        self.assertEqual((found["sockets"], found["keeper"], found["shared"]),
                         (count, "socket unit", count < workers))
        self.assertEqual(sum(self.spread(server)), 120)
        self.supervisor.wait(lambda: "READY" in self.supervisor.states())
        self.assertEqual(self.supervisor.values("FDSTORE"), [])
        if count < workers:
            event = server.log.wait("listener_shared")
            self.assertEqual((event.fields["sockets"], event.fields["workers"]), (str(count), str(workers)))
        return server

    def test_one_for_each_worker(self):
        server = self.check(4, 4)
        self.assertEqual(server.log.find("listener_shared"), [])

    def test_fewer_than_workers(self):
        self.check(2, 4)

    def test_one_for_all(self):
        self.check(1, 4)

    def test_more_than_workers(self):
        self.check(4, 2)

    def test_ipv6(self):
        self.check(2, 4, socket.AF_INET6)

    def test_unix(self):
        with Drover() as scratch:
            path = os.path.join(scratch.dir, "given.sock")
            server = self.check(1, 2, socket.AF_UNIX, path)
            self.assertEqual(os.stat(path).st_mode & 0o777, 0o604)  # a unit's SocketMode stays
            self.assertEqual(server.stop(), 0)
            self.assertTrue(drover.is_socket(path))

    def test_fewer_than_workers_are_everybodys(self):
        """Slots without a socket of their own accept too: with the workers of all others stopped, somebody answers."""
        address, sockets = self.sockets(2)
        server = self.start_activated(address, sockets, {"workers": 4})
        workers = server.workers()
        for slot in (0, 1):
            self.stop_worker(workers[slot])
        clients = [Client(address) for _ in range(50)]
        for client in clients:
            self.addCleanup(client.close)
            client.send(client.head())
        # those that are stopped may have been woken for the first ones; the next ones wake somebody else
        answered = select.select([client.socket for client in clients], [], [], drover.DEADLINE)[0]
        self.assertTrue(answered)

    def test_every_worker_has_it(self):
        address, sockets = self.sockets(1)
        server = self.start_activated(address, sockets)
        wanted = "socket:[%d]" % os.fstat(sockets[0].fileno()).st_ino
        for pid in [server.pid, *server.workers().values()]:
            self.assertIn(wanted, {os.readlink("/proc/%d/fd/%s" % (pid, fd)) for fd in os.listdir("/proc/%d/fd" % pid)})

    def test_options_are_applied(self):
        address, sockets = self.sockets(1)
        self.start_activated(address, sockets, entry={"backlog": 7, "defer_accept": True})
        one = sockets[0]
        self.assertEqual(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY), 1)
        self.assertGreater(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT), 0)
        info = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
        self.assertEqual(struct.unpack_from("I", info, 28)[0], 7)  # tcpi_sacked of a listening one: the backlog

    def test_a_change_of_the_worker_count(self):
        address, sockets = self.sockets(2)
        server = self.start_activated(address, sockets, {"workers": 4})
        for workers in (2, 4, 1, 3):
            server.configure({"workers": workers})
            status, text = server.reload()
            self.assertEqual(status, 0, text)
            found = self.sockets_of(server)
            self.assertEqual((found["sockets"], found["shared"]), (2, workers > 2))
            self.spread(server, 40)

    def test_an_address_that_is_not_passed_is_opened(self):
        address, sockets = self.sockets(1)
        more = drover.free_address()
        server = self.start_activated(address, sockets, {"listen": [{"address": drover.address_text(address)},
                                                                    {"address": drover.address_text(more)}]})
        self.assertEqual(server.get(address=more).status, 200)
        self.assertEqual([one["sockets"] for one in server.status()["listeners"]], [1, 2])

    def test_a_removed_one_stays_and_may_come_back(self):
        address, sockets = self.sockets(2)
        more = drover.free_address()
        server = self.start_activated(address, sockets)
        server.configure({"listen": [{"address": drover.address_text(more)}]})
        self.assertEqual(server.reload()[0], 0)
        server.log.wait("socket_unused", count=2)
        with Client(address) as client:     # the unit's socket listens on: it waits
            client.send(client.head())
            self.assertFalse(select.select([client.socket], [], [], 0.2)[0])
            server.configure({"listen": [{"address": drover.address_text(address)}]})
            status, text = server.reload()
            self.assertEqual(status, 0, text)
            self.assertEqual(client.response().status, 200)

    def test_a_reload_that_fails_gives_it_back(self):
        address, sockets = self.sockets(1)
        own = drover.free_address()
        server = self.start({"listen": [{"address": drover.address_text(own)}]}, passed=[(sockets[0].fileno(), "x")])
        server.log.wait("socket_unused")
        good = {"listen": [{"address": drover.address_text(own)}, {"address": drover.address_text(address)}]}
        with socket.create_server(drover.free_address()) as other:
            taken = {"address": drover.address_text(other.getsockname())}
            server.configure({"listen": [*good["listen"], taken]})
            self.assertNotEqual(server.reload()[0], 0)
        server.configure(good)
        status, text = server.reload()
        self.assertEqual(status, 0, text)
        self.assertEqual(server.get(address=address).status, 200)

    # mistakes

    def refused(self, server, *says):
        self.assertEqual(server.wait_exit(), 1)
        server.log.thread.join(drover.DEADLINE)  # all that it said has been read then
        for words in says:
            self.assertRegex(server.log.text(), words)

    def test_a_surplus_socket_is_a_warning(self):
        address, sockets = self.sockets(1)
        _, others = self.sockets(1)
        server = self.start({"listen": [{"address": drover.address_text(address)}]},
                            passed=[(sockets[0].fileno(), "a"), (others[0].fileno(), "b")])
        self.assertEqual(server.log.wait("socket_unused").fields["name"], "b")
        self.assertEqual(server.get(address=address).status, 200)

    def test_something_else_is_a_warning(self):
        address, sockets = self.sockets(1)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            server = self.start({"listen": [{"address": drover.address_text(address)}]},
                                passed=[(sockets[0].fileno(), "a"), (datagrams.fileno(), "odd")])
            event = server.log.wait("socket_unused")
            self.assertEqual(event.fields["name"], "odd")
            self.assertIn("no listening stream", event.fields["why"])
        self.assertEqual(server.get(address=address).status, 200)

    def test_something_else_under_a_name_that_is_wanted(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            server = self.start({"listen": [{"address": drover.address_text(drover.free_address()),
                                             "name": "http"}]},
                                passed=[(datagrams.fileno(), "http")], wait=False)
            self.refused(server, 'named "http"', "no listening stream")

    def test_a_name_at_another_address(self):
        _, sockets = self.sockets(1)
        server = self.start_activated(drover.free_address(), sockets, entry={"name": "http"}, wait=False)
        self.refused(server, 'named "http" that is not at')

    def test_an_address_with_another_name(self):
        address, sockets = self.sockets(1)
        server = self.start_activated(address, sockets, name="other", entry={"name": "http"}, wait=False)
        self.refused(server, 'named "other", not "http"')

    def test_an_address_that_is_in_the_way(self):
        one = self.wildcard()
        server = self.start({"listen": [{"address": "127.0.0.1:%d" % one.getsockname()[1]}]},
                            passed=[(one.fileno(), "http")], wait=False)
        self.refused(server, r"the socket at \[::\]:\d+ that systemd passed as \"http\" is in the way")

    def test_the_right_name(self):
        address, sockets = self.sockets(1)
        server = self.start_activated(address, sockets, entry={"name": "http"})
        self.assertEqual(server.get(address=address).status, 200)

    def test_v6only_that_is_not_as_configured(self):
        one = self.wildcard()
        server = self.start_activated(("::", one.getsockname()[1]), [one], entry={"v6only": True}, wait=False)
        self.refused(server, "BindIPv6Only")

    def test_a_wildcard(self):
        one = self.wildcard()
        port = one.getsockname()[1]
        server = self.start({"listen": [{"address": "*:%d" % port}]}, passed=[(one.fileno(), "http")])
        self.assertEqual(server.get(address=("127.0.0.1", port)).status, 200)

    def wildcard(self):
        one = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        self.addCleanup(one.close)
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        one.bind(("::", 0))
        one.listen(8)
        return one

    def test_descriptors_that_are_not_there(self):
        result = subprocess.run([drover.DROVER, "-r", "/usr/share"], capture_output=True, text=True,
                                timeout=drover.DEADLINE, stdin=subprocess.DEVNULL,
                                preexec_fn=lambda: os.execve("/bin/sh", [
                                    "sh", "-c", 'LISTEN_PID=$$ exec "$0" -r /usr/share', drover.DROVER],
                                    {**os.environ, "LISTEN_FDS": "2"}))
        self.assertEqual(result.returncode, 1)
        self.assertIn("LISTEN_FDS", result.stderr)
