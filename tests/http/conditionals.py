"""Preconditions: RFC 9110 13, 8.8 and 15.4.5; a table, and every combination against the model."""

import itertools
import os
import re
import time

import model
from answer import ENTITY_TAG, fixdate
from engine import case, get, row
from lab import DATE, FILES, TIME

P, TEN = "/probe.txt", "/ten.txt"
BEFORE, AFTER = fixdate(TIME - 1), fixdate(TIME + 1)
WEEKDAYS = "Sunday, 13-Sep-20 12:26:40 GMT"
ASCTIME = "Sun Sep 13 12:26:40 2020"

LIKE_200 = {"etag": True, "date": True, "content-type": None}

NO_DATES = [
    "", "0", "-1", "now", "yesterday", "Sun, 13 Sep 2020 12:26:40", "Sun, 13 Sep 2020 12:26:40 UTC", "Sun, 13 Sep 2020 12:26:40 +0000",
    "Sun, 13 Sep 2020 12:26:40 EST", "13 Sep 2020 12:26:40 GMT", "Sun 13 Sep 2020 12:26:40 GMT", "Sun, 13-Sep-2020 12:26:40 GMT",
    "Sun, 13 September 2020 12:26:40 GMT", "Sun, 13 Foo 2020 12:26:40 GMT", "Sun, 32 Sep 2020 12:26:40 GMT", "Sun, 13 Sep 2020 25:26:40 GMT",
    "Sun, 13 Sep 2020 12:60:40 GMT", "Sun, 13 Sep 2020 12:26 GMT", "Sun, 13 Sep 20 12:26:40 GMT", "2020-09-13T12:26:40Z", "1600000000",
    "Sun, 13 Sep 2020 12:26:40 GMT x", "Sun, 13 Sep 2020 12:26:40 GMTx", "\"Sun, 13 Sep 2020 12:26:40 GMT\"", "Sun, 00 Sep 2020 12:26:40 GMT",
    "Sun, 31 Feb 2021 12:26:40 GMT", "Sun, 13 Sep 99999 12:26:40 GMT", "*", "\"tag\""]

