"""Where a network comes from: the policies that were carried out one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from autodepth.records.trial_record import TrialRecord

_BEGAN = {"parent": "cut out of a trained parent", "scratch": "trained from scratch"}


@dataclass(frozen=True, kw_only=True)
class Step:
    """What one trial did on the way to a network.

    Args:
        trial: its number; None where a policy's chain was carried out again, on fresh seeds.
        origin: what it began with: `parent`, `scratch` or `member`.
        how: what it did: trained from scratch, pruned, grown.
        base: number of the trial whose network it went on from; None for the first.
        told: what came of it, in words; empty where that is not known.
    """

    trial: int | None
    origin: str
    how: str
    base: int | None = None
    told: str = ""

    def __str__(self) -> str:
        """Return the step as a sentence."""
        begin = "" if self.trial is None else f"trial {self.trial}: "
        base = "" if self.base is None else f" from trial {self.base}"
        return f"{begin}{self.how}{base}" + (f", {self.told}" if self.told else "")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values fit for JSON."""
        return asdict(self)


def origins(policy: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the origin of each policy of a chain, the first one first: scratch, member, ...

    Args:
        policy: plain values, as ledgers and policy files have them.
    """
    base = policy.get("base")
    before = origins(base) if base else ()
    return (*before, str(policy.get("origin", "parent")))


def short_origin(policy: Mapping[str, Any]) -> str:
    """Return what a network comes from, and how often it was gone on from: `scratch+2`."""
    first, *others = origins(policy)
    return f"{first}+{len(others)}" if others else first


def lineage(record: TrialRecord, trial: Callable[[int], TrialRecord]) -> tuple[Step, ...]:
    """Return what was done to come to a trial's network, the first step first.

    Args:
        record: the trial.
        trial: gives a trial of the same study by its number.
    """
    *earlier, origin = origins(record.policy)
    if origin != "member":
        how = "trained as a whole" if record.kind == "unpruned" else _BEGAN[origin]
        return (Step(trial=record.number, origin=origin, how=how, told=_came_of(record)),)
    number = record.point.get("base")
    if isinstance(number, int):
        base = trial(number)
        before, how = lineage(base, trial), _change(record, base)
    else:  # on fresh seeds: only the last of the chain is a trial
        number, how = None, "gone on"
        before = tuple(Step(trial=None, origin=o, how=_BEGAN.get(o, how)) for o in earlier)
    step = Step(trial=record.number, origin=origin, how=how, base=number, told=_came_of(record))
    return (*before, step)


def shown_lineage(steps: Sequence[Step]) -> str:
    """Return a chain in a few words: `scratch`, or `scratch 3, grown 9, pruned 21`."""
    words = [step.how if step.origin == "member" else step.origin for step in steps]
    if len(steps) == 1:
        return words[0]
    pairs = zip(words, steps, strict=True)
    return ", ".join(word if step.trial is None else f"{word} {step.trial}" for word, step in pairs)


def _change(record: TrialRecord, base: TrialRecord) -> str:
    """Return what became of the network that a trial went on from."""
    if record.result is None or base.result is None:
        return "gone on"
    now, before = record.result.point.macs, base.result.point.macs
    return "pruned" if now < before else "grown" if now > before else "trained on"


def _came_of(record: TrialRecord) -> str:
    if record.result is None:
        return ""
    point, gone = record.result.point, len(record.result.removed)
    branches = f"{gone} branch{'' if gone == 1 else 'es'} gone"
    return f"{branches}, {point.shown()} at {point.macs:,} MACs"
