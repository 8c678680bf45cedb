"""Files that are not in memory, and file systems that do not answer, hold up nobody but who asked for them."""

import os
import shutil
import socket
import struct
import subprocess
import unittest

import drover
from slow_fs import SlowFs
from test_http import pattern

LARGE = 700000
PAGE = b"<p>hello\n"
FILES = {"small.txt": b"small\n", "large.bin": pattern(LARGE), "other.txt": b"other\n"}
OTHERS = 30  # requests of others meanwhile, some on connections that there are, some on new ones


class Far(unittest.TestCase):
    """One worker: there is nobody else to answer. A test says what is not answered before it asks for it."""

    def setUp(self):
        self.far = SlowFs(FILES)
        self.addCleanup(self.far.close)
        self.server = drover.Drover({
            "workers": 1,
            "sites": [{"routes": [{"match": "/far", "files": {"root": self.far.path}}]}],
        }, preexec=self.far.enter, wait=False)
        self.addCleanup(self.server.close)
        self.server.configure({"sites": [{"routes": [
            {"match": "/", "files": {"root": self.server.site}},
            {"match": "/far", "files": {"root": self.far.path, "precompressed": []}}]}]})
        self.server.log.wait("serving")
        self.assertEqual(self.server.reload()[0], 0)

    def counter(self, name):
        return self.server.status()["totals"][name]

    def ask(self, target, **more):
        client = self.server.client(**more)
        self.addCleanup(client.close)
        client.send(client.head(target))
        return client

    def ask_and_wait(self, operation, name):
        """A client whose request waits for the file system."""
        self.far.hold(operation, name)
        client = self.ask("/far/" + name)
        self.far.wait("held %s %s" % (operation, name))
        return client

    def others_are_answered(self):
        with self.server.client() as client:
            for _ in range(OTHERS):
                self.assertEqual(client.request("/").body, PAGE)
        for _ in range(OTHERS):
            self.assertEqual(self.server.get("/").body, PAGE)

    def is_answered(self, client, name):
        response = client.response()
        self.assertEqual(response.status, 200)
        self.assertTrue(response.body == FILES[name])

    def held(self, operation, name):
        client = self.ask_and_wait(operation, name)
        self.others_are_answered()
        self.far.release()
        self.is_answered(client, name)

    def test_nobody_waits_for_a_read_of_another(self):
        self.held("read", "small.txt")

    def test_nobody_waits_for_a_read_of_a_large_file(self):
        self.held("read", "large.bin")

    def test_nobody_waits_for_a_name_of_another(self):
        self.held("lookup", "small.txt")

    def test_nobody_waits_for_an_open_of_another(self):
        self.held("open", "large.bin")

    def test_nobody_waits_for_a_look_at_a_file(self):
        self.held("getattr", "large.bin")

    def test_nobody_waits_for_a_close(self):
        self.far.hold("flush", "small.txt")
        self.assertEqual(self.server.get("/far/small.txt").body, FILES["small.txt"])
        self.far.wait("held flush small.txt")
        self.others_are_answered()
        self.far.release()

    def test_a_head_does_not_wait_for_the_file(self):
        client = self.ask_and_wait("read", "large.bin")
        client.socket.settimeout(drover.DEADLINE)
        while b"\r\n\r\n" not in client.buffer:
            client.buffer += client.socket.recv(4096)
        self.assertIn(b"Content-Length: %d\r\n" % LARGE, client.buffer)
        self.far.release()
        self.is_answered(client, "large.bin")

    def test_others_of_the_same_file_system_go_on(self):
        client = self.ask_and_wait("read", "large.bin")
        self.assertEqual(self.server.get("/far/small.txt").body, FILES["small.txt"])
        self.assertEqual(self.server.get("/far/no").status, 404)
        self.far.release()
        self.is_answered(client, "large.bin")

    def test_everything_that_a_file_can_answer(self):
        with self.server.client() as client:
            whole = client.request("/far/large.bin")
            self.assertTrue(whole.body == FILES["large.bin"])
            self.assertEqual(client.request("/far/large.bin", method="HEAD").header("Content-Length"), str(LARGE))
            tag = {"If-None-Match": whole.header("ETag")}
            self.assertEqual(client.request("/far/large.bin", tag).status, 304)
            part = client.request("/far/large.bin", {"Range": "bytes=100000-500000"})
            self.assertTrue(part.status == 206 and part.body == FILES["large.bin"][100000:500001])
            parts = client.request("/far/large.bin", {"Range": "bytes=0-9,650000-"})
            self.assertIn(FILES["large.bin"][650000:], parts.body)
            self.assertEqual(client.request("/far/large.bin", {"Range": "bytes=700000-"}).status, 416)
            self.assertEqual(client.request("/far/no").status, 404)
            self.assertEqual(client.request("/far/").status, 404)
        self.assertGreater(self.counter("reads_offloaded"), 0)

    def test_a_client_that_goes_leaves_nothing_behind(self):
        worker = self.server.workers()[0]
        self.assertEqual(self.server.get("/far/small.txt").body, FILES["small.txt"])
        self.others_are_answered()      # and every helper has begun
        self.server.wait_status(lambda status: status["totals"]["open"] == 0)
        before = drover.fds(worker)
        for operation in ("lookup", "open", "read"):
            client = self.ask_and_wait(operation, "large.bin")
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()      # with a reset: an end of sending alone is no reason to go
            self.server.wait_status(lambda status: status["totals"]["open"] == 0)
            self.others_are_answered()
            self.far.release()
        self.server.wait_status(lambda status: drover.fds(worker) <= before)
        self.assertEqual(self.server.workers()[0], worker)

    def test_a_slow_client_gets_it_whole(self):
        client = self.ask("/far/large.bin", receive_buffer=4096)
        self.others_are_answered()
        self.is_answered(client.hurry(), "large.bin")

    def test_a_reload_does_not_wait(self):
        client = self.ask_and_wait("read", "large.bin")
        waiting = self.ask_and_wait("lookup", "other.txt")
        self.assertEqual(self.server.reload()[0], 0)
        self.others_are_answered()
        self.far.release()
        self.is_answered(client, "large.bin")
        self.is_answered(waiting, "other.txt")

    def test_an_answer_moves_to_another_worker_while_it_is_read(self):
        client = self.ask_and_wait("read", "large.bin")
        before = self.server.workers()[0]
        since = self.server.log.mark()
        self.assertEqual(self.server.reload("--replace")[0], 0)
        self.assertNotEqual(self.server.workers()[0], before)
        self.assertEqual(self.server.log.wait("worker_drained", since).fields["cut"], "0")
        self.others_are_answered()
        self.far.release()
        self.is_answered(client, "large.bin")

    def test_a_stop_waits_no_longer_than_it_may(self):
        self.server.configure({"timeouts": {"drain": "1s"}})
        self.assertEqual(self.server.reload()[0], 0)
        client = self.ask_and_wait("read", "large.bin")
        self.ask_and_wait("read", "small.txt")
        self.assertEqual(self.server.stop(), 3)
        stopped = self.server.log.find("stopped")[0].fields
        self.assertEqual((stopped["cut_sending"], stopped["killed"]), ("2", "0"))
        with self.assertRaises((drover.Closed, ConnectionResetError)):
            client.response()

    def test_a_file_system_that_ends_cuts_what_it_had_promised(self):
        client = self.ask_and_wait("read", "large.bin")
        self.far.process.kill()
        with self.assertRaises((drover.Closed, ConnectionResetError)):
            client.response()
        self.others_are_answered()
        self.assertGreaterEqual(self.counter("reads_failed"), 1)
        self.assertIn(self.server.get("/far/small.txt").status, (404, 500))


