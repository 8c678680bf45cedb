"""The status route: its documents, which of them is wanted, and streams of events."""

import json
import os
import select
import shutil
import signal
import subprocess
import unittest

import drover
import openmetrics
from drover import Drover

EVENT = b"event: status\ndata: "


class Lab(unittest.TestCase):
    settings = {}
    status = {}

    def setUp(self):
        routes = [{"match": "/status", "status": self.status}]
        self.server = Drover({"sites": [{"routes": routes}], **self.settings})
        self.addCleanup(self.server.close)

    def stream(self, **more):
        stream = Stream(self.server, **more)
        self.addCleanup(stream.client.close)
        return stream

    def json(self, target="/status"):
        answer = self.server.get(target)
        self.assertEqual(answer.status, 200, target)
        return json.loads(answer.body)


class Stream:
    """What a client of events sees."""

    def __init__(self, server, headers=(), **more):
        self.client = server.client(**more)
        self.client.send(self.client.head("/status/events", headers))
        while b"\r\n\r\n" not in self.client.buffer:
            self.client._more()
        head, _, rest = bytes(self.client.buffer).partition(b"\r\n\r\n")
        self.head = head.decode("latin-1")
        self.client.buffer[:] = rest
        self.text = b""

    def next(self):
        """The next message: its document, and its id."""
        while b"\n\n" not in self.text:
            size = int(self.client.line(), 16)
            self.text += self.client.read(size)
            self.client.line()
            if size == 0:
                raise EOFError
        message, self.text = self.text.split(b"\n\n", 1)
        fields = dict(line.split(b": ", 1) for line in message.split(b"\n"))
        return json.loads(fields[b"data"]), fields.get(b"id"), fields[b"event"]

    def to_end(self):
        try:
            while True:
                self.next()
        except EOFError:
            return True


class Json(Lab):
    def test_it_has_all_that_is_documented(self):
        status = self.json()
        self.assertLessEqual({"version", "pid", "now_ms", "started_ms", "slot", "generation", "stopping", "accept",
                              "reload", "upgrade", "counters", "bounds_us", "latency", "percentiles_us", "slots",
                              "sites", "listeners", "events"}, set(status))
        length = len(status["bounds_us"])
        self.assertIsNone(status["bounds_us"][-1])
        self.assertEqual(status["bounds_us"][:-1], sorted(status["bounds_us"][:-1]))
        counts = [status["latency"]]
        counts += [slot["latency"] for slot in status["slots"]]
        counts += [slot["turns"]["duration"] for slot in status["slots"]]
        counts += [site["latency"] for site in status["sites"]]
        self.assertEqual({len(count) for count in counts}, {length})

    def test_the_slots_have_the_workers_that_serve(self):
        end = drover.deadline()         # who does not get on for a moment is bad
        slots = []
        while [(slot["slot"], slot["state"]) for slot in slots] != [(0, "serving"), (1, "serving")]:
            drover.left(end)
            slots = self.json()["slots"]
        self.assertEqual({slot["slot"]: slot["workers"][0]["pid"] for slot in slots}, self.server.workers())

    def test_each_worker_answers_for_all(self):
        before = self.json()["counters"]["requests"]
        slots = set()
        for i in range(200):
            status = self.json()
            self.assertEqual(status["counters"]["requests"], before + i + 1)
            slots.add(status["slot"])
            if len(slots) == 2 and i > 3:
                break
        self.assertEqual(slots, {0, 1})

    def test_the_listeners_are_there(self):
        self.assertEqual([listener["address"] for listener in self.json()["listeners"]],
                         [drover.address_text(self.server.address)])

    def test_head_is_the_same_without_the_body(self):
        with self.server.client() as client:
            head = client.request("/status", method="HEAD")
            self.assertEqual(head.status, 200)
            self.assertGreater(int(head.header("content-length")), 1000)
            self.assertEqual(client.request("/status").status, 200)

    def test_many_at_once_get_one_each(self):
        with self.server.client() as client:
            for _ in range(100):
                client.send(client.head("/status"))
            for _ in range(100):
                self.assertIn("counters", json.loads(client.response().body))


