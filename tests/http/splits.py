"""Any split of the bytes gives the same answers: rows of other classes, sent in pieces (RFC 9112 2.2)."""

import copy
import importlib
import zlib

CLASSES = ("framing", "hosts", "bodies", "connection", "ranges", "paths", "negotiation")
LONGEST, EVERY = 600, 4  # of what is sent byte by byte, and which of those


def pieces(one):
    """Where to cut: a place that depends on the row's name alone, and behind each CR."""
    size = len(one.send)
    cuts = {zlib.crc32(one.name.encode()) % size, zlib.crc32(one.name.encode() + b"2") % size}
    cuts |= {at + 1 for at in range(size) if one.send[at] == 13}
    return sorted(cut for cut in cuts if 0 < cut < size)[:40]


def rows():
    for name in CLASSES:
        for one in importlib.import_module(name).ROWS:
            if one.run is not None or one.model or len(one.send) < 2:
                continue
            again = copy.copy(one)
            again.name, again.cuts = "%s: %s" % (name, one.name), pieces(one)
            yield again
            if len(one.send) <= LONGEST and zlib.crc32(one.name.encode()) % EVERY == 0:
                again = copy.copy(one)
                again.name, again.cuts = "%s, byte by byte: %s" % (name, one.name), range(1, len(one.send))
                yield again


ROWS = list(rows())
