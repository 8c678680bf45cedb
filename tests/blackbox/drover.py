"""Starts the daemon in a temporary directory on a free address, and speaks to it over raw sockets.

Everything waits for an event or a state with a deadline; nothing sleeps.
"""

import collections
import contextlib
import ctypes
import fcntl
import json
import os
import random
import re
import select
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(TOP, os.environ.get("DROVER_BUILD", "build"))
DROVER = os.path.join(BUILD, "drover")
CTL = os.path.join(BUILD, "droverctl")
BROKEN = os.path.join(BUILD, "tests/upgrade/broken")
AIDED = os.path.join(BUILD, "tests/aids/drover")    # with a service that gets into trouble on request
DEADLINE = 30  # for what should take milliseconds, on a machine that is busy

PR_SET_PDEATHSIG = 1
LEVELS = ("error", "warning", "notice", "info", "debug")
libc = ctypes.CDLL(None)


def deadline(seconds=DEADLINE):
    return time.monotonic() + seconds


def left(when):
    """Seconds until `when`; TimeoutError if it is over."""
    rest = when - time.monotonic()
    if rest <= 0:
        raise TimeoutError("deadline passed")
    return rest


def free_address(family=socket.AF_INET):
    """An address on which nobody listens; random within 127/8, so that tests never meet on one."""
    if family == socket.AF_INET6:
        host = "::1"
    else:
        host = "127.%d.%d.%d" % (random.randint(1, 250), random.randint(0, 250), random.randint(2, 250))
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return host, probe.getsockname()[1]


def address_text(address):
    if isinstance(address, str):
        return "unix:" + address
    return "[%s]:%d" % address if ":" in address[0] else "%s:%d" % address


def render(settings, indent=""):
    """Settings as text in libconfig's syntax: dict for a group, list of dicts for a list, list for an array (also
    the empty one)."""
    lines = []
    for name, value in settings.items():
        lines.append("%s%s = %s;" % (indent, name, render_value(value, indent)))
    return "\n".join(lines) + "\n"


def render_value(value, indent):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return '"%s"' % value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    if isinstance(value, dict):
        return "{\n%s%s}" % (render(value, indent + "\t"), indent)
    if value and all(isinstance(item, dict) for item in value):
        return "( %s )" % ", ".join(render_value(item, indent) for item in value)
    return "[ %s ]" % ", ".join(render_value(item, indent) for item in value)


def temporary_directory():
    """A directory that the daemon's unprivileged workers may read."""
    path = tempfile.mkdtemp(prefix="drover-test-")
    os.chmod(path, 0o755)
    return path


def run(*args, env=None, program=DROVER, **more):
    """Runs the daemon's binary to its end; the result has returncode, stdout and stderr."""
    if env is None:  # -t asks the daemon at the default control socket: here there shall be none
        env = {**os.environ, "RUNTIME_DIRECTORY": "/proc/none"}
    return subprocess.run([program, *args], capture_output=True, text=True, errors="replace", env=env,
                          stdin=subprocess.DEVNULL, timeout=DEADLINE, **more)


class Event:
    """One line of the daemon's log."""

    FIELD = re.compile(r'(\S+?)=("(?:[^"\\]|\\.)*"|\S*)')

    def __init__(self, line):
        self.line = line
        self.level = self.role = self.name = ""
        self.fields = {}
        words = line.split(" ", 4)
        if len(words) < 3 or words[1] not in LEVELS:
            return
        self.level, self.role = words[1], words[2]
        rest = line.split(" ", 3)[3] if len(words) > 3 else ""
        if self.role == "worker" and rest.split(" ", 1)[0].isdigit():
            number, _, rest = rest.partition(" ")
            self.role += " " + number
        self.name, _, rest = rest.partition(" ")
        for key, value in self.FIELD.findall(rest):
            if value.startswith('"'):
                value = value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
            self.fields[key] = value

    def __repr__(self):
        return self.line


