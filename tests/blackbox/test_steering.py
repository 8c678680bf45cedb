"""Who gets a new connection: the modes in which the kernel is told, and what an operator sees of it."""

import ctypes
import errno
import mmap
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import unittest

import drover
from drover import Client, Drover

sys.path.append(os.path.join(drover.TOP, "tests", "loss"))

import clients  # noqa: E402  (the path comes first)

CPUS = sorted(os.sched_getaffinity(0))
CAN_STEER = os.geteuid() == 0
CAP_SYS_ADMIN, CAP_BPF = 21, 39
PR_CAPBSET_DROP = 24
PIDFD_GETFD = 438
SO_DETACH_REUSEPORT_BPF = 68
SLOTS, LINES, LINE_BYTES = 1024, 2048, 64       # of net/hot.h
# each of the 12 changes between two modes, once
ALL_CHANGES = ("directed", "reuseport", "directed", "cpu", "directed", "shared", "reuseport", "cpu", "reuseport",
               "shared", "cpu", "shared", "directed")

libc = ctypes.CDLL(None, use_errno=True)


def without_bpf():
    """In the child: what it executes can load no program, root or not."""
    for capability in (CAP_BPF, CAP_SYS_ADMIN):
        if libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 and CAN_STEER:
            os._exit(1)


