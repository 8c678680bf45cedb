"""What RFC 9112 says of a stream of requests, as a small parser: independent of the daemon's code.

read(data) yields one verdict per request: ("ok", closes), ("either", None) where the RFCs leave the choice or the
answer depends on more than syntax, ("bad", None) where the connection has to end with an error, or ("more", None)
where the bytes end too early.  Nothing follows but behind ("ok", False).
"""

import re

TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
FIELD = re.compile(rb"(%s):[ \t]*((?:[\x21-\x7e\x80-\xff](?:[ \t\x21-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?)[ \t]*" % TOKEN)
LINE = re.compile(rb"(%s) ([^\x00-\x20\x7f]+) HTTP/(\d)\.(\d)" % TOKEN)
EXTENSIONS = rb"(?:[ \t]*;[ \t]*%s(?:[ \t]*=[ \t]*(?:%s|%s))?)*" % (TOKEN, TOKEN, QUOTED)
CHUNK = re.compile(rb"([0-9A-Fa-f]+)(%s)" % EXTENSIONS)
NAME = rb"(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+"
HOST = re.compile(rb"(%s|\[[0-9A-Fa-f:.]+\])(?::(\d*))?" % NAME)
PLAIN = re.compile(rb"(?:http://([^/?]*))?/[A-Za-z0-9._/-]*(?:\?[A-Za-z0-9=&._/-]*)?")
METHODS = (b"GET", b"HEAD")
LIMIT = 64 << 10


class End(Exception):
    pass


def line(data, at):
    """A line and what is behind it; a bare CR or LF is an error."""
    end = data.find(b"\n", at)
    lone = data.find(b"\r", at)
    if lone >= 0 and lone + 1 < len(data) and data[lone + 1:lone + 2] != b"\n" and (end < 0 or lone < end):
        raise End("bad")
    if end < 0:
        raise End("more")
    if data[end - 1:end] != b"\r" or end - 1 < at:
        raise End("bad")
    return data[at:end - 1], end + 1


def head(data, at):
    """(request line, fields, behind)"""
    text, at = line(data, at)
    if not text:  # one empty line in front
        text, at = line(data, at)
        if not text:
            raise End("either")
    request, fields = text, []
    first = LINE.fullmatch(request)
    if first is None:
        raise End("bad")
    if first[3] != b"1":
        raise End("bad")
    while True:
        text, at = line(data, at)
        if not text:
            return first, fields, at
        match = FIELD.fullmatch(text)
        if match is None:
            raise End("bad")
        fields.append((match[1].lower(), match[2]))


def chunked(data, at):
    """Behind a chunked body."""
    total = 0
    while True:
        text, at = line(data, at)
        match = CHUNK.fullmatch(text)
        if match is None:
            raise End("bad")
        size = int(match[1], 16)
        total += size
        if total > LIMIT or len(match[1]) > 16:
            raise End("bad")
        if size == 0:
            break
        if len(data) < at + size + 2:
            if data[at + size:] not in (b"", b"\r"):
                raise End("bad")
            raise End("more")
        if data[at + size:at + size + 2] != b"\r\n":
            raise End("bad")
        at += size + 2
    while True:
        text, at = line(data, at)
        if not text:
            return at
        match = FIELD.fullmatch(text)
        if match is None:
            raise End("bad")
        if match[1] in (b"content-length", b"transfer-encoding", b"host", b"connection", b"expect"):
            raise End("either")


def options(fields):
    return {word.strip(b" \t").lower() for name, value in fields if name == b"connection" for word in value.split(b",")}


def request(data, at):
    """(verdict, closes, behind)"""
    first, fields, at = head(data, at)
    names = [name for name, _ in fields]
    values = dict(fields)
    version = (1, int(first[4]))
    hosts = names.count(b"host")
    if hosts > 1 or (hosts == 0 and version >= (1, 1)):
        raise End("bad")
    host = HOST.fullmatch(values.get(b"host", b"x"))
    if values.get(b"host") == b"":
        raise End("either")
    if host is None or (host[2] and int(host[2]) > 65535):
        raise End("bad")
    if host[1].startswith(b"[") or b"%" in host[1] or re.search(rb"^\.|\.\.|[^A-Za-z0-9.-]", host[1]) or len(host[1]) > 60 or host[2] == b"0":
        raise End("either")
    lengths = [value for name, value in fields if name == b"content-length"]
    codings = [value for name, value in fields if name == b"transfer-encoding"]
    if codings:
        if lengths or version < (1, 1):
            raise End("bad")
        if len(codings) > 1 or not re.fullmatch(b"(?i)chunked", codings[0]):
            raise End("either" if re.fullmatch(rb"(?i)[, \t]*chunked[, \t]*", b",".join(codings)) else "bad")
        behind = chunked(data, at)
    else:
        size = 0
        if lengths:
            if len(lengths) > 1 or not re.fullmatch(rb"\d+", lengths[0]):
                raise End("bad")
            if len(lengths[0]) > 1 and lengths[0].startswith(b"0"):
                raise End("either")
            size = int(lengths[0])
            if size > LIMIT:
                raise End("bad")
        behind = at + size
        if behind > len(data):
            raise End("more")
    if first[1] not in METHODS or PLAIN.fullmatch(first[2]) is None or b"expect" in values:
        raise End("either")
    target = re.match(rb"http://([^/?]*)", first[2])
    if target and (HOST.fullmatch(target[1]) is None or target[1].startswith(b"[")):
        raise End("either")
    said = options(fields)
    if any(not re.fullmatch(TOKEN, word) for word in said - {b""}):
        raise End("either")
    closes = b"close" in said or (version < (1, 1) and b"keep-alive" not in said)
    return "ok", closes, behind


def read(data):
    at = 0
    while at < len(data):
        try:
            verdict, closes, at = request(data, at)
        except End as end:
            yield str(end), None
            return
        yield verdict, closes
        if closes:
            return
