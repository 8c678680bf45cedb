#!/usr/bin/env python3
"""Makes every call of every kind fail once, and raises signals and kills workers between any two calls.

    fault.py               everything
    fault.py --short       a fixed selection, for `make check`
    fault.py NAME ...      the series whose names begin with one of these; --list names them

A point is one call made to fail: its kind, its number, the errno, in the master, a checker or a worker.  It is
survived when nothing crashes, leaks or hangs, no request is lost but one that the fault hit, a reload that fails
leaves the old state and says which step failed, a start that fails says why and ends with status 1 or 2, and the
service is healthy afterwards.  Prints a Markdown table and "N passed, N failed, N skipped" (points).
"""

import collections
import concurrent.futures
import contextlib
import errno
import json
import multiprocessing
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import threading
import time

from inject import (CALLS, EVERY_CHILD, FAIL, KILL_CHILD, ROLES, SECONDS, SIGNAL, Client, Closed, Page,
                    Target, expect, fds, functions, lasting, stack_text)

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
JOBS = 3
HANDOVER_SECONDS = 2    # then what could not be handed over stays where it is
MOST_POINTS = 400       # of one kind and errno: an end that is never reached is a mistake of this program
MOST_FAILURES = 4       # of one series: then it is given up
NEVER = 1 << 30
# `--short`: these series, the first errno of each call, these numbers.
SHORT_SERIES = ("start/master", "start/worker", "traffic/worker", "reload/", "reload-replace/",
                "reload-count/worker", "upgrade/master", "start-directed/", "reload-directed/",
                "upgrade-directed/", "control/", "stop/", "signal/start/TERM", "signal/reload-signal/HUP",
                "signal/reload-stop/TERM", "kill/reload", "storm")
SHORT_NUMBERS = {"start": (2, 5), "stop": (1, 3), "traffic": (1, 2, 5, 9), "control": (1, 9, 99), "storm": (1, 2)}
SHORT_OTHERS = (1, 3, 9)

MEMORY = ("malloc", "calloc", "realloc", "reallocarray", "open_memstream", "json_malloc")
# What each call may fail with: one errno for each way that the code can take.
ERRORS = {
    **{name: ("ENOMEM",) for name in MEMORY},
    "fork": ("EAGAIN",), "epoll_create1": ("EMFILE",), "epoll_ctl": ("ENOSPC", "ENOMEM"), "epoll_wait": ("EINTR",),
    "signalfd": ("ENFILE",), "pidfd_open": ("EMFILE",), "memfd_create": ("ENFILE",), "mmap": ("ENOMEM",),
    "open": ("EMFILE", "EACCES"), "openat": ("EMFILE",), "syscall": ("EMFILE", "EAGAIN", "EIO", "ENOSYS"),
    "fstat": ("EIO",), "stat": ("EIO",), "statx": ("EIO", "ENOMEM"), "statfs": ("EIO",), "fstatfs": ("EIO",),
    "inotify_init1": ("EMFILE",), "inotify_add_watch": ("ENOSPC", "ENOMEM", "EACCES"), "pthread_create": ("EAGAIN",),
    "crypt_rn": ("ENOMEM",), "pread": ("EIO", "EINTR"), "readlink": ("EACCES",),
    "preadv2": ("EIO", "EAGAIN", "EINTR", "EOPNOTSUPP"),
    "read": ("EAGAIN",), "write": ("ENOSPC", "EINTR", "EPIPE"),
    "fcntl": ("EMFILE",), "socket": ("EMFILE", "ENOBUFS"), "socketpair": ("ENFILE",), "setsockopt": ("ENOPROTOOPT",),
    "bind": ("EADDRINUSE",), "listen": ("EADDRINUSE",), "connect": ("EACCES",), "getsockopt": ("ENOBUFS",),
    "accept4": ("EMFILE", "ENFILE", "ECONNABORTED", "ENOMEM", "ENOBUFS", "EPROTO"),
    "recv": ("ECONNRESET", "ETIMEDOUT", "ENOMEM"), "recvmsg": ("EINTR", "ENOMEM", "ENOBUFS"),
    "send": ("EPIPE", "ENOBUFS"), "sendmsg": ("ENOBUFS", "ENOMEM", "ETOOMANYREFS", "EPIPE"),
    "sendfile": ("EIO", "EPIPE", "ENOMEM"), "poll": ("EINTR",), "mkdir": ("EACCES",), "setgroups": ("EPERM",),
    "cap_set_proc": ("EPERM",), "prctl": ("EINVAL",), "execv": ("ENOMEM",), "setenv": ("ENOMEM",),
    "bpf_map_create": ("EPERM", "ENOMEM"), "bpf_map_update_elem": ("ENOMEM",), "bpf_map__reuse_fd": ("EMFILE",),
    "bpf_object__open_skeleton": ("ENOMEM",), "bpf_object__load_skeleton": ("EPERM", "EINVAL"),
    "seccomp_init": ("ENOMEM",), "seccomp_load": ("EINVAL",), "sigaltstack": ("ENOMEM",), "sigaction": ("EINVAL",),
}
# By these a client's own connection fails: whose fault it is cannot be seen, and nothing is counted.
OF_THE_CLIENT = ("recv", "send", "sendmsg", "sendfile")
# These may fail on the way of a request to the control socket.
CONTROL = ("calloc", "malloc", "json_malloc", "accept4", "recv", "getsockopt", "epoll_ctl")
# These never cost a request.
HARMLESS = ("epoll_wait", "write", "poll", "accept4", "recvmsg", "read", "setsockopt", "getsockopt",
            "statx", "statfs", "fstatfs", "inotify_init1", "inotify_add_watch")
