"""Directory listings in HTML and JSON."""

import html.parser
import json
import os
import re
from urllib.parse import quote, unquote

from engine import case, get, row

L = "/listed/"
D = "/dirs/"  # for rows that change something
JSON = "Accept: application/json"
NAMES = {"a.txt", "b & <c>.txt", "sub", "withindex", "link-in"}
HIDDEN = {".hidden", "link-out"}
HTML = re.compile("text/html; ?charset=utf-8", re.I)

ROWS = [
    row("a listing", "listing", get(L), 200, fields={"content-type": HTML, "vary": re.compile("(.*, *)?accept(, .*)?", re.I), "cache-control": re.compile("no-cache.*")},
        body=lambda body: b"a.txt" in body),
    row("a listing escapes names", "listing", get(L), 200, body=lambda body: b"<c>" not in body and b"b &amp; &lt;c&gt;.txt" in body),
    row("a listing hides dotfiles", "listing", get(L), 200, body=lambda body: b".hidden" not in body),
    row("a listing hides links that leave the root", "listing", get(L), 200, body=lambda body: b"link-out" not in body and b"link-in" in body),
    row("a listing as JSON by Accept", "listing", get(L, JSON), 200, fields={"content-type": re.compile("application/json.*"), "vary": re.compile("(.*, *)?accept(, .*)?", re.I)}),
    row("a listing as JSON by the query", "listing", get(L + "?format=json"), 200, fields={"content-type": re.compile("application/json.*")}),
    row("a listing as HTML for a browser", "listing", get(L, "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"), 200, fields={"content-type": HTML}),
    row("a listing as HTML for anything", "listing", get(L, "Accept: */*"), 200, fields={"content-type": HTML}),
    row("a listing as HTML when JSON is less welcome", "9110 12.5.1", get(L, "Accept: text/html, application/json;q=0.5"), 200, fields={"content-type": HTML}),
    row("a listing as HTML when JSON is refused", "9110 12.5.1", get(L, "Accept: application/json;q=0, text/html"), 200, fields={"content-type": HTML}),
    row("a listing as JSON when HTML is less welcome", "9110 12.5.1", get(L, "Accept: application/json, text/html;q=0.9"), 200, fields={"content-type": re.compile("application/json.*")}),
    row("a listing as JSON when text is less welcome", "9110 12.5.1", get(L, "Accept: text/*;q=0.5, application/json"), 200, fields={"content-type": re.compile("application/json.*")}),
    row("a listing as JSON, and anything else less", "9110 12.5.1", get(L, "Accept: application/json, */*;q=0.1"), 200, fields={"content-type": re.compile("application/json.*")}),
    row("a listing as HTML for an odd Accept", "9110 12.5.1", get(L, "Accept: ;;;,=,/"), (200, 400, 406), after="any"),
    row("a listing for who accepts neither", "9110 12.5.1", get(L, "Accept: image/png"), (200, 406), fields={"vary": re.compile("(.*, *)?accept(, .*)?", re.I)}),
    row("a listing with HEAD", "9110 9.3.2", get(L, method="HEAD"), 200, fields={"content-type": HTML}),
    row("a listing in 1.0", "9112 6.1", get(L, version="HTTP/1.0"), 200, after="close", body=lambda body: b"a.txt" in body),
    row("a listing in 1.0 with keep-alive", "9112 6.1", get(L, "Connection: keep-alive", version="HTTP/1.0"), 200, after="any", body=lambda body: b"a.txt" in body),
    row("a listing needs its slash", "listing", get("/listed"), (301, 308), fields={"location": "/listed/"}),
    row("a directory with an index is not listed", "listing", get(L + "withindex/"), 200, body=b"<p>index\n"),
    row("a directory below", "listing", get(L + "sub/"), 200, body=lambda body: b"f.txt" in body),
    row("a directory below needs its slash", "listing", get(L + "sub"), (301, 308), fields={"location": "/listed/sub/"}),
    row("a file is served as always", "listing", get(L + "a.txt"), 200, body=b"a\n"),
    row("a listing of what is not there", "listing", get(L + "nothing/"), 404),
    row("a listing of a file", "listing", get(L + "a.txt/"), 404),
    row("a listing does not leave the root", "listing", get(L + "../../outside/"), (400, 403, 404)),
    row("no listing where none is allowed", "listing", get("/noindex/"), (403, 404), body=lambda body: b"f.txt" not in body),
    row("no listing where none is allowed, as JSON", "listing", get("/noindex/", JSON), (403, 404), body=lambda body: b"f.txt" not in body),
    row("POST to a listing", "9110 15.5.6", get(L, method="POST"), 405),
    row("a listing and a range", "9110 14.2", get(L, "Range: bytes=0-1"), 200, fields={"content-range": None}),
    row("two listings in a row", "9112 9.3.2", get(L) + get(L), 200, then=[(200, lambda body: b"a.txt" in body)]),
    row("a listing with close", "9112 9.6", get(L, "Connection: close"), 200, after="close"),
    *[row("sorted by %s" % query, "listing", get(L + query), 200, fields={"content-type": HTML}, body=lambda body: b"a.txt" in body) for query in (
        "?sort=name", "?sort=size", "?sort=time", "?sort=name&order=desc", "?sort=size&order=asc", "?sort=nonsense", "?order=nonsense", "?", "?x=y", "?sort=",
        "?sort=size&order=desc&x", "?sort=%3Cscript%3E", "?sort=name&sort=size")],
    row("a query is not echoed", "listing", get(L + "?sort=%3Cscript%3E"), 200, body=lambda body: b"<script>" not in body),
]


