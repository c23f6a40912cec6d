"""The ledger keeps what it was told: through reopening, threads and SIGKILL."""

from __future__ import annotations

import math
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodepth.errors import InputError, StorageError, StudyError, StudyInUseError
from autodepth.front.objective import Objective
from autodepth.records.ledger import Ledger
from autodepth.records.trial_record import LOST, WORKER_DIED, StudyRecord
from autodepth.trial.result import EpochReport, TrialResult, TrialState

Results = Callable[..., TrialResult]
EPOCH = EpochReport(
    phase="parent",
    step=1,
    train_loss=1.5,
    train_accuracy=0.65,
    validation_accuracy=0.4,
    branches_expected=6.75,
    branches_computed=6.5,
    gradient_norms={1: 0.5, 9: 0.25},
    images_per_second=800.0,
    seconds=0.25,
    sensitivities={1: 0.0125, 9: -0.5},
)


def test_a_study_reads_back_as_it_was_written(
    tmp_path: Path, make_study: Callable[..., StudyRecord]
) -> None:
    path = tmp_path / "with ? and #.sqlite"
    study = make_study()
    Ledger.create(path, study).close()
    with Ledger.open(path, read_only=True) as ledger:
        assert ledger.study == study


def test_a_trial_reads_back_as_it_was_written(
    ledger: Ledger, make_result: Results, policy: dict[str, object]
) -> None:
    number = ledger.start_trial("search", {"p_L": 0.8}, policy)
    running = ledger.trial(number)
    assert (running.state, running.ended_at, running.result) == (TrialState.RUNNING, None, None)
    ledger.complete_trial(number, make_result(), 5.5)
    with Ledger.open(ledger.database.path) as reopened:
        record = reopened.trial(number)
    assert record.state is TrialState.COMPLETE
    assert record.point == {"p_L": 0.8}
    assert record.policy == policy
    assert record.result == make_result()
    assert record.device_seconds == 5.5
    assert record.started_at <= record.ended_at


def test_numbers_are_dense_from_zero_and_kinds_are_kept(ledger: Ledger) -> None:
    kinds = ["unpruned", "search", "search"]
    assert [ledger.start_trial(kind, {}, {}) for kind in kinds] == [0, 1, 2]
    assert [trial.kind for trial in ledger.trials()] == kinds


def test_epochs_come_back_by_step_and_a_repeated_one_replaces_the_first(ledger: Ledger) -> None:
    number = ledger.start_trial("search", {}, {})
    for step, accuracy in ((2, 0.5), (1, 0.4), (2, 0.6)):
        ledger.record([(number, replace(EPOCH, step=step, validation_accuracy=accuracy))])
    assert ledger.epochs(number) == [EPOCH, replace(EPOCH, step=2, validation_accuracy=0.6)]


def test_a_loss_that_is_not_a_number_is_kept_as_such(ledger: Ledger) -> None:
    number = ledger.start_trial("search", {}, {})
    ledger.record([(number, replace(EPOCH, train_loss=math.nan))])
    ledger.record([(number, replace(EPOCH, step=2, train_loss=math.inf))])
    first, second = (epoch.train_loss for epoch in ledger.epochs(number))
    assert math.isnan(first)
    assert second == math.inf


def test_a_trial_ends_once(ledger: Ledger, make_result: Results) -> None:
    number = ledger.start_trial("search", {}, {})
    ledger.end_trial(number, TrialState.FAILED, "out of memory", 3.0)
    with pytest.raises(InputError, match="trial 0 must be running to change, but it is failed"):
        ledger.complete_trial(number, make_result(), 3.0)
    with pytest.raises(InputError, match="must be running"):
        ledger.end_trial(number, TrialState.CANCELLED, "budget", 3.0)
    with pytest.raises(InputError, match="must be running"):
        ledger.record([(number, EPOCH)])
    assert ledger.trial(number).reason == "out of memory"
    assert ledger.spent() == 3.0


def test_only_an_ending_without_result_is_an_end_trial(ledger: Ledger) -> None:
    number = ledger.start_trial("search", {}, {})
    with pytest.raises(
        InputError, match="failed, infeasible, stopped, cancelled, but got complete"
    ):
        ledger.end_trial(number, TrialState.COMPLETE, "", 1.0)  # type: ignore[arg-type]


def test_an_unknown_trial_is_refused(ledger: Ledger) -> None:
    ledger.start_trial("search", {}, {})
    for call in (
        lambda: ledger.trial(1),
        lambda: ledger.record([(1, EPOCH)]),
    ):
        with pytest.raises(InputError, match="has 1 trials, numbered from 0, but got 1"):
            call()


