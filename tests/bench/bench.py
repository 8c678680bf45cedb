#!/usr/bin/env python3
"""What a request costs: server CPU per request of drover, of other web servers, and of a floor.

    bench.py [--quick] [--seconds S] [--rounds N] [--scenario NAME ...] [--server NAME ...] [--cpus 1|2]
             [--before DROVER] [--accept MODE ...] [--whole] [--layers]

The figure is the scheduler's run time of all of a server's tasks (/proc/PID/task/*/schedstat, in nanoseconds) over
the requests that load.c counted as answered whole and right.  All servers run at once and idle; in each round each
is loaded for a short slice, in an order that rotates.  Ratios are taken within a round, so that a machine whose
speed changes, or that has other work, moves both sides; what is printed is the median, with the least and the
greatest.  Client and server take turns on one CPU, and then have one each.

--quick: drover beside the floor, three scenarios on one CPU, in less than a minute: what to run beside --before
while something is changed.

--accept: the same drover in other accept modes, too; what the kernel's program of "directed" takes is said besides,
by the kernel's own count. It runs when a packet comes in, which on loopback is charged to whom sent it: --whole
adds the client's CPU.

--layers: only drover, with all layers of its sandbox and limits for clients that nobody reaches, with none of them,
and with each alone left out, and what each of them costs.

Before it is measured, every server must give the right bytes.  Peers that are not installed are left out, with a line.
Prints Markdown; nothing here passes or fails, but a wrong answer ends it.
"""

import argparse
import collections
import contextlib
import ctypes
import fcntl
import http.client
import json
import os
import platform
import re
import resource
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "blackbox"))

from drover import (BUILD, DROVER, PR_SET_PDEATHSIG, deadline, free_address, left, libc,  # noqa: E402
                    render, temporary_directory)

CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
CONGESTION = "/proc/sys/net/ipv4/tcp_congestion_control"
PROGRAM_STATS = "/proc/sys/kernel/bpf_stats_enabled"
LOAD = os.path.join(BUILD, "tests/bench/load")
FLOOR = os.path.join(BUILD, "tests/bench/floor")
WARM_UP_MS = 200
LONG_AGO = 1700000000   # of what is served: a server may take what has just changed for something that still changes
QUICK = {"scenario": ["1k", "browser", "pipelined"], "server": [], "cpus": 1, "seconds": 0.25, "rounds": 16}
USUAL = {"scenario": None, "server": None, "cpus": None, "seconds": 0.3, "rounds": 10}
OUTLIER = 0.25          # further from the median than this share is reported
STRACED = 2000          # requests

BROWSER = """\
Connection: keep-alive
sec-ch-ua: "Chromium";v="142", "Not=A?Brand";v="24", "Google Chrome";v="142"
sec-ch-ua-mobile: ?0
sec-ch-ua-platform: "Linux"
Upgrade-Insecure-Requests: 1
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8
Sec-Fetch-Site: same-origin
Sec-Fetch-Mode: navigate
Sec-Fetch-User: ?1
Sec-Fetch-Dest: document
Referer: http://bench.example/articles/2026/11/an-article-that-links-here.html
Accept-Encoding: identity
Accept-Language: en-GB,en-US;q=0.9,en;q=0.8,de;q=0.7
Cookie: session=8f14e45fceea167a5a36dedd4bea2543; theme=dark; consent=1
""".replace("\n", "\r\n")

Scenario = collections.namedtuple("Scenario", "title files length connections headers status depth one_shot log",
                                  defaults=(32, "", 200, 1, False, False))
KIB = 1024
ONE = ["/1k.html"]
MANY = ["/many/%02d/%04d.html" % (number % 100, number) for number in range(10000)]
SCENARIOS = {
    "1k": Scenario("1 KiB keep-alive", ONE, KIB),
    "browser": Scenario("+ browser's headers", ONE, KIB, headers=BROWSER),
    "404": Scenario("404", ["/missing.html"], None, status=404),
    "log": Scenario("1 KiB, access log on", ONE, KIB, log=True),
    "pipelined": Scenario("1 KiB, pipelined 16 deep", ONE, KIB, depth=16),
    "one-shot": Scenario("1 KiB, connection per request", ONE, KIB, one_shot=True),
    "many": Scenario("10,000 files of 4 KiB, zipf", MANY, 4 * KIB),
    "100k": Scenario("100 KiB keep-alive", ["/100k.html"], 100 * KIB),
    "10m": Scenario("10 MiB", ["/10m.html"], 10 * KIB * KIB, connections=4),
}


