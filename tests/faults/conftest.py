"""Studies that are killed, in copies of a process that has everything imported."""

import subprocess
import sys

import pytest
from crash_loop import SETTINGS, front_of, start_copy

from autodepth.records.studies import find_study


@pytest.fixture
def settings():
    return SETTINGS


@pytest.fixture
def run_in_copy():
    """Return what does some work in a process of its own, and gives its exit code."""

    def run(work, *arguments):
        process = start_copy(work, *arguments)
        process.join()
        return process.exitcode

    return run


@pytest.fixture
def remount(tmp_path, monkeypatch):
    """Return what changes the options of the file system, 1.5 MB of its own, of all studies."""
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
    yield lambda options: subprocess.run(["mount", "-o", f"remount,{options}", disk], check=True)
    subprocess.run(["umount", "--lazy", disk], check=True)


@pytest.fixture
def autodepth(tmp_path):
    """Return what runs the command line in a process of its own."""

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "autodepth", *map(str, arguments)],
            capture_output=True, text=True, timeout=600, check=False, cwd=tmp_path,
        )  # fmt: skip

    return run


@pytest.fixture
def front():
    return front_of


@pytest.fixture
def folder_of():
    return find_study
