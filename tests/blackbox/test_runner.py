"""The runner itself: what failed while the machine stood still is run again, and nothing else is."""

import importlib.machinery
import importlib.util
import os
import sys
import tempfile
import time
import unittest

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

    def test_what_fails_fails(self):
        name, _, wrong, _, remark = self.timed()
        self.assertEqual((name, wrong, remark), ("blackbox/once", "exit status 1", ""))
        self.assertEqual(self.times(), 1)

    def test_a_machine_that_stood_still_is_asked_again_and_it_is_said(self):
        now = time.monotonic()
        self.runner.STILLNESS.saw(now - 1, now + self.runner.STILL_SECONDS + 60)
        _, _, wrong, _, remark = self.timed()
        self.assertIsNone(wrong)
        self.assertEqual(self.times(), 2)
        self.assertIn("stood still for", remark)
        self.assertIn("0 passed, 1 failed", remark)     # what went wrong is not hidden

    def test_another_time_does_not_count(self):
        now = time.monotonic()
        self.runner.STILLNESS.saw(now - 100, now - 50)
        self.assertEqual(self.timed()[2], "exit status 1")

    def test_short_gaps_do_not_count(self):
        still = self.runner.Stillness()
        still.saw(1.0, 1.9)
        self.assertEqual(still.gaps, [])
        still.saw(1.0, 2.5)
        self.assertEqual(still.longest(0, 1), 0)
        self.assertEqual(still.longest(2, 3), 1.5)


if __name__ == "__main__":
    unittest.main()
