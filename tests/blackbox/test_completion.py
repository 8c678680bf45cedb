"""What shells offer for droverctl: all that its help names, and settings and slots of the daemon that is there."""

import os
import re
import shutil
import subprocess
import tempfile
import unittest

import drover
from drover import CTL, Drover

COMPLETION = os.path.join(drover.TOP, "conf", "completion")

BASH = """source %s/droverctl.bash
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _droverctl; printf '%%s\\n' "${COMPREPLY[@]}" """

# what the completion system would define
ZSH = """compdef() { : }
compadd() { shift; print -l -- "$@" }
_files() { print -l -- *(N) }
source %s/_droverctl
words=("$@"); CURRENT=$#; _droverctl"""

FISH = """source %s/droverctl.fish
complete -C (string join ' ' -- $argv)"""


def bash(words):
    return ["bash", "--norc", "-c", BASH % COMPLETION, "bash", *words]


def zsh(words):
    return ["zsh", "-f", "-c", ZSH % COMPLETION, "zsh", *words]


def fish(words):
    return ["fish", "--no-config", "-c", FISH % COMPLETION, *words]


SHELLS = {"bash": bash, "zsh": zsh, "fish": fish}


def help_blocks():
    """command -> the options that its part of the help names; "": those of all."""
    said = subprocess.run([CTL, "--help"], capture_output=True, text=True, timeout=drover.DEADLINE).stdout
    blocks, name = {"": set()}, None
    for line in said.splitlines():
        if found := re.match(r"  ([a-z][a-z-]*)", line):
            name = found.group(1)
        elif line.startswith("  -"):
            name = ""
        elif line.startswith("exit status"):
            break
        if name is not None:
            blocks.setdefault(name, set()).update(re.findall(r"--[a-z][a-z-]*", line))
    return blocks


class Completion(unittest.TestCase):
    """bash is everywhere; the others are tried where they are."""

    @classmethod
    def setUpClass(cls):
        cls.server = Drover()
        cls.addClassCleanup(cls.server.close)
        cls.home = tempfile.TemporaryDirectory(prefix="drover-test-")
        cls.addClassCleanup(cls.home.cleanup)
        open(os.path.join(cls.home.name, "a.conf"), "w", encoding="ascii").close()
        cls.blocks = help_blocks()

    def offered(self, shell, *words, command="droverctl"):
        """What is offered in place of the last of the words."""
        path = os.path.dirname(CTL) + ":" + os.environ["PATH"]
        result = subprocess.run(SHELLS[shell]([command, *words]), capture_output=True, text=True, cwd=self.home.name,
                                stdin=subprocess.DEVNULL, timeout=drover.DEADLINE,
                                env={**os.environ, "PATH": path, "HOME": self.home.name, "TERM": "dumb"})
        self.assertEqual(result.stderr, "", (shell, words))
        begun = words[-1]
        return {line.split("\t")[0] for line in result.stdout.split("\n") if line and line.startswith(begun)}

    def each(self, test):
        for shell in SHELLS:
            if shutil.which(shell):
                with self.subTest(shell):
                    test(shell)

    def ask(self):
        return "--socket", self.server.control

    def test_all_commands(self):
        def test(shell):
            self.assertEqual(self.offered(shell, ""), set(self.blocks) - {""})
            self.assertEqual(self.offered(shell, *self.ask(), "stat"), {"status"})

        self.each(test)

    def test_all_options_of_each_command(self):
        def test(shell):
            self.assertEqual(self.offered(shell, "--"), self.blocks[""])
            for command in set(self.blocks) - {""}:
                self.assertEqual(self.offered(shell, command, "--"), self.blocks[""] | self.blocks[command], command)

        self.each(test)

    def test_words_behind_options(self):
        def test(shell):
            self.assertEqual(self.offered(shell, "connections", "--state", ""),
                             {"idle", "head", "waiting", "sending", "leaving", "moving"})
            self.assertEqual(self.offered(shell, "connections", "--sort", ""), {"age", "bytes"})
            self.assertIn("a.conf", self.offered(shell, "--socket", ""))
            self.assertEqual(self.offered(shell, "connections", "--peer", ""), set())

        self.each(test)

    def test_slots_settings_and_files(self):
        names = set(self.server.ctl("settings", "--names").stdout.split())
        self.assertIn("log.level", names)
        def test(shell):
            self.assertEqual(self.offered(shell, *self.ask(), "connections", "--slot", ""), {"0", "1"})
            self.assertEqual(self.offered(shell, *self.ask(), "drain", ""), {"0", "1", "all"})
            self.assertEqual(self.offered(shell, *self.ask(), "get", ""), names)
            self.assertEqual(self.offered(shell, *self.ask(), "set", "log.le"), {"log.level"})
            self.assertIn("a.conf", self.offered(shell, *self.ask(), "check", ""))

        self.each(test)

    def test_without_a_daemon_nothing_is_said(self):
        nowhere = ("--socket", self.server.control + ".none")
        def test(shell):
            self.assertEqual(self.offered(shell, *nowhere, "connections", "--slot", ""), set())
            self.assertEqual(self.offered(shell, *nowhere, "drain", ""), {"all"})
            self.assertEqual(self.offered(shell, *nowhere, "status", ""), set())

        self.each(test)


if __name__ == "__main__":
    unittest.main()
