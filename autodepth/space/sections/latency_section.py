"""The section on places: where networks are timed beside the device that trains them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field, Strict

from autodepth.errors import did_you_mean
from autodepth.policy.values import shown
from autodepth.space.objectives import PLACE_PATTERN
from autodepth.space.sections.section import Count, Place, Section, must, one_of, several
from autodepth.units import parse_duration

RunnerName = Literal[
    "torch", "torch-compile", "onnxruntime", "openvino", "executorch", "command"
]  # fmt: skip
RUNNERS: tuple[RunnerName, ...] = get_args(RunnerName)
PLACES = tuple(name for name in RUNNERS if name != "command")
"""Runners that are places by themselves: they need no settings."""


def _duration(text: str) -> str:
    parse_duration(text)
    return text


class LatencySection(Section):
    """A place where networks are timed: `latency_ms@NAME` is what a pass takes there."""

    on: Annotated[RunnerName | None, one_of(*RUNNERS)] = Field(
        None, description="what runs networks; left out, the runner that the place is named like"
    )
    command: Annotated[str | None, must("a command")] = Field(
        None,
        description="of on: command, a program of yours that prints milliseconds on its last line, "
        "such as `ssh board ./bench {onnx}`; {batch}, {threads} and {warm_up} are told, too",
    )
    batch: Annotated[Count, must("a whole number of at least 1")] = Field(
        1, description="images per pass"
    )
    threads: Annotated[Count, must("a whole number of at least 1")] = Field(
        1, description="CPU threads; on one the time that it computed counts, so others do not"
    )
    warm_up: Annotated[int, Field(ge=0), must("a whole number of at least 0")] = Field(
        3, description="passes that do not count"
    )
    limit: Annotated[
        Annotated[str, AfterValidator(_duration)], must("a duration such as 30s or 2min")
    ] = Field("2min", description="longest time per network; beyond it the latency is unknown")

    @property
    def limit_seconds(self) -> float:
        """Longest time per network."""
        return parse_duration(self.limit)

    @property
    def takes_onnx(self) -> bool:
        """Whether it is given ONNX files; else it is given networks themselves."""
        return self.on != "torch" and self.suffix == ".onnx"

    @property
    def suffix(self) -> str:
        """Of the files it takes."""
        return {"torch-compile": ".pt2", "executorch": ".pte"}.get(str(self.on), ".onnx")


def _named(places: Mapping[str, LatencySection]) -> Mapping[str, LatencySection]:
    """Fill in runners that places are named like; say what does not go together."""
    mistakes: list[tuple[Place, str]] = []
    found = {}
    for name, place in places.items():
        on = place.on or next((runner for runner in RUNNERS if runner == name), None)
        if on is None:
            hint = did_you_mean(name, PLACES)
            told = f"must have an `on`, one of {', '.join(RUNNERS)}, as it is named {name!r}{hint}"
            mistakes.append(((name,), told))
        elif (on == "command") != (place.command is not None):
            told = "must be given where on is command, and there only"
            mistakes.append(((name, "command") if place.command else (name,), f"command {told}"))
        elif place.command is not None and "{onnx}" not in place.command:
            told = f"must name {{onnx}}, the file of the network, but got {shown(place.command)}"
            mistakes.append(((name, "command"), told))
        found[name] = place.model_copy(update={"on": on})
    if mistakes:
        raise several(mistakes)
    return found


Places = Annotated[
    Mapping[Annotated[str, Field(pattern=f"^{PLACE_PATTERN}$")], LatencySection],
    Strict(strict=False),
    AfterValidator(_named),
]


def place_named(name: str, places: Mapping[str, LatencySection]) -> LatencySection | None:
    """Return a place of a space by its name, or a runner that needs no settings; else None."""
    on = next((runner for runner in PLACES if runner == name), None)
    return places.get(name) or (LatencySection(on=on) if on else None)
