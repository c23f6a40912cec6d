"""`autodepth stop` and `autodepth set`: requests to the process that drives a study."""

from __future__ import annotations

import re
import time
from typing import Annotated

import typer

from autodepth.cli.console import give, give_json, say
from autodepth.cli.options import Json, RunningStudy
from autodepth.errors import ClusterError, InputError, did_you_mean

_SECONDS_BETWEEN_LOOKS = 0.5
_NAMES = ("concurrency",)


def stop(
    study: RunningStudy,
    wait: Annotated[bool, typer.Option("--wait", help="Return when the study has ended.")] = False,
    address: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Of a Ray cluster whose job it is: http://HEAD:8265."),
    ] = None,
    json: Json = False,
) -> None:
    """Ask a running study to end in order: what is complete stays, what runs is cancelled.

    Example: autodepth stop latest --wait
    """
    if address is not None:
        _stop_job(study, address, json=json)
        return
    from autodepth.records.driver_lock.asking import ask_to_end
    from autodepth.records.driver_lock.lock import driver_of
    from autodepth.records.ledger import Ledger
    from autodepth.records.studies import find_study

    folder = find_study(study)
    driver = ask_to_end(folder)
    if driver is not None:
        say(f"{folder.name}: process {driver.pid} on {driver.host} was asked to end the study")
        if not wait:
            if json:
                give_json({"study": folder.name, "running": True, "outcome": None})
            return
        while driver_of(folder) is not None:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        outcome = ledger.study.outcome
    if json:
        give_json({"study": folder.name, "running": False, "outcome": outcome})
        return
    ended = f"it ended: {outcome}" if outcome else "it has not ended, so its driver died"
    give(f"{folder.name}: no process drives it; {ended}")


def _stop_job(study: str, address: str, *, json: bool) -> None:
    from autodepth.service.jobs.jobs import Jobs

    job = Jobs(address).stop(study)
    if not job.over:
        raise ClusterError(f"the job {job.id} at {address} was asked to end, and has not yet")
    if json:
        give_json(job.to_dict())
    else:
        give(f"{study}: the job {job.id} has ended: {job.status.lower()}")


def set_running(
    study: RunningStudy,
    setting: Annotated[
        str, typer.Argument(metavar="NAME=VALUE", help="concurrency=4: trials at the same time.")
    ],
    json: Json = False,
) -> None:
    """Change a running study: concurrency=N, at most what it has reserved.

    Example: autodepth set latest concurrency=1
    """
    from autodepth.records.driver_lock.asking import ask_for_concurrency
    from autodepth.records.studies import find_study

    folder = find_study(study)
    count = read_concurrency(setting)
    ask_for_concurrency(folder, count)
    trials = "1 trial" if count == 1 else f"{count} trials"
    say(
        f"{folder.name}: {trials} at a time, as soon as a trial ends; "
        "all devices it has reserved are charged as before"
    )
    if json:
        give_json({"study": folder.name, "concurrency": count})


def read_concurrency(setting: str) -> int:
    """Return N of `concurrency=N`.

    Raises:
        InputError: the name is another, or N is no whole number of at least 1.
    """
    name, separator, value = setting.partition("=")
    name, value = name.strip(), value.strip()
    if not separator or name not in _NAMES:
        hint = "" if name in _NAMES else did_you_mean(name, _NAMES)
        raise InputError(f"what can be set is {', '.join(_NAMES)}=N, but got {setting!r}{hint}")
    if not re.fullmatch(r"0*[1-9][0-9]{0,8}", value):
        raise InputError(f"{name} must be a whole number of at least 1, but got {value!r}")
    return int(value)
