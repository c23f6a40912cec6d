"""Running a program within a time limit, whatever it does; what it prints is bounded."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO

from autodepth.errors import MeasurementError
from autodepth.policy.values import shown

MOST_PRINTED = 65_536  # bytes; who prints more is not read to the end

_TO_END_SECONDS = 5.0


def run_program(
    command: Sequence[str] | str, seconds: float, environment: Mapping[str, str] | None = None
) -> str:
    """Return what a program prints, and end it and all that it started.

    Args:
        command: the program and its arguments; a text goes to the shell.
        seconds: how long it may take.
        environment: variables beside those of this process.

    Raises:
        MeasurementError: it cannot be started, takes longer, fails or prints too much.
    """
    with tempfile.TemporaryFile() as complaints:
        try:
            # A text is a person's own, given on the command line or allowed by --own-code.
            process = subprocess.Popen(  # noqa: S603
                command,
                shell=isinstance(command, str),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=complaints,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        except OSError as error:
            raise MeasurementError(f"cannot be started: {error}") from error
        began = time.monotonic()
        try:
            printed = _printed(process, seconds)
            status = process.wait(timeout=max(0.0, began + seconds - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise MeasurementError(f"took longer than {seconds:g} s") from None
        finally:
            _end(process)
            process.wait()
        if len(printed) > MOST_PRINTED:
            raise MeasurementError(f"printed more than {MOST_PRINTED:,} bytes")
        if status:
            raise MeasurementError(f"ended with status {status}{_last_line(complaints)}")
    return printed.decode(errors="replace")


def _printed(process: subprocess.Popen[bytes], seconds: float) -> bytes:
    """Return the output up to its end, or a byte more than the most."""
    assert process.stdout is not None
    output, found = process.stdout, bytearray()

    def read() -> None:
        found.extend(output.read(MOST_PRINTED + 1))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(seconds)
    late = reader.is_alive()
    if late or len(found) > MOST_PRINTED:
        _end(process)
        reader.join(_TO_END_SECONDS)
    if not reader.is_alive():  # else something that left the group holds on to it
        output.close()  # who goes on printing fails
    if late:
        raise subprocess.TimeoutExpired(process.args, seconds)
    return bytes(found)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program and all that stayed in its group."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _last_line(complaints: IO[bytes]) -> str:
    complaints.seek(0, os.SEEK_END)
    complaints.seek(max(0, complaints.tell() - MOST_PRINTED))
    lines = complaints.read().decode(errors="replace").strip().splitlines()
    return f": {lines[-1].strip()[:200]}" if lines else ""


def read_ms(printed: str) -> float:
    """Read milliseconds from the last line that a program printed; `ms` may stand behind them.

    Raises:
        MeasurementError: it is no number above 0.
    """
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    last = lines[-1] if lines else ""
    try:
        ms = float(last.removesuffix("ms").strip())
    except ValueError:
        ms = 0.0
    if not 0 < ms < float("inf"):
        raise MeasurementError(
            f"must print milliseconds above 0 on its last line, but printed {shown(last[:80])}"
        )
    return ms
