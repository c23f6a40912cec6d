"""A disk that fills up under a study: it ends with a message, and goes on when there is room."""

import os
import subprocess
import sys

import pytest
from crash_loop import SETTINGS

from autodepth.records.invariants import broken_invariants
from autodepth.records.ledger import Ledger
from autodepth.records.studies import find_study

pytestmark = [pytest.mark.slow, pytest.mark.long]


@pytest.fixture
def small_disk(tmp_path, monkeypatch):
    """A file system of 1.5 MB as the folder of all studies; returns what makes it larger."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1500k", "tmpfs", disk],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("only root can mount a small file system here")
    monkeypatch.setenv("AUTODEPTH_HOME", str(disk))
    yield lambda: subprocess.run(["mount", "-o", "remount,size=200m", disk], check=True)
    subprocess.run(["umount", "--lazy", disk], check=True)


def autodepth(*arguments, home=None):
    return subprocess.run(
        [sys.executable, "-m", "autodepth", *arguments],
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip


def test_a_full_disk_ends_a_study_in_order_and_it_goes_on_with_room(small_disk, tmp_path):
    uri = f"--tracking-uri=sqlite:///{tmp_path / 'mlflow.db'}"
    settings = [f"--set={setting}" for setting in SETTINGS]
    full = autodepth("search", "--budget=30trials", "--study=full", uri, *settings)
    folder = find_study("full")
    before = broken_invariants(folder)
    small_disk()
    after = autodepth("resume", "full", uri)

    assert full.returncode == os.EX_IOERR, full.stderr
    assert "Traceback" not in full.stderr
    assert "No space left on device" in full.stderr or "disk is full" in full.stderr
    assert [breach for breach in before if breach.mend is None] == []
    assert after.returncode == 0, after.stderr
    assert broken_invariants(folder) == []
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        assert sum(record.counts for record in ledger.trials()) == 30
