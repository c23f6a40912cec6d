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
    `copy.deepcopy` refuses them.
    """
    attributes = chain.from_iterable(vars(part).values() for part in module.modules())
    kept = (value for value in attributes if isinstance(value, Tensor) and not value.is_leaf)
    return copy.deepcopy(module, {id(tensor): tensor.detach().clone() for tensor in kept})