ROWS = [
    row("a file has a strong tag and a date", "9110 8.8", get(P), 200, fields={"etag": re.compile('"[^"]+"'), "last-modified": DATE}),
    row("If-None-Match: *", "9110 13.1.2", get(P, "If-None-Match: *"), 304, fields=LIKE_200),
    row("If-None-Match: * with HEAD", "9110 13.1.2", get(P, "If-None-Match: *", method="HEAD"), 304, fields=LIKE_200),
    row("If-None-Match: * of nothing", "9110 13.1.2", get("/nothing-there", "If-None-Match: *"), 404),
    row("If-None-Match: another", "9110 13.1.2", get(P, 'If-None-Match: "x"'), 200),
    row("If-None-Match: an empty tag", "9110 13.1.2", get(P, 'If-None-Match: ""'), 200),
    row("If-None-Match: no list of tags", "9110 13.1.2", get(P, "If-None-Match: x"), (200, 400)),
    row("If-None-Match: an open quote", "9110 13.1.2", get(P, 'If-None-Match: "x'), (200, 400)),
    row("If-None-Match: empty", "9110 13.1.2", get(P, "If-None-Match:"), (200, 400)),
    row("If-None-Match: a lower-case w", "9110 8.8.3", get(P, 'If-None-Match: w/"x"'), (200, 400)),
    row("If-None-Match: ** is no *", "9110 13.1.2", get(P, "If-None-Match: **"), (200, 400)),
    row("If-None-Match: \"*\" is a tag", "9110 13.1.2", get(P, 'If-None-Match: "*"'), 200),
    row("If-None-Match: 100 others", "9110 13.1.2", get(P, "If-None-Match: " + ", ".join('"x%d"' % i for i in range(100))), 200),
    row("If-Match: *", "9110 13.1.1", get(P, "If-Match: *"), 200),
    row("If-Match: * of nothing", "9110 13.1.1", get("/nothing-there", "If-Match: *"), (404, 412)),
    row("If-Match: another", "9110 13.1.1", get(P, 'If-Match: "x"'), 412),
    row("If-Match: another with HEAD", "9110 13.1.1", get(P, 'If-Match: "x"', method="HEAD"), 412),
    row("If-Match: no list of tags", "9110 13.1.1", get(P, "If-Match: x"), (400, 412)),
    row("If-Match: an empty tag", "9110 13.1.1", get(P, 'If-Match: ""'), 412),
    row("If-Match: another in front of a range", "9110 13.2.2", get(TEN, 'If-Match: "x"', "Range: bytes=0-1"), 412),
    row("If-Match with POST", "9110 13.2.1", get(P, 'If-Match: "x"', method="POST"), (405, 412)),
    *[row("%s with OPTIONS means nothing" % text, "9110 13.2.1", get(P, text, method="OPTIONS"), (200, 204)) for text in (
        'If-Match: "x"', "If-None-Match: *", "If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT", "If-Modified-Since: " + DATE, "Range: bytes=100-")],
    row("If-Match with OPTIONS of *", "9110 13.2.1", get("*", 'If-Match: "x"', method="OPTIONS"), (200, 204)),
    row("If-Match on a fixed answer", "9110 13.1.1", get("/only", 'If-Match: "x"'), (200, 412)),
    row("If-None-Match on a fixed answer", "9110 13.1.2", get("/only", 'If-None-Match: "x"'), 200),
    row("If-Match on a redirect", "9110 13.2.1", get("/rest", 'If-Match: "x"'), (301, 412)),
    row("If-None-Match on an error", "9110 13.2.1", get("/secret.txt", "If-None-Match: *"), 403),
    row("If-None-Match on a directory's redirect", "9110 13.2.1", get("/dir", "If-None-Match: *"), (301, 308)),
    row("If-None-Match: * on an index file", "9110 13.1.2", get("/dir/", "If-None-Match: *"), 304),
    row("If-Modified-Since in another zone's letters", "9110 5.6.7", get(P, "If-Modified-Since: " + DATE.replace("GMT", "gmt")), (200, 304)),
    row("two If-None-Match fields", "9110 5.3", get(P, 'If-None-Match: "x"', 'If-None-Match: "y"'), 200),
    row("304 has no length of its own", "9110 8.6", get(P, "If-None-Match: *"), 304,
        fields={"content-length": lambda value: value in (None, "6")}),
    row("304 keeps Cache-Control", "9110 15.4.5", get("/cached/a.html", "If-None-Match: *"), 304, fields={"cache-control": "public, max-age=60"}),
    row("304 keeps Expires", "9110 15.4.5", get("/expires/a.html", "If-None-Match: *"), 304, fields={"expires": True}),
    row("304 keeps Vary", "9110 15.4.5", get("/neg/all.txt", "If-None-Match: *"), 304, fields={"vary": re.compile("accept-encoding", re.I)}),
    row("304 of a file that is not negotiable has no Vary by it", "9110 12.5.5", get("/neg/pic.png", "If-None-Match: *"), 304,
        fields={"vary": None}),
    row("412 says no coding", "9110 15.5.13", get("/neg/all.txt", 'If-Match: "x"', "Accept-Encoding: gzip"), 412, fields={"content-encoding": None}),
    row("a time in the future makes no strong tag", "9110 8.8.1", get("/future.txt"), 200, fields={"etag": re.compile('W/"[^"]+"')}),
    row("If-Range: two of them", "9110 5.3", get(TEN, "Range: bytes=2-4", 'If-Range: "x"', 'If-Range: "y"'), (200, 400), after="any"),
    row("a time in the future is not told", "9110 8.8.2.1", get("/future.txt"), 200),
]
for field, same, older, newer in (("If-Modified-Since", 304, 200, 304), ("If-Unmodified-Since", 200, 412, 200)):
    for form, text in (("IMF-fixdate", DATE), ("RFC 850", WEEKDAYS), ("asctime", ASCTIME)):
        ROWS.append(row("%s: the same time as %s" % (field, form), "9110 5.6.7", get(P, field + ": " + text), same))
    ROWS += [
        row("%s: a second earlier" % field, "9110 13.1.3", get(P, field + ": " + BEFORE), older),
        row("%s: a second later" % field, "9110 13.1.3", get(P, field + ": " + AFTER), newer),
        row("%s: the beginning of time" % field, "9110 13.1.3", get(P, field + ": Thu, 01 Jan 1970 00:00:00 GMT"), older),
        row("%s: before the beginning of time" % field, "9110 13.1.3", get(P, field + ": Mon, 01 Jan 1900 00:00:00 GMT"), older),
        row("%s: the year 9999" % field, "9110 13.1.3", get(P, field + ": Fri, 31 Dec 9999 23:59:59 GMT"), newer),
        row("%s: the year 2040" % field, "9110 13.1.3", get(P, field + ": Sun, 01 Jan 2040 00:00:00 GMT"), newer),
        row("%s: RFC 850 of 1994" % field, "9110 5.6.7", get(P, field + ": Sunday, 06-Nov-94 08:49:37 GMT"), older),
        row("%s: asctime of 1994, a day of one digit" % field, "9110 5.6.7", get(P, field + ": Sun Nov  6 08:49:37 1994"), older),
        row("%s: asctime of 1994, a day of two digits" % field, "9110 5.6.7", get(P, field + ": Sun Nov 06 08:49:37 1994"), older),
        row("%s: IMF-fixdate in lower case" % field, "9110 5.6.7", get(P, field + ": sun, 06 nov 1994 08:49:37 gmt"), (older, 200), after="open"),
        row("%s: IMF-fixdate of 1994" % field, "9110 5.6.7", get(P, field + ": Sun, 06 Nov 1994 08:49:37 GMT"), older),
        row("%s: RFC 850 of a year in the last century" % field, "9110 5.6.7", get(P, field + ": Friday, 31-Dec-99 23:59:59 GMT"), older),
        row("%s: a leap second" % field, "9110 5.6.7", get(P, field + ": Sat, 31 Dec 2016 23:59:60 GMT"), (older, 200), after="open"),
        row("%s: the wrong day of the week" % field, "9110 5.6.7", get(P, field + ": Mon, 13 Sep 2020 12:26:40 GMT"), (same, 200), after="open"),
        row("%s: a leap day" % field, "9110 5.6.7", get(P, field + ": Mon, 29 Feb 2016 00:00:00 GMT"), older),
        row("%s on nothing" % field, "9110 13.2.1", get("/nothing-there", field + ": " + DATE), 404),
        row("%s twice" % field, "9110 5.3", get(P, field + ": " + DATE, field + ": " + BEFORE), (200, 304, 400, 412), after="any"),
        row("%s on a fixed answer" % field, "9110 13.1.3", get("/only", field + ": " + BEFORE), 200),
        row("%s with POST" % field, "9110 13.1.3", get(P, field + ": " + DATE, method="POST"), 405),
    ]
    for text in NO_DATES:
        ROWS.append(row("%s: no date: %s" % (field, text), "9110 13.1.3", get(P, field + ": " + text), 200))

