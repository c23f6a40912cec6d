"""A study as Optuna has it: trials, states and values, and a dashboard that opens it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState as OptunaState

from autodepth.errors import StorageError
from autodepth.records.ledger import Ledger
from autodepth.records.studies import find_study
from autodepth.service.search.resume import resume
from autodepth.service.search.search import search
from autodepth.study.propose.sampling.optuna_export import mirror_path, write_mirror
from autodepth.trial.result import TrialState

DASHBOARD = Path(sys.executable).with_name("optuna-dashboard")
SMALL = (
    "network.name=resnet8", "data.train_images=64", "data.validation=60", "train.epochs=1",
    "search.fine_tune_epochs=0", "constraints=[macs <= 60%]",
    "train.learning_rate={type: choice, values: [0.1, 1.0e+30]}", "sampler.startup_trials=2",
)  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("mirrored")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTODEPTH_HOME", str(home))
        search(budget="8trials", study="seen", settings=SMALL, runner="in-process")
        write_mirror(find_study("seen"))
    return home


@pytest.fixture
def folder(home, tmp_path, monkeypatch):
    """A copy that a test may change."""
    shutil.copytree(home, tmp_path / "copy")
    monkeypatch.setenv("AUTODEPTH_HOME", str(tmp_path / "copy"))
    return find_study("seen")


def mirrored(folder):
    storage = optuna.storages.RDBStorage(f"sqlite:///{mirror_path(folder)}")
    try:
        study = optuna.load_study(study_name="seen", storage=storage)
        return study, study.get_trials(), study.best_trials
    finally:
        storage.engine.dispose()


def records_of(folder):
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        return {record.number: record for record in ledger.trials()}, ledger.front()


def test_optuna_gives_the_trials_states_values_and_front_of_the_ledger(folder):
    study, trials, best = mirrored(folder)
    records, front = records_of(folder)

    assert study.metric_names == ["validation_accuracy", "macs"]
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert {trial.user_attrs["trial"] for trial in trials} == set(records)
    assert {OptunaState.COMPLETE, OptunaState.FAIL} == {trial.state for trial in trials}
    for trial in trials:
        record = records[trial.user_attrs["trial"]]
        assert (trial.state is OptunaState.COMPLETE) == (record.state is TrialState.COMPLETE)
        assert trial.params.items() <= dict(record.point).items()
        if record.result:
            point = record.result.point
            assert trial.values == [point.validation_accuracy, point.macs]
            assert trial.user_attrs["latency_ms"] == point.latency_ms
            assert (max(trial.constraints.values()) > 0) == (record.reason is not None)
    values = {(point.point.validation_accuracy, point.point.macs) for point in front}
    assert {tuple(trial.values) for trial in best} == values


def test_it_is_kept_up_to_date_by_whoever_goes_on_and_never_told_twice(folder):
    before = len(mirrored(folder)[1])
    assert write_mirror(folder) == 0
    resume("seen", budget="+2trials", runner="in-process")
    _, trials, _ = mirrored(folder)
    records, _ = records_of(folder)

    assert len(trials) >= before + 2
    assert sorted(trial.user_attrs["trial"] for trial in trials) == sorted(records)


def test_one_that_is_damaged_is_told_and_written_anew(folder):
    whole = [trial.values for trial in mirrored(folder)[1]]
    mirror_path(folder).write_bytes(b"nothing of Optuna's" * 100)
    with pytest.raises(StorageError, match=r"autodepth fsck seen --repair writes it anew"):
        write_mirror(folder)
    command = [sys.executable, "-m", "autodepth", "fsck", "seen", "--repair"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stderr
    assert [trial.values for trial in mirrored(folder)[1]] == whole


@pytest.mark.long
@pytest.mark.skipif(not DASHBOARD.exists(), reason="optuna-dashboard is not installed")
def test_optuna_dashboard_opens_it(folder):
    served = subprocess.Popen(
        [DASHBOARD, f"sqlite:///{mirror_path(folder)}", "--host=127.0.0.1", "--port=0"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"}, start_new_session=True,
    )  # fmt: skip
    try:
        found = next(filter(None, (re.search(r"http://127\S+:\d+", x) for x in served.stdout)))
        studies = ask(found[0], "/api/studies")["study_summaries"]
        (study,) = [each for each in studies if each["study_name"] == "seen"]
        told = ask(found[0], f"/api/studies/{study['study_id']}")
    finally:
        os.killpg(served.pid, signal.SIGKILL)  # asked kindly, it takes half a minute
        served.communicate()

    assert len(told["trials"]) == len(mirrored(folder)[1])


def ask(address, path, patience=60):
    deadline = time.monotonic() + patience
    while True:
        try:
            with urllib.request.urlopen(address + path, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.URLError:
            assert time.monotonic() < deadline
            time.sleep(0.2)
