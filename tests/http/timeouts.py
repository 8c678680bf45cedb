"""Timeouts: RFC 9110 15.5.9, RFC 9112 9.3 and 9.5.  The listener "slow" has request_head 700 ms, keep_alive 500 ms, send 1 s."""

import select
import socket
import time

from answer import closes
from engine import PROBE, case, get

LATE = 8  # a busy machine
ROWS = []


def ends(connection, drip=b"", every=0.1, began=None):
    """(what came, seconds) until the connection ends, while a byte of `drip` is sent now and then.  began: before the
    server's clock did, where it must not end too soon: we may be held up ourselves."""
    began = began or time.monotonic()
    for byte in drip:
        connection.send(bytes([byte]))
        if not connection.is_open(every):
            break
    data = connection.rest()
    return data, time.monotonic() - began


def refused(data):
    return data.startswith(b"HTTP/1.1 408 ") and b"close" in data.lower()


@case(ROWS, "half a head: 408", "9110 15.5.9")
def _(lab):
    for begin in (b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n"):
        began = time.monotonic()
        with lab.connect("slow") as connection:
            connection.send(begin)
            data, took = ends(connection, began=began)
            assert refused(data), data
            assert 0.4 <= took < LATE, "after %.2f s; the deadline is 700 ms" % took


@case(ROWS, "the 408 is an answer like any other", "9110 15.5.9")
def _(lab):
    with lab.connect("slow") as connection:
        connection.send(b"GET / HTTP/1.1\r\n")
        answer = connection.answer()
        assert answer.status == 408 and not answer.problems and closes(answer, (1, 1)), (answer, answer.problems)


@case(ROWS, "the 408 of a HEAD has no content", "9110 9.3.2")
def _(lab):
    for begin in (b"HEAD / HTTP/1.1\r\n", b"HEAD / HTTP/1.1\r\nHost: x\r\nA: b"):
        with lab.connect("slow") as connection:
            connection.send(begin)
            data, _ = ends(connection)
            assert refused(data) and data.endswith(b"\r\n\r\n"), data


@case(ROWS, "a head that drips: the deadline is absolute", "9110 15.5.9")
def _(lab):
    with lab.connect("slow") as connection:
        data, took = ends(connection, get("/probe.txt", "A: " + "x" * 200), 0.05)
        assert refused(data), data
        assert took < LATE / 2, "after %.2f s" % took


@case(ROWS, "a connection that says nothing is closed without an answer, or with 408", "9112 9.5")
def _(lab):
    began = time.monotonic()
    with lab.connect("slow") as connection:
        data, took = ends(connection, began=began)
        assert data == b"" or refused(data), data
        assert 0.3 <= took < LATE, took


@case(ROWS, "an idle connection is closed without a word", "9112 9.5")
def _(lab):
    with lab.connect("slow") as connection:
        began = time.monotonic()
        connection.send(PROBE)
        answer = connection.answer()
        assert answer.status == 200 and not closes(answer, (1, 1)), answer
        data, took = ends(connection, began=began)
        assert data == b"", data
        assert 0.4 <= took < LATE, "after %.2f s; the time is 500 ms and a grace" % took
        assert not connection.reset, "reset"


def is_kept(lab):
    """Whether it can be used again and again; False: it was us who came later than its time."""
    with lab.connect("slow") as connection:
        for _ in range(6):
            connection.send(PROBE)
            assert connection.answer().status == 200
            answered = time.monotonic()
            if not connection.is_open(0.2):
                assert time.monotonic() - answered > 0.5, "closed after 200 ms; the time is 500 ms"
                return False
    return True


@case(ROWS, "an idle connection is used again within its time", "9112 9.3")
def _(lab):
    end = time.monotonic() + LATE
    while not is_kept(lab):
        assert time.monotonic() < end, "never in time"


@case(ROWS, "the hint is not longer than the time", "9112 C.2.2")
def _(lab):
    for listener in ("main", "slow"):
        answer = lab.ask(get("/probe.txt"), listener)
        hint = answer.get("keep-alive")
        if hint is not None:
            seconds = int(hint.split("=")[1].split(",")[0])
            assert seconds <= (60 if listener == "main" else 1), hint
    assert lab.ask(get("/probe.txt")).get("keep-alive") is not None, "no hint"


@case(ROWS, "the second head of a connection has its deadline, too", "9110 15.5.9")
def _(lab):
    with lab.connect("slow") as connection:
        connection.send(PROBE + b"GET / HT")
        assert connection.answer().status == 200
        data, took = ends(connection)
        assert refused(data), data
        assert took < LATE, took


@case(ROWS, "a body that never comes", "9110 15.5.9")
def _(lab):
    with lab.connect("slow") as connection:
        connection.send(get("/probe.txt", "Content-Length: 1000", body=b"x"))
        data, took = ends(connection)
        assert data.startswith((b"HTTP/1.1 408 ", b"HTTP/1.1 200 ")) and b"close" in data.lower(), data[:200]
        assert took < LATE, took


@case(ROWS, "a chunked body that stops in a chunk's size", "9110 15.5.9")
def _(lab):
    with lab.connect("slow") as connection:
        connection.send(get("/probe.txt", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n1"))
        data, took = ends(connection)
        assert data.startswith((b"HTTP/1.1 408 ", b"HTTP/1.1 200 ")) and b"close" in data.lower(), data[:200]
        assert took < LATE, took


@case(ROWS, "a client that takes nothing of a large answer is cut", "send")
def _(lab):
    with lab.connect("slow", seconds=30) as connection:
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.send(get("/big.bin") * 20)
        began = time.monotonic()
        while is_established(connection.socket) and time.monotonic() - began < 20:
            select.select([], [], [], 0.05)
        assert time.monotonic() - began < 20, "still there after 20 s; the time is 1 s"


def is_established(client):
    """By the kernel's word: nothing is read, so that the window stays shut."""
    return client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) == b"\1"  # TCP_ESTABLISHED


@case(ROWS, "slow clients do not delay another one", "timeouts")
def _(lab):
    slow = [lab.connect() for _ in range(100)]
    try:
        for number, connection in enumerate(slow):
            if number % 3 == 0:
                connection.send(b"GET / HTTP/1.1\r\nHo")
            elif number % 3 == 1:
                connection.send(get("/probe.txt", "Content-Length: 10000", body=b"x"))
            else:
                connection.send(get("/big.bin"))
        began = time.monotonic()
        for _ in range(50):
            assert lab.ask(PROBE).status == 200
        assert time.monotonic() - began < LATE, "50 requests in %.1f s" % (time.monotonic() - began)
    finally:
        for connection in slow:
            connection.socket.close()
