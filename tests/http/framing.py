"""The start line, line ends and the syntax of fields: RFC 9112 2, 3 and 5, RFC 9110 5.5 and 5.6."""

from engine import get, row

GET = b"GET /probe.txt HTTP/1.1\r\nHost: x\r\n"
CONTROLS = [code for code in (*range(0x20), 0x7f) if code not in (0x09, 0x0a, 0x0d)]
NO_TOKEN = b'"(),/:;<=>?@[\\]{}'

ROWS = [
    row("a plain request", "9112 3", GET + b"\r\n", 200, body=b"probe\n"),
    row("an empty line in front is ignored", "9112 2.2", b"\r\n" + GET + b"\r\n", 200),
    row("two empty lines in front are ignored or refused", "9112 2.2", b"\r\n\r\n" + GET + b"\r\n", (200, 400)),
    row("a line feed in front", "9112 2.2", b"\n" + GET + b"\r\n", (200, 400)),
    row("a bare CR in front", "9112 2.2", b"\r" + GET + b"\r\n", 400),
    row("a space in front of the request line", "9112 3", b" " + GET + b"\r\n", 400),
    row("a tab in front of the request line", "9112 3", b"\t" + GET + b"\r\n", 400),
    row("an empty line, then a space in front", "9112 2.2", b"\r\n " + GET + b"\r\n", 400),
    row("a NUL in front", "9112 2.2", b"\0" + GET + b"\r\n", 400),
    row("a byte order mark in front", "9112 3", b"\xef\xbb\xbf" + GET + b"\r\n", 400),

    # line ends
    row("LF alone ends the request line", "9112 2.2", b"GET /probe.txt HTTP/1.1\nHost: x\r\n\r\n", 400),
    row("LF alone ends a field line", "9112 2.2", GET + b"A: b\nC: d\r\n\r\n", 400),
    row("LF alone ends the Host line", "9112 2.2", b"GET /probe.txt HTTP/1.1\r\nHost: x\n\r\n", 400),
    row("LF alone ends the head", "9112 2.2", GET + b"\n", 400),
    row("LF alone everywhere", "9112 2.2", b"GET /probe.txt HTTP/1.1\nHost: x\n\n", 400),
    row("LF CR at a line's end", "9112 2.2", b"GET /probe.txt HTTP/1.1\n\rHost: x\r\n\r\n", 400),
    row("CR CR LF ends the request line", "9112 2.2", b"GET /probe.txt HTTP/1.1\r\r\nHost: x\r\n\r\n", 400),
    row("CR CR LF ends a field line", "9112 2.2", GET + b"A: b\r\r\n\r\n", 400),
    row("CR CR LF ends the head", "9112 2.2", GET + b"\r\r\n", 400),
    row("a bare CR ends a field line", "9112 2.2", GET + b"A: b\rC: d\r\n\r\n", 400),
    row("a bare CR within a value", "9110 5.5", GET + b"A: b\rc\r\n\r\n", 400),
    row("a bare CR within a name", "9110 5.1", GET + b"A\rB: c\r\n\r\n", 400),
    row("a bare CR in the request line", "9112 3", b"GET /probe.txt\r HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    row("a bare CR as the separator", "9112 3", b"GET\r/probe.txt\rHTTP/1.1\r\nHost: x\r\n\r\n", 400),
    row("CR, then a request hidden behind it", "9112 2.2", GET + b"A: b\r\rGET /ten.txt HTTP/1.1\r\n\r\n", 400),
    row("a bare CR at the head's end", "9112 2.2", GET + b"A: b\r\n\rX: y\r\n\r\n", 400),

    # the request line
    row("two spaces behind the method", "9112 3", b"GET  /probe.txt HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    row("two spaces behind the target", "9112 3", b"GET /probe.txt  HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    row("a space behind the version", "9112 3", b"GET /probe.txt HTTP/1.1 \r\nHost: x\r\n\r\n", 400),
    row("a tab behind the version", "9112 3", b"GET /probe.txt HTTP/1.1\t\r\nHost: x\r\n\r\n", 400),
    row("a tab behind the method", "9112 3", b"GET\t/probe.txt HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    row("a tab in front of the version", "9112 3", b"GET /probe.txt\tHTTP/1.1\r\nHost: x\r\n\r\n", 400),
    row("a vertical tab as separator", "9112 3", b"GET\x0b/probe.txt HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    row("a form feed as separator", "9112 3", b"GET /probe.txt\x0cHTTP/1.1\r\nHost: x\r\n\r\n", 400),
    row("a space within the target", "9112 3.2", b"GET /a b.txt HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    row("three words behind the method", "9112 3", b"GET /probe.txt HTTP/1.1 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    row("no target", "9112 3", b"GET HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    row("no target, two spaces", "9112 3", b"GET  HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    row("no method", "9112 3", b"/probe.txt HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    row("no version: HTTP/0.9", "9112 3", b"GET /probe.txt\r\n\r\n", (400, 505), probe=False),
    row("no version, with fields", "9112 3", b"GET /probe.txt\r\nHost: x\r\n\r\n", (400, 505)),
    row("no version, a space", "9112 3", b"GET /probe.txt \r\nHost: x\r\n\r\n", (400, 505)),
    row("HTTP/0.9 with a bare LF", "9112 3", b"GET /probe.txt\n", (400, 505), probe=False),
    row("one word", "9112 3", b"GET\r\n\r\n", 400),
    row("a field line as the request line", "9112 3", b"Host: x\r\n\r\n", 400),
    row("an answer as a request", "9112 3", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 400),
    row("a TLS hello", "9112 3", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xaa" * 40 + b"\r\n\r\n", 400),
    row("bytes that are no text", "9112 3", bytes(range(128, 256)) + b"\r\n\r\n", 400),
    row("an SSH banner", "9112 3", b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n", 400),
    row("a SOCKS greeting", "9112 3", b"\x05\x01\x00\r\n\r\n", 400),
    row("a PROXY header on a listener without it", "9112 3", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n" + GET + b"\r\n", 400),
    row("a signature of PROXY v2 on a listener without it", "9112 3",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c" + b"\1" * 12 + GET + b"\r\n", 400),

    # obs-fold and white space
    row("obs-fold with a space", "9112 5.2", GET + b"A: b\r\n c\r\n\r\n", 400),
    row("obs-fold with a tab", "9112 5.2", GET + b"A: b\r\n\tc\r\n\r\n", 400),
    row("obs-fold of an empty line", "9112 5.2", GET + b"A: b\r\n \r\n\r\n", 400),
    row("obs-fold of a tab alone", "9112 5.2", GET + b"A: b\r\n\t\r\n\r\n", 400),
    row("obs-fold in Host", "9112 5.2", b"GET / HTTP/1.1\r\nHost:\r\n x\r\n\r\n", 400),
    row("obs-fold in Content-Length", "9112 5.2", GET + b"Content-Length:\r\n 0\r\n\r\n", 400),
    row("obs-fold in Transfer-Encoding", "9112 5.2", GET + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400),
    row("white space in front of the first field", "9112 2.2", b"GET / HTTP/1.1\r\n Host: x\r\n\r\n", 400),
    row("white space in front of the first field, then Host", "9112 2.2",
        b"GET / HTTP/1.1\r\n A: b\r\nHost: x\r\n\r\n", 400),
    row("a tab in front of the first field", "9112 2.2", b"GET / HTTP/1.1\r\n\tA: b\r\nHost: x\r\n\r\n", 400),
    row("an indented line alone in front of the fields", "9112 2.2", b"GET / HTTP/1.1\r\n \r\nHost: x\r\n\r\n", 400),
    row("a space before the colon", "9112 5.1", GET + b"A : b\r\n\r\n", 400),
    row("a tab before the colon", "9112 5.1", GET + b"A\t: b\r\n\r\n", 400),
    row("a space before Host's colon", "9112 5.1", b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400),
    row("a space before Content-Length's colon", "9112 5.1", GET + b"Content-Length : 0\r\n\r\n", 400),
    row("a space before Transfer-Encoding's colon", "9112 5.1", GET + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    row("a space within a name", "9110 5.1", GET + b"A B: c\r\n\r\n", 400),
    row("a field without a colon", "9112 5", GET + b"AB\r\n\r\n", 400),
    row("a field without a name", "9110 5.1", GET + b": b\r\n\r\n", 400),
    row("a colon alone", "9110 5.1", GET + b":\r\n\r\n", 400),
    row("a field without a value", "9110 5.5", GET + b"A:\r\n\r\n", 200),
    row("a field with white space as value", "9110 5.5", GET + b"A: \t \r\n\r\n", 200),
    row("no space behind the colon", "9112 5", b"GET /probe.txt HTTP/1.1\r\nHost:x\r\n\r\n", 200),
    row("much white space around a value", "9112 5.1", b"GET /probe.txt HTTP/1.1\r\nHost: \t  x \t \r\n\r\n", 200),
    row("tabs around a value", "9112 5.1", b"GET /probe.txt HTTP/1.1\r\nHost:\tx\t\r\n\r\n", 200),
    row("a tab within a value", "9110 5.5", GET + b"A: b\tc\r\n\r\n", 200),
    row("white space around Content-Length's value", "9112 5.1", GET + b"Content-Length: \t 0 \t\r\n\r\n", 200),
    row("colons in a value", "9112 5", GET + b"A: :b::c:\r\n\r\n", 200),
    row("obs-text in a value", "9110 5.5", GET + b"A: caf\xc3\xa9 \xff\x80\r\n\r\n", 200),
    row("all visible characters in a value", "9110 5.5", GET + b"A: " + bytes(range(0x21, 0x7f)) + b"\r\n\r\n", 200),
    row("all token characters in a name", "9110 5.6.2", GET + b"!#$%&'*+-.^_`|~09azAZ: b\r\n\r\n", 200),
    row("field names in any case", "9110 5.1", b"GET /probe.txt HTTP/1.1\r\nhOsT: x\r\n\r\n", 200),
    row("the same unknown field twice", "9110 5.3", GET + b"A: b\r\nA: c\r\n\r\n", 200),
    row("obs-text in a name", "9110 5.1", GET + b"\xc3\xa9: b\r\n\r\n", 400),
    row("a quoted string that never ends is a value", "9110 5.5", GET + b"A: \"b\r\n\r\n", 200),
    row("100 fields less one", "9112 5", GET + b"".join(b"A%d: b\r\n" % i for i in range(98)) + b"\r\n", 200),
    row("lower case get is an unknown method", "9110 9.1", b"get /probe.txt HTTP/1.1\r\nHost: x\r\n\r\n", 501),
    row("a method of one letter", "9110 9.1", b"G /probe.txt HTTP/1.1\r\nHost: x\r\n\r\n", 501),
    row("a method with every token character", "9110 9.1", b"!#$%&'*+-.^_`|~09azAZ / HTTP/1.1\r\nHost: x\r\n\r\n", 501),
    row("half a request, then the end", "9112 8", GET, (0, 400), half_close=True),
    row("nothing, then the end", "9112 9.5", b"", 0, half_close=True),
    row("an empty line, then the end", "9112 9.5", b"\r\n", 0, half_close=True),
    row("a request, then the end: it gets its answer", "9112 9.6", GET + b"\r\n", 200, half_close=True, body=b"probe\n",
        after="any"),
]

for code in CONTROLS:
    one = bytes([code])
    ROWS += [
        row("control %02x in a value" % code, "9110 5.5", GET + b"A: b" + one + b"c\r\n\r\n", 400),
        row("control %02x at a value's end" % code, "9110 5.5", GET + b"A: b" + one + b"\r\n\r\n", 400),
        row("control %02x in a name" % code, "9110 5.1", GET + b"A" + one + b"B: c\r\n\r\n", 400),
        row("control %02x in the target" % code, "3986 2", b"GET /probe" + one + b".txt HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        row("control %02x in the query" % code, "3986 3.4", b"GET /probe.txt?a" + one + b" HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        row("control %02x in the method" % code, "9110 9.1", b"GE" + one + b"T / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        row("control %02x in Host" % code, "9110 7.2", b"GET / HTTP/1.1\r\nHost: x" + one + b"y\r\n\r\n", 400),
        row("control %02x in the version" % code, "9112 2.3", b"GET / HTTP/1.1" + one + b"\r\nHost: x\r\n\r\n", 400),
        row("control %02x before the colon" % code, "9112 5.1", GET + b"A" + one + b": b\r\n\r\n", 400),
        row("control %02x in Content-Length" % code, "9110 8.6", GET + b"Content-Length: 0" + one + b"\r\n\r\n", 400),
        row("control %02x in Transfer-Encoding" % code, "9112 6.1",
            GET + b"Transfer-Encoding: " + one + b"chunked\r\n\r\n0\r\n\r\n", 400),
        row("control %02x in Connection" % code, "9110 7.6.1", GET + b"Connection: close" + one + b"\r\n\r\n", 400),
    ]
for code in NO_TOKEN:
    one = bytes([code])
    if one not in b":":
        ROWS.append(row("%s in a name" % one.decode(), "9110 5.6.2", GET + b"A" + one + b"B: c\r\n\r\n", 400))
    ROWS.append(row("%s in the method" % one.decode(), "9110 9.1", b"GE" + one + b"T / HTTP/1.1\r\nHost: x\r\n\r\n", 400))

# versions: RFC 9112 2.3, RFC 9110 2.5 and 6.2
for word, status in (
        ("HTTP/1.1", 200), ("HTTP/1.0", 200), ("HTTP/1.2", 200), ("HTTP/1.9", 200),
        ("HTTP/2.0", 505), ("HTTP/3.0", 505), ("HTTP/9.9", 505), ("HTTP/0.9", (400, 505)), ("HTTP/0.0", (400, 505)),
        ("http/1.1", 400), ("Http/1.1", 400), ("HTTP/11", 400), ("HTTP/1", 400), ("HTTP/1.", 400), ("HTTP/.1", 400),
        ("HTTP/1.10", 400), ("HTTP/1.01", 400), ("HTTP/01.1", 400), ("HTTP/10.1", 400), ("HTTP/1.1.1", 400),
        ("HTTP/1,1", 400), ("HTTP/a.b", 400), ("HTTP/1.a", 400), ("HTTP/-1.1", 400), ("HTTP/+1.1", 400),
        ("HTTP/1.1a", 400), ("HTTP /1.1", 400), ("HTTP/ 1.1", 400), ("HTTP/1 .1", 400), ("HTTP/1. 1", 400),
        ("HTTP1.1", 400), ("HTTPS/1.1", 400), ("HTTP", 400), ("HTTP/", 400), ("FTP/1.1", 400), ("ICAP/1.0", 400),
        ("RTSP/1.0", 400), ("HTTP//1.1", 400), ("HTTP/2", (400, 505)), ("\u00b9", 400), ("1.1", 400),
        ("HTTP/1.1/HTTP/1.1", 400), ("HTP/1.1", 400), ("SHTTP/1.1", 400)):
    ROWS.append(row("version %s" % word, "9112 2.3", get("/probe.txt", version=word), status,
                    after="any" if word == "HTTP/1.0" else None))
ROWS += [
    row("the preface of HTTP/2", "9113 3.4", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, 505), after="close"),
    row("the preface of HTTP/2 and frames", "9113 3.4",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0" * 20, (400, 505), after="close", probe=False),
    row("an upgrade to h2c is not taken", "9110 7.8", get(
        "/probe.txt", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"),
        200, fields={"upgrade": None}),
    row("an upgrade to websocket is not taken", "9110 7.8", get(
        "/probe.txt", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), 200),
    row("HTTP/1.2 with 1.1 in the answer", "9110 6.2", get("/probe.txt", version="HTTP/1.2"), 200),
    row("HTTP/2.0 with a body", "9110 15.6.6", get("/", "Content-Length: 3", method="POST", version="HTTP/2.0",
                                                  body=b"abc"), 505),
]
