"""A study of which everything is recorded that a report can tell."""

import pytest

from autodepth.records.ledger import Ledger

POLICY = {"p_L": 0.5, "criterion": "ablation_loss", "filter_sparsity": 0.25}
SPACE = {"sampler": {"name": "tpe"}, "constraints": ["macs <= 70%"], "note": "<script>x</script>"}
TRIALS = [
    (0.95, 40_000_000, 60.0),
    (0.93, 20_000_000, 30.0),
    (None, 0, 5.0),
    (0.8, 21_000_000, 9.0),
]


@pytest.fixture
def folder(make_recorded, recorded_result):
    folder = make_recorded("handed", TRIALS, space=SPACE, policy=POLICY)
    with Ledger.open(folder.ledger_path) as ledger:
        for kind, role, accuracies in (
            ("confirm", "", (0.92, 0.90)),
            ("control", "random removal", (0.85, 0.80)),
        ):
            for replicate, accuracy in enumerate(accuracies, start=1):
                number = ledger.start_trial(
                    kind, {}, POLICY, about=1, role=role, replicate=replicate
                )
                spent = ledger.spent() + 10.0
                ledger.complete_trial(
                    number, recorded_result(accuracy, 20_000_000), 10.0, spent=spent
                )
    return folder
