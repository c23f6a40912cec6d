"""A report says what the ledger says, to the digit, in one file that asks no other host."""

import json
import re
import shutil
import sqlite3
from html.parser import HTMLParser
from statistics import mean, stdev

import pytest

from autodepth.errors import InputError
from autodepth.records.ledger import Ledger
from autodepth.report.figures.report_figures import report_figures, write_figures
from autodepth.report.report_page import report_html, write_report
from autodepth.report.study_report import study_report

POLICY = {"p_L": 0.5, "criterion": "ablation_loss", "filter_sparsity": 0.25}
SPACE = {"sampler": {"name": "tpe"}, "constraints": ["macs <= 70%"], "note": "<script>x</script>"}
TRIALS = [
    (0.95, 40_000_000, 60.0),
    (0.93, 20_000_000, 30.0),
    (None, 0, 5.0),
    (0.8, 21_000_000, 9.0),
]


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


@pytest.fixture
def folder(make_recorded, recorded_result):
    folder = make_recorded("handed", TRIALS, space=SPACE, policy=POLICY)
    with Ledger.open(folder.ledger_path) as ledger:
        for kind, role, accuracies in (
            ("confirm", "", (0.92, 0.90)),
            ("control", "random removal", (0.85, 0.80)),
        ):
            for replicate, accuracy in enumerate(accuracies, start=1):
                number = ledger.start_trial(
                    kind, {}, POLICY, about=1, role=role, replicate=replicate
                )
                spent = ledger.spent() + 10.0
                ledger.complete_trial(
                    number, recorded_result(accuracy, 20_000_000), 10.0, spent=spent
                )
    return folder


def read(folder):
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        return study_report(ledger)


def test_its_tables_say_what_was_recorded(folder):
    tables = Tables(report_html(read(folder))).rows

    assert [row[:6] for row in tables["front"][1:]] == [
        ["1", "93.00%", "91.0±1.4 (2)", "20,000,000", "50.0%", "200,000"],
        ["0", "95.00%", "-", "40,000,000", "100.0%", "200,000"],
    ]
    assert tables["front"][1][6:] == ["2.50 ms", "3 5-6", "25%"]
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
        assert re.findall(r"\d+", row[7]) == ["3", "5", "6"] == [str(b) for b in removed]
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


@pytest.mark.long
def test_it_opens_without_a_network_and_prints(folder, tmp_path):
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if chromium is None:
        pytest.skip("needs chromium")
    write_report(read(folder), tmp_path / "report.html")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        context = browser.new_context(offline=True)
        page, asked, wrong = context.new_page(), [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: wrong.append(message.text))
        page.goto((tmp_path / "report.html").as_uri())
        assert page.locator("#front tbody tr").count() == 2
        assert page.locator("figure svg").count() >= 2
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280
        assert [url for url in asked if not url.startswith("file:")] == []
        assert wrong == []
        browser.close()
    write_report(read(folder), tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")


def test_without_a_browser_a_pdf_is_refused_with_a_way_out(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"write an \.html file and print it"):
        write_report(read(folder), tmp_path / "report.pdf")


def test_it_asks_no_other_host_and_executes_nothing(folder):
    page = report_html(read(folder))

    assert not re.search(r"<(script|link|iframe|img)\b", page)
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", page)
    assert "&lt;script&gt;x&lt;/script&gt;" in page


def test_a_study_without_a_trial_has_a_report_too(make_recorded):
    page = report_html(read(make_recorded("empty", [], space=SPACE)))

    assert "No trial is on the front yet." in page
    assert "<svg" not in page


def test_its_figures_are_files_for_a_paper(folder, tmp_path, heard):
    report = read(folder)
    files = write_figures(report, tmp_path / "figures", ("svg", "png"))

    assert {file.stem for file in files} == set(report_figures(report)) >= {"front", "hypervolume"}
    assert (tmp_path / "figures" / "front.png").read_bytes().startswith(b"\x89PNG")
    assert "on fresh seeds" in report_html(report)
    assert heard["drawing"] == heard["writing figures"] == [len(report_figures(report))] * 2
    with pytest.raises(InputError, match="one of svg, png, pdf: gif"):
        write_figures(report, tmp_path, ("gif",))


def test_the_front_stands_where_its_numbers_say(folder):
    (axes,) = report_figures(read(folder))["front"].axes
    drawn = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}

    assert drawn["front, as found"] == [[20.0, 93.0], [40.0, 95.0]]
    assert drawn["dominated"] == [[21.0, 80.0]]
    assert drawn["unpruned"] == [[40.0, 95.0]]


def test_only_a_page_can_be_written(folder, tmp_path):
    with pytest.raises(InputError, match=r"must end in \.html or \.pdf, but got .*report\.docx"):
        write_report(read(folder), tmp_path / "report.docx")
