"""Requests that attack, each with the answers that are due to it, and the client that asks them.

Used by attacks.py.  A case is (name, bytes, allowed statuses, whether the connection ends behind the answer (None:
either), the most bytes that the answer may have).
"""

import base64
import collections
import os
import socket
import threading
import time

import crowd
import drover

KB = 1024
FIELD = 400             # what an answer of a few words has at most
PARTS = 200             # RANGE_MOST
PART_HEAD = 200         # the lines of a part of an answer in several parts, at most
FILE = 8 << 20
END, STAY = True, False
HASH = "$6$attack$l7X0FhMiSq6YNVNZTgWAcIQrq3OJWvHxt1uo77/0QV6/cJLKTU2VeArc47fzvqX/7rjgpmvyFWuLplwjVRTBz0"  # of "secret"
MANY = "many"           # the directory of listings


def head(*lines, method="GET", target="/tiny", host="a.example", version="HTTP/1.1", body=b""):
    first = b"%s %s %s" % tuple(part if isinstance(part, bytes) else part.encode("latin-1") for part in
                                (method, target, version))
    lines = [line if isinstance(line, bytes) else line.encode("latin-1") for line in lines]
    hosts = [b"Host: " + host.encode()] if host else []
    return b"\r\n".join([first, *hosts, *lines, b"", b""]) + body


def bad(name, request, *statuses, ends=END):
    return name, request, set(statuses or (400,)), ends, 2 * KB