def content(path, length):
    """The bytes of the file at `path`: no two files, and no two parts of one, are the same."""
    line = "<!-- %s " % path
    rows = length // 16 + 1
    text = line + "".join("%015x\n" % (number * 2654435761 % 16 ** 15) for number in range(rows))
    return text[:length].encode()


def make_site(top, scenario):
    os.mkdir(top)
    for path in scenario.files if scenario.status == 200 else []:
        os.makedirs(os.path.dirname(top + path), exist_ok=True)
        with open(top + path, "wb") as file:
            file.write(content(path, scenario.length))
        # nobody doubts that it is as it was a moment ago
        os.utime(top + path, (LONG_AGO, LONG_AGO))


def clients_ns():
    """CPU of the clients that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return int(1e9 * (usage.ru_utime + usage.ru_stime))


class Server:
    """One server under test: a child of ours, with a directory of its own."""

    program = name = None

    def __init__(self, top, scenario):
        self.dir = os.path.join(top, self.name)
        self.site = os.path.join(top, "site")
        self.log = os.path.join(self.dir, "access.log")
        self.scenario = scenario
        self.length = scenario.length
        self.requests = 0
        self.whole = False              # the client's CPU counts, too
        os.makedirs(self.dir)
        os.chmod(self.dir, 0o777)       # its workers are somebody else
        self.address = free_address()
        self.process = None

    @classmethod
    def installed(cls):
        return shutil.which(cls.program) is not None

    @classmethod
    def version(cls):
        done = subprocess.run([cls.program, "-v"], capture_output=True, text=True, check=False)
        return re.search(r"\S+/([0-9.]+)|version ([0-9.]+)", done.stdout + done.stderr).group(0).replace("version ", "")

    def write(self, text):
        path = os.path.join(self.dir, "conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def command(self):
        raise NotImplementedError

    def start(self):
        with open(os.path.join(self.dir, "stderr"), "wb") as errors:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=errors, stderr=errors,
                                            preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM))
        end = deadline()
        while left(end):
            with socket.socket() as probe:
                if probe.connect_ex(self.address) == 0:
                    return
            if self.process.poll() is not None:
                break
            os.sched_yield()
        with open(os.path.join(self.dir, "stderr"), encoding="utf-8", errors="replace") as errors:
            raise RuntimeError("%s did not start:\n%s" % (self.name, errors.read()))

    def stop(self):
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def tasks(self):
        """The directories in /proc of all its threads and of its children's."""
        found, processes = [], [self.process.pid]
        while processes:
            for task in os.scandir("/proc/%d/task" % processes.pop()):
                found.append(task.path)
                with open(task.path + "/children", encoding="ascii") as file:
                    processes += map(int, file.read().split())
        return found

    def workers(self):
        pids = {int(task.split("/")[2]) for task in self.tasks()}
        return sorted(pids - {self.process.pid}) or [self.process.pid]

    def pin(self, cpu, in_turns):
        """In turns: it does not preempt the client that wakes it, and so finds what all connections sent."""
        for task in self.tasks():
            tid = int(task.rsplit("/", 1)[1])
            os.sched_setaffinity(tid, {cpu})
            os.sched_setscheduler(tid, os.SCHED_BATCH if in_turns else os.SCHED_OTHER, os.sched_param(0))

    def asleep(self):
        for task in self.tasks():
            with open(task + "/stat", encoding="ascii", errors="replace") as file:
                if file.read().rsplit(")", 1)[1].split()[0] == "R":
                    return False
        return True

    def cpu_ns(self):
        """Run time so far; only exact while it sleeps, so that is waited for."""
        end = deadline()
        while left(end) and not self.asleep():
            os.sched_yield()
        total = 0
        for task in self.tasks():
            with open(task + "/schedstat", encoding="ascii") as file:
                total += int(file.read().split()[0])
        return total

    def check(self):
        """The right bytes, of the first file and of the last."""
        connection = http.client.HTTPConnection(*self.address, timeout=10)
        headers = dict(line.split(": ", 1) for line in self.scenario.headers.splitlines())
        for path in {self.scenario.files[0], self.scenario.files[-1]}:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            body = answer.read()
            self.requests += 1
            if answer.status != self.scenario.status:
                raise RuntimeError("%s: %s: status %d" % (self.name, path, answer.status))
            if self.scenario.status == 200 and not self.right(path, body):
                raise RuntimeError("%s: %s: not the bytes of the file" % (self.name, path))
            self.length = len(body)     # a peer's own text of a 404 is what load.c then insists on
        connection.close()

    def right(self, path, body):
        return body == content(path, self.scenario.length)

    def targets(self):
        """The file for load.c; made once, after the check."""
        path = os.path.join(self.dir, "targets")
        if not os.path.exists(path):
            with open(path, "w", encoding="ascii") as file:
                for target in self.scenario.files:
                    print(target, self.scenario.status, self.length, file=file)
        return path

    def load_command(self, *how):
        scenario, (host, port) = self.scenario, self.address
        command = [LOAD, "-a", host, "-p", str(port), "-f", self.targets(), "-c", str(scenario.connections),
                   "-d", str(scenario.depth), *how]
        if scenario.headers:
            headers = os.path.join(self.dir, "headers")
            with open(headers, "w", encoding="ascii", newline="") as file:
                file.write(scenario.headers)
            command += ["-H", headers]
        return command + ["-1"] * scenario.one_shot + ["-z"] * (len(scenario.files) > 1)

    def load(self, *how, cpu=None):
        """Loads it, and returns how many requests it answered."""
        pin = None if cpu is None else lambda: os.sched_setaffinity(0, {cpu})
        done = subprocess.run(self.load_command(*how), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              preexec_fn=pin, check=False)
        if done.returncode != 0:
            raise RuntimeError("%s, %s: %s" % (self.name, self.scenario.title, done.stderr.strip()))
        count = int(done.stdout.split()[0])
        self.requests += count
        return count

    def measure(self, milliseconds, cpu):
        """Microseconds of CPU per request."""
        before, client_before = self.cpu_ns(), clients_ns()
        count = self.load("-t", str(milliseconds), cpu=cpu)
        used = self.cpu_ns() - before + (clients_ns() - client_before if self.whole else 0)
        return used / count / 1000

    def logged(self):
        with open(self.log, "rb") as file:
            return sum(1 for _ in file)


