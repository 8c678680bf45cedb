"""The engine of the HTTP suite: rows, and how one is run.

A class is a file here with a list of rows, ROWS; its name is the class.  A row says which bytes are sent, exactly,
and what the answer has to be, with the section that says so:

    row("a bare LF ends a field line", "9112 2.2", b"GET / HTTP/1.1\\r\\nHost: x\\n\\r\\n", 400)
    row("a range of a file", "9110 14.2", get("/ten.txt", "Range: bytes=2-4"), 206, body=b"234",
        fields={"content-range": "bytes 2-4/10"})

status   one, or several of which each is right; 0: the connection ends without an answer
after    "open": the connection goes on; "close": it ends behind this answer, and the answer says so; "any": either,
         but the answer has to say which.  To see it, a probe request is sent right behind the row's bytes.  The
         default goes by the status: the framing errors close, see default_after().
fields   name -> exact value | None: must be absent | True: must be present | compiled pattern: the whole value |
         function of the value (None if absent)
body     exact bytes, a compiled pattern to search for, or a function of the bytes
then     answers to further requests in the same bytes: statuses, or (status, body) pairs
check    function of the answer; returns what is wrong, or nothing
probe    False: no probe is sent; half_close: the client sends its FIN behind the bytes
source   the client's address; listener: a name in lab.addresses; method, version: of the request, where the bytes
         do not say it

Rows that need a conversation are functions: `@case(ROWS, "name", "9110 10.1.1")` over a function of the lab, see
lab.py, which raises AssertionError or answer.Broken.  Rows of a model (`model=True`) are many: they are sent
pipelined, 20 at a time.

Each answer is judged by answer.py in addition, whatever the row says.

    tests/http/suite.py                          both modes
    tests/http/suite.py --mode shared --class ranges
    tests/http/suite.py --row "bare LF" -v       rows whose name contains that, with the bytes
"""

import concurrent.futures
import multiprocessing
import re
import time
import traceback

import answer as answers

PROBE = b"GET /probe.txt HTTP/1.1\r\nHost: probe.example\r\n\r\n"
PROBE_BODY = b"probe\n"
CLOSING = (400, 408, 414, 431, 505)
EITHER = (413, 417, 500, 501, 503)
PROCESSES, THREADS = 2, 12
SLOW = ("connection", "freshness", "proxy", "timeouts")  # their conversations wait for something
BATCH = 20


class Wrong(AssertionError):
    pass


class Row:
    def __init__(self, name, rfc, send=b"", status=200, after=None, fields=None, body=None, then=(), check=None,
                 probe=True, half_close=False, source=None, listener="main", method=None, version=None,
                 interim=False, model=False, run=None):
        self.name, self.rfc, self.send = name, rfc, send
        self.status = (status,) if isinstance(status, int) else tuple(status)
        self.after = after or default_after(self.status)
        self.fields, self.body, self.then, self.check = fields or {}, body, then, check
        self.probe, self.half_close, self.source, self.listener = probe, half_close, source, listener
        self.method = method or first_method(send)
        self.version = version or first_version(send)
        self.interim, self.model, self.run = interim, model, run
        self.cuts = ()  # where the bytes are cut into pieces


def default_after(statuses):
    if all(status in CLOSING for status in statuses):
        return "close"
    if any(status in CLOSING or status in EITHER for status in statuses):
        return "any"
    return "open"


def first_method(data):
    return data.lstrip(b"\r\n").split(b" ")[0].decode("latin-1")


def first_version(data):
    """As the answer has to be framed for; a version without grammar counts as 1.1."""
    return (1, 0) if re.match(rb"[^\r\n]* HTTP/1\.0\r?\n", data.lstrip(b"\r\n")) else (1, 1)


def row(*args, **more):
    return Row(*args, **more)


def case(rows, name, rfc):
    """Decorates a function of the lab: a row that is a conversation."""
    def add(function):
        rows.append(Row(name, rfc, run=function))
        return function
    return add


