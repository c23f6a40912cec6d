"""What to try next: what promises the front most for its work, or what the sampler suggests.

A suggestion that comes to a network there is already is answered at once and costs nothing, and one
that would only fine-tune such a network less is passed over. One that breaks a bound for certain is
never trained. One whose parent another worker is training waits until that is there, and another
suggestion takes the free place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from autodepth.policy.policy import Policy
from autodepth.policy.values import Scalar
from autodepth.study.propose.candidates import BASE, Candidates
from autodepth.study.propose.known.member_pool import MemberPool
from autodepth.study.propose.known.parent_pool import ParentPool
from autodepth.study.propose.known.seen_networks import FinalNetwork, SeenNetworks
from autodepth.study.propose.next_point import Fits, NextPoint
from autodepth.study.propose.predict.accuracy_model import Predicted
from autodepth.study.propose.predict.cost_model import CostModel
from autodepth.study.propose.prospects import Prospects
from autodepth.study.propose.sampling.optuna_sampler import OptunaSampler, Point

# Suggestions in a row that led to no trial. The sampler is slow and suggests much the same again:
# after so many, a gap of the front is filled, and where there is none points are drawn blindly.
_ASK_NO_MORE_AFTER = 2
_GIVE_UP_AFTER = 200
_TOO_LONG_IN_A_ROW = 40  # and what runs is not to wait for others; two, and none are ranked
FEWEST_PARKED = 8


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A policy to carry out.

    Args:
        token: of the sampler; None where the point was not asked of it.
        point: the searched settings that count.
        policy: what they say.
        parent: content key of its parent.
        new_parent: whether the parent has to be trained.
        end: the network it ends with, where that is known.
        broken: bounds it breaks for certain, by how much; then it is not to be carried out.
    """

    token: int | None
    point: Point
    policy: Policy
    parent: str
    new_parent: bool
    end: FinalNetwork | None = None
    broken: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _Answer:
    values: Sequence[float] | None
    violations: Mapping[str, float]


