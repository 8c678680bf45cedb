"""Conditional requests, ranges, and files that change while they are sent; every test in every accept mode."""

import email.parser
import email.policy
import email.utils
import gzip
import os
import re
import socket
import time
import unittest

from drover import Client
from test_http import Http, in_every_mode, pattern

OLD = 1700000000  # Tue, 14 Nov 2023 22:13:20 GMT
CONTENT = bytes(range(256)) * 4
LARGE = 20 << 20


def date(seconds):
    return email.utils.formatdate(seconds, usegmt=True)


class Case(Http):
    """A file that has long been as it is, at /r.bin and as large as any at /large.bin."""

    def setUp(self):
        self.old_file("r.bin", CONTENT)
        self.etag = self.get("/r.bin", method="HEAD").header("etag")

    def old_file(self, name, content, when=OLD):
        path = self.server.write(name, content)
        os.utime(path, (when, when))
        return path

    def ask(self, *headers, target="/r.bin", method="GET"):
        """One request, after which the connection still works."""
        with self.server.client() as client:
            response = client.request(target, headers, method)
            self.assertEqual(client.request("/index.html").status, 200)
        return response

    def whole(self, response):
        self.assertEqual((response.status, response.body), (200, CONTENT))
        self.assertIsNone(response.header("content-range"))

    def part(self, response, first, last, content=CONTENT):
        self.assertEqual(response.status, 206)
        self.assertEqual(response.body, content[first:last + 1])
        self.assertEqual(response.header("content-range"), "bytes %d-%d/%d" % (first, last, len(content)))
        self.assertEqual(response.header("content-length"), str(last - first + 1))

    def parts(self, response, *expected, content=CONTENT):
        """A multipart/byteranges, read by somebody else's parser."""
        self.assertEqual(response.status, 206)
        self.assertIsNone(response.header("content-range"))
        self.assertEqual(response.header("content-length"), str(len(response.body)))
        kind = response.header("content-type")
        self.assertRegex(kind, r"^multipart/byteranges; boundary=[0-9A-Za-z]+$")
        boundary = b"--" + kind.partition("boundary=")[2].encode()
        self.assertTrue(response.body.startswith(b"\r\n" + boundary + b"\r\n"))
        self.assertTrue(response.body.endswith(b"\r\n" + boundary + b"--\r\n"))
        pieces = response.body.split(b"\r\n" + boundary)[1:-1]
        found = []
        for piece in pieces:
            head, _, body = piece.partition(b"\r\n\r\n")
            fields = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head.lstrip(b"\r\n") + b"\r\n\r\n")
            self.assertEqual(sorted(name.lower() for name in fields), ["content-range", "content-type"])
            first, last = map(int, re.match(r"bytes (\d+)-(\d+)/%d$" % len(content),
                                            fields["content-range"]).groups())
            self.assertEqual(body, content[first:last + 1])
            found.append((first, last))
        self.assertEqual(found, list(expected))


