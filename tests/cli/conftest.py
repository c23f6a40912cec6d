"""The command line, in this process or in one of its own."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
WIDE = {"COLUMNS": "80", "NO_COLOR": "1"}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `autodepth ARGUMENTS` in an empty folder, 80 columns wide, in this process.

    In one of its own it would import everything first, which takes longer than most commands.
    """
    from autodepth.cli.main import main

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        out, err = io.StringIO(), io.StringIO()
        with monkeypatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.chdir(tmp_path)
            patch.setattr(sys, "argv", ["autodepth", *arguments])
            for name, value in (WIDE | environment).items():
                patch.setenv(name, value)
            with _messages_as_in_a_process_of_its_own():
                status = _status_of(main)
        return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())

    return run


def _status_of(main: Callable[[], None]) -> int:
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@contextmanager
def _messages_as_in_a_process_of_its_own() -> Iterator[None]:
    """Let what is logged go to stderr, and warnings be none of pytest's errors, while entered."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    known = {name: logging.getLogger(name).level for name in logging.root.manager.loggerDict}
    root.handlers.clear()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        for name in logging.root.manager.loggerDict:
            logging.getLogger(name).setLevel(known.get(name, logging.NOTSET))


@pytest.fixture
def run_apart(tmp_path: Path) -> Run:
    """Run `autodepth ARGUMENTS` as a person does: the same, in a process of its own."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "autodepth", *arguments],
            cwd=tmp_path,
            env={**os.environ, **WIDE, **environment},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    return run


@pytest.fixture
def without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a command's trials run in this process: starting a Ray takes longer than all of them."""
    from autodepth.study import run as study_run

    monkeypatch.setattr(
        study_run,
        "_run_on_ray",
        lambda driver, context, *_: study_run.run_in_process(driver, context),
    )
