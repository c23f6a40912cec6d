"""Rows beside the literature: one convention of MACs, and the whole way at a small scale."""

import json
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest
from bench_rows import BOARDS, scaled_budget, settings, table
from literature import ROWS, beside

from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.space.file.space_file import check_space

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_the_space_is_fine():
    assert check_space(BENCHMARKS / "spaces" / "rows.yaml") == []


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.blocks], ids=lambda r: f"{r.network} {r.cut}"
)
def test_shares_left_are_those_of_networks_without_so_many_identity_blocks(row):
    spec = NetworkSpec(name=row.network, classes=10, channels=3, height=32, width=32)
    network = build_network(spec)
    identity = [b.index for b in network.branches if b.shortcut == "identity"]
    smaller = network.without(identity[: row.blocks])

    assert row.left == pytest.approx(smaller.total_macs / network.total_macs, abs=1e-4)
    assert row.left == pytest.approx(1 - row.cut / 100, abs=0.01)  # the source's own convention


def test_the_literature_is_read_from_large_to_small():
    shares = [row.left for row in beside("resnet56")]
    assert len(shares) == 9
    assert shares == sorted(shares, reverse=True)


def test_a_scale_shortens_trainings_and_budget_alike():
    asked = Namespace(scale=0.1, train_images=1000, validation=None, data="digits")

    assert scaled_budget("2gpu-h", 0.1) == "720gpu-s"
    assert settings(BOARDS["resnet56"], asked, given=False) == [
        "search.fine_tune_epochs={type: int, min: 1, max: 4}",
        "train.epochs=16",
        "data.train_images=1000",
        "data.validation=100",
        "data.augment=none",
    ]


def test_a_control_of_other_macs_says_so():
    spread = {"mean": 0.9, "sd": 0.01, "n": 3}
    control = {
        "role": "random removal",
        "accuracy": spread,
        "macs": 75.0,
        "comparison": {"verdict": "tie"},
    }
    row = {
        "share": 0.5, "macs": 50.0, "left": 0.5, "accuracy": spread, "whole": 0.92, "test": 0.89,
        "controls": [control],
    }  # fmt: skip

    text = table(BOARDS["resnet56"], [row], "about")
    ours = "| 50% | 50.0% | 90.0 ± 1.0 % (3) | -2.0 | 89.0% |"
    assert f"{ours} 90.0 ± 1.0 % (3) at 1.50 times the MACs, ours better: tie |" in text
    assert "| 43.6% | CKA 2024" not in text
    assert "| 43.6%, 15 blocks out | CKA 2024 | +0.95 |" in text


@pytest.mark.long
def test_all_of_it_at_a_hundredth(tmp_path):
    command = [
        sys.executable, str(BENCHMARKS / "bench_rows.py"), "--data", "digits",
        "--board", "resnet20", "--budget", "60cpu-min", "--scale", "0.01", "--seeds", "2",
        "--train-images", "300",
        "--home", str(tmp_path / "home"), "--to", str(tmp_path / "rows.md"),
    ]  # fmt: skip
    subprocess.run(command, check=True, cwd=tmp_path)
    text = (tmp_path / "rows.md").read_text()
    tested = sorted((tmp_path / "home").rglob("trial*.json"))
    again = subprocess.run(command, check=True, cwd=tmp_path, capture_output=True, text=True)

    assert "(2), ours better: " in text
    assert "autodepth search" not in again.stdout
    assert (tmp_path / "rows.md").read_text() == text
    assert all(json.loads(path.read_text())["openings_before"] == 0 for path in tested)
