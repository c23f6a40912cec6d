"""The first networks from scratch climb in cost: the front is there from its cheap end on."""

from hypothesis import given
from hypothesis import strategies as st

from autodepth.policy.policy import Policy
from autodepth.study.propose.prospects import CostLadder, Prospect

POLICY = Policy.from_dict({"train": {"epochs": 1, "batch_size": 16, "learning_rate": 0.05}})


def prospect(share, work):
    return Prospect(point={}, policy=POLICY, share=share, work=work, rate=1.0)


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


@given(st.lists(st.tuples(st.floats(1e-4, 1.0), st.floats(0.1, 10)), min_size=1, max_size=50))
def test_it_ends_after_few_steps_whatever_is_drawn(drawn):
    ladder, steps = CostLadder(), 0
    while ladder.rises and (dear := ladder.steps([prospect(*each) for each in drawn])):
        ladder.began(dear[0].share)
        steps += 1

    assert steps <= 13  # 1e-4 doubled until a quarter
