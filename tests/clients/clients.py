#!/usr/bin/env python3
"""Real clients against the daemon: curl, wget, aria2, zsync, and Chromium without a window.

    clients.py [Curl | Wget | Aria2 | Zsync | Chromium | Class.test] ...

Each does what its users do with it: ranges, resumed and parallel downloads, conditional requests, recursion,
passwords, a reload from its cache.  A client that is not installed is a failure: tests/tools/deps clients.
Prints what unittest prints, the clients' versions, and "N passed, N failed, N skipped".
"""

import base64
import contextlib
import ctypes
import gzip
import json
import os
import random
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "blackbox"))
sys.dont_write_bytecode = True

import drover  # noqa: E402
from drover import Drover  # noqa: E402

SECONDS = 60
LARGE = 6 * 1024 * 1024
OLD = 1000000000            # 09 Sep 2001 01:46:40 GMT
PROGRAMS = {"curl": "curl", "wget": "wget", "aria2c": "aria2", "zsync": "zsync", "chromium": "chromium"}   # their packages


def content(size, seed=1):
    return random.Random(seed).randbytes(size)


def crypt(password):
    library = ctypes.CDLL("libcrypt.so.1")
    library.crypt.restype = ctypes.c_char_p
    return library.crypt(password.encode(), b"$5$saltsalt$").decode()