SIGNALS = {"HUP": 1, "INT": 2, "QUIT": 3, "USR1": 10, "USR2": 12, "TERM": 15}
ENDING = (2, 3, 15)


# Where it would be the truth about a file, and no fault.
NO_FAULT = {("worker", "open", "EACCES")}


class Fault:
    """One thing that happens at the n-th call."""

    def __init__(self, role, calls, number, error="", action=FAIL, argument=0):
        self.role, self.calls, self.number, self.error = role, calls, number, error
        self.action, self.argument = action, argument

    def __str__(self):
        happens = self.error or ("signal %d" % self.argument if self.action == SIGNAL else "child %d" % self.argument)
        return "%s, %s number %d, %s" % (self.role, "/".join(self.calls) or "any call", self.number, happens)

    def arm(self, page):
        page.arm(self.role, self.calls, self.number, getattr(errno, self.error, 0), self.action, self.argument)


class Scenario:
    """Something that the daemon does while a fault waits for it.  One daemon may serve for many points."""

    roles = ROLES
    calls = CALLS

    def __init__(self, page):
        self.page = page
        self.target = None

    def get(self):
        if self.target is None:
            self.page.reset()
            self.target = Target(self.page)
            status = self.target.settled()
            self.target.check_serves()
            self.fds = fds(self.target.pid)
            self.prepared(status)
        return self.target

    def prepared(self, status):
        pass

    def discard(self):
        """After a failure: whatever is left of it."""
        target, self.target = self.target, None
        if target is not None:
            try:
                target.close()
            except AssertionError:
                pass    # said already

    def finish(self):
        target, self.target = self.target, None
        if target is not None:
            with target:
                target.finish()

    def healthy(self):
        """After a point: whole again, nothing leaked, able to reload; a back-off makes us take another daemon."""
        target = self.target
        status = target.settled()
        target.check_held(status)
        target.check_serves()
        target.wait_fds(target.pid, self.fds, "the master")
        if any(slot["failures"] > 1 for slot in status["slots"]):
            self.finish()


# ---- start ------------------------------------------------------------------------------------------------


class Start(Scenario):
    name = "start"

    def made(self):
        return Target(self.page, wait=False)

    def point(self, fault):
        self.page.reset()
        fault.arm(self.page)
        self.target = target = self.made()
        begun = self.served(fault.calls and fault.calls[0] in ("write", "poll"))
        fired = self.page.disarm()
        stops = fault.action == SIGNAL and fault.argument in ENDING
        if begun and not (fired and stops):
            if fault.action == SIGNAL and fault.argument == SIGNALS["HUP"] and fired:
                target.log.wait("reload_done", seconds=SECONDS)
            target.check_held(target.settled())
            target.check_serves()
            target.configure({"version": 2})
            answer = target.reload_now()
            assert answer and answer["ok"], "the reload afterwards: %s" % answer
            target.check_serves()
            self.finish()
            return fired
        status = target.wait_exit(SECONDS)
        assert fired, "the start failed although nothing was made to fail"
        target.ended(status, (0,) if stops else (1, 2))
        assert stops or "drover: " in target.log.text(), "no word of why:\n%s" % target.log.text()
        assert fault.action != SIGNAL or stops, "ended by a signal that does not end it"
        self.discard()
        return True

    def served(self, blind):
        """True when it serves, False when it ended.  `blind`: the line that says so may be the one that is lost."""
        log = self.target.log
        if blind:
            end = time.monotonic() + SECONDS
            while not log.ended:
                try:
                    if self.target.status()["generation"] > 0:
                        return True
                except (AssertionError, OSError):
                    assert time.monotonic() < end, "neither served nor ended:\n%s" % log.text()
            return False
        end = time.monotonic() + SECONDS
        with log.changed:
            while not log.find("serving"):
                if log.ended:
                    return False
                assert time.monotonic() < end, "neither served nor ended:\n%s" % log.text()
                log.changed.wait(1)
        return True


# ---- traffic ----------------------------------------------------------------------------------------------


