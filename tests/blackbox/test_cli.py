"""The command line: -h -V -t -T, what -r serves, and what is refused."""

import os
import re
import shutil
import subprocess
import unittest

import drover
from drover import Drover, run

MINIMAL = 'listen = ( { address = "127.0.0.1:8080"; } );\n' \
          'sites = ( { routes = ( { match = "/"; files = { root = "%s"; }; } ); } );\n'


class Files(unittest.TestCase):
    def setUp(self):
        self.dir = drover.temporary_directory()
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def file(self, text, name="drover.conf"):
        path = os.path.join(self.dir, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, 0o644)
        return path

    def minimal(self, more=""):
        return self.file(MINIMAL % self.dir + more)


class Options(unittest.TestCase):
    def test_help_names_every_option(self):
        for flag in ("-h", "--help"):
            result = run(flag)
            self.assertEqual(result.returncode, 0, result.stderr)
            for option in ("-c", "-t", "-T", "-V", "-h", "-r", "-l"):
                self.assertRegex(result.stdout, r"(?m)^\s*%s\b|[\s,]%s[\s,]" % (option, option))
            self.assertEqual(result.stderr, "")

    def test_version(self):
        for flag in ("-V", "--version"):
            result = run(flag)
            self.assertEqual(result.returncode, 0)
            self.assertRegex(result.stdout, r"^drover \d+\.\d+\.\d+\n")

    def test_an_unknown_option_is_refused(self):
        for arguments in (["--nonsense"], ["-Z"], ["-c"], ["stray"], ["-t", "stray"], ["-r"]):
            with self.subTest(arguments):
                result = run(*arguments)
                self.assertEqual(result.returncode, 2)
                self.assertEqual(result.stdout, "")
                self.assertIn("drover", result.stderr)

    def test_options_that_exclude_each_other(self):
        for arguments in (["-r", "/tmp", "-c", "/dev/null"], ["-l", "127.0.0.1:1", "-c", "/dev/null"]):
            with self.subTest(arguments):
                self.assertEqual(run(*arguments).returncode, 2)

    def test_a_bad_address_is_refused(self):
        for address in ("127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:http", "[::1:80", "1.2.3:80"):
            with self.subTest(address):
                result = run("-r", "/tmp", "-l", address)
                self.assertEqual(result.returncode, 2)
                self.assertIn(address, result.stderr)

    def test_no_directory_to_serve(self):
        result = run("-r", "/nonexistent/directory", "-l", "%s:%d" % drover.free_address())
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("/nonexistent/directory", result.stderr)


class Check(Files):
    def test_a_good_file(self):
        result = run("-t", "-c", self.minimal())
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_long_options(self):
        path = self.minimal()
        result = run("--test", "--config", path)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(run("--config=" + path, "--test").returncode, 0)

    def test_a_missing_file(self):
        result = run("-t", "-c", self.dir + "/none.conf")
        self.assertEqual(result.returncode, 2)
        self.assertIn("none.conf", result.stderr)
        self.assertIn("No such file", result.stderr)

    def test_an_error_has_file_line_and_column(self):
        path = self.minimal('workers = 0;\n')
        result = run("-t", "-c", path)
        self.assertEqual(result.returncode, 2)
        self.assertRegex(result.stderr, r"(?m)^%s:3:\d+: .*1.*1024" % re.escape(path))

    def test_a_syntax_error_has_file_line_and_column(self):
        path = self.minimal('workers = = 2;\n')
        result = run("-t", "-c", path)
        self.assertEqual(result.returncode, 2)
        self.assertIn("%s:3:11: " % path, result.stderr)

    def test_all_semantic_errors_are_reported(self):
        path = self.minimal('workers = 0;\naccept = "nonsense";\ntimeouts = { drain = 3; };\n')
        result = run("-t", "-c", path)
        self.assertEqual(result.returncode, 2)
        for line in (3, 4, 5):
            self.assertIn("%s:%d:" % (path, line), result.stderr)
        self.assertIn("reuseport", result.stderr)

    def test_starting_with_a_bad_file_fails_in_the_same_words(self):
        path = self.minimal('workers = 0;\n')
        result = run("-c", path)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("%s:3:" % path, result.stderr)

    def test_the_shipped_file(self):
        path = os.path.join(drover.TOP, "conf", "drover.conf")
        result = run("-t", "-c", path)
        self.assertEqual(result.returncode, 0, result.stderr)


