"""What a request costs: the scheduler's run time of all of a server's processes (their clocks, in nanoseconds) over
the requests that load.c counted as answered whole and right.

All servers run at once and idle; in each round each is loaded for a short slice, in an order that rotates.  Ratios
are taken within a round, so that a machine whose speed changes moves both sides.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess

import report
from servers import SCENARIOS, Drover, make_site, temporary_directory

PROGRAM_STATS = "/proc/sys/kernel/bpf_stats_enabled"
STEERED_MS = 1000

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
        requests = server.load("-t", str(STEERED_MS))
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
    in_turns = client_cpu == server_cpu
    for server in servers:
        server.pin(server_cpu, in_turns)
    for turn in range(count):
        shift = turn % len(servers)
        for server in servers[shift:] + servers[:shift]:
            result[server.name].append(server.measure(milliseconds, client_cpu, in_turns))
    return result


def check_logs(servers):
    """A log that is short would be a figure of something else."""
    for server in servers:
        if server.scenario.log and server.name != "floor" and server.logged() != server.requests:
            yield "%s logged %d of %d requests" % (server.name, server.logged(), server.requests)


def remarks_of(servers):
    for server in servers:
        if server.name in ("all", "none"):
            yield "%s layers: seccomp mode %s" % (server.name, layers_in_effect(server))
        if isinstance(server, Drover) and server.name.startswith("drover, directed"):
            yield "%s: %s" % (server.scenario.title, program_text(server))


@contextlib.contextmanager
def sites(names):
    """A directory with what these scenarios serve: made at once, so that it grows old for all of them."""
    top = temporary_directory()
    try:
        for name in names:
            make_site(os.path.join(top, "site"), SCENARIOS[name])
        yield top
    finally:
        shutil.rmtree(top)


def prepare(server, whole):
    """Nothing, or why it is left out: without drover and the floor there is no figure, without another server there is."""
    server.whole = whole
    try:
        server.start()
        server.warm_up()
    except (OSError, RuntimeError) as error:
        if isinstance(server, Drover) or server.name == "floor":
            raise
        server.stop()
        return "%s is left out: %s" % (server.name, " ".join(str(error).split()))
    return None


def run_scenario(top, name, classes, modes, options):
    """mode -> figures; remarks.  modes: name -> (CPU of the client, of the server, share of the rounds)"""
    servers = [cls(top, SCENARIOS[name], "%s-%s" % (name, cls.name)) for cls in classes]
    figures = {}
    try:
        reasons = {server: prepare(server, options.whole) for server in servers}
        servers = [server for server in servers if reasons[server] is None]
        for mode, (client_cpu, server_cpu, share) in modes.items():
            rounds = max(int(options.rounds * share), 2)
            figures[mode] = rounds_of(servers, rounds, int(options.seconds * 1000), client_cpu, server_cpu)
        remarks = [reason for reason in reasons.values() if reason is not None] + list(remarks_of(servers))
        for server in servers:
            server.stop()
        return figures, remarks + list(check_logs(servers))
    finally:
        for server in servers:
            server.stop()


# ---- layers of the sandbox ----

LIMITS = {"connections": 1000000, "requests": 1000000, "bandwidth": "100g"}
LAYERS = {
    "landlock": ("sandbox", {"landlock": True}, {"landlock": False}),
    "seccomp": ("sandbox", {"seccomp": True}, {"seccomp": False}),
    "sealed_code": ("sandbox", {"sealed_code": True}, {"sealed_code": False}),
    "no core_dumps": ("sandbox", {"core_dumps": False}, {"core_dumps": True}),
    "clients.*": ("clients", {**LIMITS, **{"network_" + name: value for name, value in LIMITS.items()}}, {}),
}
LAYERED = ("1k", "one-shot", "zipf")    # scenarios


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


def layers_in_effect(server):
    """What the kernel says of a worker; it says nothing of Landlock."""
    with open("/proc/%d/status" % server.workers()[0], encoding="ascii", errors="replace") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)["Seccomp"]


def bench_layers(options, modes):
    """What all layers cost, and what each does: all of them to all but that one."""
    pairs = [("all layers, to none", "all", "none")]
    pairs += [("all layers, to all without " + layer, "all", "without " + layer) for layer in LAYERS]
    with sites(options.scenario) as top:
        measured = [(name, *run_scenario(top, name, list(all_layered()), modes, options))
                    for name in options.scenario]
    for name, figures, remarks in measured:
        for mode, found in figures.items():
            print("\n%s: %s, us per request (%d rounds of %.1f s); with no layer %.2f, at least %.2f\n" % (
                SCENARIOS[name].title, mode, options.rounds, options.seconds, report.middle(found["none"]),
                min(found["none"])))
            print("| | ratio, median and quartiles | of the least ones |\n|---|---|---|")
            for title, mine, yours in pairs:
                print("| %s | %s | %.3f |" % (title, report.spread(report.ratios(found, mine, yours), 3),
                                              min(found[mine]) / min(found[yours])), flush=True)
        print("".join("\n- %s." % remark for remark in remarks))