class Proposer:
    """Policies to carry out, one after the other.

    Args:
        policy_of: reads a point as a policy.
        sampler: suggests points.
        cost_model: knows parents, ends and costs ahead.
        parents: which parents there are.
        members: which networks others can go on from.
        candidates: draws points to choose between.
        prospects: what policies promise.
        first: points to try before any other.
        most_parked: how many suggestions may wait for parents that are being trained; on many
            places as many as there are, else these would stand still for what a few wait for.
    """

    def __init__(  # noqa: PLR0913 - the one place where what is known ahead meets the sampler
        self,
        policy_of: Callable[[Point], Policy],
        *,
        sampler: OptunaSampler,
        cost_model: CostModel,
        parents: ParentPool,
        members: MemberPool,
        candidates: Candidates,
        prospects: Prospects,
        first: Sequence[Point] = (),
        most_parked: int = FEWEST_PARKED,
    ) -> None:
        self._policy_of, self.sampler, self.cost_model = policy_of, sampler, cost_model
        self.parents, self.members = parents, members
        self.candidates, self.prospects = candidates, prospects
        self._first = deque(first)
        self._lost: list[Point] = []  # to be tried again, unless the search comes to them by itself
        self._parked: list[tuple[str, tuple[int, Point, Policy]]] = []  # by parent
        self._most_parked = most_parked
        self._answers: SeenNetworks[_Answer] = SeenNetworks()
        # Tokens of twins of a running trial.
        self._awaited: SeenNetworks[list[int]] = SeenNetworks()
        self._next_point = NextPoint(
            policy_of,
            cost_model=cost_model,
            parents=parents,
            candidates=candidates,
            prospects=prospects,
            is_reached=self._is_reached,
        )
        # Suggestions in a row that led to no trial, by whether new parents were allowed.
        self._fruitless = {True: 0, False: 0}
        self._short_of_time = False  # whether one of them would have taken too long
        self._too_long = 0  # how many would have, since a trial began or ended
        self.duplicates = 0
        self.exhausted = False

    def next(
        self,
        *,
        new_parents: bool = True,
        fits: Fits = lambda policy, new_parent: True,  # noqa: ARG005
    ) -> Proposal | None:
        """Return the next policy to carry out; None while there is nothing to do but wait.

        Args:
            new_parents: whether there is time to train one.
            fits: whether there is time for a policy, with or without training its parent.
        """
        proposal = self._next(new_parents, fits)
        if not self._lost or (proposal is not None and proposal.broken):
            return proposal
        if proposal is not None and proposal.point in self._lost:
            self._lost.remove(proposal.point)
            return proposal
        if proposal is not None:  # its turn comes after those that were lost
            self.set_back(proposal)
        for point in reversed(self._lost):
            self.again(point)
        self._lost.clear()
        return self._next(new_parents, fits)

    def _next(self, new_parents: bool, fits: Fits) -> Proposal | None:
        new_parents = new_parents and not self._short_of_time
        for parked in list(self._parked):
            parent, suggestion = parked
            if self.parents.state(parent) == "training":
                continue
            self._parked.remove(parked)
            if proposal := self._considered(*suggestion, fits, new_parents):
                return proposal
        if not new_parents and not (self.parents.any_known or self.candidates.from_scratch):
            return None
        # Policies that were lost are tried again even where nothing else is left to try.
        while self._first or self._goes_on(new_parents):
            if len(self._parked) >= self._most_parked:
                return None
            asked = self._asked(new_parents, fits)
            proposal = asked and self._considered(*asked, fits, new_parents)
            if proposal is not None and not proposal.broken:
                return proposal
            self._fruitless[new_parents] += 1
            if proposal is not None:
                return proposal
            new_parents = new_parents and not self._short_of_time
        # Without time for a new parent, what was passed over may still be new.
        self.exhausted = new_parents and not self._parked
        return None

    def _goes_on(self, new_parents: bool) -> bool:
        """Return whether another suggestion may be of use."""
        many = self._too_long >= _TOO_LONG_IN_A_ROW
        return not many and self._fruitless[new_parents] < _GIVE_UP_AFTER

    def started(self, proposal: Proposal, trial: int) -> Predicted | None:
        """A trial began to carry a policy out; return what is expected of it, if anything is."""
        self._fruitless, self._short_of_time = {True: 0, False: 0}, False
        self._too_long = 0
        self.parents.started(proposal.parent, trial)
        self._next_point.began(proposal.policy)
        self._count_work(proposal.policy, new_parent=proposal.new_parent)
        return self.prospects.began(trial, proposal.point, proposal.policy)

    def scored(self, proposal: Proposal, trial: int) -> None:
        """A trial had its parent scored: its end and its cost are known from now on."""
        self.prospects.began(trial, proposal.point, proposal.policy)
        if proposal.end is not None or (end := self.cost_model.end(proposal.policy)) is None:
            return
        if self._answers.get(end) is None and self._awaited.get(end) is None:
            self._awaited.add(end, [])

    def left_undone(self, policy: Policy, fine_tuned: int) -> None:
        """A trial ended after so many epochs of fine-tuning: the others were no work."""
        undone = policy.carried_out.fine_tune_epochs - fine_tuned
        self.parents.add_work(new=0.0, known=-self.cost_model.tuning_pass(policy) * undone)

    def again(self, point: Point) -> None:
        """Try a point before any other, though it was tried."""
        self._first.appendleft(dict(point))

    def set_back(self, proposal: Proposal) -> None:
        """Try a policy that was proposed, but not begun, at another time."""
        self.answer(proposal, None)
        self.again(proposal.point)

    def were_lost(self, points: Sequence[Point]) -> None:
        """Try these points again: as soon as the search comes to something else, or to nothing."""
        self._lost = [dict(point) for point in points]

    def begin_with(self, points: Sequence[Point]) -> None:
        """Try these points before any other, and no longer those that were given at first."""
        self._first = deque(points)

    def answer(
        self,
        proposal: Proposal,
        values: Sequence[float] | None,
        violations: Mapping[str, float] | None = None,
        *,
        settled: bool = False,
    ) -> None:
        """Say what a policy came to: values of the objectives, or None for nothing.

        Args:
            proposal: the policy.
            values: one per objective.
            violations: by constraint; above 0 where it is broken, by how much.
            settled: whether it is not to be tried again though it came to nothing.
        """
        answer = _Answer(values=values, violations=violations or {})
        if proposal.token is None:
            self.sampler.learn(proposal.point, values, violations)
        else:
            self._tell(proposal.token, answer)
        end = proposal.end or self.cost_model.end(proposal.policy)
        known = values is not None or settled
        if known:
            self._too_long = 0
            self.parents.tried(proposal.parent)
        if end is None:
            return
        if known:
            self._answers.add(end, answer)
        for token in self._awaited.pop(end) or ():
            self._tell(token, answer)

    def adopt(self, point: Point, policy: Policy) -> Proposal:
        """Return a policy that was carried out before, as if it had been suggested now."""
        return Proposal(
            token=None,
            point=point,
            policy=policy,
            parent=self.cost_model.parent(policy),
            new_parent=self.prospects.parent_state(policy) != "ready",
            end=self.cost_model.end(policy),
        )

    def _count_work(self, policy: Policy, *, new_parent: bool) -> None:
        cost_model = self.cost_model
        self.parents.add_work(
            new=cost_model.parent_work(policy) if new_parent else 0.0,
            known=cost_model.tuning_work(policy),
        )

    def _tell(self, token: int, answer: _Answer) -> None:
        if answer.values is None:
            self.sampler.tell_failed(token, answer.violations)
        else:
            self.sampler.tell(token, answer.values, answer.violations)

    def _asked(self, new_parents: bool, fits: Fits) -> tuple[int, Point, Policy] | None:
        """Return a suggestion; None where it was to go on from a network and there is none."""
        given = dict(self._given(new_parents, fits) or {})
        base = given.pop(BASE, None)
        token, asked = self.sampler.ask(given)
        point = self.candidates.with_base(asked, base)
        if point is None:
            self.sampler.tell_failed(token)
            return None
        return token, point, self._policy_of(point)

    def _given(self, new_parents: bool, fits: Fits) -> Mapping[str, Scalar] | None:
        """Return what the next point is to have; the sampler chooses the rest, None for all."""
        if self._first:
            return self._first.popleft()
        in_vain = self._fruitless[new_parents] >= _ASK_NO_MORE_AFTER
        return self._next_point.given(
            new_parents=new_parents,
            fits=fits,
            ranks=self._too_long < _ASK_NO_MORE_AFTER,
            always=in_vain or self.sampler.draws_blindly,
            in_vain=in_vain,
        )

    def _is_reached(self, end: FinalNetwork) -> bool:
        """Return whether this network is known, or soon will be, fine-tuned as long or longer."""
        return self._answers.reached(end) or self._awaited.reached(end)

    def _considered(
        self, token: int, point: Point, policy: Policy, fits: Fits, new_parents: bool
    ) -> Proposal | None:
        """Return a suggestion that is to be carried out; deal with any other."""
        parent, end = self.cost_model.parent(policy), self.cost_model.end(policy)
        state = self.prospects.parent_state(policy)
        if end is not None and self._is_known(token, end):
            self.duplicates += 1
            return None
        if state == "given_up" or (state == "new" and not new_parents):
            self.sampler.tell_failed(token)
            return None
        broken = self.cost_model.broken(policy)
        if state == "training" and not broken:
            self._parked.append((parent, (token, point, policy)))
            return None
        if not broken and not fits(policy, state == "new"):
            self._short_of_time, self._too_long = True, self._too_long + 1
            self.sampler.tell_failed(token)
            return None
        if end is not None and not broken:
            self._awaited.add(end, [])
        return Proposal(
            token=token,
            point=point,
            policy=policy,
            parent=parent,
            new_parent=state == "new",
            end=end,
            broken=broken,
        )

    def _is_known(self, token: int, end: FinalNetwork) -> bool:
        """Return whether there is no need to come to an end; the searcher is told what is known."""
        answer, twins = self._answers.get(end), self._awaited.get(end)
        if answer is not None:
            self._tell(token, answer)
        elif twins is not None:
            twins.append(token)
        elif self._is_reached(end):
            self.sampler.tell_failed(token)  # what more fine-tuning came to is not its answer
        else:
            return False
        return True
