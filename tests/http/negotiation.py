"""Content negotiation of precompressed files: RFC 9110 8.4, 12.4.2, 12.5.3 and 12.5.5; all combinations against the model."""

import itertools
import re

import model
from engine import case, get, row
from lab import FILES

VARY = re.compile(r"(.*, *)?accept-encoding(, *.*)?", re.I)
SUFFIX = {"gzip": ".gz", "br": ".br", "zstd": ".zst", None: ""}
ALL, GZ, BR, NONE, OLD = "/neg/all.txt", "/neg/gz.txt", "/neg/br.txt", "/neg/none.txt", "/neg/old.txt"


def variant(target, coding):
    return FILES[target[1:] + SUFFIX[coding]]


def chosen(answer, target):
    """What is wrong with the variant that came, or None: body and Content-Encoding belong together."""
    coding = answer.get("content-encoding")
    if coding not in SUFFIX:
        return "Content-Encoding %r" % coding
    if answer.body != variant(target, coding):
        return "Content-Encoding %r with the body %r" % (coding, answer.body[:60])
    return None


def accept(target, value, *right, name=None, **more):
    """A GET whose answer is one of the codings `right`; None: identity; none at all: 406."""
    send = get(target, *([] if value is None else ["Accept-Encoding: " + value]))
    label = name or "%s, Accept-Encoding: %s" % (target, value)
    if not right:
        return row(label, "9110 12.5.3", send, 406, fields={"vary": VARY, "content-encoding": None}, **more)

    def check(answer):
        if answer.get("content-encoding") not in right:
            return "coding %r, expected one of %r" % (answer.get("content-encoding"), right)
        return chosen(answer, target)
    return row(label, "9110 12.5.3", send, 200, fields={"vary": VARY, "etag": True}, check=check, **more)


def lenient(target, value):
    """A field with mistakes: any variant, or 400; never a wrong mixture."""
    return row("%s, malformed Accept-Encoding: %s" % (target, value), "9110 12.5.3", get(target, "Accept-Encoding: " + value), (200, 400), after="any",
               check=lambda answer: chosen(answer, target) if answer.status == 200 else None)


