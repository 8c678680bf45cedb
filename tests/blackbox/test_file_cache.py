"""The file cache: what is kept and for how long. Every change that a request must see is made beside three daemons: one
that is told of changes, one that is not (no inotify instance is left), and one that keeps nothing, which says what
is right."""

import ctypes
import errno
import mmap
import os
import shutil
import struct
import subprocess
import threading
import time
import unittest

import drover
from drover import Drover

CLONE_NEWNS = 0x20000
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

    CODINGS = (None, "gzip", "br, gzip")

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
        cls.untold.server.log.wait("files_not_watched")

    @classmethod
    def enter(cls, server):
        cls.addClassCleanup(server.close)
        return server

    def warm(self):
        """Asks until the one that looks has kept all that it keeps: files have to get old for it."""
        end = drover.deadline()
        while True:
            before = self.untold.server.counter("file_cache_misses")
            for name in CHANGES:
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


if __name__ == "__main__":
    unittest.main()
