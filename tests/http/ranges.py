"""Range requests: RFC 9110 14 and 15.3.7; a table, and generated fields against the model."""

import itertools
import re

import model
from engine import case, get, row
from lab import DATE, FILES

TEN = "/ten.txt"
FULL = {"content-range": None, "content-length": "10", "accept-ranges": "bytes"}
BIG = 1 << 20


def one(value, first, last, name=None, **more):
    return row(name or "Range: %s" % value, "9110 14.1.2", get(TEN, "Range: " + value), 206, body=b"0123456789"[first:last + 1],
               fields={"content-range": "bytes %d-%d/10" % (first, last), "accept-ranges": lambda text: text in (None, "bytes"), "etag": True,
                       "content-length": str(last - first + 1), "content-type": re.compile("text/plain.*"), "date": True}, **more)


def ignored(value, **more):
    return row("Range: %s is ignored" % value, "9110 14.2", get(TEN, "Range: " + value), 200, body=b"0123456789", fields=FULL, **more)


def unsatisfiable(value, target=TEN, size=10):
    return row("Range: %s of %s cannot be" % (value, target), "9110 15.5.17", get(target, "Range: " + value), 416,
               fields={"content-range": "bytes */%d" % size})


ROWS = [
    row("Accept-Ranges is said", "9110 14.3", get(TEN), 200, fields=FULL, body=b"0123456789"),
    row("Accept-Ranges is said to HEAD", "9110 14.3", get(TEN, method="HEAD"), 200, fields=FULL),
    one("bytes=0-0", 0, 0), one("bytes=0-9", 0, 9), one("bytes=2-4", 2, 4), one("bytes=9-9", 9, 9), one("bytes=0-", 0, 9), one("bytes=9-", 9, 9),
    one("bytes=5-", 5, 9), one("bytes=0-10", 0, 9), one("bytes=5-1000", 5, 9), one("bytes=-1", 9, 9), one("bytes=-10", 0, 9), one("bytes=-11", 0, 9),
    one("bytes=-1000", 0, 9), one("bytes=-3", 7, 9), one("bytes=00002-0004", 2, 4), one("bytes=-003", 7, 9), one("BYTES=2-4", 2, 4),
    one("Bytes=2-4", 2, 4), one("bytes=5-9223372036854775807", 5, 9), one("bytes=5-18446744073709551615", 5, 9),
    one("bytes=5-18446744073709551616", 5, 9), one("bytes=5-99999999999999999999999999", 5, 9), one("bytes=-9223372036854775808", 0, 9),
    one("bytes=-99999999999999999999999999", 0, 9), one("bytes=,2-4", 2, 4), one("bytes=2-4,", 2, 4),
    one("bytes=, ,2-4 , ,", 2, 4),
    *[ignored(value) for value in (
        "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=2", "bytes=2-b", "bytes=a-4", "bytes=4-2", "bytes=2-4x", "bytes=x2-4", "bytes=2--4",
        "bytes=--4", "bytes=2-4-6", "bytes=+2-4", "bytes=2-+4", "bytes=-+3", "bytes=-x", "bytes=0x2-4", "bytes=2.0-4", "bytes=2 - 4", "bytes=2 -4",
        "bytes=2- 4", "bytes=- 3", "bytes: 2-4", "bytes 2-4", "2-4", "=2-4", "items=2-4", "lines=2-4", "seconds=1-2", "bytesx=2-4", "xbytes=2-4",
        "byte=2-4", "none", "bytes=2-4;5-6", "bytes=2-4 5-6", "bytes=2-4/10", "bytes=*", "bytes=2-*", "bytes=*-4", "bytes=,", "bytes=, ,",
        "bytes=2-4,x", "bytes=x,2-4", "bytes=2-4,6", "bytes=2-4,4-2", "bytes=4-2,2-4", "bytes=2-4,-", "\"bytes=2-4\"", "bytes=\"2-4\"",
        "bytes==2-4", "bytes=2-4=", "*", "bytes=2-4,items=1-2", "bytes=2_0-4", "bytes=\u00b2-4", "bytes=2\u20134".encode().decode("latin-1"))],
    row("white space in front of the first range is in no grammar", "9110 5.6.1", get(TEN, "Range: bytes= 2-4"), (200, 206)),
    row("Range: bytes =2-4 has a space", "9110 14.1.1", get(TEN, "Range: bytes =2-4"), 200, body=b"0123456789", fields=FULL),
    row("an empty Range", "9110 14.2", get(TEN, "Range:"), 200, body=b"0123456789", fields=FULL),
    *[unsatisfiable(value) for value in (
        "bytes=10-", "bytes=10-10", "bytes=10-20", "bytes=1000-", "bytes=-0", "bytes=9223372036854775807-", "bytes=9223372036854775808-",
        "bytes=18446744073709551616-", "bytes=18446744073709551618-18446744073709551620", "bytes=99999999999999999999999999-", "bytes=10-,20-",
        "bytes=10-11,-0", "bytes=-0,-0", "bytes=-00")],
    unsatisfiable("bytes=0-", "/empty.txt", 0), unsatisfiable("bytes=0-0", "/empty.txt", 0),
    row("a suffix of an empty file", "9110 14.1.2", get("/empty.txt", "Range: bytes=-1"), (200, 416)),
    unsatisfiable("bytes=1-", "/one.txt", 1), unsatisfiable("bytes=1048576-", "/big.bin", BIG),
    row("two Range fields", "9110 5.3", get(TEN, "Range: bytes=0-1", "Range: bytes=2-3"), (200, 206, 400), after="any"),
    row("Range with HEAD", "9110 14.2", get(TEN, "Range: bytes=2-4", method="HEAD"), 200, fields=FULL),
    row("a Range that cannot be with HEAD", "9110 14.2", get(TEN, "Range: bytes=10-", method="HEAD"), 200, fields=FULL),
    row("Range with POST", "9110 14.2", get(TEN, "Range: bytes=2-4", method="POST"), 405, fields={"content-range": None}),
    row("Range with OPTIONS", "9110 14.2", get(TEN, "Range: bytes=2-4", method="OPTIONS"), (200, 204), fields={"content-range": None}),
    row("Range of nothing", "9110 14.2", get("/nothing-there", "Range: bytes=0-1"), 404),
    row("Range of a redirect", "9110 14.2", get("/dir", "Range: bytes=0-1"), (301, 308)),
    row("Range of a listing", "9110 14.2", get("/listed/", "Range: bytes=0-1"), 200, fields={"content-range": None}),
    row("Range of an index", "9110 14.2", get("/dir/", "Range: bytes=0-2"), 206, body=b"<p>"),
    row("Range in 1.0", "9110 14.2", get(TEN, "Range: bytes=2-4", version="HTTP/1.0"), (200, 206), after="any"),
    row("Range with close", "9110 14.2", get(TEN, "Range: bytes=2-4", "Connection: close"), 206, body=b"234", after="close"),
    row("the first byte of a large file", "9110 14.2", get("/big.bin", "Range: bytes=0-0"), 206, body=b"0"),
    row("the last bytes of a large file", "9110 14.2", get("/big.bin", "Range: bytes=-8"), 206, body=b"0131071\n"),
    row("the middle of a large file", "9110 14.2", get("/big.bin", "Range: bytes=524288-524295"), 206, body=b"0065536\n"),
    row("half of a large file", "9110 14.2", get("/big.bin", "Range: bytes=524288-"), 206, body=FILES["big.bin"][524288:]),
    row("all but one byte of a large file", "9110 14.2", get("/big.bin", "Range: bytes=1-"), 206, body=FILES["big.bin"][1:]),
    row("a range that becomes all is a range", "9110 15.3.7", get("/big.bin", "Range: bytes=0-"), 206, body=FILES["big.bin"]),
    row("a fixed answer's range", "9110 14.2", get("/only", "Range: bytes=0-1"), (200, 206)),

    # If-Range
    row("If-Range: another tag", "9110 13.1.5", get(TEN, "Range: bytes=2-4", 'If-Range: "x"'), 200, body=b"0123456789", fields=FULL),
    row("If-Range: a weak tag", "9110 13.1.5", get(TEN, "Range: bytes=2-4", 'If-Range: W/"x"'), 200, fields=FULL),
    row("If-Range: the date", "9110 13.1.5", get(TEN, "Range: bytes=2-4", "If-Range: " + DATE), 206, body=b"234"),
    row("If-Range: the date as RFC 850", "9110 5.6.7", get(TEN, "Range: bytes=2-4", "If-Range: Sunday, 13-Sep-20 12:26:40 GMT"), 206),
    row("If-Range: the date as asctime", "9110 5.6.7", get(TEN, "Range: bytes=2-4", "If-Range: Sun Sep 13 12:26:40 2020"), 206),
    row("If-Range: an earlier date", "9110 13.1.5", get(TEN, "Range: bytes=2-4", "If-Range: Sun, 13 Sep 2020 12:26:39 GMT"), 200, fields=FULL),
    row("If-Range: a later date", "9110 13.1.5", get(TEN, "Range: bytes=2-4", "If-Range: Sun, 13 Sep 2020 12:26:41 GMT"), 200, fields=FULL),
    row("If-Range: neither", "9110 13.1.5", get(TEN, "Range: bytes=2-4", "If-Range: x"), 200, fields=FULL),
    row("If-Range: empty", "9110 13.1.5", get(TEN, "Range: bytes=2-4", "If-Range:"), (200, 206)),
    row("If-Range: *", "9110 13.1.5", get(TEN, "Range: bytes=2-4", "If-Range: *"), 200, fields=FULL),
    row("If-Range: a list", "9110 13.1.5", get(TEN, "Range: bytes=2-4", 'If-Range: "x", "y"'), 200, fields=FULL),
    row("If-Range without Range", "9110 13.1.5", get(TEN, 'If-Range: "x"'), 200, fields=FULL),
    row("If-Range fails in front of a Range that cannot be", "9110 13.2.2", get(TEN, "Range: bytes=10-", 'If-Range: "x"'), 200, fields=FULL),
    row("If-Range fails in front of many ranges", "9110 13.2.2", get(TEN, "Range: bytes=0-0,2-2", 'If-Range: "x"'), 200, fields=FULL),
    row("If-None-Match in front of Range", "9110 13.2.2", get(TEN, "Range: bytes=2-4", "If-None-Match: *"), 304),
    row("If-Modified-Since in front of Range", "9110 13.2.2", get(TEN, "Range: bytes=2-4", "If-Modified-Since: " + DATE), 304),
    row("206 keeps Cache-Control", "9110 15.3.7", get("/cached/a.html", "Range: bytes=0-0"), 206, fields={"cache-control": "public, max-age=60"}),
    row("206 keeps Vary", "9110 15.3.7", get("/neg/all.txt", "Range: bytes=0-0"), 206, fields={"vary": re.compile("accept-encoding", re.I)}),
    row("a range of a variant", "9110 14.2", get("/neg/gz.txt", "Accept-Encoding: gzip", "Range: bytes=2-4"), 206, body=b"234",
        fields={"content-encoding": "gzip", "content-range": "bytes 2-4/10", "vary": re.compile("accept-encoding", re.I)}),
    row("a range that a variant does not have", "9110 14.2", get("/neg/gz.txt", "Accept-Encoding: gzip", "Range: bytes=10-"), 416,
        fields={"content-range": "bytes */10"}),
    row("416 has no validators of the file's coding", "9110 15.5.17", get("/neg/gz.txt", "Accept-Encoding: gzip", "Range: bytes=10-"), 416,
        fields={"content-encoding": None}),
]