class Validators(Case):
    def test_an_etag_depends_on_content_and_time_alone(self):
        self.old_file("copy.bin", CONTENT)
        self.assertRegex(self.etag, r'^"[0-9a-f-]+"$')
        self.assertEqual(self.ask(target="/copy.bin").header("etag"), self.etag)
        self.old_file("copy.bin", CONTENT[1:])
        self.assertNotEqual(self.ask(target="/copy.bin").header("etag"), self.etag)
        self.old_file("copy.bin", CONTENT, OLD + 0.000001)
        self.assertNotEqual(self.ask(target="/copy.bin").header("etag"), self.etag)

    def test_an_etag_is_weak_while_its_file_is_young(self):
        path = self.server.write("young", "young")
        young = self.ask(target="/young").header("etag")
        self.assertRegex(young, r'^W/"[0-9a-f-]+"$')
        for etag in (young, young[2:]):  # nothing equals it strongly
            self.assertEqual(self.ask(("If-Match", etag), target="/young").status, 412)
            self.assertEqual(self.ask(("If-None-Match", etag), target="/young").status, 304)
            self.assertEqual(self.ask(("Range", "bytes=0-1"), ("If-Range", etag), target="/young").status, 200)
        changed = self.ask(target="/young").header("last-modified")
        self.assertEqual(self.ask(("Range", "bytes=0-1"), ("If-Range", changed), target="/young").status, 200)
        self.assertEqual(self.ask(("If-Match", "*"), target="/young").status, 200)
        now = time.time()
        os.utime(path, (now - 3, now - 3))
        old = self.ask(target="/young")
        self.assertRegex(old.header("etag"), r'^"[0-9a-f-]+"$')
        self.assertEqual(self.ask(("Range", "bytes=0-1"), ("If-Range", old.header("last-modified")),
                                  target="/young").status, 206)

    def test_last_modified(self):
        for when in (OLD, 0, -1, 1, 253402300799):
            with self.subTest(when):
                self.old_file("m", "m", when)
                response = self.ask(target="/m")
                if when <= OLD:
                    self.assertEqual(response.header("last-modified"), date(when))
                else:
                    self.assertEqual(response.header("last-modified"), response.header("date"))

    def test_head_is_get(self):
        for headers in ((), (("If-None-Match", self.etag),), (("If-Match", '"x"'),),
                        (("If-Unmodified-Since", date(OLD - 1)),)):
            with self.subTest(headers):
                get, head = (self.ask(*headers, method=method) for method in ("GET", "HEAD"))
                self.assertEqual(head.status, get.status)
                self.assertEqual([pair for pair in head.headers if pair[0] != "date"],
                                 [pair for pair in get.headers if pair[0] != "date"])


class Conditions(Case):
    def test_preconditions(self):
        e, then = self.etag, date(OLD)
        before, after = date(OLD - 1), date(OLD + 1)
        self.assertNotEqual(e, '"x"')
        for status, headers in (
                # If-Match: strong
                (200, (("If-Match", e),)), (200, (("If-Match", "*"),)), (200, (("If-Match", '"x", %s' % e),)),
                (200, (("If-Match", '"x"'), ("If-Match", e))), (412, (("If-Match", '"x"'),)),
                (412, (("If-Match", "W/" + e),)), (412, (("If-Match", e.strip('"')),)), (412, (("If-Match", ""),)),
                (412, (("If-Match", '"x" %s' % e),)), (412, (("If-Match", '"x,%s,y"' % e.strip('"')),)),
                (412, (("If-Match", "*"), ("If-Match", '"x"'))),
                # If-Unmodified-Since, ignored when there is If-Match or it is no date
                (200, (("If-Unmodified-Since", then),)), (200, (("If-Unmodified-Since", after),)),
                (412, (("If-Unmodified-Since", before),)), (200, (("If-Unmodified-Since", "yesterday"),)),
                (200, (("If-Unmodified-Since", before), ("If-Unmodified-Since", before))),
                (200, (("If-Match", e), ("If-Unmodified-Since", before))),
                (412, (("If-Match", '"x"'), ("If-Unmodified-Since", after))),
                (412, (("If-Unmodified-Since", "Tuesday, 14-Nov-23 22:13:19 GMT"),)),
                (412, (("If-Unmodified-Since", "Tue Nov 14 22:13:19 2023"),)),
                # If-None-Match: weak
                (304, (("If-None-Match", e),)), (304, (("If-None-Match", "W/" + e),)), (304, (("If-None-Match", "*"),)),
                (304, (("If-None-Match", ',, "x" , ,%s,' % e),)), (304, (("If-None-Match", '"a,b", %s' % e),)),
                (304, (("If-None-Match", '"x"'), ("If-None-Match", e))), (200, (("If-None-Match", '"x"'),)),
                (200, (("If-None-Match", "w/" + e),)), (200, (("If-None-Match", e + "x"),)),
                (200, (("If-None-Match", ""),)), (200, (("If-None-Match", '"*"'),)),
                # If-Modified-Since, ignored when there is If-None-Match or it is no date
                (304, (("If-Modified-Since", then),)), (304, (("If-Modified-Since", after),)),
                (200, (("If-Modified-Since", before),)), (200, (("If-Modified-Since", then.replace("Tue", "Wed")),)),
                (200, (("If-Modified-Since", then), ("If-Modified-Since", then))),
                (200, (("If-None-Match", '"x"'), ("If-Modified-Since", then))),
                (304, (("If-None-Match", e), ("If-Modified-Since", before))),
                # what is to be unchanged goes first (RFC 9110, 13.2.2)
                (412, (("If-Match", '"x"'), ("If-None-Match", e))), (304, (("If-Match", e), ("If-None-Match", e))),
                (412, (("If-Unmodified-Since", before), ("If-Modified-Since", then))),
                (304, (("If-Unmodified-Since", then), ("If-Modified-Since", then)))):
            with self.subTest(headers):
                response = self.ask(*headers)
                self.assertEqual(response.status, status)
                if status == 200:
                    self.whole(response)

    def test_a_304_says_what_it_has_to(self):
        response = self.ask(("If-None-Match", "*"))
        self.assertEqual(response.header("etag"), self.etag)
        self.assertIsNotNone(response.header("date"))
        for name in ("content-length", "content-type", "content-encoding", "content-range", "last-modified",
                     "accept-ranges", "transfer-encoding"):
            self.assertIsNone(response.header(name), name)

    def test_what_is_not_there_has_no_conditions(self):
        self.server.write("d/index.html", "d")
        for target, status in (("/nope", 404), ("/d", 301)):
            for header in ("If-Match", "If-None-Match"):
                self.assertEqual(self.ask((header, "*"), target=target).status, status)

    def test_conditions_go_before_ranges(self):
        beyond = ("Range", "bytes=5000-")
        self.assertEqual(self.ask(beyond, ("If-None-Match", self.etag)).status, 304)
        self.assertEqual(self.ask(beyond, ("If-Match", '"x"')).status, 412)
        self.part(self.ask(("Range", "bytes=1-2"), ("If-None-Match", '"x"')), 1, 2)
        self.part(self.ask(("Range", "bytes=1-2"), ("If-Match", self.etag)), 1, 2)


