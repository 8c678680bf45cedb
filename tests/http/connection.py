"""Persistence, pipelining, options and the end of connections: RFC 9112 9, RFC 9110 7.6.1."""

import select
import time

from answer import closes, date_seconds
from engine import PROBE, case, get, row

P = "/probe.txt"


def option(value, after, version="HTTP/1.1", **more):
    return row("%s, Connection: %s" % (version, value), "9112 9.3", get(P, "Connection: " + value, version=version), 200,
               after=after, body=b"probe\n", **more)


ROWS = [
    row("1.1 goes on", "9112 9.3", get(P), 200, after="open"),
    row("1.0 ends", "9112 9.3", get(P, version="HTTP/1.0"), 200, after="close", check=lambda answer: None),
    *[option(value, "close") for value in (
        "close", "Close", "CLOSE", "close, x", "x, close", "x,close", "x ,\tclose\t, y", "close,close", ",close", "close,", ", ,close",
        "keep-alive, close", "close, keep-alive", "Keep-Alive, Close", "te, close")],
    *[option(value, "open") for value in (
        "keep-alive", "Keep-Alive", "closed", "xclose", "close-x", "x-close", "clos", "closex, x", "x", "te", "te, x", "", "close.",
        "upgrade", "host", "content-length", "un-close")],
    option("\"close\"", "any"), option("close;a=b", "any"), option("close x", "any"), option("x close", "any"),
    option("keep-alive", "open", "HTTP/1.0", fields={"connection": lambda value: value is not None and "keep-alive" in value.lower()}),
    option("Keep-Alive", "open", "HTTP/1.0"), option("x, keep-alive", "open", "HTTP/1.0"), option("keep-alive,x", "open", "HTTP/1.0"),
    option("keep-alive, close", "close", "HTTP/1.0"), option("keep-alivex", "close", "HTTP/1.0"), option("xkeep-alive", "close", "HTTP/1.0"),
    option("close", "close", "HTTP/1.0"), option("x", "close", "HTTP/1.0"), option("keep-alive", "open", "HTTP/1.2"),
    option("close", "close", "HTTP/1.2"),
    row("two Connection fields, close in the second", "9110 5.3", get(P, "Connection: x", "Connection: close"), 200, after="close"),
    row("two Connection fields, close in the first", "9110 5.3", get(P, "Connection: close", "Connection: x"), 200, after="close"),
    row("close and keep-alive in two fields", "9112 9.3", get(P, "Connection: keep-alive", "Connection: close"), 200, after="close"),
    row("keep-alive in the second field in 1.0", "9110 5.3", get(P, "Connection: x", "Connection: keep-alive", version="HTTP/1.0"), 200,
        after="open"),
    row("Proxy-Connection: close means nothing", "9112 C.2.2", get(P, "Proxy-Connection: close"), 200, after="open"),
    row("Proxy-Connection: keep-alive means nothing in 1.0", "9112 C.2.2", get(P, "Proxy-Connection: keep-alive", version="HTTP/1.0"), 200,
        after="close"),
    row("Keep-Alive alone means nothing in 1.0", "9112 C.2.2", get(P, "Keep-Alive: timeout=5", version="HTTP/1.0"), 200, after="close"),
    row("Keep-Alive alone means nothing in 1.1", "9112 C.2.2", get(P, "Keep-Alive: timeout=0"), 200, after="open"),
    row("close with HEAD", "9112 9.6", get(P, "Connection: close", method="HEAD"), 200, after="close"),
    row("close with 304", "9112 9.6", get(P, "Connection: close", "If-None-Match: *"), 304, after="close"),
    row("close with 404", "9112 9.6", get("/nothing-there", "Connection: close"), 404, after="close"),
    row("close with 204", "9112 9.6", get("/nocontent", "Connection: close"), 204, after="close"),
    row("close with 301", "9112 9.6", get("/dir", "Connection: close"), (301, 308), after="close"),
    row("close with 405", "9112 9.6", get(P, "Connection: close", method="POST"), 405, after="close"),
    row("close with 416", "9112 9.6", get(P, "Connection: close", "Range: bytes=100-"), 416, after="close"),
    row("close with OPTIONS", "9112 9.6", get("*", "Connection: close", method="OPTIONS"), (200, 204), after="close"),
    row("close with a large file", "9112 9.6", get("/big.bin", "Connection: close"), 200, after="close", body=lambda body: len(body) == 1 << 20),
    row("a 404 goes on", "9112 9.3", get("/nothing-there"), 404, after="open"),
    row("a 405 goes on", "9112 9.3", get(P, method="DELETE"), 405, after="open"),
    row("a 304 goes on", "9112 9.3", get(P, "If-None-Match: *"), 304, after="open"),
    row("a 412 goes on", "9112 9.3", get(P, 'If-Match: "x"'), 412, after="open"),
    row("a 416 goes on", "9112 9.3", get(P, "Range: bytes=100-"), 416, after="open"),
    row("a 301 goes on", "9112 9.3", get("/dir"), (301, 308), after="open"),
    row("a 204 goes on", "9112 9.3", get("/nocontent"), 204, after="open"),
    row("HEAD goes on", "9112 9.3", get(P, method="HEAD"), 200, after="open"),
    row("a large file goes on", "9112 9.3", get("/big.bin"), 200, after="open", body=lambda body: len(body) == 1 << 20),
    row("a large HEAD goes on", "9112 9.3", get("/big.bin", method="HEAD"), 200, after="open"),
    row("pipelining: two", "9112 9.3.2", get(P) + get("/ten.txt"), 200, then=[(200, b"0123456789")]),
    row("pipelining: an empty line between", "9112 2.2", get(P) + b"\r\n" + get("/ten.txt"), 200, then=[(200, b"0123456789")]),
    row("pipelining: 100", "9112 9.3.2", get(P) * 100, 200, then=[(200, b"probe\n")] * 99),
    row("pipelining: HEAD, then GET", "9112 9.3.2", get(P, method="HEAD") + get("/ten.txt"), 200, then=[(200, b"0123456789")]),
    row("pipelining: 404, then GET", "9112 9.3.2", get("/no") + get("/ten.txt"), 404, then=[(200, b"0123456789")]),
    row("pipelining: 304, then GET", "9112 9.3.2", get(P, "If-None-Match: *") + get("/ten.txt"), 304, then=[(200, b"0123456789")]),
    row("pipelining: a body, then GET", "9112 9.3.2", get(P, "Content-Length: 5", method="POST", body=b"hello") + get("/ten.txt"), 405,
        then=[(200, b"0123456789")]),
    row("pipelining: 1.0 with keep-alive, then 1.1", "9112 9.3.2", get(P, "Connection: keep-alive", version="HTTP/1.0") + get("/ten.txt"), 200,
        then=[(200, b"0123456789")], after="any", probe=False),
    row("pipelining: what is malformed behind", "9112 9.3.2", get(P) + b"GET / HTTP/1.1\r\nBad Name: x\r\n\r\n", 200, then=[400], probe=False,
        after="any"),
    row("pipelining: three large files", "9112 9.3.2", get("/big.bin") * 3, 200, then=[(200, lambda body: len(body) == 1 << 20)] * 2),
    row("pipelining: nothing behind close", "9112 9.6", get(P, "Connection: close") + get("/ten.txt") * 5, 200, after="close"),
    row("pipelining: nothing behind 400", "9112 9.6", b"GET / HTTP/1.1\r\n\r\n" + get("/ten.txt") * 5, 400),
    row("half-close behind a request", "9112 9.6", get(P), 200, half_close=True, after="any", body=b"probe\n"),
    row("half-close behind a large one", "9112 9.6", get("/big.bin"), 200, half_close=True, after="any", body=lambda body: len(body) == 1 << 20),
    row("half-close behind a HEAD", "9112 9.6", get(P, method="HEAD"), 200, half_close=True, after="any"),
    row("half-close behind a 404", "9112 9.6", get("/no"), 404, half_close=True, after="any"),
    row("half-close behind a body", "9112 9.6", get(P, "Content-Length: 3", body=b"abc"), 200, half_close=True, after="any"),
    row("an option that is a known field", "9110 7.6.1", get(P, "Connection: if-none-match", "If-None-Match: *"), (200, 304), after="open"),
]


