"""What training images go through beyond shifts and mirroring, by torchvision's transforms.

These draw from torch's global generator. So each image has seeds of its own, drawn with its pass;
the generator is set to them, and left as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from autodepth.policy.training_settings import AutoAugment
from autodepth.torchvision_door import random_transforms

SEEDS = 3
"""Seeds of one image: of its operations, of its erased box, and of the batch that it begins."""
_HIGHEST_SEED = 2**62


@dataclass(frozen=True, kw_only=True)
class StrongAugmentation:
    """Operations drawn per image, erased boxes, and images of a batch mixed by pairs.

    Args:
        auto: operations by TrivialAugment (Müller & Hutter 2021) or RandAugment (Cubuk et al.
            2020), two of them, or none.
        magnitude: of RandAugment, from 0 to 30.
        erasing: share of images of which a box becomes the mean colour (Zhong et al. 2020).
        mixup: alpha of Beta(alpha, alpha), the shares of two images (Zhang et al. 2018).
        cutmix: the same of areas (Yun et al. 2019); beside `mixup` each batch gets one of both.
        classes: how many there are, where images are mixed.
    """

    auto: AutoAugment = "none"
    magnitude: int = 9
    erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    classes: int = 0

    @property
    def mixes(self) -> bool:
        """Whether images are mixed, so that labels become shares of classes."""
        return self.mixup > 0 or self.cutmix > 0

    def draw_seeds(self, count: int, generator: torch.Generator | None) -> Tensor:
        """Return the seeds of so many images in a pass, int64 [count, SEEDS]; unused ones are 0."""
        if self.auto == "none" and not self.erasing and not self.mixes:
            return torch.zeros(count, SEEDS, dtype=torch.int64)
        return torch.randint(_HIGHEST_SEED, (count, SEEDS), generator=generator)

    def operated_on(self, pixels: Tensor, seeds: Tensor) -> Tensor:
        """Map uint8 pixels [B, H, W, C] to the same shape; seeds are [B, SEEDS]."""
        if self.auto == "none":
            return pixels
        v2 = random_transforms()
        transform = (
            v2.TrivialAugmentWide()
            if self.auto == "trivial"
            else v2.RandAugment(magnitude=self.magnitude)
        )
        changed = _each(transform, pixels.permute(0, 3, 1, 2), seeds[:, 0])
        return changed.permute(0, 2, 3, 1)

    def erased(self, x: Tensor, seeds: Tensor) -> Tensor:
        """Map normalised images [B, C, H, W] to the same shape; seeds are [B, SEEDS]."""
        if not self.erasing:
            return x
        return _each(random_transforms().RandomErasing(p=self.erasing), x, seeds[:, 1])

    def mixed(self, x: Tensor, y: Tensor, seeds: Tensor) -> tuple[Tensor, Tensor]:
        """Mix a whole batch, x [B, C, H, W] and labels [B], which become shares [B, classes]."""
        v2, alphas = random_transforms(), {"MixUp": self.mixup, "CutMix": self.cutmix}
        kinds = [getattr(v2, n)(alpha=a, num_classes=self.classes) for n, a in alphas.items() if a]
        with _drawing(), torch.no_grad():
            torch.default_generator.manual_seed(int(seeds[0, 2]))
            mixed: tuple[Tensor, Tensor] = v2.RandomChoice(kinds)(x, y)
        return mixed


def _each(transform: Callable[[Tensor], Tensor], images: Tensor, seeds: Tensor) -> Tensor:
    """Transform images [B, C, H, W] one by one, each by its own seed."""
    changed = torch.empty_like(images)
    with _drawing():
        for place, (image, seed) in enumerate(zip(images, seeds.tolist(), strict=True)):
            torch.default_generator.manual_seed(seed)
            changed[place] = transform(image)
    return changed


@contextmanager
def _drawing() -> Iterator[None]:
    """Leave the generator of the CPU as it is, whatever is drawn from it."""
    state = torch.default_generator.get_state()
    try:
        yield
    finally:
        torch.default_generator.set_state(state)
