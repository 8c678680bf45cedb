"""How many connections one client may have open: over all workers, whatever the operator does meanwhile, and with
nothing left behind by those that ended, were handed over, or died with their worker."""

import os
import signal
import socket
import struct
import time
import unittest

import drover
from drover import Client, Drover
from test_http import in_every_mode

LIMIT = 6  # clients.connections
PLACE_SECONDS = 3   # for which one who is told and says nothing has his place
FREE = ("refused", "shed", "kernel_dropped", "lost_crashed", "drain_cut", "clients_untracked")


class Limited:
    accept = "reuseport"

    def start(self, clients=None, **more):
        settings = more.pop("settings", {})
        self.opened = []
        server = Drover({"accept": self.accept, "workers": 2, "log": {"level": "info"},
                         "limits": {"retry_after": "7s"},
                         "clients": {"connections": LIMIT, **(clients or {})}, **settings}, **more)
        self.addCleanup(server.close)
        return server

    def client(self, server, source=None, header=b"", address=None, silent=False):
        """A connection that has had its answer, or None when it was told 429; `source` is where it comes from."""
        client = Client(address or server.address, source=source)
        self.addCleanup(client.close)
        try:
            client.send(header + client.head("/"))
            answer = client.response()
        except (ConnectionResetError, BrokenPipeError, drover.Closed):
            if not silent:
                raise
            return None         # too many are told already
        if answer.status == 200:
            self.opened.append(client)
            return client
        self.assertEqual((answer.status, answer.reason, answer.body), (429, "Too Many Requests", b""))
        self.assertEqual(answer.header("Retry-After"), "7")
        self.assertEqual(answer.header("Content-Length"), "0")
        self.assertTrue(answer.closes)
        self.assertTrue(client.at_end())
        client.close()
        return None

    def fill(self, server, most=LIMIT, **more):
        """Connections until one is refused, of which there must be just so many."""
        clients = []
        while len(clients) <= most:
            client = self.client(server, **more)
            if client is None:
                break
            clients.append(client)
        self.assertEqual(len(clients), most)
        return clients

    def release(self, server, clients, left=0):
        for client in clients:
            client.close()
        server.wait_status(lambda status: status["totals"]["open"] == left)

    def still_served(self, clients):
        for client in clients:
            self.assertEqual(client.request("/").status, 200)

    def losses(self, server):
        totals = server.status()["totals"]
        return {name: totals[name] for name in FREE if totals[name] > 0}


class Connections(Limited):
    def test_the_limit_holds_over_all_workers_and_whoever_ends_makes_room(self):
        server = self.start(settings={"workers": 4})
        clients = self.fill(server)
        totals = server.status()["totals"]
        self.assertEqual((totals["accepted"], totals["open"], totals["limited_connections"]), (LIMIT, LIMIT, 1))
        clients.pop().close()
        server.wait_status(lambda status: status["totals"]["open"] == LIMIT - 1)
        self.fill(server, 1)
        self.still_served(clients)
        self.assertEqual(self.losses(server), {})

    def test_another_address_is_another_client(self):
        server = self.start()
        self.fill(server)
        self.fill(server, source="127.0.0.2")
        event = server.log.wait("client_limited", client="127.0.0.2")
        self.assertEqual((event.fields["limit"], event.fields["scope"], event.fields["dry_run"]),
                         ("connections", "address", "no"))

    def test_a_network_has_a_limit_of_its_own(self):
        server = self.start({"network_connections": LIMIT + 2, "network_ipv4": 8})
        self.fill(server)
        self.fill(server, 2, source="127.0.0.2")
        server.log.wait("client_limited", client="127.0.0.2", scope="network")

    def test_an_ipv4_client_of_an_ipv6_socket_is_the_same_client(self):
        server = self.start()
        port = drover.free_address(socket.AF_INET6)[1]
        server.configure({"listen": [{"address": drover.address_text(server.address)}, {"address": "*:%d" % port}]})
        self.assertEqual(server.reload()[0], 0)
        self.fill(server, address=("127.0.0.1", port))
        self.fill(server, 0)

    def test_exempt_clients_have_none(self):
        server = self.start({"exempt": ["127.0.0.0/31"]})
        clients = [self.client(server) for _ in range(2 * LIMIT)]
        self.assertNotIn(None, clients)
        self.fill(server, source="127.0.0.2")

    def test_clients_of_a_unix_socket_have_none(self):
        server = self.start()
        path = os.path.join(server.dir, "socket")
        server.configure({"listen": [{"address": drover.address_text(server.address)}, {"address": "unix:" + path}]})
        self.assertEqual(server.reload()[0], 0)
        self.assertNotIn(None, [self.client(server, address=path) for _ in range(2 * LIMIT)])

    def test_a_dry_run_says_so_and_lets_them_in(self):
        server = self.start({"dry_run": True})
        clients = [self.client(server) for _ in range(LIMIT + 3)]
        self.assertNotIn(None, clients)
        self.assertEqual(server.status()["totals"]["limited_connections"], 3)
        server.log.wait("client_limited", client="127.0.0.1", limit="connections", dry_run="yes")
        self.assertEqual(len(server.log.find("client_limited")), 1)

    def test_only_so_many_are_told_at_a_time(self):
        """Those that stay behind their answer; further ones are closed at once, and nobody who is served notices."""
        server = self.start(settings={"workers": 1})
        clients = self.fill(server)
        more, begun = [], time.monotonic()
        for _ in range(100):
            client = Client(server.address)
            self.addCleanup(client.close)
            more.append(client)
        server.wait_status(lambda status: status["totals"]["limited_connections"] == 101)
        rounds = 1 + int((time.monotonic() - begun) / PLACE_SECONDS)
        told = [client for client in more if not self.is_cut(client)]
        self.assertGreaterEqual(len(told), 15)      # whoever was refused before may have had a place for a moment
        self.assertLessEqual(len(told), 16 * rounds)
        self.still_served(clients)
        for client in more:
            client.close()
        self.assertEqual(server.status()["totals"]["open"], LIMIT)

    def is_cut(self, client):
        try:
            return client.socket.recv(1) == b""
        except ConnectionResetError:
            return True


