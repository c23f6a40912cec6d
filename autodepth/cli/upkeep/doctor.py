"""`autodepth doctor`: whether this machine can search."""

from __future__ import annotations

import sys

from autodepth.cli.console import give_json, say
from autodepth.cli.options import Json, TrackingStore

_MARKS = {"ok": ("ok", "green"), "warning": ("!", "yellow"), "problem": ("x", "red")}


def doctor(
    tracking_uri: TrackingStore = None,
    json: Json = False,
) -> None:
    """Look whether this machine has what a search needs: versions, devices, disk, MLflow, Ray.

    Ends with status 1 where something is a problem.

    Example: autodepth doctor --tracking-uri http://127.0.0.1:5000
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from autodepth.service.doctor import examine

    findings, console = [], Console(highlight=False)
    for finding in examine(tracking_uri):
        findings.append(finding)
        if json:
            continue
        mark, colour = _MARKS[finding.verdict]
        row = Table.grid(padding=(0, 1))
        row.add_column(width=2)
        row.add_column(width=15)
        row.add_column(overflow="fold")
        row.add_row(Text(mark, style=colour), finding.part, Text(finding.text))
        console.print(row)  # as soon as it is known: Ray takes seconds
    problems = [finding.part for finding in findings if finding.verdict == "problem"]
    if json:
        give_json([finding.to_dict() for finding in findings])
    else:
        say(f"problems: {', '.join(problems)}" if problems else "ready to search")
    sys.exit(1 if problems else 0)
