"""What decides at equal MACs is found; what only moves MACs, or nothing, is not."""

import json
from dataclasses import replace

import numpy as np
import pytest

from autodepth.records.trial_record import TrialRecord
from autodepth.report.analysis.importance import FEWEST_TRIALS, importance
from autodepth.trial.result import OperatingPoint, TrialResult, TrialState


def trial(number, accuracy, macs, point):
    return TrialRecord(
        number=number, state=TrialState.COMPLETE, kind="search", point=point, policy={},
        reason=None, started_at="", ended_at=None, device_seconds=1.0,
        result=TrialResult(
            point=OperatingPoint(
                validation_accuracy=float(accuracy), validation_loss=0.3, macs=int(macs),
                effective_macs=int(macs), parameters=9, size_bytes=36, latency_ms=1.0,
            ),
            removed=(), sensitivities={}, survival=(), parent_accuracy=0.9, pruned_accuracy=0.8,
            phase_seconds={},
        ),
    )  # fmt: skip


def study(count, seed=0):
    """Accuracy falls with what is removed, and at equal MACs by shape, epochs and noise alone."""
    generator = np.random.default_rng(seed)
    records = []
    for number in range(count):
        removed = int(generator.integers(0, 9))
        shape = str(generator.choice(["linear", "uniform"]))
        point = {
            "branches_removed": removed,
            "decay_shape": shape,
            "p_L": float(generator.uniform(0.2, 1.0)),
            "train.momentum": 0.9,
        }
        if shape == "linear":
            point["fine_tune_epochs"] = int(generator.integers(0, 5))
        macs = 1e8 * (1 - removed / 10)
        accuracy = 0.9 - 0.2 * (removed / 10) ** 2 + generator.normal(0, 0.002)
        accuracy += 0.03 * (shape == "linear") + 0.004 * point.get("fine_tune_epochs", 0)
        records.append(trial(number, accuracy, macs, point))
    return records


@pytest.fixture(scope="module")
def found():
    return importance(study(80), seed=1)


def test_what_decides_at_equal_macs_comes_first(found):
    by_name = {dimension.name: dimension for dimension in found.dimensions}

    assert found.dimensions[0].name == "decay_shape"
    assert set(by_name) == {"branches_removed", "decay_shape", "p_L", "fine_tune_epochs"}
    assert by_name["decay_shape"].low > 0.2
    assert by_name["fine_tune_epochs"].low > 0
    assert found.explained > 0.6
    assert found.trials == 80
    assert found.note == ""


def test_what_only_moves_macs_or_nothing_is_near_zero(found):
    """Accuracy itself follows branches_removed more than anything else."""
    records = study(80)
    accuracy = [r.result.point.validation_accuracy for r in records]
    removed = [r.point["branches_removed"] for r in records]
    assert np.corrcoef(accuracy, removed)[0, 1] < -0.8

    for dimension in found.dimensions:
        if dimension.name in {"branches_removed", "p_L"}:
            assert abs(dimension.mean) < 0.1
            assert dimension.low < 0.05


def test_intervals_hold_the_mean_and_the_analysis_is_repeatable(found):
    assert all(d.low <= d.mean <= d.high and d.sd > 0 for d in found.dimensions)
    means = [dimension.mean for dimension in found.dimensions]
    assert means == sorted(means, reverse=True)
    assert importance(study(80), seed=1) == found
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["trials"] == 80


def test_only_complete_trials_of_the_search_count():
    records = study(FEWEST_TRIALS)
    others = [
        replace(records[0], kind="confirm", about=0, replicate=1),
        replace(records[1], kind="unpruned"),
        replace(records[2], state=TrialState.FAILED, result=None),
    ]
    few = importance([*records[:-1], *others], seed=1)

    assert (few.explained, few.dimensions, few.trials) == (None, (), FEWEST_TRIALS - 1)
    assert few.note == "importance needs 20 complete trials of the search, but there are 19"
    assert importance([*records, *others], seed=1).trials == FEWEST_TRIALS


def test_what_cannot_be_told_is_said():
    records = [trial(i, 0.9, 100 + i, {"p_L": i / 40}) for i in range(25)]
    assert importance(records, seed=1).note == "all trials are equally accurate"

    records = [trial(i, 0.9 - i / 100, 100 + i % 5, {"p_L": 0.5}) for i in range(25)]
    assert importance(records, seed=1).note == "no dimension was varied"

    generator = np.random.default_rng(2)
    records = [
        trial(i, generator.uniform(0.5, 0.9), 100, {"p_L": float(generator.uniform())})
        for i in range(40)
    ]
    nothing = importance(records, seed=1)
    assert nothing.note == "the dimensions explain nothing of it in trials not seen"
    assert nothing.explained <= 0
    assert nothing.dimensions[0].low < 0.1