ROWS = [
    accept(ALL, None, None), accept(ALL, "", None), accept(ALL, "identity", None), accept(ALL, "gzip", "gzip"), accept(ALL, "br", "br"),
    accept(ALL, "zstd", "zstd"), accept(ALL, "x-gzip", "gzip"), accept(ALL, "GZIP", "gzip"), accept(ALL, "Br", "br"), accept(ALL, "deflate", None),
    accept(ALL, "gzip, deflate, br", "gzip", "br"), accept(ALL, "gzip, deflate, br, zstd", "gzip", "br", "zstd"), accept(ALL, "gzip;q=1.0", "gzip"),
    accept(ALL, "gzip;q=0", None), accept(ALL, "gzip;q=0.0", None), accept(ALL, "gzip;q=0.000", None), accept(ALL, "gzip; q=0", None),
    accept(ALL, "gzip ;q=0", None), accept(ALL, "gzip\t;\tq=0", None), accept(ALL, "gzip;Q=0", None), accept(ALL, "gzip;q=0.001", "gzip"),
    accept(ALL, "gzip;q=0.5, br;q=0.4", "gzip"), accept(ALL, "gzip;q=0.4, br;q=0.5", "br"), accept(ALL, "gzip;q=0.123, br;q=0.124", "br"),
    accept(ALL, "br;q=0.9, gzip;q=1", "gzip"), accept(ALL, "gzip;q=0.5, identity", None), accept(ALL, "gzip;q=0.5, identity;q=1", None),
    accept(ALL, "gzip;q=0.5, identity;q=0.4", "gzip"), accept(ALL, "gzip;q=0.5, *;q=0", "gzip"), accept(ALL, "*", "gzip", "br", "zstd", None),
    accept(ALL, "*;q=0.5", "gzip", "br", "zstd", None), accept(ALL, "gzip, *;q=0", "gzip"), accept(ALL, "identity, gzip;q=0, br;q=0, zstd;q=0", None),
    accept(ALL, "identity;q=0.5, *;q=0", None), accept(ALL, "*;q=0"), accept(ALL, "identity;q=0"), accept(ALL, "identity;q=0, *;q=0"),
    accept(ALL, "deflate, identity;q=0"), accept(ALL, "deflate, *;q=0"), accept(ALL, "identity;q=0, gzip", "gzip"),
    accept(ALL, "identity;q=0, *", "gzip", "br", "zstd"), accept(ALL, "identity;q=0, *;q=0.1", "gzip", "br", "zstd"),
    accept(ALL, "gzip, gzip;q=0", "gzip", None), accept(ALL, ",gzip", "gzip"), accept(ALL, "gzip,", "gzip"), accept(ALL, ", ,gzip, ,", "gzip"),
    accept(ALL, " \tgzip\t ", "gzip"), accept(ALL, "gzip,identity;q=0,br;q=0,zstd;q=0", "gzip"), accept(ALL, "foo, bar;q=0.5", None),
    accept(ALL, "foo;q=0", None), accept(ALL, "xgzip", None), accept(ALL, "gzipx", None), accept(ALL, "gz", None), accept(ALL, "zst", None),
    accept(ALL, "brotli", None), accept(ALL, "compress, x-compress", None), accept(ALL, "gzip;q=1.000", "gzip"),
    accept(ALL, ", ".join("c%d" % n for n in range(50)) + ", gzip", "gzip", name="gzip behind 50 unknown codings"),
    accept(GZ, "br, gzip", "gzip"), accept(GZ, "br;q=1, gzip;q=0.1", "gzip"), accept(GZ, "br", None), accept(GZ, "zstd, br", None),
    accept(GZ, "*", "gzip", None), accept(GZ, "br, *;q=0"), accept(GZ, "br, identity;q=0"), accept(GZ, "identity;q=0", name="gz.txt, identity;q=0"),
    accept(BR, "br, gzip", "br"), accept(BR, "gzip", None), accept(BR, "gzip;q=1, br;q=0.1", "br"), accept(BR, "br;q=0, gzip", None),
    accept(NONE, "gzip, br, zstd", None), accept(NONE, None, None), accept(NONE, "*", None), accept(NONE, "identity;q=0"), accept(NONE, "*;q=0"),
    accept(NONE, "gzip, identity;q=0"), accept(NONE, "identity;q=0.001", None),
    accept(OLD, "gzip", None, name="a sibling that is older than its original is not used"),
    accept("/neg/dir.txt", "gzip", None, name="a directory is no sibling"),
    row("a sibling that leaves the root is not used", "9110 8.4", get("/neg/linked.txt", "Accept-Encoding: gzip"), 200,
        fields={"content-encoding": None}, body=lambda body: b"secret" not in body),
    row("a sibling without an original", "9110 8.4", get("/neg/only.txt", "Accept-Encoding: gzip"), 404),
    row("a sibling asked for by its name is no coding", "9110 8.4", get("/neg/all.txt.gz"), 200, body=b"all gzip",
        fields={"content-encoding": None, "content-type": re.compile("application/(x-)?gzip")}),
    row("a sibling by its name, gzip accepted", "9110 8.4", get("/neg/all.txt.gz", "Accept-Encoding: gzip"), 200, fields={"content-encoding": None}),
    row("a picture is not negotiated", "9110 12.5.3", get("/neg/pic.png", "Accept-Encoding: gzip"), 200, body=b"png identity",
        fields={"content-encoding": None}),
    row("a variant has the original's type", "9110 8.3", get(ALL, "Accept-Encoding: gzip"), 200, fields={"content-type": re.compile("text/plain(; ?charset=utf-8)?", re.I)}),
    row("the type without a variant", "9110 8.3", get(ALL), 200, fields={"content-type": re.compile("text/plain(; ?charset=utf-8)?", re.I)}),
    row("an index file's variant", "9110 8.4", get("/neg/", "Accept-Encoding: gzip"), 200, body=b"index gzip", fields={"content-encoding": "gzip", "vary": VARY}),
    row("an index file without", "9110 8.4", get("/neg/"), 200, body=b"index identity", fields={"content-encoding": None, "vary": VARY}),
    row("precompressed = [ ]: no variant", "9110 12.5.3", get("/plain/all.txt", "Accept-Encoding: gzip"), 200, body=FILES["neg/all.txt"],
        fields={"content-encoding": None}),
    row("precompressed = [ \"gz\" ]: br is not there", "9110 12.5.3", get("/gzonly/all.txt", "Accept-Encoding: br"), 200,
        fields={"content-encoding": None, "vary": VARY}),
    row("precompressed = [ \"gz\" ]: gzip is", "9110 12.5.3", get("/gzonly/all.txt", "Accept-Encoding: br, gzip"), 200, body=b"all gzip",
        fields={"content-encoding": "gzip", "vary": VARY}),
    row("Vary on a 304", "9110 12.5.5", get(ALL, "If-None-Match: *"), 304, fields={"vary": VARY}),
    row("Vary on a 206", "9110 12.5.5", get(ALL, "Range: bytes=0-0"), 206, fields={"vary": VARY}),
    row("Vary on HEAD", "9110 12.5.5", get(ALL, method="HEAD"), 200, fields={"vary": VARY}),
    row("Vary on a file without siblings", "9110 12.5.5", get(NONE), 200, fields={"vary": VARY}),
    row("Vary on a file without siblings, gzip", "9110 12.5.5", get(NONE, "Accept-Encoding: gzip"), 200, fields={"vary": VARY}),
    row("HEAD of a variant", "9110 9.3.2", get(ALL, "Accept-Encoding: gzip", method="HEAD"), 200,
        fields={"content-encoding": "gzip", "content-length": "8", "vary": VARY}),
    row("two Accept-Encoding fields are one", "9110 5.3", get(ALL, "Accept-Encoding: gzip;q=0.5", "Accept-Encoding: br"), 200, body=b"all brotli"),
    row("two Accept-Encoding fields, the first excludes", "9110 5.3", get(ALL, "Accept-Encoding: gzip;q=0", "Accept-Encoding: gzip;q=0, br;q=0.1"), 200,
        body=b"all brotli"),
    row("Accept is not negotiated by", "9110 12.5.1", get(ALL, "Accept: image/png"), 200),
    row("Accept-Charset is not negotiated by", "9110 12.5.2", get(ALL, "Accept-Charset: iso-8859-1"), 200),
    row("Accept-Language is not negotiated by", "9110 12.5.4", get(ALL, "Accept-Language: de"), 200),
    row("406 to HEAD", "9110 15.5.7", get(ALL, "Accept-Encoding: *;q=0", method="HEAD"), 406),
    row("what is not there is 404, not 406", "9110 15.5.7", get("/nothing-there", "Accept-Encoding: *;q=0"), 404),
    row("1.0 gets a variant that it accepts", "9110 12.5.3", get(ALL, "Accept-Encoding: gzip", version="HTTP/1.0"), 200, after="any"),
    row("TE: gzip is no Accept-Encoding", "9110 10.1.4", get(ALL, "TE: gzip", "Connection: TE"), 200, fields={"content-encoding": None}),
    *[lenient(ALL, value) for value in (
        "gzip;q=2", "gzip;q=1.001", "gzip;q=-1", "gzip;q=abc", "gzip;q=", "gzip;q", "gzip;", "gzip;;q=0", "gzip;q=0.1234", "gzip;q=.5", "gzip;q=0,5",
        "gzip;q=1e0", "gzip;q=+1", "gzip;q= 1", "gzip;q =1", "gzip q=0", "gzip br", "gzip/1", "\"gzip\"", "(gzip)", "gzip;q=\"0\"", ";q=0", "*;", "q=0",
        "gzip;a=b", "gzip;a=b;q=0.5", "gzip;q=0.5;a=b", "gzip\u00e9", "**", "gzip;q=0.5.5", "gzip;q=00", "gzip;q=01", "gzip;q=1.", "gzip;q=0.", "=", ";")],
]


