"""The first networks from scratch climb in cost: the front is there from its cheap end on."""

from hypothesis import given
from hypothesis import strategies as st

from autodepth.policy.policy import Policy
from autodepth.study.propose.prospects import CostLadder, Prospect

TRAIN = {"epochs": 1, "batch_size": 16, "learning_rate": 0.05}


def prospect(share, work, epochs=4):
    policy = Policy.from_dict({"train": TRAIN, "fine_tune_epochs": epochs})
    return Prospect(point={}, policy=policy, share=share, work=work, rate=1.0)


def test_each_step_costs_twice_as_much_as_the_dearest_before_and_takes_little_work():
    ladder = CostLadder()
    drawn = [prospect(0.3, 5.0), prospect(0.02, 1.0), prospect(0.05, 2.0), prospect(0.041, 1.5)]

    assert ladder.steps(drawn) == sorted(drawn, key=lambda p: p.work)
    ladder.began(0.02)
    assert [p.share for p in ladder.steps(drawn)] == [0.041, 0.05, 0.3]
    ladder.began(0.01)  # a cheaper one is no step back
    assert [p.share for p in ladder.steps(drawn)] == [0.041, 0.05, 0.3]
    ladder.began(0.041)
    assert [p.share for p in ladder.steps(drawn)] == [0.3]
    assert ladder.rises
    ladder.began(0.3)
    assert not ladder.rises


def test_the_shorter_half_of_trainings_is_no_step():
    ladder = CostLadder()
    drawn = [prospect(0.1, float(epochs), epochs) for epochs in (1, 2, 3, 6, 9)]

    assert ladder.steps(drawn) == drawn  # but for the first: there is to be a front soon
    ladder.began(0.05)
    assert [p.work for p in ladder.steps(drawn)] == [3.0, 6.0, 9.0]
    assert ladder.steps([]) == []


@given(st.lists(st.tuples(st.floats(1e-4, 1.0), st.floats(0.1, 10)), min_size=1, max_size=50))
def test_it_ends_after_few_steps_whatever_is_drawn(drawn):
    ladder, steps = CostLadder(), 0
    while ladder.rises and (dear := ladder.steps([prospect(*each) for each in drawn])):
        ladder.began(dear[0].share)
        steps += 1

    assert steps <= 13  # 1e-4 doubled until a quarter
