"""What rows of `scores_and_tuning.py` say: rank correlations, and how far a predictor is off."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from autodepth.study.propose.predict.accuracy_model import AccuracyModel, Training

RESAMPLED = 2000
JOINT = "KL of the set"


class Told:
    """What the rows say.

    Args:
        rows: of sets, of fine-tunings, and of the whole network.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        (self.whole,) = (row for row in rows if row["how"] == "whole")
        self.sets = [row for row in rows if "scores" in row]
        self._accuracies = defaultdict[tuple[str, float], list[float]](list)
        for row in rows:
            if "epochs" in row:
                self._accuracies[row["how"], row["epochs"]].append(row["accuracy"])
        known = sorted({epochs for _, epochs in self._accuracies})
        self.lengths = [
            epochs
            for epochs in known
            if all((r["how"], epochs) in self._accuracies for r in self.sets)
        ]
        self.seeds = len({row["seed"] for row in rows if "epochs" in row})

    def accuracies(self, epochs: float) -> list[float]:
        """Return the accuracy of each set after a length of fine-tuning, a mean over seeds."""
        return [statistics.fmean(self._accuracies[row["how"], epochs]) for row in self.sets]

    def seeds_agree(self, epochs: float) -> float:
        """Return the rank correlation of accuracies of the first two seeds."""
        of = [self._accuracies[row["how"], epochs][:2] for row in self.sets]
        return float(spearmanr(*zip(*of, strict=True)).statistic)

    def correlation(self, name: str, epochs: float) -> tuple[float, float, float]:
        """Return Spearman's of a score and accuracy, and its interval over sets drawn again."""
        scores = np.array([-row["scores"][name] for row in self.sets])
        accuracies, draws = np.array(self.accuracies(epochs)), np.random.default_rng(0)
        found = []
        for _ in range(RESAMPLED):
            some = draws.integers(len(scores), size=len(scores))
            found.append(spearmanr(scores[some], accuracies[some]).statistic)
        low, high = np.nanpercentile(found, [2.5, 97.5])
        return float(spearmanr(scores, accuracies).statistic), float(low), float(high)

    def predictor_off(self, names: Sequence[str]) -> list[float]:
        """Return how far the study's predictor is off on sets that it has not seen, by length.

        Args:
            names: of the scores that it knows beside cost, length and the whole network.
        """
        most = {name: max(abs(row["scores"][name]) for row in self.sets) for name in names}
        accuracies = [self.accuracies(epochs) for epochs in self.lengths]
        errors = []
        for unseen, row in enumerate(self.sets):
            model = AccuracyModel()
            for epochs, found in zip(self.lengths, accuracies, strict=True):
                for known, accuracy in enumerate(found):
                    if known != unseen:
                        model.learn(self._training(self.sets[known], most, epochs), [accuracy])
            told = model.predict([self._training(row, most, epochs) for epochs in self.lengths])
            own = [found[unseen] for found in accuracies]
            errors.append([abs(t.mean - accuracy) for t, accuracy in zip(told, own, strict=True)])
        return [statistics.fmean(by_set) for by_set in zip(*errors, strict=True)]

    def _training(
        self, row: Mapping[str, Any], most: Mapping[str, float], epochs: float
    ) -> Training:
        share = row["macs"] / self.whole["macs"]
        choice = tuple(row["scores"][name] / most[name] for name in most if name != JOINT)
        return Training(
            macs=share, epochs=epochs, start=self.whole["accuracy"], kept=share, choice=choice,
            divergence=row["scores"][JOINT] if JOINT in most else None,
        )  # fmt: skip


def table(told: Told, conditions: str) -> str:
    """Return the rows as Markdown."""
    heads = " | ".join(f"{epochs:g} epochs" for epochs in told.lengths)
    rule = "|---" * (1 + len(told.lengths)) + "|"
    lines = [conditions, "", f"| score | {heads} |", rule]
    found = {
        name: [told.correlation(name, epochs) for epochs in told.lengths]
        for name in told.sets[0]["scores"]
    }
    for name, by_length in sorted(found.items(), key=lambda item: -item[1][-1][0]):
        cells = [f"{rho:.2f} ({low:.2f} to {high:.2f})" for rho, low, high in by_length]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    if told.seeds > 1:
        cells = [f"{told.seeds_agree(epochs):.2f}" for epochs in told.lengths]
        lines.append(f"| accuracy with another seed | {' | '.join(cells)} |")
    lines += ["", f"| predictor knows, beside cost and length | {heads} |", rule]
    for names in ((), ("sum of ablation_kl",), (JOINT,)):
        cells = [f"{100 * off:.1f}" for off in told.predictor_off(names)]
        lines.append(f"| {names[0] if names else 'nothing'} | {' | '.join(cells)} |")
    lines += ["", f"| set | {JOINT} | {heads} |", "|---" * (2 + len(told.lengths)) + "|"]
    by_length = [told.accuracies(epochs) for epochs in told.lengths]
    for row, *accuracies in zip(told.sets, *by_length, strict=True):
        cells = " | ".join(f"{100 * accuracy:.1f}" for accuracy in accuracies)
        lines.append(f"| {row['how']} | {row['scores'][JOINT]:.2f} | {cells} |")
    return "\n".join([*lines, ""])
