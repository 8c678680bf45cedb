"""What changed on the disk is seen at once, and never in a mixture: RFC 9110 8.8, RFC 9111 4; no bytes of two versions in one answer.

Each row waits the 10 ms that are promised, and not longer.
"""

import os
import threading
import time

from answer import Broken, closes
from engine import case, get
from lab import TIME

ROWS = []


def settle():
    threading.Event().wait(0.0105)


def body(lab, target):
    answer = lab.ask(get(target))
    return answer.body if answer.status == 200 else answer.status


def seen(lab, target, wanted):
    settle()
    got = body(lab, target)
    assert got == wanted, "%s: %r, expected %r" % (target, got, wanted)


@case(ROWS, "a file that is replaced by rename", "freshness")
def _(lab):
    for number in range(20):
        content = b"version %d\n" % number
        lab.replace("fresh/rename.txt", content)
        seen(lab, "/fresh/rename.txt", content)


@case(ROWS, "a file that is replaced by one of the same size and time", "freshness")
def _(lab):
    for letter in b"abcdefgh":
        lab.replace("fresh/same.txt", bytes([letter]) * 10)
        seen(lab, "/fresh/same.txt", bytes([letter]) * 10)


@case(ROWS, "a file that is removed, and comes back", "freshness")
def _(lab):
    for number in range(5):
        content = b"back %d\n" % number
        lab.replace("fresh/gone.txt", content)
        seen(lab, "/fresh/gone.txt", content)
        os.unlink(lab.path("fresh/gone.txt"))
        seen(lab, "/fresh/gone.txt", 404)


@case(ROWS, "a file that is overwritten in place", "freshness")
def _(lab):
    for number in range(5):
        content = b"in place %d\n" % number
        lab.write("fresh/place.txt", content, None)
        seen(lab, "/fresh/place.txt", content)


@case(ROWS, "a file that grows", "freshness")
def _(lab):
    content = b""
    for number in range(5):
        content += b"line %d\n" % number
        lab.write("fresh/grows.txt", content, None)
        seen(lab, "/fresh/grows.txt", content)


def swap(link, target):
    os.symlink(target, link + ".new")
    os.rename(link + ".new", link)


@case(ROWS, "a symlink to a file that is swapped", "freshness")
def _(lab):
    for name in ("a", "b"):
        lab.write("fresh/link/%s.txt" % name, name.encode())
    for number in range(10):
        name = "ab"[number % 2]
        swap(lab.path("fresh/link/current.txt"), name + ".txt")
        seen(lab, "/fresh/link/current.txt", name.encode())


@case(ROWS, "a symlink to a directory that is swapped: current -> releases/N", "freshness")
def _(lab):
    for number in range(1, 4):
        lab.write("fresh/deploy/releases/%d/f.txt" % number, b"release %d" % number)
    for number in (1, 2, 3, 1, 3, 2):
        swap(lab.path("fresh/deploy/current"), "releases/%d" % number)
        seen(lab, "/fresh/deploy/current/f.txt", b"release %d" % number)


@case(ROWS, "the root itself is a symlink that is swapped", "freshness")
def _(lab):
    for number in (1, 2, 1, 2):
        swap(os.path.join(lab.releases, "current"), "release-%d" % number)
        settle()
        answer = lab.ask(get("/f.txt", host="releases.example"))
        assert (answer.status, answer.body) == (200, b"release %d" % number), answer
    swap(os.path.join(lab.releases, "current"), "release-none")
    settle()
    answer = lab.ask(get("/f.txt", host="releases.example"))
    assert answer.status in (404, 500, 503), answer
    swap(os.path.join(lab.releases, "current"), "release-1")
    settle()
    answer = lab.ask(get("/f.txt", host="releases.example"))
    assert (answer.status, answer.body) == (200, b"release 1"), answer


@case(ROWS, "a directory above the root is a symlink that is swapped", "freshness")
def _(lab):
    for number in (1, 2, 1, 2):
        swap(os.path.join(lab.releases, "above"), "release-%d" % number)
        settle()
        answer = lab.ask(get("/g.txt", host="above.example"))
        assert (answer.status, answer.body) == (200, b"below %d" % number), answer


@case(ROWS, "a directory that is renamed away", "freshness")
def _(lab):
    lab.write("fresh/dirs/one/f.txt", b"one")
    seen(lab, "/fresh/dirs/one/f.txt", b"one")
    os.rename(lab.path("fresh/dirs/one"), lab.path("fresh/dirs/two"))
    seen(lab, "/fresh/dirs/one/f.txt", 404)
    seen(lab, "/fresh/dirs/two/f.txt", b"one")
    os.rename(lab.path("fresh/dirs/two"), lab.path("fresh/dirs/one"))
    seen(lab, "/fresh/dirs/one/f.txt", b"one")


@case(ROWS, "an index file that appears and goes", "freshness")
def _(lab):
    lab.write("fresh/index/f.txt", b"x")
    seen(lab, "/fresh/index/", 404)
    lab.write("fresh/index/index.html", b"index")
    seen(lab, "/fresh/index/", b"index")
    os.unlink(lab.path("fresh/index/index.html"))
    seen(lab, "/fresh/index/", 404)


@case(ROWS, "a mode that changes", "freshness")
def _(lab):
    lab.write("fresh/mode.txt", b"mode")
    seen(lab, "/fresh/mode.txt", b"mode")
    os.chmod(lab.path("fresh/mode.txt"), 0)
    settle()
    assert body(lab, "/fresh/mode.txt") in (403, 404)
    os.chmod(lab.path("fresh/mode.txt"), 0o644)
    seen(lab, "/fresh/mode.txt", b"mode")


