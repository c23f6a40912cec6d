"""Points to choose between: drawn blindly, on known parents, and near members of the front."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Literal

from autodepth.policy.values import Scalar
from autodepth.space.domains import Dimension, Fixed, random_value
from autodepth.study.propose.known.member_pool import MemberPool
from autodepth.study.propose.known.parent_pool import ParentPool
from autodepth.study.propose.sampling.optuna_sampler import Point

BASE = "base"
"""What a point calls the trial whose network it goes on from; it is no dimension."""
Kind = Literal["known parent", "near the front", "member", "scratch", "anywhere"]
"""Where a point is drawn."""
_SETTINGS_CHANGED = 2  # at most, where a point is drawn near another


class Candidates:
    """Draws points of a space.

    Args:
        dimensions: what is searched; a dimension follows those its condition names.
        parents: which parents there are.
        members: which networks others can go on from.
        seed: of what is drawn.
    """

    def __init__(
        self,
        dimensions: Sequence[Dimension],
        *,
        parents: ParentPool,
        members: MemberPool,
        seed: int,
    ) -> None:
        self._dimensions, self._parents, self._members = dimensions, parents, members
        self._random = random.Random(seed)  # noqa: S311 - no secret
        origin = next((d.domain for d in dimensions if d.name == "origin"), Fixed("parent"))
        self.from_scratch, self.from_members = (
            origin.contains(name) for name in ("scratch", "member")
        )
        """Whether networks may be trained from scratch, and whether they may go on from others."""

    def kinds(self, *, new_parents: bool) -> tuple[Kind, ...]:
        """Return the kinds of points that may be drawn.

        Args:
            new_parents: whether a parent may be trained for one.
        """
        kinds: list[Kind] = ["known parent", "near the front"]
        if self.from_members:
            kinds.append("member")
        if self.from_scratch:
            kinds.append("scratch")
        if new_parents:
            kinds.append("anywhere")
        return tuple(kinds)

    def draw(self, count: int, kinds: Sequence[Kind]) -> list[Point]:
        """Return so many points, of each kind in turn; fewer where some are not to be had."""
        drawn = (self._drawn(kinds[number % len(kinds)]) for number in range(count))
        return [point for point in drawn if point is not None]

    def _drawn(self, kind: Kind) -> Point | None:
        match kind:
            case "known parent":
                known = self._parents.known()
                return None if known is None else self.blindly(known)
            case "near the front":
                return self._near_the_front()
            case "member" | "scratch":
                return self.blindly({"origin": kind})
            case "anywhere":
                return self.blindly({})

    def blindly(self, given: Mapping[str, Scalar]) -> Point | None:
        """Return a point drawn blindly but for what is given; None where it lacks a base."""
        drawn = {d.name: random_value(d.domain, self._random) for d in self._dimensions}
        return self.with_base(self._counting({**drawn, **given}), given.get(BASE))

    def _near_the_front(self) -> Point | None:
        """Return a member's point with a setting or two drawn anew."""
        front = self._members.front
        if not front:
            return None
        near = self._random.choice(front).point
        names = [d.name for d in self._dimensions if d.name in near and d.name != "origin"]
        changed = set(self._random.sample(names, min(len(names), _SETTINGS_CHANGED)))
        return self.blindly({name: value for name, value in near.items() if name not in changed})

    def _counting(self, values: Mapping[str, Scalar]) -> Point:
        point: Point = {}
        for dimension in self._dimensions:
            if dimension.condition is None or dimension.condition.holds(point):
                point[dimension.name] = values[dimension.name]
        return point

    def with_base(self, point: Point, base: Scalar = None) -> Point | None:
        """Return a point with what it goes on from, if it does; None where there is nothing.

        Args:
            point: the searched settings.
            base: number of a trial; None chooses one.
        """
        if point.get("origin") != "member":
            return point
        base = self._members.choose() if base is None else base
        return None if base is None else {**point, BASE: base}