def get(target="/", *fields, method="GET", host="x", version="HTTP/1.1", body=b""):
    """The bytes of a request.  host None: no Host field."""
    lines = ["%s %s %s" % (method, target, version)]
    if host is not None:
        lines.append("Host: " + host)
    return ("\r\n".join(lines + list(fields)) + "\r\n\r\n").encode("latin-1") + body


# What a row demands of an answer.

def differs(wanted, value):
    """What is wrong with a field's value, or None."""
    if wanted is None:
        return None if value is None else "there is one: %r" % value
    if wanted is True:
        return "missing" if value is None else None
    if callable(wanted):
        return None if wanted(value) else "%r" % value
    if value is None:
        return "missing; expected %r" % (wanted if isinstance(wanted, str) else wanted.pattern)
    if isinstance(wanted, str):
        return None if wanted == value else "%r, expected %r" % (value, wanted)
    return None if wanted.fullmatch(value) else "%r, expected %r" % (value, wanted.pattern)


def body_differs(wanted, body):
    if wanted is None:
        return None
    if isinstance(wanted, bytes):
        return None if wanted == body else "body %r, expected %r" % (body[:120], wanted[:120])
    if callable(wanted):
        return None if wanted(body) else "body %r" % body[:120]
    return None if wanted.search(body) else "body %r, expected %r" % (body[:200], wanted.pattern)


def compare(row, answer):
    """Everything that is wrong with the answer to this row."""
    wrong = list(answer.problems)
    if answer.status not in row.status:
        return ["status %d, expected %s" % (answer.status, " or ".join(map(str, row.status)))] + wrong
    for name, wanted in row.fields.items():
        values = answer.all(name)
        problem = differs(wanted, ", ".join(values) if values else None)
        if problem:
            wrong.append("%s: %s" % (name, problem))
    problem = body_differs(row.body, answer.body)
    if problem:
        wrong.append(problem)
    problem = row.check(answer) if row.check else None
    if problem:
        wrong.append(problem)
    return wrong


def compare_more(connection, row, wrong):
    for wanted in row.then:
        status, body = wanted if isinstance(wanted, tuple) else (wanted, None)
        more = answers.read_answer(connection)
        wrong += more.problems
        if more.status != status:
            wrong.append("the next answer is %d, expected %d" % (more.status, status))
        wrong += [problem for problem in [body_differs(body, more.body)] if problem]


def see_after(connection, row, answer, wrong):
    """Whether the connection goes on as the row and the answer say."""
    said = answers.closes(answer, row.version)
    if row.after == "close" and not said:
        wrong.append("the answer does not say close (9112 9.6)")
    if row.after == "open" and said:
        wrong.append("the answer closes the connection; expected to go on (9112 9.3)")
    if said or row.after == "close" or row.half_close or not row.probe:
        if said or row.after == "close" or row.half_close:
            rest = connection.rest()
            if rest:
                wrong.append("more behind the last answer: %r" % rest[:120])
            elif connection.reset:
                wrong.append("reset behind the answer; a client may lose it (9112 9.6)")
        return
    probe = answers.read_answer(connection)
    if (probe.status, probe.body) != (200, PROBE_BODY):
        wrong.append("the request behind was answered %d %r" % (probe.status, probe.body[:80]))
    wrong += probe.problems


def run_single(lab, row):
    wrong = []
    with lab.connect(row.listener, row.source) as connection:
        begin = 0
        for cut in row.cuts:
            connection.send(row.send[begin:cut])
            begin = cut
        connection.send(row.send[begin:] + (PROBE if row.probe and not row.half_close else b""))
        if row.half_close:
            connection.end()
        if row.status == (0,):
            rest = connection.rest()
            return ["an answer where none was expected: %r" % rest[:120]] if rest else []
        try:
            answer = answers.read_answer(connection, row.method, row.version, row.interim)
        except answers.Ended:
            if 0 in row.status:
                return []
            raise
        wrong += compare(row, answer)
        if row.then and not wrong:
            compare_more(connection, row, wrong)
        if not wrong:
            see_after(connection, row, answer, wrong)
    return wrong


