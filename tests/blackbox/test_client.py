"""Whom a connection belongs to: what its listener says of it, and who is behind whatever forwards requests."""

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
        slow, quick = self.client(), self.client(self.quick)
        for client in (slow, quick):
            self.assertEqual(client.request("/").status, 200)
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
        client = drover.Client(self.quick, receive_buffer=16384)
        self.addCleanup(client.close)
        client.send(client.head("/large"))
        self.server.wait_status(lambda status: status["totals"]["timeouts"] >= 1)

    def test_connections_follow_their_listener_through_reloads(self):
        """By its address: whichever entry that is, a connection from before has the new rules at once."""
        self.listen()
        quick = self.client(self.quick)
        self.assertEqual(quick.request("/").status, 200)
        self.reload({"listen": self.others + [{"address": drover.address_text(self.quick), "keep_alive": "200ms"}]})
        self.assertTrue(quick.at_end())

    def test_connections_of_a_listener_that_was_removed(self):
        """They stay, and go by timeouts."""
        self.listen(keep_alive="50s")
        client = self.client(self.quick)
        self.assertEqual(client.request("/").status, 200)
        self.reload({"listen": self.others})
        self.assertEqual(client.request("/").status, 200)
        self.reload({"listen": self.others, "timeouts": {"keep_alive": "200ms"}})
        self.addCleanup(self.reload, {"timeouts": self.SETTINGS["timeouts"]})
        self.assertTrue(client.at_end())


in_every_mode(globals(), OwnTimeouts)

if __name__ == "__main__":
    unittest.main()
