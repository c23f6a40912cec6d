"""What is worth telling of a study, read from its ledger."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any, Literal

from autodepth.front.hypervolume import relative_hypervolume
from autodepth.front.objective import objective_values
from autodepth.records.ledger import Ledger
from autodepth.records.trial_record import EXHAUSTED, INTERRUPTED, SPENT
from autodepth.units import Budget

Kind = Literal["front", "half", "done", "taken-up", "failed"]


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened to a study.

    Args:
        key: tells it from all else that happens to the study.
        event: what kind of thing.
        study: the study's name.
        text: the same for a person.
        trials: those that came to the front; of other kinds none.
        front: how many are on it now.
        best: the leading metric at best there, as a person reads it; None while it is empty.
        hypervolume: of the front.
        share_spent: of the budget, in [0, 1]; None where nothing limits it.
    """

    key: str
    event: Kind
    study: str
    text: str
    trials: tuple[int, ...] = ()
    front: int = 0
    best: str | None = None
    hypervolume: float = 0.0
    share_spent: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values fit for JSON."""
        return asdict(self)


def front_event(ledger: Ledger, known: Collection[int]) -> Event | None:
    """Return that networks came to the front which nobody was told of.

    Args:
        ledger: the study's.
        known: trials that were told.
    """
    joined = tuple(p.trial for p in ledger.front() if p.trial not in known)
    if not joined:
        return None
    named = f"trial {joined[0]}" if len(joined) == 1 else f"{len(joined)} trials"
    return _event(ledger, f"front/{max(joined)}", "front", f"{named} came to the front", joined)


def budget_event(ledger: Ledger) -> Event | None:
    """Return that half of the budget is spent, or how the study ended; None before.

    Who interrupted a study knows it, and is not told.
    """
    study = ledger.study
    if study.outcome in {SPENT, EXHAUSTED}:
        return _event(ledger, f"done/{study.ended_at}", "done", study.outcome)
    if study.outcome is not None and study.outcome != INTERRUPTED:
        return _event(ledger, f"failed/{study.ended_at}", "failed", study.outcome)
    if study.outcome == INTERRUPTED or (_share_spent(ledger) or 0.0) < 0.5:
        return None
    budget = study.plan["budget"]
    return _event(ledger, f"half/{budget}", "half", f"half of the budget is spent ({budget})")


def driver_event(ledger: Ledger, kind: Literal["taken-up", "failed"], why: str) -> Event:
    """Return what happened to the driver that a ledger has now; each kind happens to it once."""
    return _event(ledger, f"{kind}/driver-{ledger.token}", kind, why)


def _event(ledger: Ledger, key: str, kind: Kind, text: str, trials: tuple[int, ...] = ()) -> Event:
    study, front = ledger.study, ledger.front()
    points = [member.point for member in front]
    best = max(points, key=lambda point: point.validation_accuracy, default=None)
    told = f"{len(front)} on the front, the best {best.shown()}" if best else "nothing on the front"
    return Event(
        key=key,
        event=kind,
        study=study.name,
        text=f"{study.name}: {text}; {told}",
        trials=trials,
        front=len(front),
        best=None if best is None else best.shown(),
        hypervolume=relative_hypervolume(
            objective_values(points, study.objectives), study.objectives
        ),
        share_spent=_share_spent(ledger),
    )


def _share_spent(ledger: Ledger) -> float | None:
    limits = Budget(**ledger.study.plan["limits"])
    counted = 0
    if limits.trials is not None:
        counted = sum(record.counts for record in ledger.trials() if record.state.ended)
    return limits.share_spent(
        device_seconds=ledger.spent(), wall_seconds=ledger.wall_spent(), trials=counted
    )
