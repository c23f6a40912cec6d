"""Files that libraries fetch for their networks, found where they lie or downloaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from autodepth.errors import WeightsError
from autodepth.long_work import long_work


def checkpoints() -> Path:
    """Return torch's folder of checkpoints, in which fetched files are looked for."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def of_repository(repository: str, file: str, place: Path, *, what: str) -> Path:
    """Return a file of a repository of Hugging Face.

    Args:
        repository: OWNER/NAME.
        file: its name there.
        place: where it is looked for first; the library's own cache comes second.
        what: what it holds, for a person.

    Raises:
        WeightsError: it is at neither place and cannot be fetched.
    """

    def download() -> Path:
        from huggingface_hub import hf_hub_download  # noqa: PLC0415 - comes with timm

        return Path(hf_hub_download(repository, file))

    return fetched(place, f"{file} of {repository} (Hugging Face)", download, what=what)


def fetched(place: Path, source: str, download: Callable[[], Path], *, what: str) -> Path:
    """Return the file at a place, else what is downloaded.

    Raises:
        WeightsError: it is not there and cannot be fetched; it says what to put where.
    """
    if place.is_file():
        return place
    try:
        with long_work(f"downloading {place.name}", None):
            return download()
    except Exception as error:  # whatever libraries and networks come up with
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise WeightsError(
            f"{what} could not be fetched ({reason:.200}): put {source} at {place}"
        ) from error