class Proxied(Limited, unittest.TestCase):
    def header(self, address):
        family = "TCP6" if ":" in address else "TCP4"
        to = "2001:db8::ffff" if ":" in address else "192.0.2.255"
        return ("PROXY %s %s %s 1234 80\r\n" % (family, address, to)).encode()

    def start(self, clients=None, **more):
        server = super().start(clients, **more)
        server.configure({"listen": [{"address": drover.address_text(server.address), "proxy_protocol": True,
                                      "proxy_from": ["127.0.0.0/8"]}]})
        status, text = server.reload()
        self.assertEqual(status, 0, text)
        return server

    def test_the_header_says_whose_a_connection_is(self):
        server = self.start()
        self.fill(server, header=self.header("192.0.2.1"))
        self.fill(server, header=self.header("192.0.2.2"))
        server.log.wait("client_limited", client="192.0.2.2")

    def test_an_ipv6_client_counts_with_its_64(self):
        server = self.start({"network_connections": LIMIT + 1})
        clients = [self.client(server, header=self.header("2001:db8:0:1::%x" % i)) for i in range(1, LIMIT + 1)]
        self.assertNotIn(None, clients)
        self.assertIsNone(self.client(server, header=self.header("2001:db8:0:1:ffff::1")))
        self.fill(server, 1, header=self.header("2001:db8:0:2::1"))     # of the same /48
        self.fill(server, header=self.header("2001:db8:1:2::1"))

    def test_whoever_sends_no_header_counts_for_nobody(self):
        server = self.start()
        silent = [Client(server.address) for _ in range(2 * LIMIT)]
        for client in silent:
            self.addCleanup(client.close)
        server.wait_status(lambda status: status["totals"]["open"] == 2 * LIMIT)
        self.fill(server, header=self.header("127.0.0.1"))

    def test_handed_over_as_the_same_client(self):
        server = self.start()
        clients = self.fill(server, header=self.header("192.0.2.1"))
        self.assertEqual(server.reload("--replace")[0], 0)
        server.log.wait("handover_done")
        self.still_served(clients)      # so they have arrived, and count
        self.fill(server, 0, header=self.header("192.0.2.1"))


