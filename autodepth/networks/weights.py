"""Weights that people bring: safetensors, or a state dict as `torch.save` writes it.

Nothing in such a file is executed: it is read with `weights_only=True`.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from autodepth.atomic import write_atomically
from autodepth.errors import WeightsError

_USUAL_KEYS = ("state_dict", "model_state_dict", "model", "net", "weights")
_USUAL_PREFIXES = ("module.", "_orig_mod.", "model.")
_SHOWN = 8


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a state dict onto the CPU.

    Accepted are `.safetensors` files and pickled state dicts, also under one of the usual keys
    (`state_dict`, `model`, ...) and with the prefixes that data-parallel wrappers leave.

    Raises:
        WeightsError: the file is missing, holds no state dict, or more than plain tensors.
    """
    if not path.is_file():
        raise WeightsError(f"weights file {path} does not exist")
    try:
        if path.suffix == ".safetensors":
            content: Any = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        if isinstance(error, pickle.UnpicklingError):  # torch says how to run it all the same
            first_line = "it is no file of torch, or holds objects, which may run code"
        raise WeightsError(
            f"{path} cannot be read as plain weights (tensors only, no objects): {first_line}"
        ) from error
    return _without_prefix(_state_dict(content, path))


def load_weights(module: nn.Module, path: Path) -> None:
    """Load a weights file into a network, every key of it.

    Raises:
        WeightsError: keys are missing, unexpected, or of another shape; all are listed.
    """
    found = read_weights(path)
    wanted = module.state_dict()
    missing = [
        key for key in wanted if key not in found and not key.endswith("num_batches_tracked")
    ]
    unexpected = [key for key in found if key not in wanted]
    reshaped = [
        f"{key} ({_shape(found[key])} in the file, {_shape(wanted[key])} in the network)"
        for key in wanted
        if key in found and found[key].shape != wanted[key].shape
    ]
    problems = [
        f"{what}: {_listing(keys)}"
        for what, keys in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", reshaped),
        )
        if keys
    ]
    if problems:
        raise WeightsError(f"{path} does not fit the network; " + "; ".join(problems))
    module.load_state_dict(found, strict=False)


def save_weights(module: nn.Module, path: Path) -> int:
    """Write a network's state dict as safetensors, whole or not at all; return its bytes."""
    state = {key: value.detach().cpu().contiguous() for key, value in module.state_dict().items()}
    content = save(state)
    write_atomically(path, content)
    return len(content)


def _state_dict(content: Any, path: Path) -> dict[str, Tensor]:
    if isinstance(content, Mapping):
        for key in _USUAL_KEYS:
            if isinstance(content.get(key), Mapping):
                content = content[key]
                break
        tensors = {str(k): v for k, v in content.items() if isinstance(v, Tensor)}
        if tensors:
            return tensors
    raise WeightsError(f"{path} holds no state dict (a mapping from names to tensors)")


def _without_prefix(state: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in _USUAL_PREFIXES:
        if all(key.startswith(prefix) for key in state):
            return _without_prefix({key.removeprefix(prefix): state[key] for key in state})
    return state


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"


def _listing(keys: list[str]) -> str:
    more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
    return ", ".join(keys[:_SHOWN]) + more
