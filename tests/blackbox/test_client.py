"""Whom a connection belongs to: what its listener says of it, and who is behind whatever forwards requests."""

import json
import os
import select
import shutil
import socket
import struct
import time
import unittest

import drover
from drover import Drover
from test_http import in_every_mode


class Client:
    accept = None
    SETTINGS = {}

    @classmethod
    def setUpClass(cls):
        cls.server = Drover({"accept": cls.accept, **cls.SETTINGS})
        cls.addClassCleanup(cls.server.close)

    def client(self, address=None):
        client = self.server.client(address)
        self.addCleanup(client.close)
        return client

    def reload(self, settings):
        self.server.configure(settings)
        status, text = self.server.reload()
        self.assertEqual(status, 0, text)


class OwnTimeouts(Client):
    """Two listeners: a quick one and one that goes by timeouts, which are long."""

    SETTINGS = {"timeouts": {"request_head": "60s", "keep_alive": "60s", "send": "60s"}}

    def setUp(self):
        self.quick = drover.free_address()
        self.others = [{"address": drover.address_text(self.server.address)}]

    def listen(self, **timeouts):
        entry = {"address": drover.address_text(self.quick), **timeouts}
        self.reload({"listen": [entry] + self.others})

    def test_an_idle_connection(self):
        self.listen(keep_alive="200ms")
        slow = self.client()
        self.assertEqual(slow.request("/").status, 200)
        quick = self.client(self.quick)
        self.assertEqual(quick.request("/").status, 200)
        self.assertTrue(quick.at_end())
        self.assertTrue(slow.is_quiet())

    def test_a_head_that_never_ends(self):
        self.listen(request_head="200ms")
        slow, quick = self.client(), self.client(self.quick)
        for client in (slow, quick):
            client.send(b"GET / HTTP/1.1\r\n")
        self.assertEqual(quick.response().status, 408)
        self.assertTrue(slow.is_quiet())

    def test_a_client_that_takes_nothing(self):
        self.listen(send="200ms")
        self.server.write("large", b"x" * (8 << 20))
        before = self.server.status()["totals"]["timeouts"]
        client = drover.Client(self.quick, receive_buffer=16384)
        self.addCleanup(client.close)
        client.send(client.head("/large"))
        self.server.wait_status(lambda status: status["totals"]["timeouts"] > before)

    def test_a_client_that_takes_too_little(self):
        self.listen(send="300ms", min_rate="1m")
        self.server.write("large", b"x" * (8 << 20))
        client = drover.Client(self.quick, receive_buffer=16384)
        self.addCleanup(client.close)
        client.send(client.head("/large"))
        with self.assertRaises((ConnectionResetError, AssertionError)):
            for _ in range(200):
                self.assertTrue(client.socket.recv(1000))
                select.select([], [], [], 0.02)

    def test_a_body_that_drips(self):
        self.listen(body="300ms")
        client = self.client(self.quick)
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
        end = drover.deadline(20)
        while not select.select([client.socket], [], [], 0.1)[0]:
            client.send(b"x")
            drover.left(end)
        self.assertEqual(client.response().status, 405)

    def test_connections_follow_their_listener_through_reloads(self):
        """By its address: whichever entry that is, a connection from before has the new rules at once.  Only what
        it was promised stands, until its next answer."""
        self.listen()
        quick = self.client(self.quick)
        self.assertEqual(quick.request("/").header("keep-alive"), "timeout=60")
        self.reload({"listen": self.others + [{"address": drover.address_text(self.quick), "keep_alive": "200ms"}]})
        self.assertIsNone(quick.request("/").header("keep-alive"))
        self.assertTrue(quick.at_end())

    LATE = 0.3          # less than the server's grace

    def again(self, client, answered, seconds):
        """A request, so long after the last answer: its status, 0 when the server does not wait for it; None when it was
        us who came too late."""
        closed = select.select([client.socket], [], [], max(0, answered + seconds - time.monotonic()))[0]
        try:
            status = 0 if closed else client.request("/").status
        except (ConnectionResetError, BrokenPipeError, drover.Closed):
            status = 0
        return None if status == 0 and time.monotonic() > answered + seconds + self.LATE else status

    def test_a_distant_client_uses_all_of_its_time(self):
        """What it sends at the last moment arrives later, by the way there and the way back."""
        self.listen(keep_alive="1s")
        end = drover.deadline()
        while not self.all_in_time(50):
            drover.left(end)

    def all_in_time(self, count):
        clients = [self.client(self.quick) for _ in range(count)]
        answered = []
        for client in clients:
            self.assertEqual(client.request("/").header("keep-alive"), "timeout=1")
            answered.append(time.monotonic())
        found = {self.again(client, when, 1.04) for client, when in zip(clients, answered)}
        self.assertLessEqual(found, {200, None})
        return found == {200}

    def test_a_slow_clients_time_begins_when_it_has_the_answer(self):
        """Long after the server was done with it."""
        self.listen(keep_alive="1s")
        self.server.write("some", b"x" * 60000)
        end = drover.deadline()
        while (status := self.after_a_slow_answer("/some")) is None:
            drover.left(end)
        self.assertEqual(status, 200)

    def after_a_slow_answer(self, target):
        client = drover.Client(self.quick, receive_buffer=4096)
        self.addCleanup(client.close)
        client.send(client.head(target))
        self.assertFalse(select.select([], [], [client.socket], 2.5)[2])    # its time, by the server's clock, and more
        self.assertEqual(client.response().header("keep-alive"), "timeout=1")
        return self.again(client, time.monotonic(), 1.04)

    def test_connections_of_a_listener_that_was_removed(self):
        """They stay, and go by timeouts."""
        self.listen(keep_alive="50s")
        client = self.client(self.quick)
        self.assertEqual(client.request("/").status, 200)
        self.reload({"listen": self.others})
        self.assertEqual(client.request("/").status, 200)
        self.reload({"listen": self.others, "timeouts": {"keep_alive": "200ms"}})
        self.addCleanup(self.reload, {"timeouts": self.SETTINGS["timeouts"]})
        self.assertEqual(client.request("/").status, 200)
        self.assertTrue(client.at_end())


