"""One training on several processes: the same steps on all ranks, each on its part of every batch.

Generators are seeded alike, so all ranks draw the same order of images and the same gates; what
is dropped is dropped everywhere, and the gradients that exist are the same ones on every rank.
They are summed, batch statistics are those of the whole batch (`sync_batch_norm.py`), and so a
training is that of one process at the same batch size, up to rounding.

The first rank carries the trial out as if it were alone, and has the others train with it
(`rank_worker.py`). Nobody but the first looks at the cache, validates or reports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn

from autodepth.errors import DivergenceError
from autodepth.seeding import derive_seed
from autodepth.trial.training.sync_batch_norm import norms_over_ranks

Value = TypeVar("Value")

_BUCKET_BYTES = 32_000_000  # gradients that are summed in one message
_STEP_MINUTES = 10  # a rank that is silent for so long within a step is lost
# The first rank may score, validate and measure for hours while the others wait for work.
_WAIT_DAYS = 365


class DismissedError(BaseException):
    """Raised in ranks that follow when the first one leaves a training early; no error."""


class Ranks:
    """The processes that train one network together; by default this one alone.

    Args:
        rank: of this process, from 0.
        size: how many there are.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size
        self.broken = False
        """Whether the ranks are no longer at the same step, so that they cannot go on together."""
        self._told: BaseException | None = None
        self._control: Any = None

    @classmethod
    def join(cls, rank: int, size: int, meeting: Path, device: torch.device) -> Ranks:
        """Meet the other ranks; returns when all are there.

        Args:
            rank: of this process, from 0.
            size: how many there are, at least 2.
            meeting: path of a file that does not exist yet, the same for all, on one machine.
            device: where the network is.
        """
        ranks = cls(rank, size)
        distributed.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            store=distributed.FileStore(str(meeting), size),  # type: ignore[attr-defined]
            rank=rank,
            world_size=size,
            timeout=timedelta(minutes=_STEP_MINUTES),
        )
        ranks._control = distributed.new_group(backend="gloo", timeout=timedelta(days=_WAIT_DAYS))
        return ranks

    def leave(self) -> None:
        """Part from the other ranks."""
        distributed.destroy_process_group()

    # Messages from the first rank to the others

    def broadcast(self, message: Any) -> None:
        """Send something to all others; only the first rank may."""
        distributed.broadcast_object_list([message], src=0, group=self._control)

    def receive(self) -> Any:
        """Wait for what the first rank tells."""
        box: list[Any] = [None]
        distributed.broadcast_object_list(box, src=0, group=self._control)
        return box[0]

    def broadcast_result(self, make: Callable[[], Value]) -> Value:
        """Return on all ranks what `make` gives on the first; nobody else calls it.

        Raises:
            DismissedError: on the others, where `make` raised something on the first.
        """
        if self.size == 1:
            return make()
        if self.rank == 0:
            try:
                value = make()
            except BaseException as error:
                self._told = error
                self.broadcast((False, None))
                raise
            self.broadcast((True, value))
            return value
        made, value = self.receive()
        if not made:
            raise DismissedError
        return value

    @contextmanager
    def run_on_all_ranks(self, work: str, **arguments: Any) -> Iterator[None]:
        """Have the others do the same work as the block; see `rank_worker.py`."""
        if self.size == 1 or self.rank > 0:
            yield
            return
        self.broadcast((work, arguments))
        try:
            yield
        except DivergenceError:  # every rank came to it, or was told
            raise
        except BaseException as error:
            self.broken = error is not self._told
            raise

    # Within a step

    def part(self, count: int) -> slice:
        """Return which of so many rows of a batch are this rank's; maybe none."""
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def share(self, loss: Tensor, scores: Tensor, count: int) -> Tensor:
        """Return this rank's part of a batch's mean loss; the parts of all ranks add up to it.

        Args:
            loss: mean over the rows [B, classes] that are this rank's; of none, anything.
            scores: of those rows.
            count: rows of the whole batch.
        """
        if self.size == 1:
            return loss
        return loss * (len(scores) / count) if len(scores) else scores.sum()

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Add the gradients of all ranks; a branch that was dropped has none on any of them."""
        if self.size == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        for bucket in _buckets(gradients):
            flat = torch.cat([gradient.reshape(-1) for gradient in bucket])
            distributed.all_reduce(flat)
            totals = flat.split([gradient.numel() for gradient in bucket])  # type: ignore[no-untyped-call]
            for gradient, total in zip(bucket, totals, strict=True):
                gradient.copy_(total.view_as(gradient))

    def sum(self, value: Tensor) -> Tensor:
        """Return the sum of a tensor over all ranks."""
        if self.size == 1:
            return value
        total = value.detach().clone()
        distributed.all_reduce(total)
        return total

    @contextmanager
    def training(self, module: nn.Module) -> Iterator[None]:
        """Let all ranks begin with the network of the first, and share its batch statistics."""
        if self.size == 1:
            yield
            return
        self.sync_parameters(module)
        with norms_over_ranks(module):
            yield

    @torch.no_grad()
    def sync_parameters(self, module: nn.Module) -> None:
        """Give all ranks the parameters and buffers of the first."""
        if self.size == 1:
            return
        for tensor in [*module.parameters(), *module.buffers()]:
            # Rows in memory order: a strided view would not be sent as it lies.
            rows = tensor.detach().contiguous()
            distributed.broadcast(rows, src=0)
            tensor.copy_(rows)

    def layer_seed(self, seed: int, epochs: int = 0) -> int:
        """Return the seed of what layers draw by themselves on this rank (dropout).

        It differs by rank, else images of different ranks would lose the same features.
        """
        return seed if self.rank == 0 else derive_seed(seed, "rank", self.rank, epochs)


ALONE = Ranks()


def _buckets(gradients: list[Tensor]) -> Iterator[list[Tensor]]:
    """Split gradients into groups of one type that are not too large."""
    bucket: list[Tensor] = []
    size = 0
    for gradient in gradients:
        full = size + gradient.nbytes > _BUCKET_BYTES
        if bucket and (full or gradient.dtype != bucket[0].dtype):
            yield bucket
            bucket, size = [], 0
        bucket.append(gradient)
        size += gradient.nbytes
    if bucket:
        yield bucket
