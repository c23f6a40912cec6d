"""Studies that are killed, in copies of a process that has everything imported."""

import os
from pathlib import Path

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
def observed():
    """Return what notes how long something took, where `make faults` keeps a list of that."""

    def note(fault, what, seconds):
        if path := os.environ.get("AUTODEPTH_FAULT_TIMES"):
            with Path(path).open("a") as file:
                file.write(f"| {fault} | {what} | {seconds:.1f} s |\n")

    return note


@pytest.fixture
def front():
    return front_of


@pytest.fixture
def folder_of():
    return find_study
