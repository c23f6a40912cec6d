"""The examples of a task of one's own: how many there are, and what tells them apart.

They stay with the task. What is kept of them is a key each, by which no two splits share any.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autodepth.data.content import ContentRecord, Keys
from autodepth.data.settings import TASK_DATA, DataSettings, Normalisation
from autodepth.long_work import each
from autodepth.tasks.checked_task import CheckedTask
from autodepth.tasks.task import Split

_BATCH = 64
_KEY_BYTES = 8


@dataclass(frozen=True, kw_only=True)
class Examples:
    """How many examples a split has."""

    count: int

    def __len__(self) -> int:
        return self.count


@dataclass(frozen=True, eq=False, kw_only=True)
class TaskData:
    """What a search knows of the examples of a task; the counterpart of `ImageData`.

    Args:
        name: of the task.
        train: examples to train on.
        validation: examples a search may judge by.
        shape: of one input, (C, H, W) or (C, T).
        outputs: numbers the network gives for one, 0 where its builder knows.
        fingerprint: SHA-256 of the content of both, in their order.
        record: which examples these are, by their content; the test split is not opened.
        settings: what they were read from, unless the task brings them along.
        classes: what the outputs stand for, where the task says.
        normalisation: what their pixels were normalised with, where the task says.
    """

    name: str
    train: Examples
    validation: Examples
    shape: tuple[int, ...]
    outputs: int
    fingerprint: str
    record: ContentRecord
    classes: tuple[str, ...] = ()
    counts: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    settings: DataSettings = field(default_factory=lambda: DataSettings(name=TASK_DATA))
    normalisation: Normalisation | None = None

    @property
    def channels(self) -> int:
        """C of one input."""
        return self.shape[0]

    @property
    def height(self) -> int:
        """H of one input, 0 of a sequence."""
        return self.shape[-2] if len(self.shape) > 2 else 0

    @property
    def width(self) -> int:
        """W of one input, or the length of a sequence."""
        return self.shape[-1]


def read_task_data(
    task: CheckedTask, settings: DataSettings | None = None, batch_size: int = _BATCH
) -> TaskData:
    """Go once through the splits to train on and to validate by, and tell their examples apart.

    Args:
        task: whose examples they are.
        settings: what it read them from; None where it brings them along.
        batch_size: examples to look at together.

    Raises:
        TaskError: a batch is not what it must be, or an example is in both splits.
    """
    digest = hashlib.sha256()
    train, shape = _keys(task, "train", batch_size, digest)
    validation, _ = _keys(task, "validation", batch_size, digest)
    refuse_shared(task, train, validation, "validation")
    return TaskData(
        name=task.name,
        train=Examples(count=len(train)),
        validation=Examples(count=len(validation)),
        shape=_input_shape(task, shape),
        outputs=task.outputs,
        fingerprint=digest.hexdigest(),
        record=ContentRecord(
            development=np.sort(np.concatenate([train, validation])),
            test=np.zeros(0, dtype=np.uint64),
        ),
        settings=settings or DataSettings(name=TASK_DATA),
        normalisation=task.normalisation,
        classes=tuple(task.names),
    )


def _input_shape(task: CheckedTask, shape: tuple[int, ...]) -> tuple[int, ...]:
    if len(shape) not in {2, 3}:
        raise task.mistake(
            "batches",
            "inputs must be [batch, channels, height, width] or [batch, channels, length], but "
            f"one is of {shape}",
        )
    return shape


def keys_of_test(task: CheckedTask, batch_size: int = _BATCH) -> Keys:
    """Return the key of every example of the test split; whoever calls this records it."""
    return _keys(task, "test", batch_size, hashlib.sha256())[0]


def refuse_shared(task: CheckedTask, known: Keys, asked: Keys, split: Split) -> None:
    """Refuse examples of a split that are known from training.

    Raises:
        TaskError: there are some.
    """
    shared = np.flatnonzero(np.isin(asked, known))
    if len(shared):
        raise task.mistake(
            "batches",
            f"no example may be in two splits, but {len(shared):,} of {len(asked):,} inputs of "
            f"{split} are among those before it as well, the first of them number {shared[0]}",
        )


def _keys(
    task: CheckedTask, split: Split, batch_size: int, digest: Any
) -> tuple[Keys, tuple[int, ...]]:
    batches = task.batches(split, batch_size=batch_size, generator=None)
    found: list[bytes] = []
    shape: tuple[int, ...] = ()
    for inputs, targets in each(batches, f"reading the {split} split", len(batches)):
        shape = tuple(inputs.shape[1:])
        found += [hashlib.blake2b(_content(row), digest_size=_KEY_BYTES).digest() for row in inputs]
        digest.update(b"".join(found[-len(inputs) :]))
        for leaf in _leaves(targets):
            digest.update(_content(leaf) if isinstance(leaf, Tensor) else repr(leaf).encode())
    digest.update(split.encode())
    keys = np.frombuffer(b"".join(found), dtype="<u8").astype(np.uint64)
    if len(keys) < 2:
        raise task.mistake("batches", f"{split} must hold at least 2 examples, but has {len(keys)}")
    return keys, shape


def _content(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for key in sorted(value):
            yield from _leaves(value[key])
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _leaves(item)
    else:
        yield value
