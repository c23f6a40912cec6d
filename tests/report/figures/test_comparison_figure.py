"""The figure of two studies is written in every format it promises."""

from __future__ import annotations

from pathlib import Path

import pytest
from report.analysis.test_comparison import recorded

from autodepth.errors import InputError
from autodepth.report.analysis.comparison import compare_studies
from autodepth.report.figures.comparison_figure import draw_comparison


@pytest.mark.parametrize("ending", ["png", "svg", "pdf", "html"])
def test_the_figure_is_written(tmp_path: Path, ending: str) -> None:
    found = compare_studies([
        recorded("<b>a</b>", (60, 0.8, 20), (120, 0.9, 30)), recorded("b"),
        recorded("c", (5, 0.7, 10), spent=100),
    ])  # fmt: skip
    to = tmp_path / "new" / f"figure.{ending}"
    draw_comparison(to, found)

    heads = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF", "html": b"<!doctype html>"}
    content = to.read_bytes()
    assert content.startswith(heads[ending])
    if ending == "html":
        assert b"<b>a</b>" not in content
        assert b"hypervolume, relative" in content
    if ending == "svg":
        assert b"validation accuracy" in content or b"<path" in content


def test_a_figure_of_another_kind_is_refused(tmp_path: Path) -> None:
    found = compare_studies([recorded("a", (1, 0.8, 20)), recorded("b", (1, 0.7, 20))])
    with pytest.raises(InputError, match=r"must end in \.png"):
        draw_comparison(tmp_path / "figure.gif", found)
