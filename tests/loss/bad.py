#!/usr/bin/env python3
"""What clients lose while workers are in trouble.

    bad.py                 the full table: REQUESTS requests in each cell
    bad.py --short         short cells, for `make check`
    bad.py --requests N    the full table with so many
    bad.py CELL ...        the cells with these words in their names; after the options

In each cell workers are killed, stopped, or stall (trouble.py), again and again, in an accept mode, over IPv4, IPv6
and a unix socket, while the operator reloads, resizes, replaces, upgrades, or does nothing; a short cell has one of
these, another one in each mode.

Nobody may be refused, no answer may be wrong, and nothing may stall.  Where no worker dies, nothing at all may be
lost, and no idle connection may close.  Of workers that die, what they had in hand is lost, and nothing more: at any
moment no more connections have ended than those had open, by the daemon's own count, that had been killed by then;
and in the end none of those that the daemon says have survived.
A reload that fails because all who were asked died, or because one is stopped and not killed yet, changes nothing,
and is no loss either.
Prints a Markdown table and "N passed, N failed, N skipped" (one test is one cell); exit status 1 when one failed.
"""

import concurrent.futures
import sys
import time

import clients
import loss
import trouble
from clients import LOSSES
from loss import Cell
from trouble import take
import drover

REQUESTS = 20000
FULL_RATE, SHORT_RATE = 4000, 600
SHORT_SECONDS = 1.6
SIDE_BY_SIDE = 2        # short cells, which mostly wait
WORKERS = 4
MODES = ("directed", "reuseport", "cpu", "shared")
# What a worker that dies takes with it: the requests that it had in hand, and the connections.
IN_HAND = ("reset", "unanswered", "truncated", "crossed", "idle_closed", "reset_after")


# Why a reload may fail: nothing has changed then.
VOTERS_GONE = ("every worker that was asked died", "did not say READY within")


def are_gone(text):
    return any(reason in text for reason in VOTERS_GONE)


def resize(server, step):
    server.configure({"workers": (2, 4)[step % 2]})
    loss.expect(server.reload())


# name: (what is done, are connections moved by it)
ACTS = {
    "nothing": (loss.undisturbed, False),
    "reload": (loss.reload, False),
    "workers 2-4": (resize, True),
    "reload --replace": (loss.replace, True),
    "upgrade": (loss.upgrade, True),
}


class BadCell(Cell):
    program = drover.AIDED
    routes = (trouble.ROUTE,)

    def __init__(self, name, act_name, mode, size):
        self.act_name, self.make_trouble = act_name, trouble.TROUBLES[name]
        self.kills = self.make_trouble.kills
        self.settings = {"workers": WORKERS, **self.make_trouble.settings,
                         "timeouts": {"drain": "%ds" % loss.DRAIN_SECONDS, **self.make_trouble.timeouts}}
        super().__init__(name, ACTS[act_name][0], mode, size)
        if self.kills:
            self.allowed, self.client_options = IN_HAND, {"reopen": 1}
        self.in_hand = self.survived = self.called_off = 0

    def disturb(self, server):
        self.trouble = self.make_trouble(server)
        self.trouble.start()
        try:
            super().disturb(server)
        finally:
            self.trouble.end()
            self.problems += [self.trouble.problem] * (self.trouble.problem is not None)

    def operate(self, server):
        try:
            super().operate(server)
        except AssertionError as error:
            if not self.kills or not are_gone(str(error)):
                raise
            self.called_off += 1

    def check_end(self, server, before):
        status = server.wait_status(lambda status: all(slot["pid"] for slot in status["slots"]))
        if not self.trouble.times:
            self.problems.append("nothing befell anybody")
        if self.steps < 1:
            self.problems.append("the operator did nothing")
        if status["last_reload"]["failed"] - before["failed"] > self.called_off:
            self.problems.append("a reload failed")
        self.moved = sum(count for name, count in status["totals"].items() if name.startswith("handed_"))
        self.check_stop(server, server.stop())
        self.check_deaths(server, status)

    def check_deaths(self, server, status):
        """All that died were killed, and what ended is no more than they had."""
        self.trouble.settle()
        self.endings += self.trouble.own_endings
        exits, drained = server.log.find("worker_exited"), server.log.find("worker_drained")
        counted = sum(int(event.fields.get("lost", 0)) for event in exits)
        if counted != status["totals"]["lost_crashed"]:
            self.problems.append("lost_crashed is %d, not %d" % (status["totals"]["lost_crashed"], counted))
        deaths = [(when, take(exits, when, pid), take(drained, when, pid)) for when, pid in self.trouble.deaths]
        self.problems += [event.line for event in exits if event.level == "error"]
        # the signal may have come to one that had just left; one that drained, and ended with status 0 before it was
        # done, is one that cut what it still had
        had = [(when, int(exit.fields.get("lost", 0)) if exit else int(cut.fields["cut"]) if cut else 0)
               for when, exit, cut in deaths]
        self.in_hand = sum(connections for _, connections in had)
        self.survived = status["totals"]["survived"]
        if len(self.endings) > self.in_hand - self.survived:
            self.problems.append("%d connections ended: of %d in hand %d survived" % (
                len(self.endings), self.in_hand, self.survived))
            self.problems += [event.line for event in server.log.find("worker_killed") + exits]   # of whom nobody knew
        self.problems += clients.surplus(self.endings, had)

    def check_stop(self, server, status):
        stopped = server.log.wait("stopped")
        if status != 0 or stopped.fields["lost"] != "0" or stopped.fields["cut"] != "0":
            self.problems.append("status %d, %s" % (status, stopped.line))
        self.problems += [event.line for event in server.log.events
                          if event.level == "error" and not self.is_expected(event)]

    def is_expected(self, event):
        """Deaths are judged in check_deaths; who has just died may be spoken to before that is known."""
        return (event.name == "worker_exited" or (self.called_off and are_gone(event.line)) or
                (self.kills and event.name == "worker_unreachable" and
                 any(reason in event.line for reason in ("Broken pipe", "Connection reset by peer"))))

    def figures(self):
        """All but the last are sums."""
        lost = sum(self.counts[outcome] for outcome in LOSSES)
        return (self.trouble.times, self.steps, self.counts["requests"] - self.counts["refused"],
                self.counts["refused"], self.in_hand, self.survived, len(self.endings), lost,
                sum(1 for ending in self.endings if ending[4]), self.slowest_ms)

    def row(self):
        return row((self.name, self.act_name, self.mode), self.figures())


