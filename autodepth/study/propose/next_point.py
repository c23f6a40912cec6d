"""Which point is to be carried out next: what promises the front most for its work.

Where policies are not ranked, a parent that is known or a point drawn blindly comes next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from autodepth.policy.policy import Policy
from autodepth.policy.values import Scalar
from autodepth.study.propose.candidates import Candidates, Kind
from autodepth.study.propose.known.parent_pool import ParentPool
from autodepth.study.propose.known.seen_networks import FinalNetwork
from autodepth.study.propose.predict.cost_model import CostModel
from autodepth.study.propose.prospects import CostLadder, Prospect, Prospects
from autodepth.study.propose.sampling.optuna_sampler import Point

_CANDIDATES, _CANDIDATES_OF_A_STEP = 48, 192
_DRAWS_FOR_A_NEW_NETWORK = 8

Fits: TypeAlias = Callable[[Policy, bool], bool]
"""Whether there is time for a policy, with or without training its parent."""


class NextPoint:
    """Chooses the settings that the next point is to have.

    Args:
        policy_of: reads a point as a policy.
        cost_model: knows parents, ends and costs ahead.
        parents: which parents there are.
        candidates: draws points to choose between.
        prospects: what policies promise.
        is_reached: whether a network is known, or soon will be, fine-tuned as long or longer.
    """

    def __init__(
        self,
        policy_of: Callable[[Point], Policy],
        *,
        cost_model: CostModel,
        parents: ParentPool,
        candidates: Candidates,
        prospects: Prospects,
        is_reached: Callable[[FinalNetwork], bool],
    ) -> None:
        self._policy_of, self._cost_model, self._parents = policy_of, cost_model, parents
        self._candidates, self._prospects = candidates, prospects
        self._is_reached, self._ladder = is_reached, CostLadder()

    def began(self, policy: Policy) -> None:
        """Note that a policy is carried out: first costs rise step by step."""
        if policy.origin == "scratch":
            self._ladder.began(self._cost_model.share_left(policy))

    def given(
        self, *, new_parents: bool, fits: Fits, ranks: bool, always: bool, in_vain: bool
    ) -> Mapping[str, Scalar] | None:
        """Return what the next point is to have; the sampler chooses the rest, None for all.

        Args:
            new_parents: whether there is time to train one.
            fits: whether there is time for a policy.
            ranks: whether points are ranked at all.
            always: whether they are where it would be the sampler's turn, too.
            in_vain: whether the last points all led to no trial.
        """
        if (
            ranks
            and self._prospects.improvement.turn(always=always)
            and (best := self._most_promising(new_parents, fits))
        ):
            return best
        # Where networks need no parent, one is trained for what it promises, not by chance.
        free = new_parents and not self._candidates.from_scratch
        known = self._parents.choose_known() if free else self._parents.known()
        return self._blindly(new_parents) if in_vain else known

    def _blindly(self, new_parents: bool) -> Point:
        """Return a point drawn blindly, of a network that is not known where one is found."""
        point: Point = {}
        for _ in range(_DRAWS_FOR_A_NEW_NETWORK):
            drawn = self._candidates.blindly((None if new_parents else self._parents.known()) or {})
            if drawn is None:
                continue
            point, end = drawn, self._cost_model.end(self._policy_of(drawn))
            if end is None or not self._is_reached(end):
                break
        return point

    def _most_promising(self, new_parents: bool, fits: Fits) -> Point | None:
        """Return the point that promises the front most for its work, of some that are drawn.

        Where networks need no parent, that begins with steps of rising cost (`CostLadder`).
        """
        if self._candidates.from_scratch and self._ladder.rises:
            steps = self._ladder.steps(self._drawn(("scratch",), _CANDIDATES_OF_A_STEP))
            if best := self._first_to_be_had(steps, new_parents, fits):
                return best
        if not self._prospects.model.knows_enough:
            return None
        drawn = self._drawn(self._candidates.kinds(new_parents=new_parents))
        return self._first_to_be_had(drawn, new_parents, fits)

    def _drawn(self, kinds: Sequence[Kind], count: int = _CANDIDATES) -> list[Prospect]:
        drawn = self._candidates.draw(count, kinds)
        return self._prospects.ranked([(point, self._policy_of(point)) for point in drawn])

    def _first_to_be_had(
        self, prospects: Sequence[Prospect], new_parents: bool, fits: Fits
    ) -> Point | None:
        return next((p.point for p in prospects if self._is_to_be_had(p, new_parents, fits)), None)

    def _is_to_be_had(self, prospect: Prospect, new_parents: bool, fits: Fits) -> bool:
        """Return whether there is a use in a policy, and time for it."""
        policy, state = prospect.policy, self._prospects.parent_state(prospect.policy)
        if state in {"training", "given_up"} or (state == "new" and not new_parents):
            return False
        end = self._cost_model.end(policy)
        if end is not None and self._is_reached(end):
            return False
        return not self._cost_model.broken(policy) and fits(policy, state == "new")
