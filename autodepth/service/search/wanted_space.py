"""The space that a search is of: which file, and what the request changes in it. Needs no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from autodepth.service.search.requests import SearchRequest
from autodepth.space.file.shipped import default_space, shipped_spaces
from autodepth.space.file.space_file import load_space
from autodepth.space.search_space import SearchSpace

LOCAL_SPACE = Path("autodepth.yaml")


def space_of(request: SearchRequest) -> SearchSpace:
    """Read the space a person means, with the changes that the request makes to it."""
    trained = request.weights is not None
    return load_space(choose_space(request.space, trained=trained), _overrides(request))


def choose_space(space: str | Path | None = None, *, trained: bool = False) -> Path:
    """Return the space file a search takes: the one named, else the folder's, else the default.

    Args:
        space: a path, or the name of a shipped one.
        trained: whether weights are given, which have a default of their own.
    """
    if space is not None:
        return (
            Path(space) if Path(space).exists() else shipped_spaces().get(str(space), Path(space))
        )
    return LOCAL_SPACE if LOCAL_SPACE.exists() else default_space(trained=trained)


def _overrides(request: SearchRequest) -> list[str]:
    """Return the changes to a space in the order they apply: a person's own settings last."""
    changes: list[tuple[str, Any]] = []
    if request.network is not None:
        changes.append(("network", {"name": request.network}))
    if request.weights is not None:
        changes += [("network.weights", str(request.weights)), ("train.epochs", 0)]
    if request.weights_key is not None:
        changes.append(("network.weights_key", request.weights_key))
    if request.data is not None:
        # The space's own split and limits were made for other images.
        changes.append(("data", {"name": request.data, "train_images": "auto"}))
    if request.seed is not None:
        changes.append(("seed", request.seed))
    return [f"{path}={json.dumps(value)}" for path, value in changes] + list(request.settings)
