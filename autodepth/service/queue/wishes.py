"""What may be asked of a queue, as plain values, each checked before anything is entered."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from autodepth.errors import InputError, SpaceFileError
from autodepth.policy.policy import Policy
from autodepth.policy.survival import check_choice
from autodepth.service.agents.commands import checked_name
from autodepth.service.queue.carrying.commands import SPACE_FILE
from autodepth.service.search.requests import SearchRequest
from autodepth.service.search.wanted_space import space_of
from autodepth.space.file.shipped import default_space, shipped_spaces
from autodepth.space.search_space import SearchSpace
from autodepth.units import parse_budget

FORMATS = ("torch", "onnx", "int8", "executorch")
"""What a network can be exported to, besides weights and architecture."""
BUILDERS = ("torchvision", "timm")
"""What stands before the colon of a network that is no code of a person's own."""


@dataclass(frozen=True, kw_only=True)
class SearchWish:
    """A search that is to be queued; the fields are those of `SearchRequest`.

    Args:
        space: name of a shipped space; None for the default, or for `space_text`.
        space_text: text of a space file; None for a shipped one.
    """

    study: str
    budget: str
    space: str | None = None
    space_text: str | None = None
    data: str | None = None
    network: str | None = None
    weights: str | None = None
    weights_key: str | None = None
    settings: Sequence[str] = ()
    seed: int | None = None
    concurrency: int | None = None
    per_trial: str | None = None
    start_from: str | None = None
    formats: Sequence[str] = ()
    trust_data: bool = False

    def arguments(self) -> dict[str, Any]:
        """Return what is kept of it in the queue: all that is said, but the study's name."""
        formats = joined_formats(self.formats) if self.formats else None
        told = {**asdict(self), "set": list(self.settings), "formats": formats}
        del told["study"], told["settings"]
        return {name: value for name, value in told.items() if value not in (None, [], False)}

    def check(self) -> None:
        """Refuse what cannot be searched.

        Raises:
            SpaceFileError: the space has mistakes, each told as `space.yaml:LINE:COLUMN: ...`.
            InputError: something else cannot be used, or would run code of a person's own.
        """
        checked_name(self.study)
        parse_budget(self.budget)
        joined_formats(self.formats)
        if self.space is not None and self.space_text is not None:
            raise InputError("space and space_text exclude each other: give one of them")
        if self.concurrency is not None and self.concurrency < 1:
            raise InputError(f"concurrency must be at least 1, but got {self.concurrency}")
        refuse_own_code(self._space())

    def _space(self) -> SearchSpace:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / SPACE_FILE
            if self.space_text is not None:
                file.write_text(self.space_text, encoding="utf-8")
            elif self.space is None:
                file = default_space(trained=self.weights is not None)
            else:
                check_choice("space", self.space, tuple(shipped_spaces()))
                file = shipped_spaces()[self.space]
            try:
                return space_of(self._request(file))
            except SpaceFileError as error:
                told = [mistake.removeprefix(f"{file.parent}/") for mistake in error.mistakes]
                raise SpaceFileError(told) from error

    def _request(self, file: Path) -> SearchRequest:
        return SearchRequest(
            space=file, budget=self.budget, data=self.data, network=self.network,
            weights=self.weights, weights_key=self.weights_key, settings=self.settings,
            seed=self.seed,
        )  # fmt: skip


def refuse_own_code(space: SearchSpace) -> None:
    """Refuse a space whose network or task is code that would have to be imported.

    Raises:
        InputError: it is.
    """
    for name in (space.network.name, space.task.name):
        builder, called, _ = name.partition(":")
        if called and builder not in BUILDERS:
            raise InputError(
                f"a server imports no code of your own, but got {name!r}: start such a search by "
                "command, `autodepth search --own-code`"
            )


def checked_policy(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return a policy as it is kept.

    Raises:
        InputError: it is none.
    """
    try:
        json.dumps(told, allow_nan=False).encode()
        return dict(Policy.from_dict(dict(told)).to_dict())
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise InputError(f"a policy has the settings of a policy.yaml, but: {error}") from error


def joined_formats(formats: Sequence[str]) -> str:
    """Return formats of an export as its command takes them; `none` without any.

    Raises:
        InputError: one is unknown, or int8 stands without onnx.
    """
    for name in formats:
        check_choice("format", name, FORMATS)
    if "int8" in formats and "onnx" not in formats:
        raise InputError("int8 is made from onnx, so formats must have both")
    return ",".join(dict.fromkeys(formats)) or "none"
