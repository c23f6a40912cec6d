"""Whether the network that was read is the network that was given, seen by running both.

A trace is made by running code on stand-ins, and code may treat a stand-in otherwise than a
tensor. So both networks run on the same few random images, in evaluation and in training, from
the same state and under the same draws. Outputs, gradients, training flags and the movement of
buffers have to be equal; a tensor of the state that the graph lacks must be read by no output.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor, fx, nn

from autodepth.errors import NetworkError
from autodepth.networks.reading.one_run import Run, gradients_of, off_by, outputs_of, size_of
from autodepth.networks.running.causes import (
    OF_BUFFERS,
    OF_NO_GRADIENT,
    OF_WEIGHTS,
    told,
    told_misfit,
)
from autodepth.networks.running.preserve import Content, left_as_it_was, tensors_of
from autodepth.networks.running.random_state import seeded
from autodepth.networks.tracing.sites.own_depth import DepthLeftOut, switch_off

_SEED = 20
_MOVES, _GETS_GRADIENT = "moves", "gets a gradient"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How a network that was read differs from the one given.

    Args:
        what: a phrase with its size.
        training: whether it was seen in training.
        module: qualified name of the module whose state it is; None where it is of the outputs.
        gradient: whether a parameter gets another gradient.
        cause: what brings it about and the way out, where that is known.
    """

    what: str
    training: bool
    module: str | None = None
    gradient: bool = False
    cause: str = ""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The network given and the network read, to be run on the same images.

    Args:
        given: the network as its author has it; it is left as it was.
        read: the graph made from it, over the same parameters.
        images: [B, C, H, W].
        depth: what the graph lacks on purpose.
        one_will_do: whether to run them on the first image alone, if the network given trains on
            it; a batch norm after which one value is left does not.
    """

    given: nn.Module
    read: fx.GraphModule
    images: Tensor
    depth: DepthLeftOut = field(default_factory=DepthLeftOut)
    one_will_do: bool = False

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
                given = self._run(self.given, content, training)
                if self.one_will_do and given.error is not None:
                    return replace(self, one_will_do=False).difference(content)
                read = self._run(self.read, content, training)
                if not training and given.error is not None:
                    channels, height, width = self.images.shape[1:]
                    misfit = told_misfit(given.error, (channels, height, width))
                    raise NetworkError(misfit) from given.error
                found = _compare(given, read, values=not (training and self.depth.inside))
                if isinstance(found, _Unlike):
                    return self._told(found, training=training)
                off = max(off, found)
            return self._lost(content) or off

    def _told(self, unlike: _Unlike, *, training: bool) -> Difference:
        cause = ""
        if unlike.side == "given" and unlike.does == _MOVES:
            buffers = dict(self.given.named_buffers())
            cause = OF_BUFFERS if unlike.tensor in buffers else OF_WEIGHTS
        elif unlike.side == "read" and unlike.does == _GETS_GRADIENT:
            cause = OF_NO_GRADIENT
        return Difference(
            what=unlike.what,
            training=training,
            module=unlike.module,
            gradient=unlike.does == _GETS_GRADIENT,
            cause=cause,
        )

    def _run(self, network: nn.Module, content: Content, training: bool) -> Run:
        run = self._run_once(network, content, training=training, gradients=True)
        if run.error is None or training:
            return run
        # Functions with `out=` are for evaluation without gradients.
        return self._run_once(network, content, training=training, gradients=False)

    def _run_once(
        self, network: nn.Module, content: Content, *, training: bool, gradients: bool
    ) -> Run:
        state = _state(self.given)
        names = {id(tensor): name for name, tensor in state.items()}
        # What torch.fx makes callable prints a traceback where it fails.
        call = nn.Module.__call__ if network is self.read else type(network).__call__
        with left_as_it_was(network), seeded(_SEED), torch.set_grad_enabled(gradients):
            network.train(training)
            run = Run(modes={n: part.training for n, part in network.named_modules()})
            if network is self.given:
                switch_off(network, self.depth)
            try:
                images = self.images[:1] if self.one_will_do else self.images
                run.outputs = outputs_of(call(network, images.clone()))
                if training:  # draws in evaluation decide nothing, or it cannot be traced
                    run.drawn = (random.random(), float(np.random.random()))  # noqa: NPY002, S311
            except Exception as error:  # noqa: BLE001 - whatever the network's own code raises
                run.error = error
            else:
                if gradients:
                    run.gradients = gradients_of(network, run.outputs, names, values=training)
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
                spoilt.error is not None or before.apart(spoilt) > before.tolerance()
            ):
                first, *more = lacking
                return Difference(
                    what=f"{first}{f' and {len(more)} more' * bool(more)} would be lost, which "
                    "its outputs depend on",
                    training=training,
                    module=first.rpartition(".")[0],
                )
        return None


@dataclass(frozen=True, kw_only=True)
class _Unlike:
    """What is not the same in two runs.

    Args:
        what: a phrase with its size.
        module: qualified name of the module whose state it is; None where it is of the outputs.
        tensor: name of that tensor of the state.
        does: what it does in one run and not in the other, or not as much.
        side: the network in which alone it does; empty where it does in both.
    """

    what: str
    module: str | None = None
    tensor: str = ""
    does: str = ""
    side: Literal["", "given", "read"] = ""


def _compare(given: Run, read: Run, *, values: bool) -> float | _Unlike:
    """Return how far two runs are off, or what differs."""
    if given.error is not None:  # its author cannot run it either
        return 0.0
    if read.error is not None:
        return _Unlike(what=f"it fails ({told(read.error)})")
    both = given.modes.keys() & read.modes.keys()
    for name in sorted(name for name in both if given.modes[name] != read.modes[name]):
        what = f"{name or 'the network itself'} is in the other mode"
        return _Unlike(what=what, module=name)
    off = given.apart(read) if values else 0.0
    if off > given.tolerance():
        return _Unlike(what=f"its outputs are off by {off:.2g} of the largest")
    if values and given.drawn != read.drawn:
        what = "it draws from Python's or numpy's random numbers, which are not drawn again"
        return _Unlike(what=what)
    return _compare_state(given, read, values=values) or off


def _compare_state(given: Run, read: Run, *, values: bool) -> _Unlike | None:
    """Return how gradients or the movement of the state differ, and where."""
    kinds = [(_MOVES, given.moved, read.moved)]
    if given.gradients is not None:
        if read.gradients is None:
            return _Unlike(what="no gradient comes back", module="")
        kinds.append((_GETS_GRADIENT, given.gradients, read.gradients))
    for does, ours, theirs in kinds:
        # What a dropped branch holds gets no gradient, and does not move.
        unlike = ours.keys() ^ theirs.keys() if values else ours.keys() - theirs.keys()
        for name in sorted(unlike):
            return _Unlike(
                what=f"{name or 'a tensor made on the way'} {does} in one of the two networks "
                "alone",
                module=name.rpartition(".")[0],
                tensor=name,
                does=does,
                side="given" if name in ours else "read",
            )
        scale = max((size_of(value) for value in ours.values()), default=0.0)
        for name, value in ours.items() if values else ():
            if (off := off_by(value, theirs[name], scale)) > 10 * given.tolerance():
                what = f"what {name} {does} is off by {off:.2g}"
                module = name.rpartition(".")[0]
                return _Unlike(what=what, module=module, tensor=name, does=does)
    return None


def _state(module: nn.Module) -> dict[str, Tensor]:
    return dict((*module.named_buffers(), *module.named_parameters()))


def _spoil(tensor: Tensor) -> None:
    if tensor.dtype.is_floating_point or tensor.dtype.is_complex:
        tensor.data.fill_(float("nan"))
    elif tensor.dtype is torch.bool:
        tensor.data.logical_not_()
    else:
        tensor.data.add_(1)
