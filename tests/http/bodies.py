"""Request bodies and their framing: RFC 9112 6 and 7, RFC 9110 8.6, 10.1.1 and 15.5; what smugglers send."""

from answer import Broken, closes
from engine import PROBE, case, get, row

LIMIT = 64 << 10  # limits.body of the lab
HEAD = b"GET /probe.txt HTTP/1.1\r\nHost: x\r\n"
TE = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
POST = b"POST /ten.txt HTTP/1.1\r\nHost: x\r\n"
HIDDEN = b"GET /ten.txt HTTP/1.1\r\nHost: x\r\n\r\n"


def length(value, sent=b"", status=400, name=None, **more):
    """A GET whose Content-Length is `value`."""
    return row(name or "Content-Length %r" % value, "9110 8.6",
               HEAD + b"Content-Length: " + value + b"\r\n\r\n" + sent, status, **more)


def coding(value, status=400, name=None, sent=b"0\r\n\r\n", rfc="9112 6.1", **more):
    """A GET whose Transfer-Encoding is `value`."""
    return row(name or "Transfer-Encoding %r" % value, rfc,
               HEAD + b"Transfer-Encoding: " + value + b"\r\n\r\n" + sent, status, **more)


def chunked(name, sent, status=400, rfc="9112 7.1", **more):
    return row("chunked: " + name, rfc, TE + sent, status, **more)


