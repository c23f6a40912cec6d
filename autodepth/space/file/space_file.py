"""Reading a space file: every mistake at once, each with its line and column."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autodepth.errors import SpaceFileError
from autodepth.policy.values import shown
from autodepth.space.file.yaml_text import Document, YamlError, parse_yaml
from autodepth.space.search_space import SearchSpace
from autodepth.space.sections.messages import Mistake, find_mistakes, shown_place
from autodepth.space.sections.section import Place

MAX_BYTES = 1_000_000


def load_space(path: Path | str, overrides: Sequence[str] = ()) -> SearchSpace:
    """Read a space file.

    Args:
        path: a YAML file.
        overrides: `path=value` each, as `--set` takes them: `train.epochs=3`,
            `search.p_L.max=0.9`. The value is YAML. They are applied before anything is checked.

    Raises:
        SpaceFileError: the file or an override has mistakes; all of them are told.
    """
    document = read_document(path)
    settings = [_parse_override(text) for text in overrides]
    for setting in settings:
        _apply(setting, document.content)
    model, mistakes = find_mistakes(document.content)
    if model is None or document.mistakes:
        raise SpaceFileError(_lines(str(path), document, mistakes, settings))
    return SearchSpace.from_model(model)


def check_space(path: Path | str) -> list[str]:
    """Return all mistakes of a space file as `file:line:col: path: message`; none if it is fine."""
    try:
        load_space(path)
    except SpaceFileError as error:
        return list(error.mistakes)
    return []


@dataclass(frozen=True, kw_only=True)
class _Override:
    text: str
    place: Place
    value: Any

    def concerns(self, place: Place) -> bool:
        """Return whether the override set the place, a part of it or what holds it."""
        common = min(len(place), len(self.place))
        return common > 0 and place[:common] == self.place[:common]


def read_document(path: Path | str) -> Document:
    """Read a file of settings: YAML that holds a mapping, in UTF-8, of at most 1 MB.

    Raises:
        SpaceFileError: it is none; keys given twice are left to the caller.
    """
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            content = file.read(MAX_BYTES + 1)
            silent = not content and stat.S_ISFIFO(os.fstat(file.fileno()).st_mode)
    except OSError as error:
        raise SpaceFileError([f"{path}: cannot be read: {error.strerror}"]) from None
    if silent:
        raise SpaceFileError([f"{path}:1:1: is a pipe that nobody writes to"])
    if len(content) > MAX_BYTES:
        raise SpaceFileError([f"{path}:1:1: a space file must be at most 1 MB"])
    try:
        document = parse_yaml(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        raise SpaceFileError([f"{path}:{line}:{column}: must be text in UTF-8"]) from None
    except YamlError as error:
        line, column = error.position
        raise SpaceFileError([f"{path}:{line}:{column}: {error}"]) from None
    if not isinstance(document.content, dict):
        line, column = document.values[()]
        got = shown(document.content)
        raise SpaceFileError([f"{path}:{line}:{column}: must be a mapping, but got {got}"])
    return document


def _open_at_once(path: str, flags: int) -> int:
    """Open a file; a named pipe without waiting for somebody who may never write to it."""
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    os.set_blocking(descriptor, True)
    return descriptor


def _parse_override(text: str) -> _Override:
    name, equals, value = text.partition("=")
    if not equals or not re.fullmatch(r"\w+(\.\w+)*", name.strip(), re.ASCII):
        raise SpaceFileError(
            [f"--set {text}: must be path=value, for example --set train.epochs=3"]
        )
    if not value.strip():
        raise SpaceFileError([f"--set {text}: the value is missing; write null for none"])
    try:
        document = parse_yaml(value)
    except YamlError as error:
        raise SpaceFileError([f"--set {text}: {error}"]) from None
    if document.mistakes:
        raise SpaceFileError([f"--set {text}: {document.mistakes[0][1].message}"])
    place = tuple(int(part) if part.isdecimal() else part for part in name.strip().split("."))
    return _Override(text=text, place=place, value=document.content)


def _apply(override: _Override, content: Any) -> None:
    *parents, last = override.place
    for depth, part in enumerate(parents):
        if depth == 0 and part in {"network", "data"} and isinstance(content.get(part), str):
            content[part] = {"name": content[part]}
        if isinstance(content, dict):
            content.setdefault(part, {})
        _check_holds(override, content, depth)
        content = content[part]
    if isinstance(content, dict):
        content.setdefault(last, None)
    _check_holds(override, content, len(parents))
    content[last] = override.value


def _check_holds(override: _Override, content: Any, depth: int) -> None:
    """Raise SpaceFileError unless the content has what the override names at this depth."""
    part = override.place[depth]
    is_list = isinstance(content, list) and isinstance(part, int) and part < len(content)
    if not is_list and not (isinstance(content, dict) and isinstance(part, str)):
        holder = shown_place(override.place[:depth]) or "the file"
        raise SpaceFileError([f"--set {override.text}: {holder} holds no {part} to set"])


def _lines(
    file: str, document: Document, mistakes: Sequence[Mistake], overrides: Sequence[_Override]
) -> list[str]:
    """Return one line per mistake: those of the file in its order, then those of the overrides."""
    found = list(document.mistakes)
    of_overrides = []
    for mistake in mistakes:
        override = next((o for o in reversed(overrides) if o.concerns(mistake.place)), None)
        if override is None:
            found.append((document.position(mistake), mistake))
            continue
        where = () if mistake.place == override.place else mistake.place
        of_overrides.append(f"--set {override.text}: {_told(where, mistake.message)}")
    found.sort(key=lambda item: item[0])
    return [
        *(f"{file}:{line}:{col}: {_told(m.place, m.message)}" for (line, col), m in found),
        *of_overrides,
    ]


def _told(place: Place, message: str) -> str:
    return f"{shown_place(place)}: {message}" if place else message
