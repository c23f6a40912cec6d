"""Mean average precision of boxes, as COCO measures it: the one way in to pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from autodepth.errors import TaskError

Boxes = Mapping[str, Tensor]


def check_installed() -> None:
    """Raise TaskError unless pycocotools is there."""
    try:
        import pycocotools.cocoeval  # noqa: F401, PLC0415 - only where boxes are measured
    except ImportError as error:
        raise TaskError(
            "boxes are measured by pycocotools, which is not installed: "
            "pip install 'autodepth[detection]'"
        ) from error


class AveragePrecision:
    """Takes in boxes found and boxes that are there, and measures a split of them.

    Args:
        classes: number of classes; labels are from 1 to this.
    """

    def __init__(self, classes: int) -> None:
        self._classes, self._images = classes, 0
        self._found: list[list[float]] = []
        self._there: list[dict[str, Any]] = []

    def update(self, found: Sequence[Boxes], there: Sequence[Boxes]) -> None:
        """Take in the boxes of one batch."""
        for ours, theirs in zip(found, there, strict=True):
            number = self._images = self._images + 1
            for (left, top, right, bottom), label in zip(
                theirs["boxes"].tolist(), theirs["labels"].tolist(), strict=True
            ):
                box = [left, top, right - left, bottom - top]
                self._there.append(
                    {
                        "id": len(self._there) + 1,
                        "image_id": number,
                        "category_id": label,
                        "bbox": box,
                        "area": box[2] * box[3],
                        "iscrowd": 0,
                    }
                )
            for (left, top, right, bottom), label, score in zip(
                *(ours[name].tolist() for name in ("boxes", "labels", "scores")), strict=True
            ):
                self._found.append([number, left, top, right - left, bottom - top, score, label])

    def compute(self) -> dict[str, float]:
        """Return the mean over overlaps from 0.5 to 0.95, and that of 0.5; 0 of no boxes."""
        if not self._found or not self._there:
            return {"map": 0.0, "map_50": 0.0}
        from pycocotools.coco import COCO  # noqa: PLC0415
        from pycocotools.cocoeval import COCOeval  # noqa: PLC0415

        with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does
            there = COCO()
            there.dataset = {
                "info": {},
                "images": [{"id": number} for number in range(1, self._images + 1)],
                "categories": [{"id": label} for label in range(1, self._classes + 1)],
                "annotations": self._there,
            }
            there.createIndex()
            evaluation = COCOeval(there, there.loadRes(np.array(self._found)), "bbox")
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        return {"map": float(evaluation.stats[0]), "map_50": float(evaluation.stats[1])}
