"""What is learned: the key `task` of a space file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field, JsonValue, Strict

from autodepth.errors import did_you_mean
from autodepth.space.sections.section import Section, must

CLASSIFICATION = "classification"
SHIPPED: tuple[str, ...] = (
    CLASSIFICATION,
    "embedding",
    "detection",
    "segmentation",
    "regression",
)
"""Tasks by name; every other one is `package.module:callable`."""
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
