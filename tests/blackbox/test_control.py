"""The control socket: whoever talks to it, however badly, the daemon goes on."""

import json
import os
import socket
import stat
import unittest

import drover
from drover import Drover


class Control(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Drover()
        cls.addClassCleanup(cls.server.close)

    def connect(self):
        client = socket.socket(socket.AF_UNIX)
        self.addCleanup(client.close)
        client.connect(self.server.control)  # blocking: a full backlog is waited for
        client.settimeout(drover.DEADLINE)
        return client

    def say(self, data):
        """The daemon's answer to these bytes, up to its closing the connection."""
        client = self.connect()
        try:
            client.sendall(data)
        except BrokenPipeError:
            pass  # it has heard enough
        answer = b""
        try:
            while data := client.recv(65536):
                answer += data
        except ConnectionResetError:
            pass
        return answer

    def refused(self, data):
        answer = self.say(data)
        if answer:
            self.assertTrue(answer.endswith(b"\n"), answer)
            self.assertFalse(json.loads(answer)["ok"])
        self.alive()

    def alive(self):
        self.assertEqual(self.server.status()["pid"], self.server.pid)
        self.assertEqual(self.server.get().status, 200)

    def test_permissions(self):
        info = os.stat(self.server.control)
        self.assertEqual(stat.S_IMODE(info.st_mode), 0o600)
        self.assertEqual(info.st_uid, os.geteuid())

    def test_one_object_a_line(self):
        answer = json.loads(self.say(b'{"command":"status"}\n'))
        self.assertTrue(answer["ok"])
        self.assertEqual(answer["status"]["pid"], self.server.pid)

    def test_what_the_status_says(self):
        status = self.server.status()
        self.assertEqual(len(status["slots"]), 2)
        self.assertEqual(status["accept"], {"wanted": "reuseport", "effective": "reuseport", "why": ""})
        self.assertEqual([listener["address"] for listener in status["listeners"]],
                         [drover.address_text(self.server.address)])
        self.assertEqual(status["phase"], "idle")

    def test_what_the_status_counts(self):
        requests = self.requests()
        for _ in range(5):
            self.server.get()
        self.server.get("/none")
        self.assertEqual(self.requests(), requests + 6)

    def requests(self):
        for pid in self.server.workers().values():
            drover.wait_asleep(pid)
        return self.server.status()["totals"]["requests"]

    def test_bad_lines(self):
        for line in (b"\n", b"status\n", b"{\n", b"{}\n", b"[]\n", b"null\n", b"1\n", b'"status"\n', b'{"command":1}\n',
                     b'{"command":"nonsense"}\n', b'{"command":null}\n', b'{"command":"status"\n', b"\0\n",
                     b"\xff\xfe\n",
                     b'{"command":"status","command":"reload"}\n', b'{"command":"status"} trailing\n',
                     b'{"command":"stat\\u0000us"}\n', b"[" * 3000 + b"\n", b"GET / HTTP/1.1\r\n\r\n"):
            with self.subTest(line[:40]):
                self.refused(line)

    def test_a_line_too_long(self):
        for size in (4096, 4097, 1 << 20):
            with self.subTest(size):
                self.refused(b"x" * size)
                self.refused(b'{"command":"' + b"x" * size + b'"}\n')

    def test_a_client_that_leaves_at_once(self):
        for _ in range(200):
            self.connect().close()
        self.alive()

    def test_a_client_that_leaves_in_the_middle(self):
        for data in (b"", b'{"comm', b'{"command":"status"}\n', b'{"command":"reload"}\n'):
            client = self.connect()
            client.sendall(data)
            client.close()
        self.alive()

    def test_a_client_that_has_shut_its_side(self):
        client = self.connect()
        client.sendall(b'{"command":"status"}\n')
        client.shutdown(socket.SHUT_WR)
        self.assertTrue(client.recv(10))

    def test_byte_by_byte(self):
        client = self.connect()
        for byte in b'{"command":"status"}\n':
            client.sendall(bytes((byte,)))
        self.assertTrue(client.recv(10).startswith(b'{"ok":true'))

    def test_clients_that_never_speak(self):
        clients = [self.connect() for _ in range(50)]
        self.alive()
        for client in clients:
            client.close()
        self.alive()

    def test_more_clients_than_it_wants(self):
        """Some may wait for others to be served, none is turned away."""
        descriptors = drover.fds(self.server.pid)
        clients = [self.connect() for _ in range(100)]
        for client in clients:
            client.sendall(b'{"command":"status"}\n')
        for client in clients:
            self.assertTrue(client.recv(10).startswith(b'{"ok":true'))
            client.close()
        self.server.wait_status(lambda _: drover.fds(self.server.pid) <= descriptors + 1)

    def test_clients_that_never_read(self):
        clients = [self.connect() for _ in range(20)]
        for client in clients:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            client.sendall(b'{"command":"status"}\n')
        self.alive()
        self.assertEqual(self.server.reload()[0], 0)

    def test_another_user_is_refused(self):
        if os.geteuid() != 0:
            return  # cannot become another one
        pid = os.fork()
        if pid == 0:
            try:
                os.setuid(65534)
                socket.socket(socket.AF_UNIX).connect(self.server.control)
            except PermissionError:
                os._exit(0)
            os._exit(1)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)


