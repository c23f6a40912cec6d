"""Which parents there are, and whether the next policy takes a known one."""

from hypothesis import given
from hypothesis import strategies as st

from autodepth.search.parents import Parents, shapes_parent


def test_a_parent_is_new_then_training_then_ready():
    parents = Parents(seed=0)
    assert parents.state("a") == "new"
    parents.started("a", 1)
    parents.started("a", 2)
    assert parents.state("a") == "training"
    parents.lost(2)  # trial 1 trains it
    assert parents.state("a") == "training"
    parents.ready("a", {"p_L": 0.8, "filter_sparsity": 0.5, "train.epochs": 3})

    assert parents.state("a") == "ready"
    assert parents.known() == {"p_L": 0.8, "train.epochs": 3}


def test_a_parent_whose_trial_ends_is_new_again_and_one_that_was_given_up_never_is():
    parents = Parents(seed=0)
    parents.started("a", 1)
    parents.started("b", 2)
    parents.lost(1)
    parents.lost(2, given_up=True)

    assert (parents.state("a"), parents.state("b")) == ("new", "given_up")
    assert parents.known() is None


def test_known_parents_are_taken_until_as_much_was_tried_on_them_as_they_took():
    parents = Parents(seed=0)
    parents.add_work(new=10.0, known=0.0)
    assert parents.choose_known() is None  # there is none yet
    parents.ready("a", {"p_L": 0.5})
    taken = 0
    while parents.choose_known() is not None:
        parents.add_work(new=0.0, known=2.0)
        taken += 1

    assert taken == 5


def test_parents_that_reached_the_front_are_taken_more_often():
    parents = Parents(seed=1)
    for name in "abc":
        parents.ready(name, {"p_L": name})
    for _ in range(8):
        parents.praise("b")
    chosen = [parents.known()["p_L"] for _ in range(300)]

    assert chosen.count("b") > 200
    assert {"a", "c"} <= set(chosen)


@given(st.integers(0, 99))
def test_the_same_seed_chooses_the_same(seed):
    def choices():
        parents = Parents(seed=seed)
        for name in "abcd":
            parents.ready(name, {"p_L": name})
        return [parents.known() for _ in range(9)]

    assert choices() == choices()


def test_what_shapes_a_parent():
    shaping = ("p_L", "decay_power", "train.epochs", "train.learning_rate", "gate_mode")
    others = ("filter_sparsity", "sensitivity_threshold.1", "train.fine_tune_learning_rate")

    assert all(map(shapes_parent, shaping))
    assert not any(map(shapes_parent, others))
