"""Config files that are traps: for the parser, for the reader and for the one who wrote them."""

import os
import re
import unittest

import drover
from drover import run
from test_cli import Files


class Traps(Files):
    def refuse(self, text, *says, line=None):
        """-t refuses the minimal config with `text` behind it, on line 3 unless told."""
        path = self.minimal(text)
        result = run("-t", "-c", path)
        self.assertEqual(result.returncode, 2, result.stdout + result.stderr)
        if line is not False:
            self.assertRegex(result.stderr, r"(?m)^%s:%d:\d+: " % (re.escape(path), line or 3))
        for words in says:
            self.assertRegex(result.stderr, words)
        return result.stderr

    def accept(self, text):
        result = run("-t", "-c", self.minimal(text))
        self.assertEqual(result.returncode, 0, result.stderr)

    # numbers

    def test_integers_that_would_wrap(self):
        for number in ("4294967296", "4294967297", "3000000000", "-4294967295", "0x100000002",
                       "18446744073709551617", "99999999999999999999999999"):
            with self.subTest(number):
                self.refuse("workers = %s;\n" % number, number)

    def test_integers_with_a_suffix_are_checked_too(self):
        self.refuse("workers = 4294967297L;\n")
        self.refuse("limits = { headers = 4294967297L; };\n")

    def test_integers_out_of_range(self):
        for text in ("workers = 1025;", "workers = -1;", "limits = { headers = 0; };",
                     "limits = { connections = 1000001; };", "limits = { max_generations = 1; };"):
            with self.subTest(text):
                self.refuse(text + "\n")

    def test_sizes_and_durations(self):
        for text in ('timeouts = { drain = "30"; };', 'timeouts = { drain = "-1s"; };',
                     'timeouts = { drain = "30 seconds"; };', 'timeouts = { drain = ""; };',
                     'timeouts = { keep_alive = "99ms"; };', 'timeouts = { keep_alive = "2d"; };',
                     'timeouts = { keep_alive = "99999999999999999999s"; };',
                     'timeouts = { keep_alive = "18446744073709551617ms"; };',
                     'limits = { request_line = "65k"; };', 'limits = { request_line = "255"; };',
                     'limits = { request_line = "17179869185g"; };', 'limits = { request_line = "8q"; };',
                     'limits = { request_line = 8192.5; };'):
            with self.subTest(text):
                self.refuse(text + "\n")

    def test_a_media_type_cannot_forge_a_field(self):
        for text in ("text/plain\\r\\nX-Forged: 1", "\\x07"):
            with self.subTest(text):
                path = self.file('listen = ( { address = "127.0.0.1:80"; } );\n'
                                 'sites = ( { routes = ( { match = "/"; respond = { type = "%s"; }; } ); } );\n' % text)
                result = run("-t", "-c", path)
                self.assertEqual(result.returncode, 2)
                self.assertRegex(result.stderr, r"drover\.conf:2:\d+: .*media type")

    # names and types

    def test_unknown_names_have_a_suggestion(self):
        for wrong, right in (("worker = 2;", "workers"), ('timeouts = { keepalive = "5s"; };', "keep_alive"),
                             ('limit = { headers = 3; };', "limits"), ("limits = { header = 3; };", "headers")):
            with self.subTest(wrong):
                self.refuse(wrong + "\n", r"did you mean \W?(\w+\.)?%s\b" % right)

    def test_unknown_names_that_resemble_nothing(self):
        self.assertNotIn("did you mean", self.refuse("xylophone_quartet = 2;\n", "xylophone_quartet"))

    def test_a_group_that_is_none(self):
        self.refuse("timeouts = 5;\n", "timeouts is a group of settings")

    def test_the_right_name_in_the_wrong_place(self):
        self.refuse('root = "/srv";\n', r'did you mean "sites\[\]\.routes\[\]\.files\.root"')
        self.refuse('drain = "5s";\n', 'did you mean "timeouts.drain"')
        self.refuse('limits = { workers = 2; };\n', 'did you mean "workers" outside')

    def test_too_many_mistakes_are_counted(self):
        text = self.refuse("".join("nonsense_%d = 1;\n" % i for i in range(137)))
        self.assertEqual(len(text.splitlines()), 101)
        self.assertTrue(text.endswith("... and 37 more\n"))

    def test_unknown_names_deep_down(self):
        path = self.file('listen = ( { adress = "127.0.0.1:80"; } );\n'
                         'sites = ( { routes = ( { match = "/"; files = { rot = "/tmp"; }; } ); } );\n')
        result = run("-t", "-c", path)
        self.assertEqual(result.returncode, 2)
        self.assertRegex(result.stderr, r"drover\.conf:1:\d+: .*adress.*address")
        self.assertRegex(result.stderr, r"drover\.conf:2:\d+: .*rot.*root")

    def test_wrong_types(self):
        for text in ('workers = "many";', "workers = true;", "workers = 2.5;", "workers = [ 2 ];", "accept = 1;",
                     'accept = { };', 'user = 5;', 'log = { level = true; };', 'log = "debug";', 'timeouts = ( );',
                     'timeouts = { drain = 30; };', 'limits = { headers = "17"; };', 'limits = 5;'):
            with self.subTest(text):
                self.refuse(text + "\n")

    def test_wrong_types_of_lists(self):
        for listen in ('"127.0.0.1:80"', '{ address = "127.0.0.1:80"; }', '[ "127.0.0.1:80" ]', '( "127.0.0.1:80" )',
                       "( )", "( { } )", '( { address = 80; } )', '( { address = "127.0.0.1:80"; v6only = 1; } )'):
            with self.subTest(listen):
                path = self.file("listen = %s;\nsites = ( { routes = ( { match = \"/\";"
                                 " files = { root = \"/tmp\"; }; } ); } );\n" % listen)
                result = run("-t", "-c", path)
                self.assertEqual(result.returncode, 2, result.stdout)
                self.assertIn("drover.conf:1:", result.stderr)

    def test_what_is_required(self):
        for text, name in (("", "listen"), ("workers = 1;\n", "sites"),
                           ('listen = ( { address = "127.0.0.1:80"; } );\n', "sites")):
            with self.subTest(text):
                result = run("-t", "-c", self.file(text))
                self.assertEqual(result.returncode, 2)
                self.assertIn(name, result.stderr)

    def test_a_route_has_exactly_one_service(self):
        for route in ('{ match = "/"; }', '{ match = "/"; files = { root = "/tmp"; }; nothing = { }; }',
                      '{ files = { root = "/tmp"; }; }', '{ match = "x"; files = { root = "/tmp"; }; }'):
            with self.subTest(route):
                path = self.file('listen = ( { address = "127.0.0.1:80"; } );\nsites = ( { routes = ( %s ); } );\n'
                                 % route)
                self.assertEqual(run("-t", "-c", path).returncode, 2)

    def test_duplicate_names(self):
        self.refuse("workers = 1;\nworkers = 2;\n", "workers", line=4)
        self.refuse('timeouts = { drain = "1s"; drain = "2s"; };\n', "drain")

    def test_duplicate_addresses(self):
        path = self.file('listen = ( { address = "127.0.0.1:80"; }, { address = "127.0.0.1:80"; } );\n'
                         'sites = ( { routes = ( { match = "/"; files = { root = "/tmp"; }; } ); } );\n')
        result = run("-t", "-c", path)
        self.assertEqual(result.returncode, 2)
        self.assertIn("127.0.0.1:80", result.stderr)

    # shapes

    def test_deep_nesting(self):
        for opening in ("(", "x = {", "{ x = "):
            with self.subTest(opening):
                self.refuse("x = " + opening * 200000 + "\n", line=False)

    def test_deep_nesting_that_closes(self):
        self.refuse("x = " + "(" * 200000 + ")" * 200000 + ";\n", line=False)

    def test_ten_megabytes(self):
        self.accept("# nothing to see here, at some length\n" * 280000)

    def test_ten_megabytes_of_one_line(self):
        self.refuse("user = \"" + "x" * (10 << 20) + "\";\n", line=False)

    def test_more_than_is_read_at_all(self):
        self.refuse("#" + "x" * (17 << 20) + "\n", line=False)

    def test_unterminated_things(self):
        for text in ('user = "abc', "user = \"abc\n", "/* no end", "limits = { ", "listen2 = ( "):
            with self.subTest(text):
                self.refuse(text, line=False)

    def test_bytes_that_are_no_text(self):
        path = os.path.join(self.dir, "drover.conf")
        for data in (b"\0", b"workers = 2;\0 user = 3;", bytes(range(256)), b"\xff\xfe" * 500):
            with self.subTest(data[:10]):
                with open(path, "wb") as file:
                    file.write(data)
                result = run("-t", "-c", path)
                self.assertEqual(result.returncode, 2)
                self.assertTrue(result.stderr.isprintable() or "\n" in result.stderr)

    # files that are none

    def test_a_fifo_does_not_block(self):
        path = os.path.join(self.dir, "fifo")
        os.mkfifo(path)
        result = run("-t", "-c", path)
        self.assertEqual(result.returncode, 2)
        self.assertIn("fifo", result.stderr)

    def test_a_directory(self):
        result = run("-t", "-c", self.dir)
        self.assertEqual(result.returncode, 2)
        self.assertEqual(result.stderr, "%s: a directory, not a regular file (name a file in it)\n" % self.dir)

    def test_a_file_that_may_not_be_read(self):
        path = self.minimal()
        os.chmod(path, 0o600)
        if os.geteuid() == 0:  # who may read everything
            result = run("-t", "-c", path, user=65534)
            self.assertEqual(result.returncode, 2)
            self.assertRegex(result.stderr, r"^%s: Permission denied \(it is read as uid 65534.*\)\n$" % re.escape(path))

    def test_a_file_without_settings(self):
        for text in ("", "\n\n", "# nothing\n", "/* nothing */", "// nothing"):
            with self.subTest(text):
                path = self.file(text)
                result = run("-t", "-c", path)
                self.assertEqual(result.returncode, 2)
                self.assertRegex(result.stderr, r"^%s:1:1: there are no settings in it; .*drover\.conf\(5\)\n$"
                                 % re.escape(path))

    def test_a_comment_without_an_end_is_found_where_it_begins(self):
        self.refuse("\n\n  /* no end\nworkers = 2;\n\n\n", r":5:3: the comment .*/\* never ends", line=5)

    def test_a_device(self):
        for path in ("/dev/zero", "/dev/null"):
            with self.subTest(path):
                self.assertEqual(run("-t", "-c", path).returncode, 2)

    def test_an_included_fifo_does_not_block(self):
        os.mkfifo(os.path.join(self.dir, "fifo"))
        self.refuse('@include "fifo"\n', "fifo")

    # includes

    def test_a_missing_include(self):
        self.refuse('@include "missing.conf"\n', "missing.conf")

    def test_an_error_in_an_include_names_its_file(self):
        self.file("\n\n  workers = 0;\n", "more.conf")
        path = self.minimal('@include "more.conf"\n')
        result = run("-t", "-c", path)
        self.assertEqual(result.returncode, 2)
        self.assertRegex(result.stderr, r"(?m)^%s/more\.conf:3:\d+: " % re.escape(self.dir))

    def test_a_cycle(self):
        self.file('@include "b.conf"\n', "a.conf")
        self.file('@include "a.conf"\n', "b.conf")
        self.refuse('@include "a.conf"\n', "itself|cycle|circ", line=False)

    def test_a_cycle_names_the_chain(self):
        self.file('\n@include "b.conf"\n', "a.conf")
        self.file('\n\n@include "a.conf"\n', "b.conf")
        text = self.refuse('@include "a.conf"\n', line=False)
        places = tuple(re.escape("%s/%s" % (self.dir, name)) for name in ("b.conf:3", "a.conf", "a.conf:2", "drover.conf:3"))
        self.assertRegex(text, r"^%s:1: %s: includes itself, .*\(included from %s, %s\)\n$" % places)

    def test_a_mistake_about_an_include_in_an_include_names_both_places(self):
        self.file('\n@include "none.conf"\n', "a.conf")
        text = self.refuse('@include "a.conf"\n', line=False)
        places = tuple(re.escape("%s/%s" % (self.dir, name)) for name in ("a.conf:2", "none.conf", "drover.conf:3"))
        self.assertRegex(text, r"^%s:1: %s: open: No such file or directory \(included from %s\)\n$" % places)

    def test_a_directory_that_may_not_be_listed_is_not_taken_for_an_empty_one(self):
        os.mkdir(self.dir + "/conf.d", 0o700)
        path = self.minimal('@include "conf.d/*.conf"\n')
        if os.geteuid() == 0:  # who may list everything
            result = run("-t", "-c", path, user=65534)
            self.assertEqual(result.returncode, 2)
            self.assertRegex(result.stderr, r"drover\.conf:3:1: look for .*conf\.d/\*\.conf: Permission denied\n$")

    def test_a_file_that_includes_itself(self):
        self.refuse('@include "drover.conf"\n', line=False)

    def test_an_include_inside_of_a_comment_is_none(self):
        self.accept('/* out of order: "\n@include "missing.conf"\n*/\n')

    def test_an_include_behind_what_looks_like_a_comment(self):
        for before in ('# /*', '// /*', 'control = "/*off";', '/* x */ # /* y', 'control = "\\"/*";', '/* "*/ # "'):
            self.refuse(before + '\n@include "missing.conf"\n', "missing.conf", line=False)

    def test_files_that_multiply_are_not_read_for_ever(self):
        for depth in range(8):
            self.file('@include "%d.conf"\n' % (depth + 1) * 30, "%d.conf" % depth)
        self.file("", "8.conf")
        self.refuse('@include "0.conf"\n', "more than 4096 files", line=False)

    def test_includes_nested_too_deep(self):
        for depth in range(12):
            self.file('@include "%d.conf"\n' % (depth + 1), "%d.conf" % depth)
        self.file("workers = 2;\n", "12.conf")
        self.refuse('@include "0.conf"\n', "deep|nest", line=False)

    def test_a_glob_takes_all_in_order(self):
        os.mkdir(self.dir + "/conf.d")
        self.file("workers = 3;\n", "conf.d/b.conf")
        self.file('user_ = "x";\n', "conf.d/a.conf")
        self.file("nonsense", "conf.d/ignored")
        path = self.minimal('@include "conf.d/*.conf"\n')
        result = run("-t", "-c", path)
        self.assertEqual(result.returncode, 2)
        self.assertRegex(result.stderr, r"conf\.d/a\.conf:1:")
        self.file('reload = "adopt";\n', "conf.d/a.conf")
        result = run("-T", "-c", path)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stdout, r"(?m)^workers = 3;.*b\.conf:1")

    def test_a_glob_without_a_match_is_nothing(self):
        self.accept('@include "conf.d/*.conf"\n')

    # values

    def test_addresses(self):
        for address in ("127.0.0.1", "127.0.0.1:0x50", "127.0.0.1:99999", "256.0.0.1:80", "[::g]:80", "::1:80", ":80",
                        "example.org:80", "unix:", "unix:relative.sock", "unix:/" + "x" * 120, ""):
            with self.subTest(address):
                path = self.file('listen = ( { address = "%s"; } );\nsites = ( { routes = ( { match = "/";'
                                 ' files = { root = "/tmp"; }; } ); } );\n' % address)
                result = run("-t", "-c", path)
                self.assertEqual(result.returncode, 2)
                self.assertIn("drover.conf:1:", result.stderr)

    def test_networks(self):
        for network in ("127.0.0.0/33", "127.0.0.0/-1", "::1/129", "example.org", "127.0.0", ""):
            with self.subTest(network):
                path = self.file('listen = ( { address = "127.0.0.1:80"; } );\nsites = ( { routes = ( { match = "/";'
                                 ' files = { root = "/tmp"; }; allow = [ "%s" ]; } ); } );\n' % network)
                self.assertEqual(run("-t", "-c", path).returncode, 2)

    def test_a_root_that_does_not_exist(self):
        path = self.file('listen = ( { address = "%s:%d"; } );\n' % drover.free_address() +
                         'sites = ( { routes = ( { match = "/"; files = { root = "/nonexistent"; }; } ); } );\n')
        result = run("-c", path)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("/nonexistent", result.stderr)

    def test_an_unknown_user(self):
        self.refuse('user = "no-such-user-here";\n', "no-such-user-here", line=False)


if __name__ == "__main__":
    unittest.main()
