#!/usr/bin/env python3
"""What drover costs, beside other web servers and a floor.

    bench.py [--part NAME ...] [--scenario NAME ...] [--server NAME ...] [--cpus 1|2] [--seconds S] [--rounds N]
             [--quick] [--before DROVER] [--accept MODE ...] [--whole] [--layers] [--results FILE] [--show]
             [--write]

Parts: `cost` is the server's CPU per request in each scenario, client and server in turns on one CPU, then on a CPU
each (cost.py, 5 minutes); `calls` its system calls (calls.py); `idle` the memory of an idle connection, `active` what
idle connections, up to 100,000, cost others (idle.py); `start` how long from exec(2) to the first answer, and the
binary's size; `latency` the p99 at a rate that is kept (moments.py); `cold` what others notice while somebody pulls
from a slow disk (cold.py).  Everything takes about 15 minutes.

The figures go to build/bench/results.json, each beside what other runs have left there, and what is printed is made
of all of it: so parts and scenarios can be measured one by one.  --show prints, and measures nothing.  A run of
everything begins with none; it, and --write, put the tables into README.md and tests/MEASUREMENTS.md and draw
tests/bench/cost.svg.

What fails takes nothing else along: it is said, its figures are missing, and the exit status is 1.  What other programs
took of the CPUs meanwhile is said, too.  What is served lies in build/bench, where nothing else changes: below a
directory with millions of names (/tmp may be one) a start would be that of the kernel, which walks them all.

--quick: drover beside the floor, three scenarios on one CPU, in less than a minute; nothing of it is kept. It is for
--before, another build of drover in the same rounds: what a change costs.

--accept: the same drover in other accept modes, too; what the kernel's program of "directed" takes is said besides,
by the kernel's own count. It runs when a packet comes in, which on loopback is charged to whom sent it: --whole
adds the client's CPU.

--layers: only drover, with all layers of its sandbox and limits for clients that nobody reaches, with none of them,
and with each alone left out, and what each of them costs.

Before it is measured, every server must give the right bytes.  Peers that do not, or are not installed, are left out,
with a line.
Prints Markdown.
"""

import argparse
import contextlib
import fcntl
import json
import os
import platform
import re
import resource
import shutil
import signal
import socket
import stat
import struct
import sys
import tempfile
import time

import calls
import cold
import cost
import idle
import moments
import picture
import report
from drover import TOP
from servers import BUILD, SCENARIOS, SERVERS, Before, Drover, Floor, in_mode, libc

CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
CONGESTION = "/proc/sys/net/ipv4/tcp_congestion_control"
RESULTS = os.path.join(BUILD, "bench/results.json")
IN_TURNS, APART = "in turns", "apart"
PICTURE = os.path.join(TOP, "tests/bench/cost.svg")
BEGIN, END = "<!-- from here on by `make bench` -->", "<!-- until here -->"
MODES = {IN_TURNS: "client and server in turns on one CPU", APART: "client and server on a CPU each"}
QUICK = {"scenario": ["1k", "browser", "pipelined"], "server": [], "cpus": 1, "seconds": 0.25, "rounds": 16,
         "part": ["cost"]}
USUAL = {"scenario": list(SCENARIOS), "server": [cls.name for cls in SERVERS], "seconds": 0.25, "rounds": 12,
         "part": ["cost", "calls", "idle", "active", "start", "latency", "cold"]}


# ---- the machine ----

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


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = re.search(r"model name\s*: (.*)", file.read())
    with open(CONGESTION, encoding="ascii") as file:
        congestion = file.read().strip()
    return "Linux %s, %s, %d CPUs, %s" % (
        platform.release().split("-")[0], model.group(1) if model else platform.machine(), len(os.sched_getaffinity(0)), congestion)


def everybody_may_enter(path):
    while path != "/":
        if not os.stat(path).st_mode & stat.S_IXOTH:
            return False
        path = os.path.dirname(path)
    return True


