"""A search whose objective is the latency at a place: a program of one's own says what it is."""

import json

import pytest

from autodepth.errors import InputError
from autodepth.records.fsck import broken_invariants
from autodepth.records.ledger import Ledger
from autodepth.records.studies import find_study, studies_root
from autodepth.report.study_status import study_status
from autodepth.service.search.resume import resume
from autodepth.service.search.search import search
from autodepth.trial.device.latency_table import covers
from autodepth.trial.result import TrialState

SMALL = (
    "network.name=resnet14",
    "data.train_images=96",
    "data.validation=60",
    "train.epochs=1",
    "search.fine_tune_epochs=0",
    "sampler.startup_trials=2",
    "objectives=[{name: validation_accuracy, reference: 0}, {name: latency_ms@board, "
    "reference: 100%}]",
)


def study(command, *settings, budget="4trials", **kwargs):
    place = f"latency.board={{on: command, limit: 20s, command: {json.dumps(command)}}}"
    return search(
        budget=budget,
        settings=(*SMALL, place, *settings),
        runner="in-process",
        own_code=kwargs.pop("own_code", True),
        **kwargs,
    )


def ledger_of(name):
    return Ledger.open(find_study(name).ledger_path, read_only=True)


def test_what_the_board_says_makes_the_front_and_later_studies_know_it(tmp_path):
    asked = tmp_path / "asked"
    command = f"echo >> {asked}; stat -c %s {{onnx}}"
    result = study(command, study="one")
    with ledger_of("one") as ledger:
        trials, plan = ledger.trials(), ledger.study.plan
        status = study_status(ledger, None, "2026-01-01T00:00:00+00:00")
    sizes = [member.point.value("latency_ms@board") for member in result.front]
    measured, total = len(asked.read_text()), plan["unpruned"]["latency_ms@board"]

    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 4
    assert all(trial.reason is None for trial in trials)
    assert all(1000 < size <= 1.01 * total for size in sizes)
    assert all(member.point.value("peak_memory_mb") > 0 for member in result.front)
    error = status.latency_at["latency_ms@board"]
    assert error.networks == sum(covers(trial.policy) for trial in trials) > 0
    assert error.median_error < 0.05

    study(command, study="two", budget="1trials")
    assert len(asked.read_text()) == measured + 1  # the table is known, one network is not
    assert list((studies_root() / ".latencies").glob("board-*.json"))


def test_a_board_that_stops_answering_costs_figures_and_no_trial(tmp_path):
    broken = tmp_path / "broken"
    study(f"test ! -e {broken} && stat -c %s {{onnx}}", study="one", budget="2trials")
    broken.touch()
    resume("one", budget="+2trials", own_code=True, runner="in-process")
    with ledger_of("one") as ledger:
        trials, front = ledger.trials(), ledger.front()

    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 4
    for trial in trials[2:]:
        assert trial.reason == "latency_ms@board is unknown: ended with status 1"
        assert trial.result.point.unknown == {"latency_ms@board": "ended with status 1"}
        assert trial.result.point.validation_accuracy > 0
    assert {member.trial for member in front} <= {0, 1}
    assert not broken_invariants(find_study("one"))


def test_a_board_that_never_answered_is_told_before_anything_is_trained():
    with pytest.raises(InputError, match=r"^latency\.board: must print milliseconds above 0"):
        study("echo {onnx}", study="none")
    with pytest.raises(InputError, match=r"latency\.board\.command .* allow it with --own-code"):
        study("echo {onnx}", study="none", own_code=False)
