"""Networks that grow again without another function: branches put back, branches made wider.

What is put back adds nothing at first: its last normalisation, layer or layer scale is zero. In
training mode the outputs are the same too, but where the branch itself draws random numbers
(dropout), which moves the draws of what comes after it. A wider stream is made by
`stream_width.with_stream_width`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import Tensor

from autodepth.errors import InputError, NetworkError
from autodepth.networks.gates.folding import fold_survival, fold_targets
from autodepth.networks.pruning.channels.cut import choose_channels, measured_anew
from autodepth.networks.pruning.channels.narrowing import find_narrowing
from autodepth.networks.pruning.restoring import with_shapes
from autodepth.networks.pruning.stream_width import choices_of
from autodepth.networks.pruning.widths import changed_shapes
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.running.copying import copied


def with_branches_back(
    network: ResidualNetwork,
    whole: ResidualNetwork,
    branches: Collection[int],
    *,
    donor: ResidualNetwork | None = None,
) -> ResidualNetwork:
    """Return a new network that has some of its removed branches again, with the same function.

    Args:
        network: lacks the branches; on any device, the new one is on the same.
        whole: the same network as it was built, nothing removed, on the CPU; what is put back has
            its weights, so its seed is that of these. Where the stream of `network` is narrower
            the branches get the first channels.
        branches: numbers of the branches to put back.
        donor: gives the weights of what is put back in place of `whole`, such as the parent; it
            needs the stream of `network`.

    Raises:
        InputError: a branch is not missing, or a donor lacks it or has other widths.
        NetworkError: a branch does not end in a layer that can be zero.
    """
    if odd := sorted(set(branches) - set(network.removed)):
        raise InputError(f"a branch to put back must be missing, but got {odd[0]}")
    state = {name: tensor.cpu() for name, tensor in network.module.state_dict().items()}
    grown = whole.without(set(network.removed) - set(branches))
    grown = with_shapes(grown, changed_shapes(grown.module, state))
    given = {} if donor is None else _given(grown, state, donor)
    grown.module.load_state_dict({**given, **state}, strict=False)
    takers = fold_targets(grown)
    for branch, _ in grown.kept():
        if branch.index in branches and branch.index not in takers:
            raise NetworkError(
                f"branch {branch.index} ({branch.module}) cannot be put back: it does not end in "
                "a layer whose weights can be zero"
            )
    fold_survival(grown, dict.fromkeys(branches, 0.0))
    grown.module.train(network.module.training)
    grown.module.to(next(network.module.parameters()).device)
    return ResidualNetwork(
        grown.module,
        sites=grown.sites,
        branches=grown.branches,
        total_macs=grown.total_macs,
        input_shape=grown.input_shape,
        removed=grown.removed,
        around=grown.around,
        notes=network.notes,
        free=network.free,
        off_by=network.off_by,
        read_on=network.read_on,
        channel_multiple=network.channel_multiple,
    )


def widen_branches(network: ResidualNetwork, factor: float, *, seed: int = 0) -> ResidualNetwork:
    """Return a new network whose branches have more inner channels, with the same function.

    New channels are copies, and what reads them is zero. Where a norm inside the branch takes
    statistics over them they can only be doubled, trebled and so on; else they stay as they are.

    Args:
        network: on any device; the new one is on the same.
        factor: how many times as many channels each inner layer is to have, at least 1; rounded
            to what its layers take.
        seed: of the choice of channels to copy.

    Raises:
        InputError: the factor is below 1.
    """
    if not 1.0 <= factor < float("inf"):
        raise InputError(f"factor of inner channels must be at least 1, but got {factor}")
    module = copied(network.module).cpu()
    counts = {}
    for group in find_narrowing(network, module).groups:
        count = group.nearest(factor * group.size)
        if not group.normalised or count % group.size == 0:
            counts[group] = count
    choose_channels(module, choices_of(module, counts, choose="first", seed=seed))
    wider = measured_anew(network, module)
    module.to(next(network.module.parameters()).device)
    return wider


def _given(
    grown: ResidualNetwork, state: Mapping[str, Tensor], donor: ResidualNetwork
) -> dict[str, Tensor]:
    """Return the weights that a donor has of what is put back."""
    theirs = donor.module.state_dict()
    given = {}
    for name, tensor in grown.module.state_dict().items():
        if name in state:
            continue
        if name not in theirs or theirs[name].shape != tensor.shape:
            told = tuple(theirs[name].shape) if name in theirs else "nothing"
            raise InputError(
                f"a donor must have {name} of the shape {tuple(tensor.shape)}, but has {told}"
            )
        given[name] = theirs[name].cpu()
    return given