class Log:
    """Collects the lines of a stream and lets others wait for one."""

    def __init__(self, stream):
        self.events = []
        self.changed = threading.Condition()  # recursive: wait() calls find() and text()
        self.ended = False
        self.thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self.thread.start()

    def _read(self, stream):
        for line in stream:
            with self.changed:
                self.events.append(Event(line.decode(errors="replace").rstrip("\n")))
                self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()
        stream.close()

    def mark(self):
        """Where the log ends now; to be given to wait() as `since`."""
        with self.changed:
            return len(self.events)

    def find(self, name, since=0, **fields):
        with self.changed:
            return [event for event in self.events[since:]
                    if event.name == name and all(event.fields.get(k) == str(v) for k, v in fields.items())]

    def wait(self, name, since=0, count=1, seconds=DEADLINE, **fields):
        """Waits until `count` events called `name` with these fields came; returns the last one needed."""
        end = deadline(seconds)
        with self.changed:
            while True:
                found = self.find(name, since, **fields)
                if len(found) >= count:
                    return found[count - 1]
                if self.ended:
                    raise AssertionError("the daemon ended without event %s:\n%s" % (name, self.text()))
                if not self.changed.wait(max(0, end - time.monotonic())) and time.monotonic() >= end:
                    raise AssertionError("no event %s %s in %d s:\n%s" % (name, fields, seconds, self.text()))

    def after_exit(self, pid, slot, seconds=DEADLINE):
        """What the slot does when its worker has died: respawn_delayed, or worker_started at once."""
        end = deadline(seconds)
        died = self.wait("worker_exited", seconds=seconds, pid=pid)
        with self.changed:
            since = self.events.index(died)
            while not (found := self.find("respawn_delayed", since, slot=slot)
                       + self.find("worker_started", since, slot=slot)):
                if self.ended or not self.changed.wait(max(0, end - time.monotonic())):
                    raise AssertionError("nobody follows process %d:\n%s" % (pid, self.text()))
            return found[0]

    def text(self):
        with self.changed:
            return "\n".join(event.line for event in self.events)


