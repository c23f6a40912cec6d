"""Copies of networks, whatever they hold."""

from __future__ import annotations

import copy
from itertools import chain
from typing import TypeVar

from torch import Tensor, nn

_Module = TypeVar("_Module", bound=nn.Module)


def copied(module: _Module) -> _Module:
    """Return a copy that shares nothing with a network.

    Tensors that a layer worked out and keeps as an attribute, such as a feature map or the weight
    of the older `torch.nn.utils.weight_norm`, are copied without what they were worked out from;
    `copy.deepcopy` refuses them. Parameters of scripted parts are parameters in the copy, too;
    `copy.deepcopy` leaves them worked out from those of the original, so that no optimizer takes
    them. So do hooks on parameters, which it forgets.
    """
    attributes = chain.from_iterable(vars(part).values() for part in module.modules())
    kept = (value for value in attributes if isinstance(value, Tensor) and not value.is_leaf)
    found = copy.deepcopy(module, {id(tensor): tensor.detach().clone() for tensor in kept})
    for ours, theirs in zip(module.parameters(), found.parameters(), strict=True):
        if not theirs.is_leaf:
            theirs.detach_().requires_grad_()
        for hook in (ours._backward_hooks or {}).values():  # noqa: SLF001
            theirs.register_hook(hook)  # type: ignore[no-untyped-call]
    return found
