#!/usr/bin/env python3
"""Installs into a stage, lays that over the root of a throw-away systemd (lab) and runs inside.py there.

Needs root and control groups.  Arguments are parts of the names of tests, such as Activation or load; none: all.
"""

import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
LAB_SECONDS = 600


def main():
    build = os.environ.get("DROVER_BUILD", "build")
    with tempfile.TemporaryDirectory(prefix="drover-systemd-") as stage:
        os.chmod(stage, 0o755)
        made = subprocess.run(["make", "-s", "install", "BUILD=" + build, "DESTDIR=" + stage], cwd=TOP, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LAB_SECONDS)
        if made.returncode != 0:
            print("make install failed:\n%s\n0 passed, 1 failed, 0 skipped" % made.stdout)
            return 1
        lab = subprocess.run([os.path.join(HERE, "lab"), "run", "--checkout", TOP, "--layer", stage,
                              "--timeout", str(LAB_SECONDS), "--", "/usr/bin/env", "python3",
                              "/src/tests/systemd/inside.py", *sys.argv[1:]],
                             cwd=TOP, text=True, errors="replace", stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LAB_SECONDS + 60)
    print(lab.stdout.rstrip("\n"))
    if not re.search(r"^\d+ passed, \d+ failed, \d+ skipped$", lab.stdout, re.M):
        print("the lab ended with status %d\n0 passed, 1 failed, 0 skipped" % lab.returncode)
    return 1 if lab.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
