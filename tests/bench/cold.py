#!/usr/bin/env python3
"""What others notice when one client pulls a file that is not in memory, from a device or a file system that gives
1 MB a second: how long the requests of 64 clients for small warm files wait, of drover and of nginx (as Debian
configures it, and with aio threads), one worker each. Needs root, /dev/fuse and a loop device.

    cold.py [--seconds N] [--rounds N]

The device is a loop device whose file lies on a slow file system (slow_fs.c). The client is waits.c, at a rate that is
kept: a request that is due while its connection waits for the answer to another one is late, and is not sent.
Client and server have a CPU each, as in bench.py, of which this is a part. Prints Markdown.
"""

import argparse
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "tests", "blackbox"))

import drover  # noqa: E402  (the path comes first)
import report  # noqa: E402
from servers import pin, place  # noqa: E402
from slow_fs import SlowFs  # noqa: E402

WAITS = os.path.join(drover.BUILD, "tests/bench/waits")
RATE = 1000000          # bytes a second of the device
CLIENTS, REQUESTS = 64, 3000    # a second
WARM_BYTES = 500
COLD_MIB, STEP_MIB = 96, 6     # each pull begins where nobody has read before
NGINX = """daemon off; worker_processes 1; pid {dir}/pid; error_log {dir}/error.log crit; user root;
events {{ worker_connections 768; }}
http {{ sendfile on; tcp_nopush on; keepalive_timeout 65; keepalive_requests 100000000; access_log off; {more}
 client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
 uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
 server {{ listen {host}:{port}; root {site};
  location /disk/ {{ alias {disk}/; }} location /far/ {{ alias {far}/; }} }} }}
"""


