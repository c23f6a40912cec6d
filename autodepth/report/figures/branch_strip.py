"""A trial's network as a strip of blocks: which are kept, which removed, how wide they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from autodepth.records.trial_record import TrialRecord

if TYPE_CHECKING:
    from autodepth.networks.catalogue import NetworkSpec

Widths: TypeAlias = Mapping[str, int]
"""Output channels by state-dict key of a weight."""


@dataclass(frozen=True, kw_only=True)
class Branch:
    """A branch of the unpruned network, as a strip needs it.

    Args:
        index: number, 1..L.
        module: name of the module that does the addition.
        stage: numbered from 1.
        removable: whether it may go.
        macs: multiply-accumulates inside the branch.
        widths: of the layers in it whose output stays inside the branch.
    """

    index: int
    module: str
    stage: int
    removable: bool
    macs: int
    widths: Widths


@dataclass(frozen=True, kw_only=True)
class StripBlock:
    """One block of a trial's network.

    Args:
        index: number of its branch, 1..L.
        module: name of the module that does the addition; empty if the network is not known.
        stage: numbered from 1; 0 if the network is not known.
        removable: whether its branch may go.
        removed: whether it went.
        macs: of the branch in the unpruned network; None if the network is not known.
        channels: inner channels left; 0 of a branch that went, None if the network is not known.
        whole_channels: inner channels of the unpruned network; None as `channels`.
        measured: whether `channels` were read from the weights; else the policy tells them.
    """

    index: int
    module: str
    stage: int
    removable: bool
    removed: bool
    macs: int | None
    channels: int | None
    whole_channels: int | None
    measured: bool

    def to_dict(self) -> dict[str, Any]:
        """Return plain values fit for JSON."""
        return asdict(self)


def known_branches(spec: NetworkSpec) -> tuple[Branch, ...]:
    """Build a network and return its branches.

    Raises:
        NetworkError: it cannot be built, or only by code of one's own.
    """
    from torch import Tensor  # noqa: PLC0415

    from autodepth.networks.catalogue import build_network  # noqa: PLC0415
    from autodepth.networks.gates.branch_parts import branch_layers  # noqa: PLC0415 - torch: a second

    network = build_network(spec)
    names = {id(layer): name for name, layer in network.module.named_modules()}
    layers = branch_layers(network)

    def widths(index: int) -> Widths:
        shapes = [
            (f"{names[id(layer)]}.weight", tuple(cast("Tensor", layer.weight).shape))
            for layer in layers[index]
            if isinstance(getattr(layer, "weight", None), Tensor)
        ]
        weights = [(name, shape) for name, shape in shapes if len(shape) > 1]
        return {name: shape[0] for name, shape in weights[:-1]}

    return tuple(
        Branch(
            index=branch.index,
            module=branch.module,
            stage=branch.stage,
            removable=branch.removable,
            macs=branch.macs,
            widths=widths(branch.index),
        )
        for branch in network.branches
    )


def branch_strip(
    record: TrialRecord, branches: Sequence[Branch], weights: Path | None
) -> tuple[StripBlock, ...]:
    """Return the blocks of a trial's network, from the input on; none before it has a result.

    Args:
        record: the trial.
        branches: those of the unpruned network; empty if it is not known.
        weights: the trial's weights file, which tells its widths; None if there is none.
    """
    if record.result is None:
        return ()
    removed = set(record.result.removed)
    if not branches:
        count = max([len(record.result.survival), *removed], default=0)
        return tuple(
            StripBlock(
                index=index,
                module="",
                stage=0,
                removable=True,
                removed=index in removed,
                macs=None,
                channels=None,
                whole_channels=None,
                measured=False,
            )
            for index in range(1, count + 1)
        )
    left = {} if weights is None else _output_channels(weights)
    own = record.result.own_widths(record.policy)
    everywhere = 1.0 - record.policy.get("filter_sparsity", 0.0)
    return tuple(
        _block(branch, branch.index in removed, left, own.get(branch.index, everywhere))
        for branch in branches
    )


def _block(branch: Branch, removed: bool, left: Widths, share: float) -> StripBlock:
    measured = all(name in left for name in branch.widths)
    kept = left if measured else {n: int(width * share) for n, width in branch.widths.items()}
    return StripBlock(
        index=branch.index,
        module=branch.module,
        stage=branch.stage,
        removable=branch.removable,
        removed=removed,
        macs=branch.macs,
        channels=0 if removed else sum(kept[name] for name in branch.widths),
        whole_channels=sum(branch.widths.values()),
        measured=measured,
    )


def _output_channels(weights: Path) -> Widths:
    """Read from the header of a safetensors file; no weight is loaded."""
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415

    try:
        with safe_open(weights, framework="numpy") as file:
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError):
        return {}
    return {name: int(shape[0]) for name, shape in shapes.items() if shape}
