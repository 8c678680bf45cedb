"""The end of the service, and of single addresses: who is answered, who is refused, and what is said about it."""

import os
import select
import signal
import socket
import stat
import time
import unittest

import drover
from drover import Client, Drover

LARGE = 8 << 20
PAGE = b"<p>hello\n"


class Base(unittest.TestCase):
    accept = "reuseport"

    def start(self, settings=None, **more):
        server = Drover({"accept": self.accept, **(settings or {})}, **more)
        self.addCleanup(server.close)
        return server

    def with_health(self, settings=None, **more):
        server = self.start(settings, **more)
        server.configure({"sites": [{"routes": [{"match": "/", "files": {"root": server.site}},
                                                {"match": "/health", "health": {}}]}]})
        self.reload(server)
        return server

    def reload(self, server):
        status, text = server.reload()
        self.assertEqual(status, 0, text)
        return text

    def client(self, address, **more):
        client = Client(address, **more)
        self.addCleanup(client.close)
        return client

    def download(self, server):
        """A client in the middle of a large file, which it does not read on."""
        if not os.path.exists(server.path("large")):    # another client may be in the middle of it
            server.write("large", b"x" * LARGE)
        client = self.client(server.address, receive_buffer=4096)
        client.send(client.head("/large"))
        client.read(1)
        return client

    def begun(self, server):
        """A client in the middle of a request, and the server knows."""
        client = self.client(server.address)
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHo")
        self.assertEqual(client.response().body, PAGE)
        return client

    def draining(self, server):
        server.kill(signal.SIGTERM)
        server.wait_status(lambda status: {worker["state"] for worker in status["workers"]} == {"draining"})

    def until_refused(self, address):
        """Connects until it is refused; all before that must have been answered."""
        end = drover.deadline()
        while True:
            drover.left(end)
            try:
                client = self.client(address)
            except (ConnectionRefusedError, FileNotFoundError):
                return
            self.assertEqual(client.request("/", close=True).status, 200)


