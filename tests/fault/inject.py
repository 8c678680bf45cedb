"""The page through which wrap.c is told what is to fail, and a daemon that is built with it."""

import base64
import json
import mmap
import os
import re
import select
import socket
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
os.environ["DROVER_BUILD"] = os.environ.get("DROVER_FAULT_BUILD", "build/fault")
sys.path.insert(0, os.path.join(HERE, "..", "blackbox"))

import drover  # noqa: E402  (the path and the build come first)
from drover import Client, Closed, Drover, address_text, fds, lasting  # noqa: E402

SECONDS = 30        # for anything that the daemon should do at once, on a machine that is busy
ROLES = ("master", "checker", "worker")
FAIL, SIGNAL, KILL_CHILD = range(3)
EVERY_CHILD = -1
with open(os.path.join(HERE, "calls.h"), encoding="ascii") as header:
    CALLS = re.findall(r"^CALL\((\w+)\)", header.read(), re.M)
ALL_CALLS = (1 << len(CALLS)) - 1


class Page:
    """Mirrors struct page of wrap.c."""

    HEAD = struct.Struct("=IIQIiIiIIII")
    FRAMES, COUNTS = HEAD.size, HEAD.size + 16 * 8
    BYTES = COUNTS + len(ROLES) * len(CALLS) * 8

    def __init__(self):
        self.fd, self.path = tempfile.mkstemp(prefix="drover-fault-")
        os.ftruncate(self.fd, self.BYTES)
        self.map = mmap.mmap(self.fd, self.BYTES)
        self.reset()

    def close(self):
        self.map.close()
        os.close(self.fd)
        os.unlink(self.path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def reset(self):
        self.map[:] = bytes(self.BYTES)

    def arm(self, role, calls, number, error=0, action=FAIL, argument=0):
        """`calls`: names; the `number`-th call of any of them in a process of that role, from now."""
        mask = sum(1 << CALLS.index(name) for name in calls) if calls else ALL_CALLS
        leaks = self.field(7)
        self.HEAD.pack_into(self.map, 0, 0, 1 << ROLES.index(role), mask, number, error, action, argument, leaks,
                            0, 0, 0)
        struct.pack_into("=I", self.map, 0, 1)

    def field(self, index):
        return self.HEAD.unpack_from(self.map, 0)[index]

    def disarm(self):
        """True when the point had been reached."""
        fired = self.fired()
        if not fired:
            struct.pack_into("=I", self.map, 0, 0)
        return fired or self.fired()

    def fired(self):
        return self.field(0) == 2

    def leaks(self):
        return self.field(7)

    def where(self):
        """(call, return addresses) of what was made to fail."""
        _, call, count = self.HEAD.unpack_from(self.map, 0)[8:]
        return CALLS[call], struct.unpack_from("=%dQ" % min(count, 16), self.map, self.FRAMES)

    def count(self, role, call):
        index = ROLES.index(role) * len(CALLS) + CALLS.index(call)
        return struct.unpack_from("=Q", self.map, self.COUNTS + 8 * index)[0]


def functions(addresses):
    """address -> function, for return addresses in the daemon."""
    addresses = sorted(set(addresses))
    if not addresses:
        return {}
    text = "\n".join("0x%x" % (address - 1) for address in addresses)
    result = subprocess.run(["addr2line", "-f", "-e", drover.DROVER], input=text, capture_output=True, text=True,
                            check=True)
    return dict(zip(addresses, result.stdout.split("\n")[::2]))


def stack_text(where, names):
    call, addresses = where
    known = [names[address] for address in addresses if names.get(address, "??") != "??"]
    return "%s < %s" % (call, " < ".join(known[:7]))


class Target(Drover):
    """A daemon whose calls can be made to fail.  Its configuration has what the start and a reload have to get
    right although something fails: includes, a relative root, an allow list, TCP and unix sockets, an access log.
    """

    FILES = {"index.html": b"<p>hello\n", "small.txt": b"small\n" * 100, "sub/index.html": b"sub\n", "bare/one": b"1"}
    LARGE = b"".join(b"%07d\n" % i for i in range(1 << 17))   # 1 MiB: more than the sockets' buffers

    USERS = "bob:$1$saltsalt$9xy1btjgzLYfb7hivXtC//\n"   # "secret", by the cheapest method that there is

    @staticmethod
    def basic(password):
        return "Authorization", "Basic " + base64.b64encode(b"bob:" + password.encode()).decode()

    def __init__(self, page, wait=True, **knobs):
        self.page = page
        self.knobs = {"version": 1, "workers": 2, "accept": "reuseport", "more": [], "broken": "", **knobs}
        env = {**os.environ, "DROVER_FAULT": page.path, "ASAN_OPTIONS": "detect_leaks=1:allocator_may_return_null=1"}
        super().__init__(env=env, wait=wait)

    def configure(self, settings):
        self.knobs.update(settings)
        k = self.knobs
        for name, content in {**self.FILES, "large": self.LARGE}.items():
            if not os.path.exists(self.path(name)):
                self.write(name, content)
        listen = [address_text(self.address), "unix:" + self.unix()] + [address_text(a) for a in k["more"]]
        os.makedirs(os.path.join(self.dir, "conf.d"), exist_ok=True)
        self.write_config("users", self.USERS)
        self.write_config("conf.d/sites.conf", """sites = (
            { routes = (
                { match = "/"; files = { root = "%s"; listing = true; }; },
                { match = "/sub/"; files = { root = "../site/sub"; }; },
                { match = "/version"; respond = { body = "%d"; }; },
                { match = "/private"; respond = { body = "private"; }; auth = { file = "../users"; }; },
                { match = "/open"; respond = { body = "open"; }; allow = [ "127.0.0.0/8", "::1" ]; },
                { match = "/shut"; respond = { body = "shut"; }; allow = [ "10.0.0.0/8", "::2" ]; } ); },
            { hosts = [ "other.example", "*.other.example" ];
              routes = ( { match = "/"; respond = { status = 203; body = "other"; }; } ); } );
            """ % (self.site, k["version"]))
        self.write_config("drover.conf", """workers = %d; accept = "%s"; control = "%s";
            log = { access = "%s/access.log"; };
            timeouts = { prepare = "3s"; drain = "10s"; };
            listen = ( %s );
            %s
            @include "conf.d/*.conf"
            """ % (k["workers"], k["accept"], self.control, self.dir,
                   ", ".join('{ address = "%s"; }' % text for text in listen), k["broken"]))

    def write_config(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path + ".new", "w", encoding="ascii") as file:
            file.write(text)
        os.chmod(path + ".new", 0o644)
        os.rename(path + ".new", path)

    def unix(self):
        return os.path.join(self.dir, "web.sock")

    # the operator, without a process of its own: many questions

    def ask(self, line, seconds=SECONDS):
        """The answer to one line on the control socket; None when it was closed without one."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(seconds)
            text = b""
            try:
                client.connect(self.control)
                client.sendall(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n")
                while data := client.recv(1 << 16):
                    text += data
            except (ConnectionResetError, BrokenPipeError):
                pass
        return json.loads(text) if text.endswith(b"\n") else None

    def wait_status(self, condition, seconds=SECONDS):
        end = time.monotonic() + seconds
        while True:
            try:
                status = self.status()
                if condition(status):
                    return status
            except (FileNotFoundError, ConnectionRefusedError, AssertionError):
                status = None
            assert time.monotonic() < end, "the state never came: %s\n%s" % (status, self.log.text())
            assert not self.log.ended, "drover ended:\n%s" % self.log.text()
            select.select([self.pidfd], [], [], 0.003)

    def status(self):
        answer = self.ask({"command": "status"})
        assert answer is not None and answer["ok"], "no status"
        return answer["status"]

    def reload_now(self, replace=False):
        return self.ask({"command": "reload", "replace": replace})

    # what must hold

    def settled(self, seconds=SECONDS, draining=False, without=()):
        """Waits until every slot has its worker, none of them one of `without`, and nothing else is there (but
        `draining` ones)."""
        count = self.knobs["workers"]

        def whole(status):
            current = {worker["pid"] for worker in status["workers"]
                       if worker["generation"] == status["generation"] and worker["state"] == "serving"}
            return (status["phase"] == "idle" and len(status["slots"]) == count
                    and (draining or len(status["workers"]) == count)
                    and all(slot["pid"] in current.difference(without) for slot in status["slots"]))

        return self.wait_status(whole, seconds)

    def wait_fds(self, pid, wanted, what):
        end = time.monotonic() + SECONDS
        while fds(pid) != wanted:
            assert time.monotonic() < end, "%s has %d descriptors instead of %d: %s" % (
                what, fds(pid), wanted, sorted(self.link(name, pid) for name in os.listdir("/proc/%d/fd" % pid)))
            self.status()
        return True

    def link(self, name, pid=None):
        try:
            return os.readlink("/proc/%d/fd/%s" % (pid or self.pid, name))
        except OSError:
            return "?"

    def sockets(self, pid):
        try:
            names = os.listdir("/proc/%d/fd" % pid)
        except FileNotFoundError:   # it is gone
            return set()
        return {link for link in (self.link(name, pid) for name in names) if link.startswith("socket:")}

    def missing(self, status):
        count = sum(listener["sockets"] for listener in status["listeners"])
        for slot in status["slots"]:
            held = self.sockets(self.pid) & self.sockets(slot["pid"])
            if len(held) != count:
                return "slot %d holds %d of %d sockets" % (slot["slot"], len(held), count)
        return None

    def check_held(self, status):
        """Every worker holds every listening socket: one that is missing somewhere is missed only by chance.  A
        worker may have been killed that the master still takes for alive: then its successor is looked at."""
        end = time.monotonic() + SECONDS
        while wrong := self.missing(status):
            assert time.monotonic() < end, wrong
            status = self.settled()

    def check_serves(self, version=None, clients=4):
        """Everything that the configuration says holds, on several connections."""
        for _ in range(clients):
            with self.client(seconds=SECONDS) as client:
                expect(client.request("/version"), 200, str(version or self.knobs["version"]).encode())
                expect(client.request("/"), 200, self.FILES["index.html"])
        with self.client(seconds=SECONDS) as client:
            expect(client.request("/open"), 200, b"open")
            expect(client.request("/shut"), 403)
            expect(client.request("/", host="www.other.example"), 203, b"other")
        with self.client(self.unix(), seconds=SECONDS) as client:
            expect(client.request("/small.txt"), 200, self.FILES["small.txt"])

    def finish(self, seconds=SECONDS):
        """Stops; nothing may be left."""
        mark = self.log.mark()
        self.kill(15)
        self.ended(self.wait_exit(seconds), (0,))
        # who hangs at its end (LeakSanitizer in a sandbox that is too narrow for it) looks for no leaks
        assert not self.log.find("worker_killed", since=mark), "a worker did not end:\n%s" % self.log.text()

    def ended(self, status, allowed):
        self.log.thread.join(5)
        assert status in allowed, "exit status %d\n%s" % (status, self.log.text())
        assert self.page.leaks() == 0, "a worker leaked\n%s" % self.log.text()
        assert not os.path.exists(self.control), "the control socket's path is left"
        self.check_log()


def expect(response, status, body=None):
    assert response.status == status, "status %d instead of %d" % (response.status, status)
    assert body is None or response.body == body, "a wrong body of %d bytes: %r" % (
        len(response.body), response.body[:80])
    return response


__all__ = ["ALL_CALLS", "CALLS", "Client", "Closed", "EVERY_CHILD", "FAIL", "KILL_CHILD", "Page", "ROLES", "SECONDS",
           "SIGNAL", "Target", "expect", "fds", "functions", "stack_text"]
