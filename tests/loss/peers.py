"""Other web servers, as their operators run them: start, reload, another number of workers, a worker killed or frozen,
the binary upgraded, the service stopped.  And drover, in the same words.

Each is a process group of its own, has a directory of its own, and serves the files of `site`.  Used by compare.py;
nothing here knows of clients.  An action returns when the operator's command would: what it set off may go on.
"""

import contextlib
import os
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "blackbox"))

import drover  # noqa: E402  (the path comes first)
from drover import Drover, free_address, left, libc  # noqa: E402

PR_SET_CHILD_SUBREAPER = 36
WORKERS = 2
COUNTS = (4, 1, 2)              # what the number of workers changes to, again and again
LEAVING_SECONDS = 10            # an old worker with a slow download may take that long


def adopt_orphans():
    """nginx's upgrade leaves a master whose parent has gone: it shall be ours to wait for."""
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1)


def children(pid):
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid), encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except FileNotFoundError:
        return []


def parent(pid):
    return int(drover.process_status(pid)["PPid"])


class Peer:
    """One server.  A method `do_ACTION(step)` is an action that it knows; `text` is its configuration."""

    program = name = text = None
    stop_signal = signal.SIGTERM
    post_status = 405               # what it says to a POST to a file
    count = WORKERS                 # how many it starts with

    def __init__(self, top, site):
        self.dir = os.path.join(top, re.sub(r"\W+", "-", self.name))
        self.site = site
        self.address = free_address()
        self.group = None               # of all its processes; the number of their leader
        self.frozen = None
        os.makedirs(self.dir)
        os.chmod(self.dir, 0o777)       # its workers are somebody else

    @classmethod
    def installed(cls):
        return shutil.which(cls.program) is not None

    @classmethod
    def version(cls):
        done = subprocess.run([cls.program, "-v"], capture_output=True, text=True, check=False)
        return re.search(r"\d+\.\d+\.\d+", done.stdout + done.stderr).group(0)

    @classmethod
    def can(cls, action):
        return hasattr(cls, "do_" + action)

    def do(self, action, step):
        getattr(self, "do_" + action)(step)

    # how it begins and ends

    def path(self, name):
        return os.path.join(self.dir, name)

    def configure(self, workers=None, **more):
        with open(self.path("conf.new"), "w", encoding="utf-8") as file:
            file.write(self.text.format(dir=self.dir, site=self.site, workers=workers or self.count,
                                        leaving=LEAVING_SECONDS,
                                        host=self.address[0], port=self.address[1], **more))
        os.rename(self.path("conf.new"), self.path("conf"))

    def command(self):
        raise NotImplementedError

    def start(self):
        self.group = self.launch().pid
        self.wait_for(self.answers, "answer")

    def launch(self):
        self.configure()
        with open(self.path("stderr"), "ab") as errors:
            return subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=errors, stderr=errors,
                                    cwd=self.dir, process_group=0)

    def answers(self):
        with socket.socket() as probe:
            return probe.connect_ex(self.address) == 0

    def wait_for(self, condition, what):
        """Each look is separated from the next by a moment, or by the master's end."""
        end = drover.deadline()
        pidfd = os.pidfd_open(self.master())
        try:
            while not condition():
                if select.select([pidfd], [], [], min(0.01, left(end)))[0] and not condition():
                    raise RuntimeError("%s ended and did not %s:\n%s" % (self.name, what, self.said()))
        except TimeoutError:
            raise RuntimeError("%s did not %s:\n%s" % (self.name, what, self.said())) from None
        finally:
            os.close(pidfd)

    def said(self):
        with open(self.path("stderr"), encoding="utf-8", errors="replace") as errors:
            return errors.read()

    def master(self):
        return self.group

    def workers(self):
        return children(self.master())

    def close(self):
        """The leader of the group has not been waited for, so that the number is still ours."""
        if self.group is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.group, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-self.group, 0)
        self.group = None

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    # what all of them can do

    def do_nothing(self, step):
        pass

    def do_kill(self, step):
        """The youngest worker: an older one may be leaving anyway."""
        workers = self.workers()
        if workers:
            os.kill(workers[-1], signal.SIGKILL)

    def do_strike(self, step):
        """Any worker is killed."""
        workers = self.workers()
        if workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(random.choice(workers), signal.SIGKILL)

    def do_freeze(self, step):
        """Any worker is stopped, and goes on with the next step."""
        if step % 2 == 0 and self.workers():
            self.frozen = random.choice(self.workers())
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.frozen, signal.SIGSTOP)
        else:
            self.thaw()

    def thaw(self):
        """It may have been killed by a daemon that has no use for it."""
        if self.frozen is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.frozen, signal.SIGCONT)
        self.frozen = None

    def do_stop(self, step):
        os.kill(self.master(), self.stop_signal)


