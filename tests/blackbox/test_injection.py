"""What clients send cannot forge a line of a log: in each format and place, a request is one record, with just what it
sent in it."""

import base64
import json
import os
import re
import select
import shutil
import socket
import time
import unittest
from urllib.parse import quote

import drover
from drover import Drover, Event

FORGED = b'127.0.0.1 - - [01/Jan/2026:00:00:00 +0000] "GET /forged HTTP/1.1" 200 1 "-" "-"'
# what a field may carry (a bare CR, LF or NUL is refused), and what a target may
NASTY = [
    b'" 200 1 "-" "forged',
    b"\x1b[2J\x1b]0;title\x07".replace(b"\x1b", b"\\x1b").replace(b"\x07", b""),
    b"\\", b"\\\\", b'\\"', b'\\x22', b"\\u0022,\\u0022status\\u0022:200",
    b'","status":200,"x":"', b'"}\t{"forged":1}', b"key=value other=\"x\" status=200",
    b"\xff\xfe\x80", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x80\xae", b"\xc2\x85", b"\xc2\x9b31m",
    b"\xe2\x80\xa8\xe2\x80\xa9", b"%0d%0aforged", b"\tforged\t", b"<script>", b"MESSAGE=forged", b"=\xff", b"'", b"`id`",
    b"${jndi:x}", b"%s%n%n%n",
]
REFUSED = [
    b"GET /\x1b[31m HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"GET /a\rforged HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"GET /a\nforged HTTP/1.1\r\nHost: a.example\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\x1b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.example\r\nUser-Agent: a\rforged\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.example\r\nUser-Agent: a\0forged\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.example\r\nReferer: a\n " + FORGED + b"\r\n\r\n",
    b'B"AD\x7f\x9b / HTTP/1.1\r\nHost: a.example\r\n\r\n',
]
PART = r'"((?:[^"\\]|\\[0-9a-z\\"]+)*)"'
COMMON = re.compile(r'(\S+) - (\S+) \[[^\]]+\] ' + PART + r' (\d{3}) (\d+|-)')
COMBINED = re.compile(COMMON.pattern + " " + PART + " " + PART)


def unescaped(text):
    """The bytes that a value of a line stands for."""
    return re.sub(rb"\\x([0-9a-f]{2})", lambda match: bytes([int(match.group(1), 16)]), text.encode("utf-8"))


def target_of(value):
    """What may stand in a request line as it is."""
    return bytes(byte for byte in value if 0x20 < byte != 0x7f)


def method_of(value):
    return bytes(byte for byte in value if chr(byte) in "abcdefghijklmnopqrstuvwxyz!#$%&'*+-.^_`|~0123456789") or b"x"


