#!/usr/bin/env python3
"""droverctl selftest: it finds nothing lost where nothing is, finds every kind of loss where there is one, and leaves
nothing behind."""

import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import drover  # noqa: E402

LOSSY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lossy_drover.py")
SECONDS = 600           # for all scenarios, each of which waits for its operator, on a machine that stalls
LOSSES = ("refused", "reset", "stalled", "wrong", "cut", "idle_closed")
NAMES = ["nothing", "reload", "replace", "workers", "accept", "listen", "reopen", "upgrade", "hang", "kill"]
# what lossy_drover.py does: what selftest has to count
WAYS = {"reset": "reset", "cut": "cut", "silence": "stalled", "byte": "wrong", "status": "wrong", "idle": "idle_closed",
        "refuse": "refused"}


def processes_below(directory):
    """Processes that were started for something in this directory."""
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as file:
                if directory.encode() in file.read():
                    found.append(path)
        except OSError:
            pass
    return found


class Selftest(unittest.TestCase):
    def setUp(self):
        # workers of root have to pass through it
        self.directory = tempfile.mkdtemp(prefix="st-", dir="/tmp")
        os.chmod(self.directory, 0o755)
        self.addCleanup(shutil.rmtree, self.directory)

    def start(self, *args, program=drover.CTL, **environment):
        env = {**os.environ, "TMPDIR": self.directory, "RUNTIME_DIRECTORY": "/proc/none", **environment}
        return subprocess.Popen([program, "selftest", *args], env=env, stdin=subprocess.DEVNULL, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def selftest(self, *args, **more):
        """(exit status, what it said as JSON or text, stderr)"""
        with self.start(*args, **more) as process:
            out, errors = process.communicate(timeout=SECONDS)
        self.assert_nothing_left()
        return process.returncode, json.loads(out) if "--json" in args and out else out, errors

    def assert_nothing_left(self):
        self.assertEqual(os.listdir(self.directory), [])
        end = drover.deadline()
        while processes_below(self.directory + "/"):     # a worker may be at its last instructions
            drover.left(end)

    def test_nothing_is_lost_in_any_scenario(self):
        code, said, errors = self.selftest("--seconds", "1", "--json")
        self.assertEqual([row for row in said["scenarios"] if not row["good"]], [], errors)
        self.assertEqual((code, said["ok"], errors), (0, True, ""))
        self.assertEqual([row["scenario"] for row in said["scenarios"]], NAMES)
        for row in said["scenarios"]:
            with self.subTest(row["scenario"]):
                self.assertGreater(row["answered"], 358)
                self.assertGreater(row["times"], 0) if row["scenario"] != "nothing" else None
                if row["scenario"] != "kill":
                    self.assertEqual([row[loss] for loss in LOSSES], [0] * len(LOSSES))
        self.assertGreater(said["scenarios"][-1]["in_hand"], 0)

    def test_it_prints_a_table(self):
        code, said, errors = self.selftest("--only", "reload", "--seconds", "1", "--accept", "shared")
        self.assertEqual((code, errors), (0, ""), said)
        self.assertIn("accept shared, 4 workers", said)
        self.assertRegex(said, r"\nreload +\d+ +\d+ +0 +0 +0 +0 +0 +0 +\d+ ms  good")
        self.assertIn("\n1 scenario, and no client lost anything", said)

    def test_each_kind_of_loss_is_found(self):
        for way, loss in WAYS.items():
            with self.subTest(way):
                code, said, errors = self.selftest("--binary", LOSSY, "--only", "nothing", "--seconds", "1", "--json",
                                                   LOSSY=way)
                row = said["scenarios"][0]
                self.assertEqual((code, said["ok"], row["good"]), (1, False, False), errors)
                self.assertGreater(row[loss], 0, said)
                # those that waited to be accepted; a request that crossed the end
                also = {"refuse": {"reset"}, "idle": {"cut", "reset"}}.get(way, set())
                self.assertEqual({name for name in LOSSES if row[name]} - also, {loss}, said)

    def test_the_server_that_loses_is_good_when_it_loses_nothing(self):
        code, said, errors = self.selftest("--binary", LOSSY, "--only", "reload", "--seconds", "1", "--json", LOSSY="good")
        self.assertEqual((code, said["ok"]), (0, True), (said, errors))

    def test_what_the_daemon_refuses_is_bad(self):
        code, said, _ = self.selftest("--binary", LOSSY, "--only", "reload", "--seconds", "1", LOSSY="says-no")
        self.assertEqual(code, 1)
        self.assertRegex(said, r"\nreload .* BAD: failed at whim")

    def test_a_kill_that_kills_nobody_is_no_result(self):
        code, said, _ = self.selftest("--binary", "/bin/true", "--only", "kill", "--seconds", "1")
        self.assertEqual(code, 1)
        self.assertIn("ended at its start", said)

    def test_a_binary_that_cannot_take_over_is_found(self):
        with tempfile.TemporaryDirectory(dir="/tmp") as directory:
            os.chmod(directory, 0o755)
            program = os.path.join(directory, "drover")
            shutil.copy(drover.BROKEN, program)
            with open(program + ".break", "w", encoding="ascii") as file:
                file.write("candidate-crashes")
            code, said, errors = self.selftest("--binary", program, "--only", "upgrade", "--seconds", "1")
        self.assertEqual(code, 1, said)
        self.assertRegex(said, r"\nupgrade .* BAD.*: failed at check: ")

    def test_wrong_arguments(self):
        for args in (("--only", "nonsense"), ("--seconds", "0"), ("--seconds", "x"), ("--accept", "sometimes"), ("more",)):
            with self.subTest(args):
                self.assertEqual(self.selftest(*args)[0], 2)
        code, _, errors = self.selftest("--binary", "/nowhere/drover")
        self.assertEqual((code, "No such file" in errors), (1, True), errors)
        code, said, _ = self.selftest("--binary", "/nowhere/drover", "--json")
        self.assertEqual((code, said["ok"], "No such file" in said["text"]), (1, False, True), said)

    def end_early(self, number):
        process = self.start("--only", "hang", "--seconds", "60")
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        end = drover.deadline()
        while not glob.glob(os.path.join(self.directory, "*", "access.log")):
            drover.left(end)
        process.send_signal(number)
        return process

    def test_it_cleans_up_when_it_is_interrupted(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number):
                process = self.end_early(number)
                self.assertEqual(process.wait(SECONDS), 1)
                self.assert_nothing_left()

    def test_the_daemon_ends_with_it_when_it_is_killed(self):
        self.addCleanup(lambda: [os.kill(int(path.split("/")[2]), signal.SIGKILL)
                                 for path in processes_below(self.directory + "/")])
        self.end_early(signal.SIGKILL).wait(SECONDS)
        end = drover.deadline(120)
        while processes_below(self.directory + "/"):
            drover.left(end)


if __name__ == "__main__":
    unittest.main()