class Traffic(Scenario):
    name = "traffic"
    roles = ("worker",)

    def get(self):
        if self.target is None:
            self.page.reset()
            self.target = Target(self.page, workers=1)
            self.prepared(self.target.settled())
        return self.target

    def prepared(self, status):
        target = self.target
        target.check_serves()
        with target.client(seconds=SECONDS) as client:  # from now on there is a helper thread for requests
            self.listed(client)
            self.with_password(client)
        self.fds = fds(target.pid)
        self.worker = status["slots"][0]["pid"]
        end = time.monotonic() + SECONDS
        # the log's helper comes a moment later; of threads there may be fewer again
        while self.held()[0].count("anon_inode:[eventfd]") < 3:
            assert time.monotonic() < end, "nothing is logged"
        assert not self.play()
        self.wait_closed()
        self.worker_fds = self.lasting()

    def renew(self):
        """Nothing that is kept of a file is worth anything any more: all is looked up, and watched, again.  But below
        sub, of which the kernel does not tell: what is young there is not kept."""
        path = self.target.path
        for name, content in {**Target.FILES, "large": Target.LARGE}.items():
            if not name.startswith("sub/"):
                self.target.write("new/" + name, content)
        for name in os.listdir(path("new")):
            if os.path.isdir(path(name)):
                os.rename(path(name), path("old"))
            os.rename(path("new/" + name), path(name))
            shutil.rmtree(path("old"), ignore_errors=True)
        os.rmdir(path("new"))

    def wait_kept(self):
        """What the fault hit is tried again after a while; then all but the listing is kept, as before."""
        end = time.monotonic() + SECONDS
        before, misses = 0, 2
        while misses - before > 1:
            assert time.monotonic() < end, "not all is kept again"
            before = self.target.status()["totals"]["file_cache_misses"]
            assert not self.play(), "the next round failed too"
            misses = self.target.status()["totals"]["file_cache_misses"]

    def held(self):
        """The worker's descriptors: (of files, others)."""
        links = [self.target.link(name, self.worker) for name in os.listdir("/proc/%d/fd" % self.worker)]
        of_files = [link for link in links if link.startswith(self.target.site + "/")]
        return [link for link in links if link not in of_files], of_files

    def lasting(self):
        return lasting(self.held()[0])

    def wait_held(self):
        """Nothing leaks; one file is large enough for its descriptor to be kept."""
        end = time.monotonic() + SECONDS
        while (held := self.held()) and (self.lasting() != self.worker_fds or len(held[1]) != 1):
            assert time.monotonic() < end, "the worker has %d descriptors: %s" % (len(held[0]) + len(held[1]), held)
            self.target.status()

    def wait_closed(self):
        end = time.monotonic() + SECONDS
        while self.opened():
            assert time.monotonic() < end, "connections stay open"

    def opened(self):
        return self.target.status()["totals"]["open"]

    def keep_alive(self, client):
        for name, content in (("/", "index.html"), ("/small.txt", "small.txt"), ("/sub/", "sub/index.html"),
                              ("/bare/one", "bare/one")):
            expect(client.request(name), 200, Target.FILES[content])

    def one_shot(self, client):
        expect(client.request("/small.txt", close=True), 200, Target.FILES["small.txt"])
        assert client.at_end()

    def pipelined(self, client):
        client.send(b"".join(client.head(name) for name in ("/", "/version", "/nothing", "/small.txt") * 3))
        for _ in range(3):
            expect(client.response(), 200, Target.FILES["index.html"])
            expect(client.response(), 200, b"1")
            expect(client.response(), 404)
            expect(client.response(), 200, Target.FILES["small.txt"])

    def bad(self, client):
        client.send(b"what is this\r\n\r\n")
        expect(client.response(), 400)
        assert client.at_end()

    def refused(self, client):
        expect(client.request("/small.txt", method="DELETE"), 405)
        expect(client.request("/../../etc/passwd"), 400)

    def redirected(self, client):
        expect(client.request("/sub"), 301)
        expect(client.request("/shut"), 403)
        etag = expect(client.request("/small.txt"), 200).header("etag")
        expect(client.request("/small.txt", [("If-None-Match", etag)]), 304)

    def large_head(self, client):
        head = [("X-Filler-%d" % i, "x" * 900) for i in range(12)]
        expect(client.request("/" + "y" * 3000, head), 404)
        expect(client.request("/", head), 200, Target.FILES["index.html"])

    def with_password(self, client):
        expect(client.request("/private"), 401)
        expect(client.request("/private", [Target.basic("wrong")]), 401)
        expect(client.request("/private", [Target.basic("secret")]), 200, b"private")

    def in_pieces(self, client):
        head = client.head("/small.txt")
        client.send(head[:10])
        with self.target.client(self.target.unix(), seconds=SECONDS) as other:    # served meanwhile
            other.send(other.head("/version"))
            client.send(head[10:])
            expect(client.response(), 200, Target.FILES["small.txt"])
            expect(other.response(), 200, b"1")

    def listed(self, client):
        entries = json.loads(expect(client.request("/bare/?format=json"), 200).body)
        assert [entry["name"] for entry in entries] == ["one"], entries

    def stories(self):
        return (self.keep_alive, self.one_shot, self.pipelined, self.bad, self.refused, self.redirected,
                self.large_head, self.in_pieces, self.listed, self.with_password)

    def play(self):
        """What went wrong, a line for each connection; the large one goes on from the first to the last."""
        wrong = []
        target = self.target

        def attempt(what, work, *args):
            try:
                work(*args)
            except (Closed, ConnectionResetError, BrokenPipeError) as error:
                wrong.append("%s: %s" % (what, type(error).__name__))
            except AssertionError as error:
                if not re.search("status 50[03]", str(error)):
                    raise
                wrong.append("%s: %s" % (what, error))

        def slow_end(client):
            expect(client.hurry().response(), 200, Target.LARGE)

        with target.client(seconds=SECONDS, receive_buffer=4096) as slow:
            slow.send(slow.head("/large"))
            select.select([slow.socket], [], [], SECONDS)
            for story in self.stories():
                with target.client(seconds=SECONDS) as client:
                    attempt(story.__name__, story, client)
            attempt("large", slow_end, slow)
        return wrong

    def point(self, fault):
        target = self.get()
        before = target.status()["totals"]
        self.renew()
        fault.arm(self.page)
        wrong = self.play()
        fired = self.page.disarm()
        assert fired or not wrong, "without a fault: %s" % wrong
        if not fired:
            return False
        after = target.status()["totals"]
        self.judge(fault, wrong, {name: after[name] - before[name] for name in after})
        self.wait_kept()
        self.wait_closed()
        self.wait_held()
        status = target.settled()
        assert status["slots"][0]["pid"] == self.worker, "it is another worker"
        return True

    def judge(self, fault, wrong, gained):
        call = fault.calls[0]
        allowed = 0 if call in HARMLESS else 1
        assert len(wrong) <= allowed, "lost %s" % wrong
        counted = sum(gained[name] for name in ("out_of_memory", "status_5xx", "accept_errors", "file_shrank",
                                                "file_changed"))
        assert not wrong or call in OF_THE_CLIENT or counted > 0, "%s, and nothing was counted: %s" % (wrong, gained)
        assert call != "write" or gained["access_log_dropped"] == 0, "what could not be written is tried again"