class Disk(unittest.TestCase):
    """A file system of this machine on a device that does not answer: a loop device, whose file is on such a file
    system. What nobody has asked for before is not in memory."""

    LARGE = 8 << 20

    def setUp(self):
        self.dir = drover.temporary_directory()
        self.addCleanup(shutil.rmtree, self.dir)
        image = self.image()
        self.far = SlowFs({"image": image})
        self.addCleanup(self.far.close)
        self.disk = os.path.join(self.far.dir, "disk")
        os.mkdir(self.disk)
        device = self.inside("losetup", "--read-only", "--find", "--show", os.path.join(self.far.path, "image")).strip()
        self.addCleanup(self.inside, "losetup", "--detach", device)
        self.inside("mount", "-t", "ext4", "-o", "ro,noload", device, self.disk)
        self.addCleanup(self.inside, "umount", self.disk)
        self.holds = False
        self.server = drover.Drover({"workers": 1}, preexec=self.far.enter)
        self.addCleanup(self.server.close)
        self.server.configure({"sites": [{"routes": [
            {"match": "/", "files": {"root": self.server.site}},
            {"match": "/disk", "files": {"root": self.disk, "precompressed": []}}]}]})
        self.assertEqual(self.server.reload()[0], 0)

    def inside(self, *command):
        return subprocess.run(["nsenter", "-t", str(self.far.process.pid), "-m", *command], check=True,
                              capture_output=True, text=True, timeout=drover.DEADLINE).stdout

    def image(self):
        path, tree = os.path.join(self.dir, "image"), os.path.join(self.dir, "tree")
        os.mkdir(tree)
        os.chmod(tree, 0o755)
        for name, size in (("small", 1000), ("large", self.LARGE), ("other", self.LARGE)):
            with open(os.path.join(tree, name), "wb") as file:
                file.write(pattern(size))
            os.utime(file.name, (1e9, 1e9))
        subprocess.run(["mkfs.ext4", "-q", "-O", "^has_journal", "-d", tree, path, "32M"], check=True,
                       capture_output=True, timeout=drover.DEADLINE)
        for name in ("large", "other"):         # what changed just now would not be sent from the page cache
            subprocess.run(["debugfs", "-w", "-R", "set_inode_field %s ctime 20010909014640" % name, path], check=True,
                           capture_output=True, timeout=drover.DEADLINE)
        with open(path, "rb") as file:
            return file.read()

    def begin(self, name, headers=()):
        """A client that waits for the device. What the file is was looked at before."""
        since = 0 if self.holds else self.far.mark()
        self.server.get("/disk/" + name, method="HEAD")
        if not self.holds:
            self.far.hold("read", "image")
        self.holds = True
        client = self.server.client()
        self.addCleanup(client.close)
        client.send(client.head("/disk/" + name, headers))
        self.far.wait("held read image", since)
        return client

    def others_are_answered(self):
        with self.server.client() as client:
            for _ in range(OTHERS):
                self.assertEqual(client.request("/").body, PAGE)

    def test_nobody_waits_for_a_disk_that_somebody_reads_from(self):
        client = self.begin("large")
        self.others_are_answered()
        self.far.release()
        self.assertTrue(client.response().body == pattern(self.LARGE))
        self.assertGreater(self.server.status()["totals"]["reads_offloaded"], 0)

    def test_what_is_in_memory_is_sent_although_the_disk_does_not_answer(self):
        self.assertTrue(self.server.get("/disk/large").body == pattern(self.LARGE))
        client = self.begin("other")
        self.assertTrue(self.server.get("/disk/large").body == pattern(self.LARGE))
        self.far.release()
        self.assertTrue(client.response().body == pattern(self.LARGE))

    def test_nobody_waits_for_several_ranges(self):
        client = self.begin("large", {"Range": "bytes=0-5,2000000-7000000"})
        self.others_are_answered()
        self.far.release()
        self.assertIn(pattern(self.LARGE)[2000000:7000001], client.response().body)

    def test_a_client_that_goes_leaves_nothing_behind(self):
        worker = self.server.workers()[0]
        before = drover.fds(worker)
        clients = [self.begin("large") for _ in range(10)]
        for client in clients:
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        self.server.wait_status(lambda status: status["totals"]["open"] == 0)
        self.far.release()
        self.others_are_answered()
        # the helper's own, what is kept of files and who watches them
        self.server.wait_status(lambda status: drover.fds(worker) <= before + 5)

    def test_an_answer_moves_to_another_worker_while_it_is_read(self):
        client = self.begin("large")
        since = self.server.log.mark()
        self.assertEqual(self.server.reload("--replace")[0], 0)
        self.assertEqual(self.server.log.wait("worker_drained", since).fields["cut"], "0")
        self.others_are_answered()
        self.far.release()
        self.assertTrue(client.response().body == pattern(self.LARGE))