class Nginx(Peer):
    program, name, socket_options = "nginx", "nginx", ""
    stop_signal = signal.SIGQUIT
    text = """\
worker_processes {workers};
worker_rlimit_nofile 16384;
worker_shutdown_timeout {leaving}s;
pid {dir}/pid;
error_log {dir}/error.log crit;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    sendfile on;
    keepalive_requests 1000000000;
    client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
    server {{ listen {host}:{port} backlog=4096 {options}; root {site}; }}
}}
"""

    def configure(self, workers=None, **more):
        super().configure(workers, options=self.socket_options)

    def command(self):
        # the whole path: an upgrade executes just that
        return [shutil.which(self.program), "-e", self.path("error.log"), "-p", self.dir, "-c", self.path("conf")]

    def start(self):
        """In the background, where its parent has gone: in the foreground it refuses to be upgraded."""
        if self.launch().wait(drover.DEADLINE) != 0:
            raise RuntimeError("%s did not start:\n%s" % (self.name, self.said()))
        self.group = self.master()
        self.wait_for(lambda: self.answers() and len(self.workers()) == self.count, "start")

    def master(self):
        """While there is no file, one is taking over from the other."""
        with contextlib.suppress(FileNotFoundError, ValueError), open(self.path("pid"), encoding="ascii") as file:
            return int(file.read())
        return self.group

    def do_reload(self, step):
        os.kill(self.master(), signal.SIGHUP)

    def do_workers(self, step):
        self.configure(COUNTS[step % len(COUNTS)])
        self.do_reload(step)

    def do_upgrade(self, step):
        """nginx.org, "Upgrading Executable on the Fly": USR2, then QUIT to the old master.  It refuses while the
        one before still waits for its workers."""
        self.wait_for(lambda: parent(self.master()) == os.getpid(), "end its old master")
        old = self.master()
        os.kill(old, signal.SIGUSR2)
        self.wait_for(lambda: self.master() != old and len(self.workers()) >= self.count, "upgrade")
        os.kill(old, signal.SIGQUIT)


class NginxReuseport(Nginx):
    name, socket_options = "nginx, reuseport", "reuseport"


class Haproxy(Peer):
    """It serves no files: behind it is an nginx that nothing happens to."""

    program, name = "haproxy", "haproxy -W"
    stop_signal = signal.SIGUSR1
    text = """\
global
    master-worker
    nbthread {workers}
    maxconn 8000
    hard-stop-after {leaving}s
    stats socket {dir}/control level admin expose-fd listeners
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout http-keep-alive 60s
frontend all
    bind {host}:{port}
    default_backend files
backend files
    server nginx {behind}
"""

    def __init__(self, top, site):
        super().__init__(top, site)
        self.behind = Nginx(self.dir, site)

    @classmethod
    def installed(cls):
        return super().installed() and Nginx.installed()

    def configure(self, workers=None, **more):
        super().configure(workers, behind="%s:%d" % self.behind.address)

    def start(self):
        self.behind.start()
        super().start()

    def close(self):
        super().close()
        self.behind.close()

    def command(self):
        return [self.program, "-W", "-f", self.path("conf")]

    def do_reload(self, step):
        os.kill(self.master(), signal.SIGUSR2)

    def do_workers(self, step):
        self.configure(COUNTS[step % len(COUNTS)])
        self.do_reload(step)

    do_upgrade = do_reload      # the master executes itself anew either way


class H2o(Peer):
    program, name = "h2o", "h2o"
    text = """\
num-threads: {workers}
max-connections: 8192
pid-file: {dir}/pid
error-log: {dir}/error.log
http1-request-timeout: 60
http2-graceful-shutdown-timeout: {leaving}
listen: {{ host: {host}, port: {port} }}
hosts:
  default:
    paths:
      "/": {{ file.dir: "{site}" }}
"""

    def command(self):
        return [self.program, "-m", "master", "-c", self.path("conf")]

    def do_reload(self, step):
        os.kill(self.master(), signal.SIGHUP)

    def do_workers(self, step):
        self.configure(COUNTS[step % len(COUNTS)])
        self.do_reload(step)

    do_upgrade = do_reload      # start_server executes the program anew either way