class Floor(Server):
    program, name = FLOOR, "floor"

    @classmethod
    def version(cls):
        return "tests/bench/floor.c"

    def command(self):
        length = 150 if self.scenario.length is None else self.scenario.length
        return [FLOOR, self.address[0], str(self.address[1]), str(self.scenario.status), str(length),
                *["close"] * self.scenario.one_shot]

    def right(self, path, body):
        return body == b"x" * self.scenario.length


class Nginx(Server):
    program, name = "nginx", "nginx"
    # sendfile with tcp_nopush pays for large files and costs for small ones
    text = """\
daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
pid {dir}/pid;
error_log {dir}/error.log crit;
events {{ worker_connections 8192; multi_accept on; }}
http {{
    types {{ text/html html; }}
    log_format common '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent';
    access_log {log};
    log_not_found off;
    sendfile {sendfile};
    tcp_nopush {sendfile};
    keepalive_requests 1000000000;
    client_header_buffer_size 4k;
    open_file_cache max=20000 inactive=1h;
    open_file_cache_valid 1h;
    open_file_cache_errors on;
    client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
    server {{
        listen {host}:{port} reuseport deferred backlog=4096;
        root {site};
    }}
}}
"""

    def command(self):
        log = "%s common buffer=64k" % self.log if self.scenario.log else "off"
        large = self.scenario.length is not None and self.scenario.length > 32 * KIB
        path = self.write(self.text.format(dir=self.dir, log=log, sendfile="on" if large else "off", site=self.site,
                                           host=self.address[0], port=self.address[1]))
        return [self.program, "-e", self.dir + "/error.log", "-p", self.dir, "-c", path]


