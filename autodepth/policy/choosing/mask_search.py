"""Choosing branches that go together: a search over sets of them. Plain numbers only.

What branches are worth one by one does not add up, so sets are judged as they are
(benchmarks/results/masks_judged.md has what that brings).
Branches go one after the other; at each step the few that seem to cost least are judged together
with what is gone, by the network and not by the layer, as in EvoPress (Sieberling et al. 2025).
Then single branches are swapped. What was judged on the way is a front of sets at every cost.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

Mask: TypeAlias = frozenset[int]
"""Numbers of the branches that are left out."""
Judge: TypeAlias = Callable[[Sequence[Mask]], Mapping[Mask, float]]
"""How far the network without each set is from the whole, at least 0."""

CANDIDATES = 4
"""Branches that are tried at each step."""
_UNEQUAL = 1.2  # times as much that the dearest branch costs as the cheapest


def search_masks(
    costs: Mapping[int, float],
    judge: Judge,
    *,
    allowed: Callable[[Mask], bool],
    swaps: int,
    seed: int,
) -> dict[Mask, float]:
    """Return sets of branches and how far the network is from the whole without them.

    There are the empty set, each branch alone, and sets of every size that is allowed.

    Args:
        costs: multiply-accumulates of each branch that may go, by number.
        judge: tells how far; asked for the same set once.
        allowed: whether all of a set may be gone.
        swaps: how many rounds of swaps are tried; each judges up to `CANDIDATES` sets of one size.
        seed: of the swaps.
    """
    search = _Search(costs, judge, allowed)
    search.ask([frozenset({branch}) for branch in sorted(costs)])
    chains = [search.chain(dict.fromkeys(costs, 1.0))]
    if costs and max(costs.values()) > _UNEQUAL * min(costs.values()):
        chains.append(search.chain(costs))  # where branches differ, by what is lost per cost
    search.swap(chains[0], swaps, random.Random(seed))  # noqa: S311 - no secret
    return search.judged


def closest(judged: Mapping[Mask, float], reached: Callable[[Mask], bool]) -> Mask:
    """Return the set that reaches a goal with the network closest to the whole.

    Where none reaches it, the largest one comes closest to the goal.

    Args:
        judged: by `search_masks`.
        reached: whether a set reaches it.
    """
    fitting = [mask for mask in judged if reached(mask)]
    if not fitting:
        return max(judged, key=lambda mask: (len(mask), -judged[mask], sorted(mask)))
    return min(fitting, key=lambda mask: (judged[mask], sorted(mask)))


class _Search:
    def __init__(
        self, costs: Mapping[int, float], judge: Judge, allowed: Callable[[Mask], bool]
    ) -> None:
        self._branches, self._judge, self._allowed = sorted(costs), judge, allowed
        self.judged: dict[Mask, float] = {frozenset(): 0.0}
        # What a branch last took the network further away; at first, alone.
        self._taken: dict[int, float] = {}

    def ask(self, masks: Sequence[Mask]) -> list[float]:
        new = [mask for mask in dict.fromkeys(masks) if mask not in self.judged]
        if new:
            self.judged.update(self._judge(new))
        return [self.judged[mask] for mask in masks]

    def chain(self, per: Mapping[int, float]) -> list[Mask]:
        """Let branches go one after the other, those that take least for what they cost first."""
        self._taken = {b: self.judged[frozenset({b})] for b in self._branches}
        gone: Mask = frozenset()
        chain = []
        while candidates := self._next(gone, per):
            masks = [gone | {branch} for branch in candidates]
            before = self.judged[gone]
            told = self.ask(masks)
            self._taken.update(
                (branch, found - before) for branch, found in zip(candidates, told, strict=True)
            )
            gone = min(zip(told, candidates, masks, strict=True), key=_for_cost(before, per))[2]
            chain.append(gone)
        return chain

    def _next(self, gone: Mask, per: Mapping[int, float]) -> list[int]:
        free = [b for b in self._branches if b not in gone and self._allowed(gone | {b})]
        return sorted(free, key=lambda branch: (self._taken[branch] / per[branch], branch))[
            :CANDIDATES
        ]

    def swap(self, chain: Sequence[Mask], rounds: int, draws: random.Random) -> None:
        """Swap a branch that is gone for one that stays, and go on from what is better."""
        best = {len(mask): mask for mask in chain}
        sizes = [size for size in best if size < len(self._branches)]
        for _ in range(rounds if sizes else 0):
            size = draws.choice(sizes)
            mask = best[size]
            staying = [branch for branch in self._branches if branch not in mask]
            drawn = [
                mask - {draws.choice(sorted(mask))} | {draws.choice(staying)}
                for _ in range(CANDIDATES)
            ]
            tried = [other for other in drawn if self._allowed(other)]
            self.ask(tried)
            best[size] = min([mask, *tried], key=lambda other: (self.judged[other], sorted(other)))


def _for_cost(
    before: float, per: Mapping[int, float]
) -> Callable[[tuple[float, int, Mask]], tuple[float, int]]:
    return lambda tried: ((tried[0] - before) / per[tried[1]], tried[1])
