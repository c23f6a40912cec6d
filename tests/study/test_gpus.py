"""Trials that share a GPU, and a trial that computes on two; skipped where there are none."""

import pytest
import torch

from autodepth.records.ledger import Ledger
from autodepth.records.studies import find_study
from autodepth.service.search.search import search

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning"),
]
SMALL = (
    "network.name=resnet14",
    "data.train_images=96",
    "data.validation=60",
    "train.epochs=2",
    "search.fine_tune_epochs=1",
)


def test_four_trials_share_one_gpu():
    result = search(
        budget="8trials", study="shared", settings=SMALL, per_trial="0.25gpu", concurrency=4
    )

    assert result.complete == 8
    assert find_study("shared").plan["devices"] == 1


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_one_trial_on_two_gpus_comes_to_what_it_comes_to_on_one():
    losses = {}
    for per_trial in ("2gpu", "1gpu"):
        search(
            budget="2trials", study=per_trial, settings=[*SMALL, "train.precision=float32"],
            per_trial=per_trial, concurrency=1,
        )  # fmt: skip
        with Ledger.open(find_study(per_trial).ledger_path, read_only=True) as ledger:
            losses[per_trial] = [e.train_loss for t in (0, 1) for e in ledger.epochs(t)]

    assert losses["2gpu"] == pytest.approx(losses["1gpu"], abs=1e-3)
