"""A policy given by its name takes the nearest value that the space has."""

import pytest

from autodepth.space.search_space import SearchSpace
from autodepth.study.propose.start_policies import start_points


def space(p_L):  # noqa: N803 - the name of the papers
    return SearchSpace.from_dict(
        {
            "version": 1, "network": "resnet20", "data": "digits",
            "search": {"p_L": p_L, "fine_tune_epochs": {"type": "int", "min": 1, "max": 4}},
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("p_L", "nearest"),
    [
        ({"min": 0.3, "max": 0.9, "step": 0.2}, 0.7),
        ({"min": 0.7, "max": 1.0, "step": 0.1}, 0.8),
        ({"min": 0.1, "max": 0.6}, 0.6),
        ({"values": [0.5, 0.75, 1.0]}, 0.75),
    ],
)
def test_shallow_has_the_survival_probability_nearest_to_its_own(p_L, nearest):  # noqa: N803
    (point,) = start_points(("shallow",), space(p_L).dimensions_for(3, 9))
    assert point == {"p_L": nearest, "fine_tune_epochs": 4}
