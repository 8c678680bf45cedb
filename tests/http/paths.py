"""From the target to the file: RFC 3986 2.1, 3.3, 3.4 and 6.2, RFC 9110 4.2.3, 8.3; symlinks, dotfiles, types, index files."""

import re

from engine import case, get, row
from lab import FILES

NOT_FOUND, REFUSED, GONE = 404, (400, 404), (403, 404)
SECRET = re.compile(rb"secret|root:|hidden")


def ok(target, body, rfc="3986 2.1", name=None, **more):
    return row(name or "%s" % target, rfc, get(target), 200, body=body if isinstance(body, bytes) else None, **more)


def no(target, status=NOT_FOUND, rfc="3986 3.3", name=None, after=None):
    """Not a file: and nothing of one is in the answer."""
    return row(name or "%s is not served" % target, rfc, get(target), status, after=after or ("open" if status == 404 else "any"),
               check=lambda answer: "a secret: %r" % answer.body if SECRET.search(answer.body) else None)


def redirect(target, location, rfc="9110 15.4", name=None, host="x", **more):
    """To a directory's name with its slash: a path of this host."""
    return row(name or "%s gets its slash" % target, rfc, get(target, host=host, **more), (301, 308), fields={"location": location})


ROWS = [
    ok("/probe.txt", b"probe\n"), ok("/", b"<p>hello\n"), ok("/index.html", b"<p>hello\n"), ok("/dir/", b"<p>dir\n"), ok("/dir/index.html", b"<p>dir\n"),
    ok("/dir/sub/", b"<p>sub\n"), ok("/empty.txt", b""), no("/nothing-there"), no("/noindex/", GONE), no("/dir/nothing"), no("/nothing/there/at/all"),
    no("/probe.txt/"), no("/probe.txt/x"), no("/probe.txt/../probe.txt", (200, 404)), no("/PROBE.TXT"), no("/Probe.txt"),

    # percent-encoding: once
    ok("/a%20b.txt", b"space\n"), ok("/%70robe.txt", b"probe\n"), ok("/%70%72%6f%62%65%2e%74%78%74", b"probe\n"), ok("/probe%2Etxt", b"probe\n"),
    ok("/%C3%BC.txt", b"umlaut\n"), ok("/%c3%bc.txt", b"umlaut\n"), ok("/%E6%97%A5%E6%9C%AC/f.txt", b"nihon\n"), ok("/100%25.txt", b"percent\n"),
    ok("/plus+.txt", b"plus\n"), ok("/plus%2B.txt", b"plus\n"), ok("/semi;colon.txt", b"semicolon\n"), ok("/semi%3Bcolon.txt", b"semicolon\n"),
    ok("/q%3F.txt", b"question\n"), ok("/hash%23.txt", b"hash\n"), ok("/%5Bb%5D.txt", b"brackets\n"), ok("/co:lon.txt", b"colon\n"),
    ok("/co%3Alon.txt", b"colon\n"), ok("/a&b='c'.txt", b"amp\n"), ok("/tilde~-_.txt", b"unreserved\n"), ok("/tilde%7e-_.txt", b"unreserved\n"),
    ok("/$!*(),@.txt", b"subdelims\n"), ok("/%24%21%2a%28%29%2c%40.txt", b"subdelims\n"), ok("/%252e.txt", b"literal escape\n"),
    no("/probe%2etxt%20"), no("/a+b.txt"), no("/%2570robe.txt", name="nothing is decoded twice"), no("/%25%37%30robe.txt"), no("/%2e.txt"),
    no("/dir%2e/f.txt"),
    *[no(target, 400, "3986 2.1", after="any") for target in (
        "/%", "/%2", "/%zz", "/%2g", "/%g2", "/probe.txt%", "/probe%2.txt", "/%%", "/%%32%65", "/a%2", "/% 2", "/%-1", "/%+1", "/%0x", "/%u0041", "/%x41",
        "/dir/%", "/%;", "/probe.txt%2")],
    *[no(target, REFUSED, "3986 2.1") for target in (
        "/%00", "/probe.txt%00", "/probe.txt%00.html", "/%00/probe.txt", "/dir/%00f.txt", "/..%00/", "/probe%00.txt")],
    *[no(target, REFUSED, "3986 2.2") for target in (
        "/dir%2ff.txt", "/dir%2Ff.txt", "/dir%2f", "/%2fprobe.txt", "/%2f", "/dir%2f..%2fprobe.txt", "/..%2f..%2fetc%2fpasswd", "/%2f%2fevil", "/dir/%2f")],
    row("an escaped backslash is a character of a name or refused", "3986 2.1", get("/back%5Cslash.txt"), (200, 400, 404)),
    *[no(target, REFUSED, "3986 3.3") for target in (
        "/dir%5cf.txt", "/..%5c..%5cetc%5cpasswd", "/%5c..%5c", "/dir\\f.txt", "/..\\outside\\secret.txt", "/\\..\\..", "/dir/..\\..\\")],
    *[no(target, REFUSED, "3629 3", name="overlong or broken UTF-8: %s" % target) for target in (
        "/%c0%ae%c0%ae/outside/secret.txt", "/%c0%af", "/..%c0%afetc", "/%e0%80%ae", "/%c1%9c", "/%f0%80%80%ae", "/%ff", "/%fe", "/%80", "/%c3", "/%c3.txt",
        "/%ed%a0%80", "/%f5%80%80%80", "/%c0%80", "/%uff0e", "/..%ef%bc%8foutside", "/%ef%bc%8e%ef%bc%8e/outside/secret.txt", "/%e2%80%a5/")],
    *[no(target, REFUSED, "3986 2.1", name="an escaped control: %s" % target) for target in (
        "/%01", "/%0a", "/%0d%0aX:y", "/%7f", "/%1b", "/probe.txt%0a", "/%09", "/dir%0d%0aSet-Cookie:%20a=b")],
    *[row("raw %r in a path is refused or a name" % letter, "3986 3.3", get("/a%sb" % letter), REFUSED) for letter in "\"<>^`{}\\"],
    *[row("raw %r in a path is a name, as browsers send it" % letter, "WHATWG URL 1.3", get("/none%s" % letter), 404) for letter in "[]|"],
    row("a name in brackets", "WHATWG URL 1.3", get("/[b].txt"), 200, body=b"brackets\n"),
    *[row("raw %r in a query is left as it is" % letter, "3986 3.4", get("/probe.txt?a%sb" % letter), 200, body=b"probe\n") for letter in "[]{}|^`~!$&'()*+,;=:@/?"],
    row("a raw backslash in a query", "3986 3.4", get("/probe.txt?a\\b"), (200, 400)),
    *[row("raw %r in a query is left or refused" % letter, "3986 3.4", get("/probe.txt?a%sb" % letter), (200, 400)) for letter in "\"<>"],
    row("UTF-8 that is not encoded, in a path", "3986 2.1", b"GET /\xc3\xbc.txt HTTP/1.1\r\nHost: x\r\n\r\n", (200, 400, 404)),
    row("UTF-8 that is not encoded, in a query", "3986 3.4", b"GET /probe.txt?\xc3\xbc HTTP/1.1\r\nHost: x\r\n\r\n", (200, 400)),
    ok("/probe.txt?", b"probe\n", "3986 3.4"), ok("/probe.txt?a=b&c=d", b"probe\n", "3986 3.4"), ok("/probe.txt??", b"probe\n", "3986 3.4"),
    ok("/probe.txt?/../../etc/passwd", b"probe\n", "3986 3.4"), ok("/?x", b"<p>hello\n", "3986 3.4"), ok("/probe.txt?%zz", b"probe\n", "3986 3.4"),
    ok("/probe.txt?%", b"probe\n", "3986 3.4"), ok("/probe.txt?%00", b"probe\n", "3986 3.4"), ok("/probe.txt?a#b".replace("#", "%23"), b"probe\n", "3986 3.4"),
    no("/probe.txt%3fx", name="an escaped question mark begins no query"), no("/probe.txt%23x"), no("/?/probe.txt", (200,), name="a query is no path"),

    # dot segments
    ok("/./probe.txt", b"probe\n", "3986 5.2.4"), ok("/dir/../probe.txt", b"probe\n", "3986 5.2.4"), ok("/dir/sub/../../probe.txt", b"probe\n", "3986 5.2.4"),
    ok("/dir/./f.txt", b"dir/f\n", "3986 5.2.4"), ok("/dir/sub/../f.txt", b"dir/f\n", "3986 5.2.4"), ok("/dir/sub/..", b"<p>dir\n", "3986 5.2.4"),
    ok("/dir/.", b"<p>dir\n", "3986 5.2.4"), ok("/dir/./", b"<p>dir\n", "3986 5.2.4"), ok("/dir/..", b"<p>hello\n", "3986 5.2.4"),
    ok("/dir/../", b"<p>hello\n", "3986 5.2.4"), ok("/dir/%2e%2e/probe.txt", b"probe\n", "3986 6.2.2"), ok("/dir/.%2e/probe.txt", b"probe\n", "3986 6.2.2"),
    ok("/dir/%2E./probe.txt", b"probe\n", "3986 6.2.2"), ok("/%2e/probe.txt", b"probe\n", "3986 6.2.2"), ok("/.", b"<p>hello\n", "3986 5.2.4"),
    row("a dot segment that leads above the root is ignored or refused", "3986 5.2.4", get("/../probe.txt"), (200, 400, 404)),
    *[no(target, (400, 403, 404), "3986 5.2.4") for target in (
        "/../outside/secret.txt", "/../../../../../../etc/passwd", "/dir/../../outside/secret.txt", "/%2e%2e/outside/secret.txt", "/..%2foutside/secret.txt",
        "/dir/..%2f..%2foutside/secret.txt", "/.%2e/.%2e/etc/passwd", "/./../outside/secret.txt", "//../outside/secret.txt", "/dir//../../outside/secret.txt",
        "/..;/outside/secret.txt", "/..;x=y/outside/secret.txt", "/dir/..;/..;/outside/secret.txt", "/%252e%252e/outside/secret.txt",
        "/dir/%2e%2e/%2e%2e/outside/secret.txt", "/" + "../" * 100 + "etc/passwd", "/" + "x/../" * 100 + "../outside/secret.txt", "/.../outside/secret.txt",
        "/. ./outside/secret.txt".replace(" ", "%20"), "/..%00/outside/secret.txt", "/..%20/outside/secret.txt", "/..%09/outside/secret.txt")],
    row("three dots are a name of a hidden file", "3986 3.3", get("/..."), GONE), row("a name that begins with two dots is hidden", "3986 3.3", get("/..a"), GONE),
    row("a slash twice", "3986 3.3", get("/dir//f.txt"), (200, 301, 308, 404)), row("a slash three times in front", "3986 3.3", get("///probe.txt"), (200, 301, 308, 400, 404)),
    row("a long path of slashes", "3986 3.3", get("/" * 2000), (200, 301, 308, 400, 404), after="any"),

    # directories
    redirect("/dir", "/dir/"), redirect("/dir/sub", "/dir/sub/"), redirect("/dir?a=b&c", "/dir/?a=b&c"),
    row("a directory without an index gets its slash or nothing", "9110 15.4", get("/noindex"), (301, 308, 403, 404)),
    redirect("/dir/../dir", "/dir/"), redirect("/%64ir", "/dir/"),
    redirect("/dir", "/dir/", host="evil.example", name="Host is not in Location"),
    row("a directory's slash with an odd query", "9110 10.2.2", get("/dir?[a]|b"), (301, 308), fields={"location": lambda value: value and value.startswith("/dir/?")}),
    row("a directory behind two slashes", "9110 10.2.2", get("//dir"), (301, 308, 400, 404), fields={"location": lambda value: value is None or not value.startswith("//")}),
    row("a directory that looks like a host", "9110 10.2.2", get("//evil.example/../dir"), (301, 308, 400, 404), fields={"location": lambda value: value is None or not value.startswith("//")}),
    row("a directory that looks like a host, with dots", "9110 10.2.2", get("/.//evil.example/..//dir"), (301, 308, 400, 404),
        fields={"location": lambda value: value is None or not value.startswith("//")}),
    row("a directory with a backslash host", "9110 10.2.2", get("/%5cevil.example/..%2f"), (301, 308, 400, 404),
        fields={"location": lambda value: value is None or "\\" not in value}),
    row("a directory with HEAD", "9110 9.3.2", get("/dir", method="HEAD"), (301, 308), fields={"location": "/dir/"}),
    row("a directory with POST", "9110 15.5.6", get("/dir", method="POST"), (301, 307, 308, 405), after="any"),
    row("index = [ first, second ]", "9110 4.2.3", get("/idx/"), 200, body=b"<p>second\n"),
    row("a route's own prefix without a slash", "9110 15.4", get("/idx"), (200, 301, 308), fields={"location": lambda value: value in (None, "/idx/")}),
    row("index.html is no index there", "9110 4.2.3", get("/idx/index.html"), 404),

    # symlinks: inside
    ok("/link-in.txt", b"0123456789", "symlinks"), ok("/link-dir/f.txt", b"dir/f\n", "symlinks"), ok("/link-dir/", b"<p>dir\n", "symlinks"),
    ok("/link-abs-in.txt", b"0123456789", "symlinks"), ok("/dir/link-up.txt", b"0123456789", "symlinks"), ok("/link-updown.txt", b"0123456789", "symlinks"),
    redirect("/link-dir", "/link-dir/"),
    *[no(target, GONE, "symlinks") for target in (
        "/link-out.txt", "/link-abs-out.txt", "/link-out-dir/secret.txt", "/link-out-dir/", "/link-out-dir", "/link-etc/passwd", "/link-etc/", "/link-etc",
        "/link-chain", "/link-nowhere", "/link-loop-a", "/link-dir/../link-out.txt", "/link-loop-a/x")],
    row("a link to a hidden file", "symlinks", get("/link-hidden.txt"), (200, 403, 404)),
    *[no("/nolinks" + target, GONE, "symlinks") for target in (
        "/link-in.txt", "/link-dir/f.txt", "/link-dir/", "/link-abs-in.txt", "/link-out.txt", "/link-abs-out.txt", "/dir/link-up.txt", "/link-etc/passwd")],
    ok("/nolinks/ten.txt", b"0123456789", "symlinks"), ok("/nolinks/dir/f.txt", b"dir/f\n", "symlinks"),
    row("symlinks = all: inside", "symlinks", get("/alllinks/link-in.txt"), 200, body=b"0123456789"),
    row("symlinks = all: outside", "symlinks", get("/alllinks/link-out.txt"), 200, body=b"secret\n"),
    row("symlinks = all: outside, absolute", "symlinks", get("/alllinks/link-abs-out.txt"), 200, body=b"secret\n"),
    row("symlinks = all: a directory outside", "symlinks", get("/alllinks/link-out-dir/secret.txt"), 200, body=b"secret\n"),
    row("symlinks = all: a loop", "symlinks", get("/alllinks/link-loop-a"), GONE),
    row("symlinks = all: dots do not leave the root", "symlinks", get("/alllinks/../outside/secret.txt"), (400, 403, 404)),

    # dotfiles
    *[no(target, GONE, "dotfiles") for target in (
        "/.hidden", "/.git/config", "/.git/", "/.git", "/dir/.htaccess", "/%2ehidden", "/%2Egit/config", "/dir/../.hidden", "/./.hidden", "/.well-known/.secret",
        "/.well-known/../.hidden", "/.nothing", "/dir/.nothing", "/types/.html", "/.hidden/", "/dir/.htaccess?x", "/.well-known/.git/x",
        "/.well-knownx", "/.WELL-KNOWN/acme-challenge/token", "/dir/.well-known/x")],
    ok("/.well-known/acme-challenge/token", b"acme\n", "8615 3"), ok("/%2ewell-known/acme-challenge/token", b"acme\n", "8615 3"),
    ok("/dots/.visible", b"visible\n", "dotfiles"), ok("/dots/.d/f.txt", b"visible\n", "dotfiles"), no("/dots/..", (200, 400, 404), "dotfiles"), no("/.git%2fconfig", (400, 403, 404), "dotfiles"),

    # what is no regular file, or not readable
    no("/fifo", GONE, "files"), no("/socket", GONE, "files"), no("/secret.txt", GONE, "files"), no("/closed/f.txt", GONE, "files"), no("/closed/", GONE, "files"),
    row("a name of 255 bytes", "files", get("/" + "n" * 255), 404), row("a name of 256 bytes", "files", get("/" + "n" * 256), (404, 414)),
    row("a name of 3000 bytes", "files", get("/" + "n" * 3000), (404, 414)), row("a path of 1000 segments", "files", get("/x" * 1000), (404, 414)),
    row("a path of 3000 bytes that exists nowhere", "files", get("/" + ("y" * 200 + "/") * 15), (404, 414)),

    row("an index that is a directory", "files", get("/odd/"), GONE), row("an index that is a FIFO", "files", get("/odd/doors/"), GONE),
    row("an index that leads outside", "files", get("/odd/up/"), GONE, body=lambda body: b"secret" not in body), row("an index that cannot be read", "files", get("/odd/closed/"), GONE),
    row("siblings that are a FIFO and a link outside", "files", get("/odd/a.txt", "Accept-Encoding: gzip, br"), 200, body=b"odd a", fields={"content-encoding": None}),
    row("a sibling that cannot be read", "files", get("/odd/b.txt", "Accept-Encoding: gzip"), 200, body=b"odd b", fields={"content-encoding": None}),
    ok("/link-self/probe.txt", b"probe\n", "symlinks"), ok("/link-self/link-self/link-self/ten.txt", b"0123456789", "symlinks"), ok("/link-root/ten.txt", b"0123456789", "symlinks"),
    row("a link to itself, 60 deep", "symlinks", get("/link-self" * 60 + "/ten.txt"), (200, 403, 404)), no("/link-self/link-out.txt", GONE, "symlinks"), no("/link-root/.hidden", GONE, "dotfiles"),
    *[no(target, (400, 403, 404), "files") for target in (
        "/probe.txt.", "/probe.txt%20", "/probe.txt::$DATA", "/probe.txt;x", "/probe.txt%2e", "/PROBE~1.TXT", "/probe.txt~", "/.probe.txt.swp", "/probe.txt%c0%80", "/con", "/aux.txt", "/c:/windows",
        "/%3fx", "/index.html/", "/index.html/index.html", "/dir/index.html/..%2f", "/*", "/*.txt", "/?*".replace("?", "%3f"), "/~root/", "/%7eroot/", "/proc/self/environ", "/dev/null", "/etc/passwd")],

    # try and alias
    ok("/spa/app.js", b"app\n", "try"), ok("/spa/", b"<p>spa\n", "try"), ok("/spa/some/route", b"<p>spa\n", "try"), ok("/spa/route.with.dots", b"<p>spa\n", "try"),
    ok("/spa/real/f.txt", b"real\n", "try"), ok("/spa/a%20b", b"<p>spa\n", "try"), ok("/spa/some/route?x=y", b"<p>spa\n", "try"),
    row("try: the type is the fall-back's", "try", get("/spa/some/route.png"), 200, fields={"content-type": re.compile("text/html.*")}),
    row("try: a POST is no GET", "try", get("/spa/some/route", method="POST"), 405),
    row("try: a condition on the fall-back", "try", get("/spa/some/route", "If-None-Match: *"), 304),
    row("try: a range of the fall-back", "try", get("/spa/some/route", "Range: bytes=0-2"), 206, body=b"<p>"),
    no("/spa/%00", REFUSED, "try"), no("/spa/%zz", 400, "try", after="any"),
    ok("/aliased/f.txt", b"dir/f\n", "alias"), ok("/aliased/", b"<p>dir\n", "alias"), ok("/aliased/sub/", b"<p>sub\n", "alias"), no("/aliased/../probe.txt", (200,), "alias"),
    no("/aliasedx", NOT_FOUND, "alias"), no("/aliased/nothing", NOT_FOUND, "alias"), redirect("/aliased/sub", "/aliased/sub/"),
    ok("/icon", b"x", "alias", name="an alias of a single file"), no("/icon/x", NOT_FOUND, "alias"),
]

