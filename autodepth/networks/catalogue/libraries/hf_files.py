"""Names of networks of Hugging Face, and the files that describe them.

`OWNER/NAME` is a repository, `./FOLDER` a folder, anything else a kind of network, such as `vit`.
Nothing of a repository is run, and nothing is unpickled: read are JSON and safetensors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autodepth.errors import NetworkError, WeightsError
from autodepth.networks.catalogue.libraries.hub_files import checkpoints, of_repository
from autodepth.paths import absolute

KIND = "model_type"
_CONFIG, _WEIGHTS, _PREPROCESSOR = "config.json", "model.safetensors", "preprocessor_config.json"
_INDEX = "model.safetensors.index.json"
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)


def is_kind(name: str) -> bool:
    """Whether a name is that of a kind of network, of which no file tells more."""
    return _folder(name) is None and _REPOSITORY.fullmatch(name) is None


def absolute_name(name: str) -> str:
    """Return a name whose folder, where it is one, begins at the root."""
    folder = _folder(name)
    return name if folder is None else str(absolute(folder))


def described(name: str) -> dict[str, Any]:
    """Return what `config.json` says of a network; of a kind nothing but that.

    Raises:
        NetworkError: there is none, or it is none of transformers.
    """
    if is_kind(name):
        return {KIND: name}
    folder = _folder(name)
    try:
        file = folder / _CONFIG if folder else _fetched(name, _CONFIG, f"what describes hf:{name}")
        values = json.loads(file.read_text())
    except WeightsError as error:
        raise NetworkError(str(error)) from error
    except OSError as error:
        raise NetworkError(
            f"hf:{name} needs {_CONFIG} in its folder, as save_pretrained writes it: {error}"
        ) from error
    except ValueError as error:
        raise NetworkError(f"{file} is no JSON: {error}") from error
    if not isinstance(values, dict) or not isinstance(values.get(KIND), str):
        raise NetworkError(f"{file} must say the kind of network as {KIND}, as transformers has it")
    return values


def trained_on(name: str) -> tuple[int, int] | None:
    """Return height and width that a network's own preprocessing makes; None if nothing says."""
    file = _preprocessor(name)
    try:
        values = json.loads(file.read_text()) if file else {}
    except (OSError, ValueError):
        return None
    cut = values.get("crop_size") if values.get("do_center_crop", True) else None
    return height_and_width(cut) or height_and_width(values.get("size"))


def height_and_width(size: object) -> tuple[int, int] | None:
    """Return height and width of a size as configurations write it; None if it is none."""
    if isinstance(size, Mapping):
        edge = size.get("shortest_edge")
        size = [size.get("height", edge), size.get("width", edge)]
    if isinstance(size, int):
        size = [size, size]
    if isinstance(size, list | tuple) and len(size) == 2 and all(isinstance(n, int) for n in size):
        return size[0], size[1]
    return None


def weights_of(name: str) -> Path:
    """Return the file of weights that a network of a repository or folder comes with.

    Raises:
        WeightsError: it has none, or they cannot be fetched.
    """
    if is_kind(name):
        raise WeightsError(
            f"hf:{name} is a kind of network, which has no weights: name a repository "
            "(hf:OWNER/NAME) or a folder (hf:./FOLDER) that has"
        )
    folder = _folder(name)
    if folder is None:
        _preprocessor(name)  # lies beside the weights then
        return _fetched(name, _WEIGHTS, "pretrained weights")
    for file in (_WEIGHTS, _INDEX):
        if (folder / file).is_file():
            return folder / file
    raise WeightsError(f"{folder} holds no {_WEIGHTS}: put it beside {_CONFIG}")


def _folder(name: str) -> Path | None:
    return Path(name).expanduser() if name.startswith((".", "/", "~")) else None


def _fetched(name: str, file: str, what: str) -> Path:
    place = checkpoints() / name.replace("/", "--") / file
    return of_repository(name, file, place, what=what)


def _preprocessor(name: str) -> Path | None:
    """Return the description of a network's own preprocessing; None where it has none."""
    if is_kind(name):
        return None
    if (folder := _folder(name)) is not None:
        return folder / _PREPROCESSOR if (folder / _PREPROCESSOR).is_file() else None
    try:
        return _fetched(name, _PREPROCESSOR, "preprocessing")
    except WeightsError:  # many have none
        return None
