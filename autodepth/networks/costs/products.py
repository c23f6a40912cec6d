"""How much a network computes, told before it is run."""

from __future__ import annotations

from torch import Tensor, fx

from autodepth.networks.costs.shapes import Shapes

_COSTLY = 1e10  # multiply-accumulates: beyond them images take seconds each


def is_costly(traced: fx.GraphModule, images: Tensor) -> bool:
    """Return whether the layers of a network take so long that every image counts.

    Told from shapes alone, in the time of tracing. Products outside layers, such as attention, are
    not looked at, nor whatever has no shape before it is run; `Measured` counts them all.

    Args:
        traced: the network; it is left as it was.
        images: [B, C, H, W].
    """
    (given,) = (node for node in traced.graph.nodes if node.op == "placeholder")
    shapes = Shapes(traced, given, (1, *images.shape[1:]))
    products = 0.0
    for node in traced.graph.nodes:
        value = shapes.of(node) if node.op == "call_module" else None
        if isinstance(value, Tensor):
            weights = traced.get_submodule(str(node.target)).parameters()
            products += value.numel() * sum(w.numel() / w.shape[0] for w in weights if w.ndim > 1)
    return products > _COSTLY
