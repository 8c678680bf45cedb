"""The master: reloads that nobody notices, reloads that fail, workers that come and go, the end."""

import ctypes
import fcntl
import os
import pwd
import re
import resource
import select
import signal
import socket
import subprocess
import time
import unittest

import drover
from drover import Client, Drover
from test_http import pattern

LARGE = 20 << 20
ONE_ANSWER = b"<p>hello\n"


class Master(unittest.TestCase):
    accept = "reuseport"

    def start(self, settings=None, **more):
        server = Drover({"accept": self.accept, **(settings or {})}, **more)
        self.addCleanup(server.close)
        return server

    def client(self, server, **more):
        client = Client(server.address, **more)
        self.addCleanup(client.close)
        return client

    def idle(self, server, count):
        """Connections that had an answer each, and now are idle."""
        clients = [self.client(server) for _ in range(count)]
        for client in clients:
            self.assertEqual(client.request("/").status, 200)
        return clients

    def reload(self, server, *args):
        status, text = server.reload(*args)
        self.assertEqual(status, 0, text + "\n" + server.log.text())
        return text

    def refuse(self, server, *says):
        status, text = server.reload()
        self.assertNotEqual(status, 0, text)
        for words in says:
            self.assertRegex(text, words)
        return text

    def counts(self, server):
        """The descriptors of all processes that last."""
        workers = server.workers()
        server.wait_status(lambda _: len(server.children()) == len(workers))
        return [drover.fds(server.pid)] + sorted(drover.lasting_fds(pid) for pid in workers.values())

    def nothing_left(self, server, before):
        """There are no more than before, when what is under way has come to its end."""
        server.wait_status(lambda _: all(now <= was for now, was in zip(self.counts(server), before, strict=True)))

    def other_site(self, server, name="other", content="<p>other\n"):
        server.write("../%s/index.html" % name, content)
        os.chmod(os.path.join(server.dir, name), 0o755)
        return [{"routes": [{"match": "/", "files": {"root": os.path.join(server.dir, name)}}]}]

    def idle_elsewhere(self, server, count):
        """The same, and some of them are not slot 0's: in mode shared one worker might take them all."""
        first = server.workers()[0]
        if self.accept != "shared":
            return self.idle(server, count)
        os.kill(first, signal.SIGSTOP)
        try:
            drover.wait_stopped(first)
            return self.idle(server, count)
        finally:
            os.kill(first, signal.SIGCONT)

    def download(self, server, name="large"):
        """A client in the middle of a large file."""
        if not os.path.exists(os.path.join(server.site, name)):  # writing it again would cut who reads it
            server.write(name, pattern(LARGE))
        client = self.client(server, receive_buffer=4096)
        client.send(client.head("/" + name))
        while b"\r\n\r\n" not in client.buffer:
            client.buffer += client.socket.recv(1024)
        return client


class Tracer:
    """Holds the next process that a process forks where it begins, and where it ends: nobody else's signal, SIGKILL
    included, makes it go then, as nothing ends a call on a file system that is gone (ptrace(2), PTRACE_EVENT_EXIT)."""

    SEIZE, CONT, DETACH, EVENT_MESSAGE = 0x4206, 7, 17, 0x4201
    TRACE_FORK, TRACE_EXIT, WALL = 0x2, 0x40, 0x40000000
    EVENT_FORK = 1

    def __init__(self, parent=None, child=None):
        """Catches what `parent` forks, or holds `child` where it ends."""
        self.parent = parent
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        self.ptrace(self.SEIZE, child or parent, self.TRACE_EXIT | (0 if child else self.TRACE_FORK))

    def ptrace(self, request, pid, data=None):
        if self.libc.ptrace(request, pid, None, data) < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def catch(self):
        """Waits for the fork, holds the child, lets the parent go and returns the child's pid."""
        child = ctypes.c_ulong()
        while True:
            _, status = os.waitpid(self.parent, self.WALL)
            if status >> 16 == self.EVENT_FORK:
                break
            self.ptrace(self.CONT, self.parent, 0 if status >> 16 else os.WSTOPSIG(status))
        self.ptrace(self.EVENT_MESSAGE, self.parent, ctypes.addressof(child))
        self.ptrace(self.DETACH, self.parent)
        os.waitpid(child.value, self.WALL)
        return child.value

    def let_go(self, child):
        os.waitpid(child, self.WALL)  # it stands at its end
        self.ptrace(self.DETACH, child)


