"""The reader of OpenMetrics that other tests rely on takes what is right, and nothing else."""

import unittest

import openmetrics

COUNTER = "# TYPE a counter\n# HELP a Some.\n"
HISTOGRAM = "# TYPE h_seconds histogram\n# UNIT h_seconds seconds\n# HELP h_seconds Some.\n"
BUCKETS = 'h_seconds_bucket{le="0.1"} 1\nh_seconds_bucket{le="+Inf"} 3\n'
ENDS = "h_seconds_count 3\nh_seconds_sum 0.5\n"

RIGHT = {
    "nothing": "",
    "a counter": COUNTER + "a_total 1\n",
    "labels": COUNTER + 'a_total{x="1",y="\\\\ \\" \\n"} 1\na_total{x="2",y=""} 1e3\n',
    "a gauge": "# TYPE g gauge\n# HELP g Some.\ng -1.5\n",
    "an info": '# TYPE b info\n# HELP b Some.\nb_info{version="1"} 1\n',
    "a histogram": HISTOGRAM + BUCKETS + ENDS,
    "two": COUNTER + "a_total 1\n" + HISTOGRAM + BUCKETS + ENDS,
}

WRONG = {
    "no type": "a_total 1\n",
    "no help": "# TYPE a counter\na_total 1\n",
    "a counter without _total": COUNTER + "a 1\n",
    "a counter below zero": COUNTER + "a_total -1\n",
    "an unknown type": "# TYPE a count\n# HELP a Some.\n",
    "a type twice": "# TYPE a counter\n# TYPE a counter\n# HELP a Some.\na_total 1\n",
    "a help behind the samples": "# TYPE a counter\na_total 1\n# HELP a Some.\n",
    "a unit that the name does not end with": "# TYPE a counter\n# UNIT a bytes\n# HELP a Some.\na_total 1\n",
    "a series twice": COUNTER + "a_total 1\na_total 1\n",
    "the same labels in another order": COUNTER + 'a_total{x="1",y="2"} 1\na_total{y="2",x="1"} 1\n',
    "a label twice": COUNTER + 'a_total{x="1",x="2"} 1\n',
    "a family in two pieces": COUNTER + "a_total 1\n# TYPE b gauge\n# HELP b Some.\nb 1\n" + COUNTER,
    "a sample of another family": COUNTER + "b_total 1\n",
    "no number": COUNTER + "a_total one\n",
    "no value": COUNTER + "a_total\n",
    "two spaces": COUNTER + "a_total  1\n",
    "a line end in a label": COUNTER + 'a_total{x="1\n2"} 1\n',
    "an unknown escape": COUNTER + 'a_total{x="\\x1b"} 1\n',
    "a label without quotes": COUNTER + "a_total{x=1} 1\n",
    "a comment": COUNTER + "# hello\na_total 1\n",
    "an empty line": COUNTER + "\na_total 1\n",
    "an info of 2": '# TYPE b info\n# HELP b Some.\nb_info{version="1"} 2\n',
    "buckets that fall": HISTOGRAM + BUCKETS.replace("} 1", "} 4") + ENDS,
    "bounds that fall": HISTOGRAM + 'h_seconds_bucket{le="2"} 1\nh_seconds_bucket{le="1"} 1\n' + BUCKETS + ENDS,
    "no +Inf": HISTOGRAM + 'h_seconds_bucket{le="0.1"} 3\n' + ENDS,
    "another count": HISTOGRAM + BUCKETS + ENDS.replace("3", "2"),
    "no sum": HISTOGRAM + BUCKETS + "h_seconds_count 3\n",
    "a bucket without le": HISTOGRAM + "h_seconds_bucket 1\n" + BUCKETS + ENDS,
}


class Reader(unittest.TestCase):
    def test_what_is_right_is_taken(self):
        for what, text in RIGHT.items():
            with self.subTest(what):
                openmetrics.read(text + "# EOF\n")

    def test_what_is_wrong_is_not(self):
        for what, text in WRONG.items():
            with self.subTest(what), self.assertRaises(openmetrics.Wrong):
                openmetrics.read(text + "# EOF\n")

    def test_the_end_has_to_be_there(self):
        for text in (RIGHT["a counter"], RIGHT["a counter"] + "# EOF", RIGHT["a counter"] + "# EOF\n\n",
                     RIGHT["a counter"][:-1] + "# EOF\n"):
            with self.subTest(text), self.assertRaises(openmetrics.Wrong):
                openmetrics.read(text)

    def test_only_utf_8_is_text(self):
        with self.assertRaises(openmetrics.Wrong):
            openmetrics.read(b"# TYPE a counter\n# HELP a \xff\n# EOF\n")

    def test_what_was_read_can_be_asked_for(self):
        families = openmetrics.read(RIGHT["labels"] + RIGHT["a histogram"] + "# EOF\n")
        self.assertEqual(families["a"].value("_total", x="2", y=""), 1000)
        self.assertEqual(families["a"].total(x="1"), 1)
        self.assertEqual(families["h_seconds"].value("_count"), 3)
        self.assertIn("h_seconds_bucket", openmetrics.names(families))


if __name__ == "__main__":
    unittest.main()
