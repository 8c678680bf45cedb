#!/usr/bin/env python3
"""clients.*: how many requests and how many bytes a second an address and a network may have, over all workers.

Rates are held against the time that passed, as measured here: a slow machine makes the bounds wider, and never breaks
them."""

import select
import threading
import time
import unittest

import drover
from drover import Client, Drover

PAGE = b"<p>hello\n"
ONE, OTHER = "127.0.0.2", "127.0.0.3"   # addresses of clients


class Limits(unittest.TestCase):
    accept = "reuseport"

    def start(self, clients, **settings):
        server = Drover({"accept": self.accept, "workers": 2, "clients": clients, **settings})
        self.addCleanup(server.close)
        return server

    def client(self, server, source=ONE, **more):
        client = Client(server.address, source=source, **more)
        self.addCleanup(client.close)
        return client

    def statuses(self, client, count, **more):
        return [client.request("/", **more).status for _ in range(count)]

    def totals(self, server):
        return {name: count for name, count in server.status()["totals"].items()
                if name.startswith("limited_") and count > 0}


class Requests(Limits):
    def test_the_rate_holds_over_all_workers(self):
        """Exactly: with a burst of b and r a second no more than b + r * t are let through in any t."""
        burst, rate = 30, 50
        server = self.start({"requests": rate, "burst": burst})
        clients = [self.client(server) for _ in range(8)]
        begun = time.monotonic()
        served = refused = 0
        while time.monotonic() < begun + 0.6 or served <= burst:
            for client in clients:
                client.send(client.head("/"))
            for number, client in enumerate(clients):
                answer = client.response()
                served += answer.status == 200
                refused += answer.status == 429
                if answer.closes:       # who goes on although it is refused
                    clients[number] = self.client(server)
        self.assertLessEqual(served, burst + rate * (time.monotonic() - begun))
        self.assertEqual(self.totals(server), {"limited_requests": refused})
        self.assertGreater(refused, 0)

    def test_who_waits_for_as_long_as_it_is_told_is_served(self):
        server = self.start({"requests": 1, "burst": 1})
        client = self.client(server)
        self.assertEqual(client.request("/").status, 200)
        end = drover.deadline()
        for _ in range(2):
            while (answer := client.request("/")).status == 200:    # it came so late that it may again
                drover.left(end)
            self.assertEqual((answer.status, answer.reason), (429, "Too Many Requests"))
            self.assertFalse(answer.closes)
            seconds = answer.header("Retry-After")
            self.assertRegex(seconds, "^[1-9][0-9]*$")
            self.assertEqual(select.select([client.socket], [], [], int(seconds))[0], [], "it is kept open")
            self.assertEqual(client.request("/").status, 200)

    def test_clients_do_not_disturb_each_other(self):
        server = self.start({"requests": 1, "burst": 5})
        one, other = self.client(server), self.client(server, OTHER)
        self.assertEqual(self.statuses(one, 5), [200] * 5)
        self.assertIn(429, self.statuses(one, 20))
        self.assertEqual(self.statuses(other, 5), [200] * 5)

    def test_the_page_of_the_site_and_no_content_for_head(self):
        server = self.start({"requests": 1, "burst": 1})
        page = server.write("busy.html", "<p>busy\n")
        site = {**server.settings["sites"][0], "error_pages": [{"status": ["4xx"], "file": page}]}
        server.configure({"sites": [site]})
        self.assertEqual(server.reload()[0], 0)
        client = self.client(server)
        client.request("/")
        answers = [client.request("/") for _ in range(20)]
        self.assertIn((429, b"<p>busy\n"), [(answer.status, answer.body) for answer in answers])
        self.assertIn(429, self.statuses(client, 5, method="HEAD"))
        self.assertIn(429, self.statuses(client, 5, method="OPTIONS"))

    def test_a_flood_is_logged_once_and_ends(self):
        server = self.start({"requests": 1, "burst": 1})
        client = self.client(server)
        client.send(client.head("/") * 300)
        ended = client.rest()
        self.assertLessEqual(ended.count(b"HTTP/1.1 429"), 100 * ended.count(b"HTTP/1.1 200"))
        self.assertEqual(ended.count(b"Connection: close"), 1)
        event = server.log.wait("client_limited", limit="requests", scope="address", dry_run="no")
        self.assertEqual(event.fields["client"], ONE)
        self.assertEqual(len(server.log.find("client_limited")), 1)
        self.assertRegex(server.ctl("status").stdout,
                         r"limits of clients: limited_requests %d\b" % ended.count(b"HTTP/1.1 429"))

    def test_who_is_exempt_has_no_limit(self):
        server = self.start({"requests": 1, "burst": 1, "exempt": [ONE + "/32"]})
        self.assertEqual(self.statuses(self.client(server), 20), [200] * 20)
        self.assertIn(429, self.statuses(self.client(server, OTHER), 20))

    def test_a_dry_run_counts_and_refuses_nobody(self):
        server = self.start({"requests": 1, "burst": 1, "dry_run": True})
        self.assertEqual(self.statuses(self.client(server), 20), [200] * 20)
        self.assertGreater(self.totals(server)["limited_requests"], 0)
        server.log.wait("client_limited", limit="requests", scope="address", dry_run="yes")

    def test_a_reload_changes_the_limits_of_connections_that_are_there(self):
        server = self.start({})
        client = self.client(server)
        self.assertEqual(self.statuses(client, 20), [200] * 20)
        server.configure({"clients": {"requests": 1, "burst": 1}})
        self.assertEqual(server.reload()[0], 0)
        self.assertIn(429, self.statuses(client, 20))
        server.configure({"clients": {}})
        self.assertEqual(server.reload()[0], 0)
        self.assertEqual(self.statuses(client, 20), [200] * 20)