ROWS = [
    # Content-Length
    length(b"5", b"hello", 200, body=b"probe\n"), length(b"0", b"", 200), length(b"1", b"\0", 200),
    length(b"4096", b"x" * 4096, 200), length(b"5", b"\r\n\r\n\r", 200, name="a body of line ends"),
    length(b"%d" % len(HIDDEN), HIDDEN, 200, name="a request as the body is a body", body=b"probe\n"),
    length(b"0000000005", b"hello", (200, 400), after="any"),
    *[length(value, b"hello") for value in (
        b"+5", b"-5", b"-0", b"+0", b"0x5", b"5 5", b"5.0", b"5e0", b"5a", b"a5", b"5;", b"5;a=b", b"five", b"\"5\"",
        b"'5'", b"", b" ", b"\t", b",", b"5,", b",5", b"5, 6", b"5,5", b"5, 5", b"5 ,5", b"5,6", b"0,5", b"5,0", b"5,x",
        b"x,5", b"5, -5", b"1 0", b"1\t0", b"5\xa0", b"\xb2", b"\xef\xbc\x95", b"5_0", b"1'000", b"0b101", b"0o5", b"NaN",
        b"inf", b"null", b"(5)", b"5%", b"%35", b"5 \x0b", b"1e1", b"=5", b"5=", b"chunked")],
    *[length(value, b"hello", (400, 413), after="close") for value in (
        b"9223372036854775807", b"9223372036854775808", b"18446744073709551615", b"18446744073709551616",
        b"18446744073709551621", b"36893488147419103237", b"99999999999999999999999999999999", b"4294967301",
        b"1" + b"0" * 200)],
    row("two equal Content-Length fields", "9112 6.3", HEAD + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400),
    row("two different Content-Length fields", "9112 6.3", HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", 400),
    row("Content-Length 0 and 5", "9112 6.3", HEAD + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello", 400),
    row("Content-Length and an empty one", "9112 6.3", HEAD + b"Content-Length: 5\r\nContent-Length:\r\n\r\nhello", 400),
    row("Content-Length in two cases", "9112 6.3", HEAD + b"Content-Length: 5\r\ncontent-length: 6\r\n\r\nhello!", 400),
    row("Content_Length is another field", "9110 5.1", HEAD + b"Content_Length: 5\r\n\r\n", 200),
    row("Content-Length with a space before the colon hides nothing", "9112 5.1",
        HEAD + b"Content-Length : %d\r\n\r\n" % len(HIDDEN) + HIDDEN, 400),
    row("a body in 1.0", "9112 6.3", b"GET /probe.txt HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello", 200, after="any"),
    row("two lengths in 1.0", "9112 6.3", b"GET /probe.txt HTTP/1.0\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
    row("a body that ends early, half-closed", "9112 8", HEAD + b"Content-Length: 5\r\n\r\nhel", (0, 200, 400), after="any",
        half_close=True),
    row("a POST with a body to a file", "9110 15.5.6", POST + b"Content-Length: 5\r\n\r\nhello", 405, fields={"allow": True}),
    row("a POST without a length has no body", "9112 6.3", POST + b"\r\n", (405, 411), after="open", fields={"allow": True}),
    row("a POST with a body to nothing", "9110 15.5.5",
        b"POST /nothing-there HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", (404, 405), after="open"),
    row("an unknown method with a body", "9110 9.1", b"FOO / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", 501),
    row("a HEAD with a body", "9110 9.3.2", b"HEAD /probe.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", 200),
    row("OPTIONS with a body", "9110 9.3.7", b"OPTIONS / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", (200, 204)),
    row("DELETE with a body", "9110 9.3.5", b"DELETE /ten.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", 405),
    row("TRACE with a body", "9110 9.3.8", b"TRACE / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", (400, 405, 501),
        check=lambda answer: "echoed" if b"hello" in answer.body else None),
    row("a body behind a 304", "9110 15.4.5",
        HEAD + b"If-None-Match: *\r\nContent-Length: 5\r\n\r\nhello", 304),
    row("a body at the limit", "9110 15.5.14", HEAD + b"Content-Length: %d\r\n\r\n" % LIMIT + b"x" * LIMIT, 200),
    row("a body over the limit", "9110 15.5.14", HEAD + b"Content-Length: %d\r\n\r\n" % (LIMIT + 1) + b"x" * (LIMIT + 1), 413),
    row("a body far over the limit, not sent", "9110 15.5.14", HEAD + b"Content-Length: 1000000000\r\n\r\n", 413,
        after="close", probe=False),
    row("a body far over the limit, some sent", "9110 15.5.14", HEAD + b"Content-Length: 1000000000\r\n\r\n" + b"x" * 100000,
        413, after="close", probe=False),

    # Transfer-Encoding
    *[coding(value, 200) for value in (b"chunked", b"Chunked", b"CHUNKED", b"cHuNkEd", b" \tchunked \t")],
    coding(b",chunked", (200, 400), after="any"), coding(b"chunked,", (200, 400), after="any"),
    coding(b", , chunked", (200, 400), after="any"),
    *[coding(value, 400) for value in (
        b"chunked, chunked", b"chunked,chunked", b"chunked, identity", b"chunked, gzip", b"chunked, foo", b"chunked chunked",
        b"chunked\tchunked", b"\xe3chunked", b"chunked\xa0", b"\"chunked", b"chunk\\ed", b"chunked/1", b"[chunked]",
        b"chunked:", b"=chunked", b"(chunked)", b"chunked@")],
    *[coding(value, (400, 501), after="close") for value in (
        b"", b" ", b",", b"gzip", b"identity", b"xchunked", b"chunkedx", b"chunke", b"chunked-", b"x-chunked", b"\"chunked\"",
        b"'chunked'", b"chunked;", b"chunked;a", b"chunked;a=b", b"chunked;q=0", b"foo", b"deflate", b"compress", b"br",
        b"chunked ;a=b", b"none", b"0")],
    *[coding(value, (400, 501), after="any", rfc="9112 6.1") for value in (b"identity, chunked",)],
    *[coding(value, 501) for value in (
        b"gzip, chunked", b"deflate, chunked", b"compress, chunked", b"x-gzip, chunked", b"foo, chunked", b"gzip,chunked",
        b"gzip, deflate, chunked", b"GZIP, Chunked", b"foo;a=b, chunked")],
    row("TE.TE: gzip, then chunked, in two fields", "9112 6.1",
        HEAD + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501),
    row("TE.TE: chunked twice, in two fields", "9112 6.1",
        HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    row("TE.TE: chunked, then identity", "9112 6.1",
        HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 400),
    row("TE.TE: chunked, then x", "9112 6.1",
        HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n", 400),
    row("TE.TE: x, then chunked", "9112 6.1",
        HEAD + b"Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", (400, 501)),
    row("TE.TE: chunked and an empty one", "9112 6.1",
        HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n", (200, 400), after="any"),
    row("TE.TE: a space before the colon", "9112 5.1", HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    row("TE.TE: folded", "9112 5.2", HEAD + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400),
    row("TE.TE: behind a bare CR", "9112 2.2", HEAD + b"X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    row("TE.TE: behind a bare LF", "9112 2.2", HEAD + b"X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    row("TE.TE: indented", "9112 5.2", HEAD + b"X: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    row("Transfer_Encoding is another field", "9110 5.1", HEAD + b"Transfer_Encoding: chunked\r\n\r\n", 200),
    row("TE is another field", "9110 10.1.4", HEAD + b"TE: trailers, chunked\r\n\r\n", 200),
    row("Content-Encoding of a request is another field", "9110 8.4", HEAD + b"Content-Encoding: chunked\r\n\r\n", (200, 415)),

    # both
    *[row("CL.TE: %r and %r" % (value, te), "9112 6.1",
          HEAD + b"Content-Length: " + value + b"\r\nTransfer-Encoding: " + te + b"\r\n\r\n0\r\n\r\n", (400, 501) if te != b"chunked" else 400,
          after="close")
      for value in (b"0", b"5", b"6", b"1000") for te in (b"chunked", b"Chunked", b"identity", b"gzip", b"gzip, chunked", b"xchunked", b"")],
    *[row("TE.CL: chunked and %r" % value, "9112 6.1",
          HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: " + value + b"\r\n\r\n0\r\n\r\n", 400)
      for value in (b"0", b"4", b"5", b"+5", b"5,5", b"x")],
    row("CL.TE with a request hidden behind", "9112 6.1",
        POST + b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" % (5 + len(HIDDEN)) + HIDDEN, 400),
    row("TE.CL with a request hidden in a chunk", "9112 6.1",
        POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(HIDDEN) + HIDDEN + b"\r\n0\r\n\r\n", 400),
    row("CL.TE in 1.0", "9112 6.1", b"GET /probe.txt HTTP/1.0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    row("chunked in 1.0", "9112 6.1", b"GET /probe.txt HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    row("chunked in 1.0 with keep-alive", "9112 6.1",
        b"GET /probe.txt HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    row("gzip in 1.0", "9112 6.1", b"GET /probe.txt HTTP/1.0\r\nTransfer-Encoding: gzip\r\n\r\n", (400, 501), after="close"),
    row("identity in 1.0", "9112 6.1", b"GET /probe.txt HTTP/1.0\r\nTransfer-Encoding: identity\r\n\r\n", (400, 501), after="close"),
    row("chunked in 1.2", "9110 2.5", b"GET /probe.txt HTTP/1.2\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 200),

    # chunks
    chunked("none", b"0\r\n\r\n", 200), chunked("one", b"5\r\nhello\r\n0\r\n\r\n", 200),
    chunked("three", b"1\r\na\r\n2\r\nbc\r\n3\r\ndef\r\n0\r\n\r\n", 200),
    chunked("upper-case hex", b"A\r\n0123456789\r\n0\r\n\r\n", 200), chunked("lower-case hex", b"a\r\n0123456789\r\n0\r\n\r\n", 200),
    chunked("mixed hex", b"1a\r\n" + b"x" * 26 + b"\r\n1B\r\n" + b"x" * 27 + b"\r\n0\r\n\r\n", 200),
    chunked("leading zeros", b"00005\r\nhello\r\n0\r\n\r\n", 200), chunked("many zeros as the last", b"5\r\nhello\r\n0000\r\n\r\n", 200),
    chunked("line ends as data", b"4\r\n\r\n\r\n\r\n0\r\n\r\n", 200),
    chunked("a request as data", b"%x\r\n" % len(HIDDEN) + HIDDEN + b"\r\n0\r\n\r\n", 200, body=b"probe\n"),
    chunked("one of 60000", b"ea60\r\n" + b"x" * 60000 + b"\r\n0\r\n\r\n", 200),
    chunked("3000 of one byte", b"1\r\nx\r\n" * 3000 + b"0\r\n\r\n", 200),
    chunked("a body over the limit", b"ffff\r\n" + b"x" * 65535 + b"\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n", 413, rfc="9110 15.5.14"),
    chunked("a chunk over the limit", b"20000\r\n" + b"x" * 131072 + b"\r\n0\r\n\r\n", 413, rfc="9110 15.5.14"),
    *[chunked("size %r" % size, size + b"\r\nhello\r\n0\r\n\r\n", rfc="9112 7.1") for size in (
        b"", b"g", b"-5", b"+5", b"0x5", b" 5", b"\t5", b"5 ", b"5\t", b"5_", b"5.", b"5h", b"x5", b"5,5", b"\"5\"", b"five", b"5 5",
        b"5\0", b"\x005", b"5\x0b", b"5\xa0", b"h", b"5\xb2", b":5", b"5:", b"=5", b"#5", b"5\r", b"-0", b"+0")],
    *[chunked("size %r" % size, size + b"\r\nhello\r\n0\r\n\r\n", (400, 413), after="close") for size in (
        b"7fffffff", b"80000000", b"ffffffff", b"100000005", b"7fffffffffffffff", b"8000000000000000", b"ffffffffffffffff",
        b"10000000000000000", b"10000000000000005", b"fffffffffffffffff", b"f" * 32, b"f" * 300)],
    chunked("a size of 32 zeros and a 5", b"0" * 32 + b"5\r\nhello\r\n0\r\n\r\n", (200, 400), after="any"),
    chunked("a size of 100000 zeros", b"0" * 100000 + b"\r\n\r\n", (400, 413), after="close", probe=False),
    *[chunked("extension %r" % text, b"5" + text + b"\r\nhello\r\n0" + text + b"\r\n\r\n", 200, rfc="9112 7.1.1") for text in (
        b";a", b";a=b", b"; a=b", b" ;a=b", b"\t; a = b", b";a;b", b";a=b;c=d", b";a=\"b\"", b";a=\"\"", b";a=\"b c;d\"",
        b";a=\"\\\"\"", b";a=\"\\\\\"", b";a=\"\xe9\"", b";a=1", b";!#$%&'*+-.^_`|~=x", b";a=\"\t\"")],
    *[chunked("extension %r" % text, b"5" + text + b"\r\nhello\r\n0\r\n\r\n", rfc="9112 7.1.1") for text in (
        b";", b"; ", b";;", b";a;", b";=b", b";a=", b";a=\"b", b";a=b\"", b";a=\"b\"c", b";a b", b";a=b c", b";a\nb", b";a\n", b";a\rb", b";a\r",
        b";a=\"\n\"", b";a=\"\r\"", b";a=\"b\n", b";\0", b";a=\0", b";a=\"\0\"", b";a\x7f", b";(a)", b";a=(b)", b";a=b,c=d", b",a", b" a", b";a=\"\\",
        b";a=\"\\\n\"", b"\n;a", b";a=\xe9", b";\xe9", b";a/b", b";a=b=c")],
    chunked("an extension of 100000 bytes", b"5;a=" + b"b" * 100000 + b"\r\nhello\r\n0\r\n\r\n", (400, 413, 431), after="close", probe=False),
    chunked("many long extensions", (b"1;a=" + b"b" * 1000 + b"\r\nx\r\n") * 200 + b"0\r\n\r\n", (400, 413, 431), after="close", probe=False),
    chunked("LF ends the size", b"5\nhello\r\n0\r\n\r\n"), chunked("LF ends the data", b"5\r\nhello\n0\r\n\r\n"),
    chunked("CR ends the size", b"5\rhello\r\n0\r\n\r\n"), chunked("CR ends the data", b"5\r\nhello\r0\r\n\r\n"),
    chunked("nothing ends the data", b"5\r\nhello0\r\n\r\n"), chunked("LF ends the last chunk", b"5\r\nhello\r\n0\n\r\n"),
    chunked("LF ends the body", b"5\r\nhello\r\n0\r\n\n"), chunked("LF alone throughout", b"5\nhello\n0\n\n"),
    chunked("CR CR LF ends the size", b"5\r\r\nhello\r\n0\r\n\r\n"), chunked("CR CR LF ends the data", b"5\r\nhello\r\r\n0\r\n\r\n"),
    chunked("LF CR ends the data", b"5\r\nhello\n\r0\r\n\r\n"), chunked("an empty line between chunks", b"5\r\nhello\r\n\r\n0\r\n\r\n"),
    chunked("data longer than its size", b"4\r\nhello\r\n0\r\n\r\n"), chunked("data shorter than its size", b"6\r\nhello\r\n0\r\n\r\n"),
    chunked("two line ends as the data's end", b"5\r\nhelloXY0\r\n\r\n"), chunked("no chunk at all", b"\r\n\r\n"),
    chunked("a request instead of a chunk", HIDDEN), chunked("a space in front of the data's end", b"5\r\nhello \r\n0\r\n\r\n"),

    # trailers
    *[chunked("trailer %r" % text, b"5\r\nhello\r\n0\r\n" + text + b"\r\n\r\n", 200, rfc="9112 7.1.2") for text in (
        b"A: b", b"A:b", b"A:", b"A: b\r\nC: d", b"X-Checksum: \t abc \t", b"A: \xe9")],
    *[chunked("forbidden trailer %r" % text, b"0\r\n" + text + b"\r\n\r\n", (200, 400), rfc="9110 6.5.1", after="any", body=lambda body: b"0123" not in body) for text in (
        b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Host: y", b"Connection: close", b"Authorization: Basic eA==",
        b"Range: bytes=0-1", b"If-None-Match: *", b"Expect: 100-continue", b"Trailer: x", b"TE: x", b"Content-Encoding: gzip",
        b"Content-Length: 5\r\nContent-Length: 6")],
    *[chunked("trailer %r" % text, b"0\r\n" + text + b"\r\n\r\n", rfc="9112 7.1.2") for text in (
        b"A", b"A b", b"A : b", b" A: b", b"\tA: b", b": b", b":", b"A: b\r\n c", b"A: b\r\n\tc", b"A: b\nC: d", b"A: b\rC: d", b"A: b\0",
        b"A\0: b", b"A: \x01", b"A: b\x7f", b"A(: b", b"A B: c", b"\xe9: b", b"GET / HTTP/1.1", b"A: b\r\r", b"A: b\n")],
    chunked("a trailer of 100000 bytes", b"0\r\nA: " + b"b" * 100000 + b"\r\n\r\n", (400, 413, 431), after="close", probe=False),
    chunked("1000 trailers", b"0\r\n" + b"A: b\r\n" * 1000 + b"\r\n", (400, 413, 431), after="close", probe=False),
    chunked("20 trailers", b"0\r\n" + b"A: b\r\n" * 20 + b"\r\n", 200),
    row("a Trailer field and what it names", "9110 6.6.2", HEAD + b"Transfer-Encoding: chunked\r\nTrailer: A\r\n\r\n0\r\nA: b\r\n\r\n", 200),
    row("a chunked POST to a file", "9110 15.5.6", POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 405),
    row("a chunked HEAD", "9112 7.1", b"HEAD /probe.txt HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 200),
    row("a chunked body with close", "9112 9.6", HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        200, after="close"),
    row("two chunked requests", "9112 9.3.2", TE + b"5\r\nhello\r\n0\r\n\r\n" + TE + b"0\r\n\r\n", 200, then=[(200, b"probe\n")]),
    row("a chunked body, then one with a length", "9112 9.3.2",
        TE + b"1\r\nx\r\n0\r\nA: b\r\n\r\n" + HEAD + b"Content-Length: 3\r\n\r\nabc", 200, then=[(200, b"probe\n")]),
    row("a chunked body that ends early, half-closed", "9112 8", TE + b"5\r\nhel", (0, 200, 400), half_close=True, after="any"),

    # expectations
    row("100-continue with the body at once", "9110 10.1.1", HEAD + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello", 200, interim=True, after="any"),
    row("100-continue in capitals", "9110 10.1.1", HEAD + b"Expect: 100-CONTINUE\r\nContent-Length: 5\r\n\r\nhello", 200, interim=True, after="any"),
    row("100-continue with a chunked body at once", "9110 10.1.1",
        HEAD + b"Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", 200, interim=True, after="any"),
    row("100-continue without a body", "9110 10.1.1", HEAD + b"Expect: 100-continue\r\n\r\n", 200,
        check=lambda answer: "an interim answer where no body comes" if answer.interim else None),
    row("100-continue with an empty body", "9110 10.1.1", HEAD + b"Expect: 100-continue\r\nContent-Length: 0\r\n\r\n", 200,
        check=lambda answer: "an interim answer where no body comes" if answer.interim else None),
    row("100-continue in 1.0 is ignored", "9110 10.1.1",
        b"GET /probe.txt HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello", 200, after="any"),
    row("an unknown expectation in 1.0", "9110 10.1.1", b"GET /probe.txt HTTP/1.0\r\nExpect: foo\r\n\r\n", (200, 417), after="any"),
    *[row("expectation %s" % text, "9110 10.1.1", get("/probe.txt", "Expect: " + text), 417) for text in (
        "foo", "200-ok", "100", "continue", "100-continue, foo", "foo, 100-continue", "100-continuex", "foo=bar", "x=\"y\"")],
    row("an unknown expectation and a body", "9110 10.1.1", get("/probe.txt", "Expect: foo", "Content-Length: 5", body=b"hello"), 417),
    row("two expectations, one unknown", "9110 10.1.1", get("/probe.txt", "Expect: 100-continue", "Expect: foo"), 417),
    row("an unknown expectation and both lengths", "9112 6.1",
        get("/probe.txt", "Expect: foo", "Content-Length: 5", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"), 400),
]


def expect_conversation(lab, head, body, allowed, method="GET", must_not_wait=False):
    """Sends a head that expects 100, and the body only when told to, as a client would."""
    with lab.connect() as connection:
        connection.send(head)
        while b"\r\n\r\n" not in connection.buffer:
            if not connection.more():
                raise Broken("the connection ended")
        told = connection.buffer.startswith(b"HTTP/1.1 100")
        if told:
            assert not must_not_wait, "100, but a final answer was due"
            connection.send(body)
        answer = connection.answer(method, interim=True)
        assert not answer.problems, answer.problems
        assert answer.status in allowed, "status %d" % answer.status
        if closes(answer, (1, 1)):
            rest = connection.rest()
            assert not rest, "more behind the last answer: %r" % rest
            assert not connection.reset, "reset"
            return answer
        if not told:
            connection.send(body)  # not refused, so it is still awaited and dropped
        connection.send(PROBE)
        probe = connection.answer()
        assert (probe.status, probe.body) == (200, b"probe\n"), "the request behind: %r" % probe
        return answer


@case(ROWS, "100-continue: the body is sent when told to", "9110 10.1.1")
def _(lab):
    expect_conversation(lab, HEAD + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n", b"hello", (200,))


@case(ROWS, "100-continue: a chunked body is sent when told to", "9110 10.1.1")
def _(lab):
    expect_conversation(lab, HEAD + b"Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", (200,))


@case(ROWS, "100-continue: too large a body is refused before it is sent", "9110 10.1.1")
def _(lab):
    expect_conversation(lab, HEAD + b"Expect: 100-continue\r\nContent-Length: 10000000\r\n\r\n", b"", (413,), must_not_wait=True)


@case(ROWS, "100-continue: a POST to a file", "9110 10.1.1")
def _(lab):
    expect_conversation(lab, POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n", b"hello", (405,), method="POST")


@case(ROWS, "100-continue: an unknown method", "9110 10.1.1")
def _(lab):
    expect_conversation(lab, b"FOO / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", b"hello", (501,), method="FOO")


@case(ROWS, "100-continue: what is malformed is refused at once", "9112 6.1")
def _(lab):
    expect_conversation(lab, HEAD + b"Expect: 100-continue\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", b"", (400,),
                        must_not_wait=True)


@case(ROWS, "an answer to a body that is not read can be read whole", "9112 9.6")
def _(lab):
    with lab.connect() as connection:
        connection.send(POST + b"Content-Length: 100000000\r\n\r\n")
        for _ in range(40):
            connection.send(b"x" * 100000)
        answer = connection.answer("POST")
        assert answer.status in (405, 413), answer
        assert not answer.problems, answer.problems
        assert closes(answer, (1, 1)), "a body of 100 MB, and no close"


@case(ROWS, "an error answer in the middle of what a client sends can be read whole", "9112 9.6")
def _(lab):
    with lab.connect() as connection:
        connection.send(b"GET / HTTP/1.1\r\nHost: x\r\nBad Field: x\r\n\r\n" + b"x" * 300000)
        connection.send(b"x" * 300000)
        answer = connection.answer()
        assert answer.status == 400 and not answer.problems, answer
        assert connection.rest() == b""
        assert not connection.reset, "reset behind the answer"


@case(ROWS, "a chunked body, byte by byte", "9112 7.1")
def _(lab):
    with lab.connect() as connection:
        for byte in TE + b"5;a=\"b\"\r\nhello\r\n00\r\nA: b\r\n\r\n" + PROBE:
            connection.send(bytes([byte]))
        for _ in range(2):
            answer = connection.answer()
            assert (answer.status, answer.body) == (200, b"probe\n") and not answer.problems, answer


@case(ROWS, "a chunked body, split at every byte", "9112 7.1")
def _(lab):
    data = TE + b"5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\n"
    with lab.connect() as connection:
        for at in range(1, len(data)):
            connection.send(data[:at])
            connection.send(data[at:])
            answer = connection.answer()
            assert (answer.status, answer.body) == (200, b"probe\n") and not answer.problems, answer


@case(ROWS, "a malformed chunk, split at every byte", "9112 7.1")
def _(lab):
    data = TE + b"5\r\nhello\r\nx\r\n\r\n"
    for at in range(len(TE) - 4, len(data)):
        with lab.connect() as connection:
            connection.send(data[:at])
            connection.send(data[at:])
            answer = connection.answer()
            assert answer.status == 400 and not answer.problems, answer


@case(ROWS, "a body in two halves", "9112 6.3")
def _(lab):
    with lab.connect() as connection:
        connection.send(HEAD + b"Content-Length: 10\r\n\r\nhello")
        connection.send(b"world" + PROBE)
        for _ in range(2):
            answer = connection.answer()
            assert (answer.status, answer.body) == (200, b"probe\n") and not answer.problems, answer
