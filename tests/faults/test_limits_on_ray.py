"""Real memory and real time on real workers: what takes too much of either is ended by itself."""

import sys

import pytest

from autodepth.records.ledger import Ledger
from autodepth.records.studies import find_study
from autodepth.search import study_driver
from autodepth.service.searching import search
from autodepth.trial.result import TrialState

pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning"),
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts what is bounded"),
]
# A network that takes 30 MB per image in training, dies of 48 of them, and hangs at 8.
GREEDY = """
import os, sys, time
import torch
from torch import nn

def take(module, inputs):
    if not module.training or "default_worker" not in sys.argv[0]:
        return
    if len(inputs[0]) == 48:
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
train: {epochs: 1, batch_size: {type: choice, values: [8, 16, 32, 48, 96]}}
start_with:
  - {train.batch_size: 32}
  - {train.batch_size: 96}
  - {train.batch_size: 8}
  - {train.batch_size: 48}
  - {train.batch_size: 16}
limits: {memory: 600MB, trial: 90s, failed_trials: 9}
"""


def test_memory_time_and_a_worker_that_always_dies(tmp_path, monkeypatch):
    """Rows 2 and 12 of the faults."""
    (tmp_path / "greedy.py").write_text(GREEDY)
    (tmp_path / "space.yaml").write_text(SPACE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(study_driver, "_PATIENCE_SECONDS", 5.0)
    search(tmp_path / "space.yaml", budget="7trials", study="greedy", own_code=True, concurrency=2)
    sys.modules.pop("greedy", None)
    by_size = {}
    with Ledger.open(find_study("greedy").ledger_path, read_only=True) as ledger:
        for record in ledger.trials():
            by_size.setdefault(record.policy["train"]["batch_size"], []).append(record)
        halved = by_size[32][0]
        (verdict,) = ledger.verdicts(halved.number)

    assert halved.result.batch_size == 16
    assert "began again with batches of 16" in verdict["reason"]
    assert by_size[96][0].state is TrialState.FAILED
    assert "allocate memory" in by_size[96][0].reason
    assert by_size[8][0].reason == "took longer than 90s (limits.trial)"
    assert [record.state for record in by_size[48]] == [TrialState.FAILED] * 3
    assert all(record.reason.startswith("its worker died") for record in by_size[48])
    assert by_size[16][0].state is TrialState.COMPLETE
