"""`autodepth report`: a study as a page to hand over, and its figures for a paper."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autodepth.cli.console import give, give_json, say
from autodepth.cli.options import Json, Study
from autodepth.errors import InputError


def report(
    study: Study = "latest",
    to: Annotated[
        Path | None, typer.Option(help="The page to write, FILE.html; or FILE.pdf.")
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(help="Folder for the figures as files, for a paper.")
    ] = None,
    formats: Annotated[
        str, typer.Option("--format", help="Of these files: svg, png, pdf; several by commas.")
    ] = "svg,png",
    json: Json = False,
) -> None:
    """Write what a study found, how, and what it cost, as one page that opens offline and prints.

    A .pdf is printed by the Chromium, Chrome or Edge of this machine.

    Example: autodepth report latest --to report.html --figures figures
    """
    from autodepth.records.ledger import Ledger
    from autodepth.records.studies import find_study
    from autodepth.report.figures.report_figures import write_figures
    from autodepth.report.report_page import write_report
    from autodepth.report.study_report import study_report
    from autodepth.units import format_bytes

    if to is None and figures is None:
        raise InputError("report needs --to FILE.html (or .pdf), or --figures FOLDER, or both")
    folder, drawn = find_study(study), list[Path]()
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        found = study_report(ledger)
    if to is not None:
        write_report(found, to)
        told = f"{format_bytes(to.stat().st_size)}, {len(found.members)} points on the front"
        (say if json else give)(f"{to}: {told}")
    if figures is not None:
        wanted = tuple(name.strip() for name in formats.split(","))
        drawn = write_figures(found, figures, wanted)
    if json:
        page = None if to is None else str(to)
        give_json({"study": folder.name, "page": page, "figures": [str(path) for path in drawn]})
    else:
        for path in drawn:
            say(str(path))
