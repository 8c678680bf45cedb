"""System calls per request of a server's worker, counted by the kernel's own tracepoints (perf), which change nothing
about how it runs; by strace where perf may not.

Client and server take turns on one CPU with many connections, so that what is done once in a turn of the server's
loop is spread over as many requests for every server.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess

from servers import SCENARIOS, make_site, temporary_directory

REQUESTS = 40000
# a turn of more connections that end with their answer would be longer than the scheduler's slice, and be cut
KINDS = {"keep-alive request": SCENARIOS["1k"]._replace(connections=64),
         "connection of one request": SCENARIOS["one-shot"]._replace(connections=40)}
ALL = "raw_syscalls:sys_enter"
EVENT = "syscalls:sys_enter_"
# what gets a name; each event more makes perf slower to begin
NAMED = ("accept4", "close", "epoll_ctl", "epoll_pwait", "epoll_wait", "fcntl", "futex", "getsockname", "getsockopt",
         "ioctl", "lseek", "newfstat", "newfstatat", "openat", "openat2", "pread64", "read", "readv", "recvfrom",
         "recvmsg", "sendfile64", "sendmsg", "sendto", "setsockopt", "shutdown", "statx", "write", "writev")


def count_by_perf(server, events, work):
    """event -> how often; None where perf may not."""
    output = os.path.join(server.dir, "perf")
    control_out, control = os.pipe()
    ack, ack_in = os.pipe()
    tids = ",".join(task.rsplit("/", 1)[1] for task in server.tasks())
    command = ["perf", "stat", "-x", ";", "-o", output, "-D", "-1", "--control", "fd:%d,%d" % (control_out, ack_in),
               "-e", ",".join(events), "-t", tids]
    with subprocess.Popen(command, pass_fds=(control_out, ack_in), stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as perf, contextlib.ExitStack() as fds:
        os.close(control_out)
        os.close(ack_in)
        fds.callback(os.close, control)
        fds.callback(os.close, ack)

        def tell(what):
            with contextlib.suppress(BrokenPipeError):
                os.write(control, what + b"\n")
            return os.read(ack, 16) != b""

        counting = tell(b"enable")
        if counting:
            work()
            tell(b"disable")
        perf.send_signal(signal.SIGINT)         # it then writes what it has
    if not counting:
        return None
    with open(output, encoding="ascii") as file:
        return dict(parse_counts(file))


def parse_counts(lines):
    """(event, how often) of what perf stat -x writes."""
    for line in lines:
        fields = line.rstrip("\n").split(";")
        if len(fields) > 2 and fields[0].isdigit():
            yield fields[2], int(fields[0])


def count_by_strace(server, work):
    """name -> how often; None where strace may not, either."""
    log = os.path.join(server.dir, "strace")
    pids = [word for pid in server.workers() for word in ("-p", str(pid))]
    with subprocess.Popen(["strace", "-f", "-c", "-o", log, *pids], stderr=subprocess.PIPE) as tracer:
        if b"attached" not in tracer.stderr.readline():         # it says so when it is
            return None
        work()
        tracer.terminate()
        tracer.stderr.read()
    with open(log, encoding="utf-8") as file:
        rows = [line.split() for line in file if re.match(r" *[0-9.]+ ", line)]
    return {row[-1]: int(row[3]) for row in rows if row[-1] != "total"}


def count(server, work):
    """name -> how often, while `work` runs."""
    if shutil.which("perf") is not None:
        counts = count_by_perf(server, [ALL, *(EVENT + name for name in NAMED)], work)
        if counts:
            named = {event[len(EVENT):]: number for event, number in counts.items() if event != ALL}
            return {**named, "others": counts[ALL] - sum(named.values())}
    if shutil.which("strace") is not None:
        return count_by_strace(server, work)
    return None


def count_kind(scenario, classes, cpu):
    """server -> {system call: how often per request}"""
    top = temporary_directory()
    server, found = None, {}
    try:
        make_site(os.path.join(top, "site"), scenario)
        for cls in classes:
            server = cls(top, scenario)
            server.start()
            server.warm_up()
            server.pin(cpu, True)
            counts = count(server, lambda: server.load("-n", str(REQUESTS), cpu=cpu, in_turns=True))
            if counts is not None:
                found[cls.name] = {name: number / REQUESTS for name, number in counts.items()}
            server.stop()
        return found
    finally:
        if server is not None:
            server.stop()
        shutil.rmtree(top)


def run(classes, cpu):
    """kind of request -> server -> {system call: how often per request}"""
    return {kind: count_kind(scenario, classes, cpu) for kind, scenario in KINDS.items()}
