"""The servers of the bench: drover, other web servers and the floor, each on one worker, with a site to serve.

Each is configured as fast as its documentation says.  drover has what it is shipped with: its sandbox, its
metrics, its steering.
"""

import collections
import contextlib
import http.client
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "blackbox"))

from drover import (BUILD, DROVER, PR_SET_PDEATHSIG, deadline, free_address, left, libc,  # noqa: E402
                    render, temporary_directory)

LOAD = os.path.join(BUILD, "tests/bench/load")
FLOOR = os.path.join(BUILD, "tests/bench/floor")
LONG_AGO = 1700000000   # of what is served: a server may take what has just changed for something that still changes
CONNECTIONS_MAX = 16384         # of a worker: what drover's `limits.connections` is shipped with
FILES_MAX = 20000               # descriptors
WARM_UP_MS = 200
SETTLED_SECONDS = 4     # since the site was made: then nobody takes it for something that still changes

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
Accept-Encoding: gzip, deflate, br, zstd
Accept-Language: en-GB,en-US;q=0.9,en;q=0.8,de;q=0.7
Cookie: session=8f14e45fceea167a5a36dedd4bea2543; theme=dark; consent=1
""".replace("\n", "\r\n")

Scenario = collections.namedtuple("Scenario", "title files length connections headers status depth one_shot log order",
                                  defaults=(32, "", 200, 1, False, False, ""))
KIB = 1024
ONE = ["/1k.html"]
MANY = ["/many/%02d/%04d.html" % (number % 100, number) for number in range(10000)]
SCENARIOS = {
    "1k": Scenario("1 KiB, keep-alive", ONE, KIB),
    "browser": Scenario("the same, a browser's headers", ONE, KIB, headers=BROWSER),
    "404": Scenario("404", ["/missing.html"], None, status=404),
    "log": Scenario("1 KiB, access log on", ONE, KIB, log=True),
    "uniform": Scenario("10,000 files of 4 KiB, uniform", MANY, 4 * KIB, order="-u"),
    "zipf": Scenario("10,000 files of 4 KiB, zipf", MANY, 4 * KIB, order="-z"),
    "pipelined": Scenario("1 KiB, pipelined 16 deep", ONE, KIB, depth=16),
    "one-shot": Scenario("1 KiB, a connection per request", ONE, KIB, one_shot=True),
    "100k": Scenario("100 KiB, keep-alive", ["/100k.html"], 100 * KIB),
    "10m": Scenario("10 MiB", ["/10m.html"], 10 * KIB * KIB, connections=4),
}


def content(path, length):
    """The bytes of the file at `path`: no two files, and no two parts of one, are the same."""
    line = "<!-- %s " % path
    rows = length // 16 + 1
    text = line + "".join("%015x\n" % (number * 2654435761 % 16 ** 15) for number in range(rows))
    return text[:length].encode()


def make_site(top, scenario):
    """Its files are old by the time of their content; that of their status is now."""
    os.makedirs(top, exist_ok=True)
    for path in scenario.files if scenario.status == 200 else []:
        if os.path.exists(top + path):          # another scenario's
            continue
        os.makedirs(os.path.dirname(top + path), exist_ok=True)
        with open(top + path, "wb") as file:
            file.write(content(path, scenario.length))
        os.utime(top + path, (LONG_AGO, LONG_AGO))


def clients_ns():
    """CPU of the clients that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return int(1e9 * (usage.ru_utime + usage.ru_stime))