@case(ROWS, "a file that becomes a directory, and back", "freshness")
def _(lab):
    lab.write("fresh/both", b"file")
    seen(lab, "/fresh/both", b"file")
    os.unlink(lab.path("fresh/both"))
    lab.write("fresh/both/index.html", b"dir")
    settle()
    assert body(lab, "/fresh/both") in (301, 308)
    seen(lab, "/fresh/both/", b"dir")


@case(ROWS, "a link that comes to lead outside", "freshness")
def _(lab):
    lab.write("fresh/turn/in.txt", b"in")
    swap(lab.path("fresh/turn/link.txt"), "in.txt")
    seen(lab, "/fresh/turn/link.txt", b"in")
    swap(lab.path("fresh/turn/link.txt"), os.path.join(lab.outside, "secret.txt"))
    settle()
    assert body(lab, "/fresh/turn/link.txt") in (403, 404)


@case(ROWS, "on one connection, too", "freshness")
def _(lab):
    with lab.connect() as connection:
        for number in range(10):
            content = b"kept %d\n" % number
            lab.replace("fresh/kept.txt", content)
            settle()
            connection.send(get("/fresh/kept.txt"))
            answer = connection.answer()
            assert answer.body == content and not closes(answer, (1, 1)), answer


@case(ROWS, "the tag and the time change with the file", "freshness")
def _(lab):
    lab.replace("fresh/tagged.txt", b"one", TIME)
    first = lab.ask(get("/fresh/tagged.txt"))
    lab.replace("fresh/tagged.txt", b"two", TIME + 10)
    settle()
    second = lab.ask(get("/fresh/tagged.txt", "If-None-Match: " + first.get("etag")))
    assert second.status == 200 and second.body == b"two", second
    assert second.get("last-modified") != first.get("last-modified")


def versions(lab, name, size, seconds, change):
    """Reads `name` all the time while `change(n)` changes it; each answer is of one version: one letter throughout."""
    stop = threading.Event()
    wrong, counts = [], {"whole": 0, "cut": 0}

    def read():
        while not stop.is_set():
            try:
                with lab.connect() as connection:
                    while not stop.is_set():
                        connection.send(get("/" + name))
                        answer = connection.answer()
                        if answer.status != 200 or len(set(answer.body)) > 1 or len(answer.body) not in size:
                            wrong.append("%d, %d bytes of %r" % (answer.status, len(answer.body), set(answer.body)))
                            return
                        counts["whole"] += 1
                        if closes(answer, (1, 1)):
                            break
            except Broken:
                counts["cut"] += 1

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    end = time.monotonic() + seconds
    number = 0
    while time.monotonic() < end and not wrong:
        number += 1
        change(number)
    stop.set()
    for reader in readers:
        reader.join()
    assert not wrong, wrong[0]
    assert counts["whole"] > 0, counts
    return counts


@case(ROWS, "replaced by rename all the time: every answer is whole and of one version", "freshness")
def _(lab):
    sizes = (100000, 200000)
    lab.replace("fresh/mixed.bin", b"a" * sizes[0], None)
    counts = versions(lab, "fresh/mixed.bin", sizes, 0.7, lambda n: lab.replace(
        "fresh/mixed.bin", bytes([97 + n % 26]) * sizes[n % 2], None))
    assert counts["cut"] == 0, "a replaced file cut %d answers" % counts["cut"]


@case(ROWS, "a small file replaced by rename all the time", "freshness")
def _(lab):
    sizes = (10, 20)
    lab.replace("fresh/small.bin", b"a" * sizes[0], None)
    counts = versions(lab, "fresh/small.bin", sizes, 0.5, lambda n: lab.replace(
        "fresh/small.bin", bytes([97 + n % 26]) * sizes[n % 2], None))
    assert counts["cut"] == 0, "a replaced file cut %d answers" % counts["cut"]


@case(ROWS, "links on the way swapped all the time: no answer but one of the two", "freshness")
def _(lab):
    sizes = (10, 20)
    for number, size in enumerate(sizes):
        lab.write("fresh/tight/%d/f.bin" % number, bytes([97 + number]) * size)
    swaps = (("up", "../../fresh/tight/%d"), ("whole", lab.path("fresh/tight") + "/%d"), ("f.bin", "%d/f.bin"))

    def change(number):
        for name, target in swaps:
            swap(lab.path("fresh/tight/" + name), target % (number % 2))

    change(0)
    for target in ("up/f.bin", "whole/f.bin", "f.bin"):
        versions(lab, "fresh/tight/" + target, sizes, 0.2, change)


@case(ROWS, "a file that is changed in place while it is sent is cut, not completed", "freshness")
def _(lab):
    size = 16 << 20
    lab.write("fresh/cut.bin", b"a" * size)
    with lab.connect() as connection:
        import socket
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.send(get("/fresh/cut.bin"))
        while len(connection.buffer) < 100000:
            assert connection.more(), "ended early"
        with open(lab.path("fresh/cut.bin"), "r+b") as file:
            file.seek(size - 100)
            file.write(b"b" * 100)
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        data = connection.rest()
    head = data.index(b"\r\n\r\n") + 4
    assert len(data) - head < size, "a mixture of two versions came as a whole answer"


@case(ROWS, "a file that shrinks while it is sent is cut", "freshness")
def _(lab):
    size = 16 << 20
    lab.write("fresh/shrinks.bin", b"a" * size)
    with lab.connect() as connection:
        import socket
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        connection.send(get("/fresh/shrinks.bin"))
        while len(connection.buffer) < 100000:
            assert connection.more(), "ended early"
        os.truncate(lab.path("fresh/shrinks.bin"), 50000)
        data = connection.rest()
    head = data.index(b"\r\n\r\n") + 4
    assert len(data) - head < size, "a whole answer of a file that is not there"
    assert set(data[head:]) <= {97, 0}, "bytes of nobody"
