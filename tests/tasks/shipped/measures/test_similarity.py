"""Measures of vectors, against scikit-learn's and against plain loops."""

import pytest
import torch
from sklearn.metrics import roc_curve
from sklearn.neighbors import KNeighborsClassifier

from autodepth.tasks.shipped.measures.similarity import Similarity, neighbour_loss


@pytest.fixture
def drawn():
    generator = torch.Generator().manual_seed(3)
    labels = torch.randint(12, (700,), generator=generator)
    centres = torch.randn(12, 6, generator=generator)
    return centres[labels] + 1.2 * torch.randn(700, 6, generator=generator), labels


def test_measures_are_those_of_scikit_learn(drawn):
    vectors, labels = drawn
    meter = Similarity()
    for rows in torch.arange(700).split(33):
        meter.update(vectors[rows], labels[rows])
    found = meter.compute()

    unit = torch.nn.functional.normalize(vectors)
    nearest = KNeighborsClassifier(n_neighbors=2).fit(unit, labels).kneighbors(unit)[1][:, 1]
    assert found["recall_at_1"] == (labels[nearest] == labels).double().mean()
    first, second = torch.triu_indices(700, 700, 1)
    false, true, _ = roc_curve(
        labels[first] == labels[second], (unit @ unit.T)[first, second], drop_intermediate=False
    )
    assert found["verification_accuracy"] == pytest.approx(((true + 1 - false) / 2).max(), abs=1e-3)
    assert found["tar_at_far_1e_3"] == pytest.approx(true[false <= 1e-3].max(), abs=2e-3)


def test_perfect_vectors_have_all_of_each():
    labels = torch.arange(4).repeat(3)
    meter = Similarity()
    meter.update(torch.eye(4)[labels], labels)

    assert meter.compute() == {
        "recall_at_1": 1.0,
        "verification_accuracy": 1.0,
        "tar_at_far_1e_3": 1.0,
    }


def test_identities_with_one_image_are_not_asked_for_their_neighbour():
    meter = Similarity()
    meter.update(torch.eye(3)[[0, 0, 1]], torch.tensor([5, 5, 6]))

    assert meter.compute()["recall_at_1"] == 1.0


def test_the_loss_is_how_unlikely_neighbours_of_the_own_identity_are(drawn):
    vectors, labels = (part[:40] for part in drawn)
    unit = torch.nn.functional.normalize(vectors)
    expected = 0.0
    for i in range(40):
        weights = (4.0 * unit @ unit[i]).exp()
        others = torch.arange(40) != i
        own = others & (labels == labels[i])
        if own.any():
            expected -= (weights[own].sum() / weights[others].sum()).log().item()

    assert neighbour_loss(vectors, labels, 4.0).item() == pytest.approx(expected, rel=1e-4)


def test_a_batch_without_mates_has_a_loss_that_can_be_derived():
    vectors = torch.randn(3, 4, requires_grad=True)
    loss = neighbour_loss(vectors, torch.arange(3), 4.0)
    loss.backward()

    assert loss.item() == 0.0
    assert vectors.grad.isfinite().all()
