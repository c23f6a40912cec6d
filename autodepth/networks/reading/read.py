"""Reading a network: its graph, its residual additions, and the proof that it is the same network.

Where the graph turns out to be another network, the innermost module that brings that about is
kept whole, as one node, and the network is read once more; where that is the network itself, it
is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import cast

import torch
from torch import Tensor, fx, nn

from autodepth.errors import AutodepthError, NetworkError
from autodepth.networks.costs.products import is_costly
from autodepth.networks.reading.divergence import first_difference
from autodepth.networks.reading.equality import Comparison, Difference
from autodepth.networks.reading.value_changes import Memory, across, leave_sums_alone, name_changes
from autodepth.networks.running.causes import MOVE, OF_BACKWARD_HOOKS, misread
from autodepth.networks.running.modes import keep_modes
from autodepth.networks.running.preserve import Content, left_as_it_was, tensors_of, undisturbed
from autodepth.networks.tracing.inplace_ops import nodes_with_effect
from autodepth.networks.tracing.sites.residual_sites import (
    ResidualSite,
    find_residual_sites,
    told_not_taken,
)
from autodepth.networks.tracing.trace import Traced, drop_unread, fold_sizes, trace

InputShape = tuple[int, ...]

_IMAGES = 2
_SMALL = 40  # pixels; a graph for which no size was asked computes the same at any
_LIKELY = (
    "its code goes by something else than the values of its input (its type, Python's own "
    "variables, an attribute that changes from call to call)"
)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A network as it was read.

    Args:
        module: its graph.
        sites: its residual additions whose branch can be left out.
        notes: what could not be found, or is not taken, a sentence each.
        off_by: how far its outputs are from those of the network given, at most, as a share of
            the largest.
        compared_on: (C, H, W) of the images on which that was seen: smaller ones than were asked
            for only where its graph computes the same at any size.
    """

    module: fx.GraphModule
    sites: Sequence[ResidualSite]
    notes: Sequence[str]
    off_by: float
    compared_on: InputShape


def read_network(module: nn.Module, input_shape: InputShape) -> Reading:
    """Read a network, which is left as it was.

    Raises:
        NetworkError: it cannot be traced, does not take such images, has no residual branch, or
            is another network when read.
    """
    if any(tensor.is_inference() for tensor in tensors_of(module)):
        raise NetworkError(
            f"{type(module).__name__} was built under torch.inference_mode(), so it cannot be "
            "trained: build it outside"
        )
    try:
        with torch.inference_mode(mode=False):
            return _read(module, input_shape)
    except AutodepthError:
        raise
    except Exception as error:  # whatever code of others raises at whatever moment
        raise misread(module, input_shape, error) from error


def _read(module: nn.Module, input_shape: InputShape) -> Reading:
    kept_whole: dict[str, str] = {}
    # Compiled parts are run as their author wrote them.
    with (
        torch.compiler.set_stance("force_eager"),
        torch._dynamo.config.patch(error_on_nested_fx_trace=False),  # noqa: SLF001
        undisturbed(module) as content,
    ):
        while True:
            traced = trace(module, input_shape, kept_whole)
            keep_modes(traced.module, module)
            memory, images = _memory(module, traced, content, input_shape)
            sites, notes, folded = _find(traced, memory, input_shape)
            if folded:
                images = _images(input_shape)
            comparison = Comparison(
                given=module,
                read=traced.module,
                images=images,
                depth=traced.depth,
                one_will_do=_is_costly(traced, images),
            )
            try:
                found = comparison.difference(content)
            except NetworkError:  # it may check sizes, and take no smaller images
                if images.shape[1:] == input_shape:
                    raise
                images = _images(input_shape)
                costly = _is_costly(traced, images)
                comparison = replace(comparison, images=images, one_will_do=costly)
                found = comparison.difference(content)
            if not isinstance(found, Difference):
                return Reading(
                    module=traced.module,
                    sites=sites,
                    notes=notes,
                    off_by=found,
                    compared_on=cast("InputShape", tuple(images.shape[1:])),
                )
            kept_whole |= _blamed(module, comparison, found, kept_whole)


def _images(input_shape: InputShape, most: int | None = None) -> Tensor:
    """Return random images, their sides no longer than so many pixels."""
    channels, *sides = input_shape
    generator = torch.Generator().manual_seed(0)
    return torch.randn(_IMAGES, channels, *(min(s, most or s) for s in sides), generator=generator)


