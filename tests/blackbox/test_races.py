"""What is served is swapped while it is asked for: links that lead out for what lies inside, and files in the middle of
being sent.

A process swaps two names as fast as it can (renameat2(2), RENAME_EXCHANGE); the requests are counted, not timed.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import threading
import unittest

import drover
from drover import Closed, Drover, libc
from test_files import without_openat2

AT_FDCWD, RENAME_EXCHANGE = -100, 2
SECRET, GOOD = b"secret\n" * 100, b"good\n" * 100
REQUESTS = 800          # of each name and way
BATCH = 40              # pipelined: so that the swaps meet many opens
LARGE = 1 << 20
SENT = 10               # of each way


def exchange(one, other):
    if libc.renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE) != 0:
        raise OSError(ctypes.get_errno(), "renameat2")


@contextlib.contextmanager
def swapping(pairs):
    """Until it is left, a process exchanges the paths of each pair, again and again."""
    tester = os.getpid()
    encoded = [(one.encode(), other.encode()) for one, other in pairs]
    child = os.fork()
    if child == 0:
        try:
            libc.prctl(drover.PR_SET_PDEATHSIG, signal.SIGKILL)
            while os.getppid() == tester:
                for one, other in encoded:
                    exchange(one, other)
        finally:
            os._exit(1)
    try:
        yield
        if os.waitpid(child, os.WNOHANG)[0]:
            child = 0
            raise AssertionError("the swapper ended")
    finally:
        if child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


class Swapped:
    """Never a byte from outside of the root, whatever is swapped when."""

    policy = "inside"
    preexec = None

    def setUp(self):
        files = {"root": "site", "symlinks": self.policy}
        self.server = Drover({"sites": [{"routes": [{"match": "/", "files": files}]}]}, preexec=self.preexec)
        self.addCleanup(self.server.close)
        self.outside = self.make_outside()
        os.makedirs(os.path.join(self.outside, "d"))
        for name in ("file", "d/file"):
            self.put(os.path.join(self.outside, name), SECRET)
        for name in ("file", "spare", "d/file", "deep/er/file", "deep/file"):
            self.server.write(name, GOOD)

    def make_outside(self):
        return os.path.join(self.server.dir, "outside")

    @staticmethod
    def put(path, content):
        with open(path, "wb") as file:
            file.write(content)
        os.chmod(path, 0o644)

    def out(self, name):
        """What a link at the top has to say to lead there."""
        return os.path.join(os.path.relpath(self.outside, self.server.site), name)

    def link(self, target, name):
        path = self.server.path(name)
        os.symlink(target, path)
        return path

    def ask(self, target, pairs, requests=REQUESTS):
        """Until both were met, what may be served and what leads out; each body is good, or an error's."""
        seen = {}
        end = drover.deadline()
        with swapping(pairs):
            # on a busy machine the swapper may have no turn for long
            while sum(seen.values()) < requests or len({status == 200 for status in seen}) < 2:
                drover.left(end)
                with self.server.client() as client:
                    client.send(client.head(target) * BATCH)
                    for _ in range(BATCH):
                        answer = client.response()
                        seen[answer.status] = seen.get(answer.status, 0) + 1
                        self.assertNotIn(b"secret", answer.body)
                        self.assertIn(answer.status, (200, 301, 403, 404, 503))
                        if answer.status == 200:
                            self.assertEqual(answer.body, GOOD)

    def test_a_file_for_a_link(self):
        path = self.server.path("file")
        self.ask("/file", [(path, self.link(self.out("file"), "x"))])

    def test_a_directory_for_a_link(self):
        path = self.server.path("d")
        self.ask("/d/file", [(path, self.link(os.path.join(self.outside, "d"), "x"))])

    def test_a_directory_above_for_a_link(self):
        path = self.server.path("deep")
        os.makedirs(os.path.join(self.outside, "deep/er"))
        self.put(os.path.join(self.outside, "deep/er/file"), SECRET)
        self.ask("/deep/er/file", [(path, self.link(self.out("deep"), "x"))])


class Followed(Swapped):
    def test_a_link_for_a_link(self):
        path = self.link("spare", "l")
        self.ask("/l", [(path, self.link(self.out("file"), "x"))])

    def test_a_link_whose_way_back_is_moved(self):
        """deep/er/l leads back to the root's file; from a directory less deep the same link leads out."""
        self.link("../../file", "deep/er/l")
        self.put(os.path.join(self.server.dir, "file"), SECRET)
        shallow = self.server.path("shallow")
        os.makedirs(shallow)
        # the moment for it is short, and a walk that can be led out not always is
        self.ask("/deep/er/l", [(self.server.path("deep/er"), shallow)], 5 * REQUESTS)


class Inside(Followed, unittest.TestCase):
    pass


class InsideWithoutOpenat2(Followed, unittest.TestCase):
    preexec = staticmethod(without_openat2)


class Deny(Swapped, unittest.TestCase):
    policy = "deny"


class All(Swapped, unittest.TestCase):
    """Links may lead anywhere: Landlock, below whose parents it is not, keeps the rest out."""

    policy = "all"

    def make_outside(self):
        path = drover.temporary_directory()
        self.addCleanup(shutil.rmtree, path)
        return path


class Sent(unittest.TestCase):
    """A file that changes while it is sent: an answer that is whole is of one version, any other one is cut."""

    def setUp(self):
        self.server = Drover({"workers": 1})
        self.addCleanup(self.server.close)

    def versions(self, change, requests=SENT):
        """What came: (whole, cut); each whole body is of a single letter."""
        path = self.server.write("large", b"a" * LARGE)
        over = threading.Event()

        def run():
            turn = 0
            while not over.is_set():
                turn += 1
                change(path, turn)
        changer = threading.Thread(target=run)
        changer.start()
        whole = cut = 0
        try:
            for _ in range(requests):
                try:
                    with self.server.client() as client:
                        answer = client.request("/large", close=True)
                except (Closed, ConnectionError):
                    cut += 1
                    continue
                self.assertEqual(answer.status, 200)
                self.assertLessEqual(len(set(answer.body)), 1, "two versions in one answer")
                self.assertEqual(str(len(answer.body)), answer.header("content-length"))
                whole += 1
        finally:
            over.set()
            changer.join()
        return whole, cut

    def test_it_is_replaced_by_a_rename(self):
        def change(path, turn):
            with open(path + ".new", "wb") as file:
                file.write(b"abcd"[turn % 4:turn % 4 + 1] * (LARGE - turn % 3))
            os.chmod(path + ".new", 0o644)
            os.rename(path + ".new", path)
        whole, cut = self.versions(change)
        self.assertEqual((whole, cut), (SENT, 0))

    def test_it_is_cut_and_written_anew(self):
        def change(path, turn):
            os.truncate(path, (turn % 2) * LARGE)
        whole, cut = self.versions(change)
        self.assertEqual(whole + cut, SENT)

    def test_something_is_appended_all_the_time(self):
        """What is there when the answer begins is what it has."""
        def change(path, turn):
            if turn < 2000:
                with open(path, "ab") as file:
                    file.write(b"a" * 100)
        whole, cut = self.versions(change)
        self.assertEqual(whole + cut, SENT)
        with self.server.client() as client:
            self.assertEqual(client.request("/large").status, 200)
