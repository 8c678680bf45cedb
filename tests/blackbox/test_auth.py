"""Basic authentication: who is let in, what a change of the file of users does, and what guessing costs others."""

import base64
import ctypes
import json
import os
import random
import select
import socket
import unittest

import drover
from drover import Drover, deadline, left

crypt = ctypes.CDLL("libcrypt.so.1")
crypt.crypt.restype = crypt.crypt_gensalt.restype = ctypes.c_char_p
crypt.crypt_gensalt.argtypes = (ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p, ctypes.c_int)

FAST = "$2b$"  # at its lowest cost, 1 ms


def hash_of(password, method=FAST, cost=0):
    salt = crypt.crypt_gensalt(method.encode(), cost or (4 if method == FAST else 0), None, 0)
    return crypt.crypt(password.encode(), salt).decode()


def basic(user, password):
    text = "%s:%s" % (user, password)
    return ("Authorization", "Basic " + base64.b64encode(text.encode()).decode())


def users_text(**users):
    return "".join("%s:%s\n" % pair for pair in users.items())


class Served(unittest.TestCase):
    """A server whose site asks for bob, but at /free."""

    SETTINGS = {}

    def setUp(self):
        self.directory = drover.temporary_directory()
        self.addCleanup(os.rmdir, self.directory)
        self.users = os.path.join(self.directory, "users")
        self.addCleanup(lambda: os.path.lexists(self.users) and os.unlink(self.users))
        self.addCleanup(self.close)
        self.server = None

    def close(self):
        if self.server is not None:
            self.server.close()

    def write_users(self, text, rename=True):
        path = self.users + ".new" if rename else self.users
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, 0o644)
        if rename:
            os.rename(path, self.users)

    def serve(self, text=None, site=None, routes=(), **settings):
        self.write_users(users_text(bob=hash_of("secret")) if text is None else text)
        self.server = Drover()  # for its directories
        self.address = self.server.address
        every = [{"match": "/", "files": {"root": self.server.site}},
                 {"match": "/free", "auth": {"file": "off"}, "respond": {"body": "free"}},
                 {"match": "/status", "auth": {"file": "off"}, "status": {}}, *routes]
        self.server.configure({"workers": 1, "sites": [{"auth": {"file": self.users, "realm": "st\"aff"},
                                                        **(site or {}), "routes": every}], **settings})
        status, said = self.server.reload()
        self.assertEqual(status, 0, said)
        return self.server

    def get(self, user=None, password="", target="/", **more):
        return self.server.get(target, headers=[basic(user, password)] if user is not None else [], **more)

    def counter(self, name):
        counters = json.loads(self.server.get("/status").body)
        return counters["counters"][name]


