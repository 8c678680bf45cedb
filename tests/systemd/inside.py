#!/usr/bin/env python3
"""The installed unit under a real systemd.  Runs in the lab only (see test.py): it writes to /etc and starts
services."""

import contextlib
import json
import os
import pwd
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
import unittest
import uuid

sys.dont_write_bytecode = True
TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(TESTS, "blackbox"), os.path.join(TESTS, "loss")]

import clients  # noqa: E402
import drover  # noqa: E402
import test_auth  # noqa: E402

UNIT = "drover.service"
SOCKET = "drover.socket"
UNIT_FILES = "/usr/lib/systemd/system/"
DROP_INS = "/run/systemd/system/"
CONFIG = "/etc/drover/drover.conf"
EXPOSURE = 1.6          # by systemd-analyze security, from 0 to 10
CAP_NET_BIND_SERVICE = 1 << 10
CAP_BPF = 1 << 39
RESTARTS = 20           # under load
# No machine stands still for so long that one worker accepts what is another's.
CPU_BOUND = 'accept = "cpu";\ntimeouts = { stall = "10s"; };\n'


def command(*words, seconds=drover.DEADLINE):
    return subprocess.run(words, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL,
                          timeout=seconds)


def systemctl(*words):
    return command("systemctl", *words)


def show(name, unit=UNIT):
    return systemctl("show", "--value", "-p", name, unit).stdout.strip()


