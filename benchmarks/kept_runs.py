"""How the runs of a benchmark are kept: what tables and plots need, a line for each trial."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

# Of a trial; its policy and the rest are made again by the command that the run names.
_KEPT = (
    "number", "kind", "ratio", "before", "val_acc", "test_acc", "macs", "blocks", "spent",
    "device_s", "epochs",
)  # fmt: skip


def write_run(path: Path, told: dict[str, Any]) -> None:
    """Write a run, whose trials stand at `trials`."""
    about = {name: value for name, value in told.items() if name != "trials"}
    lines = [json.dumps(_short(trial)) for trial in told["trials"]]
    head = json.dumps(about, indent=1).removesuffix("\n}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'{head},\n "trials": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n")


def _short(trial: dict[str, Any]) -> dict[str, Any]:
    kept = {name: trial[name] for name in _KEPT if name in trial}
    if trial.get("kind") == "unpruned":  # how fast the machine is: see search_changes.py
        kept["stage_s"] = trial["stage_s"]
    for name in ("spent", "device_s"):
        if kept.get(name) is not None:
            kept[name] = round(kept[name], 3)
    return kept
