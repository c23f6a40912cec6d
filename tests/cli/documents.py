"""What the docs tell of the document of each command."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "json.md"


def told_in_the_docs() -> dict[str, tuple[bool, str]]:
    """Return what is told of each command: whether it gives a list, and what is in it."""
    rows = re.findall(r"^\| `([^`]+)` \| (list of )?(.+) \|$", PAGE.read_text(), re.MULTILINE)
    return {name: (bool(many), told) for name, many, told in rows}


def has_the_keys_of(name: str, told: Any) -> bool:
    """Whether a document has what the docs tell of a command, and nothing else."""
    is_list, words = told_in_the_docs()[name]
    found = {key for item in (told if is_list else [told]) for key in item}
    named = set(re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)|;.*", "", words)))
    assert isinstance(told, list) == is_list
    assert named <= found, named - found
    return named == found or "..." in words
