"""Batches of a task's own on a device."""

import pytest
import torch

from autodepth.errors import InputError
from autodepth.tasks.loading import LoadedBatches, moved

GIVEN = [(torch.full((n, 1, 2, 2), float(n)), {"n": [torch.full((n,), n)]}) for n in (4, 4, 3)]
CPU = torch.device("cpu")


def test_batches_come_with_their_sizes():
    batches = LoadedBatches(GIVEN, device=CPU)

    told = [(batches.size(i), len(inputs)) for i, (inputs, _) in enumerate(batches)]

    assert told == [(4, 4), (4, 4), (3, 3)]
    assert len(batches) == 3


def test_one_batch_in_so_many_is_given():
    few = LoadedBatches(GIVEN, device=CPU, every=2)

    assert [len(inputs) for inputs, _ in few] == [4, 3]
    assert len(few) == 2


def test_targets_keep_their_form():
    targets = {"a": [torch.ones(2)], "b": (torch.ones(1), "name")}

    assert moved(targets, CPU) == targets


def test_no_process_takes_a_part():
    batches = LoadedBatches(GIVEN, device=CPU)

    assert batches.part(lambda count: slice(0, count)) is batches
    with pytest.raises(InputError, match="trains in one process"):
        batches.part(lambda count: slice(0, count // 2))
