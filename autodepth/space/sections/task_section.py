"""What is learned: the key `task` of a space file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field, JsonValue, Strict, model_validator

from autodepth.errors import did_you_mean
from autodepth.space.sections.section import Section, must, several

CLASSIFICATION = "classification"
SHIPPED: tuple[str, ...] = (
    CLASSIFICATION,
    "embedding",
    "detection",
    "segmentation",
    "regression",
)
"""Tasks by name; every other one is `package.module:callable`."""
CLASS_METRICS = ("top5", "macro_f1", "auroc", "class_accuracy", "worst_class_accuracy")
"""What a classification may be measured by beside accuracy."""
OF_ONE_CLASS = "accuracy_of_"
"""Begins the name of a metric that is the accuracy of one class."""
_OWN = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def is_own(name: str) -> bool:
    """Whether a name is of the form `package.module:callable`."""
    return _OWN.fullmatch(name) is not None


def _known(name: str) -> str:
    if name not in SHIPPED and not is_own(name):
        raise ValueError(
            f"must be {', '.join(SHIPPED)} or package.module:callable, but got {name!r}"
            + did_you_mean(name, SHIPPED)
        )
    return name


class TaskSection(Section):
    """What the network learns, and what it is judged by."""

    name: Annotated[str, AfterValidator(_known)] = Field(
        CLASSIFICATION,
        description=f"{', '.join(SHIPPED)}, or package.module:callable with --own-code",
    )
    arguments: Annotated[
        Mapping[str, JsonValue], Strict(strict=False), must("a mapping from names to plain values")
    ] = Field(default_factory=dict, description="what the task is made with, by name")

    @model_validator(mode="after")
    def _metrics_are_known(self) -> TaskSection:
        if self.name == CLASSIFICATION and self.arguments:
            for key, asked in self.arguments.items():
                if told := _unknown_argument(key, asked):
                    raise several([(("arguments", key), told)])
        return self


def class_metrics(arguments: object) -> tuple[str, ...]:
    """Return the names of metrics that the arguments of a classification ask for."""
    asked = arguments.get("metrics", ()) if isinstance(arguments, Mapping) else ()
    return tuple(asked) if isinstance(asked, list | tuple) else ()


def _unknown_argument(key: str, asked: object) -> str:
    """Return what is wrong with an argument of a classification; nothing if it is right."""
    if key != "metrics":
        return f"classification takes metrics alone, but got {key!r}"
    if not isinstance(asked, list | tuple) or not asked:
        return f"must be a list of {', '.join(CLASS_METRICS)}, but got {asked!r}"
    for name in asked:
        if not isinstance(name, str) or not (
            name in CLASS_METRICS or (name.startswith(OF_ONE_CLASS) and name.isidentifier())
        ):
            known = f"{', '.join(CLASS_METRICS)} and {OF_ONE_CLASS}CLASS"
            hint = did_you_mean(str(name), CLASS_METRICS)
            return f"must be of {known}, but got {name!r}{hint}"
    if len(set(asked)) < len(asked):
        return "must name each metric once"
    return ""