INM_FORMS = [
    ("{}", 304), ("W/{}", 304), ('"x", {}', 304), ('{}, "x"', 304), ('"x",{},"y"', 304), ('"x" , W/{} ,\t"y"', 304), (',{}', 304), ('{},', 304),
    (", ,{}, ,", 304), ('"x,y", {}', 304), ('"a,{}"', None), ("W/{}, W/\"x\"", 304), ('"*", {}', 304), ("{}x", None), ("x{}", None), ("'{}'", None),
    ("w/{}", None), ("W / {}", None), ("{}; a", None)]
IM_FORMS = [
    ("{}", 200), ("W/{}", 412), ('"x", {}', 200), ('{}, "x"', 200), ('"x",{},"y"', 200), ('"x", W/{}', 412), (",{},", 200), ('"x,y",\t{}', 200)]


def forms(field, table, method):
    def run(lab):
        tag = lab.ask(get(P)).get("etag")
        for form, status in table:
            value = form.replace("{}", tag)
            answer = lab.ask(get(P, "%s: %s" % (field, value), method=method), method=method)
            wanted = (status,) if status else (200, 400)
            assert answer.status in wanted, "%s: %s is answered %d, expected %s" % (field, value, answer.status, wanted)
    return run


for method in ("GET", "HEAD"):
    case(ROWS, "If-None-Match in every form, %s" % method, "9110 13.1.2")(forms("If-None-Match", INM_FORMS, method))
    case(ROWS, "If-Match in every form, %s" % method, "9110 13.1.1")(forms("If-Match", IM_FORMS, method))


