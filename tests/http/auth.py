"""Basic authentication: RFC 7617, RFC 9110 11."""

import base64
import os
import re

from engine import case, get, row
from lab import DENIED, PASSWORDS, USERS, hashed

F = "/friends/f.txt"
BODY = b"for friends\n"
CHALLENGE = {"www-authenticate": re.compile(r'Basic realm="friends", ?charset="UTF-8"')}


def basic(user, password, scheme="Basic"):
    pair = "%s:%s" % (user, password)
    return "Authorization: %s %s" % (scheme, base64.b64encode(pair.encode()).decode())


def raw(data, name=None, status=401):
    """These bytes as credentials."""
    return row(name or "credentials %r" % data, "7617 2", get(F, "Authorization: Basic " + base64.b64encode(data).decode()), status)


GOOD = basic("Aladdin", "open sesame")

ROWS = [
    row("no credentials", "9110 15.5.2", get(F), 401, fields=CHALLENGE, body=lambda body: BODY not in body),
    row("no credentials with HEAD", "9110 15.5.2", get(F, method="HEAD"), 401, fields=CHALLENGE),
    row("no credentials, and nothing there", "9110 15.5.2", get("/friends/nothing-there"), 401), row("no credentials with POST", "9110 15.5.2", get(F, method="POST"), 401),
    row("no credentials and a condition", "9110 13.2.1", get(F, "If-None-Match: *"), 401), row("no credentials and a range", "9110 14.2", get(F, "Range: bytes=0-1"), 401),
    row("no credentials for a directory", "9110 15.5.2", get("/friends/"), 401), row("no credentials behind dots", "9110 15.5.2", get("/x/../friends/f.txt"), 401),
    row("no credentials, encoded path", "9110 15.5.2", get("/%66riends/f.txt"), 401), row("no credentials in absolute form", "9110 15.5.2", get("http://x" + F), 401),
    row("no credentials in 1.0", "9110 15.5.2", get(F, version="HTTP/1.0"), 401, after="any"),
    *[row("the password of %s (%s)" % (user, USERS[user][:3]), "7617 2", get(F, basic(user, PASSWORDS[user])), 200, body=BODY) for user in USERS],
    *[row("a wrong password of %s" % user, "7617 2", get(F, basic(user, PASSWORDS[user] + "x")), 401, fields=CHALLENGE) for user in USERS],
    *[row("another's password for %s" % user, "7617 2", get(F, basic(user, "no password of anybody")), 401) for user in USERS],
    row("an unknown user", "7617 2", get(F, basic("nobody", "x")), 401, fields=CHALLENGE), row("a user in other case", "7617 2", get(F, basic("aladdin", "open sesame")), 401),
    row("an empty user", "7617 2", get(F, basic("", "open sesame")), 401), row("an empty password", "7617 2", get(F, basic("Aladdin", "")), 401),
    row("a prefix of the password", "7617 2", get(F, basic("Aladdin", "open sesam")), 401), row("a prefix of the user", "7617 2", get(F, basic("Aladdi", "open sesame")), 401),
    row("the scheme in lower case", "9110 11.1", get(F, basic("Aladdin", "open sesame", "basic")), 200), row("the scheme in capitals", "9110 11.1", get(F, basic("Aladdin", "open sesame", "BASIC")), 200),
    row("two spaces behind the scheme", "9110 11.4", get(F, basic("Aladdin", "open sesame", "Basic ")), (200, 400, 401)),
    row("another scheme", "9110 11.1", get(F, basic("Aladdin", "open sesame", "Bearer")), 401, fields=CHALLENGE), row("Digest", "9110 11.1", get(F, 'Authorization: Digest username="Aladdin"'), 401),
    row("a longer scheme", "9110 11.1", get(F, basic("Aladdin", "open sesame", "Basicx")), 401), row("the scheme alone", "9110 11.4", get(F, "Authorization: Basic"), (400, 401)),
    row("an empty field", "9110 11.4", get(F, "Authorization:"), (400, 401)), row("no scheme", "9110 11.4", get(F, "Authorization: QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), (400, 401)),
    *[row("no base64: %s" % text, "7617 2", get(F, "Authorization: Basic " + text), (400, 401), after="any") for text in (
        "QWxhZGRpbjpvcGVuIHNlc2FtZQ=", "QWxhZGRpbjpvcGVuIHNlc2FtZQ===", "QWxhZGRpbjpvcGVuIHNlc2Ft ZQ==", "QWxhZGRpbjpvcGVuIHNlc2FtZQ==x", "!", "=", "====", "QWxhZGRpb", "\xff",
        "QWxhZGRpbjpvcGVuIHNlc2FtZQ==, x", "Aladdin:open sesame")],
    row("base64 without its padding", "7617 2", get(F, "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ"), (200, 400, 401), after="any"),
    raw(b"Aladdin", status=(400, 401)), raw(b":"), raw(b"Aladdin:"), raw(b":open sesame"), raw(b"Aladdin:open sesame\0", status=(400, 401)), raw(b"Aladdin\0:open sesame", status=(400, 401)),
    raw(b"Aladdin:open sesame\n", status=(400, 401)), raw(b"Aladdin:open\0sesame", status=(400, 401)), raw(b"\xff\xfe:\xff", status=(400, 401)), raw(b"Aladdin::open sesame"),
    raw(b"x" * 300 + b":" + b"y" * 300, "long credentials", (400, 401)), raw(b"Aladdin:" + b"y" * 5000, "a password of 5000 bytes", (400, 401)),
    raw(b"Aladdin:open sesame" + b"\0" * 100, "NULs behind the password", (400, 401)),
    row("two Authorization fields", "9110 5.3", get(F, GOOD, basic("x", "y")), (200, 400, 401), after="any"),
    row("Proxy-Authorization is another field", "9110 11.7.2", get(F, GOOD.replace("Authorization", "Proxy-Authorization")), 401),
    row("credentials in the target", "9110 4.2.4", get("http://Aladdin:open%20sesame@x" + F), 400),
    row("credentials and what is not there", "9110 15.5.5", get("/friends/nothing-there", GOOD), 404), row("credentials and HEAD", "9110 9.3.2", get(F, GOOD, method="HEAD"), 200),
    row("credentials and POST", "9110 15.5.6", get(F, GOOD, method="POST"), 405), row("credentials and a range", "9110 14.2", get(F, GOOD, "Range: bytes=0-2"), 206, body=b"for"),
    row("credentials and a condition", "9110 13.1.2", get(F, GOOD, "If-None-Match: *"), 304), row("credentials where none are needed", "9110 11.6.2", get("/probe.txt", basic("x", "y")), 200),
    row("credentials and a body", "9112 6.3", get(F, GOOD, "Content-Length: 5", body=b"hello"), 200, body=BODY),
    row("no credentials and a body", "9112 6.3", get(F, "Content-Length: 5", body=b"hello"), 401, after="any"),
    row("deny comes before authentication", "auth", get("/localfriends/f.txt"), 403, source=DENIED, fields={"www-authenticate": None}),
    row("deny holds with credentials", "auth", get("/localfriends/f.txt", GOOD), 403, source=DENIED), row("authentication behind deny", "auth", get("/localfriends/f.txt"), 401),
    row("a site's authentication", "auth", get("/f.txt", host="guarded.example"), 401, fields={"www-authenticate": re.compile(r'Basic realm="the \\"site\\"", ?charset="UTF-8"')}),
    row("a site's authentication with credentials", "auth", get("/f.txt", GOOD, host="guarded.example"), 200, body=BODY),
    row("a site's authentication holds for all its routes", "auth", get("/health", host="guarded.example"), 401),
    row("pipelined: without, with, with a wrong one", "9112 9.3.2", get(F) + get(F, GOOD) + get(F, basic("Aladdin", "no")) + get(F, GOOD), 401,
        then=[(200, BODY), 401, (200, BODY)]),
    row("pipelined: 30 with the same credentials", "9112 9.3.2", get(F, GOOD) * 30, 200, then=[(200, BODY)] * 29),
    row("pipelined: other things in between", "9112 9.3.2", get(F, GOOD) + get("/probe.txt") + get(F) + get("/ten.txt"), 200, then=[(200, b"probe\n"), 401, (200, b"0123456789")]),
    row("half-close behind credentials", "9112 9.6", get(F, GOOD), 200, half_close=True, after="any", body=BODY),
]


@case(ROWS, "a password that changes in the file", "auth")
def _(lab):
    def write(password):
        path = os.path.join(lab.server.dir, "rotating")
        with open(path + ".new", "w", encoding="utf-8") as file:
            file.write("# who may\nuser:%s\n" % hashed(password, "$6$rounds=1000$drover$"))
        os.chmod(path + ".new", 0o644)
        os.rename(path + ".new", path)

    import threading
    for old, new in (("one", "two"), ("two", "three")):
        write(old)
        threading.Event().wait(0.011)
        assert lab.ask(get("/rotating/f.txt", basic("user", old))).status == 200
        assert lab.ask(get("/rotating/f.txt", basic("user", old))).status == 200
        write(new)
        threading.Event().wait(0.011)
        assert lab.ask(get("/rotating/f.txt", basic("user", old))).status == 401, "the old password still holds"
        assert lab.ask(get("/rotating/f.txt", basic("user", new))).status == 200
    os.rename(os.path.join(lab.server.dir, "rotating"), os.path.join(lab.server.dir, "away"))
    threading.Event().wait(0.011)
    status = lab.ask(get("/rotating/f.txt", basic("user", "three"))).status
    os.rename(os.path.join(lab.server.dir, "away"), os.path.join(lab.server.dir, "rotating"))
    assert status in (401, 500, 503), status
