"""A search space orders its dimensions, and its points are policies."""

import pytest

from autodepth.errors import InputError
from autodepth.policy.policy import Policy
from autodepth.space.file.shipped import default_space
from autodepth.space.file.space_file import load_space
from autodepth.space.search_space import SearchSpace


@pytest.fixture(scope="module")
def digits():
    return load_space(default_space(), ["search.origin=parent"])


def space_of(search, train=None):
    content = {"version": 1, "network": "resnet20", "data": "digits", "search": search}
    return SearchSpace.from_dict(content | ({"train": train} if train else {}))


@pytest.mark.parametrize(
    ("search", "narrows"),
    [
        ({}, False),
        ({"stream_width": 0.5}, False),
        ({"filter_sparsity": {"type": "float", "min": 0.0, "max": 0.5}}, True),
        ({"removal": {"type": "choice", "values": ["joint", "joint_widths"]}}, True),
    ],
)
def test_a_space_says_whether_branches_become_narrower(search, narrows):
    assert space_of(search).narrows_branches == narrows


POINT = {
    "p_L": 0.7,
    "decay_shape": "power",
    "decay_power": 2.0,
    "sensitivity_threshold.1": 0.1,
    "sensitivity_threshold.2": 0.2,
    "sensitivity_threshold.3": 0.3,
    "filter_sparsity": 0.5,
    "fine_tune_epochs": 4,
}


def test_a_point_becomes_a_policy(digits):
    policy = Policy.from_dict(digits.policy_values(POINT))
    assert policy.survival_prob_last == 0.7
    assert (policy.decay_shape, policy.decay_power) == ("power", 2.0)
    assert policy.sensitivity_threshold == (0.1, 0.2, 0.3)
    assert policy.threshold_per == "stage"
    assert policy.fine_tune_epochs == 4
    assert (policy.train.epochs, policy.train.batch_size) == (10, 16)


def test_what_does_not_count_takes_the_policys_default(digits):
    point = POINT | {"decay_shape": "linear"}
    del point["decay_power"]
    assert Policy.from_dict(digits.policy_values(point)).decay_power == Policy().decay_power


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"p_L": 0.3}, "p_L must be in FloatRange"),
        ({"p_L": 0.55}, "p_L must be in FloatRange"),
        ({"decay_shape": "linear"}, "'decay_power' is no setting that counts at this point"),
        ({"p_l": 0.5}, "'p_l' is no setting that counts at this point, did you mean 'p_L'?"),
        ({"train.epochs": 9}, "train.epochs must be in Fixed"),
        ({"sensitivity_threshold.5": 0.1}, "the point must give sensitivity_threshold.4"),
    ],
)
def test_points_of_another_space_are_refused(digits, change, message):
    with pytest.raises(InputError, match=message.replace("?", r"\?")):
        digits.policy_values(POINT | change)


def test_a_missing_value_is_named(digits):
    with pytest.raises(InputError, match="the point must give fine_tune_epochs"):
        digits.policy_values({k: v for k, v in POINT.items() if k != "fine_tune_epochs"})


@pytest.mark.parametrize(
    ("per", "names"),
    [
        ("network", ["sensitivity_threshold"]),
        ("stage", [f"sensitivity_threshold.{i}" for i in range(1, 4)]),
        ("block", [f"sensitivity_threshold.{i}" for i in range(1, 10)]),
    ],
)
def test_there_is_a_threshold_for_each_part(per, names):
    space = space_of({"sensitivity_threshold": {"min": 0.0, "max": 0.1, "per": per}})
    dimensions = space.dimensions_for(num_stages=3, num_branches=9)
    assert [dimension.name for dimension in dimensions] == names
    policy = Policy.from_dict(space.policy_values(dict.fromkeys(names, 0.05)))
    assert policy.sensitivity_threshold == (0.05,) * len(names)
    assert policy.threshold_per == per


@pytest.mark.parametrize("fixed", [None, 0.1])
def test_a_fixed_threshold_speaks_for_the_network(fixed):
    space = space_of({"sensitivity_threshold": fixed})
    policy = Policy.from_dict(space.policy_values({}))
    assert policy.sensitivity_threshold == (None if fixed is None else (fixed,))


def test_a_chain_of_conditions_breaks_at_its_first_link():
    space = space_of(
        {
            "p_L": {"values": [0.5, 1.0]},
            "decay_shape": {"values": ["linear", "power"], "when": {"p_L": "< 1"}},
            "decay_power": {"min": 0.5, "max": 3.0, "when": {"decay_shape": "power"}},
        }
    )
    assert space.policy_values({"p_L": 1.0})["p_L"] == 1.0
    with pytest.raises(InputError, match="the point must give decay_shape"):
        space.policy_values({"p_L": 0.5})


def test_fixed_settings_may_be_waited_for():
    space = space_of(
        {"fine_tune_epochs": {"values": [1, 2], "when": {"train.epochs": [3, 4]}}}, {"epochs": 3}
    )
    assert space.policy_values({"fine_tune_epochs": 2})["fine_tune_epochs"] == 2


def test_from_dict_tells_all_mistakes():
    with pytest.raises(InputError, match=r"search\.p_L: must .*\nsearch\.decay_power: must"):
        space_of({"p_L": 2, "decay_power": 0})