@contextlib.contextmanager
def quiet_directory():
    """Temporary files lie where nothing else changes, and what is above it has few names."""
    path = tempfile.mkdtemp(prefix="d", dir=os.path.dirname(RESULTS))       # short: sockets are in it
    os.chmod(path, 0o755)
    if everybody_may_enter(os.path.realpath(path)):
        tempfile.tempdir = path
    else:
        print("The servers' workers may not enter %s: what is served lies in %s." % (path, tempfile.gettempdir()))
    try:
        yield
    finally:
        tempfile.tempdir = None
        shutil.rmtree(path)


class Others:
    """What programs that are not ours took of the CPUs since it was made; ours count once they were waited for."""

    def __init__(self):
        self.before = self.look()

    @staticmethod
    def look():
        """Seconds: the clock, all CPUs, this process and its children."""
        with open("/proc/stat", encoding="ascii") as file:
            user, nice, system, _, _, _, _, steal = map(int, file.readline().split()[1:9])
        mine = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return (time.monotonic(), (user + nice + system + steal) / os.sysconf("SC_CLK_TCK"),
                sum(usage.ru_utime + usage.ru_stime for usage in mine))

    def share(self):
        """Of all CPUs; 0 to 1."""
        seconds, used, mine = (now - then for now, then in zip(self.look(), self.before))
        return max(used - mine, 0) / (seconds * os.cpu_count())


def stored(path):
    if not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def store(path, results):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(results, file, indent=1)


# ---- parts ----

def modes_of(options):
    """name -> (CPU of the client, of the server, share of the rounds)"""
    cpus = sorted(os.sched_getaffinity(0))
    modes = {}
    if options.cpus != 2:
        modes[IN_TURNS] = (cpus[-1], cpus[-1], 1)
    if options.cpus != 1 and len(cpus) > 1:
        modes[APART] = (cpus[0], cpus[-1], 1 if options.cpus == 2 else 0.5)
    return modes


def run_cost(results, classes, options):
    """results["cost"]: mode -> scenario -> server -> microseconds of each round"""
    with cost.sites(options.scenario) as top:
        for name in options.scenario:
            for figures in results.setdefault("cost", {}).values():
                figures.pop(name, None)
            with spared(results, name):
                figures, remarks = cost.run_scenario(top, name, classes, modes_of(options), options)
                for mode, found in figures.items():
                    results["cost"].setdefault(mode, {})[name] = found
                    remarks += report.outliers("%s, %s" % (SCENARIOS[name].title, MODES[mode]), found)
                results["remarks"][name] = remarks
            yield name


def run_calls(results, classes, options):
    results["calls"] = calls.run(classes, modes_of(options).popitem()[1][1])
    yield "calls"


def run_idle(results, classes, options):
    results["idle"] = idle.run_memory(classes)
    yield "idle"


def run_active(results, classes, options):
    results["active"] = []
    for found in idle.run_active(classes, modes_of(options).popitem()[1][1], options.rounds,
                                 int(options.seconds * 1000)):
        results["active"].append(found)
        yield "active, %d idle of %s" % (found["idle"], found["server"])


def run_start(results, classes, options):
    results["start"] = moments.run_start([cls for cls in classes if cls is not Floor],
                                         sorted(os.sched_getaffinity(0))[-1])
    results["size"] = moments.stripped_bytes()
    yield "start"


def run_latency(results, classes, options):
    cpus = sorted(os.sched_getaffinity(0))
    results["latency"] = moments.run_latency(classes, cpus[0], cpus[-1], 5 * options.rounds)
    yield "latency"


