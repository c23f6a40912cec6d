"""The samplers of Optuna that a space file may name, every setting explicit.

Optuna 5 changed several defaults of version 4; what is written here does not move with them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import optuna
from optuna import samplers

from autodepth.space.sections.search_models import SamplerName, SamplerSection


def make_sampler(section: SamplerSection, seed: int) -> samplers.BaseSampler:
    """Return a sampler.

    Args:
        section: which one, and its settings.
        seed: in [0, 2^32).
    """
    with warnings.catch_warnings():
        # Experimental flags are set on purpose.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return _MAKERS[section.name](section, seed)


def _tpe(section: SamplerSection, seed: int) -> samplers.BaseSampler:
    return samplers.TPESampler(
        n_startup_trials=section.startup_trials,
        n_ei_candidates=24,
        multivariate=False,
        group=False,
        constant_liar=True,  # what runs now counts as poor, so that workers spread out
        seed=seed,
    )


def _nsga2(section: SamplerSection, seed: int) -> samplers.BaseSampler:
    return samplers.NSGAIISampler(
        population_size=section.population,
        mutation_prob=None,  # 1 / number of dimensions
        crossover=samplers.nsgaii.UniformCrossover(),  # the only one that takes choices
        crossover_prob=0.9,
        swapping_prob=0.5,
        seed=seed,
    )


def _gp(section: SamplerSection, seed: int) -> samplers.BaseSampler:
    return samplers.GPSampler(
        n_startup_trials=section.startup_trials,
        independent_sampler=_random(section, seed),
        deterministic_objective=False,
        warn_independent_sampling=False,
        seed=seed,
    )


def _qmc(section: SamplerSection, seed: int) -> samplers.BaseSampler:
    return samplers.QMCSampler(
        qmc_type="sobol",
        scramble=True,
        independent_sampler=_random(section, seed),  # of settings that only sometimes count
        warn_asynchronous_seeding=False,
        warn_independent_sampling=False,
        seed=seed,
    )


def _random(_: SamplerSection, seed: int) -> samplers.BaseSampler:
    return samplers.RandomSampler(seed=seed)


_MAKERS: dict[SamplerName, Callable[[SamplerSection, int], samplers.BaseSampler]] = {
    "tpe": _tpe,
    "nsga2": _nsga2,
    "gp": _gp,
    "qmc": _qmc,
    "random": _random,
}