class Drover:
    """A running daemon.  `settings` are laid over the defaults below; a string is the config file's text.

    args: the command line, instead of a config file.  passed: (descriptor, name) of the sockets that systemd
    passes, see sd_listen_fds(3).  `site` is the directory that is served.  own: it runs a copy of the binary,
    which install() replaces.  program: that binary, DROVER or AIDED."""

    def __init__(self, settings=None, args=None, wait=True, env=None, preexec=None, passed=(), own=False,
                 program=DROVER):
        self.dir = temporary_directory()
        self.binary = program
        if own:
            self.binary = os.path.join(self.dir, "drover")
            self.install(program)
        self.site = os.path.join(self.dir, "site")
        os.mkdir(self.site)
        self.write("index.html", "<p>hello\n")
        self.address = free_address()
        self.control = os.path.join(self.dir, "control.sock")
        self.config = os.path.join(self.dir, "drover.conf")
        self.settings = self.defaults()
        self.tries_calls = False
        self.process = None
        try:
            if args is None:
                self.configure(settings or {})
                args = ["-c", self.config]
            self._start(args, env, preexec, list(passed))
            if wait:
                self.log.wait("serving")
        except BaseException:
            self.close()
            raise

    def defaults(self):
        return {
            "workers": 2,
            "accept": "reuseport",
            "control": self.control,
            "listen": [{"address": address_text(self.address)}],
            "sites": [{"routes": [{"match": "/", "files": {"root": self.site}}]}],
        }

    def configure(self, settings):
        """Writes the config file: text as it is, settings over those of before."""
        if isinstance(settings, dict):
            self.settings = {**self.settings, **settings}
            settings = render(self.settings)
        with open(self.config + ".new", "w", encoding="utf-8") as file:
            file.write(settings)
        os.chmod(self.config + ".new", 0o644)
        os.rename(self.config + ".new", self.config)

    def _start(self, args, env, preexec, passed=()):
        self.how = (args, env, preexec, passed)
        tester = os.getpid()
        if passed:
            args = [self.binary, *args]
            env = {**(os.environ if env is None else env), "LISTEN_FDS": str(len(passed)),
                   "LISTEN_FDNAMES": ":".join(name for _, name in passed)}

        def prepare():
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != tester:
                os._exit(1)
            if preexec is not None:
                preexec()
            high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3 + len(passed)) for fd, _ in passed]
            for number, fd in enumerate(high, 3):
                os.dup2(fd, number)
            if passed:  # only the process itself knows LISTEN_PID
                os.execve(self.binary, args, {**env, "LISTEN_PID": str(os.getpid())})

        self.process = subprocess.Popen([self.binary, *args], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, env=env, process_group=0, cwd=self.dir,
                                        preexec_fn=prepare)
        self.pidfd = os.pidfd_open(self.process.pid)
        self.log = Log(self.process.stderr)

    # files

    def path(self, name):
        return os.path.join(self.site, name)

    def write(self, name, content):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
        os.chmod(path, 0o644)
        return path

    # what the operator does

    def install(self, source, how=""):
        """Puts a program where the daemon's binary is, as a package would; bytes are its content.  how: the way
        in which tests/upgrade/broken is broken."""
        new = self.binary + ".new"
        if isinstance(source, bytes):
            with open(new, "wb") as file:
                file.write(source)
            os.chmod(new, 0o755)
        else:
            shutil.copy(source, new)
        with open(self.binary + ".break", "w", encoding="ascii") as file:
            file.write(how)
        os.rename(new, self.binary)

    @property
    def pid(self):
        return self.process.pid

    def ctl(self, *args, seconds=DEADLINE):
        return subprocess.run([CTL, "--socket", self.control, *args], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=seconds)

    def status(self):
        result = self.ctl("status", "--json")
        if result.returncode != 0:
            raise AssertionError("droverctl status: %s%s" % (result.stdout, result.stderr))
        return json.loads(result.stdout)["status"]

    def workers(self, status=None):
        """The pids of the serving workers, by slot."""
        return {slot["slot"]: slot["pid"] for slot in (status or self.status())["slots"] if slot["pid"]}

    def wait_status(self, condition, seconds=DEADLINE):
        """Asks for the status until `condition` holds; each question is a round trip through the master."""
        end = deadline(seconds)
        while True:
            status = self.status()
            if condition(status):
                return status
            if time.monotonic() >= end:
                raise AssertionError("the state never came:\n%s\n%s" % (json.dumps(status), self.log.text()))
            select.select([self.pidfd], [], [], 0.01)  # between two questions, unless the daemon dies

    def generation(self):
        return self.status()["generation"]

    def reload(self, *args):
        """droverctl reload: (exit status, what it said)."""
        result = self.ctl("reload", *args)
        return result.returncode, (result.stdout + result.stderr).strip()

    def kill(self, number):
        os.kill(self.process.pid, number)

    def hup(self):
        self.kill(signal.SIGHUP)

    def wait_exit(self, seconds=DEADLINE):
        """The exit status; negative for a signal."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError("drover did not end:\n%s" % self.log.text()) from None

    def stop(self, number=signal.SIGTERM):
        self.kill(number)
        return self.wait_exit()

    def start_again(self):
        """As it was started the first time; its log begins anew."""
        os.close(self.pidfd)
        self._start(*self.how)
        self.log.wait("serving")

    def children(self):
        with open("/proc/%d/task/%d/children" % (self.pid, self.pid), encoding="ascii") as file:
            return sorted(int(word) for word in file.read().split())

    def close(self):
        """Ends the daemon and everything of its process group, and removes the directory."""
        if self.process is not None:
            if self.process.returncode is None:
                self.kill(signal.SIGINT)
                ended = select.select([self.pidfd], [], [], 5)[0]
                if not ended:
                    self.kill(signal.SIGKILL)
                # not reaped yet, so the process group is still ours
                try:
                    os.killpg(self.pid, signal.SIGKILL)
                except (ProcessLookupError, PermissionError):
                    pass
                self.process.wait()
            self.log.thread.join(5)
            os.close(self.pidfd)
            self.process = None
            self.remove_directory()
            self.check_log()
        self.remove_directory()

    def remove_directory(self):
        for path, directories, _ in os.walk(self.dir):
            for name in directories:  # a test may have closed one to everybody
                if not os.path.islink(os.path.join(path, name)):
                    os.chmod(os.path.join(path, name), 0o700)
        shutil.rmtree(self.dir, ignore_errors=True)

    def check_log(self):
        """What no test provokes: a sanitizer's report, an event that the state tables do not know, or, unless it
        says `tries_calls`, a system call that is on no list."""
        for event in self.log.events:
            refused = event.name == "syscall_denied" or event.fields.get("how") == "SYS"
            if (event.name.startswith("bug_") or (refused and not self.tries_calls)
                    or re.search(r"Sanitizer|runtime error:", event.line)):
                raise AssertionError(self.log.text())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # what clients do

    def client(self, address=None, **more):
        return Client(address or self.address, **more)

    def get(self, target="/", headers=(), method="GET", address=None):
        """One request on a connection of its own."""
        with self.client(address) as client:
            return client.request(target, headers, method, close=True)


def watches(pid):
    """inode -> mask, of what inotify watches for it."""
    found = {}
    for fd in os.listdir("/proc/%d/fdinfo" % pid):
        try:
            with open("/proc/%d/fdinfo/%s" % (pid, fd), encoding="ascii") as file:
                rows = [line.split() for line in file if line.startswith("inotify ")]
        except FileNotFoundError:
            continue
        found.update({int(row[2][4:], 16): int(row[4][5:], 16) for row in rows})
    return found


def fds(pid):
    return len(os.listdir("/proc/%d/fd" % pid))


def fd_links(pid):
    """What the process has open, as links of proc(5)."""
    found = []
    for name in os.listdir("/proc/%d/fd" % pid):
        try:
            found.append(os.readlink("/proc/%d/fd/%s" % (pid, name)))
        except FileNotFoundError:       # closed meanwhile
            pass
    return found


HELPERS = 5         # of a worker: for the log, requests, files on disks, far ones, watches


def lasting(links):
    """How many of these there are, but for helpers' eventfds: each has one from the first time on that it is needed."""
    return len(links) - min(HELPERS, links.count("anon_inode:[eventfd]"))


