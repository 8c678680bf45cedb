"""Upgrades that go well: the same process, other workers, and no client notices."""

import itertools
import os
import shutil
import signal
import socket
import subprocess
import threading
import unittest

import drover
from drover import Client, Drover
from supervisor import Supervisor
from test_http import pattern

LARGE = 20 << 20
UPGRADES = 20


def executable(pid):
    return os.readlink("/proc/%d/exe" % pid)


class Upgrade(unittest.TestCase):
    accept = "reuseport"

    def start(self, settings=None, **more):
        server = Drover({"accept": self.accept, **(settings or {})}, **more)
        self.addCleanup(server.close)
        return server

    def client(self, server, **more):
        client = Client(server.address, **more)
        self.addCleanup(client.close)
        return client

    def upgrade(self, server):
        """All of it: also the old workers are gone afterwards."""
        before = server.workers()
        result = server.ctl("upgrade")
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr + server.log.text())
        after = server.workers()
        self.assertEqual(before.keys(), after.keys())
        self.assertFalse(set(before.values()) & set(after.values()))
        return result.stdout

    def settle(self, server):
        """Until nobody is there but who serves."""
        server.wait_status(lambda status: len(status["workers"]) == len(status["slots"]))

    # what it does

    def test_other_workers_of_the_same_process(self):
        server = self.start()
        text = self.upgrade(server)
        self.assertRegex(text, r"^drover \S+ has taken over from \S+ after \d+ ms; generation 2 with 2 workers$")
        self.assertEqual(server.get().status, 200)
        self.assertEqual(server.status()["pid"], server.pid)
        self.settle(server)
        self.assertEqual(server.children(), sorted(server.workers().values()))

    def test_by_signal(self):
        server = self.start()
        before = server.workers()
        server.kill(signal.SIGUSR2)
        event = server.log.wait("upgrade_done", workers=2)
        self.assertIn("from", event.fields)
        self.assertNotEqual(before, server.workers())

    def test_the_file_that_has_the_path_now(self):
        server = self.start(own=True)
        old = os.stat("/proc/%d/exe" % server.pid).st_ino
        server.install(drover.DROVER)
        self.assertIn("(deleted)", executable(server.pid))
        self.upgrade(server)
        self.assertEqual(executable(server.pid), server.binary)
        self.assertNotEqual(os.stat("/proc/%d/exe" % server.pid).st_ino, old)

    def test_through_a_symlink_that_was_changed(self):
        server = self.start(own=True)
        other = os.path.join(server.dir, "other")
        shutil.copy(drover.DROVER, other)
        os.symlink(other, server.binary + ".new")
        os.rename(server.binary + ".new", server.binary)
        self.upgrade(server)
        self.assertEqual(executable(server.pid), other)

    def test_again_and_again(self):
        server = self.start()
        idle = [self.client(server) for _ in range(20)]
        for client in idle:
            self.assertEqual(client.request().status, 200)
        self.upgrade(server)
        self.settle(server)
        files = drover.fds(server.pid)
        for _ in range(UPGRADES):
            self.upgrade(server)
        self.settle(server)
        drover.wait_fds(server.pid, files)
        self.assertEqual(len(server.children()), 2)
        for client in idle:
            answer = client.request()
            self.assertFalse(answer.closes)
            self.assertEqual(answer.status, 200)
        self.assertEqual(server.stop(), 0)

    def test_a_download_goes_on(self):
        server = self.start()
        content = pattern(LARGE)
        server.write("large", content)
        client = self.client(server, receive_buffer=4096)
        client.send(client.head("/large"))
        while b"\r\n\r\n" not in client.buffer:
            client.buffer += client.socket.recv(1024)
        for _ in range(3):
            self.upgrade(server)
        self.settle(server)
        self.assertTrue(client.hurry().response().body == content)

    def test_what_waits_in_a_queue_is_answered(self):
        server = self.start()
        workers = server.workers().values()
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        clients = [self.client(server) for _ in range(10)]
        for client in clients:
            client.send(client.head())
        try:
            result = server.ctl("upgrade")
        finally:
            for pid in workers:
                os.kill(pid, signal.SIGCONT)
        self.assertEqual(result.returncode, 0, result.stderr)
        for client in clients:
            self.assertEqual(client.response().status, 200)

    # what it leaves as it is

    def test_the_configuration_is_the_one_that_is_served(self):
        server = self.start()
        server.configure("this is no configuration")
        self.upgrade(server)
        self.assertEqual(server.get().status, 200)
        status, text = server.reload()
        self.assertEqual(status, 1, text)
        server.configure({"workers": 3})
        status, text = server.reload()
        self.assertEqual(status, 0, text)
        self.assertEqual(sorted(server.workers()), [0, 1, 2])
        self.upgrade(server)

    def test_the_totals_go_on(self):
        server = self.start()
        for _ in range(10):
            server.get()
        self.upgrade(server)
        self.settle(server)
        server.get()
        self.assertEqual(server.status()["totals"]["requests"], 11)

    def test_unix_sockets_and_their_paths(self):
        server = self.start()
        path = os.path.join(server.dir, "http.sock")
        server.configure({"listen": [{"address": "unix:" + path}]})
        self.assertEqual(server.reload()[0], 0)
        inode = os.stat(path).st_ino
        self.upgrade(server)
        self.assertEqual(os.stat(path).st_ino, inode)
        self.assertEqual(server.get(address=path).status, 200)
        self.assertEqual(server.stop(), 0)
        self.assertFalse(os.path.exists(path))
        self.assertFalse(os.path.exists(server.control))

    def test_addresses_come_and_go_afterwards(self):
        server = self.start()
        other = drover.free_address()
        listen = server.settings["listen"]
        self.upgrade(server)
        server.configure({"listen": listen + [{"address": drover.address_text(other)}]})
        self.assertEqual(server.reload()[0], 0)
        self.upgrade(server)
        self.assertEqual(server.get(address=other).status, 200)
        server.configure({"listen": listen})
        self.assertEqual(server.reload()[0], 0)
        with self.assertRaises(ConnectionRefusedError):
            server.get(address=other)

    def test_a_passed_socket(self):
        listener = socket.create_server(drover.free_address())
        self.addCleanup(listener.close)
        address = listener.getsockname()
        server = self.start({"listen": [{"address": drover.address_text(address)}]},
                            passed=[(listener.fileno(), "web")])
        self.upgrade(server)
        self.assertEqual(server.get(address=address).status, 200)
        self.assertEqual(server.status()["listeners"][0]["keeper"], "socket unit")

    def test_a_worker_that_dies_afterwards_is_followed(self):
        server = self.start()
        self.upgrade(server)
        self.settle(server)
        pid = server.workers()[0]
        os.kill(pid, signal.SIGKILL)
        server.wait_status(lambda status: server.workers(status).get(0, pid) != pid)
        self.assertEqual(server.get().status, 200)

    # what comes at the same time

    def test_callers_are_answered_by_the_next_image(self):
        server = self.start()
        commands = [["reload"], ["upgrade"], ["reload", "--replace"], ["reopen"], ["check"], ["status"]] * 3
        processes = [subprocess.Popen([drover.CTL, "--socket", server.control, *command], text=True,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for command in commands]
        for command, process in zip(commands, processes):
            text = process.communicate(timeout=drover.DEADLINE)[0]
            if command == ["upgrade"] and process.returncode == 1:
                self.assertIn("refused: an upgrade is under way", text)
                continue
            self.assertEqual(process.returncode, 0, "%s: %s" % (command, text))
        end = drover.deadline()         # the log is read beside the answers
        while len(server.log.find("upgrade_done")) + len(server.log.find("upgrade_refused")) != 3:
            drover.left(end)
            os.sched_yield()

    def test_reloads_all_the_time(self):
        server = self.start()
        listen = server.settings["listen"]
        other = drover.free_address()
        over, failures = threading.Event(), []

        def reload():
            for turn in itertools.count():
                more = [{"address": drover.address_text(other)}] if turn % 2 == 0 else []
                server.configure({"listen": listen + more, "workers": 2 + turn % 3})
                server.hup()
                status, text = server.reload()
                if status != 0:
                    failures.append(text)
                if over.is_set() and more:
                    return

        thread = threading.Thread(target=reload)
        thread.start()
        try:
            for _ in range(UPGRADES):
                result = server.ctl("upgrade")
                self.assertEqual(result.returncode, 0, result.stderr)
        finally:
            over.set()
            thread.join()
        self.assertEqual(failures, [])
        self.assertEqual(server.get().status, 200)
        self.assertEqual(server.get(address=other).status, 200)
        self.settle(server)

    def test_it_waits_for_an_open_reload(self):
        server = self.start()
        pid = server.workers()[0]
        os.kill(pid, signal.SIGSTOP)
        try:
            server.hup()
            server.wait_status(lambda status: status["phase"] == "preparing")
            server.kill(signal.SIGUSR2)
            self.assertFalse(server.status()["upgrade"]["open"])
        finally:
            os.kill(pid, signal.SIGCONT)
        server.log.wait("upgrade_done")
        names = [event.name for event in server.log.events]
        self.assertLess(names.index("reload_done"), names.index("upgrade_begins"))

    def test_the_end(self):
        for _ in range(3):
            server = self.start()
            server.kill(signal.SIGUSR2)
            server.kill(signal.SIGTERM)
            self.assertEqual(server.wait_exit(), 0)

    def test_a_dead_worker(self):
        server = self.start()
        for _ in range(5):
            os.kill(server.workers().get(0, server.pid), 0)
            pid = server.workers()[0]
            os.kill(pid, signal.SIGKILL)
            result = server.ctl("upgrade")
            self.assertEqual(result.returncode, 0, result.stderr + server.log.text())
            server.wait_status(lambda status: len(server.workers(status)) == 2)
        self.settle(server)
        self.assertEqual(len(server.children()), 2)

    def test_too_many_that_drain(self):
        server = self.start({"limits": {"max_draining": 1}, "workers": 1})
        workers = []
        for _ in range(2):
            workers.append(server.workers()[0])
            os.kill(workers[-1], signal.SIGSTOP)
            result = server.ctl("upgrade")
        try:
            self.assertEqual(result.returncode, 1)
            self.assertRegex(result.stderr, r"^failed at drain: slot 0 has 1 draining worker already .*pid %d, "
                             % workers[0])
        finally:
            for pid in workers:
                os.kill(pid, signal.SIGCONT)
        self.assertEqual(server.get().status, 200)

    def test_who_leaves_since_before_it_is_reckoned_from_then(self):
        server = self.start()
        pid = server.workers()[0]
        os.kill(pid, signal.SIGSTOP)
        try:
            self.assertEqual(server.reload("--replace")[0], 0)
            server.wait_status(lambda status: any(worker["pid"] == pid and worker["state"] == "draining"
                                                  for worker in status["workers"]))
            self.upgrade(server)
        finally:
            os.kill(pid, signal.SIGCONT)
        last = server.log.wait("worker_drained", pid=pid).fields
        all_of_them = server.log.wait("handover_done", generation=2).fields
        self.assertGreater(int(last["took_ms"]), 0)
        self.assertEqual(all_of_them["took_ms"], last["took_ms"])


class UpgradeShared(Upgrade):
    accept = "shared"


class UpgradeDirected(Upgrade):
    accept = "directed"


class Systemd(unittest.TestCase):
    def setUp(self):
        self.supervisor = Supervisor()
        self.addCleanup(self.supervisor.close)
        self.server = Drover(env=self.supervisor.environment(FDSTORE="10"))
        self.addCleanup(self.server.close)

    def test_ready_again(self):
        self.assertEqual(self.server.ctl("upgrade").returncode, 0)
        self.supervisor.wait(lambda: self.supervisor.states() == ["READY", "RELOADING", "READY"])
        statuses = self.supervisor.values("STATUS")
        self.assertRegex(" ".join(statuses), "upgrading: checking /.* upgrading to drover")
        self.supervisor.wait(lambda: "; handing over" not in self.supervisor.values("STATUS")[-1])
        self.assertRegex(self.supervisor.values("STATUS")[-1], "^2 workers, generation 2, 1 address; .*last upgrade: ")

    def test_what_is_stored_stays_so(self):
        self.supervisor.wait(lambda: len(self.supervisor.stored()) == 2)
        self.assertEqual(self.server.ctl("upgrade").returncode, 0)
        other = drover.address_text(drover.free_address())
        self.server.configure({"listen": self.server.settings["listen"] + [{"address": other}]})
        self.assertEqual(self.server.reload()[0], 0)
        self.supervisor.wait(lambda: len(self.supervisor.stored()) == 4)


if __name__ == "__main__":
    unittest.main()
