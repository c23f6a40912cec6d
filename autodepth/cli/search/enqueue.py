"""`autodepth enqueue`: a policy by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autodepth.cli.console import give_json, say
from autodepth.cli.options import (
    AtMost,
    Json,
    Moved,
    MovedWeights,
    OwnCode,
    RayAddress,
    RunningStudy,
    Storage,
)
from autodepth.errors import StoppedError, StudyError


def enqueue(  # noqa: PLR0913, PLR0917 - an option each
    study: RunningStudy,
    policy: Annotated[Path, typer.Argument(metavar="POLICY.yaml", help="A policy's settings.")],
    carry_out: Annotated[
        bool, typer.Option("--carry-out", help="Carry it out now where the study does not run.")
    ] = False,
    at_most: AtMost = None,
    data: Moved = None,
    weights: MovedWeights = None,
    ray_address: RayAddress = None,
    storage: Storage = None,
    own_code: OwnCode = False,
    json: Json = False,
) -> None:
    """Have a study carry out a policy of your own: its driver next, or by itself.

    A study that runs carries it out as soon as it has a place, within its budget. One that does
    not grows its budget by what the policy costs. The same policy is carried out once.

    Example: autodepth enqueue latest policy.yaml --carry-out
    """
    from autodepth.records.driver_lock.by_hand import ask_for, role_of
    from autodepth.records.driver_lock.lock import driver_of
    from autodepth.records.studies import find_study
    from autodepth.records.trial_record import INTERRUPTED
    from autodepth.service.one_policy.policies import read_policy

    folder, wanted = find_study(study), read_policy(policy)
    role = role_of(wanted.to_dict())
    number, interrupted = None, False
    if driver_of(folder) is not None:
        ask_for(folder, wanted.to_dict())
        say(f"{folder.name}: carried out as soon as a place is free, as the trial {role!r}")
    elif carry_out:
        from autodepth.cli.search.live_view import watching
        from autodepth.service.one_policy.asked import AskedPolicy, carry_out_asked
        from autodepth.service.search.requests import BesideRequest

        request = BesideRequest(
            study=folder.name, data=data, weights=weights, own_code=own_code,
            ray_address=ray_address, storage=storage, at_most=at_most,
        )  # fmt: skip
        asked = AskedPolicy(policy=wanted, role=role)
        try:
            trial = carry_out_asked(asked, request, watch=watching)
        except StoppedError as error:
            interrupted = True
            say(str(error))
        else:
            number, interrupted = trial.number, trial.reason == INTERRUPTED
            say(f"{folder.name}: trial {number} is {trial.state.value}")
    else:
        raise StudyError(
            f"no process drives {folder.name}: with --carry-out the policy is carried out now"
        )
    if json:
        told = {"study": folder.name, "role": role, "trial": number, "interrupted": interrupted}
        give_json(told)
