"""What the page is told is what the ledger has, and only what changed is told again."""

from __future__ import annotations

import json

import pytest

from autodepth.dashboard.answers import (
    blocks_answer,
    branches_answer,
    status_answer,
    trial_answer,
    trials_answer,
)
from autodepth.dashboard.studies import Studies
from autodepth.dashboard.study_view import StudyView
from autodepth.errors import InputError

TRIALS = (
    (0.9, 40_000_000, 40.0), (0.8, 10_000_000, 30.0), (None, 0, 10.0), (0.7, 20_000_000, 20.0),
)  # fmt: skip


def test_trials_come_in_columns_in_the_units_of_the_axes(make_recorded):
    view = StudyView(make_recorded("digits", TRIALS))
    told = trials_answer(view.look(), "", 0)

    assert told["whole"]
    assert told["columns"]["number"] == [0, 1, 2, 3]
    assert told["columns"]["state"] == ["complete", "complete", "failed", "complete"]
    assert told["columns"]["macs"] == [40.0, 10.0, None, 20.0]  # millions, as the axis says
    assert told["columns"]["validation_accuracy"] == pytest.approx([90, 80, None, 70])
    assert told["metrics"]["macs"] == "MACs per image (M)"
    assert told["dimensions"] == {"p_L": [0.5] * 4}
    assert told["front"] == [0, 1]
    json.dumps(told, allow_nan=False)


def test_the_status_is_that_of_the_command_line_with_the_burn_down(make_recorded):
    view = StudyView(make_recorded("digits", TRIALS))
    told = status_answer(view, view.look())
    burned = told["burn_down"]

    assert told["state"] == "ended: the budget was spent"
    assert told["spent_device_seconds"] == pytest.approx(100)
    assert sum(values[-1] for values in burned["spent"].values()) == pytest.approx(100)
    assert burned["left"][-1] == pytest.approx(240 - 100)
    assert told["ends_at"] is None  # nothing runs
    json.dumps(told, allow_nan=False)


def test_a_member_of_the_front_can_be_exported_and_others_say_who_is_better(
    make_recorded, monkeypatch
):
    folder = make_recorded("digits", TRIALS)
    view = StudyView(folder)
    home = folder.path.parent
    member = trial_answer(view, view.look(), 1)
    other = trial_answer(view, view.look(), 3)

    assert member["export"] == (
        f"AUTODEPTH_HOME={home} autodepth export digits --select trial:1 "
        "--to exports/digits-trial-1"
    )
    assert (other["export"], other["dominated_by"]) == (None, [1])
    (folder.trial_folder(1) / "model.safetensors").unlink()
    assert trial_answer(view, view.look(), 1)["export"] is None
    monkeypatch.delenv("AUTODEPTH_HOME")
    own = StudyView(folder)
    (folder.trial_folder(1) / "model.safetensors").write_bytes(b"")
    assert trial_answer(own, own.look(), 1)["export"].startswith("autodepth export digits")
    with pytest.raises(InputError, match="numbered from 0, but got 9"):
        trial_answer(view, view.look(), 9)
    with pytest.raises(InputError, match="numbered from 0, but got -1"):
        blocks_answer(view, view.look(), -1, ())


def test_blocks_are_told_of_a_network_the_server_may_not_build(make_recorded):
    view = StudyView(make_recorded("digits", TRIALS, network={"name": "os:system"}))
    found = view.look()
    assert Studies().branches(found) == ()
    blocks = blocks_answer(view, found, 1, ())["blocks"]
    assert [block["index"] for block in blocks if block["removed"]] == [3, 5, 6]
    assert trial_answer(view, found, 1)["export"].endswith(" --own-code")


def test_branches_follow_the_trials_asked_for(make_recorded):
    view = StudyView(make_recorded("digits", TRIALS))
    assert branches_answer(view.look(), None)["trials"] == 3
    assert branches_answer(view.look(), {1, 2})["trials"] == 1