class Hot:
    """The hot lines of a daemon, which the kernel's program reads."""

    def __init__(self, server):
        for name in os.listdir("/proc/%d/fd" % server.pid):
            try:
                with open("/proc/%d/fdinfo/%s" % (server.pid, name), encoding="ascii") as file:
                    info = dict(line.split(":\t", 1) for line in file.read().splitlines() if ":\t" in line)
            except FileNotFoundError:   # closed meanwhile
                continue
            if (info.get("value_size"), info.get("max_entries")) == (str(LINE_BYTES), str(1 + SLOTS + LINES)):
                break
        else:
            raise AssertionError("no map of hot lines")
        fd = libc.syscall(PIDFD_GETFD, server.pidfd, int(name), 0)
        if fd < 0:
            raise OSError(ctypes.get_errno(), "pidfd_getfd")
        size = -(-LINE_BYTES * (1 + SLOTS + LINES) // mmap.PAGESIZE) * mmap.PAGESIZE
        self.memory = mmap.mmap(fd, size, prot=mmap.PROT_READ)
        os.close(fd)

    def seat(self, slot):
        """(line, good, how many connections the program chose it for)"""
        return struct.unpack_from("IIQ", self.memory, LINE_BYTES * (1 + slot))

    def good(self):
        return [slot for slot in range(SLOTS) if self.seat(slot)[1]]

    def directed(self, count):
        return [self.seat(slot)[2] for slot in range(count)]


def is_attached(one):
    """Has the group of the socket had a program?  It has none then."""
    try:
        one.setsockopt(socket.SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, 0)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return False
        raise
    return True


class Steering(unittest.TestCase):
    """As root: without CAP_BPF there is nothing to see, and a test of it fails."""

    def start(self, settings=None, **more):
        server = Drover({"accept": "directed", **(settings or {})}, **more)
        self.addCleanup(server.close)
        return server

    def reload(self, server, settings=None, *args):
        server.configure(settings or {})
        status, text = server.reload(*args)
        self.assertEqual(status, 0, text + "\n" + server.log.text())

    def connect(self, server, count, address=None):
        """Connections that stay, and had an answer each."""
        found = [Client(address or server.address) for _ in range(count)]
        for client in found:
            self.addCleanup(client.close)
            self.assertEqual(client.request("/").status, 200)
        return found

    def accepted(self, server):
        """By slot, of those that serve."""
        return {worker["slot"]: worker["counters"]["accepted"] for worker in server.status()["workers"]
                if worker["state"] == "serving"}

    def undisturbed(self, server, count):
        """By slot, who accepted so many connections, while nobody had to accept for another one."""
        end = drover.deadline()
        while True:
            before, rescued = self.accepted(server), server.status()["totals"]["rescued"]
            self.connect(server, count)
            after = self.accepted(server)
            if server.status()["totals"]["rescued"] == rescued:
                return {slot: after[slot] - before[slot] for slot in after}
            drover.left(end)

    def assert_directed(self, server, hot, count, address=None):
        """The kernel's program chose for all of so many connections. On a machine that is busy all workers may be for
        a moment, and then it leaves the choice to the kernel's hash: it begins anew."""
        end = drover.deadline()
        while True:
            before = sum(hot.directed(SLOTS))
            self.connect(server, count, address)
            chosen = sum(hot.directed(SLOTS)) - before
            self.assertLessEqual(chosen, count)
            if chosen == count:
                return
            drover.left(end)

    def connect_until(self, server, condition):
        """Some connections at a time, until condition() holds."""
        end = drover.deadline()
        while not condition():
            drover.left(end)
            self.connect(server, 20)

    def wait_good(self, hot, good):
        """All of these slots, and no others, are good: somebody may not have got on for a moment."""
        end = drover.deadline()
        while hot.good() != good:
            drover.left(end)
            os.sched_yield()

    def assert_mode(self, server, mode):
        status = server.status()
        self.assertEqual(status["accept"], {"wanted": mode, "effective": mode, "why": ""}, server.log.text())
        for listener in status["listeners"]:
            self.assertEqual(listener["accept"], "shared" if listener["address"].startswith("unix:") else mode)


class Cpu(Steering):
    def assert_bound(self, server, to=lambda slot: {CPUS[slot % len(CPUS)]}):
        for slot, pid in server.workers().items():
            self.assertEqual(os.sched_getaffinity(pid), to(slot), "slot %d" % slot)

    def assert_free(self, server):
        self.assert_bound(server, lambda slot: set(CPUS))

    def test_each_worker_runs_on_its_cpu(self):
        server = self.start({"accept": "cpu", "workers": 3})
        self.assert_mode(server, "cpu")
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

    def test_a_client_on_a_cpu_gets_the_worker_of_that_cpu(self):
        """Over the loopback device a packet is received where it was sent."""
        server = self.start({"accept": "cpu", "workers": len(CPUS)})
        self.addCleanup(os.sched_setaffinity, 0, CPUS)
        for number, cpu in enumerate(CPUS):
            os.sched_setaffinity(0, [cpu])
            self.assertEqual(self.undisturbed(server, 20),
                             {slot: 20 if slot == number else 0 for slot in range(len(CPUS))})

    def test_it_chooses_among_the_workers_that_there_are(self):
        server = self.start({"accept": "cpu", "workers": 4})
        for workers in (1, 3, 2):
            self.reload(server, {"workers": workers})
            self.assert_mode(server, "cpu")
            before = self.accepted(server)
            self.connect(server, 40)
            self.assertEqual(sum(self.accepted(server).values()) - sum(before[slot] for slot in range(workers)), 40)


class Directed(Steering):
    def test_it_is_effective_and_said_once(self):
        server = self.start({"accept": "directed", "listen": [
            {"address": drover.address_text(address)} for address in
            (drover.free_address(), drover.free_address(socket.AF_INET6))] + [
            {"address": "unix:" + os.path.join(drover.temporary_directory(), "http.sock")}]})
        self.assert_mode(server, "directed")
        self.assertEqual(server.log.wait("accept_mode").fields, {"wanted": "directed", "effective": "directed"})
        self.reload(server)
        self.reload(server, {"workers": 3})
        self.assertEqual(len(server.log.find("accept_mode")), 1)
        self.assertIn("accept directed", server.ctl("status").stdout)

    def test_workers_have_equally_many(self):
        """Who was passed over for a moment has the next ones, until it has as many."""
        server = self.start({"workers": 4})
        hot = Hot(server)
        self.connect(server, 2000)
        self.connect_until(server, lambda: max(hot.directed(4)) - min(hot.directed(4)) <= 20)
        counts, rescued = self.accepted(server), server.status()["totals"]["rescued"]
        others = sum(abs(chosen - counts[slot]) for slot, chosen in enumerate(hot.directed(4)))
        self.assertLessEqual(others, 2 * rescued, "%s, %d rescued" % (counts, rescued))

    def test_both_families(self):
        """A group of sockets is an address of one family."""
        both = {family: drover.free_address(family) for family in (socket.AF_INET, socket.AF_INET6)}
        server = self.start({"listen": [{"address": drover.address_text(address)} for address in both.values()]})
        hot = Hot(server)
        for address in both.values():
            self.assert_directed(server, hot, 30, address)

    def test_seats_follow_the_workers(self):
        """1-4-2: new slots get some, slots that went nothing."""
        server = self.start({"workers": 1})
        hot = Hot(server)
        had = 1
        for workers in (4, 2, 3, 1):
            self.reload(server, {"workers": workers})
            # those of slots that went have been shared out: new ones go to whom has fewer
            server.wait_status(lambda status, workers=workers: len(status["workers"]) == workers)
            self.wait_good(hot, list(range(workers)))
            before = hot.directed(4)
            self.assert_directed(server, hot, 100)
            # one that has more than the others may well get nothing
            self.connect_until(server, lambda before=before, new=range(had, workers):
                               all(hot.directed(4)[slot] - before[slot] > 5 for slot in new))
            self.assertEqual(hot.directed(4)[workers:], before[workers:])
            had = workers

    def test_a_slot_that_waits_for_its_next_worker_gets_nothing(self):
        server = self.start()
        hot = Hot(server)
        end = drover.deadline()
        while True:             # until enough of them died young: the back-off is longer than this test looks
            pid = server.workers()[1]
            os.kill(pid, signal.SIGKILL)
            if int(server.log.after_exit(pid, 1).fields.get("after_ms", 0)) >= 400:
                break
            server.wait_status(lambda status, pid=pid: server.workers(status).get(1, pid) != pid)
            drover.left(end)
        server.status()         # behind it the seat is no good any more
        before = hot.directed(2)
        self.connect(server, 20)
        after = hot.directed(2)
        if 1 not in server.workers():   # else the machine was too slow for this
            self.assertEqual(after[1], before[1])
            self.assertGreater(after[0], before[0])
        server.wait_status(lambda status: 1 in server.workers(status))
        self.connect_until(server, lambda: hot.directed(2)[1] > after[1])

    def test_a_replacement_takes_the_seat(self):
        server = self.start()
        hot = Hot(server)
        lines = [hot.seat(slot)[0] for slot in range(2)]
        self.reload(server, {}, "--replace")
        self.wait_good(hot, [0, 1])
        self.assertFalse(set(lines) & {hot.seat(slot)[0] for slot in range(2)})
        self.assert_directed(server, hot, 40)

    def test_workers_have_neither_programs_nor_maps(self):
        server = self.start()
        self.reload(server, {"workers": 3})
        self.reload(server, {}, "--replace")
        self.assertTrue(drover.bpf_fds(server.pid))
        for pid in server.workers().values():
            self.assertEqual(drover.bpf_fds(pid), [])

    def test_the_capability_is_in_effect_for_moments(self):
        """In every image, and also where nothing is steered."""
        for mode in ("directed", "reuseport"):
            server = self.start({"accept": mode})
            for _ in range(2):
                status = drover.process_status(server.pid)
                self.assertEqual(int(status["CapEff"], 16) >> CAP_BPF & 1, 0)
                self.assertEqual(int(status["CapPrm"], 16) >> CAP_BPF & 1, 1)
                self.assertEqual(server.ctl("upgrade").returncode, 0, server.log.text())

    def test_upgrades_keep_it(self):
        server = self.start()
        server.ctl("upgrade")
        server.wait_status(lambda status: len(status["workers"]) == 2)
        files = drover.fds(server.pid)
        for _ in range(3):
            self.assertEqual(server.ctl("upgrade").returncode, 0, server.log.text())
            self.assert_mode(server, "directed")
            self.assert_directed(server, Hot(server), 20)
        server.wait_status(lambda status: len(status["workers"]) == 2)
        drover.wait_fds(server.pid, files)
        self.assertEqual(len(server.log.find("accept_mode")), 1)
        self.reload(server, {"workers": 4})
        self.wait_good(Hot(server), [0, 1, 2, 3])
        self.assert_mode(server, "directed")

    def test_an_upgrade_that_is_taken_back_keeps_it(self):
        """The other image had seated its workers by then, and attached its program."""
        server = self.start(own=True)
        hot = Hot(server)
        lines = [hot.seat(slot)[0] for slot in range(2)]
        with open(drover.BROKEN, "rb") as file:
            server.install(file.read(), "crashes-after-go")
        self.assertEqual(server.ctl("upgrade").returncode, 1, server.log.text())
        self.assert_mode(server, "directed")
        self.assertEqual([hot.seat(slot)[0] for slot in range(2)], lines)
        self.wait_good(hot, [0, 1])
        self.assert_directed(server, hot, 20)

    def test_an_upgrade_to_one_that_cannot_steer(self):
        """The program of before goes on as long as it knows all of the sockets."""
        server = self.start(own=True)
        with open(drover.BROKEN, "rb") as file:
            server.install(file.read(), "cannot-steer")
        self.assertEqual(server.ctl("upgrade").returncode, 0, server.log.text())
        self.assertIn("no program", server.log.wait("steering_kept").fields["error"])
        self.assert_mode(server, "directed")
        hot = Hot(server)
        self.assert_directed(server, hot, 20)
        self.reload(server, {"workers": 3})
        self.assertEqual(server.status()["accept"]["effective"], "reuseport")
        self.assertEqual(server.log.wait("accept_mode", effective="reuseport").fields["why"], "this one has no program")
        server.log.wait("listener_not_steered")
        self.assertEqual(len(server.log.find("listener_not_steered")), 1)
        before = hot.directed(3)
        self.connect(server, 40)
        self.assertEqual(hot.directed(3), before)       # it is detached
        server.install(drover.DROVER)
        self.assertEqual(server.ctl("upgrade").returncode, 0, server.log.text())
        self.assert_mode(server, "directed")
        self.assert_directed(server, hot, 20)

    def test_leaving_the_mode_detaches(self):
        server = self.start()
        hot = Hot(server)
        for mode in ("reuseport", "cpu", "shared"):
            self.reload(server, {"accept": mode})
            self.assert_mode(server, mode)
            before = sum(hot.directed(2))
            self.connect(server, 20)
            self.assertEqual(sum(hot.directed(2)), before)
            self.reload(server, {"accept": "directed"})
            self.assert_mode(server, "directed")
            self.assert_directed(server, hot, 20)


class Fallback(Steering):
    def test_without_the_capability(self):
        server = self.start(preexec=without_bpf)
        accept = server.status()["accept"]
        self.assertEqual((accept["wanted"], accept["effective"]), ("directed", "reuseport"))
        self.assertRegex(accept["why"], "^not to be had since the start: .*CAP_BPF")
        self.assertEqual(server.log.wait("accept_mode").fields,
                         {"wanted": "directed", "effective": "reuseport", "why": accept["why"]})
        self.connect_until(server, lambda: all(self.accepted(server).values()))
        self.assertRegex(server.ctl("status").stdout, r"accept reuseport\naccept directed is not in effect: .*CAP_BPF")
        self.reload(server)
        self.reload(server, {"accept": "reuseport"})
        self.assertEqual(len(server.log.find("accept_mode")), 1)
        self.reload(server, {"accept": "directed"})
        server.log.wait("accept_mode", count=2)
        self.assertEqual(server.log.find("listener_not_steered"), [])

    def test_upgrades_do_not_change_it(self):
        server = self.start(preexec=without_bpf)
        before = server.status()["accept"]
        self.assertEqual(server.ctl("upgrade").returncode, 0, server.log.text())
        self.assertEqual(server.status()["accept"], before)
        self.connect(server, 10)

    def test_other_modes_need_nothing(self):
        server = self.start({"accept": "cpu"}, preexec=without_bpf)
        self.assert_mode(server, "cpu")
        self.reload(server, {"accept": "shared"})
        self.assert_mode(server, "shared")
        self.connect(server, 10)

    def run_drover(self, *args, preexec=None):
        return subprocess.run([drover.DROVER, *args], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                              timeout=drover.DEADLINE, preexec_fn=preexec)

    def check(self, accept, preexec):
        directory = drover.temporary_directory()
        path = os.path.join(directory, "drover.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write('control = "off"; %s listen = ( { address = "%s"; } );\n'
                       'sites = ( { routes = ( { match = "/"; respond = { }; } ); } );\n'
                       % (accept, drover.address_text(drover.free_address())))
        printed, tested = (self.run_drover(option, "-c", path, preexec=preexec) for option in ("-T", "-t"))
        self.assertEqual((printed.returncode, tested.returncode), (0, 0), printed.stderr + tested.stderr)
        return (re.findall(r'^# accept = "directed" is (.*)$', printed.stdout, re.M),
                "preflight_steering" in tested.stderr)

    def test_who_asks_before_the_start_is_told(self):
        """-T says it always, -t warns those who asked for it."""
        for accept, warned in (("", False), ('accept = "directed";', True)):
            said, warning = self.check(accept, without_bpf)
            self.assertEqual(len(said), 1, said)
            self.assertRegex(said[0], '^"reuseport" here: .*CAP_BPF')
            self.assertEqual(warning, warned)
        self.assertEqual(self.check('accept = "cpu";', without_bpf), ([], False))
        if CAN_STEER:
            self.assertEqual(self.check('accept = "directed";', None), ([], False))


class Inherited(Steering):
    """Somebody else holds the sockets, and what is attached to them stays when drover ends."""

    def hold(self, address, count):
        found = []
        for _ in range(count):
            one = socket.socket()
            self.addCleanup(one.close)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            one.bind(address)
            one.listen(100)
            found.append(one)
        return found

    def serve(self, held, settings=None):
        address = held[0].getsockname()
        server = self.start({"listen": [{"address": drover.address_text(address)}], **(settings or {})},
                            passed=[(one.fileno(), "http") for one in held])
        server.address = address
        return server

    def wait_directed(self, server):
        """The kernel takes its time to free what a process that is gone had."""
        server.wait_status(lambda status: status["accept"]["effective"] == "directed")
        self.assert_mode(server, "directed")

    def end(self, server, number):
        server.kill(number)
        server.wait_exit()

    def test_a_process_that_follows_attaches_its_own(self):
        held = self.hold(drover.free_address(), 2)
        for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
            server = self.serve(held)
            self.wait_directed(server)
            hot = Hot(server)
            self.assert_directed(server, hot, 20)
            self.assertEqual(server.log.find("listener_not_steered"), [])
            self.end(server, number)

    def test_in_another_mode_it_is_detached(self):
        held = self.hold(drover.free_address(), 2)
        server = self.serve(held)
        self.wait_directed(server)
        self.end(server, signal.SIGKILL)
        server = self.serve(held, {"accept": "reuseport"})
        self.assertFalse(is_attached(held[0]))
        self.connect(server, 20)

    def test_a_stop_takes_it_along(self):
        held = self.hold(drover.free_address(), 2)
        server = self.serve(held)
        self.wait_directed(server)
        self.end(server, signal.SIGTERM)
        self.assertFalse(is_attached(held[0]))

    def test_it_is_really_attached(self):
        held = self.hold(drover.free_address(), 2)
        server = self.serve(held)
        self.wait_directed(server)
        self.assertTrue(is_attached(held[0]))

    def test_fewer_sockets_than_workers_are_shared(self):
        held = self.hold(drover.free_address(), 2)
        server = self.serve(held, {"workers": 3})
        status = server.status()
        self.assertEqual((status["accept"]["effective"], status["listeners"][0]["accept"]), ("shared", "shared"))
        self.assertIn("fewer sockets", status["accept"]["why"])
        self.assertFalse(is_attached(held[0]))
        self.reload(server, {"workers": 2})
        self.wait_directed(server)
        self.reload(server, {"workers": 3})
        self.assertFalse(is_attached(held[0]))
        self.connect(server, 20)

    def test_an_address_that_comes_back(self):
        held = self.hold(drover.free_address(), 2)
        server = self.serve(held)
        self.wait_directed(server)
        listen, other = server.settings["listen"], [{"address": drover.address_text(drover.free_address())}]
        for _ in range(3):
            self.reload(server, {"listen": other})
            self.reload(server, {"listen": listen})
            self.wait_directed(server)
        self.connect(server, 20)


class Changes(Steering):
    def test_under_load_in_every_direction(self):
        server = self.start({"accept": ALL_CHANGES[0], "workers": 3})
        clients.files(server.site)
        load = clients.Clients(server.address, server.site, {"one-shot": 4, "keep-alive": 4})
        try:
            load.wait_ready()
            for mode in ALL_CHANGES[1:]:
                before = server.status()["totals"]["accepted"]
                self.reload(server, {"accept": mode})
                if CAN_STEER:
                    self.assert_mode(server, mode)
                server.wait_status(lambda status: status["totals"]["accepted"] >= before + 20)
            for workers in (1, 4, 2):
                self.reload(server, {"workers": workers})
                before = server.status()["totals"]["accepted"]
                server.wait_status(lambda status: status["totals"]["accepted"] >= before + 20)
        finally:
            load.stop()
            report = load.report()
        self.assertEqual(clients.sum_up(report), [])
        for kind in report["kinds"].values():
            self.assertEqual(kind["good"], kind["requests"], report)


if __name__ == "__main__":
    unittest.main()