def lasting_fds(pid):
    return lasting(fd_links(pid))


def wait_fds(pid, most):
    """Until it has no more than so many open: of who has been reaped, or answered, something may not be closed yet."""
    end = deadline()
    while (count := fds(pid)) > most:
        if time.monotonic() >= end:
            raise AssertionError("%d descriptors instead of %d: %s" % (count, most, sorted(fd_links(pid))))
        os.sched_yield()


def bpf_fds(pid):
    """What the process has of the kernel's programs and maps."""
    return [link for link in fd_links(pid) if "bpf" in link]


def process_state(pid):
    """The letter of proc(5): R, S, T ...; "" when there is no such process."""
    try:
        with open("/proc/%d/stat" % pid, encoding="ascii", errors="replace") as file:
            return file.read().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def process_status(pid):
    with open("/proc/%d/status" % pid, encoding="ascii", errors="replace") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def journal_fields(record):
    """A record of the journal's native protocol, as journald reads it; a field twice is an error."""
    found = {}
    while record:
        line, _, record = record.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            length = int.from_bytes(record[:8], "little")
            value, record = record[8:8 + length], record[8 + length + 1:]
        if name.decode() in found:
            raise AssertionError("%s stands in the record twice" % name.decode())
        found[name.decode()] = value
    return found


def wait_dead(pid, seconds=DEADLINE):
    """Waits until a process that need not be our child is gone."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if not select.select([fd], [], [], seconds)[0]:
            raise AssertionError("process %d did not end" % pid)
    finally:
        os.close(fd)


def wait_stopped(pid, seconds=DEADLINE):
    end = deadline(seconds)
    while process_state(pid) not in ("T", ""):
        left(end)
        os.sched_yield()


def wait_asleep(pid):
    """It has nothing in hand: whoever got an answer may be ahead of whoever gave it."""
    end = deadline()
    while process_state(pid) != "S":
        left(end)
        os.sched_yield()


def strike(pid, number):
    """A fault of the loop's own thread, and of no helper's."""
    libc.tgkill(pid, pid, number)


def stop(pid):
    os.kill(pid, signal.SIGSTOP)
    wait_stopped(pid)


def go_on(pid):
    """It may have been killed meanwhile."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