class Reload(Master):
    def test_nothing_changes_for_idle_connections(self):
        server = self.start()
        clients = self.idle(server, 50)
        before = server.workers()
        for _ in range(10):
            self.reload(server)
        for client in clients:
            self.assertTrue(client.is_quiet())
            response = client.request("/")
            self.assertEqual(response.body, ONE_ANSWER)
            self.assertFalse(response.closes)
        self.assertEqual(server.workers(), before)

    def test_a_signal_is_as_good(self):
        server = self.start()
        clients = self.idle(server, 5)
        before = server.workers()
        server.configure({"sites": self.other_site(server)})
        server.hup()
        server.log.wait("reload_done")
        for client in clients:
            self.assertEqual(client.request("/").body, b"<p>other\n")
        self.assertEqual(server.workers(), before)

    def test_a_changed_root_counts_when_the_reload_is_done(self):
        server = self.start()
        client = self.client(server)
        self.assertEqual(client.request("/").body, ONE_ANSWER)
        for number in range(10):
            content = "<p>number %d\n" % number
            server.configure({"sites": self.other_site(server, "site%d" % number, content)})
            self.reload(server)
            self.assertEqual(client.request("/").body, content.encode())
            self.assertEqual(server.get().body, content.encode())

    def test_the_generation_counts_up(self):
        server = self.start()
        first = server.generation()
        self.reload(server)
        self.assertGreater(server.generation(), first)

    def test_a_download_goes_on(self):
        server = self.start()
        client = self.download(server)
        for _ in range(5):
            server.configure({"sites": self.other_site(server)})
            self.reload(server)
        self.assertTrue(client.hurry().response().body == pattern(LARGE))
        self.assertEqual(client.request("/").body, b"<p>other\n")

    def test_a_head_under_way_is_answered_by_the_new_or_the_old(self):
        server = self.start()
        client = self.client(server)
        client.send(b"GET / HTTP/1.1\r\nHo")
        server.configure({"sites": self.other_site(server)})
        self.reload(server)
        client.send(b"st: a\r\n\r\n")
        self.assertIn(client.response().body, (ONE_ANSWER, b"<p>other\n"))

    def test_an_address_is_added_and_removed(self):
        server = self.start()
        second = drover.free_address()
        both = [{"address": drover.address_text(address)} for address in (server.address, second)]
        client = self.client(server)
        for _ in range(3):
            server.configure({"listen": both})
            self.reload(server)
            self.assertEqual(server.get(address=second).status, 200)
            on_second = Client(second)
            self.addCleanup(on_second.close)
            self.assertEqual(on_second.request("/").status, 200)
            server.configure({"listen": both[:1]})
            self.reload(server)
            with self.assertRaises(ConnectionRefusedError):
                Client(second)
            self.assertEqual(client.request("/").status, 200)
            self.assertEqual(on_second.request("/").status, 200)

    def test_the_accept_mode_changes(self):
        server = self.start()
        clients = self.idle(server, 10)
        before = server.workers()
        for mode in ("shared", "reuseport", "directed", "shared", "cpu", "reuseport"):
            server.configure({"accept": mode})
            self.reload(server)
            for _ in range(20):
                self.assertEqual(server.get().status, 200)
        for client in clients:
            self.assertEqual(client.request("/").status, 200)
        self.assertEqual(server.workers(), before)

    def test_many_signals_become_few_reloads_and_the_last_word_counts(self):
        server = self.start({"timeouts": {"prepare": "20s"}})
        before = server.generation()
        worker = server.workers()[0]
        os.kill(worker, signal.SIGSTOP)
        self.addCleanup(drover.go_on, worker)
        drover.wait_stopped(worker)
        server.hup()
        server.wait_status(lambda status: status["phase"] == "preparing")
        for _ in range(20):
            server.hup()
            server.status()
        server.configure({"sites": self.other_site(server)})
        server.hup()
        server.status()
        os.kill(worker, signal.SIGCONT)
        server.log.wait("reload_done", count=2)
        status = server.status()
        self.assertEqual(status["generation"], before + 2)
        for client in self.idle(server, 8):
            self.assertEqual(client.request("/").body, b"<p>other\n")

    def test_callers_at_the_same_time_all_get_an_answer(self):
        server = self.start()
        callers = [subprocess.Popen([drover.CTL, "--socket", server.control, "reload"], stdout=subprocess.PIPE,
                                    stderr=subprocess.STDOUT) for _ in range(10)]
        for caller in callers:
            output = caller.communicate(timeout=drover.DEADLINE)[0]
            self.assertEqual(caller.returncode, 0, output)

    def test_200_reloads_leave_nothing_behind(self):
        server = self.start()
        clients = self.idle(server, 5)
        for _ in range(10):
            self.reload(server)
        before, workers = self.counts(server), server.workers()
        for _ in range(200):
            self.reload(server)
        self.nothing_left(server, before)
        self.assertEqual(server.workers(), workers)
        for client in clients:
            self.assertEqual(client.request("/").status, 200)

    def test_failing_reloads_leave_nothing_behind(self):
        server = self.start()
        self.reload(server)
        before, workers = self.counts(server), server.workers()
        with open(server.config, encoding="utf-8") as file:
            good = file.read()
        with self.taken() as address:
            for number in range(60):
                server.configure([lambda: good + "nonsense = 1;\n",
                                  lambda: good.replace(drover.address_text(server.address), address),
                                  lambda: good.replace(server.site, "/nonexistent")][number % 3]())
                self.refuse(server)
        server.configure(good)
        self.reload(server)
        self.nothing_left(server, before)
        self.assertEqual(server.workers(), workers)

    class taken:
        """An address that another program listens on."""

        def __init__(self, reuseport=False):
            self.address = drover.free_address()
            self.socket = socket.socket()
            if reuseport:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            self.socket.bind(self.address)
            self.socket.listen()

        def __enter__(self):
            return drover.address_text(self.address)

        def __exit__(self, *_):
            self.socket.close()

    def fails(self, server, text, *says):
        """A reload of this config fails, says so, and leaves everything as it was."""
        clients = self.idle(server, 10)
        before = server.status()
        descriptors = drover.fds(server.pid)
        server.configure(text)
        self.refuse(server, *says)
        after = server.status()
        self.assertEqual(after["generation"], before["generation"])
        self.assertEqual(server.workers(after), server.workers(before))
        drover.wait_fds(server.pid, descriptors)
        server.wait_status(lambda _: len(server.children()) == len(before["slots"]))
        for client in clients:
            self.assertTrue(client.is_quiet())
            self.assertEqual(client.request("/").body, ONE_ANSWER)
        self.assertEqual(server.get().body, ONE_ANSWER)

    def good(self, server):
        with open(server.config, encoding="utf-8") as file:
            return file.read()

    def recovers(self, server):
        server.configure({"sites": self.other_site(server)})
        self.reload(server)
        self.assertEqual(server.get().body, b"<p>other\n")

    def test_a_syntax_error(self):
        server = self.start()
        lines = self.good(server).count("\n")
        self.fails(server, self.good(server) + "workers = = 3;\n",
                   r"%s:%d:\d+: " % (re.escape(server.config), lines + 1))
        self.recovers(server)

    def test_all_errors_are_told(self):
        server = self.start()
        self.fails(server, self.good(server).replace("workers = 2", "workers = 0") + "nonsense = 1;\n", "workers",
                   "nonsense")

    def test_a_config_that_is_gone(self):
        server = self.start()
        os.unlink(server.config)
        self.refuse(server, "No such file")
        self.assertEqual(server.get().body, ONE_ANSWER)
        self.recovers(server)

    def test_a_config_that_is_a_fifo(self):
        server = self.start()
        os.unlink(server.config)
        os.mkfifo(server.config)
        self.refuse(server, "FIFO|regular")
        self.assertEqual(server.get().body, ONE_ANSWER)
        os.unlink(server.config)
        self.recovers(server)

    def test_a_port_that_another_program_has(self):
        for reuseport in (False, True):
            with self.subTest(reuseport=reuseport):
                server = self.start()
                both = self.good(server)
                with self.taken(reuseport) as address:
                    listen = 'listen = ( { address = "%s"; }, { address = "%s"; } );' % (
                        drover.address_text(server.address), address)
                    text = re.sub(r"listen = \(.*?\);", listen, both, flags=re.S)
                    self.assertNotEqual(text, both)
                    self.fails(server, text, re.escape(address), "in use", "(?i)bind|listen")
                self.recovers(server)

    def test_an_address_that_is_not_here(self):
        server = self.start()
        self.fails(server, self.good(server).replace(drover.address_text(server.address), "192.0.2.1:1"),
                   r"192\.0\.2\.1:1", "assign")

    def test_a_root_that_workers_may_not_open(self):
        server = self.start()
        closed = os.path.join(server.dir, "closed")
        os.mkdir(closed, 0)
        self.fails(server, self.good(server).replace(server.site, closed), re.escape(closed), "Permission denied")
        self.recovers(server)

    def test_a_root_that_is_missing(self):
        server = self.start()
        self.fails(server, self.good(server).replace(server.site, "/nonexistent"), "/nonexistent", "No such file")

    def test_a_root_that_is_a_file(self):
        server = self.start()
        self.fails(server, self.good(server).replace(server.site, server.site + "/index.html"), "Not a directory")

    def test_a_log_that_cannot_be_opened(self):
        server = self.start()
        self.fails(server, self.good(server) + 'log = { access = "/nonexistent/access.log"; };\n',
                   "/nonexistent/access.log")

    def test_a_setting_that_needs_a_restart(self):
        server = self.start()
        self.fails(server, self.good(server).replace(server.control, server.control + "2"), "control", "restart")

    def test_a_worker_that_never_says_ready(self):
        server = self.start({"timeouts": {"prepare": "2s"}})
        workers = server.workers()
        os.kill(workers[1], signal.SIGSTOP)
        self.addCleanup(drover.go_on, workers[1])
        drover.wait_stopped(workers[1])
        self.refuse(server, "(?i)slot 1", "READY")
        os.kill(workers[1], signal.SIGCONT)
        self.assertEqual(server.workers(), workers)
        for client in self.idle(server, 16):
            self.assertEqual(client.request("/").body, ONE_ANSWER)
        self.recovers(server)
        self.assertEqual(server.workers(), workers)

    def test_a_worker_that_dies_before_it_is_ready_has_no_vote(self):
        server = self.start({"timeouts": {"prepare": "20s"}})
        worker = server.workers()[0]
        drover.stop(worker)
        server.configure({"sites": self.other_site(server)})
        server.hup()
        server.wait_status(lambda status: status["phase"] == "preparing")
        os.kill(worker, signal.SIGKILL)
        server.log.wait("reload_done")
        server.wait_status(lambda status: len(server.workers(status)) == 2)
        for _ in range(16):
            self.assertEqual(server.get().body, b"<p>other\n")

    def test_the_last_reload_is_in_the_status(self):
        server = self.start()
        server.configure(self.good(server) + "nonsense = 1;\n")
        self.refuse(server)
        result = server.ctl("status")
        self.assertEqual(result.returncode, 0)
        self.assertIn("nonsense", result.stdout)
        self.assertIn("nonsense", str(server.status()["last_reload"]))


