"""Study folders are found by name, and nothing is overwritten."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from autodepth.errors import StudyError
from autodepth.records.ledger import Ledger
from autodepth.records.studies import (
    HOME_VARIABLE,
    StudyFolder,
    create_study_folder,
    find_study,
    list_studies,
    studies_root,
)
from autodepth.records.trial_record import StudyRecord
from autodepth.trial.result import TrialResult


@pytest.fixture
def start(home: Path, make_study: Callable[..., StudyRecord]) -> Callable[..., StudyFolder]:
    """Start a study and return its folder."""

    def start(name: str, created_at: str = "2026-01-01T00:00:00.000+00:00") -> StudyFolder:
        folder = create_study_folder(name)
        study = replace(make_study(name), created_at=created_at)
        Ledger.create(folder.ledger_path, study).close()
        return folder

    return start


def test_studies_live_in_the_current_folder_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(HOME_VARIABLE, raising=False)
    assert studies_root() == tmp_path / "autodepth-studies"
    monkeypatch.setenv(HOME_VARIABLE, "elsewhere")
    assert studies_root() == tmp_path / "elsewhere"


def test_a_new_study_has_its_folder_and_plan(start: Callable[..., StudyFolder], home: Path) -> None:
    folder = start("digits")
    assert folder.path == home / "digits"
    assert folder.trial_folder(3) == home / "digits" / "trials" / "3"
    assert folder.plan == {"network": "resnet20", "budget": "4cpu-min"}
    assert find_study("digits") == folder


def test_a_taken_name_is_refused_with_what_to_do(start: Callable[..., StudyFolder]) -> None:
    start("digits")
    with pytest.raises(StudyError, match="'digits' is taken: choose another, or delete"):
        create_study_folder("digits")


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".hidden", "-rf", "../up", "a/b", "/root", "a b", "é", "x\n", "n" * 65]
)
def test_a_name_that_is_no_plain_name_is_refused(home: Path, name: str) -> None:
    with pytest.raises(StudyError, match="a study's name must be"):
        create_study_folder(name)
    assert not home.exists()


@pytest.mark.parametrize("name", ["latest", "mlflow.db", "mlartifacts"])
def test_a_name_with_another_meaning_is_refused(home: Path, name: str) -> None:
    with pytest.raises(StudyError, match="a study cannot be called"):
        create_study_folder(name)


def test_an_unknown_name_is_answered_with_the_known_ones(start: Callable[..., StudyFolder]) -> None:
    start("digits")
    start("cifar")
    with pytest.raises(StudyError) as caught:
        find_study("digit")
    assert "no study is called 'digit', did you mean 'digits'?" in str(caught.value)
    assert str(caught.value).endswith("has cifar, digits")


@pytest.mark.parametrize("name", ["latest", "../digits", "digits"])
def test_without_studies_none_is_found(home: Path, name: str) -> None:
    with pytest.raises(StudyError, match="has none yet"):
        find_study(name)


def test_latest_is_the_one_started_last(start: Callable[..., StudyFolder]) -> None:
    start("zebra", "2026-01-01T00:00:00.000+00:00")
    newest = start("ant", "2026-01-02T00:00:00.000+00:00")
    assert find_study("latest") == newest
    assert [summary.study for summary in list_studies()] == ["ant", "zebra"]


def test_a_summary_counts(
    start: Callable[..., StudyFolder], make_result: Callable[..., TrialResult]
) -> None:
    folder = start("digits")
    with Ledger.open(folder.ledger_path) as ledger:
        for accuracy in (0.8, 0.9):
            number = ledger.start_trial("search", {}, {})
            ledger.complete_trial(number, make_result(accuracy), 2.0)
        ledger.start_trial("search", {}, {})
        ledger.end_study("budget spent")
    (summary,) = json.loads(json.dumps([summary.to_dict() for summary in list_studies()]))
    assert summary == {
        "study": "digits",
        "created": "2026-01-01T00:00:00.000+00:00",
        "outcome": "budget spent",
        "trials": 3,
        "complete": 2,
        "front": 1,
        "spent_device_seconds": 4.0,
        "best_accuracy": 0.9,
        "best": "90.0%",
    }


def test_a_study_that_cannot_be_read_is_left_out_and_named(
    start: Callable[..., StudyFolder], caplog: pytest.LogCaptureFixture
) -> None:
    start("digits")
    start("broken").ledger_path.write_bytes(b"not a database, " * 100)
    with caplog.at_level(logging.WARNING):
        assert [summary.study for summary in list_studies()] == ["digits"]
    assert "study broken left out: a ledger must be a SQLite file" in caplog.text


@pytest.mark.parametrize("statement", ["CREATE TABLE trial", "INSERT INTO study"])
def test_a_driver_that_dies_while_it_writes_its_ledger_leaves_no_study(
    start: Callable[..., StudyFolder], home: Path, statement: str
) -> None:
    folder = create_study_folder("digits")
    dies = f"""
import os, sqlite3, sys
from pathlib import Path
from autodepth.records.ledger import Ledger
from autodepth.records.trial_record import StudyRecord

class Dying(sqlite3.Connection):
    def execute(self, statement, *values):
        if {statement!r} in statement:
            os._exit(9)
        return super().execute(statement, *values)
connect = sqlite3.connect
sqlite3.connect = lambda *a, **k: connect(*a, factory=Dying, **k)
Ledger.create(Path(sys.argv[1]), StudyRecord(name="digits", seed=0, objectives=(), plan={{}}))
"""
    command = [sys.executable, "-c", dies, str(folder.ledger_path)]
    assert subprocess.run(command, check=False).returncode == 9
    assert list_studies() == []
    assert any(folder.path.iterdir())

    assert start("digits") == folder
    assert [path.name for path in folder.path.iterdir()] == ["ledger.sqlite"]


def test_what_a_driver_left_that_died_before_its_ledger_is_no_study(home: Path) -> None:
    folder = create_study_folder("digits")
    (folder.path / "space.yaml").write_text("version: 1\n")
    (folder.path / "driver.lock").touch()

    assert create_study_folder("digits") == folder
    (folder.path / "notes.txt").touch()
    with pytest.raises(StudyError, match="'digits' is taken"):
        create_study_folder("digits")