@pytest.mark.parametrize("seconds", [-1.0, math.nan, math.inf])
def test_impossible_spending_is_refused_and_leaves_the_trial_running(
    ledger: Ledger, make_result: Results, seconds: float
) -> None:
    number = ledger.start_trial("search", {}, {})
    with pytest.raises(InputError, match="device_seconds must be at least 0, but got"):
        ledger.complete_trial(number, make_result(), seconds)
    assert ledger.trial(number).state is TrialState.RUNNING


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["overhead", "fail"]), st.floats(0, 1e6)), max_size=12))
def test_spent_is_the_sum_of_all_that_was_charged(charges: list[tuple[str, float]]) -> None:
    study = StudyRecord(name="s", seed=0, objectives=(), plan={})
    with (
        tempfile.TemporaryDirectory() as folder,
        Ledger.create(Path(folder) / "ledger.sqlite", study) as ledger,
    ):
        for how, seconds in charges:
            if how == "overhead":
                ledger.balance(ledger.spent() + seconds)
            else:
                number = ledger.start_trial("search", {}, {})
                ledger.end_trial(number, TrialState.FAILED, "no luck", seconds)
        assert ledger.spent() == pytest.approx(sum(seconds for _, seconds in charges))
        failed = [index for index, (how, _) in enumerate(charges) if how == "fail"]
        spent_by_then = [sum(seconds for _, seconds in charges[: i + 1]) for i in failed]
        assert [spent for _, spent in ledger.endings()] == pytest.approx(spent_by_then)


def test_the_front_holds_complete_trials_only(ledger: Ledger, make_result: Results) -> None:
    for accuracy, macs in ((0.9, 20), (0.8, 30), (0.95, 35)):
        number = ledger.start_trial("search", {}, {"p_L": accuracy})
        ledger.complete_trial(number, make_result(accuracy, macs), 1.0)
    ledger.start_trial("search", {}, {})
    ledger.end_trial(ledger.start_trial("search", {}, {}), TrialState.FAILED, "no luck", 1.0)
    front = ledger.front()
    assert [point.trial for point in front] == [0, 2]
    assert front[0].policy == {"p_L": 0.9}
    assert front[0].removed == (3, 5)
    accuracy_only = ledger.study.objectives[:1]
    assert [point.trial for point in ledger.front(accuracy_only)] == [2]


def test_the_end_of_a_study_is_kept(ledger: Ledger) -> None:
    assert ledger.study.outcome is None
    ledger.end_study("budget spent")
    assert ledger.study.outcome == "budget spent"
    assert ledger.study.ended_at >= ledger.study.created_at


def test_threads_share_a_ledger(ledger: Ledger, make_result: Results) -> None:
    def work(_: int) -> int:
        number = ledger.start_trial("search", {}, {})
        ledger.record([(number, EPOCH)])
        ledger.complete_trial(number, make_result(), 1.0)
        return number

    with ThreadPoolExecutor(8) as pool:
        numbers = sorted(pool.map(work, range(40)))
    assert numbers == list(range(40))
    assert ledger.spent() == 40.0


def test_a_reader_sees_what_is_written_meanwhile_and_cannot_write(ledger: Ledger) -> None:
    with Ledger.open(ledger.database.path, read_only=True) as reader:
        ledger.start_trial("search", {}, {})
        assert len(reader.trials()) == 1
        with pytest.raises(StorageError, match="readonly"):
            reader.start_trial("search", {}, {})


def test_what_is_no_ledger_is_refused_in_words(tmp_path: Path, ledger: Ledger) -> None:
    with pytest.raises(StudyError, match="there is no such file"):
        Ledger.open(tmp_path / "nowhere.sqlite")
    with pytest.raises(StudyError, match="there is one already"):
        Ledger.create(ledger.database.path, ledger.study)
    garbage = tmp_path / "garbage.sqlite"
    garbage.write_bytes(b"not a database, " * 100)
    for read_only in (False, True):
        with pytest.raises(StudyError, match="must be a SQLite file"):
            Ledger.open(garbage, read_only=read_only)


@pytest.mark.parametrize(
    ("version", "hint"), [(0, "never finished starting"), (1, "an older autodepth"), (9, "update")]
)
def test_another_version_is_refused(tmp_path: Path, version: int, hint: str) -> None:
    path = tmp_path / "ledger.sqlite"
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {version}")
    connection.execute("CREATE TABLE t (a)")
    connection.close()
    with pytest.raises(StudyError, match=f"must have version 8, but .* has {version}: .*{hint}"):
        Ledger.open(path)


