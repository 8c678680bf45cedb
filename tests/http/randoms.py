"""Targets, Range fields, tags and dates at random, against the models."""

import random

import model
from answer import fixdate
from engine import get, row
from lab import FILES, TIME

SEED, COUNT = 1, 500
TEN = FILES["ten.txt"]


# Range fields of the characters that may be in one

def range_value(source):
    kind = source.randrange(3)
    if kind == 0:
        specs = ["%s-%s" % (source.choice(("", "0", "3", "9", "10", "007", "123456789012345678901")), source.choice(("", "0", "2", "5", "9", "10", "99999999999999999999")))
                 for _ in range(source.randrange(1, 4))]
        return "bytes=" + source.choice((",", ", ", " ,", ",,", " , ")).join(specs)
    text = "".join(source.choice("0123456789---,,,  \t=bx") for _ in range(source.randrange(1, 10)))
    text = text.strip(" \t")
    return "bytes=" + text if kind == 1 else "bytes" + text


def range_row(number, source):
    value = range_value(source)
    spans = model.ranges(value, len(TEN))
    name, send = "Range: %s (%d)" % (value, number), get("/ten.txt", "Range: " + value)
    if spans is None:
        return row(name, "9110 14.2", send, 200, body=TEN, model=True)
    if not spans:
        return row(name, "9110 15.5.17", send, 416, model=True)
    asked, length = model.number_of_ranges(value), sum(last - first + 1 for first, last in spans)
    statuses = (200, 206) if length > len(TEN) else 206  # overlapping ranges may get all (9110 14.2)
    return row(name, "9110 14.2", send, statuses, model=True, check=lambda answer: model.judge_ranges(spans, answer, TEN, asked) if answer.status == 206 else None)


# Dates in the three formats, near the file's and far away

def date_text(source, when):
    import datetime
    kind = source.randrange(3)
    text = fixdate(when)
    if kind == 0:
        return text
    moment = datetime.datetime.fromtimestamp(when, datetime.timezone.utc)
    if kind == 1:
        names = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
        return "%s, %02d-%s-%02d %s" % (names[moment.weekday()], moment.day, text[8:11], moment.year % 100, text[17:])
    return "%s %s %2d %s %d" % (text[:3], text[8:11], moment.day, text[17:25], moment.year)


def date_row(number, source):
    when = TIME + source.choice((0, 0, -1, 1, source.randrange(-86400, 86400), source.randrange(-10**8, 10**8)))
    field = source.choice(("If-Modified-Since", "If-Unmodified-Since", "If-Range"))
    text = date_text(source, when)
    status = {"If-Modified-Since": 304 if TIME <= when else 200, "If-Unmodified-Since": 412 if TIME > when else 200, "If-Range": 206 if TIME == when else 200}[field]
    fields = ["%s: %s" % (field, text)] + (["Range: bytes=1-2"] if field == "If-Range" else [])
    return row("%s: %s (%d)" % (field, text, number), "9110 5.6.7", get("/ten.txt", *fields), status, model=True)


# Paths of segments, by RFC 3986 5.2.4 and the rules for dotfiles

SEGMENTS = ["dir", "dir", "sub", "f.txt", "index.html", "ten.txt", ".", "..", "%2e", "%2E%2e", ".%2e", ".hidden", ".git", "nothing", "noindex", "d%69r", "link-dir", "link-in.txt", "link-out-dir",
            "a%20b.txt", "link-self", "dir%2e", "...", "secret.txt"]


def walk(segments):
    """Segments without dots, or None if they lead above the root."""
    out = []
    for segment in segments:
        if segment == "..":
            if not out:
                return None
            out.pop()
        elif segment != ".":
            out.append(segment)
    return out


TREE_LINKS = {"link-dir": ["dir"], "link-self": []}


def path_expectation(target):
    """(statuses, body or None)"""
    from urllib.parse import unquote
    segments = [unquote(segment) for segment in target[1:].split("/")]
    ends_open = segments[-1] in ("", ".", "..")
    path = walk([segment for segment in segments if segment])
    if path is None:
        return (200, 301, 308, 400, 403, 404), None
    if any(segment.startswith(".") for segment in path):
        return (403, 404), None
    real = []
    for segment in path:
        link = TREE_LINKS.get(segment) if not real else None
        real += [segment] if link is None else link
    if real and real[0] == "link-in.txt" and len(real) == 1:
        real = ["ten.txt"]
    name = "/".join(real)
    if real and real[0] in ("link-out-dir",) or name == "secret.txt":
        return (403, 404), None
    if name in FILES:
        return ((404,), None) if ends_open else ((200,), FILES[name])
    if any(known.startswith(name + "/") for known in FILES) or not real:
        if not ends_open:
            return (301, 308), None
        index = "/".join(real + ["index.html"])
        return ((200,), FILES[index]) if index in FILES else ((403, 404), None)
    return (404,), None


def path_row(number, source):
    target = "/" + "/".join(source.choice(SEGMENTS) for _ in range(source.randrange(1, 7))) + source.choice(("", "", "/"))
    statuses, body = path_expectation(target)
    more = {} if statuses != (301, 308) else {"fields": {"location": lambda value: value.startswith("/") and value.endswith("/") and not value.startswith("//")}}
    return row("%s (%d)" % (target, number), "3986 5.2.4", get(target), statuses, body=body, after="any" if 400 in statuses else "open", model=400 not in statuses, **more)


def rows(seed, count):
    source = random.Random(seed)
    for make in (range_row, date_row, path_row):
        for number in range(count):
            yield make(number, source)


ROWS = list(rows(SEED, COUNT))
