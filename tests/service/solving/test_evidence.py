"""What is read out of a ledger before bounds are answered."""

import pytest

from autodepth.errors import StudyError
from autodepth.records.ledger import Ledger
from autodepth.service.solving.evidence import read_evidence


def read(folder):
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        return read_evidence(ledger)


def test_trials_that_scored_their_parent_are_templates_those_of_the_front_first(scored):
    evidence = read(scored(trials=14))
    front = {member.trial for member in evidence.front}
    on_front = [template.number in front for template in evidence.templates]

    assert len(evidence.known) == 14
    assert on_front == sorted(on_front, reverse=True)
    assert len({template.problem for template in evidence.templates}) == 2
    assert all(not template.policy.removes_branches for template in evidence.templates)


def test_scores_that_say_nothing_of_worth_are_no_evidence(scored):
    with pytest.raises(StudyError, match="no trial of blind scored those of a trained network"):
        read(scored("blind", criterion="random"))