class Directed(Requests):
    accept = "directed"


class Shared(Requests):
    accept = "shared"


class ByCpu(Requests):
    accept = "cpu"


for modes in (Directed, Shared, ByCpu):         # what is not about who accepts is tried once
    for name in [name for name in dir(Requests) if name.startswith("test_") and "over_all_workers" not in name]:
        setattr(modes, name, None)


class Behind(Limits):
    """Clients behind a proxy that says who they are."""

    def proxied(self, server, source):
        client = self.client(server, "127.0.0.1")
        family = "TCP6" if ":" in source else "TCP4"
        here = "::1" if ":" in source else "127.0.0.1"
        client.send(b"PROXY %s %s %s 1000 80\r\n" % (family.encode(), source.encode(), here.encode()))
        return client

    def start_behind(self, clients):
        server = self.start(clients)
        listen = [{"address": drover.address_text(server.address), "proxy_protocol": True,
                   "proxy_from": ["127.0.0.0/8"]}]
        server.configure({"listen": listen})
        self.assertEqual(server.reload()[0], 0)
        return server

    def test_ipv6_clients_are_told_apart_by_64_bits(self):
        server = self.start_behind({"requests": 1, "burst": 3})
        self.assertEqual(self.statuses(self.proxied(server, "2001:db8:0:1::1"), 2), [200] * 2)
        self.assertIn(429, self.statuses(self.proxied(server, "2001:db8:0:1:ffff::2"), 10))
        self.assertEqual(self.statuses(self.proxied(server, "2001:db8:0:2::1"), 3), [200] * 3)

    def test_a_network_is_limited_as_one(self):
        server = self.start_behind({"network_requests": 1, "network_burst": 3})
        self.assertEqual(self.statuses(self.proxied(server, "10.1.2.3"), 2), [200] * 2)
        self.assertIn(429, self.statuses(self.proxied(server, "10.1.2.255"), 10))
        self.assertEqual(self.statuses(self.proxied(server, "10.1.3.3"), 3), [200] * 3)
        server.log.wait("client_limited", scope="network", limit="requests")

    def test_requests_are_judged_by_whom_a_proxy_names(self):
        server = self.start({"requests": 1, "burst": 3},
                            forwarded={"from": ["127.0.0.1/32"], "header": "x-forwarded-for"})
        client = self.client(server, "127.0.0.1")
        for source, statuses in (("10.0.0.1", {200, 429}), ("10.0.0.2", {200, 429})):
            found = self.statuses(client, 20, headers={"X-Forwarded-For": source})
            self.assertEqual((found[:3], set(found)), ([200] * 3, statuses))


