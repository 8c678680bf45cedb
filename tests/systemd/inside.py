#!/usr/bin/env python3
"""The installed unit under a real systemd.  Runs in the lab only (see test.py): it writes to /etc and starts
services."""

import json
import os
import pwd
import re
import select
import signal
import subprocess
import sys
import time
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "blackbox"))

import drover  # noqa: E402

UNIT = "drover.service"
UNIT_FILE = "/usr/lib/systemd/system/" + UNIT
CONFIG = "/etc/drover/drover.conf"
CAP_NET_BIND_SERVICE = 1 << 10
# a systemd before 253 does not know the better one of the unit's two types, and says so
KNOWN = re.compile(r"^.*: Failed to parse service type, ignoring: notify-reload$")


def command(*words, seconds=drover.DEADLINE):
    return subprocess.run(words, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL,
                          timeout=seconds)


def systemctl(*words):
    return command("systemctl", *words)


def show(name):
    return systemctl("show", "--value", "-p", name, UNIT).stdout.strip()


def journal(*words):
    command("journalctl", "--sync")
    return command("journalctl", "--no-pager", "-o", "cat", "-u", UNIT, *words).stdout


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, 0o644)


class Unit(unittest.TestCase):
    def setUp(self):
        with open(CONFIG, encoding="utf-8") as file:
            self.addCleanup(write, CONFIG, file.read())
        self.addCleanup(self.end)
        self.address = drover.free_address()
        for name in ("one", "two"):
            write("/srv/%s/index.html" % name, "<p>%s\n" % name)
        self.configure("one")

    def end(self):
        systemctl("stop", UNIT)
        systemctl("reset-failed", UNIT)

    def configure(self, root, more=""):
        write(CONFIG, 'workers = 2;\nlisten = ( { address = "%s"; } );\nsites = ( { routes = ( { match = "/";'
                      ' files = { root = "/srv/%s"; }; } ); } );\n%s' % (
                          drover.address_text(self.address), root, more))

    def start(self):
        result = systemctl("start", UNIT)
        self.assertEqual(result.returncode, 0, result.stderr + journal())
        self.assertEqual(show("ActiveState"), "active")

    def reload(self):
        result = systemctl("reload", UNIT)
        self.assertEqual(result.returncode, 0, result.stderr + journal())

    def get(self, target="/", address=None):
        with drover.Client(address or self.address) as client:
            return client.request(target, close=True)

    def main_pid(self):
        return int(show("MainPID"))

    def workers(self):
        pid = self.main_pid()
        with open("/proc/%d/task/%d/children" % (pid, pid), encoding="ascii") as file:
            return sorted(int(word) for word in file.read().split())

    def answers_again(self):
        """Asks until the service answers; a refused connection is over at once, so the wait is bounded by time."""
        end = drover.deadline()
        while True:
            try:
                return self.get()
            except (ConnectionError, drover.Closed):
                if time.monotonic() > end:
                    raise
            select.select([], [], [], 0.02)

    def test_verify(self):
        """Whatever verify has to say is a mistake, and its exit status does not tell."""
        result = command("systemd-analyze", "verify", UNIT_FILE)
        said = [line for line in (result.stdout + result.stderr).splitlines()
                if not KNOWN.match(line) and (line.startswith(UNIT_FILE) or UNIT in line)]
        self.assertEqual(said, [])

    def test_the_installed_configuration(self):
        result = command("/usr/sbin/drover", "-t")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.doCleanups()  # puts the installed one back
        self.addCleanup(self.end)
        result = command("/usr/sbin/drover", "-t")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.start()
        listening = command("droverctl", "status").stdout
        port = int(re.search(r"listening on \S*:(\d+)", listening).group(1))
        response = self.get(address=("127.0.0.1", port))
        self.assertEqual(response.status, 200)
        with open("/usr/share/drover/site/index.html", "rb") as file:
            self.assertEqual(response.body, file.read())

    def test_starts_and_serves(self):
        self.start()
        self.assertEqual(self.get().body, b"<p>one\n")
        self.assertRegex(show("StatusText"), r"^2 workers, generation 1")

    def test_port_80_without_root(self):
        self.address = (self.address[0], 80)
        self.configure("one")
        self.start()
        self.assertEqual(self.get().status, 200)

    def test_the_dynamic_user(self):
        self.start()
        master = drover.process_status(self.main_pid())
        uid = master["Uid"].split()[0]
        self.assertNotEqual(uid, "0")
        self.assertNotEqual(int(uid), pwd.getpwnam("nobody").pw_uid)
        self.assertEqual(int(master["CapEff"], 16), CAP_NET_BIND_SERVICE)
        self.assertEqual(int(master["CapBnd"], 16), CAP_NET_BIND_SERVICE)
        self.assertEqual(len(self.workers()), 2)
        for pid in self.workers():
            worker = drover.process_status(pid)
            self.assertEqual(worker["Uid"].split(), [uid] * 4)
            self.assertEqual(worker["NoNewPrivs"], "1")
            for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
                self.assertEqual(int(worker[name], 16), 0, name)

    def test_a_good_reload(self):
        self.start()
        before = self.main_pid(), self.workers()
        with drover.Client(self.address) as client:
            self.assertEqual(client.request("/").body, b"<p>one\n")
            for number, root in enumerate(("two", "one", "two"), 2):
                self.configure(root)
                self.reload()
                self.assertEqual(client.request("/").body, b"<p>%s\n" % root.encode())
                # with notify-reload systemd sends a SIGHUP of its own
                self.assertGreaterEqual(int(re.search(r"generation (\d+)", show("StatusText")).group(1)), number)
        self.assertEqual((self.main_pid(), self.workers()), before)
        self.assertEqual(show("ActiveState"), "active")

    def test_a_bad_reload(self):
        self.start()
        before = self.main_pid(), self.workers()
        with drover.Client(self.address) as client:
            self.assertEqual(client.request("/").status, 200)
            self.configure("two", "nonsense = 1;\n")
            self.assertNotEqual(systemctl("reload", UNIT).returncode, 0)
            self.assertEqual(client.request("/").body, b"<p>one\n")
            self.assertEqual((self.main_pid(), self.workers()), before)
            self.assertEqual(show("ActiveState"), "active")
            self.assertRegex(show("StatusText"), "failed.*nonsense")
            self.assertIn("reload_failed", journal("-p", "err"))
            self.assertIn("nonsense", journal())
            self.configure("two")
            self.reload()
            self.assertEqual(client.request("/").body, b"<p>two\n")
            self.assertNotIn("failed", show("StatusText"))

    def test_a_reload_that_workers_refuse(self):
        self.start()
        os.makedirs("/srv/closed", exist_ok=True)
        os.chmod("/srv/closed", 0o700)
        self.configure("closed")
        self.assertNotEqual(systemctl("reload", UNIT).returncode, 0)
        self.assertEqual(self.get().body, b"<p>one\n")
        self.assertRegex(show("StatusText"), "failed.*Permission denied")

    def test_a_bad_start(self):
        self.configure("one", "nonsense = 1;\n")
        self.assertNotEqual(systemctl("start", UNIT).returncode, 0)
        self.assertIn("nonsense", journal())

    def test_droverctl_by_hand(self):
        self.start()
        self.configure("two")
        result = command("droverctl", "reload")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(self.get().body, b"<p>two\n")
        self.assertIn("generation 2", command("droverctl", "status").stdout)

    def test_the_daemon_is_asked_for_its_verdict(self):
        self.start()
        pid, asked = show("MainPID"), command("drover", "-t")
        self.assertEqual(asked.returncode, 0, asked.stderr)
        self.assertRegex(asked.stdout, r"drover \(pid %s, generation 1\) at /run/drover/control\.sock: a reload would adopt"
                         % pid)
        self.configure("two", 'log = { access = "/nonexistent/access.log"; };\n')
        asked = command("drover", "-t")
        self.assertEqual(asked.returncode, 1, asked.stdout)
        self.assertRegex(asked.stderr, "a reload would fail at log: .*open /nonexistent/access.log")
        self.assertEqual(self.get().body, b"<p>one\n")
        self.assertEqual(show("ActiveState"), "active")

    def test_limits_of_the_unit_are_compared(self):
        """They are the unit's, not those of whoever asks."""
        drop_in = "/run/systemd/system/%s.d/limits.conf" % UNIT
        write(drop_in, "[Service]\nLimitNOFILE=1024\nMemoryMax=64M\nTasksMax=30\nProcSubset=pid\n")
        self.addCleanup(systemctl, "daemon-reload")
        self.addCleanup(os.unlink, drop_in)
        systemctl("daemon-reload")
        self.start()
        said = journal()
        for finding in ("preflight_open_files", "preflight_memory", "preflight_tasks", "preflight_somaxconn_unknown"):
            self.assertIn(finding, said)
        self.assertIn("LimitNOFILE=", said)
        asked = command("drover", "-t").stderr
        self.assertRegex(asked, r"RLIMIT_NOFILE allows 1024.*\[preflight_open_files\]")
        self.assertRegex(asked, r"pids\.max of the cgroup allows 30;.*TasksMax=\d+.*\[preflight_tasks\]")
        self.assertRegex(asked, r"info: unknown: /proc/sys/net/core/somaxconn is hidden \(ProcSubset=pid\?\)")

    def test_a_signal_to_everybody(self):
        self.start()
        before = self.main_pid(), self.workers()
        with drover.Client(self.address) as client:
            self.assertEqual(client.request("/").status, 200)
            self.configure("two")
            self.assertEqual(systemctl("kill", "-s", "HUP", UNIT).returncode, 0)
            end = drover.deadline()
            while client.request("/").body != b"<p>two\n":
                drover.left(end)
        self.assertEqual((self.main_pid(), self.workers()), before)

    def test_a_killed_worker(self):
        self.start()
        master, workers = self.main_pid(), self.workers()
        os.kill(workers[0], signal.SIGKILL)
        drover.wait_dead(workers[0])
        self.assertEqual(self.get().status, 200)
        self.assertEqual(self.main_pid(), master)
        self.assertEqual(show("ActiveState"), "active")

    def test_a_killed_master(self):
        self.start()
        master, workers = self.main_pid(), self.workers()
        os.kill(master, signal.SIGKILL)
        for pid in [master, *workers]:
            drover.wait_dead(pid)
        self.assertEqual(self.answers_again().body, b"<p>one\n")
        self.assertNotEqual(self.main_pid(), master)

    def test_an_access_log(self):
        self.configure("one", 'log = { access = "/var/log/drover/access.log"; };\n')
        self.start()
        self.get("/logged")
        self.assertEqual(systemctl("stop", UNIT).returncode, 0)
        with open("/var/log/drover/access.log", encoding="utf-8") as file:
            self.assertIn("GET /logged HTTP/1.1", file.read())

    def entries(self, *words):
        command("journalctl", "--sync")
        text = command("journalctl", "--no-pager", "-o", "json", "-u", UNIT, *words).stdout
        return [json.loads(line) for line in text.splitlines()]

    def wait_entry(self, *words):
        end = drover.deadline()
        while True:
            entries = self.entries(*words)
            if entries:
                return entries[-1]
            drover.left(end)

    def test_fields_of_the_journal(self):
        self.configure("one", 'log = { error = "journal"; access = "journal"; access_format = "combined"; };\n')
        self.start()
        pid = self.main_pid()
        event = self.wait_entry("DROVER_EVENT=serving", "_PID=%d" % pid)
        self.assertEqual((event["PRIORITY"], event["SYSLOG_IDENTIFIER"], event["DROVER_ROLE"], event["DROVER_WORKERS"]),
                         ("5", "drover", "master", "2"))
        self.assertRegex(event["MESSAGE"], "^master serving generation=1 workers=2")
        self.assertEqual(self.wait_entry("MESSAGE_ID=" + event["MESSAGE_ID"], "_PID=%d" % pid)["DROVER_EVENT"],
                         "serving")
        self.get("/no?injected=%0aPRIORITY=0")
        entry = self.wait_entry("DROVER_EVENT=access", "DROVER_TARGET=/no?injected=%0aPRIORITY=0")
        self.assertIn(int(entry["_PID"]), self.workers())
        self.assertEqual((entry["DROVER_STATUS"], entry["DROVER_METHOD"], entry["PRIORITY"]), ("404", "GET", "6"))
        self.assertRegex(entry["MESSAGE"], r'^127\.[\d.]+ - - \[[^]]+\] "GET /no\?injected=%0aPRIORITY=0 HTTP/1\.1" 404')
        for name in ("PEER", "PORT", "HOST", "BYTES", "DURATION_US", "SLOT", "GENERATION", "REQUEST"):
            self.assertIn("DROVER_" + name, entry)

    def test_syslog_arrives_in_the_journal(self):
        self.configure("one", 'log = { access = "syslog"; };\n')
        self.start()
        self.get("/by-syslog")
        entry = self.wait_entry("_TRANSPORT=syslog", "SYSLOG_IDENTIFIER=drover")
        self.assertIn('"GET /by-syslog HTTP/1.1" 404', entry["MESSAGE"])
        self.assertEqual((entry["SYSLOG_FACILITY"], entry["PRIORITY"]), ("3", "6"))
        self.assertIn(int(entry["SYSLOG_PID"]), self.workers())

    def test_files_are_reopened(self):
        path = "/var/log/drover/access.log"
        self.configure("one", 'log = { access = "%s"; };\n' % path)
        self.start()
        self.get("/before")
        os.rename(path, path + ".1")
        result = command("droverctl", "reopen")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.get("/after")
        self.assertEqual(systemctl("stop", UNIT).returncode, 0)
        for name, target in ((path + ".1", "/before"), (path, "/after")):
            with open(name, encoding="utf-8") as file:
                self.assertIn("GET %s HTTP/1.1" % target, file.read())

    def test_stop_finishes_what_is_under_way(self):
        self.start()
        write("/srv/one/large", "x" * (20 << 20))
        with drover.Client(self.address, receive_buffer=4096) as client:
            client.send(client.head("/large"))
            while b"\r\n\r\n" not in client.buffer:
                client.buffer += client.socket.recv(1024)
            self.assertEqual(systemctl("stop", "--no-block", UNIT).returncode, 0)
            self.assertEqual(len(client.hurry().response().body), 20 << 20)
        self.assertEqual(systemctl("stop", UNIT).returncode, 0)
        self.assertEqual((show("Result"), show("ExecMainStatus")), ("success", "0"))
        with self.assertRaises(ConnectionRefusedError):
            self.get()
        self.assertFalse(os.path.exists("/run/drover"))


def main():
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(Unit)
    command("systemctl", "daemon-reload")
    result = unittest.TextTestRunner(sys.stdout, verbosity=2).run(suite)
    bad = {test.id() for test, _ in result.failures + result.errors + result.skipped}
    print("%d passed, %d failed, 0 skipped" % (result.testsRun - len(bad), len(bad)))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