class Print(Files):
    EVERYTHING = """
workers = 3;
accept = "shared";
reload = "replace";
control = "%(dir)s/with \\"quotes\\" and \\\\.sock";
listen = ( { address = "127.0.0.1:8080"; backlog = 17; defer_accept = true; },
           { address = "[::1]:8080"; v6only = true; },
           { address = "unix:%(dir)s/web.sock"; } );
sites = (
  { hosts = [ "example.org", "*.example.org" ];
    routes = ( { match = "/private"; files = { root = "%(dir)s"; }; allow = [ "127.0.0.0/8", "::1" ]; },
               { match = "/"; files = { root = "%(dir)s"; index = [ "a.html", "b.html" ]; }; } ); },
  { routes = ( { match = "/"; files = { root = "%(dir)s"; }; } ); } );
log = { level = "debug"; error = "error.log"; access = "%(dir)s/access.log"; };
timeouts = { request_head = "1500ms"; keep_alive = "2m"; send = "7s"; drain = "0"; prepare = "1s"; };
limits = { request_line = "1000"; header_bytes = "16k"; headers = 17; connections = 1000; open_files = 100; };
"""

    def values(self, text):
        """Without comments and white space: where a value came from differs between the two."""
        return [line.strip() for line in re.sub(r'("(?:[^"\\]|\\.)*")|#[^\n]*', r"\1", text).splitlines()
                if line.strip()]

    def assert_round_trip(self, path):
        first = run("-T", "-c", path)
        self.assertEqual(first.returncode, 0, first.stderr)
        again = self.file(first.stdout, "again.conf")
        self.assertEqual(run("-t", "-c", again).returncode, 0)
        second = run("-T", "-c", again)
        self.assertEqual(second.returncode, 0, second.stderr)
        self.assertEqual(self.values(first.stdout), self.values(second.stdout))
        return first.stdout

    def test_secrets_of_header_fields_are_not_printed(self):
        path = self.file('listen = ( { address = "127.0.0.1:1"; } );\nsites = ( { headers = { set = [ "X-Api-Key: geheim",'
                         ' "X-A: shown" ]; add = [ "Set-Cookie: s=geheim" ]; }; routes = ( { match = "/"; respond = '
                         '{ body = "x"; }; } ); } );\n', "secret.conf")
        result = run("-T", "-c", path)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertNotIn("geheim", result.stdout)
        self.assertIn('set = [ "X-Api-Key: (redacted)", "X-A: shown" ];', result.stdout)
        self.assertIn('add = [ "Set-Cookie: (redacted)" ];', result.stdout)
        self.assertIn("# (redacted) stands for 2 values", result.stdout)

    def test_defaults(self):
        text = self.assert_round_trip(self.minimal())
        for name in ("workers", "accept", "keep_alive", "request_line", "open_files", "backlog", "index"):
            self.assertRegex(text, r"(?m)^\s*%s\s*=" % name)

    def test_everything(self):
        text = self.assert_round_trip(self.file(self.EVERYTHING % {"dir": self.dir}))
        self.assertIn('"%s/error.log"' % self.dir, text)  # relative to the file it was written in
        self.assertIn('with \\"quotes\\" and \\\\.sock', text)
        self.assertRegex(text, r"\bbacklog = 17;")

    def test_each_value_says_where_it_came_from(self):
        path = self.minimal("workers = 3;\n")
        text = run("-T", "-c", path).stdout
        self.assertRegex(text, r"(?m)^workers = 3;\s*# .*drover\.conf:3")
        self.assertRegex(text, r"(?m)^accept = \"directed\";\s*# .*default")

    def test_what_auto_means_here(self):
        text = run("-T", "-c", self.minimal(), env={**os.environ, "RUNTIME_DIRECTORY": "/run/here"}).stdout
        self.assertRegex(text, r'(?m)^# workers = "auto" is [1-9]\d* here$')
        self.assertRegex(text, r'(?m)^# limits\.open_files = "auto" is [1-9]\d+ here$')
        self.assertRegex(text, r'(?m)^# control = "auto" is /run/here/control\.sock here$')
        self.assertRegex(text, r"(?m)^# workers run as uid [1-9]\d*, gid \d+")

    def test_an_included_value_names_its_file(self):
        self.file("\nworkers = 4;\n", "more.conf")
        text = run("-T", "-c", self.minimal('@include "more.conf"\n')).stdout
        self.assertRegex(text, r"(?m)^workers = 4;\s*# .*more\.conf:2")

    def test_a_bad_file_prints_nothing(self):
        result = run("-T", "-c", self.minimal("workers = 0;\n"))
        self.assertEqual(result.returncode, 2)
        self.assertEqual(result.stdout, "")