class Auth(Served):
    def test_who_is_let_in(self):
        self.serve()
        answer = self.get("bob", "secret")
        self.assertEqual((answer.status, answer.body), (200, b"<p>hello\n"))
        self.assertIsNone(answer.header("www-authenticate"))
        for user, password in (("bob", "Secret"), ("bob", ""), ("bob", "secret "), ("Bob", "secret"), ("", "secret"),
                               ("ann", "secret"), ("", ""), ("bob", "x" * 511), ("bob", "x" * 512)):
            with self.subTest(user=user, password=password):
                self.assertEqual(self.get(user, password).status, 401)
        self.assertEqual(self.get().status, 401)
        self.assertEqual(self.get(target="/free").body, b"free")
        self.assertEqual(self.get("bob", "wrong", target="/free").body, b"free")

    def test_what_a_401_says(self):
        self.serve()
        client = self.server.client()
        self.addCleanup(client.close)
        for method in ("GET", "HEAD"):
            answer = client.request("/", method=method)
            self.assertEqual(answer.status, 401)
            self.assertEqual(answer.header("www-authenticate"), 'Basic realm="st\\"aff", charset="UTF-8"')
            self.assertFalse(answer.closes)
        self.assertEqual(client.request("/", [basic("bob", "secret")]).status, 200)

    def test_every_kind_of_hash(self):
        kinds = {"yescrypt": "$y$", "gost": "$gy$", "scrypt": "$7$", "bcrypt": "$2b$", "bcrypt-y": "$2y$",
                 "bcrypt-a": "$2a$", "sha512": "$6$", "sha256": "$5$", "md5": "$1$"}
        cheap = {"$7$": 6, "$2b$": 4, "$2y$": 4, "$2a$": 4}
        self.serve(users_text(**{name: hash_of("pw-" + name, method, cheap.get(method, 0))
                                 for name, method in kinds.items()}))
        for name in kinds:
            with self.subTest(name):
                self.assertEqual(self.get(name, "pw-" + name).status, 200)
                self.assertEqual(self.get(name, "pw-" + name + "x").status, 401)

    def test_utf8(self):
        self.serve(users_text(**{"j\u00fcrgen": hash_of("gr\u00fc\u00df:dich")}))
        self.assertEqual(self.get("j\u00fcrgen", "gr\u00fc\u00df:dich").status, 200)

    def test_methods(self):
        self.serve()
        for method in ("POST", "OPTIONS", "DELETE"):
            self.assertEqual(self.get(method=method).status, 401)
        self.assertEqual(self.get("bob", "secret", method="DELETE").status, 405)
        self.assertEqual(self.get("bob", "secret", method="OPTIONS").status, 200)
        self.assertEqual(self.get("bob", "secret", target="/none").status, 404)
        self.assertEqual(self.get(target="/none").status, 401)

    def test_what_is_no_field(self):
        self.serve()
        good = basic("bob", "secret")[1]
        for value, status in ((good.replace("Basic", "bASIC"), 200), (good.replace(" ", "   "), 200),
                              (good.replace(" ", "\t"), 401), (good.rstrip("="), 401), (good + "=", 401),
                              (good.replace("Basic", "Digest"), 401), ("Basic", 401), (good[6:], 401),
                              ("Basic " + base64.b64encode(b"bob:secret\0").decode(), 401)):
            with self.subTest(value):
                self.assertEqual(self.server.get("/", headers=[("Authorization", value)]).status, status)
        twice = [basic("bob", "secret"), basic("bob", "secret")]
        self.assertEqual(self.server.get("/", headers=twice).status, 400)

    def test_answers_come_in_order(self):
        self.serve()
        field = "%s: %s\r\n" % basic("bob", "secret")
        with self.server.client() as client:
            client.send("".join("GET %s HTTP/1.1\r\nHost: a\r\n%s\r\n" % pair for pair in
                                (("/", field), ("/free", ""), ("/", ""), ("/", field))).encode())
            self.assertEqual([client.response().status for _ in range(4)], [200, 200, 401, 200])

    def test_the_users_name_is_logged(self):
        path = os.path.join(self.directory, "access.log")
        self.addCleanup(os.unlink, path)
        with open(path, "w", encoding="ascii"):
            pass
        os.chmod(path, 0o666)
        self.serve(users_text(**{"bob": hash_of("secret"), "b \"b": hash_of("x")}), log={"access": path})
        for user, password in (("bob", "secret"), ("bob", "wrong"), ("b \"b", "x")):
            self.get(user, password)
        end = deadline()
        lines = []
        while len(lines) < 3:
            with open(path, encoding="ascii") as file:
                lines = file.read().splitlines()
            select.select([], [], [], min(0.01, left(end)))
        self.assertRegex(lines[0], r"^127\.\S+ - bob \[.*\" 200 ")
        self.assertRegex(lines[1], r"^127\.\S+ - - \[.*\" 401 ")
        self.assertRegex(lines[2], r'^127\.\S+ - "b \\x22b" \[.*" 200 ')

    def test_a_route_may_have_its_own(self):
        other = self.users + ".other"
        with open(other, "w", encoding="utf-8") as file:
            file.write(users_text(ann=hash_of("pw")))
        self.addCleanup(os.unlink, other)
        os.chmod(other, 0o644)
        self.serve(routes=[{"match": "/ann", "auth": {"file": other, "realm": "ann"}, "respond": {"body": "ann"}}])
        self.assertEqual(self.get("ann", "pw", target="/ann").body, b"ann")
        self.assertEqual(self.get("bob", "secret", target="/ann").header("www-authenticate"),
                         'Basic realm="ann", charset="UTF-8"')
        self.assertEqual(self.get("ann", "pw").status, 401)

    def wait_remembered(self):
        """Until a request costs no hash any more: a file must be two seconds old for that."""
        end = deadline()
        while True:
            before = self.counter("auth_hashes")
            self.assertEqual(self.get("bob", "secret").status, 200)
            if self.counter("auth_hashes") == before:
                return
            left(end)

    def test_what_was_right_is_remembered_until_the_file_changes(self):
        self.serve()
        self.wait_remembered()
        before = self.counter("auth_hashes")
        for _ in range(20):
            self.assertEqual(self.get("bob", "secret").status, 200)
        self.assertEqual(self.counter("auth_hashes"), before)
        self.assertEqual(self.get("bob", "secret2").status, 401)
        self.write_users(users_text(bob=hash_of("new")))
        self.assertEqual(self.get("bob", "secret").status, 401)
        self.assertEqual(self.get("bob", "new").status, 200)
        self.write_users(users_text(bob=hash_of("old")), rename=False)
        self.assertEqual(self.get("bob", "new").status, 401)
        self.assertEqual(self.get("bob", "old").status, 200)
        self.write_users("")
        self.assertEqual(self.get("bob", "old").status, 401)

    def test_what_was_right_is_remembered_over_a_reload(self):
        self.serve()
        self.wait_remembered()
        before = self.counter("auth_hashes")
        self.assertEqual(self.server.reload()[0], 0)
        self.assertEqual(self.get("bob", "secret").status, 200)
        self.assertEqual(self.counter("auth_hashes"), before)

    def test_a_change_within_the_same_tick_counts(self):
        """What was just written could be written again without another time or length."""
        self.serve()
        one, other = (users_text(bob=hash_of(password)) for password in ("one", "two"))
        self.assertEqual(len(one), len(other))
        for _ in range(20):
            self.write_users(one, rename=False)
            self.assertEqual(self.get("bob", "one").status, 200)
            self.write_users(other, rename=False)
            self.assertEqual(self.get("bob", "one").status, 401)
            self.assertEqual(self.get("bob", "two").status, 200)

    def test_a_file_that_breaks_while_it_is_used(self):
        self.serve()
        log = self.server.log
        breaks = {
            "missing": lambda: os.unlink(self.users),
            "line": lambda: self.write_users("bob\n"),
            "fifo": lambda: (os.unlink(self.users), os.mkfifo(self.users)),
            "closed": lambda: (os.unlink(self.users), self.write_users("x:*"), os.chmod(self.users, 0)),
        }
        for name, make in breaks.items():
            with self.subTest(name):
                make()
                self.assertEqual(self.get("bob", "secret").status, 500)
                self.assertEqual(self.get().status, 401)
                self.assertEqual(self.get(target="/free").status, 200)
        self.assertIn(self.users, log.wait("auth_file_failed").fields["error"])
        self.write_users(users_text(bob=hash_of("again")))
        self.assertEqual(self.get("bob", "again").status, 200)

    def test_a_stop_waits_for_the_verdict(self):
        self.serve(users_text(bob=hash_of("secret", cost=11)))
        with self.server.client() as client:
            client.send(client.head("/", [basic("bob", "secret")]))
            self.server.log.wait("reload_done")
            self.server.kill(15)
            self.assertEqual(client.response().status, 200)
        self.assertEqual(self.server.wait_exit(), 0)