class Ranges(Case):
    def test_one(self):
        end = len(CONTENT) - 1
        for text, first, last in (("0-0", 0, 0), ("0-", 0, end), ("5-9", 5, 9), ("1000-5000", 1000, end), ("-1", end, end),
                                  ("-5000", 0, end), ("1023-", end, end), ("0-18446744073709551616", 0, end),
                                  ("-99999999999999999999999999", 0, end), ("000000000000000000000000001-2", 1, 2),
                                  (",, 3-4 ,", 3, 4), ("5000-,3-4", 3, 4)):
            for unit in ("bytes", "BYTES"):
                with self.subTest(text):
                    self.part(self.ask(("Range", "%s=%s" % (unit, text))), first, last)

    def test_a_206_has_what_a_200_has(self):
        whole, part = self.ask(), self.ask(("Range", "bytes=1-2"))
        self.assertEqual(whole.header("accept-ranges"), "bytes")
        for name in ("etag", "last-modified", "content-type", "accept-ranges"):
            self.assertEqual(part.header(name), whole.header(name))

    def test_what_is_ignored(self):
        for text in ("bytes", "bytes=", "bytes=,", "bytes=-", "bytes=a-b", "bytes=2-1", "bytes=0-1,2-1", "bytes 0-1",
                     "bytes= 0-1", "bytes =0-1", "bytes=0 - 1", "bytes=0-1;2-3", "bytes=0-1 2-3", "bytes=+1-2", "bytes=0-1,x",
                     "items=0-1", "byte=0-1", "bytes=--1", "bytes=1-2-3", "bytes=0x1-2", "0-1", "",
                     "bytes=100000000000000000000-99999999999999999999", "bytes=1.0-2"):
            with self.subTest(text):
                self.whole(self.ask(("Range", text)))
        self.whole(self.ask(("Range", "bytes=0-1"), ("Range", "bytes=0-1")))

    def test_ranges_are_for_get(self):
        response = self.ask(("Range", "bytes=0-1"), method="HEAD")
        self.assertEqual((response.status, response.header("content-length")), (200, str(len(CONTENT))))
        self.assertEqual(self.ask(("Range", "bytes=9999-"), method="HEAD").status, 200)

    def test_what_is_not_there(self):
        for text in ("1024-", "1024-1024", "5000-6000", "-0", "1024-,2000-3000,-0", "18446744073709551616-",
                     "99999999999999999999-99999999999999999999"):
            with self.subTest(text):
                response = self.ask(("Range", "bytes=" + text))
                self.assertEqual((response.status, response.header("content-range")), (416, "bytes */1024"))
                self.assertIn(b"416", response.body)

    def test_an_empty_file(self):
        self.server.write("empty", "")
        response = self.ask(("Range", "bytes=0-"), target="/empty")
        self.assertEqual((response.status, response.header("content-range")), (416, "bytes */0"))
        response = self.ask(("Range", "bytes=-5"), target="/empty")  # all of it, and no range can say so
        self.assertEqual((response.status, response.body), (200, b""))

    def test_several(self):
        self.parts(self.ask(("Range", "bytes=0-1,100-199,-3")), (0, 1), (100, 199), (1021, 1023))
        self.parts(self.ask(("Range", "bytes=900-901, 5-6")), (900, 901), (5, 6))
        self.parts(self.ask(("Range", "bytes=5-6,9-9,5000-6000")), (5, 6), (9, 9))

    def test_several_become_one(self):
        for text, first, last in (("0-10,5-20", 0, 20), ("5-20,0-10", 0, 20), ("0-4,5-9", 0, 9), ("10-19,0-9", 0, 19),
                                  ("1-1,3-3,2-2", 1, 3), ("0-,0-,0-", 0, 1023), ("-10,1000-", 1000, 1023),
                                  (",".join(["0-"] * 999), 0, 1023)):
            with self.subTest(text[:50]):
                self.part(self.ask(("Range", "bytes=" + text)), first, last)
        self.parts(self.ask(("Range", "bytes=500-510,0-10,505-520,5-20")), (500, 520), (0, 20))

    def test_too_many(self):
        few = ",".join("%d-%d" % (at, at) for at in range(0, 32, 2))
        self.parts(self.ask(("Range", "bytes=" + few)), *((at, at) for at in range(0, 32, 2)))
        for step, count in ((2, 17), (2, 201), (0, 1001), (1, 1001)):  # more than the whole, parts, range-specs
            text = ",".join("%d-%d" % (at * step, at * step) for at in range(count))
            with self.subTest(count=count, step=step):
                self.whole(self.ask(("Range", "bytes=" + text)))

    def test_many_of_a_large_file(self):
        content = pattern(1 << 20)
        self.old_file("large.bin", content)
        text = ",".join("%d-%d" % (at << 12, (at << 12) + 9) for at in range(200))
        self.parts(self.ask(("Range", "bytes=" + text), target="/large.bin"),
                   *((at << 12, (at << 12) + 9) for at in range(200)), content=content)
        self.parts(self.ask(("Range", "bytes=0-499999,600000-999999"), target="/large.bin"), (0, 499999),
                   (600000, 999999), content=content)
        self.part(self.ask(("Range", "bytes=7-900006"), target="/large.bin"), 7, 900006, content)
        self.part(self.ask(("Range", "bytes=1000000-"), target="/large.bin"), 1000000, len(content) - 1, content)

    def test_if_range(self):
        for value, is_part in ((self.etag, True), ("W/" + self.etag, False), ('"x"', False), (date(OLD), True),
                               (date(OLD + 1), False), (date(OLD - 1), False), ("Tuesday, 14-Nov-23 22:13:20 GMT", True),
                               ("Tue Nov 14 22:13:20 2023", True), ("", False), ("*", False), (self.etag[1:], False),
                               (self.etag + ', "x"', False)):
            with self.subTest(value):
                response = self.ask(("Range", "bytes=1-2"), ("If-Range", value))
                if is_part:
                    self.part(response, 1, 2)
                else:
                    self.whole(response)
                # what is not the same is not too short either
                self.assertEqual(self.ask(("Range", "bytes=5000-"), ("If-Range", value)).status, 416 if is_part else 200)
        self.whole(self.ask(("If-Range", self.etag)))
        self.whole(self.ask(("If-Range", self.etag), ("If-Range", self.etag), ("Range", "bytes=1-2")))

    def test_a_range_beyond_32_bits(self):
        path = self.server.write("huge", "")
        os.truncate(path, 5 << 30)
        with open(path, "r+b") as file:
            file.seek((4 << 30) + 5)
            file.write(b"here")
        os.utime(path, (OLD, OLD))
        response = self.ask(("Range", "bytes=4294967301-4294967304"), target="/huge")
        self.assertEqual((response.status, response.body), (206, b"here"))
        self.assertEqual(response.header("content-range"), "bytes 4294967301-4294967304/5368709120")
        response = self.ask(("Range", "bytes=-1,4294967301-4294967304,0-0"), target="/huge")
        self.assertEqual((response.status, response.body.count(b"\r\n\r\nhere\r\n--")), (206, 1))