class Attacked(unittest.TestCase):
    """What somebody with the right to it may do to the control socket: the master, its clients and the next command
    go on."""

    MOST = 128      # MOST_CLIENTS

    def setUp(self):
        self.server = Drover({"workers": 1})
        self.addCleanup(self.server.close)
        self.before = drover.fds(self.server.pid)

    def connect(self):
        client = socket.socket(socket.AF_UNIX)
        self.addCleanup(client.close)
        client.connect(self.server.control)
        client.settimeout(drover.DEADLINE)
        return client

    def is_open(self, client):
        client.setblocking(False)
        try:
            return client.recv(1) != b""
        except BlockingIOError:
            return True
        except ConnectionError:
            return False
        finally:
            client.settimeout(drover.DEADLINE)

    def settled(self):
        """It serves, takes commands and signals, and has let everything go."""
        self.assertEqual(self.server.get().status, 200)
        generation = self.server.wait_status(lambda status: status["phase"] == "idle")["generation"]
        self.server.hup()
        self.server.wait_status(lambda status: status["generation"] > generation)
        self.server.wait_status(lambda _: drover.fds(self.server.pid) <= self.before + 1)

    def test_who_says_nothing_makes_room(self):
        """The operator is answered while all others are still there, but for the oldest."""
        silent = [self.connect() for _ in range(self.MOST)]
        for client in silent[::2]:
            client.sendall(b'{"command":"sta')
        # one is let go for each that comes: droverctl, and another one of ours
        self.assertEqual(self.server.status()["pid"], self.server.pid)
        self.assertEqual([self.is_open(client) for client in silent], [False] + [True] * (self.MOST - 1))
        silent[-1].sendall(b'{"command":"status"}\n')
        self.assertTrue(silent[-1].recv(10).startswith(b'{"ok":true'))
        for client in silent:
            client.close()
        self.settled()

    def test_hundreds_who_say_nothing_or_the_wrong_thing(self):
        lines = [b"", b"{", b'{"command":', b"x" * 4096, b"x" * 100000, b"\0" * 100, b"[" * 4000, b"[" * 4000 + b"\n",
                 b'{"command":"' + b"\xff" * 100 + b'"}\n', b'{"command":{}}\n', b'{"command":"status"}' * 100,
                 b"\n" * 4096, b'{"command":"check","config":"' + b"/x" * 2000 + b'"}\n', b'"\\ud800"\n', b"1e999999\n"]
        clients = []
        for turn in range(300):
            client = self.connect()
            client.setblocking(False)
            try:
                client.send(lines[turn % len(lines)])
            except (BlockingIOError, ConnectionError):
                pass
            clients.append(client)
            if turn % 50 == 49:
                self.assertEqual(self.server.status()["pid"], self.server.pid)
        for client in clients:
            client.close()
        self.settled()

    def test_a_storm_of_reloads_and_of_questions(self):
        """Who asks is answered, whatever others ask meanwhile; reloads that wait become one."""
        generation = self.server.generation()
        storm = [self.connect() for _ in range(100)]
        for number, client in enumerate(storm):
            client.sendall(b'{"command":"reload"}\n' if number % 2 else b'{"command":"status"}\n')
        for _ in range(5):
            self.server.hup()
        for client in storm:
            self.assertTrue(client.recv(10).startswith(b'{"ok":true'))
            client.close()
        self.assertEqual(self.server.get().status, 200)
        self.server.wait_status(lambda status: drover.fds(self.server.pid) <= self.before + 1)
        self.assertLessEqual(self.server.generation() - generation, 55)
        self.settled()

    def test_who_waits_for_a_reload_makes_no_room(self):
        worker = self.server.workers()[0]
        drover.stop(worker)             # no vote: the reload waits
        try:
            waiting = [self.connect() for _ in range(self.MOST)]
            for client in waiting:
                client.sendall(b'{"command":"reload"}\n')
            late = [self.connect() for _ in range(5)]
            for client in late:
                client.sendall(b'{"command":"status"}\n')
        finally:
            drover.go_on(worker)
        for client in waiting + late:
            self.assertTrue(client.recv(10).startswith(b'{"ok":true'))
            client.close()
        self.settled()

    def test_answers_that_nobody_reads(self):
        memory = int(drover.process_status(self.server.pid)["VmRSS"].split()[0])
        for _ in range(3):
            clients = [self.connect() for _ in range(self.MOST - 1)]
            for client in clients:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
                client.sendall(b'{"command":"status"}\n')
            self.assertEqual(self.server.status()["pid"], self.server.pid)
            for client in clients:
                client.close()
        self.settled()
        grown = int(drover.process_status(self.server.pid)["VmRSS"].split()[0]) - memory
        self.assertLess(grown, 16384, "KiB more")


class Tool(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Drover()
        cls.addClassCleanup(cls.server.close)

    def test_wrong_usage(self):
        for arguments in ([], ["nonsense"], ["status", "more"], ["--nonsense"], ["status", "--replace"]):
            with self.subTest(arguments):
                result = self.server.ctl(*arguments)
                self.assertEqual(result.returncode, 2)
                self.assertEqual(result.stdout, "")
                self.assertLessEqual(len(result.stderr.splitlines()), 2)       # the mistake stays in sight

    def test_the_start_is_no_reload(self):
        with Drover() as server:
            self.assertRegex(server.ctl("status").stdout, r"(?m)^started at 2\d{3}-\S+Z: generation 1 ")
            self.assertEqual(server.reload()[0], 0)
            self.assertRegex(server.ctl("status").stdout, r"(?m)^last reload succeeded at \S+Z: generation 2 ")

    def test_status_for_people(self):
        result = self.server.ctl("status")
        self.assertEqual(result.returncode, 0)
        self.assertIn(drover.address_text(self.server.address), result.stdout)
        for pid in self.server.workers().values():
            self.assertRegex(result.stdout, r"\b%d\b" % pid)

    def test_nobody_there(self):
        with Drover() as server:
            server.stop()
            for command in ("status", "reload"):
                result = server.ctl(command)
                self.assertEqual(result.returncode, 3)
                self.assertIn(server.control, result.stderr)
                self.assertIn("no drover is running there", result.stderr)


if __name__ == "__main__":
    unittest.main()