def field(name, pattern):
    return lambda answer: None if re.search(pattern, answer.get(name) or "") else "%s: %r" % (name, answer.get(name))


def several(value, spans, content=FILES["ten.txt"], target=TEN, statuses=(206,), name=None, **more):
    """Several ranges: the answer's parts cover exactly `spans`."""
    def check(answer):
        if answer.status != 206:
            return None
        return model.judge_ranges(spans, answer, content, model.number_of_ranges(value))
    return row(name or "Range: %s" % value, "9110 15.3.7.2", get(target, "Range: " + value), statuses, after="open", check=check, **more)


ROWS += [
    several("bytes=0-0,2-2", [(0, 0), (2, 2)]), several("bytes=0-1,8-9", [(0, 1), (8, 9)]), several("bytes=0-0,-1", [(0, 0), (9, 9)]),
    several("bytes=0-0, 2-2", [(0, 0), (2, 2)]), several("bytes=0-0 ,2-2", [(0, 0), (2, 2)]), several("bytes=0-0,\t2-2", [(0, 0), (2, 2)]),
    several("bytes=8-9,0-1", [(8, 9), (0, 1)]), several("bytes=0-4,5-9", [(0, 9)]), several("bytes=0-5,3-9", [(0, 9)]), several("bytes=0-9,2-4", [(0, 9)]),
    several("bytes=2-4,2-4", [(2, 4)]), several("bytes=0-0,100-", [(0, 0)]), several("bytes=100-,0-0", [(0, 0)]), several("bytes=0-0,-0", [(0, 0)]),
    several("bytes=0-,-5", [(0, 9)], statuses=(200, 206)), several("bytes=0-0,2-2,4-4,6-6,8-8", [(n, n) for n in range(0, 9, 2)]),
    several("bytes=0-9,0-9,0-9", [(0, 9)], statuses=(200, 206)), several("bytes=-1,-2,-3", [(7, 9)]),
    several("bytes=0-0,,2-2,", [(0, 0), (2, 2)]),
    several("bytes=0-99,500-599,900-999", [(0, 99), (500, 599), (900, 999)], FILES["letters.txt"], "/letters.txt"),
    several("bytes=0-99,1000000-1000099,-100", [(0, 99), (1000000, 1000099), (BIG - 100, BIG - 1)], FILES["big.bin"], "/big.bin"),
    several("bytes=0-399999,600000-999999", [(0, 399999), (600000, 999999)], FILES["big.bin"], "/big.bin"),
    several("bytes=" + ",".join("%d-%d" % (n * 20, n * 20) for n in range(50)), [(n * 20, n * 20) for n in range(50)], FILES["letters.txt"],
            "/letters.txt", (200, 206, 416), name="50 small ranges"),
    several("bytes=" + ",".join("%d-%d" % (n * 2, n * 2) for n in range(400)), [(n * 2, n * 2) for n in range(400)], FILES["letters.txt"],
            "/letters.txt", (200, 206, 416), name="400 small ranges"),
    several("bytes=" + ",".join(["0-"] * 500), [(0, BIG - 1)], FILES["big.bin"], "/big.bin", (200, 206, 416), name="500 times all of a large file"),
    several("bytes=" + ",".join("%d-" % n for n in range(500)), [(0, BIG - 1)], FILES["big.bin"], "/big.bin", (200, 206, 416),
            name="500 open ranges that overlap"),
    several("bytes=" + ",".join("0-%d" % n for n in range(500)), [(0, 499)], FILES["big.bin"], "/big.bin", (200, 206, 416),
            name="500 nested ranges"),
    row("a multipart answer says so", "9110 15.3.7.2", get(TEN, "Range: bytes=0-0,5-5"), 206, check=field("content-type", "^multipart/byteranges; ?boundary=")),
    row("each part says its type", "9110 15.3.7.2", get(TEN, "Range: bytes=0-0,5-5"), 206,
        check=lambda answer: None if all((part[3] or "").startswith("text/plain") for part in answer.parts or [(0, 0, 0, "")]) else repr(answer.parts)),
    row("a multipart answer has the file's tag", "9110 15.3.7", get(TEN, "Range: bytes=0-0,5-5"), 206, fields={"etag": True, "content-range": None}),
    row("ranges in the order asked for", "9110 15.3.7.2", get("/letters.txt", "Range: bytes=900-909,0-9,500-509"), 206,
        check=lambda answer: None if [part[0] for part in answer.parts or ()] in ([900, 0, 500], [0, 500, 900])
        else repr(answer.parts)),
    row("several ranges with HEAD", "9110 14.2", get(TEN, "Range: bytes=0-0,5-5", method="HEAD"), 200, fields=FULL),
    row("several ranges of a variant", "9110 14.2", get("/neg/gz.txt", "Accept-Encoding: gzip", "Range: bytes=0-0,5-5"), (200, 206),
        fields={"content-encoding": lambda value: value in (None, "gzip")}),
    row("several ranges, then another request", "9110 15.3.7.2", get(TEN, "Range: bytes=0-0,5-5") + get(TEN), 206, then=[(200, b"0123456789")]),
    row("several ranges with close", "9110 15.3.7.2", get(TEN, "Range: bytes=0-0,5-5", "Connection: close"), 206, after="close"),
]


