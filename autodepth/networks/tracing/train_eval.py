"""One graph that serves training and evaluation alike.

A trace records one run, and with it what `self.training` was. So a network is traced in both
modes and the recordings are laid over each other. Stochastic depth of the network's own is taken
out. A submodule that does different things in the two modes beyond what can be laid over is kept
whole.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from torch import fx, nn

from autodepth.errors import NetworkError
from autodepth.networks.running.causes import OF_DRAWS, OF_DRAWS_IN_EVALUATION, OF_MODES, OF_OUTPUTS
from autodepth.networks.tracing.alignment import align
from autodepth.networks.tracing.merging import lay_over, leaves_out_parts, unlike_nodes
from autodepth.networks.tracing.recording import InputShape, Recorder, Recording
from autodepth.networks.tracing.sites.own_depth import find_stochastic_depth
from autodepth.networks.tracing.tracer import Call


@dataclass(frozen=True, kw_only=True)
class BothModes:
    """A network's graph for both modes.

    Args:
        module: the graph.
        kept_whole: why submodules were kept as one node, by name.
        own_depth: its modules that are stochastic depth, by name.
        one_size: whether Python asked for a number that the size of the images decides.
        taken_out: survival probabilities of its own stochastic depth, which acts no more.
        drawn: whether parts of it were left out by random numbers that Python looked at, which
            are not any more.
    """

    module: fx.GraphModule
    kept_whole: Mapping[str, str]
    own_depth: frozenset[str]
    one_size: bool
    taken_out: Sequence[float]
    drawn: bool


def trace_both_modes(
    module: nn.Module, input_shape: InputShape | None, whole: Mapping[str, str]
) -> BothModes:
    """Return a network's graph for both modes, some submodules kept whole.

    Raises:
        NetworkError: the network itself cannot be traced, or differs between the modes.
    """
    kept_whole = dict(whole)
    own = find_stochastic_depth(module)
    recorder = Recorder(
        module,
        input_shape,
        own_depth=[name for name, depth in own.items() if depth.in_evaluation == 1],
        scaled_depth=[name for name, depth in own.items() if depth.in_evaluation != 1],
        kept_whole=kept_whole,
    )
    while True:
        known = len(kept_whole)
        training, evaluation = (recorder.record(training=mode) for mode in (True, False))
        drew = evaluation.drew
        if drew and recorder.record(training=False, largest=True).is_like(evaluation):
            drew = set()  # they decide nothing
        runs = [training]
        if training.drew:
            runs.append(recorder.record(training=True, largest=True))
        blamed = _blamed(module, runs, evaluation, drew=drew)
        if not blamed:
            break
        kept_whole |= blamed | kept_whole
        if "" in blamed or len(kept_whole) == known:
            (reason, *_) = blamed.values()
            raise NetworkError(
                f"{type(module).__name__} cannot be traced: outside its submodules {reason}"
            )
    laid, survival = lay_over(module, _nearest(runs, evaluation), evaluation)
    return BothModes(
        module=laid,
        kept_whole=kept_whole,
        own_depth=frozenset(own),
        one_size=any(run.asked for run in (*runs, evaluation)),
        taken_out=[*(depth.survival for depth in own.values()), *survival],
        drawn=len(runs) > 1,
    )


def _blamed(
    module: nn.Module,
    runs: Sequence[Recording],
    evaluation: Recording,
    *,
    drew: Collection[str],
) -> dict[str, str]:
    """Return the innermost modules of which there is no one graph, and why.

    The empty name is the network itself.
    """
    if drew:
        return dict.fromkeys(drew, OF_DRAWS_IN_EVALUATION)
    if len(runs) > 1:
        if all(leaves_out_parts(module, run, evaluation) for run in runs):
            return {}
        return dict.fromkeys({name for run in runs for name in run.drew}, OF_DRAWS)
    unlike = unlike_nodes(module, runs[0], evaluation)
    if any(node.op == "output" for node in unlike):
        return {"": OF_OUTPUTS}
    different = _calls_around(unlike, runs[0], evaluation)
    return dict.fromkeys(different, OF_MODES)


def _nearest(runs: Sequence[Recording], evaluation: Recording) -> Recording:
    """Return the run that leaves out least."""
    return max(runs, key=lambda run: len(align(run, evaluation).counterpart))


def _calls_around(
    nodes: Collection[fx.Node], training: Recording, evaluation: Recording
) -> list[str]:
    """Return the innermost differing modules that hold one of the nodes, else all that differ."""
    if not nodes:
        return []
    different = _differing_calls(training, evaluation)

    def holds_one(calls: tuple[Call, Call]) -> bool:
        sides = zip((training, evaluation), calls, strict=True)
        return any(n in nodes for run, call in sides for n in run.nodes[call.start : call.stop])

    around = [calls for calls in different if holds_one(calls)] or different
    return [call.module for _, call in around] or [""]


def _differing_calls(training: Recording, evaluation: Recording) -> list[tuple[Call, Call]]:
    """Return the innermost calls that differ, of training and of evaluation."""

    def are_one_node(one: Call, other: Call) -> bool:  # then whoever calls it differs
        return training.is_one_node(one) or evaluation.is_one_node(other)

    different: list[tuple[Call, Call]] = []
    for key, call in evaluation.calls.items():  # a call comes after those it makes
        counterpart = training.calls.get(key)
        holds_one = any(call.start <= c.start and c.stop <= call.stop for _, c in different)
        if counterpart is None or holds_one or are_one_node(counterpart, call):
            continue
        if training.signature(counterpart) != evaluation.signature(call):
            different.append((counterpart, call))
    return different
