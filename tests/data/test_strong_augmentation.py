"""Strong augmentation is drawn by the seeds of an image, whoever computes it and with whom."""

import numpy as np
import pytest
import torch

from autodepth.data.batches import Batches
from autodepth.data.images import ArrayImages
from autodepth.data.settings import Normalisation
from autodepth.data.strong_augmentation import StrongAugmentation

COUNT, CLASSES = 11, 3
EVERYTHING = StrongAugmentation(
    auto="trivial", erasing=0.5, mixup=0.4, cutmix=1.0, classes=CLASSES
)  # fmt: skip


@pytest.fixture(scope="module")
def images():
    draw = np.random.default_rng(0)
    pixels = draw.integers(1, 256, (COUNT, 8, 8, 3), dtype=np.uint8)
    return ArrayImages(pixels, np.arange(COUNT, dtype=np.int64) % CLASSES)


def passes(images, strong, *, generator, size=4, rows=slice):
    batches = Batches(
        images, batch_size=size, device="cpu", channels=3, generator=generator,
        normalisation=Normalisation(mean=(0.5,) * 3, std=(0.5,) * 3),
    )  # fmt: skip
    return batches.strengthened(strong).part(rows)


def seeded(seed=1):
    return torch.Generator().manual_seed(seed)


def test_equal_generators_give_equal_passes_and_leave_that_of_all_alone(images):
    torch.manual_seed(3)
    state = torch.get_rng_state()
    generator = seeded()
    first = list(passes(images, EVERYTHING, generator=generator))
    again = list(passes(images, EVERYTHING, generator=seeded()))
    second = list(passes(images, EVERYTHING, generator=generator))

    assert torch.equal(torch.get_rng_state(), state)
    for (x, y), (same_x, same_y), (other_x, _) in zip(first, again, second, strict=True):
        assert torch.equal(x, same_x)
        assert torch.equal(y, same_y)
        assert not torch.equal(x, other_x)


@pytest.mark.parametrize("strong", [EVERYTHING, StrongAugmentation(auto="rand", erasing=1.0)])
def test_parts_on_several_ranks_are_the_batch(images, strong):
    whole = list(passes(images, strong, generator=seeded()))
    halves = [
        list(passes(images, strong, generator=seeded(), rows=rows))
        for rows in (lambda n: slice(0, n // 2), lambda n: slice(n // 2, n))
    ]
    for (x, y), (x_1, y_1), (x_2, y_2) in zip(whole, *halves, strict=True):
        assert torch.equal(x, torch.cat([x_1, x_2]))
        assert torch.equal(y, torch.cat([y_1, y_2]))


def test_without_it_a_pass_draws_what_it_always_drew(images):
    generator, by_hand = seeded(), seeded()
    list(passes(images, StrongAugmentation(classes=CLASSES), generator=generator))
    torch.randperm(COUNT, generator=by_hand)
    torch.rand(COUNT, 5, generator=by_hand)

    assert torch.equal(generator.get_state(), by_hand.get_state())


def test_without_a_generator_images_stay_as_they_are(images):
    (x, y), *_ = passes(images, EVERYTHING, generator=None, size=COUNT)

    assert torch.equal(((x + 1) * 127.5).round().permute(0, 2, 3, 1).byte(), told(images))
    assert y.tolist() == images.labels.tolist()


def told(images):
    return torch.from_numpy(images.pixels)


@pytest.mark.parametrize("auto", ["trivial", "rand"])
def test_operations_are_drawn_for_each_image(images, auto):
    strong = StrongAugmentation(auto=auto)
    seeds = strong.draw_seeds(COUNT, seeded())
    pixels = told(images)
    changed = strong.operated_on(pixels, seeds)
    alone = torch.cat(
        [strong.operated_on(pixels[i : i + 1], seeds[i : i + 1]) for i in range(COUNT)]
    )

    assert torch.equal(changed, alone)
    assert changed.dtype == torch.uint8
    assert not torch.equal(changed, pixels)


def test_a_box_of_the_erased_share_is_the_mean_colour():
    x = torch.ones(200, 3, 8, 8)
    strong = StrongAugmentation(erasing=0.5)
    erased = strong.erased(x, strong.draw_seeds(200, seeded())) == 0

    touched = erased.flatten(1).any(1)
    assert 0.35 < touched.float().mean() < 0.65
    assert torch.equal(erased[:, 0], erased[:, 2])


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_labels_are_the_shares_of_what_is_seen(kind):
    strong = StrongAugmentation(**{kind: 1.0}, classes=4)
    x = torch.zeros(4, 1, 16, 16) + torch.arange(4.0).view(4, 1, 1, 1)
    for seed in range(8):
        mixed, shares = strong.mixed(x, torch.arange(4), strong.draw_seeds(4, seeded(seed)))

        assert torch.allclose(shares.sum(1), torch.ones(4))
        seen = mixed.mean((1, 2, 3))
        assert torch.allclose(seen, shares @ torch.arange(4.0), atol=1e-5)
        if kind == "cutmix":
            assert set(mixed.unique().tolist()) <= {0.0, 1.0, 2.0, 3.0}


def test_beside_each_other_some_batches_get_one_and_some_the_other():
    strong = StrongAugmentation(mixup=1.0, cutmix=1.0, classes=2)
    x = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 16, 16)
    whole = [
        set(
            strong.mixed(x, torch.arange(2), strong.draw_seeds(2, seeded(seed)))[0]
            .unique()
            .tolist()
        )
        <= {0.0, 1.0}
        for seed in range(12)
    ]
    assert any(whole)
    assert not all(whole)
