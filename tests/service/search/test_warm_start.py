"""What an earlier study found is tried first, as far as another space knows it."""

import pytest

from autodepth.errors import StudyError
from autodepth.service.search.warm_start import front_policies
from autodepth.space.search_space import SearchSpace

SPACE = {
    "version": 1,
    "network": {"name": "resnet20"},
    "data": {"name": "digits"},
    "search": {
        "p_L": {"type": "float", "min": 0.5, "max": 1.0},
        "fine_tune_epochs": {"type": "int", "min": 1, "max": 4},
    },
}
POLICY = {
    "p_L": 0.5, "fine_tune_epochs": 9, "criterion": "taylor", "survival": None,
    "train": {"epochs": 3, "learning_rate": 0.1},
}  # fmt: skip
TRIALS = [(0.9, 30_000_000, 1.0), (0.8, 10_000_000, 1.0), (0.7, 20_000_000, 1.0)]


def space(**search):
    return SearchSpace.from_dict({**SPACE, "search": {**SPACE["search"], **search}})


def test_settings_are_taken_that_the_space_has_with_values_that_it_has(make_recorded):
    make_recorded("earlier", TRIALS, policy=POLICY)

    assert front_policies("earlier", space()) == ({"p_L": 0.5},)  # once, though two are on it


def test_settings_of_training_are_taken_where_they_are_searched(make_recorded):
    make_recorded("earlier", TRIALS, policy=POLICY)
    searched = SearchSpace.from_dict(
        {**SPACE, "train": {"learning_rate": {"type": "float", "min": 0.01, "max": 1.0}}}
    )

    assert front_policies("latest", searched) == ({"p_L": 0.5, "train.learning_rate": 0.1},)


def test_a_front_of_which_nothing_is_searched_is_refused(make_recorded):
    make_recorded("earlier", TRIALS, policy=POLICY)
    with pytest.raises(StudyError, match="no setting of its front is searched here: earlier"):
        front_policies("earlier", space(p_L={"type": "float", "min": 0.6, "max": 1.0}))


def test_a_study_without_a_front_and_one_that_is_not_there_are_refused(make_recorded):
    make_recorded("failed", [(None, 0, 1.0)], policy=POLICY)
    with pytest.raises(StudyError, match="but its front is empty: failed"):
        front_policies("failed", space())
    with pytest.raises(StudyError):
        front_policies("nowhere", space())
