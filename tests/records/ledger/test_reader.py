"""Views of a ledger are read without its trials."""

from __future__ import annotations

import sqlite3

import pytest

from autodepth.errors import NewerStudyError
from autodepth.records.ledger import Ledger

TRIALS = (
    (0.9, 40_000_000, 40.0), (0.8, 10_000_000, 30.0), (None, 0, 10.0), (0.7, 20_000_000, 20.0),
)  # fmt: skip


def test_counts_tell_the_states_without_reading_trials(make_recorded):
    folder = make_recorded("digits", TRIALS)
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        counts = ledger.counts()
        assert {state.value: n for state, n in counts.items() if n} == {"complete": 3, "failed": 1}
        assert [record.number for record in ledger.trials(2)] == [2, 3]
        assert sum(seconds for _, _, seconds in ledger.charges()) == pytest.approx(ledger.spent())


def change(folder, statement):
    with sqlite3.connect(folder.ledger_path) as connection:
        connection.execute(statement)
    connection.close()


IN_RESULT = "UPDATE trial SET result = json_set(result, '$.{}', 3.0) WHERE number = 1"
IN_PLAN = "UPDATE study SET plan = json_set(plan, '$.{}', '9.1.0')"


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (
            IN_RESULT.format("carbon_grams"),
            "a trial's result must be .* has 'carbon_grams': a newer",
        ),
        (IN_RESULT.format("point.watts"), "what a network costs must be .* has 'watts': a newer"),
        ("UPDATE trial SET state = 'asleep'", "the state of a trial must be .* has 'asleep'"),
        ("ALTER TABLE trial ADD COLUMN wish TEXT", "a trial must be .* has 'wish'"),
    ],
)
def test_a_trial_in_words_of_a_newer_autodepth_is_refused_with_what_began_it(
    make_recorded, statement, told
):
    folder = make_recorded("digits", TRIALS)
    change(folder, IN_PLAN.format("autodepth"))
    change(folder, statement)
    with (
        Ledger.open(folder.ledger_path, read_only=True) as ledger,
        pytest.raises(NewerStudyError, match=rf"{told}.*digits was begun by autodepth 9\.1\.0"),
    ):
        ledger.trials()


def test_an_epoch_in_words_of_a_newer_autodepth_is_refused(make_recorded):
    folder = make_recorded("digits", TRIALS)
    change(folder, "ALTER TABLE epoch ADD COLUMN joules REAL")
    with (
        Ledger.open(folder.ledger_path, read_only=True) as ledger,
        pytest.raises(
            NewerStudyError, match=r"an epoch must .*'joules'.* by autodepth of unknown version"
        ),
    ):
        ledger.epochs(1)


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE study SET objectives = json_set(objectives, '$[0].weight', 2)", "'weight'"),
        ("ALTER TABLE study ADD COLUMN place TEXT", "'place'"),
    ],
)
def test_a_study_in_words_of_a_newer_autodepth_is_refused(make_recorded, statement, told):
    folder = make_recorded("digits", TRIALS)
    change(folder, statement)
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        for read in (lambda: ledger.study, ledger.front):
            with pytest.raises(NewerStudyError, match=told):
                read()
