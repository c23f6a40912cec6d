"""What becomes of a work, by how its process ended and what people wanted."""

import json
import os

import pytest
from service.queue.queues import steered

from autodepth.records.trial_record import INTERRUPTED, SPENT
from autodepth.service.queue.carrying.carrier import starts_in_vain
from autodepth.service.queue.carrying.ending import (
    NO_RAY,
    outcome_of,
    spent_by,
    what_becomes_of,
)
from autodepth.service.queue.owners import LOCAL
from autodepth.service.queue.wishes import SearchWish
from autodepth.service.queue.work import NewWork


@pytest.mark.parametrize(
    ("wanted", "attempt", "status", "outcome", "state", "told"),
    [
        ("run", 1, 0, SPENT, "done", SPENT),
        ("run", 1, 2, None, "failed", "last words"),
        ("run", 1, 1, SPENT, "failed", "last words"),
        ("run", 1, None, None, "waiting", "died"),
        ("run", 1, None, SPENT, "waiting", "died"),  # the next finds that nothing is left to do
        ("run", 1, 137, SPENT, "waiting", "died"),
        ("run", 1, 143, INTERRUPTED, "waiting", "died"),
        ("run", 20, None, None, "failed", "died 20 times: last words"),
        ("run", 1, 75, None, "waiting", "another process"),
        ("run", 1, 0, INTERRUPTED, "stopped", "autodepth stop"),
        ("pause", 1, 0, INTERRUPTED, "paused", "paused"),
        ("pause", 1, 1, INTERRUPTED, "paused", "paused"),
        ("pause", 1, 143, None, "paused", "paused"),
        ("pause", 1, 0, SPENT, "done", SPENT),  # it was quicker
        ("stop", 1, None, None, "stopped", "stopped"),
        ("stop", 1, 1, INTERRUPTED, "stopped", "stopped"),
        ("stop", 1, 2, INTERRUPTED, "failed", "last words"),
        ("pause", 1, NO_RAY, None, "paused", "paused"),
        ("stop", 1, NO_RAY, None, "stopped", "stopped"),
    ],
)
def test_every_end_has_one_state(wanted, attempt, status, outcome, state, told):
    with steered() as steering:
        work, _ = steering.search(LOCAL, SearchWish(study="a", budget="1trials"), "k")
        work = steering.store.change(work.number, wanted=wanted, attempt=attempt)
    found, words = what_becomes_of(work, status, outcome, lambda: "last words")
    assert found == state
    assert told in words


@pytest.mark.parametrize(
    ("wanted", "status", "state"),
    [("run", 0, "done"), ("run", 1, "failed"), ("stop", 0, "stopped"), ("run", None, "waiting")],
)
def test_a_policy_carried_out_in_a_study_that_is_paused_is_done(wanted, status, state):
    with steered() as steering:
        work = steering.store.add(
            NewWork(owner=LOCAL.name, kind="policy", study="a", arguments={"policy": {}})
        )
        work = steering.store.change(work.number, wanted=wanted, attempt=1)
    assert what_becomes_of(work, status, INTERRUPTED, lambda: "last words")[0] == state


@pytest.mark.parametrize(
    ("in_vain", "state", "told"),
    [
        (1, "waiting", "1 of at most 5 times in a row"),
        (4, "waiting", "4 of at most 5 times in a row"),
        (5, "failed", "its Ray did not start, 5 times in a row: last words"),
    ],
)
def test_one_whose_ray_does_not_start_is_tried_again_so_many_times(in_vain, state, told):
    with steered() as steering:
        work, _ = steering.search(LOCAL, SearchWish(study="a", budget="1trials"), "k")
        work = steering.store.change(work.number, attempt=9)
    found, words = what_becomes_of(work, NO_RAY, None, lambda: "last words", in_vain)
    assert found == state
    assert told in words


def test_starts_in_vain_are_counted_in_a_row_from_the_files_of_ends(tmp_path):
    for attempt, status in enumerate((NO_RAY, 0, NO_RAY, NO_RAY), start=1):
        (tmp_path / f"end-{attempt}.json").write_text(json.dumps({"status": status}))
    counts = [starts_in_vain(tmp_path, attempt, NO_RAY) for attempt in range(6)]
    assert counts == [0, 1, 0, 1, 2, 0]
    assert NO_RAY == os.EX_UNAVAILABLE


def test_what_a_study_spent_and_how_it_ended_is_read_where_there_is_one(make_recorded):
    folder = make_recorded("digits", ((0.9, 40_000_000, 40.0),))
    assert (spent_by(folder), outcome_of(folder)) == (40.0, SPENT)
    folder.ledger_path.unlink()
    assert (spent_by(folder), outcome_of(folder)) == (0.0, None)
