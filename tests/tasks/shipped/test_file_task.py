"""What tasks on images in files share."""

import numpy as np
import torch

from autodepth.data.settings import Normalisation
from autodepth.tasks.shipped.file_task import FileBatches

CONSTANTS = Normalisation(mean=(0.0,) * 3, std=(1 / 255,) * 3)


class Numbers:
    """Eleven grey images, each of its number and one more to the right; targets are these."""

    pixels = np.stack([np.full((2, 2, 1), n, np.uint8) + np.eye(2, dtype=np.uint8)[1:, :, None]
                       for n in range(11)])  # fmt: skip

    def __len__(self):
        return len(self.pixels)

    def targets(self, rows, mirrored):
        return torch.tensor([[row, flip] for row, flip in zip(rows, mirrored, strict=True)])


def batches(generator=None, *, batch_size=4, flips=False):
    return FileBatches(
        Numbers(), CONSTANTS, batch_size=batch_size, channels=3, generator=generator, flips=flips
    )


def test_without_a_generator_all_images_come_in_their_order():
    given = list(batches())

    assert [len(images) for images, _ in given] == [4, 4, 3] == [4] * (len(batches()) - 1) + [3]
    assert torch.cat([targets[:, 0] for _, targets in given]).tolist() == list(range(11))
    assert given[0][0].shape == (4, 3, 2, 2)
    torch.testing.assert_close(given[0][0][2, 1], torch.tensor([[2.0, 3.0], [2.0, 3.0]]))


def test_equal_generators_give_equal_passes_and_each_pass_another():
    first, second = (batches(torch.Generator().manual_seed(3), flips=True) for _ in range(2))
    passes = [torch.cat([x for x, _ in found]) for found in (first, second, first)]

    assert torch.equal(passes[0], passes[1])
    assert not torch.equal(passes[0], passes[2])


def test_what_is_mirrored_is_told():
    for images, targets in batches(torch.Generator().manual_seed(0), flips=True):
        rising = images[:, 0, 0, 1] > images[:, 0, 0, 0]
        assert torch.equal(rising, targets[:, 1] == 0)


def test_no_batch_to_train_on_has_a_single_image():
    training = batches(torch.Generator(), batch_size=5)

    assert len(training) == 2
    assert [len(images) for images, _ in training] == [5, 5]
    assert len(batches(batch_size=5)) == 3
