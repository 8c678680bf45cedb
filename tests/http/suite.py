#!/usr/bin/env python3
"""The HTTP suite: tables of rows, one file per class, against a daemon in each accept mode.

    suite.py [--mode directed|reuseport|cpu|shared] [--class NAME] [--row TEXT] [--list] [-v]

engine.py says how a row is written.  The last line is "N passed, N failed, 0 skipped"; exit status 1 when one
failed.
"""

import argparse
import importlib
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "blackbox")]

import engine  # noqa: E402
import lab as labs  # noqa: E402

MODES = ("directed", "reuseport", "cpu", "shared")
NO_CLASS = ("answer", "engine", "lab", "suite", "model", "requests")


def class_names():
    return sorted(name[:-3] for name in os.listdir(HERE) if name.endswith(".py") and name[:-3] not in NO_CLASS)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mode", action="append", choices=MODES)
    parser.add_argument("--class", action="append", dest="classes", metavar="NAME")
    parser.add_argument("--row", metavar="TEXT", default="")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("-v", action="store_true", dest="verbose")
    options = parser.parse_args()
    names = options.classes or class_names()
    unknown = set(names) - set(class_names())
    if unknown:
        parser.error("no class %s; there are %s" % (", ".join(unknown), ", ".join(class_names())))
    classes = {name: [row for row in importlib.import_module(name).ROWS if options.row in row.name]
               for name in names}
    if options.list:
        for name, rows in classes.items():
            for row in rows:
                print("%s: %s [%s]" % (name, row.name, row.rfc))
        return 0
    passed = failed = 0
    for mode in options.mode or MODES:
        with labs.Lab(mode) as lab:
            good, bad = engine.run_classes(lab, classes, mode, options.verbose)
        passed, failed = passed + good, failed + bad
    print("%d passed, %d failed, 0 skipped" % (passed, failed))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
