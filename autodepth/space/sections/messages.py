"""Mistakes in a space file, in words a person can act on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from autodepth.errors import did_you_mean
from autodepth.policy.settings import SEARCHED, THRESHOLD
from autodepth.policy.values import shown
from autodepth.space.conditions import condition_mistakes
from autodepth.space.objectives import is_of_task, unknown_metric
from autodepth.space.objectives import place_of as metric_place
from autodepth.space.sections.latency_section import PLACES
from autodepth.space.sections.models import SECTIONS, TASK_DATA, SpaceModel
from autodepth.space.sections.section import Place
from autodepth.space.sections.setting_models import DOMAIN_SECTIONS
from autodepth.space.sections.task_section import CLASSIFICATION, class_metrics, is_own


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """Something in a space file that cannot be used.

    Args:
        place: keys and list positions that lead to it.
        message: what is wrong.
        at_key: whether it is the key that is wrong, and not its value.
    """

    place: Place
    message: str
    at_key: bool = False


def find_mistakes(content: Any) -> tuple[SpaceModel | None, list[Mistake]]:
    """Judge what a space file holds.

    Args:
        content: the file's content as plain values.

    Returns:
        The model, None if there is any mistake; and every mistake.
    """
    model, mistakes = None, []
    try:
        model = SpaceModel.model_validate(content)
    except ValidationError as error:
        mistakes = mistakes_of(error)
    told = {mistake.place for mistake in mistakes}
    more = [*task_mistakes(content), *_place_mistakes(content), *_condition_mistakes(content)]
    mistakes += [mistake for mistake in more if mistake.place not in told]
    mistakes.sort(key=lambda mistake: _needed_first(mistake.place))
    return (None if mistakes else model), mistakes


def mistakes_of(error: ValidationError) -> list[Mistake]:
    """Translate what pydantic found."""
    return [mistake for detail in error.errors() for mistake in _translate(detail)]


def shown_place(place: Place) -> str:
    """Return `search.p_L.max` or `objectives[1].name`; keys that are no plain names are quoted."""
    text = ""
    for part in place:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            plain = re.fullmatch(r"[\w.-]{1,60}", part, re.ASCII)
            text += ("." if text else "") + (part if plain else shown(part))
    return text


def _translate(detail: ErrorDetails) -> Iterator[Mistake]:
    place = tuple(part for part in detail["loc"] if not str(part).startswith("<"))
    context: Mapping[str, Any] = detail.get("ctx", {})
    match detail["type"]:
        case "mistakes":
            for within, message in context["mistakes"]:
                yield Mistake(place=place + within, message=message)
        case "value_error":
            yield Mistake(place=place, message=str(context["error"]))
        case "extra_forbidden":
            yield Mistake(place=place, message=_unknown_key(detail["loc"]), at_key=True)
        case "missing":
            yield Mistake(place=place, message="is required, but missing")
        case "model_type" | "dict_type":
            message = f"must be a mapping, but got {shown(detail['input'])}"
            yield Mistake(place=place, message=message)
        case "tuple_type":
            message = f"must be a list, but got {shown(detail['input'])}"
            yield Mistake(place=place, message=message)
        case "too_long":
            message = f"must hold at most {context['max_length']} values, but got more"
            yield Mistake(place=place, message=message)
        case "default_factory_not_called":  # it waits for a field whose own mistake is told
            return
        case _:
            yield Mistake(place=place, message=detail["msg"])


def _unknown_key(loc: Place) -> str:
    *parents, key = loc
    names = [part for part in parents if isinstance(part, str)]
    section = "latency" if names[:1] == ["latency"] else names[-1] if names else ""
    setting = next((name for name in SEARCHED if key == place_of(name)[1]), None)
    if setting and section in {"", "search", "train"}:
        return f"unknown key here; this setting belongs under {place_of(setting)[0]}"
    known = list((DOMAIN_SECTIONS | SECTIONS)[section].model_fields)
    return "unknown key" + (did_you_mean(str(key), known) or f"; known are {', '.join(known)}")


def place_of(setting: str) -> tuple[str, str]:
    """Return section and key of a setting: `p_L` is `search`, `p_L` in a space file."""
    section, _, name = setting.rpartition(".")
    return (section or "search", name)


def task_mistakes(content: Any) -> list[Mistake]:
    """Judge what depends on the task: whose data they are, and which metrics there are."""
    if not isinstance(content, dict):
        return []
    task, data = (_name_in(content.get(key)) for key in ("task", "data"))
    if isinstance(task, str) and is_own(task):
        if data in {None, TASK_DATA}:
            return []
        told = f"must be left out, since the task {task} brings its own"
        return [Mistake(place=("data",), message=told, at_key=True)]
    classifies = task in {None, CLASSIFICATION}  # the metrics of others are known when it is made
    section = content.get("task")
    asked = class_metrics(section.get("arguments")) if isinstance(section, dict) else ()
    mistakes = [
        Mistake(place=place, message=unknown_metric(name))
        for place, name in _metrics_in(content)
        if classifies and is_of_task(name) and name.removeprefix("validation_") not in asked
    ]
    if data == TASK_DATA:
        told = f"must be what {task or CLASSIFICATION} learns from, which no task brings along"
        mistakes.append(Mistake(place=("data",), message=told))
    if "data" not in content:
        mistakes.append(Mistake(place=("data",), message="is required, but missing"))
    return mistakes


def _place_mistakes(content: Any) -> list[Mistake]:
    """Judge whether the places are there that latencies are asked for at."""
    places = content.get("latency", {}) if isinstance(content, dict) else None
    if not isinstance(places, dict):
        return []
    known = tuple(dict.fromkeys((*map(str, places), *PLACES)))
    return [
        Mistake(place=at, message=f"there is no place {place!r} under latency" + hint)
        for at, name in _metrics_in(content)
        if (place := metric_place(name)) is not None and place not in known
        for hint in [did_you_mean(place, known) or f"; known are {', '.join(known)}"]
    ]


def _needed_first(place: Place) -> int:
    """Return the rank of a key that has to be there among all, as the file has them."""
    first = ("network", "data")
    return first.index(place[0]) if place and place[0] in first else len(first)


def _name_in(section: object) -> object:
    return section.get("name") if isinstance(section, dict) else section


def _metrics_in(content: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    objectives, constraints = content.get("objectives"), content.get("constraints")
    for i, objective in enumerate(objectives if isinstance(objectives, list) else []):
        if isinstance(objective, dict) and isinstance(name := objective.get("name"), str):
            yield ("objectives", i, "name"), name
    for i, text in enumerate(constraints if isinstance(constraints, list) else []):
        if isinstance(text, str) and (match := re.match(r"\s*(\w+(?:@[\w.-]+)?)", text)):
            yield ("constraints", i), match[1]


def _condition_mistakes(content: Any) -> list[Mistake]:
    """Judge the conditions as written, so that mistakes elsewhere do not hide theirs."""
    conditions: dict[str, dict[str, object]] = {}
    per = "network"
    for name in SEARCHED:
        section, key = place_of(name)
        settings = content.get(section) if isinstance(content, dict) else None
        if not isinstance(settings, dict) or key not in settings:
            continue
        setting = settings[key] if isinstance(settings[key], dict) else {}
        when = setting.get("when")
        conditions[name] = when if isinstance(when, dict) else {}
        if name == THRESHOLD:
            per = str(setting.get("per", per))
    return [
        Mistake(place=(*place_of(name), "when", other), message=message, at_key=at_key)
        for name, other, message, at_key in condition_mistakes(conditions, per)
    ]
