"""As many examples as the budget buys, and what has to be known of them."""

from pathlib import Path

import pytest

from autodepth.data.load import load_data
from autodepth.data.settings import DataSettings
from autodepth.study.plan.inputs.examples import affordable, coarse_validation, seen_by_weights

SETTINGS = DataSettings(name="digits", validation=300, train_images=900)


class Costs:
    """A trial of a hundredth of a second per image to train on."""

    def seconds(self, training, _validation):
        return training / 100


@pytest.fixture(scope="module")
def digits():
    return load_data(SETTINGS)


def test_all_images_are_taken_where_the_budget_buys_ten_trials(digits):
    data, notes = affordable(digits, Costs(), 90.0)

    assert data is digits
    assert notes == []


def test_fewer_are_taken_until_it_does_and_the_plan_says_so(digits):
    data, (note,) = affordable(digits, Costs(), 45.0)

    assert 360 <= len(data.train) <= 450
    assert len(data.validation) == len(data.train) // 2
    assert f"training on {len(data.train)} of 900 images" in note
    assert "buys about 1" in note


def test_no_fewer_than_ten_of_each_class(digits):
    data, notes = affordable(digits, Costs(), 0.0001)

    assert len(data.train) == 100
    assert len(data.validation) == 100
    assert len(notes) == 1


@pytest.mark.parametrize(("images", "told"), [(100, ["steps of 1.0 points"]), (200, [])])
def test_few_images_to_validate_are_told_with_the_step_of_accuracy(images, told):
    notes = coarse_validation(load_data(DataSettings(name="digits", validation=images)))

    assert [part in note for note, part in zip(notes, told, strict=True)] == [True] * len(told)


def test_given_weights_may_know_the_images_that_validate(digits):
    (note,) = seen_by_weights(digits, Path("weights.th"))

    assert "data.validation_from: test" in note
    assert seen_by_weights(digits, None) == []
    halved = load_data(DataSettings(name="digits", validation=100, validation_from="test"))
    assert seen_by_weights(halved, Path("weights.th")) == []
