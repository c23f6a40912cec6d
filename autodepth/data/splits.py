"""Splits that keep the classes in proportion and nest into each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from autodepth.data.content import Keys, places
from autodepth.data.images import Images, Labels, keys_of
from autodepth.errors import DataError
from autodepth.seeding import derive_seed

Part = Literal["train", "test"]
Index: TypeAlias = npt.NDArray[np.int64]

_SHOWN = 5  # names of classes
_TEST_SHARE = 0.2
_TEST_SEED = 0  # part of what the data is: changing it would move images between the parts


def split_off(
    labels: Labels, count: int, seed: int, keys: Keys | None = None
) -> tuple[Index, Index]:
    """Return positions of `count` images, classes in proportion, and of the others; both rising.

    The same seed gives nested splits: fewer images are a subset of more.

    Args:
        labels: int64 [N], the class of each image.
        count: images split off, 0 to N.
        seed: decides which.
        keys: uint64 [N], of what the images hold; with them the order within a class is by
            content, so that more images move few. None goes by position.
    """
    if keys is None:
        shuffled = np.random.default_rng(derive_seed(seed, "split")).permutation(len(labels))
    else:
        shuffled = np.lexsort((keys, places(keys, seed)))
    order = _stratified_order(labels, shuffled)
    return np.sort(order[:count]), np.sort(order[count:])


def split_off_share(labels: Labels, keys: Keys, share: float, seed: int) -> tuple[Index, Index]:
    """Return positions of about a share of the images, and of the others; both rising.

    Content and seed give an image a place in [0, 1), and those below the share are taken: more
    images move none of these, and images of equal content stay together. A class that has none
    below, or none above, gives its nearest; only in so small a class may more images move one.

    Args:
        labels: int64 [N], the class of each image.
        keys: uint64 [N], equal where the content is.
        share: in (0, 1).
        seed: decides which.
    """
    place = places(keys, seed)
    chosen = place < share
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels == label)
        if not chosen[of_class].any():
            chosen |= keys == keys[of_class[place[of_class].argmin()]]
        if chosen[of_class].all() and len(np.unique(keys[of_class])) > 1:
            chosen &= keys != keys[of_class[place[of_class].argmax()]]
    return np.flatnonzero(chosen), np.flatnonzero(~chosen)


def with_copies(keys: Keys, chosen: Index) -> tuple[Index, Index]:
    """Return chosen positions with those of equal content, and the others; both rising."""
    together = np.isin(keys, keys[chosen])
    return np.flatnonzero(together), np.flatnonzero(~together)


def split_test(labels: Labels, part: Part) -> Index:
    """Return the positions of one part where the source has no test part of its own."""
    test, train = split_off(labels, round(_TEST_SHARE * len(labels)), _TEST_SEED)
    return test if part == "test" else train


def split_test_by_content(labels: Labels, keys: Keys) -> tuple[Index, Index]:
    """Return the positions of the test images and of the others, by their content."""
    return split_off_share(labels, keys, _TEST_SHARE, derive_seed(_TEST_SEED, "test"))


def halve_test(labels: Labels, keys: Keys) -> tuple[Index, Index]:
    """Return the positions of test images to validate by, and of those that stay; by content."""
    return split_off_share(labels, keys, 0.5, derive_seed(_TEST_SEED, "validation from test"))


def check_every_class(
    labels: Labels, classes: Sequence[str], split: str, whole: Images | None = None
) -> None:
    """Raise DataError unless a split holds an image of every class.

    Args:
        labels: int64 [N], of the split.
        classes: their names.
        split: what it is called.
        whole: what it was drawn from, to tell where a class has equal images alone.
    """
    counts = np.bincount(labels, minlength=len(classes))
    missing = [name for name, count in zip(classes, counts, strict=True) if not count]
    if missing:
        alike = "" if whole is None else _told_alike(whole, classes, missing)
        raise DataError(
            f"the {split} split must hold an image of every class, but its {len(labels)} images "
            f"leave out {len(missing)} of {len(classes)}: {_first(missing)}{alike}"
        )


def _told_alike(images: Images, classes: Sequence[str], missing: Sequence[str]) -> str:
    """Return which classes have images that are all equal, as the end of a sentence."""
    keys, alike = keys_of(images), []
    for name in missing:
        of_class = keys[images.labels == classes.index(name)]
        if len(of_class) > 1 and len(np.unique(of_class)) == 1:
            alike.append(name)
    if not alike:
        return ""
    kind = "class" if len(alike) == 1 else "classes"
    return (
        f"; all images of the {kind} {_first(alike)} are equal, and equal images go to one split "
        "together: see that they are what they should be"
    )


def _first(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:_SHOWN])) + ", ..." * (len(names) > _SHOWN)


def _stratified_order(labels: Labels, shuffled: Index) -> Index:
    """Return an order in which every beginning holds the classes in proportion.

    Within a class it is that of `shuffled`, a permutation.

    The image of rank r among the n of its class comes at r / n, so one image of every class
    comes first, and a beginning of length m holds about m n / N of a class of n.
    """
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    sizes = np.bincount(labels)
    starts = np.cumsum(sizes) - sizes
    classes = labels[by_class]
    place = (np.arange(len(labels)) - starts[classes]) / sizes[classes]
    # In a balanced set one image of every class shares a place; those come in random order.
    ties = np.argsort(shuffled)[by_class]
    order: Index = by_class[np.lexsort((ties, place))]
    return order
