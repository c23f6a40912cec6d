"""Which policy to try next: Optuna's multi-objective ask and tell. The only import of Optuna.

Optuna's study lives in memory and is a projection of the ledger. Every trial that was asked for
is told exactly one end, so none stays running and biases what is suggested next.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence

import optuna

from autodepth.front.objective import Objective
from autodepth.space.domains import Choice, Dimension, Fixed, FloatRange, IntRange
from autodepth.space.models import SamplerSection
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
            sampler=_sampler(sampler, seed % 2**32),
        )
        self._asked: dict[int, optuna.Trial] = {}

    def ask(self) -> tuple[int, Point]:
        """Return a token for `tell` and the next point: a value per dimension that counts."""
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
            self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
            return
        for name, violation in (violations or {}).items():
            trial.set_constraint(name, violation)
        self._study.tell(trial, list(values))

    def tell_failed(self, token: int) -> None:
        """Say that a point came to nothing, whatever the reason."""
        self._study.tell(self._asked.pop(token), state=optuna.trial.TrialState.FAIL)


def _sampler(section: SamplerSection, seed: int) -> optuna.samplers.BaseSampler:
    if section.name == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    with warnings.catch_warnings():
        # Experimental flags are set on purpose: defaults changed between Optuna 4 and 5.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(
            n_startup_trials=section.startup_trials,
            n_ei_candidates=24,
            multivariate=False,
            group=False,
            constant_liar=True,
            seed=seed,
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
