"""The clients of the loss table (client.c), as a process."""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "blackbox"))

import drover  # noqa: E402  (the path comes first)

CLIENT = os.path.join(drover.BUILD, "tests", "loss", "client")
FINISH_SECONDS = 20     # client.c's --finish, by which all it has begun has an outcome
LOSSES = ("reset", "unanswered", "truncated", "wrong", "stalled", "behind_close", "reset_after", "unasked")
UNWELCOME = ("refused", "crossed", "idle_closed", *LOSSES)  # what an operator's work may cost, from harmless to worst


def files(directory, large=2 << 20):
    """Writes files of which every body is different at every offset; the largest is for slow downloads."""
    os.makedirs(directory, exist_ok=True)
    os.chmod(directory, 0o755)
    for name, size in {"empty": 0, "tiny": 30, "small": 1500, "page": 40000, "picture": 300000, "large": large}.items():
        path = os.path.join(directory, name)
        with open(path, "wb") as file:
            file.write(b"".join(b"%s %07d\n" % (name.encode(), i) for i in range(size // 10 + 1))[:size])
        os.chmod(path, 0o644)


class Clients:
    """`kinds`: how many of each, as {"one-shot": 4, ...}; `options`: other options of client.c, in the same way."""

    def __init__(self, address, root, kinds, **options):
        self.ready, ready = os.pipe()
        command = [CLIENT, "--address", drover.address_text(address), "--root", root, "--until-stdin-closes",
                   "--ready", str(ready), "--finish", str(FINISH_SECONDS)]
        for name, value in {**kinds, **options}.items():
            command += ["--" + name.replace("_", "-"), str(value)]
        self.output = tempfile.TemporaryFile()  # a pipe holds too little, and it is read when the process has ended
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=self.output, pass_fds=[ready])
        os.close(ready)
        self.pidfd = os.pidfd_open(self.process.pid)    # readable when it ended by itself (--requests)

    def wait_ready(self, seconds=drover.DEADLINE):
        """Until every client has seen something good."""
        if not select.select([self.ready], [], [], seconds)[0] or os.read(self.ready, 1) != b"r":
            raise AssertionError("the clients have no answers: %s" % self.report())

    def report(self):
        """Ends it; what it says."""
        try:
            self.process.communicate(timeout=FINISH_SECONDS + drover.DEADLINE)
            self.output.seek(0)
            text = self.output.read()
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
            raise
        finally:
            self.process.wait()
            os.close(self.pidfd)
            os.close(self.ready)
            self.output.close()
        return json.loads(text)

    def stop(self):
        """It finishes what is under way; report() waits for that."""
        self.process.stdin.close()
        self.process.stdin = None       # communicate() would flush it


def pause(clients, seconds):
    """Over when the time is, or when all of the clients have ended (--requests): then True."""
    end = drover.deadline(seconds)
    running = list(clients)
    while running and (rest := end - time.monotonic()) > 0:
        ended = select.select([one.pidfd for one in running], [], [], rest)[0]
        running = [one for one in running if one.pidfd not in ended]
    return not running


def sum_up(report, names=UNWELCOME):
    """"keep_alive: 3 reset" and so on; empty when there was nothing of the kind."""
    return ["%s: %d %s" % (kind, counts[name], name) for kind, counts in report["kinds"].items()
            for name in names if counts[name]]


def surplus(endings, deaths):
    """What is wrong when at any moment more connections had ended than those had that had died by then.

    endings: [seconds, ...]; deaths: (seconds, connections)."""
    deaths = sorted(deaths)
    allowed = number = 0
    for number, ending in enumerate(sorted(endings), 1):
        while deaths and deaths[0][0] <= ending[0]:
            allowed += deaths.pop(0)[1]
        if number > allowed:
            return ["%d connections had ended when %d were lost with their workers: %s" % (number, allowed, ending)]
    return []
