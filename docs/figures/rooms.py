"""Draw the rooms of autodepth and who imports whom: `python docs/figures/rooms.py` writes the SVGs.

Rows are the layers of the import contracts in pyproject.toml, arrows the imports in the code. An
arrow that a chain of others implies is left out, as is what is imported nearly everywhere.
"""

from __future__ import annotations

import ast
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[2]
FIGURES = {"rooms.svg": "autodepth", "rooms_study.svg": "autodepth.study"}
_VOCABULARY = {
    "errors",
    "version",
    "units",
    "seeding",
    "atomic",
    "paths",
    "long_work",
    "lived_time",
} | {"torchvision_door"}
_WIDTH, _ROW, _LINE, _PAD = 1000, 56, 15, 14


@dataclass(frozen=True, kw_only=True)
class Box:
    """A room in the picture; lengths in pixels."""

    name: str
    lines: Sequence[str]
    x: float
    y: float
    width: float
    height: float


def layers_of(container: str) -> list[list[str]]:
    """Return the layers of a container as its import contract has them, the highest first."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    for contract in contracts["contracts"]:
        if contract.get("containers") == [container]:
            layers = [layer.split(" | ") for layer in contract["layers"]]
            return [kept for layer in layers if (kept := [r for r in layer if _drawn(r)])]
    raise KeyError(container)


def imports_of(container: str) -> dict[str, set[str]]:
    """Return which entries of a container each of its entries imports, lazily or not."""
    folder = ROOT / container.replace(".", "/")
    found: dict[str, set[str]] = defaultdict(set)
    for file in sorted(folder.rglob("*.py")):
        importer = file.relative_to(folder).parts[0].removesuffix(".py")
        for module in _imported(file):
            if module.startswith(f"{container}."):
                found[importer].add(module.removeprefix(f"{container}.").split(".")[0])
    return {name: used - {name} for name, used in found.items()}


def picture(container: str) -> str:
    """Return the SVG of a container's rooms."""
    boxes = _boxes(container)
    arrows = _without_shortcuts(imports_of(container), boxes)
    height = max(box.y + box.height for box in boxes.values()) + _PAD
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" '
        'font-family="sans-serif" font-size="12">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" fill="#667"/></marker></defs>',
        f'<rect width="{_WIDTH}" height="{height:.0f}" fill="#fff"/>',
        *(_arrow(boxes[a], boxes[b]) for a in sorted(arrows) for b in sorted(arrows[a])),
        *(_drawn_box(box) for box in boxes.values()),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _drawn(room: str) -> bool:
    return room not in _VOCABULARY and not room.startswith("__")


def _imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _boxes(container: str) -> dict[str, Box]:
    boxes: dict[str, Box] = {}
    y = float(_PAD)
    for layer in layers_of(container):
        inside = {room: _inside(container, room) for room in layer}
        height = 24 + _LINE * max(map(len, inside.values()))
        width = min(300.0, (_WIDTH - _PAD * (len(layer) + 1)) / len(layer))
        x = (_WIDTH - len(layer) * (width + _PAD) + _PAD) / 2
        for room in layer:
            boxes[room] = Box(
                name=room, lines=inside[room], x=x, y=y, width=width, height=float(height)
            )
            x += width + _PAD
        y += height + _ROW
    return boxes


def _inside(container: str, room: str) -> list[str]:
    """Return lines on what a room holds: its sub-rooms, or else its files."""
    folder = ROOT / container.replace(".", "/") / room
    if not folder.is_dir():
        return []
    rooms = sorted(p.parent.name for p in folder.glob("*/__init__.py"))
    files = sorted(p.stem for p in folder.glob("*.py") if p.stem != "__init__")
    names = [f"{name}/" for name in rooms] if rooms else files
    lines, line = [], ""
    for name in names:
        if len(line) + len(name) > 42:
            lines.append(line)
            line = ""
        line = f"{line}  {name}".strip()
    return [*lines, line]


def _without_shortcuts(
    imports: Mapping[str, set[str]], boxes: Mapping[str, Box]
) -> dict[str, set[str]]:
    """Leave out arrows that a chain of others implies (the transitive reduction)."""
    drawn = {room: imports.get(room, set()) & set(boxes) for room in boxes}

    def below(room: str) -> set[str]:
        return set().union(*({used} | below(used) for used in drawn[room]))

    return {
        room: {used for used in drawn[room] if all(used not in below(o) for o in drawn[room])}
        for room in drawn
    }


def _arrow(start: Box, end: Box) -> str:
    x0, y0 = start.x + start.width / 2, start.y + start.height
    x1, y1 = end.x + end.width / 2, end.y - 1
    middle = (y0 + y1) / 2
    return (
        f'<path d="M{x0:.0f} {y0:.0f}C{x0:.0f} {middle:.0f} {x1:.0f} {middle:.0f} '
        f'{x1:.0f} {y1:.0f}" fill="none" stroke="#667" marker-end="url(#tip)"/>'
    )


def _drawn_box(box: Box) -> str:
    lines = "".join(
        f'<tspan x="{box.x + 10:.0f}" dy="{_LINE}">{escape(line)}</tspan>' for line in box.lines
    )
    return (
        f'<rect x="{box.x:.0f}" y="{box.y:.0f}" width="{box.width:.0f}" height="{box.height:.0f}" '
        f'rx="5" fill="#eef3fa" stroke="#345"/><text x="{box.x + 10:.0f}" y="{box.y + 17:.0f}">'
        f'<tspan font-weight="bold" font-size="14">{box.name}</tspan>{lines}</text>'
    )


if __name__ == "__main__":
    for name, container in FIGURES.items():
        Path(__file__).with_name(name).write_text(picture(container), encoding="utf-8")
