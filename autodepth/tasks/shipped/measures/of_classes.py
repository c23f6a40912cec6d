"""What a classification is measured by beside top-1, where it is asked for; by torchmetrics."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

from torch import Tensor

from autodepth.errors import TaskError, did_you_mean
from autodepth.space.sections.task_section import CLASS_METRICS, OF_ONE_CLASS
from autodepth.tasks.task import Metric
from autodepth.torchvision_door import import_torchvision

_TOP = 5


class ClassMeasures:
    """The metrics of a classification: accuracy, and those that are asked for.

    Args:
        asked: names of `CLASS_METRICS`, or `accuracy_of_` and the name of a class, in which
            whatever is no letter or digit is `_`.
        classes: name of each class, in the order of the scores; at least 2.

    Raises:
        TaskError: a class is unknown, or torchmetrics is not installed.
    """

    def __init__(self, asked: Sequence[str], classes: Sequence[str]) -> None:
        self._asked, self._count = tuple(asked), len(classes)
        self._numbers = {_plain(name): number for number, name in enumerate(classes)}
        for name in asked:
            if name not in CLASS_METRICS and self._number(name) is None:
                known = [f"{OF_ONE_CLASS}{each}" for each in self._numbers]
                raise TaskError(
                    f"task.arguments.metrics: {name!r} is the accuracy of no class"
                    + did_you_mean(name, known)
                )
        _torchmetrics()
        chance = {"auroc": Metric(worst=0.5), "macro_f1": Metric()}
        self.metrics: Mapping[str, Metric] = {
            "accuracy": Metric(unit="%"),
            **{name: chance.get(name, Metric(unit="%")) for name in asked},
        }

    def meter(self) -> ClassMeter:
        """Return what measures a whole split."""
        numbers = {name: self._number(name) for name in self._asked}
        return ClassMeter(self._count, numbers)

    def _number(self, name: str) -> int | None:
        return self._numbers.get(name.removeprefix(OF_ONE_CLASS))


class ClassMeter:
    """Takes in scores of classes, and measures them at the end.

    Args:
        classes: how many there are.
        asked: names of metrics, each with the number of the class it is of, or None.
    """

    def __init__(self, classes: int, asked: Mapping[str, int | None]) -> None:
        found, self._asked = _torchmetrics(), asked
        self._counts = found.MulticlassConfusionMatrix(classes)
        ways: dict[str, Callable[[], Any]] = {
            "top5": lambda: found.MulticlassAccuracy(
                classes, top_k=min(_TOP, classes), average="micro"
            ),
            "macro_f1": lambda: found.MulticlassF1Score(classes, average="macro"),
            "auroc": lambda: found.MulticlassAUROC(classes, average="macro"),
        }
        self._others = {name: make() for name, make in ways.items() if name in asked}

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        """Take in scores [B, classes] and labels [B]."""
        shares = outputs.float().softmax(1)
        for metric in (self._counts, *self._others.values()):
            metric.to(outputs.device).update(shares, targets)

    def compute(self) -> dict[str, Any]:
        """Return accuracy and what is asked for; a class without examples counts for nothing."""
        counts = self._counts.compute().double().cpu()
        right, seen = counts.diagonal(), counts.sum(1)
        of_class = right / seen
        found = {
            "class_accuracy": of_class[seen > 0].mean(),
            "worst_class_accuracy": of_class[seen > 0].min(),
            **{name: metric.compute() for name, metric in self._others.items()},
        }
        single = {
            name: of_class[n].nan_to_num() for name, n in self._asked.items() if n is not None
        }
        told = {name: float((found | single)[name]) for name in self._asked}
        return {"accuracy": float(right.sum() / seen.sum()), **told}


def class_measures(arguments: Mapping[str, Any], classes: Sequence[str]) -> ClassMeasures | None:
    """Return what the arguments of a classification ask for; None where they ask for nothing.

    Raises:
        TaskError: as of `ClassMeasures`.
    """
    asked = arguments.get("metrics", ())
    return ClassMeasures(asked, classes) if asked else None


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]", "_", name)


def _torchmetrics() -> Any:
    """Return the metrics of classifications; torchmetrics is an extra, and takes a second."""
    import_torchvision()  # which it imports
    try:
        return import_module("torchmetrics.classification")
    except ModuleNotFoundError as error:
        raise TaskError(
            "metrics of classes need the extra metrics: pip install 'autodepth[metrics]'"
        ) from error
