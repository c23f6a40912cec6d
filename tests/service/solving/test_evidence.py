"""What is read out of a ledger before bounds are answered."""

from dataclasses import replace

import pytest

from autodepth.errors import StudyError
from autodepth.policy.policy import Policy
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


def test_what_was_asked_for_is_known_by_the_scores_of_another_trial_of_its_parent(scored):
    folder = scored(trials=6, narrower=True)
    with Ledger.open(folder.ledger_path) as ledger:
        trial = ledger.trial(4)
        policy = Policy.from_dict({**trial.policy, "branches_removed": None, "branches": [1]})
        asked = replace(policy, widths=((3, 0.5),))
        number = ledger.start_trial("search", {}, asked.to_dict(), role="macs <= 80%")
        nothing = replace(trial.result, sensitivities={}, variants={}, removed=(1,))
        ledger.complete_trial(number, nothing, 1.0)
    evidence = read(folder)

    assert len(evidence.known) == 7
    assert evidence.known[-1].lost == pytest.approx((0.1 + 0.3 / 4) / 4.5)


def test_scores_that_say_nothing_of_worth_are_no_evidence(scored):
    with pytest.raises(StudyError, match="no trial of blind scored those of a trained network"):
        read(scored("blind", criterion="random"))