# ---- reload -----------------------------------------------------------------------------------------------


class Reload(Scenario):
    """Variants are subclasses; each point is one reload, and idle and slow connections that live through it."""

    replaces = False

    def change(self, target):
        target.configure({"version": target.knobs["version"] + 1})

    def ask(self, target):
        return target.reload_now(self.replaces)

    def undo(self, target):
        pass

    def told(self, answer, fault):
        """What the caller may be told; a text that there is no memory for is in the log."""
        if not (fault.calls[:1] == ("json_malloc",) and answer["text"] == "the reason is in the log"):
            self.expected(answer)
        assert answer["ok"] or not self.unnoticed(fault), "failed although nothing was lost: %s" % answer

    def unnoticed(self, fault):
        """What master and workers get over: the reload must go well."""
        return fault.action == FAIL and fault.role != "checker" and (
            fault.calls[0] in ("epoll_wait", "recvmsg", "poll", "write") or
            (fault.calls[0] == "sendmsg" and fault.error in ("ENOBUFS", "ENOMEM")))

    def expected(self, answer):
        assert answer["ok"] or answer["text"].startswith("failed at "), answer

    def point(self, fault):
        target = self.get()
        old = dict(target.knobs)
        before = target.status()
        with target.client(seconds=SECONDS) as idle, target.client(seconds=SECONDS) as other, \
                target.client(seconds=SECONDS, receive_buffer=4096) as slow:
            for client in (idle, other):
                expect(client.request("/version"), 200)
            slow.send(slow.head("/large"))
            select.select([slow.socket], [], [], SECONDS)
            self.change(target)
            fault.arm(self.page)
            answer = self.ask(target)
            self.handed_over(target)
            fired = self.page.disarm()
            version = self.outcome(target, answer, old, fault, before)
            lost = self.lost(target, fault, (idle, other), slow, version)
        assert not lost or self.may_lose(fault), "lost: %s (%s)\n%s" % (lost, answer, target.log.text())
        self.repair(target, old, version)
        self.healthy()
        return fired

    def handed_over(self, target):
        """Until old workers have gone, or it is clear that they have not: connections that could not be handed over
        are served where they are."""
        if not self.replaces:
            return
        try:
            target.wait_status(lambda s: s["phase"] == "idle" and s["handover"]["workers"] == 0, HANDOVER_SECONDS)
        except AssertionError as error:
            assert self.page.fired() and "the state never came" in str(error), error

    def outcome(self, target, answer, old, fault, before):
        """The version that must be served now; waits until the reload is over."""
        self.settle_count(target, old, before)
        status = target.settled(draining=True)
        if answer is None:      # the control connection was hit: the status tells
            assert fault.role == "master", "no answer"
            answer = {"ok": status["last_reload"]["good"], "text": status["last_reload"]["text"]}
        if self.count(status) == self.count(before):    # the request never came, or was not understood
            assert fault.role == "master" and fault.calls[0] in CONTROL, "no reload: %s" % answer
            answer = {"ok": False, "text": "failed at the control socket"}
        else:
            self.told(answer, fault)
        if not answer["ok"]:
            target.knobs = old
            target.settled(draining=True)
        target.check_serves()
        return target.knobs["version"]

    def count(self, status):
        return status["last_reload"]["succeeded"] + status["last_reload"]["failed"]

    def settle_count(self, target, old, before):
        """Which count of slots there is to be is known only when the reload is over."""
        status = target.wait_status(lambda s: s["phase"] == "idle", SECONDS)
        if not status["last_reload"]["good"] or self.count(status) == self.count(before):
            target.knobs = {**target.knobs, "workers": old["workers"]}

    def lost(self, target, fault, idle, slow, version):
        lost = []
        for client in idle:
            try:
                expect(client.request("/version"), 200, str(version).encode())
            except (Closed, ConnectionResetError, BrokenPipeError) as error:
                lost.append("idle: %s" % type(error).__name__)
            except AssertionError:      # the old worker may have it still, and serves it by what it has
                if not (self.replaces and self.page.fired()):
                    raise
        try:
            expect(slow.hurry().response(), 200, Target.LARGE)
        except (Closed, ConnectionResetError) as error:
            lost.append("slow: %s" % type(error).__name__)
        return lost

    def may_lose(self, fault):
        """A worker that is killed, or that cannot be reached any more, takes with it what it had in hand."""
        return fault.action == KILL_CHILD or (fault.calls and fault.calls[0] == "sendmsg" and fault.error == "EPIPE")

    def repair(self, target, old, version):
        self.page.disarm()
        self.undo(target)
        # the file may hold what was refused
        target.configure({"broken": ""})
        answer = target.reload_now()
        assert answer and answer["ok"], "the reload afterwards: %s" % answer