def wait_until(condition, seconds=drover.DEADLINE):
    """Asks systemd, again and again, until condition() holds."""
    end = drover.deadline(seconds)
    while not (found := condition()):
        drover.left(end)
        select.select([], [], [], 0.02)  # between two questions
    return found


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
        self.drop_ins = set()
        self.since = "@%.6f" % time.time()
        self.address = drover.free_address()
        for name in ("one", "two"):
            write("/srv/%s/index.html" % name, "<p>%s\n" % name)
        self.configure("one")

    def end(self):
        systemctl("stop", SOCKET, UNIT)
        systemctl("reset-failed", SOCKET, UNIT)
        for path in self.drop_ins:
            os.unlink(path)
        if self.drop_ins:
            systemctl("daemon-reload")
            self.drop_ins.clear()

    def drop_in(self, section, *lines, unit=UNIT):
        """Settings over those of the unit, until the test's end."""
        path = "%s%s.d/%s.conf" % (DROP_INS, unit, uuid.uuid4().hex)
        write(path, "[%s]\n%s\n" % (section, "\n".join(lines)))
        self.drop_ins.add(path)
        self.assertEqual(systemctl("daemon-reload").returncode, 0)

    def configure(self, root, more="", workers=2, entry="", path=CONFIG):
        write(path, 'workers = %d;\nlisten = ( { address = "%s"; %s } );\nsites = ( { routes = ( { match = "/";'
                    ' files = { root = "/srv/%s"; }; } ); } );\n%s' % (
                        workers, drover.address_text(self.address), entry, root, more))

    def start(self):
        result = systemctl("start", UNIT)
        self.assertEqual(result.returncode, 0, result.stderr + self.journal())
        self.assertEqual(show("ActiveState"), "active")

    def reload(self):
        result = systemctl("reload", UNIT)
        self.assertEqual(result.returncode, 0, result.stderr + self.journal())

    def get(self, target="/", address=None):
        with drover.Client(address or self.address) as client:
            return client.request(target, close=True)

    def journal(self, *words):
        """What the unit logged in this test."""
        command("journalctl", "--sync")
        return command("journalctl", "--no-pager", "-o", "cat", "-u", UNIT, "--since", self.since, *words).stdout

    # clients that account for every request: see clients.py

    CLIENTS = 8

    def load(self, start=True, kind="one-shot"):
        if start:
            self.start()
        clients.files("/srv/one")
        load = clients.Clients(self.address, "/srv/one", {kind: self.CLIENTS})
        load.wait_ready()
        return load

    def counts(self, load):
        """The sums of all kinds."""
        load.stop()
        kinds = load.report()["kinds"].values()
        counts = {name: sum(kind[name] for kind in kinds) for name in ("requests", "good", *clients.UNWELCOME)}
        counts["lost"] = counts["refused"] + sum(counts[name] for name in clients.LOSSES)
        print("%s: %s" % (self.id().split(".", 1)[1], {name: count for name, count in counts.items() if count}))
        return counts

    def nothing_lost(self, load):
        counts = self.counts(load)
        self.assertGreater(counts["requests"], 50, counts)
        self.assertEqual(counts["lost"], 0, counts)
        self.assertEqual(counts["good"], counts["requests"], counts)

    def only_crossed(self, load):
        """A request may cross the FIN of an idle connection; the server has not seen it, and nothing else is lost."""
        counts = self.counts(load)
        self.assertGreater(counts["requests"], 50, counts)
        self.assertEqual(counts["lost"], 0, counts)
        self.assertEqual(counts["good"] + counts["crossed"], counts["requests"], counts)
        stops = [line for line in self.journal().splitlines() if "stopped" in line and "cut_head=" in line]
        self.assertTrue(stops, self.journal())
        for line in stops:
            self.assertRegex(line, r"\bcut=0\b.*\bkilled=0\b.*\blost=0\b")

    def waiting(self, count):
        """Clients whose requests have been sent and, for all that is known, wait in the queues."""
        clients = [drover.Client(self.address) for _ in range(count)]
        for client in clients:
            self.addCleanup(client.close)
            client.send(client.head())
        return clients

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
        for unit in (UNIT, SOCKET, "drover@.service"):
            result = command("systemd-analyze", "verify", UNIT_FILES + unit)
            self.assertEqual(result.stdout + result.stderr, "", unit)

    def exposure(self, *words):
        """The overall figure of systemd-analyze, which with --threshold fails above ten times that."""
        result = command("systemd-analyze", "security", "--no-pager", "--threshold=%d" % (EXPOSURE * 10), *words)
        overall = re.search(r"Overall exposure level for \S+: ([\d.]+)", result.stdout)
        self.assertIsNotNone(overall, result.stdout + result.stderr)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertLessEqual(float(overall.group(1)), EXPOSURE, result.stdout)

    def test_the_sandbox(self):
        """Live, with what the service manager really applied, and while the kernel's program steers."""
        self.start()
        self.exposure(UNIT)
        accept = json.loads(command("droverctl", "status", "--json").stdout)["status"]["accept"]
        self.assertEqual(accept["effective"], "directed", accept)

    def test_the_sandbox_as_it_is_written(self):
        for unit in (UNIT, "drover@.service"):
            self.exposure("--offline=true", UNIT_FILES + unit)

    def test_the_sandbox_of_an_instance(self):
        unit = "drover@main.service"
        self.configure("one", path="/etc/drover/main.conf")
        self.addCleanup(os.unlink, "/etc/drover/main.conf")
        self.addCleanup(systemctl, "stop", unit)
        result = systemctl("start", unit)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.exposure(unit)
        accept = json.loads(command("droverctl", "--instance", "main", "status", "--json").stdout)["status"]["accept"]
        self.assertEqual(accept["effective"], "directed", accept)

    def test_layers_of_our_own(self):
        """What drover itself confines its workers by works below the unit's filter of system calls."""
        self.start()
        self.assertEqual(self.get().body, b"<p>one\n")
        self.assertNotIn("sandbox_degraded", self.journal())
        for pid in self.workers():
            status = drover.process_status(pid)
            self.assertEqual((status["Seccomp"], status["NoNewPrivs"], int(status["CapEff"], 16)), ("2", "1", 0))

    def test_homes_are_hidden(self):
        write("/home/me/site/index.html", "<p>home\n")
        with open(CONFIG, encoding="utf-8") as file:
            text = file.read()
        write(CONFIG, text.replace("/srv/one", "/home/me/site"))
        self.assertNotEqual(systemctl("start", UNIT).returncode, 0)
        self.assertRegex(self.journal(), r"root /home/me/site: .*ProtectHome=")
        systemctl("stop", UNIT)
        self.drop_in("Service", "ProtectHome=tmpfs", "BindReadOnlyPaths=/home/me/site")
        self.start()
        self.assertEqual(self.get().body, b"<p>home\n")

    def test_a_credential(self):
        """A file of users that only root can read, passed by the service manager."""
        write("/etc/users", "bob:%s\n" % test_auth.hash_of("secret"))
        self.addCleanup(os.unlink, "/etc/users")
        os.chmod("/etc/users", 0o600)
        entry = 'files = { root = "/srv/one"; };'
        with open(CONFIG, encoding="utf-8") as file:
            text = file.read().replace(entry, entry + ' auth = { file = "credential:htpasswd"; };')
        write(CONFIG, text)
        self.assertNotEqual(systemctl("start", UNIT).returncode, 0)
        self.assertRegex(self.journal(), r"drover\.conf:\d+:\d+: auth\.file: credential:htpasswd: .*LoadCredential=")
        systemctl("stop", UNIT)
        self.drop_in("Service", "LoadCredential=htpasswd:/etc/users")
        self.start()
        self.assertEqual(self.get().status, 401)
        with drover.Client(self.address) as client:
            self.assertEqual(client.request("/", headers=[test_auth.basic("bob", "wrong")]).status, 401)
        with drover.Client(self.address) as client:
            self.assertEqual(client.request("/", headers=[test_auth.basic("bob", "secret")]).body, b"<p>one\n")
        asked = command("drover", "-t")
        self.assertEqual(asked.returncode, 0, asked.stderr)
        self.assertIn("a reload would adopt", asked.stdout)
        self.reload()

    def test_nothing_that_was_written_runs(self):
        """Of all mounts: read-only, or without programs that the kernel would start; or not the service's to write."""
        self.start()
        pid = self.main_pid()
        uid = int(drover.process_status(pid)["Uid"].split()[0])
        with open("/proc/%d/mountinfo" % pid, encoding="utf-8") as file:
            mounts = dict(line.split()[4:6] for line in file)  # of two at one place, the one that is seen
        for place, options in mounts.items():
            if not {"noexec", "ro"} & set(options.split(",")):
                stat = os.stat("/proc/%d/root%s" % (pid, place))
                self.assertFalse(stat.st_uid == uid or stat.st_mode & 0o002, (place, options))
        for place in ("/run/private/drover", "/var/log/private/drover", "/var/lib/private/drover", "/tmp", "/var/tmp",
                      "/dev/shm"):
            self.assertIn("noexec", mounts[place].split(","))

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
        self.assertEqual(int(master["CapEff"], 16), CAP_NET_BIND_SERVICE)  # CAP_BPF for moments only
        self.assertEqual(int(master["CapPrm"], 16), CAP_NET_BIND_SERVICE | CAP_BPF)
        self.assertEqual(int(master["CapBnd"], 16), CAP_NET_BIND_SERVICE | CAP_BPF)
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
                self.assertIn("generation %d," % number, show("StatusText"))  # one reload each, not two
        self.assertEqual((self.main_pid(), self.workers()), before)
        self.assertEqual(show("ActiveState"), "active")

    def test_what_is_saved_outlives_a_restart(self):
        """The unit's own /etc is read-only; droverctl writes with the caller's rights."""
        self.start()
        drop_ins = CONFIG + ".d"
        self.addCleanup(shutil.rmtree, drop_ins, True)
        for words in (("set", "limits.headers", "60", "timeouts.send", "9s"), ("save",), ("set", "limits.headers", "70")):
            result = command("droverctl", *words)
            self.assertEqual(result.returncode, 0, result.stdout + result.stderr + self.journal())
        self.reload()
        self.assertEqual(command("droverctl", "get", "limits.headers").stdout, "70\n")
        self.assertEqual(systemctl("restart", UNIT).returncode, 0, self.journal())
        self.assertEqual(command("droverctl", "get", "limits.headers").stdout, "60\n")
        self.assertEqual(command("droverctl", "get", "timeouts.send").stdout, "9s\n")
        self.assertEqual(self.get().status, 200)

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
            self.assertIn("reload_failed", self.journal("-p", "err"))
            self.assertIn("nonsense", self.journal())
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
        self.assertIn("nonsense", self.journal())

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
        said = self.journal()
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


