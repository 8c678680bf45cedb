"""Plays systemd for a daemon: takes its notifications, keeps the descriptors that it stores, passes them on."""

import array
import os
import select
import socket
import threading
import time

import drover

MOST_FDS = 253


class Supervisor:
    """`messages` are the notifications, each a list of (name, value); `store` is name -> list of descriptors."""

    def __init__(self):
        self.directory = drover.temporary_directory()
        self.path = os.path.join(self.directory, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.messages, self.store, self.settled = [], {}, 0
        self.changed = threading.Condition()
        self.end_read, self.end_write = os.pipe()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def environment(self, **more):
        """For a daemon that this one supervises."""
        return {**os.environ, "NOTIFY_SOCKET": self.path, **more}

    def _run(self):
        while self.end_read not in (ready := select.select([self.socket, self.end_read], [], [])[0]):
            if ready:
                self._receive()

    def _receive(self):
        data, control, _, _ = self.socket.recvmsg(65536, socket.CMSG_SPACE(MOST_FDS * 4))
        fds = array.array("i")
        for level, kind, payload in control:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds.frombytes(payload[:len(payload) - len(payload) % fds.itemsize])
        message = [tuple(line.split("=", 1)) for line in data.decode().split("\n") if line]
        fields = dict(message)
        with self.changed:
            if fields.get("FDSTORE") == "1":
                self.store.setdefault(fields["FDNAME"], []).extend(fds)
            elif fields.get("FDSTOREREMOVE") == "1":
                for fd in self.store.pop(fields["FDNAME"], []):
                    os.close(fd)
            self.messages.append(message)
            self.changed.notify_all()

    def values(self, name):
        """The values of every variable of this name, in order."""
        with self.changed:
            return [value for message in self.messages for key, value in message if key == name]

    def states(self):
        """READY, RELOADING and STOPPING, in order."""
        with self.changed:
            return [key for message in self.messages for key, value in message
                    if key in ("READY", "RELOADING", "STOPPING") and value == "1"]

    def wait(self, condition, seconds=drover.DEADLINE):
        """Until condition() holds; it is asked again after every notification."""
        end = drover.deadline(seconds)
        with self.changed:
            while not condition():
                if not self.changed.wait(max(0, end - time.monotonic())) and time.monotonic() >= end:
                    raise AssertionError("the state never came: %s" % self.messages)

    def settle(self):
        """Until all has been read that was sent before now: what comes in order ends with this."""
        self.settled += 1
        last = ("SETTLED", str(self.settled))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as own:
            own.sendto("=".join(last).encode(), self.path)
        self.wait(lambda: [last] in self.messages)

    def stored(self):
        """What is to be passed to the next process: (descriptor, name), the newest first, as systemd does."""
        with self.changed:
            return [(fd, name) for name, fds in self.store.items() for fd in fds][::-1]

    def close(self):
        os.write(self.end_write, b"x")
        self.thread.join(drover.DEADLINE)
        for fd in [fd for fd, _ in self.stored()] + [self.end_read, self.end_write]:
            os.close(fd)
        self.socket.close()
        os.unlink(self.path)
        os.rmdir(self.directory)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
