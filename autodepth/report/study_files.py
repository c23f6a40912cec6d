"""Files beside a study's runs in MLflow: its front as a page, sensitivities as a figure."""

from __future__ import annotations

from pathlib import Path

from autodepth.records.ledger import Ledger
from autodepth.report.figures.front_page import front_html
from autodepth.report.figures.report_figures import worth_figure
from autodepth.report.study_report import worth_by_criterion


def write_study_files(ledger: Ledger, folder: Path) -> None:
    """Write `front.html`, and `sensitivity.png` once branches were scored.

    Args:
        ledger: the study's, open for reading.
        folder: where to; it exists.
    """
    records, study = ledger.trials(), ledger.study
    page = front_html(records, study.objectives, study.name)
    (folder / "front.html").write_text(page, encoding="utf-8")
    worth, _ = worth_by_criterion([r for r in records if r.result is not None and r.of_search])
    if (figure := worth_figure(worth)) is not None:
        figure.savefig(folder / "sensitivity.png", dpi=160)