@case(ROWS, "each variant has a tag of its own", "9110 8.8.3")
def _(lab):
    tags = {coding: lab.ask(get(ALL, "Accept-Encoding: " + coding)).get("etag") for coding in ("identity", "gzip", "br", "zstd")}
    assert len(set(tags.values())) == 4, tags
    for coding, tag in tags.items():
        for other in tags:
            status = lab.ask(get(ALL, "Accept-Encoding: " + other, "If-None-Match: " + tag)).status
            assert status == (304 if coding == other else 200), (coding, other, status)


@case(ROWS, "the tag of identity is the same with or without the field", "9110 8.8.3")
def _(lab):
    assert lab.ask(get(ALL)).get("etag") == lab.ask(get(ALL, "Accept-Encoding: identity")).get("etag")


@case(ROWS, "a sibling that appears is used at once, and one that goes is not", "9110 8.4")
def _(lab):
    import os
    import threading
    lab.write("neg/comes.txt", b"comes identity")
    assert lab.ask(get("/neg/comes.txt", "Accept-Encoding: gzip")).body == b"comes identity"
    lab.write("neg/comes.txt.gz", b"comes gzip")
    threading.Event().wait(0.011)
    assert lab.ask(get("/neg/comes.txt", "Accept-Encoding: gzip")).body == b"comes gzip"
    os.unlink(lab.path("neg/comes.txt.gz"))
    threading.Event().wait(0.011)
    answer = lab.ask(get("/neg/comes.txt", "Accept-Encoding: gzip"))
    assert (answer.body, answer.get("content-encoding")) == (b"comes identity", None), answer


# Every combination of codings and weights against the model.

WEIGHTS = (None, "", ";q=0", ";q=0.5", ";q=0.001")
NAMES = ("gzip", "br", "zstd", "identity", "*")


def combinations(names, weights):
    for chosen_weights in itertools.product(weights, repeat=len(names)):
        yield ", ".join(name + weight for name, weight in zip(names, chosen_weights) if weight is not None)


def by_model(target, available, value):
    ROWS.append(accept(target, value, *model.codings(value, available), model=True, name="model: %s, %s" % (target, value)))


for value in combinations(NAMES, WEIGHTS):
    by_model(ALL, ("gzip", "br", "zstd"), value)
for value in combinations(("gzip", "br", "identity", "*"), (None, "", ";q=0", ";q=0.3")):
    by_model(GZ, ("gzip",), value)
    by_model(NONE, (), value)
for value in combinations(("*", "identity", "br"), (None, "", ";q=0", ";q=0.9")):
    by_model(BR, ("br",), value)