class Lighttpd(Server):
    program, name = "lighttpd", "lighttpd"
    text = """\
server.document-root = "{site}"
server.bind = "{host}"
server.port = {port}
server.errorlog = "{dir}/error.log"
server.max-fds = 16384
server.max-connections = 8192
server.listen-backlog = 4096
server.defer-accept = 1
server.max-keep-alive-requests = 65535
mimetype.assign = ( ".html" => "text/html" )
"""
    logging = """\
server.modules += ( "mod_accesslog" )
accesslog.filename = "{log}"
accesslog.format = "%h %l %u %t \\"%r\\" %>s %b"
"""

    def command(self):
        text = self.text + (self.logging if self.scenario.log else "")
        path = self.write(text.format(dir=self.dir, log=self.log, site=self.site, host=self.address[0],
                                      port=self.address[1]))
        return [self.program, "-D", "-f", path]


class H2o(Server):
    program, name = "h2o", "h2o"
    text = """\
num-threads: 1
num-name-resolution-threads: 1
max-connections: 8192
pid-file: {dir}/pid
error-log: {dir}/error.log
listen: {{ host: {host}, port: {port} }}
hosts:
  default:
    paths:
      "/": {{ file.dir: "{site}" }}
"""
    logging = """\
access-log: {{ path: "{log}", format: '%h %l %u %t "%r" %s %b' }}
"""

    def command(self):
        text = self.text + (self.logging if self.scenario.log else "")
        path = self.write(text.format(dir=self.dir, log=self.log, site=self.site, host=self.address[0],
                                      port=self.address[1]))
        return [self.program, "-m", "worker", "-c", path]


class Drover(Server):
    program, name, mode = DROVER, "drover", "reuseport"
    more = {}           # settings

    @classmethod
    def version(cls):
        done = subprocess.run([cls.program, "-V"], capture_output=True, text=True, check=False)
        return (done.stdout + done.stderr).split("\n")[0]

    def command(self):
        settings = {
            "workers": 1,
            "accept": self.mode,
            "control": "off",
            "listen": [{"address": "%s:%d" % self.address, "defer_accept": True}],
            "sites": [{"routes": [{"match": "/", "files": {"root": self.site}}]}],
            **self.more,
        }
        if self.scenario.log:
            settings["log"] = {"access": self.log}
        return [self.program, "-c", self.write(render(settings))]


class Before(Drover):
    """Another build of drover: what a change costs is the ratio of both within a round."""

    name = "before"


def in_mode(mode):
    return type("Drover" + mode.title(), (Drover,), {"name": "drover, " + mode, "mode": mode})


LIMITS = {"connections": 1000000, "requests": 1000000, "bandwidth": "100g"}
LAYERS = {
    "landlock": ("sandbox", {"landlock": True}, {"landlock": False}),
    "seccomp": ("sandbox", {"seccomp": True}, {"seccomp": False}),
    "sealed_code": ("sandbox", {"sealed_code": True}, {"sealed_code": False}),
    "no core_dumps": ("sandbox", {"core_dumps": False}, {"core_dumps": True}),
    "clients.*": ("clients", {**LIMITS, **{"network_" + name: value for name, value in LIMITS.items()}}, {}),
}
LAYERED = ("1k", "one-shot", "many")    # scenarios


def with_layers(name, layers):
    """A drover that has these layers, and no others."""
    more = {}
    for layer, (group, on, off) in LAYERS.items():
        more.setdefault(group, {}).update(on if layer in layers else off)
    return type("Layered", (Drover,), {"name": name, "more": more})


def all_layered():
    yield with_layers("none", ())
    yield with_layers("all", LAYERS)
    for left_out in LAYERS:
        yield with_layers("without " + left_out, [layer for layer in LAYERS if layer != left_out])


