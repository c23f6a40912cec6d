"""Libraries of networks are extras: imported when a network of theirs is asked for."""

from __future__ import annotations

import importlib
from types import ModuleType

from autodepth.errors import NetworkError
from autodepth.torchvision_door import import_torchvision


def import_extra(module: str, extra: str, whose: str) -> ModuleType:
    """Return a library that needs a torchvision which imports.

    Args:
        module: its name.
        extra: of autodepth that installs it.
        whose: networks these are, in words.

    Raises:
        NetworkError: it is not installed.
    """
    import_torchvision()
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise NetworkError(
            f"networks of {whose} need the extra {extra}: pip install 'autodepth[{extra}]'"
        ) from error
