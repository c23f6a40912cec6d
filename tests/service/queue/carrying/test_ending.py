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
    outcome_of_work,
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


@pytest.mark.parametrize("kind", ["confirm", "policy"])
@pytest.mark.parametrize(
    ("wanted", "status", "answer", "state", "told"),
    [
        ("run", 0, {"interrupted": False}, "done", None),  # in a study that is paused
        ("run", 0, {"interrupted": True}, "stopped", "it was stopped by `autodepth stop`"),
        ("stop", 0, {"interrupted": True}, "stopped", "it was stopped"),
        ("stop", 0, {"interrupted": False}, "done", None),  # it was quicker
        ("run", 1, None, "failed", "last words"),
        ("run", None, None, "waiting", "its process died; it goes on where it was"),
        ("run", 0, {"missing": 3}, "done", "3 trials are missing: 9cpu-s of its owner's allowance"),
        ("run", 0, {"missing": 0}, "done", None),
    ],
)
def test_what_is_done_beside_a_search_ends_by_its_own_answer(
    make_recorded, kind, wanted, status, answer, state, told
):
    folder = make_recorded("a", ((0.9, 40_000_000, 40.0),), ended=INTERRUPTED)
    with steered() as steering:
        work = steering.store.add(NewWork(owner=LOCAL.name, kind=kind, study="a", arguments={}))
        work = steering.store.change(work.number, wanted=wanted, attempt=1, total="9cpu-s")
    outcome = outcome_of_work(work, folder, answer)
    found, words = what_becomes_of(work, status, outcome, lambda: "last words")
    assert found == state
    assert words == told or words.startswith(told)


def test_a_search_ends_as_its_study_does_and_an_export_ends_none(make_recorded):
    folder = make_recorded("a", ((0.9, 40_000_000, 40.0),), ended=INTERRUPTED)
    with steered() as steering:
        search = NewWork(owner=LOCAL.name, kind="resume", study="a", arguments={})
        export = NewWork(owner=LOCAL.name, kind="export", study="a", arguments={})
        works = [steering.store.add(new) for new in (search, export)]
    found = [outcome_of_work(work, folder, {"interrupted": True}) for work in works]
    assert found == [INTERRUPTED, None]


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
