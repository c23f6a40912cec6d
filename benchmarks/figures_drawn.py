"""Draw figures of README.md and docs/, to be traced to a result file and measured again.

A figure is a number with a fraction or a unit, in text, tables and transcripts; not in inline
code, links, and what is to be typed. Which of them are measurements takes a reader: settings and
rules that are drawn are passed over, and the next is taken. results/figures_drawn.md has the last.

    python benchmarks/figures_drawn.py --seed 27 [--count 20]
"""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
_FIGURE = re.compile(
    r"(?<![\w.,/=<>-])\d[\d,]*(?:\.\d+)?(?:e-\d+)?(?: ± \d+(?:\.\d+)?)?"
    r"(?: ?(?:%|ms|s|x|k|M|G|kB|MB|GB|points?|seconds?|minutes?|epochs?|times)(?!\w))?"
)
_NO_FIGURE = re.compile(r"`[^`]*`|\]\([^)]*\)|https?://\S+|arXiv \S+")
_VERSIONED = ("docs/reference/",)
"""Written from the code, which tests hold them to."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A number as a page tells it.

    Args:
        page: below the repository.
        line: from 1.
        figure: with its unit.
        text: the line.
    """

    page: str
    line: int
    figure: str
    text: str


def figures_of(page: str, content: str) -> Iterator[Figure]:
    """Yield the figures of a page in Markdown."""
    fence: str | None = None
    for number, line in enumerate(content.splitlines(), 1):
        if line.startswith("```"):
            fence = line.removeprefix("```") if fence is None else None
            continue
        typed = fence not in {None, "text"} or (fence is None and line.startswith("    autodepth"))
        if typed:
            continue
        for found in _FIGURE.findall(_NO_FIGURE.sub(" ", line)):
            if not found.replace(",", "").isdigit():
                yield Figure(page=page, line=number, figure=found, text=line.strip())


def all_figures(root: Path = ROOT) -> list[Figure]:
    """Return the figures of README.md and of docs/, in order."""
    pages = [root / "README.md", *sorted((root / "docs").rglob("*.md"))]
    names = [page.relative_to(root).as_posix() for page in pages]
    return [
        figure
        for name in names
        if not name.startswith(_VERSIONED)
        for figure in figures_of(name, (root / name).read_text())
    ]


def main() -> None:
    """Print the figures that a seed draws."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--count", type=int, default=20)
    given = parser.parse_args()
    known = all_figures()
    print(f"{len(known)} figures, seed {given.seed}")
    for number, drawn in enumerate(random.Random(given.seed).sample(known, given.count), 1):
        print(f"{number:2} {drawn.page}:{drawn.line}: {drawn.figure}\n     {drawn.text}")


if __name__ == "__main__":
    main()