@case(ROWS, "half-close behind three requests: each gets its answer", "9112 9.6")
def _(lab):
    with lab.connect() as connection:
        connection.send(PROBE + get("/big.bin") + PROBE)
        connection.end()
        for size in (6, 1 << 20, 6):
            answer = connection.answer()
            assert answer.status == 200 and len(answer.body) == size and not answer.problems, answer
        assert connection.rest() == b""
        assert not connection.reset, "reset"


@case(ROWS, "half-close behind half a request: what is complete gets its answer", "9112 9.6")
def _(lab):
    with lab.connect() as connection:
        connection.send(PROBE + b"GET / HTTP/1.1\r\nHo")
        connection.end()
        answer = connection.answer()
        assert (answer.status, answer.body) == (200, b"probe\n"), answer
        connection.rest()


@case(ROWS, "a request, byte by byte", "9112 2.2")
def _(lab):
    with lab.connect() as connection:
        for byte in PROBE * 2:
            connection.send(bytes([byte]))
        for _ in range(2):
            answer = connection.answer()
            assert (answer.status, answer.body) == (200, b"probe\n") and not answer.problems, answer


@case(ROWS, "a request, split at every byte", "9112 2.2")
def _(lab):
    data = get("/probe.txt", "Accept: */*", "Range: bytes=0-")
    with lab.connect() as connection:
        for at in range(1, len(data)):
            connection.send(data[:at])
            connection.send(data[at:])
            answer = connection.answer()
            assert (answer.status, answer.body) == (206, b"probe\n") and not answer.problems, answer


