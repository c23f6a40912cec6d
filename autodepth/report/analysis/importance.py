"""Which searched dimensions matter for accuracy, once what the network costs is accounted for.

Most dimensions move accuracy through MACs: whoever removes more loses more. What is asked here is
what else they do. So accuracy is first explained by MACs alone (isotonic regression: more MACs
never predict less accuracy), each trial predicted by a fit to others; a random forest then
explains what is left by the dimensions, and each dimension is shuffled in trials that the forest
has not seen (permutation importance, Breiman 2001). Forests are repeated on resampled trials: that
tells how unsure they are, but not what chance put into all of these trials alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestRegressor
from sklearn.isotonic import IsotonicRegression
from sklearn.model_selection import KFold

from autodepth.long_work import long_work
from autodepth.records.trial_record import TrialRecord

FEWEST_TRIALS = 20
"""With fewer complete trials nothing is said."""
_FOLDS, _FOLDINGS = 10, 5
_RESAMPLES, _TREES, _SHUFFLES = 40, 30, 4

Numbers: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class DimensionImportance:
    """How much one dimension matters at equal MACs.

    Args:
        name: of the dimension, as the space file has it.
        mean: by how much the squared error of predicted accuracy rises when the dimension is
            shuffled, in units of the variance of accuracy at equal MACs: 0 for what does not
            matter, up to about 2 for what alone decides. Mean over resampled sets of trials.
        sd: standard deviation of the same.
        low: 2.5 % of resampled sets lie below.
        high: 2.5 % lie above.
    """

    name: str
    mean: float
    sd: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Importance:
    """Importance of all searched dimensions.

    Args:
        trials: how many complete trials of the search it rests on.
        explained: share of the variance of accuracy at equal MACs, in trials not seen, that the
            dimensions explain; at most 0 where they explain nothing. None without an analysis.
        dimensions: the most important first.
        note: why there is no analysis, or why not to trust it; else empty.
    """

    trials: int
    explained: float | None = None
    dimensions: tuple[DimensionImportance, ...] = ()
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values fit for JSON."""
        return asdict(self)


def importance(records: Sequence[TrialRecord], *, seed: int) -> Importance:
    """Analyse a study.

    Args:
        records: its trials; those of the search that are complete are taken, whether or not they
            break a bound.
        seed: of foldings, resamples, forests and shuffles.
    """
    taken = [r for r in records if r.kind == "search" and r.result is not None]
    if len(taken) < FEWEST_TRIALS:
        needed = f"importance needs {FEWEST_TRIALS} complete trials of the search"
        return Importance(trials=len(taken), note=f"{needed}, but there are {len(taken)}")
    columns = _columns([record.point for record in taken])
    points = [record.result.point for record in taken if record.result is not None]
    accuracy = np.array([point.validation_accuracy for point in points])
    generator = np.random.default_rng(seed)
    left = _at_equal_macs(accuracy, np.log([max(1, point.macs) for point in points]), generator)
    if not columns or left.var() == 0:
        what = "no dimension was varied" if not columns else "all trials are equally accurate"
        return Importance(trials=len(taken), note=what)
    rises, explained = _resampled(np.column_stack([*columns.values()]), left, generator)
    found = [_summary(name, rises[:, i]) for i, name in enumerate(columns)]
    return Importance(
        trials=len(taken),
        explained=explained,
        dimensions=tuple(sorted(found, key=lambda dimension: -dimension.mean)),
        note="" if explained > 0 else "the dimensions explain nothing of it in trials not seen",
    )


def _columns(points: Sequence[Mapping[str, Any]]) -> dict[str, Numbers]:
    """Return the dimensions that vary as numbers, NaN for null.

    Where a dimension does not count it takes its most usual value, or else it would tell the
    forest whether its condition holds, and be given the credit.
    """
    columns = {}
    for name in dict.fromkeys(name for point in points for name in point):
        counts = np.array([name in point for point in points])
        column = np.empty(len(points))
        column[counts] = _as_numbers([point[name] for point in points if name in point])
        if np.isnan(column[counts]).all():
            continue
        column[~counts] = np.nanquantile(column[counts], 0.5, method="lower")
        if len(np.unique(column)) > 1:
            columns[name] = column
    return columns


def _as_numbers(values: Sequence[Any]) -> Numbers:
    """Return numbers as they are, and names as their index: trees can split either."""
    known = {value for value in values if value is not None}
    if any(isinstance(value, str | bool) for value in known):
        places = {value: i for i, value in enumerate(sorted(known, key=str))}
        values = [None if value is None else places[value] for value in values]
    return np.array([np.nan if value is None else float(value) for value in values])


def _at_equal_macs(accuracy: Numbers, log_macs: Numbers, generator: np.random.Generator) -> Numbers:
    """Return accuracy minus that of trials of similar MACs, by fits that never saw the trial."""
    expected = np.zeros_like(accuracy)
    for _ in range(_FOLDINGS):
        folds = KFold(_FOLDS, shuffle=True, random_state=_draw(generator))
        for seen, unseen in folds.split(log_macs):
            fit = IsotonicRegression(out_of_bounds="clip").fit(log_macs[seen], accuracy[seen])
            expected[unseen] += fit.predict(log_macs[unseen]) / _FOLDINGS
    return accuracy - expected


def _resampled(
    columns: Numbers, left: Numbers, generator: np.random.Generator
) -> tuple[Numbers, float]:
    """Return the rise of the error [resample, dimension], and the share of variance explained."""
    trials, rises, errors = len(left), list[Numbers](), list[float]()
    with long_work("estimating importance", _RESAMPLES) as advance:
        while len(rises) < _RESAMPLES:
            drawn = generator.integers(0, trials, trials)
            unseen = np.setdiff1d(np.arange(trials), drawn)
            if not len(unseen):
                continue
            forest = RandomForestRegressor(
                _TREES, min_samples_leaf=2, max_features=0.5, random_state=_draw(generator)
            ).fit(columns[drawn], left[drawn])
            error, shuffled = _errors(forest, columns[unseen], left[unseen], generator)
            rises.append((shuffled - error) / left.var())
            errors.append(error)
            advance(1)
    return np.array(rises), float(1 - np.mean(errors) / left.var())


def _errors(
    forest: RandomForestRegressor, columns: Numbers, left: Numbers, generator: np.random.Generator
) -> tuple[float, Numbers]:
    """Return the mean squared error as it is, and with each dimension shuffled.

    All shuffled copies are predicted in one call, for the call is what costs.
    """
    trials, dimensions = columns.shape
    copies = np.tile(columns, (dimensions * _SHUFFLES, 1, 1))
    for copy in range(len(copies)):
        dimension = copy // _SHUFFLES
        copies[copy, :, dimension] = generator.permutation(columns[:, dimension])
    predicted = forest.predict(np.concatenate([columns, copies.reshape(-1, dimensions)]))
    squared = (predicted.reshape(-1, trials) - left) ** 2
    errors = squared.mean(axis=1)
    return float(errors[0]), errors[1:].reshape(dimensions, _SHUFFLES).mean(axis=1)


def _summary(name: str, rises: Numbers) -> DimensionImportance:
    low, high = np.quantile(rises, [0.025, 0.975])
    return DimensionImportance(
        name=name,
        mean=float(rises.mean()),
        sd=float(rises.std(ddof=1)),
        low=float(low),
        high=float(high),
    )


def _draw(generator: np.random.Generator) -> int:
    """Return a seed for what takes only numbers."""
    return int(generator.integers(2**31))
