"""Logs: formats, targets that are full, stuck or gone, files that are renamed under load."""

import ctypes
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import threading
import time
import unittest

import drover
from drover import Client, Drover

COMBINED = re.compile(r'(?P<peer>\S+) - - \[(?P<time>\d\d/[A-Z][a-z]{2}/\d{4}(?::\d\d){3} \+0000)\] "(?P<request>[^"]*)" '
                      r'(?P<status>\d{3}) (?P<bytes>\d+) "(?P<referer>[^"]*)" "(?P<agent>[^"]*)"')
COMMON = re.compile(r'(?P<peer>\S+) - - \[(?P<time>\d\d/[A-Z][a-z]{2}/\d{4}(?::\d\d){3} \+0000)\] "(?P<request>[^"]*)" '
                    r'(?P<status>\d{3}) (?P<bytes>\d+)')
ISO = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"
F_SETPIPE_SZ = 1031
CLONE_NEWNS, MS_REC, MS_PRIVATE, MS_REMOUNT = 0x20000, 16384, 1 << 18, 32
# what a client may put into a field and nobody wants in a log or on a terminal
NASTY = b'"quotes" \\back \t\xff\xfe caf\xc3\xa9 \xc2\x9b31m \xed\xa0\x80 {"status":500}'


def read(path):
    with open(path, "rb") as file:
        return file.read()


class Logs(unittest.TestCase):
    def start(self, log, **more):
        settings = {key: more.pop(key) for key in list(more) if key not in ("env", "preexec")}
        elsewhere = "error" in log or "format" in log       # then "serving" is not on standard error
        server = Drover({"log": log, **settings}, wait=not elsewhere, **more)
        self.addCleanup(server.close)
        self.wait(lambda: server.ctl("status").returncode == 0, "the control socket")
        server.wait_status(lambda status: len(server.workers(status)) == len(status["slots"]) > 0)
        return server

    def wait(self, condition, what=""):
        """Asks until `condition` has an answer that is true."""
        end = drover.deadline()
        while True:
            answer = condition()
            if answer:
                return answer
            if time.monotonic() >= end:
                self.fail("never came: %s" % what)
            select.select([], [], [], 0.01)

    def lines(self, path, count):
        """The log's lines, as soon as there are so many."""
        def enough():
            content = read(path) if os.path.exists(path) else b""
            return content.endswith(b"\n") and content.count(b"\n") >= count and content
        lines = self.wait(enough, "%d lines in %s" % (count, path)).decode("ascii").splitlines()
        self.assertEqual(len(lines), count, lines)
        return lines

    def request(self, server, target=b"/", agent=None, referer=None):
        with server.client() as client:
            client.send(b"GET " + target + b" HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n" +
                        (b"User-Agent: " + agent + b"\r\n" if agent is not None else b"") +
                        (b"Referer: " + referer + b"\r\n" if referer is not None else b"") + b"\r\n")
            return client.response()

    def many(self, server, count, target="/"):
        with server.client() as client:
            for _ in range(count):
                self.assertEqual(client.request(target).status, 200)

    def dropped(self, server, name="access_log_dropped"):
        return server.status()["totals"][name]