class Operated(Limited):
    def kill(self, server, victim):
        mark = server.log.mark()
        os.kill(victim, signal.SIGKILL)
        server.log.wait("worker_exited", since=mark, pid=victim)
        server.wait_status(lambda status: len(server.workers(status)) == 2 and
                           victim not in server.workers(status).values())
        self.assertEqual(server.reload()[0], 0)             # every worker has had a turn

    def test_replaced_again_and_again(self):
        """Counts go along: at no time is there room for one more, nor is there less when all have gone."""
        server = self.start()
        clients = self.fill(server)
        for generation in range(2, 8):
            self.assertEqual(server.reload("--replace")[0], 0)
            server.log.wait("handover_done", generation=generation)
            self.still_served(clients)
            self.fill(server, 0)
        self.release(server, clients)
        self.fill(server)
        self.assertEqual(self.losses(server), {})

    def test_more_and_fewer_workers(self):
        server = self.start()
        clients = self.fill(server)
        for number, workers in enumerate((4, 1, 3, 2), 2):
            server.configure({"workers": workers})
            self.assertEqual(server.reload()[0], 0)
            server.wait_status(lambda status, workers=workers: len(status["workers"]) == workers)
            self.still_served(clients)
            self.fill(server, 0)
            self.assertEqual(server.generation(), number)
        self.release(server, clients)
        self.fill(server)

    def test_an_upgrade_that_is_taken_back_leaves_one_table(self):
        """Workers from before and after it count together, and what died is forgotten by all of them."""
        server = self.start(own=True)
        clients = self.fill(server)
        server.install(drover.BROKEN, "crashes-at-start")
        self.assertEqual(server.ctl("upgrade").returncode, 1)
        server.log.wait("upgrade_failed")
        self.kill(server, min(server.workers().values()))
        self.fill(server, LIMIT - server.status()["totals"]["open"])
        self.release(server, clients + self.opened)
        self.fill(server)

    def test_an_upgrade_takes_the_table_over(self):
        server = self.start(own=True)
        clients = self.fill(server)
        result = server.ctl("upgrade")
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        server.log.wait("handover_done")
        self.still_served(clients)
        self.fill(server, 0)
        self.release(server, clients)
        self.fill(server)

    def test_switched_on_with_connections_open(self):
        server = self.start({"connections": 0})
        clients = [self.client(server) for _ in range(LIMIT - 2)]
        server.configure({"clients": {"connections": LIMIT}})
        self.assertEqual(server.reload()[0], 0)
        self.fill(server, 2)
        self.still_served(clients)

    def test_other_prefixes_with_connections_open(self):
        server = self.start({"network_connections": LIMIT, "network_ipv4": 32})
        self.fill(server)
        clients = self.fill(server, source="127.0.0.2")
        server.configure({"clients": {"network_connections": 2 * LIMIT + 1, "network_ipv4": 8}})
        self.assertEqual(server.reload()[0], 0)
        self.fill(server, 1, source="127.0.0.3")
        self.still_served(clients)
        server.configure({"clients": {"connections": LIMIT}})
        self.assertEqual(server.reload()[0], 0)
        self.fill(server, 0)

    def test_a_killed_worker_leaves_no_count_behind(self):
        server = self.start()
        for _ in range(3):
            clients = self.fill(server)
            self.kill(server, min(server.workers().values()))
            self.fill(server, LIMIT - server.status()["totals"]["open"])
            for client in clients + self.opened:
                client.close()
            server.wait_status(lambda status: status["totals"]["open"] == 0)

class Drift(Limited, unittest.TestCase):
    def reset(self, client):
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()

    def end(self, server, number):
        """One connection, in one of many ways."""
        client = Client(server.address)
        self.addCleanup(client.close)
        how = number % 7
        if how == 0:
            client.close()
        elif how == 1:
            self.reset(client)
        elif how == 2:
            client.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
            client.close()
        elif how == 3:
            client.send(client.head("/", close=True))
            client.response()
            client.close()
        elif how == 4:
            client.send(client.head("/"))
            self.reset(client)
        elif how == 5:
            client.send(b"GET / HTTP/1.1\r\nHo")
            client.close()
        else:
            client.send(client.head("/large"))
            self.reset(client)

    def test_nothing_is_left_behind_however_they_end(self):
        """Three thousand; most of them while the client has all that it may, too."""
        server = self.start(settings={"timeouts": {"request_head": "100ms"}})
        server.write("large", b"x" * (1 << 20))
        self.end_all(server, 1500)
        server.wait_status(lambda status: status["totals"]["open"] == 0)
        clients = self.fill(server, silent=True)
        self.end_all(server, 1500)
        self.still_served(clients)
        self.release(server, clients)
        self.fill(server, silent=True)

    def end_all(self, server, count):
        """Many may be open at a time, when a worker did not get to accepting for a while."""
        for number in range(count):
            try:
                self.end(server, number)
            except (ConnectionResetError, BrokenPipeError, drover.Closed):
                pass        # closed without a word: too many are told already

    def test_those_that_time_out(self):
        server = self.start(settings={"timeouts": {"request_head": "100ms", "keep_alive": "100ms"}})
        for _ in range(3):
            silent = []
            for _ in range(LIMIT):
                silent.append(Client(server.address))
                silent[-1].send(b"GET")
            for client in silent:
                self.assertEqual(client.response().status, 408)
                client.close()
            server.wait_status(lambda status: status["totals"]["open"] == 0)


in_every_mode(globals(), Connections, Operated)


class ConnectionsCpu(Connections, unittest.TestCase):
    accept = "cpu"



if __name__ == "__main__":
    unittest.main()
