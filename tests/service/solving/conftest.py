"""A study as if it had been searched: ResNet-20, its branches scored on two parents."""

import random
from dataclasses import replace

import pytest

from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.policy.policy import Policy
from autodepth.policy.settings import TrainingSettings
from autodepth.records.ledger import Ledger
from autodepth.trial.device.latency_table import LatencyTable

SPEC = NetworkSpec(name="resnet20")
WORTH = {3.0: {b: b / 10 for b in range(1, 10)}, 5.0: {b: (10 - b) / 10 for b in range(1, 10)}}
"""What branches are worth on each parent: of one the first are worth least, of one the last."""


def narrow_variants(decay):
    """Return what is lost with narrower branches: more than their share for each channel."""
    return {
        branch: {width: worth * (1 - width) ** 2 for width in (0.75, 0.5, 0.25)}
        for branch, worth in WORTH[decay].items()
    }


@pytest.fixture
def network():
    return build_network(SPEC)


@pytest.fixture
def scored(network, recorded_result, make_recorded):
    """Return what records a study of so many trials, with a table of latencies or without."""

    def record(
        name="scored", trials=12, *, criterion="ablation_loss", latencies=True, narrower=False
    ):
        plan = {
            "network": SPEC.to_dict(),
            "threads": 1,
            "unpruned": {
                "macs": float(network.total_macs),
                "parameters": float(network.total_parameters),
                "size_bytes": 4.0 * network.total_parameters,
            },
        }
        if latencies:
            branches = dict.fromkeys(range(1, 10), 0.5)
            table = LatencyTable(
                device="cpu", threads=1, whole_ms=5.5, around_ms=1.0, branches_ms=branches
            )
            plan["latency_table"] = table.to_dict()
            plan["unpruned"]["latency_ms"] = 5.5
        folder = make_recorded(name, [], **plan)
        draws = random.Random(0)
        with Ledger.open(folder.ledger_path) as ledger:
            for number in range(trials):
                decay = (3.0, 5.0)[number % 2]
                removed = tuple(sorted(draws.sample(range(1, 10), number % 5)))
                policy = Policy(
                    branches_removed=len(removed),
                    criterion=criterion,
                    fine_tune_epochs=number % 3,
                    train=TrainingSettings(weight_decay=decay),
                )
                ledger.start_trial("search", {"number": number}, policy.to_dict())
                smaller = network.without(removed)
                lost = sum(WORTH[decay][b] for b in removed)
                result = recorded_result(0.95 - lost / 50, smaller.total_macs)
                ledger.complete_trial(
                    number,
                    replace(
                        result,
                        removed=removed,
                        sensitivities=WORTH[decay],
                        variants=narrow_variants(decay) if narrower else {},
                        pruned_accuracy=0.9 - lost / 10,
                    ),
                    1.0,
                )
        return folder

    return record