class Injection(unittest.TestCase):
    def start(self, log, **more):
        forwarded = {"header": "x-forwarded-for", "from": ["127.0.0.0/8"]}
        server = Drover({"workers": 1, "log": log, "forwarded": forwarded, **more}, wait="error" not in log)
        self.addCleanup(server.close)
        end = drover.deadline()
        while server.ctl("status").returncode != 0:
            drover.left(end)
        server.wait_status(lambda status: server.workers(status))
        return server

    def send(self, server, data, status=None):
        with server.client() as client:
            client.send(data)
            answer = client.response(data.split(b" ")[0].decode("latin-1"))
            self.assertNotIn(b"forged", b"".join(line.encode("latin-1") for pair in answer.headers for line in pair
                                                 if b"%" not in line.encode("latin-1")))
            if status is not None:
                self.assertEqual(answer.status, status, data)
        return answer.status

    def attack(self, server):
        """Sends everything, everywhere; returns what each record has to say: (target, referer, agent, status)."""
        expected = []
        for value in NASTY:
            target = b"/" + quote(value).encode()
            basic = base64.b64encode(value.replace(b":", b"") + b":x")
            data = (b"GET " + target + b"?" + quote(value).encode() + b" HTTP/1.1\r\nHost: a.example\r\nReferer: " + value +
                    b"\r\nUser-Agent: " + value + b"\r\nX-Forwarded-For: " + value + b"\r\nAuthorization: Basic " + basic +
                    b"\r\nConnection: close\r\n\r\n")
            expected.append((target + b"?" + quote(value).encode(), value.strip(), self.send(server, data)))
            self.send(server, b"GET /" + target_of(value) + b" HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
            expected.append((None, None, None))
            self.send(server, method_of(value) + b" / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
            expected.append((None, None, None))
            self.send(server, b"GET / HTTP/1.1\r\nHost: " + target_of(value) + b"\r\nConnection: close\r\n\r\n")
            expected.append((None, None, None))
        for data in REFUSED:
            self.send(server, data, 400)
            expected.append((None, None, 400))
        return expected

    def lines(self, path, count):
        end = drover.deadline()
        while True:
            with open(path, "rb") as file:
                content = file.read()
            if content.endswith(b"\n") and content.count(b"\n") >= count:
                break
            self.assertLess(time.monotonic(), end, content)
            select.select([], [], [], 0.01)
        self.assertNotRegex(content, rb"[\x00-\x09\x0b-\x1f\x7f]")
        lines = content.decode("utf-8").split("\n")[:-1]
        self.assertEqual(len(lines), count)
        self.assertEqual(len(content.decode("utf-8").splitlines()), count, "what ends a line for others")
        return lines

    def check(self, records, expected):
        """records: (request or target, referer, agent, status) as bytes and a number."""
        self.assertEqual(len(records), len(expected))
        for (target, value, status), record in zip(expected, records):
            if target is not None:
                self.assertIn(target, record[0])
            if value is not None:
                self.assertEqual((record[1], record[2]), (value, value))
            if status is not None:
                self.assertEqual(record[3], status)

    def access(self, kind):
        server = self.start({"access": "access.log", "access_format": kind})
        expected = self.attack(server)
        return self.lines(os.path.join(server.dir, "access.log"), len(expected)), expected

    def test_common(self):
        lines, expected = self.access("common")
        found = [COMMON.fullmatch(line) for line in lines]
        self.assertTrue(all(found), [line for line, match in zip(lines, found) if not match])
        self.check([(unescaped(one.group(3)), None, None, int(one.group(4))) for one in found],
                   [(target, None, status) for target, _, status in expected])

    def test_combined(self):
        lines, expected = self.access("combined")
        found = [COMBINED.fullmatch(line) for line in lines]
        self.assertTrue(all(found), [line for line, match in zip(lines, found) if not match])
        self.check([(unescaped(one.group(3)), unescaped(one.group(6)), unescaped(one.group(7)), int(one.group(4)))
                    for one in found], expected)

    def test_json(self):
        lines, expected = self.access("json")
        pairs = [json.loads(line, object_pairs_hook=list) for line in lines]
        for one in pairs:
            self.assertEqual(len(one), len(dict(one)), "a name twice")
        records = [dict(one) for one in pairs]
        names = {name for one in records for name in one}
        self.assertFalse(names & {"forged", "x"}, names)
        # bytes that are no UTF-8 are \xNN there, as a backslash is itself: compared as it is written
        self.check([(one.get("target", "").encode(), None, None, one["status"]) for one in records],
                   [(target if target and target.isascii() else None, None, status) for target, _, status in expected])
        for (_, value, _), one in zip(expected, records):
            if value is not None and value.isascii() and b"\\" not in value:
                self.assertEqual((one["referer"].encode(), one["user_agent"].encode()), (value, value))

    def test_the_journal(self):
        directory = drover.temporary_directory()
        self.addCleanup(shutil.rmtree, directory)
        path = os.path.join(directory, "socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
            receiver.bind(path)
            os.chmod(path, 0o777)
            receiver.settimeout(drover.DEADLINE)
            server = self.start({"access": "journal", "access_format": "combined", "journal_socket": path})
            expected = []
            for value in NASTY:     # one by one: a datagram socket holds few
                data = (b"GET /" + quote(value).encode() + b" HTTP/1.1\r\nHost: a.example\r\nReferer: " + value +
                        b"\r\nUser-Agent: " + value + b"\r\nConnection: close\r\n\r\n")
                expected.append((b"/" + quote(value).encode(), value.strip(), self.send(server, data)))
                names = drover.journal_fields(receiver.recv(1 << 20))
                self.assertTrue(all(name in ("MESSAGE", "MESSAGE_ID", "PRIORITY") or
                                    name.startswith((b"DROVER_".decode(), "SYSLOG_")) for name in names), names)
                target, value, status = expected[-1]
                self.assertEqual((names["DROVER_TARGET"], names["DROVER_REFERER"], names["DROVER_USER_AGENT"],
                                  int(names["DROVER_STATUS"])), (target, value, value, status))

    def events(self, log_format):
        """The event log: what a connection to a listener with proxy_protocol sends comes into it."""
        log = {"error": "error.log", "format": log_format, "level": "debug"}
        proxy = drover.free_address()
        server = self.start(log, listen=[{"address": drover.address_text(proxy), "proxy_protocol": True,
                                          "proxy_from": ["127.0.0.0/8"]}])
        for value in NASTY:
            with server.client(proxy) as client:
                client.send(b"PROXY TCP4 " + value + b"\r\n" + value + b"\r\n")
                try:
                    self.assertEqual(client.rest(), b"")
                except ConnectionError:
                    pass
        server.wait_status(lambda status: status["totals"]["proxy_refused"] >= len(NASTY))
        server.stop()
        with open(os.path.join(server.dir, "error.log"), "rb") as file:
            content = file.read()
        self.assertTrue(content.endswith(b"\n"))
        self.assertNotRegex(content, rb"[\x00-\x08\x0b-\x1f\x7f]")
        return content.decode("utf-8").split("\n")[:-1]

    def test_events_in_text(self):
        for line in self.events("text"):
            event = Event(line)
            self.assertIn(event.level, drover.LEVELS, line)
            self.assertNotEqual(event.name, "forged")

    def test_events_in_json(self):
        for line in self.events("json"):
            self.assertIn("event", json.loads(line), line)


if __name__ == "__main__":
    unittest.main()
