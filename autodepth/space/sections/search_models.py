"""Sections on the search itself: sampler, first policies, rungs, confirmation."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, Strict

from autodepth.errors import did_you_mean
from autodepth.policy.settings import SEARCHED
from autodepth.policy.values import Scalar
from autodepth.space.sections.section import Count, Place, Section, must, one_of, several
from autodepth.units import parse_bytes, parse_duration

SamplerName = Literal["tpe", "nsga2", "gp", "qmc", "random"]
_SAMPLERS = ("tpe", "nsga2", "gp", "qmc", "random")
START_NAMES = ("shallow", "unpruned", "linear_rule", "constant_depth", "mild", "strong")
"""Policies that `start_with` knows by name."""

_PART = re.compile(r"sensitivity_threshold\.[1-9][0-9]*")  # of one stage or block

StartPoint = str | Mapping[str, Scalar]


class SamplerSection(Section):
    """How policies are proposed."""

    name: Annotated[SamplerName, one_of(*_SAMPLERS)] = Field(
        "tpe",
        description="tpe (tree-structured Parzen estimator), nsga2 (genetic), gp (Gaussian "
        "process), qmc (quasi-random) or random",
    )
    startup_trials: Annotated[int, Field(ge=0), must("a whole number of at least 0")] = Field(
        8,
        description="trials before tpe or gp learn from them; until then what promises most is "
        "taken",
    )
    gap_share: Annotated[float, Field(ge=0, le=1), must("a share in [0, 1]")] = Field(
        0.8,
        description="share of the policies that are chosen by what they promise the front for "
        "their work; random and qmc have none",
    )
    population: Annotated[Count, Field(ge=2), must("a whole number of at least 2")] = Field(
        16, description="policies per generation of nsga2"
    )


class RungsSection(Section):
    """At which epochs trials are compared with each other, the hopeless ones being stopped."""

    at: Annotated[
        tuple[Annotated[float, Field(gt=0, lt=1), must("a share in (0, 1)")], ...],
        Strict(strict=False),
    ] = Field((0.25, 0.5), description="shares of a stage's epochs at which trials are compared")
    stages: Annotated[
        tuple[Annotated[Literal["parent", "fine_tune"], one_of("parent", "fine_tune")], ...],
        Strict(strict=False),
    ] = Field(("fine_tune",), description="stages in which trials are compared; [] stops none")
    keep: Annotated[float, Field(gt=0, le=1), must("a share in (0, 1]")] = Field(
        0.12, description="share of the trials at a rung that go on for their rank alone"
    )


class ConfirmationSection(Section):
    """What becomes of the front before it is reported."""

    share: Annotated[float, Field(ge=0, lt=1), must("a share in [0, 1)")] = Field(
        0.2, description="share of the budget kept back for retraining the front on fresh seeds"
    )
    seeds: Annotated[int, Field(ge=0), must("a whole number of at least 0")] = Field(
        2, description="fresh seeds per member of the front"
    )


def _duration(text: str) -> str:
    parse_duration(text)
    return text


def _size(text: str) -> str:
    parse_bytes(text)
    return text


class LimitsSection(Section):
    """What ends a trial, or the study, though there is budget left."""

    trial: Annotated[
        Annotated[str, AfterValidator(_duration)] | None,
        must("a duration such as 30min or 2h, or null"),
    ] = Field(None, description="longest time of a trial, which fails beyond it; null for any")
    failed_trials: Annotated[
        Annotated[int, Field(ge=0)] | None, must("a whole number of at least 0, or null")
    ] = Field(
        None,
        description="failed trials that the study bears, which ends with one more; null ends it "
        "when most fail",
    )
    memory: Annotated[
        Annotated[str, AfterValidator(_size)] | None, must("a size such as 8GB, or null")
    ] = Field(
        None, description="host memory a trial may take beyond its process's own; null for any"
    )

    @property
    def trial_seconds(self) -> float:
        """Longest time of a trial; infinite without a limit."""
        return math.inf if self.trial is None else parse_duration(self.trial)

    @property
    def memory_bytes(self) -> int | None:
        """Host memory a trial may take."""
        return None if self.memory is None else parse_bytes(self.memory)


def _known(points: tuple[StartPoint, ...]) -> tuple[StartPoint, ...]:
    mistakes: list[tuple[Place, str]] = []
    for i, point in enumerate(points):
        if isinstance(point, str):
            if point not in START_NAMES:
                hint = did_you_mean(point, START_NAMES)
                known = ", ".join(START_NAMES)
                mistakes.append(
                    ((i,), f"must be one of {known}, or settings, but got {point!r}{hint}")
                )
            continue
        mistakes += [
            ((i, name), f"unknown setting{did_you_mean(name, SEARCHED)}")
            for name in point
            if name not in SEARCHED and not _PART.fullmatch(name)
        ]
    if mistakes:
        raise several(mistakes)
    return points


StartPoints = Annotated[
    tuple[Annotated[StartPoint, must("a policy's name or a mapping of settings")], ...],
    Strict(strict=False),
    AfterValidator(_known),
]
