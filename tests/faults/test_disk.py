"""A disk that fills up under a study: it ends with a message, and goes on when there is room."""

import os
import time

import pytest
from crash_loop import SETTINGS

from autodepth.records.fsck import broken_invariants
from autodepth.records.ledger import Ledger
from autodepth.records.studies import find_study

pytestmark = [pytest.mark.slow, pytest.mark.long]


def test_a_full_disk_ends_a_study_in_order_and_it_goes_on_with_room(
    remount, autodepth, observed, tmp_path
):
    uri = f"--tracking-uri=sqlite:///{tmp_path / 'mlflow.db'}"
    settings = [f"--set={setting}" for setting in SETTINGS]
    full = autodepth("search", "--budget=30trials", "--study=full", uri, *settings)
    folder = find_study("full")
    before = broken_invariants(folder)
    remount("size=200m")
    begun = time.monotonic()
    after = autodepth("resume", "full", uri)
    observed("the disk is full", "from room to the end", time.monotonic() - begun)

    assert full.returncode == os.EX_IOERR, full.stderr
    assert "Traceback" not in full.stderr
    assert "No space left on device" in full.stderr or "disk is full" in full.stderr
    assert [breach for breach in before if breach.mend is None] == []
    assert after.returncode == 0, after.stderr
    assert broken_invariants(folder) == []
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        assert sum(record.counts for record in ledger.trials()) == 30
