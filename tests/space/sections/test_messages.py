"""Every mistake of a space is told, each at its place, in words a person can act on."""

import pytest

from autodepth.space.sections.messages import find_mistakes, place_of, shown_place

FINE = {"version": 1, "network": {"name": "resnet20"}, "data": {"name": "digits"}, "search": {}}


def told(**sections):
    model, mistakes = find_mistakes({**FINE, **sections})
    assert (model is None) == bool(mistakes)
    return {shown_place(mistake.place): mistake.message for mistake in mistakes}


def test_what_is_fine_is_a_model():
    model, mistakes = find_mistakes(FINE)

    assert mistakes == []
    assert model.network.name == "resnet20"


def test_mistakes_at_several_places_come_together():
    found = told(
        data={"name": "digits", "validaton": 0.1},
        train={"epochs": "many"},
        search={"p_L": 2.0},
    )

    assert set(found) == {"data.validaton", "train.epochs", "search.p_L"}
    assert found["data.validaton"] == "unknown key, did you mean 'validation'?"


@pytest.mark.parametrize(
    ("sections", "place", "message"),
    [
        ({"train": {"p_L": 0.5}}, "train.p_L", "this setting belongs under search"),
        ({"search": {"epochs": 3}}, "search.epochs", "this setting belongs under train"),
        ({"p_L": 0.5}, "p_L", "this setting belongs under search"),
        ({"limits": {"qq": 1}}, "limits.qq", "unknown key; known are "),
        ({"network": 3}, "network", "must be a mapping, but got 3"),
        ({"constraints": "macs <= 3"}, "constraints", "must be a list"),
        ({"network": {}}, "network.name", "is required, but missing"),
    ],
)
def test_a_mistake_says_what_to_do(sections, place, message):
    assert message in told(**sections)[place]


def test_a_condition_is_judged_though_its_setting_is_wrong_elsewhere():
    wrong = {"type": "float", "min": 3, "max": 1, "when": {"decay_shap": "power"}}
    found = told(search={"decay_power": wrong})

    assert "search.decay_power.when.decay_shap" in found
    assert len(found) == 2


@pytest.mark.parametrize("content", [None, 3, "text", [], [1]])
def test_what_is_no_mapping_is_one_mistake(content):
    model, mistakes = find_mistakes(content)

    assert model is None
    assert [mistake.place for mistake in mistakes] == [()]


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ((), ""),
        (("search", "p_L", "max"), "search.p_L.max"),
        (("objectives", 1, "name"), "objectives[1].name"),
        (("search", "a b"), "search.'a b'"),
        (("x" * 70,), repr("x" * 70)[:57] + "..."),
        (("\x1b[31m",), r"'\x1b[31m'"),
    ],
)
def test_places_are_paths_and_odd_keys_are_quoted(place, text):
    assert shown_place(place) == text


def test_settings_of_training_have_a_section_of_their_own():
    assert place_of("p_L") == ("search", "p_L")
    assert place_of("train.epochs") == ("train", "epochs")