class ReloadGood(Reload):
    name = "reload"

    def outcome(self, target, answer, old, fault, before):
        version = super().outcome(target, answer, old, fault, before)
        for slot, earlier in zip(target.status()["slots"], before["slots"]):
            assert slot["pid"] == earlier["pid"] or self.may_lose(fault), "a worker was replaced: %s" % slot
            assert slot["failures"] <= earlier["failures"] + 1, "one death was counted twice: %s" % slot
        return version


class ReloadBad(Reload):
    name = "reload-bad"

    def unnoticed(self, fault):
        return False

    def change(self, target):
        target.configure({"broken": "wrokers = 3;", "version": target.knobs["version"] + 1})

    def expected(self, answer):
        assert not answer["ok"] and answer["text"].startswith("failed at check: "), answer


class ReloadReplace(Reload):
    name = "reload-replace"
    replaces = True

    def ask(self, target):
        """Until all is handed over, or something stays because of the fault."""
        since = target.log.mark()
        answer = super().ask(target)
        if answer and answer["ok"]:
            with contextlib.suppress(AssertionError):
                target.log.wait("handover_done", since, seconds=1)
        return answer

    def told(self, answer, fault):
        super().told(answer, fault)
        if answer["ok"] and fault.calls[:1] == ("socketpair",) and self.page.fired():
            assert self.target.log.find("handover_failed"), "a pair could not be made, and nobody says so"


class ReloadCount(Reload):
    """2 -> 3 -> 2 workers, and an address that comes and goes."""

    name = "reload-count"
    replaces = True     # what a surplus worker has is handed over

    def ask(self, target):
        return target.reload_now()

    def prepared(self, status):     # a surplus socket stays open: it was there before
        target = self.target
        for workers in (3, 2):
            target.configure({"workers": workers})
            answer = target.reload_now()
            assert answer["ok"], answer
        target.settled()
        self.fds = fds(target.pid)

    def change(self, target):
        more = [] if target.knobs["more"] else [(target.address[0], target.address[1] + 1)]
        target.configure({"version": target.knobs["version"] + 1, "workers": 5 - target.knobs["workers"],
                          "more": more})

    def undo(self, target):
        target.configure({"workers": 2, "more": []})


# ---- upgrade ----------------------------------------------------------------------------------------------


class Upgrade(Reload):
    """The same binary takes over, or does not; everything that a client can see stays."""

    name = "upgrade"

    def prepared(self, status):     # the first one leaves what every other one finds
        answer = self.ask(self.target)
        assert answer["ok"], answer
        self.target.settled()
        self.fds = fds(self.target.pid)

    def change(self, target):
        pass

    def ask(self, target):
        return target.ask({"command": "upgrade"})

    def outcome(self, target, answer, old, fault, before):
        status = target.wait_status(lambda s: s["phase"] == "idle" and not s["upgrade"]["open"], SECONDS)
        target.settled(draining=True)
        replaced = not {s["pid"] for s in before["slots"]} & {s["pid"] for s in status["slots"]}
        if answer is None or not (answer["ok"] or answer["text"].startswith("failed at ")):
            # the control connection was hit
            assert fault.role == "master" and fault.calls[:1] and fault.calls[0] in (*CONTROL, "send"), answer
        else:
            assert answer["ok"] == replaced or self.may_lose(fault), answer
        target.check_serves()
        return target.knobs["version"]

    def may_lose(self, fault):
        """A worker that takes an answer over looks at its file: one that cannot be looked at has changed."""
        return super().may_lose(fault) or (fault.role == "worker" and fault.calls[:1] == ("fstat",))

    def repair(self, target, old, version):
        super().repair(target, old, version)
        answer = self.ask(target)
        assert answer and answer["ok"], "the upgrade afterwards: %s" % answer


