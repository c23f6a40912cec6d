"""Classification behind the interface trains as a loop does that calls cross-entropy itself."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.optim import SGD
from torch.optim.lr_scheduler import OneCycleLR

from autodepth.data.batches import Batches
from autodepth.data.images import ArrayImages
from autodepth.data.load import load_data
from autodepth.data.prepare import Augmentation, resolve_normalisation
from autodepth.data.settings import DataSettings
from autodepth.networks.catalogue import NetworkSpec
from autodepth.networks.gates.gates import GatedNetwork
from autodepth.policy.training_settings import TrainingSettings
from autodepth.tasks.classification import CLASSIFICATION, Classification, balanced
from autodepth.trial.context import TrialContext
from autodepth.trial.phases.parent import untrained_network
from autodepth.trial.training.config import TrainingConfig
from autodepth.trial.training.loop import train

# Numbers are compared with those by hand, so not in the bfloat16 that some CPUs multiply.
SETTINGS = TrainingSettings(epochs=2, batch_size=32, label_smoothing=0.1, precision="float32")


@pytest.fixture(scope="module")
def context():
    settings = DataSettings(name="digits", train_images=96, validation=60)
    data = load_data(settings)
    return TrialContext(
        spec=NetworkSpec(name="resnet14", channels=1, height=8, width=8),
        weights=None,
        data=data,
        normalisation=resolve_normalisation(settings, data.train, pretrained=False, channels=1),
        augmentation=Augmentation(),
        sensitivity_images=None,
        device=torch.device("cpu"),
        threads=1,
        seed=0,
    )


def by_hand(context, network):
    """Train without gates, tasks or configuration; return (accuracy, loss) of each epoch."""

    def of(images, generator=None):
        return Batches(
            images,
            batch_size=32 if generator else 256,
            device="cpu",
            normalisation=context.normalisation,
            channels=1,
            generator=generator,
        )

    training = of(context.data.train, context.generator("batches"))
    optimizer = SGD(
        network.parameters(), lr=SETTINGS.learning_rate, momentum=SETTINGS.momentum,
        weight_decay=SETTINGS.weight_decay, nesterov=True,
    )  # fmt: skip
    steps = 2 * len(training)
    schedule = OneCycleLR(
        optimizer, SETTINGS.learning_rate, total_steps=steps, cycle_momentum=False
    )
    told = []
    for _ in range(2):
        network.train()
        for images, labels in training:
            loss = F.cross_entropy(network(images), labels, label_smoothing=0.1)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
        network.eval()
        with torch.inference_mode():
            ((images, labels),) = of(context.data.validation)
            scores = network(images)
        right = (scores.argmax(1) == labels).sum().item()
        loss = F.cross_entropy(scores, labels, reduction="sum").item()
        told.append((right / len(labels), loss / len(labels)))
    return told


@pytest.mark.parametrize("seed", [3, 4])
def test_the_task_costs_no_bit(context, seed):
    context = replace(context, seed=seed)
    network, epochs = untrained_network(context), []
    expected = by_hand(context, untrained_network(context).module)

    train(
        GatedNetwork(network),
        context.training_batches(32, "batches", context.task_of(SETTINGS)),
        context.validation_batches(),
        TrainingConfig(
            epochs=2,
            learning_rate=SETTINGS.learning_rate,
            settings=SETTINGS,
            survival=lambda _: (1.0,) * len(network.branches),
            task=context.task,
        ),
        gate_generator=context.generator("gates"),
        on_epoch=epochs.append,
    )

    assert [(e.evaluation.accuracy, e.evaluation.loss) for e in epochs] == expected
    assert [e.evaluation.metrics for e in epochs] == [{}, {}]


def test_equal_outputs_are_no_distance_apart():
    scores = torch.randn(4, 10, generator=torch.Generator().manual_seed(0))

    assert CLASSIFICATION.divergence(scores, scores).item() == pytest.approx(0.0, abs=1e-6)
    assert CLASSIFICATION.divergence(scores, -scores) > 0


def test_rare_classes_count_more_and_all_alike():
    labels = np.array([0] * 6 + [1] * 3 + [2], dtype=np.int64)
    train = ArrayImages(np.zeros((10, 2, 2, 1), np.uint8), labels)
    data = SimpleNamespace(train=train, classes=("a", "b", "c", "none of them"))
    weights = balanced(data)

    assert weights.tolist() == pytest.approx([10 / 18, 10 / 9, 10 / 3, 0.0])
    assert float(weights[labels].mean()) == pytest.approx(1.0)


def test_weighted_losses_of_parts_add_up_to_that_of_the_batch():
    weights = torch.tensor([0.5, 1.0, 3.0])
    task = Classification(class_weights=weights)
    scores = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    by_hand = -(weights[labels] * scores.log_softmax(1)[range(6), labels]).mean()

    assert task.training_loss(scores, labels, 0.0).item() == pytest.approx(by_hand.item())
    parts = sum(task.training_loss(scores[i], labels[i], 0.0) for i in (slice(3), slice(3, 6)))
    assert parts.item() / 2 == pytest.approx(by_hand.item())
    assert task.loss(scores, labels) == F.cross_entropy(scores, labels)


def test_shares_of_classes_are_learned_and_counted_as_shares():
    scores = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]])
    shares = torch.tensor([[0.7, 0.3, 0.0], [0.6, 0.0, 0.4]])
    both = sum(
        share * CLASSIFICATION.training_loss(scores[[row]], torch.tensor([label]), 0.1)
        for row, label, share in [(0, 0, 0.7), (0, 1, 0.3), (1, 0, 0.6), (1, 2, 0.4)]
    )

    assert CLASSIFICATION.training_loss(scores, shares, 0.1).item() == pytest.approx(
        both.item() / 2
    )
    assert CLASSIFICATION.hits(scores, shares).item() == pytest.approx(0.7 + 0.4)


def test_a_task_as_training_has_it_evaluates_as_before(context):
    task = context.task_of(replace(SETTINGS, mixup=0.2, auto_augment="rand", erasing=0.5))
    one, other = (
        next(iter(each.batches("validation", batch_size=60, generator=None)))
        for each in (task, context.task)
    )

    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
