"""The page of all settings of a space file, from the models that check it.

`python -m autodepth.space.reference FILE` writes it; a test keeps it equal to the models.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from autodepth.policy.policy import Policy
from autodepth.policy.settings import SEARCHED
from autodepth.space.schema import json_schema
from autodepth.space.sections.models import SECTIONS
from autodepth.space.sections.section import Section
from autodepth.space.sections.setting_models import DOMAIN_SECTIONS, SettingsSection

_HEAD = """# Space files: every key

Written by `make schema` from the models that check a space file; `autodepth init` writes one to
start from, `autodepth check FILE` says every mistake by line and column, and
`search_spaces/space.schema.json` lets an editor complete and check while you type. What the
settings do: [policies](../policies.md), [a search](../search.md).

Under `search` and `train` every setting is a value, a range or a choice; what is left out takes its
default.
"""
_EMPTY = object()
Schema = Mapping[str, Any]


def reference_page() -> str:
    """Return the page, in Markdown."""
    schema = json_schema()
    models = schema["$defs"]
    parts = [_HEAD]
    for key, section in [*SECTIONS.items(), ("normalisation", _normalisation())]:
        title = f"`{key}`" if key else "The file"
        parts.append(_part(title, section, models.get(section.__name__, schema), key))
    parts.append("## Ranges and choices\n")
    for name, section in DOMAIN_SECTIONS.items():
        parts.append(_part(f"{name.strip('<>')}", section, models[section.__name__], None))
    return "\n".join(parts)


def _normalisation() -> type[Section]:
    from autodepth.space.sections.models import NormalisationSection  # noqa: PLC0415

    return NormalisationSection


def _part(title: str, section: type[Section], schema: Schema, key: str | None) -> str:
    level = "###" if key is None else "##"
    rows = [f"| `{name}` | {_cell(takes)} | {_cell(default)} | {_cell(meaning)} |"
            for name, takes, default, meaning in _rows(section, schema, key or "")]  # fmt: skip
    head = ["| key | takes | default | what it is |", "|---|---|---|---|"]
    about = (section.__doc__ or "").partition("\n")[0]
    return "\n".join([f"{level} {title}\n", f"{about}\n", *head, *rows, ""])


def _rows(section: type[Section], schema: Schema, key: str) -> Iterator[tuple[str, str, str, str]]:
    policy = Policy()
    for name, field in section.model_fields.items():
        prefix = "train." if key == "train" else ""
        if issubclass(section, SettingsSection) and (rule := SEARCHED.get(prefix + name)):
            default = policy.value(prefix + name)
            yield name, rule.text.removeprefix("must be "), _plain(default), rule.meaning
            continue
        about = schema["properties"][name]
        default = "needed" if field.is_required() else _plain(about.get("default", _EMPTY))
        yield name, _takes(about), default, field.description or ""


def _takes(schema: Schema) -> str:
    """Say what a value may be, from its JSON Schema."""
    if "anyOf" in schema or "oneOf" in schema:
        told = [_takes(part) for part in schema.get("anyOf", schema.get("oneOf"))]
        return " or ".join(dict.fromkeys(told))
    if known := schema.get("enum", [schema["const"]] if "const" in schema else None):
        return ", ".join(map(str, known))
    if "$ref" in schema:
        return "a mapping, see below"
    kind = schema.get("type", "a plain value")
    if kind == "array":
        return f"a list of: {_takes(schema.get('items', {}))}"
    if kind in {"number", "integer"}:
        return ("a whole number" if kind == "integer" else "a number") + _bounds(schema)
    names = {"string": "text", "boolean": "true or false", "object": "a mapping"}
    return names.get(kind, str(kind))


def _bounds(schema: Schema) -> str:
    words = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "up to",
             "exclusiveMaximum": "below"}  # fmt: skip
    return "".join(f" {word} {schema[name]}" for name, word in words.items() if name in schema)


def _plain(value: Any) -> str:
    if value is _EMPTY:
        return ""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return "[" + ", ".join(map(_plain, value)) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_plain(item)}" for name, item in value.items()) + "}"
    return str(value)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference_page(), encoding="utf-8")