TE, CL = "Transfer-Encoding: chunked", "Content-Length: 3"
BROKEN = [
    bad("more fields than limits.headers", head(*["X-%d: y" % n for n in range(400)]), 431),
    bad("more bytes than limits.header_bytes", head(*["X-%d: %s" % (n, "y" * 900) for n in range(50)]), 431),
    bad("one huge field", head("X: " + "y" * (64 * KB)), 431),
    bad("thousands of tiny fields", head(*["a:"] * 9000), 431),
    bad("a folded field", head("X: a", " b")),
    bad("NUL in a value", head("X: a\0b")),
    bad("NUL in a name", head("X\0: a")),
    bad("a bare CR", head("X: a\rb")),
    bad("a name with a space", head("X : a")),
    bad("two Hosts", head("Host: b.example")),
    bad("no Host", head(host=None)),
    bad("Content-Length and Transfer-Encoding", head(CL, TE, method="POST", body=b"0\r\n\r\nGET /x"), 400),
    bad("two Content-Lengths", head(CL, "Content-Length: 4", method="POST", body=b"abcd")),
    bad("a list of Content-Lengths", head("Content-Length: 3, 4", method="POST", body=b"abcd")),
    bad("a negative Content-Length", head("Content-Length: -1", method="POST")),
    bad("a signed Content-Length", head("Content-Length: +3", method="POST", body=b"abc")),
    bad("a huge Content-Length", head("Content-Length: 99999999999999999999", method="POST"), 400, 413),
    bad("two Transfer-Encodings", head(TE, TE, method="POST", body=b"0\r\n\r\n"), 400, 501),
    bad("a Transfer-Encoding with a tab", head("Transfer-Encoding:\x0bchunked", method="POST", body=b"0\r\n\r\n"), 400, 501),
    bad("chunked, not last", head("Transfer-Encoding: chunked, gzip", method="POST", body=b"0\r\n\r\n"), 400, 501),
    bad("chunked in HTTP/1.0", head(TE, method="POST", version="HTTP/1.0", body=b"0\r\n\r\n"), 400),
    bad("a chunk of too many bytes", head(TE, method="POST", body=b"fffffffffffffffff\r\nx"), 400, 413),
    bad("a long request line", head(target="/" + "x" * (16 * KB)), 414),
    bad("no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n" * 4),
    bad("HTTP/2's preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, 505),
]

TARGETS = [
    bad("a long request line of escaped slashes", head(target="/" + "%2f" * 2700), 400, 414, ends=None),
    bad("a deep path", head(target="/x" * 4000), 404, 414, ends=None),
    bad("a path of empty segments", head(target="/" * 8000), 404, 400, 200, 403, ends=None),
    bad("a path of dots", head(target="/x/.." * 1600), 404, 400, 200, 403, ends=None),
    bad("a path that leads out", head(target="/%2e%2e/%2e%2e/etc/passwd"), 400, 404, ends=None),
    bad("NUL in a path", head(target="/a%00b"), 400, 404, ends=None),
    bad("half an escape", head(target="/a%2"), 400, ends=None),
    bad("overlong UTF-8", head(target="/%c0%ae%c0%ae/x"), 400, 404, ends=None),
    bad("a long method", head(method="X" * 4000), 400, 414, 501, ends=None),
]


def ranged(name, value, *statuses, more=(), most=FILE + PARTS * PART_HEAD + FIELD):
    return name, head("Range: " + value, *more, target="/large"), set(statuses or (200, 206, 416)), STAY, most


# What several ranges may cost: never more than the file, and a head for each part.
RANGES = [
    ranged("a thousand single bytes", "bytes=" + ",".join("%d-%d" % (8 * n, 8 * n) for n in range(1000)), 200),
    ranged("two hundred single bytes", "bytes=" + ",".join("%d-%d" % (9000 * n, 9000 * n) for n in range(200)), 206,
           most=PARTS * PART_HEAD + FIELD),
    ranged("hundreds that overlap", "bytes=" + ",".join("%d-" % n for n in range(300)), 206),
    ranged("hundreds of the whole", "bytes=" + ",".join(["0-"] * 400), 206, 200),
    ranged("descending", "bytes=" + ",".join("%d-%d" % (900000 - 9000 * n, 900010 - 9000 * n) for n in range(100)), 206,
           most=100 * (PART_HEAD + 11) + FIELD),
    ranged("huge numbers", "bytes=0-99999999999999999999999,18446744073709551615-,-99999999999999999999", 200, 206, 416),
    ranged("all beyond the end", "bytes=" + ",".join("%d-" % (FILE + n) for n in range(300)), 416, most=2 * KB),
    ranged("suffixes", "bytes=" + ",".join("-%d" % n for n in range(1, 300)), 206, most=FIELD + PARTS * PART_HEAD),
    ranged("with an If-Range of another", "bytes=0-0,2-2,4-4", 200, more=['If-Range: "other"']),
    ranged("with a broken If-Range", "bytes=0-0,2-2,4-4", 200, more=["If-Range: W/\"x\", junk"]),
    ranged("commas", "bytes=" + "," * 7000, 200, 416),
]

LISTS = [
    ("a long Accept-Encoding", head("Accept-Encoding: " + ",".join("x%d;q=0.%d" % (n, n % 10) for n in range(2500))),
     {200}, STAY, FIELD + KB),
    ("gzip, again and again", head("Accept-Encoding: " + ",".join(["gzip"] * 5000)), {200}, STAY, FIELD + KB),
    ("a long If-None-Match", head("If-None-Match: " + ",".join('"%d"' % n for n in range(3500))), {200}, STAY, FIELD + KB),
    ("a long Connection", head("Connection: " + ",".join("x%d" % n for n in range(4000))), {200}, STAY, FIELD + KB),
    ("a long X-Forwarded-For", head("X-Forwarded-For: " + ",".join(["10.0.0.1"] * 3000)), {200}, STAY, FIELD + KB),
    ("a long Cookie", head("Cookie: " + "a=b; " * 5000), {200}, STAY, FIELD + KB),
    ("names that differ in a few letters", head(*["X-%s: y" % format(n, "07b") for n in range(90)]), {200}, STAY, FIELD + KB),
]

LONG = "y" * 7900
# what is echoed is the target, once in Location and once in the text
ECHOES = [
    ("an error page", head(target="/missing"), {404}, STAY, 64 * KB),
    ("an error page, its name long", head(target="/" + LONG), {404, 414}, None, 64 * KB),
    ("a redirect", head(target="/away/" + LONG), {302}, STAY, 18 * KB),
    ("a redirect of what is escaped", head(target="/away/" + "%22%3c" * 1200), {302}, STAY, 18 * KB),
    ("a directory's redirect", head(target="/%s" % MANY, host="x" * 250), {301, 308, 404}, STAY, KB),
    ("a forbidden method", head(method="BREW"), {405, 501}, STAY, KB),
]

LISTINGS = [("a listing", head(target="/list/"), {200, 503}, STAY, 64 << 20)]
GUESSES = [("a password", head("Authorization: Basic " + base64.b64encode(b"user:guess%d" % n).decode(), target="/secret/tiny"),
            {401, 503}, STAY, KB + FIELD) for n in range(64)]


def routes(server):
    """All that the cases need, and the root."""
    users = os.path.join(server.dir, "users")
    with open(users, "w", encoding="ascii") as file:
        file.write("user:%s\n" % HASH)
    os.chmod(users, 0o644)
    many = os.path.join(server.site, MANY)
    os.makedirs(many, exist_ok=True)
    return [{"match": "/", "files": {"root": server.site}},
            {"match": "/list", "files": {"root": many, "listing": True}},
            {"match": "/secret", "files": {"root": server.site}, "auth": {"file": users}},
            {"match": "/away", "redirect": {"to": "https://b.example/", "status": 302}}]


def many_entries(server, count):
    directory = os.path.join(server.site, MANY)
    for number in range(count):
        os.mknod(os.path.join(directory, "entry-%06d-with-a-name-of-some-length" % number), 0o644)


class Asker:
    """`clients` threads, each with a connection, that ask the cases in turn until `end`."""

    def __init__(self, address, cases, clients):
        self.address, self.cases, self.clients = address, cases, clients
        self.lock = threading.Lock()
        self.count = self.sent = self.got = 0
        self.wrong = set()
        self.statuses = collections.Counter()
        self.times = collections.defaultdict(list)

    def run(self, end):
        threads = [threading.Thread(target=self.guarded, args=(number, end)) for number in range(self.clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def guarded(self, number, end):
        try:
            self.ask_all(number, end)
        except BaseException as error:  # pylint: disable=broad-except
            self.wrong.add("client %d: %r" % (number, error))

    def ask_all(self, number, end):
        client = None
        turn = number
        rounds = 0
        while time.monotonic() < end or rounds < len(self.cases) / self.clients:
            case = self.cases[turn % len(self.cases)]
            turn += self.clients if len(self.cases) % self.clients else 1
            rounds += 1
            if client is None:
                client = drover.Client(self.address)
            client = self.ask(client, case)
        if client is not None:
            client.close()

    def ask(self, client, case):
        """Returns the connection, or None when it has ended."""
        name, request, statuses, ends, most = case
        began = time.monotonic()
        method = request.split(b" ", 1)[0].decode("latin-1")
        try:
            self.send(client, request)
            response = client.response(method)
        except (OSError, drover.Closed) as error:
            self.wrong.add("%s: %r" % (name, error))
            client.close()
            return None
        length = len(response.body) + sum(len(key) + len(value) + 4 for key, value in response.headers)
        with self.lock:
            self.count += 1
            self.statuses[response.status] += 1
            self.sent += len(request)
            self.got += length
            self.times[name].append(time.monotonic() - began)
        self.judge(name, response, statuses, ends, length, most)
        if not response.closes:
            return client
        self.see_end(client, name)
        return None

    @staticmethod
    def send(client, request):
        """What is refused before its end is not read to its end."""
        try:
            client.send(request)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def judge(self, name, response, statuses, ends, length, most):
        if response.status not in statuses:
            self.wrong.add("%s: %d" % (name, response.status))
        if ends is not None and ends != response.closes:
            self.wrong.add("%s: %s" % (name, "ends" if response.closes else "goes on"))
        if length > most:
            self.wrong.add("%s: %d bytes, %d at most" % (name, length, most))

    def see_end(self, client, name):
        client.socket.shutdown(socket.SHUT_WR)
        try:
            if not client.at_end():
                self.wrong.add("%s: more behind the last answer" % name)
        except OSError as error:
            self.wrong.add("%s: %r" % (name, error))
        client.close()

    def worst(self):
        """The case that took longest, as text."""
        if not self.times:
            return ""
        name = max(self.times, key=lambda key: sum(self.times[key]) / len(self.times[key]))
        return ", slowest: %s (%.1f ms)" % (name, 1000 * sum(self.times[name]) / len(self.times[name]))
