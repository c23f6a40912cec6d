"""Choosing branches that go together: a search over sets of them. Plain numbers only.

What branches are worth one by one does not add up, so sets are judged as they are
(benchmarks/results/masks_judged.md has what that brings). Most are only glanced at, on few images.
Branches go one after the other, those first that seem to cost least with what is gone; they come
back one after the other; and they go again, from the best set of each size, where sets that were
given to begin with count too (a floating search, Pudil et al. 1994). What promises most at its cost
is judged, by the network and not by the layer, as in EvoPress (Sieberling et al. 2025), and single
branches of it are swapped. What was judged is a front of sets at every cost.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

Mask: TypeAlias = frozenset[int]
"""Numbers of the branches that are left out."""
Judge: TypeAlias = Callable[[Sequence[Mask]], Mapping[Mask, float]]
"""How far the network without each set is from the whole, at least 0."""

CANDIDATES = 6
"""Branches that are tried next, at most, to go or to come back, and swaps in a round."""
_UNEQUAL = 1.2  # times as much that the dearest branch costs as the cheapest
_PER_BRANCH = 2  # sets that are judged after a glance, at most, for each branch
_FINALISTS = 2  # of a round of swaps, that are judged


def search_masks(
    costs: Mapping[int, float],
    judge: Judge,
    *,
    glance: Judge,
    allowed: Callable[[Mask], bool],
    starts: Callable[[Mapping[int, float]], Iterable[Mask]] = lambda _: (),
    swaps: int,
    seed: int,
) -> dict[Mask, float]:
    """Return sets of branches and how far the network is from the whole without them.

    There are the empty set, each branch alone, and sets of every size that is allowed.

    Args:
        costs: multiply-accumulates of each branch that may go, by number.
        judge: tells how far; asked for the same set once.
        glance: tells it about, for a part of the work; likewise.
        allowed: whether all of a set may be gone.
        starts: sets to begin with, by how far the network is without each branch alone.
        swaps: how many rounds of swaps are tried; each glances at up to `CANDIDATES` sets of one
            size and judges two.
        seed: of the swaps.
    """
    search = _Search(costs, judge, glance, allowed)
    search.judge([frozenset({branch}) for branch in sorted(costs)])
    search.glance([mask for mask in starts(search.alone()) if allowed(mask)])
    search.forward(dict.fromkeys(costs, 1.0))
    if costs and max(costs.values()) > _UNEQUAL * min(costs.values()):
        search.forward(costs)  # where branches differ, by what is lost per cost
    search.backward()
    search.forward(dict.fromkeys(costs, 1.0), floating=True)
    search.judge(search.promising())
    search.swap(swaps, random.Random(seed))  # noqa: S311 - no secret
    return search.judged


def closest(judged: Mapping[Mask, float], reached: Callable[[Mask], bool]) -> Mask:
    """Return the set that reaches a goal with the network closest to the whole.

    Where none reaches it, the largest one comes closest to the goal.

    Args:
        judged: by `search_masks`.
        reached: whether a set reaches it.
    """
    return closest_few(judged, reached, 1)[0]


def closest_few(
    judged: Mapping[Mask, float], reached: Callable[[Mask], bool], count: int
) -> list[Mask]:
    """Return up to so many sets that reach a goal, the closest first; as of `closest`."""
    fitting = [mask for mask in judged if reached(mask)]
    if not fitting:
        return [max(judged, key=lambda mask: (len(mask), -judged[mask], sorted(mask)))]
    return sorted(fitting, key=lambda mask: (judged[mask], sorted(mask)))[:count]


def best_masks(judged: Mapping[Mask, float], costs: Mapping[int, float]) -> dict[Mask, float]:
    """Return the sets that answer some goal: no other is nearer and lets as much and as many go.

    Args:
        judged: by `search_masks`.
        costs: as there.
    """
    saved = {mask: sum(costs[branch] for branch in mask) for mask in judged}
    best: dict[Mask, float] = {}
    for mask in sorted(judged, key=lambda m: (judged[m], -saved[m], -len(m), sorted(m))):
        if not any(len(b) >= len(mask) and saved[b] >= saved[mask] for b in best):
            best[mask] = judged[mask]
    return best


class _Search:
    def __init__(
        self,
        costs: Mapping[int, float],
        judge: Judge,
        glance: Judge,
        allowed: Callable[[Mask], bool],
    ) -> None:
        self._costs, self._allowed = costs, allowed
        self._branches = sorted(costs)
        self._judge, self._glance = judge, glance
        self.judged: dict[Mask, float] = {frozenset(): 0.0}
        self._glanced: dict[Mask, float] = {frozenset(): 0.0}
        # What a branch last took the network further away, at first alone; the oldest first.
        self._taken: dict[int, float] = {}

    def judge(self, masks: Iterable[Mask]) -> None:
        if new := [mask for mask in dict.fromkeys(masks) if mask not in self.judged]:
            self.judged.update(self._judge(new))

    def glance(self, masks: Sequence[Mask]) -> list[float]:
        new = [mask for mask in dict.fromkeys(masks) if mask not in self._glanced]
        if new:
            self._glanced.update(self._glance(new))
        return [self._glanced[mask] for mask in masks]

    def alone(self) -> dict[int, float]:
        """Return how far the network is from the whole without each branch alone."""
        return {branch: self.judged[frozenset({branch})] for branch in self._branches}

    def forward(self, per: Mapping[int, float], *, floating: bool = False) -> None:
        """Let branches go one after the other, those that take least for what they cost first.

        Args:
            per: what a branch costs.
            floating: whether to go on from the best set of each size that is known.
        """
        if not floating:
            self._taken = self.alone()
        gone: Mask = frozenset()
        while candidates := self._next(gone, per):
            masks = [gone | {branch} for branch in candidates]
            before = self.glance([gone])[0]
            told = self.glance(masks)
            for branch, found in zip(candidates, told, strict=True):
                self._took(branch, found - before)
            gone = min(zip(told, candidates, masks, strict=True), key=_for_cost(before, per))[2]
            if floating:
                gone = self._best_of_size()[len(gone)]

    def _next(self, gone: Mask, per: Mapping[int, float]) -> list[int]:
        free = [b for b in self._branches if b not in gone and self._allowed(gone | {b})]
        return sorted(free, key=lambda branch: (self._taken[branch] / per[branch], branch))[
            :CANDIDATES
        ]

    def backward(self) -> None:
        """Let branches come back one after the other, from the best set of each size known."""
        for size in sorted(self._best_of_size(), reverse=True):
            gone = self._best_of_size()[size]
            candidates = self._missed(gone)
            told = self.glance([gone - {branch} for branch in candidates])
            for branch, found in zip(candidates, told, strict=True):
                self._took(branch, self._glanced[gone] - found)

    def _missed(self, gone: Mask) -> list[int]:
        """Return branches that may be missed: half by what they took, half not tried for long."""
        most = sorted(gone, key=lambda branch: (-self._taken[branch], branch))[: CANDIDATES // 2]
        others = [branch for branch in self._taken if branch in gone and branch not in most]
        return most + others[: CANDIDATES - len(most)]

    def _took(self, branch: int, far: float) -> None:
        """Note what a branch took the network further away, as the last of all."""
        self._taken.pop(branch, None)
        self._taken[branch] = far

    def _best_of_size(self) -> dict[int, Mask]:
        ordered = sorted(self._glanced, key=lambda m: (-self._glanced[m], sorted(m)))
        return {len(mask): mask for mask in ordered}

    def promising(self) -> list[Mask]:
        """Return sets that none is nearer than of those that save as much, by a glance."""
        saved = {mask: sum(self._costs[b] for b in mask) for mask in self._glanced}
        nearest, front = float("inf"), []
        for mask in sorted(saved, key=lambda m: (-saved[m], self._glanced[m], sorted(m))):
            if self._glanced[mask] < nearest:
                nearest = self._glanced[mask]
                front.append(mask)
        best = list(self._best_of_size().values())
        most = _PER_BRANCH * len(self._branches) - len(best)
        every = max(1, -(-len(front) // max(1, most)))
        return [*best, *front[::every]]

    def swap(self, rounds: int, draws: random.Random) -> None:
        """Swap a branch that is gone for one that stays, and go on from what is better."""
        ordered = sorted(self.judged, key=lambda m: (-self.judged[m], sorted(m)))
        best = {len(mask): mask for mask in ordered}
        sizes = [size for size in sorted(best) if 1 < size < len(self._branches)]
        for _ in range(rounds if sizes else 0):
            size = draws.choice(sizes)
            mask = best[size]
            staying = [branch for branch in self._branches if branch not in mask]
            drawn = [
                mask - {draws.choice(sorted(mask))} | {draws.choice(staying)}
                for _ in range(CANDIDATES)
            ]
            tried = [other for other in dict.fromkeys(drawn) if self._allowed(other)]
            told = zip(self.glance(tried), map(sorted, tried), strict=True)
            finalists = [frozenset(other) for _, other in sorted(told)[:_FINALISTS]]
            self.judge(finalists)
            best[size] = min(
                [mask, *finalists], key=lambda other: (self.judged[other], sorted(other))
            )


def _for_cost(
    before: float, per: Mapping[int, float]
) -> Callable[[tuple[float, int, Mask]], tuple[float, int]]:
    return lambda tried: ((tried[0] - before) / per[tried[1]], tried[1])