# ---- steering ---------------------------------------------------------------------------------------------

STEERED = ("cap_set_proc", "mmap", "fcntl", "setsockopt", "getsockopt", "calloc", *(
    call for call in CALLS if call.startswith("bpf_")))


def check_steered(target):
    """Either it is in force, or everybody is told why not."""
    accept = target.status()["accept"]
    assert accept["wanted"] == "directed", accept
    assert accept["effective"] == "directed" or accept["why"], accept


class StartDirected(Start):
    """What the steering program needs fails, and somebody else chooses; what everybody needs is in `start`."""

    name = "start-directed"
    roles = ("master",)
    calls = STEERED

    def made(self):
        return Target(self.page, wait=False, accept="directed")

    def finish(self):
        if self.target is not None:
            check_steered(self.target)
        super().finish()


class ReloadDirected(Reload):
    """From reuseport to directed, and back when all is over; nothing of it fails a reload."""

    name = "reload-directed"
    roles = ("master",)
    calls = STEERED

    def prepared(self, status):     # the arrays stay
        for mode in ("directed", "reuseport"):
            self.target.configure({"accept": mode})
            answer = self.target.reload_now()
            assert answer["ok"], answer
        self.target.settled()
        self.fds = fds(self.target.pid)

    def change(self, target):
        target.configure({"version": target.knobs["version"] + 1, "accept": "directed"})

    def unnoticed(self, fault):
        return super().unnoticed(fault) or fault.calls[0].startswith("bpf_") or fault.calls[0] == "cap_set_proc"

    def outcome(self, target, answer, old, fault, before):
        version = super().outcome(target, answer, old, fault, before)
        if target.knobs["accept"] == "directed":
            check_steered(target)
        return version

    def repair(self, target, old, version):
        target.configure({"accept": "directed"})
        super().repair(target, old, version)
        assert target.status()["accept"]["effective"] == "directed", target.log.text()
        target.configure({"accept": "reuseport"})
        answer = target.reload_now()
        assert answer["ok"], answer


class UpgradeDirected(Upgrade):
    name = "upgrade-directed"
    roles = ("master",)
    calls = STEERED

    def prepared(self, status):
        self.target.configure({"accept": "directed"})
        answer = self.target.reload_now()
        assert answer["ok"], answer
        super().prepared(status)

    def outcome(self, target, answer, old, fault, before):
        version = super().outcome(target, answer, old, fault, before)
        check_steered(target)
        return version


# ---- control, stop ------------------------------------------------------------------------------------------


class Control(Scenario):
    name = "control"
    roles = ("master",)

    def point(self, fault):
        target = self.get()
        fault.arm(self.page)
        answers = []
        for line in ({"command": "status"}, b"nonsense\n", {"command": "fly"}, b"x" * 5000, {"command": "status"}):
            answers.append(target.ask(line))
        fired = self.page.disarm()
        wrong = [answer for answer in answers if answer is None]
        assert len(wrong) <= fired, "answers: %s" % answers
        self.healthy()
        return fired


class Stop(Scenario):
    name = "stop"
    roles = ("master", "worker")

    def point(self, fault):
        self.page.reset()
        self.target = target = Target(self.page)
        target.settled()
        with target.client(seconds=SECONDS) as idle, target.client(seconds=SECONDS) as half, \
                target.client(seconds=SECONDS, receive_buffer=4096) as slow:
            expect(idle.request("/"), 200)
            half.send(half.head("/small.txt")[:20])
            slow.send(slow.head("/large"))
            select.select([slow.socket], [], [], SECONDS)
            target.status()
            fault.arm(self.page)
            target.kill(signal.SIGTERM)
            lost = self.lost(idle, half, slow)
        status = target.wait_exit(SECONDS)
        fired = self.page.disarm()
        at_once = fault.action == SIGNAL and fault.argument in ENDING
        target.ended(status, (3,) if self.cut(fault) and not at_once else (0,))
        assert len(lost) <= (1 if fired else 0) or at_once or fault.action == KILL_CHILD, "lost %s" % lost
        assert fired or not lost
        self.discard()
        return fired

    def cut(self, fault):
        """Were connections of a worker cut?  Only those of one that was killed may be."""
        self.target.log.thread.join(5)
        cut = any(int(event.fields["cut"]) + int(event.fields["killed"]) for event in self.target.log.find("stopped"))
        assert not cut or fault.action == KILL_CHILD or self.target.log.find("worker_killed"), "cut without a kill"
        return cut

    def lost(self, idle, half, slow):
        lost = []

        def attempt(what, work):
            try:
                work()
            except (Closed, ConnectionResetError, BrokenPipeError) as error:
                lost.append("%s: %s" % (what, type(error).__name__))
            except AssertionError as error:
                if not re.search("status 50[03]", str(error)):
                    raise
                lost.append("%s: %s" % (what, error))

        half_rest = half.head("/small.txt")[20:]
        attempt("half", lambda: half.send(half_rest))
        attempt("half", lambda: expect(half.response(), 200, Target.FILES["small.txt"]))
        attempt("slow", lambda: expect(slow.hurry().response(), 200, Target.LARGE))
        attempt("idle", idle.at_end)    # closed last: until then a request that comes is answered
        return lost


