"""Where a network that was read begins to differ from the one given: the first module."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from autodepth.networks.reading.equality import Comparison
from autodepth.networks.reading.one_run import off_by, outputs_of
from autodepth.networks.running.preserve import undisturbed
from autodepth.networks.running.random_state import seeded
from autodepth.networks.tracing.sites.own_depth import switch_off
from autodepth.networks.tracing.tracer import GIVES

_SAME = 1e-3  # of the largest value


@dataclass(frozen=True, kw_only=True)
class Called:
    """One call of a module: which, by whom, and the tensors it took and gave."""

    module: str
    number: int
    caller: str
    took: list[Tensor]
    gave: list[Tensor]


def first_difference(comparison: Comparison, *, training: bool) -> tuple[str, str] | None:
    """Return the first module whose output differs, and the innermost one that brings it about.

    The latter is the module itself, or where it was given something else already, its caller.
    None where every module of the graph gives what it gave.
    """
    read = {(c.module, c.number): c for c in _calls_of_graph(comparison, training=training)}
    for given in _calls_of_given(comparison, training=training):
        called = read.get((given.module, given.number))
        if called is None or _are_equal(given.gave, called.gave):
            continue
        inside = not called.took or _are_equal(given.took, called.took)
        return given.module, given.module if inside else given.caller
    return None


def _are_equal(one: list[Tensor], other: list[Tensor]) -> bool:
    return len(one) == len(other) and all(
        off_by(a, b) <= _SAME for a, b in zip(one, other, strict=True)
    )


def _calls_of_given(comparison: Comparison, *, training: bool) -> list[Called]:
    given, calls = comparison.given, list[Called]()
    count: Counter[str] = Counter()
    running: list[tuple[str, list[Tensor]]] = [("", [])]

    def watch(name: str, part: nn.Module) -> None:
        def enter(part: nn.Module, args: Any, kwargs: Any) -> None:  # noqa: ARG001
            running.append((name, outputs_of((args, kwargs))))

        def leave(part: nn.Module, args: Any, value: Any) -> None:  # noqa: ARG001
            took = running.pop()[1]
            gave, caller = outputs_of(value), running[-1][0]
            calls.append(
                Called(module=name, number=count[name], caller=caller, took=took, gave=gave)
            )
            count[name] += 1

        part.register_forward_pre_hook(enter, with_kwargs=True)
        part.register_forward_hook(leave)

    with undisturbed(given), seeded(0):
        given.train(training)
        switch_off(given, comparison.depth)
        for module, part in given.named_modules():
            if module and not isinstance(part, torch.jit.ScriptModule):
                watch(module, part)
        with suppress(Exception):  # what was seen until it failed
            given(comparison.images.clone())
    return calls


class _Watched(fx.Interpreter):
    """Runs a graph and keeps what modules gave, and took where they are nodes."""

    def __init__(self, read: fx.GraphModule) -> None:
        super().__init__(read)
        self.extra_traceback = False
        self.calls: list[Called] = []
        self._count: Counter[str] = Counter()

    def run_node(self, n: fx.Node) -> Any:
        args = self.fetch_args_kwargs_from_env(n) if n.op == "call_module" else ()
        took = outputs_of(args)
        value = super().run_node(n)
        for name in n.meta.get(GIVES, ()):
            number, gave = self._count[name], outputs_of(value)
            self.calls.append(Called(module=name, number=number, caller="", took=took, gave=gave))
            self._count[name] += 1
        return value


def _calls_of_graph(comparison: Comparison, *, training: bool) -> list[Called]:
    watched = _Watched(comparison.read)
    with undisturbed(comparison.read), seeded(0):
        comparison.read.train(training)
        with suppress(Exception):  # what was seen until it failed
            watched.run(comparison.images.clone())
    return watched.calls
