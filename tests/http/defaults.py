"""The rows that need nothing configured, against a daemon with nothing but an address and a root."""

import copy
import importlib
import re

from engine import row, get
from lab import TRUSTED

CLASSES = ("framing", "hosts", "methods", "connection", "conditionals", "ranges", "negotiation", "paths", "limits")
# what only the other daemon's configuration knows
CONFIGURED = re.compile(
    rb"(?m)^\S+ (http://[^/ ]*)?/?/(listed|nolinks|alllinks|dots|spa|aliased|idx|icon|plain|gzonly|only|teapot|nocontent|json|inner|outer|both|clients"
    rb"|friends|localfriends|rotating|rest|norest|found|see|temporary|permanent|elsewhere|scheme|set|cached|expires|bytype|status|health|types/a\.(own|from))"
    rb"|^Host: .*example|http://[a-z]+\.example", re.I)


def rows():
    for name in CLASSES:
        for one in importlib.import_module(name).ROWS:
            if one.run is not None or one.model or one.listener != "main" or one.source or CONFIGURED.search(one.send):
                continue
            again = copy.copy(one)
            again.name, again.listener = "%s: %s" % (name, one.name), "bare"
            yield again


ROWS = list(rows()) + [
    row("X-Forwarded-For means nothing", "forwarded", get("/probe.txt", "X-Forwarded-For: 1.2.3.4"), 200, listener="bare", source=TRUSTED),
    row("no listing", "listing", get("/listed/"), (403, 404), listener="bare"),
    row("no Set-Cookie", "9110 7", get("/"), 200, listener="bare", fields={"set-cookie": None, "x-powered-by": None}),
]
