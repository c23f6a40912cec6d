"""A search that was broken off and goes on is the search that nobody broke off."""

from contextlib import contextmanager

import pytest

from autodepth.errors import StudyError
from autodepth.records.ledger import Ledger
from autodepth.records.studies import find_study
from autodepth.service.search.requests import ResumeRequest
from autodepth.service.search.resume import plan_resume, resume
from autodepth.service.search.search import search
from autodepth.trial.result import TrialState

SMALL = (
    "network.name=resnet14",
    "data.train_images=96",
    "data.validation=60",
    "train.epochs=2",
    "search.fine_tune_epochs={type: int, min: 0, max: 2}",
    "sampler.startup_trials=2",
)


def trials(name):
    with Ledger.open(find_study(name).ledger_path, read_only=True) as ledger:
        return ledger.trials()


def settled(name):
    return [(t.kind, t.policy, t.state) for t in trials(name) if not t.broken_off]


def front(name):
    with Ledger.open(find_study(name).ledger_path, read_only=True) as ledger:
        return [(p.policy, p.point.validation_accuracy, p.point.macs) for p in ledger.front()]


def interrupting(at):
    """Return what interrupts a study when so many epochs were reported."""

    @contextmanager
    def watch(driver):
        on_report, count = driver.on_report, 0

        def interrupt(number, report):
            nonlocal count
            on_report(number, report)
            count += 1
            if count == at:
                driver.interrupt()
            return driver.stop_requested

        driver.on_report = interrupt
        yield

    return watch


ALL_ORIGINS = (
    "search={origin: {type: choice, values: [scratch, member, parent]},"
    " branches_removed: {type: int, min: 0, max: 4},"
    " stream_width: {type: choice, values: [0.5, 1.0], when: {origin: scratch}},"
    " width_growth: {type: choice, values: [1.0, 2.0], when: {origin: member}},"
    " fine_tune_epochs: {type: int, min: 1, max: 2}}",
    "sampler.gap_share=0.8",
)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(ALL_ORIGINS, id="all-origins"),
        *(
            pytest.param((f"sampler.name={name}",), id=name, marks=pytest.mark.long)
            for name in ("tpe", "random", "nsga2")
        ),
    ],
)
def test_the_same_policies_in_the_same_order_and_the_same_front(changes):
    settings = [*SMALL, *changes]
    search(budget="8trials", study="whole", settings=settings, runner="in-process")
    search(
        budget="8trials", study="broken", settings=settings, runner="in-process",
        watch=interrupting(3),
    )  # fmt: skip
    for at in (4, 1, 7):
        resume("broken", runner="in-process", watch=interrupting(at))
    resume("broken", runner="in-process")

    assert len([t for t in trials("broken") if t.broken_off]) >= 3
    assert settled("broken") == settled("whole")
    assert front("broken") == front("whole")
    if changes is ALL_ORIGINS:
        origins = {t.policy.get("origin", "parent") for t in trials("whole")}
        assert {"scratch", "member"} <= origins


def test_what_came_another_way_is_known_all_the_same():
    """Where the search goes another way, every trial counts and none is repeated."""
    search(
        budget="5trials", study="elsewhere", settings=[*SMALL, "sampler.name=random"],
        runner="in-process",
    )  # fmt: skip
    folder = find_study("elsewhere")
    with Ledger.open(folder.ledger_path) as ledger, ledger.database.transaction() as connection:
        # As though another trial had come first: from here on the search goes another way.
        changed = "json_set(policy, '$.recalibration_batches', 3)"
        connection.execute(f"UPDATE trial SET policy = {changed} WHERE number = 0")
    result = resume("elsewhere", budget="+3trials", runner="in-process")
    complete = [t.policy for t in trials("elsewhere") if t.state is TrialState.COMPLETE]

    assert result.complete == 8
    assert all(complete.count(policy) == 1 for policy in complete)
    assert [t.kind for t in trials("elsewhere")].count("unpruned") == 1


def test_a_space_that_was_changed_is_refused_with_what_changed():
    search(budget="1trials", study="edited", settings=SMALL, runner="in-process")
    path = find_study("edited").space_path
    path.write_text(path.read_text().replace("startup_trials: 2", "startup_trials: 9"))

    with pytest.raises(StudyError) as refused:
        plan_resume(ResumeRequest(study="edited", budget="+1trials"))
    assert "the space of edited changed since:\n  sampler.startup_trials: 2 -> 9\n" in str(
        refused.value
    )
    assert "--start-from edited" in str(refused.value)