class Count(Master):
    def test_more_and_fewer_workers(self):
        server = self.start()
        clients = self.idle(server, 20)
        for count in (4, 1, 3, 2):
            with self.subTest(count):
                before = server.workers()
                server.configure({"workers": count})
                self.reload(server)
                after = server.workers()
                self.assertEqual(sorted(after), list(range(count)))
                for slot in set(before) & set(after):
                    self.assertEqual(before[slot], after[slot])
                for _ in range(30):
                    self.assertEqual(server.get().body, ONE_ANSWER)
                for client in clients:
                    response = client.request("/")
                    self.assertEqual((response.body, response.closes), (ONE_ANSWER, False))
        server.wait_status(lambda _: len(server.children()) == 2)

    def test_a_retired_worker_finishes_a_download(self):
        server = self.start({"workers": 4, "timeouts": {"drain": "10m", "send": "10m"}})
        downloads = [self.download(server) for _ in range(8)]
        server.configure({"workers": 1})
        self.reload(server)
        for client in downloads:
            self.assertTrue(client.hurry().response().body == pattern(LARGE))
        self.idle_end(server, downloads)

    def idle_end(self, server, clients):
        for client in clients:
            client.close()
        server.wait_status(lambda _: len(server.children()) == 1)

    def test_auto_is_at_least_one(self):
        server = self.start({"workers": "auto"})
        self.assertGreaterEqual(len(server.workers()), 1)
        self.assertLessEqual(len(server.workers()), len(os.sched_getaffinity(0)))

    def test_auto_honours_the_affinity_mask(self):
        one = {min(os.sched_getaffinity(0))}
        server = self.start({"workers": "auto"}, preexec=lambda: os.sched_setaffinity(0, one))
        self.assertEqual(len(server.workers()), 1)


