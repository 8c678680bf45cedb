#!/usr/bin/env python3
"""The same requests to drover and to nginx: where do they differ, and do we know why?

    differential.py [--verbose] [WORD ...]      rows whose name contains one of the words

Both serve the same tree.  Each row is the bytes of one request on a connection of its own; what both answer is
compared: the status of every response, the body, the chosen fields, and whether the connection ends.  A difference is
either explained in EXPLAINED, by row and part, with the reason and the RFC's section, or it is a failure; so is an
explanation of a difference that is none.  nginx is no authority: it is a second opinion.

Needs nginx (Debian's; its service need not run).  Prints a line for each difference and, last, "N passed, N failed,
N skipped", which counts rows.  Exit status 1 when one failed.
"""

import base64
import ctypes
import fnmatch
import gzip
import os
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "blackbox"))
sys.dont_write_bytecode = True

import drover  # noqa: E402

# what is compared besides status and body; a date counts as there or not
FIELDS = ("content-type", "content-length", "content-range", "content-encoding", "location", "last-modified",
          "accept-ranges", "vary", "www-authenticate", "transfer-encoding")
OLD = 1000000000            # the modification time of every file: 09 Sep 2001 01:46:40 GMT
BEFORE, SAME, AFTER = ("Sun, 09 Sep 2001 01:46:%02d GMT" % second for second in (39, 40, 41))
BINARY = bytes(range(256)) * 40
PAGE = b"<!doctype html>\n<p>hello\n"
SECONDS = 20

# of all configurations here and in imported.py
FRAME = """\
daemon off;
master_process off;
pid {dir}/pid;
error_log {dir}/error.log warn;
events {{ worker_connections 256; }}
http {{
    default_type application/octet-stream;
    charset utf-8;
    charset_types text/plain text/css;
    access_log off;
    absolute_redirect off;
    client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
{text}
}}
"""

NGINX = """\
    include /etc/nginx/mime.types;
    index index.html;
    gzip_static on;
    gzip_vary on;
    etag on;
    server {{
        listen {host}:{port};
        server_name one.example *.two.example;
        root {site};
        location ~ /\\.(?!well-known) {{ return 404; }}
        location /private/ {{ auth_basic "staff"; auth_basic_user_file {dir}/users; }}
        location /denied/ {{ deny all; }}
        location = /moved {{ return 301 /page.html; }}
    }}
    server {{
        listen {host}:{port} default_server;
        root {site}/other;
        location ~ /\\.(?!well-known) {{ return 404; }}
    }}
"""


def make_tree(root):
    files = {
        "index.html": PAGE, "page.html": PAGE, "text.txt": b"some text\n", "empty": b"", "data.bin": BINARY,
        "style.css": b"p { }\n", "image.png": b"\x89PNG\r\n\x1a\n", "dir/index.html": b"<p>dir\n",
        "bare/file.txt": b"in bare\n", "a b+c&d.txt": b"odd name\n", "\u00fc.txt": b"umlaut\n", "%41.txt": b"percent\n",
        ".hidden": b"hidden\n", ".well-known/acme": b"acme\n", "private/file.txt": b"private\n",
        "denied/file.txt": b"denied\n", "zipped.txt": b"zipped " * 500, "other/index.html": b"<p>other\n",
    }
    for name, content in files.items():
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
    with open(os.path.join(root, "zipped.txt.gz"), "wb") as file:
        file.write(gzip.compress(files["zipped.txt"], mtime=0))
    for path, _, names in os.walk(root):
        for name in names:
            os.utime(os.path.join(path, name), (OLD, OLD))


def crypt(password):
    library = ctypes.CDLL("libcrypt.so.1")
    library.crypt.restype = ctypes.c_char_p
    return library.crypt(password.encode(), b"$5$saltsalt$").decode()


def start_nginx(directory, config, address):
    """Its process, when it can be connected to."""
    path = os.path.join(directory, "nginx.conf")
    with open(path, "w", encoding="utf-8") as file:
        file.write(config)
    process = subprocess.Popen(["nginx", "-e", directory + "/error.log", "-p", directory, "-c", path],
                               stdin=subprocess.DEVNULL)
    end = time.monotonic() + SECONDS
    while True:
        try:
            socket.create_connection(address, 1).close()
            return process
        except OSError:
            if time.monotonic() > end or process.poll() is not None:
                raise
            select.select([], [], [], 0.01)


