"""The tasks that are shipped: where each is, and what a model card says of it."""

from __future__ import annotations

from dataclasses import dataclass

_ROOM = "autodepth.tasks.shipped"


@dataclass(frozen=True, kw_only=True)
class ShippedTask:
    """One task by name.

    Args:
        maker: `module:class`, imported when it is wanted; called with data settings and arguments.
        pipeline: what Hugging Face calls the kind of task.
        gives: what networks give that learned it, in sentences.
    """

    maker: str
    pipeline: str
    gives: str


SHIPPED_TASKS = {
    "embedding": ShippedTask(
        maker=f"{_ROOM}.embedding:Embedding",
        pipeline="image-feature-extraction",
        gives="Output `scores`: float32 [batch, dimension], a vector per image; the larger the "
        "cosine of two, the likelier they are of one identity. The head that scored identities in "
        "training is left out.",
    ),
    "detection": ShippedTask(
        maker=f"{_ROOM}.detection:Detection",
        pipeline="object-detection",
        gives="Output `scores`: float32 [batch, anchors, numbers], what the head of the detector "
        "gives for every anchor; `autodepth evaluate` decodes boxes of them as torchvision does.",
    ),
    "segmentation": ShippedTask(
        maker=f"{_ROOM}.segmentation:Segmentation",
        pipeline="image-segmentation",
        gives="Output `scores`: float32 [batch, classes, height, width] before softmax; where the "
        "maps are smaller than the images they are enlarged bilinearly.",
    ),
    "regression": ShippedTask(
        maker=f"{_ROOM}.regression:Regression",
        pipeline="image-feature-extraction",
        gives="Output `scores`: float32 [batch, targets], the numbers themselves, in the units and "
        "the order of the columns that were learned.",
    ),
}
"""Every task but classification, by the names that a space file has for them."""
