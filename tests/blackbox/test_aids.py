"""The service that gets into trouble on request (tests/aids/trouble.c): that it does so, and that no daemon but the
test build knows it."""

import os
import re
import signal
import subprocess
import time
import unittest

import drover
from drover import Drover

ROUTES = [{"match": "/trouble", "trouble": {}}]
# a sanitizer would take the faults for itself
OWN_FAULTS = {**os.environ, "ASAN_OPTIONS": "handle_segv=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0"}
CRASHES = {"segv": signal.SIGSEGV, "abort": signal.SIGABRT, "bus": signal.SIGBUS, "fpe": signal.SIGFPE,
           "ill": signal.SIGILL, "kill": signal.SIGKILL, "stack": signal.SIGSEGV}


def symbols(program):
    """The services that a program has, by their structs, and everything that has to do with this one."""
    text = subprocess.run(["nm", program], stdout=subprocess.PIPE, check=True, text=True).stdout
    return set(re.findall(r" [DdRr] service_(\w+)\n", text)), re.findall(r"\w*(?:trouble|escape_schema|attempt|hostile)\w*", text)


class Lab(unittest.TestCase):
    WORKERS = 1

    def setUp(self):
        self.server = Drover({"workers": self.WORKERS, "sites": [{"routes": ROUTES}]}, env=OWN_FAULTS, program=drover.AIDED)
        self.addCleanup(self.server.close)
        self.worker = self.server.workers()[0]

    def ask(self, query):
        return self.server.get("/trouble?" + query)


class Trouble(Lab):
    def test_it_says_who_answers(self):
        self.assertEqual(int(self.ask("").body), self.worker)

    def test_it_blocks_the_loop_for_as_long_as_was_asked(self):
        for query in ("stall=120", "burn=120"):
            with self.subTest(query), self.server.client() as first:
                began = time.monotonic()
                first.send(first.head("/trouble?" + query) + first.head("/trouble"))
                self.assertEqual(int(first.response().body), self.worker)
                self.assertGreaterEqual(time.monotonic() - began, 0.12)
                self.assertEqual(first.response().status, 200)

    def test_it_keeps_what_it_leaks(self):
        before = drover.fds(self.worker)
        self.assertEqual(self.ask("descriptors=20").status, 200)
        self.assertGreaterEqual(drover.fds(self.worker), before + 20)
        size = self.resident()
        self.assertEqual(self.ask("leak=20000000").status, 200)
        self.assertGreaterEqual(self.resident(), size + 15000)

    def resident(self):
        """In kB."""
        return int(drover.process_status(self.worker)["VmRSS"].split()[0])

    def test_what_it_does_not_understand_is_400(self):
        for query in ("stall=", "stall=x", "crash=gently", "dance=1", "leak=1e3"):
            self.assertEqual(self.ask(query).status, 400, query)
        self.assertEqual(self.ask("leak=99999999999999").status, 500)


class Crash(Lab):
    WORKERS = 8     # or its slot's back-off would be waited for again and again

    def test_it_dies_in_every_way(self):
        for how, number in CRASHES.items():
            with self.subTest(how):
                mark = self.server.log.mark()
                with self.assertRaises((drover.Closed, ConnectionResetError)):
                    self.ask("crash=" + how)
                gone = self.server.log.wait("worker_exited", since=mark)
                self.assertEqual(gone.fields["how"], number.name[3:], gone)
                self.assertEqual(self.ask("").status, 200)      # by another one
        with self.assertRaises((drover.Closed, ConnectionResetError)):
            self.ask("crash=exit")
        self.server.log.wait("worker_exited", how="exit", status=0)


class Release(unittest.TestCase):
    def test_the_daemon_does_not_know_it(self):
        services, traces = symbols(drover.DROVER)
        aided, _ = symbols(drover.AIDED)
        self.assertEqual(traces, [])
        self.assertEqual(aided, services | {"trouble", "escape", "hostile"})
        with open(drover.DROVER, "rb") as file:
            self.assertNotIn(trouble_help(), file.read())
        with open(drover.AIDED, "rb") as file:
            self.assertIn(trouble_help(), file.read())

    def test_a_configuration_that_names_it_is_wrong(self):
        directory = drover.temporary_directory()
        self.addCleanup(os.rmdir, directory)
        config = os.path.join(directory, "drover.conf")
        self.addCleanup(os.unlink, config)
        with open(config, "w", encoding="ascii") as file:
            file.write(drover.render({"listen": [{"address": "127.0.0.1:1"}], "sites": [{"routes": ROUTES}]}))
        refused = drover.run("-t", "-c", config)
        self.assertEqual(refused.returncode, 2)
        self.assertIn("trouble", refused.stderr)
        self.assertIn("unknown", refused.stderr)
        self.assertEqual(drover.run("-T", "-c", config, program=drover.AIDED).returncode, 0)


def trouble_help():
    return b"stalls, burns, crashes or leaks on request"


if __name__ == "__main__":
    unittest.main()
