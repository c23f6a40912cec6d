"""The network of a plan is built for its examples."""

import pytest

from autodepth.data.load import load_data
from autodepth.data.settings import DataSettings
from autodepth.errors import NetworkError
from autodepth.space.file.shipped import default_space
from autodepth.space.file.space_file import load_space
from autodepth.study.plan.inputs.network import planned_network
from autodepth.tasks.own_task import TaskSpec

CLASSIFIES = TaskSpec(name="classification")


@pytest.fixture(scope="module")
def digits():
    return load_data(DataSettings(name="digits", validation=100))


def planned(digits, **network):
    space = load_space(
        default_space(), [f"network.{key}={value}" for key, value in network.items()]
    )
    return planned_network(space, digits, CLASSIFIES, own_code=False)


def test_it_takes_the_examples_and_tells_their_classes_apart(digits):
    spec, network = planned(digits, name="resnet14")

    assert (spec.classes, spec.input_shape) == (10, (1, 8, 8))
    assert network.input_shape == (1, 8, 8)


def test_what_the_space_says_of_it_holds(digits):
    spec, network = planned(digits, name="resnet14", shortcut="B", channel_multiple=8)

    assert (spec.shortcut, spec.channel_multiple) == ("B", 8)
    assert network.channel_multiple == 8


def test_the_same_seed_gives_the_same_weights(digits):
    (_, one), (_, two) = (planned(digits, name="resnet14") for _ in range(2))

    states = [network.module.state_dict() for network in (one, two)]
    assert all(value.equal(states[1][name]) for name, value in states[0].items())


def test_code_of_a_persons_own_needs_their_word(digits):
    with pytest.raises(NetworkError, match="--own-code"):
        planned(digits, name="nowhere:build")
