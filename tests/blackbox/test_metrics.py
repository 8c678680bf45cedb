"""What workers measure stays: over reloads, deaths, replacements and upgrades no sum falls, and all are exact."""

import json
import os
import signal
import threading
import unittest

import drover
import openmetrics
from drover import Drover
from test_crash import OWN_FAULTS

ROUNDS = 5      # requests of each kind, between two events


class Lasting(unittest.TestCase):
    """The status is asked for at another site, so that nothing but the test's own requests is in the row."""

    def setUp(self):
        self.settings = {"workers": 2, "sites": [
            {"hosts": ["a.example", "b.example"],
             "routes": [{"match": "/", "respond": {"body": "hello\n"}},
                        {"match": "/gone", "respond": {"status": 410, "body": "gone\n"}}]},
            {"routes": [{"match": "/status", "status": {}}]}]}
        self.server = Drover(self.settings)
        self.addCleanup(self.server.close)
        self.asked = 0
        self.bytes = 0
        self.before = {}

    def ask(self, target, status, close):
        with self.server.client() as client:
            client.send(client.head(target, host="a.example", close=close))
            answer = client.response()
            self.assertEqual(answer.status, status)
            return answer

    def ask_all(self):
        for _ in range(ROUNDS):
            for target, status in (("/", 200), ("/gone", 410)):
                self.ask(target, status, close=True)
        self.asked += ROUNDS

    def status(self):
        return json.loads(self.server.get("/status/json").body)

    def row(self, status):
        rows = [site for site in status["sites"] if site["name"] == "a.example"]
        self.assertEqual(len(rows), 1)
        return rows[0]

    def check_nothing_fell(self, status):
        row = self.row(status)
        now = {"latency": sum(row["latency"]), "bytes": row["bytes"], "duration": row["duration_ns"],
               **row["requests"],
               **{"slot %d %s" % (slot["slot"], name): slot["counters"][name] for slot in status["slots"]
                  for name in ("requests", "accepted", "bytes_sent")},
               **{"slot %d turns" % slot["slot"]: slot["turns"]["count"] for slot in status["slots"]},
               **{name: status["counters"][name] for name in ("requests", "accepted", "status_2xx", "bytes_sent")}}
        for name, value in self.before.items():
            self.assertGreaterEqual(now[name], value, name)
        self.before = now

    def check(self):
        """Until the last answer is measured: its client may have it before."""
        end = drover.deadline()
        while True:
            status = self.status()
            self.check_nothing_fell(status)
            row = self.row(status)
            if row["requests"]["2xx"] + row["requests"]["4xx"] == 2 * self.asked:
                break
            drover.left(end)
        self.assertEqual(row["requests"], {"1xx": 0, "2xx": self.asked, "3xx": 0, "4xx": self.asked, "5xx": 0})
        self.assertEqual(sum(row["latency"]), 2 * self.asked)
        self.assertGreater(row["duration_ns"], 0)

    def event(self, act):
        self.ask_all()
        self.check()
        act()
        self.ask_all()
        self.check()

    def reload(self, *args):
        status, said = self.server.reload(*args)
        self.assertEqual(status, 0, said)

    def kill(self):
        before = self.server.workers()
        os.kill(before[0], signal.SIGKILL)
        self.server.wait_status(lambda status: len(self.server.workers(status)) == 2
                                and self.server.workers(status)[0] != before[0])

    def upgrade(self):
        result = self.server.ctl("upgrade")
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def other_sites(self):
        """Rows are not given to others by a reload that takes sites away, or fails."""
        self.server.configure({**self.settings, "sites": [{"hosts": ["new.example"], "routes": [
            {"match": "/", "respond": {"body": "new\n"}}]}] + self.settings["sites"][1:]})
        self.reload()
        self.check_nothing_fell(self.status())
        self.server.configure(self.settings)
        self.reload()

    def test_a_reload(self):
        self.event(self.reload)

    def test_a_site_that_goes_and_comes_back(self):
        self.event(self.other_sites)

    def test_a_worker_is_killed(self):
        self.event(self.kill)

    def test_all_are_replaced(self):
        self.event(lambda: self.reload("--replace"))

    def test_an_upgrade(self):
        self.event(self.upgrade)

    def test_one_after_the_other(self):
        for act in (self.kill, self.upgrade, self.other_sites, lambda: self.reload("--replace"), self.kill):
            self.event(act)