class Evicted(unittest.TestCase):
    """What was dropped from memory is answered like everything else."""

    def setUp(self):
        self.server = drover.Drover({"workers": 1})
        self.addCleanup(self.server.close)

    def cold(self, name, content):
        """It is old enough to be sent from the page cache."""
        path = self.server.write(name, content)
        os.utime(path, (1e9, 1e9))
        fd = os.open(path, os.O_RDONLY)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)

    def test_whole_files(self):
        for size in (1, 1000, 31 * 1024, 31 * 1024 + 1, 128 * 1024, 3000001):
            self.cold("file-%d" % size, pattern(size))
            self.assertTrue(self.server.get("/file-%d" % size).body == pattern(size), size)

    def test_ranges(self):
        for name in ("one", "several", "head"):
            self.cold(name, pattern(3000001))
        with self.server.client() as client:
            part = client.request("/one", {"Range": "bytes=200000-2900000"})
            self.assertTrue(part.body == pattern(3000001)[200000:2900001])
            parts = client.request("/several", {"Range": "bytes=5-7,200000-2900000"})
            self.assertIn(pattern(3000001)[200000:2900001], parts.body)
            self.assertEqual(client.request("/head", method="HEAD").header("Content-Length"), "3000001")

    def test_what_was_sent_just_now_asks_nobody(self):
        self.cold("file", pattern(3000001))
        self.server.get("/file")
        before = self.server.status()["totals"]["reads_offloaded"]
        with self.server.client() as client:
            for _ in range(10):
                self.assertEqual(len(client.request("/file").body), 3000001)
        self.assertEqual(self.server.status()["totals"]["reads_offloaded"], before)


if __name__ == "__main__":
    unittest.main()
