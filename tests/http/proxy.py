"""The PROXY protocol, versions 1 and 2, by its specification; on the listener that has it, from addresses that are trusted.

/clients/ is allowed for 203.0.113.7 and 2001:db8::/32 only, so that what the header says is seen.
"""

import struct
import time

from answer import Broken
from engine import PROBE, case, get, row
from lab import PLAIN, TRUSTED

CLIENT = get("/clients/f.txt")
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V1 = b"PROXY TCP4 203.0.113.7 192.0.2.1 56324 80\r\n"
FOUR = bytes([203, 0, 113, 7, 192, 0, 2, 1]) + struct.pack(">HH", 56324, 80)
SIX = bytes.fromhex("20010db8000000000000000000000001" * 2) + struct.pack(">HH", 56324, 80)
UNIX = b"/run/a.sock".ljust(108, b"\0") * 2


def v2(command=0x21, family=0x11, address=FOUR, length=None):
    return SIGNATURE + struct.pack(">BBH", command, family, len(address) if length is None else length) + address


def sent(name, header, status=200, source=TRUSTED, target=CLIENT, rfc="PROXY 2.1", **more):
    return row(name, rfc, header + target, status, source=source, listener="proxy", method="GET", version=(1, 1), **more)


def refused(name, header, rfc="PROXY 2.1", **more):
    return sent(name, header, 0, rfc=rfc, **more)


def line(text):
    return text.encode("latin-1") + b"\r\n"