class Replace(Master):
    def replaced(self, server, before):
        after = server.workers()
        self.assertEqual(sorted(after), sorted(before))
        self.assertFalse(set(after.values()) & set(before.values()))
        return after

    def test_by_the_config(self):
        server = self.start({"reload": "replace"})
        before = server.workers()
        clients = self.idle(server, 10)
        server.configure({"sites": self.other_site(server)})
        since = server.log.mark()
        self.reload(server)
        self.replaced(server, before)
        self.assertEqual(server.get().body, b"<p>other\n")
        server.log.wait("handover_done", since)         # until then the old workers answer these
        for client in clients:
            response = client.request("/")
            self.assertEqual((response.body, response.closes), (b"<p>other\n", False))
        server.wait_status(lambda _: len(server.children()) == 2)

    def test_by_the_caller(self):
        server = self.start()
        before = server.workers()
        self.reload(server, "--replace")
        self.replaced(server, before)
        self.assertEqual(server.get().body, ONE_ANSWER)

    def test_a_download_goes_on_at_the_new_worker(self):
        server = self.start({"reload": "replace"})
        client = self.download(server)
        self.reload(server)
        server.wait_status(lambda _: len(server.children()) == 2)
        self.assertTrue(client.hurry().response().body == pattern(LARGE))
        self.assertEqual(server.get().status, 200)

    def test_a_failing_one_leaves_everything_as_it_was(self):
        server = self.start({"reload": "replace"})
        clients = self.idle(server, 10)
        before = server.workers()
        closed = os.path.join(server.dir, "closed")
        os.mkdir(closed, 0)
        server.configure({"sites": [{"routes": [{"match": "/", "files": {"root": closed}}]}]})
        self.refuse(server, re.escape(closed))
        self.assertEqual(server.workers(), before)
        for client in clients:
            response = client.request("/")
            self.assertEqual((response.body, response.closes), (ONE_ANSWER, False))

    def stop_one_fresh(self, server):
        """Asks for a reload and stops one of the fresh workers.  False: the reload was over before that."""
        before = set(server.children())
        since = server.log.mark()
        server.hup()
        end = drover.deadline()
        while not server.log.find("reload_done", since):
            drover.left(end)
            fresh = sorted(set(server.children()) - before)
            if len(fresh) > 1:  # the checker is the first one, and gone by now
                os.kill(fresh[-1], signal.SIGSTOP)
                break
        else:
            return False
        with server.log.changed:
            while not server.log.find("reload_failed", since) and not server.log.find("reload_done", since):
                server.log.changed.wait(drover.left(end))
        if server.log.find("reload_failed", since):
            return True
        os.kill(fresh[-1], signal.SIGCONT)
        return False

    def all_follow(self, server, count):
        """Who was stopped when it should serve was killed, and its slot gets another one after the reload."""
        server.wait_status(lambda status: [(worker["state"], worker["generation"]) for worker in status["workers"]] ==
                           count * [("serving", status["generation"])] and len(server.children()) == count)

    def test_a_fresh_worker_that_is_not_ready_in_time(self):
        """Those that are ready wait for it in vain, and nobody has left his seat for them."""
        count = 48  # so that the first are ready before the last are forked
        server = self.start({"reload": "replace", "workers": count,
                             "timeouts": {"prepare": "1s", "drain": "100ms"}})
        end = drover.deadline(120)
        while True:
            self.all_follow(server, count)
            before = server.workers()
            clients = self.idle(server, 20)
            if self.stop_one_fresh(server):
                break
            for client in clients:
                client.close()
            drover.left(end)            # no fresh worker could be stopped in time
        server.wait_status(lambda _: len(server.children()) == count)
        self.assertEqual(server.workers(), before)
        for client in clients:
            self.assertTrue(client.is_quiet())
            response = client.request("/")
            self.assertEqual((response.body, response.closes), (ONE_ANSWER, False))
        self.assertRegex(server.status()["last_reload"]["text"], r"slot \d+ did not say READY")

    def test_leaves_nothing_behind(self):
        server = self.start({"reload": "replace", "timeouts": {"drain": "100ms"}})
        self.reload(server)
        before = self.counts(server)
        for _ in range(30):
            self.reload(server)
        self.nothing_left(server, before)

    def test_with_another_number_of_workers(self):
        server = self.start({"reload": "replace"})
        for count in (4, 1, 2):
            before = server.workers()
            server.configure({"workers": count})
            self.reload(server)
            after = server.workers()
            self.assertEqual(sorted(after), list(range(count)))
            self.assertFalse(set(after.values()) & set(before.values()))
            for _ in range(10):
                self.assertEqual(server.get().status, 200)

    def test_a_setting_that_needs_fresh_workers(self):
        server = self.start()
        before = server.workers()
        server.configure({"limits": {"open_files": 500}})
        self.reload(server)
        after = self.replaced(server, before)
        for pid in after.values():
            with open("/proc/%d/limits" % pid, encoding="ascii") as file:
                self.assertRegex(file.read(), r"(?m)^Max open files +500 ")


