"""What the bench has measured, as Markdown: ratios, goals, tables.  Pure: no clock, no files, no processes.

The results are one dict that can be JSON; each part of the bench fills its own key, and its table is made of that
alone.  Ratios are of figures of the same round.
"""

import statistics

OUTLIER = 0.25          # further from the median than this share is reported
QUIET = 0.05            # of the CPUs, that other programs may have
STEADY = 0.03           # what idle connections may add to a request of others
START_MS, STRIPPED_BYTES, IDLE_BYTES = 20, 500000, 160
CALLS = {"keep-alive request": 2.02, "connection of one request": 4.05}
SLOWER = 1.10           # p99, to the floor's
HELD_UP_MS = 1          # what a pull from a slow disk may add to the p99 of others
# of drover: to nginx, to the floor; client and server in turns on one CPU
GOALS = {
    "1k": (0.60, 1.15),
    "browser": (0.55, 1.20),
    "404": (0.66, 1.12),
    "log": (0.60, 1.20),
    "uniform": (0.50, 1.45),
    "zipf": (0.57, 1.35),
    "pipelined": (0.12, 1.7),
    "one-shot": (0.68, 1.05),
    "100k": (0.77, 1.06),
    "10m": (0.98, 1.03),
}


def ratios(figures, name, other):
    """Round by round; None where one of them was not measured."""
    if name not in figures or other not in figures:
        return None
    return [mine / yours for mine, yours in zip(figures[name], figures[other])]


def middle(values):
    return None if not values else statistics.median(values)