# Types: the file's content is "x", so that nothing can be guessed from it.
TEXT = {"html": "text/html", "htm": "text/html", "css": "text/css", "txt": "text/plain", "HTML": "text/html", "csv": "text/csv"}
TYPES = {
    "json": "application/json", "svg": r"image/svg\+xml", "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif",
    "webp": "image/webp", "avif": "image/avif", "ico": "image/(x-icon|vnd.microsoft.icon)", "pdf": "application/pdf", "zip": "application/zip",
    "gz": "application/(x-)?gzip", "tar.gz": "application/(x-)?gzip", "mp4": "video/mp4", "mp3": "audio/mpeg", "webm": "video/webm", "wasm": "application/wasm",
    "woff2": "font/woff2", "woff": "font/woff", "ttf": "font/ttf", "unheard": "application/octet-stream", "xml": "(application|text)/xml",
    "md": "text/markdown", "webmanifest": r"application/manifest\+json", "js": "text/javascript", "mjs": "text/javascript",
    "own": "application/x-own", "frommimefile": "text/x-from-file"}
for name, kind in TEXT.items():
    ROWS.append(row("the type of .%s, with its charset" % name, "9110 8.3.2", get("/types/a." + name), 200,
                    fields={"content-type": re.compile(kind + "; ?charset=utf-8", re.I)}))
