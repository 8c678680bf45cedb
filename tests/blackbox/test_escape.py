"""Somebody has taken a worker over: what tests/aids/escape.c tries from inside is stopped by every layer that its
row names, alone and with the others, and works where all of them are off."""

import contextlib
import itertools
import os
import re
import shutil
import signal
import socket
import threading
import unittest

import drover
from drover import Drover

NOBODY = 65534
NEW = "drover-attempt"      # of tests/aids/attempt.h
WORKERS = 8     # some attempts end one, and one that dies young is not followed at once
# layer -> its setting, and the value with which it is on
LAYERS = {"landlock": ("landlock", True), "seccomp": ("seccomp", True), "secrecy": ("core_dumps", False),
          "seals": ("sealed_code", True)}
ALL = frozenset(LAYERS)
REFUSALS = {"EPERM", "EACCES", "ENOSYS"}
OF_CALLS = {"EXDEV", "ELOOP", "EINVAL"}     # what a call's own flags forbid
ROUTES = [{"match": "/trouble", "trouble": {}}, {"match": "/escape", "escape": {}}]


def sandbox(layers):
    return {name: on if layer in layers else not on for layer, (name, on) in LAYERS.items()}


class Surroundings:
    """What is there to be reached: files that are served and files that are not, all of the workers' user, and
    somebody who listens."""

    def __init__(self):
        self.stack = contextlib.ExitStack()
        self.outside = self.directory()
        self.root = os.path.join(self.directory(), "site")
        os.mkdir(self.root)
        self.fill(self.outside, "secret", "mine")
        self.fill(self.root, "index.html", "mine")
        os.symlink(os.path.join(self.outside, "secret"), os.path.join(self.root, "out"))
        for path in (self.root, self.outside):
            os.chmod(path, 0o777)
        self.tcp = self.listen(socket.AF_INET, ("127.0.0.1", 0))
        self.abstract = "drover-test-%d" % os.getpid()
        self.listen(socket.AF_UNIX, "\0" + self.abstract)

    def directory(self):
        path = drover.temporary_directory()
        self.stack.callback(shutil.rmtree, path, ignore_errors=True)
        return path

    def listen(self, family, address):
        listening = socket.socket(family)
        self.stack.callback(listening.close)
        listening.bind(address)
        listening.listen(64)
        return listening

    @staticmethod
    def fill(directory, *names):
        for name in names:
            path = os.path.join(directory, name)
            with open(path, "w", encoding="ascii") as file:
                file.write("Secret\n" if name == "secret" else "open\n")
            os.chmod(path, 0o666)
            if os.geteuid() == 0:
                os.chown(path, NOBODY, NOBODY)

    def tidy(self):
        """As it was before the first attempt."""
        self.fill(self.root, "doomed")
        for directory in (self.root, self.outside, "/dev/shm"):
            path = os.path.join(directory, NEW)
            if os.path.isdir(path):
                os.rmdir(path)
            elif os.path.lexists(path):
                os.unlink(path)

    @contextlib.contextmanager
    def swapping(self):
        """The symlink `swap` leads to one file and to the other, by turns."""
        done = threading.Event()
        path = os.path.join(self.root, "swap")

        def swap():
            for goal in itertools.cycle((os.path.join(self.root, "index.html"), os.path.join(self.outside, "secret"))):
                os.symlink(goal, path + ".new")
                os.rename(path + ".new", path)
                if done.is_set():
                    return

        thread = threading.Thread(target=swap, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


class Lab:
    maxDiff = None
    """One daemon, whose workers are replaced by reloads that switch layers on and off."""

    as_root = True      # the daemon; its workers are nobody's. Else all are the same user's

    def setUp(self):
        self.around = Surroundings()
        self.addCleanup(self.around.stack.close)
        run = self.around.directory()
        settings = {"workers": WORKERS, "control": os.path.join(run, "control.sock"), "sandbox": sandbox(ALL),
                    "sites": [{"routes": ROUTES + [{"match": "/", "files": {"root": self.around.root,
                                                                           "symlinks": "all"}}]}]}
        preexec = None
        if os.geteuid() == 0 and not self.as_root:
            os.chown(run, NOBODY, NOBODY)
            preexec = self.become_nobody
        self.server = Drover(settings, preexec=preexec, program=drover.AIDED)
        self.addCleanup(self.server.close)
        self.server.control = settings["control"]
        self.server.tries_calls = True
        self.client = None
        self.attempts = self.read_list()

    @staticmethod
    def become_nobody():
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)

    def read_list(self):
        lines = self.server.get("/escape?list").body.decode().split("\n")[:-1]
        return {name: set(layers) for name, *layers in (line.split(" ") for line in lines)}

    def use(self, layers):
        self.server.configure({"sandbox": sandbox(layers)})
        code, text = self.server.reload()
        self.assertEqual(code, 0, text)
        self.server.wait_status(self.are_fresh)

    @staticmethod
    def are_fresh(status):
        """Those of before have left: one that was respawned when the reload began serves for a moment after it."""
        return [(worker["state"], worker["generation"]) for worker in status["workers"]] == \
            [("serving", status["generation"])] * WORKERS

    # one attempt

    def meet(self):
        """A worker to try it in, and its sibling."""
        if self.client is None:
            self.client = self.server.client()
            self.worker = int(self.client.request("/trouble").body)
        status = self.server.wait_status(lambda status: len(self.server.workers(status)) > 1)   # many may have ended
        return next(pid for pid in self.server.workers(status).values() if pid != self.worker)

    def attempt(self, name):
        """"reached", the name of the error, or the signal by which the worker ended."""
        self.around.tidy()
        query = {"try": name, "root": self.around.root, "outside": self.around.outside, "control": self.server.control,
                 "abstract": self.around.abstract, "master": self.server.pid, "sibling": self.sibling,
                 "port": self.around.tcp.getsockname()[1]}
        target = "/escape?" + "&".join("%s=%s" % pair for pair in query.items())
        try:
            answer = self.client.request(target)
        except (drover.Closed, ConnectionResetError):
            self.client = None
            return self.server.log.wait("worker_exited", pid=self.worker).fields["how"]
        self.assertEqual(answer.status, 200, name)
        return answer.body.decode().split()[-1]

    def is_expected(self, outcome, row, layers):
        active = row & (layers | {"caps", "kernel", "files"} | ({"uid"} if self.has_other_uid() else set()))
        if "kills" in row and "seccomp" in layers:
            return outcome == "SYS"
        if active:
            return outcome in (REFUSALS | OF_CALLS if "kernel" in row else REFUSALS)
        return outcome == "reached" or ("maybe" in row and outcome in REFUSALS)

    def has_other_uid(self):
        return self.as_root and os.geteuid() == 0

    def unexpected(self, layers):
        """Whatever came out otherwise than its row says."""
        wrong = {}
        if self.client is not None:
            self.client.close()
            self.client = None
        with self.around.swapping():
            self.sibling = self.meet()
            for name, row in sorted(self.attempts.items(), key=lambda item: "kills" in item[1]):
                outcome = self.attempt(name)
                if not self.is_expected(outcome, row, layers):
                    wrong[name] = outcome
                if self.client is None:
                    self.sibling = self.meet()
        return wrong

    def check(self, layers):
        with self.subTest(layers=sorted(layers)):
            self.use(layers)
            self.assertEqual(self.unexpected(frozenset(layers)), {})

    # the matrix

    def test_all_layers(self):
        self.assertEqual(self.unexpected(ALL), {})
        self.assertEqual(self.server.get("/out").status, 403)

    def test_none(self):
        """Each attempt is one: it works where nothing stops it."""
        self.check(set())
        self.assertEqual(self.server.get("/out").body, b"Secret\n")


class AsRoot(Lab, unittest.TestCase):
    pass


class AsNobody(Lab, unittest.TestCase):
    as_root = False

    def test_all_but_one(self):
        for layer in sorted(ALL):
            self.check(ALL - {layer})

    def test_one_alone(self):
        for layer in sorted(ALL):
            self.check({layer})


if __name__ == "__main__":
    unittest.main()
