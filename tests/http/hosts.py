"""Host and the target's forms: RFC 9112 3.2 and 3.3, RFC 9110 4.2 and 7.2, RFC 3986 3.2; virtual hosts."""

import re

from engine import get, row

A, B, DEEP, WILD, DEFAULT = b"a", b"b", b"deep", b"wild", 404


def at(host, wanted, name=None, rfc="9110 7.2"):
    status, body = (200, wanted) if isinstance(wanted, bytes) else (wanted, None)
    return row(name or "host %s" % host, rfc, get("/f", host=host), status, body=body)


ROWS = [
    # exactly one
    row("1.1 without Host", "9112 3.2", get("/probe.txt", host=None), 400),
    row("1.0 without Host", "9112 3.2", get("/probe.txt", host=None, version="HTTP/1.0"), 200, after="any"),
    row("1.2 without Host", "9112 3.2", get("/probe.txt", host=None, version="HTTP/1.2"), 400),
    row("two Host fields", "9112 3.2", get("/probe.txt", "Host: y"), 400),
    row("two equal Host fields", "9112 3.2", get("/probe.txt", "Host: x"), 400),
    row("two Host fields, one empty", "9112 3.2", get("/probe.txt", "Host:"), 400),
    row("two Host fields in another case", "9112 3.2", get("/probe.txt", "HOST: y"), 400),
    row("two Host fields in 1.0", "9112 3.2", get("/probe.txt", "Host: y", version="HTTP/1.0"), 400),
    row("two Host fields and an absolute target", "9112 3.2", get("http://a.example/f", "Host: b.example"), 400),
    row("two hosts in one field", "9112 3.2", get("/probe.txt", host="x, y"), 400),
    row("two hosts with a space", "9112 3.2", get("/probe.txt", host="x y"), 400),
    row("an empty Host", "9112 3.2", get("/probe.txt", host=""), (200, 400)),
    row("Host last of many fields", "9112 3.2", get("/probe.txt", *["A: b"] * 50, "Host: x", host=None), 200),
    row("an invalid Host in 1.0", "9112 3.2", get("/probe.txt", host="a b", version="HTTP/1.0"), 400),

    # virtual hosts
    at("a.example", A), at("A.EXAMPLE", A), at("a.Example", A), at("a.example:80", A), at("a.example:8080", A),
    at("a.example.", A, rfc="3986 3.2.2"), at("a.example.:80", A), at("a.example:", A, rfc="3986 3.2.3"),
    at("b.example", B), at("x.wild.example", B), at("x.y.wild.example", B), at("X.WILD.EXAMPLE:81", B),
    at("x.deep.wild.example", DEEP), at("y.x.deep.wild.example.", DEEP), at("deep.wild.example", B),
    at("only.wild.example", WILD), at("ONLY.wild.example.:1", WILD), at("x.only.wild.example", B),
    at("wild.example", DEFAULT), at("awild.example", DEFAULT), at("a.example.org", DEFAULT), at("xa.example", DEFAULT),
    at("example", DEFAULT), at("a", DEFAULT), at("127.0.0.1", DEFAULT), at("127.0.0.1:80", DEFAULT),
    at("[::1]", DEFAULT), at("[::1]:80", DEFAULT), at("[2001:db8::1]", DEFAULT), at("[::ffff:1.2.3.4]", DEFAULT),
    at("[2001:0db8:0000:0000:0000:0000:0000:0001]:65535", DEFAULT), at("localhost", DEFAULT),
    at("under_score.example", B, rfc="3986 3.2.2"), at("xn--bcher-kva.example", A), at("x-.example", DEFAULT),
    at("-x.example", DEFAULT), at("1.2.3.4.5", DEFAULT), at("a.example:0", (200, 400)),
    at("a.example:65535", A), at("a.example:00080", (200, 400)), at("~tilde", DEFAULT), at("a!b", (400, 404)),
    at("x" * 63 + ".example", DEFAULT), at("*.wild.example", (200, 400)), at("a.example..", (400, 404)),
    at(".a.example", (400, 404)), at("a..example", (400, 404)), at(".", (400, 404)),
    at("%61.example", (200, 400, 404), rfc="3986 3.2.2"), at("a%2eexample", (200, 400, 404), rfc="3986 3.2.2"),

    # what no host is
    *[row("Host %r is no host" % host, "9112 3.2", get("/probe.txt", host=host), 400) for host in (
        "a:b", "a.example:99999", "a.example:65536", "a.example:-1", "a.example:+80", "a.example:80a", "a.example: 80",
        "a.example:80:80", "a.example:80,81", "a.example :80", "::1", "[::1", "::1]", "[]", "[::1]x", "[::1]:x",
        "[::1]:99999", "[:::1]", "[::g]", "[1.2.3.4]", "[1:2:3:4:5:6:7:8:9]", "[::1::2]", "[12345::1]", "[::1%eth0]",
        "user@a.example", "user:pw@a.example", "a.example/", "a.example/x", "/", "a.example?x", "a.example#x", "?", "#",
        "http://a.example", "a\\b", "a|b", "a^b", "a`b", "a{b}", "a<b>", "a\"b\"", "a.example\t80", ":80", ":", "@",
        "a%", "a%2", "a%zz", "a%00b", "b\u00fccher.example", "\u00e9", "a b.example", "[::1]a.example",
        "a[::1]", "[a.example]", "\\", "%")],
    row("Host 'a,b' is a reg-name", "3986 3.2.2", get("/probe.txt", host="a,b"), (200, 400)),
    row("a Host of 5000 bytes", "9112 3.2", get("/probe.txt", host="a" * 5000), (200, 400, 431), after="any"),

    # forms of the target
    row("absolute form", "9112 3.2.2", get("http://x/probe.txt"), 200, body=b"probe\n"),
    row("absolute form in 1.0", "9112 3.2.2", get("http://x/probe.txt", version="HTTP/1.0"), 200, after="any"),
    row("absolute form without Host in 1.1", "9112 3.2", get("http://x/probe.txt", host=None), 400),
    row("absolute form with https, and no https", "9110 7.4", get("https://x/probe.txt"), 421),
    row("absolute form with https in capitals", "9110 7.4", get("HTTPS://x/probe.txt"), 421),
    row("OPTIONS of https without a path", "9110 7.4", get("https://x", method="OPTIONS"), 421),
    row("absolute form, scheme in capitals", "3986 3.1", get("HTTP://x/probe.txt"), 200),
    row("absolute form: its host counts", "9112 3.2.2", get("http://b.example/f", host="a.example"), 200, body=B),
    row("absolute form: its host counts in capitals", "9112 3.2.2", get("http://B.Example/f", host="a.example"), 200, body=B),
    row("absolute form: its port is no part of the host", "9112 3.2.2", get("http://b.example:81/f"), 200, body=B),
    row("absolute form with an empty port", "3986 3.2.3", get("http://b.example:/f"), 200, body=B),
    row("absolute form with an invalid Host beside it", "9112 3.2", get("http://b.example/f", host="a b"), 400),
    row("absolute form without a path", "9110 4.2.3", get("http://x"), 200, body=b"<p>hello\n"),
    row("absolute form without a path, with a query", "9110 4.2.3", get("http://x?a=b"), 200, body=b"<p>hello\n"),
    row("absolute form with the root", "9112 3.2.2", get("http://x/"), 200, body=b"<p>hello\n"),
    row("absolute form with a query", "9112 3.2.2", get("http://x/probe.txt?a=/b"), 200, body=b"probe\n"),
    row("absolute form with userinfo", "9110 4.2.4", get("http://user@x/probe.txt"), 400),
    row("absolute form with user and password", "9110 4.2.4", get("http://user:pw@x/probe.txt"), 400),
    row("absolute form with an empty host", "9110 4.2.1", get("http:///probe.txt"), 400),
    row("absolute form with a port alone", "9110 4.2.1", get("http://:80/probe.txt"), 400),
    row("absolute form with a bad port", "3986 3.2.3", get("http://x:y/probe.txt"), 400),
    row("absolute form with a port out of range", "3986 3.2.3", get("http://x:65536/probe.txt"), 400),
    row("absolute form with IPv6", "3986 3.2.2", get("http://[::1]:80/probe.txt"), 200),
    row("absolute form with broken IPv6", "3986 3.2.2", get("http://[::1/probe.txt"), 400),
    row("absolute form with a space in the host", "9112 3.2", get("http://a b/probe.txt"), 400),
    row("absolute form with a backslash", "3986 3.2", get("http:\\\\x\\probe.txt"), 400),
    row("absolute form with a backslash in the host", "3986 3.2.2", get("http://x\\@y/probe.txt"), 400),
    row("absolute form with one slash", "9110 4.2.1", get("http:/probe.txt"), 400),
    row("absolute form without slashes", "9110 4.2.1", get("http:probe.txt"), 400),
    row("absolute form with an unknown scheme", "9112 3.2.2", get("ftp://x/probe.txt"), 400),
    row("absolute form with a scheme of dots", "3986 3.1", get("ht.tp://x/probe.txt"), 400),
    row("absolute form with a fragment", "9112 3.2", get("http://x/probe.txt#a"), 400),
    row("absolute form with a control in the host", "3986 3.2.2", get("http://x\x01/probe.txt"), 400),
    row("absolute form of a directory", "9112 3.2.2", get("http://x/dir"), (301, 308), fields={"location": re.compile(r"(http://x)?/dir/")}),
    row("absolute form with two slashes in the path", "3986 3.3", get("http://x//probe.txt"), (200, 301, 308, 404)),
    row("asterisk with GET", "9112 3.2.4", get("*"), 400),
    row("asterisk with HEAD", "9112 3.2.4", get("*", method="HEAD"), 400),
    row("asterisk with OPTIONS", "9112 3.2.4", get("*", method="OPTIONS"), (200, 204), fields={"allow": True}, body=b""),
    row("asterisk with OPTIONS in 1.0", "9112 3.2.4", get("*", method="OPTIONS", version="HTTP/1.0"), (200, 204), after="any"),
    row("asterisk and more", "9112 3.2.4", get("*/", method="OPTIONS"), 400),
    row("two asterisks", "9112 3.2.4", get("**", method="OPTIONS"), 400),
    row("asterisk with a query", "9112 3.2.4", get("*?a", method="OPTIONS"), 400),
    row("absolute form without a path with OPTIONS is the asterisk", "9112 3.2.4", get("http://x", method="OPTIONS"),
        (200, 204), fields={"allow": True}),
    row("authority form with GET", "9112 3.2.3", get("x:80"), 400),
    row("authority form with CONNECT", "9110 9.3.6", get("x:443", method="CONNECT"), (400, 405, 501), after="any"),
    row("origin form with CONNECT", "9112 3.2.3", get("/", method="CONNECT"), (400, 405, 501), after="any"),
    row("CONNECT without a port", "9112 3.2.3", get("x", method="CONNECT"), (400, 405, 501), after="any"),
    row("a target without a slash", "9112 3.2.1", get("probe.txt"), 400),
    row("a query as the target", "9112 3.2.1", get("?a"), 400),
    row("a fragment in the target", "9112 3.2.1", get("/probe.txt#frag"), 400),
    row("a fragment alone", "9112 3.2.1", get("#frag"), 400),
    row("a fragment in the query", "9112 3.2.1", get("/probe.txt?a#frag"), 400),
    row("a target that begins with two slashes", "9112 3.2.1", get("//probe.txt"), (200, 301, 308, 400, 404), after="any"),
    row("a target that names a host behind two slashes", "9112 3.2.1", get("//evil.example/dir"), (301, 308, 400, 404), after="any"),
    row("a dot as the target", "9112 3.2.1", get("."), 400),
    row("a target with a backslash in front", "9112 3.2.1", get("\\probe.txt"), 400),
]
for text in ("javascript:alert(1)", "data:text/plain,x", "mailto:a@b", "file:///etc/passwd", "urn:x:y"):
    ROWS.append(row("target %s" % text, "9112 3.2.2", get(text), 400))
