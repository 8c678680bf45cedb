"""The client behind proxies: X-Forwarded-For, X-Forwarded-Proto and Forwarded (RFC 7239), from trusted peers only.

Trusted are 127.77.0.0/16 and 198.51.100.0/24; /clients/ is allowed for 203.0.113.7 and 2001:db8::/32, /outer/ is
denied to 127.66.0.0/16.  The listener "forwarded" belongs to a daemon with forwarded.header = "forwarded".
"""

import re

from engine import get, row
from lab import PLAIN, TRUSTED

C = "/clients/f.txt"


def xff(value, status=200, source=TRUSTED, target=C, more=(), name=None):
    values = [value] if isinstance(value, str) else value
    return row(name or "X-Forwarded-For: %s from %s" % (value, source), "forwarded", get(target, *["X-Forwarded-For: " + one for one in values], *more), status,
               source=source, after="open" if isinstance(status, int) else "any")


def fwd(value, status=200, source=TRUSTED, target=C, fields=None):
    values = [value] if isinstance(value, str) else value
    return row("Forwarded: %s from %s" % (value, source), "7239 4", get(target, *["Forwarded: " + one for one in values]), status, source=source,
               listener="forwarded", after="open" if isinstance(status, int) else "any", fields=fields)


def proto(value, location, source=TRUSTED, target="/scheme/a", more=()):
    return row("X-Forwarded-Proto: %s from %s" % (value, source), "forwarded", get(target, "X-Forwarded-Proto: " + value, *more), 301, source=source, fields={"location": location})


REFUSED = (400, 403)

