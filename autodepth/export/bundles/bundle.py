"""A bundle: the folder an exported network lives in, guarded by checksums.

model.safetensors    weights
model.onnx           the network for onnxruntime and other engines
model.int8.onnx      the same in eight-bit integers, where asked for
model.pt2            the network as a program of torch.export
model.pte            the same for ExecuTorch, where asked for
architecture.json    how to build the network again, its preprocessing and its classes
policy.yaml          what was done to get it
record.json          study, trial, seed, what was measured on which split
images.safetensors   which images of a person's own were set apart for the test, by their content
verification.json    how each format was compared with the searched network, and the result
predict.py           says what it gives by onnxruntime and numpy alone; not of boxes and own tasks
README.md            the model card
checksums.json       SHA-256 of all of the above, and of itself
test_openings.json   written by `evaluate`: when the test split was opened, and what it said

`load` needs the first, `architecture.json` and the checksums; it runs nothing of the folder.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from autodepth.atomic import sha256_of
from autodepth.data.settings import DataSettings
from autodepth.errors import AutodepthError, BundleError
from autodepth.export.bundles.architecture import Architecture
from autodepth.export.bundles.seal import read_sealed, sealed
from autodepth.networks.catalogue import build_network
from autodepth.networks.costs.cost import count_macs
from autodepth.networks.pruning.restoring import with_shapes
from autodepth.networks.weights.ties import under_all_names

WEIGHTS, ARCHITECTURE, POLICY = "model.safetensors", "architecture.json", "policy.yaml"
RECORD, VERIFICATION, CHECKSUMS = "record.json", "verification.json", "checksums.json"
ONNX, INT8, PROGRAM, EXECUTORCH = "model.onnx", "model.int8.onnx", "model.pt2", "model.pte"
PREDICT, CARD, OPENINGS = "predict.py", "README.md", "test_openings.json"
IMAGES = "images.safetensors"
_ALWAYS = (WEIGHTS, ARCHITECTURE, POLICY, RECORD, VERIFICATION, CARD)


# What is made in inference mode could not be made narrower, or trained.
@torch.inference_mode(mode=False)
def load(folder: Path | str, *, own_code: bool = False) -> nn.Module:
    """Return an exported network in evaluation mode, on the CPU.

    Args:
        folder: a folder that `autodepth export` wrote.
        own_code: whether `package.module:callable` may be imported, where such a network is in
            the folder. Everything that is read of it is plain data.

    Returns:
        A module that maps normalised images [B, C, H, W] to class scores [B, classes], bit for
        bit the network that was searched. `read_architecture` tells normalisation and classes.

    Raises:
        BundleError: a file is missing, was altered, or does not give the recorded network.
        NetworkError: its builder is code of one's own, and that is not allowed or fails.
    """
    folder = Path(folder)
    return rebuild(read_architecture(folder, own_code=own_code), folder / WEIGHTS)


def rebuild(architecture: Architecture, weights: Path) -> nn.Module:
    """Return a network by its description, with weights, in evaluation mode.

    Raises:
        BundleError: the weights do not fit, or the network has other MACs than were recorded.
        NetworkError: its builder is code of one's own, and that is not allowed or fails.
    """
    module = _built(architecture)
    try:
        module.load_state_dict(under_all_names(load_file(weights), module))
    except (RuntimeError, SafetensorError) as error:
        raise BundleError(f"{weights} does not fit {ARCHITECTURE}: {error}") from error
    module.eval()
    spec = architecture.network
    macs = count_macs(module, torch.zeros(1, *spec.input_shape), free=spec.free)
    if macs != architecture.macs:
        raise BundleError(f"{architecture.macs:,} MACs are recorded, but {weights} has {macs:,}")
    return module


def _built(architecture: Architecture) -> nn.Module:
    try:
        network = build_network(architecture.network).without(architecture.removed)
        module = with_shapes(network, architecture.widths).module
    except AutodepthError:
        raise
    except (RuntimeError, TypeError, ValueError, LookupError, AttributeError) as error:
        raise BundleError(f"{ARCHITECTURE} must tell a network, but: {error}") from error
    return module


def read_architecture(folder: Path, *, own_code: bool = False) -> Architecture:
    """Check every file of a bundle and return its architecture.

    Raises:
        BundleError: `folder` is no bundle, or a file of it is missing or was altered.
    """
    check(folder)
    text = (folder / ARCHITECTURE).read_text(errors="replace")
    return Architecture.from_json(text, own_code=own_code)


def read_record(folder: Path) -> dict[str, Any]:
    """Return what a bundle records about where it came from; check it first.

    Raises:
        BundleError: it does not tell that.
    """
    try:
        record: dict[str, Any] = json.loads((folder / RECORD).read_text())
        record["data"] = dict(record["data"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleError(f"{folder / RECORD} must tell the data searched on: {error!r}") from error
    return record


def recorded_data(folder: Path) -> DataSettings:
    """Return the data an exported network was searched on."""
    return DataSettings.from_dict(read_record(folder)["data"])


def write_checksums(folder: Path) -> None:
    """Write the SHA-256 of every file in a folder, and of the list itself."""
    names = sorted(path.name for path in folder.iterdir() if path.name != CHECKSUMS)
    files = {name: sha256_of(folder / name) for name in names}
    (folder / CHECKSUMS).write_text(sealed({"files": files}))


def check(folder: Path) -> None:
    """Compare every file of a bundle with its checksum.

    Raises:
        BundleError: `folder` is no bundle, or a file of it is missing or was altered.
    """
    for name, digest in _checksums(folder).items():
        path = folder / name
        if not path.is_file():
            raise BundleError(f"{path} is missing")
        if sha256_of(path) != digest:
            raise BundleError(f"{path} was altered: its SHA-256 is not the one in {CHECKSUMS}")
    if (folder / OPENINGS).exists():  # written later, so it carries a checksum of its own
        read_sealed(folder / OPENINGS)


def _checksums(folder: Path) -> dict[str, str]:
    """Return the digest of each file by its name, those that no bundle lacks among them."""
    try:
        sums = read_sealed(folder / CHECKSUMS)["files"]
    except OSError as error:
        raise BundleError(
            f"{folder} is not a bundle that autodepth exported: {CHECKSUMS} is missing"
        ) from error
    except KeyError as error:
        raise BundleError(f"{folder / CHECKSUMS} lists no files") from error
    if lacking := [name for name in _ALWAYS if name not in sums]:
        raise BundleError(f"{folder / CHECKSUMS} has no checksum of {lacking[0]}")
    if strange := [name for name in sums if Path(name).name != name]:
        raise BundleError(f"{folder / CHECKSUMS} names a file outside its folder: {strange[0]}")
    return dict(sums)
