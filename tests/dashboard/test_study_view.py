"""Only what changed of a study is read and told again."""

from __future__ import annotations

from autodepth.dashboard.answers import (
    trials_answer,
)
from autodepth.dashboard.study_view import StudyView
from autodepth.records.ledger import Ledger

TRIALS = (
    (0.9, 40_000_000, 40.0), (0.8, 10_000_000, 30.0), (None, 0, 10.0), (0.7, 20_000_000, 20.0),
)  # fmt: skip


def test_only_what_changed_is_told_again(make_recorded):
    folder = make_recorded("digits", TRIALS, ended=None)
    view = StudyView(folder)
    with Ledger.open(folder.ledger_path) as ledger:
        running = ledger.start_trial("search", {"p_L": 0.9}, {})
        first = trials_answer(view.look(), "", 0)
        ledger.end_trial(running, "failed", "why not", 1.0)
        ledger.start_trial("search", {"p_L": 0.8}, {})
        second = trials_answer(view.look(), first["instance"], first["revision"])
        third = trials_answer(view.look(), second["instance"], second["revision"])

    assert first["columns"]["state"][running] == "running"
    assert second["columns"]["number"] == [running, running + 1]
    assert second["columns"]["state"] == ["failed", "running"]
    assert third["columns"]["number"] == []
    assert trials_answer(view.look(), "of another server", 9)["whole"]


def test_a_study_that_was_made_anew_is_read_anew(make_recorded):
    folder = make_recorded("digits", TRIALS)
    view = StudyView(folder)
    before = view.look()
    for path in sorted(folder.path.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.path.rmdir()
    make_recorded("digits", TRIALS[:2])
    after = view.look()

    assert (len(before.records), len(after.records)) == (4, 2)
    assert before.instance != after.instance
