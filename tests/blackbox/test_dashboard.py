"""The page of the status route, its policy, what happens as events, and the effective configuration."""

import base64
import hashlib
import html.parser
import json
import os
import re
import signal
import time
import unittest

import drover
from drover import Drover

MOST_BYTES = 60 * 1024
BROWSER = [("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")]


class Page(html.parser.HTMLParser):
    """What a browser finds in a document."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.blocks, self.inside = [], {"style": [], "script": []}, None
        self.cells, self.cell = [], None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag
        if tag in self.blocks:
            self.blocks[tag].append("")
        if tag in ("th", "td"):
            self.cells.append("")
            self.cell = tag
        elif tag in ("tr", "tbody"):
            self.cell = None

    def handle_endtag(self, tag):
        if tag in ("table", "thead", "tbody", "script", "style"):
            self.inside = self.cell = None

    def handle_data(self, data):
        if self.inside in self.blocks:
            self.blocks[self.inside][-1] += data
        elif self.cell is not None:
            self.cells[-1] += data

    def after(self, name):
        """The cell behind the one with that text."""
        return self.cells[self.cells.index(name) + 1]


class Lab(unittest.TestCase):
    settings = {}

    def setUp(self):
        self.server = self.start()

    def start(self, **more):
        routes = [{"match": "/status", "status": {}}, {"match": "/", "files": {"root": "."}}]
        server = Drover({"sites": [{"routes": routes}], **self.settings}, **more)
        self.addCleanup(server.close)
        return server

    def page(self, headers=BROWSER, target="/status"):
        answer = self.server.get(target, headers)
        self.assertEqual(answer.status, 200)
        return answer, Page(answer.body.decode())

    def json(self, server=None, target="/status/json"):
        return json.loads((server or self.server).get(target).body)

    def events(self, server=None):
        return self.json(server)["events"]

    def kinds(self):
        """Of the events, but for a hang and its end: of which there is one when the machine stands still."""
        return [event["kind"] for event in self.events() if event["kind"] not in ("hang", "recovered")]

    def wait_event(self, server=None, **fields):
        """The event with these fields, once it was told."""
        end = drover.deadline()
        while True:
            events = self.events(server)
            found = [event for event in events if all(event[name] == value for name, value in fields.items())]
            if found:
                return found[-1]
            self.assertGreater(end, time.monotonic(), "no %r in %r" % (fields, events))


class Document(Lab):
    def test_browsers_get_the_page_and_others_do_not(self):
        self.assertEqual(self.page()[0].header("content-type"), "text/html; charset=utf-8")
        self.assertEqual(self.page((), "/status/page")[0].header("content-type"), "text/html; charset=utf-8")
        for headers in ((), [("Accept", "*/*")], [("Accept", "application/json, text/html;q=0.9")]):
            self.assertEqual(self.server.get("/status", headers).header("content-type"), "application/json")

    def test_the_policy_allows_this_script_and_this_style_alone(self):
        answer, page = self.page()
        policy = dict((part.split(None, 1) + [""])[:2] for part in answer.header("content-security-policy").split(";"))
        policy = {name: value.strip() for name, value in policy.items()}
        for name in ("style", "script"):
            self.assertEqual(len(page.blocks[name]), 1)
            digest = hashlib.sha256(page.blocks[name][0].encode()).digest()
            self.assertEqual(policy[name + "-src"], "'sha256-%s'" % base64.b64encode(digest).decode())
        self.assertEqual({name: policy[name] for name in policy if not name.endswith("-src")},
                         {"base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'"})
        self.assertEqual((policy["default-src"], policy["connect-src"], policy["img-src"]), ("'none'", "'self'", "data:"))
        self.assertEqual(answer.header("x-content-type-options"), "nosniff")
        self.assertEqual(answer.header("cache-control"), "no-store")

    def test_nothing_is_loaded_from_elsewhere(self):
        answer, page = self.page()
        for tag, attributes in page.tags:
            for name, value in attributes.items():
                self.assertFalse(name.startswith("on") or name == "style", (tag, name))
                if name in ("src", "href", "action"):
                    self.assertRegex(value, r"^(data:image/svg\+xml,|#|status/)", tag)
        for block in page.blocks["style"] + page.blocks["script"]:
            self.assertNotIn("@import", block)
            self.assertNotIn("url(", block)
            self.assertEqual(re.findall(r"https?://\S+?'", block), ["http://www.w3.org/2000/svg'"] if "fetch" in block else [])
            self.assertNotIn("innerHTML", block)
        self.assertLess(len(answer.body), MOST_BYTES)

    def test_without_scripts_there_are_the_numbers_of_now(self):
        for _ in range(5):
            self.server.get("/")
        before = self.json()["counters"]["requests"]
        page = self.page()[1]
        self.assertGreaterEqual(int(page.after("Requests").replace(",", "")), before)
        self.assertEqual(page.after("Generation"), "1")
        self.assertEqual(page.after("Lost connections"), "0")
        self.assertEqual(page.after(drover.address_text(self.server.address)), "0")
        self.assertIn("serving", page.cells)
        self.assertIn(("meta", {"http-equiv": "refresh", "content": "5"}), page.tags)

    def test_a_head_has_no_body(self):
        answer = self.server.get("/status", BROWSER, method="HEAD")
        self.assertEqual((answer.status, answer.body), (200, b""))
        self.assertGreater(int(answer.header("content-length")), 10000)

    def test_what_others_wrote_is_text(self):
        """A message about a configuration has words of that configuration."""
        tags = {tag for tag, _ in self.page()[1].tags}
        self.server.configure({"user": '<script>alert("&1")</script>'})
        self.assertNotEqual(self.server.reload()[0], 0)
        event = self.wait_event(kind="reload", good=False)
        self.assertIn("<script>", event["text"])
        answer, page = self.page()
        self.assertNotIn(b"<script>alert", answer.body)
        self.assertIn("<script>alert", page.after("Last reload"))
        self.assertEqual(len([tag for tag, _ in page.tags if tag == "script"]), 1)
        self.assertEqual({tag for tag, _ in page.tags}, tags)


class Events(Lab):
    def test_the_start(self):
        event = self.wait_event(kind="start")
        self.assertEqual((event["id"], event["slot"], event["good"]), (1, None, True))
        self.assertRegex(event["text"], r"^drover \S+, generation 1 with 2 workers after \d+ ms$")

    def test_reloads(self):
        self.assertEqual(self.server.reload()[0], 0)
        self.assertRegex(self.wait_event(kind="reload", good=True)["text"], "^generation 2 with 2 workers")
        self.server.configure({"workers": 0})
        self.assertNotEqual(self.server.reload()[0], 0)
        self.assertIn("workers", self.wait_event(kind="reload", good=False)["text"])
        status = self.json()
        self.assertEqual((status["reload"]["succeeded"], status["reload"]["failed"]), (2, 1))
        self.assertFalse(status["reload"]["good"])
        self.assertEqual(status["generation"], 2)

    def test_a_check_is_no_event(self):
        self.wait_event(kind="start")
        self.server.ctl("check")
        self.assertEqual(self.kinds(), ["start"])

    def test_a_crash_and_who_follows(self):
        pid = self.server.workers()[1]
        os.kill(pid, signal.SIGKILL)
        crash, respawn = self.wait_event(kind="crash"), self.wait_event(kind="respawn")
        self.assertEqual((crash["slot"], crash["good"]), (1, False))
        self.assertTrue(crash["text"].startswith("worker %d ended by SIGKILL" % pid), crash["text"])
        self.assertEqual((respawn["slot"], respawn["good"]), (1, True))
        self.assertGreater(respawn["id"], crash["id"])
        self.assertEqual(respawn["text"], "worker %d serves in its place" % self.server.workers()[1])

    def test_a_hang_and_its_end(self):
        self.server.configure({"timeouts": {"hang_kill": "0"}})
        self.assertEqual(self.server.reload()[0], 0)
        pid = self.server.workers()[1]
        drover.stop(pid)
        self.addCleanup(drover.go_on, pid)
        hang = self.wait_event(kind="hang", slot=1)     # each look is a connection, and some are of that slot
        self.assertFalse(hang["good"])
        drover.go_on(pid)
        over = self.wait_event(kind="recovered", slot=1)
        self.assertTrue(over["good"])
        self.assertRegex(over["text"], r"^after \d+ ms: it moves again; \d+ connections? rescued$")

    def test_more_workers_are_nobodys_place(self):
        self.server.configure({"workers": 3})
        self.assertEqual(self.server.reload()[0], 0)
        self.wait_event(kind="reload")
        self.assertEqual(self.kinds(), ["start", "reload"])

    def test_an_upgrade_goes_on_counting(self):
        started = self.json()["started_ms"]
        self.assertEqual(self.server.ctl("upgrade").returncode, 0)
        event = self.wait_event(kind="upgrade")
        self.assertTrue(event["good"])
        events = self.events()
        self.assertEqual([event["id"] for event in events], list(range(1, len(events) + 1)))
        self.assertEqual(self.kinds(), ["start", "upgrade"])
        status = self.json()
        self.assertEqual((status["started_ms"], status["upgrade"]["succeeded"]), (started, 1))

    def test_an_upgrade_that_fails_is_told(self):
        server = self.start(own=True)
        server.install(b"#!/bin/false\n")
        self.assertNotEqual(server.ctl("upgrade").returncode, 0)
        event = self.wait_event(server, kind="upgrade")
        self.assertEqual((event["good"], event["text"][:15]), (False, "failed at check"))

    def test_a_stop_is_told_while_it_is_delayed(self):
        self.server.configure({"timeouts": {"drain_delay": "600s"}})
        self.assertEqual(self.server.reload()[0], 0)
        client = self.server.client()
        self.addCleanup(client.close)
        self.server.kill(signal.SIGTERM)
        self.server.log.wait("stopping")
        end = drover.deadline()
        while not json.loads(client.request("/status/json").body)["stopping"]:
            self.assertGreater(end, time.monotonic())
        self.assertEqual(json.loads(client.request("/status/json").body)["events"][-1]["kind"], "stop")


class Configuration(Lab):
    def setUp(self):
        super().setUp()
        self.server.configure({
            "timeouts": {"drain": "17s"},
            "sites": [{"hosts": ["shop.example"], "headers": {"set": ["X-Key: hunter2", "Set-Cookie: hunter3"]},
                       "routes": [{"match": "/status", "status": {"interval": "2s"}},
                                  {"match": "/", "respond": {"status": 503, "body": "\"later\"\n"}}]},
                      {"routes": [{"match": "/status", "status": {}}]}]})
        self.assertEqual(self.server.reload()[0], 0)
        self.text = self.server.get("/status/config").body.decode()
        self.config = json.loads(self.text)

    def test_settings_say_where_they_are_from(self):
        self.assertEqual(self.config["generation"], 2)
        self.assertFalse(self.config["truncated"])
        settings = {setting["name"]: setting for setting in self.config["settings"]}
        self.assertEqual(settings["timeouts.drain"]["value"], "17s")
        self.assertRegex(settings["timeouts.drain"]["origin"], r"drover\.conf:\d+")
        self.assertEqual(settings["workers"]["value"], "2")
        self.assertIsNone(settings["limits.headers"]["origin"])
        self.assertIsNone(settings["user"]["value"])

    def test_sites_say_what_is_set(self):
        shop, default = self.config["sites"]
        self.assertEqual((shop["name"], default["name"]), ("shop.example", "(default)"))
        settings = {setting["name"]: setting["value"] for setting in shop["settings"]}
        self.assertEqual(settings["/status status.interval"], "2s")
        self.assertEqual(settings["/ respond.status"], "503")
        self.assertNotIn("/status status.streams", settings)

    def test_what_may_be_secret_is_not_there(self):
        self.assertNotIn("hunter", self.text)
        self.assertIn("(not shown)", self.text)

    def test_a_large_one_ends(self):
        sites = [{"hosts": ["s%d.example" % i], "routes": [{"match": "/%d" % j, "respond": {"status": 200}} for j in range(20)]}
                 for i in range(60)]
        self.server.configure({"sites": self.server.settings["sites"] + sites})
        self.assertEqual(self.server.reload()[0], 0)
        config = json.loads(self.server.get("/status/config").body)
        self.assertTrue(config["truncated"])
        self.assertLess(len(config["sites"]), 62)


if __name__ == "__main__":
    unittest.main()
