"""A policy refuses the impossible and survives being written and read."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodepth.errors import InputError
from autodepth.policy.policy import Policy, TrainingSettings
from autodepth.policy.survival import DECAY_SHAPES

policies = st.builds(
    Policy,
    survival_prob_last=st.floats(0.01, 1),
    decay_shape=st.sampled_from(DECAY_SHAPES),
    decay_power=st.floats(0.1, 5),
    sensitivity_threshold=st.none() | st.tuples(st.floats(-1, 1), st.floats(-1, 1)),
    threshold_per=st.sampled_from(["network", "stage", "block"]),
    fine_tune_epochs=st.integers(0, 100),
    train=st.builds(
        TrainingSettings,
        epochs=st.integers(0, 300),
        learning_rate=st.floats(1e-4, 1),
        fine_tune_learning_rate=st.none() | st.floats(1e-4, 1),
    ),
)


@given(policies)
def test_a_policy_survives_being_written_and_read(policy):
    assert Policy.from_dict(json.loads(json.dumps(policy.to_dict()))) == policy


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"p_L": 1.2}, r"must be in \(0, 1\], but got 1.2"),
        ({"decay_shape": "cosin"}, "did you mean 'cosine'"),
        ({"threshold_per": "layer"}, "must be one of network, stage, block"),
        ({"fine_tune_epochs": -1}, "at least 0, but got -1"),
        ({"sensitivity_threshold": []}, "must hold numbers"),
        ({"decay_power": 0}, "must be above 0"),
        ({"fine_tun_epochs": 1}, "did you mean 'fine_tune_epochs'"),
        ({"train": {"epoch": 1}}, "unknown policy setting 'train.epoch', did you mean 'epochs'"),
        ({"train": {"batch_size": 1}}, "train.batch_size must be at least 2, but got 1"),
        ({"train": {"learning_rate": 0}}, "train.learning_rate must be above 0"),
        ({"train": {"precision": "float16"}}, "must be one of auto, float32, bfloat16"),
    ],
)
def test_what_cannot_be_is_refused(values, message):
    with pytest.raises(InputError, match=message):
        Policy.from_dict(values)
