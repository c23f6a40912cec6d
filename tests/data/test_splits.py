"""Splits are disjoint, nested, in proportion, and fixed by the seed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodepth.data.splits import check_every_class, split_off, split_test
from autodepth.errors import DataError

label_sets = st.lists(st.integers(0, 5), min_size=1, max_size=200).map(
    lambda labels: np.array(labels, dtype=np.int64)
)


@given(label_sets, st.data(), st.integers(0, 9))
def test_a_split_parts_the_images_keeps_proportions_and_nests(labels, data, seed):
    count = data.draw(st.integers(0, len(labels)))
    first, rest = split_off(labels, count, seed)
    assert len(first) == count
    assert sorted([*first, *rest]) == list(range(len(labels)))
    classes = np.unique(labels)
    for label in classes:
        share = (labels == label).mean()
        surplus = (labels[first] == label).sum() - count * share
        # Rare classes are rounded up, at the cost of all in proportion.
        assert -len(classes) * share - 1e-9 <= surplus <= 1 + 1e-9
    smaller, _ = split_off(labels, data.draw(st.integers(0, count)), seed)
    assert set(smaller) <= set(first)
    np.testing.assert_array_equal(first, split_off(labels, count, seed)[0])


@given(label_sets)
def test_as_many_images_as_classes_hold_every_class(labels):
    classes = np.unique(labels)
    first, _ = split_off(labels, len(classes), 0)
    np.testing.assert_array_equal(np.unique(labels[first]), classes)


def test_a_balanced_set_splits_evenly_and_another_seed_differently():
    labels = np.repeat(np.arange(10), 100)
    first, _ = split_off(labels, 250, 0)
    np.testing.assert_array_equal(np.bincount(labels[first]), [25] * 10)
    assert set(first) != set(split_off(labels, 250, 1)[0])


def test_the_test_part_is_a_fifth():
    labels = np.repeat(np.arange(4), 25)
    train, test = split_test(labels, "train"), split_test(labels, "test")
    assert (len(train), len(test)) == (80, 20)
    assert not set(train) & set(test)


def test_a_class_without_images_is_named():
    with pytest.raises(DataError, match="2 images leave out 1 of 3: 'dog'"):
        check_every_class(np.array([0, 2]), ["cat", "dog", "fox"], "validation")
