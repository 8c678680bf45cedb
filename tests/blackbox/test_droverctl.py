"""droverctl's live insight: connections, slow, top. A hung worker never hangs a command, and nobody sees a secret."""

import json
import os
import signal
import socket
import struct
import subprocess
import tempfile
import unittest

import drover
from drover import CTL, Client, Drover

PATIENT = {"timeouts": {"hang_kill": "10m"}}


class Ctl(unittest.TestCase):
    def server(self, settings=None, **more):
        server = Drover({**PATIENT, **(settings or {})}, **more)
        self.addCleanup(server.close)
        return server

    def client(self, server, **more):
        client = Client(server.address, **more)
        self.addCleanup(client.close)
        return client

    def stop(self, pid):
        self.addCleanup(drover.go_on, pid)
        drover.stop(pid)

    def ask(self, server, *args):
        result = server.ctl("--json", *args)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        return json.loads(result.stdout)

    def wait(self, server, condition, *args):
        """Asks until the answer is so."""
        end = drover.deadline()
        while not condition(answer := self.ask(server, *args)):
            drover.left(end)
        return answer


class Fake:
    """A daemon that says whatever it is told to, once for each caller."""

    def __init__(self, test, answer, files=()):
        directory = tempfile.TemporaryDirectory(prefix="drover-test-")
        test.addCleanup(directory.cleanup)
        self.path = os.path.join(directory.name, "control.sock")
        self.listener = socket.socket(socket.AF_UNIX)
        test.addCleanup(self.listener.close)
        self.listener.bind(self.path)
        self.listener.listen()
        self.answer = json.dumps(answer).encode() + b"\n"
        self.files = files

    def ask(self, *args):
        """droverctl's (exit status, what it printed, what it complained of)."""
        asking = subprocess.Popen([CTL, "--socket", self.path, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.listener.settimeout(drover.DEADLINE)
        caller = self.listener.accept()[0]
        with caller:
            caller.settimeout(drover.DEADLINE)
            self.request = json.loads(caller.recv(65536))
            fds = [os.memfd_create("x") for _ in self.files]
            for fd, content in zip(fds, self.files):
                os.write(fd, content)
            socket.send_fds(caller, [self.answer], fds)
            for fd in fds:
                os.close(fd)
        out, errors = asking.communicate(timeout=drover.DEADLINE)
        return asking.returncode, out, errors


LIST_HEAD = struct.Struct("IIIIQ")
RECORD = struct.Struct("QQQQQII64s64s64s128s")


class Hostile(Ctl):
    """What workers and clients wrote into the files, droverctl alone reads."""

    def fake(self, *files):
        return Fake(self, {"ok": True, "now_ns": 10**12,
                           "workers": [{"slot": i, "pid": 100 + i, "listed": True} for i in range(len(files))]}, files)

    def record(self, client=b"127.0.0.1:5", request=b"GET / HTTP/1.1"):
        return RECORD.pack(1, 2, 3, 4, 5, 6, 0, client, b"", b"", request)

    def head(self, count, version=1, size=RECORD.size):
        return LIST_HEAD.pack(version, size, count, count, count)

    def test_escape_sequences_are_shown_and_not_sent(self):
        fake = self.fake(self.head(1) + self.record(b"\x1b[31m", b"GET /\x1b]0;x\x07\x9b\"\\\xff\n" + 116 * b"\x1b"))
        status, out, _ = fake.ask("connections")
        self.assertEqual(status, 0)
        self.assertTrue(all(c == 10 or 32 <= c < 127 for c in out), out)
        self.assertIn(b"\\x1b[31m", out)
        status, out, _ = fake.ask("--json", "connections")
        row = json.loads(out)["connections"][0]
        self.assertEqual(row["client"], "\\x1b[31m")
        self.assertTrue(all(32 <= ord(c) < 127 for c in row["request"]), row)

    def test_files_that_make_no_sense_are_named(self):
        good = self.head(1) + self.record()
        bad = [b"", b"x", self.head(1), good[:-1], self.head(2) + self.record(), self.head(0xffffffff) + self.record(),
               self.head(1, version=2) + self.record(), self.head(1, size=8) + self.record()]
        status, out, _ = self.fake(*bad, good).ask("--json", "connections")
        answer = json.loads(out)
        self.assertEqual(status, 0)
        self.assertEqual([worker["listed"] for worker in answer["workers"]], len(bad) * [False] + [True])
        self.assertEqual({worker.get("why") for worker in answer["workers"][:-1]}, {"its list cannot be read"})
        self.assertIn(108, [row["pid"] for row in answer["connections"]])

    def test_fewer_files_than_were_promised(self):
        fake = self.fake(self.head(0))
        fake.files = ()
        status, out, _ = fake.ask("connections")
        self.assertEqual(status, 0)
        self.assertIn(b"slot 0, pid 100: its list cannot be read", out)


class Connections(Ctl):
    def listed(self, server, count, *args):
        return self.wait(server, lambda answer: len(answer["connections"]) == count, "connections", *args)

    def test_what_is_under_way(self):
        server = self.server()
        idle = self.client(server)
        idle.request()
        idle.request()
        slow = self.client(server)
        slow.send(b"GET /there?token=1 HTTP/1.1\r\nHost: a.example\r\nX: ")
        answer = self.listed(server, 2)
        rows = {row["state"]: row for row in answer["connections"]}
        self.assertEqual(set(rows), {"idle", "head"})
        self.assertEqual(rows["idle"]["client"], "127.0.0.1:%d" % idle.socket.getsockname()[1])
        self.assertEqual(rows["idle"]["served"], 2)
        self.assertGreater(rows["idle"]["bytes_out"], 100)
        self.assertNotIn("request", rows["idle"])
        self.assertEqual(rows["head"]["request"], "GET /there?token=1 HTTP/1.1")
        self.assertIn(rows["head"]["pid"], server.workers().values())
        self.assertEqual((answer["open"], answer["matched"]), (2, 2))
        text = server.ctl("connections").stdout
        self.assertIn("GET /there?token=1 HTTP/1.1", text)
        self.assertIn("2 of 2 that match, of 2 open", text)

    def test_secrets_are_masked(self):
        server = self.server({"log": {"query": False}})
        client = self.client(server)
        client.send(b"GET http://me:secret@b.example/?token=1 HTTP/1.")
        self.wait(server, lambda answer: "request" in (answer["connections"] or [{}])[0], "connections")
        text = server.ctl("connections").stdout
        self.assertIn("GET http://-@b.example/?- HTTP/1.", text)
        self.assertNotIn("secret", text)
        self.assertNotIn("token", text)

    def test_filters(self):
        server = self.server({"workers": 1})
        here = self.client(server)
        there = self.client(server, source="127.0.0.9")
        here.request()
        there.send(b"GET /x")
        self.listed(server, 1, "--state", "head")
        for args, count in ((["--peer", "127.0.0.9"], 1), (["--peer", "127.0.0.0/8"], 2), (["--peer", "10.0.0.0/8"], 0),
                            (["--peer", "::1"], 0), (["--slot", "0"], 2), (["--slot", "1"], 0),
                            (["--state", "idle"], 1), (["--state", "idle", "--state", "head"], 2),
                            (["--state", "sending"], 0), (["--older", "1h"], 0), (["--older", "0s"], 2),
                            (["--sort", "bytes"], 2)):
            self.assertEqual(len(self.ask(server, "connections", *args)["connections"]), count, args)
        self.assertEqual(self.ask(server, "connections", "--sort", "bytes")["connections"][0]["state"], "idle")

    def test_wrong_usage(self):
        server = self.server()
        for args in (["--state", "x"], ["--slot", "x"], ["--limit", "0"], ["--limit", "5000"], ["--older", "x"],
                     ["--older", "10y"], ["--sort", "x"], ["x"], ["--nonsense"]):
            self.assertEqual(server.ctl("connections", *args).returncode, 2, args)
        refused = server.ctl("connections", "--peer", "nobody")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("expected an address or a network", refused.stderr)

    def test_the_limit_keeps_the_oldest(self):
        server = self.server({"workers": 1})
        clients = []
        for _ in range(20):
            clients.append(self.client(server))
            clients[-1].request()
        answer = self.ask(server, "connections", "--limit", "3")
        self.assertEqual([row["client"] for row in answer["connections"]],
                         ["127.0.0.1:%d" % client.socket.getsockname()[1] for client in clients[:3]])
        self.assertEqual((answer["open"], answer["matched"]), (20, 20))

    def test_all_are_found_whatever_comes_and_goes(self):
        """More than a piece of the worker's memory holds, and places that are free again."""
        server = self.server({"workers": 1})
        clients = [self.client(server) for _ in range(600)]
        for client in clients:
            client.request()
        for client in clients[::2]:
            client.close()
        answer = self.listed(server, 300, "--limit", "4096")
        self.assertEqual({row["client"] for row in answer["connections"]},
                         {"127.0.0.1:%d" % client.socket.getsockname()[1] for client in clients[1::2]})

    def test_a_hung_worker_is_named_and_waited_for_once(self):
        server = self.server()
        workers = server.workers()
        self.stop(workers[0])
        for _ in range(3):
            answer = self.ask(server, "connections")
            by_slot = {worker["slot"]: worker for worker in answer["workers"]}
            self.assertEqual((by_slot[0]["listed"], by_slot[0]["why"]), (False, "does not answer"))
            self.assertTrue(by_slot[1]["listed"])
        self.assertIn("slot 0, pid %d: does not answer" % workers[0], server.ctl("connections").stdout)
        drover.go_on(workers[0])
        self.wait(server, lambda answer: all(worker["listed"] for worker in answer["workers"]), "connections")

    def test_a_worker_that_ends_meanwhile_is_named(self):
        server = self.server()
        workers = server.workers()
        self.stop(workers[0])
        asking = subprocess.Popen([CTL, "--socket", server.control, "--json", "connections"],
                                  stdout=subprocess.PIPE, text=True)
        os.kill(workers[0], signal.SIGKILL)
        answer = json.loads(asking.communicate(timeout=drover.DEADLINE)[0])
        self.assertIn(len(answer["workers"]), (1, 2))
        for worker in answer["workers"]:
            self.assertTrue(worker["listed"] or worker["why"] in ("it has ended", "does not answer"), worker)

    def test_a_caller_that_leaves(self):
        server = self.server()
        self.stop(server.workers()[0])
        for _ in range(5):
            with socket.socket(socket.AF_UNIX) as caller:
                caller.connect(server.control)
                caller.sendall(b'{"command":"connections"}\n')
        self.assertEqual(len(self.ask(server, "connections")["workers"]), 2)

    def test_the_master_keeps_no_descriptor(self):
        server = self.server()
        self.ask(server, "connections")
        before = drover.fds(server.pid)
        for _ in range(20):
            self.ask(server, "connections")
        self.assertLessEqual(drover.fds(server.pid), before + 1)
        self.assertEqual([drover.fds(pid) for pid in server.workers().values()],
                         [drover.fds(pid) for pid in server.workers().values()])

    def test_a_hundred_at_once(self):
        server = self.server()
        self.client(server).request()
        self.stop(server.workers()[0])
        asking = [subprocess.Popen([CTL, "--socket", server.control, "--json", *args], stdout=subprocess.PIPE)
                  for args in [["connections"], ["status"], ["generations"], ["connections", "--limit", "1"]] * 25]
        for process in asking:
            self.assertTrue(json.loads(process.communicate(timeout=2 * drover.DEADLINE)[0])["ok"])
            self.assertEqual(process.returncode, 0)

    def test_over_an_upgrade(self):
        server = self.server(own=True)
        client = self.client(server)
        client.request()
        self.assertEqual(server.ctl("upgrade").returncode, 0)
        self.listed(server, 1)


if __name__ == "__main__":
    unittest.main()
