#!/usr/bin/env python3
"""Upgrades to binaries that cannot take over: clients notice nothing, whoever asked is told which step failed and
why, the old binary serves on, and the next upgrade, to a good one, works."""

import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from drover import BROKEN, CTL, DEADLINE, DROVER, Client, Drover, deadline, fds, left, wait_fds  # noqa: E402

IDLE = 30
PREPARE = "3s"          # what is good has to be done in it, on a machine that stands still for a moment, too
FILE = bytes(range(256)) * 4096 * 4  # 4 MiB


def read(path):
    with open(path, "rb") as file:
        return file.read()


def without_a_library():
    return read(DROVER).replace(b"libsodium.so.23\0", b"libsodiun.so.23\0")


class Traffic:
    """Clients of several kinds, each of which expects every answer whole and every connection to stay."""

    def __init__(self, daemon):
        self.daemon = daemon
        daemon.write("file", FILE)
        self.over = threading.Event()
        self.failures, self.answers = [], 0
        self.idle = [daemon.client() for _ in range(IDLE)]
        for client in self.idle:
            client.request()
        self.partial = daemon.client()
        self.partial.send("GET /file HT")
        self.slow = daemon.client(receive_buffer=16384)
        self.slow.send(self.slow.head("/file"))
        self.threads = [threading.Thread(target=self.guarded, args=(body,))
                        for body in (self.one_shot, self.one_shot, self.keep_alive, self.download)]
        for thread in self.threads:
            thread.start()

    def guarded(self, body):
        try:
            body()
        except Exception as error:  # whatever it is, a client has noticed
            self.failures.append("%s: %r" % (body.__name__, error))

    def expect(self, answer, content=b"<p>hello\n"):
        if answer.status != 200 or answer.body != content:
            raise AssertionError("%d, %d bytes" % (answer.status, len(answer.body)))
        self.answers += 1

    def one_shot(self):
        while not self.over.is_set():
            self.expect(self.daemon.get())

    def keep_alive(self):
        with self.daemon.client() as client:
            while not self.over.is_set():
                answer = client.request()
                self.expect(answer)
                if answer.closes:
                    raise AssertionError("told to leave")

    def download(self):
        with self.daemon.client() as client:
            while not self.over.is_set():
                self.expect(client.request("/file"), FILE)

    def progress(self):
        """Waits until every kind has had answers since now."""
        end, before = deadline(), self.answers
        while self.answers < before + 20 and not self.failures:
            left(end)
            self.over.wait(0.005)

    def __enter__(self):
        self.progress()
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.progress()
        self.over.set()
        for thread in self.threads:
            thread.join()
        try:
            if kind is None:
                self.finish()
        finally:
            for client in (*self.idle, self.partial, self.slow):
                client.close()
        if kind is None and self.failures:
            raise AssertionError("%s\n%s" % (self.failures, self.daemon.log.text()))

    def finish(self):
        for client in self.idle:
            self.guarded(lambda: self.expect(client.request()))
        self.partial.send("TP/1.1\r\nHost: test.example\r\n\r\n")
        self.guarded(lambda: self.expect(self.partial.response(), FILE))
        self.guarded(lambda: self.expect(self.slow.hurry().response(), FILE))


class Case(unittest.TestCase):
    def start(self, **settings):
        daemon = Drover({"timeouts": {"prepare": PREPARE}, **settings}, own=True)
        self.addCleanup(daemon.close)
        return daemon

    def upgrade(self, daemon):
        result = daemon.ctl("upgrade")
        return result.returncode, result.stdout + result.stderr

    def wait_children(self, daemon, expected):
        """No zombie, and nobody who does not belong there."""
        end = deadline()
        while sorted(daemon.children()) != sorted(expected):
            left(end)
            select.select([daemon.pidfd], [], [], 0.01)

    def expect_failure(self, daemon, pattern):
        pid, workers, files = daemon.pid, daemon.workers(), fds(daemon.pid)
        with Traffic(daemon):
            code, text = self.upgrade(daemon)
            self.assertEqual(code, 1, text)
            self.assertRegex(text, pattern)
            self.assertEqual(daemon.workers(), workers)
            self.assertEqual(daemon.status()["pid"], pid)
            self.assertIn("error", daemon.log.wait("upgrade_failed").fields)
        self.wait_children(daemon, workers.values())
        wait_fds(daemon.pid, files)

    def expect_success(self, daemon):
        before = daemon.workers()
        daemon.install(DROVER)
        with Traffic(daemon):
            code, text = self.upgrade(daemon)
            self.assertEqual(code, 0, text)
            self.assertFalse(set(before.values()) & set(daemon.workers().values()))
        self.wait_children(daemon, daemon.workers().values())