class Credential(Served):
    """The file of users is one that the service manager passed."""

    def settings(self, name="users"):
        return {"workers": 1, "sites": [{"auth": {"file": "credential:" + name},
                                         "routes": [{"match": "/", "respond": {"body": "in"}}]}]}

    def test_who_is_let_in(self):
        self.write_users(users_text(bob=hash_of("secret")))
        self.server = Drover(self.settings(), env={**os.environ, "CREDENTIALS_DIRECTORY": self.directory})
        self.assertEqual(self.get().status, 401)
        self.assertEqual(self.get("bob", "wrong").status, 401)
        self.assertEqual(self.get("bob", "secret").body, b"in")
        self.server.configure(self.settings("gone"))
        status, said = self.server.reload()
        self.assertNotEqual(status, 0)
        self.assertRegex(said, r":\d+:\d+: auth\.file: credential:gone: there is no credential of that name")
        self.assertEqual(self.get("bob", "secret").body, b"in")

    def test_without_any(self):
        """It does not start, and says where it is written and what is missing."""
        self.server = Drover(self.settings(), wait=False, env={
            name: value for name, value in os.environ.items() if name != "CREDENTIALS_DIRECTORY"})
        self.assertEqual(self.server.wait_exit(), 2)
        self.server.log.thread.join(drover.DEADLINE)
        self.assertRegex(self.server.log.text(), r":\d+:\d+: auth\.file: credential:users: drover was passed no "
                                                 r"credentials .*LoadCredential=users:PATH")