for name, kind in TYPES.items():
    ROWS.append(row("the type of .%s" % name, "9110 8.3", get("/types/a." + name), 200,
                    fields={"content-type": re.compile(kind + "(; ?charset=utf-8)?", re.I)}))
    if not kind.startswith(("text/", "(application|text)")) and name not in ("json", "svg", "webmanifest"):
        ROWS.append(row("no charset for .%s" % name, "9110 8.3.2", get("/types/a." + name), 200, fields={"content-type": re.compile("[^;]*")}))
for name in ("noextension", "html", "a."):
    ROWS.append(row("the type of %s" % name, "9110 8.3", get("/types/" + name), 200,
                    fields={"content-type": lambda value: value in (None, "application/octet-stream", "text/plain; charset=utf-8")}))


@case(ROWS, "every byte as an escape is a name, refused or not found", "3986 2.1")
def _(lab):
    with lab.connect() as connection:
        for code in range(256):
            connection.send(get("/dir/x%%%02Xy" % code))
            answer = connection.answer()
            assert answer.status in (400, 404) and not answer.problems, (code, answer)
            if "close" in answer.words("connection"):
                return every_byte_alone(lab)


def every_byte_alone(lab):
    for code in range(256):
        answer = lab.ask(get("/dir/x%%%02Xy" % code))
        assert answer.status in (400, 404), (code, answer)


