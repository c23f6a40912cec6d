"""Networks that a person builds in code of their own: `package.module:callable`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from autodepth.errors import NetworkError, did_you_mean
from autodepth.networks.running.copying import copied
from autodepth.networks.running.own_modules import home_of, import_from
from autodepth.paths import absolute
from autodepth.torchvision_door import import_torchvision, lacks_operators

LIBRARIES = ("torchvision", "timm", "hf")
"""What stands before the colon of a network of a library."""
_OWN = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*)")


def is_own(name: str) -> bool:
    """Whether a name is of the form `package.module:callable`, and no catalogue's."""
    match = _OWN.fullmatch(name)
    return match is not None and match[1] not in LIBRARIES


def code_folder(name: str) -> Path | None:
    """Return the folder that the code of a network came from; None where it is installed.

    Args:
        name: of a network that was built; None for one of a catalogue, too.
    """
    return home_of(name.partition(":")[0]) if is_own(name) else None


def own_module(
    name: str, classes: int, arguments: Mapping[str, Any], folder: Path | None = None
) -> nn.Module:
    """Import a module, from a folder too, and call its builder.

    The builder is called with `arguments`, and with `num_classes` if it has a parameter of that
    name, or takes any, and `classes` is not 0. A network made when the module is imported is
    copied.

    Args:
        name: `package.module:callable`; a class of networks is a callable too.
        classes: size of the output; 0 leaves it to the builder.
        arguments: by name.
        folder: where the module lies if it is not installed; None for the current folder.

    Raises:
        NetworkError: there is no such module or callable, it does not take the arguments, fails,
            or gives no network.
    """
    builder = find_own(name, absolute(folder or "."))
    if isinstance(builder, nn.Module):
        return copied(builder)
    wanted = dict(arguments)
    if classes and _takes_classes(builder):
        wanted.setdefault("num_classes", classes)
    call = f"{name}({', '.join(f'{key}={value!r}' for key, value in wanted.items())})"
    try:
        inspect.signature(builder).bind(**wanted)
    except TypeError as error:
        takes = f"{name} takes {inspect.signature(builder)}"
        raise NetworkError(f"{call} cannot be called: {error}; {takes}") from error
    try:
        network = builder(**wanted)
    except Exception as error:
        told = f"{call} failed: {type(error).__name__}: {error}"
        if "num_classes" in str(error) and "num_classes" not in arguments:
            told += "; it is filled in where a builder takes any name: let it take num_classes"
        raise NetworkError(told) from error
    if not isinstance(network, nn.Module):
        hint = ", a class: call it" * isinstance(network, type)
        raise NetworkError(f"{call} must give a torch.nn.Module, but gave {network!r:.80}{hint}")
    return network


def find_own(name: str, folder: Path, what: str = "network") -> Callable[..., Any]:
    """Import a module, from a folder too, and return what it has under a name.

    Args:
        name: `package.module:callable`.
        folder: where the module lies if it is not installed.
        what: what it is to build.

    Raises:
        NetworkError: there is no such module or callable, or importing it fails.
    """
    place, _, attribute = name.partition(":")
    try:
        module = _imported(folder, place)
    except NetworkError:
        raise
    except ModuleNotFoundError as error:
        if error.name is None or not f"{place}.".startswith(f"{error.name}."):
            raise NetworkError(f"{place} cannot be imported: {error}") from error
        raise NetworkError(
            f"there is no Python module {error.name!r} for the {what} {name}, neither installed "
            f"nor in {folder}"
        ) from error
    except Exception as error:
        raise NetworkError(f"{place} cannot be imported: {error!r}") from error
    builder = getattr(module, attribute, None)
    if not callable(builder):
        known = [key for key, value in vars(module).items() if callable(value)]
        raise NetworkError(f"{place} has no callable {attribute!r}{did_you_mean(attribute, known)}")
    return builder  # type: ignore[no-any-return]


def _imported(folder: Path, place: str) -> ModuleType:
    """Import a module; torchvision, which it may import, opens beside any torch."""
    try:
        return import_from(folder, place)
    except RuntimeError as error:
        if not lacks_operators(error):
            raise
    import_torchvision()
    return import_from(folder, place)


def _takes_classes(builder: Callable[..., Any]) -> bool:
    parameters = inspect.signature(builder).parameters
    return "num_classes" in parameters or any(
        parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()
    )