class Watchdog(Unit):
    def test_a_healthy_and_idle_daemon_survives(self):
        self.drop_in("Service", "WatchdogSec=500ms")
        self.start()
        first = int(show("WatchdogTimestampMonotonic"))
        wait_until(lambda: int(show("WatchdogTimestampMonotonic")) > first + 3000000)
        self.assertEqual(show("NRestarts"), "0")
        self.assertEqual(self.get().body, b"<p>one\n")

    def test_a_stopped_worker(self):
        """With nobody else to end it, systemd starts the service again, and what waits in the queues is answered."""
        self.configure("one", 'timeouts = { hang_kill = "0"; };\n')
        self.drop_in("Service", "WatchdogSec=2s")
        self.start()
        workers = self.workers()
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        for pid in workers:
            drover.wait_stopped(pid)
        clients = self.waiting(100)
        for client in clients:
            self.assertEqual(client.response().body, b"<p>one\n")
        self.assertGreaterEqual(int(show("NRestarts")), 1)
        self.assertIn("watchdog_withheld", self.journal())
        self.assertFalse(set(workers) & set(self.workers()))


class Instances(Unit):
    NAMES = ("first", "second")

    def setUp(self):
        super().setUp()
        self.addresses = [drover.free_address() for _ in self.NAMES]
        for name, self.address in zip(self.NAMES, self.addresses):
            path = "/etc/drover/%s.conf" % name
            self.configure("one", path=path)
            self.addCleanup(os.unlink, path)
            self.addCleanup(systemctl, "stop", "drover@%s" % name)

    def test_side_by_side(self):
        for name in self.NAMES:
            self.assertEqual(systemctl("start", "drover@%s" % name).returncode, 0, self.journal())
        for name, address in zip(self.NAMES, self.addresses):
            self.assertEqual(self.get(address=address).body, b"<p>one\n")
            status = command("droverctl", "-i", name, "status")
            self.assertIn("listening on " + drover.address_text(address), status.stdout, status.stderr)
        self.address = self.addresses[1]
        self.configure("two", path="/etc/drover/second.conf")
        result = systemctl("reload", "drover@second")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual([self.get(address=address).body for address in self.addresses], [b"<p>one\n", b"<p>two\n"])
        self.assertEqual(systemctl("stop", "drover@first").returncode, 0)
        self.assertEqual(self.get(address=self.addresses[1]).body, b"<p>two\n")


