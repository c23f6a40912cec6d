"""Weights that are computed from others, worked out once: for files that run without training."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from autodepth.networks.running.copying import copied

_HOOKS = (SpectralNorm, WeightNorm)


@torch.no_grad()
def with_plain_weights(module: nn.Module) -> nn.Module:
    """Return a copy whose weights are parameters, none computed from others; it is not trained.

    Args:
        module: a network in evaluation mode, with `torch.nn.utils.parametrizations` or hooks of
            the older `weight_norm` and `spectral_norm`, or without, in which case it is returned.
    """
    if not any(map(computes_weights, module.modules())):
        return module
    plain = copied(module)
    for part in plain.modules():
        values = dict(_computed(part))
        if parametrize.is_parametrized(part):
            # Copies share the class that torch made for the original, so it stays as it is.
            part.__class__ = type(part).__bases__[0]
            del part.parametrizations
        for key, hook in list(part._forward_pre_hooks.items()):  # noqa: SLF001 - no other way
            if isinstance(hook, _HOOKS):
                del part._forward_pre_hooks[key]  # noqa: SLF001
                for made_from in ("_g", "_v", "_orig", "_u"):
                    vars(part)["_parameters"].pop(hook.name + made_from, None)
                    vars(part)["_buffers"].pop(hook.name + made_from, None)
        for name, value in values.items():
            part.__dict__.pop(name, None)
            part.register_parameter(name, nn.Parameter(value.detach().clone()))
    return plain


def computes_weights(part: nn.Module) -> bool:
    """Whether a layer computes weights from others whenever it is called."""
    hooks = part._forward_pre_hooks.values()  # noqa: SLF001
    return parametrize.is_parametrized(part) or any(isinstance(hook, _HOOKS) for hook in hooks)


def _computed(part: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the weights of a module that are computed from others, by name."""
    if parametrize.is_parametrized(part):
        for name in part.get_submodule("parametrizations")._modules:  # noqa: SLF001
            yield name, getattr(part, name)
    for hook in part._forward_pre_hooks.values():  # noqa: SLF001
        if isinstance(hook, WeightNorm):
            yield hook.name, hook.compute_weight(part)
        elif isinstance(hook, SpectralNorm):
            yield hook.name, hook.compute_weight(part, do_power_iteration=False)
