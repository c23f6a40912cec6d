"""Where a network comes from: the policies that were carried out one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autodepth.records.ledger import Ledger
from autodepth.records.trial_record import TrialRecord

_WORDS = {
    "parent": "cut out of a trained parent",
    "scratch": "trained from scratch",
    "member": "goes on from that",
}


def origins(policy: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the origin of each policy of a chain, the first one first: scratch, member, ...

    Args:
        policy: plain values, as ledgers and policy files have them.
    """
    base = policy.get("base")
    before = origins(base) if base else ()
    return (*before, str(policy.get("origin", "parent")))


def lineage(ledger: Ledger, record: TrialRecord) -> tuple[str, ...]:
    """Return what was done to come to a trial's network, a sentence per trial, the first first.

    Args:
        ledger: of the study.
        record: the trial.
    """
    before: tuple[str, ...] = ()
    base = record.point.get("base")
    if isinstance(base, int):
        before = lineage(ledger, ledger.trial(base))
    origin = str(record.policy.get("origin", "parent"))
    told = f"trial {record.number}: {_WORDS[origin]}"
    if record.result is not None:
        point, gone = record.result.point, len(record.result.removed)
        branches = f"{gone} branch{'' if gone == 1 else 'es'} gone"
        told += f", {branches}, {point.validation_accuracy:.1%} at {point.macs:,} MACs"
    return (*before, told)
