"""Whether the network that was read is the network that was given, seen by running both.

A trace is made by running code on stand-ins, and code may treat a stand-in otherwise than a
tensor. So both networks run on the same few random images, in evaluation and in training, from
the same state and under the same draws. Outputs, gradients, training flags and the movement of
buffers have to be equal; a tensor of the state that the graph lacks must be read by no output.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves

from autodepth.errors import NetworkError
from autodepth.networks.running.causes import told, told_misfit
from autodepth.networks.running.preserve import Content, left_as_it_was, tensors_of
from autodepth.networks.running.random_state import seeded
from autodepth.networks.tracing.sites.own_depth import DepthLeftOut, switch_off

_SEED = 20
_ROUNDING = 1000  # times the precision of the numbers: what is another network differs by more
_SMALL = 4096  # the gradients of larger parameters cost time, and show no more


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How a network that was read differs from the one given.

    Args:
        what: a phrase with its size.
        training: whether it was seen in training.
        module: qualified name of the module whose state it is; None where it is of the outputs.
        cause: what brings it about, where that is known.
    """

    what: str
    training: bool
    module: str | None = None
    cause: str = ""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The network given and the network read, to be run on the same images.

    Args:
        given: the network as its author has it; it is left as it was.
        read: the graph made from it, over the same parameters.
        images: [B, C, H, W].
        depth: what the graph lacks on purpose.
    """

    given: nn.Module
    read: fx.GraphModule
    images: Tensor
    depth: DepthLeftOut = field(default_factory=DepthLeftOut)

    def difference(self, content: Content) -> Difference | float:
        """Return the first difference, or by which share of the largest output they are off.

        Args:
            content: what the network given holds, which is put back after each run.

        Raises:
            NetworkError: the network given does not take the images.
        """
        off = 0.0
        with left_as_it_was(self.read):
            for training in (False, True):
                given, read = (self._run(n, content, training) for n in (self.given, self.read))
                if not training and given.error is not None:
                    channels, height, width = self.images.shape[1:]
                    misfit = told_misfit(given.error, (channels, height, width))
                    raise NetworkError(misfit) from given.error
                found = _compare(given, read, values=not (training and self.depth.inside))
                if isinstance(found, tuple):
                    what, module = found
                    return Difference(what=what, training=training, module=module)
                off = max(off, found)
            return self._lost(content) or off

    def _run(self, network: nn.Module, content: Content, training: bool) -> _Run:
        run = self._run_once(network, content, training=training, gradients=True)
        if run.error is None or training:
            return run
        # Functions with `out=` are for evaluation without gradients.
        return self._run_once(network, content, training=training, gradients=False)

    def _run_once(
        self, network: nn.Module, content: Content, *, training: bool, gradients: bool
    ) -> _Run:
        state = _state(self.given)
        names = {id(tensor): name for name, tensor in state.items()}
        # What torch.fx makes callable prints a traceback where it fails.
        call = nn.Module.__call__ if network is self.read else type(network).__call__
        with left_as_it_was(network), seeded(_SEED), torch.set_grad_enabled(gradients):
            network.train(training)
            run = _Run(modes={n: part.training for n, part in network.named_modules()})
            if network is self.given:
                switch_off(network, self.depth)
            try:
                run.outputs = outputs_of(call(network, self.images.clone()))
                if training:  # draws in evaluation decide nothing, or it cannot be traced
                    run.drawn = (random.random(), float(np.random.random()))  # noqa: NPY002, S311
            except Exception as error:  # noqa: BLE001 - whatever the network's own code raises
                run.error = error
            else:
                if gradients:
                    run.gradients = _gradients(network, run.outputs, names, values=training)
            run.moved = {names.get(i, ""): tensor for i, tensor in content.moved().items()}
            for name, tensor in network.named_buffers():  # another one in its place
                if name in state and off_by(state[name], tensor):
                    run.moved[name] = tensor.detach().clone()
            content.put_back()
        return run

    def _lost(self, content: Content) -> Difference | None:
        """Spoil the tensors of the state that the graph lacks: no output may change with them."""
        there = set(map(id, tensors_of(self.read)))
        lacking = {name: t for name, t in _state(self.given).items() if id(t) not in there}
        for training in (False, True) if lacking else ():
            before = self._run(self.given, content, training)
            for tensor in lacking.values():
                _spoil(tensor)
            spoilt = self._run(self.given, content, training)
            if before.error is None and (
                spoilt.error is not None or _farthest(before, spoilt) > _tolerance(before)
            ):
                first, *more = lacking
                return Difference(
                    what=f"{first}{f' and {len(more)} more' * bool(more)} would be lost, which "
                    "its outputs depend on",
                    training=training,
                    module=first.rpartition(".")[0],
                )
        return None


@dataclass
class _Run:
    """What one run of a network gave and did.

    Args:
        modes: the training flag of each module.
        outputs: the tensors it gave.
        drawn: what Python's and numpy's generators give next, after a run in training.
        gradients: of each parameter that gets one; None where none can be had.
        moved: the tensors that the run changed.
        error: what it raised.
    """

    modes: dict[str, bool]
    outputs: list[Tensor] = field(default_factory=list)
    drawn: tuple[float, float] = (0.0, 0.0)
    gradients: dict[str, Tensor] | None = None
    moved: dict[str, Tensor] = field(default_factory=dict)
    error: Exception | None = None


def _compare(given: _Run, read: _Run, *, values: bool) -> float | tuple[str, str | None]:
    """Return how far two runs are off, or what differs and the module whose state it is."""
    if given.error is not None:  # its author cannot run it either
        return 0.0
    if read.error is not None:
        return f"it fails ({told(read.error)})", None
    both = given.modes.keys() & read.modes.keys()
    for name in sorted(name for name in both if given.modes[name] != read.modes[name]):
        return f"{name or 'the network itself'} is in the other mode", name
    off = _farthest(given, read) if values else 0.0
    if off > _tolerance(given):
        return f"its outputs are off by {off:.2g} of the largest", None
    if values and given.drawn != read.drawn:
        return "it draws from Python's or numpy's random numbers, which are not drawn again", None
    return _compare_state(given, read, values=values) or off


def _compare_state(given: _Run, read: _Run, *, values: bool) -> tuple[str, str] | None:
    """Return how gradients or the movement of the state differ, and where."""
    kinds = [("moves", given.moved, read.moved)]
    if given.gradients is not None:
        if read.gradients is None:
            return "no gradient comes back", ""
        kinds.append(("gets a gradient", given.gradients, read.gradients))
    for does, ours, theirs in kinds:
        # What a dropped branch holds gets no gradient, and does not move.
        unlike = ours.keys() ^ theirs.keys() if values else ours.keys() - theirs.keys()
        for name in sorted(unlike):
            more = "in one of the two networks alone"
            return f"{name or 'a tensor made on the way'} {does} {more}", name.rpartition(".")[0]
        scale = max((_size(value) for value in ours.values()), default=0.0)
        for name, value in ours.items() if values else ():
            if (off := off_by(value, theirs[name], scale)) > 10 * _tolerance(given):
                return f"what {name} {does} is off by {off:.2g}", name.rpartition(".")[0]
    return None


def outputs_of(value: object) -> list[Tensor]:
    """Return the tensors in what a network or module gave, as they are now."""
    return [leaf.clone() for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]


def off_by(one: Tensor | None, other: Tensor | None, scale: float | None = None) -> float:
    """Return how far two tensors are apart, as a share of the largest value of the first."""
    if one is None or other is None or one.shape != other.shape or one.dtype != other.dtype:
        return float("inf")
    if torch.equal(one, other):
        return 0.0
    a, b = (tensor.detach().to(torch.complex128) for tensor in (one, other))
    if not torch.equal(a.isfinite(), b.isfinite()):
        return float("inf")
    apart = torch.where(a.isfinite(), (a - b).abs(), 0).max().item()
    return apart / (scale or _size(one) or 1.0)


def _size(tensor: Tensor) -> float:
    finite = torch.nan_to_num(tensor.detach().abs().double(), posinf=0.0)
    return finite.max().item() if finite.numel() else 0.0


def _farthest(given: _Run, read: _Run) -> float:
    return max((off_by(*pair) for pair in zip_longest(given.outputs, read.outputs)), default=0.0)


def _tolerance(run: _Run) -> float:
    """Return what rounding may come to; whole numbers are equal or not."""
    precisions = [torch.finfo(t.dtype).eps for t in run.outputs if t.dtype.is_floating_point]
    return min(0.05, _ROUNDING * max(precisions, default=0.0))


def _gradients(
    network: nn.Module, outputs: list[Tensor], names: dict[int, str], *, values: bool
) -> dict[str, Tensor] | None:
    """Return the gradient of each parameter that gets one; zero where its value is not needed."""
    generator = torch.Generator().manual_seed(_SEED)
    ends = [torch.view_as_real(t) if t.is_complex() else t for t in outputs if t.requires_grad]
    reached = _reached(ends)
    parameters = [p for p in network.parameters() if id(p) in reached]
    small = [p for p in parameters if p.numel() <= _SMALL]
    aims = [torch.randn(end.shape, generator=generator).to(end.dtype) for end in ends]
    found: dict[str, Tensor] = {names.get(id(p), ""): p.new_zeros(()) for p in parameters}
    if not small or not values:
        return found
    try:
        gradients = torch.autograd.grad(ends, small, aims, allow_unused=True)
    except RuntimeError:  # something the gradient needs was changed in place
        return None
    for parameter, gradient in zip(small, gradients, strict=True):
        if gradient is not None:
            found[names.get(id(parameter), "")] = gradient
    return found


def _reached(ends: list[Tensor]) -> set[int]:
    """Return the ids of the tensors that gradients go to, without computing any."""
    waiting, seen, reached = [end.grad_fn for end in ends], set[Any](), set[int]()
    while waiting:
        step = waiting.pop()
        if step is not None and step not in seen:
            seen.add(step)
            reached.add(id(getattr(step, "variable", None)))
            waiting.extend(before for before, _ in step.next_functions)
    return reached


def _state(module: nn.Module) -> dict[str, Tensor]:
    return dict((*module.named_buffers(), *module.named_parameters()))


def _spoil(tensor: Tensor) -> None:
    if tensor.dtype.is_floating_point or tensor.dtype.is_complex:
        tensor.data.fill_(float("nan"))
    elif tensor.dtype is torch.bool:
        tensor.data.logical_not_()
    else:
        tensor.data.add_(1)