@case(ROWS, "a malformed request, split at every byte", "9112 2.2")
def _(lab):
    data = b"GET / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n"
    for at in range(1, len(data)):
        with lab.connect() as connection:
            connection.send(data[:at])
            connection.send(data[at:])
            answer = connection.answer()
            assert answer.status == 400 and closes(answer, (1, 1)) and not answer.problems, answer
            assert connection.rest() == b"" and not connection.reset


@case(ROWS, "many requests one after another", "9112 9.3")
def _(lab):
    with lab.connect() as connection:
        for count in range(300):
            connection.send(PROBE)
            answer = connection.answer()
            assert (answer.status, answer.body) == (200, b"probe\n") and not closes(answer, (1, 1)), (count, answer)


@case(ROWS, "an idle connection is still open a little later", "9112 9.3")
def _(lab):
    with lab.connect() as connection:
        connection.send(PROBE)
        connection.answer()
        assert not select.select([connection.socket], [], [], 0.3)[0], "closed, or bytes that nobody asked for"
        connection.send(PROBE)
        assert connection.answer().status == 200


@case(ROWS, "Date is of now on each answer of a connection", "9110 6.6.1")
def _(lab):
    with lab.connect() as connection:
        for _ in range(3):
            before = int(time.time())
            connection.send(PROBE)
            answer = connection.answer()
            when = date_seconds(answer.get("date"))
            assert before - 1 <= when <= time.time(), (before, answer.get("date"))
            select.select([], [], [], 0.7)


@case(ROWS, "a hint of the keep-alive time is truthful and named", "9112 C.2.2")
def _(lab):
    answer = lab.ask(get(P))
    hint = answer.get("keep-alive")
    assert hint is None or "keep-alive" in answer.words("connection"), "Keep-Alive that Connection does not name"


@case(ROWS, "a client that resets leaves others alone", "9112 9.5")
def _(lab):
    import socket
    import struct
    for _ in range(5):
        with lab.connect() as connection:
            connection.send(get("/big.bin") * 3)
            connection.more()
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert lab.ask(PROBE).status == 200