def place(tid, cpu, in_turns):
    """On this CPU, which nobody else gets while the task wants it, where that is allowed (SCHED_FIFO). In turns:
    neither of two such tasks preempts the other that it wakes. The server finds what all connections sent, and the
    client what all got; else whoever needs less CPU would interrupt the other at each answer."""
    os.sched_setaffinity(tid, {cpu})
    try:
        os.sched_setscheduler(tid, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        os.sched_setscheduler(tid, os.SCHED_BATCH if in_turns else os.SCHED_OTHER, os.sched_param(0))


def tasks_of(pid):
    """The directories in /proc of all threads of a process and of its children. Threads may end meanwhile."""
    found, processes = [], [pid]
    while processes:
        for task in os.scandir("/proc/%d/task" % processes.pop()):
            with contextlib.suppress(FileNotFoundError), open(task.path + "/children", encoding="ascii") as file:
                processes += map(int, file.read().split())
                found.append(task.path)
    return found


def pin(pid, cpu, in_turns):
    """All its tasks, see place()."""
    for task in tasks_of(pid):
        with contextlib.suppress(ProcessLookupError):
            place(int(task.rsplit("/", 1)[1]), cpu, in_turns)


def process_ns(pid):
    """What a process has run, with its threads and those that have ended: its clock (clock_getcpuclockid(3))."""
    return time.clock_gettime_ns(~pid << 3 | 2)


class Server:
    """One server under test: a child of ours, with a directory of its own."""

    program = name = None
    worker_count = 1

    def __init__(self, top, scenario, label=None):
        self.dir = os.path.join(top, label or self.name)
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
        self.settled = os.stat(self.site).st_ctime + SETTLED_SECONDS

    @classmethod
    def installed(cls):
        return shutil.which(cls.program) is not None

    @classmethod
    def version(cls):
        done = subprocess.run([cls.program, "-v"], capture_output=True, text=True, check=False)
        return re.search(r"(?:/|version )([0-9.]+)", done.stdout + done.stderr).group(1)

    def write(self, text):
        path = os.path.join(self.dir, "conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return path

    def write_filled(self, text, **more):
        host, port = self.address
        return self.write(text.format(dir=self.dir, log=self.log, site=self.site, host=host, port=port,
                                      workers=self.worker_count, most=CONNECTIONS_MAX, files=FILES_MAX, **more))

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
        return tasks_of(self.process.pid)

    def workers(self):
        pids = {int(task.split("/")[2]) for task in self.tasks()}
        return sorted(pids - {self.process.pid}) or [self.process.pid]

    def pin(self, cpu, in_turns):
        pin(self.process.pid, cpu, in_turns)

    def asleep(self):
        for task in self.tasks():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError), \
                 open(task + "/stat", encoding="ascii", errors="replace") as file:
                if file.read().rsplit(")", 1)[1].split()[0] == "R":
                    return False
        return True

    def cpu_ns(self):
        """Run time so far; only exact while it sleeps, so that is waited for."""
        end = deadline()
        while left(end) and not self.asleep():
            os.sched_yield()
        return sum(process_ns(pid) for pid in {int(task.split("/")[2]) for task in self.tasks()})

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
        return command + ["-1"] * scenario.one_shot + [scenario.order] * bool(scenario.order)

    def load(self, *how, cpu=None, in_turns=False):
        """Loads it, and returns how many requests it answered."""
        pin = None if cpu is None else lambda: place(0, cpu, in_turns)
        done = subprocess.run(self.load_command(*how), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              preexec_fn=pin, check=False)
        if done.returncode != 0:
            raise RuntimeError("%s, %s: %s" % (self.name, self.scenario.title, done.stderr.strip()))
        count = int(done.stdout.split()[0])
        self.requests += count
        return count

    def warm_up(self):
        """Whatever it keeps of what is served, it has had the time to: each file was asked for about ten times, and
        is no longer one that has just changed."""
        self.check()
        self.load("-t", str(WARM_UP_MS))
        while self.scenario.status == 200 and time.time() < self.settled:
            self.load("-t", str(WARM_UP_MS))
        if len(self.scenario.files) > 1:
            self.load("-n", str(10 * len(self.scenario.files)))

    def measure(self, milliseconds, cpu, in_turns=False):
        """Microseconds of CPU per request."""
        before, client_before = self.cpu_ns(), clients_ns()
        count = self.load("-t", str(milliseconds), cpu=cpu, in_turns=in_turns)
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
worker_processes {workers};
worker_rlimit_nofile {files};
pid {dir}/pid;
error_log {dir}/error.log crit;
events {{ worker_connections {most}; multi_accept on; }}
http {{
    types {{ text/html html; }}
    log_format common '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent';
    access_log {log};
    log_not_found off;
    sendfile {sendfile};
    tcp_nopush {sendfile};
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
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
        path = self.write_filled(self.text.replace("{log}", log), sendfile="on" if large else "off")
        return [self.program, "-e", self.dir + "/error.log", "-p", self.dir, "-c", path]


class Lighttpd(Server):
    program, name = "lighttpd", "lighttpd"
    text = """\
server.document-root = "{site}"
server.bind = "{host}"
server.port = {port}
server.errorlog = "{dir}/error.log"
server.max-fds = {files}
server.max-connections = {most}
server.listen-backlog = 4096
server.defer-accept = 1
server.max-keep-alive-requests = 65535
server.max-keep-alive-idle = 3600
mimetype.assign = ( ".html" => "text/html" )
"""
    logging = """\
server.modules += ( "mod_accesslog" )
accesslog.filename = "{log}"
accesslog.format = "%h %l %u %t \\"%r\\" %>s %b"
"""

    def command(self):
        path = self.write_filled(self.text + self.logging * self.scenario.log)
        return [self.program, "-D", "-f", path]


class H2o(Server):
    program, name = "h2o", "h2o"
    text = """\
num-threads: 1
num-name-resolution-threads: 1
max-connections: {most}
http1-request-timeout: 3600
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
        path = self.write_filled(self.text + self.logging * self.scenario.log)
        return [self.program, "-m", "worker", "-c", path]


class Drover(Server):
    program, name = DROVER, "drover"
    mode = "directed"
    more = {}           # settings

    @classmethod
    def version(cls):
        done = subprocess.run([cls.program, "-V"], capture_output=True, text=True, check=False)
        return (done.stdout + done.stderr).split("\n")[0].replace(cls.name + " ", "")

    def command(self):
        settings = {
            "workers": self.worker_count,
            "accept": self.mode,
            "control": os.path.join(self.dir, "control"),
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


SERVERS = [Floor, Nginx, Lighttpd, H2o, Drover]
