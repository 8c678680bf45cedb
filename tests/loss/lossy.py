#!/usr/bin/env python3
"""A server that loses on purpose, and the proof that the client (client.c) notices: every kind of loss is counted
exactly, and nothing else is.

    lossy.py    prints what is wrong, and "N passed, N failed, N skipped"; exit status 1 when something was
"""

import collections
import concurrent.futures
import json
import os
import re
import select
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "blackbox"))

import drover  # noqa: E402
from clients import surplus  # noqa: E402

CLIENT = os.path.join(drover.BUILD, "tests", "loss", "client")
EVERY = 3       # request is answered badly
REQUESTS = 61   # not the last one: nobody is there any more to notice what follows it

# What the server does to an answer: (its new bytes, how the connection ends), the outcome of the request, and that
# of the requests behind it in the same burst.
WAYS = {
    "good": (lambda answer: (answer, None), "good", "good"),
    "reset": (lambda answer: (b"", "reset"), "reset", "reset"),
    "closed": (lambda answer: (b"", "close"), "unanswered", "unanswered"),
    "truncated": (lambda answer: (answer[:-1], "close"), "truncated", "unanswered"),
    "half a head": (lambda answer: (answer[:20], "close"), "truncated", "unanswered"),
    "last byte": (lambda answer: (answer[:-1] + b"?", None), "wrong", "unanswered"),
    "status": (lambda answer: (re.sub(rb" \d+ ", b" 404 ", answer, count=1), None), "wrong", "unanswered"),
    "length": (lambda answer: (re.sub(rb"Length: ", b"Length: 1", answer, count=1), None), "wrong", "unanswered"),
    "silence": (lambda answer: (b"", None), "stalled", "stalled"),
    "announced": (lambda answer: (closing(answer), "close"), "good", "behind_close"),
    "reset after": (lambda answer: (closing(answer), "reset"), "reset_after", "behind_close"),
    "not announced": (lambda answer: (answer, "close"), "idle_closed", "unanswered"),
    "later": (lambda answer: (answer, "later"), "idle_closed", ""),
    "more than asked": (lambda answer: (answer + b"H", None), "unasked", "wrong"),
    "range": (lambda answer: (re.sub(rb"bytes (\d+)-", rb"bytes 1\1-", answer, count=1), None), "wrong", "unanswered"),
    "second part": (lambda answer: (last_part(answer), None), "wrong", "unanswered"),
    "expires": (lambda answer: (answer.replace(b"\r\n", b"\r\nKeep-Alive: timeout=1\r\n", 1), "expire"), "expired", ""),
}
# Requests that cross a FIN do not get here: so many are left then that the client's last one is none that is
# answered in this way, for it would not be there to notice.
LATER_UNTIL = 27
LATER = {"expire": 1, "later": 0.015}        # seconds until a connection is closed
# Outcomes of connections that end unasked; `announced` and `expires` are no such end.
ENDINGS = ("reset", "unanswered", "truncated", "wrong", "idle_closed", "crossed", "reset_after", "stalled")
REQUESTS_LOST = ("reset", "unanswered", "truncated", "wrong", "crossed", "stalled")
AFTER_GOOD = ("reset_after", "idle_closed", "unasked", "expired")   # the request itself was answered

# a kind of client, what is done to it, and options
CASES = (
    ("one-shot", ("reset", "closed", "truncated", "half a head", "last byte", "status", "length", "reset after"), ()),
    ("keep-alive", ("reset", "closed", "truncated", "half a head", "last byte", "status", "length", "announced",
                    "not announced", "reset after", "more than asked"), ()),
    ("keep-alive", ("silence",), ("--requests", "7")),
    ("distant", ("reset", "closed", "truncated", "last byte"), ("--requests", "25")),
    ("distant", ("later",), ("--requests", "37")),
    # no reset: it would take the answers before with it
    ("pipelined", ("closed", "truncated", "last byte", "announced"), ("--requests", "301")),
    ("post", ("reset", "closed", "truncated", "last byte", "status", "not announced"),
     ("--drip", "4", "--requests", "37")),
    ("partial", ("reset", "closed", "truncated", "last byte", "not announced"), ("--drip", "1", "--requests", "16")),
    ("download", ("truncated", "last byte", "status"), ("--download-rate", "20000000")),
    ("download", ("range", "good", "second part", "good"), ("--download-rate", "20000000")),
)


