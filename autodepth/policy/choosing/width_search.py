"""Choosing widths of branches that go together: solutions for sums, judged and mended jointly.

What single branches lose does not add up, so the solution for the sum of it is a start: others are
solved for with what is lost drawn larger or smaller at random, and all of them are judged as they
are. Each keeps the bounds. Plain numbers only.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from autodepth.policy.choosing.variants import Bounds, Variant, choose_variants

Widths: TypeAlias = frozenset[tuple[int, float]]
"""Numbers of the branches that are not whole, each with its share of channels; 0 is none."""
Judge: TypeAlias = Callable[[Sequence[Widths]], Mapping[Widths, float]]
"""How far the network is from the whole with each choice of widths, at least 0."""

_CANDIDATES = 8
"""Choices that are drawn, and judged together, in each round."""
_SPREAD = 0.5  # standard deviation of the logarithm of what losses are multiplied by
_TOWARDS = 0.5  # of the way to what was found jointly that the losses of the best choice move


def search_widths(
    variants: Mapping[int, Sequence[Variant]],
    bounds: Bounds,
    judge: Judge,
    *,
    rounds: int,
    seed: int,
) -> list[Widths]:
    """Return widths within some bounds, those first with which the network is closest to the whole.

    Args:
        variants: what each branch may become and what is lost by that alone, by number.
        bounds: what has to be kept.
        judge: tells how far; asked for the same choice once.
        rounds: how many rounds follow the first one.
        seed: of what is drawn.

    Returns:
        All choices that were judged; none where the bounds cannot be kept.
    """
    draws = random.Random(seed)  # noqa: S311 - no secret
    judged: dict[Widths, float] = {}
    for number in range(1 + rounds):
        drawn = [_drawn(variants, draws, plain=not number and not i) for i in range(_CANDIDATES)]
        solved = [choose_variants(some, bounds) for some in drawn]
        choices = [_widths(chosen) for chosen in solved if chosen is not None]
        if new := [choice for choice in dict.fromkeys(choices) if choice not in judged]:
            judged.update(judge(new))
        if not judged:
            return []
        variants = _moved(variants, _closest_first(judged)[0], judged)
    return _closest_first(judged)


def _closest_first(judged: Mapping[Widths, float]) -> list[Widths]:
    return sorted(judged, key=lambda choice: (judged[choice], sorted(choice)))


def _widths(chosen: Mapping[int, Variant]) -> Widths:
    return frozenset((branch, v.width) for branch, v in chosen.items() if v.width < 1)


def _drawn(
    variants: Mapping[int, Sequence[Variant]], draws: random.Random, *, plain: bool
) -> dict[int, list[Variant]]:
    """Return variants with other losses: of one branch they are all multiplied by the same."""
    drawn = {}
    for branch, found in variants.items():
        factor = 1.0 if plain else draws.lognormvariate(0.0, _SPREAD)
        drawn[branch] = [replace(v, lost=max(0.0, v.lost) * factor) for v in found]
    return drawn


def _moved(
    variants: Mapping[int, Sequence[Variant]], best: Widths, judged: Mapping[Widths, float]
) -> dict[int, list[Variant]]:
    """Return variants whose losses add up to nearer what was found of the best choice."""
    sums = sum(
        max(0.0, v.lost) for b, found in variants.items() for v in found if (b, v.width) in best
    )
    factor = (judged[best] / sums) ** _TOWARDS if sums > 0 and judged[best] > 0 else 1.0
    return {
        branch: [
            replace(v, lost=v.lost * factor) if (branch, v.width) in best else v for v in found
        ]
        for branch, found in variants.items()
    }
