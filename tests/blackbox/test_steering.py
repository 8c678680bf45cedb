"""Who gets a new connection: the modes in which the kernel is told, and what an operator sees of it."""

import os
import signal
import unittest

from drover import Drover

CPUS = sorted(os.sched_getaffinity(0))


class Steering(unittest.TestCase):
    def start(self, settings=None, **more):
        server = Drover(settings or {}, **more)
        self.addCleanup(server.close)
        return server

    def reload(self, server, settings=None, *args):
        server.configure(settings or {})
        status, text = server.reload(*args)
        self.assertEqual(status, 0, text + "\n" + server.log.text())


class Cpu(Steering):
    def assert_bound(self, server, to=lambda slot: {CPUS[slot % len(CPUS)]}):
        for slot, pid in server.workers().items():
            self.assertEqual(os.sched_getaffinity(pid), to(slot), "slot %d" % slot)

    def assert_free(self, server):
        self.assert_bound(server, lambda slot: set(CPUS))

    def test_each_worker_runs_on_its_cpu(self):
        server = self.start({"accept": "cpu", "workers": 3})
        self.assert_bound(server)
        self.assertEqual(os.sched_getaffinity(server.pid), set(CPUS))
        self.assertEqual(server.get().status, 200)

    def test_the_mask_of_the_master_counts(self):
        server = self.start({"accept": "cpu"}, preexec=lambda: os.sched_setaffinity(0, CPUS[-1:]))
        self.assert_bound(server, lambda slot: {CPUS[-1]})

    def test_a_live_reload_binds_and_unbinds(self):
        server = self.start({"accept": "reuseport"})
        before = server.workers()
        self.assert_free(server)
        for _ in range(2):
            self.reload(server, {"accept": "cpu"})
            self.assert_bound(server)
            self.reload(server, {"accept": "reuseport"})
            self.assert_free(server)
        self.assertEqual(server.workers(), before)

    def test_workers_that_follow_are_bound_too(self):
        server = self.start({"accept": "cpu"})
        self.reload(server, {}, "--replace")
        self.assert_bound(server)
        pid = server.workers()[1]
        os.kill(pid, signal.SIGKILL)
        server.wait_status(lambda status: server.workers(status).get(1, pid) != pid)
        self.assert_bound(server)


if __name__ == "__main__":
    unittest.main()
