#!/usr/bin/env python3
"""Installs into a stage, lays that over the root of a throw-away systemd (lab) and runs inside.py there.

Needs root and control groups.  Arguments are parts of the names of tests, such as Activation or load; none: all.
"""

import concurrent.futures
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
LAB_SECONDS = 600
SIDE_BY_SIDE = 2
TOTALS = re.compile(r"^(\d+) passed, (\d+) failed, 0 skipped$", re.M)


def classes():
    """One lab for each class of tests; they mostly wait."""
    with open(os.path.join(HERE, "inside.py"), encoding="utf-8") as file:
        return [[name + "."] for name in re.findall(r"^class (\w+)\(", file.read(), re.M)]


def run(stage, words):
    """(passed, failed)"""
    lab = subprocess.run([os.path.join(HERE, "lab"), "run", "--checkout", TOP, "--layer", stage,
                          "--timeout", str(LAB_SECONDS), "--", "/usr/bin/env", "python3",
                          "/src/tests/systemd/inside.py", *words],
                         cwd=TOP, text=True, errors="replace", stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LAB_SECONDS + 60)
    totals = TOTALS.search(lab.stdout)
    print(TOTALS.sub("", lab.stdout).rstrip("\n"), flush=True)
    if totals is None or (lab.returncode and totals[2] == "0"):
        print("the lab of %s ended with status %d" % (" ".join(words), lab.returncode))
        return int(totals[1]) if totals else 0, 1
    return int(totals[1]), int(totals[2])


def main():
    build = os.environ.get("DROVER_BUILD", "build")
    with tempfile.TemporaryDirectory(prefix="drover-systemd-") as stage:
        os.chmod(stage, 0o755)
        made = subprocess.run(["make", "-s", "install", "BUILD=" + build, "DESTDIR=" + stage], cwd=TOP, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LAB_SECONDS)
        if made.returncode != 0:
            print("make install failed:\n%s\n0 passed, 1 failed, 0 skipped" % made.stdout)
            return 1
        with concurrent.futures.ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            counts = list(pool.map(lambda part: run(stage, part), [sys.argv[1:]] if sys.argv[1:] else classes()))
    print("%d passed, %d failed, 0 skipped" % tuple(map(sum, zip(*counts))))
    return 1 if sum(failed for _, failed in counts) else 0


if __name__ == "__main__":
    sys.exit(main())
