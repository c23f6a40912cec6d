"""A bundle: the folder an exported network lives in. Plain data only, guarded by checksums.

model.safetensors    weights
architecture.json    how to build the network again, its preprocessing and its classes
policy.yaml          what was done to get it
record.json          study, trial, seed, what was measured on which split
checksums.json       SHA-256 of the four above
test_openings.json   written by `evaluate`: when the test split was opened, and what it said
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from autodepth.atomic import sha256_of
from autodepth.data.settings import DataSettings, Normalisation
from autodepth.errors import BundleError, InputError
from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.cost import count_macs
from autodepth.networks.widths import take_shapes
from autodepth.space.yaml_text import write_yaml
from autodepth.version import __version__

WEIGHTS, ARCHITECTURE, POLICY = "model.safetensors", "architecture.json", "policy.yaml"
RECORD, CHECKSUMS, OPENINGS = "record.json", "checksums.json", "test_openings.json"
_FORMAT = "autodepth-bundle-1"


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """How to build an exported network and what to feed it.

    Args:
        network: the network before anything was removed.
        removed: numbers (1..L) of the branches to remove from it.
        widths: shape of every tensor that pruning of filters made smaller, by state-dict key.
        normalisation: per channel, of pixels in [0, 1].
        classes: name of each class, in the order of the scores.
        macs: multiply-accumulates per image, checked when it is loaded.
    """

    network: NetworkSpec
    removed: tuple[int, ...]
    widths: Mapping[str, tuple[int, ...]]
    normalisation: Normalisation
    classes: tuple[str, ...]
    macs: int

    def to_json(self) -> str:
        """Return the content of `architecture.json`."""
        return _json({"format": _FORMAT, **asdict(self), "network": self.network.to_dict()})

    @classmethod
    def from_json(cls, text: str, *, own_code: bool = False) -> Architecture:
        """Read what `to_json` wrote; `own_code` says whether code of one's own may build it.

        Raises:
            BundleError: the content is of another format.
        """
        try:
            values = json.loads(text)
            assert values.pop("format") == _FORMAT
            constants = values["normalisation"]
            return cls(
                network=NetworkSpec.from_dict(values["network"], own_code=own_code),
                removed=tuple(values["removed"]),
                widths={name: tuple(shape) for name, shape in values["widths"].items()},
                normalisation=Normalisation(
                    mean=tuple(constants["mean"]), std=tuple(constants["std"])
                ),
                classes=tuple(values["classes"]),
                macs=values["macs"],
            )
        except (ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
            raise BundleError(f"{ARCHITECTURE} is not of the format {_FORMAT}: {error}") from error


def write_bundle(
    to: Path,
    *,
    weights: Path,
    architecture: Architecture,
    policy: Mapping[str, Any],
    record: Mapping[str, Any],
) -> None:
    """Write a bundle, load it again, and only then give it its name.

    Raises:
        InputError: `to` exists.
        BundleError: the weights do not give the network that was measured.
    """
    if to.exists():
        raise InputError(f"the folder to export to must not exist, but {to} does")
    to.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{to.name}.", dir=to.parent))
    try:
        shutil.copyfile(weights, draft / WEIGHTS)
        (draft / ARCHITECTURE).write_text(architecture.to_json())
        (draft / POLICY).write_text(write_yaml(policy))
        (draft / RECORD).write_text(_json({"autodepth": __version__, **record}))
        sums = {name: sha256_of(draft / name) for name in (WEIGHTS, ARCHITECTURE, POLICY, RECORD)}
        (draft / CHECKSUMS).write_text(_json(sums))
        load(draft, own_code=architecture.network.own_code)
        draft.chmod(0o755)  # mkdtemp's 0700 is not what a folder to hand over has
        draft.rename(to)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def load(folder: Path | str, *, own_code: bool = False) -> nn.Module:
    """Return an exported network in evaluation mode, on the CPU.

    Args:
        folder: a folder that `autodepth export` wrote.
        own_code: whether `package.module:callable` may be imported, where such a network is in
            the folder. Everything else in it is plain data.

    Returns:
        A module that maps normalised images [B, C, H, W] to class scores [B, classes], bit for
        bit the network that was searched. `read_architecture` tells normalisation and classes.

    Raises:
        BundleError: a file is missing, was altered, or does not give the recorded network.
        NetworkError: its builder is code of one's own, and that is not allowed or fails.
    """
    folder = Path(folder)
    architecture = read_architecture(folder, own_code=own_code)
    network = build_network(architecture.network).without(architecture.removed)
    module = network.module
    take_shapes(module, architecture.widths)
    try:
        module.load_state_dict(load_file(folder / WEIGHTS))
    except RuntimeError as error:
        raise BundleError(f"{folder / WEIGHTS} does not fit {ARCHITECTURE}: {error}") from error
    module.eval()
    macs = count_macs(module, torch.zeros(1, *architecture.network.input_shape))
    if macs != architecture.macs:
        raise BundleError(f"{folder} records {architecture.macs:,} MACs, but has {macs:,}")
    return module


def read_architecture(folder: Path, *, own_code: bool = False) -> Architecture:
    """Check every checksum of a bundle and return its architecture.

    Raises:
        BundleError: `folder` is no bundle, or a file of it is missing or was altered.
    """
    check(folder)
    return Architecture.from_json((folder / ARCHITECTURE).read_text(), own_code=own_code)


def read_record(folder: Path) -> dict[str, Any]:
    """Return what a bundle records about where it came from; check it first."""
    record: dict[str, Any] = json.loads((folder / RECORD).read_text())
    return record


def recorded_data(folder: Path) -> DataSettings:
    """Return the data an exported network was searched on."""
    return DataSettings.from_dict(read_record(folder)["data"])


def check(folder: Path) -> None:
    """Compare every file of a bundle with its checksum.

    Raises:
        BundleError: `folder` is no bundle, or a file of it is missing or was altered.
    """
    try:
        sums = json.loads((folder / CHECKSUMS).read_text())
        expected = {name: str(sums[name]) for name in (WEIGHTS, ARCHITECTURE, POLICY, RECORD)}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(
            f"{folder} is not a bundle that autodepth exported: "
            f"{CHECKSUMS} is missing or unreadable"
        ) from error
    for name, digest in expected.items():
        path = folder / name
        if not path.is_file():
            raise BundleError(f"{path} is missing")
        if sha256_of(path) != digest:
            raise BundleError(f"{path} was altered: its SHA-256 is not the one in {CHECKSUMS}")


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, indent=2) + "\n"