def row(words, figures):
    return "| %s |" % " | ".join([*words, *("%.0f" % figure for figure in figures)])


def sums(cells_done):
    """A row for each trouble, over all modes and all that the operator does."""
    for name in trouble.TROUBLES:
        figures = [cell.figures() for cell in cells_done if cell.name == name]
        if figures:
            yield row((name, "all of these", "all"), (*map(sum, list(zip(*figures))[:-1]), max(one[-1] for one in figures)))


def cells(size, short):
    """In a short table each trouble meets another act in each mode."""
    acts = list(ACTS)
    for row, name in enumerate(trouble.TROUBLES):
        for column, mode in enumerate(MODES):
            for act in [acts[(row + column) % len(acts)]] if short else acts:
                yield BadCell(name, act, mode, size)


def table(some, width):
    """(passed, failed)"""
    print("| while | and | mode | times | operator | requests | refused | in hand | survived | connections ended"
          " | requests lost | on new connections | slowest, ms |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|", flush=True)
    done, passed, failed = [], 0, 0
    with concurrent.futures.ThreadPoolExecutor(width) as pool:
        for cell, good in zip(some, pool.map(lambda cell: cell.run(), some)):
            if hasattr(cell, "trouble"):
                done.append(cell)
                print(cell.row(), flush=True)
            for problem in cell.problems[:20]:
                print("%s, %s, %s: %s" % (cell.mode, cell.name, cell.act_name, problem), flush=True)
            passed, failed = passed + good, failed + (not good)
    print("\n".join(sums(done)))
    return passed, failed


def main(arguments):
    size, width = {"seconds": 1000, "requests": REQUESTS, "rate": FULL_RATE}, 1
    while arguments and arguments[0].startswith("--"):
        option = arguments.pop(0)
        if option == "--short":
            size, width = {"seconds": SHORT_SECONDS, "requests": 0, "rate": SHORT_RATE}, SIDE_BY_SIDE
        elif option == "--requests" and arguments and arguments[0].isdigit():
            size["requests"] = int(arguments.pop(0))
        else:
            print(__doc__.strip())
            return 2
    some = [cell for cell in cells(size, width > 1)
            if not arguments or any(word in "%s %s %s" % (cell.name, cell.act_name, cell.mode)
                                    for word in arguments)]
    passed, failed = table(some, width)
    print("%d passed, %d failed, 0 skipped" % (passed, failed))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
