"""The client that measures waits (tests/bench/waits.c) says of every request what became of it, and its figures are
worked out as they should be (tests/loss/waits.py)."""

import collections
import os
import socket
import socketserver
import struct
import subprocess
import sys
import threading
import unittest

from drover import DEADLINE, TOP, free_address

sys.path.insert(0, os.path.join(TOP, "tests", "loss"))

import balance  # noqa: E402  (the path comes first)
import waits  # noqa: E402
from waits import Figures, Wait  # noqa: E402

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % waits.BYTES + waits.BYTES * b"x"
DELAY_SECONDS = 0.15
BADLY = {                       # what is sent instead of an answer, and the outcome; each ends the connection
    "closed": b"",
    "cut": ANSWER[:-1],
    "status": ANSWER.replace(b"200", b"404"),
    "length": ANSWER.replace(b"Length: ", b"Length: 1"),
    "more": ANSWER + b"H",
}
OUTCOMES = {"closed": "closed", "cut": "closed", "reset": "reset", "status": "wrong", "length": "wrong",
            "more": "wrong"}


class Server(socketserver.ThreadingTCPServer):
    """Does to the n-th connection what `ways` says, in turn; `done` says to whom what was done."""

    daemon_threads = allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, *ways):
        super().__init__(free_address(), Handler)
        self.ways, self.done, self.begun, self.ended = ways, {}, 0, collections.Counter()
        self.changed = threading.Condition()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def shutdown_request(self, request):
        request.close()         # no FIN before a reset

    def begin(self, source):
        with self.changed:
            way = self.done[source] = self.ways[self.begun % len(self.ways)]
            self.begun += 1
            return way

    def end(self, way):
        with self.changed:
            self.ended[way] += 1
            self.changed.notify_all()

    def wait_ended(self, **counts):
        with self.changed:
            return self.changed.wait_for(lambda: all(self.ended[way] >= counts[way] for way in counts), DEADLINE)


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        way = self.server.begin("%s:%d" % self.client_address)
        try:
            while self.request.recv(65536) and self.answer(way):
                pass
        except ConnectionError:
            pass
        self.server.end(way)

    def answer(self, way):
        if way == "silent":
            return True
        if way == "reset":
            self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        if way == "late":
            threading.Event().wait(DELAY_SECONDS)       # what is to be measured
        self.request.sendall(BADLY.get(way, ANSWER))
        return way not in BADLY


