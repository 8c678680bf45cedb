#!/usr/bin/env python3
"""Attacks by clients of the network, beside normal clients, and what these notice.

    attacks.py [--seconds N] [--only NAME...] [--accept MODE]    each alone, about 8 minutes
    attacks.py --short              in groups, these side by side; for `make check`
    attacks.py --list

Normal clients (tests/bench/waits.c) ask for a small file, half of them over kept connections, half on one of their own
each, at a pace that does not depend on the server; before, during and after each attack, which runs in a process of
its own.  Asserted, of every attack: no normal client failed or had a wrong answer; what the attack does is counted
where drover(8) says; its connections end as is due to them; the workers' memory and descriptors are bounded while it
lasts, and their descriptors are back when it is over.  Times are printed and never asserted.

Prints Markdown and "N passed, N failed, N skipped"; exit status 1 when one failed.
"""

import argparse
import collections
import contextlib
import json
import os
import re
import select
import socket
import subprocess
import sys
import threading
import time
import traceback

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(TESTS, "blackbox"), os.path.join(TESTS, "loss")]

import crowd  # noqa: E402  (the path comes first)
import drover  # noqa: E402
import heads  # noqa: E402
import overload  # noqa: E402
import waits  # noqa: E402
from crowd import Way  # noqa: E402

TOTALS = re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped$", re.M)
RATE = 100              # normal requests a second of each kind
KEPT = 8                # connections of those that are kept
SAMPLE_SECONDS = 0.1    # between two looks at memory
GROWTH_KB = 16 << 10    # of one worker, whatever is done to it; the rows print what it was
LARGE = 8 << 20
# Of whoever is slow.  Longer than a machine stands still: who takes an answer beside them is not slow.
TIMEOUT = "3s"
SHORT_SECONDS = 4.0     # the timeouts of the slow ones run out meanwhile
# of an address, where it has limits
CONNECTIONS, REQUESTS, BANDWIDTH = 16, 100, 4 << 20
ONE = "127.66.6.6"
GET = b"GET /tiny HTTP/1.1\r\nHost: attack.example\r\n\r\n"
POST = b"POST /tiny HTTP/1.1\r\nHost: attack.example\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


# ---- the slow ones --------------------------------------------------------------------------------------------


def byte(_):
    return b"x"


TOO_LATE = {(408, "end")}
SLOW = [
    Way("head, a byte at a time", b"GET / HTTP/1.1\r\nHost: a.example\r\nX-Slow: ", byte, ends=TOO_LATE),
    Way("head, never finished", b"GET / HTTP/1.1\r\nHost: a.example\r\n", ends=TOO_LATE),
    Way("head, a line at a time", b"GET / HTTP/1.1\r\nHost: a.example\r\n", lambda n: b"X-%d: y\r\n" % n, ends=TOO_LATE),
    Way("request line, a byte at a time", b"G", lambda n: b"ET /"[n - 1:n] or b"x", ends=TOO_LATE),
    Way("body, a byte at a time", POST + b"Content-Length: 100000\r\n\r\n", byte, ends={(405, "end")}),
    Way("chunks of a byte", CHUNKED, lambda _: b"1\r\nx\r\n", ends={(405, "end")}),
    Way("a chunk's extension without an end", CHUNKED + b"1;a=", byte, ends={(405, "end")}),
    Way("trailers without an end", CHUNKED + b"0\r\n", lambda n: b"X-%d: y\r\n" % n, ends={(405, "end")}),
    Way("answer, a few bytes at a time", GET.replace(b"tiny", b"large"), take=16, ends={(200, "reset")}),
    Way("answer, nothing of it taken", GET.replace(b"tiny", b"large"), take=0, ends={(None, "reset"), (200, "reset")}),
    Way("nothing sent", ends={(None, "end")}),
    Way("half a head, then its end", b"GET / HT", half=True, ends={(None, "end")}, counted="accepted"),
    Way("PROXY header, a byte at a time", b"PROXY TCP4 1", lambda _: b"1", ends={(None, "reset"), (None, "end")}, to="proxy",
        counted="proxy_refused timeouts"),
]
IDLE = Way("idle after a request", GET, ends="idle")


