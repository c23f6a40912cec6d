"""What a trial reserves is read as people write it, or refused with the rule."""

import pytest

from autodepth.errors import InputError
from autodepth.study.plan.resource_request import ResourceRequest, parse_per_trial


@pytest.mark.parametrize(
    ("text", "wish"),
    [
        ("0.25gpu", ResourceRequest(gpus=0.25)),
        ("1gpu", ResourceRequest(gpus=1)),
        ("2gpu", ResourceRequest(gpus=2, ranks=2)),
        ("2gpu,8cpu", ResourceRequest(gpus=2, cpus=8, ranks=2)),
        ("4cpu", ResourceRequest(cpus=4)),
        ("2x1cpu", ResourceRequest(cpus=2, ranks=2)),
    ],
)
def test_a_wish_is_read_and_written_alike(text, wish):
    assert parse_per_trial(text) == wish
    assert str(wish) == text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("2", "must be 0.25gpu"),
        ("1gpu,1gpu", "must be 0.25gpu"),
        ("0gpu", "must be a share of one"),
        ("1.5gpu", "must be a share of one"),
        ("2x0.5gpu", "must be a share of one"),
        ("0.5cpu", "a whole number of at least 1"),
        ("0x2cpu", "a whole number of at least 1"),
        ("2gpu,3cpu", "as many for each of its 2 processes"),
        ("2gpu,2x1cpu", "CPUs are told in all"),
    ],
)
def test_what_no_trial_can_use_is_refused_with_the_rule(text, told):
    with pytest.raises(InputError, match=told):
        parse_per_trial(text)
