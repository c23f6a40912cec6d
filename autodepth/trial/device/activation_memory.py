"""The most memory that activations take at one time while a network runs: exact, on any device.

Every tensor that an operator makes is counted from then until nothing holds it any more, as an
allocator would; parameters are not, and neither is what kernels take for themselves meanwhile.
"""

from __future__ import annotations

import weakref
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_MB = 1e6


def peak_memory_mb(module: nn.Module, shape: tuple[int, ...], batch: int = 1) -> float:
    """Return the peak of activation memory of a forward pass, megabytes (1e6 bytes).

    Args:
        module: a network in evaluation mode.
        shape: of one image, (C, H, W), or (C, T) of a sequence.
        batch: images at a time; they count, too.
    """
    first = next(module.parameters())
    counted = _Counted(module)
    with torch.inference_mode(mode=False), torch.no_grad(), counted:
        module(torch.zeros(batch, *shape, device=first.device, dtype=first.dtype))
    return counted.peak / _MB


class _Counted(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the storages that operators make while they live."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        held = [*module.parameters(), *module.buffers()]
        self._known = {_key(tensor.untyped_storage()) for tensor in held}
        self.now = self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._count(tensor)
        return made

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = _key(storage)
        if key in self._known:
            return
        self._known.add(key)
        size = storage.nbytes()
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._gone, key, size)

    def _gone(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def _key(storage: torch.UntypedStorage) -> int:
    """Return what tells storages apart while they live; two objects may stand for one."""
    return int(storage._cdata)  # noqa: SLF001