class FailedStart(Files):
    def start(self, env):
        read, write = os.pipe()
        info = os.fstat(write)
        env = {key: value.format(info) for key, value in env.items()}
        path = self.file("workers = 0;\nnonsense = 1;\n")
        status = subprocess.run([drover.DROVER, "-c", path], stderr=write, env={**os.environ, **env},
                                timeout=drover.DEADLINE).returncode
        os.close(write)
        with os.fdopen(read, encoding="utf-8") as file:
            return status, file.read().splitlines()

    def test_plain_lines_for_a_person(self):
        status, lines = self.start({})
        self.assertEqual(status, 2)
        self.assertGreater(len(lines), 1)
        self.assertTrue(lines[0].startswith("drover: "), lines)
        self.assertEqual([line for line in lines if "<" in line], [])

    def test_errors_for_the_journal(self):
        """So that `journalctl -p warning` shows why a start failed."""
        status, lines = self.start({"JOURNAL_STREAM": "{0.st_dev}:{0.st_ino}"})
        self.assertEqual(status, 2)
        self.assertGreater(len(lines), 1)
        self.assertEqual([line for line in lines if not line.startswith("<3>")], [])


class Directory(unittest.TestCase):
    def test_serves_a_directory(self):
        address = drover.free_address()
        directory = drover.temporary_directory()
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        with open(directory + "/index.html", "w", encoding="ascii") as file:
            file.write("<p>from a directory\n")
        os.chmod(directory + "/index.html", 0o644)
        for flags in (["-r", directory, "-l", "%s:%d" % address],
                      ["--root", directory, "--listen", "%s:%d" % address]):
            with self.subTest(flags):
                with Drover(args=flags, env={**os.environ, "RUNTIME_DIRECTORY": directory}) as server:
                    response = server.get(address=address)
                    self.assertEqual((response.status, response.body), (200, b"<p>from a directory\n"))
                    self.assertEqual(server.stop(), 0)

    def test_lists_what_has_no_index(self):
        address = drover.free_address()
        directory = drover.temporary_directory()
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        os.mkdir(directory + "/photos")
        with Drover(args=["-r", directory, "-l", "%s:%d" % address],
                    env={**os.environ, "RUNTIME_DIRECTORY": directory}) as server:
            response = server.get(address=address)
            self.assertEqual(response.status, 200)
            self.assertIn(b'href="photos/"', response.body)

    def test_workers_are_never_root(self):
        """As root, the owner of the directory; nobody for a directory of root's."""
        if os.geteuid() != 0:
            return  # workers are whoever started it
        for owner, workers in ((0, 65534), (1, 1)):
            address = drover.free_address()
            directory = drover.temporary_directory()
            self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
            os.chmod(directory, 0o755)
            os.chown(directory, owner, -1)
            with self.subTest(owner):
                with Drover(args=["-r", directory, "-l", "%s:%d" % address],
                            env={**os.environ, "RUNTIME_DIRECTORY": directory}) as server:
                    server.control = os.path.join(directory, "control.sock")
                    self.assertTrue(server.workers())
                    for pid in server.workers().values():
                        self.assertEqual(os.stat("/proc/%d" % pid).st_uid, workers)

    def test_a_private_directory_of_root(self):
        if os.geteuid() != 0:
            return
        directory = drover.temporary_directory()
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        os.chmod(directory, 0o700)
        result = run("-r", directory, "-l", "%s:%d" % drover.free_address())
        self.assertEqual(result.returncode, 2)
        self.assertRegex(result.stderr, "Permission denied .*as uid 65534")

    def test_says_where_in_one_line(self):
        address = drover.free_address()
        with Drover(args=["-r", os.path.join(drover.TOP, "conf", "site"), "-l", "%s:%d" % address],
                    env={**os.environ, "RUNTIME_DIRECTORY": "/proc/none"}, wait=False) as server:
            self.assertIn("%s:%d" % address, server.log.wait("listening").line)


if __name__ == "__main__":
    unittest.main()
