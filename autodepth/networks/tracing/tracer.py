"""Symbolic tracing that gets through networks as people write them.

`torch.fx` runs a network on proxies, which record what is done to them. Three things stop it, and
each has its answer here:

- Python needs a number (`if height % window`, `for i in range(len(x.shape))`): it is told from
  shape-only runs of what was recorded so far, on two batch sizes. What depends on the batch, or
  on the values of a tensor, is not told.
- A tensor is made from sizes (`torch.arange(width)`): the making is recorded too.
- A module cannot be passed at all: it is kept whole, as one node, and the reason is noted.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.proxy import Attribute, ParameterProxy, TraceError

from autodepth.networks.costs.shapes import BATCHES, Shapes
from autodepth.networks.running.causes import OF_SCRIPT, advice, told
from autodepth.networks.running.preserve import Assigned
from autodepth.networks.running.random_state import DrawnValues, generator_states
from autodepth.networks.tracing.inplace_ops import set_item
from autodepth.networks.tracing.stand_ins import classes_told, own_gradients_kept

_RECORDED = (
    *(torch.arange, torch.empty, torch.eye, torch.full, torch.linspace, torch.ones),
    *(torch.normal, torch.rand, torch.randint, torch.randn, torch.randperm),
    *(torch.tensor, torch.zeros),
)
# torch's own layers are nodes of the graph, but for those that hold residual branches.
_OPENED = (
    *(nn.Transformer, nn.TransformerDecoder, nn.TransformerDecoderLayer),
    *(nn.TransformerEncoder, nn.TransformerEncoderLayer),
)

GIVES = "gives"
"""Under this name a node's meta has the modules whose output it is."""

CANNOT_TRACE = (
    AssertionError,
    AttributeError,
    LookupError,
    NameError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,  # TraceError among them
)
"""What running a network on proxies may raise."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of a submodule: its qualified name, and which nodes of the graph it made."""

    module: str
    start: int
    stop: int


