"""`autodepth status`: a study's progress, now or until it ends; the story of one trial."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from autodepth.cli.console import give, give_json, say
from autodepth.cli.options import Json, Study
from autodepth.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from autodepth.records.ledger import Ledger
    from autodepth.records.studies import StudyFolder
    from autodepth.report.study_status import StudyStatus

_SECONDS_BETWEEN_LOOKS = 2.0


def status(
    study: Study = "latest",
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on until the study ends, or Ctrl-C.")
    ] = False,
    why: Annotated[
        int | None, typer.Option(metavar="TRIAL", help="Say why this trial is where it is.")
    ] = None,
    tracking_uri: Annotated[
        str | None,
        typer.Option(help="Ask this MLflow server instead: the study may be on another host."),
    ] = None,
    json: Json = False,
) -> None:
    """Say where a study stands: budget, trials, what device time went to, front.

    Example: autodepth status latest --watch
    """
    from autodepth.records.ledger import Ledger
    from autodepth.records.studies import find_study

    if watch and why is not None:
        raise InputError("--watch and --why exclude each other: a trial is explained once")
    if tracking_uri is not None:
        if watch or why is not None:
            raise InputError("--tracking-uri goes with neither --watch nor --why")
        _print_tracked(study, tracking_uri, json=json)
        return
    folder = find_study(study)
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        if why is not None:
            _explain(folder, ledger, why, json=json)
        elif not watch:
            _print(_look(folder, ledger), json=json)
        else:
            try:
                _watch(folder, ledger, json=json)
            except KeyboardInterrupt:
                say("watched no longer; the study goes on")


def _look(folder: StudyFolder, ledger: Ledger) -> StudyStatus:
    from autodepth.records.driver_lock.lock import driver_of
    from autodepth.records.trial_record import utc_now
    from autodepth.report.study_status import study_status

    return study_status(ledger, driver_of(folder), utc_now())


def _print(found: StudyStatus, *, json: bool) -> None:
    from rich.console import Console

    from autodepth.cli.results.status_view import status_view

    if json:
        give_json(found.to_dict())
    else:
        Console(highlight=False).print(status_view(found))


def _print_tracked(study: str, tracking_uri: str, *, json: bool) -> None:
    from autodepth.records.mlflow.remote_status import tracked_study
    from autodepth.units import format_duration

    found = tracked_study(study, tracking_uri)
    if json:
        give_json(found.to_dict())
        return
    states = ", ".join(f"{count} {state}" for state, count in found.trials.items())
    give(f"{found.study}: {found.outcome or 'has not ended'}, as MLflow has it")
    give(f"trials    {states or 'none yet'}; {found.front} on the front")
    for node, count in found.nodes.items():
        give(f"node      {node}: {count} trials")
    if found.best_accuracy is not None:
        give(f"best      {found.best_accuracy:.1%} (validation split)")
    if found.hypervolume is not None:
        give(f"volume    {found.hypervolume:.3f}")
    if found.spent_device_seconds is not None:
        give(f"spent     {format_duration(found.spent_device_seconds)} of device time")


def _explain(folder: StudyFolder, ledger: Ledger, trial: int, *, json: bool) -> None:
    from rich.console import Console

    from autodepth.cli.results.status_view import explanation_view
    from autodepth.report.trial_explanation import explain_trial

    told = explain_trial(ledger, trial)
    if json:
        give_json(told.to_dict())
    else:
        Console(highlight=False).print(explanation_view(folder.name, told))


def _watch(folder: StudyFolder, ledger: Ledger, *, json: bool) -> None:
    """Print the status again and again until the study ends; the last one stays on the screen."""
    from rich.console import Console

    from autodepth.cli.results.status_view import status_line

    console = Console(highlight=False)
    if console.is_terminal and not json:
        _watch_live(folder, ledger, console)
        return

    before = None
    while True:
        found = _look(folder, ledger)
        told = (found.trials, found.driver is None)
        if told != before:  # a line where something happened, not every two seconds
            before = told
            if json:
                give_json(found.to_dict(), in_a_line=True)
            else:
                give(status_line(found))
        if found.driver is None:
            break
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    if not json:
        give(f"{found.study} {found.state}")


def _watch_live(folder: StudyFolder, ledger: Ledger, console: Console) -> None:
    from rich.live import Live

    from autodepth.cli.results.status_view import status_view

    found = _look(folder, ledger)
    with Live(status_view(found), console=console, auto_refresh=False) as live:
        while found.driver is not None:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
            found = _look(folder, ledger)
            live.update(status_view(found), refresh=True)