@case(ROWS, "If-Range with the tag", "9110 13.1.5")
def _(lab):
    for target in (TEN, "/neg/gz.txt", "/big.bin"):
        for coding in ("identity", "gzip"):
            tag = lab.ask(get(target, "Accept-Encoding: " + coding)).get("etag")
            answer = lab.ask(get(target, "Accept-Encoding: " + coding, "Range: bytes=2-4", "If-Range: " + tag))
            assert answer.status == 206 and answer.get("etag") == tag, (target, coding, answer)
            for other in ("W/" + tag, tag[:-1] + 'x"', tag + ', "x"', tag.replace('"', "")):
                answer = lab.ask(get(target, "Accept-Encoding: " + coding, "Range: bytes=2-4", "If-Range: " + other))
                assert answer.status == 200, (target, coding, other, answer)


@case(ROWS, "If-Range with the tag of another variant", "9110 13.1.5")
def _(lab):
    tag = lab.ask(get("/neg/gz.txt")).get("etag")
    answer = lab.ask(get("/neg/gz.txt", "Accept-Encoding: gzip", "Range: bytes=2-4", "If-Range: " + tag))
    assert answer.status == 200, "bytes of two variants would be mixed: %r" % answer


@case(ROWS, "a file larger than 4 GiB", "9110 14.1.2")
def _(lab):
    size = (5 << 30) + 10
    path = lab.write("sparse.bin", b"")
    with open(path, "r+b") as file:
        file.truncate(size)
        file.seek(size - 5)
        file.write(b"hello")
    import os
    from lab import TIME
    os.utime(path, (TIME, TIME))
    for value, first, last, body in (
            ("-5", size - 5, size - 1, b"hello"), ("%d-" % (size - 3), size - 3, size - 1, b"llo"), ("4294967296-4294967297", 4294967296, 4294967297, b"\0\0"),
            ("4294967295-4294967296", 4294967295, 4294967296, b"\0\0"), ("2147483647-2147483648", 2147483647, 2147483648, b"\0\0")):
        answer = lab.ask(get("/sparse.bin", "Range: bytes=" + value))
        assert answer.status == 206 and answer.body == body, (value, answer)
        assert answer.get("content-range") == "bytes %d-%d/%d" % (first, last, size), answer
    answer = lab.ask(get("/sparse.bin", "Range: bytes=%d-" % size))
    assert answer.status == 416 and answer.get("content-range") == "bytes */%d" % size, answer
    answer = lab.ask(get("/sparse.bin", method="HEAD"))
    assert answer.get("content-length") == str(size), answer
    answer = lab.ask(get("/sparse.bin", "Range: bytes=0-1,4294967296-4294967297,-5"))
    spans = [part[:2] for part in answer.parts or ()]
    assert answer.status == 206 and spans == [(0, 1), (4294967296, 4294967297), (size - 5, size - 1)], answer


