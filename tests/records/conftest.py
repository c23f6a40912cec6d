"""A small study, made without training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autodepth.front.objective import Objective
from autodepth.records.ledger import Ledger
from autodepth.records.studies import HOME_VARIABLE
from autodepth.records.trial_record import StudyRecord
from autodepth.trial.result import OperatingPoint, TrialResult

POLICY = {
    "p_L": 0.8,
    "sensitivity_threshold": [0.01, 0.02, 0.1],
    "threshold_per": "stage",
    "train": {"epochs": 8, "weight_decay": 0.0005, "fine_tune_learning_rate": None},
}


def make_study(name: str = "digits") -> StudyRecord:
    return StudyRecord(
        name=name,
        seed=7,
        objectives=(
            Objective(name="validation_accuracy", goal="maximize", reference=0.0),
            Objective(name="macs", goal="minimize", reference=40_000_000),
        ),
        plan={"network": "resnet20", "budget": "4cpu-min"},
    )


def make_result(accuracy: float = 0.9, macs: int = 20_000_000) -> TrialResult:
    return TrialResult(
        point=OperatingPoint(
            validation_accuracy=accuracy,
            validation_loss=0.3,
            macs=macs,
            effective_macs=macs,
            parameters=200_000,
            size_bytes=810_000,
            latency_ms=2.5,
        ),
        removed=(3, 5),
        sensitivities={2: 0.4, 3: 0.0, 5: -0.01},
        survival=(1.0, 0.9, 0.8),
        parent_accuracy=0.92,
        pruned_accuracy=0.85,
        phase_seconds={"parent": 4.0, "fine_tune": 1.5},
        weights_file="weights.safetensors",
    )


@pytest.fixture(name="make_study")
def _make_study() -> Callable[..., StudyRecord]:
    return make_study


@pytest.fixture(name="make_result")
def _make_result() -> Callable[..., TrialResult]:
    return make_result


@pytest.fixture
def policy() -> dict[str, object]:
    """A policy as `Policy.to_dict` writes it, shortened."""
    return POLICY


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """An open ledger of a study in which nothing happened yet."""
    with Ledger.create(tmp_path / "ledger.sqlite", make_study()) as ledger:
        yield ledger


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of studies."""
    root = tmp_path / "studies"
    monkeypatch.setenv(HOME_VARIABLE, str(root))
    return root
