"""Bars of CPU per request, each server's to nginx's, as SVG.  Pure; reads well on light and dark pages."""

from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT, TOP, BOTTOM = 760, 232, 64, 92, 34
BAR, GAP, GROUP_GAP = 11, 2, 15
MOST = 1.5              # what is longer is cut, and says how long it is
ORDER = ("drover", "h2o", "lighttpd", "floor")
LABELS = {"floor": "floor (a bare loop, one recv and one send)"}
STYLE = """\
    .page { fill: #ffffff } .text { fill: #1f2328 } .quiet { fill: #59636e } .line { stroke: #d1d9e0 }
    .nginx { stroke: #1f2328 } .drover { fill: #1f6feb } .h2o { fill: #e08a00 } .lighttpd { fill: #1a9e6b }
    .floor { fill: #a3abb4 }
    text { font: 12px system-ui, sans-serif } .title { font-size: 15px; font-weight: 600 } .strong { font-weight: 600 }
    .figure { paint-order: stroke; stroke: #ffffff; stroke-width: 3px }
    @media (prefers-color-scheme: dark) {
      .page { fill: #0d1117 } .text { fill: #e6edf3 } .quiet { fill: #9198a1 } .line { stroke: #30363d }
      .nginx { stroke: #e6edf3 } .drover { fill: #4493f8 } .h2o { fill: #d29922 } .lighttpd { fill: #2ea97a }
      .floor { fill: #6e7681 } .figure { stroke: #0d1117 }
    }
"""


def at(value):
    """Where a ratio is, in pixels from the left."""
    return LEFT + (WIDTH - LEFT - RIGHT) * min(value, MOST) / MOST


def text(x, y, what, classes="text", anchor="start"):
    return '<text x="%.1f" y="%.1f" class="%s" text-anchor="%s">%s</text>' % (x, y, classes, anchor, escape(what))


def bar(y, server, value):
    yield '<rect x="%d" y="%.1f" width="%.1f" height="%d" rx="1.5" class="%s"/>' % (
        LEFT, y, max(at(value) - LEFT, 1), BAR, server)
    label = "\u2192 %.2f" % value if value > MOST else "%.2f" % value
    yield text(at(value) + 4, y + BAR - 1.5, label, "figure text strong" if server == "drover" else "figure quiet")


def legend(servers):
    x = 16
    for server in servers:
        label = LABELS.get(server, server)
        yield '<rect x="%.1f" y="56" width="11" height="11" rx="2" class="%s"/>' % (x, server)
        yield text(x + 16, 66, label)
        x += 38 + 6.6 * len(label)


def axis(bottom):
    for tenth in range(0, int(MOST * 10) + 1, 5):
        x = at(tenth / 10)
        yield '<line x1="%.1f" y1="%d" x2="%.1f" y2="%.1f" class="%s"/>' % (
            x, TOP - 8, x, bottom, "nginx" if tenth == 10 else "line")
        yield text(x, bottom + 16, "nginx = 1" if tenth == 10 else "%.1f" % (tenth / 10), "quiet", "middle")


def draw(groups, subtitle):
    """groups: [(title, server -> ratio to nginx)], from top to bottom."""
    servers = [name for name in ORDER if any(name in values for _, values in groups)]
    step = len(servers) * (BAR + GAP) + GROUP_GAP
    bottom = TOP + len(groups) * step - GROUP_GAP + 6
    lines = ['<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img">' % (
        WIDTH, bottom + BOTTOM, WIDTH, bottom + BOTTOM),
        "<title>Server CPU per request, to nginx</title>", "<style>", STYLE.rstrip("\n"), "</style>",
        '<rect width="100%" height="100%" rx="6" class="page"/>',
        text(16, 25, "Server CPU per request, relative to nginx (less is better)", "text title"),
        text(16, 43, subtitle, "quiet"), *legend(servers), *axis(bottom)]
    for index, (title, values) in enumerate(groups):
        y = TOP + index * step
        lines.append(text(LEFT - 12, y + len(servers) * (BAR + GAP) / 2 + 4, title, "text", "end"))
        for row, server in enumerate(servers):
            if server in values:
                lines += bar(y + row * (BAR + GAP), server, values[server])
    return "\n".join(lines) + "\n</svg>\n"