# Generated fields against the model.

NUMBERS = ("", "0", "1", "4", "9", "10", "11", "99999999999999999999")
SPECS = ["%s-%s" % pair for pair in itertools.product(NUMBERS, NUMBERS)]


def expected(name, value, content):
    """The row for GET of a file with this Range."""
    spans = model.ranges(value, len(content))
    send = get("/" + name, "Range: " + value)
    label = "%s, Range: %s" % (name, value)
    if spans is None:
        return row(label, "9110 14.2", send, 200, body=content, fields={"content-range": None}, model=True)
    if not spans:
        # an empty file has no range at all; whole is right as well for a suffix
        statuses = (200, 416) if not content and any(re.fullmatch(r"\s*-0*[1-9]\d*\s*", spec) for spec in value[6:].split(",")) else 416
        return row(label, "9110 15.5.17", send, statuses, model=True)
    asked = model.number_of_ranges(value)
    return row(label, "9110 15.3.7", send, 206, model=True, check=lambda answer: model.judge_ranges(spans, answer, content, asked))


for name in ("ten.txt", "one.txt", "empty.txt"):
    for spec in SPECS:
        ROWS.append(expected(name, "bytes=" + spec, FILES[name]))
PAIRS = ("0-0", "0-4", "2-4", "3-", "9-", "10-", "-1", "-4", "-0", "-99", "5-99", "4-2", "x", "", " 7-8 ")
for pair in itertools.product(PAIRS, PAIRS):
    ROWS.append(expected("ten.txt", "bytes=" + ",".join(pair).lstrip(), FILES["ten.txt"]))
for triple in itertools.product(("0-0", "2-4", "-2", "10-", "4-6"), repeat=3):
    ROWS.append(expected("ten.txt", "bytes=" + ",".join(triple), FILES["ten.txt"]))
