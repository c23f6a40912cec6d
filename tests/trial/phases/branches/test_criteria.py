"""Each criterion equals a computation that takes no short cut."""

import copy
import math
from dataclasses import replace
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from autodepth.errors import InputError, NetworkError
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.policy.policy import Policy
from autodepth.policy.settings import CRITERIA
from autodepth.policy.training_settings import TrainingSettings
from autodepth.trial.phases.branches.criteria import branch_scores
from autodepth.trial.phases.parent import train_parent


@pytest.fixture(scope="module")
def parent(context):
    train = TrainingSettings(epochs=4, batch_size=32, learning_rate=0.1, precision="float32")
    return train_parent(
        Policy(survival_prob_last=0.7, train=train), context, lambda _: None
    ).network


@pytest.fixture(scope="module")
def validation(context):
    return context.validation_batches()


def scores(criterion, network, batches, seed=0):
    return branch_scores(criterion, network, batches, torch.Generator().manual_seed(seed))


def blocks(network):
    """The network's own blocks, by branch number, to be hooked."""
    return {b.index: network.module.get_submodule(b.module) for b, _ in network.kept()}


def test_ablation_equals_measuring_smaller_networks(parent, validation):
    """With batch statistics measured anew on the images at hand, as after removal."""
    whole = measured_anew(parent, validation)
    found = {name: scores(f"ablation_{name}", parent, validation) for name in MEASURED}

    for branch in parent.branches:
        smaller = measured_anew(parent.without([branch.index]), validation, parent)
        lost = whole["accuracy"] - smaller["accuracy"]
        assert found["accuracy"][branch.index] == pytest.approx(lost)
        assert found["loss"][branch.index] == pytest.approx(smaller["loss"] - whole["loss"])
        assert found["kl"][branch.index] == pytest.approx(smaller["kl"], rel=1e-4)


MEASURED = ("accuracy", "loss", "kl")


@torch.no_grad()
def measured_anew(network, batches, parent=None):
    """Return accuracy, loss and KL(parent || network) with the statistics of the one batch."""
    ((images, labels),) = list(batches)
    logs = network.without([]).module.train()(images).log_softmax(1)
    told = {
        "accuracy": (logs.argmax(1) == labels).float().mean().item(),
        "loss": F.nll_loss(logs, labels).item(),
    }
    if parent is not None:
        whole = parent.module.eval()(images).softmax(1)
        told["kl"] = (whole * (whole.log() - logs)).sum(1).mean().item()
    return told


def operands(parent, batches):
    """Shortcut and branch of each block over all images, taken from the layers themselves."""
    found = {}
    ((images, _),) = list(batches)
    for branch in parent.branches:
        values = {}
        block = parent.module.get_submodule(branch.module)
        hooks = [
            block.conv1.register_forward_pre_hook(partial(keep_input, values)),
            block.bn2.register_forward_hook(partial(keep_output, values)),
        ]
        with torch.no_grad():
            parent.module(images)
        for hook in hooks:
            hook.remove()
        x, f = values["input"], values["output"]
        if x.shape != f.shape:  # option A: every other pixel, zeros in the new channels
            pad = (f.shape[1] - x.shape[1]) // 2
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, pad, pad))
        found[branch.index] = x, f
    return found


def keep_input(values, _module, inputs):
    values["input"] = inputs[0].clone()


def keep_output(values, _module, _inputs, output):
    values["output"] = output.clone()


def test_influence_and_norm_ratio_equal_their_formulas(parent, validation):
    influence = scores("block_influence", parent, validation)
    ratio = scores("norm_ratio", parent, validation)

    for index, (x, f) in operands(parent, validation).items():
        cosines, ratios = [], []
        for row_x, row_f in zip(x.double().flatten(1), f.double().flatten(1), strict=True):
            total = row_x + row_f
            cosines.append((row_x @ total / (row_x.norm() * total.norm())).item())
            ratios.append((row_f.norm() / row_x.norm()).item())
        assert influence[index] == pytest.approx(1 - sum(cosines) / len(cosines), abs=1e-5)
        assert ratio[index] == pytest.approx(sum(ratios) / len(ratios), rel=1e-5)


def test_taylor_equals_a_numerical_derivative_of_the_gate(parent, context):
    few = replace(context, sensitivity_images=3).scoring_batches()
    ours = scores("taylor", parent, few)
    ((images, labels),) = list(few)
    step = 1e-4

    for branch in parent.branches:
        network = copy.deepcopy(parent.module).double().eval()
        bn2 = network.get_submodule(f"{branch.module}.bn2")
        losses = []
        for z in (1 + step, 1 - step):
            hook = bn2.register_forward_hook(lambda _m, _i, out, z=z: out * z)
            with torch.no_grad():
                losses.append(F.cross_entropy(network(images.double()), labels, reduction="none"))
            hook.remove()
        expected = ((losses[0] - losses[1]) / (2 * step)).abs().mean().item()
        assert ours[branch.index] == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_magnitude_and_scale_are_those_of_the_layers(parent, validation):
    magnitude = scores("magnitude", parent, validation)
    scale = scores("bn_scale", parent, validation)

    for branch in parent.branches:
        block = parent.module.get_submodule(branch.module)
        weights = torch.cat([block.conv1.weight.flatten(), block.conv2.weight.flatten()])
        assert magnitude[branch.index] == pytest.approx(weights.abs().mean().item(), rel=1e-5)
        assert scale[branch.index] == pytest.approx(block.bn2.weight.abs().mean().item())


def test_the_controls_do_not_depend_on_what_is_gone(parent, validation):
    smaller = parent.without([2, 5])
    for criterion in ("random", "evenly_spaced"):
        whole = scores(criterion, parent, validation)
        assert len(set(whole.values())) == 6
        left = scores(criterion, smaller, validation)
        assert left == {branch: whole[branch] for branch in left}
    assert scores("random", parent, validation) != scores("random", parent, validation, seed=1)


def test_evenly_spaced_takes_the_middle_first(parent, validation):
    order = sorted(range(1, 7), key=scores("evenly_spaced", parent, validation).__getitem__)

    assert order[:3] == [3, 5, 1]


@pytest.mark.parametrize("criterion", CRITERIA)
def test_every_criterion_scores_every_removable_branch_and_changes_nothing(
    parent, validation, criterion
):
    before = {k: v.clone() for k, v in parent.module.state_dict().items()}

    result = scores(criterion, parent.without([2]), validation)

    assert set(result) == {1, 3, 4, 5, 6}
    assert all(math.isfinite(score) for score in result.values())
    after = parent.module.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    assert all(p.grad is None or not p.grad.any() for p in parent.without([]).module.parameters())


class Tokens(nn.Module):
    """Branches without batch norm, on [B, tokens, C]."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 2, 2)
        self.one, self.two = nn.Linear(8, 8), nn.Linear(8, 8)
        self.head = nn.Linear(8, 10)

    def forward(self, images):
        x = self.stem(images).flatten(2).transpose(1, 2)
        x = x + self.one(x)
        x = x + self.two(x)
        return self.head(x.mean(1))


def test_a_criterion_that_does_not_fit_says_so(validation):
    network = ResidualNetwork.from_module(Tokens(), (1, 8, 8))

    with pytest.raises(NetworkError, match="bn_scale needs a batch norm in every branch, but"):
        scores("bn_scale", network, validation)
    assert set(scores("magnitude", network, validation)) == {1, 2}
    assert set(scores("taylor", network, validation)) == {1, 2}


def test_an_unknown_criterion_is_refused(parent, validation):
    with pytest.raises(InputError, match="did you mean 'taylor'"):
        scores("tailor", parent, validation)