class Bandwidth(Limits):
    RATE = 512 * 1024
    CONNECTIONS = 10

    def download(self, client, body, done=None):
        answer = client.request("/large")
        self.assertEqual((answer.status, answer.body == body), (200, True))
        if done is not None:
            done.append(client)

    def all_of(self, threads):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(drover.DEADLINE)

    def large(self, server, size):
        body = bytes(number * 7 % 251 for number in range(1000)) * (size // 1000 + 1)
        server.write("large", body[:size])
        return body[:size]

    def test_connections_of_a_client_share_it_and_another_client_is_not_slowed(self):
        server = self.start({"bandwidth": "512k"})
        body = self.large(server, 256 * 1024)      # of all of them 2.5 MiB, at least four seconds
        done = []
        begun = time.monotonic()
        threads = [threading.Thread(target=self.download, args=(self.client(server), body, done))
                   for _ in range(self.CONNECTIONS)]
        other = self.client(server, OTHER)
        threads.append(threading.Thread(target=self.download, args=(other, body, done)))
        self.all_of(threads)
        self.assertEqual(len(done), self.CONNECTIONS + 1)
        elapsed = time.monotonic() - begun
        self.assertLessEqual(self.CONNECTIONS * len(body), self.RATE * (1 + elapsed))
        self.assertNotEqual(done[-1], other)
        self.assertGreater(self.totals(server)["limited_bandwidth"], 0)
        server.log.wait("client_limited", limit="bandwidth", scope="address")

    def test_small_answers_are_slowed_too_and_none_is_refused(self):
        server = self.start({"bandwidth": "8k"})
        client = self.client(server)
        begun, count, bytes_got = time.monotonic(), 60, 0
        client.send(client.head("/") * count)
        for _ in range(count):
            answer = client.response()
            self.assertEqual(answer.body, PAGE)
            bytes_got += len(answer.body) + sum(len(key) + len(value) + 4 for key, value in answer.headers)
        self.assertLessEqual(bytes_got, 8192 * (1 + time.monotonic() - begun))
        self.assertGreater(self.totals(server)["limited_bandwidth"], 0)

    def test_who_takes_nothing_of_a_slowed_answer_is_cut(self):
        """Long before its socket is full, which at that rate takes it all for a long time."""
        server = self.start({"bandwidth": "8k"}, timeouts={"send": "300ms"})
        self.large(server, 256 * 1024)
        client = self.client(server, receive_buffer=4096)
        client.send(client.head("/large"))
        status = server.wait_status(lambda status: status["totals"]["timeouts"] == 1)
        self.assertLess(status["totals"]["bytes_sent"], 32 * 1024)

    def test_a_slowed_answer_survives_whatever_the_operator_does(self):
        server = self.start({"bandwidth": "64k"}, timeouts={"send": "100ms"})
        body = self.large(server, 320 * 1024)      # four seconds, in which the operator comes
        clients = [self.client(server, "127.0.0.%d" % number) for number in range(2, 8)]
        done = []
        threads = [threading.Thread(target=self.download, args=(client, body, done)) for client in clients]
        for thread in threads:
            thread.start()
        server.wait_status(lambda status: status["totals"]["limited_bandwidth"] >= len(clients))
        self.assertEqual(server.reload("--replace")[0], 0)
        server.configure({"workers": 1})
        self.assertEqual(server.reload()[0], 0)
        upgraded = server.ctl("upgrade")
        self.assertEqual(upgraded.returncode, 0, upgraded.stderr)
        for thread in threads:
            thread.join(drover.DEADLINE)
        self.assertEqual(len(done), len(clients))
        totals = server.status()["totals"]
        self.assertGreater(totals["handed_sending"], 0)
        self.assertEqual(totals["drain_cut"], 0)


if __name__ == "__main__":
    unittest.main()