class Nginx:
    def __init__(self, site, users):
        self.dir = tempfile.mkdtemp(prefix="drover-nginx-")
        os.chmod(self.dir, 0o755)
        self.address = drover.free_address()
        shutil.copy(users, os.path.join(self.dir, "users"))
        os.chmod(os.path.join(self.dir, "users"), 0o644)
        text = NGINX.format(dir=self.dir, site=site, host=self.address[0], port=self.address[1])
        self.process = start_nginx(self.dir, FRAME.format(dir=self.dir, text=text), self.address)

    def close(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.dir)


def start_drover(users):
    server = drover.Drover()
    make_tree(server.site)
    # nginx's page of another host is below "other"; both know the same special places
    routes = [{"match": "/", "files": {"root": server.site}},
              {"match": "/private", "files": {"root": server.site + "/private"},
               "auth": {"file": users, "realm": "staff"}},
              {"match": "/denied", "files": {"root": server.site + "/denied"}, "allow": ["192.0.2.1"]},
              {"match": "/moved", "redirect": {"to": "/page.html", "rest": False, "status": 301}}]
    server.configure({"workers": 1, "sites": [
        {"hosts": ["one.example", "*.two.example"], "routes": routes},
        {"routes": [{"match": "/", "files": {"root": server.site + "/other"}}]}]})
    status, said = server.reload()
    if status != 0:
        raise AssertionError(said)
    return server


# ---- rows ----

