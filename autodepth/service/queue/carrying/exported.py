"""What a process leaves that died while it exported: drafts, or all of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

_RECORD = "record.json"


def status_of_dead_export(folder: Path, study: str) -> int | None:
    """Return 0 where an export of a study is whole, else None; take its drafts away.

    A folder gets its name when it is whole, which is the last that its process does before it says
    how it ended.

    Args:
        folder: of the export.
        study: what it is of.
    """
    for draft in folder.parent.glob(f".{folder.name}.*"):
        shutil.rmtree(draft, ignore_errors=True)
    try:
        whole = json.loads((folder / _RECORD).read_bytes())["study"] == study
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return 0 if whole else None
