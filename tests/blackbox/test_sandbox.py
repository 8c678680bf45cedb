"""What workers can read (Landlock): the directories that roots are in and nothing else, for as long as they
live; what is swapped below is served at once, what needs more is a replacement; a kernel without it serves, too."""

import ctypes
import errno
import os
import shutil
import struct
import unittest

import drover
from drover import Drover

CREATE_RULESET = 444


def without_landlock(error):
    """As a kernel without it (ENOSYS), one where it is off (EOPNOTSUPP), or a container (EPERM): seccomp(2)."""
    def prepare():
        # BPF_LD|BPF_W|BPF_ABS the number of the call; BPF_JMP|BPF_JEQ; BPF_RET
        filters = [(0x20, 0, 0, 0), (0x15, 0, 1, CREATE_RULESET), (0x06, 0, 0, 0x00050000 | error),
                   (0x06, 0, 0, 0x7fff0000)]
        code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *row) for row in filters))
        program = ctypes.create_string_buffer(struct.pack("HL", len(filters), ctypes.addressof(code)))
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(38, 1, 0, 0, 0) != 0 or libc.prctl(22, 2, program, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
    return prepare


def put(*path, content="hello"):
    name = os.path.join(*path)
    os.makedirs(os.path.dirname(name), exist_ok=True)
    with open(name, "w", encoding="ascii") as file:
        file.write(content)
    return name


def site(root, **more):
    return {"sites": [{"routes": [{"match": "/", "files": {"root": root, **more}}]}]}


def derived(*args):
    """The list that -T prints, and its line."""
    result = drover.run("-T", *args)
    lines = [line.strip() for line in result.stdout.splitlines() if line.strip().startswith("read = ")]
    text = lines[0].split("[", 1)[1].rsplit("]", 1)[0] if lines else ""
    return [word.strip().strip('"') for word in text.split(",") if word.strip()], "".join(lines) + result.stderr


class Place(unittest.TestCase):
    """A directory that is not below the one of the daemon."""

    def setUp(self):
        self.top = os.path.realpath(drover.temporary_directory())
        self.addCleanup(shutil.rmtree, self.top, ignore_errors=True)

    def at(self, name):
        return os.path.join(self.top, name)

    def serve(self, settings=None, **more):
        server = Drover(settings, **more)
        self.addCleanup(server.close)
        return server

    def reload(self, server, settings):
        server.configure(settings)
        status, text = server.reload()
        self.assertEqual(status, 0, text)
        return text

    def assert_body(self, server, target, body):
        response = server.get(target)
        self.assertEqual((response.status, response.body), (200, body.encode()), server.log.text())


class Derived(Place):
    """What -T says that workers may read."""

    def list_of(self, settings):
        config = put(self.top, "conf/drover.conf", content=drover.render(
            {"listen": [{"address": "127.0.0.1:80"}], "control": "off", **settings}))
        return derived("-c", config)

    def test_the_directory_that_a_root_is_in(self):
        put(self.top, "www/one/x")
        self.assertEqual(self.list_of(site(self.at("www/one")))[0], [self.at("www")])
        self.assertIn("# derived", self.list_of(site(self.at("www/one/")))[1])

    def test_as_written_and_as_a_symlink_leads(self):
        put(self.top, "releases/42/x")
        os.mkdir(self.at("www"))
        os.symlink("../releases/42", self.at("www/current"))
        self.assertEqual(self.list_of(site(self.at("www/current")))[0], [self.at("releases"), self.at("www")])

    def test_files_that_are_opened_as_well(self):
        put(self.top, "www/one/x")
        put(self.top, "users/file", content="")
        put(self.top, "icons/i.ico")
        put(self.top, "pages/404.html")
        found, _ = self.list_of({"sites": [{
            "error_pages": [{"status": ["404"], "file": self.at("pages/404.html")}],
            "auth": {"file": self.at("users/file")},
            "routes": [{"match": "/", "files": {"root": self.at("www/one")}, "auth": {"file": "off"}},
                       {"match": "/i", "files": {"alias": self.at("icons/i.ico")}}]}]})
        self.assertEqual(found, [self.at(name) for name in ("icons", "pages", "users", "www")])

    def test_what_is_named_is_not_derived(self):
        put(self.top, "srv/a/one/x")
        put(self.top, "srv/b/two/x")
        settings = site(self.at("srv/a/one"))
        settings["sites"][0]["routes"].append({"match": "/b", "files": {"root": self.at("srv/b/two")}})
        self.assertEqual(self.list_of(settings)[0], [self.at("srv/a"), self.at("srv/b")])
        found, line = self.list_of({**settings, "sandbox": {"read": [self.at("srv")]}})
        self.assertEqual(found, [self.at("srv")])
        self.assertIn("drover.conf:", line)

    def test_a_named_root_does_not_open_what_is_above(self):
        put(self.top, "srv/one/x")
        found, _ = self.list_of({**site(self.at("srv/one")), "sandbox": {"read": [self.at("srv/one")]}})
        self.assertEqual(found, [self.at("srv/one")])

    def test_what_is_named_and_not_there_is_said(self):
        put(self.top, "srv/one/x")
        settings = {**site(self.at("srv/one")), "sandbox": {"read": [self.at("later")]}}
        self.assertEqual(self.list_of(settings)[0], [self.at("srv")])
        result = drover.run("-t", "--offline", "-c", self.at("conf/drover.conf"))
        self.assertIn("sandbox_not_there", result.stderr)

    def test_never_all_of_the_machine(self):
        found, _ = self.list_of(site("/usr"))
        self.assertEqual(found, ["/usr"])
        result = drover.run("-t", "--offline", "-c", self.at("conf/drover.conf"))
        self.assertIn("sandbox_top", result.stderr)

    def test_without_roots_nothing(self):
        found, line = self.list_of({"sites": [{"routes": [{"match": "/", "respond": {}}]}]})
        self.assertEqual(found, [])
        self.assertIn("read = [", line)


class Swaps(Place):
    """Without a reload."""

    def test_a_symlink_that_is_the_root(self):
        put(self.top, "releases/1/a", content="one")
        put(self.top, "releases/2/a", content="two")
        os.mkdir(self.at("www"))
        os.symlink("../releases/1", self.at("www/current"))
        server = self.serve(site(self.at("www/current")))
        self.assert_body(server, "/a", "one")
        os.symlink("../releases/2", self.at("www/new"))
        os.rename(self.at("www/new"), self.at("www/current"))
        self.assert_body(server, "/a", "two")
        put(self.top, "www/real/a", content="three")    # a directory in place of the link
        os.unlink(self.at("www/current"))
        os.rename(self.at("www/real"), self.at("www/current"))
        self.assert_body(server, "/a", "three")

    def test_a_symlink_above_the_root(self):
        put(self.top, "releases/1/public/a", content="one")
        put(self.top, "releases/2/public/a", content="two")
        os.mkdir(self.at("www"))
        os.symlink("../releases/1", self.at("www/current"))
        server = self.serve(site(self.at("www/current/public")))
        self.assert_body(server, "/a", "one")
        os.symlink("../releases/2", self.at("www/new"))
        os.rename(self.at("www/new"), self.at("www/current"))
        self.assert_body(server, "/a", "two")

    def test_a_root_that_is_renamed_away(self):
        put(self.top, "www/root/a", content="one")
        put(self.top, "www/next/a", content="two")
        server = self.serve(site(self.at("www/root")))
        self.assert_body(server, "/a", "one")
        os.rename(self.at("www/root"), self.at("www/old"))
        os.rename(self.at("www/next"), self.at("www/root"))
        self.assert_body(server, "/a", "two")

    def test_a_symlink_that_leaves_leads_to_what_may_be_read_only(self):
        put(self.top, "www/root/a")
        put(self.top, "other/b", content="outside")
        os.symlink(self.at("other/b"), self.at("www/root/b"))
        server = self.serve(site(self.at("www/root"), symlinks="all"))
        self.assertEqual(server.get("/b").status, 403)
        for settings in ({"read": [self.at("www"), self.at("other")]}, {"landlock": False}):
            since = server.log.mark()
            self.reload(server, {"sandbox": settings})
            server.log.wait("handover_done", since)
            self.assert_body(server, "/b", "outside")

    def test_an_error_page_and_users_that_are_swapped(self):
        put(self.top, "www/root/a")
        page = put(self.top, "pages/404.html", content="first")
        settings = site(self.at("www/root"))
        settings["sites"][0]["error_pages"] = [{"status": ["404"], "file": page}]
        server = self.serve(settings)
        self.assertEqual(server.get("/none").body, b"first")
        os.rename(put(self.top, "pages/new", content="second"), page)
        self.assertEqual(server.get("/none").body, b"second")


class Reloads(Place):
    def setUp(self):
        super().setUp()
        put(self.top, "www/one/a", content="one")
        put(self.top, "www/two/a", content="two")
        put(self.top, "data/far/a", content="far")

    def test_below_what_workers_have_they_stay(self):
        server = self.serve(site(self.at("www/one")))
        before = server.workers()
        self.reload(server, site(self.at("www/two")))
        self.assertEqual(server.workers(), before)
        self.assert_body(server, "/a", "two")

    def test_beyond_it_they_are_replaced_and_idle_connections_move(self):
        server = self.serve(site(self.at("www/one")))
        before = server.workers()
        with server.client() as client:
            self.assertEqual(client.request("/a").body, b"one")
            self.assertIn("sandbox.read", self.reload(server, site(self.at("data/far"))))
            server.log.wait("handover_done")    # until then a worker of before may answer
            self.assertEqual(client.request("/a").body, b"far")
        self.assertFalse(set(before.values()) & set(server.workers().values()))

    def test_less_is_adopted(self):
        server = self.serve({**site(self.at("www/one")), "sandbox": {"read": [self.top]}})
        before = server.workers()
        self.reload(server, {"sandbox": {"read": [self.at("www")]}})
        self.assertEqual(server.workers(), before)

    def test_asked_before_it_says_that_it_would_replace(self):
        server = self.serve(site(self.at("www/one")))
        server.configure(site(self.at("data/far")))
        self.assertIn("would replace 2 workers (sandbox.read changed)", server.ctl("check").stdout)

    def test_a_directory_that_was_made_anew_is_a_replacement(self):
        server = self.serve(site(self.at("www/one")))
        before = server.workers()
        succeeded = server.status()["last_reload"]["succeeded"]
        shutil.move(self.at("www"), self.at("gone"))
        put(self.top, "www/one/a", content="anew")
        self.assertEqual(server.get("/a").status, 403)          # the domain is for what has gone
        self.assertIn("would replace", server.ctl("check").stdout)
        with server.client() as client:
            self.assertIn("is another one than it was", self.reload(server, {}))
            server.log.wait("handover_done")
            self.assertEqual(client.request("/a").body, b"anew")
        self.assertFalse(set(before.values()) & set(server.workers().values()))
        self.assertEqual(server.status()["last_reload"]["succeeded"], succeeded + 1)    # one, though it began twice
        after = server.workers()
        self.assertNotIn("replaced", self.reload(server, {}))
        self.assertEqual(server.workers(), after)

    def test_a_root_that_comes_to_be_where_none_was(self):
        server = self.serve({**site(self.at("www/one")), "sandbox": {"read": [self.at("www"), self.at("later")]}})
        put(self.top, "later/x/a", content="later")
        self.assertIn("sandbox.read", self.reload(server, site(self.at("later/x"))))
        server.log.wait("handover_done")
        self.assert_body(server, "/a", "later")

    def test_an_upgrade(self):
        server = self.serve(site(self.at("www/one")), own=True)
        result = server.ctl("upgrade")
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assert_body(server, "/a", "one")
        self.reload(server, site(self.at("data/far")))
        server.wait_status(lambda status: len(status["workers"]) == len(status["slots"]))
        self.assert_body(server, "/a", "far")


class Degraded(Place):
    def serve_without(self, error):
        put(self.top, "www/one/a", content="one")
        put(self.top, "data/far/a", content="far")
        server = self.serve(site(self.at("www/one")), preexec=without_landlock(error))
        self.assert_body(server, "/a", "one")
        self.reload(server, site(self.at("data/far")))
        server.log.wait("handover_done")
        self.assert_body(server, "/a", "far")
        self.assertEqual(len(server.log.find("sandbox_degraded", layer="landlock")), 1, server.log.text())
        self.assertFalse(server.status()["sandbox"]["landlock"]["effective"])
        result = drover.run("-T", "-c", server.config, preexec_fn=without_landlock(error))
        self.assertIn("# sandbox.landlock is off here: ", result.stdout)

    def test_a_kernel_that_has_none(self):
        self.serve_without(errno.ENOSYS)

    def test_one_where_it_is_off(self):
        self.serve_without(errno.EOPNOTSUPP)

    def test_a_container_that_forbids_it(self):
        self.serve_without(errno.EPERM)


class Unprivileged(Place):
    @unittest.skipUnless(os.geteuid() == 0, "becomes another user")
    def test_whoever_starts_it(self):
        put(self.top, "www/one/a", content="one")
        os.chmod(self.top, 0o755)
        config = drover.render({"control": "off", "listen": [{"address": "127.0.0.1:80"}], **site(self.at("www/one"))})
        name = put(self.top, "conf/drover.conf", content=config)

        def become():
            os.setgid(65534)
            os.setuid(65534)
        result = drover.run("-T", "-c", name, preexec_fn=become)
        self.assertIn('read = [ "%s" ]' % self.at("www"), result.stdout)


if __name__ == "__main__":
    unittest.main()
