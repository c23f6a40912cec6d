"""Heads of embeddings, against their formulas."""

import math

import pytest
import torch

from autodepth.tasks.shipped.heads import CosineHead, SoftmaxHead, arcface_scores


def test_a_head_hands_the_vectors_on_beside_a_score_per_identity():
    vectors = torch.randn(5, 4)

    for head in (SoftmaxHead(4, 3), CosineHead(4, 3)):
        same, scores = head(vectors)
        assert same is vectors
        assert scores.shape == (5, 3)
    centres = CosineHead(4, 3)
    expected = torch.nn.functional.cosine_similarity(vectors[:, None], centres.centres[None], dim=2)
    torch.testing.assert_close(centres(vectors)[1], expected)


def test_arcface_adds_an_angle_to_that_of_the_own_centre():
    angles = torch.tensor([[0.3, 1.2], [2.0, 0.7]])
    found = arcface_scores(angles.cos(), torch.tensor([0, 1]), margin=0.5, scale=10.0)

    expected = 10 * torch.tensor([[math.cos(0.8), math.cos(1.2)], [math.cos(2.0), math.cos(1.2)]])
    torch.testing.assert_close(found, expected)


def test_beyond_a_half_turn_the_score_falls_on():
    labels = torch.zeros(1, dtype=torch.int64)
    scores = [
        arcface_scores(torch.tensor([[math.cos(angle)]]), labels, margin=0.5, scale=1.0).item()
        for angle in (2.5, 2.64, 2.65, 3.0, 3.14)
    ]

    assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("cosine", [-1.0, 1.0])
def test_its_derivative_is_finite_at_both_ends(cosine):
    cosines = torch.full((1, 2), cosine, requires_grad=True)
    arcface_scores(cosines, torch.tensor([0]), margin=0.5, scale=64.0).sum().backward()

    assert cosines.grad.isfinite().all()