class Scraped(unittest.TestCase):
    """What Prometheus sees: a counter that falls is a restart to it, and what is left counts as new."""

    def setUp(self):
        self.server = Drover({"workers": 2, "sites": [
            {"hosts": ["a.example"], "routes": [{"match": "/", "respond": {"body": "hello\n"}}]},
            {"routes": [{"match": "/status", "status": {}}]}]})
        self.addCleanup(self.server.close)
        self.before = {}
        self.fell = []
        self.scrapes = 0
        self.ended = threading.Event()

    def scrape(self):
        """A worker that is killed may be the one that was asked: that scrape is lost, as it is for anybody."""
        try:
            text = self.server.get("/status/metrics").body.decode()
        except (OSError, drover.Closed):
            return
        for family in openmetrics.read(text).values():
            if family.type not in ("counter", "histogram"):
                continue
            for key, value in family.samples.items():
                if value < self.before.get(key, 0):
                    self.fell.append((key, self.before[key], value))
                self.before[key] = value
        self.scrapes += 1

    def scrape_on(self):
        while not self.ended.is_set():
            self.scrape()

    def wait_scraped(self):
        wanted = self.scrapes + 3
        end = drover.deadline()
        while self.scrapes < wanted:
            drover.left(end)
            with self.server.client() as client:    # and there is something to count
                try:
                    client.send(client.head("/", host="a.example", close=True))
                    client.response()
                except (OSError, drover.Closed):
                    pass

    def kill(self, slot):
        before = self.server.workers()
        os.kill(before[slot], signal.SIGKILL)
        self.server.wait_status(lambda status: self.server.workers(status).get(slot, before[slot]) != before[slot])

    def test_no_counter_falls_whatever_happens_to_workers(self):
        scraper = threading.Thread(target=self.scrape_on)
        scraper.start()
        try:
            for act in (lambda: self.kill(0), lambda: self.server.reload("--replace"), lambda: self.kill(1),
                        lambda: self.server.ctl("upgrade"), lambda: self.kill(0), self.server.reload):
                self.wait_scraped()
                act()
            self.wait_scraped()
        finally:
            self.ended.set()
            scraper.join()
        self.assertEqual(self.fell, [])


