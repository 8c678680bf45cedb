"""The daemon under test: one per accept mode, with one rich configuration and a prepared document root.

Every file's time is TIME, long ago, unless a row says otherwise; FILES says what is in which.  Clients come from
127.0.0.1, which nothing trusts; from 127.77.0.0/16 the PROXY protocol and forwarding fields are believed.
"""

import os
import socket

import answer as answers
import drover

TIME = 1600000000  # Sun, 13 Sep 2020 12:26:40 GMT
DATE = answers.fixdate(TIME)
PLAIN, TRUSTED, DENIED = "127.0.0.1", "127.77.0.9", "127.66.0.9"
LETTERS = bytes(65 + index % 26 for index in range(1000))


def pattern(size):
    return b"".join(b"%07d\n" % index for index in range((size + 7) // 8))[:size]


# name -> content, below the root
FILES = {
    "index.html": b"<p>hello\n",
    "probe.txt": b"probe\n",
    "ten.txt": b"0123456789",
    "one.txt": b"x",
    "empty.txt": b"",
    "letters.txt": LETTERS,
    "big.bin": pattern(1 << 20),
    "dir/index.html": b"<p>dir\n",
    "dir/f.txt": b"dir/f\n",
    "dir/sub/index.html": b"<p>sub\n",
    "noindex/f.txt": b"noindex/f\n",
    "a b.txt": b"space\n",
    "\u00fc.txt": b"umlaut\n",
    "\u65e5\u672c/f.txt": b"nihon\n",
    "100%.txt": b"percent\n",
    "plus+.txt": b"plus\n",
    "semi;colon.txt": b"semicolon\n",
    "q?.txt": b"question\n",
    "hash#.txt": b"hash\n",
    "[b].txt": b"brackets\n",
    "co:lon.txt": b"colon\n",
    "a&b='c'.txt": b"amp\n",
    "tilde~-_.txt": b"unreserved\n",
    "$!*(),@.txt": b"subdelims\n",
    "%2e.txt": b"literal escape\n",
    "back\\slash.txt": b"backslash\n",
    "...": b"three dots\n",
    "..a": b"dot dot a\n",
    ".hidden": b"hidden\n",
    ".git/config": b"hidden\n",
    "dir/.htaccess": b"hidden\n",
    ".well-known/acme-challenge/token": b"acme\n",
    ".well-known/.secret": b"hidden\n",
    "young.txt": b"young\n",
    "future.txt": b"future\n",
    "secret.txt": b"not for the worker\n",
    # negotiation: the siblings' content is made up, so that a mistake shows
    "neg/all.txt": b"all identity " * 40,
    "neg/all.txt.gz": b"all gzip",
    "neg/all.txt.br": b"all brotli",
    "neg/all.txt.zst": b"all zstd",
    "neg/gz.txt": b"gz identity " * 40,
    "neg/gz.txt.gz": b"0123456789",
    "neg/br.txt": b"br identity " * 40,
    "neg/br.txt.br": b"br brotli",
    "neg/none.txt": b"none identity " * 40,
    "neg/old.txt": b"old identity " * 40,
    "neg/old.txt.gz": b"old gzip",
    "neg/pic.png": b"png identity",
    "neg/pic.png.gz": b"png gzip",
    "neg/only.txt.gz": b"only gzip",
    "neg/dir.txt": b"dir identity",
    "neg/dir.txt.gz/x": b"",
    "neg/index.html": b"index identity",
    "neg/index.html.gz": b"index gzip",
    "types/a.html": b"x", "types/a.htm": b"x", "types/a.css": b"x", "types/a.js": b"x", "types/a.mjs": b"x",
    "types/a.json": b"x", "types/a.svg": b"x", "types/a.png": b"x", "types/a.jpg": b"x", "types/a.jpeg": b"x",
    "types/a.gif": b"x", "types/a.webp": b"x", "types/a.avif": b"x", "types/a.ico": b"x", "types/a.txt": b"x",
    "types/a.xml": b"x", "types/a.pdf": b"x", "types/a.zip": b"x", "types/a.gz": b"x", "types/a.mp4": b"x",
    "types/a.mp3": b"x", "types/a.webm": b"x", "types/a.wasm": b"x", "types/a.woff2": b"x", "types/a.woff": b"x",
    "types/a.HTML": b"x", "types/noextension": b"x", "types/a.unheard": b"x", "types/a.tar.gz": b"x",
    "types/a.md": b"x", "types/a.csv": b"x", "types/a.own": b"x", "types/a.frommimefile": b"x", "types/a.": b"x",
    "types/.html": b"x", "types/html": b"x", "types/a.ttf": b"x", "types/a.webmanifest": b"x",
    "spa/index.html": b"<p>spa\n",
    "spa/app.js": b"app\n",
    "spa/real/f.txt": b"real\n",
    "odd/index.html/x": b"",
    "odd/a.txt": b"odd a",
    "odd/b.txt": b"odd b",
    "odd/b.txt.gz": b"unreadable",
    "odd/up/f.txt": b"x",
    "odd/doors/f.txt": b"x",
    "odd/closed/index.html": b"hidden",
    "idx/second.html": b"<p>second\n",
    "listed/a.txt": b"a\n",
    "listed/b & <c>.txt": b"b\n",
    "listed/sub/f.txt": b"f\n",
    "listed/.hidden": b"hidden\n",
    "listed/withindex/index.html": b"<p>index\n",
    "dirs/f.txt": b"f\n",
    "errors/404.html": b"<p>my 404\n",
    "errors/5xx.html": b"<p>my 5xx\n",
    "errors/missing.html": b"<p>gone when it is needed\n",
    "site-a/f": b"a", "site-b/f": b"b", "site-wild/f": b"wild", "site-deep/f": b"deep", "site-v6/f": b"v6",
    "auth/f.txt": b"for friends\n",
    "cache/a.html": b"x", "cache/a.png": b"x", "cache/a.txt": b"x",
    "dots/.visible": b"visible\n",
    "dots/.d/f.txt": b"visible\n",
}
# name -> target, below the root; OUTSIDE stands for a directory beside it
LINKS = {
    "link-in.txt": "ten.txt",
    "link-dir": "dir",
    "link-abs-in.txt": "ROOT/ten.txt",
    "link-out.txt": "../outside/secret.txt",
    "link-abs-out.txt": "OUTSIDE/secret.txt",
    "link-out-dir": "../outside",
    "link-etc": "/etc",
    "link-nowhere": "nothing-there",
    "link-loop-a": "link-loop-b",
    "link-loop-b": "link-loop-a",
    "link-chain": "link-out.txt",
    "link-updown.txt": "dir/../ten.txt",
    "link-hidden.txt": ".hidden",
    "dir/link-up.txt": "../ten.txt",
    "odd/up/index.html": "../../../outside/secret.txt",
    "odd/a.txt.br": "/etc/passwd",
    "link-self": ".",
    "link-root": "ROOT",
    "neg/linked.txt": "none.txt",
    "neg/linked.txt.gz": "../../outside/secret.txt",
    "listed/link-out": "../../outside/secret.txt",
    "listed/link-in": "a.txt",
}
# crypt(3) hashes of "Aladdin"'s "open sesame" and so on, cheap ones
USERS = {
    "Aladdin": "$6$rounds=1000$drover$",
    "five": "$5$rounds=1000$drover$",
    "bcrypt": "$2b$04$abcdefghijklmnopqrstuu",
    "yes": "$y$j75$saltsalt$",
    "md5": "$1$drover$",
}
PASSWORDS = {"Aladdin": "open sesame", "five": "f\u00fcnf:und so", "bcrypt": "b", "yes": "y" * 60, "md5": ""}


def hashed(password, setting):
    """crypt(3), by way of libcrypt itself: Python's module is leaving."""
    import ctypes
    library = ctypes.CDLL("libcrypt.so.1")
    library.crypt.restype = ctypes.c_char_p
    result = library.crypt(password.encode(), setting.encode())
    if result is None or result.startswith(b"*"):
        raise AssertionError("crypt(3) does not know %s" % setting)
    return result.decode()


class Lab:
    def __init__(self, mode):
        self.mode = mode
        self.others = []
        self.server = drover.Drover({"accept": mode})
        try:
            self.root = self.server.site
            self.outside = os.path.join(self.server.dir, "outside")
            self.make_files()
            self.listen()
            settings = self.settings()
            self.start(self.server, {**self.server.settings, **settings})
            self.start_others()
            os.unlink(self.path("errors/missing.html"))
        except BaseException:
            self.close()
            raise

    def start(self, server, settings):
        server.configure(drover.render(settings))
        status, said = server.reload()
        if status != 0:
            raise AssertionError("reload: %s" % said)

    def start_others(self):
        """A daemon with nothing but an address and a root; and one that goes by Forwarded."""
        for name in ("bare", "forwarded"):
            server = drover.Drover({"accept": self.mode})
            self.others.append(server)
            self.addresses[name] = server.address
            settings = {**server.settings, "sites": [{"routes": [self.files("/")]}]}
            if name == "forwarded":
                settings["forwarded"] = {"from": ["127.77.0.0/16", "198.51.100.0/24"], "header": "forwarded"}
                settings["sites"] = self.sites()
            self.start(server, settings)

    # the document root

    def make_files(self):
        root = self.root
        for name, content in FILES.items():
            self.write(name, content)
        os.mkdir(self.outside)
        os.chmod(self.outside, 0o755)
        with open(os.path.join(self.outside, "secret.txt"), "w", encoding="ascii") as file:
            file.write("secret\n")
        for name, target in LINKS.items():
            target = target.replace("ROOT", root).replace("OUTSIDE", self.outside)
            os.symlink(target, os.path.join(root, name))
        os.mkfifo(os.path.join(root, "fifo"))
        os.chmod(os.path.join(root, "fifo"), 0o666)
        with socket.socket(socket.AF_UNIX) as door:
            door.bind(os.path.join(root, "socket"))
        for name in ("secret.txt", "odd/closed/index.html", "odd/b.txt.gz"):
            os.chmod(os.path.join(root, name), 0)
        for name in ("odd/doors/index.html", "odd/a.txt.gz"):
            os.mkfifo(os.path.join(root, name))
            os.chmod(os.path.join(root, name), 0o666)
        os.mkdir(os.path.join(root, "closed"))
        self.write("closed/f.txt", b"closed\n")
        os.utime(os.path.join(root, "neg/old.txt.gz"), (TIME - 86400, TIME - 86400))
        os.utime(os.path.join(root, "future.txt"), (TIME * 2, TIME * 2))
        for path, directories, _ in os.walk(root):
            for name in directories:
                os.utime(os.path.join(path, name), (TIME, TIME))
        os.chmod(os.path.join(root, "closed"), 0)
        self.releases = os.path.join(self.server.dir, "releases")
        for number in (1, 2):
            for name, text in (("f.txt", "release"), ("sub/g.txt", "below")):
                path = os.path.join(self.releases, "release-%d" % number, name)
                os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
                self.other(path, "%s %d" % (text, number), 0o644)
        for name in ("current", "above"):
            os.symlink("release-1", os.path.join(self.releases, name))
        self.other("users", "".join("%s:%s\n" % (user, hashed(PASSWORDS[user], setting))
                                    for user, setting in USERS.items()), 0o644)
        self.other("rotating", "user:%s\n" % hashed("one", "$6$rounds=1000$drover$"), 0o644)
        self.other("mime.types", "# types\ntext/x-from-file\tfrommimefile ffm\napplication/x-nothing\n", 0o644)

    def other(self, name, text, mode):
        path = os.path.join(self.server.dir, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, mode)

    def path(self, name):
        return os.path.join(self.root, name)

    def write(self, name, content, time=TIME):
        """A file below the root, made or overwritten in place."""
        path = self.server.write(name, content)
        if time is not None:
            os.utime(path, (time, time))
        return path

    def replace(self, name, content, time=TIME):
        """A file below the root, replaced by rename."""
        self.write(name + ".new~", content, time)
        os.rename(self.path(name + ".new~"), self.path(name))

    # the configuration

    def listen(self):
        self.addresses = {"main": self.server.address}
        for name in ("proxy", "slow"):
            self.addresses[name] = drover.free_address()
        self.addresses["unix"] = os.path.join(self.server.dir, "web.sock")

    def settings(self):
        text = {name: drover.address_text(address) for name, address in self.addresses.items()}
        return {
            "listen": [
                {"address": text["main"]},
                {"address": text["proxy"], "proxy_protocol": True, "proxy_from": ["127.77.0.0/16"]},
                {"address": text["slow"], "request_head": "700ms", "keep_alive": "500ms", "send": "1s"},
                {"address": text["unix"]},
            ],
            "limits": {"body": "64k"},
            "timeouts": {"proxy": "1s", "body": "3s"},
            "forwarded": {"from": ["127.77.0.0/16", "198.51.100.0/24"], "header": "x-forwarded-for"},
            "mime": {"file": os.path.join(self.server.dir, "mime.types"),
                     "types": [{"extensions": ["own"], "type": "application/x-own"}]},
            "sites": self.sites(),
        }

    def files(self, match, below="", **more):
        return {"match": match, "files": {"root": os.path.join(self.root, below).rstrip("/"), **more}}

    def sites(self):
        return [
            {"routes": self.routes()},
            {"hosts": ["a.example"], "routes": [self.files("/", "site-a")]},
            {"hosts": ["b.example", "*.wild.example"], "routes": [self.files("/", "site-b")]},
            {"hosts": ["*.deep.wild.example"], "routes": [self.files("/", "site-deep")]},
            {"hosts": ["only.wild.example"], "routes": [self.files("/", "site-wild")]},
            {"hosts": ["xn--bcher-kva.example"], "routes": [self.files("/", "site-a")]},
            {"hosts": ["under_score.example"], "routes": [self.files("/", "site-b")]},
            {"hosts": ["releases.example"],
             "routes": [{"match": "/", "files": {"root": os.path.join(self.releases, "current")}}]},
            {"hosts": ["above.example"],
             "routes": [{"match": "/", "files": {"root": os.path.join(self.releases, "above/sub")}}]},
            {"hosts": ["www.canon.example"], "routes": [{"match": "/", "redirect": {"to": "//canon.example"}}]},
            {"hosts": ["errors.example"],
             "error_pages": [{"status": ["404"], "file": self.path("errors/404.html")},
                             {"status": ["5xx"], "file": self.path("errors/5xx.html")},
                             {"status": ["403"], "file": self.path("errors/missing.html")}],
             "headers": {"set": ["X-Site: errors"]},
             "routes": [self.files("/"),
                        {"match": "/sick", "respond": {"status": 503, "body": "sick\n"}},
                        {**self.files("/forbidden", "dir"), "deny": ["127.0.0.0/8"]}]},
            {"hosts": ["guarded.example"],
             "auth": {"file": os.path.join(self.server.dir, "users"), "realm": "the \"site\""},
             "routes": [self.files("/", "auth"), {"match": "/health", "health": {}}]},
        ]

    def routes(self):
        users = {"auth": {"file": os.path.join(self.server.dir, "users"), "realm": "friends"}}
        return [
            self.files("/"),
            self.files("/listed", "listed", listing=True),
            self.files("/dirs", "dirs", listing=True),
            self.files("/nolinks", "", symlinks="deny"),
            self.files("/alllinks", "", symlinks="all"),
            self.files("/dots", "dots", dotfiles=True),
            self.files("/spa", "spa", **{"try": ["/index.html"]}),
            {"match": "/aliased", "files": {"alias": self.path("dir")}},
            {"match": "/icon", "files": {"alias": self.path("one.txt")}},
            self.files("/idx", "idx", index=["first.html", "second.html"]),
            self.files("/plain", "neg", precompressed=[]),
            self.files("/gzonly", "neg", precompressed=["gz"]),
            {"match": "/only", "exact": True, "respond": {"body": "exact\n"}},
            {"match": "/only", "respond": {"body": "prefix\n"}},
            {"match": "/only/deeper", "respond": {"body": "deeper\n"}},
            {"match": "/teapot", "respond": {"status": 418, "body": "short and stout\n"}},
            {"match": "/nocontent", "respond": {"status": 204}},
            {"match": "/json", "respond": {"body": "{}", "type": "application/json"}},
            {**self.files("/inner", "dir"), "allow": ["10.0.0.0/8", "127.77.0.0/16"]},
            {**self.files("/outer", "dir"), "deny": ["127.66.0.0/16"]},
            {**self.files("/both", "dir"), "allow": ["127.0.0.0/8"], "deny": ["127.66.0.0/16"]},
            {**self.files("/clients", "dir"), "allow": ["203.0.113.7", "2001:db8::/32"]},
            {**self.files("/friends", "auth"), **users},
            {**self.files("/localfriends", "auth"), **users, "deny": ["127.66.0.0/16"]},
            {**self.files("/rotating", "auth"),
             "auth": {"file": os.path.join(self.server.dir, "rotating"), "realm": "turning"}},
            {"match": "/rest", "redirect": {"to": "/dir"}},
            {"match": "/norest", "redirect": {"to": "/dir/", "rest": False}},
            {"match": "/found", "redirect": {"to": "/dir", "status": 302}},
            {"match": "/see", "redirect": {"to": "/dir", "status": 303}},
            {"match": "/temporary", "redirect": {"to": "/dir", "status": 307}},
            {"match": "/permanent", "redirect": {"to": "/dir", "status": 308}},
            {"match": "/elsewhere", "redirect": {"to": "https://new.example/base"}},
            {"match": "/scheme", "redirect": {"to": "//new.example/base"}},
            {**self.files("/set", "dir"), "headers": {
                "set": ["X-Set: one", "X-Content-Type-Options: nosniff"], "add": ["X-Add: one", "X-Add: two"],
                "remove": ["Last-Modified"]}},
            {**self.files("/cached", "cache"), "cache_control": "public, max-age=60"},
            {**self.files("/expires", "cache"), "expires": "1h"},
            {**self.files("/bytype", "cache"), "cache": [
                {"types": ["image/*"], "cache_control": "max-age=86400"},
                {"types": ["text/html"], "cache_control": "no-cache"}]},
            {"match": "/status", "status": {}},
            {"match": "/health", "health": {}},
        ]

    # what rows do

    def connect(self, listener="main", source=None, **more):
        address = self.addresses[listener]
        if isinstance(address, tuple) and source is None:
            source = PLAIN
        return answers.Connection(address, source, **more)

    def ask(self, data, listener="main", source=None, method=None):
        """One request on a connection of its own; the answer must be without a problem."""
        method = method or data.split(b" ")[0].decode("latin-1")
        with self.connect(listener, source) as connection:
            connection.send(data)
            answer = connection.answer(method)
        assert not answer.problems, answer.problems
        return answer

    def workers(self):
        return [server.workers() for server in [self.server] + self.others]

    def close(self):
        for server in self.others + [self.server]:
            server.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
