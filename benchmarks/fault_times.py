"""Writes how long recovery took into the table of faults in docs/reliability.md.

    python benchmarks/fault_times.py

`make faults` has its tests note times in benchmarks/results/fault_times.md, `make cluster-test` in
fault_times_cluster.md, a line each, under the name that the fault has in the table; kills under Ray
are in benchmarks/results/crash_loop.json.
A fault that nothing was measured of has an empty cell.
"""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parents[1] / "docs" / "reliability.md"
HEADER = "| fault | what happens | test | time |"


def measured(results: Path = RESULTS) -> dict[str, str]:
    """Return what was measured of each fault, in words."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    lines = [
        line
        for path in (results / "fault_times.md", results / "fault_times_cluster.md")
        if path.exists()
        for line in path.read_text().splitlines()[2:]
    ]
    for line in lines:
        fault, what, seconds = (cell.strip() for cell in line.strip("|").split("|"))
        found[fault][what].append(float(seconds.removesuffix(" s")))
    path = results / "crash_loop.json"
    kills = json.loads(path.read_text()).get("autodepth, on Ray") if path.exists() else None
    if kills and kills["resumed_s"]:
        what = f"to the next result ({kills['kills']} kills)"
        found["the driver is killed"][what] = kills["resumed_s"]
    return {
        fault: "; ".join(f"{_in_words(seconds)} {what}" for what, seconds in times.items())
        for fault, times in found.items()
    }


def _in_words(seconds: Sequence[float]) -> str:
    if len(seconds) > 2:
        return f"median {statistics.median(seconds):.0f} s, at most {max(seconds):.0f} s"
    return " and ".join(f"{each:.1f} s" for each in seconds)


def with_times(page: str, times: Mapping[str, str]) -> str:
    """Return a page whose table of faults has these times and no others.

    Raises:
        ValueError: the table lacks a fault that was measured.
    """
    before, _, after = page.partition(HEADER + "\n")
    rows, _, rest = after.partition("\n\n")
    line, *faults = rows.splitlines()
    names = [row.split(" | ")[0].removeprefix("| ") for row in faults]
    if unknown := sorted(times.keys() - set(names)):
        raise ValueError(f"every fault that is measured must have a row, but not: {unknown}")
    told = [
        f"{row.rpartition(' | ')[0]} | {times.get(name, '')}".rstrip() + " |"
        for name, row in zip(names, faults, strict=True)
    ]
    return "\n".join([before + HEADER, line, *told]) + "\n\n" + rest


if __name__ == "__main__":
    PAGE.write_text(with_times(PAGE.read_text(), measured()))
