"""The accuracy that a network of a study would come to, and how sure that is.

Learned from the networks that the study cut out of its parents. What tells most is how accurate the
parent was, what share of the MACs is left, how long that is fine-tuned, and what the branches that
went were worth on the parent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from autodepth.study.propose.predict.accuracy_model import AccuracyModel, Predicted, Training

_FOLDS = 5
_LEAST_START = 1e-3  # accuracy of a parent that the model tells from none


@dataclass(frozen=True, kw_only=True)
class Known:
    """A network that was cut out of a parent, and fine-tuned.

    Args:
        epochs: of fine-tuning.
        share: of the whole network's MACs that is left.
        lost: share of what all branches are worth that went with those removed or narrower.
        parent: accuracy of the parent.
        curve: accuracy after each epoch of fine-tuning.
        accuracy: in the end.
    """

    epochs: int
    share: float
    lost: float
    parent: float
    curve: Sequence[float]
    accuracy: float


class Expectation:
    """Predicts accuracies of networks that are cut out of the parents of one study.

    Args:
        known: what was cut out of them so far.
    """

    def __init__(self, known: Sequence[Known]) -> None:
        self._known = known
        self._model = _learned(known)
        self.trials = len(known)
        """How many networks it knows."""
        self.off_by = self._off_by()
        """How far it was off where tried on trials it had not seen, a mean; None of too few."""

    def of(self, *, epochs: int, share: float, lost: float, parent: float) -> Predicted | None:
        """Return the accuracy that a network will come to; None of too few trials.

        Args:
            epochs: of fine-tuning.
            share: of the whole network's MACs that is left.
            lost: share of what all branches are worth.
            parent: accuracy of the parent.
        """
        if self.trials < 2:
            return None
        return self._model.predict([_training(epochs, share, lost, parent)])[0]

    def _off_by(self) -> float | None:
        if self.trials < 2 * _FOLDS:
            return None
        errors = []
        for fold in range(_FOLDS):
            model = _learned([k for i, k in enumerate(self._known) if i % _FOLDS != fold])
            unseen = [k for i, k in enumerate(self._known) if i % _FOLDS == fold]
            predicted = model.predict(
                [_training(k.epochs, k.share, k.lost, k.parent) for k in unseen]
            )
            errors += [abs(p.mean - k.accuracy) for p, k in zip(predicted, unseen, strict=True)]
        return fmean(errors)


def _learned(known: Sequence[Known]) -> AccuracyModel:
    model = AccuracyModel()
    for network in known:
        training = _training(network.epochs, network.share, network.lost, network.parent)
        model.learn(training, [*network.curve[:-1], network.accuracy])
    return model


def _training(epochs: int, share: float, lost: float, parent: float) -> Training:
    return Training(
        macs=share, epochs=epochs, start=max(parent, _LEAST_START), kept=share, choice=(lost,)
    )
