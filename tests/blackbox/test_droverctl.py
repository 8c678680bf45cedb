"""droverctl's live insight: connections, slow, top. A hung worker never hangs a command, and nobody sees a secret."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import tempfile
import termios
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


class Help(unittest.TestCase):
    def ask(self, *args):
        result = subprocess.run([CTL, *args, "--help"], capture_output=True, text=True, timeout=drover.DEADLINE)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return result.stdout

    def test_it_fits_a_terminal(self):
        self.assertEqual([line for line in self.ask().splitlines() if len(line) > 80], [])

    def test_behind_a_command_it_is_of_that_alone(self):
        names = re.findall(r"(?m)^  ([a-z]+)", self.ask())
        self.assertGreater(len(names), 20)
        for name in names:
            self.assertEqual(re.findall(r"(?m)^  ([a-z]+)", self.ask(name)), [name])

    def run_ctl(self, *args):
        return subprocess.run([CTL, *args], capture_output=True, text=True, timeout=drover.DEADLINE)

    def test_it_is_a_command_too(self):
        for args, same in ((("help",), ()), (("help", "nonsense"), ()), (("help", "set"), ("set",))):
            with self.subTest(args=args):
                result = self.run_ctl(*args)
                self.assertEqual((result.returncode, result.stdout, result.stderr), (0, self.ask(*same), ""))

    def test_too_few_arguments_show_what_is_expected(self):
        result = self.run_ctl("drain")
        self.assertEqual((result.returncode, result.stdout), (2, ""))
        self.assertEqual(result.stderr, "usage: droverctl drain SLOT|all [--no-wait] [--wait TIME]\n")


class Fake:
    """A daemon that says whatever it is told to, to `callers` of them."""

    def __init__(self, test, answer, files=(), callers=1):
        directory = tempfile.TemporaryDirectory(prefix="drover-test-")
        test.addCleanup(directory.cleanup)
        self.path = os.path.join(directory.name, "control.sock")
        self.listener = socket.socket(socket.AF_UNIX)
        test.addCleanup(self.listener.close)
        self.listener.bind(self.path)
        self.listener.listen()
        self.answer = json.dumps(answer).encode() + b"\n"
        self.files = files
        self.callers = callers

    def ask(self, *args):
        """droverctl's (exit status, what it printed, what it complained of)."""
        asking = subprocess.Popen([CTL, "--socket", self.path, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.listener.settimeout(drover.DEADLINE)
        for _ in range(self.callers):
            with self.listener.accept()[0] as caller:
                caller.settimeout(drover.DEADLINE)
                self.request = json.loads(caller.recv(65536))
                self.say(caller)
        out, errors = asking.communicate(timeout=drover.DEADLINE)
        return asking.returncode, out, errors

    def say(self, caller):
        fds = [os.memfd_create("x") for _ in self.files]
        for fd, content in zip(fds, self.files):
            os.write(fd, content)
        socket.send_fds(caller, [self.answer], fds)
        for fd in fds:
            os.close(fd)


SLOW_HEAD = struct.Struct("IIII")
SLOW_ENTRY = struct.Struct("QQQQQIIII56s64s128s")
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


class HostileSlow(Ctl):
    def entry(self, request=b"GET / HTTP/1.1", at_ms=10**12):
        return SLOW_ENTRY.pack(1, at_ms, 3 * 10**9, 10**9, 5, 200, 7, 0, 1, b"c", b"h", request)

    def head(self, count, version=1, size=SLOW_ENTRY.size):
        return SLOW_HEAD.pack(version, size, count, 0)

    def fake(self, *files):
        return Fake(self, {"ok": True, "threshold_ms": 1000}, files)

    def test_entries_are_escaped(self):
        fake = self.fake(self.head(2) + self.entry(b"GET /\x1b[2J\xff\n" + 117 * b"x") + self.entry(at_ms=2**64 - 1))
        status, out, _ = fake.ask("slow")
        self.assertEqual(status, 0)
        self.assertTrue(all(c == 10 or 32 <= c < 127 for c in out), out)
        self.assertIn(b"2001-09-09T01:46:40Z      3 s  1000 ms      2 s", out)
        self.assertIn(b"(cut) GET /\\x1b[2J\\xff", out)
        row = json.loads(fake.ask("--json", "slow")[1])["requests"][1]
        self.assertEqual((row["duration_ms"], row["waited_ms"], row["sending_ms"]), (3000, 1000, 2000))

    def test_files_that_make_no_sense(self):
        for files in ((), (b"",), (self.head(1),), (self.head(2) + self.entry(),), (self.head(2**32 - 1) + self.entry(),),
                      (self.head(1, version=2) + self.entry(),), (self.head(1, size=1) + self.entry(),)):
            status, out, errors = self.fake(*files).ask("slow")
            self.assertEqual((status, out), (1, b""), files)
            self.assertIn(b"cannot be read", errors)


class Slow(Ctl):
    SETTINGS = {"log": {"slow": "100ms", "query": False}}

    def server(self, settings=None, **more):
        routes = [{"match": "/t", "trouble": {}}, {"match": "/", "respond": {"status": 200, "body": "x"}}]
        return super().server({**self.SETTINGS, "workers": 1, "sites": [{"routes": routes}], **(settings or {})},
                              program=drover.AIDED, **more)

    def slow(self, server, count):
        return self.wait(server, lambda answer: len(answer["requests"]) == count, "slow")["requests"]

    def stall(self, server, target="/t?stall=150"):
        with Client(server.address) as client:
            client.request(target, host="a.example", close=True)

    def test_what_took_long_is_kept(self):
        server = self.server()
        with Client(server.address) as client:
            client.request("/")
        self.assertIn("no request took 100 ms or longer", server.ctl("slow").stdout)
        self.stall(server)
        row, = self.slow(server, 1)
        self.assertGreaterEqual(row["duration_ms"], 150)
        self.assertEqual((row["slot"], row["pid"], row["status"], row["host"], row["request"], row["cut"]),
                         (0, server.workers()[0], 200, "a.example", "GET /t?-", False))
        self.assertIn("GET /t?- (a.example)", server.ctl("slow").stdout)
        self.assertNotIn("stall", server.ctl("slow").stdout)

    def test_the_newest_are_kept_and_shown_first(self):
        server = self.server({"log": {"slow": "0"}})
        with Client(server.address) as client:
            for i in range(40):
                client.request("/%d" % i)
        rows = self.slow(server, 20)
        newest = {"GET /%d" % i for i in range(8, 40)}
        self.wait(server, lambda answer: {row["request"] for row in answer["requests"]} == newest, "slow", "--limit", "99")
        self.assertGreaterEqual(rows[0]["at_ms"], rows[-1]["at_ms"])
        self.assertEqual(len(self.ask(server, "slow", "--limit", "3")["requests"]), 3)

    def test_it_survives_the_worker_and_a_hung_one_shows_it(self):
        server = self.server()
        self.stall(server)
        self.slow(server, 1)
        first = server.workers()[0]
        os.kill(first, signal.SIGKILL)
        server.wait_status(lambda status: server.workers(status).get(0) not in (None, first))
        self.assertEqual(self.slow(server, 1)[0]["pid"], first)
        self.stop(server.workers()[0])
        self.slow(server, 1)

    def test_it_survives_an_upgrade(self):
        server = self.server(own=True)
        self.stall(server)
        self.slow(server, 1)
        self.assertEqual(server.ctl("upgrade").returncode, 0)
        self.slow(server, 1)

    def test_the_threshold_is_live(self):
        server = self.server()
        server.configure({"log": {"slow": "1h"}})
        self.assertEqual(server.reload()[0], 0)
        self.stall(server)
        self.assertEqual(self.slow(server, 0), [])

    def test_wrong_usage(self):
        server = self.server()
        for args in (["--limit", "0"], ["--limit", "x"], ["x"]):
            self.assertEqual(server.ctl("slow", *args).returncode, 2, args)


class Top(Ctl):
    def start(self, server, *args, environment=None, columns=100):
        """On a terminal of its own: (process, the terminal's master)."""
        master, slave = pty.openpty()
        self.addCleanup(os.close, master)
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self.before = termios.tcgetattr(master)
        process = subprocess.Popen([CTL, "--socket", server.control, "top", "--interval", "100ms", *args],
                                   stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                                   env={**os.environ, "TERM": "xterm", "NO_COLOR": "", **(environment or {})})
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        os.close(slave)
        self.seen = b""
        return process, master

    def read_until(self, master, text):
        end = drover.deadline()
        while text not in self.seen:
            if not select.select([master], [], [], drover.left(end))[0]:
                continue
            try:
                self.seen += os.read(master, 65536)
            except OSError:             # its other end is closed
                break
        self.assertIn(text, self.seen)

    def restored(self, process, master):
        self.read_until(master, b"\x1b[?1049l")
        self.assertEqual(process.wait(drover.DEADLINE), 0)
        self.assertEqual(termios.tcgetattr(master), self.before)

    def test_once(self):
        server = self.server()
        for args in (["--once"], []):       # no terminal is there
            text = server.ctl("top", "--interval", "100ms", *args).stdout
            self.assertRegex(text, r"(?m)^   1  serving ")
            self.assertIn("requests/s", text)
            self.assertIn("last reload succeeded", text)
            self.assertIn("(default)", text)
            self.assertNotIn("\x1b", text)

    def test_what_it_counts(self):
        server = self.server({"workers": 1})
        process = subprocess.Popen([CTL, "--socket", server.control, "top", "--json", "--once", "--interval", "3s"],
                                   stdout=subprocess.PIPE)
        with Client(server.address) as client:
            for _ in range(100):
                client.request()
        answer = json.loads(process.communicate(timeout=drover.DEADLINE)[0])
        seconds = answer["interval_ms"] / 1000
        self.assertLessEqual(answer["requests_per_s"] * seconds, 100.5)
        by_site = {site["site"]: site for site in answer["sites"]}
        self.assertAlmostEqual(by_site["(default)"]["requests_per_s"] * seconds,    # one may be under way
                               answer["slots"][0]["requests_per_s"] * seconds, delta=1.01)

    def test_an_object_in_each_interval_over_a_reload_and_an_upgrade(self):
        server = self.server(own=True)
        process = subprocess.Popen([CTL, "--socket", server.control, "--json", "top", "--interval", "100ms"],
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.assertTrue(json.loads(process.stdout.readline())["ok"])
        self.assertEqual(server.reload()[0], 0)
        self.assertEqual(server.ctl("upgrade").returncode, 0)
        while json.loads(process.stdout.readline())["upgrade"]["succeeded"] == 0:
            pass
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(drover.DEADLINE), 0)

    def test_a_terminal_is_given_back_whatever_ends_it(self):
        server = self.server()
        for end in (lambda process, master: os.write(master, b"q"),
                    lambda process, master: process.send_signal(signal.SIGINT),
                    lambda process, master: process.terminate()):
            process, master = self.start(server)
            self.read_until(master, b"serving")
            self.assertTrue(self.seen.startswith(b"\x1b[?1049h"), self.seen[:40])
            self.assertIn(b"\x1b[1m", self.seen)
            end(process, master)
            self.restored(process, master)

    def test_another_size(self):
        process, master = self.start(self.server(), columns=160)
        self.read_until(master, b"leaving")
        fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", 12, 30, 0, 0))
        self.seen = b""
        lines, end = self.screen(master), drover.deadline()
        while max(map(len, lines)) > 30 or len(lines) > 12:     # of before
            drover.left(end)
            lines = self.screen(master)
        self.assertTrue(any("req/s" in line for line in lines), lines)

    def screen(self, master):
        """The next whole one."""
        for _ in range(2):
            self.read_until(master, b"\x1b[J")
            screen, self.seen = self.seen.split(b"\x1b[J", 1)
        self.seen = b"\x1b[J" + self.seen
        return re.sub(rb"\x1b\[[?0-9]*[a-zA-Z]", b"", screen).decode().split("\r\n")

    def test_keys_sort_and_no_color_is_respected(self):
        process, master = self.start(self.server(), environment={"NO_COLOR": "1"})
        self.read_until(master, b"serving")
        os.write(master, b"ssr")
        self.read_until(master, b"\x1b[J")
        self.assertNotIn(b"\x1b[1m", self.seen)
        os.write(master, b"q")
        self.restored(process, master)

    def test_a_hung_worker_and_one_that_is_not_there(self):
        server = self.server()
        self.stop(server.workers()[0])
        self.assertEqual(len(self.ask(server, "top", "--once", "--interval", "100ms")["slots"]), 2)
        self.assertEqual(server.ctl("--socket", server.control + ".none", "top", "--once").returncode, 3)

    def test_it_waits_for_a_daemon_that_is_gone(self):
        server = self.server()
        process, master = self.start(server)
        self.read_until(master, b"serving")
        server.stop()
        server.wait_exit()
        self.seen = b""
        self.read_until(master, b"connect to")
        os.write(master, b"q")
        self.restored(process, master)

    def test_whatever_the_daemon_says(self):
        fake = Fake(self, {"ok": True, "status": {
            "version": "\x1b[31m", "slots": [{"slot": 0, "bad": True, "last_death": {"request": "\x1b[31m\n"}}],
            "workers": [{"slot": 0, "state": "\x1b[31m"}, {"slot": -1}, 7],
            "last_reload": {"text": "\u009b\x1b[31m"}, "listeners": [{}, 1],
            "metrics": {"slots": [{"slot": 0, "latency": [0, 5, 99, 1, -1, 5, "x", 2], "requests": [1, "x"]}, 1, None],
                        "sites": [{"site": "\x1b[31m\u009b"}, {"site": 5}]}}}, callers=2)
        status, out, _ = fake.ask("top", "--once", "--interval", "100ms")
        self.assertEqual(status, 0)
        self.assertTrue(all(c == 10 or 32 <= c < 127 for c in out), out)

    def test_wrong_usage(self):
        server = self.server()
        for args in (["--interval", "x"], ["--interval", "1ms"], ["--interval", "2h"], ["x"]):
            self.assertEqual(server.ctl("top", *args).returncode, 2, args)


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
            self.wait(server, lambda answer: [worker["listed"] for worker in answer["workers"]] == [False, True],
                      "connections")
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
        whys = "it has ended", "its channel is full or has ended", "does not answer"      # the master may not know it yet
        for worker in answer["workers"]:
            self.assertTrue(worker["listed"] or worker["why"] in whys, worker)

    def test_a_caller_that_leaves(self):
        server = self.server()
        self.stop(server.workers()[0])
        for _ in range(5):
            with socket.socket(socket.AF_UNIX) as caller:
                caller.connect(server.control)
                caller.sendall(b'{"command":"connections"}\n')
        self.assertEqual(len(self.ask(server, "connections")["workers"]), 2)

    def test_callers_that_read_nothing_hold_up_nobody(self):
        server = self.server()
        self.ask(server, "connections")
        before = drover.fds(server.pid)
        callers = [socket.socket(socket.AF_UNIX) for _ in range(60)]
        for caller in callers:
            self.addCleanup(caller.close)
            caller.connect(server.control)
            caller.sendall(b'{"command":"connections","limit":4096}\n')
        self.assertEqual(len(self.ask(server, "connections")["workers"]), 2)
        self.assertEqual(self.ask(server, "slow")["requests"], [])
        for caller in callers:
            caller.close()
        end = drover.deadline()
        while drover.fds(server.pid) > before + 1:
            drover.left(end)
            self.ask(server, "status")

    def test_nobody_keeps_a_descriptor(self):
        server = self.server()
        self.ask(server, "connections")
        workers = list(server.workers().values())
        before = drover.fds(server.pid), [drover.lasting_fds(pid) for pid in workers]
        for _ in range(20):
            self.ask(server, "connections")
        self.assertLessEqual(drover.fds(server.pid), before[0] + 1)
        server.wait_status(lambda _: [drover.lasting_fds(pid) for pid in workers] == before[1])

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
