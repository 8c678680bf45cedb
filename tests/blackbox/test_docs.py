#!/usr/bin/env python3
"""The manual pages against the code: events, counters, options and commands that exist, and for each line of
drover-failures(7) the test that backs it."""

import ast
import fnmatch
import glob
import os
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import drover  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FAILURES = "man/drover-failures.7"
# the calls that write an event, up to the event's fields
LOG_CALL = re.compile(r'\b(?:log_event|log_fields|write_line)\((.*?)(?:log_text|log_number|fields|\)\s*;)', re.S)
EVENT = re.compile(r'"([a-z][a-z0-9]*(?:_[a-z0-9]+)*)"')


def read(path):
    with open(os.path.join(TOP, path), encoding="utf-8") as file:
        return file.read()


def sources(pattern="daemon/**/*.c"):
    return {path: read(path) for path in glob.glob(pattern, root_dir=TOP, recursive=True)}


def section(page, title):
    """The mdoc text between one .Sh and the next."""
    match = re.search(r"^\.Sh %s\n(.*?)(?=^\.Sh |\Z)" % re.escape(title), page, re.S | re.M)
    if match is None:
        raise AssertionError("no section %s" % title)
    return match.group(1)


def items(text, macro):
    """The words of `.It MACRO a , b *` lines."""
    found = set()
    for line in re.findall(r"^\.It %s (.*)$" % macro, text, re.M):
        found |= set(re.findall(r"[a-z][a-z0-9_]+", line))
    return found


def events_in_code():
    found = set()
    for text in sources().values():
        for call in LOG_CALL.findall(text):
            found |= set(EVENT.findall(call))
    return found


def messages():
    """name -> (level, text) of drover-messages(7); several names may share an entry."""
    found, names = {}, []
    for line in read("man/drover-messages.7").splitlines():
        if line.startswith(".It Li "):
            names = names if names and names[-1] not in found else []
            names.append(line[len(".It Li "):])
        elif line.startswith((".El", ".Sh")):
            names = []
        elif line.startswith(".Em ") and names and names[-1] not in found:
            for name in names:
                found[name] = [line.split()[1], ""]
        elif names and names[-1] in found:
            for name in names:
                found[name][1] += line + "\n"
    return found


def lists_in_code(path, table):
    """The names in a table of system calls."""
    text = re.search(r"\b%s\[\] = \{\n(.*?)\n\};" % table, read(path), re.S).group(1)
    if table == "conditions":
        return set(re.findall(r'\{ "([a-z0-9_]+)"', text))
    groups = re.findall(r'\{\s*"[^"]*",\s*((?:"[^"]*"\s*)+)\}', text)
    return {name for group in groups for name in "".join(re.findall(r'"([^"]*)"', group)).split()}