class Store(Unit):
    """The listening sockets outlive the process."""

    def stored(self):
        return int(show("NFileDescriptorStore"))

    def test_a_restart_under_load(self):
        load = self.load()
        for _ in range(RESTARTS):
            self.assertEqual(systemctl("restart", UNIT).returncode, 0, self.journal())
        self.nothing_lost(load)
        self.assertEqual(self.stored(), 2)

    def test_restarts_of_keep_alive_clients(self):
        load = self.load(kind="keep-alive")
        for _ in range(RESTARTS):
            self.assertEqual(systemctl("restart", UNIT).returncode, 0, self.journal())
        self.only_crossed(load)

    def test_a_killed_master_keeps_what_waits(self):
        self.start()
        master, workers = self.main_pid(), self.workers()
        for pid in workers:
            os.kill(pid, signal.SIGSTOP)
        for pid in workers:
            drover.wait_stopped(pid)
        clients = self.waiting(200)
        os.kill(master, signal.SIGKILL)
        for client in clients:
            self.assertEqual(client.response().body, b"<p>one\n")
        self.assertNotEqual(self.main_pid(), master)

    def test_a_killed_master_under_load_refuses_nobody(self):
        """What a worker had in hand is lost with it; what waits and what comes is not."""
        load = self.load()
        kills = 5
        for _ in range(kills):
            master = self.main_pid()
            os.kill(master, signal.SIGKILL)
            wait_until(lambda: show("ActiveState") == "active" and self.main_pid() not in (0, master))
        counts = self.counts(load)
        self.assertEqual(counts["refused"], 0, counts)
        self.assertLessEqual(counts["lost"], kills * self.CLIENTS, counts)

    def test_workers_change_with_a_restart(self):
        load = self.load()
        for workers in (4, 1, 3):
            self.configure("one", workers=workers)
            self.assertEqual(systemctl("restart", UNIT).returncode, 0, self.journal())
        self.nothing_lost(load)
        self.assertEqual(self.stored(), 4)

    def test_a_removed_address_leaves_the_store(self):
        self.start()
        before = self.address
        self.address = drover.free_address()
        self.configure("one")
        self.reload()
        wait_until(lambda: self.stored() == 2)
        with self.assertRaises(ConnectionRefusedError):
            self.get(address=before)

    def test_an_address_that_a_restart_leaves_behind(self):
        self.start()
        before = self.address
        self.address = drover.free_address()
        self.configure("one")
        self.assertEqual(systemctl("restart", UNIT).returncode, 0, self.journal())
        self.assertIn("stored_socket_dropped", self.journal())
        with self.assertRaises(ConnectionRefusedError):
            self.get(address=before)
        wait_until(lambda: self.stored() == 2)

    def test_sockets_of_another_user(self):
        """Nobody can join them, so all workers share them."""
        # systemd cannot turn a runtime directory that it keeps into a dynamic user's: so another one
        self.drop_in("Service", "DynamicUser=no", "User=www-data", "RuntimeDirectory=",
                     "RuntimeDirectory=drover-other")
        load = self.load()
        for path in self.drop_ins:
            os.unlink(path)
        self.drop_ins.clear()
        systemctl("daemon-reload")
        for workers in (4, 1, 3):
            self.configure("one", workers=workers)
            self.assertEqual(systemctl("restart", UNIT).returncode, 0, self.journal())
            self.assertEqual(self.stored(), 2)
        self.nothing_lost(load)
        self.assertIn("listener_cannot_grow", self.journal())
        self.assertIn("listener_shared", self.journal())

    def test_a_unix_socket(self):
        self.address = "/run/drover/http.sock"
        self.configure("one")
        self.start()
        for _ in range(2):
            self.assertEqual(systemctl("restart", UNIT).returncode, 0, self.journal())
            self.assertEqual(self.get().body, b"<p>one\n")
        self.assertEqual(self.stored(), 1)