SERVERS = [Floor, Nginx, Lighttpd, H2o, Drover]


# ---- measuring ----

def private_network():
    """A network of our own with reno, so that neither a pacing default nor other programs' packets are measured."""
    if libc.unshare(CLONE_NEWNET) != 0:
        return False
    with socket.socket() as any_socket:
        request = bytearray(struct.pack("16sh22x", b"lo", 0))
        fcntl.ioctl(any_socket, SIOCGIFFLAGS, request)
        flags = struct.unpack_from("16sh", request)[1]
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", flags | IFF_UP))
    with contextlib.suppress(OSError), open(CONGESTION, "w", encoding="ascii") as file:
        file.write("reno")
    return True


def system_calls(server):
    """Per request, in the worker; None without strace."""
    count = max(STRACED // (1 + (server.length or 0) // 65536), 100)
    log = os.path.join(server.dir, "strace")
    if shutil.which("strace") is None:
        return None
    pids = [word for pid in server.workers() for word in ("-p", str(pid))]
    with subprocess.Popen(["strace", "-f", "-c", "-o", log, *pids], stderr=subprocess.PIPE) as tracer:
        line = tracer.stderr.readline()         # it says so when it is attached
        if b"attached" not in line:
            return None
        count = server.load("-n", str(count))
        tracer.terminate()
        tracer.stderr.read()
    with open(log, encoding="utf-8") as file:
        total = [line.split() for line in file if line.rstrip().endswith("total")]
    return int(total[-1][3]) / count if total else None


def maps_of(pid):
    """The maps of the kernel that the process holds: the program itself it lets go of once it is attached."""
    found = set()
    for entry in os.scandir("/proc/%d/fdinfo" % pid):
        with open(entry.path, encoding="ascii") as file:
            found |= {int(number) for number in re.findall(r"^map_id:\s*(\d+)", file.read(), re.M)}
    return found


def steering_runs(server):
    """(how often its programs ran, for how many nanoseconds), as the kernel counts while it is told to."""
    done = subprocess.run(["bpftool", "-j", "prog", "show"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          check=False)
    maps = maps_of(server.process.pid)
    mine = [one for one in json.loads(done.stdout or "[]")
            if one.get("type") == "sk_reuseport" and maps & set(one.get("map_ids", ()))]
    return sum(one.get("run_cnt", 0) for one in mine), sum(one.get("run_time_ns", 0) for one in mine)


def program_text(server):
    """What the program that chooses a slot takes."""
    if shutil.which("bpftool") is None or not os.access(PROGRAM_STATS, os.W_OK):
        return "the program's time is not to be had: no bpftool, or no right to %s" % PROGRAM_STATS
    with open(PROGRAM_STATS, encoding="ascii") as file:
        setting = file.read()
    with open(PROGRAM_STATS, "w", encoding="ascii") as file:
        file.write("1")
    try:
        before = steering_runs(server)
        requests = server.load("-t", str(5 * WARM_UP_MS))
        after = steering_runs(server)
    finally:
        with open(PROGRAM_STATS, "w", encoding="ascii") as file:
            file.write(setting)
    runs, spent = after[0] - before[0], after[1] - before[1]
    if runs == 0:
        return "%s: the kernel's program did not run: the mode is not in effect" % server.name
    return "%s: the kernel's program ran %d times for %d requests, %.0f ns each" % (
        server.name, runs, requests, spent / runs)


def rounds_of(servers, count, milliseconds, client_cpu, server_cpu):
    """name -> microseconds per request, in each round."""
    result = {server.name: [] for server in servers}
    for server in servers:
        server.pin(server_cpu, client_cpu == server_cpu)
    for turn in range(count):
        shift = turn % len(servers)
        for server in servers[shift:] + servers[:shift]:
            result[server.name].append(server.measure(milliseconds, client_cpu))
    return result


def ratios(figures, name, other):
    if name not in figures or other not in figures:
        return None
    return [mine / yours for mine, yours in zip(figures[name], figures[other])]


def spread(values):
    if values is None:
        return "-"
    return "%.2f (%.2f-%.2f)" % (statistics.median(values), min(values), max(values))


def outliers(title, figures):
    base = "nginx" if "nginx" in figures else "floor"
    for name in figures:
        values = ratios(figures, name, base)
        middle = statistics.median(values)
        far = [value for value in values if abs(value / middle - 1) > OUTLIER]
        if far:
            yield "%s, %s: %d of %d rounds are more than %d %% off the median ratio to %s: %s" % (
                title, name, len(far), len(values), OUTLIER * 100, base, ", ".join("%.2f" % value for value in far))


def table_row(title, figures, names, calls):
    cells = [title]
    for name in names:
        cell = "%.2f" % statistics.median(figures[name])
        if name != "nginx" and "nginx" in figures:
            cell += ", " + spread(ratios(figures, name, "nginx"))
        cells.append(cell)
    cells.append(spread(ratios(figures, "drover", "floor")))
    for name in figures:
        if name.startswith("drover, "):
            cells.append(spread(ratios(figures, name, "drover")))
    if "before" in figures:
        cells.append(quartiles(ratios(figures, "drover", "before")))
    cells.append("-" if calls is None else "%.2f" % calls)
    return "| %s |" % " | ".join(cells)


def check_logs(servers):
    """A log that is short would be a figure of something else."""
    for server in servers:
        if server.scenario.log and server.name != "floor" and server.logged() != server.requests:
            yield "%s logged %d of %d requests" % (server.name, server.logged(), server.requests)


def run_scenario(scenario, classes, modes, options):
    """mode -> figures; the system calls of drover; remarks."""
    top = temporary_directory()
    servers, calls, figures = [], None, {}
    try:
        make_site(os.path.join(top, "site"), scenario)
        for cls in classes:
            servers.append(cls(top, scenario))
            servers[-1].start()
        for server in servers:
            server.whole = options.whole
            server.check()
            server.load("-t", str(WARM_UP_MS))
        for mode, (client_cpu, server_cpu) in modes.items():
            figures[mode] = rounds_of(servers, options.rounds, int(options.seconds * 1000), client_cpu, server_cpu)
        remarks = []
        for server in servers:
            if server.name in ("all", "none"):
                remarks.append("%s layers: seccomp mode %s" % (server.name, layers_in_effect(server)))
            if server.name == "drover":
                calls = system_calls(server)
            if isinstance(server, Drover) and server.mode == "directed":
                remarks.append("%s: %s" % (scenario.title, program_text(server)))
            server.stop()
        return figures, calls, remarks + list(check_logs(servers))
    finally:
        for server in servers:
            server.stop()
        shutil.rmtree(top)


def layers_in_effect(server):
    """What the kernel says of a worker; it says nothing of Landlock."""
    with open("/proc/%d/status" % server.workers()[0], encoding="ascii", errors="replace") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)["Seccomp"]


def quartiles(values):
    low, middle, high = statistics.quantiles(values, n=4)
    return "%.3f (%.3f-%.3f)" % (middle, low, high)


def bench_layers(options, modes):
    """What all layers cost, and what each does: all of them to all but that one."""
    pairs = [("all layers, to none", "all", "none")]
    pairs += [("all layers, to all without " + layer, "all", "without " + layer) for layer in LAYERS]
    for name in options.scenario or LAYERED:
        figures, _, remarks = run_scenario(SCENARIOS[name], list(all_layered()), modes, options)
        for mode, found in figures.items():
            print("\n%s: %s, us per request (%d rounds of %.1f s); with no layer %.2f, at least %.2f\n" % (
                SCENARIOS[name].title, mode, options.rounds, options.seconds, statistics.median(found["none"]),
                min(found["none"])))
            print("| | ratio, median and quartiles | of the least ones |\n|---|---|---|")
            for title, mine, yours in pairs:
                print("| %s | %s | %.3f |" % (title, quartiles(ratios(found, mine, yours)),
                                              min(found[mine]) / min(found[yours])), flush=True)
        print("".join("\n- %s." % remark for remark in remarks))


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = re.search(r"model name\s*: (.*)", file.read())
    with open(CONGESTION, encoding="ascii") as file:
        congestion = file.read().strip()
    return "Linux %s, %s, %d CPUs, load %.1f, %s" % (
        platform.release(), model.group(1) if model else platform.machine(), len(os.sched_getaffinity(0)),
        os.getloadavg()[0], congestion)


def parse_options():
    parser = argparse.ArgumentParser(description="Server CPU per request, of drover and of others.")
    parser.add_argument("--quick", action="store_true", help="a few scenarios of drover and the floor")
    parser.add_argument("--seconds", type=float, help="length of a slice (%s)" % USUAL["seconds"])
    parser.add_argument("--rounds", type=int, help="(%d)" % USUAL["rounds"])
    parser.add_argument("--scenario", action="append", choices=list(SCENARIOS), help="default: all")
    parser.add_argument("--server", action="append", choices=[cls.name for cls in SERVERS],
                        help="default: all; the floor and drover are always there")
    parser.add_argument("--cpus", type=int, choices=(1, 2), help="default: both")
    parser.add_argument("--before", metavar="DROVER", help="another build of drover to compare with")
    parser.add_argument("--accept", action="append", choices=("directed", "cpu", "shared"), default=[],
                        help="drover in this accept mode, too")
    parser.add_argument("--layers", action="store_true", help="what each layer of the sandbox costs")
    parser.add_argument("--whole", action="store_true", help="the client's CPU, too")
    options = parser.parse_args()
    for name, value in (QUICK if options.quick else USUAL).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    return options


def choose_modes(options):
    cpus = sorted(os.sched_getaffinity(0))
    modes = {}
    if options.cpus != 2:
        modes["client and server in turns on one CPU"] = (cpus[-1], cpus[-1])
    if options.cpus != 1 and len(cpus) > 1:
        modes["client and server on a CPU each"] = (cpus[0], cpus[-1])
    return modes


def choose_servers(options):
    for cls in SERVERS:
        if cls in (Floor, Drover) or options.server is None or cls.name in options.server:
            if cls in (Floor, Drover) or cls.installed():
                yield cls
            else:
                print("%s is not installed and left out." % cls.name)
    yield from map(in_mode, options.accept)
    if options.before is not None:
        Before.program = os.path.abspath(options.before)
        yield Before


def main():
    options = parse_options()
    private = private_network()
    modes = choose_modes(options)
    if options.layers:
        print("Machine: %s%s." % (machine(), "" if private else ", not in a network of its own"))
        bench_layers(options, modes)
        return 0
    classes = list(choose_servers(options))
    names = [cls.name for cls in classes]
    results, remarks = {}, []
    print("Machine: %s%s." % (machine(), "" if private else ", not in a network of its own"))
    print("Versions: %s." % "; ".join("%s %s" % (cls.name, cls.version()) for cls in classes), flush=True)
    began = time.monotonic()
    for name in options.scenario or SCENARIOS:
        results[name] = run_scenario(SCENARIOS[name], classes, modes, options)
        remarks += results[name][2]
        print("%s: done after %d s" % (name, time.monotonic() - began), file=sys.stderr)
    for mode in modes:
        print("\n%s CPU in us per request%s (least-greatest of %d rounds of %.2f s): %s\n" % (
            "Server's and client's" if options.whole else "Server", ", ratio to nginx" * ("nginx" in names),
            options.rounds, options.seconds, mode))
        columns = ["scenario", *names, "drover to floor"]
        columns += ["%s to %s" % (name[len("drover, "):], Drover.mode) for name in names if name.startswith("drover, ")]
        columns += ["drover to before"] * ("before" in names)
        print("| %s | drover's system calls |" % " | ".join(columns))
        print("|" + "---|" * (len(columns) + 1))
        for name, (figures, calls, _) in results.items():
            print(table_row(SCENARIOS[name].title, figures[mode], names, calls))
            remarks += outliers("%s, %s" % (SCENARIOS[name].title, mode), figures[mode])
    print("".join("\n- %s." % remark for remark in remarks))
    return 0


if __name__ == "__main__":
    sys.exit(main())
