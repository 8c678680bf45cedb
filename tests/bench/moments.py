"""How long it takes: from exec(2) to the first answer, and answers at a rate that is kept (the p99).

The first answer waits for no watch: a helper lays those. But the kernel's work for a directory with millions of names
takes one CPU of two meanwhile, so bench.py has a directory of its own.

At the rate, requests are due whatever the server does, and each one's time counts from when it was due (flood.c):
who stalls is not spared the requests that a client would have sent meanwhile.  Server and client have a CPU each,
and nobody else gets it while they want it (SCHED_FIFO): these are times of the server and not of its neighbours.
"""

import os
import shutil
import socket
import subprocess
import time

from drover import deadline, left
from servers import BUILD, DROVER, SCENARIOS, make_site, place, temporary_directory

FLOOD = os.path.join(BUILD, "tests/bench/flood")
STARTS = 20
RATE = 20000            # requests a second
ROUND_MS = 100          # a machine that others share stops for a moment now and then: most rounds are to be without
PATIENCE_MS = 5000
SCENARIO = SCENARIOS["1k"]


# ---- the start ----

def answered(address, target):
    with socket.socket() as connection:
        if connection.connect_ex(address) != 0:
            return False
        connection.settimeout(10)
        connection.sendall(b"GET %s HTTP/1.1\r\nHost: start.example\r\n\r\n" % target.encode())
        return connection.recv(12) == b"HTTP/1.1 200"


def start_ms(server, cpu):
    """From just before exec(2); who waits for it has another CPU."""
    command, end = server.command(), deadline()
    began = time.monotonic_ns()
    server.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL, preexec_fn=lambda: place(0, cpu, False))
    while not answered(server.address, server.scenario.files[0]):
        left(end)
        os.sched_yield()
    took = time.monotonic_ns() - began
    server.stop()
    return took / 1e6


def run_start(classes, cpu):
    """server -> milliseconds; in rounds"""
    found = {cls.name: [] for cls in classes}
    for _ in range(STARTS):
        for cls in classes:
            top = temporary_directory()
            make_site(os.path.join(top, "site"), SCENARIO)
            server = cls(top, SCENARIO)
            try:
                found[cls.name].append(start_ms(server, cpu))
            finally:
                server.stop()
                shutil.rmtree(top)
    return found


def stripped_bytes():
    top = temporary_directory()
    try:
        copy = os.path.join(top, "drover")
        subprocess.run(["strip", "-o", copy, DROVER], check=True)
        return os.path.getsize(copy)
    finally:
        shutil.rmtree(top)


# ---- the rate ----

def flood(server, cpu):
    """(half of them, 99 %) took at most so many microseconds."""
    host, port = server.address
    command = [FLOOD, "-a", host, "-p", str(port), "-u", server.scenario.files[0], "-b", str(server.length),
               "-k", "100", "-w", str(PATIENCE_MS), "-r", str(RATE), "-t", str(ROUND_MS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True,
                          preexec_fn=lambda: place(0, cpu, False))
    seconds = [[int(word) for word in line.split()] for line in done.stdout.splitlines()]
    _, good, refused, silent, reset, busy, half, most, _ = seconds[0]   # all of a round shorter than a second
    if refused + silent + reset + busy > good / 1000:
        raise RuntimeError("%s cannot keep the rate: %s" % (server.name, done.stdout))
    return half, most


def run_latency(classes, client_cpu, server_cpu, rounds):
    """Half and p99 of each round."""
    found = {"rate": RATE, "p50": {cls.name: [] for cls in classes}, "p99": {cls.name: [] for cls in classes}}
    top = temporary_directory()
    servers = []
    try:
        make_site(os.path.join(top, "site"), SCENARIO)
        for cls in classes:
            servers.append(cls(top, SCENARIO))
            servers[-1].start()
            servers[-1].warm_up()
            servers[-1].pin(server_cpu, False)
        for turn in range(rounds):
            shift = turn % len(servers)
            for server in servers[shift:] + servers[:shift]:
                half, most = flood(server, client_cpu)
                found["p50"][server.name].append(half)
                found["p99"][server.name].append(most)
        return found
    finally:
        for server in servers:
            server.stop()
        shutil.rmtree(top)
