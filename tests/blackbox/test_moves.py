"""What a client gets whose connection moves from worker to worker in the middle of a request or of its answer, and
what the access log says of it."""

import json
import os
import select
import signal
import time
import unittest

import drover
from test_handover import LARGE, PAGE, Handover
from test_http import pattern

HEAD_SECONDS = 6  # timeouts.request_head, where it is to pass; half of it is more than a machine stands still
NAMES, NAME = 1800, "%06d" + 240 * '"'  # in a directory: each needs 2 KiB of a page, all more than the sockets take


def request(target, *fields):
    return "\r\n".join(("GET %s HTTP/1.1" % target, "Host: test.example", *fields, "", "")).encode("ascii")


class Conversations(Handover):
    def large(self, settings=None):
        server = self.start(settings)
        server.write("large", pattern(LARGE))
        return server

    def slow(self, server, *requests):
        """A client that has the beginning of an answer."""
        client = self.client(server, receive_buffer=4096)
        client.send(b"".join(requests))
        client.buffer += client.socket.recv(1)
        return client

    def replace(self, server, times=3):
        for _ in range(times):
            since = server.log.mark()
            self.reload(server, "--replace")
            done = self.done(server, since)
            self.assertEqual((done["finished"], done["cut"]), (0, 0))
        return done

    def finish(self, client, times=1):
        return [client.hurry().response() for _ in range(times)]

    def test_requests_behind_a_download(self):
        server = self.large()
        client = self.slow(server, request("/large"), request("/"), request("/no"))
        self.assertEqual(self.by_kind(self.replace(server)), {"pipelined": 1})
        large, page, missing = self.finish(client, 3)
        self.assertTrue(large.body == pattern(LARGE))
        self.assertEqual((page.body, page.closes, missing.status), (PAGE, False, 404))

    def test_a_download_of_several_ranges(self):
        server = self.large()
        client = self.slow(server, request("/large", "Range: bytes=5-3000000,4000000-4000001,5000000-"))
        self.replace(server)
        body = self.finish(client)[0].body
        for first, last in ((5, 3000001), (4000000, 4000002), (5000000, LARGE)):
            self.assertIn(pattern(LARGE)[first:last], body)

    def test_a_large_page_for_an_error(self):
        server = self.large()
        server.configure({"sites": [{"error_pages": [{"status": ["404"], "file": server.path("large")}],
                                     "routes": [{"match": "/", "files": {"root": server.site}}]}]})
        self.reload(server)
        client = self.slow(server, request("/missing"))
        self.assertEqual(self.by_kind(self.replace(server)), {"sending": 1})
        answer = self.finish(client)[0]
        self.assertEqual(answer.status, 404)
        self.assertTrue(answer.body == pattern(LARGE))

    def test_bodies(self):
        server = self.start()
        for fields, first, second in (("Content-Length: 10", b"abc", b"defghij"),
                                      ("Transfer-Encoding: chunked", b"5;x\r\nab", b"cde\r\n0\r\n\r\n")):
            with self.subTest(fields):
                client = self.client(server)
                client.send(request("/", fields) + first)
                self.replace(server, 1)
                client.send(second)
                self.assertEqual(client.response().body, PAGE)

    def listed(self, **settings):
        """A server, and a client that reads a listing slowly: it stays with its worker until it is complete."""
        server = self.start({"sites": [{"routes": [{"match": "/", "respond": {"body": "hello"}}]}], **settings})
        os.mkdir(server.path("many"))
        for number in range(NAMES):
            os.mknod(server.path("many/" + NAME % number))
        server.configure({"sites": [{"routes": [{"match": "/", "files": {"root": server.site, "listing": True}}]}]})
        self.reload(server)             # replaces the workers: they may read another place
        self.alone(server, len(server.workers()))
        return server, self.slow(server, request("/many/"))

    def test_a_listing_is_finished_where_it_is(self):
        server, client = self.listed()
        since = server.log.mark()
        self.reload(server, "--replace")
        self.assertIn("draining", [worker["state"] for worker in server.status()["workers"]])
        page = self.finish(client)[0]
        self.assertIn(b">%06d&quot;" % (NAMES - 1), page.body)
        self.assertFalse(page.closes)
        done = self.done(server, since)
        self.assertEqual((self.by_kind(done), done["cut"]), ({"idle": 1}, 0), "%s\n%s" % (done, server.log.text()))

    def test_a_receiver_that_hangs_is_killed_and_costs_nothing(self):
        server, client = self.listed(workers=1)
        (idle,) = self.idle(server, 1)
        self.reload(server, "--replace")
        server.wait_status(lambda status: status["handover"]["handed_idle"] == 1)   # from then on it has credit
        hung = server.workers()[0]
        os.kill(hung, signal.SIGSTOP)
        drover.wait_stopped(hung)
        self.finish(client)
        fields = server.log.wait("receiver_hangs").fields
        self.assertEqual((fields["slot"], fields["to_slot"], fields["to_pid"]), ("0", "0", str(hung)))
        server.log.wait("worker_killed", signal="KILL")
        self.still_open([client], PAGE)
        self.assertTrue(idle.at_end())      # that one was the hung worker's
        self.alone(server, 1)
        self.still_open([client], PAGE)

    def test_the_time_for_a_head_goes_on(self):
        server = self.start({"timeouts": {"request_head": "%ds" % HEAD_SECONDS}})
        began = time.monotonic()
        client = self.client(server)
        client.send("GET / HT")
        while (last := time.monotonic()) < began + HEAD_SECONDS * 0.5:
            moved = last
            self.assertEqual(self.by_kind(self.replace(server, 1)), {"head": 1})
            select.select([], [], [], 0.2)
        self.assertEqual(client.response().status, 408)
        self.assertLess(time.monotonic() - moved, HEAD_SECONDS)         # it did not begin anew

    def test_one_line_in_the_log_from_who_ended_it(self):
        server = self.large({"log": {"access": "access.log", "access_format": "json"}})
        began = time.monotonic()
        client = self.slow(server, request("/large?q", "Referer: http://r/", "User-Agent: agent"))
        self.replace(server)
        self.assertEqual(server.generation(), 4)
        self.finish(client)
        self.assertEqual(client.request("/").body, PAGE)
        first, second = self.lines(server, 2)
        expected = {"target": "/large?q", "host": "test.example", "referer": "http://r/", "user_agent": "agent",
                    "status": 200, "bytes": LARGE, "generation": 1}
        self.assertEqual({name: first[name] for name in expected}, expected)
        self.assertGreater(first["duration_us"], 0)
        self.assertLess(first["duration_us"], (time.monotonic() - began) * 1e6)
        self.assertEqual((second["generation"], second["slot"]), (4, first["slot"]))
        self.assertNotEqual(first["id"].split("-")[0], second["id"].split("-")[0])  # where they began

    def lines(self, server, count):
        path = os.path.join(server.dir, "access.log")
        end = drover.deadline()
        while True:
            with open(path, encoding="ascii") as file:
                lines = file.read().splitlines()
            if len(lines) >= count:
                self.assertEqual(len(lines), count)
                return [json.loads(line) for line in lines]
            drover.left(end)
            select.select([], [], [], 0.01)


if __name__ == "__main__":
    unittest.main()