class SymbolicTracer(fx.Tracer):
    """Records one run of a network.

    Args:
        kept_whole: why a submodule is kept as one node, by qualified name; what cannot be passed
            in this run is added.
        input_shape: (C, H, W) of one image; without it no size is told.
        own_depth: names of modules that are stochastic depth, and no more: they give back their
            input.
        largest: whether a random number that Python asks for is the largest, or the smallest.
        watch_draws: whether to note which modules draw from a generator while they are run.
    """

    proxy_buffer_attributes = True  # a buffer read now would be frozen into the graph

    def __init__(
        self,
        kept_whole: dict[str, str],
        input_shape: tuple[int, ...] | None,
        *,
        own_depth: Collection[str] = (),
        largest: bool = False,
        watch_draws: bool = False,
    ) -> None:
        super().__init__(autowrap_functions=_RECORDED)
        self._autowrap_search.append(torch)
        self._thread = threading.get_ident()
        self.kept_whole = kept_whole
        self.calls: list[Call] = []
        self.drew: set[str] = set()
        """The innermost modules that drew, by name; the empty one is the network."""
        self._own_depth = own_depth
        self._largest = largest
        self._watch_draws = watch_draws
        self._drawn: DrawnValues | None = None
        self.asked = False
        """Whether Python was told a number, so that the graph is made for images of one size."""
        self._input_shape = input_shape
        self._shapes: list[Shapes] = []
        self._names: dict[int, str] = {}
        self._attributes: dict[str, fx.Proxy] = {}

    def trace(
        self,
        root: nn.Module | Callable[..., Any],
        concrete_args: dict[str, Any] | None = None,
    ) -> fx.Graph:
        """Return the graph of a network."""
        assert isinstance(root, nn.Module)
        tensors = chain(root.named_buffers(), root.named_parameters())
        self._names = {id(tensor): name for name, tensor in tensors}
        with classes_told(_class_stood_in_for), own_gradients_kept(_stands_in):
            graph = super().trace(root, concrete_args)
        for node in graph.nodes:
            if node.target in _RECORDED:  # the graph's code need not wrap them again, nor could it
                node.meta.pop("is_wrapped", None)
        return graph

    def create_args_for_root(
        self,
        root_fn: Callable[..., Any],  # noqa: ARG002 - torch.fx calls it
        is_module: bool,  # noqa: ARG002
        concrete_args: Any = None,  # noqa: ARG002
    ) -> tuple[Any, list[Any]]:
        """Call the network as `network(images)`: what else it takes keeps its default."""
        images = self.create_proxy("placeholder", "images", (), {})
        if self._input_shape is not None:
            shapes = ((batch, *self._input_shape) for batch in BATCHES)
            self._shapes = [Shapes(self.root, images.node, shape) for shape in shapes]
        # Called, not forwarded: its hooks, and a `forward` put onto the object, are part of it.
        return _call, [self.root, images]

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module becomes one node."""
        if isinstance(m, torch.jit.ScriptModule):
            self.kept_whole.setdefault(module_qualified_name, OF_SCRIPT)
        if module_qualified_name in self.kept_whole:
            return True
        return not isinstance(m, _OPENED) and super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Record a call, from the inside where possible, else as one node."""
        if threading.get_ident() != self._thread or m is self.root:
            return forward(*args, **kwargs)  # torch.fx patches the calls of all threads
        if isinstance(compiled := getattr(m, "_orig_mod", None), nn.Module):  # by torch.compile
            return compiled(*args, **kwargs)
        name, start, depth = self.path_of_module(m), len(self.graph.nodes), len(self.module_stack)
        if name in self._own_depth and len(given := (*args, *kwargs.values())) == 1:
            return given[0]
        states = generator_states() if self._watch_draws else ()
        assigned, known = Assigned(m), len(self.calls)
        try:
            value = super().call_module(m, forward, args, kwargs)
        except CANNOT_TRACE as error:
            self.kept_whole[name] = f"{told(error)}; {advice(error)}"
            assigned.put_back()
            self._forget_nodes_from(start)
            del self.calls[known:]
            while len(self.module_stack) > depth:
                self.module_stack.popitem()
            value = super().call_module(m, forward, args, kwargs)
        self.calls.append(Call(module=name, start=start, stop=len(self.graph.nodes)))
        inner = any(drew.startswith(f"{name}.") for drew in self.drew)
        if self._watch_draws and not inner and generator_states() != states:
            self.drew.add(name)
        if isinstance(value, fx.Proxy):
            value.node.meta[GIVES] = [*value.node.meta.get(GIVES, ()), name]
        return value

    def create_arg(self, a: Any) -> Any:
        """Return a node's argument; a stand-in says of itself that it is a tensor."""
        return a.node if isinstance(a, _Value) else super().create_arg(a)

    def kind_of(self, node: fx.Node) -> type | None:
        """Return the class of a node's value; None where it cannot be told."""
        value = self._shapes[0].of(node) if self._shapes else None
        return None if value is None else type(value)

    def getattr(
        self,
        attr: str,  # noqa: ARG002 - torch.fx calls it
        attr_val: Any,
        parameter_proxy_cache: dict[str, fx.Proxy],
    ) -> Any:
        """Record reading a parameter or buffer."""
        name = self._names.get(id(attr_val)) if isinstance(attr_val, Tensor) else None
        if name is None:
            return attr_val
        self._attributes = parameter_proxy_cache
        if name not in self._attributes:
            node = self.create_node("get_attr", name, (), {})
            own = isinstance(attr_val, nn.Parameter)
            self._attributes[name] = (
                _Parameter(self, node, name, attr_val) if own else self.proxy(node)
            )
        return self._attributes[name]

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """Return a stand-in for a node's value."""
        return _Value(node, self)

    def to_bool(self, obj: fx.Proxy) -> bool:
        """Tell a truth that holds for every batch."""
        return bool(self.known(obj))

    def iter(self, obj: fx.Proxy) -> Iterator[Any]:
        """Go through a value of known length."""
        return iter([obj[i] for i in range(self.length(obj))])  # type: ignore[index]

    def known(self, value: fx.Proxy) -> int | float:
        """Return a number that a value is for every batch.

        Raises:
            TraceError: the value depends on the batch or on the content of a tensor.
        """
        first, second = self._for_batches(value)
        self.asked = True
        if isinstance(first, int | float) and first == second:
            return first
        drawn = self._drawn_value(value.node)
        if drawn is not None:
            return drawn
        raise TraceError(
            "symbolically traced variables cannot be used as inputs to control flow, "
            "unless they depend on the size of the images alone"
        )

    def length(self, value: fx.Proxy) -> int:
        """Return how many items a value has for every batch."""
        first, second = self._for_batches(value)
        self.asked = True
        if hasattr(first, "__len__") and len(first) == len(second):
            return len(first)
        raise TraceError("a loop over a value whose length depends on the batch cannot be traced")

    def _for_batches(self, value: fx.Proxy) -> tuple[Any, Any]:
        if not self._shapes:
            return None, None
        first, second = (shapes.of(value.node) for shapes in self._shapes)
        return first, second

    def _drawn_value(self, node: fx.Node) -> int | float | None:
        """Return a number that random draws alone decide, as they are to fall in this run."""
        if self._drawn is None or self._drawn.graph is not self.graph:
            self._drawn = DrawnValues(self.root, self.graph, largest=self._largest)
        value = self._drawn.of(node)
        if isinstance(value, Tensor) and value.numel() == 1:
            value = value.item()
        if not isinstance(value, int | float):
            return None
        self.drew.add(next(reversed(self.module_stack.values()))[0] if self.module_stack else "")
        return value

    def _forget_nodes_from(self, start: int) -> None:
        for node in reversed(list(self.graph.nodes)[start:]):
            self.graph.erase_node(node)
        kept = set(self.graph.nodes)
        for name in [n for n, proxy in self._attributes.items() if proxy.node not in kept]:
            del self._attributes[name]


class _Value(fx.Proxy):
    """A proxy that tells Python its number or length where that is known."""

    tracer: SymbolicTracer
    _is_param = False  # what `isinstance(x, nn.Parameter)` asks
    _is_buffer = False

    def __getattr__(self, k: str) -> _Attribute:
        return _Attribute(self, k)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.tracer.create_proxy("call_function", set_item, (self, key, value), {})

    def __len__(self) -> int:
        return self.tracer.length(self)

    def __index__(self) -> int:
        return math.trunc(self.tracer.known(self))

    __int__ = __index__

    def __float__(self) -> float:
        return float(self.tracer.known(self))


class _Parameter(ParameterProxy, _Value):
    """A proxy of a parameter; its shape is no secret."""

    _is_param = True


class _Attribute(_Value, Attribute):
    """An attribute of a proxy's value, such as its shape."""


def _stands_in(value: Any) -> bool:
    return issubclass(type(value), _Value)


def _class_stood_in_for(value: Any) -> type | None:
    return value.tracer.kind_of(value.node) if _stands_in(value) else None


def _call(network: nn.Module, images: Any) -> Any:
    return network(images)
