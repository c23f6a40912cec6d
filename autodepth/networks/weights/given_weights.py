"""Weights that people bring, given to a network; what was taken of their file is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from autodepth.errors import WeightsError
from autodepth.networks.weights.checkpoint_file import read_checkpoint
from autodepth.networks.weights.keys_in_file import Place, find_place, listing

Renamed = Callable[[nn.Module, Mapping[str, Tensor]], tuple[dict[str, Tensor], list[str]]]


def load_weights(
    module: nn.Module,
    path: Path,
    *,
    key: str | None = None,
    classes: int = 0,
    renamed: Renamed | None = None,
) -> list[str]:
    """Give a network the weights of a file, wherever in it they lie.

    A last layer for another number of classes is left as it is; all else has to fit.

    Args:
        module: any network; changed in place, or left as it was where an error is raised.
        path: see `read_checkpoint`.
        key: where in the file they are, such as `state_dict_ema`; None finds them.
        classes: size of the network's output; 0 lets no layer differ.
        renamed: what a library makes of a state dict of another version of it, where it has a way:
            weights by the network's names, and which of them are the network's own.

    Returns:
        What was taken and what was not, where that is not plain to see: a sentence each.

    Raises:
        WeightsError: the file cannot be read, its weights do not fit, or are no finite floats.
    """
    wanted = module.state_dict()
    content = read_checkpoint(path)
    lacking: list[str] = []
    try:
        try:
            place, others = find_place(content, wanted, key=key, classes=classes)
        except WeightsError:
            if renamed is None or not _is_state(content):
                raise
            content, lacking = renamed(module, content)
            if lacking and not classes:
                raise
            place, others = find_place(content, wanted, key=None, classes=classes)
        for name, tensor in place.found.items():
            _check_values(name, tensor, wanted[name])
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error
    taken = {name: t for name, t in place.found.items() if name not in place.reshaped}
    module.load_state_dict(taken, strict=False)
    if lacking:
        others_told = f"{listing(lacking)} start at random: {path.name} has none; train them"
        return [*_told(path, place, others, wanted), others_told]
    return _told(path, place, others, wanted)


def _is_state(content: object) -> bool:
    return isinstance(content, Mapping) and all(isinstance(v, Tensor) for v in content.values())


def _check_values(name: str, tensor: Tensor, own: Tensor) -> None:
    if own.is_floating_point():
        if tensor.is_quantized or tensor.itemsize == 1 or not tensor.is_floating_point():
            kind = str(tensor.dtype).removeprefix("torch.")
            raise WeightsError(
                f"its weights are quantised, or no real numbers ({name} is {kind}): bring those "
                "they were made of, in float32, float16 or bfloat16"
            )
        if tensor.layout != torch.strided or tensor.is_meta:
            raise WeightsError(f"{name} must be a plain tensor with values, but is {tensor!r:.60}")
        if not tensor.isfinite().all() and own.isfinite().all():
            raise WeightsError(
                f"its weights must be finite, but {name} holds NaN or infinity: take the file of "
                "an earlier epoch"
            )


def _told(path: Path, place: Place, others: list[str], wanted: Mapping[str, Tensor]) -> list[str]:
    notes = []
    if place.name:
        notes.append(f"weights are those at {place.name} of {path.name}")
    if others:
        notes.append(
            f"{listing(others)} of {path.name} would fit too: --weights-key {others[0]} takes it"
        )
    if place.beside:
        notes.append(
            f"{path.name} holds {len(place.beside)} tensors beside the network's, which are left "
            f"out: {listing(place.beside)}"
        )
    kinds = {t.dtype for n, t in place.found.items() if t.dtype != wanted[n].dtype}
    if kinds:
        names = " and ".join(sorted(str(kind).removeprefix("torch.") for kind in kinds))
        notes.append(f"weights of {path.name} are {names}, and were converted")
    if place.reshaped:
        head = place.reshaped[0]
        notes.append(
            f"{listing(place.reshaped)} start at random: {path.name} is for "
            f"{len(place.found[head])} classes, the network for {len(wanted[head])}; train them "
            "(train.epochs, fine_tune_epochs) before a figure means anything"
        )
    return notes