class Response(collections.namedtuple("Response", "version status reason headers body")):
    """headers: a list of (lower-case name, value)."""

    def header(self, name):
        values = [value for key, value in self.headers if key == name.lower()]
        return values[0] if values else None

    @property
    def closes(self):
        options = [word.strip().lower() for key, value in self.headers if key == "connection"
                   for word in value.split(",")]
        return "close" in options or (self.version == "HTTP/1.0" and "keep-alive" not in options)


class Closed(Exception):
    """The connection ended; `partial` is what had come of the answer."""

    def __init__(self, partial=b""):
        super().__init__("connection closed after %r" % partial[:200])
        self.partial = partial


class Client:
    """A connection that reads exactly one response at a time."""

    def __init__(self, address, seconds=DEADLINE, receive_buffer=None, source=None):
        family = (socket.AF_UNIX if isinstance(address, str)
                  else socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(seconds)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            if source is not None:
                self.socket.bind((source, 0))
            self.socket.connect(address)
        except BaseException:
            self.socket.close()
            raise
        if family != socket.AF_UNIX:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.host = address if isinstance(address, str) else address[0]
        self.buffer = bytearray()

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode("latin-1"))

    def head(self, target="/", headers=(), method="GET", close=False, version="HTTP/1.1", host=None):
        lines = ["%s %s %s" % (method, target, version)]
        if host is not False:
            lines.append("Host: %s" % (host or "test.example"))
        lines += ["%s: %s" % pair for pair in (headers.items() if isinstance(headers, dict) else headers)]
        if close:
            lines.append("Connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def request(self, target="/", headers=(), method="GET", **more):
        self.send(self.head(target, headers, method, **more))
        return self.response(method)

    def hurry(self):
        """Takes bytes fast from now on, after having been made with a small receive_buffer."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        return self

    def _more(self):
        data = self.socket.recv(1 << 18)
        if not data:
            raise Closed(bytes(self.buffer))
        self.buffer += data

    def read(self, count):
        while len(self.buffer) < count:
            self._more()
        data = bytes(memoryview(self.buffer)[:count])
        del self.buffer[:count]
        return data

    def line(self):
        while b"\r\n" not in self.buffer:
            self._more()
        line = self.read(self.buffer.index(b"\r\n") + 2)
        return line[:-2].decode("latin-1")

    def rest(self):
        """All until the connection is closed."""
        while True:
            try:
                self._more()
            except Closed:
                data = bytes(self.buffer)
                self.buffer.clear()
                return data

    def response(self, method="GET"):
        while b"\r\n\r\n" not in self.buffer:
            self._more()
        version, code, reason = (self.line().split(" ", 2) + [""])[:3]
        headers = []
        while line := self.line():
            name, _, value = line.partition(":")
            headers.append((name.lower(), value.strip()))
        head = Response(version, int(code), reason, headers, b"")
        if method == "HEAD" or head.status in (204, 304) or head.status < 200:
            return head
        if (head.header("transfer-encoding") or "").lower() == "chunked":
            body = self._chunked()
        elif head.header("content-length") is not None:
            body = self.read(int(head.header("content-length")))
        else:
            body = self.rest()
        return head._replace(body=body)

    def _chunked(self):
        body = b""
        while size := int(self.line().split(";")[0], 16):
            body += self.read(size)
            self.line()
        while self.line():
            pass
        return body

    def at_end(self):
        """Waits for the peer's end: True for a FIN with nothing before it, an exception for a reset."""
        return self.rest() == b""

    def is_quiet(self):
        """True when nothing has come and the peer has not closed, as of now."""
        if self.buffer:
            return False
        self.socket.setblocking(False)
        try:
            self.socket.recv(1, socket.MSG_PEEK)
            return False
        except BlockingIOError:
            return True
        finally:
            self.socket.settimeout(DEADLINE)


def is_socket(path):
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except FileNotFoundError:
        return False