class Deaths(unittest.TestCase):
    """Workers that died, by slot and why; nothing that is done to the service takes a number away."""

    REASONS = ("crashed", "killed", "exited", "hung")
    SITES = [{"routes": [{"match": "/status", "status": {}}, {"match": "/trouble", "trouble": {}}]}]

    def start(self, settings, **more):
        server = Drover({"sites": self.SITES, **settings}, program=drover.AIDED, env=OWN_FAULTS, **more)
        self.addCleanup(server.close)
        return server

    def counts(self, server):
        """By slot and reason, those that are not 0; and stalls by slot."""
        families = openmetrics.read(server.get("/status/metrics").body)
        deaths = {tuple(dict(labels)[name] for name in ("slot", "reason")): value
                  for (_, labels), value in families["drover_worker_deaths"].samples.items()}
        stalls = {dict(labels)["slot"]: value for (_, labels), value in families["drover_worker_stalls"].samples.items()}
        self.assertEqual({reason for _, reason in deaths}, set(self.REASONS))
        return {key: value for key, value in deaths.items() if value}, stalls

    def end(self, server, slot, act):
        """Lets the slot's worker die, and waits for who follows."""
        pid = server.workers()[slot]
        act(pid)
        server.log.wait("worker_exited", pid=pid)
        server.wait_status(lambda status: server.workers(status).get(slot, pid) != pid)

    def hang(self, server, pid):
        """It is not noticed before somebody comes to it."""
        drover.stop(pid)
        when = drover.deadline()
        while not server.log.find("worker_exited", pid=str(pid)):
            self.assertEqual(server.get("/status/json").status, 200)
            drover.left(when)

    def leave(self, server):
        """Whoever was asked ends by itself; its slot."""
        before = server.workers()
        with server.client() as client:
            client.send(client.head("/trouble?crash=exit"))
            client.at_end()
        pid = int(server.log.wait("worker_exited", how="exit").fields["pid"])
        slot, = (slot for slot, worker in before.items() if worker == pid)
        server.wait_status(lambda status: server.workers(status).get(slot, pid) != pid)
        return slot

    def test_each_is_counted_where_and_why_it_died_and_no_count_is_ever_lost(self):
        server = self.start({"workers": 2, "timeouts": {"hang_kill": "1s"}}, own=True)
        self.assertEqual(self.counts(server)[0], {})
        self.end(server, 0, lambda pid: drover.strike(pid, signal.SIGSEGV))
        self.end(server, 1, lambda pid: os.kill(pid, signal.SIGKILL))
        self.end(server, 1, lambda pid: os.kill(pid, signal.SIGKILL))
        left = str(self.leave(server))
        self.end(server, 0, lambda pid: self.hang(server, pid))
        wanted = {("0", "crashed"): 1, ("1", "killed"): 2, ("0", "hung"): 1, (left, "exited"): 1}
        deaths, stalls = self.counts(server)
        self.assertEqual(deaths, wanted)
        self.assertGreaterEqual(stalls["0"], 1)
        said = server.ctl("status").stdout
        self.assertRegex(said, r"(?m)^trouble: workers_crashed 1, workers_killed 2, workers_exited 1, workers_hung 1")
        self.assertIn(" lost, 5 workers died\n", server.ctl("top", "--once").stdout)
        for act in (server.reload, lambda: server.reload("--replace"), lambda: self.workers(server, 1),
                    lambda: self.workers(server, 3), lambda: server.ctl("upgrade")):
            act()
            server.wait_status(lambda status: len(server.workers(status)) == len(status["slots"]))
            now, _ = self.counts(server)
            # of a slot that is not there any more nothing is shown until it is again
            self.assertEqual(now, {key: value for key, value in wanted.items()
                                   if int(key[0]) < len(server.workers())})

    def workers(self, server, count):
        server.configure({"workers": count})
        self.assertEqual(server.reload()[0], 0)

    def test_who_was_made_for_a_reload_that_fails_has_not_died(self):
        settings = {"workers": 1, "timeouts": {"prepare": "500ms", "hang_kill": "0"}}
        server = self.start(settings)
        pid = server.workers()[0]
        drover.stop(pid)
        self.addCleanup(drover.go_on, pid)
        server.configure({**settings, "sites": self.SITES, "workers": 3})
        self.assertIn("did not say READY", server.reload()[1])
        server.log.wait("worker_exited", how="KILL", count=2)
        drover.go_on(pid)
        self.assertEqual(self.counts(server)[0], {})
        events = json.loads(server.get("/status/json").body)["events"]
        self.assertNotIn("crash", {event["kind"] for event in events})
        self.assertNotIn("last_death", json.dumps(server.status()))


class Rows(unittest.TestCase):
    def sites(self, count, first=0):
        return [{"hosts": ["s%d.example" % i], "routes": [{"match": "/", "respond": {"body": "x"}}]}
                for i in range(first, first + count)] + [{"routes": [{"match": "/status", "status": {}}]}]

    def names(self, server):
        return [site["name"] for site in json.loads(server.get("/status/json").body)["sites"]]

    def test_what_finds_no_row_is_said_and_measured_together(self):
        with Drover({"workers": 1, "sites": self.sites(40)}) as server:
            server.log.wait("sites_measured_together", sites="10", at_most="31")
            with server.client() as client:
                client.send(client.head("/", host="s39.example"))
                self.assertEqual(client.response().status, 200)
            sites = {site["name"]: site for site in json.loads(server.get("/status/json").body)["sites"]}
            self.assertEqual(len(sites), 32)
            self.assertNotIn("s39.example", sites)
            self.assertGreaterEqual(sites["(other)"]["requests"]["2xx"], 1)

    def test_a_check_and_a_reload_that_fails_use_up_none(self):
        with Drover({"workers": 1, "sites": self.sites(3)}) as server:
            known = self.names(server)
            server.configure({"workers": 1, "sites": self.sites(10, first=50)})
            self.assertEqual(server.ctl("check").returncode, 0)
            self.assertEqual(self.names(server), known)
            server.configure({"workers": 1, "sites": self.sites(2)})
            self.assertEqual(server.reload()[0], 0)
            self.assertEqual(self.names(server), known)


if __name__ == "__main__":
    unittest.main()
