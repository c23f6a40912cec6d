"""Which trials are still missing to confirm a front, and to compare it with its controls.

A confirmation carries a member's policy out on fresh seeds; a control is another policy that a
reader would try first. Both are ordinary trials. Replicate r of a control belongs to replicate r
of the confirmation: they share initial weights, and those that train the whole network share it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from autodepth.errors import InputError, did_you_mean
from autodepth.front.selection import FrontPoint
from autodepth.policy.policy import Policy
from autodepth.records.trial_record import TrialKind, TrialRecord
from autodepth.study.confirm.baselines import ROLES, FrontMember
from autodepth.trial.result import TrialResult, TrialState

# A trial that failed is tried once more; one whose training diverged would diverge again.
_ATTEMPTS = 2


@dataclass(frozen=True, kw_only=True)
class FollowUp:
    """A trial about a member of the front, or one that a person asked for.

    Args:
        kind: `confirm` or `control`; `search` for what was asked for.
        about: number of the member's own trial; None for what was asked for.
        role: which control it is, empty for a confirmation; else the bounds that were solved for.
        policy: what to do.
        replicate: which seeds to run on, from 1.
    """

    kind: TrialKind
    about: int | None = None
    role: str = ""
    policy: Policy
    replicate: int


@dataclass(frozen=True, kw_only=True)
class Controls:
    """Controls that are still missing.

    Args:
        trials: in the order in which they are to be run.
        notes: which controls there cannot be, or not quite, and why, a sentence each.
    """

    trials: tuple[FollowUp, ...]
    notes: tuple[str, ...]


def confirmations(
    front: Sequence[FrontPoint], records: Sequence[TrialRecord], seeds: int
) -> list[FollowUp]:
    """Return the confirmations that are missing: of every member on one seed, then on the next.

    What runs, is complete or has diverged is not asked for again; what failed is, once.

    Args:
        front: its members; those that come first are confirmed first.
        records: all trials of the study so far.
        seeds: how many fresh seeds each member is to be confirmed on, at least 0.
    """
    known = _Known(records)
    wanted = [
        FollowUp(
            kind="confirm",
            about=member.trial,
            policy=Policy.from_dict(dict(member.policy)),
            replicate=replicate,
        )
        for replicate in range(1, seeds + 1)
        for member in front
    ]
    return [trial for trial in wanted if not known.settled(trial)]


def controls(
    front: Sequence[FrontPoint],
    records: Sequence[TrialRecord],
    seeds: int,
    *,
    unpruned_macs: float,
    given_weights: bool = False,
    which: Collection[str] | None = None,
) -> Controls:
    """Return the controls that are missing: all on one seed, then all on the next.

    Where the confirmation of the same replicate is complete, its network is what the controls
    are made like: on other seeds a policy may remove other branches. So confirm first.

    Args:
        front: members that controls are wanted for.
        records: all trials of the study so far.
        seeds: how many replicates, as of the confirmations.
        unpruned_macs: multiply-accumulates of the untouched network.
        given_weights: whether the study starts from given weights.
        which: names out of `ROLES`; None takes all.

    Raises:
        InputError: a name is unknown, or a member of the front is no complete trial.
    """
    for role in which or ():
        if role not in ROLES:
            raise InputError(
                f"a control must be one of {'; '.join(ROLES)}, but got {role!r}"
                + did_you_mean(role, ROLES)
            )
    known, notes = _Known(records), dict[str, None]()
    trials = []
    for replicate in range(1, seeds + 1):
        for member in front:
            made_for = FrontMember(
                policy=Policy.from_dict(dict(member.policy)),
                searched=known.searched(member.trial),
                result=known.confirmed(member.trial, replicate),
                unpruned_macs=unpruned_macs,
                given_weights=given_weights,
            )
            for role, make in ROLES.items():
                if which is not None and role not in which:
                    continue
                policy, note = make(made_for)
                if note:
                    notes[f"trial {member.trial}, {role}: {note}"] = None
                if policy is not None:
                    trials.append(
                        FollowUp(
                            kind="control",
                            about=member.trial,
                            role=role,
                            policy=policy,
                            replicate=replicate,
                        )
                    )
    missing = (trial for trial in trials if not known.settled(trial))
    return Controls(trials=tuple(missing), notes=tuple(notes))


class _Known:
    """What the ledger has of the members of the front, and of trials about them."""

    def __init__(self, records: Sequence[TrialRecord]) -> None:
        self._records = {record.number: record for record in records}
        self._confirmed: dict[tuple[int | None, int], TrialResult] = {}
        self._settled: set[tuple[object, ...]] = set()
        failures: Counter[tuple[object, ...]] = Counter()
        for record in records:
            key = (record.kind, record.about, record.role, record.replicate)
            if record.state is TrialState.FAILED:
                failures[key] += 1
            elif record.state is not TrialState.CANCELLED:
                self._settled.add(key)
            if record.kind == "confirm" and record.result is not None:
                self._confirmed[record.about, record.replicate] = record.result
        self._settled |= {key for key, times in failures.items() if times >= _ATTEMPTS}

    def settled(self, trial: FollowUp) -> bool:
        """Return whether a trial need not be started, or not again."""
        return (trial.kind, trial.about, trial.role, trial.replicate) in self._settled

    def searched(self, number: int) -> TrialResult:
        """Return what a member's own trial brought back."""
        record = self._records.get(number)
        if record is None or record.result is None:
            raise InputError(f"a member of the front must be a complete trial, but got {number}")
        return record.result

    def confirmed(self, number: int, replicate: int) -> TrialResult:
        """Return what a confirmation brought back, or the member's own trial until there is one."""
        return self._confirmed.get((number, replicate)) or self.searched(number)
