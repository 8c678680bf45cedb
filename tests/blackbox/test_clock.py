#!/usr/bin/env python3
"""The wall clock is set while drover runs: what is timed goes by another one, what is shown follows.

A library between drover and libc moves the wall clock; the machine's own is left alone."""

import mmap
import os
import struct
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import drover  # noqa: E402

DAY = 86400
LONGEST_MS = 600 * 1000     # that a worker can have hung in a test, when the machine stands still
SHIFTED = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static const volatile long long *shift;
static int (*real)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void)
{
    int fd = open(getenv("CLOCK_SHIFT"), O_RDONLY | O_CLOEXEC);

    *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    shift = mmap(NULL, sizeof(*shift), PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = real(clock, now);

    if ((clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) && shift != NULL && shift != MAP_FAILED)
        now->tv_sec += *shift;
    return result;
}
"""


class Clock(unittest.TestCase):
    def setUp(self):
        self.dir = drover.temporary_directory()
        self.addCleanup(subprocess.run, ["rm", "-rf", self.dir], check=True)
        library, place = os.path.join(self.dir, "shift.so"), os.path.join(self.dir, "shift")
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, "-x", "c", "-", "-ldl"], input=SHIFTED, text=True,
                       check=True)
        with open(place, "wb") as file:
            file.write(struct.pack("q", 0))
        with open(place, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), 8)
        self.addCleanup(self.memory.close)
        environment = {**os.environ, "LD_PRELOAD": library, "CLOCK_SHIFT": place}
        self.drover = drover.Drover({"workers": 2, "timeouts": {"keep_alive": "1h", "request_head": "10m"}}, env=environment)
        self.addCleanup(self.drover.close)

    def set_clock(self, seconds):
        self.memory[:8] = struct.pack("q", seconds)

    def day(self, client):
        """The day of the month that an answer is dated with."""
        response = client.request("/")
        self.assertEqual(response.status, 200)
        return response.header("Date")

    def test_connections_stay_and_what_is_shown_follows(self):
        with self.drover.client() as idle, self.drover.client() as begun:
            before = self.day(idle)
            begun.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
            for shift in (30 * DAY, -30 * DAY, 0):
                self.set_clock(shift)
                end = drover.deadline()
                while shift != 0 and self.day(idle)[5:16] == before[5:16]:      # the same connection
                    drover.left(end)
            begun.send(b"Connection: close\r\n\r\n")
            self.assertEqual(begun.response().status, 200)

    def test_reloads_and_the_watch_over_workers_go_on(self):
        for shift in (30 * DAY, -30 * DAY):
            self.set_clock(shift)
            status, said = self.drover.reload()
            self.assertEqual(status, 0, said)
            self.assertEqual(self.drover.get("/").status, 200)
        hangs = self.drover.log.find("hang_over")
        self.assertEqual([event for event in hangs if int(event.fields["for_ms"]) > LONGEST_MS], [])
        self.assertEqual(self.drover.log.find("worker_exited"), [])


if __name__ == "__main__":
    unittest.main()
