"""Requests that are changed at random, against the parser of requests.py: each stream gets exactly the answers that RFC 9112 says."""

import random

import answer as answers
import requests
from engine import PROBE, Row

SEEDS = [
    b"GET /probe.txt HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /probe.txt HTTP/1.1\r\nHost: a.example:80\r\nAccept: */*\r\nA-b: c, d\r\n\r\n",
    b"HEAD /ten.txt HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n",
    b"GET http://x/probe.txt?a=b HTTP/1.1\r\nHost: x\r\nUser-Agent: y/1 (z)\r\n\r\n",
    b"GET /probe.txt HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n",
    b"GET /probe.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n0123456789",
    b"GET /probe.txt HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"GET /probe.txt HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n1 ; c=\"d;\\\"e\"\r\nx\r\n0\r\nA: b\r\n\r\n",
    b"GET /probe.txt HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n\r\nA\r\n0123456789\r\n00\r\nX-Y: z\r\nV: w\r\n\r\n",
    b"GET /probe.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    b"\r\nGET /dir/f.txt HTTP/1.1\r\nhost:\tx\t\r\ncontent-length: 0\r\n\r\n",
    b"GET /probe.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nA: b\r\n\r\nabcGET /ten.txt HTTP/1.1\r\nHost: x\r\n\r\n",
]
BYTES = [b"\r", b"\n", b"\r\n", b" ", b"\t", b"\0", b":", b",", b";", b"0", b"1", b"a", b"F", b"-", b"+", b"\x0b", b"\x7f", b"\xff", b"\"", b"=", b"\\", b"/", b"?", b"%", b"[", b"]", b"@",
         b".", b"x", b"\r\n\r\n", b"\r\n ", b"Host: y\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"chunked", b", ", b"close", b"\r\n0\r\n\r\n", b"HTTP/1.1", b"_"]
REFUSALS = (400, 408, 411, 413, 414, 417, 431, 501, 505)


def mutate(source, data):
    for _ in range(source.choice((1, 1, 1, 2, 3))):
        at = source.randrange(len(data) + 1)
        kind = source.randrange(5)
        if kind == 0:
            data = data[:at] + data[at + source.choice((1, 1, 2, 5)):]
        elif kind == 1:
            data = data[:at] + source.choice(BYTES) + data[at:]
        elif kind == 2:
            data = data[:at] + source.choice(BYTES) + data[at + 1:]
        elif kind == 3:
            end = at + source.randrange(1, 20)
            data = data[:end] + data[at:end] + data[end:]
        else:
            data = data[:at] + bytes([source.randrange(256)]) + data[at + 1:]
    return data


def run_one(lab, data):
    """Sends the bytes, a probe and the end; raises AssertionError where an answer is not what the parser says."""
    stream = data + PROBE
    with lab.connect() as connection:
        connection.send(stream)
        connection.end()
        at = 0
        for verdict, closes in requests.read(stream):
            if verdict == "ok":
                first, _, _ = requests.head(stream, at)
                at = requests.request(stream, at)[2]
                method, version = first[1].decode(), (1, int(first[4]))
                answer = connection.answer(method, version)
                assert answer.status in (200, 301, 308, 403, 404), "%r: %d; it is valid" % (data, answer.status)
                assert not answer.problems, (data, answer.problems)
                assert not closes or answers.closes(answer, version), "%r: goes on behind close" % data
                if answers.closes(answer, version) and not closes:
                    break  # allowed at any time
                continue
            if verdict == "bad":
                is_head = b"HEAD" in stream[at:at + 20]  # or as good as one: no content, or some
                answer = connection.answer("HEAD" if is_head else "GET")
                assert answer.status in REFUSALS, "%r: %d; it is malformed" % (data, answer.status)
                assert answers.closes(answer, (1, 1)), "%r: goes on behind %d" % (data, answer.status)
                assert not answer.problems, (data, answer.problems)
                if is_head:
                    return
            elif verdict == "more":
                rest = connection.rest()
                assert rest == b"" or int(rest[9:12]) in REFUSALS + (200, 403, 404), "%r: %r; it ends early" % (data, rest[:80])
                return
            else:
                connection.rest()
                return
        rest = connection.rest()
        assert rest == b"", "%r: more than its answers: %r" % (data, rest[:100])


def rows(seed, count):
    source = random.Random(seed)
    for number in range(count):
        data = mutate(source, SEEDS[number % len(SEEDS)])
        yield Row("mutation %d of %d" % (number, seed), "9112", send=data, run=lambda lab, data=data: run_one(lab, data))


ROWS = list(rows(1, 1500))