class Attack:
    """One kind.  settings: of the server, over the common ones."""

    settings = {}
    where = "many"
    growth_kb = GROWTH_KB

    def __init__(self, name):
        self.name = name

    def prepare(self, server):
        """Files and the like, before it is measured."""

    def run(self, addresses, until, seconds):
        """In the attacker's process: {"did": what it did, "wrong": text of what was not as is due, "counted":
        counters and by how much they must have moved at least}."""
        raise NotImplementedError


class Slow(Attack):
    def __init__(self, name, ways, count, again):
        super().__init__(name)
        self.ways, self.count, self.again = ways, count, again

    def run(self, addresses, until, seconds):
        some = crowd.Crowd(self.ways, self.count, addresses, self.where, again=self.again).run(until, seconds + 60)
        wrong = crowd.wrong_endings(self.ways, some.outcomes)
        stuck = [one.way.name for one in some.ones.values() if one.way.ends != "idle"]
        if stuck:
            wrong += " without an end: %s" % collections.Counter(stuck)
        some.close()
        counted = collections.Counter()
        ended = {way.name: sum(some.outcomes[way.name].values()) for way in self.ways}
        for way in self.ways:
            for counter in way.counted.split():
                counted[counter] += ended[way.name]
        return {"did": "%d connections" % sum(ended.values()), "wrong": wrong, "counted": counted}


class Fill(Slow):
    """More idle connections than there may be."""

    settings = {"limits": {"connections": 200}}

    def __init__(self, name, count):
        super().__init__(name, [IDLE], count, True)

    def run(self, addresses, until, seconds):
        some = crowd.Crowd([IDLE], self.count, addresses, self.where, again=True).run(until, seconds, 1)
        shed = some.has_ended()
        some.close()
        return {"did": "%d connections" % (shed + len(some.ones)), "wrong": "", "counted": {"shed": shed}}


# ---- the fast ones --------------------------------------------------------------------------------------------


def is_on(until):
    return not select.select([until], [], [], 0)[0]


class Flood(Attack):
    """Requests as fast as they are answered: `kept` percent over kept connections."""

    def __init__(self, name, kept, clients, where="many"):
        super().__init__(name)
        self.kept, self.clients, self.where = kept, clients, where

    def flood(self, addresses, seconds):
        how = ("-s", self.where) if self.where != "many" else ()
        return overload.flood(addresses["plain"], "/tiny", waits.BYTES, "-k", self.kept, "-w", 10000, "-c",
                              self.clients, "-t", int(seconds * 1000), *how)

    def run(self, addresses, until, seconds):
        ended = self.flood(addresses, seconds)
        bad, good = sum(one.silent + one.reset for one in ended), sum(one.good for one in ended)
        return {"did": "%d requests" % good, "wrong": "%d lost" % bad if bad else "", "counted": {"status_2xx": good}}


# ---- those that meet a limit: what normal clients have is theirs ------------------------------------------------


class Limited(Flood):
    """The same of one address that has a limit: it is served no more than that, and told so."""

    settings = {"clients": {"requests": REQUESTS, "burst": REQUESTS}}

    def run(self, addresses, until, seconds):
        began = time.monotonic()
        ended = self.flood(addresses, seconds)
        most = REQUESTS * (1 + time.monotonic() - began)
        good, beyond, closed, silent = (sum(getattr(one, what) for one in ended)
                                        for what in ("good", "refused", "reset", "silent"))
        wrong = "%d without an answer" % silent if silent else ""
        if not 0 < good <= most:
            wrong += "%d were let through, %d at most" % (good, most)
        return {"did": "%d answered, %d told 429, %d closed" % (good, beyond, closed), "wrong": wrong,
                "counted": {"limited_requests": beyond}}


