"""What seeds say of one network, and of two that were trained on the same seeds.

Plain numbers. Networks are compared by accuracy, of which more is better, pair by pair: each pair
shares its seed, and so its initial weights and the order of its images.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from autodepth.errors import InputError

Verdict = Literal["yes", "tie", "no", "unknown"]

CONFIDENCE = 0.95
# A difference has to reach so many standard deviations to be more than a tie.
DEVIATIONS = 2.0
_RESAMPLES = 9999
# Accuracies are counts over at most millions of images: what is smaller comes from rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Values of one quantity over seeds.

    Args:
        mean: their mean.
        sd: their standard deviation, n - 1 in the denominator; None for a single value.
        n: how many there are.
        low: lower end of the bootstrap interval of the mean; None for a single value.
        high: upper end of the same.
    """

    mean: float
    sd: float | None
    n: int
    low: float | None
    high: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values fit for JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Whether one network is more accurate than another, by runs on the same seeds.

    The verdict is `tie` while the mean of the paired differences is nearer to 0 than two of
    their standard deviations: the spread of single differences, not the standard error, so that
    more seeds make it surer and not easier. Were both networks equal and the differences normal,
    2 pairs would be told apart in 22 % of comparisons, 3 in 7 %, 5 in 1 %.

    Args:
        difference: mean of first minus second, in the quantity's own unit; None without a pair.
        sd: standard deviation of the differences; None with fewer than 2 pairs.
        pairs: how many there are.
        low: lower end of the bootstrap interval of the mean difference; None as `sd`.
        high: upper end of the same.
        p_value: of the paired t-test, two-sided, not corrected for other comparisons; None as
            `sd`, and where all differences are one number other than 0.
        verdict: `yes` if the first is better, `no` if the second is, `tie`, or `unknown` with
            fewer than 2 pairs.
    """

    difference: float | None
    sd: float | None
    pairs: int
    low: float | None
    high: float | None
    p_value: float | None
    verdict: Verdict

    def to_dict(self) -> dict[str, Any]:
        """Return plain values fit for JSON."""
        return asdict(self)


def spread(values: Sequence[float], *, seed: int = 0) -> Spread:
    """Return mean, standard deviation and interval of one quantity over seeds.

    Args:
        values: one per seed, at least one.
        seed: of the bootstrap.

    Raises:
        InputError: there is no value.
    """
    if not values:
        raise InputError("a spread needs at least one value, but got none")
    low, high = bootstrap_interval(values, seed=seed) or (None, None)
    return Spread(
        mean=statistics.fmean(values),
        sd=statistics.stdev(values) if len(values) > 1 else None,
        n=len(values),
        low=low,
        high=high,
    )


def bootstrap_interval(values: Sequence[float], *, seed: int = 0) -> tuple[float, float] | None:
    """Return the 95 % percentile bootstrap interval of the mean; None for fewer than 2 values.

    It never leaves the range of the values, so with a handful of seeds it is too narrow rather
    than too wide. Source: Efron & Tibshirani 1993, chapter 13.

    Args:
        values: one per seed.
        seed: of the resampling.
    """
    if len(values) < 2:
        return None
    import numpy as np  # noqa: PLC0415 - not on the way to --help
    from scipy import stats  # noqa: PLC0415

    interval = stats.bootstrap(
        (np.asarray(values, dtype=np.float64),),
        np.mean,
        n_resamples=_RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    low, high = sorted((float(interval.low), float(interval.high)))  # rounding may swap equal ends
    return low, high


def compare(first: Sequence[float], second: Sequence[float], *, seed: int = 0) -> Comparison:
    """Compare two networks by accuracies on the same seeds.

    Args:
        first: of the network in question, one value per seed.
        second: of the network it is compared with, in the same order of seeds.
        seed: of the bootstrap.

    Raises:
        InputError: the numbers of values differ.
    """
    if len(first) != len(second):
        raise InputError(
            f"a paired comparison needs as many values on both sides, "
            f"but got {len(first)} and {len(second)}"
        )
    differences = [a - b for a, b in zip(first, second, strict=True)]
    difference = statistics.fmean(differences) if differences else None
    if difference is None or len(differences) < 2:
        return Comparison(
            difference=difference,
            sd=None,
            pairs=len(differences),
            low=None,
            high=None,
            p_value=None,
            verdict="unknown",
        )
    sd = statistics.stdev(differences)
    low, high = bootstrap_interval(differences, seed=seed) or (difference, difference)
    return Comparison(
        difference=difference,
        sd=sd,
        pairs=len(differences),
        low=low,
        high=high,
        p_value=_paired_p(first, second, difference, sd),
        verdict=_verdict(difference, sd),
    )


def _verdict(difference: float, sd: float) -> Verdict:
    if abs(difference) < max(DEVIATIONS * sd, _ROUNDING):
        return "tie"
    return "yes" if difference > 0 else "no"


def _paired_p(
    first: Sequence[float], second: Sequence[float], difference: float, sd: float
) -> float | None:
    """Return the p-value of the paired t-test; it has none where the differences do not vary."""
    if sd < _ROUNDING:
        return 1.0 if abs(difference) < _ROUNDING else None
    from scipy import stats  # noqa: PLC0415 - not on the way to --help

    return float(stats.ttest_rel(first, second).pvalue)
