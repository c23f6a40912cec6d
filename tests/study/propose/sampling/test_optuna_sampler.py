"""The searcher suggests points inside the space, and the same ones from the same seed."""

import pytest

from autodepth.front.objective import Objective
from autodepth.space.domains import Choice
from autodepth.space.file.shipped import default_space, shipped_spaces
from autodepth.space.file.space_file import load_space
from autodepth.study.propose.sampling.optuna_sampler import OptunaSampler

OBJECTIVES = (
    Objective(name="validation_accuracy", goal="maximize", reference=0.0),
    Objective(name="macs", goal="minimize", reference=1.0),
)


def sampler(seed=0, sampler="tpe", space=None):
    space = space or load_space(
        default_space(), ["search.origin=parent", f"sampler.name={sampler}"]
    )
    return space, OptunaSampler(
        space.dimensions_for(3, 9), OBJECTIVES, sampler=space.sampler, seed=seed
    )


def points(count, **kwargs):
    _, made = sampler(**kwargs)
    found = []
    for number in range(count):
        token, point = made.ask()
        found.append(point)
        if number % 5 == 3:
            made.tell_failed(token)
        else:
            value = float(point["p_L"])
            made.tell(token, [value, 1 - value], {"macs <= 70%": value - 0.8})
    return found


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_the_same_seed_and_tells_give_the_same_points(sampler):
    assert points(20, sampler=sampler) == points(20, sampler=sampler)
    assert points(20, sampler=sampler) != points(20, sampler=sampler, seed=1)


@pytest.mark.parametrize("name", shipped_spaces())
def test_every_suggestion_is_a_policy_of_the_space(name):
    space, made = sampler(space=load_space(shipped_spaces()[name]))
    dimensions = {d.name: d.domain for d in space.dimensions_for(3, 9)}
    for _ in range(15):
        token, point = made.ask()
        assert all(dimensions[key].contains(value) for key, value in point.items())
        space.policy_values(point)
        made.tell(token, [0.5, 0.5])


def test_a_dimension_that_does_not_count_is_not_suggested():
    _, made = sampler()
    for _ in range(20):
        token, point = made.ask()
        made.tell(token, [0.5, 0.5])
        assert ("decay_power" in point) == (point["decay_shape"] == "power")


def test_values_that_are_not_finite_count_as_failed():
    _, made = sampler()
    for value in (float("nan"), float("inf")):
        token, _ = made.ask()
        made.tell(token, [value, 0.5])
    token, _ = made.ask()

    made.tell(token, [0.5, 0.5])  # the sampler goes on


def test_what_was_learned_moves_the_search():
    space, made = sampler()
    values = next(d.domain for d in space.dimensions if d.name == "decay_shape")
    assert isinstance(values, Choice)
    late = 0
    for number in range(80):
        token, point = made.ask()
        good = point["decay_shape"] == "cosine"
        made.tell(token, [1.0 if good else 0.0, 0.1 if good else 0.9])
        late += good and number >= 40

    assert late > 20  # a blind search would find 10