class Upgrade(Unit):
    """A package has put another binary in place: the unit goes on, with the same main process."""

    BINARY = "/usr/sbin/drover"
    UPGRADES = 5

    def setUp(self):
        super().setUp()
        with open(self.BINARY, "rb") as file:
            self.addCleanup(self.install, file.read())

    def install(self, content, how=""):
        with open(self.BINARY + ".new", "wb") as file:
            file.write(content)
        os.chmod(self.BINARY + ".new", 0o755)
        write(self.BINARY + ".break", how)
        os.rename(self.BINARY + ".new", self.BINARY)

    def install_good(self):
        with open(drover.DROVER, "rb") as file:
            self.install(file.read())

    def install_broken(self, how):
        with open(drover.BROKEN, "rb") as file:
            self.install(file.read(), how)

    def unit(self):
        """What an upgrade does not change."""
        return [show(name) for name in ("MainPID", "ActiveState", "NRestarts", "NFileDescriptorStore", "InvocationID")]

    def goes_on(self, before, idle):
        self.assertEqual(self.unit(), before)
        for client in idle:
            self.assertEqual(client.request("/").body, b"<p>one\n")
        pinged = int(show("WatchdogTimestampMonotonic"))
        wait_until(lambda: int(show("WatchdogTimestampMonotonic")) > pinged + 3000000)
        self.assertEqual(self.unit(), before)
        self.reload()
        self.assertIn("2 workers, generation", show("StatusText"))

    def idle_clients(self):
        clients = [drover.Client(self.address) for _ in range(50)]
        for client in clients:
            self.addCleanup(client.close)
            self.assertEqual(client.request("/").status, 200)
        return clients

    def upgrade(self, status, pattern):
        result = command("droverctl", "upgrade")
        self.assertEqual(result.returncode, status, result.stdout + result.stderr + self.journal())
        self.assertRegex(result.stdout + result.stderr, pattern)
        self.assertRegex(show("StatusText"), r"^2 workers, generation \d+, 1 address; .*last upgrade.*: .*%s" % pattern)

    def test_under_load(self):
        self.drop_in("Service", "WatchdogSec=2s")
        load = self.load()
        idle, before, workers = self.idle_clients(), self.unit(), self.workers()
        self.assertEqual(before[3], "2")
        for _ in range(self.UPGRADES):
            self.install_good()
            self.upgrade(0, "has taken over from")
        self.nothing_lost(load)
        wait_until(lambda: len(self.workers()) == 2)
        self.assertFalse(set(workers) & set(self.workers()))
        self.goes_on(before, idle)
        self.assertEqual(systemctl("restart", UNIT).returncode, 0, self.journal())
        self.assertEqual(self.get().body, b"<p>one\n")
        self.assertEqual(show("NFileDescriptorStore"), "2")

    def test_a_binary_that_cannot_take_over_under_load(self):
        self.drop_in("Service", "WatchdogSec=2s")
        load = self.load()
        idle, before, workers = self.idle_clients(), self.unit(), self.workers()
        for how, pattern in (("rejects-configuration", "failed at check: "), ("crashes-at-start", "failed at start: .*SEGV"),
                             ("crashes-after-go", "failed at replace: .*FPE")):
            self.install_broken(how)
            self.upgrade(1, pattern)
        self.nothing_lost(load)
        wait_until(lambda: sorted(self.workers()) == sorted(workers))
        self.goes_on(before, idle)
        self.install_good()
        self.upgrade(0, "has taken over from")

    def test_with_activated_sockets(self):
        """They stay the .socket unit's, also for the next start."""
        write(DROP_INS + SOCKET + ".d/upgrade.conf",
              "[Socket]\nListenStream=\nListenStream=%s\n" % drover.address_text(self.address))
        self.drop_ins.add(DROP_INS + SOCKET + ".d/upgrade.conf")
        self.assertEqual(systemctl("daemon-reload").returncode, 0)
        self.assertEqual(systemctl("start", SOCKET).returncode, 0)
        load = self.load()
        before = self.unit()
        self.install_good()
        self.upgrade(0, "has taken over from")
        self.assertIn("of a .socket unit", command("droverctl", "status").stdout)
        self.assertEqual(systemctl("restart", UNIT).returncode, 0, self.journal())
        self.nothing_lost(load)
        self.assertEqual(self.unit()[1:4], before[1:4])