class Bench:
    def __init__(self, directory):
        self.dir = directory
        self.pulls = {}                 # target -> how many
        self.cpus = sorted(os.sched_getaffinity(0))
        tree = os.path.join(directory, "tree")
        os.mkdir(tree)
        with open(os.path.join(tree, "cold"), "wb") as file:
            file.write(os.urandom(COLD_MIB << 20))
        os.utime(file.name, (1e9, 1e9))
        image = os.path.join(directory, "image")
        subprocess.run(["mkfs.ext4", "-q", "-O", "^has_journal", "-d", tree, image, "%dM" % (2 * COLD_MIB)], check=True)
        subprocess.run(["debugfs", "-w", "-R", "set_inode_field cold ctime 20010909014640", image], check=True,
                       capture_output=True)
        with open(image, "rb") as file:
            self.fs = SlowFs({"image": file.read(), "cold": bytes(COLD_MIB << 20)})
        self.disk = os.path.join(self.fs.dir, "disk")
        os.mkdir(self.disk)
        self.device = self.inside("losetup", "-r", "-f", "--show", os.path.join(self.fs.path, "image")).strip()
        self.inside("mount", "-t", "ext4", "-o", "ro,noload", self.device, self.disk)
        self.site = os.path.join(directory, "site")
        os.mkdir(self.site)
        with open(os.path.join(self.site, "warm"), "wb") as file:
            file.write(WARM_BYTES * b"x")

    def inside(self, *command):
        return subprocess.run(["nsenter", "-t", str(self.fs.process.pid), "-m", *command], check=True,
                              capture_output=True, text=True).stdout

    def close(self):
        self.fs._tell("rate 0", "rated")
        self.inside("umount", self.disk)
        self.inside("losetup", "-d", self.device)
        self.fs.close()

    # servers: each gives an address, a process and what closes it

    def drover(self):
        server = drover.Drover({"workers": 1, "sandbox": {"landlock": True}, "sites": [{"routes": [
            {"match": "/", "files": {"root": self.site}},
            {"match": "/disk", "files": {"root": self.disk}},
            {"match": "/far", "files": {"root": self.fs.path}}]}]}, preexec=self.fs.enter)
        return server.address, server.pid, server.close

    def nginx(self, more=""):
        where = tempfile.mkdtemp(dir=self.dir)
        host, port = drover.free_address()
        with open(os.path.join(where, "conf"), "w", encoding="ascii") as file:
            file.write(NGINX.format(dir=where, host=host, port=port, site=self.site, disk=self.disk, far=self.fs.path,
                                    more=more))
        process = subprocess.Popen(["nginx", "-e", where + "/error.log", "-p", where, "-c", where + "/conf"],
                                   preexec_fn=self.fs.enter)
        end = drover.deadline()
        while True:
            with socket.socket() as probe:
                if probe.connect_ex((host, port)) == 0:
                    break
            drover.left(end)

        def close():
            process.terminate()
            process.wait(drover.DEADLINE)
        return (host, port), process.pid, close

    def nginx_threads(self):
        return self.nginx("aio threads;")

    # clients

    def pull(self, address, target, stop):
        """Takes what comes until `stop`; how many bytes that was, in a list."""
        begin = self.pulls.setdefault(target, 0) * STEP_MIB << 20
        self.pulls[target] += 1
        assert begin + (STEP_MIB << 20) <= COLD_MIB << 20, "more pulls than the file has room for"
        taken = [0]
        client = socket.create_connection(address)
        client.settimeout(0.2)
        client.sendall(b"GET %s HTTP/1.1\r\nHost: a\r\nRange: bytes=%d-\r\n\r\n" % (target.encode(), begin))

        def take():
            while not stop.is_set():
                try:
                    data = client.recv(1 << 16)
                except TimeoutError:
                    continue
                if not data:
                    break
                taken[0] += len(data)
            client.close()
        thread = threading.Thread(target=take)
        thread.start()
        return thread, taken

    def measure(self, address, seconds):
        lines = subprocess.run([WAITS, "-a", address[0], "-p", str(address[1]), "-u", "/warm", "-b", str(WARM_BYTES),
                                "-r", str(REQUESTS), "-n", str(int(REQUESTS * seconds)), "-k", str(CLIENTS)],
                               check=True, capture_output=True, text=True,
                               preexec_fn=lambda: place(0, self.cpus[0], False)).stdout.splitlines()
        words = [line.split() for line in lines]
        waits = sorted(int(word[1]) / 1000 for word in words if word[3] == "good") or [float("inf")]
        return {"p50": waits[len(waits) // 2], "p99": waits[len(waits) * 99 // 100], "longest": waits[-1],
                "late": len(words) - len(waits), "pulled": 0}

    def look(self, address, target):
        """From now on names are known, and who watches them has begun."""
        with socket.create_connection(address) as client:
            client.sendall(b"HEAD %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % target.encode())
            while client.recv(1 << 16):
                pass

    def run(self, start, target, seconds):
        address, pid, close = start()
        stop = threading.Event()
        try:
            self.fs._tell("rate 0", "rated")
            self.look(address, "/warm")
            if target is not None:
                self.look(address, target)
            pin(pid, self.cpus[-1], False)
            if target is None:
                return self.measure(address, seconds)
            self.fs._tell("rate %d" % RATE, "rated")
            thread, taken = self.pull(address, target, stop)
            try:
                return {**self.measure(address, seconds), "pulled": taken[0] / seconds / 1000}
            finally:
                stop.set()
                self.fs._tell("rate 0", "rated")
                thread.join()
        finally:
            close()


PULLS = {report.NOBODY: None, "a slow disk": "/disk/cold", "a slow FUSE": "/far/cold"}
SECONDS = 1     # of each measurement
MOST_ROUNDS = COLD_MIB // STEP_MIB // 3         # three servers pull, each from where nobody has


@contextlib.contextmanager
def prepared():
    directory = drover.temporary_directory()
    try:
        bench = Bench(directory)
        try:
            yield bench
        finally:
            bench.close()
    finally:
        shutil.rmtree(directory)


def run(rounds, seconds=SECONDS):
    """What report.cold_table wants."""
    with prepared() as bench:
        servers = {"drover": bench.drover, "nginx": bench.nginx, "nginx, aio threads": bench.nginx_threads}
        rows = [{"server": name, "pull": pull} for name in servers for pull in PULLS]
        for _ in range(rounds):
            for row in rows:
                for key, value in bench.run(servers[row["server"]], PULLS[row["pull"]], seconds).items():
                    row.setdefault(key, []).append(value)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(report.cold_table(run(options.rounds, options.seconds)))


if __name__ == "__main__":
    main()