@case(ROWS, "two If-None-Match fields are one list", "9110 5.3")
def _(lab):
    tag = lab.ask(get(P)).get("etag")
    for fields in (('"x"', tag), (tag, '"x"')):
        answer = lab.ask(get(P, *["If-None-Match: " + value for value in fields]))
        assert answer.status == 304, answer


@case(ROWS, "two If-Match fields are one list", "9110 5.3")
def _(lab):
    tag = lab.ask(get(P)).get("etag")
    for fields in (('"x"', tag), (tag, '"x"')):
        answer = lab.ask(get(P, *["If-Match: " + value for value in fields]))
        assert answer.status == 200, answer


@case(ROWS, "a young file's tag is weak, and becomes strong", "9110 8.8.1")
def _(lab):
    lab.write("young.txt", b"young\n", time=time.time())
    answer = lab.ask(get("/young.txt"))
    tag = answer.get("etag")
    assert tag.startswith('W/"'), tag
    assert lab.ask(get("/young.txt", "If-None-Match: " + tag)).status == 304
    assert lab.ask(get("/young.txt", "If-Match: " + tag)).status == 412, "a weak tag matches strongly"
    assert lab.ask(get("/young.txt", "If-None-Match: " + tag[2:])).status == 304
    ranged = lab.ask(get("/young.txt", "Range: bytes=0-1", "If-Range: " + tag))
    assert ranged.status == 200, "a weak tag made a range"
    dated = lab.ask(get("/young.txt", "Range: bytes=0-1", "If-Range: " + answer.get("last-modified")))
    assert dated.status == 200, "a date that is not strong yet made a range"
    os.utime(lab.path("young.txt"), (TIME, TIME))
    later = lab.ask(get("/young.txt")).get("etag")
    assert later.startswith('"'), later
    assert lab.ask(get("/young.txt", "If-None-Match: W/" + later)).status == 304


@case(ROWS, "tags are one per content", "9110 8.8.3")
def _(lab):
    tags = [lab.ask(get("/" + name)).get("etag") for name in ("one.txt", "ten.txt", "letters.txt", "empty.txt")]
    assert len(set(tags)) == 4, tags


@case(ROWS, "the same size and time to the second, another content: another tag", "9110 8.8.1")
def _(lab):
    lab.replace("twice.txt", b"aaaa", None)
    os.utime(lab.path("twice.txt"), ns=(TIME * 10**9, TIME * 10**9))
    first = lab.ask(get("/twice.txt")).get("etag")
    lab.replace("twice.txt", b"bbbb", None)
    os.utime(lab.path("twice.txt"), ns=(TIME * 10**9 + 1000000, TIME * 10**9 + 1000000))
    second = lab.ask(get("/twice.txt")).get("etag")
    assert first != second, first


@case(ROWS, "a tag has no inode in it: a copy of the same size and time has the same", "9110 8.8.3")
def _(lab):
    tags = []
    for name in ("copy-a.txt", "copy-b.txt"):
        lab.write(name, b"the same", None)
        os.utime(lab.path(name), ns=(TIME * 10**9 + 5, TIME * 10**9 + 5))
        answer = lab.ask(get("/" + name))
        tags.append(answer.get("etag"))
        assert ENTITY_TAG.fullmatch(tags[-1])
        assert "%x" % os.stat(lab.path(name)).st_ino not in re.split("[^0-9a-f]", tags[-1]), tags
    assert tags[0] == tags[1], tags


