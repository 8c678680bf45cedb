"""Rows of all classes at random on one connection: nothing of a request is left for the next one (RFC 9110 3.3, RFC 9112 9.3)."""

import importlib
import random

import answer as answers
from engine import PROBE, Row, compare

CLASSES = ("framing", "hosts", "bodies", "connection", "methods", "conditionals", "ranges", "negotiation", "paths", "rules", "listing", "auth", "limits")
LENGTH, COUNT = 30, 150


def steps():
    """Rows after which a connection goes on."""
    return [one for name in CLASSES for one in importlib.import_module(name).ROWS
            if one.run is None and one.after == "open" and one.listener == "main" and not (one.source or one.half_close or one.then or one.interim)
            and one.version == (1, 1) and len(one.send) < 20000 and b"/big.bin" not in one.send]


def sequence(rows, cuts):
    def run(lab):
        data = b"".join(one.send for one in rows) + PROBE
        with lab.connect() as connection:
            begin = 0
            for cut in sorted(cut % len(data) for cut in cuts):
                connection.send(data[begin:cut])
                begin = cut
            connection.send(data[begin:])
            before = "the beginning"
            for one in rows:
                answer = answers.read_answer(connection, one.method, one.version)
                wrong = compare(one, answer)
                assert not wrong, "%s, behind %s: %s" % (one.name, before, "; ".join(wrong))
                assert not answers.closes(answer, one.version), "%s closes" % one.name
                before = one.name
            assert answers.read_answer(connection).body == b"probe\n"
    return run


def rows(seed, count):
    source = random.Random(seed)
    known = steps()
    for number in range(count):
        chosen = [source.choice(known) for _ in range(LENGTH)]
        yield Row("sequence %d of %d" % (number, seed), "9110 3.3", run=sequence(chosen, [source.randrange(1 << 20) for _ in range(number % 5 * 10)]))


ROWS = list(rows(1, COUNT))
