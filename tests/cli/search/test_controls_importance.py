"""`front`, `controls` and `importance` of a study in the ledger, made without training."""

import json

import numpy as np
import pytest

from autodepth.front.objective import Objective
from autodepth.policy.policy import Policy
from autodepth.records.ledger import Ledger
from autodepth.records.studies import create_study_folder
from autodepth.records.trial_record import StudyRecord
from autodepth.trial.result import OperatingPoint, TrialResult, TrialState


def result(accuracy, macs, removed=()):
    return TrialResult(
        point=OperatingPoint(
            validation_accuracy=accuracy, validation_loss=0.3, macs=macs, effective_macs=macs,
            parameters=270_410, size_bytes=810_000, latency_ms=12.5,
        ),
        removed=removed, sensitivities={}, survival=(1.0,), parent_accuracy=0.9,
        pruned_accuracy=0.8, phase_seconds={},
    )  # fmt: skip


@pytest.fixture
def ledger():
    folder = create_study_folder("digits")
    study = StudyRecord(
        name="digits",
        seed=1,
        objectives=(
            Objective(name="validation_accuracy", goal="maximize", reference=0.0),
            Objective(name="macs", goal="minimize", reference=125_485_696),
        ),
        plan={"unpruned": {"macs": 125_485_696.0}},
    )
    with Ledger.create(folder.ledger_path, study) as ledger:
        policy = Policy(filter_sparsity=0.25).to_dict()
        for accuracy, macs, removed in (
            (0.971, 125_485_696, ()),
            (0.962, 110_000_000, (2, 5, 7, 9, 11, 14)),
        ):
            number = ledger.start_trial("search", {"p_L": accuracy}, policy)
            ledger.complete_trial(number, result(accuracy, macs, removed), 1.0)
        yield ledger


def confirm(ledger):
    for seed, accuracy in enumerate((0.952, 0.949, 0.957), start=1):
        number = ledger.start_trial("confirm", {}, {}, about=1, replicate=seed)
        ledger.complete_trial(number, result(accuracy, 112_000_000, (2, seed)), 1.0)


def control(ledger):
    rows = {
        "random removal": (0.92, 0.91, 0.925),
        "from scratch, MAC-scaled epochs": (0.953, 0.95, 0.956),
    }
    for role, accuracies in rows.items():
        for seed, accuracy in enumerate(accuracies, start=1):
            number = ledger.start_trial("control", {}, {}, about=1, role=role, replicate=seed)
            ledger.complete_trial(number, result(accuracy, 112_000_000), 1.0)
    number = ledger.start_trial("control", {}, {}, about=1, role="evenly spaced", replicate=1)
    ledger.end_trial(number, TrialState.INFEASIBLE, "loss is not finite", 1.0)


def test_the_front_shows_confirmed_accuracy_beside_the_raw_one(ledger, run):
    before = run("front", "digits")
    assert "confirmed" not in before.stdout
    confirm(ledger)
    done = run("front", "digits")
    lines = done.stdout.splitlines()

    assert done.returncode == 0, done.stderr
    assert max(map(len, lines)) <= 80
    header = lines[1].split()
    assert header[:4] == ["trial", "accuracy", "confirmed", "MACs"]
    assert lines[2].split()[:3] == ["0", "97.1%", "-"]
    assert lines[3].split()[:4] == ["1", "96.2%", "95.3±0.4", "(3)"]
    told = json.loads(run("front", "digits", "--json").stdout)
    assert told[1]["validation_accuracy"] == 0.962
    assert told[1]["confirmed"]["accuracy"]["n"] == 3
    assert "confirmed" not in told[0]


def test_controls_are_printed_with_their_verdicts(ledger, run):
    confirm(ledger)
    assert "no controls yet; 1 of 2 members" in run("controls", "digits").stdout
    control(ledger)
    done = run("controls", "digits")
    lines = done.stdout.splitlines()

    assert done.returncode == 0, done.stderr
    assert max(map(len, lines)) <= 80
    (itself,) = [line for line in lines if "itself, raw 96.2%" in line]
    assert itself.split() == ["1", "itself,", "raw", "96.2%", "95.3±0.4", "(3)", "112.00", "M"]
    (random,) = [line for line in lines if "random removal" in line]
    (scratch,) = [line for line in lines if "from scratch" in line]
    (even,) = [line for line in lines if "evenly spaced" in line]
    assert "+3.4±0.4" in random
    assert random.split()[-1] == "yes"
    assert scratch.split()[-1] == "tie"
    assert "1 failed" in even
    assert even.split()[-1] == "unknown"
    assert "other branches went than in the search: trial 1 on 3 of 3 seeds" in done.stdout
    assert "two standard deviations" in done.stderr.replace("\n", " ")
    told = json.loads(run("controls", "digits", "--json").stdout)
    assert [c["comparison"]["verdict"] for c in told[1]["controls"]] == ["yes", "tie", "unknown"]


def test_importance_is_printed_or_refused_in_words(ledger, run):
    assert "needs 20 complete trials of the search, but there are 2" in run("importance").stdout
    generator = np.random.default_rng(1)
    for _ in range(30):
        keep, rate = generator.uniform(0.2, 1.0, 2).tolist()
        number = ledger.start_trial("search", {"macs_target": keep, "train.rate": rate}, {})
        ledger.complete_trial(number, result(0.5 + 0.2 * keep + 0.2 * rate, int(1e8 * keep)), 1.0)
    done = run("importance", "digits")
    lines = done.stdout.splitlines()

    assert done.returncode == 0, done.stderr
    assert "at equal MACs, 32 trials" in done.stdout
    assert max(map(len, lines)) <= 80
    names = [line.split()[0] for line in lines if line.strip().startswith(("train", "macs_t"))]
    assert names[0] == "train.rate"
    told = json.loads(run("importance", "digits", "--json").stdout)
    assert told["dimensions"][0]["name"] == "train.rate"
    assert told["trials"] == 32
