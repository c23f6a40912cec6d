"""Ranks with equally seeded generators draw the same gates and train as one process would."""

import json
import subprocess
import sys

import pytest
import torch

RANK = """
import json, sys
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel
from autodepth.networks.gates.gates import GatedNetwork
from autodepth.networks.residual_network import ResidualNetwork

rank, ranks, store = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
torch.set_num_threads(1)

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.branch = nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 6))
    def forward(self, x):
        return x + self.branch(x)

def train(mode):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 6), *(Block() for _ in range(5)), nn.Linear(6, 1))
    gated = GatedNetwork(ResidualNetwork.from_module(module, (1, 2, 6)), mode=mode)
    images, wanted = torch.randn(8, 2, 6), torch.randn(8, 2, 1)
    share = slice(rank * 8 // ranks, (rank + 1) * 8 // ranks)
    network = gated.module
    if ranks > 1:
        network = DistributedDataParallel(network, find_unused_parameters=True)
    optimizer = torch.optim.SGD(network.parameters(), 0.05, momentum=0.9)
    generator, draws, losses = torch.Generator().manual_seed(5), [], []
    for _ in range(8):
        draws.append(gated.draw([0.8, 0.7, 0.6, 0.5, 0.4], generator, 8 // ranks))
        loss = (network(images[share]) - wanted[share]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return draws, losses, sum(p.double().abs().sum().item() for p in gated.module.parameters())

if ranks > 1:
    place = f"file://{store}"
    distributed.init_process_group("gloo", init_method=place, rank=rank, world_size=ranks)
print(json.dumps({mode: train(mode) for mode in ("batch", "sample")}))
if ranks > 1:
    distributed.destroy_process_group()
"""


def run(ranks, store):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(rank), str(ranks), str(store)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(ranks)
    ]
    return [json.loads(process.communicate(timeout=120)[0]) for process in processes]


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch was built without")
def test_ranks_agree_on_draws_and_weights_and_train_as_one_process_would(tmp_path):
    one, other = run(2, tmp_path / "store")
    [alone] = run(1, tmp_path / "alone")

    for mode in ("batch", "sample"):
        assert len(set(one[mode][0])) > 1
        assert one[mode][0] == other[mode][0]
        assert one[mode][2] == other[mode][2]
    draws, losses, weights = one["batch"]
    mean = [(a + b) / 2 for a, b in zip(losses, other["batch"][1], strict=True)]
    assert draws == alone["batch"][0]
    assert mean == pytest.approx(alone["batch"][1], rel=1e-5)
    assert weights == pytest.approx(alone["batch"][2], rel=1e-6)