def names_in(value):
    """Every string under a key "name", wherever it is."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "name" and isinstance(inner, str):
                yield inner.rstrip("/")
            else:
                yield from names_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from names_in(inner)


class Links(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.links = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "a":
            self.links.append(dict(attrs).get("href", ""))

    def names(self):
        """What the links lead to, but for those that sort and the one that leads up."""
        plain = [link for link in self.links if not link.startswith("?") and link.rstrip("/") not in ("..", "")]
        return [unquote(re.sub(r"^\./", "", link)).rstrip("/").split("/")[-1] for link in plain]


@case(ROWS, "JSON has the names, each once", "listing")
def _(lab):
    names = list(names_in(json.loads(lab.ask(get(L, JSON)).body)))
    assert sorted(names) == sorted(NAMES), names


@case(ROWS, "HTML has links to the names", "listing")
def _(lab):
    links = Links(lab.ask(get(L)).body.decode())
    missing = NAMES - set(links.names())
    assert not missing, (missing, links.links)
    assert not HIDDEN & set(links.names()), links.links


@case(ROWS, "each link of a listing leads to what it names", "listing")
def _(lab):
    for link in Links(lab.ask(get(L)).body.decode()).links:
        if link.startswith("?"):
            assert lab.ask(get(L + link)).status == 200, link
        elif not link.startswith((".", "/")) or link.startswith("./"):
            assert not re.search("[^!-~]", link), link
            answer = lab.ask(get(L + re.sub(r"^\./", "", link)))
            assert answer.status == 200, (link, answer)


@case(ROWS, "sorted by size and by time, both ways", "listing")
def _(lab):
    for number, (name, size, when) in enumerate((("one", 3, 30), ("two", 1, 20), ("three", 2, 10))):
        path = lab.write("dirs/sorted/" + name, b"x" * size)
        os.utime(path, (1600000000 + when, 1600000000 + when))
    for query, wanted in (("?sort=size", ["two", "three", "one"]), ("?sort=size&order=desc", ["one", "three", "two"]), ("?sort=time&order=asc", ["three", "two", "one"]),
                          ("?sort=name", ["one", "three", "two"]), ("?sort=name&order=desc", ["two", "three", "one"])):
        names = list(names_in(json.loads(lab.ask(get(D + "sorted/" + query, JSON)).body)))
        assert names == wanted, (query, names)
        names = [name for name in Links(lab.ask(get(D + "sorted/" + query)).body.decode()).names() if name in wanted]
        assert list(dict.fromkeys(names)) == wanted, (query, names)


@case(ROWS, "odd names: escaped for HTML, for a URI and for JSON", "listing")
def _(lab):
    odd = [b"plain", b"\"quote\"", b"'single'", b"<script>alert(1)<", b"a&amp;b", b"x y", b"per%41cent", b"hash#", b"q?x", b"\xc3\xbc", b"back\\slash", b"\xff\xfe", b"new\nline",
           b"tab\t", b"co:lon", b"javascript:alert(1)", b"\x01", b"\xe2\x80\xae", b"a;b", b"c=d"]
    directory = lab.path("dirs/odd").encode()
    os.makedirs(directory, exist_ok=True)
    os.chmod(directory, 0o755)
    for name in odd:
        with open(os.path.join(directory, name), "wb") as file:
            file.write(b"x")
        os.chmod(os.path.join(directory, name), 0o644)
    page = lab.ask(get(D + "odd/"))
    assert b"<script>alert" not in page.body
    text = page.body.decode()  # valid UTF-8 throughout
    links = [re.sub(r"^\./", "", link) for link in Links(text).links if not link.startswith("?")]
    served = 0
    for name in odd:
        link = quote(name, safe="")
        found = [one for one in links if quote(unquote(one, errors="surrogateescape").encode(errors="surrogateescape"), safe="") == link]
        if found:
            answer = lab.ask(get(D + "odd/" + found[0]))
            served += answer.status == 200
            assert not re.search("[^!-~]", found[0]) and ":" not in found[0].split("/")[0], "%r is no relative reference" % found[0]
    assert served >= 12, "only %d of %d names are linked so that they can be had: %r" % (served, len(odd), links)
    json.loads(lab.ask(get(D + "odd/", JSON)).body)


@case(ROWS, "700 entries", "listing")
def _(lab):
    directory = lab.path("dirs/many")
    os.makedirs(directory, exist_ok=True)
    os.chmod(directory, 0o755)
    for number in range(700):
        os.close(os.open(os.path.join(directory, "file-%05d" % number), os.O_CREAT | os.O_WRONLY, 0o644))
    names = list(names_in(json.loads(lab.ask(get(D + "many/", JSON)).body)))
    assert names == ["file-%05d" % number for number in range(700)], len(names)
    assert len(set(Links(lab.ask(get(D + "many/")).body.decode()).names())) >= 700


@case(ROWS, "what appears is listed at once, and what goes is not", "freshness")
def _(lab):
    import threading
    lab.write("dirs/now/one", b"x")
    assert list(names_in(json.loads(lab.ask(get(D + "now/", JSON)).body))) == ["one"]
    lab.write("dirs/now/two", b"x")
    os.unlink(lab.path("dirs/now/one"))
    threading.Event().wait(0.011)
    assert list(names_in(json.loads(lab.ask(get(D + "now/", JSON)).body))) == ["two"]