class Activation(Unit):
    """drover.socket, with a user that cannot join root's reuseport groups."""

    def activate(self, count, workers, entry='name = "http";'):
        text = self.address if isinstance(self.address, str) else drover.address_text(self.address)
        self.drop_in("Socket", "ListenStream=", *["ListenStream=" + text] * count,
                     *(["ReusePort=yes"] if count > 1 else []), unit=SOCKET)
        self.configure("one", workers=workers, entry=entry)
        result = systemctl("start", SOCKET)
        self.assertEqual(result.returncode, 0, result.stderr)

    def sockets(self):
        """How many sockets drover has at its one address."""
        status = command("droverctl", "status").stdout
        return int(re.search(r"\((\d+) sockets? of a \.socket unit\)", status).group(1))

    def test_as_installed(self):
        """drover.socket and drover.conf fit each other."""
        self.doCleanups()  # puts the installed configuration back
        self.addCleanup(self.end)
        self.address = ("127.0.0.1", 80)
        self.assertEqual(systemctl("start", SOCKET).returncode, 0)
        self.assertEqual(self.get().status, 200)
        self.assertEqual(self.sockets(), 1)

    def check(self, count, workers):
        self.activate(count, workers)
        self.assertEqual(show("ActiveState"), "inactive")
        self.assertEqual(self.get().body, b"<p>one\n")   # the first connection starts the service
        wait_until(lambda: show("ActiveState") == "active")  # READY=1 may be under way yet
        self.assertEqual((self.sockets(), len(self.workers())), (count, workers))
        self.assertEqual("listener_shared" in self.journal(), count < workers)
        self.assertEqual(int(show("NFileDescriptorStore")), 0)

    def test_one_socket(self):
        self.check(1, 4)

    def test_two_sockets_and_four_workers(self):
        self.check(2, 4)

    def test_a_socket_for_each_worker(self):
        self.check(4, 4)

    def test_ipv6(self):
        self.address = drover.free_address(socket.AF_INET6)
        self.check(2, 4)

    def test_a_unix_socket(self):
        self.address = "/run/given.sock"
        self.check(1, 2)
        self.assertEqual(systemctl("restart", UNIT).returncode, 0, self.journal())
        self.assertEqual(self.get().body, b"<p>one\n")
        self.assertEqual(systemctl("stop", UNIT).returncode, 0)
        self.assertTrue(drover.is_socket(self.address))

    def test_reloads_under_load(self):
        self.activate(2, 4)
        load = self.load(start=False)
        for workers in (2, 4, 1, 4, 2, 3):
            self.configure("one", workers=workers)
            self.reload()
        self.nothing_lost(load)
        self.assertEqual(self.sockets(), 2)

    def test_restarts_under_load(self):
        self.activate(2, 4)
        load = self.load(start=False)
        for _ in range(RESTARTS):
            self.assertEqual(systemctl("restart", UNIT).returncode, 0, self.journal())
        self.nothing_lost(load)

    def test_restarts_of_keep_alive_clients(self):
        self.activate(2, 4)
        load = self.load(start=False, kind="keep-alive")
        for _ in range(RESTARTS):
            self.assertEqual(systemctl("restart", UNIT).returncode, 0, self.journal())
        self.only_crossed(load)

    def test_stops_under_load(self):
        """The next connection starts the service again."""
        self.activate(1, 2)
        load = self.load(start=False)
        for _ in range(5):
            self.assertEqual(systemctl("stop", UNIT).returncode, 0, self.journal())
            wait_until(lambda: show("ActiveState") == "active")
        self.nothing_lost(load)

    def test_a_wrong_address(self):
        self.activate(1, 2)
        before, self.address = self.address, drover.free_address()
        self.configure("one", entry='name = "http";')
        self.assertNotEqual(systemctl("start", UNIT).returncode, 0)
        self.assertIn('a socket named "http" that is not at', self.journal())
        self.assertIn(drover.address_text(before), self.journal())

    def test_a_socket_that_nobody_wants(self):
        self.activate(1, 2)
        self.address = drover.free_address()
        self.configure("one")
        self.start()
        self.assertIn("socket_unused", self.journal())
        self.assertEqual(self.get().body, b"<p>one\n")