class Variants(Case):
    """A file and its precompressed sibling are two representations."""

    GZIP = ("Accept-Encoding", "gzip")

    def setUp(self):
        super().setUp()
        self.packed = gzip.compress(CONTENT, mtime=0)
        self.old_file("v.txt", CONTENT)
        self.old_file("v.txt.gz", self.packed)
        self.plain = self.ask(target="/v.txt").header("etag")
        self.coded = self.ask(self.GZIP, target="/v.txt").header("etag")

    def test_each_has_an_etag(self):
        self.assertNotEqual(self.plain, self.coded)
        self.assertNotEqual(self.ask(target="/v.txt.gz").header("etag"), self.coded)
        for etag, headers, status in ((self.plain, (), 304), (self.coded, (), 200), (self.plain, (self.GZIP,), 200),
                                      (self.coded, (self.GZIP,), 304)):
            self.assertEqual(self.ask(("If-None-Match", etag), *headers, target="/v.txt").status, status)
            status = 200 if status == 304 else 412
            self.assertEqual(self.ask(("If-Match", etag), *headers, target="/v.txt").status, status)

    def test_a_range_is_one_of_the_coded_bytes(self):
        response = self.ask(self.GZIP, ("Range", "bytes=2-9"), ("If-Range", self.coded), target="/v.txt")
        self.part(response, 2, 9, self.packed)
        self.assertEqual(response.header("content-encoding"), "gzip")
        response = self.ask(self.GZIP, ("Range", "bytes=2-9"), ("If-Range", self.plain), target="/v.txt")
        self.assertEqual((response.status, response.body), (200, self.packed))
        response = self.ask(self.GZIP, ("Range", "bytes=2-3,5-6"), target="/v.txt")
        self.parts(response, (2, 3), (5, 6), content=self.packed)
        self.assertEqual(response.header("content-encoding"), "gzip")  # RFC 9110, 15.3.7: what a 200 would have

    def test_all_answers_vary(self):
        for status, headers in ((200, ()), (206, (("Range", "bytes=0-0"),)), (206, (("Range", "bytes=0-0,5-5"),)),
                                (304, (("If-None-Match", "*"),)), (412, (("If-Match", '"x"'),)),
                                (416, (("Range", "bytes=5000-"),))):
            for more in ((), (self.GZIP,)):
                response = self.ask(*headers, *more, target="/v.txt")
                self.assertEqual(response.status, status)
                self.assertEqual(response.header("vary"), "Accept-Encoding")


