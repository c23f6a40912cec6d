"""A key holds all that shapes a stage, the code behind it included, and nothing that does not."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.policy.policy import Policy
from autodepth.policy.training_settings import TrainingSettings
from autodepth.trial.cache.cache import content_key
from autodepth.trial.phases.keys import _architecture, fine_tuning_content, parent_content
from autodepth.trial.phases.parent import untrained_network

POLICY = Policy(survival_prob_last=0.6, fine_tune_epochs=2)


def parent_key(context, policy=POLICY):
    return content_key(**parent_content(policy, context, untrained_network(context)))


def recovery_key(order=(1, 4), **change):
    return content_key(**fine_tuning_content(replace(POLICY, **change), order))


def test_networks_that_iterative_removal_left_differ_though_the_same_branches_went():
    """Branches 2, then 5 and 8, or 2 and 5, then 8: what was tuned between differs."""
    iterative = replace(POLICY, removal="iterative", removal_step=2)
    one, other = (
        content_key(**fine_tuning_content(iterative, (2, 5, 8), weights)) for weights in "ab"
    )
    assert one != other


OWN = """
from torch import nn
from torch.nn import functional as F

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x):
        return x + F.relu(self.conv(x))

def build(num_classes=10):
    network = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), Block(), Block(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, num_classes),
    )
    nn.init.constant_(network[-1].bias, 0.0)
    return network
"""


@pytest.fixture
def own(context, tmp_path, monkeypatch):
    """Return a function that gives the setting of a network of one's own, as its code is now."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    spec = replace(context.spec, name="own_keyed:build", own_code=True)

    def with_code(code):
        sys.modules.pop("own_keyed", None)
        (tmp_path / "own_keyed.py").write_text(code)
        return replace(context, spec=spec)

    yield with_code
    sys.modules.pop("own_keyed", None)


@pytest.mark.parametrize(
    ("was", "now"),
    [("F.relu(self", "F.gelu(self"), ("_(network[-1].bias, 0.0)", "_(network[-1].bias, 0.1)")],
)
def test_another_network_under_an_old_name_is_another_parent(own, was, now):
    key = parent_key(own(OWN))

    assert parent_key(own(OWN)) == key
    assert parent_key(own(OWN.replace(was, now))) != key


def test_given_weights_count_by_their_content(context, tmp_path):
    from autodepth.networks.weights.own_files import save_weights

    for name, seed in (("one", 1), ("same", 1), ("other", 2)):
        network = untrained_network(replace(context, seed=seed))
        save_weights(network.module, tmp_path / f"{name}.safetensors")
    one, same, other = (
        parent_key(replace(context, weights=tmp_path / f"{name}.safetensors"))
        for name in ("one", "same", "other")
    )

    assert one == same
    assert len({one, other, parent_key(context)}) == 3


NAMES = ("resnet14", "torchvision:resnet18")
PRINT = f"""
from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.trial.phases.keys import _architecture
for name in {NAMES}:
    print(_architecture(build_network(NetworkSpec(name=name))))
"""


def test_every_process_finds_the_same_architecture():
    """Else no two trials of a cluster would share a parent."""
    elsewhere = subprocess.run(
        [sys.executable, "-c", PRINT],
        env={**os.environ, "PYTHONHASHSEED": "1"},  # here it is another, drawn by Python
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    here = [_architecture(build_network(NetworkSpec(name=name))) for name in NAMES]

    assert here == elsewhere
    assert len(set(here)) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"fine_tune_epochs": 3},
        {"fine_tune_schedule": "constant"},
        {"fine_tune_p_L": 0.9},
        {"distillation": 0.1},
        {"patience": 2},
        {"filter_sparsity": 0.5},
        {"weight_sparsity": 0.5},
        {"recalibration_batches": 1},
        {"removal": "iterative"},
        {"train": TrainingSettings(weight_decay=0.0)},
        {"order": (1, 5)},
    ],
)
def test_what_shapes_fine_tuning_is_in_its_key(change):
    assert recovery_key(**change) != recovery_key()


@pytest.mark.parametrize(
    "change",
    [
        {"order": (4, 1)},
        {"sensitivity_threshold": (1.0,)},
        {"criterion": "magnitude"},
        {"distillation_temperature": 2.0},
        {"gate_mode": "sample"},
        {"between_epochs": 5},
    ],
)
def test_what_does_not_shape_fine_tuning_is_not(change):
    assert recovery_key(**change) == recovery_key()


def test_the_key_says_where_longer_training_may_go_on():
    constant = [recovery_key(fine_tune_schedule="constant", fine_tune_epochs=n) for n in (2, 3)]

    assert constant[0] == constant[1]
    assert recovery_key(fine_tune_epochs=2) != recovery_key(fine_tune_epochs=3)


def test_networks_of_one_name_and_other_arguments_are_told_apart(context):
    one = NetworkSpec(name="resnet14", channels=1, height=8, width=8, shortcut="A")
    keys = {parent_key(replace(context, spec=replace(one, shortcut=s))) for s in ("A", "B")}

    assert len(keys) == 2
