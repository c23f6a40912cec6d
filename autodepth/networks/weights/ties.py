"""Tensors that a network has under several names: a file holds each once, all names get it."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn


def state_once(module: nn.Module) -> dict[str, Tensor]:
    """Return a state dict on the CPU in which no two tensors share memory.

    Of names that stand for one tensor the first is taken: layers that share a matrix, or a layer
    that has two names. Views that share memory in another way are copied.
    """
    found: dict[str, Tensor] = {}
    seen: set[object] = set()
    for name, value in module.state_dict().items():
        if (tensor := _identity(value)) in seen:
            continue
        storage = value.untyped_storage().data_ptr()
        kept = value.detach().cpu().contiguous()
        found[name] = kept.clone() if storage in seen else kept
        seen |= {tensor, storage} if value.numel() else set()
    return found


def under_all_names(state: Mapping[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
    """Return a state dict with the names too that the network has for tensors of other names."""
    wanted = module.state_dict()
    of = {_identity(wanted[name]): state[name] for name in state if name in wanted}
    tied = {name: of[key] for name, value in wanted.items() if (key := _identity(value)) in of}
    return {**tied, **state}


def _identity(tensor: Tensor) -> object:
    """Return what tells tensors apart; those without numbers are all of their own."""
    if not tensor.numel():
        return id(tensor)
    return (tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride())
