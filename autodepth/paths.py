"""Paths as people say them, made absolute: workers run in folders of their own."""

from __future__ import annotations

from pathlib import Path

from autodepth.errors import InputError


def absolute(path: str | Path) -> Path:
    """Return a path from the root; `~` is the home folder, and the rest starts where we are.

    Raises:
        InputError: it names the home of a user who has none, or the current folder is gone.
    """
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError as error:
        raise InputError(f"a path must begin with a home that is there, but got {path}") from error
    except FileNotFoundError as error:
        raise InputError(
            f"{path} is meant from the current folder, but that is gone: cd to another"
        ) from error


def absolute_location(where: str) -> str:
    """Return a folder as `absolute` does, and a URL as it is."""
    return where if "://" in where else str(absolute(where))