class Client(unittest.TestCase):
    """A server with a large file, a small one, a directory and a place behind a password; and a directory of ours."""

    @classmethod
    def setUpClass(cls):
        cls.large = content(LARGE)
        cls.server = Drover()
        cls.addClassCleanup(cls.server.close)
        for name, body in (("large", cls.large), ("small.txt", b"small\n"), ("private/file.txt", b"private\n"),
                           ("list/a.txt", b"a\n"), ("list/b c&d.txt", b"b\n"), ("list/sub/\u00fc.txt", b"u\n"),
                           ("style.css", b"body { color: rgb(1, 2, 3); }\n"), ("zipped.txt", b"zipped " * 5000)):
            os.utime(cls.server.write(name, body), (OLD, OLD))
        os.utime(cls.server.write("zipped.txt.gz", gzip.compress(b"zipped " * 5000, mtime=0)), (OLD, OLD))
        users = os.path.join(cls.server.dir, "users")
        with open(users, "w", encoding="ascii") as file:
            file.write("bob:%s\n" % crypt("secret"))
        os.chmod(users, 0o644)
        cls.access_log = os.path.join(cls.server.dir, "access.log")
        with open(cls.access_log, "w", encoding="ascii"):
            pass
        os.chmod(cls.access_log, 0o666)
        site = cls.server.site
        cls.server.configure({
            "workers": 1,       # its log is in the order of the requests' ends
            "log": {"access": cls.access_log, "access_format": "json"},
            "sites": [{"routes": [
                {"match": "/", "files": {"root": site}},
                {"match": "/list", "files": {"root": site + "/list", "listing": True}},
                {"match": "/private", "files": {"root": site + "/private"}, "auth": {"file": users}}]}]})
        status, said = cls.server.reload()
        if status != 0:
            raise AssertionError(said)
        cls.url = "http://%s:%d/" % cls.server.address

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="drover-client-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.skip_log()

    def skip_log(self):
        """What comes later is of what follows: lines are written up to 50 ms after their requests."""
        marker = "/marker-%d" % random.getrandbits(64)
        self.server.get(marker)
        end = drover.deadline()
        while not any(marker in line for line in self.log_lines()):
            select.select([], [], [], min(0.02, drover.left(end)))
        self.logged = len(self.log_lines())

    def log_lines(self):
        with open(self.access_log, encoding="utf-8") as file:
            return [line for line in file if line.endswith("\n")]

    def requests(self, count):
        """What the access log says of the first `count` requests of this test."""
        end = drover.deadline()
        while len(self.log_lines()) < self.logged + count:
            select.select([], [], [], min(0.02, drover.left(end)))
        return [json.loads(line) for line in self.log_lines()[self.logged:]]

    def path(self, name):
        return os.path.join(self.dir, name)

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def write(self, name, data):
        with open(self.path(name), "wb") as file:
            file.write(data)

    def run_client(self, *command, status=0):
        environment = {"PATH": os.environ["PATH"], "HOME": self.dir, "LC_ALL": "C.UTF-8"}
        result = subprocess.run(command, cwd=self.dir, env=environment, stdin=subprocess.DEVNULL, timeout=SECONDS,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        if status is not None:
            self.assertEqual(result.returncode, status, result.stdout[-2000:] + result.stderr[-2000:])
        return result


class Curl(Client):
    def curl(self, *arguments, status=0):
        """(what it printed of -w %{http_code}, the body)"""
        result = self.run_client("curl", "-q", "-sS", "-w", "%{stderr}%{http_code}", *arguments, status=status)
        return int(result.stderr[-3:]), result.stdout

    def test_ranges(self):
        for ranges, expected in (("0-99", self.large[:100]), ("6291400-", self.large[6291400:]), ("-50", self.large[-50:])):
            self.assertEqual(self.curl("--range", ranges, self.url + "large"), (206, expected))
        code, body = self.curl("--range", "0-9,1000-1009", "-D", "head", self.url + "large")
        self.assertEqual(code, 206)
        boundary = re.search(rb"(?i)multipart/byteranges; *boundary=(\S+)", self.read("head")).group(1)
        parts = body.split(b"--" + boundary)
        self.assertEqual([part.partition(b"\r\n\r\n")[2][:-2] for part in parts[1:-1]],
                         [self.large[:10], self.large[1000:1010]])
        self.assertEqual(self.curl("--range", "99999999-", self.url + "large")[0], 416)

    def test_a_download_goes_on(self):
        self.write("large", self.large[:2000000])
        code, _ = self.curl("-C", "-", "-o", "large", self.url + "large")
        self.assertEqual(code, 206)
        self.assertEqual(self.read("large"), self.large)
        code, _ = self.curl("-C", "-", "-o", "large", self.url + "large", status=None)  # there is nothing left
        self.assertEqual(code, 416)
        self.assertEqual(self.read("large"), self.large)

    def test_conditions(self):
        url = self.url + "small.txt"
        self.assertEqual(self.curl("-z", "Sun, 09 Sep 2001 01:46:40 GMT", url), (304, b""))
        self.assertEqual(self.curl("-z", "Sun, 09 Sep 2001 01:46:39 GMT", url), (200, b"small\n"))
        self.assertEqual(self.curl("-z", "-Sun, 09 Sep 2001 01:46:39 GMT", url)[0], 412)
        self.assertEqual(self.curl("--etag-save", "tag", url), (200, b"small\n"))
        self.assertEqual(self.curl("--etag-compare", "tag", url), (304, b""))
        self.curl("-R", "-o", "small.txt", url)
        self.assertEqual(os.stat(self.path("small.txt")).st_mtime, OLD)
        self.assertEqual(self.curl("-z", "small.txt", url), (304, b""))

    def test_compression(self):
        result = self.run_client("curl", "-q", "-sS", "--compressed", "-w", "%{stderr}%{size_download}",
                                 self.url + "zipped.txt")
        self.assertEqual(result.stdout, b"zipped " * 5000)
        self.assertLess(int(result.stderr), 1000)

    def test_passwords(self):
        url = self.url + "private/file.txt"
        self.assertEqual(self.curl(url)[0], 401)
        self.assertEqual(self.curl("-u", "bob:wrong", url)[0], 401)
        self.assertEqual(self.curl("-u", "bob:secret", url), (200, b"private\n"))
        self.assertEqual(self.curl("--anyauth", "-u", "bob:secret", url), (200, b"private\n"))
        self.assertEqual(self.curl(url.replace("//", "//bob:secret@")), (200, b"private\n"))
        self.assertEqual([request.get("user") for request in self.requests(6)],
                         [None, None, "bob", None, "bob", "bob"])

    def test_uploads_are_refused(self):
        self.write("upload", bytes(3000000))
        for arguments in (["-T", "upload"], ["-d", "a=b"], ["--data-binary", "@upload"], ["-F", "file=@upload"],
                          ["-T", "upload", "-H", "Transfer-Encoding: chunked"], ["-T", "upload", "--expect100-timeout", "30"]):
            with self.subTest(arguments):
                code, _ = self.curl(*arguments, self.url + "small.txt", status=None)
                self.assertIn(code, (405, 413))

    def test_one_connection_serves_many(self):
        result = self.run_client("curl", "-q", "-sS", "-w", "%{stderr}%{num_connects} ", *[self.url + "small.txt"] * 20)
        self.assertEqual(result.stdout, b"small\n" * 20)
        self.assertEqual(result.stderr.split(), [b"1"] + [b"0"] * 19)

    def test_fifty_at_once(self):
        self.run_client("curl", "-q", "-sS", "--parallel", "--parallel-max", "50", "-r", "1000000-1999999", "-o", "out#1",
                        self.url + "large?[1-50]")
        for number in range(50):
            self.assertTrue(self.read("out%d" % (number + 1)) == self.large[1000000:2000000])

    def test_other_versions_and_methods(self):
        self.assertEqual(self.curl("--http1.0", self.url + "small.txt"), (200, b"small\n"))
        self.assertEqual(self.curl("--http2", self.url + "small.txt"), (200, b"small\n"))  # an Upgrade to ignore
        self.assertEqual(self.curl("--http0.9", "--http2-prior-knowledge", self.url + "small.txt", status=None)[0] // 100, 0)
        self.assertEqual(self.curl("-I", self.url + "small.txt")[0], 200)
        self.assertEqual(self.curl("-X", "OPTIONS", self.url + "small.txt")[0] // 100, 2)
        self.assertEqual(self.curl("-L", self.url + "list")[0], 200)
        self.assertEqual(self.curl("--path-as-is", self.url + "list/../small.txt"), (200, b"small\n"))
        self.assertEqual(self.curl("-x", self.url, "http://elsewhere.example/small.txt"), (200, b"small\n"))


class Wget(Client):
    def test_a_download_goes_on(self):
        self.write("large", self.large[:3000000])
        self.run_client("wget", "-nv", "-c", self.url + "large")
        self.assertEqual(self.read("large"), self.large)
        [request] = self.requests(1)
        self.assertEqual((request["status"], request["bytes"]), (206, LARGE - 3000000))
        self.run_client("wget", "-nv", "-c", self.url + "large")
        self.assertEqual(self.read("large"), self.large)

    def test_what_is_not_newer_is_left(self):
        self.run_client("wget", "-nv", "-N", self.url + "large")
        self.assertEqual(os.stat(self.path("large")).st_mtime, OLD)
        self.run_client("wget", "-nv", "-N", self.url + "large")
        self.assertEqual([request["status"] for request in self.requests(2)], [200, 304])

    def test_a_listing_can_be_mirrored(self):
        self.run_client("wget", "-nv", "-r", "-np", "-nH", "-e", "robots=off", "-R", "*[?]*", self.url + "list/")
        self.assertEqual(self.read("list/a.txt"), b"a\n")
        self.assertEqual(self.read("list/b c&d.txt"), b"b\n")
        self.assertEqual(self.read("list/sub/\u00fc.txt"), b"u\n")

    def test_passwords(self):
        self.run_client("wget", "-nv", self.url + "private/file.txt", status=6)
        self.run_client("wget", "-nv", "--user", "bob", "--password", "secret", self.url + "private/file.txt")
        self.assertEqual(self.read("file.txt"), b"private\n")

    def test_a_spider(self):
        self.run_client("wget", "-nv", "--spider", self.url + "large")
        self.run_client("wget", "-nv", "--spider", self.url + "none", status=8)


class Aria2(Client):
    def aria2(self, *arguments):
        return self.run_client("aria2c", "--no-conf", "-q", *arguments)

    def test_parallel_ranges(self):
        self.aria2("-x4", "-s4", "-k1M", self.url + "large")
        self.assertEqual(self.read("large"), self.large)
        requests = self.requests(2)
        self.assertGreater(len([request for request in requests if request["status"] == 206]), 1)
        self.assertGreater(len({request["port"] for request in requests}), 1)

    def test_a_download_goes_on(self):
        self.write("large", self.large[:2000000])
        self.aria2("-c", self.url + "large")
        self.assertEqual(self.read("large"), self.large)
        ranges = [request for request in self.requests(2) if request["status"] == 206]
        self.assertEqual(len(ranges), 1)        # it asks for all of it first, and hangs up
        self.assertLess(ranges[0]["bytes"], LARGE - 1900000)

    def test_what_is_not_newer_is_left(self):
        self.aria2(self.url + "small.txt")
        os.utime(self.path("small.txt"), (OLD, OLD))
        self.aria2("--conditional-get", "--allow-overwrite", self.url + "small.txt")
        self.assertEqual(self.requests(2)[-1]["status"], 304)


class Zsync(Client):
    def test_only_what_changed_is_transferred(self):
        changed = bytearray(self.large)
        for place in (0, 1000000, 2500000, 2600000, 5999000):
            changed[place:place + 3000] = content(3000, seed=place)
        self.server.write("new", bytes(changed))
        self.run_client("zsyncmake", "-o", "new.zsync", "-u", self.url + "new", self.server.path("new"))
        self.server.write("new.zsync", self.read("new.zsync"))
        self.write("old", self.large)
        self.run_client("zsync", "-q", "-i", "old", "-o", "out", self.url + "new.zsync")
        self.assertEqual(self.read("out"), bytes(changed))
        ranges = [request for request in self.requests(2) if request["target"] == "/new"]
        self.assertEqual({request["status"] for request in ranges}, {206})
        self.assertLess(sum(request["bytes"] for request in ranges), 200000)


class Browser:
    """Chromium, spoken to over a pair of pipes (--remote-debugging-pipe): JSON texts with a NUL behind each."""

    def __init__(self, directory):
        ours, theirs = os.pipe(), os.pipe()     # to it: descriptor 3; from it: 4
        self.number, self.buffer, self.events = 0, b"", []

        def prepare():
            high = [os.dup2(ours[0], 100), os.dup2(theirs[1], 101)]
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        self.process = subprocess.Popen(
            ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe",
             "--user-data-dir=" + os.path.join(directory, "profile"), "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=prepare,
            close_fds=False, env={"PATH": os.environ["PATH"], "HOME": directory})
        os.close(ours[0])
        os.close(theirs[1])
        self.write_fd, self.read_fd = ours[1], theirs[0]
        self.session = None

    def close(self):
        with contextlib.suppress(OSError):
            self.send("Browser.close")
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.write_fd)
        os.close(self.read_fd)

    def send(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session is not None:
            message["sessionId"] = self.session
        os.write(self.write_fd, json.dumps(message).encode() + b"\0")
        return self.number

    def receive(self, end):
        while b"\0" not in self.buffer:
            if not select.select([self.read_fd], [], [], drover.left(end))[0]:
                continue
            piece = os.read(self.read_fd, 1 << 16)
            if not piece:
                raise AssertionError("chromium has gone")
            self.buffer += piece
        text, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(text)

    def call(self, method, **params):
        number, end = self.send(method, **params), drover.deadline(SECONDS)
        while True:
            message = self.receive(end)
            if message.get("id") == number:
                if "error" in message:
                    raise AssertionError(message["error"])
                return message["result"]
            self.events.append(message)

    def attach(self):
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime"):
            self.call(domain + ".enable")

    def load(self, method, **params):
        """Does it and waits for the page to be loaded; {path: (status, whether from the cache)}."""
        self.events.clear()
        self.call(method, **params)
        end = drover.deadline(SECONDS)
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self.receive(end))
        cached = {event["params"]["requestId"] for event in self.events
                  if event.get("method") == "Network.requestServedFromCache"}
        found = {}
        for event in self.events:
            if event.get("method") == "Network.responseReceived":
                params = event["params"]
                response = params["response"]
                is_cached = params["requestId"] in cached or response.get("fromDiskCache", False)
                found["/" + response["url"].split("/", 3)[3]] = (response["status"], is_cached)
        return found

    def evaluate(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise AssertionError(result["exceptionDetails"])
        return result["result"].get("value")


class Chromium(Client):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        os.utime(cls.server.write("page.html", "<!doctype html><link rel=stylesheet href=style.css><title>page</title>"
                                               "<img src=pixel.png><p id=text>hello"), (OLD, OLD))
        os.utime(cls.server.write("pixel.png", base64.b64decode(
            "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")), (OLD, OLD))
        directory = tempfile.mkdtemp(prefix="drover-chromium-")
        cls.addClassCleanup(shutil.rmtree, directory, ignore_errors=True)
        cls.browser = Browser(directory)
        cls.addClassCleanup(cls.browser.close)
        cls.browser.attach()

    def statuses(self, paths):
        return {request["target"]: request["status"] for request in self.requests(paths) if "favicon" not in request["target"]}

    def test_a_reload_comes_from_the_cache(self):
        self.browser.call("Network.clearBrowserCache")
        first = self.browser.load("Page.navigate", url=self.url + "page.html")
        for path in ("/page.html", "/style.css", "/pixel.png"):
            self.assertEqual(first[path], (200, False))
        self.assertEqual(self.browser.evaluate("getComputedStyle(document.body).color"), "rgb(1, 2, 3)")
        self.assertEqual(self.browser.evaluate("document.images[0].naturalWidth"), 1)
        self.skip_log()
        self.browser.load("Page.reload")
        self.assertEqual(self.browser.evaluate("document.getElementById('text').textContent"), "hello")
        self.assertEqual(self.statuses(1)["/page.html"], 304)
        self.assertNotIn(200, self.statuses(1).values())

    def test_a_change_is_seen_by_a_reload(self):
        os.utime(self.server.write("changes.html", "<p id=text>one"), (OLD, OLD))
        self.browser.load("Page.navigate", url=self.url + "changes.html")
        self.server.write("changes.html", "<p id=text>two")
        self.browser.load("Page.reload")
        self.assertEqual(self.browser.evaluate("document.getElementById('text').textContent"), "two")

    def test_what_is_compressed_is_read(self):
        self.browser.load("Page.navigate", url=self.url + "page.html")
        result = self.browser.evaluate("fetch('/zipped.txt').then(async answer => [answer.headers.get('content-encoding'),"
                                       " answer.headers.get('vary'), await answer.text()])")
        self.assertEqual(result, ["gzip", "Accept-Encoding", "zipped " * 5000])

    def test_a_fetch_of_a_range(self):
        self.browser.load("Page.navigate", url=self.url + "page.html")
        result = self.browser.evaluate("fetch('/large', { headers: { Range: 'bytes=5-9' } }).then(async answer =>"
                                       " [answer.status, Array.from(new Uint8Array(await answer.arrayBuffer()))])")
        self.assertEqual(result, [206, list(self.large[5:10])])

    def test_passwords(self):
        url = self.url + "private/file.txt"
        self.browser.load("Page.navigate", url=url.replace("//", "//bob:secret@"))
        self.assertEqual(self.browser.evaluate("document.body.textContent"), "private\n")

    def test_a_listing_is_a_page(self):
        self.browser.load("Page.navigate", url=self.url + "list/")
        links = self.browser.evaluate("Array.from(document.links, link => decodeURIComponent(link.pathname))")
        for path in ("/list/a.txt", "/list/b c&d.txt", "/list/sub/"):
            self.assertIn(path, links)
        link = self.browser.evaluate("Array.from(document.links).find(link => link.href.includes('b%20c')).href")
        self.browser.load("Page.navigate", url=link)
        self.assertEqual(self.browser.evaluate("document.body.textContent"), "b\n")


class Dashboard(unittest.TestCase):
    """The page of the status route, as a browser shows it."""

    WATCH = ("window.violations = []; document.addEventListener('securitypolicyviolation',"
             " event => violations.push(event.violatedDirective + ' ' + event.blockedURI))")

    @classmethod
    def setUpClass(cls):
        directory = tempfile.mkdtemp(prefix="drover-chromium-")
        cls.addClassCleanup(shutil.rmtree, directory, ignore_errors=True)
        cls.browser = Browser(directory)
        cls.addClassCleanup(cls.browser.close)
        cls.browser.attach()
        cls.browser.call("Log.enable")
        cls.browser.call("Page.addScriptToEvaluateOnNewDocument", source=cls.WATCH)

    def setUp(self):
        self.server = Drover({"sites": [
            {"hosts": ["shop.example"], "routes": [{"match": "/", "respond": {"status": 503}}]},
            {"routes": [{"match": "/status", "status": {"interval": "200ms"}}, {"match": "/", "files": {"root": "."}}]}]})
        self.addCleanup(self.server.close)
        self.view(1280, 900)
        self.browser.load("Page.navigate", url="http://%s:%d/status" % self.server.address)
        self.errors = []

    def tearDown(self):
        self.browser.call("Emulation.setScriptExecutionDisabled", value=False)
        self.browser.load("Page.navigate", url="about:blank")

    def view(self, width, height, scheme="light"):
        self.browser.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500)
        self.browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def wait(self, expression):
        """Until it is true in the page; its value."""
        end = drover.deadline()
        while True:
            value = self.browser.evaluate(expression)
            if value:
                return value
            self.assertGreater(end, time.monotonic(), expression)
            self.browser.evaluate("new Promise(done => setTimeout(done, 50))")

    def said(self):
        """What the browser had to complain about."""
        problems = self.browser.evaluate("window.violations")
        for event in self.browser.events:
            if event["method"] == "Runtime.exceptionThrown":
                problems.append(event["params"]["exceptionDetails"])
            elif event["method"] == "Log.entryAdded" and event["params"]["entry"]["level"] == "error":
                problems.append(event["params"]["entry"]["text"])
        return problems

    def requests_in_all(self):
        return int(self.browser.evaluate("document.querySelector('#tiles .s').textContent").split()[0].replace(",", ""))

    def test_it_follows_the_service(self):
        self.wait("document.getElementById('link').textContent === 'live'")
        before = self.requests_in_all()
        with self.server.client() as client:
            for host in ["drover.example", "shop.example"] * 20:
                client.request("/", host=host)
        self.wait("parseInt(document.querySelector('#tiles .s').textContent.replace(',', '')) >= %d" % (before + 40))
        self.wait("(document.querySelector('#chart-rate path.s0').getAttribute('d').match(/L/g) || []).length > 3")
        self.wait("document.querySelectorAll('#chart-latency path.s2').length === 1")
        self.assertEqual(self.browser.evaluate("document.querySelectorAll('#slots li').length"), 2)
        self.assertIn("shop.example", self.browser.evaluate("document.getElementById('sites').textContent"))
        self.assertEqual(self.said(), [])

    def test_what_happens_is_listed(self):
        self.wait("document.querySelectorAll('#events li').length === 1")
        os.kill(self.server.workers()[1], signal.SIGKILL)
        self.wait("document.querySelectorAll('#events li').length === 3")
        self.assertIn("Crash, slot 1", self.browser.evaluate("document.getElementById('events').textContent"))
        self.wait("document.querySelectorAll('#chart-rate .mark.bad').length >= 1")
        self.assertEqual(self.browser.evaluate("window.violations"), [])        # its stream may have been of that worker

    def test_the_end_of_the_service_and_its_return(self):
        self.wait("document.getElementById('link').textContent === 'live'")
        self.server.stop()
        self.wait("document.getElementById('link').textContent.startsWith('disconnected since ')")
        self.assertTrue(self.browser.evaluate("document.body.classList.contains('off-line')"))
        self.server.start_again()
        self.wait("document.getElementById('link').textContent === 'live'")
        self.assertFalse(self.browser.evaluate("document.body.classList.contains('off-line')"))
        self.browser.evaluate("document.getElementById('numbers').open = true")
        rows = self.wait("Array.from(document.querySelectorAll('#numbers tbody tr'), row => row.cells[1].textContent)")
        self.assertIn("\u2013", rows[:-1])       # the first one after the pause is compared with nothing
        self.assertEqual(self.browser.evaluate("document.querySelectorAll('#events li').length"), 1)
        self.assertEqual(self.browser.evaluate("window.violations"), [])

    def test_a_slot_that_is_out_of_service_is_not_bad(self):
        states = "Array.from(document.querySelectorAll('#slots .state'), state => state.textContent).join()"
        self.wait(states + " === 'serving,serving'")
        self.assertEqual(self.server.ctl("drain", "1").returncode, 0)
        self.wait(states + " === 'serving,out of service'")
        self.assertEqual(self.server.ctl("resume", "1").returncode, 0)
        self.wait(states + " === 'serving,serving'")

    def test_no_layout_is_too_wide(self):
        colors = set()
        self.wait("document.getElementById('link').textContent === 'live'")
        for width, height in ((360, 640), (800, 600), (1280, 900)):
            for scheme in ("light", "dark"):
                self.view(width, height, scheme)
                self.wait("innerWidth === %d" % width)
                self.assertLessEqual(self.browser.evaluate("document.documentElement.scrollWidth"), width)
                colors.add(self.browser.evaluate("getComputedStyle(document.body).backgroundColor"))
        self.assertEqual(len(colors), 2)

    def test_the_configuration_is_searched(self):
        shown = "document.querySelectorAll('#settings tbody tr').length"
        self.wait(shown + " > 20")
        self.browser.evaluate("document.getElementById('q').focus()")
        self.browser.call("Input.insertText", text="drain_delay")
        self.wait(shown + " === 1")
        self.assertIn("timeouts.drain_delay", self.browser.evaluate("document.getElementById('settings').textContent"))

    def test_keys_read_earlier_values(self):
        self.wait("(document.querySelector('#chart-open path.band') || {getAttribute: () => ''}).getAttribute('d').length > 20")
        self.browser.evaluate("document.getElementById('chart-open').focus()")
        self.browser.call("Input.dispatchKeyEvent", type="keyDown", key="ArrowLeft")
        self.assertRegex(self.wait("document.getElementById('say').textContent"), r"^\d\d:\d\d:\d\d: all \d+$")
        self.assertEqual(self.browser.evaluate("document.querySelectorAll('.tip:not([hidden])').length"), 1)

    def test_without_scripts_there_is_a_table(self):
        self.browser.call("Emulation.setScriptExecutionDisabled", value=True)
        self.browser.load("Page.reload")
        text = self.browser.evaluate("document.querySelector('main').innerText")
        self.assertIn("Since the start", text)
        self.assertRegex(text, r"Requests\s+\d+")
        self.assertEqual(self.browser.evaluate("getComputedStyle(document.getElementById('app')).display"), "none")


def versions():
    for program, package in PROGRAMS.items():
        if shutil.which(program) is None:
            print("%s is not installed: tests/tools/deps clients" % program)
            continue
        result = subprocess.run(["dpkg-query", "-W", package], stdout=subprocess.PIPE, text=True, check=False)
        print(result.stdout.strip().replace("\t", " ") or program)


def main(arguments):
    versions()
    loader = unittest.defaultTestLoader
    module = sys.modules["__main__"]
    suite = loader.loadTestsFromNames(arguments, module) if arguments else loader.loadTestsFromModule(module)
    began = time.monotonic()
    result = unittest.TextTestRunner(sys.stdout, verbosity=2).run(suite)
    failed = len(result.failures) + len(result.errors)
    print("%d passed, %d failed, %d skipped in %d s" % (result.testsRun - failed, failed, len(result.skipped),
                                                        time.monotonic() - began))
    return 1 if failed or result.testsRun == 0 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
