"""What a space file allows for a setting is what a policy allows."""

from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodepth.errors import InputError
from autodepth.policy.depth_schedule import DEPTH_SCHEDULES
from autodepth.policy.policy import Policy
from autodepth.policy.settings import CRITERIA, REMOVAL_MODES, SEARCHED
from autodepth.policy.survival import DECAY_SHAPES
from autodepth.policy.training_settings import PRECISIONS, SCHEDULES, TrainingSettings
from autodepth.space.sections.models import SECTIONS

ANY_PACE = settings(deadline=None)  # other work may hold the machine

NUMBERS = st.one_of(
    st.sampled_from([-1.0, 0.0, 1e-9, 0.5, 1.0 - 1e-9, 1.0, 1.0 + 1e-9, 2.0]),
    st.floats(allow_nan=False, allow_infinity=False),
)


def policy_takes(name, value):
    section, _, key = name.rpartition(".")
    if name == "sensitivity_threshold":
        value = [value]
    try:
        Policy.from_dict({section: {key: value}} if section else {key: value})
    except InputError:
        return False
    return True


def test_every_setting_of_a_policy_has_a_rule_and_a_key():
    policy = {item.name for item in fields(Policy)}
    policy -= {"survival_prob_last", "survival", "threshold_per", "branches", "protected", "train"}
    policy -= {"base", "widths"}  # another policy; a width for each branch
    train = {f"train.{item.name}" for item in fields(TrainingSettings)}
    assert set(SEARCHED) == {"p_L"} | policy | train
    keys = {*SECTIONS["search"].model_fields}
    keys |= {f"train.{name}" for name in SECTIONS["train"].model_fields}
    assert keys == {*SEARCHED, "branches"}  # a list, never searched: no rule for one value


@pytest.mark.parametrize("name", [n for n, r in SEARCHED.items() if not r.whole and not r.choices])
@ANY_PACE
@given(value=NUMBERS)
def test_numbers_agree(name, value):
    assert (SEARCHED[name].complaint(value) is None) == policy_takes(name, value)


@pytest.mark.parametrize("name", [name for name, rule in SEARCHED.items() if rule.whole])
@ANY_PACE
@given(value=st.one_of(st.integers(-2, 4), st.integers()))
def test_whole_numbers_agree(name, value):
    assert (SEARCHED[name].complaint(value) is None) == policy_takes(name, value)
    assert SEARCHED[name].complaint(float(value % 100) + 0.5)


def test_names_agree():
    assert SEARCHED["decay_shape"].choices == DECAY_SHAPES
    assert SEARCHED["depth_schedule"].choices == DEPTH_SCHEDULES
    assert SEARCHED["criterion"].choices == CRITERIA
    assert SEARCHED["removal"].choices == REMOVAL_MODES
    assert SEARCHED["fine_tune_schedule"].choices == SCHEDULES
    assert SEARCHED["train.precision"].choices == PRECISIONS


@pytest.mark.parametrize("name", SEARCHED)
def test_other_kinds_of_values_are_refused(name):
    for value in ("x", True, float("nan"), float("inf"), [], {}):
        assert SEARCHED[name].complaint(value)
    nullable = name in {
        "sensitivity_threshold",
        "branches_removed",
        "macs_target",
        "patience",
        "train.fine_tune_learning_rate",
        "train.clip_norm",
    }
    assert (SEARCHED[name].complaint(None) is None) == nullable
