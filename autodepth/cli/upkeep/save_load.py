"""`autodepth save` and `autodepth load`: a study as one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autodepth.cli.console import give, give_json
from autodepth.cli.options import Json, RunningStudy


def save(
    study: RunningStudy,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="File to write: NAME.tar.gz; must not exist.")
    ],
    json: Json = False,
) -> None:
    """Save a study as one file, also while it runs: ledger, space and the weights of its front.

    Example: autodepth save latest digits.tar.gz
    """
    from autodepth.records.archive.save import save_study
    from autodepth.records.studies import find_study
    from autodepth.units import format_bytes

    folder = find_study(study)
    files = save_study(folder, file)
    size = file.stat().st_size
    if json:
        told = {"study": folder.name, "file": str(file), "files": len(files), "bytes": size}
        give_json(told)
    else:
        give(f"{file}: {folder.name} in {len(files)} files, {format_bytes(size)}")


def load(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A file that `autodepth save` wrote.")
    ],
    study: Annotated[str | None, typer.Option(help="What to call it here; else its name.")] = None,
    json: Json = False,
) -> None:
    """Load a study that was saved as one file; what was altered or damaged is refused.

    Example: autodepth load digits.tar.gz --study digits-again
    """
    from autodepth.records.archive.load import load_study
    from autodepth.records.ledger import Ledger

    folder = load_study(file, study)
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        trials, front = len(ledger.trials()), len(ledger.front())
    if json:
        told = {"study": folder.name, "folder": str(folder.path), "trials": trials, "front": front}
        give_json(told)
    else:
        give(f"{folder.name}: {trials} trials, {front} on the front, loaded into {folder.path}")