class StopAgain(Scenario):
    """A reload during which the service is told to end."""

    name = "reload-stop"

    def begin(self, target):
        target.configure({"version": target.knobs["version"] + 1})
        target.reload_now()

    def point(self, fault):
        target = self.get()
        fault.arm(self.page)
        self.begin(target)
        if not self.page.disarm():
            return False
        status = target.wait_exit(SECONDS)
        target.ended(status, (0,))
        self.discard()
        return True


class UpgradeStop(StopAgain):
    """An upgrade during which the service is told to end."""

    name = "upgrade-stop"

    def begin(self, target):
        target.ask({"command": "upgrade"})


class ReloadSignal(ReloadGood):
    """A signal that does not end the service, at any moment of a reload; HUP asks for another one."""

    name = "reload-signal"

    def outcome(self, target, answer, old, fault, before):
        if fault.argument == SIGNALS["HUP"] and self.page.fired():
            target.wait_status(lambda s: s["generation"] >= before["generation"] + 2, SECONDS)
        return super().outcome(target, answer, old, fault, before)


class Storm(Scenario):
    """Every worker is killed at once, again and again, while clients ask and a reload is under way.  A point is a
    round; many workers, because a slot's back-off makes further rounds slow."""

    name = "storm"
    WORKERS, ROUNDS = 60, 4

    def get(self):
        if self.target is None:
            self.page.reset()
            self.target = Target(self.page, workers=self.WORKERS)
            self.target.settled()
            self.fds = fds(self.target.pid)
        return self.target

    def point(self, fault):
        if fault.number > self.ROUNDS:
            return False
        target = self.get()
        over = threading.Event()
        answers = collections.Counter()
        load = threading.Thread(target=self.load, args=(target, over, answers))
        load.start()
        try:
            before = set(target.workers().values())
            reload = threading.Thread(target=target.reload_now)
            reload.start()
            for pid in before:      # children that nobody has reaped: the pids are still theirs
                os.kill(pid, signal.SIGKILL)
            reload.join(SECONDS)
            assert not reload.is_alive(), "the reload was never answered"
            status = target.settled(without=before)
        finally:
            over.set()
            load.join()
        workers = sorted(slot["pid"] for slot in status["slots"])
        assert target.children() == workers, "children are left: %s" % target.children()
        assert set(answers) <= {"ok", "lost"} and answers["ok"] > 0, answers
        target.check_serves()
        target.wait_fds(target.pid, self.fds, "the master")
        return True

    def load(self, target, over, answers):
        while not over.is_set():
            try:
                with target.client(seconds=SECONDS) as client:
                    expect(client.request("/small.txt"), 200, Target.FILES["small.txt"])
                answers["ok"] += 1
            except (Closed, ConnectionResetError, BrokenPipeError):
                answers["lost"] += 1        # it was in the hands of one that was killed
            except (AssertionError, OSError) as error:
                answers[str(error)] += 1


# ---- series -----------------------------------------------------------------------------------------------

SCENARIOS = {scenario.name: scenario for scenario in (
    Start, Traffic, ReloadGood, ReloadBad, ReloadReplace, ReloadCount, Upgrade, StartDirected, ReloadDirected,
    UpgradeDirected, Control, Stop, StopAgain, UpgradeStop, ReloadSignal, Storm)}


def plan():
    """(name, scenario, role, [faults without their number]); a task is one series of a scenario and a role."""
    tasks = []
    for name, scenario in SCENARIOS.items():
        if scenario in (StopAgain, UpgradeStop, ReloadSignal, Storm):   # nothing is made to fail there
            continue
        for role in scenario.roles:
            kinds = [(role, (call,), error, FAIL, 0) for call in scenario.calls for error in ERRORS[call]
                     if (role, call, error) not in NO_FAULT]
            tasks.append(("%s/%s" % (name, role), name, kinds))
    for word, number in SIGNALS.items():
        ends = word in ("INT", "QUIT", "TERM")
        for name in ("start", "reload-stop" if ends else "reload-signal", "stop"):
            tasks.append(("signal/%s/%s" % (name, word), name, [("master", (), "", SIGNAL, number)]))
    for word in ("TERM", "INT"):
        tasks.append(("signal/upgrade-stop/%s" % word, "upgrade-stop", [("master", (), "", SIGNAL, SIGNALS[word])]))
    for name in ("start", "reload", "reload-replace", "reload-count", "upgrade", "stop"):
        tasks.append(("kill/%s" % name, name,
                      [("master", (), "", KILL_CHILD, which) for which in (0, 1, 2, EVERY_CHILD)]))
    tasks.append(("storm", "storm", [("master", (), "", KILL_CHILD, EVERY_CHILD)]))
    return tasks