class Workers(Master):
    def test_a_killed_worker_is_respawned(self):
        server = self.start()
        for _ in range(3):
            before = server.workers()
            os.kill(before[0], signal.SIGKILL)
            drover.wait_dead(before[0])
            for _ in range(30):
                self.assertEqual(server.get().body, ONE_ANSWER)
            server.wait_status(lambda status: server.workers(status).get(0, before[0]) != before[0])
            self.assertEqual(server.workers()[1], before[1])

    def test_other_workers_keep_their_connections_when_one_is_killed(self):
        server = self.start()
        clients = self.idle_elsewhere(server, 40)
        os.kill(server.workers()[0], signal.SIGKILL)
        server.log.wait("worker_exited", slot=0, how="KILL")
        alive = 0
        for client in clients:
            try:
                alive += client.request("/").status == 200
            except (ConnectionError, drover.Closed):
                pass
        self.assertGreater(alive, 0)
        self.assertEqual(server.get().status, 200)

    def test_all_workers_killed(self):
        server = self.start()
        for pid in server.workers().values():
            os.kill(pid, signal.SIGKILL)
        for _ in range(20):
            self.assertEqual(server.get().body, ONE_ANSWER)  # waits in the queue until one is there again

    def test_a_reload_while_a_slot_has_no_worker(self):
        server = self.start()
        os.kill(server.workers()[0], signal.SIGKILL)
        server.configure({"sites": self.other_site(server)})
        self.reload(server)
        server.wait_status(lambda status: len(server.workers(status)) == 2)
        for _ in range(20):
            self.assertEqual(server.get().body, b"<p>other\n")

    def test_signals_from_outside_do_nothing(self):
        server = self.start()
        clients = self.idle(server, 10)
        before = server.workers()
        generation = server.generation()
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2,
                       signal.SIGPIPE):
            for pid in before.values():
                os.kill(pid, number)
        for client in clients:
            self.assertEqual(client.request("/").status, 200)
        self.assertEqual(server.workers(), before)
        self.assertEqual(server.generation(), generation)

    def test_signals_to_the_whole_group(self):
        server = self.start()
        clients = self.idle(server, 10)
        before = server.workers()
        os.killpg(server.pid, signal.SIGHUP)
        server.log.wait("reload_done")
        for client in clients:
            self.assertEqual(client.request("/").status, 200)
        self.assertEqual(server.workers(), before)

    def test_privileges(self):
        server = self.start()
        for pid in server.workers().values():
            status = drover.process_status(pid)
            self.assertEqual(status["NoNewPrivs"], "1")
            for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
                self.assertEqual(int(status[name], 16), 0, name)
            if os.geteuid() == 0:
                nobody = pwd.getpwnam("nobody")
                self.assertEqual(status["Uid"].split(), [str(nobody.pw_uid)] * 4)
                self.assertEqual(status["Gid"].split(), [str(nobody.pw_gid)] * 4)
                self.assertEqual(set(status["Groups"].split()) - {str(nobody.pw_gid)}, set())

    def test_a_worker_has_no_descriptor_of_the_control_socket(self):
        server = self.start()
        for pid in server.workers().values():
            for fd in os.listdir("/proc/%d/fd" % pid):
                with open("/proc/%d/fdinfo/%s" % (pid, fd), encoding="ascii") as file:
                    flags = int(re.search(r"^flags:\s*(\d+)", file.read(), re.M).group(1), 8)
                if int(fd) > 2:
                    self.assertTrue(flags & os.O_CLOEXEC, os.readlink("/proc/%d/fd/%s" % (pid, fd)))

    def test_the_master_killed(self):
        """Workers end by themselves when nobody is left to command them."""
        server = self.start({"timeouts": {"drain": "100ms"}})
        clients = self.idle(server, 10)
        workers = server.workers()
        server.kill(signal.SIGKILL)
        for pid in workers.values():
            drover.wait_dead(pid)
        for client in clients:
            client.close()
        server.wait_exit()

    def test_an_idle_daemon_makes_no_system_call(self):
        # who keeps what is below /tmp is told when others make and remove their files there
        server = self.start({"file_cache": {"memory": "0"}})
        log = os.path.join(server.dir, "strace")
        self.idle(server, 10)
        server.wait_status(lambda status: not status["looking"])
        pids = [server.pid, *server.workers().values()]
        # attaching interrupts the wait that each process is in (signal(7)); that is not the daemon's doing
        command = ["timeout", "3", "strace", "-o", log, "-e", "trace=all"]
        for pid in pids:
            command += ["-p", str(pid)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=drover.DEADLINE)
        self.assertEqual(result.stderr.count("attached"), len(pids), result.stderr)
        with open(log, encoding="utf-8") as file:
            lines = file.read().splitlines()
        for pid in pids:
            own = [line for line in lines if line.split()[0] == str(pid)]
            self.assertTrue(own, lines)
            # nor is it when whoever runs all this is stopped and goes on; it has one look then at what came meanwhile
            interrupted = [line for line in own if line.endswith("(Interrupted system call)")]
            looks = [line for line in own if re.search(r" 0\) += 0$", line)]
            done = [line for line in own if " = " in line and line not in interrupted + looks]
            self.assertEqual(done, [], "\n".join(own))
            self.assertLessEqual(len(looks), 1 + len(interrupted), "\n".join(own))
            for line in own:
                self.assertIn("epoll_", line)