@case(ROWS, "304 has what 200 has", "9110 15.4.5")
def _(lab):
    for target in (P, "/neg/all.txt", "/cached/a.html", "/expires/a.html", "/bytype/a.html", "/set/f.txt", "/dir/"):
        for coding in ("identity", "gzip"):
            full = lab.ask(get(target, "Accept-Encoding: " + coding))
            short = lab.ask(get(target, "Accept-Encoding: " + coding, "If-None-Match: *"))
            assert (full.status, short.status) == (200, 304), (target, full.status, short.status)
            for name in ("etag", "cache-control", "vary", "content-location"):
                assert full.all(name) == short.all(name), (target, name, full.all(name), short.all(name))


# Every combination.  The tag is not known before the daemon runs: TAG stands for it.
CHOICES = {
    "If-Match": (None, "TAG", '"x"', "*", "W/TAG", '"x", TAG'),
    "If-Unmodified-Since": (None, DATE, AFTER, BEFORE, "never"),
    "If-None-Match": (None, "TAG", "W/TAG", '"x"', "*", '"x", W/TAG'),
    "If-Modified-Since": (None, DATE, AFTER, BEFORE, "never"),
    "Range": ((None, None), ("bytes=2-4", None), ("bytes=2-4", "TAG"), ("bytes=2-4", '"x"'), ("bytes=2-4", "W/TAG"), ("bytes=2-4", DATE),
              ("bytes=2-4", BEFORE), ("bytes=10-", None), ("bytes=10-", '"x"'), (None, "TAG")),
}


def combination(method, fields, tag):
    """The status that is right for ten.txt."""
    status = model.preconditions(method, fields, tag, TIME)
    if status == 200 and method == "GET" and "Range" in fields and model.if_range_holds(fields, tag, TIME):
        return 206 if model.ranges(fields["Range"], 10) else 416
    return status


def product(lab, method, match, pair):
    """Every combination with this If-Match and this (Range, If-Range); returns what is wrong."""
    tag = lab.ask(get(TEN)).get("etag")
    wrong, requests = [], []
    for values in itertools.product(*[CHOICES[name] for name in NAMES]):
        fields = dict(zip(("If-Match", *NAMES, "Range", "If-Range"), (match, *values, *pair)))
        fields = {name: value.replace("TAG", tag) for name, value in fields.items() if value is not None}
        requests.append((fields, combination(method, fields, tag)))
    with lab.connect() as connection:
        for fields, _ in requests:
            connection.send(get(TEN, *["%s: %s" % field for field in fields.items()], method=method))
        for fields, status in requests:
            answer = connection.answer(method)
            problems = list(answer.problems)
            if answer.status != status:
                problems.append("%d, expected %d" % (answer.status, status))
            elif method == "GET" and status in BODIES and answer.body != BODIES[status]:
                problems.append("the body is %r" % answer.body)
            elif status in (200, 206, 304) and answer.get("etag") != tag:
                problems.append("the tag is %s" % answer.get("etag"))
            if problems:
                wrong.append("%r: %s" % (fields, ", ".join(problems)))
    return wrong


def combinations(method, match, pair):
    def run(lab):
        wrong = product(lab, method, match, pair)
        assert not wrong, "%d are wrong, such as %s" % (len(wrong), "; ".join(wrong[:3]))
    return run


NAMES = ("If-Unmodified-Since", "If-None-Match", "If-Modified-Since")
BODIES = {200: FILES["ten.txt"], 206: b"234"}
for match in CHOICES["If-Match"]:
    for pair in CHOICES["Range"]:
        for method in ("GET", "HEAD"):
            case(ROWS, "150 combinations, %s, If-Match %s, Range %s, If-Range %s" % (method, match, *pair), "9110 13.2.2")(
                combinations(method, match, pair))
