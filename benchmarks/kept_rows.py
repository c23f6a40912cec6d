"""Rows of a benchmark, kept as they are measured, so that a run goes on where another ended."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]


class KeptRows:
    """Rows in a file, a line of JSON each.

    Args:
        path: of the file; it need not exist yet.
        keys: names of the values that tell a row from others. A row without one has None there.
    """

    def __init__(self, path: Path, keys: Sequence[str]) -> None:
        self._path, self._keys = path, keys
        lines = path.read_text().splitlines() if path.exists() else []
        self.rows: list[Row] = [json.loads(line) for line in lines]

    def find(self, **key: Any) -> list[Row]:
        """Return rows with these values."""
        return [row for row in self.rows if all(row.get(n) == value for n, value in key.items())]

    def add(self, row: Row) -> None:
        """Keep a row, in place of one with the same keys."""
        same = {name: row.get(name) for name in self._keys}
        self.drop(self.find(**same))
        self.rows.append(row)
        self._write()
        print(row, flush=True)

    def drop(self, rows: Collection[Row]) -> None:
        """Forget some rows, as if they had not been measured."""
        self.rows = [row for row in self.rows if row not in rows]
        self._write()

    def _write(self) -> None:
        self._path.write_text("".join(json.dumps(row) + "\n" for row in self.rows))
