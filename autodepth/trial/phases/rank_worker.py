"""What the other ranks of a trial do: train with the first one whatever it trains.

They build the same networks and go through the same loop (`loop.py`); all that the first rank
alone knows reaches them by `Ranks.broadcast_result`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from autodepth.errors import DivergenceError
from autodepth.networks.pruning.magnitude import Masks
from autodepth.networks.pruning.restoring import with_shapes
from autodepth.networks.running.layout import for_convolutions
from autodepth.policy.policy import Policy
from autodepth.trial.context import TrialContext
from autodepth.trial.phases.fine_tuning import fine_tune
from autodepth.trial.phases.parent import train_parent, untrained_network
from autodepth.trial.training.config import Epoch
from autodepth.trial.training.data_parallel import DismissedError, Ranks


def follow(ranks: Ranks, context: TrialContext) -> None:
    """Train with the first rank until the process ends.

    Args:
        ranks: the group; this process is not its first.
        context: what all trials share.
    """
    works: dict[str, Callable[..., None]] = {"parent": _parent, "fine_tune": _fine_tune}
    while True:
        work, arguments = ranks.receive()
        replicate = arguments.pop("replicate")
        try:
            works[work](replace(context, ranks=ranks, replicate=replicate), **arguments)
        except (DismissedError, DivergenceError):
            continue  # the first rank has come to the same, and goes on to something else


def _parent(context: TrialContext, policy: Policy) -> None:
    train_parent(policy, context, _ignore)


def _fine_tune(
    context: TrialContext,
    *,
    policy: Policy,
    removed: Sequence[int],
    shapes: Mapping[str, Sequence[int]],
    masks: Masks,
    epochs: int,
    purpose: str,
) -> None:
    parent = untrained_network(context.started_from(policy.chain[0].origin))
    network = parent.without(removed)
    state = network.module.state_dict()
    if changed := {n: s for n, s in shapes.items() if state[n].shape != s}:
        network.module.cpu()
        network = with_shapes(network, changed)
        network.module.to(context.device)
        for_convolutions(network.module)
    fine_tune(
        network,
        policy,
        context,
        parent=parent,
        epochs=epochs,
        purpose=purpose,
        masks={name: mask.to(context.device) for name, mask in masks.items()},
        on_epoch=_ignore,
    )


def _ignore(_: Epoch) -> None:
    """Leave it to the first rank to tell of epochs."""