def closing(answer):
    return answer.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)


def last_part(answer):
    """One byte of the last part is another; of an answer in one piece, of the last ten bytes."""
    at = answer.rindex(b"\r\n--") if answer.endswith(b"--\r\n") else len(answer)
    return answer[:at - 10] + b"?" + answer[at - 9:]


def files():
    """name -> content; every body is different at every offset."""
    sizes = {"tiny": 30, "small": 1500, "page": 40000, "large": 300000}
    return {name: b"".join(b"%s %07d\n" % (name.encode(), i) for i in range(size // 10 + 1))[:size]
            for name, size in sizes.items()}


class Lossy(threading.Thread):
    """Answers every EVERY-th request in one of `ways`, in turn; `done` has the outcomes that are due."""

    REQUEST = re.compile(rb"(GET|POST) /(\w+) HTTP/1\.1\r\n(.*?\r\n)?\r\n", re.S)

    def __init__(self, contents, ways):
        super().__init__(daemon=True)
        self.contents, self.ways = contents, ways
        self.done = collections.Counter()
        self.ended = []         # (when, was it fresh: nothing answered on it) of each connection ended unasked
        self.answered = set()   # connections
        self.seen = 0
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.address = self.listener.getsockname()
        self.wake_read, self.wake_write = os.pipe()
        self.connections = {}   # socket -> bytes
        self.expiring = {}      # socket -> (when, what counts as done then)
        self.all_expired = threading.Event()
        self.expected, self.all_there = 0, threading.Event()    # first requests, and those of reopened connections
        self.start()

    def run(self):
        while True:
            ready = select.select([self.wake_read, self.listener, *self.connections], [], [], 0.005)[0]
            if self.wake_read in ready:
                break
            for one in ready:
                if one is self.listener:
                    one = self.listener.accept()[0]
                    one.settimeout(drover.DEADLINE)
                    self.connections[one] = b""
                elif not self.serve(one):
                    self.close(one)
            self.expire()
            gone = self.done["idle_closed"] + self.done["expired"]
            if self.expected and not self.expiring and self.seen >= self.expected + gone:
                self.all_there.set()
        for one in [*self.connections]:
            self.close(one)

    def expire(self):
        due = {one: outcome for one, (when, outcome) in self.expiring.items() if when <= time.monotonic()}
        for one, outcome in due.items():
            self.done[outcome] += 1
            self.note_end(one, outcome)
            self.close(one)
        if due and not self.expiring:
            self.all_expired.set()

    def close(self, one):
        del self.connections[one]
        self.expiring.pop(one, None)
        self.answered.discard(one)
        one.close()

    def serve(self, one):
        """False: this connection ends."""
        try:
            data = one.recv(1 << 20)
            self.connections[one] += data
            return bool(data) and self.answer_all(one)
        except ConnectionError:
            return False

    def answer_all(self, one):
        while request := self.REQUEST.match(self.connections[one]):
            length = re.search(rb"Content-Length: (\d+)", request.group(0))
            end = request.end() + (int(length.group(1)) if length else 0)
            if len(self.connections[one]) < end:
                break
            self.connections[one] = self.connections[one][end:]
            self.seen += 1
            way = self.ways[self.seen // EVERY % len(self.ways)] if self.seen % EVERY == 0 else "good"
            if way == "later" and self.seen > LATER_UNTIL:
                way = "good"
            if not self.answer(one, request, way):
                return False
        return True

    def answer(self, one, request, way):
        data, end = WAYS[way][0](self.whole(request))
        if end is None and data == self.whole(request):
            way = "good"        # there is nothing of that kind to be spoiled
        _, outcome, behind = WAYS[way]
        self.done["good"] += outcome in AFTER_GOOD
        if end in LATER:        # then, if the connection is still there, and once for it
            self.expiring[one] = time.monotonic() + LATER[end], outcome
        else:
            self.done[outcome] += 1
            self.note_end(one, outcome)
        if outcome == "good" or outcome in AFTER_GOOD:
            self.answered.add(one)
        if way != "good":
            self.done[behind] += len(self.REQUEST.findall(self.connections[one]))
            self.connections[one] = b""
        if end == "reset":
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.sendall(data)
        return end not in ("reset", "close") and b"Connection: close" not in request.group(0)

    def note_end(self, one, outcome):
        if outcome in ENDINGS:
            fresh = one not in self.answered and outcome not in AFTER_GOOD
            self.ended.append((time.monotonic(), fresh))

    def whole(self, request):
        method, name, fields = request.groups()
        if method == b"POST":
            return b"HTTP/1.1 405 No\r\nContent-Length: 6\r\n\r\nNever\n"
        content = self.contents[name.decode()]
        ranges = [(int(a), int(b) + 1) for a, b in re.findall(rb"(\d+)-(\d+)", fields)]
        if not ranges:
            return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(content), content)
        named = [b"Content-Range: bytes %d-%d/%d\r\n" % (a, b - 1, len(content)) for a, b in ranges]
        parts = [content[a:b] for a, b in ranges]
        if len(ranges) == 1:
            return b"HTTP/1.1 206 Part\r\n%sContent-Length: %d\r\n\r\n%s" % (named[0], len(parts[0]), parts[0])
        body = b"".join(b"\r\n--limit\r\n%s\r\n%s" % pair for pair in zip(named, parts)) + b"\r\n--limit--\r\n"
        return (b"HTTP/1.1 206 Parts\r\nContent-Type: multipart/byteranges; boundary=limit\r\n"
                b"Content-Length: %d\r\n\r\n%s" % (len(body), body))

    def stop(self):
        os.close(self.wake_write)
        self.join(drover.DEADLINE)
        os.close(self.wake_read)
        self.listener.close()


def ask(address, root, kind, options):
    """What a single client of the kind says."""
    command = [CLIENT, "--address", drover.address_text(address), "--root", root, "--" + kind, "1", "--limit", "3000",
               "--requests", str(REQUESTS), *options]
    result = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=drover.DEADLINE)
    return json.loads(result.stdout)


def compare(counts, done):
    """What the client counted and the server did not do, or the other way round."""
    counts, done = collections.Counter(counts), collections.Counter(done)
    counts["idle_closed"] += counts["crossed"]  # who crosses a FIN that nobody announced cannot see it as that
    return ["%s: counted %d, the server did %d" % (outcome, counts[outcome], done[outcome])
            for outcome in sorted({outcome for _, *both in WAYS.values() for outcome in both if outcome})
            if counts[outcome] != done[outcome]]


def compare_endings(report, ended):
    """The same of the list of connections that ended: each is there, after it was done, and fresh if it was."""
    endings, counts = report["endings"], report["total"]
    problems = []
    if len(endings) != len(ended) or report["more_endings"]:
        problems.append("%d endings, the server made %d" % (len(endings), len(ended)))
    if early := [pair for pair in zip(endings, ended) if pair[0][0] < pair[1][0]]:
        problems.append("before it was done: %s" % early)
    if [ending[4] for ending in endings] != [fresh for _, fresh in ended]:
        problems.append("fresh: %s, the server: %s" % (endings, ended))
    problems += compare_surplus(endings, [(when, 1) for when, _ in ended])
    lost = sum(counts[outcome] for outcome in REQUESTS_LOST)
    if sum(ending[3] for ending in endings) != lost:
        problems.append("%d requests lost, of the endings %d" % (lost, sum(ending[3] for ending in endings)))
    return problems


def compare_surplus(endings, deaths):
    """As if a worker with one connection had died for each: these account for all; one fewer, or one that died later,
    does not."""
    problems = surplus(endings, deaths)
    later = [(endings[0][0] + 1000, 1), *deaths[1:]]
    for name, some in {"one fewer": deaths[1:], "one too late": later, "nobody": [], "none open": [(0, 0)]}.items():
        if not surplus(endings, some):
            problems.append("surplus, %s: not noticed" % name)
    return problems


def run_case(root, contents, case):
    """What is wrong."""
    kind, ways, options = case
    server = Lossy(contents, ways)
    report = ask(server.address, root, kind, options)
    counts = report["total"]
    server.stop()
    problems = compare(counts, server.done)
    if "more than asked" not in ways:   # then it is the client that ends it
        problems += compare_endings(report, server.ended)
    for way in ways:
        if way != "good" and not server.done[WAYS[way][1]]:
            problems.append("%s: never done" % way)
    if ways == ("later",) and not 0 < counts["crossed"] < server.done["idle_closed"]:
        problems.append("%d crossed the FINs of %d" % (counts["crossed"], server.done["idle_closed"]))
    return problems


def run_refused(root):
    report = ask(drover.free_address(), root, "keep-alive", ("--seconds", "1"))
    counts = report["total"]
    good = counts["refused"] == counts["requests"] > 0
    good = good and sum(ending[1:] == ["keep_alive", "refused", 1, True]
                        for ending in report["endings"]) == counts["refused"]
    return [] if good else ["refused: %(refused)d of %(requests)d" % counts]


def run_idle(root, contents, reopen=False):
    """Idle connections that are closed, too early or when they may be, and some that stay; --ready says when all
    were open."""
    server = Lossy(contents, ("not announced", "expires"))
    server.expected = 20
    ready, ready_write = os.pipe()
    command = [CLIENT, "--address", drover.address_text(server.address), "--root", root, "--idle", "20",
               "--until-stdin-closes", "--ready", str(ready_write), "--reopen", str(int(reopen))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[ready_write]) as client:
        os.close(ready_write)
        said = os.read(ready, 1)
        server.ways = ("good",)
        expired = (server.all_there if reopen else server.all_expired).wait(drover.DEADLINE)
        counts = json.loads(client.communicate(timeout=drover.DEADLINE)[0])["total"]
    os.close(ready)
    server.stop()
    if reopen:
        closed, ran_out = server.done["idle_closed"], server.done["expired"]
        asked = 40 + closed + ran_out
    else:
        closed = ran_out = 3
        asked = 40 - 6
    wanted = {"idle_closed": closed, "expired": ran_out, "good": asked, "requests": asked}
    return ["%s: %d, not %d" % (name, counts[name], number) for name, number in wanted.items()
            if counts[name] != number] + ([] if said == b"r" and expired else ["never ready"])


def main():
    contents = files()
    passed = failed = 0
    with tempfile.TemporaryDirectory(prefix="drover-test-") as root:
        for name, content in contents.items():
            with open(os.path.join(root, name), "wb") as file:
                file.write(content)
        found = {"refused": run_refused(root), "idle": run_idle(root, contents),
                 "idle, reopened": run_idle(root, contents, reopen=True)}
        with concurrent.futures.ThreadPoolExecutor(len(CASES)) as pool:    # they mostly wait
            results = pool.map(lambda case: run_case(root, contents, case), CASES)
        found.update(zip(("%s %s" % (case[0], ", ".join(case[1])) for case in CASES), results))
    for name, problems in found.items():
        for problem in problems:
            print("%s: %s" % (name, problem))
        passed, failed = passed + (not problems), failed + bool(problems)
    print("%d passed, %d failed, 0 skipped" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
