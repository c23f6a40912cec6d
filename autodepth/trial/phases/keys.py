"""What shapes the result of a stage: the content its key is made of.

What is left out does not shape it: p_L and its shape count as the probabilities they give, and
settings of random depth do not count where nothing is dropped. A cache outlives studies and is
shared by machines, so the code behind a result counts too.
"""

from __future__ import annotations

import functools
import hashlib
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from autodepth.atomic import sha256_of
from autodepth.networks.catalogue.own_builder import is_own
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.policy.policy import Policy
from autodepth.tasks.checked_task import code_of
from autodepth.tasks.own_task import make_task
from autodepth.trial.context import TrialContext
from autodepth.trial.device.device import computes_bfloat16
from autodepth.trial.phases.parent import SurvivalOverTime

_PACKAGE = Path(__file__).parents[2]
_SHAPING = ("data", "networks", "policy", "tasks", "trial")
_LENGTH = ("epochs", "train.epochs", "train.decay_share")
_GIVE_SURVIVAL = ("p_L", "decay_shape", "decay_power", "survival")


def parent_content(
    policy: Policy, context: TrialContext, network: ResidualNetwork
) -> dict[str, Any]:
    """Return everything that shapes a trained parent.

    Args:
        policy: how it is trained.
        context: network, data, device and seed.
        network: before training.
    """
    if policy.base is not None:  # that network takes the place of a parent
        base = policy.base.carried_out
        told = parent_content(base, context, network)
        growth = policy.width_growth  # what branches are worth by their weights depends on it
        return {"stage": "member", "base": base.to_dict(), "parent": told, "growth": growth}
    shaping = policy.shaping("parent")
    if "criterion" in shaping:  # branches are scored while it is trained
        shaping["images"] = context.sensitivity_images
    # Shapes that come to equal probabilities train equal parents.
    shaping = {name: value for name, value in shaping.items() if name not in _GIVE_SURVIVAL}
    shaping["survival"] = SurvivalOverTime(policy, network).lowest
    return {
        "stage": "parent",
        "code": [_own_code(), torch.__version__],
        "network": context.spec.to_dict(),
        "architecture": _architecture(network),
        "weights": _initial_weights(context, network),
        "data": context.data.fingerprint,
        "normalisation": asdict(context.normalisation),
        "augmentation": asdict(context.augmentation),
        "seed": [context.seed, context.replicate],
        "device": [context.device.type, computes_bfloat16(context.device)],
        "policy": shaping,
        **({} if context.learns.is_plain else {"task": _task(context)}),
    }


def fine_tuning_content(
    policy: Policy, order: tuple[int, ...], weights: str | None = None
) -> dict[str, Any]:
    """Return everything that shapes a fine-tuned network, its parent apart.

    Args:
        policy: how the parent was pruned and is fine-tuned.
        order: numbers of the branches that went, in the order in which they did.
        weights: digest of the pruned network's, see `weights_digest`; None where it is not there.
            What was tuned between two removals depends on which branches went in which step.
    """
    content = policy.shaping("pruning")
    if policy.removal == "iterative" and order:
        content |= {"order": order, "step": policy.removal_step, "between": policy.between_epochs}
        content |= {"weights": weights}
    if policy.chooses_widths:  # the same branches may go beside others that are narrower
        content |= {"weights": weights}
    return content | {"removed": sorted(order)} | _course(policy, policy.fine_tune_epochs)


def between_content(policy: Policy, network: ResidualNetwork, purpose: str) -> dict[str, Any]:
    """Return everything that shapes a network fine-tuned between two removals, its parent apart.

    Args:
        policy: how it is fine-tuned.
        network: before that.
        purpose: name of this use of randomness.
    """
    start = {"removed": network.removed, "weights": weights_digest(network), "purpose": purpose}
    return start | _course(policy, policy.between_epochs)


def trunk_content(content: Mapping[str, Any], policy: Policy) -> dict[str, Any] | None:
    """Return what shapes the epochs that trainings of all lengths share; None where none do.

    Args:
        content: of a parent or a fine-tuned network.
        policy: how it is trained.
    """
    if policy.patience is not None:
        return None
    trunk = {name: value for name, value in content.items() if name not in _LENGTH}
    if "policy" not in content:
        return trunk | {"trunk": True} if policy.fine_tune_schedule == "wsd" else None
    moves = policy.drops_branches and (
        policy.depth_schedule != "constant" or policy.decay_shape == "sensitivity"
    )
    if policy.train.schedule != "wsd" or moves:
        return None
    shaping = {name: v for name, v in content["policy"].items() if name not in _LENGTH}
    return trunk | {"policy": shaping, "trunk": True}


def weights_digest(network: ResidualNetwork) -> str:
    """Return a digest of a network's weights and batch statistics, by their names."""
    digest = hashlib.sha256()
    for name, tensor in network.module.state_dict().items():
        content = tensor.detach().cpu().contiguous().view(-1).view(torch.uint8)
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(content.numpy())
    return digest.hexdigest()


def may_go_on(policy: Policy) -> bool:
    """Whether fine-tuning for more epochs begins with all the steps of fine-tuning for fewer."""
    return policy.fine_tune_schedule == "constant"


def _course(policy: Policy, epochs: int) -> dict[str, Any]:
    """Return what shapes fine-tuning apart from the network it starts from.

    A schedule that knows when it ends depends on the number of epochs from its first step on; a
    constant one goes through the same weights however long it is, so the number is left out.
    """
    content = {"stage": "fine_tuned", **policy.shaping("fine_tune")}
    del content["fine_tune_epochs"]
    return content if may_go_on(policy) else content | {"epochs": epochs}


def _architecture(network: ResidualNetwork) -> str:
    """Return a digest of what a network computes: its graph, its modules, files they come from."""
    modules = list(network.module.named_modules())
    lines = [network.module.code]
    lines += [f"{name}: {type(m).__qualname__}({m.extra_repr()})" for name, m in modules]
    homes = {type(module).__module__ for _, module in modules}
    # torch counts as its version, and a traced network has no file.
    files = (getattr(sys.modules.get(h), "__file__", None) for h in homes if h[:6] != "torch.")
    lines += sorted(_digest(Path(file)) for file in files if file)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _task(context: TrialContext) -> list[Any]:
    """Return what shapes a task: how it is made, and every file of its code."""
    if context.learns.is_classification:
        return [context.learns.to_dict()]
    files = code_of(make_task(context.learns))
    prepared = {} if context.learns.data is None else context.learns.data.to_dict()
    where = ("name", "root")  # the examples themselves count by their content
    told = {name: value for name, value in prepared.items() if name not in where}
    how = [context.learns.to_dict(), *([told] if told else [])]
    return [*how, sorted(_digest(file) for file in files)]


def _initial_weights(context: TrialContext, network: ResidualNetwork) -> str | None:
    """Return a digest of what training starts from; None where the seed says it all."""
    # A file may hold several weights, and a builder of one's own may load any file.
    given = context.weights is not None or is_own(context.spec.name)
    return weights_digest(network) if given else None


@functools.cache
def _own_code() -> str:
    """Return a digest of the rooms that take part in a stage."""
    files = [path for room in _SHAPING for path in sorted((_PACKAGE / room).rglob("*.py"))]
    digest = hashlib.sha256()
    for path in (_PACKAGE / "seeding.py", *files):
        digest.update(f"{path.relative_to(_PACKAGE)} {sha256_of(path)}\n".encode())
    return digest.hexdigest()


def _digest(path: Path) -> str:
    status = path.stat()
    return _digest_of(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _digest_of(path: Path, _size: int, _changed: int) -> str:
    return sha256_of(path)
