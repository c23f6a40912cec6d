"""Strips show what each pruned network is left with."""

from __future__ import annotations

from dataclasses import replace

import torch
from safetensors.torch import save_file

from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.pruning.width import prune_width
from autodepth.records.ledger import Ledger
from autodepth.report.figures.branch_strip import branch_strip, known_branches

SPEC = NetworkSpec(name="resnet14", channels=1, height=8, width=8)
TRIALS = (
    (0.9, 40_000_000, 40.0), (0.8, 10_000_000, 30.0), (None, 0, 10.0), (0.7, 20_000_000, 20.0),
)  # fmt: skip


def records_of(folder):
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        return ledger.trials()


def test_widths_are_those_of_the_pruned_network(make_recorded, tmp_path):
    record = records_of(make_recorded("digits", TRIALS))[1]
    record = replace(record, result=replace(record.result, removed=(2,)))
    pruned = prune_width(build_network(SPEC).without((2,)), 0.5)
    save_file({k: v.contiguous() for k, v in pruned.module.state_dict().items()}, tmp_path / "w.st")
    whole = known_branches(SPEC)
    blocks = branch_strip(record, whole, tmp_path / "w.st")

    assert [block.index for block in blocks if block.removed] == [2]
    assert [block.stage for block in blocks] == [1, 1, 2, 2, 3, 3]
    assert [block.whole_channels for block in blocks] == [16, 16, 32, 32, 64, 64]
    inner = {n: m for n, m in pruned.module.named_modules() if isinstance(m, torch.nn.Conv2d)}
    for block in blocks:
        if not block.removed:
            assert block.channels == inner[f"{block.module}.conv1"].out_channels
            assert block.measured
    # without the file the policy tells as much
    policy = {"filter_sparsity": 0.5}
    nominal = branch_strip(replace(record, policy=policy), whole, None)
    assert [b.channels for b in nominal] == [b.channels for b in blocks]
    assert not any(block.measured for block in nominal)
    own = {**policy, "widths": {"1": 0.25, "6": 1.0}}
    strip = branch_strip(replace(record, policy=own), whole, None)
    assert [b.channels for b in strip] == [4, 0, 16, 16, 32, 64]
    chosen = replace(record, policy={}, result=replace(record.result, widths={4: 0.75}))
    assert [b.channels for b in branch_strip(chosen, whole, None)] == [16, 0, 32, 24, 64, 64]
    assert branch_strip(replace(record, result=None), whole, None) == ()


def test_a_damaged_weights_file_tells_nothing(make_recorded, tmp_path):
    record = records_of(make_recorded("digits", TRIALS))[1]
    (tmp_path / "w.st").write_bytes(b"none")
    assert not branch_strip(record, known_branches(SPEC), tmp_path / "w.st")[0].measured