class Delay(Base):
    LONG = {"timeouts": {"drain_delay": "1h"}}

    def leaving(self, settings=None):
        server = self.with_health({**self.LONG, **(settings or {})})
        self.assertEqual(server.get("/health").status, 200)
        self.kept = self.client(server.address)
        self.assertFalse(self.kept.request("/").closes)
        server.kill(signal.SIGTERM)
        self.all_unhealthy(server)
        return server

    def all_unhealthy(self, server):
        """Until a row of answers, on connections of their own, has come from all workers."""
        end, row = drover.deadline(), 0
        while row < 40:
            drover.left(end)
            row = row + 1 if server.get("/health").status == 503 else 0

    def test_health_fails_and_all_else_is_served(self):
        server = self.leaving()
        response = server.get("/health")
        self.assertEqual((response.status, response.header("cache-control")), (503, "no-store"))
        for client in (self.kept, self.client(server.address)):
            for _ in range(2):
                response = client.request("/")
                self.assertEqual((response.body, response.closes), (PAGE, False))
        self.assertTrue(server.status()["stopping"])

    def test_a_second_term_ends_it(self):
        self.assertEqual(self.leaving().stop(signal.SIGTERM), 0)

    def test_int_ends_it(self):
        self.assertEqual(self.leaving().stop(signal.SIGINT), 0)

    def test_a_reload_is_refused(self):
        status, text = self.leaving().reload()
        self.assertEqual((status, text), (1, "refused: drover is stopping"))

    def test_a_worker_that_dies_has_a_successor_that_knows(self):
        server = self.leaving({"workers": 1})
        worker = server.workers()[0]
        os.kill(worker, signal.SIGKILL)
        server.wait_status(lambda status: server.workers(status).get(0, worker) != worker)
        self.assertEqual(server.get("/health").status, 503)
        self.assertEqual(server.get("/").status, 200)

    def test_it_ends(self):
        server = self.start({"timeouts": {"drain_delay": "300ms"}})
        self.assertEqual(server.stop(), 0)
        self.assertGreaterEqual(int(server.log.wait("stopped").fields["took_ms"]), 300)

    def test_the_supervisor_is_told_at_its_beginning(self):
        directory = drover.temporary_directory()
        self.addCleanup(os.rmdir, directory)
        path = os.path.join(directory, "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(path)
            self.addCleanup(os.unlink, path)
            notify.settimeout(drover.DEADLINE)
            server = self.start(self.LONG, env={**os.environ, "NOTIFY_SOCKET": path})
            server.kill(signal.SIGTERM)
            while b"STOPPING=1" not in notify.recv(4096):
                pass
            self.assertEqual(server.get("/").status, 200)
            server.stop(signal.SIGINT)


class Drain(Base):
    def test_idle_connections_stay_while_something_is_under_way(self):
        server = self.start({"workers": 1})
        idle = [self.client(server.address) for _ in range(3)]
        for client in idle:
            self.assertFalse(client.request("/").closes)
        begun = self.begun(server)
        self.draining(server)
        self.until_refused(server.address)
        response = idle[0].request("/")
        self.assertEqual((response.body, response.closes), (PAGE, True))
        self.assertTrue(idle[0].at_end())
        self.assertTrue(idle[1].is_quiet())
        begun.send(b"st: a\r\n\r\n")
        self.assertTrue(begun.response().closes)
        begun.close()
        for client in idle[1:]:
            self.assertTrue(client.at_end())    # a FIN, no reset
            client.close()
        self.assertEqual(server.wait_exit(), 0)

    def test_what_waits_in_the_queues_is_answered(self):
        server = self.start({"timeouts": {"drain": "1m"}})
        workers = server.workers().values()
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)
            drover.wait_stopped(worker)
        clients = [self.client(server.address) for _ in range(50)]
        for client in clients:
            client.send(client.head("/"))
        server.kill(signal.SIGTERM)
        server.log.wait("stopping")
        for worker in workers:
            os.kill(worker, signal.SIGCONT)
        for client in clients:
            self.assertEqual(client.response().body, PAGE)
            self.assertTrue(client.at_end())
            client.close()
        self.assertEqual(server.wait_exit(), 0)
        self.assertEqual(server.log.wait("stopped").fields["lost"], "0")

    def test_who_has_sent_nothing_yet_has_a_second_when_the_machine_goes_on(self):
        """It stood still for longer than a connection has for its request: nobody could send one."""
        server = self.start({"workers": 1, "timeouts": {"drain": "1m"}})
        client = self.client(server.address)
        begun = self.begun(server)      # until its answer everybody stays
        self.draining(server)
        worker = server.workers()[0]
        os.kill(worker, signal.SIGSTOP)
        drover.wait_stopped(worker)
        select.select([], [], [], 1.2)
        begun.send(b"st: a\r\n\r\n")
        os.kill(worker, signal.SIGCONT)
        self.assertTrue(begun.response().closes)
        begun.close()
        self.assertEqual(select.select([client.socket], [], [], 0.2)[0], [])
        client.send(client.head("/"))
        self.assertEqual(client.response().body, PAGE)
        client.close()
        self.assertEqual(server.wait_exit(), 0)

    def test_who_has_sent_nothing_yet_has_a_moment_when_the_stop_begins(self):
        """Before it nobody looks whether the machine stands still."""
        server = self.start({"workers": 1})
        client = self.client(server.address)
        server.wait_status(lambda status: status["workers"][0]["counters"]["accepted"] > 0)
        worker = server.workers()[0]
        os.kill(worker, signal.SIGSTOP)
        drover.wait_stopped(worker)
        server.kill(signal.SIGTERM)
        server.log.wait("stopping")
        select.select([], [], [], 1.2)  # the connection is old, and there is no other reason to wait
        begin = time.monotonic()
        os.kill(worker, signal.SIGCONT)
        self.assertTrue(client.at_end())
        self.assertGreaterEqual(time.monotonic() - begin, 0.25)
        client.close()
        self.assertEqual(server.wait_exit(), 0)

    def test_the_queue_of_a_dead_worker_is_answered_by_another(self):
        server = self.start({"timeouts": {"drain": "1m"}})
        workers = server.workers()
        for worker in workers.values():
            os.kill(worker, signal.SIGSTOP)
            drover.wait_stopped(worker)
        clients = [self.client(server.address) for _ in range(50)]
        for client in clients:
            client.send(client.head("/"))
        server.kill(signal.SIGTERM)
        server.log.wait("stopping")
        os.kill(workers[0], signal.SIGKILL)     # nobody follows
        os.kill(workers[1], signal.SIGCONT)
        for client in clients:
            self.assertEqual(client.response().body, PAGE)
            client.close()
        self.assertEqual(server.wait_exit(), 0)
        self.assertEqual(server.log.wait("stopped").fields["lost"], "0")

    def test_what_nobody_accepts_is_counted(self):
        server = self.start({"workers": 1, "timeouts": {"drain": "200ms"}})
        worker = server.workers()[0]
        os.kill(worker, signal.SIGSTOP)
        drover.wait_stopped(worker)
        clients = [self.client(server.address) for _ in range(7)]
        for client in clients:
            client.send(client.head("/"))
        self.assertEqual(server.stop(), 0)
        self.assertEqual(server.log.wait("stopped").fields["lost"], "7")

    def test_a_connection_that_has_sent_nothing_yet_has_a_second(self):
        end = drover.deadline()
        while True:                     # until the machine is fast enough
            drover.left(end)
            server = self.start({"workers": 1})
            began = time.monotonic()
            client = self.client(server.address)
            server.kill(signal.SIGTERM)
            server.wait_status(lambda status: not status["listeners"])      # all sockets have been let go
            client.send(client.head("/"))
            if time.monotonic() - began < 1:
                break
        response = client.response()
        self.assertEqual((response.body, response.closes), (PAGE, True))

    def test_what_was_cut_is_said(self):
        server = self.start({"workers": 1, "timeouts": {"drain": "500ms"}})
        clients = [self.download(server), self.download(server), self.begun(server)]
        idle = self.client(server.address)
        self.assertFalse(idle.request("/").closes)
        self.assertEqual(server.stop(), 3)
        fields = server.log.wait("stopped").fields
        self.assertEqual([fields[key] for key in ("cut", "cut_head", "cut_waiting", "cut_sending", "killed", "lost")],
                         ["3", "1", "0", "2", "0", "0"])
        self.assertGreaterEqual(int(fields["took_ms"]), 500)
        self.assertTrue(idle.at_end())
        del clients

    def test_what_was_answered_is_counted(self):
        server = self.start({"workers": 1})
        clients = [self.begun(server) for _ in range(4)]
        self.draining(server)
        for client in clients:
            client.send(b"st: a\r\n\r\n")
            self.assertTrue(client.response().closes)
            client.close()
        self.assertEqual(server.wait_exit(), 0)
        self.assertEqual(server.log.wait("stopped").fields["answered"], "4")

    def test_the_connections_of_a_worker_that_had_to_be_killed_are_cut(self):
        server = self.start({"workers": 1, "timeouts": {"drain": "100ms"}})
        client = self.begun(server)
        worker = server.workers()[0]
        os.kill(worker, signal.SIGSTOP)
        drover.wait_stopped(worker)
        self.assertEqual(server.stop(), 3)
        self.assertEqual(server.log.wait("stopped").fields["killed"], "1")
        client.close()

    def test_the_connections_of_a_worker_that_dies_are_cut(self):
        server = self.start({"workers": 1, "timeouts": {"drain": "1h"}})
        clients = [self.begun(server) for _ in range(2)]
        idle = self.client(server.address)
        self.assertFalse(idle.request("/").closes)
        self.draining(server)
        os.kill(server.workers()[0], signal.SIGKILL)
        self.assertEqual(server.wait_exit(), 3)
        fields = server.log.wait("stopped").fields
        self.assertEqual([fields[key] for key in ("cut", "killed", "lost")], ["0", "3", "0"])
        del clients

    def test_int_ends_a_drain_with_a_hung_worker(self):
        server = self.start({"timeouts": {"drain": "1h"}})
        client = self.begun(server)
        worker = server.workers()[0]
        os.kill(worker, signal.SIGSTOP)
        drover.wait_stopped(worker)
        self.draining(server)
        self.assertEqual(server.stop(signal.SIGINT), 0)
        self.assertEqual(server.log.wait("stopped").fields["killed"], "0")
        client.close()

    def test_who_comes_later_is_refused_in_time(self):
        server = self.start({"timeouts": {"drain": "1h"}})
        client = self.download(server)
        unix = os.path.join(server.dir, "web.sock")
        server.configure({"listen": [{"address": drover.address_text(server.address)}, {"address": "unix:" + unix}]})
        self.reload(server)
        self.draining(server)
        self.until_refused(server.address)
        self.until_refused(unix)
        self.assertIsNone(server.process.poll())
        client.close()
        self.assertEqual(server.wait_exit(), 0)

    def test_the_workers_of_a_dead_master_answer_what_waits(self):
        server = self.start({"workers": 1})
        worker = server.workers()[0]
        os.kill(worker, signal.SIGSTOP)
        drover.wait_stopped(worker)
        clients = [self.client(server.address) for _ in range(5)]
        for client in clients:
            client.send(client.head("/"))
        server.kill(signal.SIGKILL)
        server.wait_exit()
        os.kill(worker, signal.SIGCONT)
        for client in clients:
            self.assertEqual(client.response().body, PAGE)
            client.close()
        drover.wait_dead(worker)


