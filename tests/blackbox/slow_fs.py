"""A file system that answers when a test says so (tests/bench/slow_fs.c), and a daemon that sees it."""

import os
import shutil
import signal
import subprocess
import threading
import time

import drover

SLOW_FS = os.path.join(drover.BUILD, "tests/bench/slow_fs")
CLONE_NEWNS = 0x00020000


class SlowFs:
    """`files` (name -> bytes) at `path`, for those who enter."""

    def __init__(self, files):
        self.dir = drover.temporary_directory()
        self.path = os.path.join(self.dir, "far")
        source = os.path.join(self.dir, "source")
        os.mkdir(self.path)
        os.mkdir(source)
        for name, content in files.items():
            with open(os.path.join(source, name), "wb") as file:
                file.write(content)
            os.utime(os.path.join(source, name), (1e9, 1e9))
        self.said = []
        self.changed = threading.Condition()
        self.process = subprocess.Popen([SLOW_FS, self.path, source], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, bufsize=1, preexec_fn=self._end_with_us)
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()
        self.wait("ready")
        self.namespace = os.open("/proc/%d/ns/mnt" % self.process.pid, os.O_RDONLY | os.O_CLOEXEC)

    @staticmethod
    def _end_with_us():
        drover.libc.prctl(drover.PR_SET_PDEATHSIG, signal.SIGKILL)

    def _listen(self):
        for line in self.process.stdout:
            with self.changed:
                self.said.append(line.strip())
                self.changed.notify_all()
        with self.changed:
            self.said.append("ended")
            self.changed.notify_all()

    def enter(self):
        """For preexec."""
        if drover.libc.setns(self.namespace, CLONE_NEWNS) != 0:
            os._exit(1)

    def mark(self):
        with self.changed:
            return len(self.said)

    def wait(self, text, since=0, count=1):
        end = drover.deadline()
        with self.changed:
            while self.said[since:].count(text) < count:
                if "ended" in self.said or not self.changed.wait(max(0, end - time.monotonic())):
                    raise AssertionError("the file system never said %s: %s" % (text, self.said))

    def _tell(self, command, answer):
        since = self.mark()
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        self.wait(answer, since)

    def hold(self, operation, name):
        self._tell("hold %s %s" % (operation, name), "holding")

    def release(self):
        self._tell("release", "released")

    def close(self):
        """What it holds fails now."""
        self.process.stdin.close()
        self.process.wait(drover.DEADLINE)
        self.thread.join()
        self.process.stdout.close()
        os.close(self.namespace)
        shutil.rmtree(self.dir)
