"""Studies of a folder, listed and compared."""

from __future__ import annotations

import pytest

from autodepth.dashboard.studies import Studies
from autodepth.errors import InputError, StudyError

TRIALS = (
    (0.9, 40_000_000, 40.0), (0.8, 10_000_000, 30.0), (None, 0, 10.0), (0.7, 20_000_000, 20.0),
)  # fmt: skip


def test_studies_are_listed_without_reading_trials(make_recorded):
    make_recorded("first", TRIALS)
    make_recorded("second", TRIALS, ended=None, space={"sampler": {"name": "random"}})
    studies = Studies()
    listed = {line["study"]: line for line in studies.list()}

    assert listed["first"]["outcome"] == "the budget was spent"
    assert (listed["second"]["trials"], listed["second"]["sampler"]) == (4, "random")
    with pytest.raises(StudyError, match="no study is called 'third'"):
        studies.view("third")


def test_hypervolume_of_one_study_and_of_two(make_recorded):
    make_recorded("slow", TRIALS)
    make_recorded("quick", ((0.9, 40_000_000, 4.0), (0.9, 10_000_000, 6.0)))
    studies = Studies()
    alone = studies.hypervolume(["slow"])
    both = studies.hypervolume(["slow", "quick", "slow"])

    assert alone["studies"][0]["hypervolume"] == pytest.approx(0.6)
    assert alone["studies"][0]["curve"] == both["studies"][0]["curve"]
    assert [study["study"] for study in both["studies"]] == ["slow", "quick"]
    make_recorded("other", TRIALS, unpruned={"macs": 41e6})
    with pytest.raises(InputError, match="start from equal networks"):
        studies.hypervolume(["slow", "other"])