class Listeners(Base):
    def listen(self, server, *more):
        server.configure({"listen": [{"address": drover.address_text(server.address)}, *more]})

    def fails(self, server, *says):
        status, text = server.reload()
        self.assertEqual(status, 1, text)
        for words in says:
            self.assertIn(words, text)

    def unix(self, server, **more):
        path = os.path.join(server.dir, "web.sock")
        self.listen(server, {"address": "unix:" + path, **more})
        return path

    def test_what_waits_at_an_address_that_goes_is_answered(self):
        for kind in ("tcp", "unix"):
            with self.subTest(kind):
                server = self.start()
                second = drover.free_address() if kind == "tcp" else os.path.join(server.dir, "second.sock")
                self.listen(server, {"address": drover.address_text(second)})
                self.reload(server)
                workers = server.workers().values()
                for worker in workers:
                    os.kill(worker, signal.SIGSTOP)
                    drover.wait_stopped(worker)
                clients = [self.client(second) for _ in range(50)]
                for client in clients:
                    client.send(client.head("/", close=True))
                self.listen(server)
                server.hup()
                for worker in workers:
                    os.kill(worker, signal.SIGCONT)
                for client in clients:
                    self.assertEqual(client.response().body, PAGE)
                self.assertEqual(server.log.wait("listener_removed").fields["lost"], "0")
                self.until_refused(second)
                self.assertEqual(server.status()["totals"]["lost_address_removed"], 0)

    def test_an_address_that_goes_with_a_replacement(self):
        server = self.start({"reload": "replace"})
        second = drover.free_address()
        self.listen(server, {"address": drover.address_text(second)})
        self.reload(server)
        kept = self.client(second)
        self.assertFalse(kept.request("/").closes)
        workers = server.workers().values()
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)
            drover.wait_stopped(worker)
        waiting = [self.client(second) for _ in range(20)]
        for client in waiting:
            client.send(client.head("/", close=True))
        self.listen(server)
        server.hup()
        for client in waiting:          # by the fresh workers
            self.assertEqual(client.response().body, PAGE)
        for worker in workers:
            os.kill(worker, signal.SIGCONT)
        self.assertEqual(server.log.wait("listener_removed").fields["lost"], "0")
        self.until_refused(second)
        self.assertFalse(kept.request("/").closes)

    def test_an_address_comes_back_while_a_hung_worker_has_its_socket(self):
        server = self.start({"reload": "replace"})
        second = drover.free_address()
        more = {"address": drover.address_text(second)}
        self.listen(server, more)
        self.reload(server)
        kept = self.client(server.address)
        self.assertFalse(kept.request("/").closes)
        workers = server.workers().values()
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)
            drover.wait_stopped(worker)
        self.listen(server)
        self.reload(server)
        self.until_refused(second)
        self.listen(server, more)
        self.reload(server)
        self.assertEqual(server.get(address=second).body, PAGE)
        for worker in workers:
            os.kill(worker, signal.SIGCONT)
        for _ in range(20):
            self.assertEqual(server.get(address=second).body, PAGE)
        self.assertFalse(kept.request("/").closes)

    def sockets_held(self, pid):
        links = (os.readlink("/proc/%d/fd/%s" % (pid, fd)) for fd in os.listdir("/proc/%d/fd" % pid))
        return sum(link.startswith("socket:") for link in links)

    def test_a_worker_that_follows_after_the_sockets_were_let_go(self):
        """While another one has not adopted yet: it is not given what has gone."""
        server = self.start({"timeouts": {"prepare": "1m"}})
        second = drover.free_address()
        wanted = {slot: self.sockets_held(pid) for slot, pid in server.workers().items()}
        self.listen(server, {"address": drover.address_text(second)})
        self.reload(server)
        workers = server.workers()
        kept = self.client(server.address)
        self.assertEqual(kept.request("/").status, 200)
        mine = next(worker["slot"] for worker in server.status()["workers"] if worker["counters"]["open"])
        os.kill(workers[1 - mine], signal.SIGSTOP)
        drover.wait_stopped(workers[1 - mine])
        self.listen(server)
        server.hup()
        server.wait_status(lambda status: status["phase"] == "preparing")
        for _ in range(20):             # turns of its loop: it has voted
            self.assertEqual(kept.request("/").status, 200)
        os.kill(workers[mine], signal.SIGSTOP)
        drover.wait_stopped(workers[mine])
        mark = server.log.mark()
        os.kill(workers[1 - mine], signal.SIGCONT)
        server.wait_status(lambda status: status["phase"] == "going")
        server.log.wait("sockets_not_let_go", since=mark)
        os.kill(workers[1 - mine], signal.SIGKILL)
        after = server.wait_status(lambda status: server.workers(status).get(1 - mine, 0) not in
                                   (0, workers[1 - mine]))
        self.assertEqual(after["phase"], "going")
        os.kill(workers[mine], signal.SIGCONT)
        server.log.wait("reload_done", since=mark)
        self.until_refused(second)
        self.assertEqual(self.sockets_held(server.workers()[1 - mine]), wanted[1 - mine])

    def test_a_stop_while_an_address_goes(self):
        server = self.start()
        second = drover.free_address()
        self.listen(server, {"address": drover.address_text(second)})
        self.reload(server)
        self.listen(server)
        mark = server.log.mark()
        server.hup()
        server.wait_status(lambda status: status["phase"] == "going" or server.log.find("reload_done", mark))
        self.assertEqual(server.stop(), 0)

    def test_who_holds_an_address_is_named(self):
        server = self.start()
        with socket.create_server(drover.free_address()) as taken:
            address = drover.address_text(taken.getsockname())
            self.listen(server, {"address": address})
            self.fails(server, "failed at bind: listen on %s: bind: Address already in use (held by pid %d, "
                       % (address, os.getpid()))
        self.reload(server)

    def test_who_holds_a_path_is_named(self):
        server = self.start()
        path = self.unix(server)
        with socket.socket(socket.AF_UNIX) as taken:
            taken.bind(path)
            taken.listen()
            self.fails(server, path, "another program listens there (held by pid %d, " % os.getpid())
        self.reload(server)
        self.assertEqual(server.get(address=path).body, PAGE)

    def test_a_path_of_another_program_is_not_removed(self):
        server = self.start()
        path = self.unix(server)
        self.reload(server)
        os.rename(path, path + ".old")
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(path)
            self.listen(server)
            self.reload(server)
            self.assertTrue(drover.is_socket(path))
            os.unlink(path + ".old")

    def test_the_rights_of_a_path_change_with_a_reload(self):
        server = self.start()
        for mode in ("0600", "0660", None):
            path = self.unix(server, **({"mode": mode} if mode else {}))
            self.reload(server)
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), int(mode or "0666", 8))
            self.assertEqual(server.get(address=path).body, PAGE)

    def test_the_owner_of_a_path(self):
        server = self.start()
        own = os.stat(server.dir)
        if os.geteuid() == 0:
            path = self.unix(server, owner="nobody", group="65533")
            self.reload(server)
            self.assertEqual((os.stat(path).st_uid, os.stat(path).st_gid), (65534, 65533))
        path = self.unix(server)
        self.reload(server)
        self.assertEqual(os.stat(path).st_uid, own.st_uid)
        self.unix(server, owner="no-such-user")
        self.fails(server, "failed at check", "drover.conf:", "user \"no-such-user\": no such user")

    def test_a_socket_in_a_directory_that_was_closed_to_it(self):
        server = self.start()
        self.listen(server, {"address": "unix:/nonexistent/web.sock"})
        self.fails(server, "failed at bind: listen on unix:/nonexistent/web.sock: slot 0: bind: No such file or directory")

    def test_what_a_socket_is_bound_with_needs_a_restart(self):
        server = self.start()
        for name, value in (("freebind", True), ("device", "lo")):
            server.configure({"listen": [{"address": drover.address_text(server.address), name: value}]})
            self.fails(server, "listen.%s cannot change while drover runs; restart it for that" % name)

    def test_a_device_and_an_address_that_is_not_here(self):
        server = self.start()
        second = drover.free_address()
        self.listen(server, {"address": drover.address_text(second), "device": "lo"},
                    {"address": "192.0.2.7:80", "freebind": True})
        self.reload(server)
        self.assertEqual(server.get(address=second).body, PAGE)

    def test_what_waits_and_what_was_dropped_is_in_the_status(self):
        server = self.start({"workers": 1})
        server.configure({"listen": [{"address": drover.address_text(server.address), "backlog": 2}]})
        self.reload(server)
        worker = server.workers()[0]
        os.kill(worker, signal.SIGSTOP)
        drover.wait_stopped(worker)
        sockets = [socket.socket() for _ in range(12)]
        for one in sockets:
            self.addCleanup(one.close)
            one.setblocking(False)
            one.connect_ex(server.address)
        # it drops when the queue is full, and may have some in hand until then
        status = server.wait_status(lambda status: status["listeners"][0]["dropped"] > 0)
        self.assertEqual(status["listeners"][0]["waiting"], 3)   # the kernel's limit is one more than asked for
        os.kill(worker, signal.SIGCONT)


for base in (Delay, Drain, Listeners):
    for mode in ("shared", "directed"):
        name = base.__name__ + mode.capitalize()
        globals()[name] = type(name, (base,), {"accept": mode, "__module__": __name__})
del base

if __name__ == "__main__":
    unittest.main()