class Names(Lab):
    def test_what_is_not_there_is_404(self):
        for name in ("/status/nothing", "/status/json/", "/status/jso", "/status/json/x"):
            self.assertEqual(self.server.get(name).status, 404, name)

    def test_json_has_a_name_of_its_own(self):
        self.assertEqual(self.server.get("/status/json").header("content-type"), "application/json")
        self.assertEqual(self.server.get("/status/").header("content-type"), "application/json")

    def test_nothing_is_stored_and_accept_decides(self):
        answer = self.server.get("/status")
        self.assertEqual(answer.header("cache-control"), "no-store")
        self.assertEqual(answer.header("vary"), "Accept")


PROMETHEUS = ("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
              "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
              "text/plain;version=0.0.4;q=0.3,*/*;q=0.2")
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
JSON = "application/json"
OPEN = "application/openmetrics-text; version=1.0.0; charset=utf-8"
OLD = "text/plain; version=0.0.4; charset=utf-8"


class Accept(Lab):
    def type(self, target, accept):
        answer = self.server.get(target, headers={} if accept is None else {"Accept": accept})
        self.assertEqual((answer.status, answer.header("vary")), (200, "Accept"))
        return answer.header("content-type")

    def test_the_route_itself_answers_with_what_is_wanted(self):
        for accept, wanted in ((None, JSON), ("*/*", JSON), ("application/json", JSON), ("application/*", JSON),
                               ("image/png", JSON), ("", JSON), (";;;,/,q=1", JSON), (PROMETHEUS, OPEN),
                               ("application/openmetrics-text", OPEN), ("Application/OpenMetrics-Text", OPEN),
                               ("application/openmetrics-text;q=0.1, application/json;q=0.2", JSON),
                               ("application/openmetrics-text;q=0.2, application/json;q=0.1", OPEN),
                               ("application/openmetrics-text;q=0, */*", JSON), ("text/plain;version=0.0.4", OLD),
                               ("text/plain; version=\"0.0.4\"", OLD), ("text/plain;version=1.0.0", JSON),
                               ("text/plain", OLD), ("application/json;q=2, text/plain;q=0.1", OLD)):
            with self.subTest(accept):
                self.assertEqual(self.type("/status", accept), wanted)

    def test_metrics_are_open_metrics_unless_the_old_ones_are_wanted(self):
        for accept, wanted in ((None, OPEN), ("*/*", OPEN), (BROWSER, OPEN), (PROMETHEUS, OPEN),
                               ("text/plain;version=0.0.4", OLD), ("text/plain", OLD)):
            with self.subTest(accept):
                self.assertEqual(self.type("/status/metrics", accept), wanted)


class Metrics(Lab):
    def metrics(self):
        return openmetrics.read(self.server.get("/status/metrics").body)

    def test_they_are_valid(self):
        self.metrics()

    def test_the_old_format_says_the_same(self):
        old = self.server.get("/status/metrics", headers={"Accept": "text/plain"}).body.decode()
        samples = {line.split(" ")[0] for line in old.splitlines() if not line.startswith("#")}
        new = self.server.get("/status/metrics").body.decode()
        self.assertEqual(samples, {line.split(" ")[0] for line in new.splitlines() if not line.startswith("#")})
        self.assertIn("# TYPE drover_requests_total counter\n", old)

    def test_prometheus_takes_the_old_format(self):
        """Where it is there; what the strict reader says is the same."""
        if shutil.which("promtool") is None:
            return
        old = self.server.get("/status/metrics", headers={"Accept": "text/plain"}).body
        checked = subprocess.run(["promtool", "check", "metrics"], input=old, capture_output=True, check=False)
        self.assertEqual((checked.returncode, checked.stdout + checked.stderr), (0, b""))

    def test_they_count_what_happens(self):
        before = self.metrics()["drover_requests"].total()
        self.json()
        after = self.metrics()
        self.assertEqual(after["drover_requests"].total(), before + 2)
        self.assertEqual(after["drover_generation"].value(), 1)
        self.assertEqual(after["drover_listen_queue"].value(address=drover.address_text(self.server.address)), 0)
        end = drover.deadline()         # who does not get on for a moment is bad
        while self.metrics()["drover_slots"].value(state="serving") != 2:
            drover.left(end)

    def test_many_kinds_asked_for_at_once_are_each_what_was_asked_for(self):
        with self.server.client() as client:
            for _ in range(10):
                for accept in (JSON, OPEN, "text/plain"):
                    client.send(client.head("/status", headers={"Accept": accept}))
            for _ in range(10):
                for wanted in (JSON, OPEN, OLD):
                    self.assertEqual(client.response().header("content-type"), wanted)


