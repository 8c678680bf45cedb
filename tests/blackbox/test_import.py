#!/usr/bin/env python3
"""`droverctl import`: the configurations in tests/import, what becomes of them, and that drover takes it.

`test_import.py --write` writes the expectations anew: read the difference before it is committed."""

import glob
import json
import os
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import drover  # noqa: E402

HERE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "import")
NAMES = sorted(os.path.basename(path)[:-len(".conf")] for path in glob.glob(os.path.join(HERE, "*.conf")))
COMPLETE = ("acme", "inherit", "quotes", "smallest")    # all of it has a counterpart


def run(*arguments, cwd=HERE, environment=None):
    return subprocess.run([os.path.abspath(drover.CTL), "import", *arguments], capture_output=True, text=True, cwd=cwd,
                          timeout=drover.DEADLINE, env=environment)


def expected(name, part):
    with open(os.path.join(HERE, "%s.%s" % (name, part)), encoding="utf-8") as file:
        return file.read()


def write_expectations():
    for name in NAMES:
        result = run(name + ".conf")
        for part, text in (("expected", result.stdout), ("report", result.stderr)):
            with open(os.path.join(HERE, "%s.%s" % (name, part)), "w", encoding="utf-8") as file:
                file.write(text)


class Case(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        os.chmod(self.directory, 0o755)

    def file(self, text, name="nginx.conf"):
        path = os.path.join(self.directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def server(self, text):
        """What becomes of a server's directives, and the report."""
        result = run(self.file("events { }\nhttp { server { listen 8080;\n%s\n} }\n" % text))
        self.assertIn(result.returncode, (0, 1), result.stderr)
        return result.stdout, result.stderr


class Golden(Case):
    maxDiff = None

    def test_each_becomes_what_is_expected_and_the_report_says_what_is_missing(self):
        self.assertGreater(len(NAMES), 7)
        for name in NAMES:
            with self.subTest(name):
                result = run(name + ".conf")
                self.assertEqual(result.stdout, expected(name, "expected"))
                self.assertEqual(result.stderr, expected(name, "report"))
                self.assertEqual(result.returncode, 0 if name in COMPLETE else 1)

    def test_the_checker_takes_all_of_them(self):
        """But for the roots, which are nowhere: they are looked at when all else is fine."""
        for name in NAMES:
            with self.subTest(name):
                path = self.file(run(name + ".conf").stdout, "drover.conf")
                said = subprocess.run([drover.DROVER, "-c", path, "-t", "--offline"], capture_output=True, text=True,
                                      timeout=drover.DEADLINE).stderr
                self.assertEqual([line for line in said.splitlines() if line.startswith(path) and
                                  "No such file or directory" not in line and ": info" not in line and
                                  ": warning" not in line], [])

    def test_all_that_is_reported_stands_in_the_output_too(self):
        for name in NAMES:
            config = run(name + ".conf").stdout
            for line in run(name + ".conf").stderr.partition("NOT TRANSLATED")[2].splitlines()[1:]:
                where, _, what = line.strip().partition(": ")
                with self.subTest(line):
                    self.assertIn("# %s: %s" % (os.path.basename(where), what), config)


class Command(Case):
    def test_a_file_that_is_there_is_left_as_it_is(self):
        path = self.file("mine\n", "drover.conf")
        result = run("smallest.conf", "--output", path)
        self.assertEqual(result.returncode, 2)
        self.assertIn("is there already", result.stderr)
        with open(path, encoding="utf-8") as file:
            self.assertEqual(file.read(), "mine\n")

    def test_output_goes_to_a_new_file(self):
        path = os.path.join(self.directory, "new.conf")
        result = run("smallest.conf", "--output", path)
        self.assertEqual((result.returncode, result.stdout), (0, ""))
        with open(path, encoding="utf-8") as file:
            self.assertEqual(file.read(), expected("smallest", "expected"))

    def test_json_has_the_configuration_and_the_report(self):
        result = run("missing.conf", "--json")
        answer = json.loads(result.stdout)
        self.assertEqual(result.returncode, 1)
        self.assertFalse(answer["ok"])
        self.assertEqual(answer["config"], expected("missing", "expected"))
        self.assertEqual(answer["missing"], len([1 for note in answer["report"] if note["kind"] == "missing"]))
        note = next(note for note in answer["report"] if note["directive"] == "upstream")
        self.assertEqual((note["file"], note["line"], note["kind"]), ("missing.conf", 6, "missing"))
        self.assertEqual(result.stderr, "")

    def test_strict_counts_what_is_a_little_different(self):
        self.assertEqual(run("inherit.conf").returncode, 0)
        self.assertEqual(run("inherit.conf", "--strict").returncode, 1)
        self.assertEqual(run("smallest.conf", "--strict").returncode, 0)

    def test_what_cannot_be_read_is_said_with_its_place(self):
        for text, said in (("http { server { root /x } }", "nginx.conf:1: unexpected \"}\""),
                           ("http {\nserver { }", "nginx.conf:1: the block is not closed"),
                           ("http { }\n}", "nginx.conf:2: unexpected \"}\""),
                           ("root 'x", "nginx.conf:1: the quotes are not closed"),
                           ("root", "nginx.conf:1: the file ends where"),
                           ("include nowhere.conf;", "nginx.conf:1: include: "),
                           ("events { }", "there is no server in it"),
                           ("a{" * 40 + "}" * 40, "more than 32 deep")):
            with self.subTest(text):
                result = run(self.file(text))
                self.assertEqual((result.returncode, result.stdout), (2, ""))
                self.assertIn(said, result.stderr)

    def test_no_file_at_all(self):
        self.assertEqual(run(os.path.join(self.directory, "none")).returncode, 2)
        self.assertEqual(run(self.directory).returncode, 2)
        self.assertIn("expected an nginx configuration", run().stderr)

    def test_a_fifo_is_not_waited_for(self):
        path = os.path.join(self.directory, "fifo")
        os.mkfifo(path)
        result = run(path)
        self.assertEqual(result.returncode, 2)
        self.assertIn("no regular file", result.stderr)

    def test_a_command_that_is_mistyped_is_guessed(self):
        for word, said in (("improt", "did you mean import?"), ("stat", "did you mean status?"), ("xyz", "--help lists")):
            result = subprocess.run([drover.CTL, word], capture_output=True, text=True, timeout=drover.DEADLINE,
                                    check=False)
            self.assertEqual(result.returncode, 2)
            self.assertIn(said, result.stderr)

    def test_it_needs_no_daemon(self):
        environment = {name: value for name, value in os.environ.items() if name not in
                       ("RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR")}
        self.assertEqual(run("smallest.conf", environment=environment).returncode, 0)

    def test_a_port_picks_the_servers_of_an_instance(self):
        path = self.file("events { } http { server { listen 80; server_name a.example; root /srv/a; }\n"
                         "server { listen 8443; server_name a.example; root /srv/b; } }")
        self.assertIn("has a site already", run(path).stderr)
        for port, root, other in (("80", "/srv/a", "/srv/b"), ("8443", "/srv/b", "/srv/a")):
            result = run(path, "--port", port)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertIn('"0.0.0.0:%s"' % port, result.stdout)
            self.assertIn(root, result.stdout)
            self.assertNotIn(other, result.stdout)
        self.assertEqual(run(path, "--port", "81").returncode, 2)
        self.assertEqual(run(path, "--port", "x").returncode, 2)

    def test_roots_are_relative_to_the_prefix_and_users_to_the_file(self):
        path = self.file("http { server { root html; auth_basic a; auth_basic_user_file users; } }")
        config = run(path, "--prefix", "/opt/nginx").stdout
        self.assertIn('root = "/opt/nginx/html"', config)
        self.assertIn('file = "%s/users"' % os.path.realpath(self.directory), config)
        self.assertEqual(run(path, "--prefix", "opt").returncode, 2)

    def test_a_part_with_servers_alone_will_do(self):
        result = run(self.file("server { listen 8080; server_name a.example; root /srv/a; }", "sites/a"))
        self.assertEqual(result.returncode, 0)
        self.assertIn('root = "/srv/a"', result.stdout)


class Values(Case):
    def test_a_time_of_milliseconds_is_one_of_seconds_for_caches(self):
        config, _ = self.server("root /srv; expires 1500ms; add_header Cache-Control public;")
        self.assertIn('cache_control = "max-age=1, public";', config)


class Safety(Case):
    """What was guarded or handed to a program is not open afterwards."""

    def test_a_path_behind_a_program_is_not_served_as_files(self):
        config, _ = self.server("root /srv; location /app/ { proxy_pass http://127.0.0.1:3000; }")
        self.assertRegex(config, r'match = "/app/";\n(?: *#.*\n)*.*respond = \{ status = 501; \}')

    def test_programs_that_would_be_sent_are_warned_of(self):
        _, report = self.server("root /srv; location ~ \\.php$ { fastcgi_pass 127.0.0.1:9000; }")
        self.assertIn("CAUTION", report)

    def test_a_password_that_cannot_be_asked_for_closes_the_path(self):
        config, report = self.server("root /srv; location /a/ { auth_basic $who; auth_basic_user_file /u; }")
        self.assertIn("respond = { status = 403; }", config)
        self.assertIn("auth_basic", report)

    def test_nobody_stays_nobody(self):
        config, _ = self.server("root /srv; location /a/ { deny all; location /a/b/ { } }")
        self.assertEqual(config.count("respond = { status = 403; }"), 2)

    GUARDS = (
        # what stands in a server; the match that is closed
        ("location ~* \\.(sql|bak)$ { deny all; }", "/"),
        ("location ~ /\\.ht|\\.sql$ { deny all; }", "/"),
        ("location ~ /(\\.git|vendor)/ { return 404; }", "/"),
        ("location ~ /\\.?sql { deny all; }", "/"),
        ("location ~ /(\\.git)?/config { deny all; }", "/"),
        ("location ~ ^/a/ { proxy_pass http://127.0.0.1:1; } location /a/b/ { }", "/a/b/"),
        ("location ~ \\.php$ { fastcgi_pass 127.0.0.1:9000; }", "/"),
        ("location ~* \\.(css|js)$ { expires 1d; deny all; }", "/"),
        ("location /a/ { } location ~ \\.sql$ { auth_basic x; auth_basic_user_file /u; }", "/a/"),
        ("location ^~ /a/ { location ~ \\.sql$ { deny all; } }", "/a/"),
        ("location ~ ^/a/.*\\.php$ { deny all; }", "/a/"),
        ("location ~ ^/a/ { deny all; } location /a/b/ { }", "/a/b/"),
        ("location ~ \\.sql$ { deny all; } location ~ ^/a/ { }", "/a/"),
        ("location ~ ^/a/.*\\.php$ { deny all; } location /a/b/ { }", "/a/b/"),
        ("location /a { } location /a/ { deny all; }", "/a/"),
        ("location /a/ { deny all; } location /a { }", "/a/"),
        ("location /a/ { deny something; allow all; }", "/a/"),
        ("location /a/ { auth_request /b; }", "/a/"),
        ("auth_request /b; location /a/ { }", "/a/"),
        ("location /a/ { auth_new_module on; }", "/a/"),
        ("location /a/ { access_by_lua_file x.lua; }", "/a/"),
        ("location /a/ { limit_except POST { deny all; } }", "/a/"),
        ("location /a/ { if ($remote_addr != 192.0.2.1) { return 403; } }", "/a/"),
        ("if ($cookie_key != secret) { return 444; } location /a/ { }", "/a/"),
        ("ssl_verify_client on;", "/"),
    )
    OPEN = (
        "location ~ /\\.ht { deny all; }", "location ~ /\\.(?!well-known) { deny all; }",
        "location ~ /(\\.git|\\.svn) { return 404; }", "location ~ (^|/)\\.|/\\.git/ { deny all; }",
        "location ~* \\.(css|js)$ { expires 1d; }", "location ~ ^/a/.*\\.php$ { deny all; }",
        "location ~ ^/(api|app)/ { proxy_pass http://127.0.0.1:1; }", "if ($host = x) { return 444; }",
        "if ($request_method = POST) { return 405; }", "auth_request off;", "ssl_verify_client optional;",
        "location = /a { deny all; }",
    )

    def test_what_is_guarded_in_a_way_that_drover_has_not_is_closed(self):
        for text, match in self.GUARDS:
            with self.subTest(text):
                config, report = self.server("root /srv; " + text)
                route = config.partition('match = "%s";' % match)[2].partition("match =")[0]
                self.assertIn("respond = { status = 403; }", route)
                self.assertNotRegex(route, r"(?m)^ *files")
                self.assertIn("NOT TRANSLATED" if "location /a/ { deny all" not in text else "", report)

    def test_what_is_about_other_paths_closes_nothing_else(self):
        for text in self.OPEN:
            with self.subTest(text):
                config, _ = self.server("root /srv; " + text)
                self.assertRegex(config.partition('match = "/";')[2], r"(?m)^ *files = ")

    def test_networks_are_taken_as_nginx_takes_them(self):
        config, report = self.server("root /srv; deny 10.1.2.3/8; allow 192.0.2.77/24; allow 2001:db8::1/32; deny all;")
        self.assertIn('deny = [ "10.0.0.0/8" ]', config)
        self.assertIn('allow = [ "192.0.2.0/24", "2001:db8::/32" ]', config)
        self.assertNotIn("NOT TRANSLATED", report)

    def test_a_prefix_that_guarded_more_than_segments_is_said(self):
        for text in ("location /a { deny all; }", "location /a { auth_basic x; auth_basic_user_file /u; }",
                     "location /a { allow 10.0.0.0/8; deny all; }", "location /a { internal; }",
                     "location /a { auth_request /ask; }", "location /a { proxy_pass http://127.0.0.1:1; }",
                     "deny all; location / { allow all; } location /a { }",
                     "auth_basic x; auth_basic_user_file /u; location / { auth_basic off; } location /a { }"):
            with self.subTest(text):
                config, report = self.server("root /srv; " + text)
                self.assertRegex(report, "CAUTION: whole segments are compared: it guards /a and /a/..., and not /a...")
                self.assertIn("CAUTION: whole segments", config)

    def test_a_prefix_that_guarded_no_more_than_others_is_no_reason_for_caution(self):
        for text in ("location /a { }", "deny all; location / { } location /a { }", "location /a/ { deny all; }",
                     "auth_basic x; auth_basic_user_file /u; location /a { auth_basic off; }"):
            with self.subTest(text):
                self.assertNotIn("CAUTION: whole segments", self.server("root /srv; " + text)[1])

    def test_a_server_of_inside_is_not_outside(self):
        public = "server { listen 80; server_name a.example; root /srv/a; }"
        for address in ("127.0.0.1:9000", "[::1]:80", "unix:/run/x", "10.1.2.3:80", "localhost:8000"):
            inner = "server { listen %s default_server; server_name b.example; root /srv/b; }" % address
            with self.subTest(address):
                config = run(self.file("http { %s %s }" % (inner, public))).stdout
                self.assertNotIn("/srv/b", config)
                self.assertIn("/srv/a", config)
                self.assertIn("/srv/b", run(self.file("http { %s }" % inner)).stdout)

    def test_what_the_source_says_cannot_leave_its_comment(self):
        config, report = self.server("root /srv; 'odd\nlisten = ( )' x; location / { add_header X 'a\nb'; }")
        for line in config.splitlines():
            self.assertFalse(line.startswith("listen = ( )"))
        self.assertIn("odd?listen", report)

    def test_a_clients_host_never_becomes_a_location(self):
        config, report = self.server("return 301 https://$host$request_uri;")
        self.assertNotIn("redirect", config)
        self.assertIn("Host never becomes a Location", report)


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        write_expectations()
    else:
        unittest.main()
