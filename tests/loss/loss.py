#!/usr/bin/env python3
"""What clients lose while the operator works.

    loss.py             the full table
    loss.py --short     short cells, for `make check`
    loss.py --self-test only the proof that the accounting notices every kind of loss

Two kinds of clients run side by side against the daemon while something disturbs it: a connection per request,
and keep-alive connections with gaps that are shorter than timeouts.drain.  Every request is accounted for: it got
its whole right answer, or it is lost, and why.  In the cells of adopted reloads there are idle connections too,
which must all be open and answer afterwards.  In the cells where there is nobody to be reached any more (an address
that was removed, a service that stopped), being refused is no loss; everything else is.  Prints a Markdown table and "N passed, N failed, N skipped" (one
test is one cell); exit status 1 when anything was lost.
"""

import collections
import errno
import heapq
import json
import os
import random
import re
import select
import selectors
import signal
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "blackbox"))

import drover  # noqa: E402
from drover import Client, Drover  # noqa: E402

LOSSES = ("refused", "reset", "unanswered", "truncated", "wrong", "stalled")
IDLE = 200                  # connections that only wait, in the cells of adopted reloads
GAP = 0.03                  # the longest between two requests of a keep-alive connection
DRAIN = "5s"                # much longer
ANSWER_SECONDS = 20         # an answer that takes longer is a lost one
INTERVAL = 0.1              # between two disturbances
SHORT = {"seconds": 3, "requests": 30000, "stops": 3, "before": 300}
FULL = {"seconds": 20, "requests": 1000000, "stops": 20, "before": 3000}