class Root(unittest.TestCase):
    def test_a_route_of_everything_has_them_below_the_root(self):
        with Drover({"sites": [{"routes": [{"match": "/", "status": {}}]}]}) as server:
            self.assertEqual([server.get(name).status for name in ("/", "/json", "/nothing")], [200, 200, 404])


class Events(Lab):
    status = {"interval": "100ms", "streams": 2}
    settings = {"workers": 1}

    def test_a_stream_says_at_once_and_again_what_is_going_on(self):
        stream = self.stream()
        self.assertIn("text/event-stream", stream.head)
        first, _, event = stream.next()
        self.assertEqual(event, b"status")
        self.assertEqual(first["slot"], 0)
        second = stream.next()[0]
        self.assertGreater(second["now_ms"], first["now_ms"])

    def test_one_stream_too_many_is_refused_and_comes_in_when_another_has_gone(self):
        first, _ = self.stream(), self.stream()
        self.assertEqual(self.stream().head.split()[1], "503")
        first.client.close()
        when = drover.deadline()
        while self.stream().head.split()[1] != "200":
            drover.left(when)

    def test_head_has_no_stream(self):
        for _ in range(3):
            with self.server.client() as client:
                self.assertEqual(client.request("/status/events", method="HEAD").status, 200)

    def test_an_old_client_gets_one_too(self):
        with self.server.client() as client:
            client.send(client.head("/status/events", version="HTTP/1.0"))
            while client.buffer.count(EVENT) < 2:
                client._more()

    def test_it_ends_when_the_service_stops(self):
        stream = self.stream()
        stream.next()
        self.server.kill(15)
        self.assertTrue(stream.to_end())
        self.assertEqual(self.server.wait_exit(), 0)


