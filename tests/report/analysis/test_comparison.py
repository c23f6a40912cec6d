"""Studies are compared as a person would by hand: every prefix, every pair of points."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from autodepth.errors import InputError
from autodepth.front.objective import Objective
from autodepth.records.ledger import Ledger
from autodepth.records.studies import StudyFolder
from autodepth.report.analysis.comparison import RecordedStudy, compare_studies, recorded_study
from autodepth.trial.result import OperatingPoint

OBJECTIVES = (
    Objective(name="validation_accuracy", goal="maximize", reference=0.0),
    Objective(name="macs", goal="minimize", reference=40.0),
)


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
