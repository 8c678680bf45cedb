"""Rules of sites and routes: who answers what, where redirects lead, what fields an answer has."""

import email.utils
import os
import unittest

from drover import Drover, run


def redirect(to, **more):
    return {"redirect": {"to": to, **more}}


class Rules:
    """One daemon with the sites of the class."""

    @classmethod
    def setUpClass(cls):
        cls.server = Drover()
        cls.addClassCleanup(cls.server.close)
        cls.server.configure({"sites": cls.sites(cls.server)})
        status, said = cls.server.reload()
        if status != 0:
            raise AssertionError(said)

    def ask(self, target="/", host="test.example", method="GET", headers=()):
        with self.server.client() as client:
            return client.request(target, dict(headers), method, host=host, close=True)


    def check_refused(self, route, *words, site=""):
        config = 'listen = ( { address = "127.0.0.1:1"; } ); sites = ( { %s routes = ( %s ); } );' % (site, route)
        path = self.server.write("../bad.conf", config)
        result = run("-t", "-c", path)
        self.assertNotEqual(result.returncode, 0)
        for word in words:
            self.assertIn(word, result.stderr)


class Redirects(Rules, unittest.TestCase):
    @classmethod
    def sites(cls, server):
        return [
            {"routes": [
                {"match": "/", "files": {"root": server.site}},
                {"match": "/old", **redirect("/new")},
                {"match": "/fixed", **redirect("/new?x=1", rest=False)},
                {"match": "/query", **redirect("/new?x=1")},
                {"match": "/host", **redirect("//www.example")},
                {"match": "/whole", **redirect("https://www.example:8443/base/", status=308)},
                *({"match": "/s%d" % status, **redirect("/x", status=status)} for status in (302, 303, 307)),
            ]},
            {"hosts": ["example.org"], "routes": [{"match": "/", **redirect("//www.example.org")}]},
        ]

    def test_where_it_leads(self):
        for target, location in (
                ("/old", "/new"), ("/old/", "/new/"), ("/old/x/y", "/new/x/y"), ("/old?q=1", "/new?q=1"),
                ("/old/%2e/a%20b", "/new/a%20b"), ("/old//evil.example", "/new/evil.example"),
                ("/old/%5cevil", "/new/%5Cevil"), ("/old/%0d%0aX:y", "/new/%0D%0AX:y"), ("/old/%c3%a4", "/new/%C3%A4"),
                ("/old/a%2bb+c;d%3b", "/new/a%2Bb+c;d%3B"), ("/o%6cd/x", "/new/x"),
                ("/fixed/x?q", "/new?x=1"), ("/query/y?q", "/new/y?x=1&q"), ("/query", "/new?x=1"),
                ("/host", "http://www.example/"), ("/host/a?b", "http://www.example/a?b"),
                ("/whole/a", "https://www.example:8443/base/a"), ("/whole", "https://www.example:8443/base/")):
            with self.subTest(target):
                response = self.ask(target)
                self.assertEqual(response.header("location"), location)
                self.assertEqual(response.status, 308 if target.startswith("/whole") else 301)
                self.assertIn('<a href="%s">' % location.replace("&", "&amp;"), response.body.decode())

    def test_each_status(self):
        for status in (302, 303, 307):
            response = self.ask("/s%d" % status)
            self.assertEqual((response.status, response.header("location")), (status, "/x"))
            self.assertIn("<h1>%d " % status, response.body.decode())

    def test_a_host_is_made_canonical_and_never_that_of_the_request(self):
        for host in ("example.org", "EXAMPLE.org:80", "example.org."):
            self.assertEqual(self.ask("/a?b", host=host).header("location"), "http://www.example.org/a?b")
        self.assertEqual(self.ask("/old", host="evil.example").header("location"), "/new")

    def test_every_method_is_redirected(self):
        for method in ("POST", "PUT", "PATCH", "DELETE", "HEAD"):
            response = self.ask("/whole/x", method=method)
            self.assertEqual((response.status, response.header("location")),
                             (308, "https://www.example:8443/base/x"))

    def test_what_options_says(self):
        response = self.ask("/old", method="OPTIONS")
        self.assertEqual(response.status, 200)
        self.assertEqual(response.header("allow"), "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
        self.assertEqual(self.ask("/old", method="TRACE").status, 405)

    def test_a_directory_is_redirected_below_its_host(self):
        os.makedirs(self.server.path("\\evil/a b"), exist_ok=True)
        self.assertEqual(self.ask("/%5cevil").header("location"), "/%5Cevil/")
        self.assertEqual(self.ask("/%5cevil/a%20b?x=1").header("location"),
                         "/%5Cevil/a%20b/?x=1")

    def test_what_is_refused(self):
        for to in ("ftp://x/", "new", "https://b\\xc3\\xbccher.example/", "/a b", "/a\\r\\nb", "//user@host/"):
            with self.subTest(to):
                self.check_refused('{ match = "/"; redirect = { to = "%s"; }; }' % to, "bad.conf:1:", "to: ")
        self.check_refused('{ match = "/"; redirect = { to = "/x"; status = 305; }; }', "bad.conf:1:", "305")
        self.check_refused('{ match = "/"; redirect = { to = "/x"; status = 200; }; }', "bad.conf:1:", "too small")
        self.check_refused('{ match = "/"; redirect = { }; }', "to is missing")


class Fields(Rules, unittest.TestCase):
    @classmethod
    def sites(cls, server):
        server.write("a.html", "<p>")
        server.write("a.png", "png")
        server.write("a.css", "css")
        server.write("dir/index.html", "<p>")
        files = {"files": {"root": server.site}}
        return [
            {"headers": {"set": ["X-Site: yes", "Server: a server"], "add": ["Vary: Origin"]}, "routes": [
                {"match": "/", **files},
                {"match": "/own", "headers": {"set": ["X-Site: own", "Content-Type: text/x-own"], "remove": ["server"],
                                              "add": ["Set-Cookie: a=1", "Set-Cookie: b=2"]}, **files},
                {"match": "/kept", "expires": "1h", "cache": [
                    {"types": ["image/*"], "cache_control": "public, immutable"},
                    {"types": ["text/css"], "cache_control": "no-cache", "expires": "1d"}], **files},
                {"match": "/plain", "cache_control": "max-age=60", "respond": {"body": "x"}},
                {"match": "/health", "cache_control": "max-age=60", "health": {}},
                *({"match": "/status%d" % status, "respond": {"status": status, "body": "x"}}
                  for status in (204, 205, 304)),
                {"match": "/stronger", "cache_control": "max-age=60", "headers": {"set": ["Cache-Control: no-store"]},
                 "respond": {}},
            ]},
            {"hosts": ["bare.example"], "routes": [{"match": "/x", **files}]},
        ]

    def values(self, response, name):
        return [value for key, value in response.headers if key == name.lower()]

    def test_every_answer_has_the_fields_of_its_site(self):
        for method, target, status in (("GET", "/a.html", 200), ("HEAD", "/a.html", 200), ("GET", "/none", 404),
                                       ("GET", "/dir", 301), ("POST", "/", 405), ("OPTIONS", "/", 200),
                                       ("OPTIONS", "*", 200), ("BREW", "/", 501), ("GET", "/%zz", 400)):
            with self.subTest(method + target):
                response = self.ask(target, method=method)
                self.assertEqual(response.status, status)
                self.assertEqual(self.values(response, "x-site"), ["yes"])
                self.assertEqual(self.values(response, "server"), ["a server"])
                self.assertIn("Origin", self.values(response, "vary"))

    def test_a_head_that_is_none_is_the_default_sites(self):
        with self.server.client() as client:
            client.send(b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n")
            response = client.response()
        self.assertEqual((response.status, self.values(response, "x-site")), (400, ["yes"]))

    def test_another_site_has_none_of_them(self):
        for target in ("/x/a.html", "/none"):
            response = self.ask(target, host="bare.example")
            self.assertEqual(self.values(response, "x-site"), [])
            self.assertEqual(self.values(response, "server"), ["drover"])

    def test_the_route_stands_in_for_its_site(self):
        response = self.ask("/own/a.html")
        self.assertEqual(self.values(response, "x-site"), ["own"])
        self.assertEqual(self.values(response, "server"), [])
        self.assertEqual(self.values(response, "set-cookie"), ["a=1", "b=2"])
        self.assertEqual(self.values(response, "content-type"), ["text/x-own"])
        self.assertIn("Origin", self.values(response, "vary"))

    def test_a_type_is_not_set_on_an_error_page(self):
        response = self.ask("/own/none")
        self.assertEqual(response.status, 404)
        self.assertEqual(self.values(response, "content-type"), ["text/html; charset=utf-8"])

    def test_framing_is_untouched(self):
        with self.server.client() as client:
            for _ in range(3):
                self.assertEqual(client.request("/own/a.html").body, b"<p>")

    def test_how_long_answers_are_kept(self):
        for target, control, expires in (("/kept/a.html", "max-age=3600", True), ("/kept/dir/", "max-age=3600", True),
                                         ("/kept/a.png", "public, immutable", False), ("/kept/a.css", "no-cache", True),
                                         ("/plain", "max-age=60", False), ("/health", "no-store", False),
                                         ("/stronger", "no-store", False)):
            for method in ("GET", "HEAD"):
                with self.subTest(target + method):
                    response = self.ask(target, method=method)
                    self.assertEqual(response.status, 200)
                    self.assertEqual(self.values(response, "cache-control"), [control])
                    self.assertEqual(len(self.values(response, "expires")), expires)

    def test_a_status_without_content_has_none(self):
        for status, length in ((204, None), (205, "0"), (304, None)):
            response = self.ask("/status%d" % status)
            self.assertEqual((response.status, response.body, response.header("content-length"),
                              response.header("content-type")), (status, b"", length, None))

    def test_expires_is_so_much_later_than_the_date(self):
        response = self.ask("/kept/a.html")
        date, expires = (email.utils.parsedate_to_datetime(response.header(name)) for name in ("date", "expires"))
        self.assertEqual((expires - date).total_seconds(), 3600)

    def test_a_304_says_what_the_200_said(self):
        for target in ("/kept/a.png", "/kept/a.html", "/a.html"):
            with self.subTest(target):
                response = self.ask(target)
                again = self.ask(target, headers={"If-None-Match": response.header("etag")})
                self.assertEqual(again.status, 304)
                for name in ("cache-control", "x-site", "server", "vary"):
                    self.assertEqual(self.values(again, name), self.values(response, name))

    def test_what_is_no_get_is_not_kept(self):
        self.assertIsNone(self.ask("/kept/a.html", method="OPTIONS").header("cache-control"))

    def test_errors_are_not_kept(self):
        response = self.ask("/kept/none")
        self.assertEqual((response.status, response.header("cache-control")), (404, None))

    def test_what_is_refused(self):
        route = '{ match = "/"; respond = { }; %s }'
        for setting, word in (('headers = { set = [ "Content-Length: 5" ]; };', "Content-Length"),
                              ('headers = { add = [ "X" ]; };', "no colon"),
                              ('headers = { set = [ "X: a\\r\\nY: b" ]; };', "control"),
                              ('headers = { remove = [ "Date" ]; };', "Date"),
                              ('headers = { set = [ "X: a", "x: b" ]; };', "twice"),
                              ('headers = { sets = [ "X: a" ]; };', 'did you mean "set"'),
                              ('headers = [ "X: a" ];', "group"),
                              ('cache = ( { types = [ "image/*" ]; } );', "cache_control or expires"),
                              ('cache = ( { expires = "1h"; } );', "types is missing"),
                              ('cache = ( { types = [ "image" ]; expires = "1h"; } );', "media type"),
                              ('cache_control = "a\\nb";', "control characters"),
                              ('expires = "0s";', "too small"),
                              ('headers = { set = [ "X: %s" ]; };' % ("y" * 9000), "8192")):
            with self.subTest(setting[:60]):
                self.check_refused(route % setting, "bad.conf:1:", word)


class Errors(Rules, unittest.TestCase):
    @classmethod
    def sites(cls, server):
        cls.pages = os.path.join(server.dir, "pages")
        os.mkdir(cls.pages)
        os.chmod(cls.pages, 0o755)
        for name in ("404.html", "4xx.html", "503.txt", "empty"):
            cls.page(name, "" if name == "empty" else "my %s\n" % name)
        page = lambda name, *status: {"status": list(status), "file": os.path.join(cls.pages, name)}
        return [{"error_pages": [page("4xx.html", "4xx"), page("404.html", "404"), page("503.txt", "503", "5xx"),
                                 page("empty", "410")],
                 "routes": [{"match": "/", "files": {"root": server.site}},
                            {"match": "/local", "deny": ["0.0.0.0/0"], "respond": {"body": "secret"}},
                            {"match": "/gone", "respond": {"status": 410}},
                            {"match": "/busy", "respond": {"status": 503}},
                            {"match": "/own", "respond": {"status": 404, "body": "own"}}]},
                {"hosts": ["plain.example"], "routes": [{"match": "/", "files": {"root": server.site}},
                                                            {"match": "/conflict", "respond": {"status": 409}}]}]

    @classmethod
    def page(cls, name, text):
        path = os.path.join(cls.pages, name)
        with open(path + ".new", "w", encoding="ascii") as file:
            file.write(text)
        os.chmod(path + ".new", 0o644)
        os.rename(path + ".new", path)
        return path

    def test_each_error_has_its_page(self):
        for target, method, status, kind, body in (
                ("/none", "GET", 404, "text/html; charset=utf-8", b"my 404.html\n"),
                ("/", "POST", 405, "text/html; charset=utf-8", b"my 4xx.html\n"),
                ("/%zz", "GET", 400, "text/html; charset=utf-8", b"my 4xx.html\n"),
                ("/local", "GET", 403, "text/html; charset=utf-8", b"my 4xx.html\n"),
                ("/busy", "GET", 503, "text/plain; charset=utf-8", b"my 503.txt\n"),
                ("/", "BREW", 501, "text/plain; charset=utf-8", b"my 503.txt\n"),
                ("/own", "GET", 404, "text/plain; charset=utf-8", b"own")):
            with self.subTest(target + method):
                response = self.ask(target, method=method)
                self.assertEqual((response.status, response.header("content-type"), response.body),
                                 (status, kind, body))

    def test_an_empty_page_is_empty(self):
        response = self.ask("/gone")
        self.assertEqual((response.status, response.header("content-length"), response.body), (410, "0", b""))

    def test_head_is_equal_to_get(self):
        with self.server.client() as client:
            head, get = client.request("/none", method="HEAD"), client.request("/none")
        self.assertEqual((head.status, head.body), (404, b""))
        drop = ("date",)
        self.assertEqual([field for field in head.headers if field[0] not in drop],
                         [field for field in get.headers if field[0] not in drop])

    def test_the_connection_goes_on(self):
        with self.server.client() as client:
            for _ in range(3):
                self.assertEqual(client.request("/none").body, b"my 404.html\n")
            self.assertEqual(client.request("/").status, 200)

    def test_a_405_still_says_what_is_allowed(self):
        self.assertEqual(self.ask("/", method="PUT").header("allow"), "GET, HEAD, OPTIONS")

    def test_a_page_is_opened_at_each_error(self):
        path = os.path.join(self.pages, "404.html")
        self.addCleanup(self.page, "404.html", "my 404.html\n")
        self.page("404.html", "changed\n")
        self.assertEqual(self.ask("/none").body, b"changed\n")
        os.unlink(path)
        response = self.ask("/none")
        self.assertEqual(response.status, 404)
        self.assertIn(b"<h1>404 Not Found</h1>", response.body)
        self.server.log.wait("error_page_failed", file=path)
        os.mkfifo(path, 0o644)
        self.assertIn(b"<h1>404 Not Found</h1>", self.ask("/none").body)
        os.unlink(path)

    def test_a_page_may_be_missing_and_is_warned_of(self):
        path = os.path.join(self.pages, "later.html")
        sites = self.server.settings["sites"]
        self.addCleanup(self.server.reload)
        self.addCleanup(self.server.configure, {"sites": sites})
        self.server.configure({"sites": [{"error_pages": [{"status": ["404"], "file": path}],
                                          "routes": [{"match": "/", "files": {"root": self.server.site}}]}]})
        mark = self.server.log.mark()
        self.assertEqual(self.server.reload()[0], 0)
        said = self.server.log.wait("error_page_failed", mark, file=path)
        self.assertRegex(said.fields["place"], r"drover\.conf:\d+:\d+$")
        self.assertIn(b"<h1>404 Not Found</h1>", self.ask("/none").body)
        self.page("later.html", "there\n")
        self.assertEqual(self.ask("/none").body, b"there\n")

    def test_without_pages_an_error_can_be_read(self):
        for target, method, status, words in (("/none", "GET", 404, b"nothing at this address"),
                                              ("/", "POST", 405, b"cannot be done"),
                                              ("/", "BREW", 501, b"does not know")):
            response = self.ask(target, method=method, host="plain.example")
            self.assertEqual(response.status, status)
            self.assertIn(words, response.body)
            self.assertIn(b"<h1>%d " % status, response.body)

    def test_a_status_that_says_it_all_has_no_empty_text(self):
        body = self.ask("/conflict", host="plain.example").body
        self.assertIn(b"<h1>409 Conflict</h1>", body)
        self.assertNotIn(b"<p>", body)

    def test_what_is_refused(self):
        pages = 'error_pages = ( { %s } );'
        for setting, word in (('status = [ "404" ]; file = "/dev/null/page";', "Not a directory"),
                              ('status = [ "404" ]; file = "/";', "directory"),
                              ('status = [ "404" ];', "file is missing"),
                              ('status = [ "200" ]; file = "/x";', "no error"),
                              ('status = [ "4x" ]; file = "/x";', "no error"),
                              ('status = [ "404" ]; file = "/x"; }, { status = [ "403", "404" ]; file = "/y";',
                               'status "404" has a page already'),
                              ('status = [ ]; file = "/x";', "status: empty"),
                              ('status = [ 404 ]; file = "/x";', "array of strings")):
            with self.subTest(setting):
                self.check_refused('{ match = "/"; respond = { }; }', "bad.conf:1:", word, site=pages % setting)


class Routes(Rules, unittest.TestCase):
    @classmethod
    def sites(cls, server):
        server.write("favicon.ico", "icon")
        server.write("sub/index.html", "sub")

        def text(match, body, **more):
            return {"match": match, **more, "respond": {"body": body}}

        return [{"routes": [text("/", "root"), text("/", "start", exact=True), text("/a", "a"), text("/a/b", "ab"),
                            text("/a", "a exactly", exact=True), text("/s/", "slash exactly", exact=True),
                            {"match": "/favicon.ico", "exact": True, "files": {"root": server.site}},
                            {"match": "/sub/", "exact": True, "files": {"root": server.path("sub")}},
                            {"match": "/alias", "exact": True, "files": {"alias": server.path("favicon.ico")}},
                            {"match": "/go", "exact": True, **redirect("/new")},
                            text("/denied", "x", deny=["127.0.0.0/8"]),
                            text("/both", "x", allow=["127.0.0.0/8"], deny=["127.0.0.0/8"]),
                            text("/mine", "x", allow=["127.0.0.0/8"], deny=["192.0.2.0/24"]),
                            text("/theirs", "x", allow=["192.0.2.0/24"])]}]

    def test_which_route_answers(self):
        for target, body in (("/", "start"), ("/x", "root"), ("//", "start"), ("/a", "a exactly"), ("/a/", "a"),
                             ("/a/x", "a"), ("/a/b", "ab"), ("/a/b/", "ab"), ("/a/bc", "a"), ("/ab", "root"),
                             ("/s/", "slash exactly"), ("/s", "root"), ("/s/x", "root"), ("/%61/./b", "ab"),
                             ("/x/../a", "a exactly"), ("/A", "root"), ("/a?x", "a exactly"),
                             ("/favicon.ico", "icon"), ("/favicon.ico/x", "root"), ("/sub/", "sub"), ("/sub/x", "root"),
                             ("/alias", "icon")):
            with self.subTest(target):
                self.assertEqual(self.ask(target).body.decode(), body)

    def test_an_exact_redirect_has_no_rest_but_the_query(self):
        self.assertEqual(self.ask("/go?a=b").header("location"), "/new?a=b")
        self.assertEqual(self.ask("/go/x").body, b"root")

    def test_who_may(self):
        for target, status in (("/denied", 403), ("/both", 403), ("/mine", 200), ("/theirs", 403), ("/denied/x", 403)):
            for method in ("GET", "OPTIONS", "HEAD"):
                self.assertEqual(self.ask(target, method=method).status, status, target)
        self.assertEqual(self.ask("/denied", method="POST").status, 403)

    def test_what_is_refused(self):
        self.check_refused('{ match = "/a"; exact = true; respond = { }; }, { match = "/a"; exact = true; respond = { }; }',
                           "bad.conf:1:", "already")
        for match in ("//", "/a//b", "/./a", "/a/..", "/..", "/a/."):
            self.check_refused('{ match = "%s"; respond = { }; }' % match, "bad.conf:1:", "never the path")
        self.check_refused('{ match = "/"; respond = { }; deny = [ ]; }', "bad.conf:1:", "deny is empty")
        self.check_refused('{ match = "/"; respond = { }; deny = [ "10.0.0.1/8" ]; }', "bad.conf:1:", "deny")


if __name__ == "__main__":
    unittest.main()
