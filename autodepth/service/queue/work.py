"""What a queue holds: one piece of work after the other, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Kind = Literal["search", "resume", "confirm", "policy", "export", "register"]
State = Literal["waiting", "running", "paused", "done", "failed", "stopped"]
Wanted = Literal["run", "pause", "stop"]

DRIVING: tuple[Kind, ...] = ("search", "resume", "confirm", "policy")
"""What drives a study, and so needs a slot; the others go on beside."""
UNFINISHED: tuple[State, ...] = ("waiting", "running", "paused")
"""States from which a work may go on."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """One thing that was asked of the queue.

    Args:
        number: from 1, in the order of asking, which is the order of starting.
        owner: whose it is.
        kind: `search` begins a study, `resume` goes on with one, `confirm` retrains its front,
            `policy` carries one policy out by hand, `export` and `register` act on its front.
        study: name of the study.
        arguments: what was asked for, by the names of the command's options.
        state: `waiting` for a slot, `running`, `paused` until somebody has it go on, `done`,
            `failed`, or `stopped` by a person.
        wanted: what a person wants of it that has not come yet: `pause` or `stop`; else `run`.
        attempt: how many processes have carried it out; above 1 where one of them died.
        slot: which share of the machine it has; None while it has none, and for what needs none.
        concurrency: trials at a time that a person asked for while it ran; None without a wish.
        created_at: ISO 8601, UTC.
        started_at: the same, of the first attempt; None before that.
        ended_at: the same; None while it is unfinished.
        told: why it is as it is, in words; None where nothing is to be said.
        reserved: device seconds it may take of its owner's allowance; 0 where nothing tells.
        charged: device seconds it has taken, of ended attempts.
        spent_before: device seconds the study had spent when the attempt that runs began.
        total: device-time budget in all of a `resume`, fixed when it began first; what a `confirm`
            or `policy` may take of its owner's allowance, set with each attempt; else None.
    """

    number: int
    owner: str
    kind: Kind
    study: str
    arguments: Mapping[str, Any]
    state: State
    wanted: Wanted
    attempt: int
    slot: int | None
    concurrency: int | None
    created_at: str
    started_at: str | None
    ended_at: str | None
    told: str | None
    reserved: float
    charged: float
    spent_before: float = field(repr=False)
    total: str | None = field(repr=False)

    @property
    def drives(self) -> bool:
        """Whether it drives a study while it runs."""
        return self.kind in DRIVING

    @property
    def unfinished(self) -> bool:
        """Whether it waits, runs or is paused."""
        return self.state in UNFINISHED

    def to_dict(self) -> dict[str, Any]:
        """Return plain values fit for JSON."""
        told = asdict(self)
        del told["spent_before"], told["total"]
        return told


@dataclass(frozen=True, kw_only=True)
class NewWork:
    """What is to be entered; the fields are those of `Work`."""

    owner: str
    kind: Kind
    study: str
    arguments: Mapping[str, Any]
    reserved: float = 0.0
