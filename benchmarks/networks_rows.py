"""The rows of the table of networks, kept in a file from run to run."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from networks_examined import Row


class KeptRows:
    """Rows by the name of their network's specification.

    Args:
        path: of a file with a line of JSON each; None keeps them for this run alone.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._rows: dict[str, Row] = {}
        for line in path.read_text().splitlines() if path and path.exists() else ():
            values = json.loads(line)
            name = values.pop("spec")
            self._rows[name] = Row(**values)

    def __contains__(self, name: str) -> bool:
        return name in self._rows

    def __getitem__(self, name: str) -> Row:
        return self._rows[name]

    def __setitem__(self, name: str, row: Row) -> None:
        """Keep a row, in the place of the network's former one where there is one."""
        self._rows[name] = row
        if self._path is not None:
            lines = (json.dumps({"spec": n, **asdict(r)}) + "\n" for n, r in self._rows.items())
            beside = self._path.with_suffix(".part")  # a run that is broken off leaves it whole
            beside.write_text("".join(lines))
            beside.replace(self._path)

    def __len__(self) -> int:
        return len(self._rows)

    def without_stream(self) -> list[str]:
        """Return the networks of which it is not known yet what their stream does, small first."""
        names = [name for name, row in self._rows.items() if row.found and not row.stream]
        return sorted(names, key=lambda name: float(self._rows[name].macs.replace(",", "")))
