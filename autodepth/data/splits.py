"""Splits that keep the classes in proportion and nest into each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from autodepth.data.images import Labels
from autodepth.errors import DataError
from autodepth.seeding import derive_seed

Part = Literal["train", "test"]
Index: TypeAlias = npt.NDArray[np.int64]

_TEST_SHARE = 0.2
_TEST_SEED = 0  # part of what the data is: changing it would move images between the parts


def split_off(labels: Labels, count: int, seed: int) -> tuple[Index, Index]:
    """Return positions of `count` images, classes in proportion, and of the others; both rising.

    The same seed gives nested splits: fewer images are a subset of more.

    Args:
        labels: int64 [N], the class of each image.
        count: images split off, 0 to N.
        seed: decides which.
    """
    order = _stratified_order(labels, seed)
    return np.sort(order[:count]), np.sort(order[count:])


def split_test(labels: Labels, part: Part) -> Index:
    """Return the positions of one part where the source has no test part of its own."""
    test, train = split_off(labels, round(_TEST_SHARE * len(labels)), _TEST_SEED)
    return test if part == "test" else train


def check_every_class(labels: Labels, classes: Sequence[str], split: str) -> None:
    """Raise DataError unless a split holds an image of every class."""
    counts = np.bincount(labels, minlength=len(classes))
    missing = [name for name, count in zip(classes, counts, strict=True) if not count]
    if missing:
        names = ", ".join(map(repr, missing[:5])) + (", ..." if len(missing) > 5 else "")
        raise DataError(
            f"the {split} split must hold an image of every class, but its {len(labels)} images "
            f"leave out {len(missing)} of {len(classes)}: {names}"
        )


def _stratified_order(labels: Labels, seed: int) -> Index:
    """Return an order in which every beginning holds the classes in proportion.

    The image of rank r among the n of its class comes at r / n, so one image of every class
    comes first, and a beginning of length m holds about m n / N of a class of n.
    """
    shuffled = np.random.default_rng(derive_seed(seed, "split")).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    sizes = np.bincount(labels)
    starts = np.cumsum(sizes) - sizes
    classes = labels[by_class]
    place = (np.arange(len(labels)) - starts[classes]) / sizes[classes]
    # In a balanced set one image of every class shares a place; those come in random order.
    ties = np.argsort(shuffled)[by_class]
    order: Index = by_class[np.lexsort((ties, place))]
    return order
