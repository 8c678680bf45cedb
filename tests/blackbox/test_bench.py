"""The client of `make bench` counts right answers only: a wrong one ends it with an error, never with a figure."""

import os
import socket
import subprocess
import tempfile
import threading
import unittest

from drover import BUILD, DEADLINE, deadline, free_address, left

LOAD = os.path.join(BUILD, "tests/bench/load")
FLOOR = os.path.join(BUILD, "tests/bench/floor")


class Load(unittest.TestCase):
    def setUp(self):
        self.address = free_address()

    def load(self, expected, *how):
        """Runs it; `expected` is the line that says what is asked for and what is right."""
        with tempfile.NamedTemporaryFile("w", encoding="ascii") as targets:
            print(expected, file=targets, flush=True)
            return subprocess.run([LOAD, "-a", self.address[0], "-p", str(self.address[1]), "-f", targets.name, *how],
                                  capture_output=True, text=True, timeout=DEADLINE, check=False)

    def floor(self, *how):
        process = subprocess.Popen([FLOOR, self.address[0], str(self.address[1]), *how], stdin=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        end = deadline()
        while left(end):
            with socket.socket() as probe:
                if probe.connect_ex(self.address) == 0:
                    return
            self.assertIsNone(process.poll())

    def answer_once(self, answer):
        """A server that gives this to the first who comes, and closes."""
        listening = socket.create_server(self.address)
        listening.settimeout(DEADLINE)
        self.addCleanup(listening.close)

        def serve():
            peer = listening.accept()[0]
            with peer:
                peer.recv(65536)
                peer.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        self.addCleanup(thread.join)

    def refused(self, done, why):
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertEqual(done.stdout, "")
        self.assertIn(why, done.stderr)

    def test_counts_every_answer(self):
        self.floor("200", "1024")
        done = self.load("/ 200 1024", "-n", "1000", "-c", "10")
        self.assertEqual((done.returncode, done.stdout.split()[0]), (0, "1000"), done.stderr)

    def test_counts_pipelined_answers(self):
        self.floor("200", "1024")
        done = self.load("/ 200 1024", "-n", "1600", "-c", "10", "-d", "16")
        self.assertEqual((done.returncode, done.stdout.split()[0]), (0, "1600"), done.stderr)

    def test_counts_large_answers_in_pieces(self):
        self.floor("200", "3000000")
        done = self.load("/ 200 3000000", "-n", "20", "-c", "2")
        self.assertEqual((done.returncode, done.stdout.split()[0]), (0, "20"), done.stderr)

    def test_counts_connections_of_one_request(self):
        self.floor("200", "1024", "close")
        done = self.load("/ 200 1024", "-n", "200", "-c", "10", "-1")
        self.assertEqual((done.returncode, done.stdout.split()[0]), (0, "200"), done.stderr)

    def test_refuses_a_wrong_length(self):
        self.floor("200", "1024")
        self.refused(self.load("/ 200 1025", "-n", "1", "-c", "1"), "expected 200 and 1025")

    def test_refuses_a_wrong_status(self):
        self.floor("404", "1024")
        self.refused(self.load("/ 200 1024", "-n", "1", "-c", "1"), "expected 200 and 1024")

    def test_refuses_an_answer_that_is_cut(self):
        self.answer_once(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123456789")
        self.refused(self.load("/ 200 10", "-n", "1", "-c", "1"), "closed before the answer was whole")

    def test_refuses_more_than_the_answer(self):
        self.answer_once(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n")
        self.refused(self.load("/ 200 2", "-n", "1", "-c", "1"), "nobody asked for")

    def test_refuses_to_wait_for_a_connection_that_ought_to_close(self):
        self.floor("200", "1024")
        self.refused(self.load("/ 200 1024", "-n", "1", "-c", "1", "-1", "-w", "500"), "no answer for 500")


if __name__ == "__main__":
    unittest.main()