class Candidate(Case):
    """Found out before anything is given up for it."""

    def refuse(self, pattern):
        self.expect_failure(self.daemon, r"^failed at check: " + pattern)
        self.expect_success(self.daemon)

    def setUp(self):
        self.daemon = self.start()

    def test_one_that_is_not_there(self):
        os.unlink(self.daemon.binary)
        self.refuse(r"execute \S+/drover: No such file or directory")

    def test_one_that_may_not_be_executed(self):
        os.chmod(self.daemon.binary, 0o644)
        self.refuse(r"execute \S+/drover: Permission denied")

    def test_a_file_that_is_no_program(self):
        self.daemon.install(b"this is no program\n" * 1000)
        self.refuse(r"execute \S+/drover: Exec format error")

    def test_one_that_was_cut_off(self):
        self.daemon.install(read(DROVER)[:20000])
        self.refuse(r"\S+")

    def test_one_without_a_library(self):
        self.daemon.install(without_a_library())
        self.refuse(r".*libsodiun.so.23: cannot open shared object file")

    def test_another_program(self):
        self.daemon.install("/bin/true")
        self.refuse(r"it does not say that it is a drover")

    def test_one_that_crashes(self):
        self.daemon.install(BROKEN, "candidate-crashes")
        self.refuse(r"it was ended by a signal \(ABRT\)")

    def test_one_that_rejects_the_configuration(self):
        self.daemon.install(BROKEN, "rejects-configuration")
        self.refuse(r".*listen: there is no such setting any more")

    def test_one_with_another_version_of_the_records(self):
        self.daemon.install(BROKEN, "other-records")
        self.refuse(r"the running drover has version 9 of the handover, this one has \d")

    def test_one_with_another_version_of_the_state(self):
        self.daemon.install(BROKEN, "other-state")
        self.refuse(r"the running drover has version 9 of the state, this one has \d")


class NewImage(Case):
    """Good as a candidate, and then not: the old binary is executed again."""

    def roll_back(self, how, pattern, **settings):
        daemon = self.start(**settings)
        daemon.install(BROKEN, how)
        self.expect_failure(daemon, r"^failed at " + pattern)
        self.expect_success(daemon)

    def test_one_that_crashes_at_the_start(self):
        self.roll_back("crashes-at-start", r"start: the new binary crashed \(SEGV\)")

    def test_one_that_ends_at_the_start(self):
        self.roll_back("ends-at-start", r"start: the new binary ended")

    def test_one_that_refuses(self):
        self.roll_back("refuses-at-start", r"start: it has thought better of it")

    def test_one_that_hangs(self):
        self.roll_back("hangs", r"state: the new binary did not get on")

    def test_one_that_crashes_when_it_watches(self):
        self.roll_back("crashes-when-it-watches", r"\w+: the new binary crashed \(BUS\)")

    def test_one_that_crashes_when_all_are_ready(self):
        self.roll_back("crashes-at-commit", r"replace: the new binary aborted \(ABRT\)")

    def test_one_that_crashes_when_some_serve(self):
        self.roll_back("crashes-after-go", r"replace: the new binary crashed \(FPE\)")

    def test_one_whose_workers_never_become_ready(self):
        self.roll_back("never-ready", r"replace: failed at prepare: slot \d did not say READY")

    def test_one_whose_workers_crash_before_they_are_ready(self):
        self.roll_back("workers-crash-before-ready", r"replace: failed at prepare: slot \d")

    def test_one_whose_workers_crash_when_they_shall_serve(self):
        self.roll_back("workers-crash-after-go", r"replace: slot \d: its worker died")

    def test_one_whose_workers_never_serve(self):
        self.roll_back("never-serving", r"replace: slot \d did not say that it serves")

    def test_one_that_crashes_with_shared_sockets(self):
        self.roll_back("crashes-after-go", r"replace: the new binary crashed \(FPE\)", accept="shared")

    def test_one_that_crashes_with_directed_sockets(self):
        self.roll_back("crashes-after-go", r"replace: the new binary crashed \(FPE\)", accept="directed")