ROWS = [
    row("a trusted peer that names nobody", "forwarded", get(C), 403, source=TRUSTED), row("a trusted peer itself", "forwarded", get("/inner/f.txt"), 200, source=TRUSTED),
    xff("203.0.113.7"), xff("203.0.113.8", 403), xff("203.0.113.7", 403, PLAIN, name="an untrusted peer's word"), xff("2001:db8::1"), xff("2001:DB8:0:0::1"), xff("2001:db9::1", 403),
    xff("1.2.3.4, 203.0.113.7", 200), xff("203.0.113.7, 1.2.3.4", 403), xff("203.0.113.7, 198.51.100.1"), xff("203.0.113.7, 127.77.1.1"), xff("203.0.113.7,198.51.100.1,127.77.1.1"),
    xff("203.0.113.7, 1.2.3.4, 198.51.100.1", 403), xff("x, 203.0.113.7"), xff("unknown, 203.0.113.7"), xff("\"<script>\", 203.0.113.7", (200, 400, 403)), xff("203.0.113.7, x", REFUSED),
    xff("203.0.113.7, unknown", REFUSED), xff("203.0.113.7 ,\t198.51.100.1"), xff(" 203.0.113.7 "), xff("198.51.100.1", 403, name="only proxies"),
    xff("", 403), xff(",", (400, 403)), xff("203.0.113.7,", (200, 400, 403)), xff("203.0.113.256", REFUSED), xff("203.0.113", REFUSED), xff("203.0.113.7x", REFUSED), xff("x203.0.113.7", REFUSED),
    xff("203.0.113.7 203.0.113.7", REFUSED), xff("203.0.113.7/32", REFUSED), xff("0x7f000001", REFUSED), xff("3405803783", REFUSED), xff("203.0.113.7:1234", (200, 400, 403)),
    xff("[2001:db8::1]:1234", (200, 400, 403)), xff("[2001:db8::1]", (200, 400, 403)), xff("::ffff:203.0.113.7", (200, 403)),
    xff(["203.0.113.7", "198.51.100.1"], name="two fields are one list"), xff(["203.0.113.7", "1.2.3.4"], 403, name="two fields, the last one counts"),
    xff(["1.2.3.4", "203.0.113.7"], name="two fields, the last one counts, and may"), xff(", ".join(["1.2.3.4"] * 300 + ["203.0.113.7"]), (200, 400, 403, 431), name="300 addresses"),
    xff("127.66.0.1", 403, target="/outer/f.txt", name="deny goes by the client behind"), xff("203.0.113.7", 200, target="/outer/f.txt", name="deny: another client behind"),
    xff("10.1.2.3", 200, target="/inner/f.txt", name="allow goes by the client behind"), xff("1.2.3.4", 403, target="/inner/f.txt", name="allow: the proxy's own address does not count"),
    xff("203.0.113.8", 403, more=("Forwarded: for=203.0.113.7",), name="Forwarded means nothing there"), row("X-Real-IP means nothing", "forwarded", get(C, "X-Real-IP: 203.0.113.7"), 403, source=TRUSTED),
    xff("203.0.113.7", 200, more=("X-Forwarded-Host: evil.example",), name="X-Forwarded-Host beside it"),
    row("X-Forwarded-Host means nothing", "forwarded", get("/scheme/a", "X-Forwarded-Host: evil.example"), 301, source=TRUSTED, fields={"location": "http://new.example/base/a"}),
    row("each request of a connection says its own", "forwarded", get(C, "X-Forwarded-For: 203.0.113.7") + get(C) + get(C, "X-Forwarded-For: 203.0.113.7"), 200, source=TRUSTED, then=[403, 200]),

    proto("https", "https://new.example/base/a"), proto("http", "http://new.example/base/a"), proto("HTTPS", "https://new.example/base/a"), proto("https", "http://new.example/base/a", PLAIN),
    proto("ftp", re.compile("http://new.example/base/a")), proto("https://evil.example", re.compile("https?://new.example/base/a")), proto("javascript", re.compile("https?://new.example/base/a")),
    proto("", "http://new.example/base/a"), proto("https, http", re.compile("https?://new.example/base/a")),
    row("X-Forwarded-Proto and the canonical host", "forwarded", get("/a?b", "X-Forwarded-Proto: https", host="www.canon.example"), 301, source=TRUSTED, fields={"location": "https://canon.example/a?b"}),
    row("X-Forwarded-Proto and a directory's slash", "forwarded", get("/dir", "X-Forwarded-Proto: https"), (301, 308), source=TRUSTED, fields={"location": re.compile("(https://x)?/dir/")}),
    row("X-Forwarded-Proto and a target that names https", "9110 7.4", get("https://x/probe.txt", "X-Forwarded-Proto: https"), 200, source=TRUSTED, body=b"probe\n"),
    row("X-Forwarded-Proto of anybody and a target that names https", "9110 7.4", get("https://x/probe.txt", "X-Forwarded-Proto: https"), 421),
    row("X-Forwarded-Proto: http and a target that names https", "9110 7.4", get("https://x/probe.txt", "X-Forwarded-Proto: http"), 421, source=TRUSTED),
    row("X-Forwarded-Proto and a whole address", "forwarded", get("/elsewhere", "X-Forwarded-Proto: http"), 301, source=TRUSTED, fields={"location": "https://new.example/base"}),

    fwd("for=203.0.113.7"), fwd("for=203.0.113.8", 403), fwd("for=203.0.113.7", 403, PLAIN), fwd("For=203.0.113.7"), fwd("FOR=203.0.113.7"), fwd("for=\"203.0.113.7\""), fwd("for=\"203.0.113.7:1234\""),
    fwd("for=\"[2001:db8::1]\""), fwd("for=\"[2001:db8::1]:1234\""), fwd("for=\"[2001:db9::1]\"", 403), fwd("for=203.0.113.7;proto=https;by=203.0.113.43"), fwd("proto=http;for=203.0.113.7"), fwd("by=203.0.113.43;for=203.0.113.7"),
    fwd("for=1.2.3.4, for=203.0.113.7"), fwd("for=203.0.113.7, for=1.2.3.4", 403), fwd("for=203.0.113.7, for=198.51.100.1"), fwd("for=203.0.113.7;host=a, for=198.51.100.1;proto=http"), fwd("for=203.0.113.7,for=198.51.100.1,for=127.77.0.1"),
    fwd("for=_hidden", 403), fwd("for=unknown", 403), fwd("for=203.0.113.7, for=unknown", 403), fwd("for=203.0.113.7, for=_x", 403), fwd("for=_x, for=203.0.113.7"), fwd("proto=https", 403), fwd("for=203.0.113.7;host=\"a,b;c\""),
    fwd("for=203.0.113.7;x=\"a\\\"b, for=1.2.3.4\""), fwd("host=\"x, for=203.0.113.7\"", 403), fwd(["for=203.0.113.7", "for=198.51.100.1"]), fwd(["for=203.0.113.7", "for=1.2.3.4"], 403), fwd(", for=203.0.113.7", (200, 400, 403)),
    fwd("for=203.0.113.7,", (200, 400, 403)), fwd("for = 203.0.113.7", (400, 403)), fwd("for=203.0.113.7 ; proto=http", (200, 400, 403)), fwd("for", (400, 403)), fwd("for=", (400, 403)), fwd("=203.0.113.7", (400, 403)), fwd("203.0.113.7", (400, 403)),
    fwd("for=2001:db8::1", (200, 400, 403)), fwd("for=\"2001:db8::1\"", (200, 400, 403)), fwd("for=[2001:db8::1]", (200, 400, 403)), fwd("for=\"203.0.113.7", (400, 403)), fwd("for=203.0.113.7\"", (400, 403)), fwd("for=203.0.113.7;for=1.2.3.4", (200, 400, 403)),
    fwd("for=203.0.113.7:1234", (200, 400, 403)), fwd("", 403), fwd("for=203.0.113.7;proto=https", 301, target="/scheme/a", fields={"location": "https://new.example/base/a"}),
    fwd("for=203.0.113.7;proto=https", 301, PLAIN, "/scheme/a", {"location": "http://new.example/base/a"}), fwd("proto=HTTPS;for=203.0.113.7", 301, target="/scheme/a", fields={"location": "https://new.example/base/a"}),
    fwd("proto=ftp;for=203.0.113.7", 301, target="/scheme/a", fields={"location": "http://new.example/base/a"}),
    row("X-Forwarded-For means nothing where Forwarded counts", "forwarded", get(C, "X-Forwarded-For: 203.0.113.7"), 403, source=TRUSTED, listener="forwarded"),
]
