"""Studies that are killed, in copies of a process that has everything imported."""

import os
from collections.abc import Callable

import pytest
from crash_loop import SETTINGS, front_of, in_fork, stages_of_its_own

from autodepth.records.studies import find_study
from autodepth.service.resuming import resume
from autodepth.service.searching import search


@pytest.fixture(scope="session", autouse=True)
def _everything_imported():
    """A copy of this process then starts within milliseconds."""
    import mlflow.tracking  # noqa: F401

    import autodepth.records.tracking
    import autodepth.report.front_page  # noqa: F401


@pytest.fixture
def settings():
    return SETTINGS


@pytest.fixture
def run_in_copy():
    """Return what does some work in a copy of this process, and gives its wait status."""

    def run(work: Callable[[], None]) -> int:
        return os.waitpid(in_fork(work), 0)[1]

    return run


@pytest.fixture
def begin():
    """Return what starts a small study."""

    def start(name: str, trials: int = 3) -> None:
        stages_of_its_own(name)
        search(budget=f"{trials}trials", study=name, settings=SETTINGS, runner="in-process")

    return start


@pytest.fixture
def go_on():
    def again(name: str) -> None:
        stages_of_its_own(name)
        resume(name, runner="in-process")

    return again


@pytest.fixture
def front():
    return front_of


@pytest.fixture
def folder_of():
    return find_study
