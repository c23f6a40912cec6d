"""A task in one user file through a whole study: killed, resumed, confirmed, exported, tested."""

import json
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autodepth.dashboard.answers import trial_answer, trials_answer
from autodepth.dashboard.study_view import StudyView
from autodepth.errors import InputError, StudyError, TaskError
from autodepth.export.exporting import export_selected
from autodepth.export.testing.evaluation import evaluate_bundle
from autodepth.records.ledger import Ledger
from autodepth.records.mlflow.sync import sync_study
from autodepth.records.studies import find_study, studies_root
from autodepth.report.report_page import report_html
from autodepth.report.study_files import write_study_files
from autodepth.report.study_report import study_report
from autodepth.service.search.confirm import confirm
from autodepth.service.search.requests import ConfirmRequest, ResumeRequest, SearchRequest
from autodepth.service.search.resume import carry_on, plan_resume
from autodepth.service.search.search import plan_search, search
from autodepth.tasks import own_task
from autodepth.trial.result import TrialState

FILE = Path(__file__).parents[1] / "tasks" / "ink.py"
SPACE = """
version: 1
network: resnet14
task: ink:Ink
search:
  p_L: {min: 0.5, max: 1.0}
  branches_removed: {type: int, min: 0, max: 3}
train: {epochs: 1, batch_size: 40}
sensitivity: {images: 20}
confirmation: {share: 0}
"""
SEARCH = """
from autodepth import search
search("space.yaml", budget="500trials", study="ink", own_code=True, runner="in-process")
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    (tmp_path / "ink.py").write_text(FILE.read_text())
    (tmp_path / "space.yaml").write_text(SPACE)
    yield tmp_path
    sys.modules.pop("ink", None)
    own_task._made.cache_clear()


def complete():
    path = studies_root() / "ink" / "ledger.sqlite"
    try:
        with Ledger.open(path, read_only=True) as ledger:
            return ledger.counts()[TrialState.COMPLETE]
    except StudyError:  # it is being made
        return 0


def searched_until_killed(trials):
    process = subprocess.Popen([sys.executable, "-c", SEARCH])
    try:
        while complete() < trials:
            assert process.poll() is None
            time.sleep(0.1)
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_task_goes_through_a_study_with_its_metrics_name_everywhere(folder, capsys):
    assert len(FILE.read_text().splitlines()) <= 40
    searched_until_killed(1)
    study, before = find_study("ink"), complete()

    request = ResumeRequest(
        study="ink", total=f"{before + 2}trials", own_code=True, runner="in-process"
    )
    plan, again = plan_resume(request)
    result = carry_on(plan, again, request)
    confirm(ConfirmRequest(study="ink", seeds=1, own_code=True, runner="in-process"))

    assert result.complete >= before + 2
    with Ledger.open(study.ledger_path, read_only=True) as ledger:
        front, epochs = ledger.front(), ledger.epochs(front_trial := ledger.front()[0].trial)
        page = report_html(study_report(ledger))
        assert [objective.name for objective in ledger.study.objectives] == [
            "validation_mae",
            "macs",
        ]
    assert {"validation_mae", "validation_off", "quality"} <= front[0].to_dict().keys()
    assert "validation_accuracy" not in front[0].to_dict()
    assert list(epochs[-1].metrics) == ["validation_mae", "validation_off"]
    assert "validation_mae" in page
    _told_by_mlflow(study)
    _told_by_the_explorer(study, front_trial)
    _exported_and_tested(study, folder)


def _told_by_mlflow(study):
    # A store of its own: the killed process may have left the other one half made.
    place = studies_root() / "fresh.db"
    sync_study(study, f"sqlite:///{place}", write_study_files)
    with sqlite3.connect(place) as store:
        keys = {key for (key,) in store.execute("SELECT DISTINCT key FROM metrics")}
    store.close()
    assert {"final_mae", "final_off", "val/mae"} <= keys
    assert "final_accuracy" not in keys


def _told_by_the_explorer(study, number):
    found = StudyView(study).look()
    answer = trials_answer(found, "", 0)
    assert answer["leading"] == {"name": "validation_mae", "title": "mae", "unit": "px"}
    assert answer["axes"] == {"x": "macs", "y": "validation_mae"}
    assert answer["columns"]["validation_mae"][number] is not None
    assert trial_answer(StudyView(study), found, number)["leading"]["title"] == "mae"


def _exported_and_tested(study, folder):
    point = export_selected(study, "mae<=100", folder / "out", formats=())
    card = (folder / "out" / "README.md").read_text()
    assert "px mae on the validation split" in card
    assert "the task ink:Ink" in card
    assert not (folder / "out" / "predict.py").exists()
    with pytest.raises(TaskError, match="--own-code"):
        evaluate_bundle(folder / "out")
    first, second = (evaluate_bundle(folder / "out", own_code=True) for _ in range(2))
    assert (first.openings_before, second.openings_before) == (0, 1)
    assert list(first.metrics) == ["test_mae", "test_off"]
    assert first.told.endswith("px test_mae")
    openings = json.loads((folder / "out" / "test_openings.json").read_text())["openings"]
    assert openings[0]["test_mae"] == first.metrics["test_mae"]
    assert point.point.macs == first.macs
    with pytest.raises(InputError, match="has its own test split"):
        evaluate_bundle(folder / "out", "digits", own_code=True)


def test_a_space_file_alone_makes_no_task_run(folder):
    for network in (None, "resnet14"):
        with pytest.raises(TaskError, match="--own-code"):
            plan_search(SearchRequest(space="space.yaml", budget="2trials", network=network))
    assert "ink" not in sys.modules


def test_a_loss_that_leaves_the_numbers_ends_its_trials_and_loses_nothing(folder):
    code = (folder / "ink.py").read_text()
    failing = code.replace("    def loss(self, outputs, targets):\n", (
        "    def loss(self, outputs, targets):\n"
        "        if outputs.shape[0] == 40:\n"
        "            raise ValueError('no such batch')\n"
    ))  # fmt: skip
    (folder / "ink.py").write_text(failing)

    search(
        "space.yaml", budget="2trials", study="ink", own_code=True, runner="in-process",
        settings=["limits.failed_trials=5"],
    )  # fmt: skip

    with Ledger.open(find_study("ink").ledger_path, read_only=True) as ledger:
        trials = ledger.trials()
    line = failing.splitlines().index("            raise ValueError('no such batch')") + 1
    assert trials
    assert all(trial.state is TrialState.FAILED for trial in trials)
    assert f"ink.py:{line}: loss failed: ValueError: no such batch" in trials[0].reason
