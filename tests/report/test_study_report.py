"""A report says what the ledger says, to the digit, in one file that asks no other host."""

import json
import re
import sqlite3
from html.parser import HTMLParser
from statistics import mean, stdev

import pytest

from autodepth.records.ledger import Ledger
from autodepth.report.report_page import report_html
from autodepth.report.study_report import study_report

SPACE = {"sampler": {"name": "tpe"}, "constraints": ["macs <= 70%"], "note": "<script>x</script>"}


class Tables(HTMLParser):
    """Reads every table of a page as rows of texts, by the table's id."""

    def __init__(self, page):
        super().__init__()
        self.rows, self._name = {}, None
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        if tag == "table":
            self._name = dict(attributes)["id"]
            self.rows[self._name] = []
        elif tag == "tr" and self._name:
            self.rows[self._name].append([])
        elif tag in {"td", "th"} and self._name:
            self.rows[self._name][-1].append("")

    def handle_endtag(self, tag):
        self._name = None if tag == "table" else self._name

    def handle_data(self, data):
        if self._name and self.rows[self._name] and self.rows[self._name][-1]:
            self.rows[self._name][-1][-1] += data.strip()


def read(folder):
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        return study_report(ledger)


def test_its_tables_say_what_was_recorded(folder):
    tables = Tables(report_html(read(folder))).rows

    assert [row[:6] for row in tables["front"][1:]] == [
        ["1", "93.00%", "91.0±1.4 (2)", "20,000,000", "50.0%", "200,000"],
        ["0", "95.00%", "-", "40,000,000", "100.0%", "200,000"],
    ]
    assert tables["front"][1][6:] == ["2.50 ms", "parent", "3 5-6", "25%"]
    assert tables["controls"][1][:4] == ["1", "itself", "91.0±1.4 (2)", "20.00 M"]
    assert tables["controls"][2] == [
        "", "random removal", "82.5±3.5 (2)", "20.00 M", "+8.5±2.1", "0.11", "yes",
    ]  # fmt: skip
    assert dict(tables["trials"][1:]) == {"complete": "7", "failed": "1"}
    charged = {stage: float(seconds) for stage, seconds, _ in tables["spending"][1:]}
    assert charged["failed"] == 5.0
    assert charged["confirm"] == 40.0
    assert sum(charged.values()) == pytest.approx(60 + 30 + 5 + 9 + 40)


def test_every_number_of_its_tables_is_that_of_the_ledger(folder):
    """Read from the ledger's file by SQL, without any code that the report is made by."""
    tables = Tables(report_html(read(folder))).rows
    database = sqlite3.connect(folder.ledger_path)
    trials = {
        number: (kind, about, role, json.loads(result)["point"], json.loads(result)["removed"])
        for number, kind, about, role, result in database.execute(
            "SELECT number, kind, about, role, result FROM trial WHERE result IS NOT NULL"
        )
    }

    def seeds(kind, number):
        found = [t[3]["validation_accuracy"] for t in trials.values() if t[:2] == (kind, number)]
        if not found:
            return "-"
        return f"{100 * mean(found):.1f}±{100 * stdev(found):.1f} ({len(found)})"

    (whole,) = database.execute("SELECT plan FROM study").fetchone()
    unpruned = json.loads(whole)["unpruned"]["macs"]
    for row in tables["front"][1:]:
        _, _, _, point, removed = trials[int(row[0])]
        assert row[1] == f"{100 * point['validation_accuracy']:.2f}%"
        assert row[2] == seeds("confirm", int(row[0]))
        assert int(row[3].replace(",", "")) == point["macs"]
        assert row[4] == f"{100 * point['macs'] / unpruned:.1f}%"
        assert int(row[5].replace(",", "")) == point["parameters"]
        assert row[6] == f"{point['latency_ms']:.2f} ms"
        assert re.findall(r"\d+", row[8]) == ["3", "5", "6"] == [str(b) for b in removed]
    assert tables["controls"][1][2] == seeds("confirm", 1)
    assert tables["controls"][2][2] == seeds("control", 1)
    members, beside = ([t[3]["validation_accuracy"] for t in trials.values() if t[0] == kind]
                       for kind in ("confirm", "control"))  # fmt: skip
    gaps = [100 * (one - other) for one, other in zip(members, beside, strict=True)]
    assert tables["controls"][2][4] == f"{mean(gaps):+.1f}±{stdev(gaps):.1f}"
    charged = dict(database.execute("SELECT stage, SUM(device_seconds) FROM spending GROUP BY 1"))
    total = sum(charged.values())
    for stage, seconds, share in tables["spending"][1:]:
        entered = charged.pop(stage.replace("-", "_"), 0.0)
        assert (seconds, share) == (f"{entered:,.1f}", f"{100 * entered / total:.0f}%")
    assert not any(charged.values())  # nothing that was charged is left out
    states = dict(database.execute("SELECT state, COUNT(*) FROM trial GROUP BY 1"))
    assert {state: int(count) for state, count in tables["trials"][1:]} == states
    assert set(tables) == {"front", "controls", "spending", "trials"}
    database.close()


def test_a_study_without_a_trial_has_a_report_too(make_recorded):
    page = report_html(read(make_recorded("empty", [], space=SPACE)))

    assert "No trial is on the front yet." in page
    assert "<svg" not in page