class Formats(Logs):
    def path(self, server):
        return os.path.join(server.dir, "access.log")

    def test_queries_are_left_out(self):
        """Of targets and of Referer; and who somebody claims to be in them is never shown."""
        self.query_and_user(False, "/index.html?-", "http://-@a.example/?-", "http://-@r.example/a?-")

    def test_users_in_targets_are_left_out(self):
        self.query_and_user(True, "/index.html?geheim", "http://-@a.example/?geheim", "http://-@r.example/a?geheim")

    def query_and_user(self, query, relative, absolute, referer):
        for style in ("common", "combined", "json"):
            with self.subTest(style):
                server = self.start({"access": "access.log", "access_format": style, "query": query}, workers=1)
                self.request(server, b"/index.html?geheim", referer=b"http://u:pass@r.example/a?geheim")
                self.assertEqual(self.request(server, b"http://u:pass@a.example/?geheim").status, 400)
                lines = self.lines(self.path(server), 2)
                self.assertNotIn("pass", "".join(lines))
                self.assertEqual("geheim" in "".join(lines), query)
                if style == "json":
                    shown = [json.loads(line) for line in lines]
                    self.assertEqual([line["target"] for line in shown], [relative, absolute])
                    self.assertEqual(shown[0]["referer"], referer)
                else:
                    self.assertIn('"GET %s HTTP/1.1"' % relative, lines[0])
                    self.assertIn('"GET %s HTTP/1.1"' % absolute, lines[1])
                if style == "combined":
                    self.assertIn('"%s"' % referer, lines[0])
                server.close()

    def test_common(self):
        server = self.start({"access": "access.log"})
        self.request(server, b"/index.html?q", b"agent")
        match = COMMON.fullmatch(self.lines(self.path(server), 1)[0])
        self.assertEqual(match["request"], "GET /index.html?q HTTP/1.1")
        self.assertEqual((match["status"], match["bytes"]), ("200", "9"))
        self.assertTrue(match["peer"].startswith("127."))

    def test_combined(self):
        server = self.start({"access": "access.log", "access_format": "combined"}, workers=1)
        self.request(server, b"/", b"Agent/1.0 (x; y)", b"http://r.example/a?b")
        self.request(server, b"/none")
        one, other = (COMBINED.fullmatch(line) for line in self.lines(self.path(server), 2))
        self.assertEqual((one["referer"], one["agent"]), ("http://r.example/a?b", "Agent/1.0 (x; y)"))
        self.assertEqual((other["status"], other["referer"], other["agent"]), ("404", "-", "-"))

    def test_json(self):
        server = self.start({"access": "access.log", "access_format": "json"}, workers=1)
        before = time.time()
        self.request(server, b"/?q", b"agent", b"r")
        entry = json.loads(self.lines(self.path(server), 1)[0])
        self.assertRegex(entry["time"], ISO)
        self.assertLess(abs(time.mktime(time.strptime(entry["time"][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone -
                            before), 60)
        expected = {"host": "a.example", "method": "GET", "target": "/?q", "protocol": "HTTP/1.1", "status": 200,
                    "bytes": 9, "referer": "r", "user_agent": "agent", "slot": 0, "generation": 1}
        self.assertEqual({key: entry[key] for key in expected}, expected)
        self.assertEqual(set(entry) - set(expected), {"time", "id", "peer", "port", "duration_us"})
        self.assertTrue(entry["peer"].startswith("127.") and 0 < entry["port"] < 65536)
        self.assertTrue(0 <= entry["duration_us"] < 60e6)

    def test_request_ids_are_unique_over_workers_and_restarts(self):
        ids = []
        for _ in range(2):
            server = self.start({"access": "access.log", "access_format": "json"})
            for _ in range(40):
                self.request(server)
            ids += [json.loads(line)["id"] for line in self.lines(self.path(server), 40)]
            server.close()
        self.assertEqual(len(set(ids)), 80)

    def test_nobody_forges_a_line_in_text(self):
        server = self.start({"access": "access.log", "access_format": "combined"}, workers=1)
        self.request(server, b"/", NASTY, NASTY)
        with server.client() as client:     # what the parser refuses is logged too
            client.send(b'GET /"\x1b[31m\r\n127.0.0.1 - - [forged] HTTP/1.1\r\nHost: a\r\n\r\n')
            self.assertEqual(client.response().status, 400)
        with server.client() as client:
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: nul\0nul\r\n\r\n")
            self.assertEqual(client.response().status, 400)
        lines = self.lines(self.path(server), 3)
        for line in lines:
            self.assertTrue(line.isprintable())
            self.assertIsNotNone(COMBINED.fullmatch(line), line)
        self.assertIn(r"\x22quotes\x22 \x5cback \x09\xff\xfe caf\xc3\xa9 \xc2\x9b31m", lines[0])

    def test_json_is_valid_whatever_the_bytes(self):
        server = self.start({"access": "access.log", "access_format": "json"}, workers=1)
        agents = [NASTY, bytes(byte for byte in range(1, 256) if byte >= 32 and byte != 127 or byte == 9),
                  b"\xc3", b"\xf0\x9f\x98\x80", b"\xf4\x90\x80\x80"]
        for agent in agents:
            self.request(server, b"/", agent, agent)

        def enough():
            content = read(self.path(server))
            return content.count(b"\n") >= len(agents) and content
        lines = self.wait(enough, "lines").decode("utf-8").splitlines()       # valid UTF-8 in any case
        entries = [json.loads(line) for line in lines]
        self.assertEqual(entries[0]["user_agent"],
                         '"quotes" \\back \t\\xff\\xfe caf\u00e9 \u009b31m \\xed\\xa0\\x80 {"status":500}')
        self.assertEqual(entries[2]["user_agent"], "\\xc3")
        self.assertEqual(entries[3]["user_agent"], "\U0001f600")
        for entry, line in zip(entries, lines):
            self.assertEqual(entry["status"], 200)
            self.assertTrue(line.isprintable(), line)

    def test_long_fields_are_cut(self):
        for log_format in ("combined", "json"):
            server = self.start({"access": "access.log", "access_format": log_format})
            self.request(server, b"/" + b"t" * 5000, b"a" * 5000, b"r" * 5000)
            line = self.lines(self.path(server), 1)[0]
            for byte, most in ((b"t", 2047), (b"a", 512), (b"r", 1024)):
                self.assertIn(byte.decode() * most + "...", line)
                self.assertNotIn(byte.decode() * (most + 1), line)
            server.close()

    def test_a_sample(self):
        server = self.start({"access": "access.log", "access_sample": 10}, workers=1)
        self.many(server, 99)
        for _ in range(3):
            server.get("/", method="FROB")      # 501: always
        self.assertEqual(server.stop(), 0)
        lines = self.lines_after_stop(server)
        self.assertEqual(sum(" 200 " in line for line in lines), 9)
        self.assertEqual(sum(" 501 " in line for line in lines), 3)

    def lines_after_stop(self, server):
        return read(self.path(server)).decode("ascii").splitlines()

    def test_slow_ones_only(self):
        server = self.start({"access": "access.log", "access_format": "json", "access_slow": "300ms"}, workers=1)
        server.write("large", b"x" * (20 << 20))
        with server.client(receive_buffer=4096) as client:
            client.send(client.head("/large"))
            while b"\r\n\r\n" not in client.buffer:
                client.buffer += client.socket.recv(1024)
            end, count = time.monotonic() + 0.4, 0
            while time.monotonic() < end or count < 20:     # the time is what is tested
                self.request(server)
                count += 1
            client.hurry().response()
        self.assertEqual(server.stop(), 0)
        entries = [json.loads(line) for line in self.lines_after_stop(server)]
        self.assertIn("/large", [entry["target"] for entry in entries])
        for entry in entries:                       # on a busy machine others may be slow too
            self.assertGreaterEqual(entry["duration_us"], 300000)
        self.assertLess(len(entries), count)

    def test_the_format_changes_with_a_reload(self):
        server = self.start({"access": "access.log"}, workers=1)
        self.request(server, b"/?old")
        self.lines(self.path(server), 1)
        server.configure({"log": {"access": "access.json", "access_format": "json"}})
        self.assertEqual(server.reload()[0], 0)
        self.request(server, b"/?new")
        line = self.lines(os.path.join(server.dir, "access.json"), 1)[0]
        self.assertEqual((json.loads(line)["target"], json.loads(line)["generation"]), ("/?new", 2))
        self.assertEqual(len(self.lines(self.path(server), 1)), 1)

    def test_a_unix_client(self):
        server = self.start({"access": "access.log", "access_format": "json"})
        path = os.path.join(server.dir, "web.sock")
        server.configure({"listen": [{"address": "unix:" + path}]})
        self.assertEqual(server.reload()[0], 0)
        server.get(address=path)
        entry = json.loads(self.lines(self.path(server), 1)[0])
        self.assertEqual(entry["peer"], "unix:")
        self.assertNotIn("port", entry)


class Events(Logs):
    def test_a_file(self):
        server = self.start({"error": "error.log"})
        self.assertEqual(server.reload()[0], 0)
        self.assertEqual(server.stop(), 0)
        text = read(os.path.join(server.dir, "error.log")).decode()
        for event in ("serving", "reload_done", "worker_exited", "stopped"):
            self.assertRegex(text, r"(?m)^\S+Z (notice|info) master %s\b" % event)

    def test_json(self):
        server = self.start({"error": "error.log", "format": "json", "level": "debug"})
        server.configure({"listen": 'nonsense "\\'})
        self.assertNotEqual(server.reload()[0], 0)
        self.assertEqual(server.stop(), 0)
        events = [json.loads(line) for line in read(os.path.join(server.dir, "error.log")).decode().splitlines()]
        for event in events:
            self.assertRegex(event["time"], ISO)
            self.assertIn(event["level"], drover.LEVELS)
        by_name = {event["event"]: event for event in events}
        self.assertEqual(by_name["serving"]["generation"], 1)
        self.assertEqual(by_name["reload_failed"]["step"], "check")
        self.assertEqual({event["role"] for event in events}, {"master", "worker-0", "worker-1"})

    def test_json_on_standard_error(self):
        server = self.start({"format": "json"})
        self.wait(lambda: '"event":"serving"' in server.log.text(), "serving")
        self.assertEqual(server.stop(), 0)

    def test_a_full_error_log_is_said_on_standard_error(self):
        server = self.start({"error": "/dev/full"})
        # no regular file: nothing to wait for, and every line is lost at once
        server.wait_status(lambda status: status["totals"]["error_log_dropped"] > 0)
        self.assertEqual(server.get().status, 200)


class Datagrams(Logs):
    """syslog and the journal's protocol, as a socket of the test receives them."""

    def bind(self, directory=None):
        if directory is None:
            directory = drover.temporary_directory()
            self.addCleanup(shutil.rmtree, directory)
        path = os.path.join(directory, "socket")
        receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        receiver.bind(path)
        os.chmod(path, 0o777)
        receiver.settimeout(drover.DEADLINE)
        self.addCleanup(receiver.close)
        return receiver, path

    def until(self, receiver, condition):
        while True:
            record = receiver.recv(1 << 20)
            if condition(record):
                return record

    def test_syslog(self):
        receiver, path = self.bind()
        server = self.start({"access": "syslog", "error": "syslog", "syslog_socket": path}, workers=1)
        record = self.until(receiver, lambda record: b" serving " in record)
        self.assertRegex(record, rb"^<29>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d drover\[%d\]: master serving generation=1"
                         % server.pid)
        self.assertEqual(server.get().status, 200)
        worker = server.workers()[0]
        record = self.until(receiver, lambda record: b"GET" in record)
        head = rb"^<30>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d drover\[%d\]: " % worker
        self.assertRegex(record, head)
        self.assertIsNotNone(COMMON.fullmatch(re.sub(head, b"", record).decode()), record)

    def test_the_journal(self):
        receiver, path = self.bind()
        server = self.start({"access": "journal", "error": "journal", "access_format": "combined",
                             "journal_socket": path}, workers=1)
        event = drover.journal_fields(self.until(receiver, lambda record: b"DROVER_EVENT=serving\n" in record))
        self.assertEqual((event["PRIORITY"], event["SYSLOG_IDENTIFIER"], event["DROVER_ROLE"]),
                         (b"5", b"drover", b"master"))
        self.assertEqual((event["DROVER_GENERATION"], event["DROVER_WORKERS"]), (b"1", b"1"))
        self.assertRegex(event["MESSAGE"], rb"^master serving generation=1 workers=1")
        self.assertEqual(event["MESSAGE_ID"], b"%032x" % message_id("serving"))
        self.request(server, b"/?x", NASTY, b"r")
        entry = drover.journal_fields(self.until(receiver, lambda record: b"DROVER_EVENT=access\n" in record))
        self.assertIsNotNone(COMBINED.fullmatch(entry["MESSAGE"].decode()))
        self.assertEqual(entry["MESSAGE_ID"], b"%032x" % message_id("access"))
        self.assertEqual(entry["DROVER_USER_AGENT"], NASTY)
        expected = {"METHOD": b"GET", "TARGET": b"/?x", "STATUS": b"200", "BYTES": b"9", "HOST": b"a.example",
                    "REFERER": b"r", "SLOT": b"0", "GENERATION": b"1"}
        self.assertEqual({name: entry["DROVER_" + name] for name in expected}, expected)
        for name in ("PEER", "PORT", "DURATION_US", "REQUEST"):
            self.assertTrue(entry["DROVER_" + name])

    def test_an_event_of_several_lines_is_one_record(self):
        receiver, path = self.bind()
        server = self.start({"error": "journal", "journal_socket": path})
        self.until(receiver, lambda record: b"DROVER_EVENT=serving\n" in record)
        server.configure({"limits": {"headers": 0, "max_draining": 0}})
        self.assertNotEqual(server.reload()[0], 0)
        event = drover.journal_fields(self.until(receiver, lambda record: b"DROVER_EVENT=reload_failed\n" in record))
        self.assertEqual(event["DROVER_STEP"], b"check")
        self.assertEqual(len(event["DROVER_ERROR"].splitlines()), 2)

    def test_a_reader_that_does_not_read(self):
        receiver, path = self.bind()
        server = self.start({"access": "syslog", "syslog_socket": path}, workers=1)
        self.many(server, 20000)
        self.assertGreater(self.dropped(server), 0)
        self.until(receiver, lambda record: b"access_log_lost lines=" in record)
        server.log.wait("access_log_lost")

    def test_a_reader_that_is_restarted(self):
        directory = drover.temporary_directory()
        self.addCleanup(shutil.rmtree, directory)
        receiver, path = self.bind(directory)
        server = self.start({"access": "syslog", "syslog_socket": path}, workers=1)
        self.request(server, b"/?one")
        self.until(receiver, lambda record: b"/?one" in record)
        receiver.close()
        os.unlink(path)
        self.request(server, b"/?two")
        server.log.wait("access_log_failed")
        receiver, path = self.bind(directory)
        self.until(receiver, lambda record: b"/?two" in record)
        self.assertEqual(self.dropped(server), 0)


def message_id(event):
    value = 0x6c62272e07bb014262b821756295c58d
    for byte in b"drover:" + event.encode():
        value = ((value ^ byte) * ((1 << 88) + 0x13b)) % (1 << 128)
    return value


class Stuck(Logs):
    def fifo(self, server, name):
        path = os.path.join(server.dir, name)
        os.mkfifo(path, 0o666)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        return path, reader

    def drain(self, reader):
        content = b""
        while select.select([reader], [], [], 0)[0]:
            more = os.read(reader, 1 << 20)
            if not more:
                break
            content += more
        return content

    def test_a_fifo_that_is_not_read(self):
        server = self.start({}, workers=1)
        path, reader = self.fifo(server, "access.fifo")
        server.configure({"log": {"access": path}})
        self.assertEqual(server.reload()[0], 0)
        before = self.dropped(server)
        count = 0
        while self.dropped(server) == before:       # the pipe and the ring are full some time
            self.many(server, 1000)
            count += 1000
            self.assertLess(count, 50000)
        text = b""

        def lost_said():
            nonlocal text
            text += self.drain(reader)
            return b"access_log_lost" in text and text.endswith(b"\n")
        self.wait(lost_said, "the lines lost")
        lines = text.decode("ascii").splitlines()
        lost = [int(match[1]) for match in (re.fullmatch(r"# \S+Z access_log_lost lines=(\d+)", line)
                                            for line in lines) if match]
        whole = [line for line in lines if COMMON.fullmatch(line)]
        self.assertEqual(len(lost) + len(whole), len(lines))
        self.assertEqual(sum(lost) + len(whole), count)
        self.assertEqual(sum(lost), self.dropped(server))

    def test_a_disk_that_hangs(self):
        """Every write of a helper thread takes an hour, as strace has it; the loop never writes."""
        server = self.start({"access": "access.log", "access_format": "json"}, workers=1)
        path = os.path.join(server.dir, "access.log")
        self.request(server)
        self.lines(path, 1)
        threads = "/proc/%d/task" % server.workers()[0]
        helpers = [tid for tid in os.listdir(threads)
                   if read("%s/%s/comm" % (threads, tid)) == b"drover-offload\n"]
        self.assertGreater(len(helpers), 0)
        with subprocess.Popen(["strace", *("--attach=" + tid for tid in helpers), "-o", "/dev/null", "-e", "trace=write",
                               "-e", "inject=write:delay_enter=3600000000"], stderr=subprocess.PIPE) as tracer:
            try:
                self.assertIn(b"attached", tracer.stderr.readline())
                self.many(server, 12000)
                self.assertEqual(len(self.lines(path, 1)), 1)
                lost = self.dropped(server)
                self.assertGreater(lost, 0)
                status, text = server.reload()
                self.assertEqual(status, 0, text)
            finally:
                tracer.kill()
        self.many(server, 10)
        self.assertEqual(server.stop(), 0)
        entries = [json.loads(line) for line in read(path).decode().splitlines()]
        said = sum(entry.get("lines", 0) for entry in entries)
        self.assertEqual(said, lost)
        self.assertEqual(sum("target" in entry for entry in entries) + said, 12011)

    def test_a_fifo_without_a_reader(self):
        server = self.start({})
        path = os.path.join(server.dir, "nobody.fifo")
        os.mkfifo(path, 0o666)
        server.configure({"log": {"access": path}})
        status, text = server.reload()
        self.assertNotEqual(status, 0)
        self.assertRegex(text, r"failed at log: \S*drover\.conf:\d+:\d+: log\.access: open \S*nobody\.fifo: "
                               r".*it is a FIFO that nobody reads")

    def test_a_stuck_log_does_not_hold_up_the_stop(self):
        server = self.start({}, workers=1)
        path, _ = self.fifo(server, "access.fifo")
        server.configure({"log": {"access": path, "error": path}})
        self.assertEqual(server.reload()[0], 0)
        self.many(server, 12000)
        began = time.monotonic()
        self.assertEqual(server.stop(), 0)
        self.assertLess(time.monotonic() - began, 20)

    def test_what_is_queued_is_written_before_the_end(self):
        server = self.start({"access": "access.log"})
        for _ in range(5):
            self.many(server, 100)
        self.assertEqual(server.stop(), 0)
        self.assertEqual(read(os.path.join(server.dir, "access.log")).count(b"\n"), 500)

    def test_a_full_device(self):
        server = self.start({"access": "/dev/full"}, workers=1)
        self.many(server, 20000)
        server.log.wait("access_log_failed", target="/dev/full", error="No space left on device")
        self.assertGreater(self.dropped(server), 0)


class FullDisk(Logs):
    """A small file system of its own, in a mount namespace that ends with the daemon; needs root."""

    def test_lines_are_whole_before_and_after(self):
        libc = ctypes.CDLL(None, use_errno=True)
        mount = drover.temporary_directory()
        self.addCleanup(os.rmdir, mount)

        def prepare():
            if (libc.unshare(CLONE_NEWNS) or libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None) or
                    libc.mount(b"small", mount.encode(), b"tmpfs", 0, b"size=128k,mode=0777")):
                os._exit(99)
        path = os.path.join(mount, "access.log")
        server = self.start({"access": path, "access_format": "json"}, workers=2, preexec=prepare)
        inside = "/proc/%d/root%s" % (server.pid, mount)
        path = os.path.join(inside, "access.log")
        self.assertFalse(os.path.exists(os.path.join(mount, "access.log")))
        asked = 0
        while not server.log.find("access_log_failed", error="No space left on device"):
            for _ in range(10):                     # both workers
                self.many(server, 50)
            asked += 500
            self.assertLess(asked, 100000)
        self.assertEqual(os.statvfs(inside).f_bavail, 0)
        while self.dropped(server) == 0:            # the rings are full too
            self.many(server, 500)
            asked += 500
        nsenter = ["nsenter", "-t", str(server.pid), "-m", "mount", "-o", "remount,size=64m", mount]
        subprocess.run(nsenter, check=True, stdin=subprocess.DEVNULL, timeout=drover.DEADLINE)
        server.log.wait("access_log_lost")
        for _ in range(20):
            self.many(server, 5)
        asked += 100
        self.assertEqual(server.status()["stopping"], False)
        content = self.after_stop(server, path)
        self.assertTrue(content.endswith(b"\n"))
        requests = lost = torn = 0
        for line in content.decode().splitlines():
            try:
                entry = json.loads(line)
            except ValueError:                      # torn, and written again
                torn += line != ""                  # two workers may end the same one
                continue
            lost += entry.get("lines", 0)
            requests += entry.get("event") is None
        self.assertLessEqual(torn, 2)               # at most one for each worker
        self.assertEqual(requests + lost, asked, torn)
        self.assertGreater(lost, 0)

    def after_stop(self, server, path):
        """The file, kept open: its file system ends with the daemon."""
        with open(path, "rb") as file:
            self.assertEqual(server.stop(), 0)
            return file.read()


class Reopen(Logs):
    def rotate(self, server, name="access.log"):
        path = os.path.join(server.dir, name)
        os.rename(path, path + ".1")
        return path

    def test_droverctl_reopens(self):
        server = self.start({"access": "access.log", "error": "error.log"})
        self.request(server, b"/?one")
        self.lines(os.path.join(server.dir, "access.log"), 1)
        error = self.rotate(server, "error.log")
        access = self.rotate(server)
        before = server.workers(), server.generation()
        result = server.ctl("reopen")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.assertEqual((server.workers(), server.generation()), before)
        for _ in range(10):
            self.request(server, b"/?two")
        self.assertEqual(sum("/?two" in line for line in self.lines(access, 10)), 10)
        self.assertEqual(len(self.lines(access + ".1", 1)), 1)
        self.wait(lambda: b" reopened" in read(error), "reopened")
        self.assertEqual(server.stop(), 0)
        self.assertIn(b"stopped", read(error))
        self.assertNotIn(b"stopped", read(error + ".1"))

    def test_a_signal_reopens(self):
        server = self.start({"access": "access.log"})
        access = self.rotate(server)
        server.kill(signal.SIGUSR1)
        server.log.wait("reopened")
        self.request(server)
        self.lines(access, 1)
        self.assertEqual(read(access + ".1"), b"")

    def test_a_failure_changes_nothing_and_is_told(self):
        directory = drover.temporary_directory()
        self.addCleanup(shutil.rmtree, directory)
        os.mkdir(os.path.join(directory, "logs"))
        server = self.start({"access": os.path.join(directory, "logs", "access.log")})
        os.rename(os.path.join(directory, "logs"), os.path.join(directory, "away"))
        result = server.ctl("reopen")
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, r"drover\.conf:\d+:\d+: log\.access: open \S+access\.log: No such file")
        server.log.wait("reopen_failed")
        self.request(server)
        self.lines(os.path.join(directory, "away", "access.log"), 1)

    def test_a_worker_that_is_stopped_is_named(self):
        server = self.start({"access": "access.log"}, timeouts={"prepare": "2s"})
        victim = server.workers()[1]
        os.kill(victim, signal.SIGSTOP)
        try:
            drover.wait_stopped(victim)
            result = server.ctl("reopen")
        finally:
            os.kill(victim, signal.SIGCONT)
        self.assertEqual(result.returncode, 1)
        self.assertIn("slot 1", result.stderr)
        self.assertEqual(server.ctl("reopen").returncode, 0)

    def test_during_a_reload_it_follows(self):
        server = self.start({"access": "access.log"})
        answers = []
        threads = [threading.Thread(target=lambda word=word: answers.append(server.ctl(word).returncode))
                   for word in ("reload", "reopen") * 8]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(drover.DEADLINE)
        self.assertEqual(answers, [0] * 16)
        self.request(server)
        self.lines(os.path.join(server.dir, "access.log"), 1)

    def test_a_draining_worker_follows(self):
        server = self.start({"access": "access.log"}, workers=1, reload="replace")
        server.write("large", b"x" * (20 << 20))
        with server.client(receive_buffer=4096) as client:
            client.send(client.head("/large"))
            while b"\r\n\r\n" not in client.buffer:
                client.buffer += client.socket.recv(1024)
            self.assertEqual(server.reload()[0], 0)         # its worker drains now
            access = self.rotate(server)
            self.assertEqual(server.ctl("reopen").returncode, 0)
            client.hurry().response()
        self.assertIn("/large", self.lines(access, 1)[0])

    def rotation(self, how):
        """Renames the log and has it reopened, again and again, while clients count what they asked."""
        server = self.start({"access": "access.log", "access_format": "json"})
        path = os.path.join(server.dir, "access.log")
        asked, stop = [0] * 4, threading.Event()

        def ask(number):
            with Client(server.address) as client:
                while not stop.is_set():
                    client.request("/?%d-%d" % (number, asked[number]))
                    asked[number] += 1
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        try:
            for turn in range(20):
                os.rename(path, "%s.%d" % (path, turn))
                how(server, turn)
                self.assertTrue(os.path.exists(path))
                # a disk that takes its time has eight old files to be finished at most (log_writer.c)
                self.wait(lambda: not self.has_open(server, "%s.%d" % (path, turn - 4)), "an old log is let go")
        finally:
            stop.set()
            for thread in threads:
                thread.join(drover.DEADLINE)
        self.assertEqual(server.stop(), 0)
        targets = []
        for name in sorted(os.listdir(server.dir)):
            if name.startswith("access.log"):
                content = read(os.path.join(server.dir, name))
                self.assertTrue(content == b"" or content.endswith(b"\n"))
                targets += [json.loads(line)["target"] for line in content.decode().splitlines()]
        self.assertEqual(len(targets), sum(asked), "%s of %s\n%s" % (sorted(targets), asked, server.log.text()))
        self.assertEqual(set(targets), {"/?%d-%d" % (number, i) for number in range(4) for i in range(asked[number])})

    def has_open(self, server, path):
        return any(path in drover.fd_links(pid) for pid in server.workers().values())

    def test_no_line_is_lost_or_torn_by_a_rotation(self):
        self.rotation(lambda server, _: self.assertEqual(server.ctl("reopen").returncode, 0))

    def test_nor_by_a_rotation_with_a_signal(self):
        def usr1(server, turn):
            server.kill(signal.SIGUSR1)
            server.log.wait("reopened", count=turn + 1)
        self.rotation(usr1)

    def test_nor_by_a_rotation_with_a_reload(self):
        self.rotation(lambda server, _: self.assertEqual(server.reload()[0], 0))

    def test_200_reopenings_leave_nothing_behind(self):
        server = self.start({"access": "access.log", "error": "error.log"})
        pids = [server.pid, *server.workers().values()]
        for _ in range(40):                     # every worker has logged something, and has its thread
            self.request(server)
        self.assertEqual(server.ctl("reopen").returncode, 0)
        before = [drover.lasting_fds(pid) for pid in pids]
        for _ in range(200):
            self.request(server)
            self.assertEqual(server.ctl("reopen").returncode, 0)
        self.wait(lambda: all(drover.lasting_fds(pid) <= count for pid, count in zip(pids, before)), "as few descriptors")


class Fork(Logs):
    def test_workers_of_a_master_with_a_thread_serve(self):
        """The master writes a file by its thread all the time, and forks all the time."""
        server = self.start({"error": "error.log", "level": "notice"})
        threads = os.listdir("/proc/%d/task" % server.pid)
        self.assertEqual(len(threads), 2)
        for _ in range(40):
            status, text = server.reload("--replace")
            self.assertEqual(status, 0, text)
            self.assertEqual(server.get().status, 200)
        self.assertEqual(server.stop(), 0)
        self.assertEqual(read(os.path.join(server.dir, "error.log")).count(b" reload_done "), 40)

    def test_without_a_file_nobody_has_a_thread_for_it(self):
        """Who was asked for a file has the one that has its directory watched."""
        server = self.start({})
        server.get()
        for pid, most in [(server.pid, 1), *((worker, 2) for worker in server.workers().values())]:
            self.assertLessEqual(len(os.listdir("/proc/%d/task" % pid)), most)


if __name__ == "__main__":
    unittest.main()