class Greedy(Attack):
    """One address that takes large files over some connections at once, as fast as they come."""

    settings = {"clients": {"bandwidth": "%dk" % (BANDWIDTH >> 10)}}

    def __init__(self, name, where, count=8):
        super().__init__(name)
        self.where, self.count = where, count

    def run(self, addresses, until, seconds):
        got, began = 0, time.monotonic()
        poll, sockets = select.poll(), {}
        for _ in range(self.count):
            one = crowd.connected(addresses["plain"], self.where)
            one.send(GET.replace(b"tiny", b"large") * 4)
            sockets[one.fileno()] = one
            poll.register(one, select.POLLIN)
        poll.register(until, select.POLLIN)
        wrong = ""
        while not wrong and is_on(until) and time.monotonic() - began < seconds:
            for number, _ in poll.poll(100):
                if number in sockets:
                    data = sockets[number].recv(crowd.CHUNK)
                    got += len(data)
                    wrong = wrong or ("" if data else "a connection ended")
        # the rate, a second's burst, and a piece of each connection's
        most = BANDWIDTH * (2 + time.monotonic() - began)
        for one in sockets.values():
            one.close()
        if not 0 < got <= most:
            wrong += "%d bytes, %d at most" % (got, most)
        return {"did": "%.1f MB over %d connections" % (got / 1e6, self.count), "wrong": wrong,
                "counted": {"limited_bandwidth": 1}}


class Scattered(Attack):
    """Each request from another address, of thousands of networks: each of them is a client, and none is refused."""

    settings = {"clients": {"connections": CONNECTIONS, "requests": REQUESTS, "network_requests": REQUESTS}}

    def run(self, addresses, until, seconds):
        answers = collections.Counter()
        end = time.monotonic() + seconds
        while is_on(until) and time.monotonic() < end:
            one = crowd.connected(addresses["plain"])
            one.settimeout(drover.DEADLINE)
            one.send(GET)
            answers[int(one.recv(crowd.CHUNK)[9:12] or 0)] += 1
            one.close()
        return {"did": "%d clients" % sum(answers.values()),
                "wrong": "" if set(answers) == {200} else str(dict(answers)), "counted": {"status_2xx": answers[200]}}


class Hoard(Slow):
    """Idle connections of one address, of which it may have a few."""

    settings = {"clients": {"connections": CONNECTIONS}}

    def __init__(self, name, count, where):
        super().__init__(name, [IDLE], count, True)
        self.where = where

    def run(self, addresses, until, seconds):
        some = crowd.Crowd(self.ways, self.count, addresses, self.where, again=True).run(until, seconds, 1)
        told = sum(count for (status, _), count in some.outcomes[IDLE.name].items() if status == 429)
        ended = some.has_ended()
        kept = [one for one in some.ones.values() if one.status() == 200]
        some.close()
        return {"did": "%d connections, %d told 429" % (ended, told),
                "wrong": "" if 0 < len(kept) <= CONNECTIONS else "it has %d" % len(kept),
                "counted": {"limited_connections": ended}}


# ---- what is asked --------------------------------------------------------------------------------------------


class Pipeline(Attack):
    """Thousands of requests in one write, again and again, and never a look at the answers."""

    REQUESTS = GET * 2000

    def run(self, addresses, until, seconds):
        sockets = [crowd.connected(addresses["plain"], self.where, 4096) for _ in range(8)]
        sent, ended = 0, 0
        poll = select.poll()
        by_number = {one.fileno(): one for one in sockets}
        for one in sockets:
            poll.register(one, select.POLLOUT)
        end = time.monotonic() + seconds + 30
        while by_number and time.monotonic() < end:
            for number, _ in poll.poll(100):
                try:
                    sent += by_number[number].send(self.REQUESTS)
                except BlockingIOError:
                    pass
                except ConnectionError:
                    poll.unregister(number)
                    by_number.pop(number).close()
                    ended += 1
        return {"did": "%d connections, %d KiB" % (len(sockets), sent >> 10),
                "wrong": "%d without an end" % len(by_number) if by_number else "", "counted": {"timeouts": ended}}