V2 = b"\r\n\r\n\0\r\nQUIT\n"


def proxy_v1(source, port=56324):
    kind = "TCP6" if ":" in source else "TCP4"
    return ("PROXY %s %s %s %d 443\r\n" % (kind, source, source, port)).encode()


def proxy_v2(source, extra=b"", command=0x21):
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    block = socket.inet_pton(family, source) * 2 + struct.pack("!HH", 56324, 443) + extra
    return V2 + struct.pack("!BBH", command, 0x21 if ":" in source else 0x11, len(block)) + block


class Rules(Client):
    """Only clients of 192.0.2.0/24 and 2001:db8::/32 may see /private."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server.write("f", "for you")
        files = {"root": cls.server.site}
        cls.routes = [{"match": "/", "files": files},
                      {"match": "/private", "allow": ["192.0.2.0/24", "2001:db8::/32"], "files": files},
                      {"match": "/local", "allow": ["127.0.0.0/8"], "files": files}]
        cls.unix = os.path.join(cls.server.dir, "web.sock")

    def private(self, client, headers=(), target="/private/f"):
        return client.request(target, headers).status

    def closed(self, client):
        """It is closed without an answer; an end or a reset."""
        try:
            self.assertEqual(client.rest(), b"")
        except ConnectionResetError:
            pass

    def access_log(self):
        self.assertEqual(self.server.stop(), 0)
        with open(os.path.join(self.server.dir, "access.log"), encoding="ascii") as file:
            return [json.loads(line) for line in file]


class Proxy(Rules):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.proxied, cls.strict = drover.free_address(), drover.free_address()
        cls.server.configure({
            "sites": [{"routes": cls.routes}],
            "listen": [
                {"address": drover.address_text(cls.server.address)},
                {"address": drover.address_text(cls.proxied), "proxy_protocol": True, "proxy_from": ["127.0.0.0/8"]},
                {"address": drover.address_text(cls.strict), "proxy_protocol": True, "proxy_from": ["10.0.0.0/8"]},
                {"address": "unix:" + cls.unix, "proxy_protocol": True, "proxy_from": ["unix"]}]})
        status, text = cls.server.reload()
        if status != 0:
            raise AssertionError(text)

    def through(self, header, address=None):
        client = self.client(address or self.proxied)
        client.send(header)
        return client

    def test_the_address_of_the_header_is_the_client(self):
        for header in (proxy_v1("192.0.2.7"), proxy_v1("2001:db8::7"), proxy_v1("::ffff:192.0.2.7"),
                       proxy_v2("192.0.2.7"), proxy_v2("2001:db8::7"), proxy_v2("192.0.2.7", b"\4\0\3abc"),
                       proxy_v2("::ffff:192.0.2.7")):
            with self.subTest(header=header):
                client = self.through(header)
                self.assertEqual([self.private(client) for _ in range(3)], [200] * 3)
                self.assertEqual(self.private(client, target="/local/f"), 403)
        for header in (proxy_v1("203.0.113.1"), proxy_v2("2001:db9::7"), proxy_v1("127.0.0.1")):
            with self.subTest(header=header):
                self.assertEqual(self.private(self.through(header)), 403)

    def test_a_header_that_names_nobody_leaves_the_peer(self):
        for header in (b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN 192.0.2.7 192.0.2.7 1 2\r\n", V2 + b"\x20\0\0\0",
                       proxy_v2("192.0.2.7", command=0x20), V2 + b"\x21\0\0\0"):
            with self.subTest(header=header):
                client = self.through(header)
                self.assertEqual(self.private(client), 403)
                self.assertEqual(self.private(client, target="/local/f"), 200)

    def test_header_and_requests_in_one_segment(self):
        client = self.client(self.proxied)
        client.send(proxy_v1("192.0.2.7") + client.head("/private/f") * 2)
        self.assertEqual([client.response().status, client.response().status], [200, 200])

    def test_header_and_request_byte_by_byte(self):
        for header in (proxy_v1("192.0.2.7"), proxy_v2("192.0.2.7", b"\4\0\3abc")):
            client = self.client(self.proxied)
            for byte in header + client.head("/private/f"):
                client.send(bytes([byte]))
            self.assertEqual(client.response().status, 200)

    def test_without_a_header_nothing_is_served(self):
        for data in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"PROXY TCP4 192.0.2.7 192.0.2.7 1 2\nGET / HTTP/1.1\r\n",
                     b"PROXY TCP4 192.0.2.07 192.0.2.7 1 2\r\n", b"PROXY TCP5 192.0.2.7 192.0.2.7 1 2\r\n",
                     b"PROXY UNKNOWN " + b"x" * 100, V2 + b"\x22\0\0\0", V2 + b"\x21\x41\0\0", V2 + b"\x20\0\xff\xff"):
            with self.subTest(data=data):
                self.closed(self.through(data + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
        self.server.wait_status(lambda status: status["totals"]["proxy_refused"] >= 8)
        self.server.log.wait("proxy_refused")

    def test_who_is_not_in_proxy_from_is_refused(self):
        client = self.client(self.strict)
        try:
            client.send(proxy_v1("192.0.2.7") + client.head("/"))
        except (ConnectionResetError, BrokenPipeError):
            return
        self.closed(client)

    def test_elsewhere_a_header_is_a_bad_request(self):
        client = self.through(proxy_v1("192.0.2.7"), self.server.address)
        self.assertEqual(client.response().status, 400)

    def test_a_header_has_a_deadline(self):
        self.reload({"timeouts": {"proxy": "300ms"}})
        self.addCleanup(self.reload, {"timeouts": {}})
        for start in (b"", b"PROXY TCP4 192.0", V2):
            with self.subTest(start=start):
                self.closed(self.through(start))

    def test_a_second_header_is_no_request(self):
        client = self.through(proxy_v1("192.0.2.7") + proxy_v1("192.0.2.8"))
        self.assertEqual(client.response().status, 400)

    def test_a_unix_socket(self):
        self.assertEqual(self.private(self.through(proxy_v1("192.0.2.7"), self.unix)), 200)
        self.assertEqual(self.private(self.through(b"PROXY UNKNOWN\r\n", self.unix)), 403)


class ProxyReload(Rules):
    SETTINGS = {"log": {"access": "access.log", "access_format": "json"}}

    @classmethod
    def setUpClass(cls):
        pass

    def setUp(self):
        Rules.setUpClass.__func__(type(self))

    def test_through_reloads(self):
        """A connection keeps its client; the queue of an address that was removed is served by its old rules."""
        self.proxied = drover.free_address()
        listen = [{"address": drover.address_text(self.server.address)}]
        entry = {"address": drover.address_text(self.proxied), "proxy_protocol": True, "proxy_from": ["127.0.0.0/8"]}
        self.reload({"sites": [{"routes": self.routes}], "listen": listen + [entry]})
        client = self.client(self.proxied)
        client.send(proxy_v1("192.0.2.7") + client.head("/private/f"))
        self.assertEqual(client.response().status, 200)
        waiting = self.client(self.proxied)
        waiting.send(b"PROXY TCP4 192")
        self.reload({"listen": [entry] + listen})
        self.assertEqual(self.private(client), 200)
        self.reload({"listen": listen})
        self.assertEqual(self.private(client), 200)
        waiting.send(b".0.2.7 192.0.2.8 1 2\r\n")
        self.assertEqual(self.private(waiting), 200)
        client.close()
        waiting.close()
        entries = self.access_log()
        self.assertEqual([entry["client"] for entry in entries], ["192.0.2.7"] * 4)
        self.assertTrue(all(entry["peer"].startswith("127.") for entry in entries))


class Forwarded(Rules):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.proxied = drover.free_address()
        files = {"root": cls.server.site}
        cls.server.configure({
            "forwarded": {"from": ["127.0.0.0/8", "10.0.0.0/8", "unix"]},
            "sites": [{"routes": cls.routes + [
                {"match": "/moved", "redirect": {"to": "//www.example"}},
                {"match": "/denied", "deny": ["203.0.113.0/24"], "files": files}]}],
            "listen": [
                {"address": drover.address_text(cls.server.address)}, {"address": "unix:" + cls.unix},
                {"address": drover.address_text(cls.proxied), "proxy_protocol": True, "proxy_from": ["127.0.0.0/8"]}]})
        status, text = cls.server.reload()
        if status != 0:
            raise AssertionError(text)

    def test_the_last_address_that_is_no_proxy_is_the_client(self):
        client = self.client()
        for value, status in (("192.0.2.7", 200), ("203.0.113.7", 403), ("203.0.113.7, 192.0.2.7", 200),
                              ("192.0.2.7, 203.0.113.7", 403), ("192.0.2.7, 10.0.0.1, 127.0.0.1", 200),
                              ("2001:db8::7", 200), ("192.0.2.7:1234", 200), ("unknown", 403), ("10.0.0.1", 403),
                              ("192.0.2.7, unknown", 403), ("::ffff:192.0.2.7", 200)):
            with self.subTest(value=value):
                self.assertEqual(self.private(client, {"X-Forwarded-For": value}), status)
        self.assertEqual(self.private(client, [("X-Forwarded-For", "192.0.2.7"), ("X-Forwarded-For", "10.0.0.1")]), 200)
        self.assertEqual(self.private(client, {"Forwarded": "for=192.0.2.7"}), 403)
        self.assertEqual(self.private(client, target="/local/f"), 200)
        self.assertEqual(self.private(client, {"X-Forwarded-For": "unknown"}, target="/local/f"), 403)

    def test_who_is_denied_is_the_client(self):
        client = self.client()
        self.assertEqual(self.private(client, {"X-Forwarded-For": "203.0.113.7"}, target="/denied/f"), 403)
        self.assertEqual(self.private(client, {"X-Forwarded-For": "203.0.113.7, 192.0.2.7"}, target="/denied/f"), 200)

    def test_redirects_keep_the_scheme_of_the_client(self):
        client = self.client()
        for headers, scheme in (({}, "http"), ({"X-Forwarded-Proto": "https"}, "https"),
                                ({"X-Forwarded-Proto": "http"}, "http"), ({"X-Forwarded-Proto": "https, http"}, "http"),
                                ({"X-Forwarded-For": "192.0.2.7, 10.0.0.1", "X-Forwarded-Proto": "https, http"}, "https"),
                                ({"X-Forwarded-Proto": "javascript"}, "http"), ({"Forwarded": "proto=https"}, "http")):
            with self.subTest(headers=headers):
                location = client.request("/moved/a", headers).header("location")
                self.assertEqual(location, scheme + "://www.example/a")

    def test_by_a_unix_socket(self):
        client = self.client(self.unix)
        self.assertEqual(self.private(client, {"X-Forwarded-For": "192.0.2.7"}), 200)
        self.assertEqual(self.private(client), 403)

    def test_behind_the_proxy_protocol(self):
        """The header's word counts when the client that it names is itself a proxy, not because its sender is."""
        for source, status in (("10.0.0.1", 200), ("203.0.113.7", 403)):
            client = self.client(self.proxied)
            client.send(proxy_v1(source))
            self.assertEqual(self.private(client, {"X-Forwarded-For": "192.0.2.7"}), status)


