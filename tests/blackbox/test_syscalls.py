"""Processes make the system calls of their lists and no others (sandbox.seccomp), leave no core dumps, and cannot
be looked into by others of the same user (sandbox.core_dumps)."""

import contextlib
import ctypes
import os
import re
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import drover
from drover import Drover

NOBODY = 65534
ROUTES = [{"match": "/trouble", "trouble": {}}, {"match": "/escape", "escape": {}}]
FILTERED = 2    # Seccomp: in /proc/PID/status
CLOSED = {"Permission denied", "Operation not permitted"}


def become_nobody():
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def field(pid, name):
    """Of /proc/PID/status, which everybody may read."""
    with open("/proc/%d/status" % pid, encoding="ascii") as file:
        return int(re.search(r"^%s:\s*(\d+)" % name, file.read(), re.M).group(1))


def look_as_nobody(path):
    """What another process of the workers' user is told: "read", or why not."""
    preexec = become_nobody if os.geteuid() == 0 else None
    tool = ["/bin/ls", path] if path.endswith("/fd") else ["/bin/cat", path]
    result = subprocess.run(tool, capture_output=True, preexec_fn=preexec, env={"LC_ALL": "C"}, timeout=drover.DEADLINE,
                            check=False)
    return "read" if result.returncode == 0 else result.stderr.decode().strip().rpartition(": ")[2]


class Sandboxed(unittest.TestCase):
    def start(self, sandbox=None, **more):
        settings = {"sites": [{"routes": ROUTES}], "sandbox": sandbox or {}}
        server = Drover({**settings, **more.pop("settings", {})}, program=drover.AIDED, **more)
        self.addCleanup(server.close)
        return server

    def escape(self, server, name):
        """The answer's last word, or None: the worker did not answer."""
        query = {"try": name, "root": server.site, "outside": server.dir, "control": server.control, "abstract": "none",
                 "master": server.pid, "sibling": os.getpid(), "port": 9}
        with contextlib.suppress(drover.Closed, ConnectionResetError):
            answer = server.get("/escape?" + "&".join("%s=%s" % pair for pair in query.items()))
            return answer.body.decode().split()[-1]
        return None


class Refused(Sandboxed):
    def test_a_refused_call_is_counted_and_named_once(self):
        server = self.start(settings={"workers": 1})
        server.tries_calls = True
        for _ in range(3):
            self.assertEqual(self.escape(server, "netlink_socket"), "EPERM")
        event = server.log.wait("syscall_denied")
        self.assertEqual((event.fields["name"], event.fields["slot"]), ("socket", "0"))
        self.assertEqual(self.escape(server, "inotify_outside"), "EPERM")
        self.assertEqual(server.log.wait("syscall_denied", count=2).fields["name"], "inotify_init1")
        self.assertEqual(len(server.log.find("syscall_denied")), 2)
        self.assertGreaterEqual(server.status()["totals"]["syscalls_denied"], 4)
        self.assertEqual(server.log.find("worker_exited"), [])

    def test_a_forbidden_call_ends_the_worker_and_is_explained(self):
        server = self.start()
        server.tries_calls = True
        self.assertIsNone(self.escape(server, "bpf"))
        event = server.log.wait("worker_exited", how="SYS")
        self.assertIn("sandbox.seccomp", event.fields["remedy"])
        server.log.wait("worker_started", since=0, count=3)
        self.assertEqual(server.get("/trouble").status, 200)

    def test_without_the_filter_the_same_are_the_kernels_to_judge(self):
        server = self.start(sandbox={"seccomp": False})
        self.assertEqual(self.escape(server, "netlink_socket"), "reached")
        self.assertEqual(self.escape(server, "inotify_outside").replace("EACCES", "reached"), "reached")
        self.assertEqual(server.log.find("syscall_denied"), [])
        self.assertEqual(server.status()["totals"]["syscalls_denied"], 0)

    def test_ordinary_traffic_has_none(self):
        server = self.start(settings={"sites": [{"routes": [{"match": "/", "files": {"root": "site", "listing": True}}]}]})
        for target in ("/", "/index.html", "/none"):
            server.get(target)
        server.reload()
        self.assertEqual(server.status()["totals"]["syscalls_denied"], 0)


