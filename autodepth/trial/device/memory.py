"""Memory that runs out: told from other errors, and bounded for one trial."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

# What torch, cuBLAS and cuDNN say where they raise a plain RuntimeError.
_SAID = (
    "out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory",
    "status_alloc_failed",
)  # fmt: skip
_STATUS = Path("/proc/self/status")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, of the host or of a GPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error).lower() for said in _SAID)


def free_memory() -> None:
    """Give back what no tensor holds any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextmanager
def memory_limit(size: int | None) -> Iterator[None]:
    """Let this process take only so much more host memory within the block.

    Counted is writable memory of its own (RLIMIT_DATA of Linux): images that processes share, and
    what a GPU driver only reserves, are not. Beyond it, allocations fail as on a full machine.

    Args:
        size: bytes on top of what the process has on entering; None for no limit.
    """
    if size is None:
        yield
        return
    import resource  # noqa: PLC0415 - absent on Windows

    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (_own_memory() + size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


def _own_memory() -> int:
    lines = _STATUS.read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmData"))
