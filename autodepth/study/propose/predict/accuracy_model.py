"""How accurate a network will be, learned from every training of a study so far.

One model over all origins: what a network costs, how long it is trained, what accuracy it starts
from and how much of that network is left tell most of what it comes to, whether it is a parent, cut
out of one, or trained from scratch. It is a Gaussian process (Rasmussen & Williams 2006, section
2.2): a linear trend, a smooth departure from it, and noise; the three amounts and the reach of the
departure are fitted to what was seen (marginal likelihood, section 5.4.1).
"""

from __future__ import annotations

import math
import warnings
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

# Half-way accuracies of a training tell how it goes on; more of them add time and little else.
_CURVE_POINTS = 4
# A Gaussian process takes time with the cube of what it knows.
_MOST_ENDS, _MOST_ON_THE_WAY = 96, 64
_FEWEST_ENDS = 2
_REFIT_AT = 1.25  # times as much is known as when the amounts were fitted last
# Differences that matter about as much as each other: eight times the MACs, four times the epochs,
# half of a schedule, a quarter of accuracy, half of the MACs left, one nat against none, the whole
# range of a setting.
_UNITS = {
    "macs": 3.0, "epochs": 2.0, "progress": 0.5, "start": 0.25, "kept": 1.0, "divergence": 1.0,
}  # fmt: skip
_CHOICE_UNIT = 2.0

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Training:
    """What the accuracy of one trained network depends on.

    Args:
        macs: its share of the whole network's MACs, above 0.
        epochs: passes over the training images since its weights were initialised or cut.
        progress: share of its schedule that is over, in (0, 1].
        start: validation accuracy of the network it was cut out of; 0 from initial weights.
        kept: share of the MACs of that network, above 0; 1 from initial weights.
        choice: the searched settings, each brought to [0, 1]; equally many in one study.
        divergence: how far the network it was cut out of is from itself without the branches that
            go, batch statistics measured anew, in nats; None where nobody judged that.
    """

    macs: float
    epochs: float
    progress: float = 1.0
    start: float = 0.0
    kept: float = 1.0
    choice: tuple[float, ...] = ()
    divergence: float | None = None

    def row(self) -> list[float]:
        """Return it as numbers whose differences matter about as much as each other."""
        return [
            math.log2(self.macs) / _UNITS["macs"],
            math.log2(1 + self.epochs) / _UNITS["epochs"],
            self.progress / _UNITS["progress"],
            self.start / _UNITS["start"],
            math.log2(self.kept) / _UNITS["kept"],
            float(self.start > 0),
            math.log2(1 + (self.divergence or 0.0)) / _UNITS["divergence"],
            float(self.divergence is not None),
            *(value / _CHOICE_UNIT for value in self.choice),
        ]


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """An accuracy before it is measured: mean and standard deviation without noise, fractions."""

    mean: float
    spread: float


class AccuracyModel:
    """Predicts validation accuracy from every training that was seen."""

    def __init__(self) -> None:
        self._ends: deque[tuple[Training, float]] = deque(maxlen=_MOST_ENDS)
        self._on_the_way: deque[tuple[Training, float]] = deque(maxlen=_MOST_ON_THE_WAY)
        self._seen_ends = 0
        self._fitted: Any = None  # scikit-learn's regressor
        self._stale, self._fitted_to, self._noise = True, 0, 0.0

    @property
    def knows_enough(self) -> bool:
        """Whether it was told of so many trainings that predictions are better than none."""
        return self._seen_ends >= _FEWEST_ENDS

    def learn(self, training: Training, curve: Sequence[float], *, ended: bool = True) -> None:
        """Take in a training.

        Args:
            training: at its planned end.
            curve: validation accuracy after each epoch, from the first.
            ended: whether the last is what the whole training comes to; else it was given up.
        """
        if not curve:
            return
        planned = max(len(curve), round(training.epochs))
        *earlier, last = _some_of(len(curve))
        for number in earlier if ended else [*earlier, last]:
            self._on_the_way.append((_at(training, number, planned), curve[number - 1]))
        if ended:
            self._ends.append((training, curve[-1]))
            self._seen_ends += 1
        self._stale = True

    def predict(self, trainings: Sequence[Training]) -> list[Predicted]:
        """Return the accuracy that each training is expected to come to.

        Before enough is known every accuracy is as likely as any other.
        """
        if not self.knows_enough:
            return [Predicted(mean=0.5, spread=0.3)] * len(trainings)
        if self._stale:
            self._fit()
        mean, spread = self._fitted.predict(_rows(trainings), return_std=True)
        # What is to be hoped for is another network, not another measurement of an equal one.
        doubt = np.sqrt(np.maximum(spread**2 - self._noise, 0.0))
        return [
            Predicted(mean=min(max(float(m), 0.0), 1.0), spread=float(s))
            for m, s in zip(mean, doubt, strict=True)
        ]

    def _fit(self) -> None:
        from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415 - not on the way to --help
        from sklearn.gaussian_process import GaussianProcessRegressor  # noqa: PLC0415

        known = [*self._ends, *self._on_the_way]
        anew = self._fitted is None or len(known) >= _REFIT_AT * self._fitted_to
        model = GaussianProcessRegressor(
            kernel=_kernel() if anew else self._fitted.kernel_,
            optimizer="fmin_l_bfgs_b" if anew else None,
            normalize_y=True,
        )
        with warnings.catch_warnings():
            # An amount at the end of its range says that it does not matter.
            warnings.simplefilter("ignore", ConvergenceWarning)
            accuracies = np.array([accuracy for _, accuracy in known])
            model.fit(_rows([training for training, _ in known]), accuracies)
        self._noise = float(model.kernel_.k2.noise_level * accuracies.var())
        self._fitted, self._stale = model, False
        self._fitted_to = len(known) if anew else self._fitted_to


def _kernel() -> Any:
    from sklearn.gaussian_process.kernels import (  # noqa: PLC0415 - as above
        ConstantKernel,
        DotProduct,
        Matern,
        WhiteKernel,
    )

    trend = ConstantKernel(1.0, (1e-3, 1e2)) * DotProduct(1.0, "fixed")
    departure = ConstantKernel(1.0, (1e-3, 1e2)) * Matern(1.0, (0.2, 10.0), nu=2.5)
    return trend + departure + WhiteKernel(1e-2, (1e-4, 1.0))


def _rows(trainings: Sequence[Training]) -> Array:
    return np.array([training.row() for training in trainings])


def _some_of(epochs: int) -> list[int]:
    """Return numbers of a few epochs, evenly spread, the last among them."""
    count = min(_CURVE_POINTS, epochs)
    return [round(epochs * (i + 1) / count) for i in range(count)]


def _at(training: Training, epoch: int, planned: int) -> Training:
    """Return a training as it is after some of its epochs."""
    return replace(training, epochs=epoch, progress=epoch / planned)
