"""Multiply-accumulates, counted one way: torch's formulas / 2 on one image in evaluation mode.

Counted are convolutions, matrix products, recurrent layers and attention; biases, normalisation,
activations, pooling, interpolation and Fourier transforms are free by convention. What torch
itself takes apart into other operators costs what those do. An operator that is neither counted
nor known to be free is an error with its name, never 0, unless a person says that it is free.
Weights that are computed from others (`torch.nn.utils.parametrizations`) are the same for every
image, so computing them costs nothing per image.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._decomp import decomposition_table
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from autodepth.errors import NetworkError
from autodepth.networks.costs.operator_costs import FORMULAS, FREE, FREE_TAGS
from autodepth.networks.running.modes import evaluating
from autodepth.networks.running.preserve import undisturbed

# Where torch computes weights from others, by hooks of the older kind in the last two.
_WEIGHT_MAKERS = (
    "torch.nn.utils.parametrize.ParametrizationList",
    "torch.nn.utils.spectral_norm.SpectralNorm",
    "torch.nn.utils.weight_norm.WeightNorm",
)


def count_macs(module: nn.Module, example: Tensor, *, free: Collection[str] = ()) -> int:
    """Return multiply-accumulates per image of a network in evaluation mode.

    Args:
        module: the materialised network; it is left as it was.
        example: one image [1, C, H, W] on the module's device.
        free: operators, functions and classes that count as 0, see `counting`.

    Raises:
        NetworkError: an operator can neither be counted nor is known to be free.
    """
    with undisturbed(module), evaluating(module), counting(free) as count:
        module(example)
    return count.macs


@contextmanager
def counting(free: Collection[str] = ()) -> Iterator[Count]:
    """Count inside the block; the value tells the multiply-accumulates so far.

    Args:
        free: what counts as 0: operators (`mylib::scan`), functions, and classes such as a
            subclass of `torch.autograd.Function` (`package.module.name`), with all they call.
    """
    with unfused(), Count(free) as count:
        yield count


@contextmanager
def unfused() -> Iterator[None]:
    """Let no kernel hide what it multiplies: with gradients, without the fast path of attention."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.enable_grad():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def is_operator(name: str) -> bool:
    """Whether a name is that of an operator, and not of a function or class."""
    namespace, _, operator = name.replace("::", ".").partition(".")
    return hasattr(getattr(torch.ops, namespace), operator.partition(".")[0])


class Count(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up what operators cost; raises at the first that is neither counted nor free.

    Args:
        free: what counts as 0, see `counting`.
    """

    supports_higher_order_operators = True

    def __init__(self, free: Collection[str] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._free = {name.replace("::", "."): name for name in free}
        self.flops: int = 0
        self.met: set[str] = set()
        """Which of the names that are free were met so far."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates so far."""
        return self.flops // 2

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        formula = FORMULAS.get(_packet(func))
        if formula is None and not _is_free(func):
            with self:  # composite operators come here again as what they are made of
                out = func.decompose(*args, **kwargs)
            if out is not NotImplemented:
                return out
        if formula is None:
            if not (_is_free(func) or self._said_free(func)):
                self.flops += self._of_its_parts(func, args, kwargs)
            return func(*args, **kwargs)
        out = func(*args, **kwargs)
        if not self._said_free(func):
            self.flops += int(formula(*args, **kwargs, out_val=out))
        return out

    def _said_free(self, func: Any) -> bool:
        names = {str(func), str(_packet(func))} & self._free.keys() or _callers(self._free)
        self.met |= {self._free[name] for name in names}
        return bool(names or _callers(_WEIGHT_MAKERS))

    def _of_its_parts(self, func: Any, args: Any, kwargs: Any) -> int:
        """Return the FLOPs of what an operator is made of, on copies, for it may write to them."""
        taken_apart = decomposition_table.get(func)
        if taken_apart is None:
            raise _unknown(func)
        args, kwargs = tree_map_only(Tensor, torch.clone, (args, kwargs))
        try:
            with torch.enable_grad(), Count() as parts:
                taken_apart(*args, **kwargs)
        except (RuntimeError, TypeError, NotImplementedError) as error:
            raise _unknown(func) from error
        if not parts.flops:
            _FREE_BY_PARTS.add(func)
        return int(parts.flops)


_FREE_BY_PARTS: set[Any] = set()
"""Operators that turned out to be made of free ones; they are not taken apart again."""


def _is_free(operator: Any) -> bool:
    if operator in _FREE_BY_PARTS or not isinstance(operator, torch._ops.OpOverload):  # noqa: SLF001
        return operator in _FREE_BY_PARTS
    name = _packet(operator).__name__
    if (
        operator.namespace in {"prim", "prims"}
        or operator.is_view
        or not FREE_TAGS.isdisjoint(operator.tags)
        or (operator.namespace == "aten" and name in FREE)
    ):
        return True
    # Some operators in place (hardswish_) lack the tag that the plain one carries.
    plain = getattr(torch.ops.aten, name.removesuffix("_"), None) if name.endswith("_") else None
    return plain is not None and any(
        _is_free(getattr(plain, overload)) for overload in plain.overloads()
    )


def _packet(operator: Any) -> Any:
    return getattr(operator, "_overloadpacket", operator)  # the only way to an operator's name


def _callers(names: Collection[str]) -> set[str]:
    """Return which of some functions and classes are running, by `package.module.name`."""
    found: set[str] = set()
    frame = sys._getframe(1) if names else None  # noqa: SLF001 - inspect.stack() reads files
    while frame is not None:
        running = f"{frame.f_globals.get('__name__')}.{frame.f_code.co_qualname}."
        found.update(name for name in names if running.startswith(f"{name}."))
        frame = frame.f_back
    return found


def _unknown(operator: Any) -> NetworkError:
    name = str(_packet(operator))
    return NetworkError(
        f"operator {name} cannot be counted: autodepth knows neither its multiply-accumulates nor "
        f"that it is free; where it multiplies nothing that should count, say so with --free "
        f"{name} (in a space file network: {{free: [{name}]}}), else use an operator that is known"
    )