class Check(Served):
    def check(self, text, auth=None, site=None):
        self.write_users(text)
        path = os.path.join(self.directory, "drover.conf")
        settings = {"listen": [{"address": "127.0.0.1:1"}], "control": "off",
                    "sites": [{**({"auth": site} if site else {}),
                               "routes": [{"match": "/", **({"auth": auth} if auth else {}),
                                           "respond": {"body": "x"}}]}]}
        with open(path, "w", encoding="utf-8") as file:
            file.write(drover.render(settings).replace("@LINE@", "\\n"))
        result = drover.run("-t", "--offline", "-c", path)
        os.unlink(path)
        return result.returncode, result.stderr.replace(path, "CONF").replace(self.users, "USERS")

    def test_a_file_that_is_right(self):
        status, said = self.check(users_text(bob=hash_of("x"), eve="*"), auth={"file": "users", "realm": "r"})
        self.assertEqual(status, 0, said)

    def test_a_file_that_is_wrong(self):
        good = users_text(bob=hash_of("x"))
        for text, what in ((good + "ann:secret\n", "USERS:2: no hash that crypt(3) takes"),
                           (good + "\n\n" + good, "USERS:4: the user is there already"),
                           (good + "ann", "USERS:2: no colon"),
                           ("ann:$apr1$o1pRa5lh$v4EBTiLrAmzxlJtvDsqQ91\n", "USERS:1: no hash that crypt(3) takes")):
            with self.subTest(what):
                status, said = self.check(text, auth={"file": self.users})
                self.assertEqual(status, 2, said)
                self.assertRegex(said, r"CONF:\d+:\d+: .*site \(default\), route /: auth\.file: ")
                self.assertIn(what, said)

    def test_a_file_that_is_missing(self):
        status, said = self.check("", site={"file": self.users + "2"})
        self.assertEqual(status, 2)
        self.assertRegex(said, r"CONF:\d+:\d+: .*auth\.file: USERS2: No such file or directory")

    def test_a_file_that_workers_may_not_read(self):
        closed = self.users + ".closed"
        with open(os.open(closed, os.O_CREAT | os.O_WRONLY, 0), "w", encoding="ascii") as file:
            file.write(users_text(bob="*"))
        self.addCleanup(os.unlink, closed)
        status, said = self.check("", site={"file": closed})
        self.assertEqual(status, 2)
        self.assertRegex(said, r"USERS\.closed: Permission denied \(workers read it as uid \d+\)")

    def test_a_credential(self):
        """Resolved where the service reads it; a shell, which has none, is told that it was not looked at."""
        self.write_users(users_text(bob=hash_of("x")))
        path = os.path.join(self.directory, "drover.conf")
        self.addCleanup(os.unlink, path)

        def ask(name, *words, directory=None):
            with open(path, "w", encoding="utf-8") as file:
                file.write(drover.render({"listen": [{"address": "127.0.0.1:1"}], "control": "off", "sites": [
                    {"auth": {"file": "credential:" + name}, "routes": [{"match": "/", "respond": {"body": "x"}}]}]}))
            env = {name: value for name, value in os.environ.items() if name != "CREDENTIALS_DIRECTORY"}
            result = drover.run(*words, "-c", path,
                                env={**env, **({"CREDENTIALS_DIRECTORY": directory} if directory else {})})
            return result.returncode, result.stdout, result.stderr

        status, out, said = ask("users", "-T", directory=self.directory)
        self.assertEqual(status, 0, said)
        self.assertRegex(out, r'file = "%s"; +# %s:\d+:\d+' % (self.users, path))
        status, out, said = ask("users", "-T")
        self.assertEqual(status, 0, said)
        self.assertIn('# auth.file = "credential:users" is not looked at: $CREDENTIALS_DIRECTORY', out)
        self.assertRegex(out, 'file = "credential:users"; ')
        status, out, said = ask("users", "-t", "--offline")
        self.assertEqual(status, 0, said)
        self.assertIn('auth.file = "credential:users" is not looked at', said)
        self.write_users("bob:secret\n")
        status, out, said = ask("users", "-t", "--offline", directory=self.directory)
        self.assertEqual(status, 2, out)
        self.assertRegex(said, r"%s:\d+:\d+: .*%s:1: no hash" % (path, self.users))
        status, out, said = ask("other", "-t", "--offline", directory=self.directory)
        self.assertEqual(status, 2, out)
        self.assertRegex(said, r"%s:\d+:\d+: auth\.file: credential:other: there is no credential of that name in %s:"
                               r" LoadCredential=other:PATH" % (path, self.directory))
        for name in ("", ".", "..", "a/b", "../" + os.path.basename(self.directory) + "/users", "x" * 300):
            for directory in (None, self.directory):
                status, out, said = ask(name, "-t", "--offline", directory=directory)
                self.assertEqual(status, 2, name)
                self.assertRegex(said, r"%s:\d+:\d+: auth\.file: .*the name of a credential, without a slash" % path)

    def test_a_realm_without_a_file(self):
        for where in ("auth", "site"):
            status, said = self.check("", **{where: {"realm": "x"}})
            self.assertEqual(status, 2)
            self.assertRegex(said, r"CONF:\d+:\d+: .*auth\.realm without auth\.file")

    def test_a_realm_that_would_end_its_line(self):
        status, said = self.check("", auth={"file": self.users, "realm": "a@LINE@X: y"})
        self.assertEqual(status, 2)
        self.assertIn("a realm has no control characters", said)

    def test_a_reload_with_a_wrong_file_changes_nothing(self):
        self.serve()
        self.write_users("bob:x\n")
        status, said = self.server.reload()
        self.assertNotEqual(status, 0)
        self.assertIn("%s:1: no hash" % self.users, said)
        self.assertEqual(self.get(target="/free").status, 200)


