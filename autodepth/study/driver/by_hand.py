"""Which policy that a person asked for comes next in a search that runs."""

from __future__ import annotations

from autodepth.errors import InputError
from autodepth.policy.policy import Policy
from autodepth.records.driver_lock.by_hand import asked_for, take_back, trial_of
from autodepth.records.ledger import Ledger
from autodepth.records.studies import StudyFolder
from autodepth.study.confirm.missing import FollowUp


def next_by_hand(folder: StudyFolder, ledger: Ledger) -> FollowUp | None:
    """Return the policy to carry out now; None where nobody asked for one.

    What a trial has settled is asked for no longer; what was lost with its worker comes again.

    Args:
        folder: the study's.
        ledger: its ledger.
    """
    asked = asked_for(folder)
    if not asked:
        return None
    records = ledger.trials()
    running = {record.role for record in records if not record.state.ended}
    for role, told in asked.items():
        if trial_of(records, role) is not None:
            take_back(folder, role)
        elif role not in running:
            try:
                policy = Policy.from_dict(dict(told))
            except (InputError, TypeError):  # a file that somebody else put there
                take_back(folder, role)
                continue
            return FollowUp(kind="search", role=role, policy=policy, replicate=0)
    return None
