"""What a trial brings back refuses what cannot be, and survives text."""

import json
import math
from dataclasses import replace

import pytest

from autodepth.errors import InputError
from autodepth.trial.result import EpochReport, OperatingPoint, TrialResult, TrialState

POINT = OperatingPoint(
    validation_accuracy=0.9, validation_loss=0.3, macs=100, effective_macs=90, parameters=10,
    size_bytes=40, latency_ms=1.5,
)  # fmt: skip
EPOCH = EpochReport(
    phase="parent", step=1, train_loss=0.5, train_accuracy=0.95, validation_accuracy=0.9,
    branches_expected=4.0, branches_computed=4.0, gradient_norms={1: 0.5}, images_per_second=10.0,
    seconds=1.0, sensitivities={2: 0.25},
)  # fmt: skip
RESULT = TrialResult(
    point=POINT, removed=(3, 1), sensitivities={1: 0.5}, survival=(1.0, 0.5), parent_accuracy=0.9,
    pruned_accuracy=0.8, phase_seconds={"parent": 3.0}, reached={"filter_sparsity": (3, 4)},
    masks={frozenset({1, 3}): 0.25},
)  # fmt: skip


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"validation_accuracy": 1.01}, "validation_accuracy must be in [0, 1], but got 1.01"),
        ({"validation_accuracy": math.nan}, "must be in [0, 1]"),
        ({"validation_loss": math.inf}, "validation_loss must be finite"),
        ({"macs": -1}, "macs must be at least 0, but got -1"),
        ({"latency_ms": math.nan}, "latency_ms must be at least 0"),
    ],
)
def test_a_point_that_cannot_be_is_refused(change, told):
    with pytest.raises(InputError) as error:
        replace(POINT, **change)

    assert told in str(error.value)


@pytest.mark.parametrize("metrics", [{}, {"validation_miou": 0.5}])
def test_costs_elsewhere_come_back_beside_the_others_and_what_is_unknown_is_infinite(metrics):
    more = {"metrics": metrics, "metric": "validation_miou"} if metrics else {}
    point = replace(
        POINT,
        elsewhere={"latency_ms@phone": 2.5, "peak_memory_mb": 0.5, "peak_memory_mb@32": 16.0},
        unknown={"latency_ms@pi": "took longer than 30 s"},
        **more,
    )
    values = json.loads(json.dumps(point.to_dict()))

    assert OperatingPoint.from_dict(values) == point
    assert (values["latency_ms@phone"], values["peak_memory_mb@32"]) == (2.5, 16.0)
    assert point.value("latency_ms@phone") == 2.5
    assert point.value("latency_ms@pi") == math.inf
    assert point.knows(["macs", "peak_memory_mb"])
    assert not point.knows(["macs", "latency_ms@pi"])
    assert "unknown" not in POINT.to_dict()


def test_an_epoch_comes_back_from_text_with_its_branches_by_number():
    assert EpochReport.from_json(EPOCH.to_json()) == EPOCH
    assert EPOCH.generalisation_gap == pytest.approx(0.05)


def test_a_loss_that_is_no_number_stays_none():
    lost = EpochReport.from_json(replace(EPOCH, train_loss=math.nan).to_json())

    assert math.isnan(lost.train_loss)


def test_a_result_comes_back_from_json_under_the_names_that_ledgers_have():
    values = json.loads(json.dumps(RESULT.to_dict()))

    assert values["stage_seconds"] == {"parent": 3.0}
    assert TrialResult.from_dict(values) == RESULT


def test_a_result_of_before_what_was_reached_was_told_is_read():
    old = json.loads(json.dumps(RESULT.to_dict()))
    del old["reached"], old["masks"]

    assert TrialResult.from_dict(old) == replace(RESULT, reached={}, masks={})
    assert "masks" not in replace(RESULT, masks={}).to_dict()


def test_only_a_running_trial_has_not_ended():
    assert [state for state in TrialState if not state.ended] == [TrialState.RUNNING]
