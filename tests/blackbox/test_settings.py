"""Settings that change while drover runs: set, unset, confirm, save, drop-ins, and what survives what."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import threading
import unittest

import drover
from drover import Client, Drover, run


class Settings(unittest.TestCase):
    def start(self, settings=None, **more):
        server = Drover(settings or {}, **more)
        self.addCleanup(server.close)
        return server

    def does(self, server, *args):
        result = server.ctl(*args)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr + server.log.text())
        return result.stdout

    def refused(self, server, *args, status=1):
        result = server.ctl(*args)
        self.assertEqual(result.returncode, status, result.stdout + result.stderr)
        return result.stderr

    def value(self, server, name):
        return self.does(server, "get", name).strip()

    def setting(self, server, name):
        found = json.loads(self.does(server, "--json", "settings", name))["settings"]
        return [one for one in found if one["name"] == name][0]

    def overrides(self, server):
        return {one["name"]: one["value"] for one in server.status()["overrides"]}

    def drop_in(self, server, name, text):
        os.makedirs(server.config + ".d", exist_ok=True)
        with open(os.path.join(server.config + ".d", name), "w", encoding="utf-8") as file:
            file.write(text)

    def ask(self, server, line):
        """One line of the protocol, as it is."""
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(drover.DEADLINE)
            client.connect(server.control)
            client.sendall(line)
            answer = b""
            while True:
                more = client.recv(65536)
                if not more:
                    return json.loads(answer)
                answer += more

    def test_a_directory_whose_name_is_no_text(self):
        def elsewhere():
            os.mkdir(b"\xff")
            os.chdir(b"\xff")
        server = self.start()
        server.stop()
        server.how = (["-c", os.path.join("..", os.path.basename(server.config))], None, elsewhere, [])
        server.start_again()
        self.assertEqual(self.value(server, "workers"), "2")

    # set and unset

    def test_what_cannot_be_unset_is_told_from_what_is_mistyped(self):
        server = self.start()
        self.assertIn("workers is not set: its value is the configuration's own", self.refused(server, "unset", "workers"))
        self.assertIn('unknown setting "worker"; did you mean "workers"?', self.refused(server, "unset", "worker"))

    def test_set_counts_and_unset_takes_it_back(self):
        server = self.start({"limits": {"headers": 50}})
        pids = server.workers()
        self.assertIn("limits.headers = 60", self.does(server, "set", "limits.headers", "60"))
        self.assertEqual(self.value(server, "limits.headers"), "60")
        self.assertEqual(self.setting(server, "limits.headers")["origin"], "droverctl set")
        many = [("x-%d" % i, "1") for i in range(55)]
        self.assertEqual(server.get(headers=many).status, 200)
        self.does(server, "unset", "limits.headers")
        self.assertEqual(self.value(server, "limits.headers"), "50")
        self.assertRegex(self.setting(server, "limits.headers")["origin"], r"drover\.conf:\d+:\d+")
        self.assertEqual(server.get(headers=many).status, 431)
        self.assertEqual(server.workers(), pids)    # in place

    def test_all_or_none(self):
        server = self.start()
        generation = server.generation()
        said = self.refused(server, "set", "workers", "3", "limits.connections", "0")
        self.assertRegex(said, "droverctl set: limits.connections: too small; allowed is .* from 1 to 1000000")
        self.assertEqual(self.overrides(server), {})
        self.assertEqual(self.value(server, "workers"), "2")
        self.assertEqual(server.generation(), generation)
        self.assertEqual(server.get().status, 200)

    def test_what_cannot_be_set(self):
        server = self.start()
        for args, says in ((("limits.conections", "7"), 'did you mean "limits.connections"'),
                           (("connections", "7"), 'did you mean "limits.connections"'),
                           (("zzzzzz", "7"), "droverctl settings"),
                           (("control", "/x"), "restart drover"),
                           (("sites", "x"), "a list.*change it in the file"),
                           (("sites[0].hosts", "x"), "a list.*change it in the file"),
                           (("log.error", "relative.log"), "absolute"),
                           (("accept", "some"), '"directed", "reuseport"'),
                           (("timeouts.send", "5"), "a duration"),
                           (("survive", "yes"), "true or false")):
            with self.subTest(args=args):
                self.assertRegex(self.refused(server, "set", *args), says)
        self.assertEqual(self.overrides(server), {})

    def test_what_is_refused_is_no_failed_reload(self):
        server = self.start()
        before = server.status()
        said = self.refused(server, "set", "workers", "0")
        self.assertRegex(said, "^refused: droverctl set: workers: too small")
        server.log.wait("settings_refused")
        self.assertEqual(server.status()["last_reload"], before["last_reload"])
        self.does(server, "set", "limits.headers", "60")
        self.assertEqual(server.status()["generation"], before["generation"] + 1)   # no number was used up
        self.assertFalse(server.log.find("reload_failed"))

    def test_a_change_does_not_hide_that_the_last_reload_failed(self):
        server = self.start()
        with open(server.config, encoding="utf-8") as file:
            good = file.read()
        with open(server.config, "a", encoding="utf-8") as file:
            file.write("nonsense = 1;\n")
        self.refused(server, "reload")
        generation = server.generation()
        self.does(server, "set", "limits.headers", "60")
        last = server.status()["last_reload"]
        self.assertEqual((last["good"], last["failed"]), (False, 1), last)
        with open(server.config, "w", encoding="utf-8") as file:
            file.write(good)
        self.does(server, "reload")
        self.assertEqual(server.generation(), generation + 2)
        self.assertTrue(server.status()["last_reload"]["good"])

    def test_wrong_usage(self):
        server = self.start()
        for args in (("set",), ("set", "workers"), ("set", "workers", "1", "workers", "2"), ("unset",),
                     ("set", "--confirm", "soon", "workers", "1"), ("get",), ("workers",)):
            with self.subTest(args=args):
                self.refused(server, *args, status=2)

    def test_many_at_once(self):
        server = self.start()
        table = json.loads(self.does(server, "--json", "settings"))["settings"]
        some = {one["name"]: one["value"].strip('"') for one in table
                if one["value"] is not None and not one["value"].startswith("[") and one["name"] != "control"}
        names = sorted(some)
        for part in (names[:40], names[40:]):
            self.does(server, "set", *[word for name in part for word in (name, some[name])])
        self.assertEqual(sorted(self.overrides(server)), names)
        server.hup()
        server.log.wait("overrides_kept")
        self.assertEqual(sorted(self.overrides(server)), names)
        self.does(server, "save")
        self.assertEqual(self.overrides(server), {})
        self.assertEqual({one["name"]: one["value"] for one in table},
                         {one["name"]: one["value"] for one in
                          json.loads(self.does(server, "--json", "settings"))["settings"]})

    def test_kinds_of_values(self):
        server = self.start()
        self.does(server, "set", "survive=false", "timeouts.send", '"7s"', "file_cache.memory", "1m",
                  "clients.exempt", '[ "10.0.0.0/8", "::1" ]', "workers", "auto", "limits.when_full=refuse")
        for name, value in (("timeouts.send", "7s"), ("file_cache.memory", "1m"), ("workers", "auto"),
                            ("clients.exempt", '[ "10.0.0.0/8", "::1" ]'), ("limits.when_full", "refuse")):
            self.assertEqual(self.value(server, name), value)

    def test_the_file_may_be_under_work_meanwhile(self):
        """What is in the file by now counts with a reload only: neither set nor unset reads it."""
        server = self.start({"limits": {"headers": 50}})
        server.configure({"limits": {"headers": 70}})
        self.does(server, "set", "workers", "3")
        self.assertEqual(self.value(server, "limits.headers"), "50")
        server.configure("this is = no configuration (")
        self.does(server, "set", "limits.headers", "60")
        self.does(server, "unset", "limits.headers")
        self.assertEqual(self.value(server, "limits.headers"), "50")
        self.assertRegex(self.setting(server, "limits.headers")["origin"], r"drover\.conf:\d+:\d+")

    def test_texts_that_are_cut(self):
        """In the middle of a letter, one time or the other."""
        server = self.start()
        for first in ("/", "/a"):
            said = self.does(server, "set", "sandbox.read", '"%s"' % (first + "\u00fc" * 200))
            self.assertRegex(said, r"^generation \d+ .*sandbox\.read = ")
            self.assertRegex(self.does(server, "reload"), r"overrides kept: sandbox\.read = ")

    def test_hostile_names(self):
        server = self.start()
        names = ["", ".", "..", "limits.", ".connections", "a" * 63, "a" * 64, "a" * 3000, "limits.connections\n",
                 "workers; sites", "\x1b[31m", "limits.connections\t", "\u00e4\u2028", "[", "sites[", "=", "%s%n"]
        for name in names:
            with self.subTest(name=name):
                answer = self.ask(server, json.dumps({"command": "set", "set": {name: "1"}}).encode() + b"\n")
                self.assertIs(answer["ok"], False, answer)
        for line in (b'{"command":"set"}', b'{"command":"set","set":7}', b'{"command":"set","set":{"workers":3}}',
                     b'{"command":"set","set":["workers","3"]}', b'{"command":"set","unset":{"workers":"3"}}',
                     b'{"command":"set","unset":[7]}', b'{"command":"set","saved":{"workers":null}}',
                     b'{"command":"set","set":{"workers":"3"},"confirm_ms":-5}',
                     b'{"command":"set","set":{"workers":"3"},"confirm_ms":99999999999999999}',
                     b'{"command":"set","unset":["workers"],"confirm_ms":5000}',
                     b'{"command":"set","set":{"workers":"3"},"confirm_ms":"60s"}',
                     b'{"command":"set","set":{"user":"%s"}}' % (b"x" * 600)):
            with self.subTest(line=line):
                self.assertIs(self.ask(server, line + b"\n")["ok"], False)
        self.assertEqual(self.overrides(server), {})
        self.assertEqual(server.get().status, 200)

    def test_many_callers_at_once(self):
        """Each is a transition of its own: one that cannot be costs no other one."""
        server = self.start()
        results = {}

        def change(name, value):
            results[name] = server.ctl("set", name, value)

        wanted = {"limits.headers": "60", "timeouts.send": "9s", "timeouts.body": "8s", "limits.connections": "500",
                  "log.query": "false", "limits.retry_after": "7s", "file_cache.files": "64", "log.level": "notice"}
        callers = [*wanted.items(), ("workers", "0"), ("limits.body", "nothing"), ("zzz", "1")]
        threads = [threading.Thread(target=change, args=caller) for caller in callers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(drover.DEADLINE)
        self.assertEqual({name for name, result in results.items() if result.returncode == 0}, set(wanted))
        self.assertEqual(self.overrides(server), wanted)

    def test_a_worker_that_does_not_answer(self):
        """Nothing changes, and the text says which slot."""
        server = self.start({"timeouts": {"prepare": "2s", "hang_kill": "off"}})
        pid = server.workers()[1]
        os.kill(pid, signal.SIGSTOP)
        try:
            said = self.refused(server, "set", "limits.headers", "60")
        finally:
            os.kill(pid, signal.SIGCONT)
        self.assertRegex(said, "failed at prepare: slot 1 did not say READY")
        self.assertEqual(self.overrides(server), {})
        self.does(server, "set", "limits.headers", "60")

    def test_a_caller_that_leaves(self):
        """What is under way goes on, and what waits is forgotten."""
        server = self.start({"timeouts": {"prepare": "5m", "hang_kill": "off"}})
        pid = server.workers()[1]
        os.kill(pid, signal.SIGSTOP)
        try:
            for value in ("60", "70"):
                with socket.socket(socket.AF_UNIX) as client:
                    client.connect(server.control)
                    client.sendall(b'{"command":"set","set":{"limits.headers":"%s"}}\n' % value.encode())
                    server.wait_status(lambda status: status["phase"] == "preparing")
            server.status()     # behind it the master has seen that both have left
        finally:
            os.kill(pid, signal.SIGCONT)
        server.wait_status(lambda status: status["phase"] == "idle")
        self.assertEqual(self.overrides(server), {"limits.headers": "60"})
        self.does(server, "set", "limits.headers", "80")
        self.assertEqual(self.overrides(server), {"limits.headers": "80"})

    def test_under_load_nothing_is_lost(self):
        server = self.start()
        over, lost, served = threading.Event(), [], []

        def serve():
            count = 0
            with Client(server.address) as client:
                while not over.is_set():
                    try:
                        client.send(client.head("/"))
                        if client.response().status != 200:
                            lost.append("status")
                    except (OSError, AssertionError, ValueError) as error:
                        lost.append(repr(error))
                        return
                    count += 1
            served.append(count)

        threads = [threading.Thread(target=serve) for _ in range(4)]
        for thread in threads:
            thread.start()
        for i in range(10):
            self.does(server, "set", "limits.headers", str(50 + i), "workers", str(1 + i % 3))
        self.does(server, "unset", "--all")
        over.set()
        for thread in threads:
            thread.join(drover.DEADLINE)
        self.assertEqual(lost, [])
        self.assertEqual(len(served), 4)

    def test_what_workers_cannot_read_makes_it_a_replacement(self):
        """Their root has another inode by now: fresh workers follow, with what was set."""
        server = self.start()
        far = server.path("far")
        for name in ("root", "other"):
            os.makedirs(os.path.join(far, name))
        server.configure({"sandbox": {"read": [os.path.join(far, "root")]}, "sites": [{"routes": [
            {"match": "/", "files": {"root": os.path.join(far, "root"), "listing": True}}]}]})
        self.does(server, "reload", "--replace")
        before = server.workers()
        os.rename(os.path.join(far, "root"), os.path.join(far, "gone"))
        os.rename(os.path.join(far, "other"), os.path.join(far, "root"))
        self.does(server, "set", "limits.headers", "60")
        self.assertEqual(self.value(server, "limits.headers"), "60")
        self.assertEqual(set(before.values()) & set(server.workers().values()), set())
        self.assertEqual(server.get().status, 200)

    # what survives what

    def test_a_reload_keeps_them_and_says_so(self):
        server = self.start()
        self.does(server, "set", "limits.headers", "60")
        server.configure({"timeouts": {"send": "9s"}})
        server.hup()
        event = server.log.wait("overrides_kept")
        self.assertEqual(event.fields["settings"], "limits.headers = 60")
        self.assertEqual(self.value(server, "timeouts.send"), "9s")
        self.assertEqual(self.value(server, "limits.headers"), "60")
        self.assertIn("overrides: limits.headers = 60", self.does(server, "status"))
        self.assertIn("dropped", self.does(server, "reload", "--drop-overrides"))
        server.log.wait("settings_changed", settings="all overrides dropped")
        self.assertEqual(self.overrides(server), {})
        self.assertEqual(self.value(server, "limits.headers"), "100")

    def test_a_file_that_makes_one_wrong(self):
        """The reload fails, the text names the setting and what to do; dropping them helps."""
        server = self.start({"clients": {"requests": 1000}})
        self.does(server, "set", "clients.burst", "5000")
        server.configure({"clients": {"dry_run": False}})
        said = self.refused(server, "reload")
        self.assertIn("droverctl set: clients.burst without clients.requests", said)
        self.assertIn("(clients.burst = 5000): droverctl unset NAME", said)
        self.assertIn("droverctl reload --drop-overrides", said)
        self.assertEqual(self.overrides(server), {"clients.burst": "5000"})
        self.assertEqual(self.value(server, "clients.requests"), "1000")
        self.does(server, "reload", "--drop-overrides")
        self.assertEqual(self.value(server, "clients.requests"), "0")

    def test_a_restart_drops_them_unless_they_were_saved(self):
        server = self.start()
        self.does(server, "set", "limits.headers", "60", "timeouts.send", "9s")
        self.does(server, "save")
        self.does(server, "set", "limits.headers", "70")
        server.stop()
        server.start_again()
        self.assertEqual(self.overrides(server), {})
        self.assertEqual(self.value(server, "limits.headers"), "60")
        self.assertEqual(self.value(server, "timeouts.send"), "9s")

    def test_an_upgrade_carries_them(self):
        server = self.start({"limits": {"headers": 50}}, own=True)
        self.does(server, "set", "limits.headers", "60")
        self.does(server, "upgrade")
        self.assertEqual(self.overrides(server), {"limits.headers": "60"})
        self.does(server, "unset", "limits.headers")
        self.assertEqual(self.value(server, "limits.headers"), "50")

    # confirm

    def test_what_is_not_confirmed_is_rolled_back(self):
        server = self.start()
        self.does(server, "set", "limits.headers", "60")
        self.does(server, "set", "--confirm", "5s", "limits.headers", "70", "workers", "3")
        self.assertRegex(self.does(server, "status"), r"limits.headers = 70 \(unconfirmed\).*rolled back in")
        server.log.wait("settings_rolled_back")
        server.wait_status(lambda status: status["phase"] == "idle" and len(status["overrides"]) == 1)
        self.assertEqual(self.overrides(server), {"limits.headers": "60"})
        self.assertEqual(self.value(server, "workers"), "2")
        self.assertIn("nothing waits", self.refused(server, "confirm"))

    def test_what_is_confirmed_stays(self):
        server = self.start()
        self.does(server, "set", "--confirm", "1h", "limits.headers", "70")
        self.assertIn("something else waits", self.refused(server, "set", "--confirm", "1h", "workers", "3"))
        self.assertIn("not confirmed", self.refused(server, "save"))
        self.assertEqual(self.does(server, "confirm"), "confirmed: limits.headers = 70\n")
        self.assertEqual([one["confirmed"] for one in server.status()["overrides"]], [True])
        self.assertEqual(server.status()["confirm_ms"], 0)

    def test_a_roll_back_needs_no_file(self):
        server = self.start()
        self.does(server, "set", "--confirm", "1s", "limits.headers", "70")
        os.unlink(server.config)
        server.log.wait("settings_rolled_back")
        server.wait_status(lambda status: status["phase"] == "idle" and status["overrides"] == [])
        self.assertEqual(self.value(server, "limits.headers"), "100")

    def test_a_roll_back_that_fails_is_tried_again(self):
        server = self.start({"timeouts": {"prepare": "2s", "hang_kill": "off"}})
        self.does(server, "set", "--confirm", "4s", "limits.headers", "70")
        pid = server.workers()[1]
        os.kill(pid, signal.SIGSTOP)
        try:
            server.log.wait("roll_back_failed")
            self.assertEqual(self.overrides(server), {"limits.headers": "70"})
        finally:
            os.kill(pid, signal.SIGCONT)
        server.log.wait("settings_rolled_back")
        server.wait_status(lambda status: status["phase"] == "idle" and status["overrides"] == [])
        self.assertEqual(self.value(server, "limits.headers"), "100")

    def test_an_upgrade_carries_the_deadline(self):
        server = self.start(own=True)
        self.does(server, "set", "--confirm", "1h", "limits.headers", "70")
        before = server.status()["confirm_ms"]
        self.does(server, "upgrade")
        after = server.status()
        self.assertEqual([one["confirmed"] for one in after["overrides"]], [False])
        self.assertTrue(0 < after["confirm_ms"] <= before, (before, after["confirm_ms"]))
        self.does(server, "unset", "--all")
        self.does(server, "set", "--confirm", "3s", "limits.headers", "70")
        self.does(server, "upgrade")
        server.log.wait("settings_rolled_back")
        server.wait_status(lambda status: status["phase"] == "idle" and status["overrides"] == [])
        self.assertEqual(self.value(server, "limits.headers"), "100")

    def test_what_an_upgrade_that_fails_was_told(self):
        """Said to be confirmed is confirmed, whichever image is asked."""
        server = self.start(own=True)
        self.does(server, "set", "--confirm", "1h", "limits.headers", "70")
        server.install(drover.BROKEN, "never-serving")
        server.kill(signal.SIGUSR2)
        server.wait_status(lambda status: len(status["workers"]) == 4)
        confirmed = server.ctl("confirm").returncode == 0
        server.log.wait("upgrade_failed")
        self.assertEqual([one["confirmed"] for one in server.status()["overrides"]], [confirmed])

    def test_a_roll_back_that_comes_late_leaves_what_is_new(self):
        server = self.start({"timeouts": {"prepare": "1m", "hang_kill": "off"}})
        self.does(server, "set", "--confirm", "3s", "limits.headers", "70")
        pid = server.workers()[1]
        os.kill(pid, signal.SIGSTOP)
        try:            # a transition that has no end, and behind it what is asked for meanwhile
            server.hup()
            server.wait_status(lambda status: status["phase"] == "preparing")
            callers = [socket.socket(socket.AF_UNIX) for _ in range(2)]
            for caller, request in zip(callers, ({"unset": ["limits.headers"]},
                                                 {"set": {"limits.connections": "500"}, "confirm_ms": 3600000})):
                caller.connect(server.control)
                caller.sendall(json.dumps({"command": "set", **request}).encode() + b"\n")
            server.wait_status(lambda status: status["confirm_ms"] == 0)
        finally:
            os.kill(pid, signal.SIGCONT)
        for caller in callers:
            caller.settimeout(drover.DEADLINE)
            caller.recv(65536)
            caller.close()
        self.does(server, "reload")
        status = server.wait_status(lambda status: status["phase"] == "idle")
        self.assertEqual(self.overrides(server), {"limits.connections": "500"})
        self.assertGreater(status["confirm_ms"], 0)
        self.does(server, "confirm")

    # save and drop-ins

    def test_save_keeps_what_was_saved_before(self):
        server = self.start()
        path = os.path.join(server.config + ".d", "50-droverctl.conf")
        self.does(server, "set", "limits.headers", "60")
        self.assertIn(path, self.does(server, "save"))
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o644)
        self.does(server, "set", "limits.connections", "500", "workers", "3")
        self.does(server, "save")
        for name, value in (("limits.headers", "60"), ("limits.connections", "500"), ("workers", "3")):
            self.assertEqual(self.value(server, name), value)
            self.assertIn("50-droverctl.conf", self.setting(server, name)["origin"])
        self.assertEqual(os.listdir(server.config + ".d"), ["50-droverctl.conf"])
        self.assertEqual(self.overrides(server), {})
        self.assertIn("nothing to save", self.refused(server, "save"))
        self.assertEqual(run("-t", "-c", server.config, "--offline").returncode, 0)

    def test_save_does_not_lose_what_somebody_wrote(self):
        server = self.start()
        self.drop_in(server, "50-droverctl.conf", "limits = { headers = 60; };\n")
        self.does(server, "set", "workers", "3")
        self.assertRegex(self.refused(server, "save"), r"50-droverctl\.conf:1: this line was not written by")
        self.assertEqual(self.overrides(server), {"workers": "3"})

    def test_save_leaves_rights_as_they_are(self):
        server = self.start()
        directory = server.config + ".d"
        path = os.path.join(directory, "50-droverctl.conf")
        before = os.umask(0o077)
        try:
            self.does(server, "set", "limits.headers", "60")
            self.does(server, "save")
        finally:
            os.umask(before)
        self.assertEqual((os.stat(directory).st_mode & 0o777, os.stat(path).st_mode & 0o777), (0o755, 0o644))
        os.chmod(path, 0o640)
        self.does(server, "set", "limits.headers", "70")
        self.does(server, "save")
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o640)
        self.assertEqual(self.value(server, "limits.headers"), "70")

    def test_save_puts_no_file_in_the_place_of_a_link(self):
        server = self.start()
        path = os.path.join(server.config + ".d", "50-droverctl.conf")
        self.drop_in(server, "kept", "workers = 1;\n")
        os.symlink("kept", path)
        self.does(server, "set", "limits.headers", "60")
        self.assertIn("50-droverctl.conf is a symbolic link", self.refused(server, "save"))
        self.assertEqual(os.readlink(path), "kept")
        self.assertEqual(self.overrides(server), {"limits.headers": "60"})

    def test_save_writes_no_more_than_was_set(self):
        server = self.start()
        self.does(server, "set", "sandbox.read", "/usr")
        self.assertIn("sandbox.read is more than what was set", self.refused(server, "save"))
        self.does(server, "set", "sandbox.read", '"/usr" "%s"' % server.dir)
        self.does(server, "save")
        self.assertEqual(self.overrides(server), {})

    def test_one_save_at_a_time(self):
        server = self.start()
        self.does(server, "set", "limits.headers", "60")
        os.mkdir(server.config + ".d")
        held = os.open(server.config + ".d", os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
            self.assertIn("another droverctl save", self.refused(server, "save"))
        finally:
            os.close(held)
        self.does(server, "save")

    def test_a_later_drop_in_wins_and_is_named(self):
        server = self.start()
        self.drop_in(server, "90-last.conf", "workers = 1;\n")
        self.does(server, "set", "workers", "3")
        result = server.ctl("save")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stderr, r"workers is 1 now, as .*90-last\.conf:1:11 says")

    def test_drop_ins_in_their_order(self):
        server = self.start({"limits": {"headers": 50, "connections": 100}})
        self.drop_in(server, "10-a.conf", "limits = { headers = 60; };\nworkers = 1;\n")
        self.drop_in(server, "20-b.conf", "limits = { headers = 70; };\n")
        self.drop_in(server, "30-c.disabled", "limits = { headers = 80; };\n")
        self.drop_in(server, ".40-d.conf", "limits = { headers = 90; };\n")
        self.drop_in(server, "99-empty.conf", "# nothing\n")
        self.does(server, "reload")
        self.assertEqual(self.value(server, "limits.headers"), "70")
        self.assertEqual(self.value(server, "limits.connections"), "100")
        self.assertTrue(self.setting(server, "limits.headers")["origin"].endswith(".conf.d/20-b.conf:1:22"))
        printed = run("-T", "-c", server.config).stdout
        self.assertRegex(printed, r"headers = 70; +# .*20-b\.conf:1:22")

    def test_what_a_drop_in_may_not_have(self):
        server = self.start()
        for text, says in (("sites = ( { } );\n", r"10-a\.conf:1:1: sites does not belong in a drop-in.*drover\.conf"),
                           ("\nlimits = { heders = 1; };\n", r'10-a\.conf:2:12: unknown setting "heders"'),
                           ("workers = 0;\n", r"10-a\.conf:1:11: workers: too small"),
                           ("workers = ;\n", r"10-a\.conf:1:11: expected a value")):
            with self.subTest(text=text):
                self.drop_in(server, "10-a.conf", text)
                self.assertRegex(self.refused(server, "reload"), says)
        os.unlink(os.path.join(server.config + ".d", "10-a.conf"))
        os.mkfifo(os.path.join(server.config + ".d", "10-a.conf"))
        self.assertRegex(self.refused(server, "reload"), r"10-a\.conf: a device, FIFO or socket")

    def test_drop_ins_that_are_not_there(self):
        server = self.start()
        directory = server.config + ".d"
        self.does(server, "reload")
        os.symlink("nowhere", directory)
        self.assertIn("drover.conf.d: look for drop-ins: No such file", self.refused(server, "reload"))
        os.unlink(directory)
        os.close(os.open(directory, os.O_CREAT, 0o644))
        self.assertIn("drover.conf.d: look for drop-ins: Not a directory", self.refused(server, "reload"))
        os.unlink(directory)
        self.drop_in(server, "kept", "")
        os.symlink("nowhere", os.path.join(directory, "10-a.conf"))
        self.assertIn("10-a.conf: a symbolic link to what is not there", self.refused(server, "reload"))

    def test_without_a_file(self):
        root = drover.temporary_directory()
        self.addCleanup(os.rmdir, root)
        address = drover.free_address()
        server = Drover(args=["-r", root, "-l", drover.address_text(address)], wait=False,
                        env={**os.environ, "RUNTIME_DIRECTORY": root, "XDG_RUNTIME_DIR": root})
        self.addCleanup(server.close)
        server.log.wait("serving")
        server.control = os.path.join(root, "control.sock")
        self.does(server, "set", "limits.headers", "60")
        self.assertEqual(self.value(server, "limits.headers"), "60")
        self.assertIn("drover was started with -r", self.refused(server, "save"))
        server.stop()

    # who is told

    def test_changes_are_events(self):
        server = self.start()
        server.configure({"sites": [{"routes": [{"match": "/status", "status": {}},
                                                {"match": "/", "files": {"root": server.site}}]}]})
        self.does(server, "reload")
        self.does(server, "set", "--confirm", "1h", "limits.headers", "60")
        self.does(server, "confirm")
        self.does(server, "unset", "limits.headers")
        self.does(server, "set", "--confirm", "1s", "workers", "3")
        server.log.wait("settings_rolled_back")
        server.wait_status(lambda status: status["phase"] == "idle" and status["overrides"] == [])
        told = [(event["text"], event["good"]) for event in json.loads(server.get("/status").body)["events"]
                if event["kind"] == "setting"]
        self.assertEqual(told, [("limits.headers = 60, rolled back in 3600 s unless confirmed", True),
                                ("confirmed: limits.headers = 60", True), ("limits.headers unset", True),
                                ("workers = 3, rolled back in 1 s unless confirmed", True),
                                ("workers = 3 was not confirmed: rolled back", False)])

    # config and check

    def test_what_it_is_for_is_said_whole(self):
        said = self.setting(self.start(), "timeouts.stall")["help"]
        self.assertTrue(said.endswith("the others accept what waits for it"), said)

    def test_config_is_what_runs(self):
        server = self.start()
        self.does(server, "set", "limits.headers", "60")
        text = self.does(server, "config")
        self.assertIn("headers = 60;\n", text)
        self.assertNotIn("drover.conf:", text)
        text = self.does(server, "config", "--origins")
        self.assertRegex(text, r"headers = 60; +# droverctl set")
        self.assertRegex(text, r"match = \"/\"; +# .*drover\.conf:\d+:\d+")
        with open(server.path("printed.conf"), "w", encoding="utf-8") as file:
            file.write(text)
        self.assertEqual(run("-t", "--offline", "-c", server.path("printed.conf")).returncode, 0)

    def test_config_shows_no_secrets(self):
        server = self.start({"sites": [{"headers": {"set": ["X-Api-Key: hush"]},
                                        "routes": [{"match": "/", "files": {"root": "/"}}]}]})
        for args in (("config",), ("config", "--origins"), ("--json", "config")):
            self.assertNotIn("hush", self.does(server, *args))

    def test_check_says_what_would_change(self):
        server = self.start()
        self.assertIn("it would change nothing", self.does(server, "check"))
        server.configure({"limits": {"headers": 50}, "sites": [
            {"hosts": ["a.example"], "routes": [{"match": "/", "files": {"root": server.site}}]},
            {"routes": [{"match": "/", "files": {"root": server.site, "listing": True}},
                        {"match": "/x", "files": {"root": server.site}}]}]})
        text = self.does(server, "check")
        for line in ("  limits.headers: 100 -> 50\n", '  + sites["a.example"]\n', '  + sites[].routes["/x"]\n',
                     '  sites[].routes["/"].files.listing: false -> true\n'):
            self.assertIn(line, text)
        changes = json.loads(self.does(server, "--json", "check"))["changes"]
        self.assertIn({"name": "limits.headers", "old": "100", "new": "50"}, changes)
        self.assertEqual(self.value(server, "limits.headers"), "100")

    def test_names_without_a_daemon(self):
        names = subprocess.run([drover.CTL, "--socket", "/nonexistent", "settings", "--names"], check=True,
                               capture_output=True, text=True).stdout.split()
        self.assertIn("limits.connections", names)
        self.assertNotIn("sites", names)


if __name__ == "__main__":
    unittest.main()
