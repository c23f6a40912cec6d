"""A policy refuses the impossible and survives being written and read."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodepth.errors import InputError
from autodepth.policy.depth_schedule import DEPTH_SCHEDULES
from autodepth.policy.policy import Policy, widths_in
from autodepth.policy.settings import CRITERIA, REMOVAL_MODES
from autodepth.policy.survival import DECAY_SHAPES
from autodepth.policy.training_settings import AUTO_AUGMENTS, OPTIMIZERS, TrainingSettings

policies = st.builds(
    Policy,
    survival_prob_last=st.floats(0.01, 1),
    decay_shape=st.sampled_from(DECAY_SHAPES),
    decay_power=st.floats(0.1, 5),
    survival=st.none() | st.tuples(st.floats(0.1, 1), st.floats(0.1, 1)),
    depth_schedule=st.sampled_from(DEPTH_SCHEDULES),
    criterion=st.sampled_from(CRITERIA),
    sensitivity_threshold=st.none() | st.tuples(st.floats(-1, 1), st.floats(-1, 1)),
    protected=st.tuples() | st.tuples(st.integers(1, 9)),
    removal=st.sampled_from(REMOVAL_MODES),
    patience=st.none() | st.integers(1, 9),
    threshold_per=st.sampled_from(["network", "stage", "block"]),
    filter_sparsity=st.floats(0, 0.99),
    widths=st.dictionaries(st.integers(1, 99), st.floats(0.1, 1)).map(
        lambda widths: tuple(sorted(widths.items()))
    ),
    weight_sparsity=st.floats(0, 0.99),
    fine_tune_epochs=st.integers(0, 100),
    train=st.builds(
        TrainingSettings,
        epochs=st.integers(0, 300),
        learning_rate=st.floats(1e-4, 1),
        fine_tune_learning_rate=st.none() | st.floats(1e-4, 1),
        optimizer=st.sampled_from(OPTIMIZERS),
        auto_augment=st.sampled_from(AUTO_AUGMENTS),
        clip_norm=st.none() | st.floats(0.1, 10),
        ema=st.floats(0, 0.999),
        mixup=st.floats(0, 1),
    ),
)


@given(policies)
def test_a_policy_survives_being_written_and_read(policy):
    assert Policy.from_dict(json.loads(json.dumps(policy.to_dict()))) == policy


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"fine_tune_epochs": 2.5}, "fine_tune_epochs must be a whole number"),
        ({"removal_step": 1.5}, "removal_step must be a whole number"),
        ({"branches_removed": 1.5}, "branches_removed must be a whole number"),
        ({"protected": None}, "protected must"),
        ({"protected": ["q"]}, "protected must"),
        ({"branches": ["a"]}, "branches must"),
        ({"branches": [1.5]}, "branches must"),
        ({"survival": ["x"]}, "survival must"),
        ({"sensitivity_threshold": ["x"]}, "sensitivity_threshold must"),
        ({"decay_shape": ["linear"]}, "decay_shape must be one of"),
        ({"train": {"epochs": 1.5}}, "train.epochs must be a whole number"),
        ({"train": {"batch_size": 2.5}}, "train.batch_size must be a whole number"),
        ({"p_L": 1.2}, r"must be a number in \(0, 1\], but got 1.2"),
        ({"decay_shape": "cosin"}, "did you mean 'cosine'"),
        ({"threshold_per": "layer"}, "must be one of network, stage, block"),
        ({"branches_removed": -1}, "branches_removed .* of at least 0 or null, but got -1"),
        ({"macs_target": 0.0}, r"macs_target must be a number in \(0, 1\] or null, but got 0.0"),
        ({"macs_target": 0.5, "branches_removed": 3}, "at most one of sensitivity_threshold"),
        ({"branches": [2], "branches_removed": 3}, "at most one of sensitivity_threshold"),
        ({"branches": [2, 2]}, r"branches must be different numbers from 1, but got \[2, 2\]"),
        ({"branches": [0]}, "branches must be a whole number of at least 1 or null, but got 0"),
        ({"branches": [2, 5], "protected": [5]}, "must name no protected branch, but got 5"),
        ({"criterion": "taylors"}, "did you mean 'taylor'"),
        ({"removal": "greedily"}, "did you mean 'greedy'"),
        ({"removal_step": 0}, "at least 1, but got 0"),
        ({"removal_step": None}, "at least 1, but got null"),
        ({"depth_schedule_cutoff": 1.5}, r"in \(0, 1\], but got 1.5"),
        ({"survival": [0.5, 1.5]}, r"survival must be a number in \(0, 1\] or null, but got 1.5"),
        ({"fine_tune_p_L": 0}, r"fine_tune_p_L must be a number in \(0, 1\], but got 0"),
        ({"distillation": 1}, r"distillation must be a number in \[0, 1\), but got 1"),
        ({"distillation_temperature": 0.5}, "at least 1, but got 0.5"),
        ({"patience": 0}, "patience must be a whole number of at least 1 or null, but got 0"),
        ({"fine_tune_epochs": -1}, "at least 0, but got -1"),
        ({"filter_sparsity": 1.0}, r"filter_sparsity must be a number in \[0, 1\), but got 1.0"),
        ({"widths": {3: 0}}, r"widths must be a number in \(0, 1\], but got 0"),
        ({"widths": {0: 0.5}}, "widths must be a mapping of branch numbers, from 1, but got"),
        ({"widths": {"x": 0.5}}, "widths must be a mapping of branch numbers"),
        ({"widths": [0.5]}, "widths must be a mapping of branch numbers, from 1, but got a list"),
        ({"weight_sparsity": -0.1}, r"weight_sparsity must be a number in \[0, 1\), but got -0.1"),
        ({"weight_sparsity": float("nan")}, r"must be a number in \[0, 1\), but got .nan"),
        ({"sensitivity_threshold": []}, "must hold numbers"),
        ({"decay_power": 0}, "must be a number above 0"),
        ({"fine_tun_epochs": 1}, "did you mean 'fine_tune_epochs'"),
        ({"train": {"epoch": 1}}, "unknown policy setting 'train.epoch', did you mean 'epochs'"),
        ({"train": {"batch_size": 1}}, "train.batch_size .* of at least 2, but got 1"),
        ({"train": {"learning_rate": 0}}, "train.learning_rate must be a number above 0"),
        ({"train": {"precision": "float16"}}, "must be one of auto, float32, bfloat16"),
    ],
)
def test_what_cannot_be_is_refused(values, message):
    with pytest.raises(InputError, match=message):
        Policy.from_dict(values)


def test_a_width_of_its_own_takes_the_place_of_that_of_all():
    policy = Policy.from_dict({"widths": {3: 0.75, "12": 1.0}, "filter_sparsity": 0.5})
    assert policy.channels_gone([1, 3, 12]) == {1: 0.5, 3: 0.25, 12: 0.0}
    assert (
        policy.to_dict()["widths"]
        == {"3": 0.75, "12": 1.0}
        == {str(b): w for b, w in widths_in(policy.to_dict()).items()}
    )
    assert not Policy.from_dict({"widths": {3: 1.0}}).narrows_branches
    assert "widths" not in Policy().to_dict()


@given(policies, st.lists(st.integers(10, 60), unique=True).map(tuple))
def test_another_goal_of_removal_takes_the_place_of_the_first(policy, branches):
    named = policy.removing(branches=branches)

    assert Policy.from_dict(json.loads(json.dumps(named.to_dict()))) == named
    assert named.branches == branches
    assert named.removes_branches
    assert not named.scores_branches
    assert named.removing(sensitivity_threshold=policy.sensitivity_threshold) == policy
    assert not policy.removing().removes_branches


def test_one_value_alone_speaks_for_all_as_in_a_space_file():
    assert Policy.from_dict({"sensitivity_threshold": 0.5}).sensitivity_threshold == (0.5,)
    assert Policy.from_dict({"protected": 3}).protected == (3,)
