"""Elastic training: the whole network learns labels, one of random depth the whole one's scores."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from autodepth.networks.catalogue import build_network
from autodepth.networks.gates.gates import GatedNetwork
from autodepth.policy.policy import Policy
from autodepth.policy.training_settings import TrainingSettings
from autodepth.trial.phases.keys import parent_content
from autodepth.trial.phases.parent import train_parent, untrained_network
from autodepth.trial.training.config import TrainingConfig
from autodepth.trial.training.loop import train

PLAIN = TrainingSettings(
    epochs=1, batch_size=128, learning_rate=0.1, precision="float32", momentum=0.0,
    weight_decay=0.0,
)  # fmt: skip
SURVIVAL = (0.5,) * 6


def trained(context, network, elastic, epochs=1):
    copy, heard = network.without(()), []
    train(
        GatedNetwork(copy),
        context.training_batches(128, "test"),
        context.validation_batches(),
        TrainingConfig(
            epochs=epochs, learning_rate=0.1, schedule="constant", settings=PLAIN,
            survival=lambda _: SURVIVAL, elastic=elastic,
        ),
        gate_generator=torch.Generator().manual_seed(3),
        on_epoch=heard.append,
    )  # fmt: skip
    return copy.module, heard


def by_hand(context, network):
    """Take one step of both losses; return module and batch statistics of the whole network."""
    images, labels = next(iter(context.training_batches(128, "test")))
    copy = network.without(())
    module = copy.module.train()
    scores = module(images)
    statistics = {n: v.clone() for n, v in module.state_dict().items() if "running" in n}
    loss = F.cross_entropy(scores, labels)
    gated = GatedNetwork(copy)
    gated.train()
    computed = gated.draw(SURVIVAL, torch.Generator().manual_seed(3), 128)
    wanted = scores.detach().log_softmax(1)
    logs = gated(images).log_softmax(1)
    (loss + F.kl_div(logs, wanted, log_target=True, reduction="batchmean")).backward()
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.grad is not None:
                parameter.sub_(0.1 * parameter.grad)
    return module, statistics, loss.item(), computed


def test_a_step_is_one_of_both_losses_and_keeps_the_whole_networks_statistics(context):
    network = build_network(context.spec, seed=1)
    module, (epoch,) = trained(context, network, elastic=1.0)
    expected, statistics, loss, computed = by_hand(context, network)

    for name, parameter in expected.named_parameters():
        assert torch.allclose(module.get_parameter(name), parameter, atol=1e-5), name
    for name, value in statistics.items():
        assert torch.allclose(module.get_buffer(name), value, atol=1e-6), name
    assert epoch.train_loss == pytest.approx(loss, rel=1e-5)
    assert epoch.branches_computed == 6 + computed


def test_only_the_share_at_the_end_is_elastic(context):
    network = build_network(context.spec, seed=1)
    _, epochs = trained(context, network, elastic=0.5, epochs=2)

    assert epochs[0].branches_computed <= 6 < epochs[1].branches_computed


def test_an_elastic_parent_is_whole_as_it_is_and_known_by_it(context):
    plain = Policy(survival_prob_last=0.5, train=replace(PLAIN, epochs=2, batch_size=32))
    elastic = replace(plain, train=replace(plain.train, elastic=1.0))
    network = untrained_network(context)
    without_depth = replace(elastic, survival_prob_last=1.0)

    assert parent_content(elastic, context, network) != parent_content(plain, context, network)
    assert not without_depth.is_elastic
    assert without_depth.shaping("parent") == replace(plain, survival_prob_last=1.0).shaping(
        "parent"
    )
    assert "elastic" not in plain.to_dict()["train"]
    assert Policy.from_dict(elastic.to_dict()) == elastic
    told = []
    parent = train_parent(elastic, context, told.append)
    images, labels = next(iter(context.validation_batches()))
    with torch.no_grad():
        accuracy = (parent.network.module(images).argmax(1) == labels).float().mean().item()
    assert accuracy == pytest.approx(told[-1].evaluation.accuracy)  # nothing was folded