class Steering(Activation):
    """accept = "directed", which is the default."""

    def status(self):
        result = command("droverctl", "status", "--json")
        return json.loads(result.stdout)["status"] if result.returncode == 0 else None

    def directed(self):
        """It is effective, at every address."""
        status = self.status()
        return (status is not None and status["accept"]["effective"] == "directed" and
                all(listener["accept"] == "directed" for listener in status["listeners"]))

    def everybody_gets_some(self, connections=60):
        """Who has not got on for a moment is given none then: more come."""
        before = {worker["pid"]: worker["counters"]["accepted"] for worker in self.status()["workers"]}
        wait_until(lambda: self.have_got_some(before, connections))

    def have_got_some(self, before, connections):
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(drover.Client(self.address)) for _ in range(connections)]
            for client in clients:
                self.assertEqual(client.request("/").body, b"<p>one\n")
            return all(worker["counters"]["accepted"] > before.get(worker["pid"], 0) + 5
                       for worker in self.status()["workers"] if worker["state"] == "serving")

    def nobody_else_can_steer(self):
        """Workers have neither the program nor the map, nor the right to load others."""
        self.assertTrue(drover.bpf_fds(self.main_pid()))
        for pid in self.workers():
            self.assertEqual(drover.bpf_fds(pid), [])
            for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
                self.assertEqual(int(drover.process_status(pid)[name], 16), 0, name)

    def test_in_the_sandbox(self):
        load = self.load()
        self.assertTrue(self.directed(), self.journal())
        self.assertIn("accept_mode wanted=directed effective=directed", self.journal())
        self.assertIn("accept directed", command("droverctl", "status").stdout)
        self.everybody_gets_some()
        self.nobody_else_can_steer()
        for workers in (4, 2):
            self.configure("one", workers=workers)
            self.reload()
            self.assertTrue(self.directed(), self.journal())
        result = command("droverctl", "upgrade")
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        self.assertTrue(self.directed(), self.journal())
        wait_until(lambda: len(self.workers()) == 2)
        self.everybody_gets_some()
        self.nobody_else_can_steer()
        self.nothing_lost(load)

    def test_bound_to_cpus_in_the_sandbox(self):
        self.configure("one", CPU_BOUND)
        self.start()
        self.assertEqual(self.status()["accept"]["effective"], "cpu")
        self.assertEqual([len(os.sched_getaffinity(pid)) for pid in self.workers()], [1, 1])
        self.assertNotIn("worker_not_bound", self.journal())
        self.assertEqual(self.get().status, 200)

    def test_bound_to_cpus_after_a_restart(self):
        """The store gives them back in another order than that in which the program counts them."""
        self.configure("one", CPU_BOUND)
        self.start()
        for workers in (2, 3, 4):
            self.configure("one", CPU_BOUND, workers=workers)
            self.reload()
            self.assertEqual(systemctl("restart", UNIT).returncode, 0, self.journal())
            self.each_cpu_has_its_workers()

    def test_bound_to_cpus_at_the_sockets_of_a_unit(self):
        self.activate(4, 4)
        self.configure("one", CPU_BOUND, workers=4, entry='name = "http";')
        self.start()
        for _ in range(2):
            self.each_cpu_has_its_workers()
            self.assertEqual(systemctl("restart", UNIT).returncode, 0, self.journal())

    def each_cpu_has_its_workers(self):
        cpus = sorted(os.sched_getaffinity(0))
        self.addCleanup(os.sched_setaffinity, 0, cpus)
        for number, cpu in enumerate(cpus):
            before = self.accepted()
            os.sched_setaffinity(0, [cpu])
            for _ in range(20):
                self.assertEqual(self.get().status, 200)
            os.sched_setaffinity(0, cpus)
            got = [slot for slot, count in self.accepted().items() if count > before[slot]]
            self.assertEqual({slot % len(cpus) for slot in got}, {number}, got)

    def accepted(self):
        return {worker["slot"]: worker["counters"]["accepted"] for worker in self.status()["workers"]
                if worker["state"] == "serving"}

    def test_without_the_capability(self):
        self.drop_in("Service", *["%s=\n%s=CAP_NET_BIND_SERVICE" % (name, name)
                                  for name in ("AmbientCapabilities", "CapabilityBoundingSet")])
        self.start()
        accept = self.status()["accept"]
        self.assertEqual((accept["wanted"], accept["effective"]), ("directed", "reuseport"))
        self.assertIn("CAP_BPF", accept["why"])
        lines = [line for line in self.journal().splitlines() if "accept_mode" in line]
        self.assertEqual(len(lines), 1, lines)
        self.assertRegex(lines[0], r"wanted=directed effective=reuseport why=.*CAP_BPF")
        self.everybody_gets_some()
        self.reload()
        self.assertEqual(len([line for line in self.journal().splitlines() if "accept_mode" in line]), 1)

    def test_restarts_under_load(self):
        """The sockets come back out of the store, with the program of a process that is gone."""
        load = self.load()
        for _ in range(5):
            self.assertEqual(systemctl("restart", UNIT).returncode, 0, self.journal())
            wait_until(self.directed)
            self.everybody_gets_some()
        self.nothing_lost(load)

    def test_a_killed_master_under_load(self):
        self.start()
        for _ in range(3):
            master = self.main_pid()
            os.kill(master, signal.SIGKILL)
            wait_until(lambda: self.main_pid() not in (0, master) and self.directed())
            self.everybody_gets_some()

    def test_sockets_of_a_unit(self):
        self.activate(4, 4)
        self.start()
        for _ in range(2):
            wait_until(self.directed)
            self.everybody_gets_some()
            self.assertEqual(systemctl("restart", UNIT).returncode, 0, self.journal())

    def test_fewer_sockets_than_workers(self):
        self.activate(2, 4)
        self.start()
        accept = self.status()["accept"]
        self.assertEqual((accept["wanted"], accept["effective"]), ("directed", "shared"))
        self.assertIn("fewer sockets", accept["why"])
        self.configure("one", workers=2, entry='name = "http";')
        self.reload()
        self.assertTrue(self.directed(), self.journal())


