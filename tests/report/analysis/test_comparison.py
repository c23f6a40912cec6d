"""Studies are compared as a person would by hand: every prefix, every pair of points."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodepth.errors import InputError
from autodepth.front.objective import Objective
from autodepth.records.ledger import Ledger
from autodepth.records.studies import StudyFolder
from autodepth.report.analysis.attainment import (
    attained,
    hypervolume_at,
    hypervolume_curve,
    spent_to_reach,
)
from autodepth.report.analysis.comparison import RecordedStudy, compare_studies, recorded_study
from autodepth.report.figures.comparison_figure import draw_comparison
from autodepth.trial.result import OperatingPoint

OBJECTIVES = (
    Objective(name="validation_accuracy", goal="maximize", reference=0.0),
    Objective(name="macs", goal="minimize", reference=40.0),
)
# Few values, so that equal and dominated points come up.
VALUES = st.tuples(st.integers(0, 10).map(lambda n: n / 10), st.integers(0, 50).map(float))
ENDED = st.lists(st.tuples(st.floats(0, 100, width=32), VALUES), max_size=12)


def recorded(name: str, *points: tuple[float, float, int], spent: float = 0.0) -> RecordedStudy:
    """A study whose trials ended after so many device seconds with accuracy and MACs."""
    return RecordedStudy(
        name=name,
        objectives=OBJECTIVES,
        unpruned_macs=40.0,
        data_fingerprint="ab",
        device="cpu",
        trials=len(points) + 1,
        spent=spent or max((at for at, _, _ in points), default=1.0),
        points=tuple(
            (
                at,
                OperatingPoint(
                    validation_accuracy=accuracy,
                    validation_loss=0.3,
                    macs=macs,
                    effective_macs=macs,
                    parameters=1,
                    size_bytes=4,
                    latency_ms=1.0,
                ),
            )
            for at, accuracy, macs in points
        ),
    )


def staircase(points: list[tuple[float, float]]) -> float:
    """Area under accuracy over MACs, step after step, in units of the reference."""
    area, best = 0.0, 0.0
    for macs, accuracy in sorted((macs, accuracy) for accuracy, macs in points if macs < 40.0):
        area += max(0.0, accuracy - best) * (40.0 - macs) / 40.0
        best = max(best, accuracy)
    return area


def at_least_as_good(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return a[0] >= b[0] and a[1] <= b[1]


@given(ENDED, st.floats(0, 110, width=32))
def test_the_curve_is_the_hypervolume_of_what_had_ended_by_then(
    points: list[tuple[float, tuple[float, float]]], at: float
) -> None:
    curve = hypervolume_curve(points, OBJECTIVES)

    assert hypervolume_at(curve, at) == pytest.approx(
        staircase([values for spent, values in points if spent <= at])
    )
    assert list(curve) == sorted(curve)
    assert all(a[1] < b[1] for a, b in itertools.pairwise(curve))


@given(ENDED, st.floats(0.001, 1.2))
def test_a_hypervolume_is_reached_when_the_first_prefix_has_it(
    points: list[tuple[float, tuple[float, float]]], target: float
) -> None:
    reached = [
        spent
        for spent, _ in points
        if staircase([v for at, v in points if at <= spent]) >= target * (1 - 1e-9)
    ]
    found = spent_to_reach(hypervolume_curve(points, OBJECTIVES), target)
    assert found == min(reached, default=None)


@given(st.lists(VALUES, max_size=8), st.lists(VALUES, max_size=8))
def test_attainment_is_counted_pair_by_pair(
    own: list[tuple[float, float]], others: list[tuple[float, float]]
) -> None:
    count = sum(any(at_least_as_good(a, b) for a in own) for b in others)
    beaten = sum(any(at_least_as_good(a, b) and a != b for a in own) for b in others)
    assert attained(own, others, OBJECTIVES) == (count, beaten)


def test_two_studies_by_hand() -> None:
    slow = recorded("slow", (50, 0.5, 40), (100, 0.8, 20), (200, 0.9, 20), spent=240)
    fast = recorded("fast", (40, 0.9, 20), (90, 0.5, 4), spent=120)
    found = compare_studies([slow, fast])

    assert found.least_spent == 120
    assert [study.hypervolume for study in found.studies] == pytest.approx([0.45, 0.65])
    assert found.studies[0].curve == ((100, pytest.approx(0.4)), (200, pytest.approx(0.45)))
    # at 30, 60, 90 and 120 device seconds
    assert found.studies[0].at_shares == pytest.approx((0, 0, 0, 0.4))
    assert found.studies[1].at_shares == pytest.approx((0, 0.45, 0.65, 0.65))
    assert [len(study.front) for study in found.studies] == [1, 2]
    one, other = found.rivalries
    assert (one.study, one.reached_after, one.other_after, one.speedup) == ("slow", None, 90, None)
    assert (one.attained, one.dominated, one.points) == (1, 0, 2)
    assert (other.study, other.reached_after, other.other_after) == ("fast", 40, 200)
    assert other.speedup == pytest.approx(5)
    assert (other.attained, other.dominated, other.points) == (1, 0, 1)
    assert found.notes == ()
    assert json.loads(json.dumps(found.to_dict()))["studies"][1]["hypervolume_at"]["1.0"] == (
        pytest.approx(0.65)
    )


def test_all_are_measured_by_the_first() -> None:
    wider = (OBJECTIVES[0], replace(OBJECTIVES[1], reference=80.0))
    a = recorded("a", (10, 0.8, 20))
    b = replace(recorded("b", (10, 0.8, 20)), objectives=wider)

    assert [s.hypervolume for s in compare_studies([a, b]).studies] == pytest.approx([0.4, 0.4])
    found = compare_studies([b, a])
    assert [s.hypervolume for s in found.studies] == pytest.approx([0.6, 0.6])
    assert found.notes == ("a has other reference values; it is measured by those of b",)


def test_a_study_without_a_front_is_compared_too() -> None:
    found = compare_studies(
        [recorded("a", (10, 0.8, 20)), recorded("none"), recorded("bad", (5, 0.1, 60))]
    )

    assert [study.hypervolume for study in found.studies] == pytest.approx([0.4, 0, 0])
    against = {(r.study, r.other): r for r in found.rivalries}
    assert len(against) == 6
    assert against["a", "none"].points == 0
    assert against["a", "none"].reached_after is None
    assert against["a", "bad"].speedup is None  # nothing was to be reached
    assert against["none", "a"].attained == 0


def test_what_cannot_be_compared_is_refused() -> None:
    a, b = recorded("a", (10, 0.8, 20)), recorded("b", (10, 0.8, 20))
    other = (OBJECTIVES[0], Objective(name="latency_ms", goal="minimize", reference=1.0))
    for studies, message in (
        ([a], r"at least two, and differ, but got \['a'\]"),
        ([a, b, a], "at least two, and differ"),
        (
            [a, replace(b, unpruned_macs=41.0)],
            "equal networks, but a has 40 MACs and b has 41 MACs",
        ),
        (
            [a, replace(b, objectives=other)],
            "a has maximize validation_accuracy, minimize macs and",
        ),
        ([a, replace(b, objectives=OBJECTIVES[::-1])], "optimise the same"),
    ):
        with pytest.raises(InputError, match=message):
            compare_studies(studies)


def test_what_makes_a_comparison_less_than_exact_is_said() -> None:
    a, b = recorded("a", (10, 0.8, 20)), recorded("b", (10, 0.8, 20))
    found = compare_studies([a, replace(b, data_fingerprint="cd", device="gpu")])

    assert not found.same_device
    assert "b has other training or validation images than a" in found.notes[0]
    assert "b was charged for gpu time, a for cpu time" in found.notes[1]


def test_a_study_is_read_from_its_ledger(make_recorded: Callable[..., StudyFolder]) -> None:
    trials = ((0.9, 40_000_000, 4.0), (None, 0, 1.0), (0.8, 10_000_000, 3.0))
    folder = make_recorded("digits", trials)
    with Ledger.open(folder.ledger_path) as ledger:
        found = recorded_study("digits", ledger)

    assert (found.trials, found.spent, found.device) == (3, pytest.approx(8), "cpu")
    assert [(spent, point.macs) for spent, point in found.points] == [
        (pytest.approx(4), 40_000_000), (pytest.approx(8), 10_000_000),
    ]  # fmt: skip
    assert compare_studies([found, replace(found, name="b")]).rivalries[0].speedup == 1


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