class Reset(Attack):
    """Connections that end in a reset: at once, after a request, and in the middle of a large answer."""

    def run(self, addresses, until, seconds):
        did = 0
        kept = collections.deque()
        end = time.monotonic() + seconds
        while is_on(until) and time.monotonic() < end:
            try:
                one = crowd.connected(addresses["plain"])
            except OSError:
                continue
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, crowd.LINGER_NONE)
            if did % 3:
                one.send(GET if did % 3 == 1 else GET.replace(b"tiny", b"large"))
            kept.append(one)
            if did % 3 == 0 or len(kept) > 16:
                kept.popleft().close()
            did += 1
        for one in kept:
            one.close()
        return {"did": "%d connections" % did, "wrong": "", "counted": {"accepted": did}}


class Asked(Attack):
    """Requests (heads.py), one after the other, over `clients` connections: each answer is judged."""

    def __init__(self, name, cases, counted, clients=8, prepare=None):
        """counted: as what those of its answers are that have which statuses."""
        super().__init__(name)
        self.cases, self.counted, self.clients = cases, counted, clients
        self.prepare = prepare or self.prepare

    def run(self, addresses, until, seconds):
        asked = heads.Asker(addresses["plain"], self.cases, self.clients)
        asked.run(time.monotonic() + seconds)
        return {"did": "%d requests, %.1f MB asked, %.1f MB answered%s" % (
            asked.count, asked.sent / 1e6, asked.got / 1e6, asked.worst()), "wrong": "; ".join(sorted(asked.wrong)[:4]),
                "counted": {counter: sum(asked.statuses[status] for status in statuses)
                            for counter, statuses in self.counted.items()}}


class Beside(Asked):
    """What is done in a helper thread; the listings of a worker may take 64 MiB together."""

    growth_kb = (64 << 10) + GROWTH_KB


# ---- what is measured -----------------------------------------------------------------------------------------


class Watch:
    """The workers' memory, its peak, and the processor time that they took."""

    def __init__(self, pids):
        self.pids, self.peak_kb, self.over = pids, 0, threading.Event()
        self.before_kb = self.look()
        self.cpu = self.ticks()
        self.thread = threading.Thread(target=self.sample)
        self.thread.start()

    def look(self):
        return max(int(drover.process_status(pid)["VmRSS"].split()[0]) for pid in self.pids)

    def ticks(self):
        total = 0
        for pid in self.pids:
            with open("/proc/%d/stat" % pid, encoding="ascii", errors="replace") as file:
                total += sum(map(int, file.read().rsplit(")", 1)[1].split()[11:13]))
        return total / os.sysconf("SC_CLK_TCK")

    def sample(self):
        while not self.over.wait(SAMPLE_SECONDS):
            self.peak_kb = max(self.peak_kb, self.look())

    def finish(self):
        self.over.set()
        self.thread.join()
        self.peak_kb = max(self.peak_kb, self.look())
        self.cpu = self.ticks() - self.cpu


class Normal:
    """The normal clients, for that long."""

    def __init__(self, address, seconds):
        self.loads = [waits.Load(address, RATE, seconds), waits.Load(address, RATE, seconds, "-k", str(KEPT))]

    def finish(self):
        ended = [one for load in self.loads for one in load.waits()]
        self.outcomes = collections.Counter(one.outcome for one in ended)
        self.bad = sum(count for outcome, count in self.outcomes.items() if outcome not in ("good", "busy"))
        self.times = sorted(1000 * one.waited for one in ended if one.outcome == "good")
        return self

    def cells(self):
        return "%.2f | %.2f | %.2f" % (waits.percentile(self.times, 50), waits.percentile(self.times, 99),
                                       max(self.times, default=0))