def files():
    """name -> content; every body is different at every offset."""
    sizes = {"tiny": 30, "small": 1500, "page": 40000, "picture": 300000}
    return {name: b"".join(b"%s %07d\n" % (name.encode(), i) for i in range(size // 10 + 1))[:size]
            for name, size in sizes.items()}


# ---- one client process: many connections, one loop ------------------------------------------------------


class Connection:
    def __init__(self):
        self.socket = None
        self.state = "idle"         # connecting, sending, waiting, idle (may be without a socket)
        self.out = b""
        self.answer = bytearray()
        self.wanted = None          # name of the file
        self.answers = 0            # on this connection
        self.since = 0.0


class Clients:
    """`count` connections, each with one request at a time, until `stop` (a descriptor) signals its end."""

    HEAD = re.compile(rb"HTTP/1\.1 (\d+) [^\r]*\r\n(.*?\r\n)?\r\n", re.S)
    LENGTH = re.compile(rb"(?i)^content-length: *(\d+)\r$", re.M)
    CLOSE = re.compile(rb"(?i)^connection: *close\r$", re.M)

    def __init__(self, address, contents, keep_alive, count, limit, stop, gap=GAP, local=True):
        self.address, self.contents, self.keep_alive, self.gap = address, contents, keep_alive, gap
        self.names = sorted(contents)
        self.left, self.stop, self.stopping = limit, stop, False
        self.local = local
        self.counts = collections.Counter()
        self.selector = selectors.DefaultSelector()
        self.connections = [Connection() for _ in range(count)]
        self.due = [(0.0, number) for number in range(count)]  # when the next request of an idle one begins
        self.random = random.Random(os.getpid())

    def run(self):
        if self.stop is not None:
            self.selector.register(self.stop, selectors.EVENT_READ)
        while not self.finished():
            for key, _ in self.selector.select(self.wait()):
                if key.data is None:
                    self.stopping = True
                    self.selector.unregister(self.stop)
                else:
                    self.event(key.data)
            self.begin_due()
            self.give_up_stalled()
        for connection in self.connections:
            self.drop(connection)
        self.selector.close()
        return self.counts

    def finished(self):
        over = self.stopping or self.left <= 0
        return over and all(connection.state == "idle" for connection in self.connections)

    def wait(self):
        if not self.due:
            return 1.0
        return min(1.0, max(0.0, self.due[0][0] - time.monotonic()))

    def begin_due(self):
        now = time.monotonic()
        while self.due and self.due[0][0] <= now:
            number = heapq.heappop(self.due)[1]
            if self.stopping or self.left <= 0:
                continue
            self.left -= 1
            self.counts["requests"] += 1
            self.begin(number, self.connections[number], now)

    def give_up_stalled(self):
        now = time.monotonic()
        for number, connection in enumerate(self.connections):
            if connection.state != "idle" and now - connection.since > ANSWER_SECONDS:
                self.lost(number, connection, "stalled")

    # one request

    def begin(self, number, connection, now):
        connection.wanted = self.random.choice(self.names)
        connection.out = b"GET /%s HTTP/1.1\r\nHost: loss.example\r\n%s\r\n" % (
            connection.wanted.encode(), b"" if self.keep_alive else b"Connection: close\r\n")
        connection.answer.clear()
        connection.since = now
        if connection.socket is not None:
            connection.state = "sending"
            self.send(number, connection)
            return
        self.connect(number, connection)

    def connect(self, number, connection):
        connection.socket = socket.socket()
        connection.answers = 0
        connection.socket.setblocking(False)
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.local:  # many source addresses: ports never run out, and the kernel's hash has work to do
            connection.socket.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
            connection.socket.bind(("127.%d.%d.%d" % tuple(self.random.randint(1, 250) for _ in range(3)), 0))
        connection.state = "connecting"
        error = connection.socket.connect_ex(self.address)
        if error not in (0, errno.EINPROGRESS):
            self.lost(number, connection, self.reason(error))
            return
        self.selector.register(connection.socket, selectors.EVENT_WRITE, number)

    @staticmethod
    def reason(error):
        if error == errno.ECONNREFUSED:
            return "refused"
        if error in (errno.ECONNRESET, errno.EPIPE, errno.ETIMEDOUT):
            return "reset"
        raise OSError(error, os.strerror(error))  # ours, not the server's

    def event(self, number):
        connection = self.connections[number]
        if connection.state == "connecting":
            error = connection.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error:
                self.lost(number, connection, self.reason(error))
                return
            connection.state = "sending"
        if connection.state == "sending":
            self.send(number, connection)
        elif connection.state == "waiting":
            self.receive(number, connection)
        elif connection.socket is not None:
            self.idle_event(connection)

    def send(self, number, connection):
        try:
            sent = connection.socket.send(connection.out)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self.lost(number, connection, self.reason(error.errno))
            return
        connection.out = connection.out[sent:]
        if not connection.out:
            connection.state = "waiting"
        self.selector.modify(connection.socket,
                             selectors.EVENT_WRITE if connection.out else selectors.EVENT_READ, number)

    def receive(self, number, connection):
        try:
            data = connection.socket.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError as error:
            self.lost(number, connection, self.reason(error.errno))
            return
        if not data:
            self.lost(number, connection, "truncated" if connection.answer else "unanswered")
            return
        connection.answer += data
        self.judge(number, connection)

    def judge(self, number, connection):
        """Is the answer whole, and is it right?"""
        content = self.contents[connection.wanted]
        head = self.HEAD.match(connection.answer)
        if head is None:
            if b"\r\n\r\n" in connection.answer:
                self.lost(number, connection, "wrong")
            return
        length = self.LENGTH.search(connection.answer, 0, head.end())
        if int(head.group(1)) != 200 or length is None or int(length.group(1)) != len(content):
            self.lost(number, connection, "wrong")
            return
        got = len(connection.answer) - head.end()
        if got < len(content):
            return
        if got > len(content) or memoryview(connection.answer)[head.end():] != content:
            self.lost(number, connection, "wrong")
            return
        self.counts["good"] += 1
        connection.answers += 1
        if not self.keep_alive or self.CLOSE.search(connection.answer, 0, head.end()):
            self.drop(connection)
        self.again(number, connection)

    def again(self, number, connection):
        connection.state = "idle"
        gap = self.random.uniform(0, self.gap) if self.keep_alive else 0
        heapq.heappush(self.due, (time.monotonic() + gap, number))

    def idle_event(self, connection):
        """Something on a connection without a request: the server closed it, or said what nobody asked for."""
        try:
            data = connection.socket.recv(1)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.counts["wrong" if data else "idle_closed"] += 1
        self.drop(connection)

    def lost(self, number, connection, reason):
        self.counts[reason] += 1
        if connection.answers > 0 and reason in ("reset", "unanswered") and not connection.answer:
            self.counts["crossed"] += 1     # the server's FIN: it had waited for a request and closed (RFC 9112, 9.3.1)
        self.drop(connection)
        self.again(number, connection)

    def drop(self, connection):
        if connection.socket is None:
            return
        if connection.socket.fileno() in self.selector.get_map():
            self.selector.unregister(connection.socket)
        connection.socket.close()
        connection.socket = None


class ClientProcess:
    """Clients in a process of their own; ends when this side of the pipe is closed, and reports its counts."""

    def __init__(self, **arguments):
        stop_read, self.stop_write = os.pipe()
        self.report, report_write = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                os.close(self.stop_write)
                os.close(self.report)
                drover.libc.prctl(drover.PR_SET_PDEATHSIG, signal.SIGKILL)
                with os.fdopen(report_write, "w") as report:
                    report.write(json.dumps(Clients(stop=stop_read, **arguments).run()))
                status = 0
            finally:
                os._exit(status)
        os.close(stop_read)
        os.close(report_write)

    def stop(self):
        os.close(self.stop_write)

    def counts(self, seconds):
        """What it counted; a process that does not report has lost everything."""
        end = drover.deadline(seconds)
        text = b""
        while select.select([self.report], [], [], max(0, end - time.monotonic()))[0]:
            data = os.read(self.report, 65536)
            if not data:
                break
            text += data
        else:
            os.kill(self.pid, signal.SIGKILL)
        os.close(self.report)
        os.waitpid(self.pid, 0)
        return collections.Counter(json.loads(text) if text else {"requests": 1, "stalled": 1})


# ---- disturbances ----------------------------------------------------------------------------------------


def pause(watched, seconds):
    """The interval between two disturbances; over at once when a client process ends."""
    return bool(select.select(watched, [], [], seconds)[0])


def undisturbed(server, step):
    pass


def reload_by_signal(server, step):
    server.configure({"sites": server.both_sites[step % 2]})
    server.hup()


def change_count(server, step):
    server.configure({"workers": (4, 1, 3, 2)[step % 4]})
    status, text = server.reload()
    if status != 0:
        raise AssertionError(text)


def change_mode(server, step):
    server.configure({"accept": ("shared", "reuseport")[step % 2]})
    status, text = server.reload()
    if status != 0:
        raise AssertionError(text)


def change_address(server, step):
    both = [{"address": drover.address_text(address)} for address in (server.address, server.second)]
    server.configure({"listen": both[:1 + step % 2]})
    status, text = server.reload()
    if status != 0:
        raise AssertionError(text)


DISTURBANCES = {
    "nothing": ({}, undisturbed),
    "reload, adopted": ({}, reload_by_signal),
    "reload, replaced": ({"reload": "replace"}, reload_by_signal),
    "workers 2-4-1-3": ({}, change_count),
    "shared - reuseport": ({}, change_mode),
}


# ---- a cell ------------------------------------------------------------------------------------------------


class Cell:
    refusable = False           # to be refused is no loss: there is nobody to be reached any more

    def __init__(self, mode, disturbance, size):
        self.mode, self.name = mode, disturbance
        self.settings, self.disturb = DISTURBANCES.get(disturbance, ({}, change_address))
        self.size = size
        self.contents = files()
        self.problems = []

    def run(self):
        with Drover({"accept": self.mode, "workers": 2, "timeouts": {"drain": DRAIN}, **self.settings}) as server:
            self.prepare(server)
            idle = self.open_idle(server) if self.name in ("nothing", "reload, adopted") else []
            before = server.status()["last_reload"]
            self.counts = self.load(server)
            self.idle_lost = self.check_idle(idle)
            self.reloads = server.status()["last_reload"]["succeeded"] - before["succeeded"]
            self.check_reloads(server, before)
            self.check_end(server)
        self.check_sum()
        return self.lost == 0 and self.counts["idle_closed"] == 0 and self.idle_lost == 0 and not self.problems

    def prepare(self, server):
        """Two roots with the same content: a reload changes something, and every answer can be checked."""
        server.both_sites = []
        for root in ("one", "two"):
            for name, content in self.contents.items():
                server.write("../%s/%s" % (root, name), content)
            server.both_sites.append([{"routes": [
                {"match": "/", "files": {"root": os.path.join(server.dir, root)}}]}])
        server.configure({"sites": server.both_sites[1]})
        status, text = server.reload()
        if status != 0:
            raise AssertionError(text)

    def open_idle(self, server):
        clients = [Client(server.address) for _ in range(IDLE)]
        for client in clients:
            client.send(client.head("/tiny"))
        for client in clients:
            client.response()
        return clients

    def check_idle(self, clients):
        """How many did not stay open, or do not answer any more."""
        lost = 0
        for client in clients:
            try:
                good = client.is_quiet() and client.request("/tiny").body == self.contents["tiny"]
            except (OSError, drover.Closed):
                good = False
            lost += not good
            client.close()
        return lost

    def check_sum(self):
        refused = self.counts["refused"] if self.refusable else 0
        if self.counts["good"] + self.lost + refused != self.counts["requests"]:
            self.problems.append("%(requests)d requests, but %(good)d good" % self.counts)

    def clients(self, address):
        common = {"address": address, "contents": self.contents, "limit": self.size["requests"]}
        return [ClientProcess(keep_alive=False, count=8, **common),
                ClientProcess(keep_alive=True, count=24, **common)]

    def load(self, server):
        processes = self.clients(server.address)
        watched = [process.report for process in processes]
        step, end = 0, drover.deadline(self.size["seconds"])
        try:
            while time.monotonic() < end:
                self.disturb(server, step)
                step += 1
                if pause(watched, min(INTERVAL, max(0, end - time.monotonic()))):
                    break
        finally:
            for process in processes:
                process.stop()
            counts = [process.counts(ANSWER_SECONDS + 10) for process in processes]
        self.requests = [count["requests"] for count in counts]
        self.steps = step
        return counts[0] + counts[1]

    def check_reloads(self, server, before):
        """The disturbance has to have happened."""
        failed = server.status()["last_reload"]["failed"] - before["failed"]
        if failed:
            self.problems.append("%d reloads failed" % failed)
        if self.disturb is not undisturbed and self.reloads < min(3, self.steps):
            self.problems.append("only %d reloads in %d steps" % (self.reloads, self.steps))
        if not all(self.requests):
            self.problems.append("no requests")

    def check_end(self, server):
        status = server.stop()
        if status != 0:
            self.problems.append("drover ended with status %d" % status)
        for event in server.log.events:
            if event.level == "error" or event.name in ("draining_cut", "drain_deadline"):
                self.problems.append(event.line)

    @property
    def lost(self):
        return sum(self.counts[reason] for reason in LOSSES if reason != "refused" or not self.refusable)

    def row(self):
        reasons = ", ".join("%d %s" % (self.counts[reason], reason) for reason in LOSSES if self.counts[reason])
        return "| %s | %s | %d | %d | %d | %d%s | %d | %s |" % (
            self.mode, self.name, self.reloads, *self.requests, self.lost, " (%s)" % reasons if reasons else "",
            self.counts["idle_closed"], "%d" % self.idle_lost if self.name in ("nothing", "reload, adopted") else "-")


class AddressCell(Cell):
    """Clients of an address that comes and goes."""

    refusable = True

    def prepare(self, server):
        super().prepare(server)
        server.second = drover.free_address()
        change_address(server, 1)

    def clients(self, address):
        return super().clients(self.server.second)

    def load(self, server):
        self.server = server
        counts = super().load(server)
        self.counted = server.status()["totals"]["lost_address_removed"]
        if self.counted:
            self.problems.append("the daemon counts %d as lost" % self.counted)
        removed = len(server.log.find("listener_removed"))
        if removed < min(3, self.steps // 3):
            self.problems.append("only %d times removed in %d steps" % (removed, self.steps))
        return counts


class StopCell(Cell):
    """The service stops under load, several times: all that reached it is answered; what comes later is refused."""

    refusable = True

    def run(self):
        self.counts, self.counted, self.requests, self.idle_lost, self.reloads = collections.Counter(), 0, [0, 0], 0, 0
        for _ in range(self.size["stops"]):
            with Drover({"accept": self.mode, "workers": 2, "timeouts": {"drain": DRAIN}}) as server:
                self.prepare(server)
                self.stop(server)
        self.check_sum()
        return self.lost == 0 and self.counted == 0 and not self.problems

    def stop(self, server):
        processes = self.clients(server.address)
        try:
            before = server.status()["totals"]["requests"]
            server.wait_status(lambda status: status["totals"]["requests"] > before + self.size["before"])
            status = server.stop()
        finally:
            for process in processes:
                process.stop()
            counts = [process.counts(ANSWER_SECONDS + 10) for process in processes]
        for kind, count in enumerate(counts):
            self.counts += count
            self.requests[kind] += count["requests"] - count["refused"]
        self.counted += int(server.log.wait("stopped").fields["lost"])
        if status != 0 or server.log.find("drain_deadline"):
            self.problems.append("status %d: %s" % (status, server.log.wait("stopped").line))


def cells(size):
    for mode in ("reuseport", "shared"):
        for disturbance in DISTURBANCES:
            yield Cell(mode, disturbance, size)
        yield AddressCell(mode, "an address comes and goes", size)
        yield StopCell(mode, "stops under load", size)


def table(size):
    """(passed, failed)"""
    print("| mode | while | reloads | requests, one per connection | requests, keep-alive | lost | idle closed"
          " | of %d idle ones lost |" % IDLE)
    print("|---|---|---|---|---|---|---|---|", flush=True)
    passed = failed = 0
    for cell in cells(size):
        good = cell.run()
        print(cell.row(), flush=True)
        for problem in cell.problems[:20]:
            print("%s, %s: %s" % (cell.mode, cell.name, problem), flush=True)
        passed, failed = passed + good, failed + (not good)
    return passed, failed


# ---- the accounting, against a server that loses on purpose ------------------------------------------------


class LossyServer:
    """Answers in a thread, and sabotages every fifth request, each time another way."""

    WAYS = ("reset", "unanswered", "truncated", "wrong", "idle_closed", "good")

    def __init__(self, contents):
        import threading
        self.contents = contents
        self.done = collections.Counter()
        self.seen = 0
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.address = self.listener.getsockname()
        self.wake_read, self.wake_write = os.pipe()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        connections = {}
        while True:
            ready = select.select([self.wake_read, self.listener, *connections], [], [], drover.DEADLINE)[0]
            if self.wake_read in ready:
                break
            for one in ready:
                if one is self.listener:
                    connections[self.listener.accept()[0]] = b""
                elif not self.serve(one, connections):
                    del connections[one]
                    one.close()
        for one in [*connections, self.listener]:
            one.close()

    def serve(self, one, connections):
        try:
            data = one.recv(65536)
        except ConnectionError:
            data = b""
        connections[one] += data
        if not data or b"\r\n\r\n" not in connections[one]:
            return bool(data)
        name = connections[one].split()[1][1:].decode()
        close = b"Connection: close" in connections[one]
        connections[one] = b""
        return self.answer(one, self.contents[name], close)

    def answer(self, one, content, close):
        self.seen += 1
        way = self.WAYS[self.seen // 5 % len(self.WAYS)] if self.seen % 5 == 0 else "good"
        if way == "idle_closed" and close:
            way = "good"
        self.done[way] += 1
        if way == "reset":
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if way in ("reset", "unanswered"):
            return False
        if way == "wrong":
            content = content[:-1] + b"?"
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n" % (
            len(content), b"Connection: close\r\n" if close else b"")
        one.settimeout(drover.DEADLINE)
        one.sendall(head + (content[:-1] if way == "truncated" else content))
        return way in ("good", "wrong") and not close

    def stop(self):
        os.close(self.wake_write)
        self.thread.join(drover.DEADLINE)
        os.close(self.wake_read)


def self_test():
    """Every way of losing a request is noticed and counted, exactly; and nothing else is."""
    contents = {name: content for name, content in files().items() if len(content) < 50000}
    problems = []
    for keep_alive in (False, True):
        server = LossyServer(contents)
        # a gap that is long beside the way of a FIN, so that closing an idle connection is seen as that
        clients = Clients(server.address, contents, keep_alive, 1, 300, None, gap=0.02, local=False)
        counts = clients.run()
        server.stop()
        expected = collections.Counter(server.done)
        if keep_alive:  # a request may cross the FIN: then it is one more that is lost
            crossed = expected["idle_closed"] - counts["idle_closed"]
            seen = counts["unanswered"] + counts["reset"] - expected["unanswered"] - expected["reset"]
            if crossed != seen or counts["idle_closed"] == 0:
                problems.append("idle connections: %s, but the server did %s" % (dict(counts), dict(expected)))
        for way in ("truncated", "wrong") + (() if keep_alive else ("reset", "unanswered", "idle_closed")):
            if counts[way] != expected[way]:
                problems.append("%s: counted %d, the server did %d" % (way, counts[way], expected[way]))
        if not all(counts[way] for way in ("reset", "unanswered", "truncated", "wrong")):
            problems.append("not everything was noticed: %s" % dict(counts))
        if counts["requests"] != 300 or counts["good"] + sum(counts[way] for way in LOSSES) != 300:
            problems.append("the sum is wrong: %s" % dict(counts))
    refused = Clients(drover.free_address(), contents, False, 4, 20, None).run()
    if refused["refused"] != 20:
        problems.append("refused: %s" % dict(refused))
    problems += stall_test(contents)
    for problem in problems:
        print("self-test: %s" % problem)
    return not problems


def stall_test(contents):
    """A server that never answers."""
    global ANSWER_SECONDS
    usual, ANSWER_SECONDS = ANSWER_SECONDS, 0.2
    with socket.create_server(("127.0.0.1", 0), backlog=16) as silent:
        counts = Clients(silent.getsockname(), contents, False, 2, 4, None, local=False).run()
    ANSWER_SECONDS = usual
    return [] if counts["stalled"] == 4 else ["stalled: %s" % dict(counts)]


def main(arguments):
    if arguments not in ([], ["--short"], ["--self-test"]):
        print(__doc__.strip())
        return 2
    good = self_test()
    passed, failed = int(good), int(not good)
    if arguments != ["--self-test"] and good:
        more = table(SHORT if arguments else FULL)
        passed, failed = passed + more[0], failed + more[1]
    print("%d passed, %d failed, 0 skipped" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
