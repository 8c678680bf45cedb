"""drover -t with a daemon and without: what a reload would do, and that asking changes nothing."""

import json
import os
import re
import resource
import signal
import socket
import threading
import unittest

import drover
from drover import Drover, run
from test_cli import Files
from test_master import Master, Tracer


class Dry(Master):
    def ask(self, server, path=None):
        result = run("-t", "-c", path or server.config)
        return result.returncode, result.stdout + result.stderr

    def would(self, server, *says, status=0):
        got, text = self.ask(server)
        self.assertEqual(got, status, text + "\n" + server.log.text())
        for words in says:
            self.assertRegex(text, words)
        return text

    def state(self, server):
        """What people see of a daemon, and what it holds; once the fresh workers of a dry run are gone."""
        server.wait_status(lambda status: status["phase"] == "idle" and len(status["workers"]) == len(status["slots"]))
        status = server.status()
        return (status["generation"], server.workers(status), status["listeners"], status["last_reload"],
                [slot["failures"] for slot in status["slots"]], sorted(os.listdir(server.dir)))

    def held(self, server):
        return [drover.lasting_fds(pid) for pid in [server.pid, *server.workers().values()]]

    # what it says

    def test_nothing_to_do(self):
        server = self.start()
        text = self.would(server, r"would adopt it in place \(2 workers\)", "the configuration is good",
                          r"pid %d\b" % server.pid)
        self.assertNotIn("checked alone", text)

    def test_another_file(self):
        server = self.start()
        other = os.path.join(server.dir, "other.conf")
        with open(server.config, encoding="utf-8") as file:
            text = file.read()
        with open(other, "w", encoding="utf-8") as file:
            file.write(text.replace("workers = 2", "workers = 3"))
        status, text = self.ask(server, other)
        self.assertEqual(status, 0, text)
        self.assertIn("start 1 more", text)
        self.would(server, r"\(2 workers\)")
        result = server.ctl("check", other)
        self.assertEqual((result.returncode, "start 1 more" in result.stdout), (0, True), result.stderr)
        self.assertRegex(server.ctl("check").stdout, r"\(2 workers\)\n")

    def test_workers(self):
        server = self.start()
        server.configure({"workers": 4})
        self.would(server, r"in place \(2 workers\), start 2 more")
        server.configure({"workers": 1})
        self.would(server, r"in place \(1 worker\), retire 1")
        server.configure({"workers": 2, "reload": "replace"})
        self.would(server, r'would replace 2 workers \(reload = "replace"\)')
        server.configure({"reload": "adopt", "limits": {"open_files": 500}})
        self.would(server, r"would replace 2 workers \(limits\.open_files changed\)")

    def test_addresses(self):
        server = self.start()
        new = drover.free_address()
        server.configure({"listen": [{"address": drover.address_text(new)},
                                     {"address": "unix:%s/web.sock" % server.dir}]})
        self.would(server, "listen on %s" % re.escape(drover.address_text(new)), "listen on unix:.*web.sock",
                   "let %s go" % re.escape(drover.address_text(server.address)))
        self.assertFalse(os.path.exists(server.dir + "/web.sock"))
        self.assertEqual(server.get().status, 200)

    def test_a_wrong_configuration(self):
        server = self.start()
        server.configure("workers = 0;\n")
        self.would(server, r"drover\.conf:1:11: workers: too small", status=2)

    def test_a_check_that_is_killed_is_no_wrong_configuration(self):
        server = self.start()
        answers = []
        tracer = Tracer(server.pid)
        asker = threading.Thread(target=lambda: answers.append(self.ask(server)))
        asker.start()
        checker = tracer.catch()
        os.kill(checker, signal.SIGKILL)
        tracer.let_go(checker)
        asker.join()
        self.assertEqual(answers[0][0], 1, answers)
        self.assertIn("a reload would fail at check: ", answers[0][1])
        self.assertIn("ended by signal 9", answers[0][1])

    def test_a_port_that_another_program_has(self):
        server = self.start()
        taken = socket.socket()
        self.addCleanup(taken.close)
        taken.bind((drover.free_address()[0], 0))
        taken.listen()
        address = drover.address_text(taken.getsockname())
        server.configure({"listen": server.settings["listen"] + [{"address": address}]})
        self.would(server, "would fail at bind: .*%s" % re.escape(address), "in use", status=1)

    def test_a_unix_socket_that_could_not_be_made(self):
        server = self.start()
        server.configure({"listen": [{"address": "unix:/nonexistent/web.sock"}]})
        self.would(server, "would fail at bind: .*/nonexistent", status=1)

    def test_a_root_that_workers_may_not_open(self):
        server = self.start()
        os.mkdir(server.dir + "/closed", 0o700)
        server.configure({"sites": [{"routes": [{"match": "/", "files": {"root": server.dir + "/closed"}}]}]})
        if os.geteuid() == 0:  # else the workers are its owner
            self.would(server, r"drover\.conf:\d+:\d+: .*closed: Permission denied", status=2)

    def test_a_log_directory_that_is_missing(self):
        server = self.start()
        server.configure({"log": {"access": "/nonexistent/access.log"}})
        self.would(server, "would fail at log: .*open /nonexistent/access.log", status=1)

    def test_a_setting_that_needs_a_restart(self):
        server = self.start()
        os.symlink(server.control, server.dir + "/again.sock")  # so that it is found
        server.configure({"control": server.dir + "/again.sock"})
        self.would(server, "would fail at check: control cannot change", status=1)

    def test_a_worker_that_cannot_prepare_in_time(self):
        server = self.start({"timeouts": {"prepare": "300ms"}})
        worker = server.workers()[1]
        os.kill(worker, signal.SIGSTOP)
        try:
            drover.wait_stopped(worker)
            self.would(server, "would fail at prepare: slot 1 did not say READY", status=1)
        finally:
            os.kill(worker, signal.SIGCONT)
        server.configure({"timeouts": {"prepare": "20s"}})
        self.would(server)
        self.assertEqual(server.workers()[1], worker)

    def test_too_many_generations(self):
        server = self.start({"workers": 1, "limits": {"max_generations": 2}})
        clients = [self.client(server) for _ in range(2)]
        clients[0].send(b"GET / HTTP/1.1\r\nHo")  # pins the first generation
        self.until_asked(server, lambda text: "would adopt" in text)
        self.reload(server)
        clients[1].send(b"GET / HTTP/1.1\r\nHo")  # and this one the second
        self.until_asked(server, lambda text: re.search("would fail at prepare: .*max_generations", text))
        self.assertRegex(self.refuse(server), "failed at prepare: .*max_generations")
        for client in clients:
            client.send(b"st: a\r\n\r\n")
            self.assertEqual(client.response().status, 200)
        self.would(server)

    def until_asked(self, server, condition):
        """Asks until it says so: when the worker reads a client's bytes is its own affair."""
        end = drover.deadline()
        while not condition(self.ask(server)[1]):
            drover.left(end)

    # that it changes nothing

    def test_20_checks_under_load_change_nothing(self):
        server = self.start()
        clients = self.idle(server, 20)
        before, held = self.state(server), self.held(server)
        lost, done = [], threading.Event()

        def load():
            with self.client(server) as client:
                while not done.is_set():
                    if server.get().body != b"<p>hello\n" or client.request("/").body != b"<p>hello\n":
                        lost.append(1)

        loaders = [threading.Thread(target=load) for _ in range(2)]
        for loader in loaders:
            loader.start()
        new = drover.free_address()
        kinds = ({}, {"workers": 4}, {"workers": 1}, {"reload": "replace"}, {"accept": "shared"},
                 {"listen": [{"address": drover.address_text(new)}]},
                 {"log": {"error": server.dir + "/error.log", "access": server.dir + "/access.log"}},
                 {"log": {"access": "/nonexistent/access.log"}},
                 {"sites": [{"routes": [{"match": "/", "files": {"root": server.dir + "/none"}}]}]},
                 {"limits": {"open_files": 500}})
        good = dict(server.settings)
        try:
            for kind in kinds + kinds:
                server.settings = dict(good)
                server.configure(kind)
                self.assertIn(self.ask(server)[0], (0, 1, 2))
        finally:
            done.set()
            for loader in loaders:
                loader.join()
        self.assertEqual(lost, [])
        server.settings = good
        server.configure({})
        self.assertEqual(self.state(server), before)
        server.wait_status(lambda _: self.held(server) == held)
        for client in clients:
            self.assertTrue(client.is_quiet())
            self.assertFalse(client.request("/").closes)
        self.assertEqual(self.reload(server).split()[:2], ["generation", str(before[0] + 1)])
        self.assertEqual(len(server.log.find("check_done")), 20)
        self.assertEqual([event for event in server.log.events
                          if event.name.startswith(("worker_", "reload_failed")) and event.name != "worker_started"], [])

    def test_what_was_made_is_gone(self):
        """A fresh worker, a bound address and the file descriptors of a dry run."""
        server = self.start()
        new = drover.free_address()
        server.configure({"workers": 4, "listen": server.settings["listen"] + [{"address": drover.address_text(new)}]})
        self.would(server)
        server.wait_status(lambda status: len(status["workers"]) == 2)
        with socket.socket() as other:
            other.bind(new)
        self.assertEqual(len(server.children()), 2)

    # together with what else happens

    def test_during_a_reload_it_waits_for_its_turn(self):
        server = self.start({"timeouts": {"prepare": "20s"}})
        before = server.generation()
        worker = server.workers()[0]
        drover.stop(worker)
        server.hup()
        server.wait_status(lambda status: status["phase"] == "preparing")
        answers = []
        askers = [threading.Thread(target=lambda: answers.append(self.ask(server))) for _ in range(5)]
        for asker in askers:
            asker.start()
        server.hup()  # and a second one
        server.configure({"workers": 3})
        os.kill(worker, signal.SIGCONT)
        for asker in askers:
            asker.join()
        server.log.wait("reload_done", count=2)
        for status, text in answers:
            self.assertEqual(status, 0, text)
        self.assertEqual(server.generation(), before + 2)
        self.assertEqual(server.log.find("reload_failed"), [])

    def test_a_reload_during_a_check_comes_next(self):
        server = self.start({"timeouts": {"prepare": "20s"}})
        before = server.generation()
        worker = server.workers()[0]
        drover.stop(worker)
        answers = []
        asker = threading.Thread(target=lambda: answers.append(self.ask(server)))
        asker.start()
        server.wait_status(lambda status: status["phase"] == "preparing")
        server.hup()
        server.status()
        os.kill(worker, signal.SIGCONT)
        asker.join()
        self.assertEqual(answers[0][0], 0, answers)
        server.log.wait("reload_done")
        self.assertEqual(server.generation(), before + 1)

    def test_a_reload_does_not_wait_for_the_votes_of_a_check(self):
        """Which begins anew behind it."""
        server = self.start({"timeouts": {"prepare": "1s"}})
        other = os.path.join(server.dir, "other.conf")
        with open(server.config, encoding="utf-8") as file:
            text = file.read()
        with open(other, "w", encoding="utf-8") as file:
            file.write(text.replace('prepare = "1s"', 'prepare = "10m"'))
        worker = server.workers()[0]
        self.stop(worker)
        answers = []
        asker = threading.Thread(target=lambda: answers.append(self.ask(server, other)))
        asker.start()
        server.wait_status(lambda status: status["phase"] == "preparing")
        self.assertEqual(server.reload()[0], 1)
        self.assertIn("READY within 1000 ms", server.log.wait("reload_failed").fields["error"])
        server.wait_status(lambda status: status["phase"] == "preparing")
        os.kill(worker, signal.SIGCONT)
        asker.join()
        self.assertEqual(answers[0][0], 0, answers)
        self.assertIn("would adopt", answers[0][1])
        server.configure({"timeouts": {"prepare": "20s"}})
        self.reload(server)

    def test_log_files_do_not_wait_for_further_checks(self):
        server = self.start({"timeouts": {"prepare": "20s"}})
        worker = server.workers()[0]
        self.stop(worker)
        for request in ({"command": "check"}, {"command": "check", "config": server.config}):
            asker = socket.socket(socket.AF_UNIX)
            self.addCleanup(asker.close)
            asker.connect(server.control)
            asker.sendall(json.dumps(request).encode() + b"\n")
            server.wait_status(lambda status: status["phase"] == "preparing")
        os.kill(server.pid, signal.SIGUSR1)
        server.status()  # by now it knows of all three
        os.kill(worker, signal.SIGCONT)
        server.log.wait("check_done", count=2)
        server.log.wait("reopened")
        names = [event.name for event in server.log.events if event.name in ("check_done", "reopened")]
        self.assertEqual(names, ["check_done", "reopened", "check_done"])

    def test_a_worker_that_dies_meanwhile_is_respawned_at_once(self):
        server = self.start({"timeouts": {"prepare": "20s"}})
        first, second = server.workers()[0], server.workers()[1]
        drover.stop(first)
        asker = threading.Thread(target=self.ask, args=[server])
        asker.start()
        server.wait_status(lambda status: status["phase"] == "preparing")
        os.kill(second, signal.SIGKILL)
        server.wait_status(lambda status: self.is_seated(status, 1, second))  # while the check is still open
        self.assertEqual(server.status()["phase"], "preparing")
        os.kill(first, signal.SIGCONT)
        asker.join()
        self.assertEqual(server.workers()[0], first)
        self.reload(server)

    def test_the_fresh_workers_of_a_check_take_no_seat(self):
        """While one of them is awaited, a slot whose worker dies gets a new one."""
        allow = ["10.%d.%d.0/24" % (i // 250, i % 250) for i in range(500)]  # so many take a while to prepare
        routes = [{"match": "/%d" % i, "allow": allow, "respond": {"body": "x"}} for i in range(400)]
        server = self.start({"reload": "replace", "timeouts": {"prepare": "20s"}, "sites": [{"routes": routes}]})
        for _ in range(50):
            asker = threading.Thread(target=self.ask, args=[server])
            asker.start()
            fresh = self.stop_a_fresh_one(server, asker)
            if fresh:
                break
            asker.join()
            server.wait_status(lambda _: len(server.children()) == 2)
        else:
            self.fail("no fresh worker could be stopped in time")
        old = server.workers()[0]
        os.kill(old, signal.SIGKILL)
        server.wait_status(lambda status: self.is_seated(status, 0, old))
        self.assertEqual(server.status()["phase"], "preparing")
        os.kill(fresh, signal.SIGCONT)
        asker.join()
        server.wait_status(lambda _: len(server.children()) == 2)

    def stop_a_fresh_one(self, server, asker):
        """The pid of one that stands still before it is ready; 0: the check was over too soon."""
        while asker.is_alive():
            for pid in [worker["pid"] for worker in server.status()["workers"] if worker["state"] == "starting"][-1:]:
                try:
                    os.kill(pid, signal.SIGSTOP)
                except ProcessLookupError:
                    continue
                drover.wait_stopped(pid)
                # what it said before it stood still has been heard when the second question is answered
                if all((pid, "starting") in [(worker["pid"], worker["state"]) for worker in server.status()["workers"]]
                       for _ in range(5)):
                    return pid
                drover.go_on(pid)
        return 0

    def is_seated(self, status, slot, old):
        return status["slots"][slot]["pid"] not in (0, old)

    def test_a_worker_that_was_behind_catches_up(self):
        """A check that overtakes the question for what is committed does not take its place."""
        server = self.start({"timeouts": {"prepare": "20s"}})
        first, second = server.workers()[0], server.workers()[1]
        self.stop(first)
        server.hup()
        server.wait_status(lambda status: status["phase"] == "preparing")
        os.kill(second, signal.SIGKILL)
        late = server.workers(server.wait_status(lambda status: self.is_seated(status, 1, second)))[1]
        self.stop(late)  # it serves the old one, and was not asked for the new one
        os.kill(first, signal.SIGCONT)
        server.log.wait("reload_done")
        asker = threading.Thread(target=self.ask, args=[server])
        asker.start()
        server.wait_status(lambda status: status["phase"] == "preparing")
        os.kill(late, signal.SIGCONT)
        asker.join()
        status = server.wait_status(lambda status: {worker["generation"] for worker in status["workers"]}
                                    == {status["generation"]})
        self.assertEqual(server.workers(status), {0: first, 1: late})

    def stop(self, pid):
        os.kill(pid, signal.SIGSTOP)
        self.addCleanup(drover.go_on, pid)
        drover.wait_stopped(pid)

    def test_who_asks_and_leaves_disturbs_nobody(self):
        server = self.start()
        for _ in range(20):
            with socket.socket(socket.AF_UNIX) as asker:
                asker.connect(server.control)
                asker.sendall(b'{"command":"check"}\n')
        self.would(server)

    def test_a_relative_path_is_refused(self):
        server = self.start()
        with socket.socket(socket.AF_UNIX) as asker:
            asker.connect(server.control)
            asker.sendall(b'{"command":"check","config":"drover.conf"}\n')
            self.assertIn(b"absolute", asker.recv(4096))

    def test_a_stop_during_a_check_is_no_failure(self):
        server = self.start({"timeouts": {"prepare": "20s"}})
        worker = server.workers()[0]
        drover.stop(worker)
        asker = threading.Thread(target=self.ask, args=[server])
        asker.start()
        server.wait_status(lambda status: status["phase"] == "preparing")
        server.kill(signal.SIGTERM)
        server.log.wait("stopping")
        os.kill(worker, signal.SIGCONT)
        self.assertEqual(server.wait_exit(), 0)
        asker.join()


class DryShared(Dry):
    accept = "shared"


class DryDirected(Dry):
    accept = "directed"


class Alone(Files):
    def start(self, **more):
        server = Drover(**more)
        self.addCleanup(server.close)
        return server

    def test_no_daemon(self):
        result = run("-t", "-c", self.minimal('control = "%s/c.sock";\n' % self.dir))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("checked alone: no drover answers at %s/c.sock" % self.dir, result.stdout)

    def test_a_daemon_that_hangs(self):
        server = self.start()
        server.kill(signal.SIGSTOP)
        try:
            result = run("-t", "-c", server.config)
        finally:
            server.kill(signal.SIGCONT)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stdout, "checked alone, addresses not tried: .* did not answer within 5 s")

    def test_somebody_elses_daemon(self):
        if os.geteuid() != 0:
            return  # cannot become another one
        server = self.start()
        result = run("-t", "-c", server.config, user=65534)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stdout, "checked alone, addresses not tried: .*Permission denied")

    def test_offline_asks_nobody(self):
        server = self.start()
        result = run("-t", "--offline", "-c", server.config)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("checked offline, no address and no log file tried\n", result.stdout)
        self.assertEqual(server.log.find("check_done"), [])
        self.assertEqual(run("--offline", "-c", server.config).returncode, 2)

    def test_a_port_that_another_program_has(self):
        with socket.socket() as taken:
            taken.bind((drover.free_address()[0], 0))
            taken.listen()
            address = drover.address_text(taken.getsockname())
            path = self.file('listen = ( { address = "%s"; } );\nsites = ( { routes = ( { match = "/";'
                             ' files = { root = "%s"; }; } ); } );\n' % (address, self.dir))
            result = run("-t", "-c", path)
            self.assertEqual(result.returncode, 1, result.stdout)
            self.assertRegex(result.stderr, r"drover\.conf:1:24: listen on %s: .*in use" % re.escape(address))
            self.assertNotIn("is good", result.stdout)
            self.assertEqual(run("-t", "--offline", "-c", path).returncode, 0)

    def test_logs_are_tried_and_not_made(self):
        path = self.minimal('log = { access = "a.log"; error = "/nonexistent/e.log"; };\n')
        result = run("-t", "-c", path)
        self.assertEqual(result.returncode, 1)
        self.assertRegex(result.stderr, r"drover\.conf:3:35: log\.error: open /nonexistent/e\.log: No such file")
        self.assertNotIn("a.log", result.stderr)
        self.assertEqual(run("-t", "--offline", "-c", path).returncode, 0)
        self.assertFalse(os.path.exists(self.dir + "/a.log"))

    def test_a_daemon_that_does_not_understand(self):
        """An older one, say: it is there, so that what it may hold is not tried."""
        with socket.socket(socket.AF_UNIX) as old:
            old.bind(self.dir + "/c.sock")
            old.listen()
            old.settimeout(drover.DEADLINE)

            def serve():
                for answer in (b'{"ok":true}\n', b'{"ok":false,"text":"unknown command"}\n'):
                    peer = old.accept()[0]
                    self.assertTrue(peer.recv(4096).endswith(b"\n"))
                    peer.sendall(answer)
                    peer.close()

            server = threading.Thread(target=serve, daemon=True)
            server.start()
            result = run("-t", "-c", self.minimal('control = "%s/c.sock";\n' % self.dir))
            server.join()
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stdout, "checked alone, addresses not tried: .*cannot answer: unknown command")

    def test_a_directory_served_without_a_file(self):
        result = run("-t", "-r", self.dir, "-l", drover.address_text(drover.free_address()))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("checked alone", result.stdout)