class Time(Unit):
    def test_a_drain_longer_than_the_units_timeout(self):
        self.drop_in("Service", "TimeoutStopSec=1s")
        self.configure("one", 'timeouts = { drain = "2m"; };\n')
        self.start()
        write("/srv/one/large", "x" * (20 << 20))
        with drover.Client(self.address, receive_buffer=4096) as client:
            client.send(client.head("/large"))
            while b"\r\n\r\n" not in client.buffer:
                client.buffer += client.socket.recv(1024)
            begin = time.monotonic()
            self.assertEqual(systemctl("stop", "--no-block", UNIT).returncode, 0)
            # longer than the timeout and than what drover asks for at once: it has to ask again
            wait_until(lambda: time.monotonic() - begin > 13)
            self.assertEqual(show("ActiveState"), "deactivating")
            self.assertRegex(show("StatusText"), r"^stopping: 1 connections of 2 workers")
            self.assertEqual(len(client.hurry().response().body), 20 << 20)
        self.assertEqual(systemctl("stop", UNIT).returncode, 0)
        self.assertEqual((show("Result"), show("ExecMainStatus")), ("success", "0"))


class Memory(Unit):
    # two that take what there is: alone, one would be larger than what oom_score_adj adds to the worker
    HOGS = """
import os, sys
with open(sys.argv[1] + "/cgroup.procs", "w") as file: file.write("0")
os.fork()
held = []
while True: held.append(b"x" * (1 << 20))
"""

    def cgroup(self):
        """The unit's memory cgroup, in either hierarchy."""
        group = show("ControlGroup")
        found = [path for path in ("/sys/fs/cgroup/memory" + group, "/sys/fs/cgroup" + group)
                 if os.path.exists(path + "/memory.limit_in_bytes") or os.path.exists(path + "/memory.max")]
        self.assertTrue(found, group)
        return found[0]

    def test_a_worker_out_of_memory(self):
        """The kernel kills a worker of the service because its memory is used up; another one follows."""
        self.drop_in("Service", "MemoryMax=64M", "MemorySwapMax=0")
        self.start()
        master, workers = self.main_pid(), self.workers()
        with open("/proc/%d/oom_score_adj" % workers[0], "w", encoding="ascii") as file:
            file.write("1000")
        hogs = command(sys.executable, "-c", self.HOGS, self.cgroup())
        self.assertEqual(hogs.returncode, -signal.SIGKILL, hogs.stderr)
        drover.wait_dead(workers[0])
        wait_until(lambda: len(self.workers()) == 2)
        self.assertNotIn(workers[0], self.workers())
        self.assertEqual((self.main_pid(), show("ActiveState")), (master, "active"))
        self.assertEqual(self.get().body, b"<p>one\n")
        self.assertIn("worker_exited", self.journal())


def main():
    """Arguments: parts of the names of the tests to run; none: all."""
    suite = unittest.TestSuite()
    for case in (Unit, Watchdog, Instances, Store, Upgrade, Activation, Steering, Time, Memory):
        for name in unittest.defaultTestLoader.getTestCaseNames(case):
            if name in case.__dict__ and (not sys.argv[1:] or any(word in "%s.%s" % (case.__name__, name)
                                                                  for word in sys.argv[1:])):
                suite.addTest(case(name))
    command("systemctl", "daemon-reload")
    result = unittest.TextTestRunner(sys.stdout, verbosity=2).run(suite)
    bad = {test.id() for test, _ in result.failures + result.errors + result.skipped}
    print("%d passed, %d failed, 0 skipped" % (result.testsRun - len(bad), len(bad)))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
