"""What RFC 9110 says about preconditions, ranges and codings, as small functions: independent of the daemon's code.

Each takes a request's fields as text, and what is known of the representation, and says what is right.
"""

import re

import answer as answers

TOKEN = answers.TOKEN


# RFC 9110 5.6.7: the three formats of a date; None for anything else

def http_date(text):
    when = answers.date_seconds(text)
    if when is not None:
        return when
    match = re.fullmatch(r"(Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (\d\d)-(\w{3})-(\d\d) (\d\d:\d\d:\d\d) GMT", text)
    if match:
        year = int(match[4]) + (2000 if int(match[4]) < 76 else 1900)
        return answers.date_seconds("%s, %s %s %d %s GMT" % (match[1][:3], match[2], match[3], year, match[5]))
    match = re.fullmatch(r"(\w{3}) (\w{3}) ([ \d]\d) (\d\d:\d\d:\d\d) (\d{4})", text)
    if match:
        return answers.date_seconds("%s, %02d %s %s %s GMT" % (match[1], int(match[3]), match[2], match[5], match[4]))
    return None


# RFC 9110 8.8.3 and 13.1

def tags(text):
    """The entity tags of a list, or None if it is none."""
    found = []
    rest = text.strip(" \t")
    while rest:
        match = re.match(r'((?:W/)?"[\x21\x23-\x7e\x80-\xff]*")[ \t]*(?:,[ \t,]*|$)', rest)
        if match is None:
            return None
        found.append(match[1])
        rest = rest[match.end():]
    return found


def strong(one, other):
    return one == other and not one.startswith("W/")


def weak(one, other):
    return one.removeprefix("W/") == other.removeprefix("W/")


def preconditions(method, fields, tag, modified):
    """200, 304 or 412, by RFC 9110 13.2.2, for a representation that exists; also for HEAD."""
    if "If-Match" in fields:
        value = fields["If-Match"]
        if value != "*" and not any(strong(one, tag) for one in tags(value) or []):
            return 412
    elif "If-Unmodified-Since" in fields:
        when = http_date(fields["If-Unmodified-Since"])
        if when is not None and modified > when:
            return 412
    if "If-None-Match" in fields:
        value = fields["If-None-Match"]
        if value == "*" or any(weak(one, tag) for one in tags(value) or []):
            return 304 if method in ("GET", "HEAD") else 412
    elif "If-Modified-Since" in fields and method in ("GET", "HEAD"):
        when = http_date(fields["If-Modified-Since"])
        if when is not None and modified <= when:
            return 304
    return 200


# RFC 9110 14.1 and 14.2

def ranges(value, size):
    """The satisfiable ranges [(first, last)] in the order asked for; None if the field is to be ignored."""
    match = re.fullmatch(r"bytes=(.*)", value, re.I)
    if match is None:
        return None
    found, any_spec = [], False
    for spec in match[1].split(","):
        spec = spec.strip(" \t")
        if not spec:
            continue
        any_spec = True
        numbers = re.fullmatch(r"(\d*)-(\d*)", spec)
        if numbers is None or spec == "-":
            return None
        first, last = numbers.groups()
        if not first:
            count = min(int(last), size)
            if count:
                found.append((size - count, size - 1))
            continue
        if last and int(last) < int(first):
            return None
        if int(first) < size:
            found.append((int(first), min(int(last), size - 1) if last else size - 1))
    return found if any_spec else None


def number_of_ranges(value):
    return sum(1 for spec in value.split("=", 1)[-1].split(",") if spec.strip(" \t"))


def if_range_holds(fields, tag, modified):
    """Whether Range counts (RFC 9110 13.1.5).  The modification is long ago, so its date is a strong validator."""
    value = fields.get("If-Range")
    if value is None:
        return True
    if value.startswith(('"', "W/")):
        return strong(value, tag)
    return http_date(value) == modified


def covered(spans):
    """The set of bytes of some ranges, as merged spans."""
    merged = []
    for first, last in sorted(spans):
        if merged and first <= merged[-1][1] + 1:
            merged[-1][1] = max(merged[-1][1], last)
        else:
            merged.append([first, last])
    return merged


def judge_ranges(wanted, answer, content, asked):
    """What is wrong with a 206 for these satisfiable ranges, or None.  `asked`: how many the client named."""
    if answer.parts is None:
        match = answers.CONTENT_RANGE.fullmatch(answer.get("content-range") or "")
        if match is None:
            return "no Content-Range"
        parts = [(int(match[1]), int(match[2]), int(match[3]), None, answer.body)]
    else:
        parts = answer.parts
        if asked == 1:
            return "a multipart answer to one range (9110 15.3.7.2)"
    for first, last, size, _, data in parts:
        if size != len(content):
            return "Content-Range says %d of %d bytes" % (size, len(content))
        if data != content[first:last + 1]:
            return "the bytes %d-%d are others" % (first, last)
    spans = [(part[0], part[1]) for part in parts]
    if covered(spans) != covered(wanted):
        return "ranges %r, expected %r" % (covered(spans), covered(wanted))
    return None


# RFC 9110 12.5.3 and 12.4.2

def accept_encoding(value):
    """coding -> q of a field without mistakes."""
    found = {}
    for member in value.split(","):
        parts = [part.strip(" \t") for part in member.split(";")]
        if not parts[0]:
            continue
        weight = 1.0
        for parameter in parts[1:]:
            name, _, number = parameter.partition("=")
            if name.lower() == "q":
                weight = float(number)
        name = parts[0].lower()
        found["gzip" if name == "x-gzip" else name] = weight
    return found


def codings(value, available):
    """The codings of which each is a right choice; empty: 406.  None as coding is identity.  `value` None: no field."""
    if value is None:
        return {None}
    asked = accept_encoding(value)

    def weight(coding):
        return asked.get(coding, asked.get("*"))

    weights = {coding: weight(coding) for coding in available if weight(coding)}
    identity = weight("identity")
    if identity is None:
        identity = 0.0001  # acceptable, after everything that is asked for
    if identity:
        weights[None] = identity
    if not weights:
        return set()
    best = max(weights.values())
    return {coding for coding, number in weights.items() if number == best}
