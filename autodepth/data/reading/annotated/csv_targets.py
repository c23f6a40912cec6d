"""Images with numbers: a CSV file beside them, a row per image."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from autodepth.data.reading.layout import Role, role_of
from autodepth.errors import DataError

_SPLIT = "split"
_TOLD = 10


@dataclass(frozen=True, eq=False, kw_only=True)
class Numbered:
    """Images with numbers.

    Args:
        paths: one file each.
        targets: float32 [N, names].
        names: of the columns that these are from.
    """

    paths: tuple[Path, ...]
    targets: npt.NDArray[np.float32]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def subset(self, index: npt.NDArray[np.int64]) -> Numbered:
        """Return the images at `index`, in its order."""
        paths = tuple(self.paths[i] for i in index)
        return Numbered(paths=paths, targets=self.targets[index], names=self.names)


def read_csv(file: Path, targets: Sequence[str] = ()) -> Mapping[Role, Numbered]:
    """Read a CSV file: its first column names images, from the file's folder on.

    Args:
        file: has a head line; a column `split` says train, val or test of each image.
        targets: names of the columns to learn; none for all others.

    Raises:
        DataError: there is no such file, or it does not hold what it must; every mistake is told
            with its line.
    """
    if not file.is_file():
        raise DataError(f"csv:FILE must name a file, but there is none at {file}")
    reading = _Reading(file, tuple(targets))
    with file.open(encoding="utf-8-sig", newline="") as text:
        rows = list(reading.rows(csv.reader(text)))
    if reading.mistakes:
        more = f"\n... and {len(reading.mistakes) - _TOLD:,} more"
        told = "\n".join(reading.mistakes[:_TOLD])
        raise DataError(told + more * (len(reading.mistakes) > _TOLD))
    roles = {role for role, _, _ in rows}
    if "train" not in roles:
        raise DataError(f"{file} must have images to train on, but has none")
    return {role: _of(role, rows, reading.names) for role in roles}


_Row = tuple[Role, Path, list[float]]


def _of(role: Role, rows: Sequence[_Row], names: tuple[str, ...]) -> Numbered:
    own = [(path, numbers) for each, path, numbers in rows if each == role]
    return Numbered(
        paths=tuple(path for path, _ in own),
        targets=np.array([numbers for _, numbers in own], dtype=np.float32),
        names=names,
    )


@dataclass
class _Reading:
    """One file as it is read, and what is wrong with it."""

    file: Path
    names: tuple[str, ...]
    mistakes: list[str] = field(default_factory=list)

    def rows(self, lines: Iterator[list[str]]) -> Iterator[_Row]:
        head = [name.strip() for name in next(lines, [])]
        if len(head) < 2:
            self._say(1, f"must have a column of images and one of numbers, but has {head}")
            return
        self.names = self.names or tuple(name for name in head[1:] if name.lower() != _SPLIT)
        if missing := [name for name in self.names if name not in head[1:]]:
            self._say(1, f"must have the column {missing[0]!r}, but has {', '.join(head)}")
            return
        for number, line in enumerate(lines, start=2):
            if not any(line):
                continue
            if len(line) != len(head):
                self._say(number, f"must have {len(head)} values, but has {len(line)}")
                continue
            cells = dict(zip(head, (cell.strip() for cell in line), strict=True))
            role, path = self._role(number, cells), self.file.parent / cells[head[0]]
            if not path.is_file():
                self._say(number, f"there is no image {cells[head[0]]}")
            numbers = [self._number(number, name, cells[name]) for name in self.names]
            yield role, path, numbers

    def _role(self, line: int, cells: Mapping[str, str]) -> Role:
        said = next((cell for name, cell in cells.items() if name.lower() == _SPLIT), "train")
        role = role_of(said)
        if role is None:
            self._say(line, f"split must be train, val or test, but is {said!r}")
        return role or "train"

    def _number(self, line: int, name: str, cell: str) -> float:
        try:
            number = float(cell)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            self._say(line, f"{name} must be a number, but is {cell!r}")
        return number

    def _say(self, line: int, told: str) -> None:
        self.mistakes.append(f"{self.file}:{line}: {told}")
