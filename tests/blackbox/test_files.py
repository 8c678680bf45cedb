"""Which file answers, in which coding: root and alias, index and try, symlinks, hidden names, siblings; every
test in every accept mode."""

import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
import signal
import struct
import unittest

import drover
from drover import Drover
from test_http import in_every_mode


def without_openat2():
    """As systemd's RestrictSUIDSGID does it: a seccomp filter that knows no openat2 (seccomp(2))."""
    openat2, errno_of, allow = 437, 0x00050000 | errno.ENOSYS, 0x7fff0000
    # BPF_LD|BPF_W|BPF_ABS the number of the call; BPF_JMP|BPF_JEQ; BPF_RET
    filters = [(0x20, 0, 0, 0), (0x15, 0, 1, openat2), (0x06, 0, 0, errno_of), (0x06, 0, 0, allow)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *row) for row in filters))
    program = ctypes.create_string_buffer(struct.pack("HL", len(filters), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(38, 1, 0, 0, 0) != 0 or libc.prctl(22, 2, program, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


class Tree:
    """One daemon whose routes differ in their settings; `site` is served by most of them."""
    accept = None
    preexec = None

    @classmethod
    def setUpClass(cls):
        cls.other = drover.temporary_directory()
        cls.addClassCleanup(shutil.rmtree, cls.other, ignore_errors=True)
        cls.put("icon.ico", "icon")
        cls.put("docs/a.txt", "docs a")
        cls.put("docs/index.html", "docs index")
        cls.server = Drover({"accept": cls.accept, "sites": [{"routes": [{"match": "/", "respond": {}}]}]},
                            preexec=cls.preexec)
        cls.addClassCleanup(cls.server.close)
        root = cls.server.site
        routes = [{"match": match, "files": {**({} if "alias" in more else {"root": root}), **more}}
                  for match, more in cls.routes(root).items()]
        cls.server.configure({"sites": [{"routes": routes}]})
        status, text = cls.server.reload()
        assert status == 0, text

    @classmethod
    def put(cls, name, content):
        path = os.path.join(cls.other, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="ascii") as file:
            file.write(content)

    @classmethod
    def routes(cls, root):
        return {"/": {}, "/deny": {"symlinks": "deny"}, "/all": {"symlinks": "all"}, "/dots": {"dotfiles": True},
                "/.git": {}, "/spa": {"try": ["/none", "/app.html"]}, "/dir-spa": {"try": ["/sub/"]},
                "/alias": {"alias": cls.other + "/docs"}, "/favicon.ico": {"alias": cls.other + "/icon.ico"},
                "/alias/deeper": {"alias": cls.other}}

    def link(self, target, name):
        path = self.server.path(name)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        os.symlink(target, path)

    def assert_answers(self, target, status, body=None):
        response = self.server.get(target)
        self.assertEqual(response.status, status, target)
        if body is not None:
            self.assertEqual(response.body, body.encode(), target)
        return response


class Places(Tree):
    def test_an_alias_stands_for_the_match(self):
        self.assert_answers("/alias/a.txt", 200, "docs a")
        self.assert_answers("/alias/", 200, "docs index")
        self.assert_answers("/alias/none", 404)
        self.assert_answers("/alias", 301)
        self.assert_answers("/alias/deeper/docs/a.txt", 200, "docs a")
        self.assert_answers("/aliases/a.txt", 404)

    def test_an_alias_may_be_a_file(self):
        response = self.assert_answers("/favicon.ico", 200, "icon")
        self.assertEqual(response.header("content-type"), "image/vnd.microsoft.icon")
        for target in ("/favicon.ico/", "/favicon.ico/x", "/favicon.ico/../favicon.icon"):
            self.assert_answers(target, 404)

    def test_an_alias_of_everything_is_a_file_for_the_top_alone(self):
        with Drover({"accept": self.accept, "sites": [{"routes": [
                {"match": "/", "files": {"alias": self.other + "/icon.ico"}}]}]}) as server:
            self.assertEqual(server.get("/").body, b"icon")
            self.assertEqual(server.get("/x").status, 404)

    def test_an_alias_is_replaced_by_a_rename(self):
        for text in ("new 1", "new 2"):
            self.put("icon.new", text)
            os.rename(self.other + "/icon.new", self.other + "/icon.ico")
            self.assert_answers("/favicon.ico", 200, text)
        self.put("icon.ico", "icon")

    def test_a_fallback_answers_for_what_is_not_there(self):
        self.server.write("app.html", "<p>app\n")
        self.server.write("there.txt", "there")
        os.makedirs(self.server.path("empty"), exist_ok=True)
        self.assert_answers("/spa/there.txt", 200, "there")
        for target in ("/spa/route", "/spa/a/b/c", "/spa/route/", "/spa/empty/", "/spa/there.txt/x"):
            response = self.assert_answers(target, 200, "<p>app\n")
            self.assertEqual(response.header("content-type"), "text/html; charset=utf-8")
        self.assert_answers("/spa/empty", 301)
        self.assert_answers("/spa", 301)

    def test_a_fallback_does_not_hide_a_refusal(self):
        self.server.write("app.html", "<p>app\n")
        self.link("/etc/passwd", "leaves")
        os.chmod(self.server.write("secret", "secret"), 0)
        self.assert_answers("/spa/leaves", 403)
        self.assert_answers("/spa/secret", 403)
        self.assert_answers("/spa/.git/config", 404)

    def test_a_file_under_a_lease_is_for_later(self):
        previous = signal.signal(signal.SIGIO, signal.SIG_IGN)  # what tells the holder that somebody waits
        self.addCleanup(signal.signal, signal.SIGIO, previous)
        with open(self.server.write("leased.txt", "leased"), "r+b") as file:
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            self.assert_answers("/leased.txt", 503)
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        self.assert_answers("/leased.txt", 200, "leased")

    def test_a_fallback_may_be_a_directory(self):
        self.server.write("sub/index.html", "<p>sub\n")
        self.assert_answers("/dir-spa/nothing", 200, "<p>sub\n")

    def test_hidden_files_are_served_where_that_is_asked_for(self):
        self.server.write(".dot/.file", "dots")
        self.server.write("config", "of git")
        self.assert_answers("/dots/.dot/.file", 200, "dots")
        self.assert_answers("/.dot/.file", 404)
        self.assert_answers("/.git/config", 200, "of git")      # the operator's match has the dot
        self.assert_answers("/.git/.dot/.file", 404)

    def test_what_was_hidden_and_left_again_is_not_hidden(self):
        self.assert_answers("/.git/../index.html", 200, "<p>hello\n")


class Symlinks(Tree):
    def setUp(self):
        self.server.write("sub/file", "inside")
        self.put("outside", "outside")

    def test_an_absolute_link_to_what_lies_inside(self):
        self.link(self.server.path("sub/file"), "absolute")
        self.link(self.server.path("sub"), "absolute-dir")
        self.link("../site/sub/file", "round")
        for target in ("/absolute", "/absolute-dir/file", "/round"):
            self.assert_answers(target, 200, "inside")

    def test_by_whatever_way_it_leads_back(self):
        alias = os.path.join(self.other, "alias")
        os.symlink(self.server.site, alias)
        self.addCleanup(os.unlink, alias)
        self.link(alias + "/sub/file", "by-alias")
        self.assert_answers("/by-alias", 200, "inside")

    def test_a_link_that_leaves(self):
        self.link(self.other + "/outside", "leaves")
        self.link(self.server.site + "/../outside", "sly")
        self.link(self.other + "/none", "leaves-for-nothing")
        for target in ("/leaves", "/sly", "/leaves-for-nothing"):
            self.assert_answers(target, 403)
        self.assert_answers("/all/leaves", 200, "outside")
        self.assert_answers("/all/leaves-for-nothing", 404)

    def test_no_link_at_all(self):
        self.link("sub/file", "relative")
        self.link("sub", "relative-dir")
        for target in ("/relative", "/relative-dir/file"):
            self.assert_answers(target, 200, "inside")
            self.assert_answers("/deny" + target, 403)
        self.assert_answers("/deny/sub/file", 200, "inside")


class Freshness(Tree):
    """A request that is sent after a change returned sees it; each change is made several times."""

    def request(self, target):
        response = self.client.request(target)
        return response.status, response.body

    def setUp(self):
        self.client = self.server.client()
        self.addCleanup(self.client.close)

    def test_a_file(self):
        for number in range(20):
            self.server.write("new", f"{number}")
            os.rename(self.server.path("new"), self.server.path("fresh"))
            self.assertEqual(self.request("/fresh"), (200, b"%d" % number))
            os.unlink(self.server.path("fresh"))
            self.assertEqual(self.request("/fresh")[0], 404)

    def test_a_symlink(self):
        for number in range(20):
            self.server.write(f"target{number}", f"{number}")
            self.link(f"target{number}", "next")
            os.rename(self.server.path("next"), self.server.path("current"))
            self.assertEqual(self.request("/current"), (200, b"%d" % number))

    def test_any_directory_on_the_way(self):
        for name in ("one", "two"):
            self.put(f"{name}/www/root/f", name)
        current = self.other + "/current"
        os.symlink("one", current)
        with Drover({"accept": self.accept, "sites": [{"routes": [
                {"match": "/", "files": {"root": current + "/www/root"}}]}]}) as server:
            with server.client() as client:
                for number in range(20):
                    name = ("one", "two")[number % 2]
                    os.symlink(name, current + ".next")
                    os.rename(current + ".next", current)
                    self.assertEqual(client.request("/f").body, name.encode())
                os.rename(self.other + "/two", self.other + "/three")
                self.assertEqual(client.request("/f").status, 404)
                server.log.wait("root_failed", root=current + "/www/root", error="No such file or directory")
                os.rename(self.other + "/three", self.other + "/two")
                self.assertEqual(client.request("/f").body, b"two")


class Negotiation(Tree):
    """Siblings in other codings; no test unpacks them, so their content is plain words."""

    @classmethod
    def routes(cls, root):
        return {"/": {}, "/off": {"precompressed": []}, "/gz": {"precompressed": ["gz"]},
                "/turned": {"precompressed": ["gz", "br"]}, "/spa": {"try": ["/all.html"]},
                "/deny": {"symlinks": "deny"}}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for name in ("all.html", "all.html.zst", "all.html.br", "all.html.gz", "some.txt", "some.txt.gz", "none.css",
                     "dir/index.html", "dir/index.html.br", "pic.png", "pic.png.gz", "new.txt", "new.txt.gz",
                     "old.txt", "old.txt.gz", "sib.txt"):
            path = cls.server.write(name, name)
            os.utime(path, (1700000000, 1700000000))
        os.utime(cls.server.path("new.txt.gz"), (1699999998, 1699999998))
        os.utime(cls.server.path("old.txt.gz"), (1699999997, 1699999997))

    def ask(self, target, accept=None, method="GET", headers=()):
        headers = [*headers, *([("Accept-Encoding", accept)] if accept is not None else [])]
        with self.server.client() as client:
            return client.request(target, headers=headers, method=method)

    def assert_coding(self, target, accept, coding, body):
        response = self.ask(target, accept)
        found = (response.status, response.header("content-encoding"), response.body.decode())
        self.assertEqual(found, (200, coding, body), (target, accept))
        return response

    def test_the_one_that_is_wanted_most(self):
        for accept, coding, suffix in (
                (None, None, ""), ("", None, ""), ("identity", None, ""), ("deflate", None, ""), ("gzip", "gzip", ".gz"),
                ("x-gzip", "gzip", ".gz"), ("BR", "br", ".br"), ("gzip, deflate, br, zstd", "zstd", ".zst"),
                ("gzip, br", "br", ".br"), ("br;q=0.5, gzip;q=0.8", "gzip", ".gz"), ("*", "zstd", ".zst"),
                ("zstd;q=0, *", "br", ".br"), ("gzip;q=0", None, ""), ("gzip;q=0.5, identity", None, ""),
                ("gzip;q=2", None, ""), ("identity;q=0, br", "br", ".br")):
            self.assert_coding("/all.html", accept, coding, "all.html" + suffix)

    def test_the_type_is_that_of_the_name(self):
        for accept in (None, "gzip", "br", "zstd"):
            response = self.ask("/all.html", accept)
            self.assertEqual(response.header("content-type"), "text/html; charset=utf-8")

    def test_every_answer_varies(self):
        for target in ("/all.html", "/some.txt", "/none.css", "/dir/", "/old.txt"):
            for accept in (None, "gzip", "br"):
                for method in ("GET", "HEAD"):
                    response = self.ask(target, accept, method)
                    self.assertEqual(response.header("vary"), "Accept-Encoding", (target, accept))
                etag = response.header("etag")
                again = self.ask(target, accept, headers=[("If-None-Match", etag)])
                self.assertEqual((again.status, again.header("vary")), (304, "Accept-Encoding"))
                part = self.ask(target, accept, headers=[("Range", "bytes=0-2")])
                self.assertEqual((part.status, part.header("vary")), (206, "Accept-Encoding"))

    def test_each_coding_has_its_own_etag(self):
        etags = {self.ask("/all.html", accept).header("etag") for accept in (None, "gzip", "br", "zstd")}
        self.assertEqual(len(etags), 4)
        self.assertEqual(self.ask("/all.html", "gzip", headers=[
            ("If-None-Match", self.ask("/all.html", "br").header("etag"))]).status, 200)

    def test_a_range_is_of_the_coding(self):
        response = self.ask("/all.html", "gzip", headers=[("Range", "bytes=-3")])
        self.assertEqual((response.status, response.body), (206, b".gz"))
        self.assertEqual(response.header("content-encoding"), "gzip")
        self.assertEqual(response.header("content-range"), "bytes 8-10/11")

    def test_only_what_is_there(self):
        self.assert_coding("/some.txt", "zstd, br, gzip", "gzip", "some.txt.gz")
        self.assert_coding("/some.txt", "zstd, br", None, "some.txt")
        self.assert_coding("/none.css", "zstd, br, gzip", None, "none.css")

    def test_an_index_and_a_fallback(self):
        self.assert_coding("/dir/", "gzip, br", "br", "dir/index.html.br")
        self.assert_coding("/spa/nothing", "br", "br", "all.html.br")

    def test_an_old_sibling_is_passed_over(self):
        self.assert_coding("/new.txt", "gzip", "gzip", "new.txt.gz")
        self.assert_coding("/old.txt", "gzip", None, "old.txt")

    def test_what_is_no_file_with_bytes_is_passed_over(self):
        for name, content in (("odd.txt", "odd.txt"), ("odd.txt.zst", ""), ("odd.txt.br/index.html", "x"),
                              ("odd.txt.gz", "gz")):
            self.server.write(name, content)
        self.assert_coding("/odd.txt", "zstd, br, gzip", "gzip", "gz")
        os.unlink(self.server.path("odd.txt.gz"))
        os.mkfifo(self.server.path("odd.txt.gz"))
        self.assert_coding("/odd.txt", "zstd, br, gzip", None, "odd.txt")

    def test_media_are_as_they_are(self):
        response = self.assert_coding("/pic.png", "gzip", None, "pic.png")
        self.assertIsNone(response.header("vary"))

    def test_the_packed_file_by_its_own_name(self):
        for accept in (None, "gzip", "identity"):
            response = self.assert_coding("/all.html.gz", accept, None, "all.html.gz")
            self.assertEqual(response.header("content-type"), "application/gzip")

    def test_nothing_that_is_acceptable(self):
        for target in ("/none.css", "/some.txt", "/old.txt", "/pic.png", "/dir/"):
            for accept in ("identity;q=0", "*;q=0", "zstd, *;q=0", "identity;q=0.000, deflate"):
                response = self.ask(target, accept)
                self.assertEqual(response.status, 406, (target, accept))
                self.assertEqual(response.header("vary"), "Accept-Encoding")
                self.assertIsNone(response.header("content-encoding"))
        self.assertEqual(self.ask("/nothing", "identity;q=0").status, 404)
        self.assertEqual(self.ask("/dir", "identity;q=0").status, 301)

    def test_several_fields(self):
        response = self.ask("/all.html", "gzip;q=0.5", headers=[("Accept-Encoding", "identity;q=0")])
        self.assertEqual(response.header("content-encoding"), "gzip")
        response = self.ask("/some.txt", "br", headers=[("Accept-Encoding", "identity;q=0")])
        self.assertEqual(response.status, 406)

    def test_what_the_route_says(self):
        self.assert_coding("/gz/all.html", "zstd, br, gzip", "gzip", "all.html.gz")
        self.assert_coding("/turned/all.html", "zstd, br, gzip", "gzip", "all.html.gz")
        response = self.assert_coding("/off/all.html", "gzip, identity;q=0", None, "all.html")
        self.assertIsNone(response.header("vary"))

    def test_a_sibling_follows_the_same_policy(self):
        for name in ("link.txt", "leaves.txt"):
            self.server.write(name, name)
        self.link("some.txt.gz", "link.txt.gz")
        self.link("/etc/passwd", "leaves.txt.gz")
        for name in ("link.txt", "leaves.txt"):
            os.utime(self.server.path(name), (1600000000, 1600000000))
        self.assert_coding("/link.txt", "gzip", "gzip", "some.txt.gz")
        self.assert_coding("/deny/link.txt", "gzip", None, "link.txt")
        self.assert_coding("/leaves.txt", "gzip", None, "leaves.txt")

    def test_a_sibling_is_seen_when_it_comes_and_goes(self):
        path = self.server.path("sib.txt.gz")
        for number in range(10):
            self.assert_coding("/sib.txt", "gzip", None, "sib.txt")
            self.server.write("sib.txt.gz", str(number))
            self.assert_coding("/sib.txt", "gzip", "gzip", str(number))
            os.unlink(path)


class Types(Tree):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for name in ("a.own", "a.HTML", "a.txt", "a.listed", "a.cwl.json", "a.json", "a.none"):
            cls.server.write(name, name)

    def reload(self, types, file):
        with open(os.path.join(self.server.dir, "types"), "w", encoding="ascii") as out:
            out.write(file)
        self.server.configure({"mime": {"types": types, "file": "types"}})
        return self.server.reload()

    def test_types_by_configuration_and_file(self):
        status, text = self.reload([{"extensions": ["own", "html"], "type": "text/x-own"}],
                                   "# types\ntext/html html\napplication/x-listed listed\n"
                                   "application/cwl+json\tcwl.json\ntext/plain;charset=us-ascii txt\n")
        self.assertEqual(status, 0, text)
        for name, kind in (("a.own", "text/x-own; charset=utf-8"), ("a.HTML", "text/x-own; charset=utf-8"),
                           ("a.listed", "application/x-listed"), ("a.cwl.json", "application/cwl+json"),
                           ("a.json", "application/json"), ("a.none", "application/octet-stream"),
                           ("a.txt", "text/plain;charset=us-ascii")):
            self.assertEqual(self.server.get("/" + name).header("content-type"), kind)
        status, text = self.reload([{"extensions": ["own"], "type": "image/x-own"}], "text/x-listed listed\n")
        self.assertEqual(status, 0, text)
        for name, kind in (("a.own", "image/x-own"), ("a.listed", "text/x-listed; charset=utf-8"),
                           ("a.HTML", "text/html; charset=utf-8")):
            self.assertEqual(self.server.get("/" + name).header("content-type"), kind)
        response = self.server.get("/a.listed", [("Range", "bytes=0-0,2-2")])
        self.assertIn(b"Content-Type: text/x-listed; charset=utf-8", response.body)

    def test_types_that_are_none(self):
        for types, file, expected in (
                ([{"extensions": [".own"], "type": "text/x"}], "", "is no extension"),
                ([{"extensions": ["own"], "type": "text"}], "", "is no media type"),
                ([{"extensions": ["own"], "type": "text/x\nX: y"}], "", "is no media type"),
                ([{"extensions": ["own"]}], "", "type is missing"),
                ([{"extensions": ["own"], "type": "a/b"}], "a/b c\ntypes {\n", "types:2:1: \"types\" is no media type")):
            status, text = self.reload(types, file)
            self.assertNotEqual(status, 0)
            self.assertIn(expected, text)
        os.unlink(os.path.join(self.server.dir, "types"))
        os.mkfifo(os.path.join(self.server.dir, "types"))
        self.addCleanup(os.unlink, os.path.join(self.server.dir, "types"))
        status, text = self.server.reload()
        self.assertNotEqual(status, 0)
        self.assertIn("no regular file", text)


class Refused(unittest.TestCase):
    """Settings that mean nothing, with their place."""

    def check(self, files, *expected):
        directory = drover.temporary_directory()
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        path = directory + "/drover.conf"
        with open(path, "w", encoding="utf-8") as file:
            file.write('listen = ( { address = "127.0.0.1:1"; } );\nsites = ( { routes = ( { match = "/"; files = {\n'
                       + files.replace("DIR", directory) + "\n}; } ); } );\n")
        result = drover.run("-t", "-c", path)
        self.assertEqual(result.returncode == 0, not expected, result.stderr)
        for text in expected:
            self.assertIn(text, result.stderr)

    def test_root_and_alias(self):
        self.check('root = "DIR";')
        self.check('alias = "DIR";')
        self.check('alias = "DIR/drover.conf";')
        self.check('root = "DIR"; alias = "DIR";', ":3:", ": root and alias exclude each other")
        self.check('listing = false;', "root or alias is missing")
        self.check('alias = "DIR/none";', ":3:9: ", "/none: No such file")
        self.check('alias = "/dev/null";', ":3:9: ", "neither a directory nor a file")

    def test_paths_and_words(self):
        self.check('root = "DIR"; try = [ "index.html" ];', "is no path below the root")
        self.check('root = "DIR"; try = [ "/a/../b" ];', "is no path below the root")
        self.check('root = "DIR"; try = [ "/a", "/..a", "/b.." ];')
        self.check('root = "DIR"; index = [ "/index.html" ];', "is no file in a directory")
        self.check('root = "DIR"; index = [ "../x" ];', "is no file in a directory")
        self.check('root = "DIR"; precompressed = [ "gzip" ];', 'is none of "zst", "br" and "gz"')
        self.check('root = "DIR"; precompressed = [ ];')
        self.check('root = "DIR"; symlinks = "maybe";', '"deny", "inside" or "all"')


class SymlinksWithoutOpenat2(Symlinks, unittest.TestCase):
    accept = "reuseport"
    preexec = staticmethod(without_openat2)

    def test_there_is_none(self):
        for worker in self.server.children():
            self.assertEqual(drover.process_status(worker)["Seccomp"], "2")


in_every_mode(globals(), Places, Symlinks, Freshness, Negotiation, Types)

if __name__ == "__main__":
    unittest.main()