def calls_made(scenario, page, role):
    """Which calls a process of that role makes in the scenario at all."""
    before = {}
    if not isinstance(scenario, (Start, Stop)):     # which begin with a page of their own
        scenario.get()
        before = {call: page.count(role, call) for call in CALLS}
    scenario.point(Fault(role, (), NEVER))
    return {call for call in CALLS if page.count(role, call) > before.get(call, 0)}


def points(scenario, page, task, short):
    """The faults of a series, one by one; send(True) says that the end of a kind was reached."""
    _, scenario_name, kinds = task
    numbers = SHORT_NUMBERS.get(scenario_name, SHORT_OTHERS) if short else range(1, MOST_POINTS)
    made = calls_made(scenario, page, kinds[0][0]) if kinds[0][1] else None
    ends = {}
    for role, calls, error, action, argument in kinds:
        key = (calls, argument)
        if (calls and calls[0] not in made) or (short and key in ends):
            continue
        for number in numbers:
            if number >= ends.get(key, NEVER):      # with another errno: no further than with the first
                break
            if (yield Fault(role, calls, number, error, action, argument)):
                ends.setdefault(key, number)
                break
        else:
            ends.setdefault(key, NEVER)


def series(task, short):
    """(name, [stacks survived], [failures], seconds)"""
    name, scenario_name, _ = task
    began = time.monotonic()
    survived, failures = [], []

    def attempt(what, work):
        """What it returns, or None for a failure."""
        try:
            return work()
        except Exception as wrong:  # pylint: disable=broad-except
            failures.append((what, "%s: %s" % (type(wrong).__name__, wrong),
                             page.where() if page.fired() else None))
            print("\n".join([what, *interesting(failures[-1][1])]), file=sys.stderr, flush=True)
            scenario.discard()
            return None

    with Page() as page:
        scenario = SCENARIOS[scenario_name](page)
        faults = points(scenario, page, task, short)
        fault = attempt("%s: at the beginning" % name, lambda: next(faults))
        while fault is not None and len(failures) < MOST_FAILURES:
            fired = attempt("%s: %s" % (name, fault), lambda: scenario.point(fault))
            if fired:
                survived.append((fault.calls, page.where() if page.fired() else None))
            over = fired is False or (fired is None and not page.fired())
            try:
                fault = faults.send(over)
            except StopIteration:
                break
        attempt("%s: at the end" % name, scenario.finish)
    return name, survived, failures, time.monotonic() - began


def interesting(text):
    """The last of the log, without the depth of a sanitizer's stacks."""
    lines = [line[:300] for line in text.split("\n") if not re.match(r" +#(\d\d|[89]) ", line)]
    return lines if len(lines) <= 50 else lines[:1] + ["..."] + lines[-48:]


def report(results):
    stacks = collections.Counter()
    addresses = set()
    for _, survived, failures, _ in results:
        for where in [row[1] for row in survived] + [row[2] for row in failures]:
            if where is not None:
                stacks[where] += 1
                addresses |= set(where[1])
    names = functions(addresses)
    print("| series | points | survived | seconds |\n|---|---|---|---|")
    for name, survived, failures, seconds in results:
        print("| %s | %d | %d | %.1f |" % (name, len(survived) + len(failures), len(survived), seconds))
    for _, _, failures, _ in results:
        for what, why, where in failures:
            print("\nFAILED %s\n    at %s\n    %s" % (what, stack_text(where, names) if where else "?",
                                                      "\n    ".join(interesting(why))))
    kinds = collections.Counter(row[0][0] for _, survived, _, _ in results for row in survived if row[0])
    print("\nsurvived by call: %s" % ", ".join("%s %d" % pair for pair in kinds.most_common()))
    print("\n%d places in the code were made to fail" % len({stack_text(where, names) for where in stacks}))
    return names


def main(args):
    short = "--short" in args
    names = [arg for arg in args if not arg.startswith("-")]
    names = names or (SHORT_SERIES if short else [""])
    tasks = [task for task in plan() if task[0].startswith(tuple(names))]
    if "--list" in args:
        print("\n".join(task[0] for task in tasks))
        return 0
    subprocess.run(["make", "-s", "fault-build"], cwd=TOP, check=True, stdin=subprocess.DEVNULL)
    began = time.monotonic()
    with concurrent.futures.ProcessPoolExecutor(JOBS, multiprocessing.get_context("spawn")) as pool:
        waiting = [pool.submit(series, task, short) for task in tasks]
        for future in concurrent.futures.as_completed(waiting):
            name, survived, failures, seconds = future.result()
            print("%s: %d survived, %d failed, %.1f s" % (name, len(survived), len(failures), seconds),
                  file=sys.stderr, flush=True)
        results = [future.result() for future in waiting]
    report(results)
    passed = sum(len(survived) for _, survived, _, _ in results)
    failed = sum(len(failures) for _, _, failures, _ in results)
    print("%.0f s" % (time.monotonic() - began))
    print("%d passed, %d failed, 0 skipped" % (passed, failed))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
