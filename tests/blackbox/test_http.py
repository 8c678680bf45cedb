"""HTTP/1.1 for files, over raw sockets; every test in every accept mode."""

import email.utils
import os
import re
import select
import shutil
import socket
import time
import unittest

import drover
from drover import Client, Drover

LARGE = 20 << 20
TRICKLED = 4 << 20


def pattern(size):
    """Bytes that are different at every offset of a megabyte."""
    block = b"".join(b"%07d\n" % number for number in range(1 << 17))
    return (block * (size // len(block) + 1))[:size]


class Http:
    accept = None

    @classmethod
    def setUpClass(cls):
        cls.server = Drover({"accept": cls.accept})
        cls.addClassCleanup(cls.server.close)

    def get(self, *args, **more):
        return self.server.get(*args, **more)

    def client(self):
        client = self.server.client()
        self.addCleanup(client.close)
        return client

    def raw(self, data):
        """Sends these bytes; the answer, after which the server must close."""
        client = self.client()
        client.send(data)
        response = client.response()
        self.assertTrue(response.closes, response)
        self.assertEqual(client.rest(), b"")
        return response

    def bad(self, data, *statuses):
        response = self.raw(data)
        self.assertIn(response.status, statuses or (400,), data[:100])
        self.assertLess(len(response.body), 2000)
        return response


class Files(Http):
    def test_get(self):
        self.server.write("a.txt", "some text\n")
        response = self.get("/a.txt")
        self.assertEqual((response.version, response.status, response.reason), ("HTTP/1.1", 200, "OK"))
        self.assertEqual(response.body, b"some text\n")
        self.assertEqual(response.header("content-length"), "10")
        self.assertEqual(response.header("content-type"), "text/plain; charset=utf-8")
        self.assertRegex(response.header("etag"), r'^W/"[^"]+"$')  # it was written just now
        for name in ("date", "last-modified"):
            self.assertRegex(response.header(name), r"^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$")

    def test_head_is_get_without_a_body(self):
        self.server.write("a.txt", "some text\n")
        client = self.client()
        head = client.request("/a.txt", method="HEAD")
        got = client.request("/a.txt")
        self.assertEqual(got.body, b"some text\n")
        self.assertEqual([pair for pair in head.headers if pair[0] != "date"],
                         [pair for pair in got.headers if pair[0] != "date"])

    def test_an_empty_file(self):
        self.server.write("empty", "")
        client = self.client()
        for _ in range(2):
            response = client.request("/empty")
            self.assertEqual((response.status, response.body, response.header("content-length")), (200, b"", "0"))

    def test_media_types(self):
        for name, kind in (("a.html", "text/html; charset=utf-8"), ("a.css", "text/css; charset=utf-8"),
                           ("a.png", "image/png"), ("a.SVG", "image/svg+xml"),
                           ("a.unknown", "application/octet-stream"),
                           ("none", "application/octet-stream"), ("a.json", "application/json")):
            with self.subTest(name):
                self.server.write("types/" + name, "x")
                self.assertTrue(self.get("/types/" + name).header("content-type").startswith(kind))

    def test_a_large_file(self):
        content = pattern(LARGE)
        self.server.write("large", content)
        client = self.client()
        for _ in range(2):
            self.assertTrue(client.request("/large").body == content)

    def test_a_large_file_to_a_slow_reader_does_not_stop_others(self):
        content = pattern(LARGE)
        self.server.write("slow", content)
        slow = [Client(self.server.address, receive_buffer=4096) for _ in range(4)]
        for client in slow:
            self.addCleanup(client.close)
            client.send(client.head("/slow"))
        for _ in range(8):
            self.assertEqual(self.get("/").status, 200)
        for client in slow:
            self.assertTrue(client.response().body == content)

    def test_a_percent_encoded_name(self):
        self.server.write("a b\u00fc+&.txt", "found\n")
        self.assertEqual(self.get("/a%20b%c3%BC+&.txt").body, b"found\n")
        self.assertEqual(self.get("/%61%20b%c3%bc%2B%26.txt").body, b"found\n")

    def test_a_query_is_not_part_of_the_name(self):
        self.assertEqual(self.get("/index.html?a=b/../c?d").status, 200)

    def test_an_absolute_target(self):
        response = self.get("http://other.example:81/index.html")
        self.assertEqual((response.status, response.body), (200, b"<p>hello\n"))

    def test_not_found(self):
        for target in ("/none", "/none/", "/index.html/", "/index.html/x", "/" + "x" * 300, "/a%0ab"):
            with self.subTest(target):
                response = self.get(target)
                self.assertEqual((response.status, response.reason), (404, "Not Found"))
                self.assertIn(b"404", response.body)

    def test_a_file_that_the_worker_may_not_read(self):
        os.chmod(self.server.write("secret", "secret"), 0)
        response = self.get("/secret")
        self.assertEqual(response.status, 403)
        self.assertNotIn(b"secret", response.body)

    def test_hidden_files(self):
        self.server.write(".git/config", "secret")
        self.server.write(".htpasswd", "secret")
        self.server.write(".well-known/acme", "public")
        for target in ("/.git/config", "/.htpasswd", "/%2egit/config", "/.git/", "/x/../.htpasswd"):
            with self.subTest(target):
                self.assertEqual(self.get(target).status, 404)
        self.assertEqual(self.get("/.well-known/acme").body, b"public")

    def test_index_files(self):
        self.server.write("with/index.html", "<p>index\n")
        os.makedirs(self.server.path("without"), exist_ok=True)
        self.assertEqual(self.get("/with/").body, b"<p>index\n")
        self.assertEqual(self.get("/with/.").body, b"<p>index\n")
        self.assertIn(self.get("/without/").status, (403, 404))

    def test_a_directory_without_its_slash_is_redirected(self):
        self.server.write("dir/sub/index.html", "x")
        self.server.write("dir/with space:colon/index.html", "x")
        for target, location in (("/dir/sub", "/dir/sub/"), ("/dir/sub?a=b&c", "/dir/sub/?a=b&c"),
                                 ("//dir//sub", "/dir/sub/"), ("/%64ir/x/../sub", "/dir/sub/"),
                                 ("/dir/with%20space:colon", "/dir/with%20space:colon/")):
            with self.subTest(target):
                response = self.get(target)
                self.assertEqual(response.status, 301)
                self.assertEqual(response.header("location"), location)

    def test_a_redirect_never_names_another_host(self):
        self.server.write("evil.example/index.html", "x")
        for target in ("//evil.example", "///evil.example", "/\\evil.example", "/%2fevil.example", "//evil.example/.."):
            with self.subTest(target):
                location = self.get(target, headers={"X": "y"}).header("location")
                self.assertNotRegex(location or "", r"^(//|[a-z]+:|/\\)")

    def test_a_fifo_and_a_socket_do_not_block(self):
        os.mkfifo(self.server.path("fifo"), 0o666)
        os.chmod(self.server.path("fifo"), 0o666)
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(self.server.path("socket"))
        self.addCleanup(os.unlink, self.server.path("socket"))
        self.addCleanup(os.unlink, self.server.path("fifo"))
        for target in ("/fifo", "/socket"):
            self.assertIn(self.get(target).status, (403, 404))
        self.assertEqual(self.get("/").status, 200)

    def test_other_methods(self):
        for method in ("POST", "PUT", "DELETE", "PATCH", "TRACE"):
            with self.subTest(method):
                response = self.get("/index.html", method=method)
                self.assertEqual(response.status, 405)
                self.assertEqual(response.header("allow"), "GET, HEAD, OPTIONS")

    def test_options_says_what_can_be_done(self):
        for target in ("/index.html", "/nope", "/", "*"):
            with self.subTest(target):
                response = self.get(target, method="OPTIONS")
                self.assertEqual((response.status, response.body), (200, b""))
                self.assertEqual(response.header("allow"), "GET, HEAD, OPTIONS")
                self.assertEqual(response.header("content-length"), "0")

    def test_an_asterisk_is_for_options_alone(self):
        self.assertEqual(self.get("*").status, 400)
        self.assertEqual(self.get("*", method="HEAD").status, 400)

    def test_trace_is_never_echoed(self):
        response = self.get("/", {"X-Secret": "4711"}, method="TRACE")
        self.assertEqual(response.status, 405)
        self.assertNotIn(b"4711", response.body)

    def test_connect_is_refused(self):
        response = self.get("a.example:443", method="CONNECT")
        self.assertEqual((response.status, response.header("allow")), (405, "GET, HEAD, OPTIONS"))

    def test_methods_that_nobody_knows(self):
        for method in ("BREW", "get", "GETS", "G!#$%&'*+-.^_`|~9"):
            with self.subTest(method):
                self.assertIn(self.get("/index.html", method=method).status, (405, 501))

    def test_a_file_replaced_by_rename_is_whole(self):
        self.server.write("swap", "A" * 1000)
        client = self.client()
        for number in range(50):
            letter = "AB"[number % 2]
            self.server.write("swap.new", letter * (1000 + number))
            os.rename(self.server.path("swap.new"), self.server.path("swap"))
            self.assertEqual(client.request("/swap").body, letter.encode() * (1000 + number))

    def test_a_file_that_shrinks_cuts_the_connection(self):
        path = self.server.write("shrinks", pattern(LARGE))
        client = Client(self.server.address, receive_buffer=16384)
        self.addCleanup(client.close)
        client.send(client.head("/shrinks"))
        client.read(1000)  # it is under way
        os.truncate(path, 1000)
        try:
            received = 1000 + len(client.rest())
        except ConnectionResetError:
            received = 0
        self.assertLess(received, LARGE)
        self.assertEqual(self.get("/").status, 200)


class Beneath(Http):
    def setUp(self):
        with open(os.path.join(self.server.dir, "outside"), "w", encoding="ascii") as file:
            file.write("outside\n")
        os.chmod(os.path.join(self.server.dir, "outside"), 0o644)

    def link(self, target, name):
        path = self.server.path(name)
        if os.path.lexists(path):
            os.unlink(path)
        os.symlink(target, path)

    def test_dots_do_not_leave_the_root(self):
        for target in ("/../outside", "/%2e%2e/outside", "/a/../../outside", "/..%2foutside", "/.%2e/outside",
                       "/%2e%2e%2foutside", "/..\\outside", "/%5c..%5coutside", "//../outside",
                       "/../../../../etc/passwd",
                       "/..;/outside", "/%252e%252e/outside", "/%c0%ae%c0%ae/outside", "/x%00/../outside",
                       "/..", "/../", "http://h/../outside"):
            with self.subTest(target):
                response = self.get(target)
                self.assertIn(response.status, (400, 403, 404))
                self.assertNotIn(b"outside\n", response.body)

    def test_targets_that_are_no_path(self):
        for target in ("index.html", "..", "*", "?x", "/%", "/%4", "/%zz", "/%00", "/a%2fb", "http:/x", "#x", "\\x"):
            with self.subTest(target):
                self.assertIn(self.get(target).status, (400, 404, 405))

    def test_dots_inside_the_root_are_resolved(self):
        self.server.write("sub/file", "inside")
        for target in ("/sub/../index.html", "/./index.html", "/sub/./../index.html", "//index.html"):
            with self.subTest(target):
                self.assertEqual(self.get(target).body, b"<p>hello\n")

    def test_symlinks_that_leave_the_root(self):
        self.link(self.server.dir + "/outside", "absolute")
        self.link("../outside", "relative")
        self.link("/etc", "etc")
        self.link("..", "up")
        for target in ("/absolute", "/relative", "/etc/passwd", "/etc/", "/etc", "/up/outside", "/up/"):
            with self.subTest(target):
                response = self.get(target)
                self.assertIn(response.status, (403, 404))
                self.assertNotIn(b"outside\n", response.body)

    def test_symlinks_within_the_root(self):
        self.server.write("sub/file", "inside")
        self.link("sub/file", "good")
        self.link("../index.html", "sub/up")
        self.assertEqual(self.get("/good").body, b"inside")
        self.assertEqual(self.get("/sub/up").body, b"<p>hello\n")

    def test_symlinks_that_lead_nowhere(self):
        self.link("loop2", "loop1")
        self.link("loop1", "loop2")
        self.link("missing", "dangling")
        for target in ("/loop1", "/dangling"):
            self.assertIn(self.get(target).status, (403, 404))

    def test_the_root_is_resolved_anew_for_each_request(self):
        directory = drover.temporary_directory()
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        for name in ("one", "two"):
            os.mkdir(os.path.join(directory, name))
            with open(os.path.join(directory, name, "f"), "w", encoding="ascii") as file:
                file.write(name)
        os.symlink("one", directory + "/current")
        with Drover({"accept": self.accept, "sites": [{"routes": [
                {"match": "/", "files": {"root": directory + "/current"}}]}]}) as server:
            with server.client() as client:
                self.assertEqual(client.request("/f").body, b"one")
                os.symlink("two", directory + "/next")
                os.rename(directory + "/next", directory + "/current")
                self.assertEqual(client.request("/f").body, b"two")


class Conditional(Http):
    def setUp(self):
        path = self.server.write("c.txt", "conditional\n")
        os.utime(path, (1700000000, 1700000000))
        self.etag = self.get("/c.txt").header("etag")

    def status(self, **headers):
        client = self.client()
        response = client.request("/c.txt", {name.replace("_", "-"): value for name, value in headers.items()})
        if response.status == 304:
            self.assertEqual(response.header("etag"), self.etag)
            self.assertIsNotNone(response.header("date"))
        else:
            self.assertEqual(response.body, b"conditional\n")
        self.assertEqual(client.request("/").status, 200)
        return response.status

    def test_if_none_match(self):
        for value, status in ((self.etag, 304), ("*", 304), ('"other", %s' % self.etag, 304), ("W/" + self.etag, 304),
                              ('"other"', 200), ("other", 200), (self.etag[:-1], 200), ('W/"a",W/"b"', 200)):
            with self.subTest(value):
                self.assertEqual(self.status(If_None_Match=value), status)

    def test_if_modified_since(self):
        date = email.utils.formatdate
        for value, status in ((date(1700000000, usegmt=True), 304), (date(1700000001, usegmt=True), 304),
                              (date(1699999999, usegmt=True), 200), ("nonsense", 200), ("", 200),
                              ("Tuesday, 14-Nov-23 22:13:20 GMT", 304), ("Tue Nov 14 22:13:20 2023", 304)):
            with self.subTest(value):
                self.assertEqual(self.status(If_Modified_Since=value), status)

    def test_if_none_match_comes_first(self):
        future = email.utils.formatdate(1800000000, usegmt=True)
        self.assertEqual(self.status(If_None_Match='"other"', If_Modified_Since=future), 200)
        self.assertEqual(self.status(If_None_Match=self.etag, If_Modified_Since="Tue Nov 14 22:13:19 2023"), 304)

    def test_head(self):
        client = self.client()
        self.assertEqual(client.request("/c.txt", {"If-None-Match": self.etag}, "HEAD").status, 304)
        self.assertEqual(client.request("/").status, 200)

    def test_a_changed_file_has_another_etag(self):
        self.server.write("d.txt", "one")
        first = self.get("/d.txt").header("etag")
        os.utime(self.server.write("d.txt", "two"), (1700000000, 1700000000))
        self.assertNotEqual(self.get("/d.txt").header("etag"), first)


class Requests(Http):
    """What is and what is not a request (RFC 9112)."""

    def test_what_is_malformed(self):
        for data in (b"GET\r\n\r\n", b"GET /\r\n\r\n", b" GET / HTTP/1.1\r\nHost: a\r\n\r\n",
                     b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
                     b"GET / x HTTP/1.1\r\nHost: a\r\n\r\n", b"GET / http/1.1\r\nHost: a\r\n\r\n",
                     b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nbad\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n folded: x\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", b"G\x01T / HTTP/1.1\r\nHost: a\r\n\r\n",
                     b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
                     b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"\0" * 100 + b"\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                     b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n"):
            with self.subTest(data):
                self.bad(data, 400, 501)

    def test_versions(self):
        for version in (b"HTTP/2.0", b"HTTP/3.0", b"HTTP/1.1.1", b"HTTP/11", b"HTTP/0.9", b"HTTP/1.10"):
            with self.subTest(version):
                self.bad(b"GET / " + version + b"\r\nHost: a\r\n\r\n", 400, 505)

    def test_the_http2_preface(self):
        self.bad(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, 505)

    def test_a_minor_version_that_is_not_known(self):
        with self.server.client() as client:
            self.assertEqual(client.request("/", version="HTTP/1.9").status, 200)

    def test_an_empty_line_in_front(self):
        with self.server.client() as client:
            client.send(b"\r\n" + client.head("/"))
            self.assertEqual(client.response().status, 200)

    def test_a_request_line_too_long(self):
        self.bad(b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414)

    def test_a_request_line_without_end(self):
        self.bad(b"GET /" + b"x" * 8300, 414)

    def test_the_longest_request_line(self):
        line = 8 * 1024 - len("GET / HTTP/1.1")
        self.assertEqual(self.get("/?" + "x" * (line - 1)).status, 200)
        self.bad(b"GET /?" + b"x" * line + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414)

    def test_too_many_header_bytes(self):
        self.bad(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 33000 + b"\r\n\r\n", 431)

    def test_a_header_line_without_end(self):
        self.bad(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 33000, 431)

    def test_too_many_headers(self):
        self.bad(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 101 + b"\r\n", 431)
        self.assertEqual(self.get("/", [("X", "y")] * 90).status, 200)

    def test_bytes_one_by_one(self):
        client = self.client()
        for byte in client.head("/index.html", {"X-Long": "y" * 100, "If-None-Match": '"no"'}):
            client.send(bytes((byte,)))
        self.assertEqual(client.response().body, b"<p>hello\n")

    def test_every_split_in_two(self):
        client = self.client()
        data = client.head("/index.html")
        for at in range(1, len(data)):
            client.send(data[:at])
            client.send(data[at:])
            self.assertEqual(client.response().body, b"<p>hello\n")

    def test_an_error_leaves_others_alone(self):
        client = self.client()
        self.assertEqual(client.request("/").status, 200)
        self.bad(b"\0\0\0\0\r\n\r\n")
        self.assertEqual(client.request("/").status, 200)

    def test_half_a_request_then_the_end(self):
        client = self.client()
        client.send(b"GET / HTTP/1.1\r\nHo")
        client.socket.shutdown(socket.SHUT_WR)
        answer = client.rest()
        self.assertTrue(answer == b"" or answer.startswith(b"HTTP/1.1 400"), answer)

    def test_a_client_that_has_said_all_it_will_say(self):
        client = self.client()
        client.send(client.head("/") * 3)
        client.socket.shutdown(socket.SHUT_WR)
        for _ in range(3):
            self.assertEqual(client.response().body, b"<p>hello\n")
        self.assertEqual(client.rest(), b"")

    def test_a_connection_that_says_nothing(self):
        client = self.client()
        client.socket.shutdown(socket.SHUT_WR)
        self.assertEqual(client.rest(), b"")


class Bodies(Http):
    """A body is read and thrown away before the answer, and never taken for a request."""

    SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"

    def one_answer(self, data, *statuses):
        client = self.client()
        client.send(data)
        response = client.response()
        self.assertIn(response.status, statuses)
        self.assertTrue(response.closes)
        try:
            self.assertEqual(client.rest(), b"")
        except ConnectionResetError:
            pass  # what was still on its way is of no interest to it
        return response

    def goes_on(self, data, status):
        """The answer, and that the connection goes on behind the request."""
        client = self.client()
        client.send(data + b"GET /after HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        response = client.response()
        self.assertEqual(response.status, status)
        self.assertFalse(response.closes)
        self.assertEqual(client.response().status, 404)
        self.assertEqual(client.rest(), b"")

    def test_a_body_of_known_length(self):
        self.server.write("smuggled", "x")
        body = self.SMUGGLED
        for method, status in ((b"GET", 200), (b"POST", 405), (b"BREW", 501)):
            self.goes_on(method + b" / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body), status)

    def test_a_chunked_body(self):
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(self.SMUGGLED), self.SMUGGLED)
        for method, status in ((b"GET", 200), (b"POST", 405)):
            self.goes_on(method + b" / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body, status)

    def test_a_chunked_body_with_all_that_may_be_there(self):
        self.goes_on(b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n"
                     b"05 ;a = \"b\\\";c\"\r\nhello\r\n00\r\nTrailer: x\r\nContent-Length: 7\r\n\r\n", 200)

    def test_chunked_bodies_that_are_wrong(self):
        for body in (b"5 \r\nhello\r\n0\r\n\r\n", b"5\nhello\n0\n\n", b"0x5\r\nhello\r\n0\r\n\r\n", b"\r\n0\r\n\r\n",
                     b"5\r\nhello!\r\n0\r\n\r\n", b"-1\r\n\r\n", b"5;\r\nhello\r\n0\r\n\r\n", b"0\r\na b: c\r\n\r\n",
                     b"0\r\na: b\r\n c\r\n\r\n", b"10000000000000001\r\nx\r\n0\r\n\r\n"):
            self.one_answer(b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body + self.SMUGGLED, 400)

    def test_a_body_that_is_too_large(self):
        self.one_answer(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n", 413)
        self.one_answer(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n100001\r\n", 413)

    def test_all_of_a_body_that_is_too_large(self):
        """Nobody reads before all is sent: the answer must still be there."""
        client = self.client()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000000\r\n\r\n" + bytes(20000000))
        self.assertEqual(client.response().status, 413)
        self.assertEqual(client.rest(), b"")

    def test_a_body_that_ends_early(self):
        for head, body in ((b"Content-Length: 5", b"hell"), (b"Transfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n")):
            client = self.client()
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n" + head + b"\r\n\r\n" + body)
            client.socket.shutdown(socket.SHUT_WR)
            response = client.response()
            self.assertEqual((response.status, response.closes), (400, True))
            self.assertEqual(client.rest(), b"")

    def test_every_split_of_a_body(self):
        data = (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nT: u\r\n\r\n")
        client = self.client()
        for at in range(1, len(data)):
            client.send(data[:at])
            client.send(data[at:])
            self.assertEqual(client.response().body, b"<p>hello\n")

    def test_both_lengths(self):
        self.one_answer(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
                        b"0\r\n\r\n" + self.SMUGGLED, 400, 405)

    def test_transfer_encoding_in_http_1_0(self):
        self.one_answer(b"POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"
                        b"0\r\n\r\n" + self.SMUGGLED, 400, 405)

    def test_a_body_of_length_0_is_none(self):
        client = self.client()
        for _ in range(2):
            self.assertEqual(client.request("/", {"Content-Length": "0"}).status, 200)

    def test_a_large_body_gets_its_answer(self):
        client = self.client()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
        response = client.response()    # although the body does not come
        self.assertEqual((response.status, response.closes), (405, True))

    def test_a_large_body_that_is_all_sent_gets_its_answer(self):
        client = self.client()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100000)
        self.assertEqual(client.response().status, 405)

    def test_expect_continue(self):
        client = self.client()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        self.assertEqual(client.response().status, 405)  # and no 100: nobody wants the body
        self.assertEqual(client.rest(), b"")

    def test_what_nobody_can_fulfil(self):
        client = self.client()
        for value in ("200-ok", "100-continue;x", "y=1"):
            self.assertEqual(client.request("/", {"Expect": value}).status, 417, value)
        self.assertEqual(client.request("/", {"Expect": ""}).status, 200)


class Connections(Http):
    def test_keep_alive(self):
        client = self.client()
        for _ in range(100):
            response = client.request("/")
            self.assertEqual(response.body, b"<p>hello\n")
            self.assertFalse(response.closes)

    def test_how_long_a_connection_may_be_idle(self):
        response = self.client().request("/")
        self.assertEqual(response.header("keep-alive"), "timeout=60")
        self.assertEqual(response.header("connection"), "keep-alive")
        self.assertIsNone(self.client().request("/", {"Connection": "close"}).header("keep-alive"))

    def test_keep_alive_after_an_error_answer(self):
        client = self.client()
        for target, status in (("/none", 404), ("/", 200), ("/%zz", 400), ("/", 200)):
            response = client.request(target)
            self.assertEqual(response.status, status)
            if response.closes:
                client = self.client()

    def test_close(self):
        for value in ("close", "Close", "x, close", "keep-alive, close"):
            with self.subTest(value):
                client = self.client()
                self.assertTrue(client.request("/", {"Connection": value}).closes)
                self.assertTrue(client.at_end())

    def test_what_is_not_close(self):
        client = self.client()
        for value in ("closed", "not-close", "x-close-y"):
            self.assertFalse(client.request("/", {"Connection": value}).closes)

    def test_http_1_0(self):
        client = self.client()
        self.assertEqual(client.request("/", version="HTTP/1.0").body, b"<p>hello\n")
        self.assertTrue(client.at_end())
        client = self.client()
        response = client.request("/", version="HTTP/1.0", host=False)
        self.assertEqual(response.status, 200)

    def test_http_1_0_keep_alive(self):
        client = self.client()
        for _ in range(3):
            response = client.request("/", {"Connection": "keep-alive"}, version="HTTP/1.0")
            self.assertFalse(response.closes, response)
        self.assertTrue(client.request("/", version="HTTP/1.0").closes or client.at_end())

    def test_pipelining_in_order(self):
        for number in range(50):
            self.server.write("pipe/%d" % number, "answer %d\n" % number * (number * number + 1))
        client = self.client()
        client.send(b"".join(client.head("/pipe/%d" % number) for number in range(50)))
        for number in range(50):
            self.assertEqual(client.response().body, b"answer %d\n" % number * (number * number + 1))
        self.assertTrue(client.is_quiet())

    def test_pipelining_cut_at_every_byte(self):
        client = self.client()
        for number in range(3):
            self.server.write("cut/%d" % number, "%d" % number)
        data = b"".join(client.head("/cut/%d" % number) for number in range(3))
        for at in range(0, len(data), 3):
            client.send(data[:at])
            client.send(data[at:])
            self.assertEqual([client.response().body for _ in range(3)], [b"0", b"1", b"2"])

    def test_pipelining_more_than_any_buffer(self):
        client = self.client()
        count = 5000
        self.server.write("one", "1")
        data = client.head("/one", {"X": "y" * 100})
        client.socket.setblocking(False)
        out, sent, answers = data * count, 0, 0
        end = drover.deadline()
        while answers < count:
            readable, writable, _ = select.select([client.socket], [client.socket] if sent < len(out) else [], [],
                                                  drover.left(end))
            if writable:
                sent += client.socket.send(out[sent:sent + 65536])
            if readable:
                client.buffer += client.socket.recv(1 << 20)
                while re.search(rb"\r\n\r\n1", client.buffer):
                    self.assertEqual(client.response().body, b"1")
                    client.socket.setblocking(False)
                    answers += 1
        self.assertEqual((answers, sent), (count, len(out)))

    def test_pipelining_behind_a_large_file(self):
        content = pattern(TRICKLED)
        self.server.write("big", content)
        client = Client(self.server.address, receive_buffer=16384)
        self.addCleanup(client.close)
        client.send((client.head("/big") + client.head("/index.html")) * 2)
        for _ in range(2):
            self.assertTrue(client.response().body == content)
            self.assertEqual(client.response().body, b"<p>hello\n")

    def test_nothing_is_answered_behind_a_close(self):
        client = self.client()
        client.send(client.head("/", close=True) + client.head("/index.html"))
        self.assertEqual(client.response().status, 200)
        try:
            self.assertEqual(client.rest(), b"")
        except ConnectionResetError:
            pass

    def test_a_client_that_resets_leaves_others_alone(self):
        self.server.write("reset", pattern(LARGE))
        for _ in range(20):
            client = Client(self.server.address, receive_buffer=16384)
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.send(client.head("/reset"))
            client.read(100)
            client.close()
        self.assertEqual(self.get("/").status, 200)


class Timeouts(Http):
    SETTINGS = {"timeouts": {"request_head": "200ms", "keep_alive": "300ms", "keep_alive_grace": "100ms",
                             "send": "300ms", "body": "400ms"},
                "limits": {"min_rate": "1m"}}

    @classmethod
    def setUpClass(cls):
        cls.server = Drover({"accept": cls.accept, **cls.SETTINGS})
        cls.addClassCleanup(cls.server.close)

    def test_a_head_that_never_ends(self):
        client = self.client()
        client.send(b"GET / HTTP/1.1\r\n")
        self.assertEqual(client.response().status, 408)
        self.assertTrue(client.at_end())

    def test_a_head_that_drips(self):
        """Bytes that keep coming do not put the deadline off."""
        client = self.client()
        client.send(b"GET / HTTP/1.1\r\nX: ")
        end = drover.deadline()
        while not select.select([client.socket], [], [], 0.02)[0]:
            client.send(b"y")
            drover.left(end)
        self.assertEqual(client.response().status, 408)

    def test_an_idle_connection_is_closed(self):
        client = self.client()
        self.assertEqual(client.request("/").status, 200)
        self.assertTrue(client.at_end())

    def test_a_connection_that_never_speaks_is_closed(self):
        client = self.client()
        answer = client.rest()
        self.assertTrue(answer == b"" or answer.startswith(b"HTTP/1.1 408"), answer)

    def test_a_body_that_drips(self):
        """The answer does not wait for what nobody wants, and bytes that keep coming do not put it off."""
        client = self.client()
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
        end = drover.deadline()
        while not select.select([client.socket], [], [], 0.02)[0]:
            client.send(b"y")
            drover.left(end)
        response = client.response()
        self.assertEqual((response.status, response.closes), (200, True))

    def test_a_fraction_of_a_second_is_not_announced(self):
        self.assertIsNone(self.client().request("/").header("keep-alive"))

    def test_a_client_that_takes_too_little_is_cut(self):
        """It takes something all the time, but not as much as limits.min_rate says."""
        self.server.write("large", pattern(LARGE))
        client = Client(self.server.address, receive_buffer=16384)
        self.addCleanup(client.close)
        client.send(client.head("/large"))
        end = drover.deadline()
        with self.assertRaises(ConnectionResetError):
            while client.socket.recv(100):
                select.select([], [], [], 0.01)
                drover.left(end)

    def test_a_client_that_takes_nothing_is_cut(self):
        self.server.write("large", pattern(LARGE))
        client = Client(self.server.address, receive_buffer=16384)
        self.addCleanup(client.close)
        client.send(client.head("/large"))
        # an event of the peer's end comes without a read: POLLHUP or POLLERR for the reset
        poll = select.poll()
        poll.register(client.socket, select.POLLRDHUP | select.POLLHUP | select.POLLERR)
        self.assertTrue(poll.poll(drover.DEADLINE * 1000))


class Readers(Http):
    RATE = 400000       # bytes a second
    PAUSE = 0.2         # far less than timeouts.send
    SECONDS = 1.5       # too short for a third of the server's socket buffer, which is when it says that it has room

    @classmethod
    def setUpClass(cls):
        cls.server = Drover({"accept": cls.accept, "timeouts": {"send": "500ms"}})
        cls.addClassCleanup(cls.server.close)

    def test_a_client_that_reads_slowly_is_not_cut(self):
        """What it takes counts, not what the socket's buffer takes."""
        self.server.write("large", pattern(LARGE))
        end = drover.deadline()
        while True:
            cut, pause = self.read_slowly()
            if not cut or pause < self.PAUSE:
                break
            drover.left(end)            # the machine stood still, and so it took nothing for long
        self.assertFalse(cut, "after a pause of %.2f s" % pause)

    def read_slowly(self):
        """(whether it was cut, the longest time from read to read)"""
        client = self.client()
        client.send(client.head("/large"))
        began, got, pause = time.monotonic(), 0, 0
        last = began
        while last - began < self.SECONDS:
            while got < (last - began) * self.RATE:
                try:
                    part = client.socket.recv(4096)
                except ConnectionResetError:
                    part = b""
                if not part:
                    return True, max(pause, time.monotonic() - last)
                got += len(part)
            select.select([], [], [], 0.01)
            now = time.monotonic()
            pause, last = max(pause, now - last), now
        return False, pause


class Sites(Http):
    @classmethod
    def setUpClass(cls):
        cls.server = Drover({"accept": cls.accept})
        cls.addClassCleanup(cls.server.close)
        for name in ("a", "b", "wild", "private", "index"):
            cls.server.write("%s/f" % name, name)
        cls.server.write("index/second.html", "second")
        root = cls.server.site

        def files(name, **more):
            return {"match": "/", "files": {"root": os.path.join(root, name)}, **more}

        unix = os.path.join(cls.server.dir, "web.sock")
        cls.unix = unix
        settings = {
            "listen": [{"address": drover.address_text(cls.server.address)}, {"address": "unix:" + unix}],
            "sites": [
                {"hosts": ["a.example"], "routes": [
                    files("a"),
                    {"match": "/private", "files": {"root": root + "/private"}, "allow": ["10.0.0.0/8", "::1"]},
                    {"match": "/open", "files": {"root": root + "/private"}, "allow": ["127.0.0.0/8"]},
                    {"match": "/idx", "files": {"root": root + "/index", "index": ["first.html", "second.html"]}}]},
                {"hosts": ["b.example", "*.wild.example"], "routes": [files("b")]},
                {"hosts": ["*.deep.wild.example"], "routes": [files("wild")]},
                {"routes": [{"match": "/only", "files": {"root": root}}]},
            ]}
        cls.server.configure(settings)
        status, text = cls.server.reload()
        if status != 0:
            raise AssertionError(text)

    def body(self, host, target="/f", **more):
        with self.server.client(**more) as client:
            response = client.request(target, host=host)
            return response.body if response.status == 200 else response.status

    def test_by_host(self):
        for host, body in (("a.example", b"a"), ("A.Example", b"a"), ("a.example:8080", b"a"), ("a.example.", b"a"),
                           ("b.example", b"b"), ("x.wild.example", b"b"), ("x.y.wild.example", b"b"),
                           ("x.deep.wild.example", b"wild"), ("wild.example", 404), ("other.example", 404),
                           ("xa.example", 404)):
            with self.subTest(host):
                self.assertEqual(self.body(host), body)

    def test_the_default_site(self):
        self.assertEqual(self.body("other.example", "/only/a/f"), b"a")

    def test_the_host_of_an_absolute_target_counts(self):
        self.assertEqual(self.body("a.example", "http://b.example/f"), b"b")

    def test_whole_segments(self):
        self.assertEqual(self.body("a.example", "/open/f"), b"private")
        self.assertEqual(self.body("a.example", "/openf"), 404)

    def test_allow(self):
        self.assertEqual(self.body("a.example", "/private/f"), 403)
        self.assertEqual(self.body("a.example", "/%70rivate/f"), 403)
        self.assertEqual(self.body("a.example", "/x/../private/f"), 403)
        self.assertEqual(self.body("a.example", "//private/f"), 403)

    def test_index_names(self):
        self.assertEqual(self.body("a.example", "/idx/"), b"second")

    def test_a_unix_socket(self):
        with self.server.client(self.unix) as client:
            for _ in range(3):
                self.assertEqual(client.request("/f", host="a.example").body, b"a")
            self.assertEqual(client.request("/open/f", host="a.example").status, 403)


class Listeners(Http):
    @classmethod
    def setUpClass(cls):
        pass

    def test_ipv6(self):
        try:
            six = drover.free_address(socket.AF_INET6)
        except OSError:
            return  # a machine without IPv6
        with Drover({"accept": self.accept}) as server:
            server.configure({"listen": [{"address": drover.address_text(server.address)},
                                         {"address": drover.address_text(six)}]})
            self.assertEqual(server.reload()[0], 0)
            for address in (server.address, six):
                self.assertEqual(server.get(address=address).status, 200)

    def test_defer_accept(self):
        with Drover({"accept": self.accept}) as server:
            server.configure({"listen": [{"address": drover.address_text(server.address), "defer_accept": True}]})
            status, text = server.reload()
            self.assertEqual(status, 0, text)
            self.assertEqual(server.get().status, 200)

    def test_an_access_log(self):
        with Drover({"accept": self.accept, "log": {"access": "access.log"}}) as server:
            server.get("/index.html?q", {"User-Agent": "x"})
            with server.client() as client:
                client.send(b'GET /"quoted\x01 HTTP/1.1\r\nHost: a\r\n\r\n')
                client.response()
                client.rest()
            server.get("/none", method="HEAD")
            self.assertEqual(server.stop(), 0)
            with open(os.path.join(server.dir, "access.log"), encoding="latin-1") as file:
                lines = file.read().splitlines()
        self.assertEqual(len(lines), 3)
        lines.sort(key=lambda line: line.rsplit(" ", 2)[1])
        self.assertRegex(lines[0], r'^127\.[\d.]+ - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] '
                                   r'"GET /index\.html\?q HTTP/1\.1" 200 9')
        self.assertRegex(lines[1], r" 400 \d+")
        self.assertTrue(all(line.isprintable() for line in lines))
        self.assertRegex(lines[2], r'"HEAD /none HTTP/1\.1" 404')


def in_every_mode(module, *bases):
    """Makes Files into FilesDirected, FilesReuseport and FilesShared, and so on."""
    for base in bases:
        for mode in ("directed", "reuseport", "shared"):
            name = base.__name__ + mode.capitalize()
            module[name] = type(name, (base, unittest.TestCase), {"accept": mode, "__module__": base.__module__})


in_every_mode(globals(), Files, Beneath, Conditional, Requests, Bodies, Connections, Timeouts, Readers, Sites,
              Listeners)

if __name__ == "__main__":
    unittest.main()
