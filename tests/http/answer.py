"""Reads answers off a connection, and judges each by the grammar and the rules of RFC 9110 and 9112.

A strict client: what is not exactly a valid answer to this request is a problem, whatever the row that asked
expects.  read_answer() raises Broken when the bytes are no answer at all; else Answer.problems lists what is
wrong with it, each with its section.
"""

import datetime
import re
import select
import socket
import time

SECONDS = 20  # for what should take milliseconds, on a machine that is busy
IP_BIND_ADDRESS_NO_PORT = 24    # ip(7): the port is chosen by connect, and so may be in use with another server

TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
QUOTED = r'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
PARAMETERS = r"(?:[ \t]*;[ \t]*%s=(?:%s|%s))*" % (TOKEN, TOKEN, QUOTED)
MEDIA_TYPE = re.compile(r"%s/%s%s" % (TOKEN, TOKEN, PARAMETERS))
ENTITY_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
DIRECTIVES = re.compile(r"{0}(?:=(?:{0}|{1}))?(?:[ \t]*,[ \t]*{0}(?:=(?:{0}|{1}))?)*".format(TOKEN, QUOTED))
TOKENS = re.compile(r"{0}(?:[ \t]*,[ \t]*{0})*".format(TOKEN))
PRODUCT = re.compile(r"{0}(?:/{0})?(?: (?:{0}(?:/{0})?|\([^()]*\)))*".format(TOKEN))
CHALLENGE = re.compile(r"{0} {0}=(?:{0}|{1})(?:[ \t]*,[ \t]*{0}=(?:{0}|{1}))*".format(TOKEN, QUOTED))
FIXDATE = re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), (\d\d) (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) "
                     r"(\d{4}) (\d\d):(\d\d):(\d\d) GMT")
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
PCHAR = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
LOCATION = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*://(?:[A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(?::\d+)?)?"
                      r"(?:/{0}*)*(?:\?(?:{0}|[/?])*)?(?:#(?:{0}|[/?])*)?".format(PCHAR))
BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")

ONCE = {"content-length", "content-type", "content-range", "content-encoding", "content-location", "date", "etag",
        "expires", "last-modified", "location", "server", "retry-after", "accept-ranges", "age",
        "transfer-encoding", "keep-alive", "connection"}
NO_CONTENT = (204, 205, 304)
REDIRECTS = (301, 302, 303, 307, 308)


class Broken(Exception):
    """What came is no answer."""


class Ended(Broken):
    """The connection ended where an answer should have begun."""


def date_seconds(text):
    """The time of an IMF-fixdate (RFC 9110 5.6.7), or None if it is not exactly one."""
    match = FIXDATE.fullmatch(text)
    if match is None:
        return None
    try:
        when = datetime.datetime(int(match[4]), MONTHS.index(match[3]) + 1, int(match[2]), int(match[5]),
                                 int(match[6]), min(int(match[7]), 59), tzinfo=datetime.timezone.utc)
    except ValueError:
        return None
    if DAYS[when.weekday()] != match[1]:
        return None
    return when.timestamp()


def fixdate(seconds):
    when = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return "%s, %02d %s %04d %02d:%02d:%02d GMT" % (DAYS[when.weekday()], when.day, MONTHS[when.month - 1],
                                                    when.year, when.hour, when.minute, when.second)


class Answer:
    def __init__(self):
        self.status = 0
        self.reason = ""
        self.fields = []  # (lower-case name, value)
        self.body = b""
        self.chunked = False
        self.until_end = False  # the end of the connection ends the body
        self.interim = []  # 1xx answers that came before
        self.parts = None  # of multipart/byteranges: (first, last, length, type, bytes)
        self.problems = []

    def all(self, name):
        return [value for key, value in self.fields if key == name]

    def get(self, name):
        values = self.all(name)
        return values[0] if values else None

    def words(self, name):
        """The members of a list field, lower-case."""
        return [word.strip().lower() for value in self.all(name) for word in value.split(",") if word.strip()]

    def __repr__(self):
        return "%d %s %r %r" % (self.status, self.reason, self.fields, self.body[:200])