def request(target="/page.html", *fields, method="GET", version="1.1", host="one.example", close=True, body=b""):
    lines = ["%s %s HTTP/%s" % (method, target, version)]
    lines += ["Host: " + host] if host is not None else []
    lines += list(fields) + (["Connection: close"] if close else [])
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def rows():
    """name -> bytes"""
    all_rows = {}

    def add(name, data):
        assert name not in all_rows, name
        all_rows[name] = data

    def basic(text):
        return "Authorization: Basic " + base64.b64encode(text).decode()

    for name in ("page.html", "text.txt", "empty", "data.bin", "style.css", "image.png", "none", "dir/", "dir", "bare/",
                 "bare", "", "dir/index.html", "text.txt/", "text.txt/x", ".hidden", ".well-known/acme"):
        add("file /" + name, request("/" + name))
        add("head /" + name, request("/" + name, method="HEAD"))
    for target in ("/a%20b+c&d.txt", "/a%20b%2Bc%26d.txt", "/%c3%bc.txt", "/%C3%BC.txt", "/%2541.txt", "/%41.txt",
                   "/te%78t.txt", "/./text.txt", "/dir/../text.txt", "/../text.txt", "/dir/../../text.txt",
                   "/%2e%2e/text.txt", "/dir/%2e%2e/text.txt", "/dir/..", "/dir/.", "//text.txt", "/dir//index.html",
                   "/text.txt?a=b", "/text.txt?", "/text.txt??", "/text.txt?a=/../", "/text.txt#f", "/dir?a=b", "/dir%2f",
                   "/dir%2findex.html", "/text%00.txt", "/text.txt%00", "/text%", "/text%4", "/text%zz.txt",
                   "/text.txt;a=b", "/dir\\index.html", "/dir%5cindex.html", "/%ff.txt", "/a|b", "/a[b]", "/a{b}",
                   "/text.txt?a[]=b|c", "/text.txt?\xc3\xbc", "/\xc3\xbc.txt", "/text.txt%20", "/%0a", "/moved",
                   "/moved?a=b", "/denied/file.txt", "http://one.example/text.txt", "http://one.example", "http://one.example/",
                   "http://one.example?a=b", "HTTP://one.example/text.txt", "http://other.example/", "https://one.example/text.txt",
                   "*", "text.txt", "", "/text.txt x", "/" + "x" * 300, "/" + "x" * 20000):
        add("target %s" % (target if len(target) < 100 else "of %d bytes" % len(target)), request(target))
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "PROPFIND", "BREW", "get", "GE T", "G\u00cbT"):
        add("method " + method, request("/text.txt", method=method))
    add("method OPTIONS *", request("*", method="OPTIONS"))
    add("method POST with a body", request("/text.txt", "Content-Length: 5", method="POST", body=b"hello"))
    add("method GET with a body", request("/text.txt", "Content-Length: 5", body=b"hello"))
    add("method GET with a chunked body", request("/text.txt", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n\r\n"))
    for version in ("0.9", "1.0", "1.1", "1.2", "1.10", "2.0", "3.0", "1", "1.", "01.1", "x"):
        add("version " + version, request("/text.txt", version=version))
    add("version none", b"GET /text.txt\r\n\r\n")
    add("version lower case", b"GET /text.txt http/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    add("version 1.0 without Host", request("/index.html", version="1.0", host=None, close=False))
    add("version 1.0 keep-alive", request("/text.txt", "Connection: keep-alive", version="1.0", close=False) +
        request("/text.txt", version="1.0", close=False))
    for host in (None, "", "other.example", "ONE.example", "one.example:81", "one.example.", "a.two.example", "a.b.two.example",
                 "two.example", "one.example:x", "one.example:", "a b", "a/b", "[::1]", "[::1", "user@one.example", "a,b", "a%41",
                 "one.example\x00"):
        add("host %r" % host, request("/", host=host))
    add("host twice", request("/", "Host: one.example"))
    add("host twice, another", request("/", "Host: other.example"))
    for header in ("X : y", " X: y", "X", ":y", "X:", "X: a\tb", "X: a\x01b", "X: a\x7fb", "X: a\x00b", "X: \xfc", "X\xfc: a", "X y: z",
                   "X: a\r\n folded", "X: a\r\n\tfolded", "X: a\rb", "X: a\nY: b", "X(: y", "X_Y: z",
                   "X: " + "x" * 60000, "Content-Length: 0", "Content-Length: +0", "Content-Length: -1", "Content-Length: 0x1",
                   "Content-Length: 0, 0", "Content-Length: ", "Content-Length: 99999999999999999999",
                   "Content-Length: 0\r\nContent-Length: 0", "Content-Length: 0\r\nContent-Length: 1",
                   "Transfer-Encoding: identity", "Transfer-Encoding: gzip", "Transfer-Encoding: chunked, chunked",
                   "Expect: x", "Expect: 100-continue", "Connection: x", "Upgrade: h2c"):
        text = repr(header) if len(header) < 60 else "%s... of %d bytes" % (header[:5], len(header))
        add("field " + text, request("/text.txt", header))
    add("field CL and TE", request("/text.txt", "Content-Length: 5", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"))
    add("field TE in 1.0", request("/text.txt", "Transfer-Encoding: chunked", version="1.0", body=b"0\r\n\r\n"))
    add("line LF alone", b"GET /text.txt HTTP/1.1\nHost: one.example\nConnection: close\n\n")
    add("line empty before", b"\r\n\r\n" + request("/text.txt"))
    add("line with two spaces", b"GET  /text.txt HTTP/1.1\r\nHost: one.example\r\nConnection: close\r\n\r\n")
    add("line with a tab", b"GET\t/text.txt HTTP/1.1\r\nHost: one.example\r\nConnection: close\r\n\r\n")
    add("line with a space behind", b"GET /text.txt HTTP/1.1 \r\nHost: one.example\r\nConnection: close\r\n\r\n")
    add("line of TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100))
    add("line of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    add("pipeline of three", request("/text.txt", close=False) + request("/none", close=False) + request("/dir/"))
    add("pipeline with a body between", request("/text.txt", "Content-Length: 5", close=False, body=b"hello") + request("/dir/"))
    for chunked in (b"5\r\nhello\r\n0\r\n\r\n", b"5;a=b\r\nhello\r\n0\r\n\r\n", b"5\r\nhello\r\n0\r\nX: y\r\n\r\n", b"05\r\nhello\r\n0\r\n\r\n",
                    b"5 \r\nhello\r\n0\r\n\r\n", b"5\nhello\n0\n\n", b"g\r\n", b"5\r\nhelloX\r\n0\r\n\r\n", b"-1\r\n", b"0x5\r\nhello\r\n0\r\n\r\n",
                    b"ffffffffffffffffff\r\n", b"5\r\nhello\r\n0\r\nX y\r\n\r\n", b"\r\n"):
        add("chunks %r" % chunked, request("/text.txt", "Transfer-Encoding: chunked", close=False, body=chunked) + request("/dir/"))
    for condition in ("If-Modified-Since: " + SAME, "If-Modified-Since: " + AFTER, "If-Modified-Since: " + BEFORE,
                      "If-Modified-Since: Sunday, 09-Sep-01 01:46:40 GMT", "If-Modified-Since: Sun Sep  9 01:46:40 2001",
                      "If-Modified-Since: x", "If-Unmodified-Since: " + SAME, "If-Unmodified-Since: " + BEFORE,
                      "If-Unmodified-Since: " + AFTER, "If-Unmodified-Since: x", "If-None-Match: *", 'If-None-Match: "x"',
                      'If-None-Match: x', "If-Match: *", 'If-Match: "x"', "If-None-Match: \"x\"\r\nIf-Modified-Since: " + SAME,
                      "If-Match: *\r\nIf-Unmodified-Since: " + BEFORE, "If-None-Match: *\r\nIf-Match: \"x\""):
        for method in ("GET", "HEAD"):
            add("condition %s %r" % (method, condition), request("/text.txt", condition, method=method))
        add("condition of nothing %r" % condition, request("/none", condition))
    for ranges in ("0-0", "0-99", "100-", "-1", "-100", "-10240", "-99999", "0-", "10239-", "10240-", "10240-10241", "0-99999", "5-4", "-0",
                   "", "-", "a-b", "0-9,20-29", "0-0,-1", "20-29,0-9", "0-9,10-19", "0-9,5-14", "0-9,99999-", "99999-,88888-", "0-9,,20-29",
                   " 0-9", "0 -9", "0-9 , 20-29", "0x0-9", "+0-9", "99999999999999999999-", "0-99999999999999999999", "0-9;"):
        add("range %s" % ranges, request("/data.bin", "Range: bytes=" + ranges))
    for value in ("Range: bytes=0-9", "Range: Bytes=0-9", "Range: lines=0-9", "Range: bytes 0-9", "Range: bytes=0-9\r\nRange: bytes=20-29"):
        add("range field %r" % value, request("/data.bin", value))
        add("range head %r" % value, request("/data.bin", value, method="HEAD"))
    add("range of an empty file", request("/empty", "Range: bytes=0-0"))
    add("range suffix of an empty file", request("/empty", "Range: bytes=-1"))
    add("range of nothing", request("/none", "Range: bytes=0-0"))
    add("range of a coded file", request("/zipped.txt", "Accept-Encoding: gzip", "Range: bytes=0-9"))
    for value in (SAME, BEFORE, AFTER, '"x"', "x", "*"):
        add("if-range " + value, request("/data.bin", "Range: bytes=0-9", "If-Range: " + value))
    add("range and a condition", request("/data.bin", "Range: bytes=0-9", "If-Modified-Since: " + SAME))
    add("range and a condition that fails", request("/data.bin", "Range: bytes=0-9", "If-Unmodified-Since: " + BEFORE))
    for coding in ("gzip", "gzip;q=1", "gzip;q=0", "gzip;q=0.001", "x-gzip", "GZIP", "*", "*;q=0", "identity", "deflate", "deflate, gzip",
                   "gzip;q=0, *", "identity;q=0", "identity;q=0, gzip", "", "gzip;q=2", "gzip;q=0.5, identity;q=1", "gzipped", "br, gzip"):
        add("coding %s" % coding, request("/zipped.txt", "Accept-Encoding: " + coding))
    add("coding none", request("/zipped.txt"))
    add("coding of what has none", request("/text.txt", "Accept-Encoding: gzip"))
    add("coding of a condition", request("/zipped.txt", "Accept-Encoding: gzip", "If-Modified-Since: " + SAME))
    for name, field in (("none", "X: y"), ("right", basic(b"bob:secret")), ("wrong", basic(b"bob:x")), ("unknown", basic(b"eve:x")),
                        ("empty", basic(b":")), ("without colon", basic(b"bob")), ("with NUL", basic(b"bob:secret\0")),
                        ("other scheme", "Authorization: Bearer x"), ("bad base64", "Authorization: Basic ?"),
                        ("lower case", basic(b"bob:secret").replace("Basic", "basic")),
                        ("without padding", basic(b"bob:secret").rstrip("=")), ("twice", basic(b"bob:secret") + "\r\n" + basic(b"bob:secret"))):
        for method in ("GET", "HEAD", "POST"):
            add("auth %s, %s" % (name, method), request("/private/file.txt", field, method=method))
    add("auth of nothing", request("/private/none"))
    return all_rows


# ---- what differs on purpose ----

# (pattern of rows, part, reason); the part is "status", "body", "answers" (how many), "rest" (what is behind
# the last one) or a field: "vary+" when drover alone has it, "vary-" when nginx alone.  Every one must be needed.
EXPLAINED = [
    ("*", "vary+", "every file of a type that could have a precompressed sibling says so, or a cache would not learn of "
     "one that comes later (RFC 9110, 12.5.5)"),
    ("*", "accept-ranges+", "nginx leaves it out of a 206, where it is implied, and of what gzip_static finds, which it "
     "gives no ranges of; drover does (RFC 9110, 14.3)"),
    ("auth *", "www-authenticate", "drover says that it takes UTF-8 (RFC 7617, 2.1)"),
    ("auth with NUL*", "status", "control characters are none of a password's (RFC 7617, 2)"),
    ("auth without padding*", "status", "base64 is padded (RFC 4648, 3.2)"),
    ("???? /bare/", "status", "a directory without an index is not there, rather than forbidden"),
    ("condition * 'If-Modified-Since: Sun, 09 Sep 2001 01:46:41 GMT'", "status", "by default nginx wants the very date; a "
     "later one is as good (RFC 9110, 13.1.3)"),
    ("condition * 'If-Unmodified-Since: x'", "status", "what is no date is ignored (RFC 9110, 13.1.4)"),
    ("condition * 'If-Match: [*]*If-Unmodified-Since*", "status", "with If-Match the date is ignored (RFC 9110, 13.1.4)"),
    ("condition *", "last-modified-", "a 304 with an ETag has no need of it (RFC 9110, 15.4.5)"),
    ("coding of a condition", "last-modified-", "the same"),
    ("range and a condition", "last-modified-", "the same"),
    ("range field*\\nRange*", "status", "two fields are no valid one: ignored (RFC 9110, 14.2)"),
    ("range head*", "status", "a range is of GET alone (RFC 9110, 14.2)"),
    ("range 5-4", "status", "a range that is not valid is ignored (RFC 9110, 14.1.1 and 14.2)"),
    ("range -", "status", "the same"),
    ("range a-b", "status", "the same"),
    ("range 0x0-9", "status", "the same"),
    ("range +0-9", "status", "the same"),
    ("range 0-9;", "status", "the same"),
    ("range  0-9", "status", "the same: the grammar has no space there"),
    ("range 0 -9", "status", "the same"),
    ("range 0-9,,20-29", "status", "empty elements of a list are passed over (RFC 9110, 5.6.1.2)"),
    ("range 0-99999999999999999999", "status", "an end behind the file's means the file's, however far (RFC 9110, 14.1.2)"),
    ("range 0-9,10-19", "content-type content-length content-range body", "ranges that touch are one (RFC 9110, 15.3.7.2)"),
    ("range 0-9,5-14", "content-type content-length content-range body", "ranges that overlap are one"),
    ("range of an empty file", "status", "there is no first byte: 416 (RFC 9110, 14.1.2)"),
    ("range of a coded file", "status", "a range of the coded representation"),
    ("coding x-gzip", "content-length content-encoding body", "it is gzip (RFC 9110, 8.4.1.3)"),
    ("coding [*]", "content-length content-encoding body", "gzip is among everything (RFC 9110, 12.5.3)"),
    ("coding gzip;q=0.5, identity;q=1", "content-length content-encoding body", "the client likes it better as it is"),
    ("coding [*];q=0", "status", "nothing is left that may be sent: 406 (RFC 9110, 12.5.3)"),
    ("coding identity;q=0", "status", "the same"),
    ("chunks b'5 *", "answers status", "no space behind a chunk's size (RFC 9112, 7.1)"),
    ("chunks b'5\\nhello*", "answers status", "a line ends with CRLF (RFC 9112, 7.1)"),
    ("chunks *X y*", "answers status", "a trailer is a field, which has a colon (RFC 9112, 7.1.2)"),
    ("line LF alone", "status", "no bare LF (RFC 9112, 2.2 allows both)"),
    ("line with*", "status", "one space between the parts (RFC 9112, 3 allows both)"),
    ("line of HTTP/2", "status", "a version that is known, but not spoken: 505 (RFC 9110, 15.6.6)"),
    ("version 0.9", "status", "the same"),
    ("version 1.10", "status", "a version has one digit on each side (RFC 9112, 2.3)"),
    ("version none", "answers status", "HTTP/0.9 is not spoken"),
    ("field 'X'", "status", "a field has a colon (RFC 9112, 5)"),
    ("field 'X: a\\x*", "status", "control characters are refused (RFC 9110, 5.5)"),
    ("field 'X\u00fc: a'", "status", "a name is a token (RFC 9110, 5.1)"),
    ("field 'X(: y'", "status", "the same"),
    ("field 'X: a\\nY: b'", "status", "no bare LF (RFC 9112, 2.2)"),
    ("field X: xx* bytes", "status", "there is a status for it: 431 (RFC 6585, 5)"),
    ("field 'Transfer-Encoding: *", "status", "without a final chunked the end cannot be known: 400 (RFC 9112, 6.3)"),
    ("field 'Expect: x'", "status", "an expectation that is not known: 417 (RFC 9110, 10.1.1)"),
    ("host ''", "status", "an empty Host is a valid one (RFC 9110, 7.2)"),
    ("host 'one.example:x'", "status", "a port has digits (RFC 3986, 3.2.3)"),
    ("host '[[]::1'", "status", "a bracket is closed (RFC 3986, 3.2.2)"),
    ("host 'user@one.example'", "status", "Host has no user (RFC 9110, 7.2)"),
    ("method OPTIONS*", "status", "is answered (RFC 9110, 9.3.7)"),
    ("method CONNECT", "status", "its target is an authority (RFC 9112, 3.2.3)"),
    ("method PROPFIND", "status", "a method that is not known: 501 (RFC 9110, 9.1)"),
    ("method BREW", "status", "the same"),
    ("method get", "status", "the same: methods have their case (RFC 9110, 9.1)"),
    ("target https://one.example/text.txt", "status", "not what is served here: 421 (RFC 9110, 7.4 and 15.5.20)"),
    ("target /text.txt#f", "status", "a request has no fragment (RFC 9112, 3.2)"),
    ("target /dir%2f*", "status", "a segment with a slash in it is no two segments (RFC 3986, 2.2)"),
    ("target /dir\\index.html", "status", "no character of a path (RFC 3986, 3.3)"),
    ("target /a?b*", "status", "the same"),
    ("target /text.txt[?]\u00c3\u00bc", "status", "the same of a query (RFC 3986, 3.4)"),
    ("target /\u00c3\u00bc.txt", "status", "the same: it is to be sent percent-encoded"),
]


# ---- answers ----

def exchange(address, data, half_close):
    """All bytes of the answer, and whether the server ended the connection by itself."""
    received = b""
    with socket.create_connection(address, SECONDS) as connection:
        connection.settimeout(SECONDS)
        try:
            connection.sendall(data)
        except OSError:
            pass            # it may have answered and closed before it had everything
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        try:
            while True:
                piece = connection.recv(65536)
                if not piece:
                    return received
                received += piece
        except ConnectionResetError:
            return received + b"<reset>"
        except socket.timeout:
            return received + b"<open>"


class Reader:
    def __init__(self, data):
        self.data = data

    def take(self, count):
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def line(self):
        line, end, self.data = self.data.partition(b"\r\n")
        return line


def unchunk(reader):
    body = b""
    while True:
        size = int(reader.line().split(b";")[0], 16)
        if size == 0:
            while reader.line():
                pass
            return body
        body += reader.take(size)
        reader.line()


def parts_of_body(body, kind):
    """multipart/byteranges without its boundary: [(Content-Range, bytes)], else the bytes."""
    match = re.match(r"multipart/byteranges; *boundary=(\S+)", kind)
    if match is None:
        return body
    parts = []
    for part in body.split(b"--" + match.group(1).strip('"').encode())[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        place = re.search(rb"(?i)content-range: *([^\r]*)", head)
        parts.append((place.group(1) if place else None, content[:-2]))
    return parts


def normal(name, value):
    if name == "last-modified":
        return "a date" if re.match(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$", value) else value
    if name == "content-type":
        return re.sub(r"boundary=\S+", "boundary=B", value)
    return value


def parse(data, heads):
    """[{part: value}] of all responses; `heads` says which of them have no body."""
    reader = Reader(data)
    answers = []
    while reader.data.startswith(b"HTTP/1."):
        answer = {"status": int(reader.line().split()[1])}
        fields = {}
        for line in iter(reader.line, b""):
            name, _, value = line.decode("latin-1").partition(":")
            fields.setdefault(name.lower(), []).append(value.strip())
        for name in FIELDS:
            answer[name] = normal(name, ", ".join(fields[name])) if name in fields else None
        answer["etag"] = "one" if "etag" in fields else None
        if answer["status"] == 100:
            continue
        head = heads[min(len(answers), len(heads) - 1)]
        if head or answer["status"] in (204, 304):
            body = b""
        elif answer["transfer-encoding"] == "chunked":
            body = unchunk(reader)
        elif answer["content-length"] is not None:
            body = reader.take(int(answer["content-length"]))
        else:
            body = reader.take(len(reader.data))
        answer["body"] = parts_of_body(body, ", ".join(fields.get("content-type", [""])))
        if answer["status"] >= 300:     # each has pages of its own
            answer["body"] = answer["content-length"] = answer["content-type"] = None
        if isinstance(answer["body"], list):
            answer["content-length"] = None
        answers.append(answer)
    answers.append({"rest": reader.data})
    return answers


def differences(one, other):
    """[(part, drover's, nginx's)]"""
    found = []
    if len(one) != len(other):
        found.append(("answers", [answer.get("status") for answer in one], [answer.get("status") for answer in other]))
    for ours, theirs in zip(one, other):
        if ours.get("status") != theirs.get("status"):
            found.append(("status", ours.get("status", ours.get("rest")), theirs.get("status", theirs.get("rest"))))
            continue
        for part in ours:
            if ours[part] != theirs.get(part):
                found.append((part, ours[part], theirs.get(part)))
    return found


def sign(part, ours, theirs):
    return part + ("+" if theirs is None else "-" if ours is None else "")


def shown(value):
    text = repr(value)
    return text if len(text) < 80 else text[:77] + "..."


class Report:
    def __init__(self, verbose):
        self.verbose = verbose
        self.used = set()
        self.passed, self.failed = 0, 0

    def reason(self, name, part, ours, theirs):
        for index, (pattern, parts, reason) in enumerate(EXPLAINED):
            if {part, sign(part, ours, theirs)} & set(parts.split()) and fnmatch.fnmatchcase(name, pattern):
                self.used.add(index)
                return reason
        return None

    def row(self, name, found):
        unexplained = 0
        for part, ours, theirs in found:
            reason = self.reason(name, part, ours, theirs)
            unexplained += reason is None
            if reason is None or self.verbose:
                print("%s: %s: drover %s, nginx %s%s" % (name, part, shown(ours), shown(theirs),
                                                         ": " + reason if reason else ""))
        self.passed += not unexplained
        self.failed += bool(unexplained)


def compare(servers, names, report):
    for name, data in rows().items():
        if names and not any(word in name for word in names):
            continue
        heads = [line.startswith(b"HEAD ") for line in re.findall(rb"(?m)^[A-Z]+ \S+ HTTP/", data)] or [False]
        answers = [parse(exchange(address, data, name.startswith(("chunks", "line", "version"))), heads)
                   for address in servers]
        report.row(name, differences(*answers))


def main(arguments):
    names = [word for word in arguments if not word.startswith("-")]
    report = Report("--verbose" in arguments)
    directory = drover.temporary_directory()
    users = os.path.join(directory, "users")
    with open(users, "w", encoding="ascii") as file:
        file.write("bob:%s\n" % crypt("secret"))
    os.chmod(users, 0o644)
    ours = nginx = None
    try:
        ours = start_drover(users)
        nginx = Nginx(ours.site, users)
        compare([ours.address, nginx.address], names, report)
    finally:
        for server in (nginx, ours):
            if server is not None:
                server.close()
        shutil.rmtree(directory)
    if not names:
        for index, (pattern, parts, _) in enumerate(EXPLAINED):
            if index not in report.used:
                print("explained, but there is no such difference: %s: %s" % (pattern, parts))
                report.failed += 1
    print("%d passed, %d failed, 0 skipped" % (report.passed, report.failed))
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
