"""What a search would do, said by the command that would begin it; nothing is queued."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autodepth.errors import AutodepthError, NotNowError
from autodepth.service.agents.commands import answer
from autodepth.service.queue.carrying.commands import SPACE_FILE, Place, dry_run_of

_LONGEST_SECONDS = 600.0


class DryRuns:
    """Tells plans of searches, one at a time: each times steps on devices that searches use."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def plan(self, arguments: Mapping[str, Any], place: Place) -> dict[str, Any]:
        """Return what `autodepth search --dry-run --json` prints.

        Args:
            arguments: as of a work that searches.
            place: where it would be carried out.

        Raises:
            NotNowError: another plan is being made.
            InputError: what is asked for cannot be searched.
            AutodepthError: the command failed, or took longer than ten minutes.
        """
        if self._turn.locked():
            raise NotNowError("one dry run is made at a time, and another one goes on: ask later")
        async with self._turn:
            with tempfile.TemporaryDirectory() as folder:
                if (text := arguments.get("space_text")) is not None:
                    (Path(folder) / SPACE_FILE).write_text(text, encoding="utf-8")
                words = dry_run_of(arguments, place, Path(folder))
                try:
                    return dict(await asyncio.wait_for(answer(*words), _LONGEST_SECONDS))
                except TimeoutError as error:
                    raise AutodepthError(
                        f"a dry run must end within {_LONGEST_SECONDS:.0f} s, but this one has not"
                    ) from error