class Pages(unittest.TestCase):
    def test_every_system_call_of_a_list_is_on_the_page_and_no_other(self):
        page = section(read("man/drover.8"), "SYSTEM CALLS")
        said = {role: set(re.findall(r"[a-z0-9_]+", " ".join(re.findall(r"^\.Li (.*)$", text, re.M)))) for role, text
                in re.findall(r"^(Those .*?):\n(.*?)(?=^Those |^The checker goes by)", page, re.S | re.M)}
        worker, checker = "daemon/worker/confine.c", "daemon/master/checker_calls.c"
        deadly = re.search(r"syscalls_deadly\[\] = \{(.*?)NULL", read("daemon/base/syscalls.c"), re.S).group(1)
        lists = {"Those of a worker": lists_in_code(worker, "groups") | lists_in_code(worker, "conditions"),
                 "Those of its keeper": lists_in_code(worker, "keeper_groups"),
                 "Those of the checker": lists_in_code(checker, "groups") | lists_in_code(checker, "conditions"),
                 "Those that end the process, whichever of the three it is": set(re.findall(r'"([a-z0-9_]+)"', deadly))}
        self.assertEqual(said, lists)
        for name in lists:
            self.assertGreater(len(lists[name]), 8, name)

    def test_every_event_is_documented_and_every_documented_event_exists(self):
        code = events_in_code()
        page = items(section(read("man/drover.8"), "LOG"), "Li")
        self.assertGreater(len(code), 20)
        self.assertEqual(sorted(code - page), [], "not in drover.8")
        everything = "\n".join(sources().values())
        self.assertEqual(sorted(name for name in page - code if '"%s"' % name not in everything), [],
                         "in drover.8 only")

    def test_every_message_has_its_cause_and_remedy_and_every_one_of_the_page_exists(self):
        code = events_in_code() | items(section(read("man/drover.8"), "LOG"), "Li")
        code |= set(re.findall(r'"(preflight_\w+)"', "\n".join(sources("daemon/config/*.c").values())))
        entries = messages()
        self.assertGreater(len(entries), 90)
        self.assertEqual(sorted(code - set(entries)), [], "not in drover-messages.7")
        self.assertEqual(sorted(set(entries) - code), [], "in drover-messages.7 only")
        for name, (_, body) in entries.items():
            with self.subTest(name):
                self.assertGreater(len(body.split()), 3)

    def test_what_pages_name_in_the_log_the_counters_and_the_answers_exists(self):
        code = "\n".join(sources().values()) + "\n".join(sources("daemon/**/*.h").values())
        metrics = set(re.findall(r"drover_[a-z0-9_]+", read("man/drover-metrics.7")))   # test_metrics_docs.py has those
        self.assertGreater(len(metrics), 40)
        for page in glob.glob("man/*.[78]", root_dir=TOP):
            named = set()
            for line in re.findall(r"^\.(?:Pq |It |Po )?Li (.*)$", read(page), re.M):
                named |= set(re.findall(r"(?<![\w.*-])[a-z][a-z0-9]*(?:_[a-z0-9]+)+(?![\w.*-])", line))
            for name in sorted(named):
                with self.subTest("%s: %s" % (page, name)):
                    self.assertTrue(name in metrics or re.search(r"(?<![a-z0-9])%s(?![a-z0-9])" % name, code), name)

    def test_messages_have_the_level_that_the_code_gives_them(self):
        levels = {}
        for text in sources().values():
            for level, name in re.findall(r'log_event\(\s*LEVEL_(\w+),\s*"(\w+)"', text):
                levels.setdefault(name, set()).add(level.lower())
        self.assertGreater(len(levels), 40)
        for name, (level, body) in messages().items():
            with self.subTest(name):
                self.assertIn(level, levels.get(name, {level}))
                for other in levels.get(name, set()) - {level}:
                    self.assertIn(other, body, "that it may have another level, too")

    def test_every_page_is_installed_and_leads_to_pages_that_exist(self):
        listed = re.findall(r"man/[^\s()]+", re.search(r"^MAN_PAGES +:= (.*)", read("Makefile"), re.M).group(1))
        ours = {"drover.conf 5"}
        for page in glob.glob("man/*.[1-8]", root_dir=TOP):
            self.assertTrue(any(fnmatch.fnmatch(page, word) for word in listed), page)
            ours.add("%s %s" % tuple(os.path.basename(page).rsplit(".", 1)))
        for page in glob.glob("man/*.[1-8]*", root_dir=TOP):
            for target in re.findall(r"\bXr (drover\S* [1-8])", read(page)):
                self.assertIn(target, ours, page)

    def test_commands_that_pages_show_exist(self):
        said = subprocess.run([drover.CTL, "--help"], capture_output=True, text=True, timeout=drover.DEADLINE).stdout
        known = set(re.findall(r"^  ([a-z]+)\b", said, re.M))
        self.assertIn("reload", known)
        shown = 0
        for page in glob.glob("man/*.[1-8]*", root_dir=TOP) + ["README.md"]:
            text = re.sub(r"\\(?:fB|fR|&)", "", read(page))
            for command in re.findall(r"(?:^\.Dl |^\.Ql |^[$#] |^`|/bin/)droverctl ((?:-[si] \S+ |--(?:socket|instance) \S+ |-\S+ )*)([a-z]+)", text, re.M):
                shown += 1
                with self.subTest("%s: %s" % (page, command[1])):
                    self.assertIn(command[1], known)
        self.assertGreater(shown, 20)

    def test_files_that_documents_lead_to_exist(self):
        for page in glob.glob("*.md", root_dir=TOP) + ["tests/MEASUREMENTS.md"]:
            text = re.sub(r"```.*?```", "", read(page), flags=re.S)
            for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
                if "://" not in target:
                    with self.subTest("%s: %s" % (page, target)):
                        self.assertTrue(os.path.exists(os.path.join(TOP, os.path.dirname(page), target)))
            for path in re.findall(r"`((?:[a-z0-9_.-]+/)+[a-z0-9_.-]+\.(?:c|h|py|md|conf|in|svg|service|socket))`", text):
                with self.subTest("%s: %s" % (page, path)):
                    self.assertTrue(any(os.path.exists(os.path.join(TOP, where, path)) for where in ("", "daemon", "tests")))

    def test_every_counter_is_documented_and_every_documented_counter_exists(self):
        table = re.search(r"counter_names\[COUNTERS\] = \{(.*?)\n\};", read("daemon/net/conn.c"), re.S).group(1)
        code = set(re.findall(r'"([a-z0-9_]+)"', table))
        page = items(section(read("man/droverctl.8"), "COUNTERS"), "Li")
        self.assertGreater(len(code), 10)
        self.assertEqual(code, page)

    def test_every_option_is_documented(self):
        for program, name in ((drover.DROVER, "drover"), (drover.CTL, "droverctl")):
            said = subprocess.run([program, "--help"], capture_output=True, text=True, timeout=drover.DEADLINE).stdout
            page = read("man/%s.8" % name)
            options = set(re.findall(r"--([a-z][a-z-]+)", said))
            self.assertIn("help" if name == "drover" else "socket", options)
            for option in options:
                self.assertRegex(page, r"Fl -%s\b" % option, "%s --%s" % (name, option))

    def test_every_command_is_documented(self):
        for source in ("daemon/ctl/droverctl.c", "daemon/master/control.c"):
            table = re.search(r"commands\[\] = \{(.*?)\n\};", read(source), re.S).group(1)
            commands = re.findall(r'\{ (?:\.name = )?"([a-z]+)"', table)
            self.assertIn("reload", commands)
            for command in commands:
                self.assertRegex(read("man/droverctl.8"), r"(?m)^\.It Cm %s\b" % command)

    def test_every_directive_of_nginx_is_in_the_table_of_the_page_and_no_other(self):
        printed = subprocess.run([drover.CTL, "import", "--directives"], capture_output=True, text=True,
                                 timeout=drover.DEADLINE, check=True).stdout
        rows = [line.split("\t") for line in printed.splitlines()]
        self.assertGreater(len(rows), 200)
        page = read("man/drover-nginx.7")
        for verdict, title in (("translated", "TRANSLATED"), ("unneeded", "NOT NEEDED"), ("missing", "MISSING")):
            said, names = {}, []
            for line in section(page, title).splitlines():
                if line.startswith(".It Ic "):
                    names = names if names and not said.get(names[-1]) else []
                    names.append(line[len(".It Ic "):])
                    said[names[-1]] = ""
                else:
                    for name in names:
                        said[name] += line.replace("\\(dq", '"').replace("\\e", "\\") + " "
            code = {row[0]: row for row in rows if row[1] == verdict}
            self.assertEqual(sorted(set(code) ^ set(said)), [], title)
            for name, (_, _, setting, text) in code.items():
                with self.subTest(name):
                    if setting and verdict == "translated":
                        self.assertIn('.Va "%s"' % setting, said[name])
                    self.assertIn(text, " ".join(said[name].split()))

    def test_settings_that_pages_speak_of_exist(self):
        printed = read(os.path.join(os.environ.get("DROVER_BUILD", "build"), "man/drover.conf.5"))
        known = set(re.findall(r'^\.It Va "(\S+)"', printed, re.M))
        self.assertIn("timeouts.drain", known)
        plain = {re.sub(r"\[\]", "", name) for name in known}
        groups = {name.split(".")[0] for name in plain if "." in name}
        for page in glob.glob("man/*.[78]", root_dir=TOP):
            for name in re.findall(r'^\.(?:Va|It Va) "?([a-z0-9_.\[\]]+[a-z0-9_])', read(page), re.M):
                name = name.replace("[]", "")
                within = page == "man/drover-nginx.7" and any(".%s." % name in ".%s." % one for one in plain)
                self.assertTrue(name in plain or name in groups or within, "%s: %s" % (page, name))

    def test_counters_that_the_page_of_tuning_speaks_of_exist(self):
        page = read("man/drover-tuning.7")
        watched = items(section(page, "WHAT TO WATCH"), "Li")
        self.assertGreater(len(watched), 8)
        speaks = set(re.findall(r"^\.(?:Pq )?Li (?!drover_)([a-z][a-z_]+)", page, re.M))
        known = items(section(read("man/droverctl.8"), "COUNTERS"), "Li") | items(
            section(read("man/drover.8"), "PREFLIGHT"), "Li")
        self.assertEqual(sorted((watched | speaks) - known), [])
        metrics = set(re.findall(r"\bdrover_[a-z_]+", page))
        self.assertGreater(len(metrics), 8)
        said = set(re.findall(r"^\.It Li (drover_[a-z_]+)", read("man/drover-metrics.7"), re.M))
        self.assertEqual(sorted(metrics - said), [])

    BARE = ('listen = ( { address = "127.0.0.1:8080"; } );\n'
            'sites = ( { routes = ( { match = "/"; respond = { }; } ); } );\n')
    BESIDE = {"group": 'user = "nobody";\n'}
    WITHIN = {"clients.burst": "requests = 50; ",       # of its group
              "clients.network_burst": "network_requests = 500; "}

    def check(self, path, text):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return subprocess.run([drover.DROVER, "-c", path, "-t", "--offline"], capture_output=True, text=True,
                              timeout=drover.DEADLINE)

    def whole(self, example):
        """An example of some routes, or of some sites, as a file that could be served."""
        if example.startswith("{"):
            example = "sites = ( { routes = ( %s ); } );\n" % example
        if not re.search(r"\blisten +=", example):
            example = 'listen = ( { address = "127.0.0.1:8080"; } );\n' + example
        if not re.search(r"\bsites +=", example):
            example += 'sites = ( { routes = ( { match = "/"; respond = { }; } ); } );\n'
        return example

    def test_every_example_is_one_that_the_daemon_takes(self):
        """But for the roots and files, which are nowhere: they are looked at when all else is fine."""
        examples = []
        for page in glob.glob("man/*.[1-8]*", root_dir=TOP) + glob.glob("*.md", root_dir=TOP):
            for text in re.findall(r"^(?:\.Bd -literal|```)[^\n]*\n(.*?)^(?:\.Ed|```)", read(page), re.S | re.M):
                text = re.sub(r"^# drover.conf\n", "", text).replace("\\e", "\\")
                if re.match(r"\{ +match|[a-z_]+ += *[\[({\"\w]", text):
                    examples.append(text)
        self.assertGreater(len(examples), 15)
        with tempfile.TemporaryDirectory() as directory:
            os.chmod(directory, 0o755)
            for example in examples:
                with self.subTest(example):
                    said = self.check(os.path.join(directory, "drover.conf"), self.whole(example)).stderr
                    self.assertEqual([line for line in said.splitlines() if re.match(r"\S+:\d+:\d+: (?!info|warning)", line)
                                      and "No such file or directory" not in line], [])

    def test_every_setting_has_an_example_that_the_daemon_takes(self):
        printed = read(os.path.join(os.environ.get("DROVER_BUILD", "build"), "man/drover.conf.5"))
        settings = re.findall(r'^\.It Va "([a-z_.]+)"\n(.*?)(?=^\.It |^\.El)', printed, re.S | re.M)
        settings = [(name, body) for name, body in settings if name not in ("listen", "sites")]
        self.assertGreater(len(settings), 15)
        with tempfile.TemporaryDirectory() as directory:
            os.chmod(directory, 0o755)
            for name, body in settings:
                example = re.search(r'^\.Dl "(.*)"$', body, re.M)
                with self.subTest(name):
                    self.assertIsNotNone(example, "no example")
                    line = example.group(1).replace("\\(dq", '"').replace("\\e", "\\")
                    line = line.replace("{ ", "{ " + self.WITHIN.get(name, ""), 1)
                    text = self.BARE + self.BESIDE.get(name, "") + line + "\n"
                    result = self.check(os.path.join(directory, "drover.conf"), text)
                    if name in ("user", "group") and os.geteuid() != 0:
                        self.assertIn("root", result.stderr)
                    else:
                        self.assertEqual(result.returncode, 0, result.stderr)


