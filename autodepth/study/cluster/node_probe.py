"""What runs on each node before the first trial: who it is, and whether it reaches the storage."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from autodepth.trial.cache.cache import open_store
from autodepth.trial.cache.entry import seal

_WORD = "word.txt"


def versions() -> dict[str, str]:
    """Return versions by name, empty where something is not installed.

    It travels as code, not by name: it has to run where autodepth is another, or is not.
    """
    import platform  # noqa: PLC0415
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415

    try:
        from autodepth.version import __version__ as autodepth  # noqa: PLC0415
    except ImportError:
        autodepth = ""
    try:
        torch = version("torch").partition("+")[0]
    except PackageNotFoundError:
        torch = ""
    return {"autodepth": autodepth, "torch": torch, "python": platform.python_version()}


def sees(path: str) -> bool:
    """Whether this node has something at a path."""
    return Path(path).exists()


def examples_of(learns: Any, shipped_files: Any) -> tuple[str, str]:
    """Return the fingerprint of a task's examples as this node has them, or what went wrong.

    Args:
        learns: the task, a `TaskSpec`.
        shipped_files: its code, `ShippedFiles`.
    """
    from autodepth.tasks.own_task import make_task  # noqa: PLC0415 - it imports torch
    from autodepth.tasks.task_data import read_task_data  # noqa: PLC0415

    try:
        here = shipped_files.unpack_code(learns)
        return read_task_data(make_task(here), here.data).fingerprint, ""
    except Exception as error:  # noqa: BLE001 - whatever it is, a person has to be told
        return "", f"{type(error).__name__}: {error}"


def leave_word(where: str, word: str, host: str) -> None:
    """Write a word under a host's name.

    Raises:
        OSError: the place does not take it.
        InputError: fsspec does not know the place, or lacks a package for it.
    """

    def fill(draft: Path) -> None:
        (draft / _WORD).write_text(word)
        seal(draft, "weights")

    open_store(where).keep(_entry(word, host), fill)


def find_word(where: str, word: str, host: str) -> None:
    """Read what a host has written.

    Raises:
        OSError: it is not there.
        DamagedEntryError: it is not what was written.
    """
    with open_store(where).opened(_entry(word, host)):
        pass


def forget_word(where: str, word: str, host: str) -> None:
    """Take away what a host has written."""
    open_store(where).remove(_entry(word, host))


def answer_word(where: str, word: str, asking: str, host: str) -> str:
    """Read what the asking host wrote and answer it; return what went wrong, empty if nothing."""
    try:
        find_word(where, word, asking)
        leave_word(where, word, host)
        find_word(where, word, host)
    except FileNotFoundError:
        return "it does not see what the driver wrote there"
    except Exception as error:  # noqa: BLE001 - whatever it is, a person has to be told
        return f"{type(error).__name__}: {error}"
    return ""


def _entry(word: str, host: str) -> str:
    return hashlib.sha256(f"{word} {host}".encode()).hexdigest()