def run_row(lab, row):
    """What is wrong, as a list of texts."""
    try:
        if row.run is not None:
            row.run(lab)
            return []
        return run_single(lab, row)
    except answers.Broken as error:
        return ["%s" % error]
    except AssertionError as error:
        return ["%s" % (error or traceback.format_exc(limit=-1))]
    except Exception:  # a row's own mistake is one failing row, not the end of the suite
        return [traceback.format_exc(limit=-3)]


def run_batch(lab, rows):
    """Rows of a model, pipelined on one connection; at the first surprise each runs again on its own."""
    try:
        with lab.connect(rows[0].listener, rows[0].source) as connection:
            connection.send(b"".join(row.send for row in rows) + PROBE)
            for row in rows:
                answer = answers.read_answer(connection, row.method, row.version)
                if compare(row, answer) or answers.closes(answer, row.version):
                    break
            else:
                probe = answers.read_answer(connection)
                if (probe.status, probe.body) == (200, PROBE_BODY):
                    return [[] for row in rows]
    except (answers.Broken, OSError):
        pass
    return [run_row(lab, row) for row in rows]


def batches(rows):
    chunk = []
    for row in rows:
        if not row.model:
            yield [row]
            continue
        if chunk and (len(chunk) == BATCH or (chunk[0].listener, chunk[0].source) != (row.listener, row.source)):
            yield chunk
            chunk = []
        chunk.append(row)
    if chunk:
        yield chunk


def work(lab, batch):
    """(what is wrong for each row, seconds)"""
    began = time.monotonic()
    wrong = [run_row(lab, batch[0])] if len(batch) == 1 else run_batch(lab, batch)
    return wrong, time.monotonic() - began


def work_on(number):
    """In a process of its own, forked when all is there."""
    return work(shared["lab"], shared["batches"][number])


shared = {}


def run_batches(lab, todo, waits):
    """The results, in order.  What waits for something is done by threads, the rest by processes: Python runs one
    thread at a time, and threads that fight for it cost more than the work."""
    shared.update(lab=lab, batches=todo)
    fork = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(PROCESSES, fork) as processes, \
            concurrent.futures.ThreadPoolExecutor(THREADS) as threads:
        busy = [number for number in range(len(todo)) if not waits[number]]
        done = processes.map(work_on, busy, chunksize=8)
        waiting = {number: threads.submit(work_on, number) for number in range(len(todo)) if waits[number]}
        results = dict(zip(busy, done))
        results.update((number, future.result()) for number, future in waiting.items())
    return [results[number] for number in range(len(todo))]


def run_classes(lab, classes, mode, verbose=False, out=print):
    """Runs {class: rows}, all at once; prints the failing rows and a line per class; returns (passed, failed)."""
    names, todo = [], []
    for name, rows in classes.items():
        for batch in batches(rows):
            names.append(name)
            todo.append(batch)
    results = {name: [] for name in classes}
    workers = lab.workers()
    waits = [name in SLOW and batch[0].run is not None for name, batch in zip(names, todo)]
    for name, batch, (wrong, seconds) in zip(names, todo, run_batches(lab, todo, waits)):
        results[name] += zip(batch, wrong, [seconds / len(batch)] * len(batch))
    passed = failed = 0
    for name, result in results.items():
        bad = [(row, wrong) for row, wrong, _ in result if wrong]
        passed, failed = passed + len(result) - len(bad), failed + len(bad)
        report(mode, name, bad, verbose, out)
        out("%-9s %-14s %5d rows %5d failed %6.2f s" % (mode, name, len(result), len(bad), sum(row[2] for row in result)))
    if lab.workers() != workers:
        out("FAILED %s: a worker died: %r, now %r" % (mode, workers, lab.workers()))
        failed += 1
    return passed, failed


def report(mode, name, bad, verbose, out):
    for row, wrong in bad:
        out("FAILED %s/%s: %s [%s]" % (mode, name, row.name, row.rfc))
        for text in wrong:
            out("       " + text)
        if verbose:
            out("       sent %r" % row.send)
