"""Every command line of the documentation, in the order of its pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    path
    for path in (ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md")))
    if path != ROOT / "docs" / "reference" / "cli.md"  # made by `make docs`
]
_PROGRAMS = (
    "autodepth", "cd", "cp", "curl", "docker", "export", "git", "make", "mlflow", "pip", "python",
    "ray", "ssh",
)  # fmt: skip
_COMMAND = re.compile(rf" {{4,}}((?:[A-Z_]+=\S+(?: \S+\))? )*(?:{'|'.join(_PROGRAMS)}) .*)")


def command_lines(page: Path) -> Iterator[str]:
    """Yield each command line of a page: continued lines joined, comments and spare room gone."""
    lines = iter(page.read_text(encoding="utf-8").splitlines())
    for line in lines:
        if not (match := _COMMAND.fullmatch(line)):
            continue
        text = match[1]
        while text.endswith("\\"):
            text = text[:-1] + next(lines)
        yield re.sub(r"\s+", " ", re.sub(r"\s+# .*", "", text)).strip()
