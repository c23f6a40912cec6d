"""Networks by name.

`resnet20` ... `resnet1202` (6n+2 layers, small images), `torchvision:NAME`, `timm:NAME`, `hf:NAME`
of Hugging Face, and `package.module:callable` for code of one's own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from autodepth.errors import NetworkError, check_known, did_you_mean
from autodepth.networks.catalogue.cifar_resnet import CifarResNet
from autodepth.networks.catalogue.detectors import DENSE_KINDS, DenseDetector, dense_part
from autodepth.networks.catalogue.libraries import hf_files, hf_models, timm_models
from autodepth.networks.catalogue.own_builder import is_own, own_module
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.running.as_given import as_given
from autodepth.networks.running.one_thread import one_thread
from autodepth.networks.weights.given_weights import load_weights
from autodepth.torchvision_door import import_torchvision

_CIFAR = re.compile(r"resnet([0-9]{1,4})")
_USUAL_CIFAR = ("resnet20", "resnet32", "resnet44", "resnet56", "resnet110", "resnet1202")
_TORCHVISION, _TIMM, _HF = "torchvision:", "timm:", "hf:"
_NOT_WRITTEN = ("own_code", "code_folder")
# Every trial of a study begins with the same network: reading it, and the proof that it is the one
# given, take as long as a step or two of training a small one. A copy takes a tenth of that.
_kept: dict[tuple[object, ...], ResidualNetwork] = {}
_MOST_KEPT = 30_000_000  # parameters; a second copy of larger ones takes memory that trials need


@dataclass(frozen=True, kw_only=True)
class NetworkSpec:
    """Everything needed to build a network again.

    Args:
        name: a name of the catalogue.
        classes: size of the output; 0 takes what a builder of one's own gives.
        channels: colour channels of the input.
        height: image height in pixels; 0 where inputs are sequences (C, T), of width T.
        width: image width in pixels.
        shortcut: option `A` or `B` of the CIFAR ResNets.
        arguments: what the builder of any other network is called with besides; plain values.
        free: operators, functions and classes of one's own that count as 0 multiply-accumulates,
            see `autodepth.networks.costs.cost.counting`.
        channel_multiple: what the channels that pruning leaves to a layer are multiples of, where
            it has more than that: kernels are often written for 4, 8 or 32.
        own_code: whether `package.module:callable` may be imported and called: only where a
            person said so. It is not written to files, and none can say it.
        code_folder: where its module lies if it is not installed; None for the current folder.
            Where it is on another machine, so it is not written to files either.
    """

    name: str
    classes: int = 10
    channels: int = 3
    height: int = 32
    width: int = 32
    shortcut: Literal["A", "B"] = "A"
    arguments: Mapping[str, Any] = field(default_factory=dict)
    free: tuple[str, ...] = ()
    channel_multiple: int = 1
    own_code: bool = False
    code_folder: Path | None = None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(C, H, W) of one image, or (C, T) of one sequence."""
        sides = (self.height, self.width) if self.height else (self.width,)
        return (self.channels, *sides)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values fit for JSON; what is not written to files is not among them."""
        values = {key: value for key, value in asdict(self).items() if key not in _NOT_WRITTEN}
        for name in ("free", "channel_multiple"):  # files and keys of caches of before have none
            if values[name] == getattr(NetworkSpec, name):
                del values[name]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, own_code: bool = False) -> NetworkSpec:
        """Return what `to_dict` told, with the permission given now.

        Raises:
            TypeError: a value is missing, or no part of a file.
            NewerStudyError: a newer autodepth wrote it.
        """
        if told := [name for name in _NOT_WRITTEN if name in values]:
            raise TypeError(f"{told[0]} is no part of a file")
        check_known("a network", values, (item.name for item in fields(cls)))
        free = tuple(values.get("free", ()))
        return cls(**{**values, "free": free}, own_code=own_code)


# What is made in inference mode could neither be trained nor watched for changes.
@torch.inference_mode(mode=False)
def build_network(
    spec: NetworkSpec,
    *,
    seed: int = 0,
    weights: Path | None = None,
    weights_key: str | None = None,
    any_head: bool = True,
    once: bool = False,
) -> ResidualNetwork:
    """Build a network by name, initialised from a seed or from a weights file.

    Args:
        spec: what to build.
        seed: seed of the random initialisation; the global generator is left as it was.
        weights: a file to start from, see `load_weights`; what was taken of it is in the notes.
        weights_key: where in that file they are; None finds them.
        any_head: whether weights may be for another number of classes; that layer then starts
            from the seed.
        once: whether it will not be built again by this process, so that no copy of it is kept.

    Raises:
        NetworkError: the name is unknown, its builder fails, or the network has no residual
            branches.
        WeightsError: the weights do not fit.
    """
    key = (repr(spec), seed, _stamp(weights), weights_key, any_head)
    if (kept := _kept.get(key)) is not None:
        return kept.without(())
    network = _build(spec, seed, weights, weights_key, any_head=any_head)
    # What code of one's own builds may be another network the next time, and so may shards.
    may_change = once or is_own(spec.name) or (weights is not None and _stamp(weights) is None)
    if not may_change and network.total_parameters <= _MOST_KEPT:
        _kept.clear()
        _kept[key] = network.without(())
    return network


def _stamp(weights: Path | None) -> tuple[Path, int, int] | None:
    """Return what tells one state of a file of weights from another; None where nothing does."""
    if weights is None or not weights.is_file() or weights.suffix == ".json":
        return None
    status = weights.stat()
    return weights, status.st_size, status.st_mtime_ns


def _build(
    spec: NetworkSpec, seed: int, weights: Path | None, weights_key: str | None, *, any_head: bool
) -> ResidualNetwork:
    with one_thread, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        given = as_given(build_module(spec), spec.input_shape)
    taken: list[str] = []
    if weights is not None:
        taken = give_weights(given.module, spec, weights, weights_key, any_head=any_head)
    return ResidualNetwork.from_module(
        given.module,
        spec.input_shape,
        classes=None if isinstance(given.module, DenseDetector) else spec.classes or None,
        free=spec.free,
        notes=(*taken, *given.notes),
        channel_multiple=spec.channel_multiple,
    )


def give_weights(
    module: nn.Module,
    spec: NetworkSpec,
    weights: Path,
    weights_key: str | None,
    *,
    any_head: bool = True,
) -> list[str]:
    """Give a network that was built the weights of a file; arguments as of `build_network`.

    Returns:
        As of `load_weights`.

    Raises:
        WeightsError: they do not fit.
    """
    classes = spec.classes if any_head else 0
    renamed = hf_models.renamed if spec.name.startswith(_HF) else None
    return load_weights(module, weights, key=weights_key, classes=classes, renamed=renamed)


def default_input(name: str) -> tuple[int, ...]:
    """Return the shape (C, H, W) of the images a network is usually fed with.

    Raises:
        NetworkError: timm has no such model, or nothing describes it.
    """
    if name.startswith(_HF):
        return hf_models.default_input(name.removeprefix(_HF))
    if name.startswith(_TIMM):
        return timm_models.default_input(name.removeprefix(_TIMM))
    if name.startswith(_TORCHVISION):
        return (3, 299, 299) if name.endswith("inception_v3") else (3, 224, 224)
    return (3, 32, 32)


def default_classes(name: str) -> int:
    """Return the size of the output a network usually has; 0 leaves it to its builder.

    Raises:
        NetworkError: nothing describes it.
    """
    if name.startswith(_HF):
        return hf_models.default_classes(name.removeprefix(_HF))
    if is_for_colour(name):
        return 1000
    return 0 if is_own(name) else 10


def is_for_colour(name: str) -> bool:
    """Whether a network is of a library whose networks are built for colour images."""
    return name.startswith((_TORCHVISION, _TIMM))


def complete(spec: NetworkSpec) -> NetworkSpec:
    """Return a description by which a network is built wherever its own files are not.

    Raises:
        NetworkError: nothing describes it.
    """
    if not spec.name.startswith(_HF):
        return spec
    name = spec.name.removeprefix(_HF)
    known = hf_models.complete_arguments(name, spec.input_shape, spec.arguments)
    return replace(spec, arguments=known)


def from_root(name: str) -> str:
    """Return a name of a network whose folder, where it has one, begins at the root."""
    return (
        f"{_HF}{hf_files.absolute_name(name.removeprefix(_HF))}" if name.startswith(_HF) else name
    )


def trained_on(name: str) -> int | None:
    """Return the pixels of a side of the square images that a network's own weights know.

    None where nothing says so.
    """
    size = hf_files.trained_on(name.removeprefix(_HF)) if name.startswith(_HF) else None
    return size[0] if size and size[0] == size[1] else None


def build_module(spec: NetworkSpec) -> nn.Module:
    """Build a network that gives one tensor, from the global generator; code of one's own runs.

    Raises:
        NetworkError: as of `whole_module`.
    """
    return dense_part(spec.name, whole_module(spec))


def whole_module(spec: NetworkSpec) -> nn.Module:
    """Build a network as its maker has it, from the global generator; code of one's own runs.

    Raises:
        NetworkError: the name is unknown, its builder fails, or is code that was not allowed.
    """
    if match := _CIFAR.fullmatch(spec.name):
        if spec.arguments:
            raise NetworkError(f"{spec.name} takes no arguments, but got {dict(spec.arguments)}")
        return CifarResNet(
            int(match[1]), classes=spec.classes, channels=spec.channels, shortcut=spec.shortcut
        )
    if is_own(spec.name):
        if not spec.own_code:
            raise NetworkError(
                f"the network {spec.name} is built by code outside autodepth, and a file may come "
                "from elsewhere: allow it with --own-code (in Python own_code=True), if you trust "
                "it"
            )
        return own_module(spec.name, spec.classes, spec.arguments, spec.code_folder)
    for prefix, build in _LIBRARIES.items():
        if spec.name.startswith(prefix):
            if not spec.height:
                shape = "x".join(map(str, spec.input_shape))
                raise NetworkError(f"{spec.name} takes images CxHxW, but inputs are of {shape}")
            try:
                return build(spec.name.removeprefix(prefix), spec)
            except (AssertionError, TypeError, ValueError, RuntimeError, ImportError) as error:
                if isinstance(error, NetworkError):
                    raise
                given = f" with {dict(spec.arguments)}" * bool(spec.arguments)
                told = " ".join(str(error).split())
                raise NetworkError(f"{spec.name} cannot be built{given}: {told}") from error
    raise NetworkError(
        f"unknown network {spec.name!r}{did_you_mean(spec.name, _USUAL_CIFAR)}; known are "
        f"{', '.join(_USUAL_CIFAR)} (any resnet of 6n+2 layers), torchvision:NAME, timm:NAME, "
        "hf:NAME and package.module:callable"
    )


def _torchvision_module(name: str, spec: NetworkSpec) -> nn.Module:
    models = import_torchvision().models
    known = models.list_models(module=models)
    dense = [n for kind in DENSE_KINDS for n in models.list_models(module=getattr(models, kind))]
    if name not in {*known, *dense}:
        raise NetworkError(
            f"torchvision has no model of images {name!r}{did_you_mean(name, [*known, *dense])}"
        )
    wanted = {"num_classes": spec.classes, **spec.arguments}
    if name in dense:
        wanted.setdefault("weights_backbone", None)
    module: nn.Module = models.get_model(name, weights=None, **wanted)
    return module


def _timm_module(name: str, spec: NetworkSpec) -> nn.Module:
    return timm_models.timm_module(name, spec.classes, spec.input_shape, spec.arguments)


def _hf_module(name: str, spec: NetworkSpec) -> nn.Module:
    return hf_models.hf_module(name, spec.classes, spec.input_shape, spec.arguments)


_LIBRARIES = {_TORCHVISION: _torchvision_module, _TIMM: _timm_module, _HF: _hf_module}
