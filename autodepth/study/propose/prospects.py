"""What policies promise the front for the work they take, whatever their networks come from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from autodepth.policy.policy import Policy
from autodepth.policy.values import Scalar
from autodepth.space.domains import Choice, Dimension, Fixed, FloatRange, IntRange
from autodepth.study.propose.known.parent_pool import ParentPool, ParentState
from autodepth.study.propose.predict.accuracy_model import AccuracyModel, Predicted, Training
from autodepth.study.propose.predict.acquisition import ExpectedImprovement
from autodepth.study.propose.predict.cost_model import CostModel
from autodepth.study.propose.sampling.optuna_sampler import Point

# The model knows these by what they come to.
_TOLD_OTHERWISE = {"origin", "fine_tune_epochs", "train.epochs", "macs_target"}
# Improvement by plain cost takes ever smaller steps while the budget would let it take larger ones
# (Lee et al. 2020, arXiv 2003.10870, who cool the cost down); simulated studies of 375 device
# seconds ended with 0.548 of the hypervolume by 0.5, 0.545 by 0.7, 0.541 by 1.
_COST_EXPONENT = 0.5
# Of the whole network's MACs, twice as many each time until a quarter is reached.
_STEP, _TOP = 2.0, 0.25
_GIVEN_ACCURACY = 0.9  # of given weights, before any is measured


@dataclass(frozen=True, kw_only=True)
class Prospect:
    """A point with what it promises.

    Args:
        point: the searched settings.
        policy: what they say.
        share: about what share of the whole network's MACs it leaves.
        work: about what it takes, in passes of the whole network over the training images.
        rate: hypervolume that it is expected to add, by the root of `work`.
    """

    point: Point
    policy: Policy
    share: float
    work: float
    rate: float


class CostLadder:
    """The first networks from scratch: each costs twice as much as the dearest before it, or more.

    So the front is there from its cheap end on after seconds, and what is learned of accuracy
    covers the costs that matter before anything is told by it. The very first takes the least work
    of all, so that there is a front soon. After it, of the networks that cost enough, and are
    trained as long as half of all or longer, that comes next which takes the least work: what is
    trained for an epoch or two says little of what its costs allow.
    """

    def __init__(self) -> None:
        self._dearest = 0.0

    @property
    def rises(self) -> bool:
        """Whether another step follows."""
        return self._dearest < _TOP

    def began(self, share: float) -> None:
        """Note the share of the whole network's MACs of a network that is begun."""
        self._dearest = max(self._dearest, share)

    def steps(self, prospects: Sequence[Prospect]) -> list[Prospect]:
        """Return those that may be the next step, the one that takes least first."""
        lengths = [prospect.policy.carried_out.fine_tune_epochs for prospect in prospects]
        least = median(lengths) if lengths and self._dearest else 0
        able = [
            prospect
            for prospect, length in zip(prospects, lengths, strict=True)
            if length >= least and prospect.share >= _STEP * self._dearest
        ]
        return sorted(able, key=lambda prospect: prospect.work)