class Meanwhile(Case):
    """What is asked for while the new binary tries is done by the old one."""

    def window(self, how):
        return self.enter(self.start(), how)

    def enter(self, daemon, how):
        """In it the new binary's workers are there and have not said that they serve."""
        daemon.install(BROKEN, how)
        daemon.kill(signal.SIGUSR2)
        daemon.wait_status(lambda status: len(status["workers"]) == 4)
        return daemon

    def test_a_reload(self):
        daemon = self.window("never-ready")
        daemon.configure({"workers": 3})
        daemon.hup()
        daemon.log.wait("upgrade_failed")
        daemon.log.wait("reload_done", workers=3)

    def test_signals_when_it_has_taken_over(self):
        daemon = self.start()
        self.assertEqual(self.upgrade(daemon)[0], 0)
        daemon.hup()
        daemon.log.wait("reload_done", generation=3)
        daemon.kill(signal.SIGUSR1)
        daemon.log.wait("reopened")

    def test_a_reopening(self):
        daemon = self.window("never-ready")
        daemon.kill(signal.SIGUSR1)
        daemon.log.wait("upgrade_failed")
        daemon.log.wait("reopened")

    def test_another_upgrade_is_refused(self):
        daemon = self.window("never-ready")
        daemon.kill(signal.SIGUSR2)
        daemon.log.wait("upgrade_refused")
        daemon.log.wait("upgrade_failed")

    def test_a_caller_from_before_is_answered_and_let_go(self):
        """The old binary would have its connection again, but has nothing to say to it."""
        daemon = self.start(timeouts={"prepare": "5m"})
        with socket.socket(socket.AF_UNIX) as caller:
            caller.settimeout(DEADLINE)
            caller.connect(daemon.control)
            self.enter(daemon, "never-ready")
            caller.sendall(b'{"command":"status"}\n')
            answer = b"".join(iter(lambda: caller.recv(65536), b""))
        self.assertEqual(len(json.loads(answer)["status"]["workers"]), 4)
        self.assertEqual(daemon.stop(signal.SIGINT), 0)

    def test_the_end(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            daemon = self.window("never-ready")
            self.assertEqual(daemon.stop(number), 0)

    def test_a_worker_that_dies(self):
        daemon = self.start()
        before = daemon.workers()
        daemon.install(BROKEN, "never-ready")
        daemon.kill(signal.SIGUSR2)
        daemon.wait_status(lambda status: len(status["workers"]) == 4)
        os.kill(before[0], signal.SIGKILL)
        daemon.log.wait("upgrade_failed")
        daemon.wait_status(lambda status: daemon.workers(status).get(0, before[0]) != before[0])
        self.wait_children(daemon, daemon.workers().values())
        self.expect_success(daemon)

    def test_few_descriptors(self):
        """The way back does not need more of them than there were."""
        for more in (3, 6, 9):
            daemon = self.start()
            limit = fds(daemon.pid) + more
            resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (limit, limit))
            daemon.kill(signal.SIGUSR2)
            event = daemon.log.wait("upgrade_failed")
            self.assertIn("Too many open files", event.fields["error"])
            self.assertEqual(daemon.get().status, 200)
            self.assertEqual(daemon.stop(), 0)


class Strays(Case):
    """Who was accepted by a worker of the new image stays with it."""

    def accepted_meanwhile(self, daemon):
        """Clients that came during an upgrade that fails after some of its workers served."""
        daemon.install(BROKEN, "never-serving")
        upgrade = subprocess.Popen([CTL, "--socket", daemon.control, "upgrade"], stdout=subprocess.DEVNULL)
        clients, end = [], deadline()
        while upgrade.poll() is None:
            clients.append(daemon.client())
            self.assertEqual(clients[-1].request().status, 200)
            select.select([daemon.pidfd], [], [], min(0.02, left(end)))     # so that they stay few
        self.assertEqual(upgrade.returncode, 1)
        daemon.log.wait("stray_found")
        daemon.log.wait("upgrade_taken_back")
        self.assertTrue(all(client.is_quiet() for client in clients))
        return clients

    def test_idle_clients_are_told_before_they_are_left(self):
        daemon = self.start()
        clients = self.accepted_meanwhile(daemon)
        self.assertIn(True, [client.request().closes for client in clients])
        for client in clients:
            client.close()
        self.wait_children(daemon, daemon.workers().values())

    def test_a_stop_does_not_wait_for_idle_clients(self):
        daemon = self.start(timeouts={"prepare": PREPARE, "drain": "10m"})
        clients = self.accepted_meanwhile(daemon)
        self.assertEqual(daemon.stop(), 0)
        for client in clients:
            self.assertTrue(client.at_end())
            client.close()


class Signal(Case):
    """By USR2 nobody waits; the log says what became of it."""

    def test_a_failure_is_in_the_log(self):
        daemon = self.start()
        daemon.install(BROKEN, "crashes-at-start")
        daemon.kill(signal.SIGUSR2)
        self.assertIn("SEGV", daemon.log.wait("upgrade_failed").fields["error"])

    def test_what_failed_is_in_the_status_whatever_its_bytes(self):
        """A path that is cut within a character: after an odd, or after an even number of bytes."""
        for name in ("logs", "logs-"):
            with self.subTest(name=name):
                daemon = self.start()
                top = os.path.join(daemon.dir, name)
                below = os.path.join(top, *(2 * ["\u00e9" * 120]))
                os.makedirs(below)
                daemon.configure({"log": {"access": os.path.join(below, "access.log")}})
                self.assertEqual(daemon.reload()[0], 0)
                os.rename(top, top + ".away")
                self.assertEqual(self.upgrade(daemon)[0], 1)
                status = daemon.status()["upgrade"]
                self.assertEqual((status["good"], status["failed"]), (False, 1))
                self.assertIn("log.access", status["text"])

    def test_the_old_binary_stops_and_reloads_as_ever(self):
        daemon = self.start()
        daemon.install(BROKEN, "crashes-at-start")
        self.assertEqual(self.upgrade(daemon)[0], 1)
        self.assertEqual(daemon.reload()[0], 0)
        self.assertEqual(daemon.reload("--replace")[0], 0)
        self.assertEqual(daemon.stop(), 0)


if __name__ == "__main__":
    unittest.main()