class ForwardedSettings(Rules):
    SETTINGS = {"log": {"access": "access.log", "access_format": "json"}}

    @classmethod
    def setUpClass(cls):
        pass

    def setUp(self):
        Rules.setUpClass.__func__(type(self))

    def test_nobody_is_believed_by_default(self):
        self.reload({"sites": [{"routes": self.routes}]})
        client = self.client()
        self.assertEqual(self.private(client, {"X-Forwarded-For": "192.0.2.7"}), 403)
        self.reload({"forwarded": {"from": ["10.0.0.0/8"]}})
        self.assertEqual(self.private(client, {"X-Forwarded-For": "192.0.2.7"}), 403)
        self.reload({"forwarded": {"from": ["127.0.0.0/8"], "header": "off"}})
        self.assertEqual(self.private(client, {"X-Forwarded-For": "192.0.2.7"}), 403)
        self.reload({"forwarded": {"from": ["127.0.0.0/8"]}})
        self.assertEqual(self.private(client, {"X-Forwarded-For": "192.0.2.7"}), 200)

    def test_forwarded_of_rfc_7239(self):
        self.reload({"sites": [{"routes": self.routes}], "forwarded": {"from": ["127.0.0.0/8"], "header": "forwarded"}})
        client = self.client()
        for value, status in (("for=192.0.2.7", 200), ('for="[2001:db8::7]:80";proto=https', 200), ("for=_x", 403),
                              ("for=192.0.2.7, for=203.0.113.7", 403), ("for=192.0.2.7, for=127.0.0.1", 200)):
            with self.subTest(value=value):
                self.assertEqual(self.private(client, {"Forwarded": value}), status)
        self.assertEqual(self.private(client, {"X-Forwarded-For": "192.0.2.7"}), 403)
        self.assertEqual(self.private(client, {"Forwarded": 'for="192.0.2.7, for=192.0.2.8'}), 400)

    def test_the_access_log_has_client_and_peer(self):
        self.reload({"forwarded": {"from": ["127.0.0.0/8"]}})
        with self.server.client() as client:
            for value in ("192.0.2.7", "2001:db8::7", "nobody", ""):
                client.request("/f", {"X-Forwarded-For": value})
        entries = self.access_log()
        self.assertEqual([entry.get("client") for entry in entries], ["192.0.2.7", "2001:db8::7", "unknown", None])
        self.assertTrue(all(entry["peer"].startswith("127.") and entry["port"] for entry in entries))

    def test_an_ipv4_client_of_an_ipv6_socket_is_in_ipv4_networks(self):
        with socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True) as probe:
            host, port = drover.free_address()[0], probe.getsockname()[1]
        self.reload({"sites": [{"routes": self.routes}], "forwarded": {"from": ["127.0.0.0/8"]},
                     "listen": [{"address": drover.address_text(self.server.address)}, {"address": "*:%d" % port}]})
        client = self.client((host, port))
        self.assertEqual(self.private(client, target="/local/f"), 200)
        self.assertEqual(self.private(client), 403)
        self.assertEqual(self.private(client, {"X-Forwarded-For": "192.0.2.7"}), 200)


