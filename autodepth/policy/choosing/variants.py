"""Choosing one variant of every branch under bounds on costs: an integer program. Plain numbers.

A branch may stay as it is, become narrower, or go. What is lost with each of these is taken to add
up over branches, which is not quite so: a search over what goes together mends it (`mask_search`).
Costs do add up, so whatever is chosen keeps the bounds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_TIGHTER = 3e-6  # of a bound: a little more than what the solver lets sums be over it
_MOST_TRIES = 20
_NEEDLESS = 1e-6  # of all that can be lost: among equals, as little as possible is changed


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way to leave a branch.

    Args:
        width: share of its inner channels; 1 is the whole branch, 0 none of it.
        lost: what the network loses by it, in any unit; what is below 0 counts as 0.
        costs: what is left of the branch costs, by metric.
    """

    width: float
    lost: float
    costs: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What a choice has to keep.

    Args:
        most: the most that all branches together may cost, by metric.
        least: the least, by metric.
        staying: sets of branches, and how many of each have to stay at least.
    """

    most: Mapping[str, float] = field(default_factory=dict)
    least: Mapping[str, float] = field(default_factory=dict)
    staying: Sequence[tuple[Collection[int], int]] = ()

    def kept(self, chosen: Mapping[int, Variant]) -> bool:
        """Whether a choice keeps the bounds on costs, to the last digit of its sums."""
        return self.over(chosen) <= 0

    def over(self, chosen: Mapping[int, Variant]) -> float:
        """Return by what share of a bound the worst one is broken; not above 0 where all hold."""
        sums = {
            name: sum(variant.costs[name] for variant in chosen.values())
            for name in {*self.most, *self.least}
        }
        over = [(sums[n] - bound) / max(abs(bound), 1.0) for n, bound in self.most.items()]
        under = [(bound - sums[n]) / max(abs(bound), 1.0) for n, bound in self.least.items()]
        return max([*over, *under], default=0.0)


def choose_variants(
    variants: Mapping[int, Sequence[Variant]], bounds: Bounds
) -> dict[int, Variant] | None:
    """Return a variant of each branch that lose least together, or None where none fit.

    Args:
        variants: what each branch may become, by number; at least one each.
        bounds: what has to be kept.
    """
    if not variants:
        return {} if bounds.kept({}) else None
    margin = 0.0
    for _ in range(_MOST_TRIES):
        chosen = _solved(variants, bounds, margin)
        if chosen is None or bounds.kept(chosen):
            return chosen
        margin += bounds.over(chosen) + _TIGHTER
    return None


def _solved(
    variants: Mapping[int, Sequence[Variant]], bounds: Bounds, margin: float
) -> dict[int, Variant] | None:
    """Solve the program with each bound tighter by a share of it."""
    import numpy as np  # noqa: PLC0415 - not on the way to --help
    from scipy.optimize import Bounds as Box  # noqa: PLC0415 - a second
    from scipy.optimize import milp  # noqa: PLC0415

    columns = [(branch, variant) for branch, found in variants.items() for variant in found]
    lost = np.array([max(0.0, variant.lost) for _, variant in columns])
    changed = np.array([1.0 - variant.width for _, variant in columns])
    unit = lost.max() or 1.0
    found = milp(
        lost / unit + _NEEDLESS * changed,
        integrality=np.ones(len(columns), dtype=np.int8),
        bounds=Box(0, 1),
        constraints=[
            *_one_each(columns),
            *_within(columns, bounds, margin),
            *_staying(columns, bounds),
        ],
        options={"mip_rel_gap": 0.0},
    )
    if found.x is None:
        return None
    return {
        branch: variant for (branch, variant), x in zip(columns, found.x, strict=True) if x > 0.5
    }


Columns = Sequence[tuple[int, Variant]]


def _one_each(columns: Columns) -> list[Any]:
    from scipy.optimize import LinearConstraint  # noqa: PLC0415 - as above

    branches = dict.fromkeys(branch for branch, _ in columns)
    rows = [[float(branch == of) for of, _ in columns] for branch in branches]
    return [LinearConstraint(rows, 1, 1)]


def _within(columns: Columns, bounds: Bounds, margin: float) -> list[Any]:
    """Return the bounds on costs, each in units of itself."""
    from numpy import inf  # noqa: PLC0415 - as above
    from scipy.optimize import LinearConstraint  # noqa: PLC0415

    def row(name: str, bound: float) -> list[float]:
        return [variant.costs[name] / max(abs(bound), 1.0) for _, variant in columns]

    def scaled(bound: float) -> float:
        return bound / max(abs(bound), 1.0)

    most = [
        LinearConstraint([row(name, bound)], -inf, scaled(bound) - margin)
        for name, bound in bounds.most.items()
    ]
    least = [
        LinearConstraint([row(name, bound)], scaled(bound) + margin, inf)
        for name, bound in bounds.least.items()
    ]
    return [*most, *least]


def _staying(columns: Columns, bounds: Bounds) -> list[Any]:
    from numpy import inf  # noqa: PLC0415 - as above
    from scipy.optimize import LinearConstraint  # noqa: PLC0415

    return [
        LinearConstraint([[float(b in among and v.width > 0) for b, v in columns]], count, inf)
        for among, count in bounds.staying
    ]
