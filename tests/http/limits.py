"""Limits: RFC 9112 3, RFC 9110 5.4, 15.5.14, 15.5.15 and RFC 6585 5."""

from answer import closes
from engine import case, get, row

P = "/probe.txt"

ROWS = [
    row("a request line of 8000 bytes", "9112 3", get("/" + "x" * 7980), 404, after="open"),
    row("a query of 7900 bytes", "9112 3", get(P + "?" + "x" * 7900), 200, body=b"probe\n"),
    row("a request line of 10000 bytes", "9110 15.5.15", get("/" + "x" * 10000), 414), row("a request line of 100000 bytes", "9110 15.5.15", get("/" + "x" * 100000), 414),
    row("a query of 10000 bytes", "9110 15.5.15", get(P + "?" + "x" * 10000), 414), row("an absolute target of 10000 bytes", "9110 15.5.15", get("http://x/" + "x" * 10000), 414),
    row("a request line without an end", "9110 15.5.15", b"GET /" + b"x" * 20000, 414, probe=False), row("a request line of 1 MB without an end", "9110 15.5.15", b"GET /" + b"x" * 1000000, 414, probe=False),
    row("a version that never ends", "9112 3", b"GET / HTTP/1.1" + b"1" * 20000, (400, 414), after="close", probe=False),
    row("a method that never ends", "9112 3", b"G" * 20000, (400, 414, 501), after="any", probe=False),
    row("spaces that never end", "9112 3", b"GET " + b" " * 20000, (400, 414), after="close", probe=False),
    row("empty lines that never end", "9112 2.2", b"\r\n" * 20000, (0, 400), after="close", probe=False, method="GET"),
    row("a field of 10000 bytes", "9110 5.4", get(P, "A: " + "x" * 10000), 200), row("a field of 30000 bytes", "9110 5.4", get(P, "A: " + "x" * 30000), 200),
    row("a field of 40000 bytes", "6585 5", get(P, "A: " + "x" * 40000), 431), row("a field of 1 MB", "6585 5", get(P, "A: " + "x" * 1000000), 431, probe=False),
    row("a name of 40000 bytes", "6585 5", get(P, "A" * 40000 + ": x"), 431), row("a field without an end", "6585 5", b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 70000, 431, probe=False),
    row("a name without an end", "6585 5", b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A" * 70000, (400, 431), after="close", probe=False),
    row("white space without an end", "6585 5", b"GET / HTTP/1.1\r\nHost: x\r\nA:" + b" " * 70000, 431, probe=False),
    row("100 fields", "9110 5.4", get(P, *["A%d: x" % n for n in range(99)]), 200), row("101 fields", "6585 5", get(P, *["A%d: x" % n for n in range(100)]), 431),
    row("1000 fields", "6585 5", get(P, *["A%d: x" % n for n in range(1000)]), 431), row("100000 fields", "6585 5", get(P, *["A: x"] * 100000), 431, probe=False),
    row("many long fields", "6585 5", get(P, *["A: " + "x" * 1000] * 60), 431), row("many fields of the same name", "9110 5.3", get(P, *["If-None-Match: \"x\""] * 50), 200),
    row("a cookie of 4000 bytes", "6265 6.1", get(P, "Cookie: a=" + "x" * 4000), 200), row("414 comes before 400", "9110 15.5.15", get("/" + "x" * 10000, host=None), (400, 414)),
    row("a chain of 200 list elements", "9110 5.6.1", get(P, "Connection: " + ", ".join("x%d" % n for n in range(200))), 200),
    row("a list of 1000 empty elements", "9110 5.6.1", get(P, "Connection: " + "," * 1000), 200),
    row("a Range of 1000 empty elements", "9110 5.6.1", get("/ten.txt", "Range: bytes=" + "," * 1000 + "2-4"), (200, 206, 416)),
    row("an Accept-Encoding of 5000 codings", "9110 5.6.1", get("/neg/all.txt", "Accept-Encoding: " + ",".join("c%d" % n for n in range(4000))), 200),
    row("an If-None-Match of 8000 tags", "9110 5.6.1", get(P, "If-None-Match: " + ",".join('"%d"' % n for n in range(4000))), 200),
]


@case(ROWS, "the client reads an answer while it still sends a head without end", "9112 9.6")
def _(lab):
    with lab.connect() as connection:
        connection.send(b"GET / HTTP/1.1\r\nHost: x\r\nA: ")
        for _ in range(60):
            connection.send(b"x" * 10000)
        answer = connection.answer()
        assert answer.status == 431 and not answer.problems and closes(answer, (1, 1)), answer
        assert connection.rest() == b"" and not connection.reset, "reset"


@case(ROWS, "200 connections at once", "9112 9.4")
def _(lab):
    connections = [lab.connect() for _ in range(200)]
    try:
        for connection in connections:
            connection.send(get(P))
        for connection in connections:
            answer = connection.answer()
            assert (answer.status, answer.body) == (200, b"probe\n") and not answer.problems, answer
    finally:
        for connection in connections:
            connection.socket.close()