class Changes(Case):
    """What is written to in place while a slow client reads it must never look whole."""

    def slow(self, target, *headers):
        client = Client(self.server.address, receive_buffer=16384)
        self.addCleanup(client.close)
        client.send(client.head(target, headers))
        while len(client.socket.recv(1000, socket.MSG_PEEK)) < 1000:
            pass  # MSG_WAITALL does not wait on a socket with a timeout: the body is to be under way
        return client.hurry()

    def is_cut(self, client):
        with self.assertRaises(ConnectionResetError):
            client.read(LARGE)

    def test_a_file_that_is_written_to_cuts_the_connection(self):
        content = pattern(LARGE)
        ways = {"grows": lambda path: append(path, b"more"),
                "changes": lambda path: overwrite(path, LARGE - 5, b"other"),
                "changes back": lambda path: (overwrite(path, 5, b"other"), os.utime(path, (OLD, OLD))),
                "is touched": os.utime}
        for what, change in ways.items():
            for headers in ((), (("Range", "bytes=1-%d" % (LARGE - 2)),),
                            (("Range", "bytes=0-9,20-%d" % (LARGE - 1)),)):
                with self.subTest(what, headers=headers):
                    path = self.old_file("inplace", content)
                    client = self.slow("/inplace", *headers)
                    change(path)
                    self.is_cut(client)
        self.assertEqual(self.get("/").status, 200)

    def test_what_does_not_change_the_bytes_does_not_matter(self):
        content = pattern(LARGE)
        for what in ("replaced", "removed", "linked", "renamed", "renamed, then replaced"):
            with self.subTest(what):
                path, other = self.server.path("inplace"), self.server.path("inplace.new")
                for name in (path, other):
                    if os.path.exists(name):
                        os.unlink(name)
                self.old_file("inplace", content)
                client = self.slow("/inplace")
                if what == "replaced":
                    self.server.write("inplace.new", "new")
                    os.rename(other, path)
                elif what == "removed":
                    os.unlink(path)
                elif what == "linked":
                    os.link(path, other)
                else:
                    os.rename(path, other)
                    if what != "renamed":
                        self.server.write("inplace", "new")
                self.assertEqual(client.response().body, content)

    def test_what_is_in_flight_does_not_change_any_more(self):
        """All of it fits in the sockets' buffers: the answer is done, and nobody has read it."""
        content = pattern(150000)
        for size in (100, 20000, 150000):
            path = self.old_file("flight", content[:size])
            with self.server.client() as client:
                client.send(client.head("/flight"))
                client.socket.recv(1, socket.MSG_PEEK)
                overwrite(path, 0, b"x" * size)
                try:
                    body = client.response().body
                except ConnectionResetError:
                    continue
                self.assertEqual(body, content[:size])

    def test_a_small_file_is_one_version(self):
        path = self.server.write("flips", "A" * 8000)
        with self.server.client() as client:
            for number in range(200):
                letter = b"AB"[number % 2:number % 2 + 1]
                overwrite(path, 0, letter * 8000)
                self.assertEqual(client.request("/flips").body, letter * 8000)


class LongHeads(Case):
    """The place for a head in front of a small body is 1 KiB."""

    def setUp(self):
        self.old_file("r.bin", CONTENT)

    def test_any_length(self):
        for length in (300, 350, 400, 700, 3000):
            route = {"match": "/", "files": {"root": self.server.site}, "headers": {"set": ["X-Long: " + "x" * length]}}
            self.server.configure({"sites": [{"routes": [route]}]})
            self.assertEqual(self.server.reload()[0], 0)
            self.whole(self.ask())
            self.part(self.ask(("Range", "bytes=3-5")), 3, 5)
            self.assertEqual(self.ask(("If-None-Match", "*")).header("x-long"), "x" * length)
            self.assertEqual(self.ask(("Range", "bytes=5000-")).header("content-range"), "bytes */1024")


def append(path, data):
    with open(path, "ab") as file:
        file.write(data)


def overwrite(path, at, data):
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(data)


in_every_mode(globals(), Validators, Conditions, Ranges, Variants, Changes, LongHeads)

if __name__ == "__main__":
    unittest.main()