@contextlib.contextmanager
def beside(attacks, addresses, seconds):
    """The attackers, each a process of its own; yields a list that has their results when it is left."""
    results, children = [], []
    until, stop = os.pipe()
    for attack in attacks:
        answer, out = os.pipe()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.close(stop)
                os.close(answer)
                crowd.raise_limit()
                crowd.write_all(out, json.dumps(attack.run(addresses, until, seconds)))
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        os.close(out)
        children.append((child, answer))
    os.close(until)
    try:
        yield results
    finally:
        os.close(stop)
        for child, answer in children:
            with os.fdopen(answer, "rb") as text:
                said = text.read()
            os.waitpid(child, 0)
            results.append(json.loads(said) if said else {"did": "nothing", "wrong": "the attacker failed", "counted": {}})


class Target(drover.Drover):
    """The daemon with all that the attacks are aimed at."""

    def __init__(self, attacks, options):
        self.attacks, self.accept = attacks, options.accept
        self.proxy = drover.free_address()
        # what is measured shall not wait for a CPU that the attackers, or others, have
        super().__init__(preexec=None if options.short else waits.promptly)

    def defaults(self):
        self.write("tiny", "x" * waits.BYTES)
        self.write("large", b"x" * LARGE)
        settings = {**super().defaults(), "accept": self.accept, "limits": {"min_rate": "1k"},
                    "timeouts": {name: TIMEOUT for name in ("request_head", "body", "send", "proxy")},
                    "sites": [{"routes": heads.routes(self)}]}
        settings["listen"] = [*settings["listen"], {"address": drover.address_text(self.proxy), "proxy_protocol": True,
                                                    "proxy_from": ["127.0.0.0/8"]}]
        for one in self.attacks:
            one.prepare(self)
            for name, value in one.settings.items():
                settings[name] = {**settings.get(name, {}), **value}
        return settings


def judge(claims, attacks, results, during, after, watch, server, before):
    name = ", ".join(attack.name for attack in attacks)
    claims.claim(not during.bad and during.outcomes["good"] > 0, name + ": normal clients are answered", dict(during.outcomes))
    claims.claim(not after.bad, name + ": and afterwards", dict(after.outcomes))
    for attack, result in zip(attacks, results):
        claims.claim(not result["wrong"], attack.name + ": ends as is due", result["wrong"] or result["did"])
    status = server.wait_status(lambda status: status["totals"]["open"] == 0)
    totals = {counter: value - before["totals"][counter] for counter, value in status["totals"].items()
              if isinstance(value, int) and counter in before["totals"]}
    for attack, result in zip(attacks, results):
        least = result["counted"]
        claims.claim(sum(least.values()) > 0 and all(totals[counter] >= least[counter] for counter in least),
                     attack.name + ": is counted", "%s of %s" % ({counter: totals[counter] for counter in least}, least))
    grown = watch.peak_kb - watch.before_kb
    claims.claim(grown <= max(attack.growth_kb for attack in attacks), name + ": memory is bounded", "%d KiB more at most" % grown)
    return totals


def attack(claims, attacks, options):
    """All of them together."""
    with Target(attacks, options) as server:
        addresses = {"plain": server.address, "proxy": server.proxy}
        quiet = Normal(server.address, options.quiet).finish()
        before = server.wait_status(lambda status: status["totals"]["open"] == 0)
        workers = list(server.workers(before).values())
        opened = [drover.fds(pid) for pid in workers]
        watch = Watch(workers)
        with beside(attacks, addresses, options.seconds) as results:
            during = Normal(server.address, options.seconds).finish()
            most = max(drover.fds(pid) for pid in workers)
        watch.finish()
        after = Normal(server.address, options.quiet).finish()
        totals = judge(claims, attacks, results, during, after, watch, server, before)
        now = [drover.fds(pid) for pid in workers]
        # a helper thread that was made with its first job has an eventfd: for requests, for watches, for the disk
        claims.claim(all(a <= b + 3 for a, b in zip(now, opened)), "no descriptor is left behind", "%s, before %s" % (now, opened))
        claims.claim(list(server.workers().values()) == workers, "no worker died", "")
    print("| %s | %s | %d | %d | %s | %s | %d -> %d | %d | %.2f | %s |" % (
        ", ".join(one.name for one in attacks), "; ".join(one["did"] for one in results), during.outcomes["good"],
        during.bad, quiet.cells(), during.cells(), watch.before_kb, watch.peak_kb, most,
        watch.cpu, ", ".join("%s %d" % (counter, totals[counter]) for counter in
                             sorted({counter for one in results for counter in one["counted"]}))), flush=True)


