"""A strict reader of OpenMetrics 1.0, for tests: what it takes, every reader takes.

read(text) gives the families in their order, or raises Wrong with the number of the line.
"""

import collections
import math
import re

SUFFIXES = {
    "counter": {"_total", "_created"},
    "gauge": {""},
    "info": {"_info"},
    "histogram": {"_bucket", "_count", "_sum", "_created"},
    "summary": {"", "_count", "_sum", "_created"},
    "unknown": {""},
    "stateset": {""},
}
NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r"[a-zA-Z_][a-zA-Z0-9_]*"
META = re.compile(r"# (TYPE|UNIT|HELP) (%s) (.*)" % NAME)
SAMPLE = re.compile(r"(%s)(?:\{((?:%s=\"(?:[^\"\\\n]|\\[\\n\"])*\")(?:,%s=\"(?:[^\"\\\n]|\\[\\n\"])*\")*)?\})? "
                    r"([^ ]+)(?: ([0-9.]+))?" % (NAME, LABEL, LABEL))
PAIR = re.compile(r"(%s)=\"((?:[^\"\\\n]|\\[\\n\"])*)\"" % LABEL)
NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]Inf|NaN")


class Wrong(Exception):
    pass


class Family:
    def __init__(self, name):
        self.name = name
        self.type = "unknown"
        self.unit = ""
        self.help = None
        self.said = set()       # of TYPE, UNIT and HELP
        self.samples = {}       # (name, labels): value, in their order

    def value(self, suffix="", **labels):
        return self.samples[(self.name + suffix, tuple(sorted(labels.items())))]

    def total(self, **labels):
        """Of all samples of a counter that have these labels."""
        wanted = set(labels.items())
        return sum(value for (_, has), value in self.samples.items() if wanted <= set(has))


def number(text):
    if not NUMBER.fullmatch(text):
        raise Wrong("%r is no number" % text)
    return float(text.replace("Inf", "inf"))


def read_labels(text):
    pairs = PAIR.findall(text or "")
    if len({name for name, _ in pairs}) != len(pairs):
        raise Wrong("a label is there twice")
    unescaped = [(name, re.sub(r"\\(.)", lambda m: {"n": "\n"}.get(m[1], m[1]), value)) for name, value in pairs]
    return tuple(sorted(unescaped))


class Reader:
    def __init__(self):
        self.families = collections.OrderedDict()
        self.current = None

    def family(self, name):
        if self.current is not None and self.current.name == name:
            return self.current
        if name in self.families:
            raise Wrong("%s is not in one piece" % name)
        self.finish()
        self.current = self.families[name] = Family(name)
        return self.current

    def meta(self, kind, name, text):
        family = self.family(name)
        if family.samples:
            raise Wrong("%s behind samples of %s" % (kind, name))
        if kind in family.said:
            raise Wrong("%s of %s twice" % (kind, name))
        family.said.add(kind)
        if kind == "TYPE":
            if text not in SUFFIXES:
                raise Wrong("%r is no type" % text)
            family.type = text
        elif kind == "UNIT":
            if text and not name.endswith("_" + text):
                raise Wrong("%s does not end with its unit, %s" % (name, text))
            family.unit = text
        else:
            family.help = text

    def sample(self, name, labels, value):
        family = self.current
        if family is None or not name.startswith(family.name) or \
                name[len(family.name):] not in SUFFIXES[family.type]:
            raise Wrong("%s is no sample of the family before it" % name)
        key = (name, read_labels(labels))
        if key in family.samples:
            raise Wrong("%s{%s} is there twice" % key)
        has_le = any(label == "le" for label, _ in key[1])
        if has_le != name.endswith("_bucket"):
            raise Wrong("le belongs to buckets: %s" % name)
        value = number(value)
        if family.type in ("counter", "histogram") and (value < 0 or math.isnan(value)):
            raise Wrong("%s is below zero" % name)
        if family.type == "info" and value != 1:
            raise Wrong("an info is 1")
        family.samples[key] = value

    def finish(self):
        """The family before is whole."""
        family = self.current
        if family is None:
            return
        if not {"TYPE", "HELP"} <= family.said:
            raise Wrong("%s has no TYPE or HELP" % family.name)
        if family.type == "histogram":
            check_histogram(family)

    def line(self, line):
        if match := META.fullmatch(line):
            self.meta(*match.groups())
        elif line.startswith("#"):
            raise Wrong("neither TYPE, UNIT, HELP nor EOF")
        elif match := SAMPLE.fullmatch(line):
            self.sample(*match.groups()[:3])
        else:
            raise Wrong("no sample: %r" % line)


def check_histogram(family):
    """Of each of its series: the buckets rise, and the last one is the count."""
    series = collections.defaultdict(list)
    for (name, labels), value in family.samples.items():
        if name.endswith("_bucket"):
            bound = number(dict(labels)["le"])
            series[tuple(pair for pair in labels if pair[0] != "le")].append((bound, value))
    for (name, labels) in family.samples:
        if not name.endswith("_bucket") and labels not in series:
            raise Wrong("%s%r has no buckets" % (name, labels))
    for labels, buckets in series.items():
        bounds = [bound for bound, _ in buckets]
        counts = [count for _, count in buckets]
        if bounds != sorted(set(bounds)) or bounds[-1] != math.inf:
            raise Wrong("the bounds of %s%r do not rise to +Inf" % (family.name, labels))
        if counts != sorted(counts):
            raise Wrong("the buckets of %s%r are not cumulative" % (family.name, labels))
        if family.samples.get((family.name + "_count", labels)) != counts[-1]:
            raise Wrong("the count of %s%r is not that of +Inf" % (family.name, labels))
        if (family.name + "_sum", labels) not in family.samples:
            raise Wrong("%s%r has no sum" % (family.name, labels))


def read(text):
    reader = Reader()
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8")
        except UnicodeDecodeError as error:
            raise Wrong("no UTF-8: %s" % error) from None
    if not text.endswith("# EOF\n"):
        raise Wrong("it does not end with # EOF")
    lines = text[:-len("# EOF\n")].split("\n")
    if lines.pop() != "":
        raise Wrong("# EOF is no line of its own")
    for count, line in enumerate(lines, 1):
        try:
            reader.line(line)
        except Wrong as wrong:
            raise Wrong("line %d: %s" % (count, wrong)) from None
    reader.finish()
    return reader.families


def names(families):
    """What samples are called."""
    return {name for family in families.values() for name, _ in family.samples}