class Flood(Served):
    """Guesses at a hash that takes long, from many addresses."""

    def setUp(self):
        super().setUp()
        self.path = os.path.join(self.directory, "access.log")
        with open(self.path, "w", encoding="ascii"):
            pass
        os.chmod(self.path, 0o666)
        self.addCleanup(os.unlink, self.path)
        self.serve(users_text(bob=hash_of("secret", cost=12)), log={"access": self.path},
                   forwarded={"from": ["127.0.0.0/8"]})

    def guess(self, number, source=None, client=""):
        """A connection that has sent a guess, from an address of its own or for the client."""
        guesser = socket.socket()
        self.addCleanup(guesser.close)
        guesser.bind((source or "127.%d.%d.%d" % (100 + number, random.randint(0, 250), random.randint(2, 250)), 0))
        guesser.settimeout(drover.DEADLINE)
        guesser.connect(self.address)
        name, value = basic("bob", "guess %d" % number)
        guesser.sendall(("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Forwarded-For: %s\r\n%s: %s\r\n\r\n" %
                         (client, name, value)).encode())
        return guesser

    def status_of(self, guesser):
        """Its answer's status; and it is not waiting any more."""
        return int(guesser.recv(64)[9:12])

    def lines(self):
        with open(self.path, encoding="ascii") as file:
            return [line for line in file if "/free" in line]

    def waiting(self, guessers):
        return len(guessers) - len(select.select(guessers, [], [], 0)[0])

    def wait_refused(self, guessers):
        """Until one of them has got 503."""
        end = deadline()
        waiting = list(guessers)
        while self.counter("tasks_refused") == 0:
            left(end)
        while True:
            for guesser in select.select(waiting, [], [], left(end))[0]:
                if self.status_of(guesser) == 503:
                    return
                waiting.remove(guesser)

    def test_others_are_served_meanwhile(self):
        guessers = [self.guess(number) for number in range(24)]
        for _ in range(20):
            self.assertEqual(self.get(target="/free").status, 200)
        end = deadline()
        while len(self.lines()) < 20:
            select.select([], [], [], min(0.01, left(end)))
        self.assertGreater(self.waiting(guessers), 0)
        for guesser in guessers:  # and what nobody waits for is not computed
            guesser.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            guesser.close()
        self.assertEqual(self.get("bob", "secret").status, 200)
        self.assertLess(self.counter("auth_hashes"), 20)

    def test_the_loop_hashes_nothing(self):
        for number in range(4):
            self.assertEqual(self.get("bob", "guess %d" % number).status, 401)
        [worker] = self.server.workers().values()
        ticks = {}
        for task in os.listdir("/proc/%d/task" % worker):
            with open("/proc/%d/task/%s/stat" % (worker, task), encoding="ascii") as file:
                ticks[int(task)] = int(file.read().rsplit(")", 1)[1].split()[11])
        loop = ticks.pop(worker)
        self.assertLess(loop, sum(ticks.values()) / 2)

    def test_one_client_cannot_take_all_places(self):
        guessers = [self.guess(number, "127.99.1.1") for number in range(12)]
        self.wait_refused(guessers)
        self.assertEqual(self.get("bob", "secret").status, 200)

    def test_clients_of_ipv4_are_told_apart_on_ipv6_sockets(self):
        guessers = [self.guess(number, client="::ffff:192.0.2.1") for number in range(12)]
        self.wait_refused(guessers)
        other = ("X-Forwarded-For", "::ffff:192.0.2.2")
        self.assertEqual(self.server.get(headers=[basic("bob", "secret"), other]).status, 200)

    def test_there_are_so_many_places(self):
        guessers = [self.guess(number) for number in range(40)]
        self.wait_refused(guessers)
        self.assertGreater(self.waiting(guessers), 0)


del Served  # only the classes that are made of it are tests

if __name__ == "__main__":
    unittest.main()
