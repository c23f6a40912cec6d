"""A plan says which widths stay, and searches none where no channel can go."""

import json
import sys

import pytest

from autodepth.errors import InputError
from autodepth.policy.policy import Policy
from autodepth.service.one_policy.policies import carry_out_policy
from autodepth.service.search.requests import SearchRequest
from autodepth.service.search.search import plan_search
from autodepth.space.domains import Fixed
from autodepth.trial.result import TrialResult

NET = """
from torch import nn


class Heads(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(4, 8, 1), nn.Conv2d(8, 4, 1)

    def forward(self, x):
        y = self.one(x)
        return x + self.two(y.view(-1, 2, 4, 8, 8).softmax(2).reshape(y.shape))


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.f = nn.Sequential(nn.Conv2d(4, 8, 1), nn.ReLU(), nn.Conv2d(8, 4, 1))

    def forward(self, x):
        return x + self.f(x)


class DepthWise(nn.Module):
    def __init__(self):
        super().__init__()
        deep = nn.Conv2d(8, 8, 3, 1, 1, groups=8)
        self.f = nn.Sequential(nn.Conv2d(4, 8, 1), deep, nn.ReLU(), nn.Conv2d(8, 4, 1))

    def forward(self, x):
        return x + self.f(x)


class Net(nn.Module):
    def __init__(self, *blocks):
        super().__init__()
        self.stem, self.blocks = nn.Conv2d(1, 4, 1), nn.Sequential(*blocks)
        self.head = nn.Linear(4, 10)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


def heads():
    return Net(Heads(), Heads())


def depth_wise():
    return Net(DepthWise(), DepthWise())


def both():
    return Net(Heads(), Plain())


class Standardised(nn.Conv2d):
    def forward(self, x):
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return nn.functional.conv2d(x, weight, self.bias)


def standardised():
    net = Net(Plain(), Plain())
    for block in net.blocks:
        block.f[0] = Standardised(4, 8, 1)
    return net
"""
ODD = "network.channel_multiple=8"
NONE = "filter_sparsity takes channels out of branches, but in this network none can go"


@pytest.fixture
def plan(tmp_path, monkeypatch):
    (tmp_path / "widenet.py").write_text(NET)
    monkeypatch.syspath_prepend(tmp_path)

    def made(name, *settings):
        few = ("data.train_images=40", "data.validation=60", "train.epochs=1", *settings)
        return plan_search(SearchRequest(network=f"widenet:{name}", budget="1trials", settings=few))

    yield made
    sys.modules.pop("widenet", None)


def width(plan):
    return next(d.domain for d in plan.space.dimensions if d.name == "filter_sparsity")


def test_where_no_channel_can_go_none_is_searched_and_the_plan_says_why(plan):
    planned = plan("heads")

    assert width(planned) == Fixed(0.0)
    (note,) = [note for note in planned.notes if "filter_sparsity" in note]
    assert note.startswith(NONE)
    assert "branches 1, 2 stay: view mixes channels" in note


def test_where_some_can_go_the_others_are_named(plan):
    planned = plan("both")

    assert not isinstance(width(planned), Fixed)
    assert "widths of branch 1 stay: view mixes channels or cuts them up" in planned.notes
    assert "filter_sparsity reaches 1 of 2 branches" in planned.notes


def test_a_space_that_narrows_nothing_says_nothing_of_widths(plan):
    assert not any("widths" in note for note in plan("both", "search.filter_sparsity=0").notes)


def test_numbers_of_channels_that_take_longer_are_warned_of_once(plan):
    def warnings(name, *settings):
        notes = plan(name, *settings).notes
        return [note for note in notes if ODD in note]

    there = "latency={onnxruntime: {batch: 32}}"
    assert len(warnings("depth_wise")) == 1
    assert not warnings("depth_wise", "network.channel_multiple=4")
    assert not warnings("depth_wise", "search.filter_sparsity=0", "search.stream_width=1")
    assert not warnings("both")
    assert len(warnings("both", there)) == 1


@pytest.mark.parametrize("setting", ["stream_width=0.5", "removal=joint_widths"])
def test_so_they_are_whatever_makes_layers_narrower(plan, setting):
    def warned(*settings):
        whole = ("search.filter_sparsity=0", "search.stream_width=1", "search.removal=one_shot")
        return any(ODD in note for note in plan("depth_wise", *whole, *settings).notes)

    assert not warned()
    assert warned(f"search.{setting}")
    assert not warned(f"search.{setting}", "network.channel_multiple=8")


@pytest.mark.parametrize("policy", [{"widths": {1: 0.5}}, {"stream_width": 0.5}])
def test_so_they_are_where_one_policy_is_carried_out(plan, policy):
    planned = plan("depth_wise", "search={fine_tune_epochs: 1}")
    assert not any(ODD in note for note in planned.notes)

    told = []
    for given in (policy, {}):
        carry_out_policy(
            planned,
            Policy.from_dict({**given, "train": {"epochs": 0}}),
            to=None, on_epoch=lambda _: None, tell=told.append,
        )  # fmt: skip
    assert len([line for line in told if ODD in line]) == 1


def test_a_space_or_a_policy_that_must_narrow_is_refused_before_anything_is_trained(plan, tmp_path):
    with pytest.raises(InputError, match=NONE):
        plan("heads", "search.filter_sparsity=0.5")

    def trains(_):
        raise AssertionError

    with pytest.raises(InputError, match=NONE):
        carry_out_policy(
            plan("heads"), Policy(filter_sparsity=0.5), to=tmp_path / "out", on_epoch=trains
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("context", ["filter_sparsity", "weight_sparsity"])
def test_how_far_it_reached_is_in_the_result_the_record_and_the_card(plan, tmp_path, context):
    name, told = {
        "filter_sparsity": ("both", (1, 2)),
        "weight_sparsity": ("standardised", (4, 6)),
    }[context]
    what = {"filter_sparsity": "branches", "weight_sparsity": "weight tensors"}[context]
    policy = Policy.from_dict({context: 0.5, "train": {"epochs": 0}})
    result = carry_out_policy(
        plan(name), policy, to=tmp_path / "out", formats=(), on_epoch=lambda _: None
    )

    assert result.reached == {context: told}
    written = json.loads(json.dumps(result.to_dict()))
    assert TrialResult.from_dict(written) == result
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    assert record["reached"] == {context: list(told)}
    line = f"Reached by {context}:** {told[0]} of {told[1]} {what}"
    assert line in (tmp_path / "out" / "README.md").read_text()
    del written["reached"]  # as earlier versions wrote it
    assert TrialResult.from_dict(written).reached == {}


def test_weights_that_cannot_be_pruned_one_by_one_are_told_where_they_would_be(plan):
    pruning = "search.weight_sparsity=0.5"
    told = "weight_sparsity reaches 4 of 6 weight tensors"

    assert any(note.startswith(told) for note in plan("standardised", pruning).notes)
    assert not any(told in note for note in plan("standardised").notes)
    assert not any("weight_sparsity" in note for note in plan("both", pruning).notes)
