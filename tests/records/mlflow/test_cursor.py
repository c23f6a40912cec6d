"""How far a tracking store is behind is counted in events."""

from dataclasses import replace

import pytest

from autodepth.records.ledger import Ledger
from autodepth.records.mlflow.cursor import Outbox
from autodepth.records.mlflow.sync import Tracker
from autodepth.records.studies import create_study_folder
from autodepth.trial.result import EpochReport, TrialState

pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),
]
EPOCH = EpochReport(
    phase="parent", step=1, train_loss=1.5, train_accuracy=0.6, validation_accuracy=0.4,
    branches_expected=6.0, branches_computed=6.0, gradient_norms={}, images_per_second=9.0,
    seconds=0.2,
)  # fmt: skip


def test_epochs_and_ends_count_until_a_store_has_them(home, make_study, make_result, policy):
    folder = create_study_folder("digits")
    with Ledger.create(folder.ledger_path, make_study()) as ledger:
        told, other = Outbox(ledger, "told"), Outbox(ledger, "other")
        assert told.depth() == 0
        number = ledger.start_trial("search", {}, policy)
        assert told.depth() == 0
        ledger.record([(number, EPOCH), (number, replace(EPOCH, step=2))])
        assert told.depth() == 2
        ledger.complete_trial(number, make_result(0.9), 1.0)
        failed = ledger.start_trial("search", {}, policy)
        ledger.end_trial(failed, TrialState.FAILED, "no luck", 1.0)
        assert (told.depth(), other.depth()) == (4, 4)

    tracker = Tracker(folder, tracking_uri=f"sqlite:///{home / 'mlflow.db'}")
    assert tracker.close(timeout=200.0) == 0  # a new store takes long on a busy machine
    assert tracker.unsent_events() == 0
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        assert Outbox(ledger, "other").depth() == 4