class TheClient(unittest.TestCase):
    def serve(self, *ways):
        server = Server(*ways)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server

    def start(self, address, count, *how):
        return subprocess.Popen([waits.CLIENT, "-a", address[0], "-p", str(address[1]), "-u", "/",
                                 "-b", str(waits.BYTES), "-r", "500", "-n", str(count), *how],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, address, count, *how):
        process = self.start(address, count, *how)
        text = process.communicate(timeout=DEADLINE)[0]
        self.assertEqual(process.returncode, 0)
        return list(waits.parse(text))

    def test_says_how_long_each_waited(self):
        server = self.serve("good", "late", "good", "good")
        found = self.ask(server.server_address, 40)
        self.assertEqual(collections.Counter(wait.outcome for wait in found), {"good": 40})
        late = [wait.waited for wait in found if server.done[wait.source] == "late"]
        self.assertEqual(len(late), 10)
        self.assertGreaterEqual(min(late), DELAY_SECONDS)
        self.assertLess(min(wait.waited for wait in found), DELAY_SECONDS)

    def test_says_what_became_of_each(self):
        server = self.serve("good", *OUTCOMES)
        found = self.ask(server.server_address, 70)
        self.assertEqual(len(found), 70)
        for wait in found:
            way = server.done[wait.source]
            self.assertEqual(wait.outcome, OUTCOMES.get(way, way), way)

    def test_does_not_wait_for_ever(self):
        found = self.ask(self.serve("good", "silent").server_address, 10, "-w", "1000")
        self.assertEqual(collections.Counter(wait.outcome for wait in found), {"good": 5, "silent": 5})
        self.assertGreaterEqual(min(wait.waited for wait in found if wait.outcome == "silent"), 1.0)

    def test_is_refused_where_nobody_listens(self):
        self.assertEqual({wait.outcome for wait in self.ask(free_address(), 5)}, {"refused"})

    def test_is_not_held_up_by_a_server_that_is_silent(self):
        """An open loop: who waits for one answer asks the others all the same."""
        server = self.serve("silent")
        self.assertEqual(len(self.ask(server.server_address, 40, "-w", "100")), 40)
        self.assertEqual(server.begun, 40)

    def test_keeps_connections_when_told(self):
        """Who still waits is not asked again; how often a good one does is the machine's affair."""
        server = self.serve("good", "silent")
        counts = collections.defaultdict(collections.Counter)
        for wait in self.ask(server.server_address, 20, "-k", "4", "-w", "1000"):
            counts[wait.source][wait.outcome] += 1
        self.assertEqual(sorted(counts), sorted(server.done))
        for source, each in counts.items():
            self.assertEqual(sum(each.values()), 5)
            if server.done[source] == "silent":
                self.assertEqual(each, {"silent": 1, "busy": 4})
            else:
                self.assertEqual(set(each) - {"busy"}, {"good"})

    def test_keeps_each_for_its_lifetime(self):
        server = self.serve("good", "long", "good")
        process = self.start(server.server_address, 30, "-l", "0,600000,20", "-x")
        with process:
            while not (line := process.stdout.readline()).startswith("held") and line:
                pass
            self.assertGreaterEqual(int(line.split()[1]), 10)
            self.assertEqual(server.ended["long"], 0)
            process.stdin.close()
            self.assertTrue(server.wait_ended(good=20, long=10))


class TheFigures(unittest.TestCase):
    def figures(self, *rounds):
        figures = Figures()
        for waited in rounds:
            figures.add([Wait(0, one, 0, "good", "") for one in waited])
        return figures

    def test_the_greatest_is_the_hundredth_percentile(self):
        self.assertEqual(waits.percentile(list(range(1, 1001)), 100), 1000)
        self.assertEqual(waits.percentile(list(range(1, 1001)), 99.9), 999)
        self.assertEqual(waits.percentile(list(range(1, 1001)), 50), 500)
        self.assertEqual(waits.percentile([], 99), 0)

    def test_a_round_that_is_beyond_the_bar_is_missed(self):
        found = {("drover, directed", "stopped"): (self.figures([0.01, 0.07], [0.01, 0.071]), Figures()),
                 ("nginx", "stopped"): (self.figures([3.0]), Figures())}
        self.assertEqual(len(list(waits.missed(found))), 1)
        self.assertIn("1 of 2 rounds", list(waits.missed(found))[0])

    def test_a_loss_is_missed(self):
        lossy = Figures()
        lossy.add([Wait(0, 0.001, 0, "reset", "")])
        self.assertEqual(len(list(waits.missed({("drover, shared", "nothing"): (lossy, Figures())}))), 1)

    def test_a_p99_that_is_raised_is_missed(self):
        calm, raised = self.figures(100 * [0.001]), self.figures(97 * [0.001] + 3 * [0.2])
        for new, kept, count in ((calm, calm, 0), (raised, calm, 1), (calm, raised, 1)):
            found = {("drover, cpu", "nothing"): (calm, calm), ("drover, cpu", "stalling"): (new, kept)}
            self.assertEqual(len(list(waits.missed(found))), count)

    def test_balance_is_the_distance_between_the_fewest_and_the_most(self):
        self.assertEqual(balance.spread_percent([90, 100, 95]), 10)
        self.assertEqual(balance.spread_percent([0, 0]), 0)

    def test_only_what_began_meanwhile_counts(self):
        some = [Wait(began, 1, 0, "good", "") for began in (1.0, 2.0, 3.0)]
        self.assertEqual(waits.within(some, 2.0, 3.0), some[1:2])


if __name__ == "__main__":
    unittest.main()
