"""Which policy to try next: Optuna's multi-objective ask and tell.

Optuna's study lives in memory and is a projection of the ledger. Every trial that was asked for
is told exactly one end, so none stays running and biases what is suggested next.
"""

from __future__ import annotations

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
from optuna.trial import TrialState

from autodepth.front.objective import Objective
from autodepth.search.samplers import make_sampler
from autodepth.space.domains import Choice, Dimension, Fixed, FloatRange, IntRange
from autodepth.space.search_models import SamplerSection
from autodepth.space.values import Scalar

Point = dict[str, Scalar]


class Searcher:
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
        self._study = optuna.create_study(
            directions=[objective.goal for objective in objectives],
            sampler=make_sampler(sampler, seed % 2**32),
        )
        self._asked: dict[int, optuna.Trial] = {}

    def ask(self, given: Mapping[str, Scalar] | None = None) -> tuple[int, Point]:
        """Return a token for `tell` and the next point: a value per dimension that counts.

        Args:
            given: values that the point is to have; the sampler chooses the others.
        """
        if given:
            self._study.enqueue_trial(dict(given))
        trial = self._study.ask()
        self._asked[trial.number] = trial
        point: Point = {}
        for dimension in self._dimensions:
            if dimension.condition is None or dimension.condition.holds(point):
                point[dimension.name] = _suggest(trial, dimension)
        return trial.number, point

    def tell(
        self, token: int, values: Sequence[float], violations: Mapping[str, float] | None = None
    ) -> None:
        """Say what a point came to.

        Args:
            token: from `ask`.
            values: one per objective, in its own direction.
            violations: by constraint; above 0 where it is broken, by how much.
        """
        trial = self._asked.pop(token)
        if not all(math.isfinite(value) for value in values):
            self._study.tell(trial, state=TrialState.FAIL)
            return
        for name, violation in (violations or {}).items():
            trial.set_constraint(name, violation)
        self._study.tell(trial, list(values))

    def tell_failed(self, token: int, violations: Mapping[str, float] | None = None) -> None:
        """Say that a point came to nothing; with the bounds it breaks, samplers learn of these."""
        trial = self._asked.pop(token)
        if not violations:
            self._study.tell(trial, state=TrialState.FAIL)
            return
        for name, violation in violations.items():
            trial.set_constraint(name, violation)
        self._study.tell(trial, state=TrialState.PRUNED)

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
            distribution = _distribution(dimension)
            value = point.get(dimension.name)
            if dimension.name not in point or distribution is None:
                continue
            if not dimension.domain.contains(value):
                return
            distributions[dimension.name], params[dimension.name] = distribution, value
        complete = values is not None and all(map(math.isfinite, values))
        self._study.add_trial(
            optuna.create_trial(
                state=TrialState.COMPLETE if complete else TrialState.FAIL,
                values=list(values) if complete and values is not None else None,
                params=params,
                distributions=distributions,
                constraints=dict(violations or {}) if complete else None,
            )
        )


def _suggest(trial: optuna.Trial, dimension: Dimension) -> Scalar:
    name, domain = dimension.name, dimension.domain
    match domain:
        case Fixed(value=value):
            return value
        case FloatRange(low=low, high=high, log=log, step=step):
            return trial.suggest_float(name, low, high, log=log, step=step)
        case IntRange(low=low, high=high, log=log, step=step):
            return trial.suggest_int(name, low, high, log=log, step=step)
        case Choice(values=values):
            return trial.suggest_categorical(name, list(values))


def _distribution(dimension: Dimension) -> BaseDistribution | None:
    match dimension.domain:
        case Fixed():
            return None
        case FloatRange(low=low, high=high, log=log, step=step):
            return FloatDistribution(low, high, log=log, step=step)
        case IntRange(low=low, high=high, log=log, step=step):
            return IntDistribution(low, high, log=log, step=step)
        case Choice(values=values):
            return CategoricalDistribution(list(values))
