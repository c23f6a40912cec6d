"""What to try next: the searcher's suggestions, seen through what is known before training.

A suggestion that comes to a network there is already is answered at once and costs nothing, and one
that would only fine-tune such a network less is passed over. One that breaks a bound for certain is
never trained. One whose parent another worker is training waits until that is there, and another
suggestion takes the free place.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from autodepth.policy.policy import Policy
from autodepth.space.domains import Dimension, largest_value, random_value
from autodepth.study.propose.acquisition import ExpectedImprovement
from autodepth.study.propose.cost_model import CostModel
from autodepth.study.propose.optuna_sampler import OptunaSampler, Point
from autodepth.study.propose.parent_pool import ParentPool
from autodepth.study.propose.seen_networks import FinalNetwork, SeenNetworks

# Suggestions in a row that led to no trial. The sampler is slow and suggests much the same again:
# after so many, a gap of the front is filled, and where there is none points are drawn blindly.
_ASK_NO_MORE_AFTER = 2
_GIVE_UP_AFTER = 200
FEWEST_PARKED = 8
_DRAWS_FOR_A_GAP = 24
_DRAWS_FOR_A_NEW_NETWORK = 8


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
        dimensions: what is searched.
        policy_of: reads a point as a policy.
        sampler: suggests points.
        cost_model: knows parents, ends and costs ahead.
        parents: which parents there are.
        improvement: of the front.
        first: points to try before any other.
        seed: of the points drawn blindly.
        most_parked: how many suggestions may wait for parents that are being trained; on many
            places as many as there are, else these would stand still for what a few wait for.
    """

    def __init__(  # noqa: PLR0913 - the one place where what is known ahead meets the sampler
        self,
        dimensions: Sequence[Dimension],
        policy_of: Callable[[Point], Policy],
        *,
        sampler: OptunaSampler,
        cost_model: CostModel,
        parents: ParentPool,
        improvement: ExpectedImprovement,
        first: Sequence[Point] = (),
        seed: int = 0,
        most_parked: int = FEWEST_PARKED,
    ) -> None:
        self._dimensions, self._policy_of = dimensions, policy_of
        self.sampler, self.cost_model, self.parents = sampler, cost_model, parents
        self.improvement = improvement
        self._first = deque(first)
        self._parked: list[tuple[str, tuple[int, Point, Policy]]] = []  # by parent
        self._most_parked = most_parked
        self._answers: SeenNetworks[_Answer] = SeenNetworks()
        self._awaited: SeenNetworks[list[int]] = (
            SeenNetworks()
        )  # tokens of twins of a running trial
        self._scoring: set[tuple[str, str]] = set()  # parents and criteria, by running trials
        self._longest = {
            d.name: largest_value(d.domain) for d in dimensions if d.name == "fine_tune_epochs"
        }
        self._random = random.Random(seed)  # noqa: S311 - no secret
        # Suggestions in a row that led to no trial, by whether new parents were allowed.
        self._fruitless = {True: 0, False: 0}
        self._short_of_time = False  # whether one of them would have taken too long
        self.duplicates = 0
        self.exhausted = False

    def next(
        self,
        *,
        new_parents: bool = True,
        fits: Callable[[Policy, bool], bool] = lambda policy, new_parent: True,  # noqa: ARG005
    ) -> Proposal | None:
        """Return the next policy to carry out; None while there is nothing to do but wait.

        Args:
            new_parents: whether there is time to train one.
            fits: whether there is time for a policy, with or without training its parent.
        """
        new_parents = new_parents and not self._short_of_time
        for i, (parent, suggestion) in enumerate(self._parked):
            if self.parents.state(parent) != "training":
                del self._parked[i]
                if proposal := self._considered(*suggestion, fits, new_parents):
                    return proposal
                break
        if not new_parents and not self.parents.any_known:
            return None
        # Policies that were lost are tried again even where nothing else is left to try.
        while self._first or self._fruitless[new_parents] < _GIVE_UP_AFTER:
            if len(self._parked) >= self._most_parked:
                return None
            proposal = self._considered(*self._asked(new_parents), fits, new_parents)
            if proposal is not None and not proposal.broken:
                return proposal
            self._fruitless[new_parents] += 1
            if proposal is not None:
                return proposal
            new_parents = new_parents and not self._short_of_time
        # Without time for a new parent, what was passed over may still be new.
        self.exhausted = new_parents and not self._parked
        return None

    def started(self, proposal: Proposal, trial: int) -> None:
        """A trial began to carry a policy out."""
        self._fruitless, self._short_of_time = {True: 0, False: 0}, False
        self.parents.started(proposal.parent, trial)
        self._note_running(proposal, trial)
        self._count_work(proposal.policy, new_parent=proposal.new_parent)
        if proposal.policy.scores_branches and not self.cost_model.scored(proposal.policy):
            self._scoring.add(self.cost_model.scoring(proposal.policy))

    def scored(self, proposal: Proposal, trial: int) -> None:
        """A trial had its parent scored: its end and its cost are known from now on."""
        self._note_running(proposal, trial)
        self._scoring.discard(self.cost_model.scoring(proposal.policy))
        if proposal.end is not None or (end := self.cost_model.end(proposal.policy)) is None:
            return
        if self._answers.get(end) is None and self._awaited.get(end) is None:
            self._awaited.add(end, [])

    def _note_running(self, proposal: Proposal, trial: int) -> None:
        promise = self.parents.promise(proposal.parent)
        self.improvement.began(trial, self.cost_model.share_left(proposal.policy), promise)

    def left_undone(self, policy: Policy, fine_tuned: int) -> None:
        """A trial ended after so many epochs of fine-tuning: the others were no work."""
        all_epochs = policy.carried_out.fine_tune_epochs
        self.parents.add_work(
            new=0.0,
            known=-self.cost_model.share_left(policy) * (all_epochs - fine_tuned),
        )

    def again(self, point: Point) -> None:
        """Try a point before any other, though it was tried."""
        self._first.appendleft(dict(point))

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
        self._scoring.discard(self.cost_model.scoring(proposal.policy))
        end = proposal.end or self.cost_model.end(proposal.policy)
        known = values is not None or settled
        if known:
            self.parents.tried(proposal.parent)
        if end is None:
            return
        if known:
            self._answers.add(end, answer)
        for token in self._awaited.pop(end) or ():
            self._tell(token, answer)

    def adopt(self, point: Point, policy: Policy) -> Proposal:
        """Return a policy that was carried out before, as if it had been suggested now."""
        parent, trains = self.cost_model.parent(policy), policy.carried_out.train.epochs > 0
        return Proposal(
            token=None,
            point=point,
            policy=policy,
            parent=parent,
            new_parent=trains and self.parents.state(parent) != "ready",
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

    def _asked(self, new_parents: bool) -> tuple[int, Point, Policy]:
        token, point = self.sampler.ask(self._given(new_parents))
        return token, point, self._policy_of(point)

    def _given(self, new_parents: bool) -> Point | None:
        """Return what the next point is to have; the sampler chooses the rest, None for all."""
        if self._first:
            return self._first.popleft()
        given = self.parents.choose_known() if new_parents else self.parents.known()
        repeats_itself = self._fruitless[new_parents] >= _ASK_NO_MORE_AFTER
        alone = repeats_itself or self.sampler.draws_blindly
        if (
            given is not None
            and self.improvement.turn(always=alone)
            and (gap := self._into_a_gap())
        ):
            return gap
        return self._blindly(new_parents) if repeats_itself else given

    def _blindly(self, new_parents: bool) -> Point:
        """Return a point drawn blindly, of a network that is not known where one is found."""
        for _ in range(_DRAWS_FOR_A_NEW_NETWORK):
            point = self._drawn((None if new_parents else self.parents.known()) or {})
            end = self.cost_model.end(self._policy_of(point))
            if end is None or not self._is_reached(end):
                break
        return point

    def _into_a_gap(self) -> Point | None:
        """Return the point on a known parent, of some drawn blindly, that promises the front most.

        Most for the work it takes, since cheap networks are soon done. It is fine-tuned for as long
        as the space lets it: what is tried in a gap is to fill it. A parent that was not scored
        yet comes first: what its policies cost is known from then on.
        """
        best, most = None, (False, 0.0)
        for _ in range(_DRAWS_FOR_A_GAP):
            point = self._drawn({**self._longest, **(self.parents.known() or {})})
            policy = self._policy_of(point)
            unscored = policy.scores_branches and not self.cost_model.scored(policy)
            end = self.cost_model.end(policy)
            if unscored and self.cost_model.scoring(policy) in self._scoring:
                continue
            # A network fills a gap by what it costs, so that has to be known.
            cost_known = unscored or self.cost_model.removed(policy) is not None
            if not cost_known or (end is not None and self._is_reached(end)):
                continue
            promise = self.parents.promise(self.cost_model.parent(policy))
            worth = self.improvement.worth(self.cost_model.share_left(policy), promise)
            rate = worth / self.cost_model.tuning_work(policy)
            # Before any scores all are taken to cost the same, and a rate of 0 is no objection.
            if (unscored, rate) > most and not self.cost_model.broken(policy):
                best, most = point, (unscored, rate)
        return best

    def _is_reached(self, end: FinalNetwork) -> bool:
        """Return whether this network is known, or soon will be, fine-tuned as long or longer."""
        return self._answers.reached(end) or self._awaited.reached(end)

    def _drawn(self, given: Point) -> Point:
        """Return a point drawn blindly but for what is given."""
        drawn = {d.name: random_value(d.domain, self._random) for d in self._dimensions} | given
        point: Point = {}
        for d in self._dimensions:
            if d.condition is None or d.condition.holds(point):
                point[d.name] = drawn[d.name]
        return point

    def _considered(
        self,
        token: int,
        point: Point,
        policy: Policy,
        fits: Callable[[Policy, bool], bool],
        new_parents: bool,
    ) -> Proposal | None:
        """Return a suggestion that is to be carried out; deal with any other."""
        parent, end = self.cost_model.parent(policy), self.cost_model.end(policy)
        state = self.parents.state(parent) if policy.carried_out.train.epochs else "ready"
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
            self._short_of_time = True
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
