"""Scenes of real handwritten digits with boxes and masks: `python digit_scenes.py FOLDER`.

scikit-learn's digits, none in two scenes of different splits, in random sizes and places on a dim,
noisy ground. FOLDER/{train,valid,test} hold `_annotations.coco.json`, `images/`, and `masks/` with
a mask per image: 0 is the ground, d + 1 the digit d. Seeded.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

SPLITS = {"train": 0.6, "valid": 0.2, "test": 0.2}
SIZES = (14, 24)  # pixels of a digit, from and to


def write_scenes(
    folder: Path, counts: dict[str, int], *, size: int = 64, classes: int = 10, seed: int = 0
) -> None:
    """Write scenes of 1 to 4 digits.

    Args:
        folder: where they go.
        counts: scenes of each split.
        size: height and width of a scene, pixels.
        classes: digits from 0 to below this.
        seed: of every draw.
    """
    random = np.random.default_rng(seed)
    digits = load_digits()
    order = random.permutation(np.flatnonzero(digits.target < classes))
    first = 0.0
    for split, share in SPLITS.items():
        part = order[round(first * len(order)) : round((first + share) * len(order))]
        first += share
        images, labels = digits.images[part], digits.target[part]
        _write_split(folder, split, counts[split], size, (images, labels), random, classes)


def _write_split(
    folder: Path,
    split: str,
    count: int,
    size: int,
    digits: tuple[np.ndarray, np.ndarray],
    random: np.random.Generator,
    classes: int,
) -> None:
    images, masks = (folder / split / name for name in ("images", "masks"))
    images.mkdir(parents=True)
    masks.mkdir()
    told: dict[str, list] = {"images": [], "annotations": [], "categories": []}
    told["categories"] = [{"id": d + 1, "name": str(d)} for d in range(classes)]
    for number in range(count):
        pixels, mask, boxes = _scene(size, *digits, random)
        name = f"{number:04}.png"
        Image.fromarray(pixels).save(images / name)
        Image.fromarray(mask).save(masks / name)
        told["images"].append(
            {"id": number, "file_name": f"images/{name}", "width": size, "height": size}
        )
        for label, box in boxes:
            told["annotations"].append(
                {
                    "id": len(told["annotations"]),
                    "image_id": number,
                    "category_id": label + 1,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                }
            )
    (folder / split / "_annotations.coco.json").write_text(json.dumps(told, indent=1))


def _scene(
    size: int, images: np.ndarray, labels: np.ndarray, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, list[tuple[int, list[int]]]]:
    pixels = random.normal(40, 12, (size, size)).clip(0, 80)
    mask = np.zeros((size, size), dtype=np.uint8)
    boxes = []
    for _ in range(random.integers(1, 5)):
        chosen = random.integers(len(images))
        side = int(random.integers(*SIZES))
        left, top = (int(place) for place in random.integers(0, size - side, 2))
        if any(_meet((left, top, side, side), box) for _, box in boxes):
            continue
        small = Image.fromarray((images[chosen] * 15.9).astype(np.uint8))
        ink = np.asarray(small.resize((side, side), Image.Resampling.BILINEAR), dtype=float)
        rows, columns = np.nonzero(ink > 60)
        place = (slice(top, top + side), slice(left, left + side))
        pixels[place] = np.maximum(pixels[place], ink)
        mask[place][ink > 60] = labels[chosen] + 1
        box = [left + columns.min(), top + rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
        boxes.append((int(labels[chosen]), [int(value) for value in box]))
    return pixels.astype(np.uint8), mask, boxes


def _meet(one: Sequence[int], other: Sequence[int]) -> bool:
    return all(
        one[axis] < other[axis] + other[axis + 2] and other[axis] < one[axis] + one[axis + 2]
        for axis in (0, 1)
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=int, default=400)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--classes", type=int, default=10, help="digits from 0 to below this")
    asked = parser.parse_args()
    write_scenes(
        asked.folder,
        {"train": asked.train, "valid": asked.train // 4, "test": asked.train // 4},
        size=asked.size,
        classes=asked.classes,
    )
