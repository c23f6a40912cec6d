"""What holds for every valid space, and for every point of it."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from autodepth.policy.policy import Policy
from autodepth.policy.settings import SEARCHED
from autodepth.space.domains import Fixed
from autodepth.space.file.yaml_text import parse_yaml, write_yaml
from autodepth.space.search_space import SearchSpace
from autodepth.space.sections.messages import find_mistakes

ANY_PACE = settings(deadline=None)  # other work may hold the machine


GOALS = ["sensitivity_threshold", "branches_removed", "macs_target", "branches"]  # one at most


@st.composite
def _setting(draw, name):
    rule = SEARCHED[name]
    if rule.choices:
        allowed = [choice for choice in rule.choices if choice != "member"]  # needs a base
        choices = draw(st.lists(st.sampled_from(allowed), min_size=1, unique=True))
        return draw(st.sampled_from([choices[0], {"values": choices}]))
    if name == "train.augment_magnitude":
        return draw(st.sampled_from([9, {"type": "int", "min": 0, "max": 30}]))
    if rule.whole:
        low, count, step = (
            draw(st.integers(2, 50)),
            draw(st.integers(1, 9)),
            draw(st.integers(1, 3)),
        )
        log = draw(st.booleans()) and step == 1
        extra = {"log": True} if log else {"step": step}
        return draw(
            st.sampled_from([low, {"type": "int", "min": low, "max": low + count * step, **extra}])
        )
    if name in {"distillation_temperature", "width_growth"}:
        return draw(st.sampled_from([1, {"min": 1.0, "max": 6.0}]))
    low, high = draw(st.floats(0.01, 0.4)), draw(st.floats(0.5, 0.99))
    return draw(
        st.sampled_from(
            [
                low,
                {"min": low, "max": high},
                {"type": "float", "min": low, "max": high, "log": True},
                {"values": [low, high]},
                {"min": 0.25, "max": 0.75, "step": 0.125},
            ]
        )
    )


@st.composite
def space_contents(draw):
    """Valid contents of space files; conditions name earlier settings only, so none is circular."""
    content = {"version": 1, "network": "resnet20", "data": "digits", "search": {}, "train": {}}
    names = draw(st.lists(st.sampled_from(list(SEARCHED)), unique=True))
    goal = draw(st.sampled_from(GOALS))
    names = [name for name in names if name not in GOALS or name == goal]
    if goal == "branches":
        content["search"]["branches"] = draw(st.lists(st.integers(1, 9), unique=True))
    numeric = []
    for name in names:
        setting = draw(_setting(name))
        if isinstance(setting, dict):
            if name == "sensitivity_threshold":
                setting["per"] = draw(st.sampled_from(["network", "stage", "block"]))
            if numeric and draw(st.booleans()):
                setting["when"] = {
                    draw(st.sampled_from(numeric)): draw(st.sampled_from([">0.3", "<= 6"]))
                }
        if not SEARCHED[name].choices and name not in GOALS:
            numeric.append(name)
        section, _, key = name.rpartition(".")
        content[section or "search"][key] = setting
    if "optimizer" in content["train"]:  # adamw has no rate of its own
        content["train"].setdefault("learning_rate", 0.001)
    return content


@st.composite
def points(draw, dimensions):
    """A point of the space, chosen as a sampler would."""
    point = {}
    for dimension in dimensions:
        if dimension.counts_at(point):
            point[dimension.name] = draw(_value(dimension.domain))
    return point


def _value(domain):
    match domain.to_setting():
        case {"values": values}:
            return st.sampled_from(values)
        case {"type": "int", "min": low, "max": high, **rest}:
            step = rest.get("step", 1)
            return st.integers(0, (high - low) // step).map(lambda i: low + i * step)
        case {"min": low, "max": high, "step": step}:
            return st.integers(0, round((high - low) / step)).map(lambda i: low + i * step)
        case {"min": low, "max": high}:
            return st.floats(low, high)
        case value:
            return st.just(value)


@ANY_PACE
@given(space_contents())
def test_a_space_is_read_as_it_is_printed(content):
    space = SearchSpace.from_dict(content)
    printed = json.loads(json.dumps(space.to_dict()))
    assert SearchSpace.from_dict(printed) == space
    assert SearchSpace.from_dict(parse_yaml(write_yaml(space.to_dict())).content) == space


@ANY_PACE
@given(space_contents())
def test_a_dimension_follows_those_it_waits_for(content):
    names = []
    for dimension in SearchSpace.from_dict(content).dimensions:
        waits_for = dimension.condition.names if dimension.condition else ()
        assert set(waits_for) <= set(names)
        names.append(dimension.name)


@ANY_PACE
@given(space_contents(), st.data())
def test_every_point_inside_the_domains_is_a_policy(content, data):
    space = SearchSpace.from_dict(content)
    dimensions = space.dimensions_for(num_stages=3, num_branches=9)
    point = data.draw(points(dimensions))
    policy = Policy.from_dict(space.policy_values(point)).to_dict()
    searched = {d.name for d in dimensions if not isinstance(d.domain, Fixed)}
    without_fixed = {name: value for name, value in point.items() if name in searched}
    assert Policy.from_dict(space.policy_values(without_fixed)).to_dict() == policy
    assert policy["p_L"] == point.get("p_L", Policy().survival_prob_last)


PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63) + 1, 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.sampled_from(
        ["1e-3", "no", "null", "2020-01-01", "> 0", "70%", "0x1F", "~", "", "-", "a: b"]
    ),
)


KEYS = st.sampled_from("abcd")
NESTED = st.recursive(PLAIN, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner))


@ANY_PACE
@given(st.dictionaries(KEYS, NESTED, min_size=1))
def test_plain_values_survive_yaml(content):
    assert parse_yaml(write_yaml(content)).content == content


def test_one_object_met_twice_is_written_twice():
    shared = {"min": 0.5, "max": 1.0}
    text = write_yaml({"a": shared, "b": shared})
    assert parse_yaml(text).content == {"a": shared, "b": shared}


def _places(content, place=()):
    yield place
    items = content.items() if isinstance(content, dict) else ()
    for key, value in enumerate(content) if isinstance(content, list) else items:
        yield from _places(value, (*place, key))


@ANY_PACE
@given(space_contents(), st.data())
def test_whatever_stands_wherever_is_judged(content, data):
    """A value of any kind in any place is read or told as a mistake; nothing else is raised."""
    content |= {
        "objectives": [{"name": "macs", "goal": "minimize", "reference": "100%"}],
        "constraints": ["macs <= 70%"],
        "sampler": {"name": "tpe"},
        "data": {"name": "digits", "normalisation": {"mean": [0.5], "std": [0.5]}},
    }
    *parents, last = data.draw(st.sampled_from(list(_places(content))[1:]))
    holder = content
    for part in parents:
        holder = holder[part]
    holder[last] = data.draw(NESTED)
    document = parse_yaml(write_yaml(content))
    model, mistakes = find_mistakes(document.content)
    assert (model is None) == bool(mistakes)
    assert all(document.position(mistake) >= (1, 1) for mistake in mistakes)
    if model is not None:
        assert SearchSpace.from_model(model).dimensions_for(3, 9) is not None