class Prospects:
    """Predicts accuracies, and learns from what they come to.

    Args:
        dimensions: what is searched.
        cost_model: knows costs and work ahead.
        parents: how accurate they are.
        improvement: of the front.
    """

    def __init__(
        self,
        dimensions: Sequence[Dimension],
        *,
        cost_model: CostModel,
        parents: ParentPool,
        improvement: ExpectedImprovement,
    ) -> None:
        self._dimensions = [d for d in dimensions if d.name not in _TOLD_OTHERWISE]
        self._cost_model, self._parents, self.improvement = cost_model, parents, improvement
        self.model = AccuracyModel()
        self._expected: dict[str, float] = {}  # accuracy of parents, by what is known now

    def parent_state(self, policy: Policy) -> ParentState:
        """Return the state of a policy's parent; `ready` where the policy trains none."""
        if not policy.carried_out.train.epochs:
            return "ready"
        return self._parents.state(self._cost_model.parent(policy))

    def ranked(self, points: Sequence[tuple[Point, Policy]]) -> list[Prospect]:
        """Return points by what they promise for their work, the best first."""
        if not points:
            return []
        self._expect_parents(points)
        predicted = self.model.predict([self.training(*point) for point in points])
        members = self.improvement.expected_front
        prospects = []
        for (point, policy), accuracy in zip(points, predicted, strict=True):
            share = self._cost_model.share_left(policy)
            worth = self.improvement.worth(share, accuracy, members)
            work = self._cost_model.work(policy, new_parent=self.parent_state(policy) != "ready")
            rate = worth / work**_COST_EXPONENT
            prospects.append(
                Prospect(point=point, policy=policy, share=share, work=work, rate=rate)
            )
        return sorted(prospects, key=lambda prospect: -prospect.rate)

    def began(self, trial: int, point: Mapping[str, Scalar], policy: Policy) -> Predicted | None:
        """A trial began, or its costs became known; return what is expected of it, if anything."""
        predicted = self.model.predict([self.training(point, policy)])[0]
        self.improvement.began(trial, self._cost_model.share_left(policy), predicted)
        return predicted if self.model.knows_enough else None

    def training(self, point: Mapping[str, Scalar], policy: Policy) -> Training:
        """Return what the accuracy of a policy's network depends on, as far as it is known."""
        carried, macs = policy.carried_out, self._cost_model.share_left(policy)
        start, before = self._starts_from(point, policy)
        return Training(
            macs=macs,
            epochs=carried.fine_tune_epochs,
            start=start,
            kept=macs / before if start else 1.0,
            choice=self._choice(point),
            divergence=self._cost_model.masks.divergence(policy),
        )

    def learn(
        self,
        point: Mapping[str, Scalar],
        policy: Policy,
        curves: Mapping[str, Sequence[float]],
        *,
        macs: float | None,
        ended: bool,
    ) -> None:
        """Take in how accurate a trial's networks were after each epoch.

        Args:
            point: the searched settings.
            policy: what they say.
            curves: validation accuracy by epoch, of the parent that was trained (`parent`) and of
                the final network (`fine_tune`).
            macs: of the final network; None where it is not known.
            ended: whether the policy came to its end.
        """
        self._expected.clear()
        if parent := curves.get("parent"):
            self.model.learn(self._of_parent(point, policy), parent, ended=ended)
        if (tuned := curves.get("fine_tune")) and macs:
            planned, share = self.training(point, policy), macs / self._cost_model.whole_macs
            kept = planned.kept * share / planned.macs if planned.start else 1.0
            self.model.learn(replace(planned, macs=share, kept=kept), tuned, ended=ended)

    def _starts_from(self, point: Mapping[str, Scalar], policy: Policy) -> tuple[float, float]:
        """Return the accuracy and the MACs of the network that branches are removed from."""
        if policy.base is not None:
            base = self._cost_model.carried_out(policy.base)
            return base.accuracy, base.macs / self._cost_model.whole_macs
        if policy.origin == "scratch":
            return 0.0, 1.0
        known = self._parents.accuracy(self._cost_model.parent(policy))
        if known is None and not policy.train.epochs:
            known = _GIVEN_ACCURACY
        if known is None:
            known = self._expected_of_parent(point, policy)
        return max(known, 1e-3), 1.0

    def _expected_of_parent(self, point: Mapping[str, Scalar], policy: Policy) -> float:
        """Return how accurate a parent will be; many candidates ask that of the same few."""
        self._expect_parents([(point, policy)])
        return self._expected[self._cost_model.parent(policy)]

    def _expect_parents(self, points: Sequence[tuple[Mapping[str, Scalar], Policy]]) -> None:
        """Predict the parents to be trained for some points, all at once: one takes as long."""
        new = {
            key: self._of_parent(point, policy)
            for point, policy in points
            if policy.origin == "parent"
            and policy.train.epochs
            and (key := self._cost_model.parent(policy)) not in self._expected
        }
        if new:
            predicted = self.model.predict(list(new.values()))
            self._expected |= {key: one.mean for key, one in zip(new, predicted, strict=True)}

    def _of_parent(self, point: Mapping[str, Scalar], policy: Policy) -> Training:
        return Training(macs=1.0, epochs=policy.train.epochs, choice=self._choice(point))

    def _choice(self, point: Mapping[str, Scalar]) -> tuple[float, ...]:
        return tuple(x for d in self._dimensions for x in _scaled(d, point.get(d.name)))


def _scaled(dimension: Dimension, value: Scalar) -> list[float]:
    """Return a setting brought to [0, 1], or one number per name; zeros where it does not count."""
    match dimension.domain:
        case Fixed():
            return []
        case Choice(values=values) if all(isinstance(v, int | float) for v in values):
            return [values.index(value) / max(1, len(values) - 1) if value in values else 0.0]
        case Choice(values=values):
            return [float(value == name) for name in values]
        case FloatRange(low=low, high=high, log=log) | IntRange(low=low, high=high, log=log):
            if not isinstance(value, int | float):
                return [0.0]
            if log:
                low, high, value = math.log(low), math.log(high), math.log(value)
            return [(value - low) / (high - low) if high > low else 0.0]