def run_cold(results, classes, options):
    results["cold"] = cold.run(min(max(options.rounds // 2, 2), cold.MOST_ROUNDS))
    yield "cold"


PARTS = {"cost": run_cost, "calls": run_calls, "idle": run_idle, "active": run_active, "start": run_start,
         "latency": run_latency, "cold": run_cold}


@contextlib.contextmanager
def spared(results, what):
    """What fails is a remark, and takes nothing else along."""
    results.setdefault("remarks", {})[what] = []
    try:
        yield
    except Exception as error:
        results["remarks"][what] = ["%s failed: %s" % (what, " ".join(repr(error).split()))]
        results["failed"].append(what)


# ---- what is printed ----

def scenario_order(figures):
    return {name: (SCENARIOS[name].title, figures[name]) for name in SCENARIOS if name in figures}


def rounds_text(figures):
    return "%s rounds" % "/".join(sorted({str(len(found["floor"])) for found in figures.values()}, key=int))


def cost_text(results):
    for mode, figures in results.get("cost", {}).items():
        if not figures:
            continue
        yield "Server CPU per request, %s (medians, ratios with quartiles, of %s):" % (MODES[mode], rounds_text(figures))
        yield report.cost_table(scenario_order(figures), mode == IN_TURNS)


def rest_text(results):
    if "calls" in results:
        yield "System calls of the worker:"
        yield report.calls_table(results["calls"])
    if "idle" in results:
        yield "Memory of an idle keep-alive connection, of {:,}:".format(results["idle"]["count"])
        yield report.idle_table(results["idle"])
    if "active" in results:
        yield "CPU per request of 64 connections beside idle ones:"
        yield report.active_table(results["active"])
    if "start" in results:
        yield report.start_table(results["start"])
    if "size" in results:
        yield report.size_text(results["size"])
    if "latency" in results:
        yield "{:,} requests a second, each from when it was due:".format(results["latency"]["rate"])
        yield report.latency_table(results["latency"])
    if "cold" in results:
        yield ("How long 64 clients of warm files wait (one worker, 3,000 requests a second) while one more pulls a cold file "
               "from a disk or a FUSE that gives 1 MB/s:")
        yield report.cold_table(results["cold"])


def conditions_text(results):
    return "Machine: %s. Versions: %s. %s" % (
        results["machine"], "; ".join("%s %s" % item for item in results["versions"].items()),
        report.others_text(results.get("others", {})))


def whole_text(results):
    """All that is known."""
    pieces = [conditions_text(results)]
    pieces += [*cost_text(results), *rest_text(results)]
    remarks = [remark for remarks in results.get("remarks", {}).values() for remark in remarks]
    return "\n\n".join(pieces + ["\n".join("- %s." % remark for remark in remarks)] * bool(remarks))


def rewrite(path, content):
    with open(path, encoding="utf-8") as file:
        page = file.read()
    with open(path, "w", encoding="utf-8") as file:
        file.write(report.between(page, BEGIN, END, content))


def write_pages(results):
    """tests/MEASUREMENTS.md, and of the cost README.md and the picture."""
    rewrite(os.path.join(TOP, "tests/MEASUREMENTS.md"), whole_text(results))
    scenarios = scenario_order(results.get("cost", {}).get(IN_TURNS, {}))
    if not scenarios:
        return
    with open(PICTURE, "w", encoding="utf-8") as file:
        file.write(picture.draw(report.picture_groups(scenarios), "%s, one worker; %s" % (
            results["machine"].split(",")[0], MODES[IN_TURNS])))
    rewrite(os.path.join(TOP, "README.md"), "![Server CPU per request, to nginx](%s)\n\n%s\n\nMedians of %s. %s" % (
        os.path.relpath(PICTURE, TOP), report.short_table(scenarios), rounds_text(results["cost"][IN_TURNS]),
        conditions_text(results)))


# ---- the command line ----

def parse_options():
    parser = argparse.ArgumentParser(description="What drover costs, beside other web servers and a floor.")
    parser.add_argument("--part", action="append", choices=list(PARTS), help="default: all")
    parser.add_argument("--quick", action="store_true", help="a few scenarios of drover and the floor")
    parser.add_argument("--seconds", type=float, help="length of a slice (%s)" % USUAL["seconds"])
    parser.add_argument("--rounds", type=int, help="(%d; with a CPU each, half as many)" % USUAL["rounds"])
    parser.add_argument("--scenario", action="append", choices=list(SCENARIOS), help="default: all")
    parser.add_argument("--server", action="append", choices=[cls.name for cls in SERVERS],
                        help="default: all; the floor and drover are always there")
    parser.add_argument("--cpus", type=int, choices=(1, 2), help="default: both")
    parser.add_argument("--before", metavar="DROVER", help="another build of drover to compare with")
    parser.add_argument("--accept", action="append", choices=("reuseport", "directed", "cpu", "shared"), default=[],
                        help="drover in this accept mode, too")
    parser.add_argument("--layers", action="store_true", help="what each layer of the sandbox costs")
    parser.add_argument("--whole", action="store_true", help="the client's CPU, too")
    parser.add_argument("--results", metavar="FILE", help="where figures are kept (%s)" % RESULTS)
    parser.add_argument("--show", action="store_true", help="print what there is")
    parser.add_argument("--write", action="store_true", help="put what there is into README.md and the others")
    options = parser.parse_args()
    options.chosen = options.scenario
    for name, value in (QUICK if options.quick else USUAL).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    return options


def is_usual(options):
    """Everything is measured, and nothing else."""
    return all(getattr(options, name) == value for name, value in USUAL.items()) and not (
        options.show or options.layers or options.whole or options.accept or options.before or options.cpus)


def why_not(cls):
    """Why a peer is left out, None: it serves."""
    if not cls.installed():
        return "it is not installed"
    with cost.sites(["1k"]) as top:
        server = cls(top, SCENARIOS["1k"])
        try:
            server.start()
            server.check()
        except (OSError, RuntimeError) as error:
            return " ".join(str(error).split())
        finally:
            server.stop()
    return None


def choose_servers(options):
    for cls in SERVERS:
        if cls in (Floor, Drover):
            yield cls
        elif cls.name in options.server:
            reason = why_not(cls)
            if reason is None:
                yield cls
            else:
                print("%s is left out: %s." % (cls.name, reason))
    yield from map(in_mode, options.accept)
    if options.before is not None:
        Before.program = os.path.abspath(options.before)
        yield Before


def measure_part(results, part, classes, options):
    """Yields what has been done."""
    if part == "cost":          # each of its rows is spared on its own
        yield from run_cost(results, classes, options)
        return
    results.pop(part, None)
    with spared(results, part):
        yield from PARTS[part](results, classes, options)
    if part in results["failed"]:
        yield part


def measure(results, options):
    classes = list(choose_servers(options))
    results["versions"] = {cls.name: cls.version() for cls in classes}
    results["failed"] = []
    began, others = time.monotonic(), Others()
    for part in options.part:
        for what in measure_part(results, part, classes, options):
            share = results.setdefault("others", {})[what] = others.share()
            print("%s: %s after %d s; other programs had %.0f %% of the CPUs" % (
                what, "FAILED" if what in results["failed"] else "done", time.monotonic() - began, 100 * share),
                file=sys.stderr)
            if options.results is not None:
                store(options.results, results)
            others = Others()


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))       # what was begun is ended
    options = parse_options()
    everything = is_usual(options)
    if options.results is None and not options.quick:
        options.results = RESULTS
    results = stored(options.results) if options.results is not None and not everything else {}
    if not options.show:
        private = private_network()
        results["machine"] = machine() + ", not in a network of its own" * (not private)
        os.makedirs(os.path.dirname(RESULTS), exist_ok=True)
        with quiet_directory():
            if options.layers:
                options.scenario = options.chosen or cost.LAYERED
                cost.bench_layers(options, modes_of(options))
                return 0
            measure(results, options)
    print(whole_text(results))
    if options.write or everything:
        write_pages(results)
    return 1 if not options.show and results["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
