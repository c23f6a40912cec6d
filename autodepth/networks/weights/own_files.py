"""Weights in files of autodepth's own: safetensors by the network's names, as they are.

What people bring is read by `given_weights`, which looks for the network in it.
"""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from autodepth.atomic import write_atomically
from autodepth.errors import WeightsError
from autodepth.networks.weights.ties import state_once, under_all_names


def save_weights(module: nn.Module, path: Path) -> int:
    """Write a network's state dict as safetensors, whole or not at all; return its bytes.

    A tensor of several names is written once, see `under_all_names`.
    """
    content = save(state_once(module))
    write_atomically(path, content)
    return len(content)


def read_saved(path: Path) -> dict[str, Tensor]:
    """Return what `save_weights` wrote, on the CPU.

    Raises:
        WeightsError: the file is missing or damaged.
    """
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} cannot be read: {error}") from error


def load_saved(module: nn.Module, path: Path) -> None:
    """Give a network what `save_weights` wrote of it.

    Raises:
        WeightsError: as of `read_saved`, or it was written of another network.
    """
    try:
        module.load_state_dict(under_all_names(read_saved(path), module))
    except RuntimeError as error:
        raise WeightsError(f"{path} is of another network: {error}") from error
