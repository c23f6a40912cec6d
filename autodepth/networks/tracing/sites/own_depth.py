"""Stochastic depth that a network brings along: told by what it does, never by what it is called.

It is whatever has no weights, takes one tensor, gives that back in evaluation (or a fixed part of
it, by Huang et al.'s rule), and in training zero or one multiple of it, per batch or per sample.
So it is tried out. The gates take its place, and it acts no more: in both modes the network is
what it is in evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from autodepth.networks.running.preserve import left_as_it_was
from autodepth.networks.running.random_state import seeded

_SHAPES = ((16, 2, 3, 3), (16, 3, 4), (16, 4))  # images, tokens, features
_TRIES = 64  # a batch is dropped in one of them, unless nearly all survive
_FORWARD_HOOKS = ("_forward_hooks", "_forward_pre_hooks")

OfMode = Callable[[Tensor, bool], Any]
"""A function of a tensor [B, ...] and of whether it is training."""


@dataclass(frozen=True, kw_only=True)
class OwnDepth:
    """What stochastic depth does.

    Args:
        survival: its survival probability, counted where nothing is scaled by it.
        in_evaluation: what its input is multiplied by in evaluation.
    """

    survival: float
    in_evaluation: float


@dataclass(frozen=True, kw_only=True)
class DepthLeftOut:
    """Stochastic depth of the network's own that the graph lacks on purpose.

    Args:
        modules: its modules, by name: in the comparison they do what they do in evaluation.
        inside: whether some is within other code, where it cannot be switched off; values are
            then compared in evaluation alone.
    """

    modules: frozenset[str] = frozenset()
    inside: bool = False


def switch_off(network: nn.Module, depth: DepthLeftOut) -> None:
    """Let a network's own stochastic depth do what it does in evaluation."""
    for name, part in network.named_modules():
        if name in depth.modules:
            part.eval()


def find_stochastic_depth(network: nn.Module) -> dict[str, OwnDepth]:
    """Return the submodules that are stochastic depth, by name.

    They are called on made-up tensors, under seeds of their own; the network and the random
    generators are left as they were.
    """
    found = {name: _of_module(part) for name, part in network.named_modules() if name}
    return {name: depth for name, depth in found.items() if depth is not None}


def depth_by_trial(run: OfMode) -> OwnDepth | None:
    """Return what a function does if it is stochastic depth, None of others.

    What it raises means that it is none, or none for tensors of that many dimensions.
    """
    factors = _try_out(run)
    in_evaluation = next(factors, None)
    if not in_evaluation or len(set(in_evaluation)) > 1:
        return None
    evaluation, seen = in_evaluation[0], list[float]()
    for _, drawn in zip(range(_TRIES), factors, strict=False):
        seen += drawn
        if not drawn or len(set(seen) - {0.0}) > 1:
            return None
        if 0.0 in seen and max(seen) not in {0.0, evaluation}:
            return OwnDepth(survival=round(evaluation / max(seen), 4), in_evaluation=evaluation)
    if 0.0 not in seen or not any(seen):
        return None  # nothing is dropped, or all
    return OwnDepth(survival=round(sum(map(bool, seen)) / len(seen), 2), in_evaluation=evaluation)


def passes_on(run: OfMode) -> bool:
    """Try whether a function gives its input back in both modes, as one that never drops does."""
    tried = [set(factors) for _, factors in zip(range(_TRIES), _try_out(run), strict=False)]
    return bool(tried) and all(factors == {1.0} for factors in tried)


def only_scales(run: OfMode) -> bool:
    """Try whether a function multiplies its input by one number per mode."""
    factors = _try_out(run)
    return all(len(set(next(factors, []))) == 1 for _ in range(2))


def told_taken_out(survival: Sequence[float]) -> list[str]:
    """Return a sentence about stochastic depth that was taken out, if there was any."""
    if not survival:
        return []
    few, many = min(survival), max(survival)
    probabilities = f"ies {many:g} to {few:g}" if few < many else f"y {few:g}"
    places = f"{len(survival)} places" if len(survival) > 1 else "1 place"
    return [
        f"stochastic depth of its own taken out: {places}, survival probabilit{probabilities}; "
        "the gates take its place"
    ]


def _of_module(module: nn.Module) -> OwnDepth | None:
    if (
        type(module).__module__.startswith("torch.nn.")
        or any(True for _ in chain(module.parameters(), module.buffers()))
        or any(vars(module).get(hooks) for hooks in _FORWARD_HOOKS)
    ):
        return None

    def run(x: Tensor, training: bool) -> Any:
        module.train(training)
        return module(x)

    with left_as_it_was(module):
        return depth_by_trial(run)


def _try_out(run: OfMode) -> Iterator[list[float]]:
    """Give what each sample is multiplied by: once in evaluation, then in training; [] if by none.

    It ends early where the function takes no tensor.
    """
    for shape in _SHAPES:
        probe = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        probe += probe.sign()  # no element near zero
        training, seed = False, 0
        while True:
            try:
                with torch.no_grad(), seeded(seed):
                    value = run(probe.clone(), training)
            except Exception:  # noqa: BLE001 - whatever it is, it does not take such a tensor
                break
            yield _factors(value, probe)
            training, seed = True, seed + 1


def _factors(value: Any, probe: Tensor) -> list[float]:
    """Return what each sample was multiplied by, to five digits; [] if it was something else."""
    if not isinstance(value, Tensor) or value.shape != probe.shape:
        return []
    ratios = (value / probe).flatten(1)
    first = ratios[:, :1]
    if not torch.allclose(ratios, first.expand_as(ratios), rtol=1e-5) or (first < 0).any():
        return []
    return [float(f"{factor:.5g}") for factor in first[:, 0].tolist()]
