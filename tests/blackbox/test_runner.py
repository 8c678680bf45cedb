"""The runner itself: what failed while the machine stood still is run again, and a few that fail only beside others."""

import contextlib
import importlib.machinery
import importlib.util
import io
import os
import select
import signal
import sys
import tempfile
import time
import unittest

import drover

PATH = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "tools", "run")

# Fails the first time, and says how often it ran.
ONCE = """
import os, sys
path = sys.argv[1]
seen = os.path.exists(path)
with open(path, "a") as file:
    file.write("x")
print("0 passed, 1 failed, 0 skipped" if not seen else "1 passed, 0 failed, 0 skipped")
sys.exit(0 if seen else 1)
"""


def load():
    loader = importlib.machinery.SourceFileLoader("runner", PATH)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("runner", loader))
    loader.exec_module(module)
    return module


class Again(unittest.TestCase):
    def setUp(self):
        self.runner = load()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.ran = os.path.join(directory.name, "ran")

    def timed(self):
        return self.runner.timed(("blackbox/once", [sys.executable, "-c", ONCE, self.ran]))

    def times(self):
        with open(self.ran, encoding="ascii") as file:
            return len(file.read())

    def stood_still(self, begin, end):
        """It is known of the machine, besides what really happens to it meanwhile."""
        self.runner.STILLNESS.gaps = lambda: [(begin, end)]

    def test_what_fails_fails(self):
        name, _, wrong, _, remark = self.timed()
        self.assertEqual((name, wrong, remark), ("blackbox/once", "exit status 1", ""))
        self.assertEqual(self.times(), 1)

    def test_a_machine_that_stood_still_is_asked_again_and_it_is_said(self):
        now = time.monotonic()
        self.stood_still(now - 1, now + self.runner.STILL_SECONDS + 60)
        _, _, wrong, _, remark = self.timed()
        self.assertIsNone(wrong)
        self.assertEqual(self.times(), 2)
        self.assertIn("stood still for", remark)
        self.assertIn("0 passed, 1 failed", remark)     # what went wrong is not hidden

    def test_what_fails_twice_fails(self):
        now = time.monotonic()
        self.stood_still(now - 1, now + 60)
        self.assertEqual(self.runner.timed(("blackbox/never", ["false"]))[2], "exit status 1")

    def test_another_time_does_not_count(self):
        now = time.monotonic()
        self.stood_still(now - 100, now - 50)
        self.assertEqual(self.timed()[2], "exit status 1")


class Alone(unittest.TestCase):
    """What fails among others, and not by itself."""

    GOOD = [sys.executable, "-c", "print('1 passed, 0 failed, 0 skipped')"]

    def setUp(self):
        self.runner = load()
        self.runner.STILLNESS.gaps = lambda: []
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.dir = directory.name

    def fails_once(self, name):
        return [sys.executable, "-c", ONCE, os.path.join(self.dir, name.replace("/", "-"))]

    def run_all(self, good, *bad, command=None):
        items = {"blackbox/good%d" % number: self.GOOD for number in range(good)}
        items.update({name: command or self.fails_once(name) for name in bad})
        with contextlib.redirect_stdout(io.StringIO()) as said:
            status = self.runner.run_all(items, {}, set(), {})
        return status, said.getvalue()

    def test_it_is_unsteady_and_that_is_said(self):
        status, said = self.run_all(2, "blackbox/once")
        self.assertEqual(status, 0, said)
        self.assertIn("0 passed, 1 failed", said)       # what went wrong is not hidden
        self.assertIn("unsteady, see above what failed beside others: blackbox/once\n3 passed, 0 failed", said)

    def test_what_fails_alone_fails(self):
        status, said = self.run_all(2, "blackbox/never", command=["false"])
        self.assertEqual(status, 1)
        self.assertIn("failed: blackbox/never\n2 passed, 1 failed", said)

    def test_what_counts_losses_is_not_asked_again(self):
        for name in ("loss", "loss/once", "fleet", "attacks"):
            self.assertEqual(self.run_all(2, name)[0], 1, name)

    def test_many_are_no_chance(self):
        self.assertEqual(self.run_all(2, "blackbox/a", "blackbox/b", "unit/c")[0], 1)

    def test_nor_is_one_that_was_asked_for(self):
        self.assertEqual(self.run_all(0, "blackbox/once")[0], 1)


class Watchers(unittest.TestCase):
    def setUp(self):
        self.runner = load()
        self.still = self.runner.Stillness()
        self.still.start()
        self.addCleanup(self.still.end)
        self.still.gaps()       # they are there

    def pause(self, seconds):
        """All watchers stand still, as when the machine does; returns since when and until when at least."""
        for one in self.still.watchers:
            os.kill(one.pid, signal.SIGSTOP)
        for one in self.still.watchers:
            drover.wait_stopped(one.pid)
        begin = time.monotonic()
        select.select([], [], [], seconds)
        end = time.monotonic()
        for one in self.still.watchers:
            os.kill(one.pid, signal.SIGCONT)
        return begin, end

    def test_a_pause_is_noticed(self):
        begin, end = self.pause(self.runner.STILL_LOADED_SECONDS)
        self.assertGreaterEqual(self.still.longest(begin, end), end - begin)
        self.assertEqual(self.still.longest(begin - 100, begin - 50), 0)

    def test_what_was_short_does_not_count(self):
        """Were the machine to stand still besides, it would have been for as long as is said."""
        least = self.runner.STILL_SECONDS
        self.pause(least / 10)
        self.assertTrue(all(after - before >= least for before, after in self.still.gaps()))


if __name__ == "__main__":
    unittest.main()