def python_tests(path):
    """class -> names of its tests, from the text: some of these files can only run in the lab."""
    found = {}
    for node in ast.parse(read(path)).body:
        if isinstance(node, ast.ClassDef):
            found[node.name] = {one.name for one in node.body if isinstance(one, ast.FunctionDef)}
    return found


def loaded_tests(name):
    """The ids of a black-box file; they may be generated."""
    def cases(suite):
        for test in suite:
            if isinstance(test, unittest.TestSuite):
                yield from cases(test)
            else:
                yield test.id()
    return set(cases(unittest.defaultTestLoader.loadTestsFromName(name)))


class Failures(unittest.TestCase):
    """drover-failures(7): each entry has one or more lines `.\\" test: NAME`."""

    def exists(self, name):
        group, _, rest = name.partition("/")
        if group in ("unit", "model", "fuzz"):
            source, _, test = rest.partition(".")
            path = os.path.join(TOP, "tests", group, source + ".c")
            return os.path.exists(path) and "START_TEST(%s)" % test in read(os.path.relpath(path, TOP))
        if group in ("loss", "attacks"):
            return any('"%s"' % rest in text for text in sources("tests/%s/*.py" % group).values())
        if group == "fault":
            return any('"%s"' % rest in text for text in sources("tests/fault/*.py").values())
        if group == "systemd":
            return any(rest in tests for path in glob.glob("tests/systemd/*.py", root_dir=TOP)
                       for tests in python_tests(path).values())
        return name.startswith("test_") and name in loaded_tests(name.split(".")[0])

    def entries(self):
        text = read(FAILURES)
        return re.findall(r"^\.It (.*?)\n(.*?)(?=^\.It |^\.El)", text, re.S | re.M)

    def test_every_line_is_backed_by_a_test_that_exists(self):
        entries = self.entries()
        self.assertGreater(len(entries), 20)
        for title, body in entries:
            names = re.findall(r'^\.\\" test: (\S.*)$', body, re.M)
            with self.subTest(title):
                self.assertTrue(names, "no test is named")
                for name in names:
                    self.assertTrue(self.exists(name), name)

    def test_a_name_that_does_not_exist_is_noticed(self):
        for name in ("test_master.Stop.test_nothing", "unit/conn_test.nothing", "systemd/test_nothing", "loss/no such cell",
                     "test_nothing.Nothing.test_nothing", "unit/nothing_test.nothing", "nothing"):
            with self.subTest(name):
                try:
                    self.assertFalse(self.exists(name))
                except ImportError:
                    pass


if __name__ == "__main__":
    unittest.main()
