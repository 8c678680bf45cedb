"""Methods: RFC 9110 9 and 10.2.1, 15.5.6, 15.6.2; HEAD is GET without the content."""

from engine import case, get, row

P = "/probe.txt"
GET_HEAD = {"allow": lambda value: value is not None and {"GET", "HEAD"} <= {word.strip() for word in value.split(",")}}

ROWS = [
    row("GET", "9110 9.3.1", get(P), 200, body=b"probe\n"),
    row("HEAD", "9110 9.3.2", get(P, method="HEAD"), 200, fields={"content-length": "6"}),
    *[row("%s of a file" % method, "9110 15.5.6", get(P, method=method), 405, fields=GET_HEAD)
      for method in ("POST", "PUT", "DELETE", "PATCH")],
    *[row("%s of a directory" % method, "9110 15.5.6", get("/dir/", method=method), 405, fields=GET_HEAD)
      for method in ("POST", "PUT", "DELETE", "PATCH")],
    *[row("%s of nothing" % method, "9110 15.5.5", get("/nothing-there", method=method), (404, 405))
      for method in ("POST", "PUT", "DELETE", "PATCH")],
    *[row("%s, registered elsewhere" % method, "9110 16.1.1", get(P, method=method), (405, 501), after="any") for method in (
        "PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "REPORT", "SEARCH", "LINK", "UNLINK", "QUERY", "MKCALENDAR")],
    *[row("unknown method %s" % method, "9110 15.6.2", get(P, method=method), 501) for method in (
        "FOO", "GETT", "GE", "GETS", "HEADS", "get", "Get", "gEt", "head", "Post", "post", "options", "X", "FOO-BAR", "F.O", "1", "G3T",
        "POSTX", "OPTION", "TRAC", "PUTS", "PATC", "-", "~", "XYZZY" * 4)],
    row("a method of 1000 letters", "9110 9.1", get(P, method="A" * 1000), (400, 414, 501), after="any"),
    row("a method of 20000 letters", "9112 3", get(P, method="A" * 20000), (400, 414, 501), after="any"),
    row("TRACE", "9110 9.3.8", get(P, "X-Secret: abc", method="TRACE"), (405, 501),
        check=lambda answer: "echoed" if b"abc" in answer.body else None),
    row("TRACE of *", "9110 9.3.8", get("*", method="TRACE"), (400, 405, 501), after="any"),
    row("trace in lower case", "9110 9.3.8", get(P, "X-Secret: abc", method="trace"), 501,
        check=lambda answer: "echoed" if b"abc" in answer.body else None),
    row("TRACK", "9110 9.3.8", get(P, "X-Secret: abc", method="TRACK"), 501, check=lambda answer: "echoed" if b"abc" in answer.body else None),
    row("OPTIONS of a file", "9110 9.3.7", get(P, method="OPTIONS"), (200, 204), fields=GET_HEAD, body=b""),
    row("OPTIONS of a directory", "9110 9.3.7", get("/dir/", method="OPTIONS"), (200, 204), fields=GET_HEAD, body=b""),
    row("OPTIONS of the root", "9110 9.3.7", get("/", method="OPTIONS"), (200, 204), fields=GET_HEAD, body=b""),
    row("OPTIONS of *", "9110 9.3.7", get("*", method="OPTIONS"), (200, 204), fields=GET_HEAD, body=b""),
    row("OPTIONS says that it is allowed itself", "9110 9.3.7", get(P, method="OPTIONS"), (200, 204),
        fields={"allow": lambda value: "OPTIONS" in value}),
    row("OPTIONS of nothing", "9110 9.3.7", get("/nothing-there", method="OPTIONS"), (200, 204, 404)),
    row("OPTIONS of a fixed answer", "9110 9.3.7", get("/only", method="OPTIONS"), (200, 204), fields={"allow": True}),
    row("OPTIONS of a redirect", "9110 9.3.7", get("/rest", method="OPTIONS"), (200, 204, 301)),
    row("OPTIONS of the counters", "9110 9.3.7", get("/status", method="OPTIONS"), (200, 204), fields={"allow": True}),
    row("TRACE with Max-Forwards: 0", "9110 7.6.2", get(P, "Max-Forwards: 0", "Cookie: secret", method="TRACE"), (405, 501), body=lambda body: b"secret" not in body),
    row("OPTIONS with a query", "9110 9.3.7", get(P + "?a", method="OPTIONS"), (200, 204), fields=GET_HEAD),
    row("OPTIONS with Origin", "9110 9.3.7", get(P, "Origin: http://evil.example", "Access-Control-Request-Method: PUT", method="OPTIONS"), (200, 204),
        fields={"access-control-allow-origin": None}),
    row("OPTIONS with Max-Forwards", "9110 7.6.2", get("*", "Max-Forwards: 0", method="OPTIONS"), (200, 204)),
    row("OPTIONS has no content", "9110 9.3.7", get(P, method="OPTIONS"), (200, 204),
        check=lambda answer: None if answer.status == 204 or answer.get("content-length") == "0" else "200 without Content-Length: 0"),
    row("OPTIONS with HTTP/1.0", "9110 9.3.7", get(P, method="OPTIONS", version="HTTP/1.0"), (200, 204), after="any"),
    row("POST to the counters", "9110 15.5.6", get("/status", method="POST"), 405, fields=GET_HEAD),
    row("DELETE of the health check", "9110 15.5.6", get("/health", method="DELETE"), 405, fields=GET_HEAD),
    row("POST to a listing", "9110 15.5.6", get("/listed/", method="POST"), 405, fields=GET_HEAD),
    row("DELETE of a fixed answer", "9110 15.5.6", get("/only", method="DELETE"), (200, 405)),
    row("CONNECT", "9110 9.3.6", get("x.example:443", method="CONNECT"), (400, 405, 501), after="any"),
    row("CONNECT to an IPv6 address", "9110 9.3.6", get("[::1]:443", method="CONNECT"), (400, 405, 501), after="any"),
    row("CONNECT with an absolute target", "9110 9.3.6", get("http://x/", method="CONNECT"), (400, 405, 501), after="any"),
    row("a PUT with ranges", "9110 14.5", get(P, "Content-Range: bytes 0-4/6", "Content-Length: 5", method="PUT", body=b"hello"), (400, 405),
        after="any"),
    row("X-HTTP-Method-Override means nothing", "9110 9.1", get(P, "X-HTTP-Method-Override: DELETE"), 200, body=b"probe\n"),
]

# An error's answer to HEAD has no content either, as far as the method can be known (9110 9.3.2).
ROWS += [row("HEAD and an error: " + name, "9110 9.3.2", data, status, body=b"") for name, status, data in (
    ("no Host", 400, get("/", host=None, method="HEAD")), ("a bad field", 400, get("/", "A B: c", method="HEAD")), ("a bare LF", 400, b"HEAD / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n"),
    ("a bad escape", 400, get("/%zz", method="HEAD")), ("a long target", 414, get("/" + "x" * 10000, method="HEAD")), ("a long field", 431, get("/", "A: " + "x" * 70000, method="HEAD")),
    ("many fields", 431, get("/", *["A: b"] * 200, method="HEAD")), ("another version", 505, get("/", method="HEAD", version="HTTP/2.0")), ("an expectation", 417, get("/", "Expect: x", method="HEAD")),
    ("both lengths", 400, get("/", "Content-Length: 5", "Transfer-Encoding: chunked", method="HEAD", body=b"0\r\n\r\n")), ("a coding", 501, get("/", "Transfer-Encoding: x", method="HEAD")),
    ("a bad chunk", 400, get("/", "Transfer-Encoding: chunked", method="HEAD", body=b"x\r\n\r\n")), ("too large a body", 413, get("/", "Content-Length: 1000000000", method="HEAD")),
    ("a control in the target", 400, b"HEAD /\x01 HTTP/1.1\r\nHost: x\r\n\r\n"), ("no version", 400, b"HEAD /\r\n\r\n"), ("a version that is none", 400, get("/", method="HEAD", version="HTTP/1.1 x")),
    ("https without it", 421, get("https://x/", method="HEAD")), ("not allowed", 403, get("/inner/f.txt", method="HEAD")), ("no file", 404, get("/nothing-there", method="HEAD")),
    ("not acceptable", 406, get("/neg/all.txt", "Accept-Encoding: *;q=0", method="HEAD")), ("no credentials", 401, get("/friends/f.txt", method="HEAD")))]

PER_ANSWER = ("date", "keep-alive", "age")

# (target, fields): GET and HEAD of each must have the same fields
TWINS = [
    ("/", ()), (P, ()), ("/empty.txt", ()), ("/big.bin", ()), ("/dir/", ()), ("/dir", ()), ("/nothing-there", ()), ("/noindex/", ()),
    ("/.hidden", ()), ("/secret.txt", ()), ("/link-out.txt", ()), ("/fifo", ()), ("/a%20b.txt", ()), ("/a.txt/", ()), ("/%00", ()),
    ("/neg/all.txt", ()), ("/neg/all.txt", ("Accept-Encoding: gzip",)), ("/neg/all.txt", ("Accept-Encoding: br;q=0.5, gzip",)),
    ("/neg/all.txt", ("Accept-Encoding: *;q=0",)), ("/neg/none.txt", ("Accept-Encoding: gzip",)),
    (P, ("If-None-Match: *",)), (P, ('If-Match: "x"',)), (P, ("If-Modified-Since: Sun, 13 Sep 2020 12:26:40 GMT",)),
    (P, ("If-Unmodified-Since: Sun, 13 Sep 2010 12:26:40 GMT",)), ("/neg/all.txt", ("If-None-Match: *", "Accept-Encoding: gzip")),
    ("/only", ()), ("/only/deeper", ()), ("/teapot", ()), ("/nocontent", ()), ("/json", ()), ("/rest/x", ()), ("/norest", ()), ("/elsewhere/x?y", ()),
    ("/inner/f.txt", ()), ("/friends/f.txt", ()), ("/friends/f.txt", ("Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",)),
    ("/friends/f.txt", ("Authorization: Basic eDp5",)), ("/set/f.txt", ()), ("/cached/a.html", ()), ("/bytype/a.png", ()),
    ("/listed/", ()), ("/listed/", ("Accept: application/json",)), ("/listed/?sort=size&order=desc", ()), ("/health", ()), ("/spa/what/ever", ()),
    ("/types/a.html", ()), ("/types/a.svg", ()), ("/young.txt", ()), (P, ("Expect: foo",)), ("/dots/.visible", ()), ("/nolinks/link-in.txt", ()),
]


def twin(target, fields):
    def run(lab):
        answers = [lab.ask(get(target, *fields, "Connection: close", method=method)) for method in ("GET", "HEAD")]
        assert answers[0].status == answers[1].status, "GET is %d, HEAD %d" % (answers[0].status, answers[1].status)
        views = [sorted((name, value) for name, value in answer.fields if name not in PER_ANSWER) for answer in answers]
        chunked = answers[0].chunked  # HEAD may leave out what only the framing of content needs (9110 9.3.2)
        if chunked:
            views = [[pair for pair in view if pair[0] not in ("transfer-encoding", "content-length")] for view in views]
        assert views[0] == views[1], "GET %r, HEAD %r" % (sorted(set(views[0]) - set(views[1])), sorted(set(views[1]) - set(views[0])))
    return run


for target, fields in TWINS:
    case(ROWS, "HEAD is GET: %s %s" % (target, " ".join(fields)), "9110 9.3.2")(twin(target, fields))
