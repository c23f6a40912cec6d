"""`autodepth studies`, `front` and `sync`: print what was recorded, or send it to MLflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from autodepth.cli.console import give, give_json
from autodepth.cli.options import Json, OwnCode, Study, TrackingStore
from autodepth.errors import InputError

if TYPE_CHECKING:
    from autodepth.report.analysis.confirmed import ConfirmedMember


def studies(json: Json = False) -> None:
    """List the studies of this folder, newest first.

    Example: autodepth studies --json
    """
    from rich.console import Console
    from rich.table import Table

    from autodepth.records.studies import list_studies, studies_root
    from autodepth.units import format_duration

    summaries = list_studies()
    if json:
        give_json([summary.to_dict() for summary in summaries])
        return
    if not summaries:
        give(f"no studies in {studies_root()}; start one: autodepth search --budget 4cpu-min")
        return
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for name in ("study", "created (UTC)", "trials", "front", "best", "spent", "outcome"):
        table.add_column(name, overflow="fold")
    for summary in summaries:
        table.add_row(
            summary.study,
            summary.created[:16].replace("T", " "),
            f"{summary.complete}/{summary.trials}",
            str(summary.front),
            summary.best or "-",
            format_duration(summary.spent_device_seconds),
            summary.outcome or "not ended",
        )
    Console().print(table)


def front(
    study: Study = "latest",
    solve: Annotated[
        list[str] | None,
        typer.Option(
            metavar="BOUNDS",
            help="Answer other bounds: macs<=60M, params<=70%, size_bytes, latency_ms<=4; several "
            "that hold together by commas; repeatable.",
        ),
    ] = None,
    carry_out: Annotated[
        bool, typer.Option("--carry-out", help="Fine-tune the network that --solve found.")
    ] = False,
    own_code: OwnCode = False,
    json: Json = False,
) -> None:
    """Print the front of a study: validation accuracy against MACs.

    Where members were confirmed, their accuracy on fresh seeds stands beside it: mean, standard
    deviation, and how many seeds. With --solve other bounds are answered from what the study
    knows, in seconds: which network keeps them, what it costs, what accuracy is expected. For a
    bound on a latency networks are built and measured, where its device is here.

    Example: autodepth front latest --solve 'macs<=60%' --solve 'latency_ms<=4'
    """
    if solve:
        from autodepth.cli.results.solved import solve as answer

        answer(study, solve, carry_out=carry_out, own_code=own_code, json=json)
        return
    if carry_out:
        raise InputError("--carry-out needs bounds to solve for: --solve 'macs<=60%'")
    from autodepth.cli.tables import print_front
    from autodepth.records.ledger import Ledger
    from autodepth.records.studies import find_study
    from autodepth.report.analysis.confirmed import confirmed_best_first

    folder = find_study(study)
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        members, plan = confirmed_best_first(ledger), ledger.study.plan
    if json:
        told = sorted(members, key=lambda member: member.point.trial)
        give_json([{**m.point.to_dict(), **_confirmed(m)} for m in told])
    elif members:
        give(f"{folder.name}: {len(members)} points, measured on the validation split")
        print_front(members, plan["unpruned"]["macs"])
    else:
        give(f"{folder.name} has no complete trial yet")


def _confirmed(member: ConfirmedMember) -> dict[str, Any]:
    """Return a member's results on fresh seeds under `confirmed`; empty before there are any."""
    tried = member.accuracy is not None or member.replicates.failed
    return {"confirmed": member.to_dict()["confirmed"]} if tried else {}


def sync(
    study: Study = "latest",
    tracking_uri: TrackingStore = None,
    optuna: Annotated[
        bool,
        typer.Option("--optuna", help="Bring the study's optuna.db up to date instead; make it."),
    ] = False,
    json: Json = False,
) -> None:
    """Send a study to MLflow from its beginning, whatever was sent before.

    With `--optuna` the study is written for tools of Optuna's, and kept up to
    date by every later search or resume: optuna-dashboard sqlite:///FILE

    Example: autodepth sync latest --tracking-uri http://127.0.0.1:5000
    """
    from autodepth.records.studies import find_study

    folder = find_study(study)
    if optuna:
        from autodepth.study.propose.sampling.optuna_export import mirror_path, write_mirror

        added, file = write_mirror(folder), mirror_path(folder)
        told = {"study": folder.name, "file": str(file), "added": added}
        line = f"{file}: {added} trials added"
    else:
        from autodepth.records.mlflow.sync import sync_study
        from autodepth.report.study_files import write_study_files

        sent = sync_study(folder, tracking_uri, write_study_files)
        told = {"study": folder.name, "sent": sent}
        line = f"{folder.name}: {sent} trials sent"
    give_json(told) if json else give(line)
