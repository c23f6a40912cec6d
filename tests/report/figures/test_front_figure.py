"""The figure shows every complete trial, and its page needs nothing but itself."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from autodepth.front.objective import Objective
from autodepth.records.trial_record import TrialKind, TrialRecord
from autodepth.report.figures.front_figure import front_figure
from autodepth.report.figures.front_page import front_html
from autodepth.trial.result import OperatingPoint, TrialResult, TrialState

ACCURACY = Objective(name="validation_accuracy", goal="maximize", reference=0.0)
MACS = Objective(name="macs", goal="minimize", reference=40_000_000)
LATENCY = Objective(name="latency_ms", goal="minimize", reference=10.0)


def make(
    number: int, accuracy: float | None, macs: int = 0, kind: TrialKind = "search", **point: object
) -> TrialRecord:
    result = accuracy and TrialResult(
        point=OperatingPoint(
            validation_accuracy=accuracy,
            validation_loss=0.3,
            macs=macs,
            effective_macs=macs,
            parameters=200_000,
            size_bytes=810_000,
            latency_ms=macs / 1e7,
        ),
        removed=(3, 5),
        sensitivities={},
        survival=(1.0,),
        parent_accuracy=0.92,
        pruned_accuracy=0.85,
        phase_seconds={},
    )
    return TrialRecord(
        number=number,
        state=TrialState.COMPLETE if result else TrialState.FAILED,
        kind=kind,
        point=point,
        policy={},
        reason=None if result else "no luck",
        started_at="2026-01-01T00:00:00.000+00:00",
        ended_at="2026-01-01T00:01:00.000+00:00",
        device_seconds=60.0,
        result=result or None,
    )


RECORDS = [
    make(0, 0.95, 40_000_000, "unpruned"),
    make(1, 0.90, 10_000_000, p_L=0.8),
    make(2, 0.85, 20_000_000, p_L=0.5),
    make(3, None),
    make(4, 0.93, 20_000_000, p_L=0.6),
]


def test_every_complete_trial_is_drawn_in_its_group() -> None:
    figure = front_figure(RECORDS, (ACCURACY, MACS))
    drawn = {trace.name: list(zip(trace.x, trace.y, strict=True)) for trace in figure.data}
    assert drawn["dominated"] == [(pytest.approx(20), pytest.approx(85))]
    assert drawn["front"] == [
        (pytest.approx(10), pytest.approx(90)),
        (pytest.approx(20), pytest.approx(93)),
        (pytest.approx(40), pytest.approx(95)),
    ]
    assert drawn["unpruned"] == drawn["front"][-1:]


def test_networks_in_eight_bits_are_told_apart() -> None:
    int8 = replace(make(5, 0.92, 10_000_000), policy={"quantise": "int8"})
    drawn = {
        trace.name: list(trace.x) for trace in front_figure([*RECORDS, int8], (ACCURACY, MACS)).data
    }

    assert drawn["in eight bits"] == [pytest.approx(10)]
    assert pytest.approx(10) in drawn["front"]
    assert len(front_figure(RECORDS, (ACCURACY, MACS)).data) == 3


def test_a_point_tells_its_policy() -> None:
    front = front_figure(RECORDS, (ACCURACY, MACS)).data[1]
    assert "<b>trial 1</b>" in front.text[0]
    assert "p_L = 0.8" in front.text[0]
    assert "removed branches: 3 5" in front.text[0]


def test_axes_are_the_objectives_and_a_third_one_takes_the_line_away() -> None:
    figure = front_figure(RECORDS, (LATENCY, ACCURACY))
    assert figure.layout.xaxis.title.text == "latency of one image (ms)"
    assert figure.data[1].mode == "lines+markers"
    figure = front_figure(RECORDS, (LATENCY, ACCURACY, MACS))
    assert figure.data[1].mode == "markers"


def test_the_page_asks_no_other_host_for_anything() -> None:
    page = front_html(RECORDS, (ACCURACY, MACS), "digits")
    markup = re.sub(r"<script.*?</script>", "<script></script>", page, flags=re.DOTALL)
    assert "//" not in markup
    assert not re.search(r"<script[^>]*\ssrc=", page)


def test_the_table_lists_the_front_from_small_to_large() -> None:
    page = front_html(RECORDS, (ACCURACY, MACS), "digits")
    assert "3 of 4 complete trials" in page
    rows = re.findall(r"<tr><td>(\d+)</td><td>([^<]*)</td><td>([^<]*)</td><td>([^<]*)</td>", page)
    assert rows == [
        ("1", "90.00%", "10.00 M", "25%"),
        ("4", "93.00%", "20.00 M", "50%"),
        ("0", "95.00%", "40.00 M", "100%"),
    ]


def test_text_from_outside_is_shown_not_run() -> None:
    attack = "<script>alert(1)</script><img src=x>"
    page = front_html([make(0, 0.9, 10, decay_shape=attack)], (ACCURACY, MACS), attack)
    assert attack not in page
    assert "<img src=x>" not in page


def test_a_study_without_a_complete_trial_says_so() -> None:
    page = front_html([make(0, None)], (ACCURACY, MACS), "digits")
    assert "no trial has completed yet" in page
    assert "<table>" not in page