HEAD = ("| attack | it did | normal: answered | failed, wrong | p50 quiet, ms | p99 | longest | p50 during | p99 | "
        "longest | "
        "KiB of a worker | descriptors | CPU, s | counted |\n|%s" % ("---|" * 14))


# ---- which there are --------------------------------------------------------------------------------------------


def fast_ones(short):
    entries = 2000 if short else 20000
    return [
        Pipeline("pipelining, never reading"),
        Reset("resets"),
        Asked("broken heads", heads.BROKEN, {"parse_errors": (400, 414, 431, 501, 505)}),
        Asked("odd targets", heads.TARGETS, {"status_4xx": (400, 403, 404, 414)}),
        Asked("ranges", heads.RANGES, {"status_2xx": (200, 206)}),
        Asked("long lists in fields", heads.LISTS, {"status_2xx": (200, 206)}),
        Asked("errors and redirects", heads.ECHOES, {"status_4xx": (404, 405, 414), "status_3xx": (301, 302, 308)}),
        Beside("listings of %d" % entries, heads.LISTINGS, {"status_2xx": (200,)}, 8,
              prepare=lambda server: heads.many_entries(server, entries)),
        Beside("guessing passwords", heads.GUESSES, {"auth_failed": (401,), "tasks_refused": (503,)}, 16),
    ]


def limited_ones(count):
    """Each an address of its own: they may run together."""
    return [
        Hoard("idle connections of one, limited", count, "127.66.1.6"),
        Limited("requests of one, limited", 100, 8, "127.66.2.6"),
        Limited("requests of one, each on a connection, limited", 0, 8, "127.66.3.6"),
        Greedy("downloads of one, limited", "127.66.4.6"),
        Scattered("one request each of many, limited"),
    ]


def full_ones():
    for way in SLOW:
        yield [Slow(way.name, [way], 1000, True)]
    yield [Fill("idle connections to the limit", 600)]
    for name, where in (("one", ONE), ("many", "many")):
        yield [Flood("connections from %s" % name, 0, 64, where)]
        yield [Flood("requests from %s" % name, 100, 64, where)]
    for one in limited_ones(200):
        yield [one]
    for one in fast_ones(False):
        yield [one]


def short_ones():
    return [[Slow("all slow ways together", SLOW, 8, False)], [Fill("idle to the limit", 450)], limited_ones(50),
            fast_ones(True)]


def side_by_side(count):
    """The groups of the short form, each in a process of its own: what is counted does not depend on the others."""
    processes = [subprocess.Popen([sys.executable, *sys.argv, "--group", str(number)], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, text=True) for number in range(count)]
    sums = [0, 0, 0]
    for process in processes:
        output = process.communicate()[0]
        print(output)
        totals = TOTALS.findall(output)
        sums = [a + int(b) for a, b in zip(sums, totals[-1] if totals else (0, 1, 0))]
    print("%d passed, %d failed, %d skipped" % tuple(sums))
    return 1 if sums[1] else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--accept", default="directed")
    parser.add_argument("--group", type=int, help="of the short form, this one alone")
    options = parser.parse_args()
    options.quiet = 0.3 if options.short else 4.0
    claims = overload.Claims()
    groups = short_ones() if options.short else list(full_ones())
    if options.list:
        print("\n".join(one.name for group in groups for one in group))
        return 0
    if options.short and options.group is None:
        return side_by_side(len(groups))
    crowd.raise_limit()
    print(HEAD)
    for number, group in enumerate(groups):
        if options.short:
            options.seconds = SHORT_SECONDS
        if options.group in (None, number) and (
                not options.only or any(word in one.name for word in options.only for one in group)):
            attack(claims, group, options)
    return claims.report()


if __name__ == "__main__":
    sys.exit(main())