class Limits(Master):
    def test_connections_above_the_limit_wait(self):
        server = self.start({"workers": 1, "limits": {"connections": 5}})
        first = self.begun(server, 5)
        later = self.begun(server, 5)
        server.log.wait("connection_limit")
        for client in later:
            self.assertTrue(client.is_quiet())
        for client in first + later:
            client.send(b"st: a\r\nConnection: close\r\n\r\n")
            self.assertEqual(client.response().body, ONE_ANSWER)
        self.assertEqual(server.status()["totals"]["shed"], 0)

    def test_at_the_limit_idle_connections_make_room(self):
        server = self.start({"workers": 1, "limits": {"connections": 5}})
        busy = self.begun(server, 2)
        idle = self.idle(server, 3)
        later = self.idle(server, 2)
        self.assertEqual(server.wait_status(lambda status: True)["totals"]["shed"], 2)
        for client in idle[:2]:         # those that were idle for the longest time
            self.assertTrue(client.at_end())
        for client in idle[2:] + later:
            self.assertEqual(client.request("/").status, 200)
        for client in busy:
            client.send(b"st: a\r\n\r\n")
            self.assertEqual(client.response().body, ONE_ANSWER)

    def begun(self, server, count):
        """Connections with a request under way."""
        clients = [self.client(server) for _ in range(count)]
        for client in clients:
            client.send(b"GET / HTTP/1.1\r\nHo")
        return clients

    def test_no_descriptors_left(self):
        server = self.start({"workers": 1, "limits": {"open_files": 64}, "timeouts": {"request_head": "1m"}})
        clients = self.begun(server, 120)
        self.exhausted(server)
        for client in clients[:90]:
            client.close()
        for client in clients[90:]:
            client.send(b"st: a\r\n\r\n")
            self.assertEqual(client.response().body, ONE_ANSWER)
        self.assertEqual(server.get().status, 200)

    def test_downloads_that_use_up_all_descriptors(self):
        """Each takes two. A file that cannot be opened is for later, and the log is not filled with it."""
        server = self.start({"workers": 1, "limits": {"open_files": 200}, "file_cache": {"memory": "0"}})
        with open(server.write("huge", b""), "wb") as file:
            file.truncate(64 << 20)
        began = time.monotonic()
        begun = self.begun(server, 20)
        clients = [self.client(server, receive_buffer=4096) for _ in range(120)]
        for client in clients:
            client.send(client.head("/huge"))
        server.wait_status(lambda status: status["totals"]["requests"] == len(clients))
        # whoever was told to come again is idle, and makes room for these, who are not: some of them wait
        begun += self.begun(server, 100)
        server.wait_status(lambda status: status["totals"]["accept_paused"] >= 5)
        said, most = len(server.log.find("accept_paused")), 2 + (time.monotonic() - began) / 10
        self.assertTrue(0 < said <= most, said)         # once in ten seconds
        answers = [client.response("HEAD") for client in clients]
        self.assertEqual({(answer.status, answer.header("Retry-After")) for answer in answers}, {(200, None), (503, "2")})
        for client in begun + clients:
            client.close()
        server.wait_status(lambda status: status["totals"]["open"] == 0)
        self.assertEqual(server.get().status, 200)

    def exhausted(self, server):
        end = drover.deadline()
        while not server.log.find("accept_paused") and not server.log.find("connection_limit"):
            drover.left(end)
            with server.log.changed:
                server.log.changed.wait(1)

    def test_a_reload_when_all_descriptors_are_used_closes_nothing(self):
        server = self.start({"workers": 1, "limits": {"open_files": 64}, "timeouts": {"request_head": "1m"}})
        clients = self.begun(server, 64)
        self.exhausted(server)
        self.reload(server)
        for client in clients:
            client.send(b"st: a\r\nConnection: close\r\n\r\n")
            self.assertEqual(client.response().body, ONE_ANSWER)

    def test_a_log_that_nobody_reads_stops_nothing(self):
        server = self.start({"workers": 1})
        fifo = os.path.join(server.dir, "log")
        os.mkfifo(fifo, 0o666)
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)     # the daemon can open it, and nobody reads
        self.addCleanup(os.close, reader)
        fcntl.fcntl(reader, 1031, 4096)         # F_SETPIPE_SZ
        server.configure({"accept": self.accept, "workers": 1, "log": {"error": fifo}})
        self.reload(server)
        for _ in range(60):                     # some 100 bytes a line
            self.reload(server)
        self.assertEqual(server.get().status, 200)

    def test_no_descriptors_left_does_not_spin(self):
        server = self.start({"workers": 1, "limits": {"open_files": 64}, "timeouts": {"request_head": "1m"}})
        clients = self.begun(server, 120)
        self.exhausted(server)
        log = os.path.join(server.dir, "strace")
        worker = server.workers()[0]
        subprocess.run(["timeout", "2", "strace", "-o", log, "-p", str(worker)], capture_output=True,
                       timeout=drover.DEADLINE)
        with open(log, encoding="utf-8") as file:
            self.assertLess(len(file.read().splitlines()), 400)
        for client in clients:
            client.close()
        self.assertEqual(server.get().status, 200)

    def test_a_checker_that_cannot_be_killed(self):
        """It is left behind: the reload fails, further ones go on, and it is reaped when it ends after all."""
        server = self.start()
        before = set(server.children())
        tracer = Tracer(server.pid)
        server.hup()
        checker = tracer.catch()
        server.log.wait("checker_stuck", pid=str(checker), seconds=60)
        self.assertIn("does not end", server.log.wait("reload_failed").fields["error"])
        self.assertIn(checker, server.children())
        self.reload(server)
        self.assertEqual(server.status()["phase"], "idle")
        tracer.let_go(checker)
        server.log.wait("checker_ended", pid=str(checker))
        self.assertEqual(set(server.children()), before)
        self.reload(server)