@case(ROWS, "every file by its escaped name", "3986 2.1")
def _(lab):
    from urllib.parse import quote
    for name, content in FILES.items():
        hidden = any(part.startswith(".") for part in name.split("/")) and not name.startswith(".well-known/acme")
        if hidden or name.startswith(("secret", "closed")) or "\\" in name:
            continue
        answer = lab.ask(get("/" + quote(name)))
        if name in ("young.txt", "listed/withindex/index.html") or name.startswith(("dots/", "dirs/", "odd/", "errors/", "listed/", "idx/", "spa/", "cached")):
            continue  # other routes answer for these
        assert (answer.status, answer.body) == (200, content), (name, answer.status, answer.fields)


@case(ROWS, "Location of a directory with a name to be encoded", "3986 2.1")
def _(lab):
    import os
    from urllib.parse import quote, unquote
    for name in ("s p", "p%25", "q?x", "h#x", "\u00fc", "\u65e5\u672c", "a\"b", "<b>", "a&b", "a;b", "x:y", "a'b", "evil.example", "a+b", "[a]", "a|b", "{a}", "a^b"):
        path = lab.path(name)
        if not os.path.isdir(path):
            os.mkdir(path)
            os.chmod(path, 0o755)
        answer = lab.ask(get("/" + quote(name)))
        assert answer.status in (301, 308), (name, answer)
        location = answer.get("location")
        assert location.startswith("/") and location.endswith("/") and unquote(location) == "/" + name + "/", (name, location)
        assert not re.search("[^!-~]", location), location
