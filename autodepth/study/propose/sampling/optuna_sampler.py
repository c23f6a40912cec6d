"""Which policy to try next: Optuna's multi-objective ask and tell.

Optuna's study lives in memory and is a projection of the ledger. Every trial that was asked for
is told exactly one end, so none stays running and biases what is suggested next.

What tpe and gp compute grows with every trial they know, to seconds in studies of thousands. So
they know a window of them: the best by non-dominated rank, and the latest.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState

from autodepth.front.dominance import pareto_front
from autodepth.front.objective import Objective
from autodepth.policy.values import Scalar
from autodepth.space.domains import Choice, Dimension, Fixed, FloatRange, IntRange
from autodepth.space.objectives import Goal
from autodepth.space.sections.search_models import SamplerSection
from autodepth.study.propose.sampling.samplers import make_sampler

Point = dict[str, Scalar]
_WINDOW = 100  # trials that tpe and gp begin anew with when they know twice as many


class OptunaSampler:
    """Suggests points of a space and learns from what became of them.

    Args:
        dimensions: what is searched; a dimension follows those its condition names.
        objectives: what is optimised.
        sampler: which sampler, and its settings.
        seed: seed of the sampler; the same seed and the same tells give the same points.
    """

    def __init__(
        self,
        dimensions: Sequence[Dimension],
        objectives: Sequence[Objective],
        *,
        sampler: SamplerSection,
        seed: int,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._dimensions = dimensions
        self._goals = [objective.goal for objective in objectives]
        self._section = sampler
        self._sampler = make_sampler(sampler, seed % 2**32)
        self._windowed = sampler.name in {"tpe", "gp"}
        self._study = self._new_study()
        self._asked: dict[int, tuple[optuna.Study, optuna.Trial]] = {}
        self._tokens = itertools.count()
        self._learned = 0  # points that came to something

    @property
    def draws_blindly(self) -> bool:
        """Whether the sampler knows too little yet to suggest anything better than chance."""
        return self._windowed and self._learned < self._section.startup_trials

    def ask(self, given: Mapping[str, Scalar] | None = None) -> tuple[int, Point]:
        """Return a token for `tell` and the next point: a value per dimension that counts.

        Args:
            given: values that the point is to have; the sampler chooses the others.
        """
        self._forget_old()
        if given:
            self._study.enqueue_trial(dict(given))
        trial, token = self._study.ask(), next(self._tokens)
        self._asked[token] = self._study, trial
        point: Point = {}
        for dimension in self._dimensions:
            if dimension.condition is None or dimension.condition.holds(point):
                point[dimension.name] = _suggest(trial, dimension)
        return token, point

    def tell(
        self, token: int, values: Sequence[float], violations: Mapping[str, float] | None = None
    ) -> None:
        """Say what a point came to.

        Args:
            token: from `ask`.
            values: one per objective, in its own direction.
            violations: by constraint; above 0 where it is broken, by how much.
        """
        if all(math.isfinite(value) for value in values):
            self._learned += 1
            self._tell(token, violations, values=list(values))
        else:
            self._tell(token, {}, state=TrialState.FAIL)

    def tell_failed(self, token: int, violations: Mapping[str, float] | None = None) -> None:
        """Say that a point came to nothing; with the bounds it breaks, samplers learn of these."""
        self._tell(token, violations, state=TrialState.PRUNED if violations else TrialState.FAIL)

    def _tell(self, token: int, violations: Mapping[str, float] | None, **end: Any) -> None:
        study, trial = self._asked.pop(token)
        for name, violation in (violations or {}).items():
            trial.set_constraint(name, violation)
        told = study.tell(trial, **end)
        if study is not self._study:  # it was asked for before older trials were forgotten
            self._study.add_trial(told)

    def learn(
        self,
        point: Mapping[str, Scalar],
        values: Sequence[float] | None,
        violations: Mapping[str, float] | None = None,
    ) -> None:
        """Take in a point that was tried before, by this study or another like it.

        Args:
            point: a value per dimension that counted; one outside its domain is passed over.
            values: one per objective; None where it came to nothing.
            violations: by constraint.
        """
        distributions: dict[str, BaseDistribution] = {}
        params: dict[str, Any] = {}
        for dimension in self._dimensions:
            distribution = distribution_of(dimension)
            value = point.get(dimension.name)
            if dimension.name not in point or distribution is None:
                continue
            if not dimension.domain.contains(value):
                return
            distributions[dimension.name], params[dimension.name] = distribution, value
        complete = values is not None and all(map(math.isfinite, values))
        self._learned += complete
        self._study.add_trial(
            optuna.create_trial(
                state=TrialState.COMPLETE if complete else TrialState.FAIL,
                values=list(values) if complete and values is not None else None,
                params=params,
                distributions=distributions,
                constraints=dict(violations or {}) if complete else None,
            )
        )

    def reseed(self, seed: int) -> None:
        """Draw from now on as with another seed: from an old one, old points would come again."""
        self._sampler = make_sampler(self._section, seed % 2**32)
        self._study.sampler = self._sampler

    def _new_study(self) -> optuna.Study:
        return optuna.create_study(directions=self._goals, sampler=self._sampler)

    def _forget_old(self) -> None:
        """Begin anew with a window of what is known, where the sampler would become slow."""
        known = self._study.get_trials(deepcopy=False)
        if not self._windowed or len(known) < 2 * _WINDOW:
            return
        ended = [trial for trial in known if trial.state.is_finished()]
        best = _best(ended, self._goals, _WINDOW // 2)
        latest = [trial.number for trial in ended[-_WINDOW // 2 :]]
        keep = {*best, *latest}
        self._study = self._new_study()
        self._study.add_trials([trial for trial in ended if trial.number in keep])


def _best(trials: Sequence[FrozenTrial], goals: Sequence[Goal], count: int) -> list[int]:
    """Return the numbers of the best trials, by non-dominated rank and then by age."""
    left = [
        trial
        for trial in trials
        if trial.state is TrialState.COMPLETE
        and all(value <= 0 for value in trial.constraints.values())
    ]
    found: list[int] = []
    while left and len(found) < count:
        front = set(pareto_front([trial.values for trial in left], goals))
        found += [trial.number for i, trial in enumerate(left) if i in front]
        left = [trial for i, trial in enumerate(left) if i not in front]
    return found[:count]


def _suggest(trial: optuna.Trial, dimension: Dimension) -> Scalar:
    name, domain = dimension.name, dimension.domain
    match domain:
        case Fixed(value=value):
            return value
        case FloatRange(low=low, high=high, log=log, step=step):
            value = trial.suggest_float(name, low, high, log=log, step=step)
            return value if step is None else domain.snap(value)
        case IntRange(low=low, high=high, log=log, step=step):
            return trial.suggest_int(name, low, high, log=log, step=step)
        case Choice(values=values):
            return trial.suggest_categorical(name, list(values))


def distribution_of(dimension: Dimension) -> BaseDistribution | None:
    """Return what Optuna calls the values of a setting; None where there is only one."""
    match dimension.domain:
        case Fixed():
            return None
        case FloatRange(low=low, high=high, log=log, step=step):
            return FloatDistribution(low, high, log=log, step=step)
        case IntRange(low=low, high=high, log=log, step=step):
            return IntDistribution(low, high, log=log, step=step)
        case Choice(values=values):
            return CategoricalDistribution(list(values))