def spread(values, digits=2):
    """Median and quartiles."""
    if not values:
        return "-"
    if len(values) == 1:
        return "%.*f" % (digits, values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return "%.*f (%.*f-%.*f)" % (digits, median, digits, low, digits, high)


def number(value, digits=2):
    """Infinite is what did not come."""
    if value == float("inf"):
        return "none"
    return "-" if value is None else "%.*f" % (digits, value)


def verdict(value, goal, digits=2):
    """The goal, and whether the value as it is printed meets it."""
    if value is None:
        return "%.*f" % (digits, goal)
    return "%.*f: %s" % (digits, goal, "met" if round(value, digits) <= goal else "missed")


def table(columns, rows):
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| %s |" % " | ".join(line) for line in lines)


# ---- CPU per request ----

def against_nginx(figures, goal):
    """A goal that lies below what the floor needs cannot be met by a server that makes the same system calls."""
    text = verdict(middle(ratios(figures, "drover", "nginx")), goal)
    floor = middle(ratios(figures, "floor", "nginx"))
    return text + ", below the floor" * (floor is not None and floor > goal)


def cost_row(title, figures, names, goals):
    cells = [title]
    for name in ("floor", "nginx"):
        if name in names:
            cells.append(number(middle(figures.get(name))))
    if "nginx" in names:
        cells += [spread(ratios(figures, name, "nginx")) for name in names if name != "nginx"]
    else:
        cells += [number(middle(figures.get(name))) for name in names if name != "floor"]
    if goals is not None and "nginx" in names:
        cells.append(against_nginx(figures, goals[0]))
    cells.append(spread(ratios(figures, "drover", "floor")))
    if goals is not None:
        cells.append(verdict(middle(ratios(figures, "drover", "floor")), goals[1]))
    for name in names:
        if name.startswith("drover, "):
            cells.append(spread(ratios(figures, name, "drover"), 3))
    if "before" in names:
        cells.append(spread(ratios(figures, "drover", "before"), 3))
    return cells


def cost_columns(names, with_goals):
    columns = ["scenario"] + [name + ", us" for name in ("floor", "nginx") if name in names]
    if "nginx" in names:
        columns += [name + " to nginx" for name in names if name != "nginx"]
        columns += ["goal"] * with_goals
    else:
        columns += [name + ", us" for name in names if name != "floor"]
    columns += ["drover to the floor"] + ["goal"] * with_goals
    columns += [name[len("drover, "):] + " to drover" for name in names if name.startswith("drover, ")]
    return columns + ["drover to before"] * ("before" in names)


def cost_table(scenarios, with_goals):
    """scenarios: name -> (title, server -> figures)"""
    names = list(max((figures for _, figures in scenarios.values()), key=len))     # one may lack a server
    rows = [cost_row(title, figures, names, GOALS.get(name) if with_goals else None)
            for name, (title, figures) in scenarios.items()]
    return table(cost_columns(names, with_goals), rows)


def outliers(title, figures):
    """Servers some of whose rounds are far off; in two rounds of a hundred that happens to anybody."""
    base = "nginx" if "nginx" in figures else "floor"
    for name in figures:
        values = ratios(figures, name, base)
        median = statistics.median(values)
        far = [value for value in values if abs(value / median - 1) > OUTLIER]
        if far:
            yield "%s, %s: %d of %d rounds are more than %d %% off the median ratio to %s: %s" % (
                title, name, len(far), len(values), OUTLIER * 100, base, ", ".join("%.2f" % value for value in far))


def short_table(scenarios):
    """The same in short: what a reader asks first."""
    rows = []
    for title, figures in scenarios.values():
        others = [number(middle(ratios(figures, name, "nginx"))) for name in ("floor", "h2o", "lighttpd", "drover")]
        rows.append([title, *others, number(middle(ratios(figures, "drover", "floor")))])
    return table(["server CPU per request", "the floor, to nginx", "h2o, to nginx", "lighttpd, to nginx",
                  "drover, to nginx", "drover, to the floor"], rows)


def picture_groups(scenarios):
    """[(title, server -> ratio to nginx)]"""
    return [(title, {name: middle(ratios(figures, name, "nginx")) for name in figures if name != "nginx"})
            for title, figures in scenarios.values() if "nginx" in figures]


def between(page, begin, end, content):
    """The page with what stands between the lines `begin` and `end` replaced."""
    head, found, rest = page.partition(begin + "\n")
    _, found_end, tail = rest.partition(end)
    if not found or not found_end:
        raise ValueError("there is no place for it: %s" % begin)
    return head + begin + "\n" + content.strip("\n") + "\n" + end + tail


# ---- the rest ----

def idle_table(idle):
    """idle: {"count": N, "own": server -> bytes, "kernel": server -> bytes}"""
    rows = [[name, number(own, 0), number(idle["kernel"].get(name), 0),
             verdict(own, IDLE_BYTES, 0) if name == "drover" else ""] for name, own in idle["own"].items()]
    return table(["server", "own bytes of an idle connection", "the kernel's, at the server's end", "goal"], rows)


def calls_table(calls):
    """calls: what -> server -> {system call: how often per request}"""
    rows = []
    for what, servers in calls.items():
        for server, counts in servers.items():
            total = sum(counts.values())
            named = ", ".join("%s %.2f" % (name, counts[name]) for name in sorted(counts, key=counts.get, reverse=True)
                              if counts[name] >= 0.005)
            rows.append([what, server, "%.2f" % total, named,
                         verdict(total, CALLS[what]) if server == "drover" else ""])
    return table(["per", "server", "system calls", "which", "goal"], rows)


def steady(values):
    value = middle(values)
    if value is None:
        return ""
    return "%.2f: %s" % (1 + STEADY, "met" if round(value, 2) <= 1 + STEADY else "missed")


def active_table(active):
    """active: [{"server", "workers", "idle", "with": [us], "without": [us]}]"""
    rows = []
    for one in active:
        values = ratios(one, "with", "without")
        rows.append([one["server"], "%d" % one["workers"], "{:,}".format(one["idle"]), number(middle(one["without"])),
                     number(middle(one["with"])), spread(values, 3),
                     steady(values) if one["server"].startswith("drover") else ""])
    return table(["server", "workers", "idle connections", "us without them", "us with them", "ratio", "goal"], rows)


def start_table(start):
    """start: server -> [ms]"""
    rows = [[name, number(middle(values), 1), "%.1f-%.1f" % (min(values), max(values)),
             verdict(middle(values), START_MS, 1) if name == "drover" else ""] for name, values in start.items()]
    return table(["server", "from exec to the first answer, ms, median of %d" % len(next(iter(start.values()))),
                  "least-greatest", "goal"], rows)


def size_text(size):
    return "drover's stripped binary has %s bytes (goal: under %s: %s)." % (
        "{:,}".format(size), "{:,}".format(STRIPPED_BYTES), "met" if size < STRIPPED_BYTES else "missed")


def latency_table(latency):
    """latency: {"rate": N, "p50": server -> [us], "p99": server -> [us]}, in rounds"""
    rows = []
    for name, values in latency["p99"].items():
        compared = ratios(latency["p99"], name, "floor")
        rows.append([name, number(middle(latency["p50"][name]), 0), number(middle(values), 0), spread(compared),
                     verdict(middle(compared), SLOWER) if name == "drover" else ""])
    return table(["server", "half, us", "p99, us", "p99 to the floor's", "goal"], rows)


NOBODY = "nobody"


def rise(cold, row):
    """By how much the p99 is above that of the same round in which nobody pulled."""
    alone = next(one for one in cold if one["server"] == row["server"] and one["pull"] == NOBODY)
    return middle([pulled - quiet for pulled, quiet in zip(row["p99"], alone["p99"])])


def cold_table(cold):
    """cold: [{"server", "pull": who pulls, "p50", "p99", "longest": [ms], "late": [requests], "pulled": [KB/s]}]"""
    rows = []
    for one in cold:
        cells = [one["server"], one["pull"], *[number(middle(one[key])) for key in ("p50", "p99", "longest")],
                 number(middle(one["late"]), 0), number(middle(one["pulled"]), 0)]
        risen = None if one["pull"] == NOBODY else rise(cold, one)
        goal = risen is not None and one["server"] == "drover"
        rows.append([*cells, number(risen), "under " * goal + (verdict(risen, HELD_UP_MS) if goal else "")])
    return table(["server", "who pulls from", "half, ms", "p99, ms", "longest, ms", "requests not sent for being late",
                  "pulled, KB/s", "p99 above that of nobody, ms", "goal"], rows)


def others_text(shares):
    """shares: what was measured -> what other programs had of the CPUs meanwhile"""
    if not shares:
        return ""
    most = max(shares, key=shares.get)
    return "Other programs had %.0f to %.0f %% of the CPUs meanwhile (most: %s)%s." % (
        100 * min(shares.values()), 100 * shares[most], most,
        ": the machine was not quiet" * (shares[most] > QUIET))
