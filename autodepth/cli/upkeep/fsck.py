"""`autodepth fsck`: whether a study is whole, whatever died while it ran."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autodepth.cli.console import give, give_json
from autodepth.cli.options import Json, Study

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autodepth.records.fsck import Violation
    from autodepth.records.studies import StudyFolder


def fsck(
    study: Study = "latest",
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Mend what can be mended without losing anything."),
    ] = False,
    json: Json = False,
) -> None:
    """Check that a study is whole: its ledger, front, charges, weights and files.

    Exit status 0 if it is, 1 if not. `--repair` also writes `optuna.db` anew where
    there is one; what MLflow has is written anew by `autodepth sync`.

    Example: autodepth fsck latest --repair
    """
    from autodepth.records.fsck import broken_invariants, mend
    from autodepth.records.studies import find_study

    folder = find_study(study)
    mended, broken = mend(folder) if repair else ([], broken_invariants(folder))
    if repair:
        _write_mirror_anew(folder)
    if json:
        told = {"mended": _values(mended), "broken": _values(broken)}
        give_json({"study": folder.name, **told})
    else:
        for breach in mended:
            give(f"mended  {breach.found} ({breach.rule})")
        for breach in broken:
            hint = "; --repair mends it" if breach.mend else ""
            give(f"broken  {breach.found} ({breach.rule}{hint})")
        give(f"{folder.name}: {'it is whole' if not broken else f'{len(broken)} found'}")
    sys.exit(1 if broken else 0)


def _write_mirror_anew(folder: StudyFolder) -> None:
    from autodepth.study.propose.sampling.optuna_export import mirror_path, write_mirror

    if mirror_path(folder).exists():
        write_mirror(folder, anew=True)


def _values(found: Sequence[Violation]) -> list[dict[str, Any]]:
    return [{"rule": b.rule, "found": b.found, "mendable": b.mend is not None} for b in found]
