"""A network as a graph over its own submodules: same names, keys and parameters.

The graph serves training and evaluation, and is brought into a form in which the data flow shows
all there is: no stochastic depth of the network's own, nothing that nobody reads, and what is
changed in place named anew.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, fx, nn

from autodepth.networks.costs.shapes import BATCHES, Shapes
from autodepth.networks.tracing.inplace_ops import drop_unread_nodes, nodes_with_effect
from autodepth.networks.tracing.sites.additions import spell_additions
from autodepth.networks.tracing.sites.own_depth import DepthLeftOut, told_taken_out
from autodepth.networks.tracing.sites.residual_sites import ResidualSite, find_residual_sites
from autodepth.networks.tracing.train_eval import BothModes, trace_both_modes

__all__ = ["ResidualSite", "Traced", "drop_unread", "find_residual_sites", "fold_sizes", "trace"]


@dataclass(frozen=True, kw_only=True)
class Traced:
    """A network as a graph.

    Args:
        module: the network; its submodules and parameters are those of the original.
        kept_whole: why branches inside some submodules cannot be found, by qualified name.
        taken_out: sentences about stochastic depth of its own.
        depth: what that is.
        one_size: whether the graph is made for images of one size.
    """

    module: fx.GraphModule
    kept_whole: Mapping[str, str]
    taken_out: Sequence[str]
    depth: DepthLeftOut
    one_size: bool

    def notes(self) -> list[str]:
        """Return what was taken out and what could not be found, one line per reason."""
        modules: dict[str, list[str]] = {}
        for name, reason in self.kept_whole.items():
            modules.setdefault(reason, []).append(name)
        return [
            *self.taken_out,
            *(
                f"not looked into: {names[0]}{f' and {len(names) - 1} more' * (len(names) > 1)}, "
                f"since {reason}"
                for reason, names in modules.items()
            ),
        ]


def trace(
    module: nn.Module,
    input_shape: tuple[int, ...] | None = None,
    kept_whole: Mapping[str, str] | None = None,
) -> Traced:
    """Return a network as a graph.

    Args:
        module: any network called as `module(images)`.
        input_shape: (C, H, W) of one image. Where the network asks for it, the graph is made for
            images of this size; without it such a network cannot be traced.
        kept_whole: why submodules are to be kept as one node, by qualified name.

    Raises:
        NetworkError: the network cannot be traced, or differs between training and evaluation
            outside its submodules.
    """
    found = trace_both_modes(module, input_shape, kept_whole or {})
    traced = found.module
    spell_additions(traced)
    # Attention weights, sizes and assertions about them would look like readers of a branch.
    drop_unread(traced, nodes_with_effect(traced.graph))
    _keep_state_dict(traced, module)
    hiding = {name: why for name, why in found.kept_whole.items() if _has_layers(module, name)}
    inside = found.drawn or len(found.taken_out) > len(found.own_depth)
    return Traced(
        module=traced,
        kept_whole=hiding,
        taken_out=_told_taken_out(found),
        depth=DepthLeftOut(modules=found.own_depth, inside=inside),
        one_size=found.one_size,
    )


def drop_unread(traced: fx.GraphModule, keep: Collection[str]) -> None:
    """Drop nodes whose value nobody reads, and the modules and weights that no node reads then.

    Args:
        traced: the network.
        keep: names of nodes that stay, read or not.
    """
    drop_unread_nodes(traced.graph, keep)
    traced.delete_all_unused_submodules()
    read = {str(n.target) for n in traced.graph.nodes if n.op in {"call_module", "get_attr"}}
    for name in [*dict(traced.named_parameters()), *dict(traced.named_buffers())]:
        parts = name.split(".")
        if not any(".".join(parts[: i + 1]) in read for i in range(len(parts))):
            delattr(traced.get_submodule(".".join(parts[:-1])), parts[-1])
    traced.recompile()


def fold_sizes(traced: fx.GraphModule, input_shape: tuple[int, ...]) -> None:
    """Write sizes that do not depend on the batch into the graph, for images of one shape.

    A branch whose size is read further on (`x, height, width = attention(x)`) could not go else.
    """
    (images,) = (node for node in traced.graph.nodes if node.op == "placeholder")
    runs = [Shapes(traced, images, (batch, *input_shape)) for batch in BATCHES]
    sizes: dict[fx.Node, int] = {}
    for node in traced.graph.nodes:
        first, second = (run.of(node) for run in runs)
        if type(first) is int and first == second:
            sizes[node] = first
    for node in traced.graph.nodes:
        node.args, node.kwargs = fx.node.map_arg(
            (node.args, node.kwargs), lambda read: sizes.get(read, read)
        )
    drop_unread(traced, nodes_with_effect(traced.graph))


def _told_taken_out(found: BothModes) -> list[str]:
    drawn = (
        "parts that it leaves out in training by random numbers that Python looks at stay in; "
        "the gates take the place of that"
    )
    return [*told_taken_out(found.taken_out), *[drawn] * found.drawn]


def _keep_state_dict(traced: fx.GraphModule, module: nn.Module) -> None:
    """Keep out of the state dict what was not in it: tensors made on the way, and caches."""
    keys = module.state_dict().keys()
    for name, value in list(traced.named_buffers()):
        if name not in keys:
            owner, _, attribute = name.rpartition(".")
            traced.get_submodule(owner).register_buffer(attribute, value, persistent=False)


def _has_layers(module: nn.Module, name: str) -> bool:
    children = list(module.get_submodule(name).modules())[1:]
    return any(isinstance(p, Tensor) for child in children for p in child.parameters())