class Preflight(Files):
    def limited(self, files):
        return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    def test_open_files(self):
        path = self.minimal("limits = { connections = 5000; };\n")
        result = run("-t", "-c", path, preexec_fn=self.limited(1024))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stderr, r"drover\.conf:3:26: warning: limits\.connections = 5000 .*RLIMIT_NOFILE"
                                        r" allows 1024.*LimitNOFILE=\d+.*\[preflight_open_files\]")
        self.assertNotIn("preflight_open_files", run("-t", "-c", path, preexec_fn=self.limited(6000)).stderr)

    def test_more_workers_than_cpus(self):
        result = run("-t", "-c", self.minimal("workers = 1000;\n"))
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stderr, r":3:11: info: workers = 1000, but drover may use \d+ CPU")

    def test_the_daemon_says_it_once_and_for_itself(self):
        with Drover({"limits": {"connections": 5000}}, preexec=self.limited(1024)) as server:
            event = server.log.wait("preflight_open_files")
            self.assertEqual(event.level, "warning")
            self.assertRegex(event.fields["place"], r"drover\.conf:\d+:\d+$")
            self.assertIn("1024", event.fields["text"])
            server.reload()
            self.assertEqual(len(server.log.find("preflight_open_files")), 1)
            result = run("-t", "-c", server.config)  # whose own limit is higher: the daemon's counts
            self.assertRegex(result.stderr, "RLIMIT_NOFILE allows 1024")
            self.assertEqual(result.returncode, 0)
            self.assertEqual(len(server.log.find("preflight_open_files")), 1)
            server.configure({"limits": {"connections": 6000}})
            server.reload()
            self.assertIn("6000", server.log.wait("preflight_open_files", count=2).fields["text"])

    def test_a_low_port_without_the_right_to_it(self):
        if os.geteuid() != 0:
            return  # cannot become somebody without it
        path = self.file('control = "%s/c.sock";\nlisten = ( { address = "127.0.0.1:81"; } );\nsites = ( { routes = ('
                         ' { match = "/"; files = { root = "%s"; }; } ); } );\n' % (self.dir, self.dir))
        with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="ascii") as file:
            if int(file.read()) <= 81:
                return  # everybody has it
        checked = run("-t", "-c", path, user=65534)
        self.assertEqual(checked.returncode, 1, checked.stdout)
        self.assertRegex(checked.stderr, r":2:24: error: port 81 .*CAP_NET_BIND_SERVICE.*preflight_privileged_port")
        started = run("-c", path, user=65534)
        self.assertEqual(started.returncode, 1)
        self.assertRegex(started.stderr, r"failed at bind: .*Permission denied.*AmbientCapabilities")


del Master  # it is test_master's


if __name__ == "__main__":
    unittest.main()