class Stop(Master):
    def test_term_finishes_a_download(self):
        for number in (signal.SIGTERM, signal.SIGQUIT):
            with self.subTest(number):
                server = self.start()
                client = self.download(server)
                server.kill(number)
                server.log.wait("stopping")
                self.assertTrue(client.hurry().response().body == pattern(LARGE))
                self.assertEqual(server.wait_exit(), 0)

    def test_a_worker_that_cannot_be_killed(self):
        """It is left behind, and the stop ends."""
        server = self.start()
        worker = server.workers()[0]
        tracer = Tracer(child=worker)
        self.assertEqual(server.stop(signal.SIGINT), 0)
        server.log.wait("worker_unkillable", pid=str(worker))
        self.assertNotEqual(drover.process_state(worker), "")
        tracer.let_go(worker)

    def test_term_answers_a_request_under_way(self):
        server = self.start({"workers": 1})
        client = self.client(server)
        client.send(b"GET / HTTP/1.1\r\nHo")
        idle = self.idle(server, 5)
        server.kill(signal.SIGTERM)
        server.wait_status(lambda status: {worker["state"] for worker in status["workers"]} == {"draining"})
        for other in idle:      # they stay as long as something else is under way
            self.assertTrue(other.request("/").closes)
        client.send(b"st: a\r\n\r\n")
        response = client.response()
        self.assertEqual((response.body, response.closes), (ONE_ANSWER, True))
        self.assertEqual(server.wait_exit(), 0)

    def test_a_slow_client_is_cut_at_the_drain_deadline(self):
        server = self.start({"timeouts": {"drain": "300ms"}})
        client = self.download(server)
        self.assertEqual(server.stop(), 3)
        try:
            self.assertLess(len(client.rest()), LARGE)
        except ConnectionResetError:
            pass

    def test_int_is_fast(self):
        server = self.start({"timeouts": {"drain": "1d"}})
        client = self.download(server)
        self.assertEqual(server.stop(signal.SIGINT), 0)
        client.close()

    def test_a_second_term_is_fast(self):
        server = self.start({"timeouts": {"drain": "1d"}})
        client = self.download(server)
        server.kill(signal.SIGTERM)
        server.log.wait("stopping")
        self.assertEqual(server.stop(signal.SIGTERM), 0)
        client.close()

    def test_int_with_a_stopped_worker(self):
        server = self.start()
        worker = server.workers()[0]
        drover.stop(worker)
        self.assertEqual(server.stop(signal.SIGINT), 0)

    def test_term_with_a_stopped_worker(self):
        server = self.start({"timeouts": {"drain": "100ms"}})
        worker = server.workers()[0]
        drover.stop(worker)
        self.assertEqual(server.stop(signal.SIGTERM), 0)

    def test_term_during_a_reload(self):
        server = self.start({"timeouts": {"prepare": "1m", "drain": "100ms"}})
        worker = server.workers()[0]
        drover.stop(worker)
        caller = subprocess.Popen([drover.CTL, "--socket", server.control, "reload"], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True)
        server.wait_status(lambda status: status["phase"] == "preparing")
        self.assertEqual(server.stop(signal.SIGTERM), 0)
        output = caller.communicate(timeout=drover.DEADLINE)[0]
        self.assertNotEqual(caller.returncode, 0)
        self.assertIn("stop", output)

    def test_all_sockets_are_gone(self):
        server = self.start()
        unix = os.path.join(server.dir, "web.sock")
        server.configure({"listen": [{"address": drover.address_text(server.address)}, {"address": "unix:" + unix}]})
        self.reload(server)
        self.assertTrue(drover.is_socket(unix))
        self.assertEqual(server.stop(), 0)
        self.assertFalse(os.path.exists(unix))
        self.assertFalse(os.path.exists(server.control))
        with self.assertRaises(ConnectionRefusedError):
            server.client()

    def test_a_second_daemon_on_the_same_address_is_refused(self):
        server = self.start()
        other = os.path.join(server.dir, "other.conf")
        with open(server.config, encoding="utf-8") as file:
            text = file.read().replace(server.control, server.control + "2")
        with open(other, "w", encoding="utf-8") as file:
            file.write(text)
        result = drover.run("-c", other)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("in use", result.stderr)
        self.assertEqual(server.get().status, 200)

    def test_a_second_daemon_on_the_same_control_socket_is_refused(self):
        server = self.start()
        other = os.path.join(server.dir, "other.conf")
        address = drover.address_text(drover.free_address())
        with open(server.config, encoding="utf-8") as file:
            text = file.read().replace(drover.address_text(server.address), address)
        with open(other, "w", encoding="utf-8") as file:
            file.write(text)
        result = drover.run("-c", other)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn(server.control, result.stderr)
        self.assertEqual(server.status()["generation"], 1)

    def test_a_start_after_a_crash_takes_stale_sockets_over(self):
        server = self.start()
        workers = server.workers()
        server.kill(signal.SIGKILL)
        for pid in workers.values():
            drover.wait_dead(pid)
        self.assertTrue(drover.is_socket(server.control))
        server.wait_exit()
        server.log.thread.join(drover.DEADLINE)
        os.close(server.pidfd)
        server._start(["-c", server.config], None, None)
        server.log.wait("serving")
        self.assertEqual(server.get().body, ONE_ANSWER)
        self.assertEqual(server.status()["generation"], 1)


