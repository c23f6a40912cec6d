"""What a trial tells of networks that were never cut out."""

import pytest

from autodepth.policy.policy import Policy
from autodepth.service.solving.template import Template

NARROWER = {1: {1.0: 0.5, 0.5: 1.0}, 2: {1.0: 0.5, 0.5: 0.4}, 3: {1.0: 0.5, 0.5: 0.5}}


@pytest.fixture
def template(recorded_result):
    policy = Policy(branches_removed=1, filter_sparsity=0.5, removal="joint", fine_tune_epochs=2)
    return Template(
        number=1,
        policy=policy,
        result=recorded_result(0.9, 1_000),
        worth={1: 3.5, 2: 0.25, 3: 1.5},
        narrower=NARROWER,
    )


def test_what_batch_statistics_change_is_lost_once(template):
    assert template.lost_with(1, 0.0) == 3.0
    assert template.lost_with(1, 0.5) == 0.5
    assert template.lost({1: 0.5, 2: 0.5, 3: 1.0}) == pytest.approx(0.5 / 4.0)  # none below zero
    assert template.lost({1: 0.0, 2: 1.0}) == pytest.approx(3.0 / 4.0)


def test_what_was_not_judged_is_not_known(template):
    assert template.knows({1: 0.5, 2: 0.0, 9: 1.0})
    assert not template.knows({1: 0.25})
    assert not template.knows({9: 0.0})


def test_other_widths_are_cut_out_of_the_same_parent_and_tuned_alike(template):
    policy = template.cut({1: 1.0, 2: 0.0, 3: 0.5})
    assert policy.branches == (2,)
    assert policy.widths == ((3, 0.5),)
    assert policy.removal == "one_shot"
    assert policy.fine_tune_epochs == 2
    assert not policy.filter_sparsity
