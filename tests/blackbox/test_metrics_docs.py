"""drover-metrics(7), the dashboard and the alerts against what the daemon measures: both ways where that makes sense."""

import json
import os
import re
import shutil
import subprocess
import unittest

import drover
import openmetrics
from drover import Drover

MAN = "man/drover-metrics.7"
DASHBOARD = "conf/grafana/drover.json"
RULES = "conf/prometheus/drover.rules.yml"
ALERTS_TEST = "tests/prometheus/alerts.yml"
SCRAPE = "conf/prometheus/scrape.yml"
SUFFIX = {"counter": "_total", "info": "_info"}
NAME = re.compile(r"\bdrover_[a-z0-9_]+")
SELECTOR = re.compile(r"\b(drover_[a-z0-9_]+)\{([^{}]*)\}")
OF_PROMETHEUS = {"instance", "job"}     # labels that it adds


def read(name):
    with open(os.path.join(drover.TOP, name), encoding="utf-8") as file:
        return file.read()


def expressions():
    """All of the dashboard, and of the rules."""
    found = [match[1] for match in re.finditer(r"^ +expr: (?:>-\n)?((?:.*\n)(?: {10}.*\n)*)", read(RULES), re.M)]

    def walk(value):
        if isinstance(value, dict):
            for key, inner in value.items():
                if key in ("expr", "query") and isinstance(inner, str):
                    found.append(inner)
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)
    walk(json.loads(read(DASHBOARD)))
    return found


class Documented(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with Drover({"sites": [{"routes": [{"match": "/status", "status": {}}]}]}) as server:
            cls.families = openmetrics.read(server.get("/status/metrics").body)
        cls.names = openmetrics.names(cls.families)

    def labels(self, family):
        found = []
        for _, labels in family.samples:
            found += [name for name, _ in labels if name not in found]
        return set(found)

    def test_the_page_has_every_family_with_its_type_and_labels_and_no_other(self):
        page = {name: (kind, set(re.split(", ", labels)) if labels else set()) for name, kind, labels in
                re.findall(r"^\.It Li (drover_\S+)\n\.Pq (\w+)(?:; (.*))?$", read(MAN), re.M)}
        code = {family.name + SUFFIX.get(family.type, ""): (family.type, self.labels(family))
                for family in self.families.values()}
        self.assertEqual(page, code)

    def test_every_name_in_the_page_exists(self):
        for name in NAME.findall(read(MAN)):
            self.assertIn(name, self.names | {family.name for family in self.families.values()})

    def test_the_dashboard_and_the_alerts_ask_for_what_there_is(self):
        asked = expressions()
        self.assertGreater(len(asked), 40)
        for text in asked:
            for name in NAME.findall(text):
                with self.subTest(text):
                    self.assertIn(name, self.names)

    def test_labels_that_are_chosen_by_exist(self):
        of = {}
        for family in self.families.values():
            for name, labels in family.samples:
                of.setdefault(name, set()).update(label for label, _ in labels)
        for text in expressions():
            for name, matchers in SELECTOR.findall(text):
                with self.subTest(text):
                    self.assertLessEqual(set(re.findall(r"(\w+)(?:=~|!=|!~|=)", matchers)), of[name] | OF_PROMETHEUS)

    def test_values_of_labels_that_are_spelled_out_exist(self):
        values = {}
        for family in self.families.values():
            for name, labels in family.samples:
                for label, value in labels:
                    values.setdefault((name, label), set()).add(value)
        for text in expressions():
            for name, matchers in SELECTOR.findall(text):
                for label, value in re.findall(r"(\w+)(?:=~|!=|!~|=)\"([a-z0-9|]+)\"", matchers):
                    with self.subTest(text):
                        self.assertLessEqual(set(value.split("|")), values[(name, label)])


class Files(unittest.TestCase):
    def test_the_dashboard_has_no_two_panels_in_one_place(self):
        taken, ids = set(), set()
        for panel in json.loads(read(DASHBOARD))["panels"]:
            self.assertNotIn(panel["id"], ids)
            ids.add(panel["id"])
            at = panel["gridPos"]
            self.assertLessEqual(at["x"] + at["w"], 24)
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            self.assertFalse(cells & taken, panel["title"])
            taken |= cells

    def test_prometheus_takes_the_rules(self):
        """Where it is there."""
        if shutil.which("promtool") is None:
            return
        for command, name in (("rules", RULES), ("config", SCRAPE)):
            checked = subprocess.run(["promtool", "check", command, os.path.join(drover.TOP, name)],
                                     capture_output=True, text=True, check=False)
            self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

    def test_alerts_fire_when_they_should_and_not_on_a_quiet_day(self):
        """Where promtool is; that each alert has its row is looked at anywhere."""
        rows = set(re.findall(r'alertname="(\w+)"', read(ALERTS_TEST)))
        self.assertEqual(rows, set(re.findall(r"- alert: (\w+)", read(RULES))))
        if shutil.which("promtool") is None:
            return
        tested = subprocess.run(["promtool", "test", "rules", os.path.join(drover.TOP, ALERTS_TEST)],
                                capture_output=True, text=True, check=False)
        self.assertEqual(tested.returncode, 0, tested.stdout + tested.stderr)

    def test_every_alert_says_what_is_wrong_and_how_bad(self):
        alerts = re.split(r"(?m)^ +- alert: ", read(RULES))[1:]
        self.assertEqual(len({alert.split("\n")[0] for alert in alerts}), len(alerts))
        for alert in alerts:
            for part in (r"expr: ", r"severity: (critical|warning)", r"summary: \"", r"description: \""):
                self.assertRegex(alert, part)


if __name__ == "__main__":
    unittest.main()
