"""The weights that are kept are those of the ledger's front, in whatever order trials end."""

from itertools import permutations

import pytest

from autodepth.front.objective import Objective
from autodepth.records.ledger import Ledger
from autodepth.records.studies import create_study_folder
from autodepth.records.trial_record import StudyRecord
from autodepth.study.driver.front import FrontWeights

OBJECTIVES = (
    Objective(name="validation_accuracy", goal="maximize", reference=0.0),
    Objective(name="macs", goal="minimize", reference=40_000_000.0),
)
# Validation accuracy and MACs: two are equal on the front, two equal off it.
ENDS = (
    (0.9, 30_000_000),
    (0.6, 10_000_000),
    (0.6, 10_000_000),
    (0.5, 20_000_000),
    (0.5, 20_000_000),
)


@pytest.fixture
def study(tmp_path):
    folder = create_study_folder("kept")
    record = StudyRecord(name="kept", seed=0, objectives=OBJECTIVES, plan={})
    with Ledger.create(folder.ledger_path, record) as ledger:
        yield folder, ledger


@pytest.mark.parametrize("order", list(permutations(range(len(ENDS))))[::7])
def test_of_equal_networks_the_first_trial_keeps_its_weights(study, recorded_result, order):
    folder, ledger = study
    keeper = FrontWeights(ledger, folder, OBJECTIVES)
    for _ in ENDS:
        ledger.start_trial("search", {}, {})
    for number in order:
        weights = folder.trial_folder(number) / "model.safetensors"
        weights.parent.mkdir(parents=True)
        weights.write_bytes(b"weights")
        ledger.complete_trial(number, recorded_result(*ENDS[number]), 1.0, spent=1.0)
        keeper.add(number)
        kept = [n for n in range(len(ENDS)) if (folder.trial_folder(n) / weights.name).exists()]

        assert keeper.members == ledger.front()
        assert kept == [member.trial for member in keeper.members]
