"""Two ways, one answer: what goes the express way is answered and logged as what goes the general way.

A daemon that has a limit for clients, however high, sends every request the general way: it is the oracle."""

import json
import os
import random
import re
import select
import time
import unittest

import drover
from drover import Drover

DATE = re.compile(rb"(?<=\r\nDate: )[^\r]*")
EXPIRES = re.compile(rb"(?<=\r\nExpires: )[^\r]*")
OF_A_REQUEST = ("time", "id", "port", "duration_us", "slot")      # members of a log line that differ anyway


def head(target, *fields, method="GET", version="1.1", host="a.example"):
    lines = ["%s %s HTTP/%s" % (method, target, version), "Host: " + host, *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


BROWSER = ("User-Agent: Mozilla/5.0 (X11; Linux x86_64) \"quoted\" \\", "Accept: text/html,*/*;q=0.8",
           "Accept-Language: en", "Accept-Encoding: gzip, deflate, br, zstd", "Cookie: a=b; c=d",
           "Referer: http://user:secret@r.example/x?token")
COMMON = [
    head("/index.html"), head("/index.html", *BROWSER), head("/"), head("/text"), head("/text", *BROWSER),
    head("/nothing"), head("/kept/index.html"), head("/moved/x?y=1"), head("/4k"), head("/20k"),
    head("/index.html", 'If-None-Match: "9-17979cfe362a0000"', "If-Modified-Since: Tue, 14 Nov 2023 22:13:20 GMT"),
    head("/index.html", 'If-None-Match: "10-17979cfe362a0000-gzip"', *BROWSER),
    head("/index.html", 'If-None-Match: W/"other", "9-17979cfe362a0000"'), head("/index.html", 'If-None-Match: "other"'),
    head("/4k", 'If-None-Match: "1000-17979cfe362a0000"'), head("/nothing", 'If-None-Match: "other"'),
]
UNUSUAL = [
    head("/index.html", method="HEAD"), head("/text", method="HEAD"), head("/nothing", method="HEAD"),
    head("/index.html", "Range: bytes=1-3"), head("/index.html", "If-None-Match: *"),
    head("/index.html", "If-Modified-Since: Thu, 01 Jan 2099 00:00:00 GMT"),
    head("/index.html", 'If-None-Match: "other"', 'If-None-Match: "9-17979cfe362a0000"'),
    head("/index.html", 'If-None-Match: "9-17979cfe362a0000"', 'If-Match: "other"'), head("/index.html", "If-None-Match:"),
    head("/index.html", 'If-None-Match: "9-17979cfe362a0000"', method="HEAD"),
    head("/index.html", 'If-None-Match: "other"', "If-Modified-Since: Thu, 01 Jan 2099 00:00:00 GMT", "Range: bytes=1-2"),
    head("/index.html", "Accept-Encoding: identity;q=0"), head("/index.html", "Accept-Encoding: br;q=0.5, gzip;q=0.1"),
    head("/index.html", version="1.0")[:-2] + b"Connection: keep-alive\r\n\r\n",
    head("/text?query=1"), head("/text%20"), head("/%2e%2e/index.html"), head("/index.html", host="b.example"),
    head("http://c.example/index.html"),
    head("/index.html", "Content-Length: 4") + b"GET ", head("/", method="OPTIONS"), head("/text", method="POST"),
    head("/text", "Transfer-Encoding: chunked", method="POST") + b"3\r\nabc\r\n0\r\n\r\n",
    b"\r\n" + head("/index.html"), head("/closed"), head("/secret"), head("/100k"), head("/index.html/"),
]
ENDS = [
    head("/index.html", "Connection: close"), head("/text", "Connection: close"),
    head("/nothing", "Connection: close"), head("/index.html", "Connection: close") + head("/text"),
    head("/index.html", version="1.0"), b"nonsense\r\n\r\n", head("/" + "x" * 9000), b"GET / HTTP/1.1\r\n\r\n",
    head("/100k", "Connection: close"), head("/text", "Expect: 100-continue", "Content-Length: 3") + b"abc",
]


class Express(unittest.TestCase):
    ROUNDS = 60

    def start(self, **more):
        server = Drover({"log": {"access": "access.log", "access_format": "json"}, "workers": 1, **more}, wait=True)
        self.addCleanup(server.close)
        for name, size in (("4k", 4096), ("20k", 20480), ("100k", 102400)):
            server.write(name, ("%s " % name * size)[:size])
        server.write("index.html", "an index\n")
        server.write("index.html.gz", "not really gzip\n")
        for directory, _, names in os.walk(server.site):
            for name in names:
                os.utime(os.path.join(directory, name), (1700000000, 1700000000))
        server.configure({"sites": [{"headers": {"set": ["X-Site: yes"]}, "routes": [
            {"match": "/", "files": {"root": server.site}},
            {"match": "/kept", "respond": {"body": "kept\n"}, "expires": "1h"},
            {"match": "/text", "respond": {"body": "text\n"}, "headers": {"set": ["Server: mine", "Connectionless: x"]}},
            {"match": "/moved", "redirect": {"to": "//www.example/new"}},
            {"match": "/closed", "respond": {"body": "no\n"}, "deny": ["0.0.0.0/0"]},
        ]}]})
        status, said = server.reload()
        self.assertEqual(status, 0, said)
        return server

    def converse(self, server, pieces):
        with server.client() as client:
            for piece in pieces:
                try:
                    client.send(piece)
                except (BrokenPipeError, ConnectionResetError):
                    break
            text = client.rest()
        return EXPIRES.sub(b"-", DATE.sub(b"-", text))

    def lines(self, server, count):
        end = drover.deadline()
        path = os.path.join(server.dir, "access.log")
        while True:
            with open(path, "rb") as file:
                lines = file.read().splitlines()
            if len(lines) >= count or time.monotonic() >= end:
                return [{name: value for name, value in json.loads(line).items() if name not in OF_A_REQUEST}
                        for line in lines]
            select.select([], [], [], 0.01)

    def pieces(self, chance):
        text = b"".join(chance.choice(COMMON if chance.random() < 0.7 else UNUSUAL)
                        for _ in range(chance.randrange(20))) + chance.choice(ENDS)
        if chance.random() < 0.5:
            return [text]
        cuts = sorted(chance.randrange(1, len(text)) for _ in range(chance.randrange(1, 6)))
        return [text[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(text)])]

    def test_both_ways_answer_and_log_the_same(self):
        general, express = self.start(clients={"requests": 1000000}), self.start()
        chance, count, number, end = random.Random(8), 0, 0, drover.deadline()
        # files are kept ready once their directories are watched, which takes the kernel what it takes
        while number < self.ROUNDS or express.status()["totals"]["ready_answers"] <= self.ROUNDS:
            drover.left(end)
            number += 1
            pieces = self.pieces(chance)
            expected = self.converse(general, pieces)
            self.assertEqual(self.converse(express, pieces), expected, (number, pieces))
            count += expected.count(b"HTTP/1.1 ")
        logged = self.lines(general, count)
        self.assertEqual(self.lines(express, len(logged)), logged)
        totals = [server.status()["totals"] for server in (general, express)]
        for name in ("requests", "bytes_sent", "status_2xx", "status_3xx", "status_4xx", "parse_errors"):
            self.assertEqual(totals[1][name], totals[0][name], name)
        self.assertEqual(totals[0]["ready_answers"], 0)

    def test_a_reload_changes_what_is_answered(self):
        server = self.start()
        with server.client() as client:
            for body in ("text\n", "other\n", "third\n"):
                server.configure({"sites": [{"routes": [{"match": "/text", "respond": {"body": body}}]}]})
                self.assertEqual(server.reload()[0], 0)
                for _ in range(3):
                    self.assertEqual(client.request("/text").body, body.encode())

    def test_who_has_a_file_already_is_told_so_until_it_changes(self):
        server = self.start()
        with server.client() as client:
            tag = client.request("/index.html").header("etag")
            end = drover.deadline()
            while server.status()["totals"]["ready_answers"] < 2:     # the kernel tells of it from some moment on
                client.request("/index.html")
                drover.left(end)
            before = self.ready_answers(server)
            for _ in range(3):
                answer = client.request("/index.html", {"If-None-Match": tag})
                self.assertEqual((answer.status, answer.header("etag"), answer.body), (304, tag, b""))
            self.assertEqual(self.ready_answers(server), before + 2)
            server.write("index.html", "another index\n")
            answer = client.request("/index.html", {"If-None-Match": tag})
            self.assertEqual((answer.status, answer.body), (200, b"another index\n"))

    def ready_answers(self, server):
        drover.wait_asleep(server.workers()[0])
        return server.status()["totals"]["ready_answers"]

    def next_second(self, client, target):
        """The first answer, and the first one of another second."""
        first, end = client.request(target), drover.deadline()
        while True:
            answer = client.request(target)
            if answer.header("date") != first.header("date"):
                return first, answer
            self.assertEqual(answer, first)
            self.assertLess(time.monotonic(), end)

    def test_dates_are_those_of_the_answer(self):
        server = self.start()
        with server.client() as client:
            self.next_second(client, "/text")
            first, second = self.next_second(client, "/kept/index.html")
            self.assertNotEqual(second.header("expires"), first.header("expires"))

    def sites(self, *routes, **more):
        server = self.start()
        server.configure({"sites": [{"routes": list(routes)}], **more})
        self.assertEqual(server.reload()[0], 0)
        return server

    def test_a_page_of_the_site_is_the_one_that_is_there_now(self):
        server = self.start()
        page = os.path.join(server.site, "gone.html")
        server.configure({"sites": [{"routes": [{"match": "/gone", "respond": {"status": 410}}],
                                     "error_pages": [{"status": ["410"], "file": page}]}]})
        self.assertEqual(server.reload()[0], 0)
        with server.client() as client:
            self.assertIn(b"410 Gone", client.request("/gone").body)
            for body in ("one\n", "two\n"):
                server.write("gone.html", body)
                self.assertEqual(client.request("/gone").body, body.encode())

    def test_what_is_not_for_everybody_is_not_given_to_others(self):
        server = self.sites({"match": "/inside", "respond": {"body": "in\n"}, "allow": ["127.0.0.2"]})
        for source, status in (("127.0.0.2", 200), ("127.0.0.3", 403), ("127.0.0.2", 200)):
            with server.client(source=source) as client:
                for _ in range(2):
                    self.assertEqual(client.request("/inside").status, status)

    def test_where_somebody_forwards_the_scheme_is_that_of_each_request(self):
        server = self.sites({"match": "/moved", "redirect": {"to": "//www.example/new"}},
                            forwarded={"from": ["127.0.0.0/8"], "header": "x-forwarded-for"})
        with server.client() as client:
            for scheme in ("http", "https", "http"):
                answer = client.request("/moved", {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": scheme})
                self.assertEqual(answer.header("location"), scheme + "://www.example/new")


if __name__ == "__main__":
    unittest.main()
