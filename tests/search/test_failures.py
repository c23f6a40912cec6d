"""When failures end a study, and when a policy whose workers die is given up."""

from autodepth.policy.policy import Policy
from autodepth.search.failures import Failures


def failed(count, **settings):
    failures = Failures(**{"borne": None, **settings})
    for number in range(count):
        failures.add(f"reason {number}")
    return failures


def test_four_failures_and_nothing_else_are_hopeless():
    assert not failed(3).hopeless(0, any_complete=False)
    assert failed(4).hopeless(0, any_complete=False) == (
        "the first 4 trials all failed, the last one: reason 3"
    )


def test_beside_trials_that_complete_eight_and_more_than_those_are():
    assert not failed(7).hopeless(1, any_complete=True)
    assert not failed(8).hopeless(8, any_complete=True)
    assert failed(9).hopeless(8, any_complete=True) == (
        "9 of 17 trials failed, the last one: reason 8"
    )


def test_a_number_the_space_bears_counts_earlier_parts_of_the_study():
    assert not failed(1, borne=3, before=2).hopeless(0, any_complete=False)
    assert failed(2, borne=3, before=2).hopeless(50, any_complete=True) == (
        "4 trials failed, and limits.failed_trials bears 3: reason 1"
    )
    assert failed(0, borne=0, before=1).hopeless(0, any_complete=True) == (
        "1 trial failed, and limits.failed_trials bears 0"
    )


def test_a_policy_is_to_blame_when_its_workers_died_three_times():
    failures = Failures(borne=None)
    one, other = Policy(survival_prob_last=0.5), Policy(survival_prob_last=0.6)

    assert [failures.may_try_again(one) for _ in range(3)] == [True, True, False]
    assert failures.may_try_again(other)
