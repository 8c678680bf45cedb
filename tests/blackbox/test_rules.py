"""Rules of sites and routes: who answers what, where redirects lead, what fields an answer has."""

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
                ("/fixed/x?q", "/new?x=1"), ("/query/y?q", "/new/y?x=1&q"), ("/query", "/new?x=1"),
                ("/host", "http://www.example/"), ("/host/a?b", "http://www.example/a?b"),
                ("/whole/a", "https://www.example:8443/base/a"), ("/whole", "https://www.example:8443/base/")):
            with self.subTest(target):
                response = self.ask(target)
                self.assertEqual(response.header("location"), location)
                self.assertEqual(response.status, 308 if target.startswith("/whole") else 301)

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

    def check_refused(self, route, *words):
        config = 'listen = ( { address = "127.0.0.1:1"; } ); sites = ( { routes = ( %s ); } );' % route
        path = self.server.write("../bad.conf", config)
        result = run("-t", "-c", path)
        self.assertNotEqual(result.returncode, 0)
        for word in words:
            self.assertIn(word, result.stderr)

    def test_what_is_refused(self):
        for to in ("ftp://x/", "new", "https://b\\xc3\\xbccher.example/", "/a b", "/a\\r\\nb", "//user@host/"):
            with self.subTest(to):
                self.check_refused('{ match = "/"; redirect = { to = "%s"; }; }' % to, "bad.conf:1:", "to: ")
        self.check_refused('{ match = "/"; redirect = { to = "/x"; status = 305; }; }', "bad.conf:1:", "305")
        self.check_refused('{ match = "/"; redirect = { to = "/x"; status = 200; }; }', "bad.conf:1:", "too small")
        self.check_refused('{ match = "/"; redirect = { }; }', "to is missing")


if __name__ == "__main__":
    unittest.main()
