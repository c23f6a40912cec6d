"""A declared setting says of a value what is wrong with it, rule first."""

from dataclasses import dataclass, fields

import pytest

from autodepth.policy.setting import named, number, whole
from autodepth.policy.settings import PolicySettings
from autodepth.policy.training_settings import TrainingSettings

SHARE = ("a number in [0, 1]", lambda value: 0 <= value <= 1)


@dataclass
class Some:
    share: float = number(0.5, SHARE, "a share", {})
    maybe: float | None = number(None, SHARE, "a share", {}, nullable=True)
    many: tuple = number((), SHARE, "shares", {}, many=True)
    each: tuple = number((), SHARE, "shares", {}, by_branch=True)
    count: int = whole(1, 1, "a count", {})
    shape: str = named("linear", ("linear", "power"), "a shape", {})


SETTINGS = {field.name: field.metadata["setting"] for field in fields(Some)}


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("share", 1, None),
        ("share", 1.5, "must be a number in [0, 1], but got 1.5"),
        ("share", True, "must be a number in [0, 1], but got true"),
        ("share", float("nan"), "must be a number in [0, 1], but got .nan"),
        ("share", None, "must be a number in [0, 1], but got null"),
        ("maybe", None, None),
        ("maybe", 2, "must be a number in [0, 1] or null, but got 2"),
        ("count", 1.0, "must be a whole number of at least 1, but got 1.0"),
        ("count", 0, "must be a whole number of at least 1, but got 0"),
        ("shape", "power", None),
        ("shape", "powr", "must be one of linear, power, but got 'powr', did you mean 'power'?"),
        ("shape", 3, "must be one of linear, power, but got 3"),
        ("share", [0.5], "must be a number in [0, 1], but got a list"),
    ],
)
def test_a_value_is_fine_or_told_with_the_rule(name, value, complaint):
    assert SETTINGS[name].complaint(value) == complaint


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ((), None),
        ((0.5, 1.0), None),
        ((0.5, 2.0), "must be a number in [0, 1], but got 2.0"),
        (0.5, "must be a number in [0, 1], or a list of such, but got 0.5"),
        ((0.5, None), "must be a number in [0, 1], or a list of such, but got a list"),
        (None, "must be a number in [0, 1], or a list of such, but got null"),
    ],
)
def test_a_policy_holds_many_as_a_tuple(value, complaint):
    assert SETTINGS["many"].complaint_of_policy(value) == complaint


def test_a_declaration_is_a_field_with_its_default():
    assert Some() == Some(share=0.5, maybe=None, many=(), count=1, shape="linear")


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ((), None),
        (((1, 0.5), (3, 1.0)), None),
        (((1, 2.0),), "must be a number in [0, 1], but got 2.0"),
        (((1, 0.5), (1, 1.0)), "must name each branch once"),
        (((0, 0.5),), "must be a mapping of branch numbers, from 1, but got a list"),
        (0.5, "must be a mapping of branch numbers, from 1, but got 0.5"),
    ],
)
def test_a_policy_holds_some_by_branch_as_pairs(value, complaint):
    assert SETTINGS["each"].complaint_of_policy(value) == complaint


@pytest.mark.parametrize("kind", [PolicySettings, TrainingSettings])
def test_every_default_is_what_a_setting_may_be(kind):
    # Policies are not checked where they keep a default.
    declared = [item for item in fields(kind) if "setting" in item.metadata]
    assert declared
    told = {f.name: f.metadata["setting"].complaint_of_policy(f.default) for f in declared}
    assert not {name: complaint for name, complaint in told.items() if complaint}
