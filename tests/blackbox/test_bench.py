"""The client of `make bench` counts right answers only: a wrong one ends it with an error, never with a figure. What is
made of figures, tables and a picture, says what they say."""

import os
import socket
import subprocess
import sys
import tempfile
import threading
import unittest
import unittest.mock
import xml.etree.ElementTree

from drover import BUILD, DEADLINE, TOP, deadline, free_address, left

sys.path.insert(0, os.path.join(TOP, "tests/bench"))

import bench  # noqa: E402  (the path comes first)
import calls  # noqa: E402
import picture  # noqa: E402
import report  # noqa: E402

LOAD = os.path.join(BUILD, "tests/bench/load")
FLOOR = os.path.join(BUILD, "tests/bench/floor")


class Load(unittest.TestCase):
    def setUp(self):
        self.address = free_address()

    def load(self, expected, *how):
        """Runs it; `expected` is the line that says what is asked for and what is right."""
        with tempfile.NamedTemporaryFile("w", encoding="ascii") as targets:
            print(expected, file=targets, flush=True)
            return subprocess.run([LOAD, "-a", self.address[0], "-p", str(self.address[1]), "-f", targets.name, *how],
                                  capture_output=True, text=True, timeout=DEADLINE, check=False)

    def floor(self, *how):
        process = subprocess.Popen([FLOOR, self.address[0], str(self.address[1]), *how], stdin=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        end = deadline()
        while left(end):
            with socket.socket() as probe:
                if probe.connect_ex(self.address) == 0:
                    return
            self.assertIsNone(process.poll())

    def answer_once(self, answer):
        """A server that gives this to the first who comes, and closes."""
        listening = socket.create_server(self.address)
        listening.settimeout(DEADLINE)
        self.addCleanup(listening.close)

        def serve():
            peer = listening.accept()[0]
            with peer:
                peer.recv(65536)
                peer.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        self.addCleanup(thread.join)

    def refused(self, done, why):
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertEqual(done.stdout, "")
        self.assertIn(why, done.stderr)

    def test_counts_every_answer(self):
        self.floor("200", "1024")
        done = self.load("/ 200 1024", "-n", "1000", "-c", "10")
        self.assertEqual((done.returncode, done.stdout.split()[0]), (0, "1000"), done.stderr)

    def test_counts_pipelined_answers(self):
        self.floor("200", "1024")
        done = self.load("/ 200 1024", "-n", "1600", "-c", "10", "-d", "16")
        self.assertEqual((done.returncode, done.stdout.split()[0]), (0, "1600"), done.stderr)

    def test_counts_large_answers_in_pieces(self):
        self.floor("200", "3000000")
        done = self.load("/ 200 3000000", "-n", "20", "-c", "2")
        self.assertEqual((done.returncode, done.stdout.split()[0]), (0, "20"), done.stderr)

    def test_counts_connections_of_one_request(self):
        self.floor("200", "1024", "close")
        done = self.load("/ 200 1024", "-n", "200", "-c", "10", "-1")
        self.assertEqual((done.returncode, done.stdout.split()[0]), (0, "200"), done.stderr)

    def test_refuses_a_wrong_length(self):
        self.floor("200", "1024")
        self.refused(self.load("/ 200 1025", "-n", "1", "-c", "1"), "expected 200 and 1025")

    def test_refuses_a_wrong_status(self):
        self.floor("404", "1024")
        self.refused(self.load("/ 200 1024", "-n", "1", "-c", "1"), "expected 200 and 1024")

    def test_refuses_an_answer_that_is_cut(self):
        self.answer_once(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123456789")
        self.refused(self.load("/ 200 10", "-n", "1", "-c", "1"), "closed before the answer was whole")

    def test_refuses_more_than_the_answer(self):
        self.answer_once(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n")
        self.refused(self.load("/ 200 2", "-n", "1", "-c", "1"), "nobody asked for")

    def test_refuses_to_wait_for_a_connection_that_ought_to_close(self):
        self.floor("200", "1024")
        self.refused(self.load("/ 200 1024", "-n", "1", "-c", "1", "-1", "-w", "500"), "no answer for 500")


FIGURES = {"floor": [5.0, 10.0, 5.0], "nginx": [10.0, 20.0, 8.0], "h2o": [9.0, 18.0, 9.0], "drover": [6.0, 12.0, 5.5]}


class Report(unittest.TestCase):
    """Ratios, goals and tables are made of figures alone."""

    def test_ratios_are_of_the_same_round(self):
        self.assertEqual(report.ratios(FIGURES, "floor", "nginx"), [0.5, 0.5, 0.625])

    def test_no_ratio_to_who_was_not_measured(self):
        self.assertIsNone(report.ratios(FIGURES, "drover", "lighttpd"))
        self.assertEqual(report.spread(None), "-")

    def test_spread_is_median_and_quartiles(self):
        self.assertEqual(report.spread([5, 1, 2, 3, 4]), "3.00 (2.00-4.00)")
        self.assertEqual(report.spread([1.5]), "1.50")

    def test_a_goal_is_met_up_to_itself(self):
        self.assertEqual(report.verdict(0.604, 0.60), "0.60: met")
        self.assertEqual(report.verdict(0.606, 0.60), "0.60: missed")
        self.assertEqual(report.verdict(161, 160, 0), "160: missed")
        self.assertEqual(report.verdict(None, 0.60), "0.60")

    def test_a_goal_below_the_floor_is_said_to_be(self):
        self.assertEqual(report.against_nginx(FIGURES, 0.60), "0.60: met")
        self.assertEqual(report.against_nginx(FIGURES, 0.45), "0.45: missed, below the floor")

    def rows(self, text):
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]

    def test_each_row_has_a_cell_for_each_column(self):
        with_before = {**FIGURES, "before": [7.0, 14.0, 7.0], "drover, cpu": [6.0, 12.0, 6.0]}
        for figures in (FIGURES, with_before, {name: FIGURES[name] for name in ("floor", "drover")}):
            for goals in (True, False):
                rows = self.rows(report.cost_table({"1k": ("1 KiB", figures)}, goals))
                self.assertEqual({len(row) for row in rows}, {len(rows[0])}, rows)

    def test_cells_stand_below_their_columns(self):
        columns, _, row = self.rows(report.cost_table({"1k": ("1 KiB", {**FIGURES, "before": [12.0, 24.0, 11.0]})}, True))
        cells = dict(zip(columns, row))
        self.assertEqual(cells["nginx, us"], "10.00")
        self.assertEqual(cells["drover to nginx"], "0.60 (0.60-0.64)")
        self.assertEqual(cells["drover to the floor"], "1.20 (1.15-1.20)")
        self.assertEqual(cells["drover to before"], "0.500 (0.500-0.500)")
        self.assertEqual([cell for name, cell in zip(columns, row) if name == "goal"], ["0.60: met", "1.15: missed"])

    def test_rounds_that_are_far_off_are_told(self):
        told = list(report.outliers("1 KiB", {"nginx": [1.0] * 5, "drover": [0.5, 0.5, 0.5, 0.5, 0.9]}))
        self.assertEqual(told, ["1 KiB, drover: 1 of 5 rounds are more than 25 % off the median ratio to nginx: 0.90"])

    def test_calls_are_summed_and_named(self):
        text = report.calls_table({"keep-alive request": {"drover": {"sendto": 1.0, "recvfrom": 1.004, "close": 0.002}}})
        self.assertEqual(self.rows(text)[2],
                         ["keep-alive request", "drover", "2.01", "recvfrom 1.00, sendto 1.00", "2.02: met"])

    def test_a_server_that_is_missing_in_a_row_is_a_dash(self):
        without = {name: figures for name, figures in FIGURES.items() if name != "nginx"}
        columns, _, _, row = self.rows(report.cost_table({"1k": ("1 KiB", FIGURES), "404": ("404", without)}, True))
        cells = dict(zip(columns, row))
        self.assertEqual((cells["nginx, us"], cells["drover to nginx"]), ("-", "-"))
        self.assertEqual(cells["floor, us"], "%.2f" % report.middle(FIGURES["floor"]))

    def test_who_is_held_up_by_a_pull_is_held_against_the_same_round(self):
        rest = {"p50": [0.1], "longest": [9.0], "late": [0], "pulled": [0]}
        cold = [{"server": "drover", "pull": report.NOBODY, "p99": [1.0, 5.0], **rest},
                {"server": "drover", "pull": "a disk", "p99": [1.5, 5.5], **rest},
                {"server": "nginx", "pull": report.NOBODY, "p99": [1.0], **rest},
                {"server": "nginx", "pull": "a disk", **rest, "p99": [float("inf")]}]
        rows = self.rows(report.cold_table(cold))[2:]
        self.assertEqual([row[-2:] for row in rows], [["-", ""], ["0.50", "under 1.00: met"], ["-", ""], ["none", ""]])

    def test_a_machine_that_is_not_quiet_is_said_to_be(self):
        self.assertEqual(report.others_text({"1k": 0.01, "10m": 0.03}),
                         "Other programs had 1 to 3 % of the CPUs meanwhile (most: 10m).")
        self.assertTrue(report.others_text({"1k": 0.01, "10m": 0.3}).endswith(": the machine was not quiet."))

    def test_what_others_take_is_seen_and_what_children_take_is_not(self):
        burn = [sys.executable, "-c", "import time\nwhile time.process_time() < 0.5: pass"]
        others, mine = bench.Others(), bench.Others()
        subprocess.run(burn, check=True)
        spent = mine.look()[2] - mine.before[2]
        self.assertGreater(spent, 0.5)
        others.before = (*others.before[:2], others.before[2] + spent)      # as if it had been somebody else
        share_without = mine.share()
        self.assertGreater(others.share(), share_without)

    def test_a_part_that_fails_takes_nothing_along(self):
        def fail(results, classes, options):
            results["active"] = ["the first row"]
            yield "the first row"
            raise RuntimeError("no such thing")

        results = {"failed": []}
        with unittest.mock.patch.dict(bench.PARTS, {"active": fail}):
            done = list(bench.measure_part(results, "active", [], None))
        self.assertEqual(done, ["the first row", "active"])
        self.assertEqual((results["failed"], results["active"]), (["active"], ["the first row"]))
        self.assertIn("no such thing", results["remarks"]["active"][0])

    def test_counts_of_perf_are_read(self):
        lines = ["# started\n", "\n", "29;;raw_syscalls:sys_enter;754531;100.00;;\n",
                 "<not counted>;;syscalls:sys_enter_close;0;100.00;;\n"]
        self.assertEqual(dict(calls.parse_counts(lines)), {"raw_syscalls:sys_enter": 29})

    def test_a_page_is_replaced_between_its_marks_only(self):
        page = "before\n%s\nold\n%s\nbehind\n" % (bench.BEGIN, bench.END)
        self.assertEqual(report.between(page, bench.BEGIN, bench.END, "new\n"),
                         "before\n%s\nnew\n%s\nbehind\n" % (bench.BEGIN, bench.END))

    def test_a_page_without_marks_is_refused(self):
        with self.assertRaises(ValueError):
            report.between("page\n", bench.BEGIN, bench.END, "new")

    def test_the_pages_have_their_marks(self):
        for page in ("README.md", "tests/MEASUREMENTS.md"):
            with open(os.path.join(TOP, page), encoding="utf-8") as file:
                report.between(file.read(), bench.BEGIN, bench.END, "")


class Picture(unittest.TestCase):
    """The picture is well-formed, and its bars are as long as what they say."""

    SVG = "{http://www.w3.org/2000/svg}"

    def bars(self, values):
        tree = xml.etree.ElementTree.fromstring(picture.draw([("<1 KiB> & more", values)], "machine"))
        return {rect.get("class"): float(rect.get("width")) for rect in tree.iter(self.SVG + "rect")
                if rect.get("x") == str(picture.LEFT)}, [text.text for text in tree.iter(self.SVG + "text")]

    def test_lengths_are_ratios(self):
        bars, _ = self.bars({"drover": 0.5, "h2o": 1.0})
        self.assertAlmostEqual(bars["h2o"], 2 * bars["drover"], places=0)

    def test_what_is_too_long_is_cut_and_says_so(self):
        bars, texts = self.bars({"drover": 0.5, "h2o": 4.0})
        self.assertAlmostEqual(bars["h2o"], picture.at(picture.MOST) - picture.LEFT)
        self.assertIn("\u2192 4.00", texts)

    def test_titles_may_have_any_letter(self):
        _, texts = self.bars({"drover": 0.5})
        self.assertIn("<1 KiB> & more", texts)


if __name__ == "__main__":
    unittest.main()
