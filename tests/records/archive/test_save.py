"""A study comes back from its file as it was; nothing else comes out of a file."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autodepth.errors import StudyError
from autodepth.records.archive.load import load_study
from autodepth.records.archive.save import save_study
from autodepth.records.driver_lock.lock import DriverLock, wish
from autodepth.records.ledger import Ledger
from autodepth.records.mlflow.cursor import STUDY, Outbox, Progress
from autodepth.records.studies import StudyFolder, list_studies, studies_root

TRIALS = ((0.9, 40_000_000, 4.0), (0.8, 10_000_000, 3.0), (None, 0, 1.0), (0.7, 20_000_000, 2.0))
Make = Callable[..., StudyFolder]
Content = tuple[list[Any], ...]


@pytest.fixture
def folder(make_recorded: Make) -> StudyFolder:
    return make_recorded("digits", TRIALS)


@pytest.fixture
def archive(folder: StudyFolder, tmp_path: Path) -> Path:
    save_study(folder, tmp_path / "digits.tar.gz")
    return tmp_path / "digits.tar.gz"


def content(folder: StudyFolder) -> Content:
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        trials = ledger.trials()
        epochs = [ledger.epochs(trial.number) for trial in trials]
        return trials, epochs, ledger.endings(), [ledger.spending()], ledger.front()


def files(folder: StudyFolder) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder.path)): path.read_bytes()
        for path in folder.path.rglob("*")
        if path.is_file() and not path.name.startswith("ledger")
    }


def members(archive: Path) -> list[tuple[str, bytes]]:
    with tarfile.open(archive) as read:
        return [(m.name, read.extractfile(m).read()) for m in read]  # type: ignore[union-attr]


def test_a_study_comes_back_as_it_was(folder: StudyFolder, archive: Path) -> None:
    loaded = load_study(archive, "again")

    assert loaded.name == "again"
    assert content(loaded) == content(folder)
    assert files(loaded) == files(folder)
    assert loaded.plan == folder.plan
    with Ledger.open(loaded.ledger_path) as ledger:  # it can be written to, so carried on
        assert (ledger.study.name, ledger.study.outcome) == ("again", "the budget was spent")
        assert ledger.start_trial("search", {}, {}) == 4
    assert [study.study for study in list_studies()] == ["again", "digits"]


def test_equal_studies_give_equal_files_that_begin_with_their_manifest(
    folder: StudyFolder, archive: Path, tmp_path: Path
) -> None:
    save_study(folder, tmp_path / "once-more.tar.gz")
    names = [name for name, _ in members(archive)]

    assert archive.read_bytes() == (tmp_path / "once-more.tar.gz").read_bytes()
    assert names == [
        "digits/manifest.json", "digits/ledger.sqlite", "digits/space.yaml",
        *(f"digits/trials/{number}/model.safetensors" for number in (0, 1, 3)),
    ]  # fmt: skip
    with tarfile.open(archive) as read:
        assert {(m.mtime, m.uid, m.uname) for m in read} == {(0, 0, "")}
    assert sorted(tmp_path.iterdir()) == [archive, tmp_path / "once-more.tar.gz", studies_root()]


def test_what_belongs_to_a_process_a_store_or_a_trial_that_runs_is_left_out(
    folder: StudyFolder, tmp_path: Path
) -> None:
    with Ledger.open(folder.ledger_path) as ledger:
        number = ledger.start_trial("search", {}, {})
        Outbox(ledger, "a store").save(STUDY, Progress(run_id="r"))
    running = folder.trial_folder(number) / "model.safetensors"
    running.parent.mkdir()
    running.write_bytes(b"half")
    for name in ("cache/parent.safetensors", "trials/1/.hidden", "trials/1/deep/er"):
        (folder.path / name).parent.mkdir(exist_ok=True)
        (folder.path / name).write_bytes(b"x")
    (folder.path / "trials/1/link").symlink_to(folder.space_path)
    (folder.path / "front.html").write_text("<script>alert(1)</script>")
    with DriverLock(folder):
        wish(folder, stop=True)
        saved = save_study(folder, tmp_path / "running.tar.gz")
    loaded = load_study(tmp_path / "running.tar.gz", "again")

    assert [file.name for file in saved] == [
        "ledger.sqlite", "space.yaml", "front.html",
        *(f"trials/{number}/model.safetensors" for number in (0, 1, 3)),
    ]  # fmt: skip
    assert {*files(loaded)} == {file.name for file in saved} - {"ledger.sqlite", "front.html"}
    with Ledger.open(loaded.ledger_path) as ledger:
        assert Outbox(ledger, "a store").progress(STUDY) is None
        assert not ledger.trial(number).state.ended


def test_a_study_is_saved_whole_while_it_is_written_to(folder: StudyFolder, tmp_path: Path) -> None:
    with Ledger.open(folder.ledger_path) as ledger, ledger.database.transaction() as connection:
        connection.execute("UPDATE study SET outcome = 'half written'")
        save_study(folder, tmp_path / "now.tar.gz")
    with Ledger.open(load_study(tmp_path / "now.tar.gz", "now").ledger_path) as ledger:
        assert ledger.study.outcome == "the budget was spent"


def test_weights_that_are_gone_for_good_keep_nothing_from_being_saved(
    folder: StudyFolder, tmp_path: Path
) -> None:
    (folder.path / "trials/0/model.safetensors").unlink()
    saved = save_study(folder, tmp_path / "without.tar.gz")
    assert [file.name for file in saved if "/0/" in file.name] == []


def test_a_front_that_moves_on_meanwhile_is_copied_again(
    folder: StudyFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_result: Any
) -> None:
    """As the driver does it: a better trial ends, and the weights of the worse are deleted."""
    copy, moved = shutil.copyfile, False

    def copy_late(source: Path, to: Path) -> None:
        nonlocal moved
        if not moved:
            moved = True
            with Ledger.open(folder.ledger_path) as ledger:
                number = ledger.start_trial("search", {}, {})
                ledger.complete_trial(number, make_result(0.95, 9_000_000), 1.0)
            for trial in (0, 1):
                (folder.trial_folder(trial) / "model.safetensors").unlink()
            (folder.path / f"trials/{number}").mkdir()
            (folder.path / f"trials/{number}/weights.safetensors").write_bytes(b"better")
        copy(source, to)

    monkeypatch.setattr(shutil, "copyfile", copy_late)
    saved = save_study(folder, tmp_path / "moved.tar.gz")
    loaded = load_study(tmp_path / "moved.tar.gz", "moved")

    assert [file.name for file in saved][2:] == [
        "trials/3/model.safetensors", "trials/4/weights.safetensors",
    ]  # fmt: skip
    with Ledger.open(loaded.ledger_path) as ledger:
        assert [member.trial for member in ledger.front()] == [4]


def test_a_file_is_not_overwritten_and_a_name_not_taken_twice(
    folder: StudyFolder, archive: Path, tmp_path: Path
) -> None:
    before = archive.read_bytes()
    with pytest.raises(StudyError, match=r"must not exist, but .*digits\.tar\.gz does"):
        save_study(folder, archive)
    assert archive.read_bytes() == before
    with pytest.raises(StudyError, match="'digits' is taken"):
        load_study(archive)
    for name in ("../up", "latest", "a/b", "", ".."):
        with pytest.raises(StudyError, match=r"name must be|cannot be called"):
            load_study(archive, name)
    assert [study.study for study in list_studies()] == ["digits"]
    with pytest.raises(StudyError, match="a file that `autodepth save` wrote, not"):
        load_study(tmp_path / "nowhere.tar.gz")