ROWS = [
    sent("v1: TCP4", V1, body=b"dir/f\n"), sent("v1: TCP6", line("PROXY TCP6 2001:db8::1 2001:db8::2 1 2")), sent("v1: another client", line("PROXY TCP4 203.0.113.8 192.0.2.1 1 2"), 403),
    sent("v1: another network", line("PROXY TCP6 2001:db9::1 2001:db8::2 1 2"), 403), sent("v1: full IPv6", line("PROXY TCP6 2001:0db8:0000:0000:0000:0000:0000:0001 2001:0db8:0000:0000:0000:0000:0000:0002 65535 65535")),
    sent("v1: UNKNOWN keeps the peer", b"PROXY UNKNOWN\r\n", 403), sent("v1: UNKNOWN serves", b"PROXY UNKNOWN\r\n", target=get("/probe.txt"), body=b"probe\n"),
    sent("v1: UNKNOWN with anything behind it", b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", target=get("/probe.txt"), body=b"probe\n"),
    sent("v1: UNKNOWN with addresses does not use them", b"PROXY UNKNOWN 203.0.113.7 192.0.2.1 1 2\r\n", 403), sent("v1: UNKNOWN is the trusted peer", b"PROXY UNKNOWN\r\n", target=get("/inner/f.txt")),
    sent("v1: port 0", line("PROXY TCP4 203.0.113.7 192.0.2.1 0 80"), (0, 200)), sent("v1: two requests", V1 + CLIENT, then=[(200, b"dir/f\n")]),
    sent("v1: with close", V1, target=get("/clients/f.txt", "Connection: close"), after="close"), sent("v1: behind it, what is malformed", V1, 400, target=b"GET / HTTP/1.1\r\n\r\n"),
    sent("v1: a second header is no request", V1 + V1, 400), sent("v1: an empty line behind it", V1 + b"\r\n"),
    *[refused("v1: " + name, header) for name, header in (
        ("no header at all", b""), ("lower case", line("proxy TCP4 203.0.113.7 192.0.2.1 1 2")), ("TCP5", line("PROXY TCP5 203.0.113.7 192.0.2.1 1 2")), ("UDP4", line("PROXY UDP4 203.0.113.7 192.0.2.1 1 2")),
        ("tcp4 in lower case", line("PROXY tcp4 203.0.113.7 192.0.2.1 1 2")), ("LF alone", b"PROXY TCP4 203.0.113.7 192.0.2.1 1 2\n"), ("CR alone", b"PROXY TCP4 203.0.113.7 192.0.2.1 1 2\r"),
        ("two spaces", line("PROXY  TCP4 203.0.113.7 192.0.2.1 1 2")), ("two spaces between addresses", line("PROXY TCP4 203.0.113.7  192.0.2.1 1 2")), ("a tab", line("PROXY\tTCP4 203.0.113.7 192.0.2.1 1 2")),
        ("a space at the end", line("PROXY TCP4 203.0.113.7 192.0.2.1 1 2 ")), ("a space in front", line(" PROXY TCP4 203.0.113.7 192.0.2.1 1 2")), ("no ports", line("PROXY TCP4 203.0.113.7 192.0.2.1")),
        ("one port", line("PROXY TCP4 203.0.113.7 192.0.2.1 1")), ("three ports", line("PROXY TCP4 203.0.113.7 192.0.2.1 1 2 3")), ("a port too large", line("PROXY TCP4 203.0.113.7 192.0.2.1 65536 80")),
        ("a port that is none", line("PROXY TCP4 203.0.113.7 192.0.2.1 x 80")), ("a negative port", line("PROXY TCP4 203.0.113.7 192.0.2.1 -1 80")), ("a port with a plus", line("PROXY TCP4 203.0.113.7 192.0.2.1 +1 80")),
        ("an address that is none", line("PROXY TCP4 203.0.113 192.0.2.1 1 2")), ("an octet too large", line("PROXY TCP4 203.0.113.256 192.0.2.1 1 2")), ("IPv6 as TCP4", line("PROXY TCP4 ::1 ::1 1 2")),
        ("IPv4 as TCP6", line("PROXY TCP6 203.0.113.7 192.0.2.1 1 2")), ("a destination that is none", line("PROXY TCP4 203.0.113.7 x 1 2")), ("brackets", line("PROXY TCP6 [2001:db8::1] [::1] 1 2")),
        ("longer than 107 bytes", b"PROXY UNKNOWN " + b"x" * 200 + b"\r\n"), ("no family", line("PROXY")), ("PROXYTCP4", line("PROXYTCP4 203.0.113.7 192.0.2.1 1 2")), ("a NUL", line("PROXY TCP4 203.0.113.7\0 192.0.2.1 1 2")),
        ("UNKNOWNX", line("PROXY UNKNOWNX")), ("a zone", line("PROXY TCP6 fe80::1%eth0 ::1 1 2")), ("an octet with a zero in front", line("PROXY TCP4 203.0.113.007 192.0.2.1 1 2")))],

    sent("v2: TCP over IPv4", v2(), rfc="PROXY 2.2", body=b"dir/f\n"), sent("v2: TCP over IPv6", v2(family=0x21, address=SIX), rfc="PROXY 2.2"),
    sent("v2: another client", v2(address=bytes([203, 0, 113, 8]) + FOUR[4:]), 403, rfc="PROXY 2.2"), sent("v2: LOCAL keeps the peer", v2(0x20, 0, b""), 403, rfc="PROXY 2.2"),
    sent("v2: LOCAL serves", v2(0x20, 0, b""), rfc="PROXY 2.2", target=get("/inner/f.txt")), sent("v2: LOCAL with an address does not use it", v2(0x20), 403, rfc="PROXY 2.2"),
    sent("v2: LOCAL with anything", v2(0x20, 0, b"x" * 300), rfc="PROXY 2.2", target=get("/probe.txt")), sent("v2: PROXY of an unknown family keeps the peer", v2(0x21, 0, b""), rfc="PROXY 2.2", target=get("/inner/f.txt")),
    sent("v2: PROXY of an unknown family, with bytes", v2(0x21, 0, b"x" * 40), rfc="PROXY 2.2", target=get("/inner/f.txt")), sent("v2: a unix socket", v2(0x21, 0x31, UNIX), 403, rfc="PROXY 2.2"),
    sent("v2: a unix socket serves", v2(0x21, 0x31, UNIX), rfc="PROXY 2.2", target=get("/probe.txt")),
    sent("v2: extensions are skipped", v2(address=FOUR + b"\x04\x00\x05hello" + b"\x01\x00\x02h2"), rfc="PROXY 2.2"), sent("v2: an extension for padding", v2(address=FOUR + b"\x04" + struct.pack(">H", 500) + b"\0" * 500), rfc="PROXY 2.2"),
    sent("v2: an extension that hides a request", v2(address=FOUR + b"\x04" + struct.pack(">H", len(PROBE)) + PROBE), rfc="PROXY 2.2", body=b"dir/f\n"),
    sent("v2: two requests", v2() + CLIENT, rfc="PROXY 2.2", then=[(200, b"dir/f\n")]), sent("v2: a second header is no request", v2() + v2(), 400, rfc="PROXY 2.2"),
    sent("v2: v1 behind it is no request", v2() + V1, 400, rfc="PROXY 2.2"),
    *[refused("v2: " + name, header, rfc="PROXY 2.2") for name, header in (
        ("version 1", v2(0x11)), ("version 3", v2(0x31)), ("version 0", v2(0x01)), ("an unknown command", v2(0x22)), ("command 15", v2(0x2f)), ("too short for IPv4", v2(length=11)), ("length 0 for IPv4", v2(address=b"")),
        ("IPv4's length for IPv6", v2(family=0x21)), ("too short for a unix socket", v2(family=0x31, address=UNIX[:200])), ("an unknown address family", v2(family=0x41)), ("address family 15", v2(family=0xf1)),
        ("an unknown transport", v2(family=0x13)), ("a signature that is broken", v2().replace(b"QUIT", b"QUIX")), ("half a signature", SIGNATURE[:6]))],
    refused("v2: 65535 bytes", v2(address=FOUR + b"\0" * 65523), rfc="PROXY 2.2"),
    refused("an untrusted peer with v1", V1, source=PLAIN, rfc="proxy_from"), refused("an untrusted peer with v2", v2(), source=PLAIN, rfc="proxy_from"),
    refused("an untrusted peer without a header", b"", source=PLAIN, rfc="proxy_from"), refused("an untrusted peer with UNKNOWN", b"PROXY UNKNOWN\r\n", source=PLAIN, rfc="proxy_from"),
    row("a listener without it takes v1 as a request", "PROXY 2", V1 + PROBE, 400, source=TRUSTED), row("a listener without it takes v2 as a request", "PROXY 2", v2() + PROBE, 400, source=TRUSTED, method="GET"),
]


@case(ROWS, "a header, byte by byte", "PROXY 2")
def _(lab):
    for header in (V1, v2(), v2(family=0x21, address=SIX + b"\x04\0\1x")):
        with lab.connect("proxy", TRUSTED) as connection:
            for byte in header + CLIENT:
                connection.send(bytes([byte]))
            answer = connection.answer()
            assert (answer.status, answer.body) == (200, b"dir/f\n"), answer


@case(ROWS, "a header, split in two at every byte", "PROXY 2")
def _(lab):
    for header in (V1, v2()):
        for at in range(1, len(header) + 2):
            with lab.connect("proxy", TRUSTED) as connection:
                connection.send((header + CLIENT)[:at])
                connection.send((header + CLIENT)[at:])
                assert connection.answer().status == 200, at


@case(ROWS, "a header that never comes is waited for within its deadline", "timeouts.proxy")
def _(lab):
    for begin in (b"", b"PROXY TCP4 ", SIGNATURE):
        began = time.monotonic()        # before the server's clock
        with lab.connect("proxy", TRUSTED, seconds=10) as connection:
            connection.send(begin)
            assert connection.rest() == b"", "an answer"
            took = time.monotonic() - began
            assert 0.5 <= took < 6, "ended after %.1f s; the deadline is 1 s" % took


@case(ROWS, "a header that drips is not waited for longer", "timeouts.proxy")
def _(lab):
    with lab.connect("proxy", TRUSTED, seconds=10) as connection:
        began = time.monotonic()
        for byte in V1:
            connection.send(bytes([byte]))
            if not connection.is_open(0.1):
                break
        assert time.monotonic() - began < 4, "still open"
        assert connection.rest() == b""


@case(ROWS, "the client of the header may be a proxy that forwards", "forwarded.from")
def _(lab):
    def status(header, *fields):
        with lab.connect("proxy", TRUSTED) as connection:
            connection.send(header + get("/clients/f.txt", *fields))
            try:
                return connection.answer().status
            except Broken as error:
                return error

    trusted = line("PROXY TCP4 198.51.100.9 192.0.2.1 1 2")
    assert status(trusted) == 403
    assert status(trusted, "X-Forwarded-For: 203.0.113.7") == 200
    assert status(line("PROXY TCP4 203.0.113.8 192.0.2.1 1 2"), "X-Forwarded-For: 203.0.113.7") == 403, "an untrusted client's word"