def _is_costly(traced: Traced, images: Tensor) -> bool:
    return max(images.shape[2:], default=0) > _SMALL and is_costly(traced.module, images)


def _find(
    traced: Traced, memory: Memory, input_shape: InputShape
) -> tuple[list[ResidualSite], list[str], bool]:
    """Name what is changed in place, and find the residual additions.

    Returns:
        The additions, notes, and whether the graph is now for images of one size.
    """
    graph_module = traced.module
    groups = name_changes(graph_module, memory)
    drop_unread(graph_module, nodes_with_effect(graph_module.graph))
    sites, not_taken = find_residual_sites(graph_module)
    if folded := bool(not_taken):
        fold_sizes(graph_module, input_shape)
        sites, not_taken = find_residual_sites(graph_module)
    tangled = [site for site in sites if across(groups, site.branch_nodes, site.addition)]
    sites = [site for site in sites if site not in tangled]
    notes = [*traced.notes(), *told_not_taken(not_taken), *_told_tangled(tangled)]
    if not sites:
        none = f"{graph_module.__class__.__name__} has no residual branch that can be dropped"
        raise NetworkError("; ".join([none, *notes]))
    nodes = {node.name: node for node in graph_module.graph.nodes}
    leave_sums_alone(graph_module, memory, [nodes[site.addition] for site in sites])
    graph_module.recompile()
    return sites, notes, folded


def _memory(
    module: nn.Module, traced: Traced, content: Content, input_shape: InputShape
) -> tuple[Memory, Tensor]:
    """Run a graph in training, or where it cannot be, in evaluation, and return the images too.

    Raises:
        NetworkError: it runs in neither.
    """
    network = traced.module
    sizes = [None] if traced.one_size else [_SMALL, None]
    for most, training in product(sizes, (True, False)):
        images = _images(input_shape, most)
        try:
            with left_as_it_was(network):
                network.train(training)
                return Memory(network, images), images
        except Exception as error:
            if most is None and not training:
                raise misread(module, input_shape, error) from error
        finally:
            content.put_back()
    raise AssertionError(input_shape)


def _blamed(
    module: nn.Module, comparison: Comparison, found: Difference, kept_whole: Collection[str]
) -> dict[str, str]:
    """Return the submodules to keep whole, and why.

    Raises:
        NetworkError: it is the network itself.
    """
    cause = found.cause
    if found.gradient and not cause:
        hooked = [n for n in _with_backward_hooks(module) if _is_opened(comparison.read, n)]
        if inner := [name for name in hooked if name and name not in kept_whole]:
            return dict.fromkeys(inner, OF_BACKWARD_HOOKS)
        cause = OF_BACKWARD_HOOKS if "" in hooked else ""
    first, inside = found.module, found.module
    if first is None:
        first, inside = first_difference(comparison, training=found.training) or ("", "")
    mode = "training" if found.training else "evaluation"
    while inside and (inside in kept_whole or not _is_opened(comparison.read, inside)):
        inside = inside.rpartition(".")[0]  # a context, say, around what is whole already
    if inside:
        return {inside: cause or f"when read it was another network in {mode}: {found.what}"}
    where = f", first at {first}" if first else ""
    raise NetworkError(
        f"{type(module).__name__} would be read as another network: in {mode} {found.what}{where}"
        f"; likely {cause or f'{_LIKELY}; {MOVE}'}"
    )


def _with_backward_hooks(module: nn.Module) -> list[str]:
    return [
        name
        for name, part in module.named_modules()
        if part._backward_hooks or part._backward_pre_hooks  # noqa: SLF001
    ]


def _is_opened(read: fx.GraphModule, name: str) -> bool:
    """Whether a module was looked into."""
    return all(node.op != "call_module" or node.target != name for node in read.graph.nodes)


def _told_tangled(sites: Sequence[ResidualSite]) -> list[str]:
    if not sites:
        return []
    more = f" and {len(sites) - 1} more" * (len(sites) > 1)
    return [
        f"{sites[0].block or 'the network itself'}{more}: adds x + f(x), but changes in place a "
        "part of what is read elsewhere too, so the branch cannot be left out"
    ]
