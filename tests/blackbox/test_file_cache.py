"""The file cache: what is kept and for how long. Every change that a request must see is made beside three daemons: one
that is told of changes, one that is not (no inotify instance is left), and one that keeps nothing, which says what
is right."""

import ctypes
import errno
import mmap
import os
import re
import shutil
import struct
import subprocess
import threading
import time
import unittest

import drover
from drover import Drover

CLONE_NEWNS = 0x20000
IN_MODIFY = 2
INOTIFY_INIT1 = 294


def without_inotify():
    """As where a user's instances are used up: a seccomp filter that answers EMFILE."""
    refused, allow = 0x00050000 | errno.EMFILE, 0x7fff0000
    filters = [(0x20, 0, 0, 0), (0x15, 0, 1, INOTIFY_INIT1), (0x06, 0, 0, refused), (0x06, 0, 0, allow)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *row) for row in filters))
    program = ctypes.create_string_buffer(struct.pack("HL", len(filters), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) != 0 or libc.prctl(22, 2, program, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


class Place:
    """What one change is made in: a root that is a symlink, `current`, to the directory `one`."""

    def __init__(self, top):
        self.top = top
        os.makedirs(top + "/one")
        os.makedirs(top + "/outside")
        os.symlink("one", top + "/current")
        os.chmod(top, 0o755)

    def path(self, name):
        return os.path.join(self.top, name)

    def put(self, name, text, old=True):
        """A file that was there before (`old`: its time is long ago), or a new one."""
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        os.chmod(path, 0o644)
        if old:
            os.utime(path, (1e9, 1e9))
        return path

    def replace(self, name, text):
        self.put("new", text)
        os.rename(self.path("new"), self.path(name))

    def point(self, name, target):
        os.symlink(target, self.path("next"))
        os.rename(self.path("next"), self.path(name))


# ---- changes: (what there is before, the change, what is asked for); each is a function of the place, and has to make
# another answer of at least one of them

def file_and(*names):
    def setup(place):
        for name in names or ("one/f.txt",):
            place.put(name, "before in " + name)
    return setup


def write_in_place(place):
    with open(place.path("one/f.txt"), "r+", encoding="ascii") as file:
        file.write("BEFORE")


def keep_the_time(place):
    write_in_place(place)
    os.utime(place.path("one/f.txt"), (1e9, 1e9))


def link_before(place):
    place.put("one/f.txt", "before")
    os.link(place.path("one/f.txt"), place.path("outside/other"))


def write_by_the_other_name(place):
    with open(place.path("outside/other"), "r+", encoding="ascii") as file:
        file.write("BEFORE")


def two_roots(place):
    place.put("one/f.txt", "one")
    place.put("two/f.txt", "two")


def two_directories(place):
    place.put("one/a/f.txt", "a")
    place.put("one/b/f.txt", "b")
    os.symlink("a", place.path("one/d"))


def two_files(place):
    place.put("one/a.txt", "a")
    place.put("one/b.txt", "b")
    os.symlink("a.txt", place.path("one/f.txt"))


def a_dangling_link(place):
    os.symlink("later.txt", place.path("one/f.txt"))


def leads_outside(place):
    place.put("outside/secret", "outside")
    os.rename(place.path("one/f.txt"), place.path("one/gone"))
    os.symlink("../outside/secret", place.path("one/f.txt"))


def directory_leads_outside(place):
    """The file that the path leads to is the same."""
    os.rename(place.path("one/d"), place.path("outside/d"))
    os.symlink("../outside/d", place.path("one/d"))


def directory_behind_a_symlink(place):
    place.put("one/e/f.txt", "before")
    os.symlink("e", place.path("one/d"))


def what_it_leads_to_leads_outside(place):
    os.rename(place.path("one/e"), place.path("outside/e"))
    os.symlink("../outside/e", place.path("one/e"))


def exchange(place):
    at, flag = -100, 2
    if drover.libc.renameat2(at, place.path("one/a").encode(), at, place.path("one/b").encode(), flag) != 0:
        raise OSError("renameat2")


def close_by_acl(name):
    """To everybody but its owner, with a mode that looks as if it were open."""
    entries = [(1, 7, -1), (4, 0, -1), (8, 5, 1), (16, 5, -1), (32, 0, -1)]
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    return lambda place: os.setxattr(place.path(name), "system.posix_acl_access", acl)


def copy_into(place):
    with open(place.put("new", "AFTER"), "rb") as source, open(place.path("one/f.txt"), "r+b") as target:
        os.copy_file_range(source.fileno(), target.fileno(), 5)


def make_longer(place):
    with open(place.path("one/f.txt"), "r+b") as file:
        os.posix_fallocate(file.fileno(), 0, 100)


def file_and_sibling(place):
    place.put("one/f.txt", "plain")
    place.put("one/f.txt.gz", "packed")


def outdated_sibling(place):
    os.utime(place.path("one/f.txt"), (1e9 + 100, 1e9 + 100))


def a_directory_instead(place):
    os.unlink(place.path("one/f.txt"))
    os.mkdir(place.path("one/f.txt"))


def directories_change_places(place):
    os.rename(place.path("one/a"), place.path("one/c"))
    os.rename(place.path("one/b"), place.path("one/a"))


def large(place):
    place.put("one/f.txt", "L" * 300_000)


def truncated(place):
    os.truncate(place.path("one/f.txt"), 3)


PLAIN = ["/f.txt"]
CHANGES = {
    "rename_over": (file_and(), lambda p: p.replace("one/f.txt", "after"), PLAIN),
    "rename_over_with_the_same_size_and_time": (file_and(), lambda p: p.replace("one/f.txt", "BEFORE in one/f.txt"), PLAIN),
    "unlink": (file_and(), lambda p: os.unlink(p.path("one/f.txt")), PLAIN),
    "create": (lambda p: None, lambda p: p.put("one/f.txt", "after"), PLAIN),
    "create_new": (lambda p: None, lambda p: p.put("one/f.txt", "after", old=False), PLAIN),
    "create_deep": (lambda p: None, lambda p: p.put("one/x/y/f.txt", "after"), ["/x/y/f.txt"]),
    "write_in_place": (file_and(), write_in_place, PLAIN),
    "write_in_place_and_keep_the_time": (file_and(), keep_the_time, PLAIN),
    "truncate": (file_and(), truncated, PLAIN),
    "truncate_a_large_one": (large, truncated, PLAIN),
    "write_into_a_large_one": (large, write_in_place, PLAIN),
    "rename_over_a_large_one": (large, lambda p: p.replace("one/f.txt", "M" * 300_000), PLAIN),
    "unlink_a_large_one": (large, lambda p: os.unlink(p.path("one/f.txt")), PLAIN),
    "close_to_all": (file_and(), lambda p: os.chmod(p.path("one/f.txt"), 0), PLAIN),
    "close_a_directory": (file_and("one/d/f.txt"), lambda p: os.chmod(p.path("one/d"), 0o600), ["/d/f.txt"]),
    "close_the_root": (file_and(), lambda p: os.chmod(p.path("one"), 0o600), PLAIN),
    "swap_the_root": (two_roots, lambda p: p.point("current", "two"), PLAIN),
    "swap_the_root_to_nothing": (two_roots, lambda p: p.point("current", "three"), PLAIN),
    "swap_a_directory": (two_directories, lambda p: p.point("one/d", "b"), ["/d/f.txt"]),
    "swap_a_file": (two_files, lambda p: p.point("one/f.txt", "b.txt"), PLAIN),
    "write_behind_a_symlink": (two_files, lambda p: p.replace("one/a.txt", "after"), PLAIN),
    "fill_a_dangling_symlink": (a_dangling_link, lambda p: p.put("one/later.txt", "after"), PLAIN),
    "lead_outside": (file_and(), leads_outside, PLAIN),
    "directory_leads_outside": (file_and("one/d/f.txt"), directory_leads_outside, ["/d/f.txt"]),
    "directory_with_nothing_leads_outside": (file_and("one/d/x"), directory_leads_outside, ["/d/f.txt"]),
    "what_a_symlink_leads_to_leads_outside": (directory_behind_a_symlink, what_it_leads_to_leads_outside, ["/d/f.txt"]),
    "directories_are_exchanged": (two_directories, exchange, ["/a/f.txt", "/b/f.txt"]),
    "close_by_acl": (file_and(), close_by_acl("one/f.txt"), PLAIN),
    "close_a_directory_by_acl": (file_and("one/d/f.txt"), close_by_acl("one/d"), ["/d/f.txt"]),
    "copy_into": (file_and(), copy_into, PLAIN),
    "make_longer": (file_and(), make_longer, PLAIN),
    "rename_the_root": (file_and(), lambda p: os.rename(p.path("one"), p.path("three")), PLAIN),
    "rename_a_directory": (file_and("one/d/f.txt"), lambda p: os.rename(p.path("one/d"), p.path("one/e")), ["/d/f.txt"]),
    "rename_a_directory_here": (file_and("one/e/f.txt"), lambda p: os.rename(p.path("one/e"), p.path("one/d")),
                                ["/d/f.txt"]),
    "directories_change_places": (two_directories, directories_change_places, ["/a/f.txt", "/b/f.txt"]),
    "write_by_another_name": (link_before, write_by_the_other_name, PLAIN),
    "sibling_created": (file_and(), lambda p: p.put("one/f.txt.gz", "packed"), PLAIN),
    "sibling_removed": (file_and_sibling, lambda p: os.unlink(p.path("one/f.txt.gz")), PLAIN),
    "sibling_outdated": (file_and_sibling, outdated_sibling, PLAIN),
    "sibling_replaced": (file_and_sibling, lambda p: p.replace("one/f.txt.gz", "packed anew"), PLAIN),
    "sibling_closed": (file_and_sibling, lambda p: os.chmod(p.path("one/f.txt.gz"), 0), PLAIN),
    "better_sibling": (file_and_sibling, lambda p: p.put("one/f.txt.br", "packed better"), PLAIN),
    "index_created": (file_and("one/d/x"), lambda p: p.put("one/d/index.html", "index"), ["/d/"]),
    "index_removed": (file_and("one/d/index.html"), lambda p: os.unlink(p.path("one/d/index.html")), ["/d/"]),
    "better_index": (file_and("one/d/second.html"), lambda p: p.put("one/d/index.html", "index"), ["/d/"]),
    "directory_created": (lambda p: None, lambda p: os.mkdir(p.path("one/d")), ["/d", "/d/"]),
    "directory_instead_of_a_file": (file_and(), a_directory_instead, PLAIN),
    "found_before_try": (file_and("one/app.html"), lambda p: p.put("one/f.txt", "after"), ["/try/f.txt"]),
    "try_changed": (file_and("one/app.html"), lambda p: p.replace("one/app.html", "after"), ["/try/f.txt"]),
    "try_removed": (file_and("one/app.html"), lambda p: os.unlink(p.path("one/app.html")), ["/try/f.txt"]),
    "time_changed": (file_and(), lambda p: os.utime(p.path("one/f.txt"), (1.1e9, 1.1e9)), PLAIN),
}

# where nobody tells: a symlink on the way may lead out of the root by another one, so each request looks itself
NEVER_KEPT = {"swap_a_directory", "what_a_symlink_leads_to_leads_outside"}


def routes(top):
    found = [{"match": "/", "respond": {"status": 404}}]
    for name in CHANGES:
        files = {"root": "%s/%s/current" % (top, name), "index": ["index.html", "second.html"]}
        found.append({"match": "/%s" % name, "files": files})
        found.append({"match": "/%s/try" % name, "files": {**files, "try": ["/app.html"]}})
    return found


class Server(Drover):
    def __init__(self, top, memory="64m", preexec=None, **more):
        super().__init__({"workers": 1, "file_cache": {"memory": memory}, "sandbox": {"read": [top]},
                          "sites": [{"routes": routes(top)}], **more}, preexec=preexec)

    def counter(self, name):
        return self.status()["totals"][name]


class Answers:
    """Asks one server, on connections that stay and on new ones."""

    CODINGS = (None, "gzip", "br, gzip", "gzip, identity;q=0")

    def __init__(self, server):
        self.server = server
        self.client = server.client()

    def one(self, client, target, coding):
        answer = client.request(target, [("Accept-Encoding", coding)] if coding else [])
        tag = answer.header("etag")
        return (answer.status, answer.body, tag and tag.removeprefix("W/"), answer.header("content-encoding"),
                answer.header("location"), answer.header("vary"))

    def to(self, target):
        answers = [self.one(self.client, target, coding) for coding in self.CODINGS]
        with self.server.client() as client:
            return answers + [self.one(client, target, coding) for coding in self.CODINGS]


class Freshness:
    """In each file system: every change is seen by the first request after it."""

    top = None
    looks = False       # the daemon without inotify: what is kept is old enough to be told apart

    @classmethod
    def make_top(cls):
        raise NotImplementedError

    @classmethod
    def setUpClass(cls):
        cls.make_top()
        os.chmod(cls.top, 0o755)
        cls.places = {name: Place("%s/%s" % (cls.top, name)) for name in CHANGES}
        for name, place in cls.places.items():
            CHANGES[name][0](place)
        cls.right = Answers(cls.enter(Server(cls.top, memory="0")))
        cls.told = Answers(cls.enter(Server(cls.top)))
        cls.untold = Answers(cls.enter(Server(cls.top, preexec=without_inotify)))
        cls.said = cls.untold.server.log.wait("files_not_watched")

    def test_what_there_were_too_few_of_is_named(self):
        self.assertIn("(fs.inotify.max_user_instances)", self.said.fields["error"])

    @classmethod
    def enter(cls, server):
        cls.addClassCleanup(server.close)
        return server

    def warm(self):
        """Asks until the one that looks has kept all that it keeps: files have to get old for it."""
        end = drover.deadline()
        while True:
            before = self.untold.server.counter("file_cache_misses")
            for name in CHANGES.keys() - NEVER_KEPT:
                for target in CHANGES[name][2]:
                    for answers in (self.told, self.untold, self.right):
                        answers.to("/" + name + target)
            if self.untold.server.counter("file_cache_misses") == before:
                return
            self.assertLess(time.monotonic(), end)

    def check(self, name, when):
        seen = {}
        for target in CHANGES[name][2]:
            right = self.right.to("/" + name + target)
            for answers, how in ((self.told, "told"), (self.untold, "untold")):
                self.assertEqual(answers.to("/" + name + target), right, (name, target, how, when))
            seen[target] = right
        return seen

    def test_every_change_is_seen(self):
        self.warm()
        for name in CHANGES:
            with self.subTest(name):
                before = self.check(name, "before")
                CHANGES[name][1](self.places[name])
                self.assertNotEqual(self.check(name, "after"), before)


class FreshnessOnDisk(Freshness, unittest.TestCase):
    @classmethod
    def make_top(cls):
        cls.top = drover.temporary_directory()
        cls.addClassCleanup(shutil.rmtree, cls.top, ignore_errors=True)


class FreshnessInMemory(Freshness, unittest.TestCase):
    @classmethod
    def make_top(cls):
        cls.top = "/dev/shm/drover-cache-%d" % os.getpid()
        os.mkdir(cls.top)
        cls.addClassCleanup(shutil.rmtree, cls.top, ignore_errors=True)


class FreshnessOnOverlay(Freshness, unittest.TestCase):
    """Mounted where nobody else sees it: in a name space of this thread, and of the daemons that it starts."""

    @classmethod
    def make_top(cls):
        base = drover.temporary_directory()
        cls.addClassCleanup(shutil.rmtree, base, ignore_errors=True)
        if drover.libc.unshare(CLONE_NEWNS) != 0:
            raise OSError("unshare")
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", base], check=True)
        cls.addClassCleanup(subprocess.run, ["umount", "-l", base], check=True)
        for name in ("lower", "upper", "work", "top"):
            os.mkdir(base + "/" + name)
        options = "lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work" % (base, base, base)
        cls.top = base + "/top"
        subprocess.run(["mount", "-t", "overlay", "-o", options, "overlay", cls.top], check=True)
        cls.addClassCleanup(subprocess.run, ["umount", "-l", cls.top], check=True)


class WhatIsKept(unittest.TestCase):
    """One worker, which is told of changes."""

    def start(self, settings=None, preexec=None, **cache):
        server = Drover({"workers": 1, "file_cache": {"memory": "64m", **cache}, **(settings or {})}, preexec=preexec)
        self.addCleanup(server.close)
        self.client = server.client()
        self.addCleanup(self.client.close)
        return server

    def counter(self, server, name):
        return server.status()["totals"][name]

    def put(self, server, name, text):
        os.utime(server.write(name, text), (1e9, 1e9))

    def replace(self, server, name, text):
        self.put(server, "new", text)
        os.rename(server.path("new"), server.path(name))

    def ask(self, target="/f"):
        return self.client.request(target).body

    def ask_until(self, body, target="/f"):
        """For what no request has to see at once; how many did not."""
        end, asked = drover.deadline(), 0
        while self.ask(target) != body:
            self.assertLess(time.monotonic(), end)
            asked += 1
        return asked

    def ask_on(self, target="/f"):
        """In a way that no ready answer serves."""
        return self.client.request(target, [("Range", "bytes=0-0")]).status

    def settle(self, server, target="/f"):
        """Until the kernel tells of it: a helper has that done (what is written to files in the root is told, too),
        and what was found before is found anew."""
        root, worker = os.stat(server.site).st_ino, server.workers()[0]
        end = drover.deadline(drover.DEADLINE)
        while not drover.watches(worker).get(root, 0) & IN_MODIFY:
            self.ask_on(target)
            drover.left(end)
        misses = None
        while misses != self.counter(server, "file_cache_misses"):
            misses = self.counter(server, "file_cache_misses")
            for _ in range(5):
                self.ask_on(target)
            drover.left(end)

    def test_a_directory_is_watched_by_a_helper(self):
        """By no other thread than that: the loop adds one only where it is there already."""
        server = self.start()
        self.put(server, "f", "text")
        worker, log = server.workers()[0], os.path.join(server.dir, "strace")
        with subprocess.Popen(["strace", "-f", "-qq", "-e", "trace=inotify_add_watch", "-e", "signal=none", "-o", log,
                               "-p", str(worker)], stderr=subprocess.PIPE) as tracer:
            end = drover.deadline(drover.DEADLINE)
            while drover.process_status(worker)["TracerPid"] == "0":
                drover.left(end)
            self.settle(server)
            tracer.terminate()
        with open(log, encoding="utf-8") as file:
            calls = re.findall(r'^(\d+) +inotify_add_watch\(\d+, "([^"]*)"', file.read(), re.M)
        first = {}
        for thread, path in calls:
            first.setdefault(path, int(thread))
        self.assertIn(server.site, first)
        self.assertNotIn(worker, first.values())

    def test_a_request_is_looked_for_once(self):
        server = self.start()
        self.put(server, "f", "text")
        self.settle(server)
        for target, status in (("/f", 206), ("/none", 404), ("/", 206)):
            self.ask_on(target)
            misses, hits = self.counter(server, "file_cache_misses"), self.counter(server, "file_cache_hits")
            for _ in range(5):
                self.assertEqual(self.ask_on(target), status)
            self.assertEqual(self.counter(server, "file_cache_misses"), misses, target)
            self.assertEqual(self.counter(server, "file_cache_hits"), hits + 5, target)

    def test_it_outlives_a_reload(self):
        server = self.start()
        self.put(server, "f", "text")
        self.settle(server)
        server.configure({"timeouts": {"keep_alive": "59s"}})
        self.assertEqual(server.reload()[0], 0)
        misses = self.counter(server, "file_cache_misses")
        self.assertEqual(self.ask_on(), 206)
        self.assertEqual(self.counter(server, "file_cache_misses"), misses)

    def test_a_reload_turns_it_off_and_on(self):
        server = self.start()
        self.put(server, "f", "text")
        self.ask_on()
        for memory, grows in (("0", 0), ("1m", 1)):
            server.configure({"file_cache": {"memory": memory}})
            self.assertEqual(server.reload()[0], 0)
            misses = self.counter(server, "file_cache_misses")
            self.assertEqual(self.ask_on(), 206)
            self.assertEqual(self.counter(server, "file_cache_misses"), misses + grows)

    def test_a_weak_tag_gets_strong(self):
        server = self.start()
        server.write("f", "text")
        tag = self.client.request("/f").header("etag")
        self.assertTrue(tag.startswith("W/"))
        end = drover.deadline()
        while self.client.request("/f").header("etag") != tag.removeprefix("W/"):
            self.assertLess(time.monotonic(), end)

    def test_ranges_and_conditions(self):
        server, text = self.start(), bytes(range(97, 123)) * 8000
        for name, body in (("small", text[:1000]), ("large", text)):
            self.put(server, name, body)
            for _ in range(3):
                whole = self.client.request("/" + name)
                self.assertEqual(whole.body, body)
                part = self.client.request("/" + name, [("Range", "bytes=10-19")])
                self.assertEqual((part.status, part.body), (206, body[10:20]))
                parts = self.client.request("/" + name, [("Range", "bytes=1-2,-3")])
                self.assertEqual(parts.status, 206)
                self.assertIn(body[1:3], parts.body)
                beyond = self.client.request("/" + name, [("Range", "bytes=%d-" % len(body))])
                self.assertEqual(beyond.status, 416)
                same = self.client.request("/" + name, [("If-None-Match", whole.header("etag"))])
                self.assertEqual((same.status, same.body), (304, b""))
                other = self.client.request("/" + name, [("If-Match", '"other"')])
                self.assertEqual(other.status, 412)
                head = self.client.request("/" + name, method="HEAD")
                self.assertEqual(head.header("content-length"), str(len(body)))

    def test_files_that_are_not_kept_in_memory(self):
        """Their bytes are in a buffer that others use next."""
        server = self.start(largest="0")
        for number in range(20):
            self.put(server, "f%d" % number, "%d " % number * 500)
        for number in range(200):
            self.assertEqual(self.ask("/f%d" % (number * 7 % 20)), b"%d " % (number * 7 % 20) * 500)

    def test_a_small_memory_gives_right_answers(self):
        server = self.start(memory="64k", files=2)
        for number in range(100):
            self.put(server, "f%d" % number, "%d " % number * 500)
        self.put(server, "large", "L" * 100_000)
        for number in range(300):
            self.assertEqual(self.ask("/f%d" % (number * 37 % 100)), b"%d " % (number * 37 % 100) * 500)
            self.assertEqual(self.client.request("/none%d" % number).status, 404)
        self.assertEqual(self.ask("/large"), b"L" * 100_000)
        self.assertGreater(self.counter(server, "file_cache_evicted"), 100)

    def test_events_are_lost(self):
        server = self.start({"timeouts": {"hang_kill": "0"}})
        self.put(server, "f", "before")
        for _ in range(3):
            self.ask()
        worker = server.workers()[0]
        os.kill(worker, 19)     # SIGSTOP: the queue of the kernel fills
        with open("/proc/sys/fs/inotify/max_queued_events", encoding="ascii") as file:
            most = int(file.read())
        for number in range(most // 3 + 1):     # created, written and closed, removed
            with open(server.path("x%d" % (number % 2)), "w", encoding="ascii") as file:
                file.write("x")
            os.unlink(server.path("x%d" % (number % 2)))
        self.replace(server, "f", "after")
        os.kill(worker, 18)
        self.assertEqual(self.ask(), b"after")

    def test_changes_under_load(self):
        server = self.start()
        self.put(server, "f", "0")
        stop = threading.Event()

        def load():
            with server.client() as client:
                while not stop.is_set():
                    client.request("/f")

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for number in range(1, 300):
                self.replace(server, "f", str(number))
                self.assertEqual(self.ask(), b"%d" % number)
                if number % 10 == 0:
                    os.unlink(server.path("f"))
                    self.assertEqual(self.client.request("/f").status, 404)
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def test_trust(self):
        server = self.start(preexec=without_inotify, trust="1h")
        self.assertEqual(self.ask_on("/f"), 404)
        self.put(server, "f", "there")
        self.assertEqual(self.ask_on("/f"), 404)
        server.configure({"file_cache": {"trust": "0"}})
        server.reload()
        self.assertEqual(self.ask_on("/g"), 404)
        self.put(server, "g", "there")
        self.assertEqual(self.ask_on("/g"), 206)

    # what nobody tells of is seen within seconds

    def test_written_through_a_mapping(self):
        server = self.start()
        self.put(server, "f", "before")
        with open(server.path("f"), "r+b") as file:
            with mmap.mmap(file.fileno(), 6) as memory:
                for _ in range(3):
                    self.assertEqual(self.ask(), b"before")
                memory[:6] = b"behind"
                memory.flush()
                self.ask_until(b"behind")

    def test_written_by_a_name_that_came_later(self):
        server = self.start()
        self.put(server, "f", "before")
        for _ in range(3):
            self.assertEqual(self.ask(), b"before")
        os.link(server.path("f"), server.dir + "/link")
        with open(server.dir + "/link", "r+", encoding="ascii") as file:
            file.write("behind")
        self.ask_until(b"behind")

    def test_mounted_over_and_unmounted(self):
        if drover.libc.unshare(CLONE_NEWNS) != 0:
            raise OSError("unshare")
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
        server = self.start()
        self.put(server, "d/f", "below")
        for _ in range(3):
            self.assertEqual(self.ask("/d/f"), b"below")
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", server.path("d")], check=True)
        try:
            self.put(server, "d/f", "above")
            asked = self.ask_until(b"above", "/d/f")
        finally:
            subprocess.run(["umount", "-l", server.path("d")], check=True)
        asked += self.ask_until(b"below", "/d/f")
        self.assertLessEqual(asked, 2, "the loop's next turn was not told")      # one each time


if __name__ == "__main__":
    unittest.main()
