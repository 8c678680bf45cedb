#!/usr/bin/env python3
"""Holds idle connections: opens them, asks once on each and waits for the whole answer, says "held", and keeps them
until stdin ends.

    hold.py ADDRESS PORT TARGET COUNT
"""

import re
import resource
import socket
import sys

SOURCES = 64            # addresses: each has 28,000 ports
IP_BIND_ADDRESS_NO_PORT = 24
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.I)


def connect(address, number):
    connection = socket.socket()
    connection.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    connection.bind(("127.0.%d.1" % (number % SOURCES), 0))
    connection.settimeout(30)
    connection.connect(address)
    return connection


def ask(connection, request):
    connection.sendall(request)
    got = b""
    while True:
        data = connection.recv(65536)
        got += data
        head, end, body = got.partition(b"\r\n\r\n")
        if end and len(body) == int(LENGTH.search(head).group(1)):
            return
        if not data:
            raise RuntimeError("closed before the answer was whole: %r" % got)


def main():
    host, port, target, count = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    request = b"GET %s HTTP/1.1\r\nHost: hold.example\r\n\r\n" % target.encode()
    held = []
    for number in range(count):
        held.append(connect((host, port), number))
        ask(held[-1], request)
    print("held", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
