"""Studies that are killed, in copies of a process that has everything imported."""

import os
import subprocess
import sys
import traceback

import pytest
from crash_loop import SETTINGS, front_of, start_copy

from autodepth.cli.main import main
from autodepth.records.studies import find_study


@pytest.fixture
def with_a_store(make_store):
    """Other processes find MLflow's tables made."""
    make_store()


@pytest.fixture(autouse=True)
def _caches_of_studies(monkeypatch):
    """Studies driven in this process name a cache of their own; later tests have none."""
    monkeypatch.setenv("AUTODEPTH_CACHE", "")


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


def _command_line(arguments, folder, told):
    """Run a command in this process, which ends with it."""
    os.chdir(folder)
    for number, path in enumerate(told, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.argv = ["autodepth", *arguments]
    status = 1
    try:
        main()
        status = 0
    except SystemExit as end:
        status = end.code or 0
    except Exception:  # noqa: BLE001 - as Python itself does
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


@pytest.fixture
def autodepth(tmp_path):
    """Return what runs the command line in a process of its own, which has everything imported."""

    def run(*arguments):
        command = list(map(str, arguments))
        told = [tmp_path / name for name in ("stdout", "stderr")]
        process = start_copy(_command_line, command, tmp_path, told)
        process.join(600)
        assert process.exitcode is not None, command
        out, err = (path.read_text() for path in told)
        return subprocess.CompletedProcess(command, process.exitcode, out, err)

    return run


@pytest.fixture
def front():
    return front_of


@pytest.fixture
def folder_of():
    return find_study
