"""Epochs of many trials share a commit, and none waits longer than a moment."""

from dataclasses import replace

import pytest

from autodepth.errors import StorageError
from autodepth.records.ledger import Ledger
from autodepth.records.ledger.write_buffer import WriteBuffer
from autodepth.trial.result import EpochReport

EPOCH = EpochReport(
    phase="fine_tune", step=1, train_loss=1.5, train_accuracy=0.6, validation_accuracy=0.4,
    branches_expected=6.0, branches_computed=6.5, gradient_norms={1: 0.5},
    images_per_second=800.0, seconds=0.25,
)  # fmt: skip
VERDICT = ("fine_tune 25 %", {"stop": False})


@pytest.fixture
def held(ledger):
    now = [0.0]
    made = WriteBuffer(ledger, clock=lambda: now[0])
    return made, now


def entered(ledger):
    """Return how many epochs another process sees."""
    with Ledger.open(ledger.database.path, read_only=True) as other:
        return [len(other.epochs(trial.number)) for trial in other.trials()]


def test_an_epoch_that_comes_alone_is_on_the_disk_at_once(ledger, held):
    (made, now), number = held, ledger.start_trial("search", {}, {})
    for step in (1, 2, 3):
        now[0] += 1.0
        made.add(number, [replace(EPOCH, step=step)])
        assert entered(ledger) == [step]


def test_epochs_that_come_together_share_a_commit(ledger, held, monkeypatch):
    (made, now), numbers = held, [ledger.start_trial("search", {}, {}) for _ in range(20)]
    commits = []
    record = Ledger.record
    monkeypatch.setattr(Ledger, "record", lambda *a: commits.append(len(a[1])) or record(*a))
    made.add(numbers[0], [EPOCH])
    for number in numbers[1:]:
        now[0] += 0.001
        made.add(number, [EPOCH], [VERDICT])
    assert sum(entered(ledger)) == 1
    now[0] += 0.05
    made.commit_due()

    assert commits == [1, 19]
    assert entered(ledger) == [1] * 20
    assert ledger.verdicts(numbers[1]) == [{"stop": False}]
    assert ledger.verdicts(numbers[0]) == []


def test_what_the_disk_did_not_take_is_still_held(ledger, held, monkeypatch):
    (made, _), number = held, ledger.start_trial("search", {}, {})
    made.add(number, [EPOCH])
    made.add(number, [replace(EPOCH, step=2)])

    def full(*_):
        raise StorageError("full")

    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "record", full)
        with pytest.raises(StorageError):
            made.commit()
    made.commit()

    assert entered(ledger) == [2]
