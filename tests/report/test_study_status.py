"""A status adds up, and a trial's story names what is better and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from autodepth.records.driver_lock.lock import Driver
from autodepth.records.ledger import Ledger
from autodepth.records.studies import StudyFolder
from autodepth.report.study_status import StudyStatus, latency_errors, study_status
from autodepth.trial.device.latency_table import LatencyTable

TRIALS = (
    (0.9, 40_000_000, 40.0), (0.8, 10_000_000, 30.0), (None, 0, 10.0), (0.7, 20_000_000, 20.0),
    (0.8, 10_000_000, 20.0), (0.85, 20_000_000, 20.0),
)  # fmt: skip
DRIVER = Driver(pid=12, host="h", since="2999-01-01T00:00:00.000+00:00")
Make = Callable[..., StudyFolder]


def look(folder: StudyFolder, driver: Driver | None = None, now: str = DRIVER.since) -> StudyStatus:
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        return study_status(ledger, driver, now)


def test_an_ended_study_adds_up(make_recorded: Make) -> None:
    found = look(make_recorded("digits", TRIALS))

    assert found.spent_device_seconds == pytest.approx(140)
    assert found.share_spent == pytest.approx(140 / 240)
    assert found.seconds_left == pytest.approx(50)  # 100 device seconds, on two devices
    assert found.spending == {
        "parent": pytest.approx(97.5), "fine_tune": pytest.approx(32.5),
        "failed": pytest.approx(10), "overhead": pytest.approx(0),
    }  # fmt: skip
    assert found.useful_share == pytest.approx(130 / 140)
    assert (found.trials["complete"], found.trials["failed"], found.trials["running"]) == (5, 1, 0)
    assert found.seconds_per_trial == pytest.approx(70 / 6)
    assert (found.front, found.running) == (3, ())
    # 0.8 x (40 - 10) and what 0.85 at 20 adds to it, of 40
    assert found.hypervolume == pytest.approx((0.8 * 30 + 0.05 * 20) / 40)
    assert found.state == "ended: the budget was spent"
    assert json.loads(json.dumps(found.to_dict()))["study"] == "digits"


def test_a_running_study_is_charged_up_to_now(make_recorded: Make) -> None:
    folder = make_recorded("digits", TRIALS, ended=None)
    with Ledger.open(folder.ledger_path) as ledger:
        number = ledger.start_trial("search", {}, {})
    found = look(folder, DRIVER, "2999-01-01T00:00:30.000+00:00")

    assert found.spent_device_seconds == pytest.approx(140 + 2 * 30)
    assert found.seconds_left == pytest.approx(20)
    assert found.state == "running: process 12 on h drives it"
    assert [(t.trial, t.phase, t.step, t.validation_accuracy) for t in found.running] == [
        (number, None, 0, None)
    ]
    assert look(folder).state == "not ended, but no process drives it"
    assert look(folder).running == ()
    unknown = Driver(pid=0, host="an unknown host", since="an unknown time")
    assert look(folder, unknown).spent_device_seconds == pytest.approx(140)


def test_other_limits_than_device_time(make_recorded: Make) -> None:
    wall = look(make_recorded("wall", TRIALS, budget="2min"))
    assert (wall.share_spent, wall.seconds_left) == (pytest.approx(70 / 120), pytest.approx(50))
    count = look(make_recorded("count", TRIALS, budget="8trials"))
    assert (count.share_spent, count.seconds_left) == (pytest.approx(6 / 8), None)
    both = look(make_recorded("both", TRIALS, budget="1h,8trials"))
    assert (both.share_spent, both.seconds_left) == (pytest.approx(6 / 8), pytest.approx(3530))


def test_a_study_in_which_nothing_happened(make_recorded: Make) -> None:
    found = look(make_recorded("new", ()))
    assert (found.spent_device_seconds, found.useful_share, found.seconds_per_trial) == (
        0,
        None,
        None,
    )
    assert (found.front, found.hypervolume, found.share_spent) == (0, 0, 0)


def test_predicted_latencies_are_compared_with_measured_ones(make_recorded: Make) -> None:
    with Ledger.open(make_recorded("digits", TRIALS).ledger_path, read_only=True) as ledger:
        records = ledger.trials()
    measured = next(r.result for r in records if r.result is not None).point.latency_ms
    table = LatencyTable(
        device="a CPU", threads=1, whole_ms=3.0, around_ms=measured, branches_ms={}
    )
    nobody_told = {"latency_ms": table, "latency_ms@phone": table}
    (error,) = latency_errors(records, nobody_told).values()

    assert (error.networks, error.median_error) == (5, 0.0)
    assert latency_errors(records, {}) == {}
