"""A recipe of today is its parts by hand: AdamW, cosine, means of weights, mixed images."""

import copy
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from autodepth.data.batches import Batches
from autodepth.data.load import load_data
from autodepth.data.prepare import resolve_normalisation
from autodepth.data.settings import DataSettings
from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.catalogue.libraries.timm_models import import_timm
from autodepth.networks.gates.gates import GatedNetwork
from autodepth.policy.training_settings import TrainingSettings
from autodepth.trial.cache.cache import StageCache
from autodepth.trial.training.checkpoints import Checkpoints
from autodepth.trial.training.config import TrainingConfig
from autodepth.trial.training.loop import train

NETWORK, SIZE = "vit_tiny_patch16_224", {"img_size": 32}
IMAGES, BATCH, EPOCHS = 80, 8, 2  # 20 steps
STEPS = EPOCHS * IMAGES // BATCH
RATE, DECAY, MEAN, ALPHA, WARM, NORM = 1e-3, 0.05, 0.99, 0.8, 0.2, 1.0
RECIPE = TrainingSettings(
    epochs=EPOCHS, batch_size=BATCH, learning_rate=RATE, optimizer="adamw", weight_decay=DECAY,
    weight_decay_on="matrices", schedule="cosine", warmup_share=WARM, ema=MEAN, mixup=ALPHA,
    clip_norm=NORM, precision="float32",
)  # fmt: skip


class BrokenOffError(Exception):
    pass


@pytest.fixture(scope="module")
def setting(context):
    settings = DataSettings(name="digits", train_images=IMAGES, validation=20, image_size=32)
    data = load_data(settings)
    spec = NetworkSpec(
        name=f"timm:{NETWORK}", channels=3, height=32, width=32, classes=10, arguments=SIZE
    )
    normalisation = resolve_normalisation(settings, data.train, pretrained=False, channels=3)
    context = replace(context, spec=spec, data=data, normalisation=normalisation)
    return context, build_network(spec, seed=3)


def by_loop(setting, *, cache=None, until=None):
    """Train by the loop; return the network's weights. Break it off after so many new epochs."""
    context, network = setting
    network = network.without(())
    task, fresh = context.task_of(RECIPE), []

    def hear(epoch):
        fresh.extend([epoch] * (not epoch.replayed))
        if len(fresh) == until:
            raise BrokenOffError

    train(
        GatedNetwork(network),
        context.training_batches(BATCH, "batches", task),
        context.validation_batches(),
        TrainingConfig(
            epochs=EPOCHS, learning_rate=RATE, schedule="cosine", settings=RECIPE, task=task,
            survival=lambda _: (1.0,) * len(network.branches),
        ),
        gate_generator=context.generator("gates"),
        on_epoch=hear,
        checkpoints=cache and Checkpoints(StageCache(cache), "0" * 64, seconds=0.0),
    )  # fmt: skip
    assert len(fresh) == EPOCHS or cache
    return network.module.state_dict()


def by_hand(setting):
    """Train timm's own module without anything of the loop; return the means of its weights."""
    context, network = setting
    module = import_timm().create_model(NETWORK, num_classes=10, **SIZE)
    module.load_state_dict(network.module.state_dict())
    module.train()
    named = dict(module.named_parameters())
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in named.values() if p.ndim > 1], "weight_decay": DECAY},
            {"params": [p for p in named.values() if p.ndim == 1], "weight_decay": 0.0},
        ],
        lr=RATE, betas=(0.9, 0.999),
    )  # fmt: skip
    means = copy.deepcopy(named)
    images, labels = plain(context)
    generator, step, warm = context.generator("batches"), 0, int(WARM * STEPS)
    for _ in range(EPOCHS):
        order = torch.randperm(IMAGES, generator=generator)
        torch.rand(IMAGES, 5, generator=generator)  # shifts and mirrors, of which there are none
        seeds = torch.randint(2**62, (IMAGES, 3), generator=generator)
        for at in range(0, IMAGES, BATCH):
            here = order[at : at + BATCH]
            share = beta(int(seeds[at, 2]))
            x, y = images[here], F.one_hot(labels[here], 10).float()
            x, y = (share * v + (1 - share) * v.roll(1, 0) for v in (x, y))
            loss = -(y * module(x).log_softmax(1)).sum(1).mean()
            optimizer.zero_grad()
            loss.backward()
            norm = math.sqrt(sum(float(p.grad.square().sum()) for p in named.values()))
            for parameter in named.values():
                parameter.grad.mul_(min(1.0, NORM / (norm + 1e-6)))
            up = (step + 1) / (warm + 1)
            down = 0.5 * (1 + math.cos(math.pi * (step - warm) / (STEPS - warm)))
            for group in optimizer.param_groups:
                group["lr"] = RATE * (up if step < warm else down)
            optimizer.step()
            step += 1
            kept = min(MEAN, (1 + step) / (10 + step))
            for name, mean in means.items():
                mean.data = kept * mean.data + (1 - kept) * named[name].data
    assert step == STEPS == 20
    return {name: mean.detach() for name, mean in means.items()}


def plain(context):
    """Return all training images as a network takes them, in their order, and labels."""
    batches = Batches(
        context.data.train, batch_size=IMAGES, device="cpu", normalisation=context.normalisation,
        channels=3,
    )  # fmt: skip
    ((images, labels),) = batches
    return images, labels


def beta(seed):
    """Return a share of Beta(ALPHA, ALPHA), of a generator that has dealt with one choice."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        torch.multinomial(torch.tensor([1.0]), 1)
        return float(
            torch.distributions.Beta(torch.tensor([ALPHA]), torch.tensor([ALPHA])).sample()
        )


def test_twenty_steps_are_those_of_an_independent_loop(setting):
    torch.manual_seed(5)
    state = torch.get_rng_state()
    found = by_loop(setting)
    assert torch.equal(torch.get_rng_state(), state), "nothing is drawn from the generator of all"
    wanted = by_hand(setting)

    assert found.keys() == wanted.keys()
    for name, weight in wanted.items():
        close = 1e-5
        if name.endswith("qkv.bias"):
            # Softmax does not see what keys have in common: their bias has no gradient but what is
            # rounded, and AdamW makes whole steps of that.
            close = torch.full_like(weight, 1e-5)
            close[len(weight) // 3 : -len(weight) // 3] = STEPS * RATE
        assert ((found[name] - weight).abs() < close).all(), name
    began = setting[1].module.state_dict()
    assert not any(torch.equal(found[name], began[name]) for name in wanted)


def test_training_that_was_broken_off_within_ends_at_the_same_bits(setting, tmp_path):
    with pytest.raises(BrokenOffError):
        by_loop(setting, cache=tmp_path, until=1)
    found, wanted = by_loop(setting, cache=tmp_path), by_loop(setting)

    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
