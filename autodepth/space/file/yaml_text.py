"""YAML text as plain values with positions. Nothing in it is executed, converted or expanded.

Only what a space file needs is read: mappings, lists and plain values. Anchors, aliases and tags
are refused, so a small file cannot grow large and no class is ever named by a file.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    NodeEvent,
)
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from autodepth.policy.values import Scalar
from autodepth.space.sections.messages import Mistake
from autodepth.space.sections.section import Place

MAX_DEPTH = 16
"""Nesting allowed; a space file needs six, and the parser recurses."""

_LARGEST = 2**63 - 1
_NO_FOLDING = 1_000_000
_PLAIN = {f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "bool", "null")}
_UNQUOTED_COMPARISON = re.compile(r"[:{,\[]\s*>=?\s*[-.\d]")

Position = tuple[int, int]
"""Line and column, from 1."""


class YamlError(Exception):
    """Text that cannot be read at all, and the first position where."""

    def __init__(self, message: str, position: Position) -> None:
        super().__init__(message)
        self.position = position


@dataclass(frozen=True)
class Document:
    """A YAML text, read.

    Args:
        content: mappings, lists and plain values.
        keys: position of each key.
        values: position of each value; of the whole under `()`.
        mistakes: keys given twice or that are no text, and numbers that are too large.
    """

    content: Any = None
    keys: dict[Place, Position] = field(default_factory=dict)
    values: dict[Place, Position] = field(default_factory=dict)
    mistakes: list[tuple[Position, Mistake]] = field(default_factory=list)

    def position(self, mistake: Mistake) -> Position:
        """Return where a mistake is; what is missing lies where its parent begins."""
        place = mistake.place
        if mistake.at_key and place in self.keys:
            return self.keys[place]
        while place not in self.values:
            place = place[:-1]
        return self.values[place]


def parse_yaml(text: str) -> Document:
    """Read a YAML text.

    Raises:
        YamlError: the text is not YAML, is empty, or uses anchors, aliases, tags, directives or
            several documents.
    """
    try:
        _refuse_unsafe(_yaml().parse(text))
        root = _yaml().compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlError(_syntax_message(error, text), (mark.line + 1, mark.column + 1)) from None
    except ReaderError as error:
        before = text[: error.position]
        position = before.count("\n") + 1, error.position - before.rfind("\n")
        raise YamlError("not valid YAML: a control character", position) from None
    if root is None:
        raise YamlError("the file is empty", (1, 1))
    return _Reader().read(root)


def write_yaml(content: Mapping[str, Any]) -> str:
    """Return plain values as YAML text that `parse_yaml` reads as the same values."""
    yaml = _yaml()
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    # ruamel.yaml 0.19 folds long text, and writes U+0085, so that they read as other text.
    yaml.width = _NO_FOLDING
    yaml.allow_unicode = False
    # One object met twice would become an anchor and an alias.
    yaml.representer.ignore_aliases = lambda _: True
    text = io.StringIO()
    yaml.dump(dict(content), text)
    return text.getvalue()


_BY_NUMBER = (("widths",),)  # mappings of a policy whose keys are numbers of branches


class _Reader:
    """Turns YAML nodes into plain values and notes where each stood."""

    def __init__(self) -> None:
        self.document = Document()
        self.constructor = _yaml().constructor

    def read(self, root: Node) -> Document:
        content = self._value(root, ())
        found = self.document
        return Document(content, found.keys, found.values, found.mistakes)

    def _value(self, node: Node, place: Place) -> Any:
        self.document.values[place] = _position(node)
        if isinstance(node, MappingNode):
            return self._mapping(node, place)
        if isinstance(node, SequenceNode):
            return [self._value(item, (*place, i)) for i, item in enumerate(node.value)]
        return self._scalar(node, place)

    def _mapping(self, node: MappingNode, place: Place) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            plain = () if place[-1:] in _BY_NUMBER else _PLAIN
            if not isinstance(key_node, ScalarNode) or key_node.tag in plain:
                self._note(key_node, place, "keys must be names")
                continue
            key = str(key_node.value)
            here = (*place, key)
            if key in values:
                line = self.document.keys[here][0]
                self._note(key_node, here, f"given twice; the first is on line {line}")
                continue
            self.document.keys[here] = _position(key_node)
            values[key] = self._value(value_node, here)
        return values

    def _scalar(self, node: Node, place: Place) -> Scalar:
        if node.tag not in _PLAIN:  # dates too stay the text they are
            return str(node.value)
        try:
            value: Scalar = self.constructor.construct_object(node)
        except ValueError:
            value = None
        if value is None and node.tag.endswith("int"):
            value = _LARGEST + 1
        if isinstance(value, int) and abs(value) > _LARGEST:
            self._note(node, place, f"must be at most {_LARGEST}, but got a larger number")
            return 0
        return value

    def _note(self, node: Node, place: Place, message: str) -> None:
        self.document.mistakes.append((_position(node), Mistake(place=place, message=message)))


def _yaml() -> YAML:
    return YAML(typ="safe", pure=True)


def _position(node: Node) -> Position:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _refuse_unsafe(events: Iterator[Event]) -> None:
    depth = documents = 0
    for event in events:
        position = event.start_mark.line + 1, event.start_mark.column + 1
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        documents += isinstance(event, DocumentStartEvent)
        if isinstance(event, AliasEvent):
            raise YamlError(f"alias *{event.anchor}: write the value out", position)
        if isinstance(event, NodeEvent) and event.anchor:
            raise YamlError(f"anchor &{event.anchor}: write the value where it is used", position)
        if tag := getattr(event, "tag", None):
            name = str(tag).replace("tag:yaml.org,2002:", "!!")
            raise YamlError(f"tag {name}: write a plain value, tags are not read", position)
        if isinstance(event, DocumentStartEvent) and event.version:
            raise YamlError("a %YAML line is not accepted; remove it", position)
        if documents > 1:
            raise YamlError("one file holds one space, but a second document begins here", position)
        if depth > MAX_DEPTH:
            raise YamlError(f"nested deeper than {MAX_DEPTH} levels", position)


def _syntax_message(error: MarkedYAMLError, text: str) -> str:
    mark = error.problem_mark or error.context_mark
    lines = text.splitlines() or [""]
    line = lines[min(mark.line, len(lines) - 1)]
    problem = str(error.problem or error.context)
    if _UNQUOTED_COMPARISON.search(line):
        problem = 'a comparison must be quoted, for example "> 0"'
    elif "'\\t'" in problem:
        problem = "a tab cannot indent, use spaces"
    return f"not valid YAML: {problem}"
