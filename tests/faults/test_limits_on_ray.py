"""Real memory and real time on real workers: what takes too much of either is ended by itself."""

import sys
from datetime import datetime

import pytest

from autodepth.records.ledger import Ledger
from autodepth.records.studies import find_study
from autodepth.service.search.search import search
from autodepth.study.driver import driver as study_driver
from autodepth.trial.result import TrialState

pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning"),
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts what is bounded"),
]
# A network that takes 30 MB per image in training, dies of 56 of them, and hangs at 8.
GREEDY = """
import os, sys, time
import torch
from torch import nn

def take(module, inputs):
    if not module.training or "default_worker" not in sys.argv[0]:
        return
    if len(inputs[0]) == 56:
        os._exit(1)
    if len(inputs[0]) == 8:
        time.sleep(600)
    torch.ones(len(inputs[0]) * 30 * 2**20, dtype=torch.uint8)

class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.f = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width))

    def forward(self, x):
        return x.relu() + self.f(x)

class Net(nn.Module):
    def __init__(self, width=4, depth=2, num_classes=10):
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, padding=1, stride=2)
        self.stem.register_forward_pre_hook(take)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(depth)))
        self.head = nn.Linear(width, num_classes)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))
"""
SPACE = """
version: 1
network: greedy:Net
data: {name: digits, train_images: 96, validation: 60, augment: none}
search: {branches_removed: 1}
train: {epochs: 1, batch_size: %s}
start_with: [%s]
limits: {%s}
"""


@pytest.fixture
def greedy(tmp_path, monkeypatch):
    """Return what searches a space of that network, and gives its trials by batch size."""
    (tmp_path / "greedy.py").write_text(GREEDY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def searched(sizes, limits, trials):
        first, choice = "", sizes[0]
        if len(sizes) > 1:
            first = ", ".join(f"{{train.batch_size: {size}}}" for size in sizes)
            choice = f"{{type: choice, values: {sizes}}}"
        (tmp_path / "space.yaml").write_text(SPACE % (choice, first, limits))
        search("space.yaml", budget=f"{trials}trials", study="greedy", own_code=True, concurrency=2)
        by_size = {}
        with Ledger.open(find_study("greedy").ledger_path, read_only=True) as ledger:
            for record in ledger.trials():
                told = [verdict["reason"] for verdict in ledger.verdicts(record.number)]
                by_size.setdefault(record.policy["train"]["batch_size"], []).append((record, told))
        return by_size

    yield searched
    sys.modules.pop("greedy", None)


def lasted(first, last):
    begun, ended = map(datetime.fromisoformat, (first.started_at, last.ended_at))
    return (ended - begun).total_seconds()


def test_memory_that_runs_out_and_a_worker_that_always_dies(greedy, observed):
    """Rows 2 and 12 of the faults."""
    by_size = greedy([32, 96, 56, 16], "memory: 600MB, failed_trials: 9", trials=5)
    halved, told = by_size[32][0]

    assert halved.result.batch_size == 16
    assert "began again with batches of 16" in told[0]
    assert by_size[96][0][0].state is TrialState.FAILED
    assert "allocate memory" in by_size[96][0][0].reason
    died = [record for record, _ in by_size[56] if record.kind == "search"]
    assert [record.state for record in died] == [TrialState.FAILED] * 3
    assert all(record.reason.startswith("its worker died") for record in died)
    observed("every worker of one policy dies", "for three attempts", lasted(died[0], died[-1]))
    assert by_size[16][0][0].state is TrialState.COMPLETE


def test_a_trial_that_hangs_is_ended_with_its_worker(greedy, monkeypatch, observed):
    monkeypatch.setattr(study_driver, "_PATIENCE_SECONDS", 5.0)
    records = [record for record, _ in greedy([8], "trial: 20s", trials=2)[8]]

    assert [record.state for record in records] == [TrialState.FAILED] * 2
    assert {record.reason for record in records} == {"took longer than 20s (limits.trial)"}
    for record in records:
        observed("a trial hangs", "beyond its limit", lasted(record, record) - 20)