class Processes(Sandboxed):
    def keepers(self, server):
        workers = set(server.workers().values())
        return [pid for pid in server.children() if pid not in workers]

    def test_the_filter_is_on_workers_and_keepers_and_not_on_the_master(self):
        server = self.start(settings={"survive": True})
        pids = list(server.workers().values()) + self.keepers(server)
        self.assertEqual(len(pids), 4)
        end = drover.deadline()
        for pid in pids:        # a keeper begins beside its worker, and nobody says when it is ready
            while field(pid, "Seccomp") != FILTERED:
                drover.left(end)
                os.sched_yield()
        self.assertEqual(field(server.pid, "Seccomp"), 0)

    def test_a_reload_that_switches_it_off_replaces_the_workers(self):
        server = self.start()
        before = set(server.workers().values())
        server.configure({"sandbox": {"seccomp": False}})
        code, text = server.reload()
        self.assertEqual(code, 0, text)
        after = server.workers().values()
        self.assertEqual(before & set(after), set())
        for pid in after:
            self.assertEqual(field(pid, "Seccomp"), 0)

    def test_nobody_of_the_same_user_looks_into_them(self):
        preexec = become_nobody if os.geteuid() == 0 else None
        for core_dumps, said in ((False, CLOSED), (True, {"read"})):
            server = self.start(sandbox={"core_dumps": core_dumps}, preexec=self.owned(preexec))
            for pid in [server.pid, *server.workers().values()]:
                for name in ("maps", "environ", "fd"):
                    with self.subTest(core_dumps=core_dumps, master=pid == server.pid, name=name):
                        self.assertIn(look_as_nobody("/proc/%d/%s" % (pid, name)), said)

    @staticmethod
    def owned(preexec):
        """As somebody else the daemon makes its socket in its own directory."""
        def prepare():
            if preexec is not None:
                os.chown(".", NOBODY, NOBODY)
                preexec()
        return prepare

    def test_the_master_is_closed_again_after_an_upgrade(self):
        preexec = become_nobody if os.geteuid() == 0 else None
        server = Drover({"sandbox": {"core_dumps": False}}, own=True, preexec=self.owned(preexec))
        self.addCleanup(server.close)
        result = server.ctl("upgrade")
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertIn(look_as_nobody("/proc/%d/environ" % server.pid), CLOSED)

    def test_cores_have_no_room_unless_they_are_wanted(self):
        for core_dumps in (False, True):
            server = self.start(sandbox={"core_dumps": core_dumps})
            for pid in server.workers().values():
                with open("/proc/%d/limits" % pid, encoding="ascii") as file:
                    soft, hard = re.search(r"^Max core file size\s+(\S+)\s+(\S+)", file.read(), re.M).groups()
                self.assertEqual(soft, hard if core_dumps else "0")


class Degraded(Sandboxed):
    """A kernel without seccomp, played by a filter that says ENOSYS to seccomp(2)."""


    @staticmethod
    def without_seccomp():
        class Rule(ctypes.Structure):
            _fields_ = [("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint)]

        class Program(ctypes.Structure):
            _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.POINTER(Rule))]

        number = {"x86_64": 317, "aarch64": 277}[os.uname().machine]
        rules = (Rule * 4)(Rule(0x20, 0, 0, 0),                     # the call's number
                           Rule(0x15, 0, 1, number),                # seccomp(2)?
                           Rule(0x06, 0, 0, 0x00050000 | 38),       # ENOSYS
                           Rule(0x06, 0, 0, 0x7fff0000))            # allowed
        program = Program(4, rules)
        if drover.libc.prctl(38, 1, 0, 0, 0) != 0 or drover.libc.prctl(22, 2, ctypes.byref(program), 0, 0) != 0:
            os._exit(99)

    def test_it_is_said_once_and_workers_serve(self):
        server = self.start(preexec=self.without_seccomp)
        event = server.log.wait("sandbox_degraded", layer="seccomp")
        self.assertIn("sandbox.seccomp", event.fields["remedy"])
        self.assertEqual(event.role, "master")
        self.assertEqual(server.get("/trouble").status, 200)
        server.reload()
        self.assertEqual(len(server.log.find("sandbox_degraded", layer="seccomp")), 1)
        layer = server.status()["sandbox"]["seccomp"]
        self.assertEqual((layer["wanted"], layer["effective"]), (True, False))
        self.assertIn("sandbox.seccomp is off here", server.ctl("status").stdout)

    def test_it_is_said_when_a_reload_asks_for_it(self):
        server = self.start(sandbox={"seccomp": False}, preexec=self.without_seccomp)
        self.assertEqual(server.log.find("sandbox_degraded", layer="seccomp"), [])
        server.configure({"sandbox": {"seccomp": True}})
        code, text = server.reload()
        self.assertEqual(code, 0, text)
        server.log.wait("sandbox_degraded", layer="seccomp")

    def test_the_printed_configuration_says_it(self):
        result = drover.run("-T", "-r", os.path.join(drover.TOP, "conf/site"), preexec_fn=self.without_seccomp)
        self.assertIn("# sandbox.seccomp is off here: ", result.stdout)
        self.assertNotIn("is off here", drover.run("-T", "-r", os.path.join(drover.TOP, "conf/site")).stdout)


if __name__ == "__main__":
    unittest.main()
