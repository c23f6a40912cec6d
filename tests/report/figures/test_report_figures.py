"""Figures of a study stand where its numbers say."""

from dataclasses import replace

import pytest
from report.test_study_report import read

from autodepth.errors import InputError
from autodepth.report.figures.report_figures import report_figures, write_figures
from autodepth.report.report_page import report_html


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


def test_a_front_of_wide_costs_is_drawn_by_their_logarithms_and_what_is_beyond_is_told(folder):
    report = read(folder)
    few = [replace_macs(record, {20e6: 1e6}) for record in report.records]
    report = replace(report, records=few)
    (axes,) = report_figures(report)["front"].axes

    assert axes.get_xscale() == "log"
    low, high = axes.get_xlim()
    assert low < 1.0
    assert high > 40.0
    assert "beyond the border: 1" in {line.get_label() for line in axes.lines}


def replace_macs(record, changed):
    """Return a record whose network has other MACs, where it had some of these."""
    if record.result is None:
        return record
    point = record.result.point
    point = replace(point, macs=int(changed.get(point.macs, point.macs)))
    return replace(record, result=replace(record.result, point=point))
