"""Listings of directories: what is shown to whom, in which order, and what it costs; in every accept mode."""

import html.parser
import json
import os
import re
import select
import shutil
import signal
import socket
import unittest
import urllib.parse

import drover
from drover import Client, Drover, process_status

MANY = 6000


class Page(html.parser.HTMLParser):
    """rows: (link, text, title of the size, time) of each; problems: elements that do not match."""

    VOID = ("meta", "link", "br")

    def __init__(self, text):
        super().__init__()
        self.rows, self.open, self.problems, self.links, self.title, self.lang = [], [], [], [], "", None
        self.feed(text)
        self.close()
        if self.open:
            self.problems.append(("left open", self.open))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "html":
            self.lang = attrs.get("lang")
        if tag == "tr":
            self.rows.append({"text": "", "cells": []})
        if tag == "td":
            self.rows[-1]["cells"].append(attrs.get("title"))
        if tag == "a":
            self.links.append(attrs["href"])
            if "td" in self.open:
                self.rows[-1]["href"] = attrs["href"]
        if tag == "time":
            self.rows[-1]["time"] = attrs["datetime"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.problems.append(tag)

    def handle_data(self, data):
        if self.open and self.open[-1] == "title":
            self.title += data
        if "td" in self.open and "a" in self.open:
            self.rows[-1]["text"] += data

    def entries(self):
        return [row for row in self.rows if row.get("href") not in (None, "../")]


class Listing:
    accept = None
    directory = None

    @classmethod
    def setUpClass(cls):
        cls.server = Drover({"accept": cls.accept, "workers": 1, "sites": [{"routes": [
            {"match": "/", "files": {"root": cls.root(), "listing": True}},
            {"match": "/off", "files": {"root": cls.root()}},
            {"match": "/dots", "files": {"root": cls.root(), "listing": True, "dotfiles": True}},
            {"match": "/deny", "files": {"root": cls.root(), "listing": True, "symlinks": "deny"}},
            {"match": "/all", "files": {"root": cls.root(), "listing": True, "symlinks": "all"}},
        ]}]})
        cls.addClassCleanup(cls.server.close)

    @classmethod
    def root(cls):
        if cls.directory is None:
            cls.directory = drover.temporary_directory()
            cls.addClassCleanup(shutil.rmtree, cls.directory, True)
        return cls.directory

    def write(self, name, content="", when=1700000000):
        path = os.path.join(os.fsencode(self.directory), name if isinstance(name, bytes) else name.encode())
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(content)
        os.utime(path, (when, when))
        return path

    def get(self, target, headers=(), method="GET"):
        return self.server.get(target, headers, method)

    def page(self, target):
        response = self.get(target)
        self.assertEqual((response.status, response.header("content-type")), (200, "text/html; charset=utf-8"))
        page = Page(response.body.decode("utf-8"))
        self.assertEqual(page.problems, [])
        return page

    def hrefs(self, target):
        return [row["href"] for row in self.page(target).entries()]

    def json(self, target):
        response = self.get(target, {"Accept": "application/json"})
        self.assertEqual((response.status, response.header("content-type")), (200, "application/json"))
        return json.loads(response.body.decode("utf-8"))

    def names(self, target):
        return [entry["name"] for entry in self.json(target)]


class Tests(Listing):
    def test_a_page(self):
        self.write("page/b.txt", "12345")
        self.write("page/a/x")
        page = self.page("/page/")
        self.assertEqual((page.title, page.lang), ("Index of /page/", "en"))
        self.assertEqual([row["href"] for row in page.entries()], ["a/", "b.txt"])
        self.assertEqual([row["text"] for row in page.entries()], ["a/", "b.txt"])
        self.assertIn("5 bytes", page.entries()[1]["cells"])
        self.assertEqual(page.entries()[1]["time"], "2023-11-14T22:13:20Z")
        self.assertIn("../", page.links)

    def test_the_root_has_no_parent(self):
        self.write("file")
        self.assertNotIn("../", self.page("/").links)

    def test_an_empty_directory(self):
        os.mkdir(os.path.join(self.directory, "nothing"))
        self.assertEqual(self.hrefs("/nothing/"), [])
        self.assertEqual(self.json("/nothing/"), [])

    def test_json(self):
        self.write("json/b.txt", "12345")
        self.write("json/a/x")
        os.utime(os.path.join(self.directory, "json/a"), (1700000001, 1700000001))
        self.assertEqual(self.json("/json/"), [
            {"name": "a", "type": "directory", "mtime": "2023-11-14T22:13:21Z", "href": "a/"},
            {"name": "b.txt", "type": "file", "size": 5, "mtime": "2023-11-14T22:13:20Z", "href": "b.txt"}])

    def test_an_index_goes_first(self):
        self.write("indexed/index.html", "<p>index")
        self.assertEqual(self.get("/indexed/").body, b"<p>index")

    def test_listings_are_off_unless_asked_for(self):
        self.write("some/file")
        self.assertEqual(self.get("/off/some/").status, 404)

    def test_a_directory_without_its_slash_is_elsewhere(self):
        self.write("slash/file")
        response = self.get("/slash?format=json")
        self.assertEqual((response.status, response.header("location")), (301, "/slash/?format=json"))

    def test_a_directory_that_cannot_be_read(self):
        os.chmod(os.path.dirname(self.write("closed/file")), 0o311)
        self.addCleanup(os.chmod, os.path.join(self.directory, "closed"), 0o755)
        self.assertEqual(self.get("/closed/").status, 403)

    def test_which_form_is_negotiated(self):
        self.write("form/file")
        for accept, kind in (
                (None, "text/html"), ("*/*", "text/html"), ("text/html", "text/html"), ("", "text/html"),
                ("application/json", "application/json"), ("application/json, */*", "application/json"),
                ("application/json, text/plain, */*", "application/json"), ("text/html, application/json;q=0.9", "text/html"),
                ("text/html;q=0.5, application/json", "application/json"), ("application/json;q=0", "text/html"),
                ("application/*", "application/json"), ("application/*;q=0.3, text/*;q=0.2", "application/json"),
                ("image/png", "text/html"), ("APPLICATION/JSON", "application/json"),
                ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", "text/html"),
                ("application/json;q=2", "text/html"), ("application/json;charset=utf-8", "application/json")):
            with self.subTest(accept):
                response = self.get("/form/", {} if accept is None else {"Accept": accept})
                self.assertEqual(response.header("content-type").split(";")[0], kind)
                self.assertEqual(response.header("vary"), "Accept")

    def test_the_query_says_which_form(self):
        self.write("form/file")
        for target, kind in (("/form/?format=json", "application/json"), ("/form/?format=html", "text/html"),
                             ("/form/?a=b&format=json&c", "application/json")):
            for accept in ("application/json", "text/html"):
                response = self.get(target, {"Accept": accept})
                self.assertEqual(response.header("content-type").split(";")[0], kind)
                self.assertIsNone(response.header("vary"))

    def test_head_is_get_without_a_body(self):
        self.write("head/file")
        with self.server.client() as client:
            for target in ("/head/", "/head/?format=json"):
                head = client.request(target, method="HEAD")
                got = client.request(target)
                self.assertGreater(len(got.body), 10)
                self.assertEqual([pair for pair in head.headers if pair[0] != "date"],
                                 [pair for pair in got.headers if pair[0] != "date"])

    def test_http_1_0_gets_it_until_the_end(self):
        self.write("old/file")
        with self.server.client() as client:
            response = client.request("/old/?format=json", version="HTTP/1.0")
            self.assertTrue(response.closes)
            self.assertIsNone(response.header("transfer-encoding"))
            self.assertEqual(json.loads(response.body)[0]["name"], "file")

    def test_nothing_in_it_is_run_or_stored_for_long(self):
        self.write("safe/file")
        response = self.get("/safe/")
        self.assertEqual(response.header("cache-control"), "no-cache")
        self.assertEqual(response.header("x-content-type-options"), "nosniff")
        self.assertIn("default-src 'none'", response.header("content-security-policy"))

    def test_post_is_not_allowed(self):
        self.write("post/file")
        self.assertEqual(self.get("/post/", method="POST").status, 405)

    # order

    def order(self, query):
        return [urllib.parse.unquote(href) for href in self.hrefs("/order/" + query)]

    def test_order(self):
        for name, size, when in (("file10", 3, 500), ("file2", 3, 400), ("File1", 1, 600), ("b", 9, 100)):
            self.write("order/" + name, "x" * size, when)
        self.write("order/dir/x")
        self.write("order/zdir/x")
        for path, when in (("dir", 10), ("zdir", 5)):
            os.utime(os.path.join(self.directory, "order", path), (when, when))
        for query, expected in (
                ("", ["dir/", "zdir/", "b", "File1", "file2", "file10"]),
                ("?sort=name", ["dir/", "zdir/", "b", "File1", "file2", "file10"]),
                ("?sort=name&order=desc", ["zdir/", "dir/", "file10", "file2", "File1", "b"]),
                ("?sort=size", ["dir/", "zdir/", "File1", "file2", "file10", "b"]),
                ("?sort=size&order=desc", ["dir/", "zdir/", "b", "file2", "file10", "File1"]),
                ("?order=desc&sort=time", ["dir/", "zdir/", "File1", "file10", "file2", "b"]),
                ("?sort=time&order=asc", ["zdir/", "dir/", "b", "file2", "file10", "File1"]),
                ("?sort=nonsense&order=", ["dir/", "zdir/", "b", "File1", "file2", "file10"])):
            with self.subTest(query):
                self.assertEqual(self.order(query), expected)
                self.assertEqual([entry["href"] for entry in self.json("/order/" + query)], expected)

    def test_the_heads_of_columns_sort(self):
        self.write("sort/file")
        links = [link for link in self.page("/sort/?sort=size&order=desc").links if link.startswith("?")]
        self.assertEqual(links, ["?sort=name&order=asc", "?sort=size&order=asc", "?sort=time&order=desc"])
        self.assertEqual(self.page("/sort/?format=html").links[-3 - 1 - 1], "?format=html&sort=name&order=desc")

    # names

    NAMES = ["a b", "<script>alert(1)<", "\"quoted\"", "it's", "a&amp;b", "100%", "%41", "a?b#c", "a:b", "javascript:x",
             "\u00fcmlaut", "\u65e5\u672c\u8a9e", "\u202egpj.exe", "a\\b", "tab\tname", "line\nname", "\x01\x7f", "+;=,@$!", "x" * 255,
             "\x9b31m"]

    def test_every_name_can_be_followed(self):
        for name in self.NAMES:
            self.write("names/" + name, "it is " + name)
        for raw in (b"latin-\xe9", b"\xff\xfe", b"\xc0\xaf", b"\xed\xa0\x80"):
            self.write(b"names/" + raw, "it is raw")
        hrefs = self.hrefs("/names/")
        self.assertEqual(len(hrefs), len(self.NAMES) + 4)
        followed = set()
        for href in hrefs:
            self.assertRegex(href, r"^[A-Za-z0-9._~%-]+$")
            response = self.get(urllib.parse.urljoin("/names/", href))
            self.assertEqual(response.status, 200, href)
            followed.add(response.body)
        self.assertEqual(followed, {b"it is " + name.encode() for name in self.NAMES} | {b"it is raw"})
        self.assertEqual([entry["href"] for entry in self.json("/names/")], hrefs)

    def test_names_stay_text(self):
        for name in self.NAMES:
            self.write("text/" + name)
        response = self.get("/text/")
        self.assertNotIn(b"<script", response.body)
        shown = {row["text"] for row in self.page("/text/").entries()}
        for name in ("<script>alert(1)<", "\"quoted\"", "a&amp;b", "\u65e5\u672c\u8a9e", "%41"):
            self.assertIn(name, shown)
        self.assertIn("line\u240aname", shown)
        self.assertNotRegex(response.body.decode("utf-8"), "[\x00-\x09\x0b-\x1f\x7f-\x9f]")
        self.assertIn("line\nname", {entry["name"] for entry in self.json("/text/")})

    def test_the_path_is_escaped_and_leads_up(self):
        self.write("<b>/c&d/e/file")
        page = self.page("/%3Cb%3E/c&d/e/")
        self.assertEqual(page.title, "Index of /<b>/c&d/e/")
        self.assertEqual(page.links[:3], ["../../../", "../../", "../"])

    def test_a_deep_path(self):
        self.write("/".join(["deep"] * 40) + "/file")
        page = self.page("/" + "deep/" * 40)
        self.assertEqual(page.title, "Index of /\u2026/" + "deep/" * 16)
        self.assertEqual([row["href"] for row in page.entries()], ["file"])

    # what is not shown

    def make_mixed(self):
        path = os.path.join(self.directory, "mixed")
        if os.path.exists(path):
            return
        for name in ("file", "dir/x", ".hidden", ".well-known/x"):
            self.write("mixed/" + name)
        for target, name in (("file", "inside"), ("dir", "inside-dir"), ("../mixed/dir/x", "around"),
                             ("/etc/passwd", "outside"), ("../../..", "above"), ("nowhere", "broken"), ("itself", "itself")):
            os.symlink(target, os.path.join(path, name))
        os.mkfifo(os.path.join(path, "fifo"))
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(os.path.join(path, "socket"))

    def test_what_requests_would_not_get_is_not_shown(self):
        self.make_mixed()
        self.assertEqual(self.names("/mixed/"), ["dir", "inside-dir", "around", "file", "inside"])
        for name in self.names("/mixed/"):
            self.assertIn(self.get("/mixed/" + name).status, (200, 301))

    def test_dotfiles_are_shown_where_they_are_served(self):
        self.make_mixed()
        names = self.names("/dots/mixed/")
        self.assertIn(".hidden", names)
        self.assertNotIn(".", names)
        self.assertNotIn("..", names)

    def test_symlinks_are_shown_by_the_policy(self):
        self.make_mixed()
        self.assertEqual(self.names("/deny/mixed/"), ["dir", "file"])
        self.assertEqual(self.names("/all/mixed/"), ["above", "dir", "inside-dir", "around", "file", "inside", "outside"])

    def test_a_link_has_its_targets_size_and_type(self):
        self.make_mixed()
        self.write("mixed/file", "12345")
        entries = {entry["name"]: entry for entry in self.json("/mixed/")}
        self.assertEqual(entries["inside"]["size"], 5)
        self.assertEqual((entries["inside-dir"]["type"], entries["inside-dir"]["href"]), ("directory", "inside-dir/"))

    def test_a_change_is_seen_at_once(self):
        for name in ("one", "two", "three"):
            self.write("fresh/" + name)
            self.assertIn(name, self.names("/fresh/"))
            os.unlink(os.path.join(self.directory, "fresh", name))
            self.assertNotIn(name, self.names("/fresh/"))

    # many

    def make_many(self):
        path = os.path.join(self.directory, "many")
        if os.path.exists(path):
            return
        os.mkdir(path)
        for number in range(MANY):
            with open(os.path.join(path, "file-%05d" % number), "w", encoding="ascii"):
                pass

    def memory(self, what="VmRSS"):
        return int(process_status(self.server.workers()[0])[what].split()[0])

    def test_many_entries(self):
        self.make_many()
        names = self.names("/many/?order=desc")
        self.assertEqual(names, ["file-%05d" % number for number in reversed(range(MANY))])
        self.assertEqual(len(self.hrefs("/many/?sort=time")), MANY)

    def test_memory_goes_back(self):
        self.make_many()
        self.get("/many/")
        before = self.memory()
        for _ in range(5):
            self.get("/many/")
        self.assertLess(self.memory(), before + 1024)

    def slow_readers(self, count):
        readers = []
        for _ in range(count):
            client = Client(self.server.address, receive_buffer=4096)
            self.addCleanup(client.close)
            client.send(client.head("/many/", close=True))
            readers.append(client)
        return readers

    def test_clients_that_go_leave_nothing_behind(self):
        self.make_many()
        self.get("/many/")
        before = self.memory()
        for _ in range(4):
            for client in self.slow_readers(6):
                select.select([client.socket], [], [], drover.DEADLINE)
                client.close()
        self.server.wait_status(lambda status: status["totals"]["open"] <= 1)
        self.assertLess(self.memory(), before + 4096)
        self.assertEqual(self.get("/many/").status, 200)

    def test_listings_under_way_do_not_stop_others(self):
        self.make_many()
        self.write("small/file")
        clients = self.slow_readers(10)
        for _ in range(5):
            self.assertEqual(self.get("/small/file").status, 200)
            self.assertEqual(self.names("/small/"), ["file"])
        for client in clients:
            self.assertEqual(len(re.findall(b"<tr>", client.hurry().response().body)), MANY + 1)

    def test_too_many_at_a_time_are_told_to_come_again(self):
        self.make_many()
        worker = self.server.workers()[0]
        os.kill(worker, signal.SIGSTOP)  # they shall all be there at once
        try:
            drover.wait_stopped(worker)
            clients = self.slow_readers(80)
        finally:
            os.kill(worker, signal.SIGCONT)
        statuses = []
        for client in clients:
            response = client.hurry().response()
            statuses.append(response.status)
            if response.status == 503:
                self.assertRegex(response.header("retry-after"), r"^\d+$")
        self.assertLessEqual(set(statuses), {200, 503})
        self.assertIn(200, statuses)
        self.assertIn(503, statuses)
        self.assertGreaterEqual(self.server.status()["totals"]["tasks_refused"], statuses.count(503))
        self.assertEqual(self.get("/many/").status, 200)

    def test_a_drain_lets_a_listing_end(self):
        self.make_many()
        with Drover({"accept": self.accept, "workers": 1, "sites": [
                {"routes": [{"match": "/", "files": {"root": self.directory, "listing": True}}]}]}) as server:
            client = Client(server.address, receive_buffer=4096)
            self.addCleanup(client.close)
            client.send(client.head("/many/", close=True))
            select.select([client.socket], [], [], drover.DEADLINE)
            server.kill(signal.SIGTERM)
            self.assertEqual(len(re.findall(b"<tr>", client.hurry().response().body)), MANY + 1)
            self.assertEqual(server.wait_exit(), 0)


class ListingReuseport(Tests, unittest.TestCase):
    accept = "reuseport"


class ListingShared(Tests, unittest.TestCase):
    accept = "shared"


if __name__ == "__main__":
    unittest.main()