class Lighttpd(Peer):
    program, name = "lighttpd", "lighttpd"
    stop_signal = signal.SIGINT
    post_status = 403
    text = """\
server.document-root = "{site}"
server.bind = "{host}"
server.port = {port}
server.errorlog = "{dir}/error.log"
server.max-worker = {workers}
server.max-fds = 16384
server.max-connections = 8192
server.listen-backlog = 4096
server.max-keep-alive-requests = 65535
server.max-keep-alive-idle = 60
server.graceful-shutdown-timeout = {leaving}
server.modules = ( "mod_access" )
$HTTP["request-method"] == "POST" {{ url.access-deny = ( "" ) }}
"""

    def command(self):
        return [self.program, "-D", "-f", self.path("conf")]

    def do_reload(self, step):
        os.kill(self.master(), signal.SIGUSR1)

    def do_workers(self, step):
        self.configure(COUNTS[step % len(COUNTS)])
        self.do_reload(step)


class Caddy(Peer):
    """One process with threads: there are no workers to count or to kill, only the whole."""

    program, name = "caddy", "caddy"
    text = """\
{{
    admin unix/{dir}/admin
    auto_https off
    grace_period {leaving}s
    log {{
        level ERROR
    }}
}}
http://:{port} {{
    bind {host}
    root * {site}
    @post method POST
    respond @post 405
    file_server
    header X-Step {step}
}}
"""

    def configure(self, workers=None, step=0, **more):
        super().configure(workers, step=step)

    @classmethod
    def version(cls):
        return subprocess.run([cls.program, "version"], capture_output=True, text=True, check=False).stdout.split()[0]

    def command(self):
        return ["env", "HOME=" + self.dir, self.program, "run", "--adapter", "caddyfile", "--config", self.path("conf")]

    def workers(self):
        return [self.master()]

    def do_reload(self, step):
        self.configure(step=step + 1)
        subprocess.run([self.program, "reload", "--adapter", "caddyfile", "--config", self.path("conf"),
                        "--address", "unix/" + self.path("admin")], stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=drover.DEADLINE, check=False)


class DroverPeer(Peer):
    """The daemon of this tree; each action is the operator's command, waits for its result, and has to work."""

    program, name = drover.DROVER, "drover"
    settings = {}                   # more of them

    def __init__(self, top, site):  # not super's: the daemon's own directory and address
        self.site = site
        self.server = self.frozen = None

    @classmethod
    def installed(cls):
        return True

    @classmethod
    def version(cls):
        return drover.run("-V").stdout.split()[1]

    def start(self):
        route = {"match": "/", "files": {"root": self.site}}
        self.server = Drover({"sites": [{"routes": [route]}], "workers": self.count, "timeouts": self.timeouts(0),
                              **self.settings}, program=self.program)
        self.address = self.server.address

    def close(self):
        if self.server is not None:
            self.server.close()

    @staticmethod
    def timeouts(step):
        return {"drain": "%ds" % LEAVING_SECONDS, "keep_alive": "%ds" % (60 + step % 2)}

    def operate(self, *words):
        result = self.server.ctl(*words)
        if result.returncode != 0:
            raise RuntimeError("droverctl %s: %s%s" % (" ".join(words), result.stdout, result.stderr))

    def workers(self):
        return list(self.server.workers().values())

    def master(self):
        return self.server.pid

    def do_reload(self, step):
        self.server.configure({"timeouts": self.timeouts(step)})
        self.operate("reload")

    def do_replace(self, step):
        self.operate("reload", "--replace")

    def do_workers(self, step):
        self.server.configure({"workers": COUNTS[step % len(COUNTS)]})
        self.operate("reload")

    def do_upgrade(self, step):
        self.operate("upgrade")


class DroverMode(DroverPeer):
    """In the accept mode `mode`; the name says which one is in effect."""

    mode = None

    def start(self):
        self.settings = {"accept": self.mode, **self.settings}
        super().start()
        self.name = "drover, " + in_effect(self.mode, self.server.status())


def in_effect(mode, status):
    """The mode, and what it fell back to."""
    effective = status["accept"]["effective"]
    return mode if effective == mode else "%s (in effect: %s)" % (mode, effective)


def in_mode(mode, base=DroverMode, **members):
    return type("Drover" + mode.title(), (base,), {"mode": mode, "name": "drover, " + mode, **members})


def with_workers(kind, count):
    return type(kind.__name__, (kind,), {"count": count})


MODES = ("directed", "reuseport", "cpu", "shared")
PEERS = (Nginx, NginxReuseport, Haproxy, H2o, Lighttpd, Caddy, DroverPeer)
