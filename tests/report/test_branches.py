"""Strips, tables of branches and burn-downs say what the trials did."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.pruning.width import prune_width
from autodepth.records.ledger import Ledger
from autodepth.report.analysis.burn_down import MOST_STEPS, burn_down
from autodepth.report.analysis.sensitivity_table import branch_table
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
    assert branch_strip(replace(record, result=None), whole, None) == ()


def test_a_damaged_weights_file_tells_nothing(make_recorded, tmp_path):
    record = records_of(make_recorded("digits", TRIALS))[1]
    (tmp_path / "w.st").write_bytes(b"none")
    assert not branch_strip(record, known_branches(SPEC), tmp_path / "w.st")[0].measured


def test_rows_are_means_of_scaled_scores(make_recorded):
    first, *rest = [r for r in records_of(make_recorded("digits", TRIALS)) if r.result]

    def scored(record, criterion, scores, survival=(1.0, 0.8), removed=()):
        result = replace(record.result, sensitivities=scores, survival=survival, removed=removed)
        return replace(record, policy={"criterion": criterion}, result=result)

    table = branch_table(
        [
            scored(first, "taylor", {1: 3.0, 2: 1.0}, removed=(2,)),  # in means: 1.5 and 0.5
            scored(rest[0], "taylor", {1: 10.0, 2: 30.0}, survival=(1.0, 0.4)),  # 0.5 and 1.5
            scored(rest[1], "magnitude", {1: 7.0}),
        ]
    )
    assert table.branches == (1, 2)
    rows = {row.criterion: (row.trials, row.scaled) for row in table.rows}
    assert rows == {"taylor": (2, (1.0, 1.0)), "magnitude": (1, (1.0, None))}
    assert table.survival == pytest.approx((1.0, 2.0 / 3))
    assert (table.survival_low[1], table.survival_high[1]) == (0.4, 0.8)
    assert table.removed == pytest.approx((0.0, 1 / 3))
    assert branch_table([]).branches == ()


def test_a_budget_burns_down_to_what_was_spent(make_recorded):
    folder = make_recorded("digits", TRIALS)
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        burned = burn_down(ledger, ledger.trials())
        spending = ledger.spending()
    assert burned.limit == 240
    assert {stage: values[-1] for stage, values in burned.spent.items()} == pytest.approx(spending)
    assert burned.left == pytest.approx((240, 200, 170, 160, 140))
    assert sorted(burned.times) == list(burned.times)


@given(st.lists(st.floats(0.1, 9), min_size=1, max_size=6))
def test_what_was_spent_only_grows(seconds):
    from autodepth.report.analysis.burn_down import BurnDown

    spent = tuple(sum(seconds[:n]) for n in range(len(seconds) + 1))
    burned = BurnDown(device="cpu", limit=10.0, times=("",) * len(spent), spent={"parent": spent})
    assert all(left >= 0 for left in burned.left)
    assert list(burned.left) == sorted(burned.left, reverse=True)


def test_a_long_study_is_thinned_and_keeps_its_end(make_recorded):
    folder = make_recorded("long", [(0.5, 10_000_000, 1.0)] * (MOST_STEPS + 30))
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        burned = burn_down(ledger, ledger.trials())
        assert len(burned.times) == MOST_STEPS
        assert sum(v[-1] for v in burned.spent.values()) == pytest.approx(ledger.spent())


def test_counts_tell_the_states_without_reading_trials(make_recorded):
    folder = make_recorded("digits", TRIALS)
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        counts = ledger.counts()
        assert {state.value: n for state, n in counts.items() if n} == {"complete": 3, "failed": 1}
        assert [record.number for record in ledger.trials(2)] == [2, 3]
        assert sum(seconds for _, _, seconds in ledger.charges()) == pytest.approx(ledger.spent())