class Connection:
    """A client's end: sends bytes as they are, reads with a deadline."""

    def __init__(self, address, source=None, seconds=SECONDS):
        family = (socket.AF_UNIX if isinstance(address, str)
                  else socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        self.deadline = time.monotonic() + seconds
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(seconds)
        self.buffer = bytearray()
        self.reset = False
        try:
            if source is not None:
                self.socket.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
                self.socket.bind((source, 0))
            self.socket.connect(address)
            if family != socket.AF_UNIX:
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            self.socket.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        """A peer that has ended already is no problem here: what it answered is read later."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def end(self):
        """Half-close: nothing more will be sent."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def more(self):
        """False at the end of the connection."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise Broken("nothing came in time; so far %r" % bytes(self.buffer[:300]))
        self.socket.settimeout(left)
        try:
            data = self.socket.recv(1 << 18)
        except socket.timeout:
            raise Broken("nothing came in time; so far %r" % bytes(self.buffer[:300])) from None
        except ConnectionResetError:
            self.reset = True
            return False
        self.buffer += data
        return bool(data)

    def need(self, count, what):
        while len(self.buffer) < count:
            if not self.more():
                raise Broken("the connection ended within %s: %r" % (what, bytes(self.buffer[:300])))

    def take(self, count, what):
        self.need(count, what)
        data = bytes(memoryview(self.buffer)[:count])
        del self.buffer[:count]
        return data

    def line(self, what):
        """A line that ends in CR LF; any other CR or LF is Broken."""
        begin = 0
        while True:
            at = self.buffer.find(b"\n", begin)
            if at >= 0:
                break
            begin = len(self.buffer)
            self.need(begin + 1, what)
        line = self.take(at + 1, what)
        if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
            raise Broken("%s does not end in CR LF (9112 2.2): %r" % (what, line[:200]))
        return line[:-2].decode("latin-1")

    def rest(self):
        """All until the end."""
        while self.more():
            pass
        data = bytes(self.buffer)
        self.buffer.clear()
        return data

    def is_open(self, seconds=0.0):
        """Whether the connection still is neither ended nor has bytes to read, after at most `seconds`."""
        return not self.buffer and not select.select([self.socket], [], [], seconds)[0]

    def answer(self, method="GET", version=(1, 1), interim=False):
        return read_answer(self, method, version, interim)


def read_fields(stream, problems):
    fields = []
    while line := stream.line("a field"):
        name, colon, value = line.partition(":")
        if not colon or not re.fullmatch(TOKEN, name):
            raise Broken("a field line without grammar (9112 5): %r" % line)
        if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value):
            problems.append("a control character in field %s (9110 5.5)" % name)
        if not value.isascii():
            problems.append("field %s is not ASCII (9110 5.5)" % name)
        fields.append((name.lower(), value.strip(" \t")))
    return fields


def read_chunked(stream, problems):
    body = bytearray()
    while True:
        line = stream.line("a chunk's size")
        if not re.fullmatch(r"[0-9A-Fa-f]+", line.split(";")[0].rstrip(" \t")):
            raise Broken("a chunk size without grammar (9112 7.1): %r" % line)
        size = int(line.split(";")[0], 16)
        if size == 0:
            break
        body += stream.take(size, "a chunk")
        if stream.take(2, "a chunk's end") != b"\r\n":
            raise Broken("a chunk does not end in CR LF (9112 7.1)")
    for name, _ in read_fields(stream, problems):
        problems.append("trailer %s; none was asked for (9110 6.5.1)" % name)
    return bytes(body)


def read_head(stream):
    answer = Answer()
    if not stream.buffer and not stream.more():
        raise Ended("the connection was %s" % ("reset" if stream.reset else "closed"))
    line = stream.line("the status line")
    match = re.fullmatch(r"HTTP/1\.1 ([1-5]\d\d) ([\t\x20-\x7e]*)", line)
    if match is None:
        raise Broken("a status line without grammar (9112 4): %r" % line)
    answer.status, answer.reason = int(match[1]), match[2]
    if not answer.reason:
        answer.problems.append("no reason phrase")
    answer.fields = read_fields(stream, answer.problems)
    return answer


def read_body(stream, answer, method, version):
    lengths, codings = answer.all("content-length"), answer.words("transfer-encoding")
    problem = answer.problems.append
    if answer.all("transfer-encoding") and lengths:
        problem("both Content-Length and Transfer-Encoding (9112 6.2)")
    if lengths and not re.fullmatch(r"\d+", lengths[0]):
        raise Broken("Content-Length %r (9110 8.6)" % lengths[0])
    if answer.status < 200 or answer.status == 204:
        if lengths or codings:
            problem("%d with a length or a coding (9110 8.6, 9112 6.1)" % answer.status)
        return
    if codings and version < (1, 1):
        problem("Transfer-Encoding to an HTTP/1.0 request (9112 6.1)")
    if method == "HEAD" or answer.status == 304:
        return
    if codings:
        if codings != ["chunked"]:
            raise Broken("Transfer-Encoding %r" % codings)
        answer.chunked = True
        answer.body = read_chunked(stream, answer.problems)
    elif lengths:
        answer.body = stream.take(int(lengths[0]), "a body of %s bytes" % lengths[0])
    else:
        answer.until_end = True
        answer.body = stream.rest()
        if version >= (1, 1):
            problem("a body without framing to an HTTP/1.1 request")


def read_answer(stream, method="GET", version=(1, 1), interim=False):
    """The next final answer.  `interim`: the request said that it expects 100."""
    before = []
    while True:
        answer = read_head(stream)
        read_body(stream, answer, method, version)
        if answer.status >= 200:
            break
        before.append(answer)
        if not interim:
            answer.problems.append("an interim answer that nobody expects (9110 10.1.1)")
    answer.interim = before
    for earlier in before:
        answer.problems += earlier.problems
    judge(answer, method, version)
    return answer


# The judge: each rule looks at one answer and yields what is wrong.

def judge(answer, method, version):
    for rule in RULES:
        answer.problems += rule(answer, method, version)


def rule_once(answer, *_):
    for name in ONCE:
        if len(answer.all(name)) > 1:
            yield "%s %d times (9110 5.3)" % (name, len(answer.all(name)))


def rule_date(answer, *_):
    dates = answer.all("date")
    if len(dates) != 1:
        yield "no Date (9110 6.6.1)"
        return
    when = date_seconds(dates[0])
    if when is None:
        yield "Date %r (9110 5.6.7)" % dates[0]
    elif not -10 <= when - time.time() <= 1.1:
        yield "Date is %.1f s off" % (when - time.time())


def rule_connection(answer, _method, version):
    options = answer.words("connection")
    if answer.get("connection") is not None and not TOKENS.fullmatch(answer.get("connection")):
        yield "Connection %r (9110 7.6.1)" % answer.get("connection")
    if "close" in options and "keep-alive" in options:
        yield "Connection says both close and keep-alive"
    if answer.until_end and version >= (1, 1) and "close" not in options:
        yield "a body up to the end without Connection: close (9112 9.6)"
    hint = answer.get("keep-alive")
    if hint is not None:
        if not re.fullmatch(r"timeout=\d+(, *max=\d+)?", hint):
            yield "Keep-Alive %r" % hint
        if "keep-alive" not in options:
            yield "Keep-Alive, but Connection does not name it (9110 7.6.1)"


def closes(answer, version):
    """Whether the connection ends behind this answer, by what it says (RFC 9112 9.3)."""
    options = answer.words("connection")
    return "close" in options or (version < (1, 1) and "keep-alive" not in options)


def rule_status(answer, method, _):
    status = answer.status
    if status == 405 and not answer.all("allow"):
        yield "405 without Allow (9110 15.5.6)"
    if answer.all("allow"):
        methods = [word.strip() for value in answer.all("allow") for word in value.split(",")]
        if answer.get("allow") and not TOKENS.fullmatch(answer.get("allow")):
            yield "Allow %r (9110 10.2.1)" % answer.get("allow")
        if status == 405 and method in methods:
            yield "405, and Allow has %s" % method
    if status == 401 and not any(CHALLENGE.fullmatch(value) for value in answer.all("www-authenticate")):
        yield "401 without a challenge (9110 11.6.1): %r" % answer.all("www-authenticate")
    if status in REDIRECTS and answer.get("location") is None:
        yield "%d without Location (9110 15.4)" % status
    if status == 426 and not answer.all("upgrade"):
        yield "426 without Upgrade (9110 15.5.22)"
    if status == 205 and answer.body:
        yield "205 with a body (9110 15.3.6)"
    if status == 416 and not re.fullmatch(r"bytes \*/\d+", answer.get("content-range") or ""):
        yield "416 with Content-Range %r (9110 15.5.17)" % answer.get("content-range")
    if answer.get("content-range") is not None and status not in (206, 416):
        yield "Content-Range in %d (9110 14.4)" % status
    if method == "HEAD" and status == 206:
        yield "206 to HEAD (9110 14.2)"


def rule_partial(answer, method, _):
    if answer.status != 206 or method == "HEAD":
        return
    kind = (answer.get("content-type") or "").lower()
    if kind.startswith("multipart/byteranges"):
        if answer.get("content-range") is not None:
            yield "Content-Range in the head of a multipart answer (9110 15.3.7.2)"
        yield from read_parts(answer)
        return
    match = CONTENT_RANGE.fullmatch(answer.get("content-range") or "")
    if match is None:
        yield "206 with Content-Range %r (9110 15.3.7.1)" % answer.get("content-range")
        return
    first, last, length = (int(word) for word in match.groups())
    if not first <= last < length:
        yield "Content-Range %s (9110 14.4)" % match[0]
    elif last - first + 1 != len(answer.body):
        yield "Content-Range %s with %d bytes" % (match[0], len(answer.body))


def read_parts(answer):
    """The parts of a multipart/byteranges body, by RFC 2046 5.1.1; yields what is wrong."""
    match = re.search(r';[ \t]*boundary=(?:"([^"]*)"|(%s))' % TOKEN, answer.get("content-type"))
    boundary = match and (match[1] or match[2])
    if not boundary or not BOUNDARY.fullmatch(boundary):
        yield "no boundary in %r (2046 5.1.1)" % answer.get("content-type")
        return
    data, mark = answer.body, b"--" + boundary.encode()
    at = 2 if data.startswith(b"\r\n") else 0
    answer.parts = []
    while data.startswith(mark + b"\r\n", at):
        at += len(mark) + 2
        end = data.find(b"\r\n\r\n", at)
        head = data[at:end].decode("latin-1") if end >= at else ""
        fields = dict((name.lower(), value.strip()) for name, _, value in
                      (line.partition(":") for line in head.split("\r\n")))
        span = CONTENT_RANGE.fullmatch(fields.get("content-range", ""))
        if end < at or span is None:
            yield "a part without Content-Range: %r" % head
            return
        first, last, length = (int(word) for word in span.groups())
        if not first <= last < length:
            yield "Content-Range %s in a part" % span[0]
        at = end + 4
        answer.parts.append((first, last, length, fields.get("content-type"), data[at:at + last - first + 1]))
        at += last - first + 1
        if not data.startswith(b"\r\n", at):
            yield "a part is not as long as it says"
            return
        at += 2
    if not data.startswith(mark + b"--", at) or data[at + len(mark) + 2:] not in (b"", b"\r\n"):
        yield "the closing boundary is missing: %r" % data[at:at + 80]
    if len(answer.parts) < 2 and not any("multipart" in problem for problem in answer.problems):
        if not answer.parts:
            yield "a multipart answer without parts"


def rule_fields(answer, method, _):
    when, modified = answer.get("date"), answer.get("last-modified")
    tag, kind = answer.get("etag"), answer.get("content-type")
    if modified is not None:
        if date_seconds(modified) is None:
            yield "Last-Modified %r (9110 8.8.2)" % modified
        elif when and date_seconds(when) is not None and date_seconds(modified) > date_seconds(when):
            yield "Last-Modified is later than Date (9110 8.8.2.1)"
    if tag is not None and not ENTITY_TAG.fullmatch(tag):
        yield "ETag %r (9110 8.8.3)" % tag
    if kind is not None and not MEDIA_TYPE.fullmatch(kind):
        yield "Content-Type %r (9110 8.3.1)" % kind
    if kind is None and answer.body and answer.status < 600:
        yield "a body without Content-Type (9110 8.3)"
    if answer.get("expires") is not None and date_seconds(answer.get("expires")) is None:
        yield "Expires %r (9111 5.3)" % answer.get("expires")
    for value in answer.all("cache-control"):
        if not DIRECTIVES.fullmatch(value):
            yield "Cache-Control %r (9111 5.2)" % value
    for value in answer.all("vary"):
        if not TOKENS.fullmatch(value):
            yield "Vary %r (9110 12.5.5)" % value
    if answer.get("server") is not None and not PRODUCT.fullmatch(answer.get("server")):
        yield "Server %r (9110 10.2.4)" % answer.get("server")
    if answer.get("content-encoding") is not None and not TOKENS.fullmatch(answer.get("content-encoding")):
        yield "Content-Encoding %r (9110 8.4)" % answer.get("content-encoding")
    if answer.get("accept-ranges") not in (None, "bytes", "none"):
        yield "Accept-Ranges %r (9110 14.3)" % answer.get("accept-ranges")
    if answer.get("retry-after") is not None and not re.fullmatch(r"\d+", answer.get("retry-after")):
        yield "Retry-After %r (9110 10.2.3)" % answer.get("retry-after")


def rule_location(answer, *_):
    location = answer.get("location")
    if location is None:
        return
    if not location or not LOCATION.fullmatch(location):
        yield "Location %r is no URI reference (3986 4.1)" % location
    if location.startswith("//"):
        yield "Location %r names another host" % location


def rule_not_modified(answer, *_):
    if answer.status != 304:
        return
    for name in ("content-type", "content-encoding", "content-range", "transfer-encoding"):
        if answer.all(name):
            yield "304 with %s (9110 15.4.5)" % name


RULES = (rule_once, rule_date, rule_connection, rule_status, rule_partial, rule_fields, rule_location,
         rule_not_modified)
