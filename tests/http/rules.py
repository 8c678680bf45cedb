"""What a configuration says: routes, redirects, fields, freshness, error pages, allow and deny, fixed answers."""

import re

from answer import date_seconds
from engine import case, get, row
from lab import DATE, DENIED, TRUSTED


def to(target, status, location, **more):
    return row("%s leads to %s" % (target, location), "9110 15.4", get(target, **more), status, fields={"location": location})


def page(target, status, body, host="errors.example", **more):
    return row("%s of %s%s has the site's page" % (status, host, target), "error_pages", get(target, host=host, **more), status, body=body,
               fields={"content-type": re.compile("text/html; ?charset=utf-8", re.I), "x-site": "errors"})


PAGE = re.compile(rb"(?is)<!doctype html>.*<title>.*</title>.*")

ROWS = [
    # routes
    row("an exact route", "routes", get("/only"), 200, body=b"exact\n"), row("an exact route with a query", "routes", get("/only?x"), 200, body=b"exact\n"),
    row("an exact route, encoded", "routes", get("/%6Fnly"), 200, body=b"exact\n"), row("a prefix beside it", "routes", get("/only/x"), 200, body=b"prefix\n"),
    row("a prefix beside it, with a slash", "routes", get("/only/"), 200, body=b"prefix\n"), row("the longest prefix", "routes", get("/only/deeper"), 200, body=b"deeper\n"),
    row("the longest prefix, and more", "routes", get("/only/deeper/still"), 200, body=b"deeper\n"), row("whole segments", "routes", get("/only/deeperx"), 200, body=b"prefix\n"),
    row("whole segments only", "routes", get("/onlyx"), 404), row("a route behind dots", "routes", get("/x/../only"), 200, body=b"exact\n"),
    row("routes are case-sensitive", "routes", get("/ONLY"), 404), row("a route by an escaped slash is refused", "routes", get("/only%2fdeeper"), (400, 404)),
    row("a fixed answer's status", "respond", get("/teapot"), 418, body=b"short and stout\n"), row("a fixed answer's type", "respond", get("/json"), 200, body=b"{}",
        fields={"content-type": "application/json"}),
    row("204 has no body", "9110 15.3.5", get("/nocontent"), 204, body=b""), row("the health check", "health", get("/health"), 200),
    row("the counters are JSON", "status", get("/status"), 200, fields={"content-type": re.compile("application/json.*")}),

    # redirects
    to("/rest", 301, "/dir"), to("/rest/a/b", 301, "/dir/a/b"), to("/rest/", 301, "/dir/"), to("/rest?a=b", 301, "/dir?a=b"), to("/rest/x?a=b&c", 301, "/dir/x?a=b&c"),
    to("/rest/%C3%BC", 301, "/dir/%C3%BC"), to("/rest/a%20b", 301, "/dir/a%20b"), to("/rest/x/../y", 301, "/dir/y"),
    to("/norest", 301, "/dir/"), to("/norest/a/b", 301, "/dir/"), to("/norest?a=b", 301, "/dir/"),
    to("/found/x", 302, "/dir/x"), to("/see/x", 303, "/dir/x"), to("/temporary/x", 307, "/dir/x"), to("/permanent/x", 308, "/dir/x"),
    to("/elsewhere/a?b", 301, "https://new.example/base/a?b"), to("/elsewhere", 301, "https://new.example/base"),
    to("/scheme/a", 301, "http://new.example/base/a"), to("/temporary/x", 307, "/dir/x", method="POST"), to("/rest/x", 301, "/dir/x", host="evil.example"),
    to("/", 301, "http://canon.example/", host="www.canon.example"), to("/a/b?c", 301, "http://canon.example/a/b?c", host="www.canon.example"),
    to("/a", 301, "http://canon.example/a", host="WWW.Canon.Example.:8080"),
    row("a redirect never takes a host from the path", "redirect", get("/rest//evil.example/x"), 301, fields={"location": lambda value: value.startswith("/dir/")}),
    row("a line end in a redirect's path", "redirect", get("/rest/%0d%0aX:%20y"), (301, 400), fields={"x": None}),
    row("a line end in a redirect's query", "redirect", get("/rest/x?%0d%0aX:%20y"), (301, 400), fields={"x": None}),
    row("a redirect has a small body", "9110 15.4", get("/rest"), 301, body=lambda body: len(body) < 2000),
    row("a host in the absolute target does not reach Location", "redirect", get("http://evil.example/rest/x"), 301, fields={"location": "/dir/x"}),
    row("a redirect with a condition", "9110 13.2.1", get("/rest", "If-None-Match: *"), 301),

    # fields
    row("headers.set", "headers", get("/set/f.txt"), 200, fields={"x-set": "one", "x-content-type-options": "nosniff"}),
    row("headers.add", "headers", get("/set/f.txt"), 200, fields={"x-add": "one, two"}),
    row("headers.remove", "headers", get("/set/f.txt"), 200, fields={"last-modified": None, "etag": True}),
    row("headers on HEAD", "headers", get("/set/f.txt", method="HEAD"), 200, fields={"x-set": "one", "x-add": "one, two", "last-modified": None}),
    row("headers on 404", "headers", get("/set/nothing-there"), 404, fields={"x-set": "one"}),
    row("headers on 304", "headers", get("/set/f.txt", "If-None-Match: *"), 304, fields={"x-set": "one", "last-modified": None}),
    row("headers on 206", "headers", get("/set/f.txt", "Range: bytes=0-0"), 206, fields={"x-set": "one", "x-add": "one, two"}),
    row("headers on 405", "headers", get("/set/f.txt", method="POST"), 405, fields={"x-set": "one", "allow": True}),
    row("headers on a directory's redirect", "headers", get("/set/sub"), (301, 308), fields={"x-set": "one", "location": "/set/sub/"}),
    row("headers on 416", "headers", get("/set/f.txt", "Range: bytes=100-"), 416, fields={"x-set": "one"}),
    row("headers nowhere else", "headers", get("/dir/f.txt"), 200, fields={"x-set": None, "x-add": None, "last-modified": DATE}),
    row("a site's headers", "headers", get("/probe.txt", host="errors.example"), 200, fields={"x-site": "errors"}),
    row("a site's headers on 404", "headers", get("/nothing-there", host="errors.example"), 404, fields={"x-site": "errors"}),

    # freshness
    row("cache_control", "9111 5.2", get("/cached/a.html"), 200, fields={"cache-control": "public, max-age=60"}),
    row("cache_control on HEAD", "9111 5.2", get("/cached/a.html", method="HEAD"), 200, fields={"cache-control": "public, max-age=60"}),
    row("cache_control is not for an error", "9111 3", get("/cached/nothing-there"), 404, fields={"cache-control": lambda value: value is None or "max-age=60" not in value}),
    row("expires", "9111 5.3", get("/expires/a.html"), 200,
        check=lambda answer: None if abs(date_seconds(answer.get("expires") or answer.get("date")) - date_seconds(answer.get("date")) - 3600) <= 1 else "Expires"),
    row("cache by type: a picture", "cache", get("/bytype/a.png"), 200, fields={"cache-control": "max-age=86400"}),
    row("cache by type: a page", "cache", get("/bytype/a.html"), 200, fields={"cache-control": "no-cache"}),
    row("cache by type: neither", "cache", get("/bytype/a.txt"), 200, fields={"cache-control": None}),
    row("cache by type on 304", "cache", get("/bytype/a.png", "If-None-Match: *"), 304, fields={"cache-control": "max-age=86400"}),
    row("cache by type on 206", "cache", get("/bytype/a.png", "Range: bytes=0-0"), 206, fields={"cache-control": "max-age=86400"}),
    row("no Cache-Control where nothing is said", "9111 5.2", get("/probe.txt"), 200, fields={"cache-control": None, "expires": None}),

    # error pages
    page("/nothing-there", 404, b"<p>my 404\n"), page("/dir/nothing", 404, b"<p>my 404\n"),
    row("an error page with HEAD", "error_pages", get("/nothing-there", method="HEAD", host="errors.example"), 404,
        fields={"content-length": "10", "content-type": re.compile("text/html.*")}),
    row("an error page is not partial", "9110 14.2", get("/nothing-there", "Range: bytes=0-1", host="errors.example"), 404, body=b"<p>my 404\n"),
    row("an error page is not conditional", "9110 13.2.1", get("/nothing-there", "If-None-Match: *", host="errors.example"), 404, body=b"<p>my 404\n"),
    row("an error page has no validators", "9110 8.8", get("/nothing-there", host="errors.example"), 404, fields={"etag": None, "last-modified": None}),
    row("an error page that is missing: the built-in one", "error_pages", get("/forbidden/f.txt", host="errors.example"), 403, body=PAGE),
    row("another site has its own pages", "error_pages", get("/nothing-there"), 404, body=lambda body: b"my 404" not in body),
    row("405 has no page there: the built-in one", "error_pages", get("/probe.txt", method="POST", host="errors.example"), 405, fields={"allow": True}),
    *[row("the built-in page of %d" % status, "error pages", data, status, body=PAGE, fields={"content-type": re.compile("text/html; ?charset=utf-8", re.I)})
      for status, data in ((404, get("/nothing-there")), (405, get("/probe.txt", method="POST")), (403, get("/inner/f.txt")), (400, get("/", host=None)),
                           (416, get("/ten.txt", "Range: bytes=10-")), (412, get("/ten.txt", 'If-Match: "x"')), (501, get("/", method="FOO")),
                           (505, get("/", version="HTTP/2.0")), (417, get("/", "Expect: foo")), (414, get("/" + "x" * 20000)),
                           (431, get("/", "A: " + "x" * 70000)), (406, get("/neg/all.txt", "Accept-Encoding: *;q=0")), (401, get("/friends/f.txt")))],
    row("an error page does not echo", "error pages", get("/<script>alert(1)</script>".replace("<", "%3C").replace(">", "%3E")), 404,
        body=lambda body: b"<script>alert" not in body),

    # allow and deny
    row("allow: not in it", "allow", get("/inner/f.txt"), 403, body=lambda body: b"dir/f" not in body),
    row("allow: in it", "allow", get("/inner/f.txt"), 200, source=TRUSTED, body=b"dir/f\n"),
    row("allow holds for what is not there", "allow", get("/inner/nothing-there"), 403), row("allow holds for every method", "allow", get("/inner/f.txt", method="POST"), 403),
    row("allow holds behind dots", "allow", get("/x/../inner/f.txt"), 403), row("allow holds for an encoded path", "allow", get("/%69nner/f.txt"), 403),
    row("allow holds behind two slashes", "allow", get("//inner/f.txt"), (301, 308, 400, 403, 404)), row("allow holds in absolute form", "allow", get("http://x/inner/f.txt"), 403),
    row("allow holds for a condition", "allow", get("/inner/f.txt", "If-None-Match: *"), 403), row("allow holds for a range", "allow", get("/inner/f.txt", "Range: bytes=0-0"), 403),
    row("allow holds for HEAD", "allow", get("/inner/f.txt", method="HEAD"), 403), row("allow holds for a directory's redirect", "allow", get("/inner/sub"), 403),
    row("deny: not in it", "deny", get("/outer/f.txt"), 200, body=b"dir/f\n"), row("deny: in it", "deny", get("/outer/f.txt"), 403, source=DENIED),
    row("deny wins over allow", "deny", get("/both/f.txt"), 403, source=DENIED), row("allow beside deny", "deny", get("/both/f.txt"), 200),
    row("a unix socket is in no network", "allow", get("/inner/f.txt"), 403, listener="unix"), row("a unix socket is in no denied network", "deny", get("/outer/f.txt"), 200, listener="unix"),
    row("a unix socket serves", "listen", get("/probe.txt"), 200, listener="unix", body=b"probe\n"),
    row("X-Real-IP means nothing", "allow", get("/inner/f.txt", "X-Real-IP: 10.0.0.1"), 403), row("X-Client-IP means nothing", "allow", get("/inner/f.txt", "X-Client-IP: 10.0.0.1"), 403),
]


@case(ROWS, "the counters are JSON that parses", "status")
def _(lab):
    import json
    json.loads(lab.ask(get("/status")).body)


@case(ROWS, "an error page that changes is read anew", "error_pages")
def _(lab):
    import threading
    lab.replace("errors/404.html", b"<p>new 404\n")
    threading.Event().wait(0.011)
    answer = lab.ask(get("/nothing-there", host="errors.example"))
    lab.replace("errors/404.html", b"<p>my 404\n")
    assert answer.body in (b"<p>new 404\n", b"<p>my 404\n") and answer.status == 404, answer
