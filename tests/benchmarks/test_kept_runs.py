"""Runs are kept short: a line for each trial, and no file of results is large."""

import json
from pathlib import Path

from kept_runs import write_run

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
LARGEST = 200_000  # bytes


def test_a_run_is_read_as_it_was_but_for_what_its_command_makes_again(tmp_path):
    trial = {"number": 0, "kind": "search", "macs": 5, "spent": 1.23456, "val_acc": 0.123456789}
    control = {"number": 1, "kind": "unpruned", "stage_s": {"parent": 2.5}, "device_s": None}
    path = tmp_path / "of_who" / "run.json"
    write_run(path, {"seed": 3, "trials": [trial | {"point": {"p_L": 0.5}}, control]})

    assert json.loads(path.read_text()) == {
        "seed": 3, "trials": [trial | {"spent": 1.235}, control],
    }  # fmt: skip
    assert len(path.read_text().splitlines()) == 2 + 5


def test_a_run_without_trials_is_kept(tmp_path):
    write_run(tmp_path / "run.json", {"seed": 3, "trials": []})
    assert json.loads((tmp_path / "run.json").read_text()) == {"seed": 3, "trials": []}


def test_no_file_of_results_is_large():
    sizes = {path.name: path.stat().st_size for path in RESULTS.rglob("*") if path.is_file()}
    assert {name for name, size in sizes.items() if size > LARGEST} == set()