class Crowds(unittest.TestCase):
    """Clients that do not read, many at once, and a worker that has no room."""

    # documents of 100 KB
    SITES = [{"hosts": ["s%d.%s.example" % (i, "long" * 8)], "routes": [{"match": "/", "respond": {"body": "x"}}]}
             for i in range(30)]
    MANY = 400
    PIPELINED = 60      # more than the kernel takes for who reads nothing

    def start(self, status, **settings):
        server = Drover({"workers": 1, "sites": [*self.SITES, {"routes": [{"match": "/status", "status": status}]}],
                         **settings})
        self.addCleanup(server.close)
        return server

    def stream(self, server, **more):
        stream = Stream(server, **more)
        self.addCleanup(stream.client.close)
        self.assertEqual(stream.head.split()[1], "200")
        return stream

    def test_who_does_not_read_keeps_no_more_than_there_is_room_for(self):
        """Each keeps a document of his own, for all have asked in another turn."""
        server = self.start({"interval": "100ms"})
        stream = self.stream(server)
        greedy = []
        self.addCleanup(lambda: [client.close() for client in greedy])
        while server.get("/status/json").status == 200:
            self.assertLess(len(greedy), self.MANY)
            client = server.client(receive_buffer=4096)
            greedy.append(client)
            client.send(self.PIPELINED * client.head("/status/metrics"))
            select.select([client.socket], [], [], drover.DEADLINE)
        self.assertEqual(server.get("/status/json").status, 503)
        for _ in range(3):
            stream.next()
        for client in greedy:
            client.close()
        when = drover.deadline()
        while server.get("/status/json").status != 200:
            drover.left(when)

    def test_a_reader_that_is_slow_gets_whole_messages_and_others_do_not_wait_for_it(self):
        server = self.start({"interval": "100ms", "streams": 20})
        slow = self.stream(server, receive_buffer=4096)
        others = [self.stream(server) for _ in range(19)]
        for _ in range(30):
            for stream in others:
                stream.next()
        last = others[0].next()[0]["now_ms"]
        slow.client.hurry()
        seen, when = 0, drover.deadline()
        while seen < last:
            now = slow.next()[0]["now_ms"]
            self.assertGreater(now, seen)
            seen = now
            drover.left(when)

    def test_streams_that_fill_a_worker_go_on_and_who_comes_is_served_when_one_has_gone(self):
        server = self.start({"interval": "100ms"}, limits={"connections": 16})
        streams = [self.stream(server) for _ in range(16)]
        with server.client() as client:
            client.send(client.head("/status/json"))
            for _ in range(3):
                for stream in streams:
                    stream.next()
            self.assertTrue(client.is_quiet())
            streams.pop().client.close()
            self.assertEqual(client.response().status, 200)
        for stream in streams:
            stream.next()


class Moves(Lab):
    status = {"interval": "100ms"}

    def test_a_stream_goes_on_when_all_workers_are_replaced(self):
        stream = self.stream()
        before = stream.next()[0]
        self.server.reload("--replace")
        when = drover.deadline()
        while stream.next()[0]["generation"] == before["generation"]:
            drover.left(when)
        self.assertEqual(self.json()["counters"]["drain_cut"], 0)
        stream.next()


    def test_a_stream_goes_on_through_an_upgrade(self):
        self.server.close()
        self.server = Drover({"sites": self.server.settings["sites"]}, own=True)
        self.addCleanup(self.server.close)
        stream = self.stream()
        before = {slot["workers"][0]["pid"] for slot in stream.next()[0]["slots"]}
        upgraded = self.server.ctl("upgrade")
        self.assertEqual(upgraded.returncode, 0, upgraded.stdout + upgraded.stderr)
        when = drover.deadline()
        while before & {worker["pid"] for slot in stream.next()[0]["slots"] for worker in slot["workers"]}:
            drover.left(when)
        self.assertEqual(self.json()["counters"]["drain_cut"], 0)


class Sites(unittest.TestCase):
    def test_answers_are_counted_by_site_and_survive_a_replacement_and_a_crash(self):
        sites = [{"hosts": ["a.example"], "routes": [{"match": "/", "respond": {"body": "x"}}]},
                 {"routes": [{"match": "/status", "status": {}}]}]
        with Drover({"sites": sites}) as server:
            with server.client() as client:
                for _ in range(10):
                    client.request("/", host="a.example")
            server.reload("--replace")
            victim = server.workers()[0]
            os.kill(victim, signal.SIGKILL)
            server.log.wait("worker_exited", pid=victim)
            families = openmetrics.read(server.get("/status/metrics").body)
            self.assertEqual(families["drover_site_responses"].total(site="a.example", **{"class": "2xx"}), 10)
            self.assertEqual(families["drover_request_duration_seconds"].value("_count", site="a.example"), 10)
            when = drover.deadline()
            while families["drover_last_event_timestamp_seconds"].value(kind="crash") == 0:
                drover.left(when)
                families = openmetrics.read(server.get("/status/metrics").body)


class Waits(Lab):
    status = {"interval": "2s"}
    settings = {"timeouts": {"send": "500ms", "keep_alive": "500ms", "request_head": "500ms"}}

    def test_a_stream_that_waits_is_not_cut(self):
        stream = self.stream()
        for _ in range(3):
            stream.next()


if __name__ == "__main__":
    unittest.main()