def test_a_ledger_of_two_versions_before_is_read_as_it_is_and_brought_on_when_written(
    ledger: Ledger,
) -> None:
    path = ledger.database.path
    number = ledger.start_trial("search", {}, {})
    ledger.record([(number, EPOCH)])
    with ledger.database.transaction() as connection:
        for name in ("sensitivities", "metrics", "unit"):
            connection.execute(f"ALTER TABLE epoch DROP COLUMN {name}")
        connection.execute("ALTER TABLE study DROP COLUMN token")
        connection.execute("ALTER TABLE trial DROP COLUMN node")
        connection.execute("DROP TABLE reservation")
        connection.execute("DROP TABLE waiting")
        connection.execute("DROP TABLE notice")
        connection.execute("PRAGMA user_version = 2")
    ledger.close()
    with Ledger.open(path, read_only=True) as old:
        assert old.study.name
        assert old.epochs(number) == [replace(EPOCH, sensitivities={})]
        assert old.database.query("PRAGMA user_version")[0][0] == 2
        assert old.wall_spent() == old.spent() / old.study.plan.get("devices", 1)
    with Ledger.open(path) as new:
        assert new.begin_driving() == 1
        assert len(new.trials()) == 1
        new.record([(number, replace(EPOCH, step=2))])
        assert [bool(epoch.sensitivities) for epoch in new.epochs(number)] == [False, True]
        assert new.database.query("PRAGMA user_version")[0][0] == 8


def lose(ledger: Ledger, policy: dict[str, int], reason: str = WORKER_DIED) -> int:
    number = ledger.start_trial("search", {}, policy)
    ledger.end_trial(number, TrialState.FAILED, reason, 1.0, retry=True)
    return number


def test_what_was_lost_waits_until_its_policy_is_begun_again(ledger: Ledger) -> None:
    first, second = lose(ledger, {"a": 1}), lose(ledger, {"a": 2})
    assert [r.number for r in ledger.waiting()] == [first, second]

    again = ledger.start_trial("search", {}, {"a": 1})
    assert [r.number for r in ledger.waiting()] == [second]
    ledger.end_trial(again, TrialState.CANCELLED, "interrupted", 1.0, retry=True)
    assert [r.number for r in ledger.waiting()] == [second, again]


def test_a_ledger_of_a_version_that_kept_no_retries_gets_those_that_are_due(
    ledger: Ledger,
) -> None:
    path = ledger.database.path
    lose(ledger, {"a": 1})
    due = lose(ledger, {"a": 2}, LOST)
    for policy, state, reason in (
        ({"a": 1}, TrialState.FAILED, "RuntimeError: its own"),  # begun again since
        ({"a": 3}, TrialState.CANCELLED, "interrupted"),
    ):
        number = ledger.start_trial("search", {}, policy)
        ledger.end_trial(number, state, reason, 1.0)
    with ledger.database.transaction() as connection:
        connection.execute("DROP TABLE waiting")
        connection.execute("DROP TABLE notice")
        for name in ("metrics", "unit"):
            connection.execute(f"ALTER TABLE epoch DROP COLUMN {name}")
        connection.execute("PRAGMA user_version = 5")
    ledger.close()

    with Ledger.open(path, read_only=True) as old:
        assert old.waiting() == []
    with Ledger.open(path) as new:
        assert [r.number for r in new.waiting()] == [due, number]


def test_what_a_driver_that_was_taken_over_has_to_say_is_not_entered(ledger: Ledger) -> None:
    ledger.begin_driving()
    number = ledger.start_trial("search", {}, {})
    with Ledger.open(ledger.database.path) as next_one:
        assert next_one.begin_driving() == 2
        next_one.end_trial(number, TrialState.FAILED, "lost", 1.0)
        writes = (
            lambda: ledger.start_trial("search", {}, {}),
            lambda: ledger.record([(number, EPOCH)]),
            lambda: ledger.record([(number, EPOCH)], [(number, "fine_tune 25 %", {})]),
            lambda: ledger.end_trial(number, TrialState.CANCELLED, "late", 1.0),
            lambda: ledger.balance(9.0),
            lambda: ledger.extend({}),
            lambda: ledger.end_study("late"),
        )
        for write in writes:
            with pytest.raises(StudyInUseError, match=r"another one took .* over from this"):
                write()
        assert [trial.reason for trial in next_one.trials()] == ["lost"]
        assert next_one.study.outcome is None
        assert next_one.spent() == 1.0
        assert ledger.trial(number).reason == "lost"  # reading it is free


