"""Commands carried out for an agent, in processes of their own: what they print is no protocol.

Every value stands behind its option's `=`, so none is taken for an option. Nothing here lets an
agent have code imported: a network of one's own needs `--own-code`, which is never given.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autodepth.errors import AutodepthError, InputError, StudyError
from autodepth.records.driver_lock.lock import driver_of
from autodepth.records.studies import find_study, studies_root
from autodepth.space.file.shipped import shipped_spaces

_START_SECONDS, _PAUSE_SECONDS = 600.0, 0.25
_LOG = "{study}.log"
_CANNOT_BE_USED = 2  # exit status
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
_TOLD_LINES = 20
_started: list[subprocess.Popen[bytes]] = []  # what is forgotten while it runs is warned of


async def answer(command: str, *arguments: str) -> Any:
    """Run a command with `--json`, and return its document.

    Raises:
        InputError: it could not use what was written; the text is what it said.
        AutodepthError: it failed; likewise.
    """
    process = await asyncio.create_subprocess_exec(
        *_program(command, *arguments, "--json"), stdin=DEVNULL, stdout=PIPE, stderr=PIPE
    )
    try:
        out, told = await process.communicate()
    except asyncio.CancelledError:  # nobody waits for it any more
        process.kill()
        raise
    if process.returncode:
        kind = InputError if process.returncode == _CANNOT_BE_USED else AutodepthError
        raise kind(_last(told.decode(errors="replace")))
    return json.loads(out)


async def begin(study: str, command: str, *arguments: str) -> dict[str, Any]:
    """Start a command that drives a study and goes on without this process.

    Args:
        study: its name.
        command: `search` or `resume`.
        arguments: of the command.

    Returns:
        `study`, `pid` of the process, and `log`, the file that has what it prints.

    Raises:
        AutodepthError: it ended before the study was driven; the text is what it said.
    """
    checked_name(study)
    root = studies_root()
    root.mkdir(parents=True, exist_ok=True)
    log = root / _LOG.format(study=study)
    with log.open("wb") as file:
        process = subprocess.Popen(  # noqa: S603, ASYNC220 - ourselves, and not waited for
            _program(command, *arguments),
            stdin=DEVNULL, stdout=file, stderr=file, start_new_session=True,
        )  # fmt: skip
    _started.append(process)
    for _ in range(round(_START_SECONDS / _PAUSE_SECONDS)):
        if process.poll() is not None or _is_driven(study):
            break
        await asyncio.sleep(_PAUSE_SECONDS)
    if process.returncode:
        raise AutodepthError(_last(log.read_text(errors="replace")))
    return {"study": study, "pid": process.pid, "log": str(log)}


def checked_name(name: str) -> str:
    """Return a name of a study or a folder.

    Raises:
        InputError: it is none; a path, say, or an option.
    """
    if not _NAME.fullmatch(name):
        raise InputError(f"a name must be 1 to 64 of A-Z a-z 0-9 . _ -, but got {name!r}")
    return name


def options(**given: Any) -> list[str]:
    """Return `--name=value` for all that is given; lists as often as they have values."""
    words = []
    for name, value in given.items():
        option = f"--{name.replace('_', '-')}"
        if value is True:
            words.append(option)
        elif isinstance(value, Sequence) and not isinstance(value, str):
            words += [f"{option}={each}" for each in value]
        elif value is not None and value is not False:
            words.append(f"{option}={value}")
    return words


def space_file(space: str | None) -> list[str]:
    """Return the argument for a space: a shipped one by name, else a file below this folder."""
    if space is None:
        return []
    path = shipped_spaces().get(space, Path(space))
    if not path.is_file():
        raise InputError(
            f"a space must be one of {', '.join(shipped_spaces())} or a file, but got {space!r}"
        )
    return [str(path.absolute())]


def _program(command: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "autodepth", command, *arguments]


def _is_driven(study: str) -> bool:
    try:
        return driver_of(find_study(study)) is not None
    except StudyError:
        return False


def _last(told: str) -> str:
    """Return the error a command ended with, else its last lines."""
    lines = told.strip().splitlines()
    beginning = next((i for i, line in enumerate(lines) if line.startswith("error: ")), None)
    kept = lines[-_TOLD_LINES:] if beginning is None else lines[beginning:]
    return "\n".join(kept).removeprefix("error: ") or "it ended without a word"
