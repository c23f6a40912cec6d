"""File systems whose locks keep nobody out, or only on one machine, are no place for a study."""

from pathlib import Path

import pytest

from autodepth.errors import StudyError
from autodepth.records.driver_lock import lock as control
from autodepth.records.driver_lock import lock_probe
from autodepth.records.driver_lock.lock import DriverLock
from autodepth.records.driver_lock.lock_probe import mount_of
from autodepth.records.studies import StudyFolder

TABLE = """22 1 0:20 / / rw,relatime shared:1 - ext4 /dev/root rw
30 22 0:31 / /home rw - nfs4 host:/home rw,vers=4.2,local_lock=none
31 22 0:32 / /scratch rw,noatime - lustre mds:/scratch rw,localflock
32 22 0:33 / /with\\040blank rw master:7 - cifs //host/share rw,nobrl
33 22 0:34 / /old rw - nfs host:/old rw,vers=3,nolock,local_lock=all
34 30 0:35 / /home/fast rw - xfs /dev/sdb rw
"""


@pytest.fixture
def folder(tmp_path):
    return StudyFolder(tmp_path)


@pytest.mark.parametrize(
    ("folder", "kind", "only_here"),
    [
        ("/", "ext4", set()),
        ("/home/anna/studies", "nfs4", set()),
        ("/home/fast/studies", "xfs", set()),
        ("/homely", "ext4", set()),
        ("/scratch/studies", "lustre", {"localflock"}),
        ("/with blank/studies", "cifs", {"nobrl"}),
        ("/old", "nfs", {"nolock", "local_lock=all"}),
    ],
)
def test_the_innermost_mount_tells_type_and_options(folder, kind, only_here):
    mount = mount_of(Path(folder), TABLE)

    assert mount.kind == kind
    assert mount.options & lock_probe._ON_ONE_MACHINE == only_here


def test_locks_that_do_nothing_are_noticed_from_another_process(folder, monkeypatch):
    monkeypatch.setattr(lock_probe, "_KNOWN_TO_LOCK", frozenset())
    with DriverLock(folder):  # locks work here
        pass
    monkeypatch.setattr(control, "_try_lock", lambda *_: True)
    with pytest.raises(StudyError, match="a second process got a lock that was taken"):
        DriverLock(folder).__enter__()


def test_locks_that_hold_on_one_machine_only_are_refused(folder, monkeypatch, tmp_path):
    table = tmp_path / "mountinfo"
    table.write_text(f"9 1 0:3 / {tmp_path} rw - nfs host:/x rw,nolock\n")
    monkeypatch.setattr(lock_probe, "_MOUNTS", table)
    with pytest.raises(StudyError, match="is on nfs mounted with nolock: set AUTODEPTH_HOME"):
        DriverLock(folder).__enter__()