class Descriptors(unittest.TestCase):
    """Of a user whose limit is low: 60 workers are sent 60 sockets and more each."""
    USER, WORKERS = 61234, 60

    def start(self, files):
        def become_another():
            os.chown(".", self.USER, self.USER)     # for the control socket
            os.setgroups([])
            os.setgid(self.USER)
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
            os.setuid(self.USER)

        server = Drover({"workers": self.WORKERS, "timeouts": {"prepare": "60s"}}, preexec=become_another)
        self.addCleanup(server.close)
        return server

    def test_more_sockets_than_may_be_on_their_way_are_sent_one_worker_after_the_other(self):
        server = self.start(460)
        workers = server.workers()
        new = drover.free_address()
        server.configure({"listen": [{"address": drover.address_text(one)} for one in (server.address, new)]})
        for pid in workers.values():
            drover.stop(pid)
        reload = subprocess.Popen([drover.CTL, "-s", server.control, "reload"], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True)
        self.addCleanup(reload.kill)
        server.wait_status(lambda status: status["phase"] == "preparing" or status["last_reload"]["failed"])
        for pid in workers.values():
            drover.go_on(pid)
        said, _ = reload.communicate(timeout=drover.DEADLINE)
        self.assertEqual(reload.returncode, 0, said)
        self.assertEqual(server.workers(), workers)
        self.assertEqual(server.get(address=new).status, 200)

    def test_a_master_without_descriptors_for_more_workers_says_how_many_it_needs(self):
        server = self.start(300)
        result = server.ctl("reload", "--replace")
        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
        self.assertRegex(result.stderr, r"(?s)Too many open files.*LimitNOFILE=\d+")
        self.assertEqual(server.get().status, 200)


for base in (Reload, Count, Replace, Workers, Limits, Stop):
    for mode in ("shared", "directed"):
        name = base.__name__ + mode.capitalize()
        globals()[name] = type(name, (base,), {"accept": mode, "__module__": __name__})
del base

if __name__ == "__main__":
    unittest.main()