BUSY_DRIVER = """
import sys
from pathlib import Path
from autodepth.records.ledger import Ledger
from autodepth.records.trial_record import StudyRecord
from autodepth.trial.result import TrialState

study = StudyRecord(name="s", seed=0, objectives=(), plan={})
ledger = Ledger.create(Path(sys.argv[1]), study)
while True:
    number = ledger.start_trial("search", {}, {})
    ledger.end_trial(number, TrialState.FAILED, "no luck", 1.0)
    print(number, flush=True)
"""


@pytest.mark.parametrize("acknowledged", [1, 7, 40])
def test_what_was_acknowledged_survives_sigkill(tmp_path: Path, acknowledged: int) -> None:
    path = tmp_path / "ledger.sqlite"
    command = [sys.executable, "-c", BUSY_DRIVER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        told = [int(driver.stdout.readline()) for _ in range(acknowledged)]
        driver.send_signal(signal.SIGKILL)
    with Ledger.open(path) as ledger:
        trials = ledger.trials()
        assert [trial.number for trial in trials] == list(range(len(trials)))
        assert all(trials[number].state is TrialState.FAILED for number in told)
        ended = sum(trial.state.ended for trial in trials)
        assert ended >= len(trials) - 1  # at most one was under way
        assert ledger.spent() == ended
        assert ledger.start_trial("search", {}, {}) == len(trials)


def test_time_is_split_by_stage_and_what_no_trial_took_is_overhead(
    ledger: Ledger, make_result: Results
) -> None:
    done, lost, idle, again = (ledger.start_trial("search", {}, {}) for _ in range(4))
    stages = {"parent": 3.0, "fine_tune": 1.0}
    ledger.complete_trial(done, replace(make_result(), phase_seconds=stages), 8.0, spent=10.0)
    ledger.end_trial(lost, TrialState.FAILED, "no luck", 2.0, spent=15.0)
    ledger.record([(idle, replace(EPOCH, phase="fine_tune", seconds=1.0))])
    ledger.end_trial(idle, TrialState.STOPPED, "rank 5 of 6", 4.0, spent=20.0)
    ledger.end_trial(again, TrialState.CANCELLED, "the budget ended", 0.5)
    ledger.balance(30.0)

    assert ledger.spending() == {
        "parent": 6.0, "fine_tune": 6.0, "failed": 2.5, "overhead": 15.5,
    }  # fmt: skip
    assert ledger.spent() == 30.0
    assert [spent for _, spent in ledger.endings()] == [10.0, 15.0, 20.0, 20.5]


def test_what_is_beaten_is_read_no_more_for_the_front_but_for_another_one(
    ledger: Ledger, make_result: Results
) -> None:
    points = [(0.90, 30_000_000), (0.80, 10_000_000), (0.85, 40_000_000), (0.95, 30_000_000)]
    numbers = [ledger.start_trial("search", {}, {}) for _ in [*points, points[-1]]]
    # The twin of the last one ends first; of equal ones the earlier trial is the member.
    ledger.complete_trial(numbers[4], make_result(*points[3]), 1.0)
    for number, point in zip(numbers, points, strict=False):
        ledger.complete_trial(number, make_result(*point), 1.0)
    (candidates,) = ledger.database.query("SELECT COUNT(*) FROM trial WHERE candidate IS NOT NULL")[
        0
    ]
    smallest = [Objective(name="macs", goal="minimize", reference=1.0)]
    least_accurate = [Objective(name="validation_accuracy", goal="minimize", reference=1.0)]

    assert [point.trial for point in ledger.front()] == [1, 3]
    assert candidates == 2
    assert [point.trial for point in ledger.front(smallest)] == [1]
    assert [point.trial for point in ledger.front([*smallest, *least_accurate])] == [1]


def test_trials_about_a_member_of_the_front_are_no_candidates_and_charged_as_such(
    ledger: Ledger, make_result: Results
) -> None:
    member = ledger.start_trial("search", {}, {})
    ledger.complete_trial(member, make_result(0.8), 1.0)
    again = ledger.start_trial("confirm", {}, {}, about=member, replicate=1)
    ledger.complete_trial(again, make_result(0.9), 3.0)

    assert [point.trial for point in ledger.front()] == [member]
    assert (ledger.trial(again).about, ledger.trial(again).replicate) == (member, 1)
    assert ledger.spending()["confirm"] == 3.0
