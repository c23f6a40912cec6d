"""Which parents there are, and whether the next policy takes a known one."""

from hypothesis import given
from hypothesis import strategies as st

from autodepth.study.propose.known.parent_pool import ParentPool, shapes_parent


def test_a_parent_is_new_then_training_then_ready():
    parents = ParentPool(seed=0)
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
    parents = ParentPool(seed=0)
    parents.started("a", 1)
    parents.started("b", 2)
    parents.lost(1)
    parents.lost(2, given_up=True)

    assert (parents.state("a"), parents.state("b")) == ("new", "given_up")
    assert parents.known() is None


def test_known_parents_are_taken_until_twice_as_much_was_tried_on_them_as_they_took():
    parents = ParentPool(seed=0)
    parents.add_work(new=10.0, known=0.0)
    assert parents.choose_known() is None  # there is none yet
    parents.ready("a", {"p_L": 0.5})
    parents.credit("a")

    assert taken_until_balanced(parents) == 10


def test_the_fewer_new_parents_brought_something_the_more_is_tried_on_known_ones():
    parents = ParentPool(seed=0, balance=1.0)
    for name in "abc":
        parents.ready(name, {"p_L": name})
    parents.add_work(new=10.0, known=0.0)
    parents.credit("b")

    assert taken_until_balanced(parents) == 10  # one of three: (1 + 1) / (1 + 3)


def taken_until_balanced(parents):
    taken = 0
    while parents.choose_known() is not None:
        parents.add_work(new=0.0, known=2.0)
        taken += 1
    return taken


def test_a_parent_is_as_accurate_as_it_was_told_last():
    parents = ParentPool(seed=0)
    parents.trained("a", 0.2)
    parents.trained("a", 0.3)

    assert [parents.accuracy(name) for name in "ab"] == [0.3, None]


def test_parents_that_reached_the_front_are_taken_more_often():
    parents = ParentPool(seed=1)
    for name in "abc":
        parents.ready(name, {"p_L": name})
    for _ in range(8):
        parents.credit("b")
    chosen = [parents.known()["p_L"] for _ in range(300)]

    assert chosen.count("b") > 200
    assert {"a", "c"} <= set(chosen)


def test_parents_on_which_much_was_tried_in_vain_are_taken_less_often():
    parents = ParentPool(seed=1)
    for name in "abc":
        parents.ready(name, {"p_L": name})
    for _ in range(9):
        parents.tried("a")
        parents.tried("b")
        parents.credit("b")
    chosen = [parents.known()["p_L"] for _ in range(300)]

    assert 0 < chosen.count("a") < 40
    assert chosen.count("b") > 100
    assert chosen.count("c") > 100  # nothing is known against it


@given(st.integers(0, 99))
def test_the_same_seed_chooses_the_same(seed):
    def choices():
        parents = ParentPool(seed=seed)
        for name in "abcd":
            parents.ready(name, {"p_L": name})
        return [parents.known() for _ in range(9)]

    assert choices() == choices()


def test_what_shapes_a_parent():
    shaping = ("p_L", "decay_power", "train.epochs", "train.learning_rate", "gate_mode")
    others = ("filter_sparsity", "sensitivity_threshold.1", "train.fine_tune_learning_rate")

    assert all(shapes_parent(name, {}) for name in shaping)
    assert not any(shapes_parent(name, {}) for name in (*others, "criterion"))
    assert shapes_parent("criterion", {"decay_shape": "sensitivity"})