class Settings(unittest.TestCase):
    """What would believe anybody, or nobody, is refused."""

    def check(self, listen, more=""):
        directory = drover.temporary_directory()
        self.addCleanup(shutil.rmtree, directory)
        path = os.path.join(directory, "drover.conf")
        with open(path, "w", encoding="ascii") as file:
            file.write('listen = ( { %s } );\nsites = ( { routes = ( { match = "/"; respond = { }; } ); } );\n%s\n'
                       % (listen, more))
        os.chmod(path, 0o644)
        result = drover.run("-t", "-c", path)
        return result.returncode, result.stderr

    def test_bad_ones(self):
        tcp, local = 'address = "127.0.0.1:1";', 'address = "unix:/none/x";'
        for listen, more, words in (
                (tcp + "proxy_protocol = true;", "", r":1:\d+: proxy_protocol needs proxy_from"),
                (tcp + "proxy_protocol = true; proxy_from = [ ];", "", r":1:\d+: proxy_protocol needs proxy_from"),
                (tcp + 'proxy_from = [ "10.0.0.1" ];', "", r":1:\d+: proxy_from without proxy_protocol"),
                (tcp + 'proxy_protocol = true; proxy_from = [ "unix" ];', "", r":1:\d+: nobody who can connect"),
                (local + 'proxy_protocol = true; proxy_from = [ "10.0.0.1" ];', "", r":1:\d+: nobody who can connect"),
                (tcp + 'proxy_protocol = true; proxy_from = [ "proxy.example" ];', "", r":1:\d+: proxy_from: "),
                (tcp + 'proxy_protocol = "v2"; proxy_from = [ "10.0.0.1" ];', "", r":1:\d+: proxy_protocol: "),
                (tcp + 'keep_alive = "0";', "", r":1:\d+: keep_alive: too small"),
                (tcp + 'send = "2h";', "", r":1:\d+: send: too large"),
                (tcp, 'timeouts = { proxy = "0"; };', r":3:\d+: timeouts.proxy: too small"),
                (tcp, 'forwarded = { from = [ "10.0.0.1/8" ]; };', r":3:\d+: forwarded.from: "),
                (tcp, 'forwarded = { from = [ "example.org" ]; };', r":3:\d+: forwarded.from: "),
                (tcp, 'forwarded = { header = "x-real-ip"; };', r":3:\d+: forwarded.header: unknown value")):
            with self.subTest(listen=listen, more=more):
                status, text = self.check(listen, more)
                self.assertEqual(status, 2)
                self.assertRegex(text, words)

    def test_what_is_absent_is_not_printed(self):
        directory = drover.temporary_directory()
        self.addCleanup(shutil.rmtree, directory)
        path = os.path.join(directory, "drover.conf")
        with open(path, "w", encoding="ascii") as file:
            file.write('listen = ( { address = "127.0.0.1:1"; send = "1s"; } );\n'
                       'sites = ( { routes = ( { match = "/"; respond = { }; } ); } );\n')
        os.chmod(path, 0o644)
        listen = drover.run("-T", "-c", path).stdout.split("sites")[0].split("listen")[1]
        self.assertRegex(listen, r'send = "1s"; +# .*drover.conf:1:')
        self.assertNotIn("keep_alive", listen)


in_every_mode(globals(), OwnTimeouts, Proxy, ProxyReload, Forwarded, ForwardedSettings)

if __name__ == "__main__":
    unittest.main()
