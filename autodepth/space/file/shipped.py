"""The space files that come with autodepth."""

from __future__ import annotations

from pathlib import Path

DEFAULT_SPACE = "digits_resnet20"
TRAINED_SPACE = "trained_network"


def space_folder() -> Path:
    """Return the folder of the shipped files: inside the installed package, else the checkout's."""
    package = Path(__file__).parents[2]
    installed = package / "search_spaces"
    return installed if installed.is_dir() else package.parent / "search_spaces"


def shipped_spaces() -> dict[str, Path]:
    """Return the shipped space files by name, sorted."""
    return {path.stem: path for path in sorted(space_folder().glob("*.yaml"))}


def default_space(*, trained: bool = False) -> Path:
    """Return the space file a search takes when none is named; its data needs no download.

    Args:
        trained: whether weights are given: then what a trained network can do without is searched.
    """
    return space_folder() / f"{TRAINED_SPACE if trained else DEFAULT_SPACE}.yaml"
