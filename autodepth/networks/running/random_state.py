"""The random generators that a network may draw from: torch's, Python's and numpy's."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.fx._symbolic_trace import _maybe_revert_all_patches

_WORDS = 624  # of a Mersenne Twister, which all three have
_SMALLEST, _LARGEST = 0, 0x12DD9BB3  # words of state that are drawn as 32 bits of 0, and of 1


@contextmanager
def generators_as_they_were() -> Iterator[None]:
    """Leave every generator of the CPU as it was."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed every generator inside the block, and leave them as they were."""
    with generators_as_they_were():
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - networks draw from this one
        yield


@contextmanager
def extreme_draws(*, largest: bool) -> Iterator[None]:
    """Make `random()` give its smallest or its largest number, and leave the generators alone.

    `random.random() < p` is then decided one way at every place, however it is imported: it is
    the states that are set. What comes after 312 draws is any number.
    """
    word = _LARGEST if largest else _SMALLEST
    with generators_as_they_were():
        random.setstate((3, (*[word] * _WORDS, 0), None))
        np.random.set_state(("MT19937", np.full(_WORDS, word, np.uint32), 0, 0, 0.0))  # noqa: NPY002
        torch.set_rng_state(_torch_state(word))
        yield


def generator_states() -> tuple[Any, ...]:
    """Return what changes whenever a generator is drawn from."""
    _, keys, place, *_ = np.random.get_state()  # noqa: NPY002
    words = torch.get_rng_state().numpy().tobytes()
    return random.getstate(), np.asarray(keys).tobytes(), place, words


class DrawnValues(fx.Interpreter):
    """Runs recorded nodes that depend on random draws alone, each the smallest or the largest.

    Args:
        root: the network.
        graph: the nodes recorded so far.
        largest: whether the largest number is drawn.
    """

    def __init__(self, root: nn.Module, graph: fx.Graph, *, largest: bool) -> None:
        super().__init__(root, garbage_collect_values=False, graph=graph)
        self._uniform = 1 - 2**-24 if largest else 0.0
        self._drew = False

    def of(self, node: fx.Node) -> Any:
        """Return a node's value; None where something else than draws decides it."""
        try:
            with _maybe_revert_all_patches():  # what runs here is not recorded
                value = self._value(node)
        except Exception:  # noqa: BLE001 - whatever it was, the value is not known
            return None
        return value if self._drew else None

    def _value(self, node: fx.Node) -> Any:
        if node in self.env:
            return self.env[node]
        if node.op in {"placeholder", "call_module", "output"}:
            raise LookupError(node.name)
        if node.target is getattr and node.args[1] in {"device", "dtype"}:  # of whatever tensor
            value: Any = torch.device("cpu") if node.args[1] == "device" else torch.float32
        else:
            for read in node.all_input_nodes:
                self._value(read)
            draw = self._draws().get(str(getattr(node.target, "__name__", node.target)))
            if draw is None:
                value = self.run_node(node)
            else:
                self._drew = True
                args, kwargs = self.fetch_args_kwargs_from_env(node)
                value = draw(args, kwargs)
        self.env[node] = value
        return value

    def _draws(self) -> dict[str, Callable[[Any, Any], Any]]:
        u = self._uniform

        def chances(args: Any, kwargs: Any) -> Any:
            p = args[1] if len(args) > 1 else kwargs.get("p", 0.5)
            return (torch.full_like(args[0], u) < p).float()

        def drawn_by(args: Any, kwargs: Any) -> Any:
            if len(args) > 1 or "p" in kwargs:
                return chances(args, kwargs)
            given = args[0] if args else kwargs["input"]
            return (u < given).float()

        return {
            "rand": lambda args, kwargs: torch.full_like(torch.rand(*args, **kwargs), u),
            "rand_like": lambda args, _: torch.full_like(args[0], u),
            "uniform_": lambda args, _: torch.full_like(args[0], u),
            "bernoulli": drawn_by,
            "bernoulli_": chances,
        }


def _torch_state(word: int) -> Tensor:
    """Return the state of torch's CPU generator of which each draw is one word.

    As torch lays it out: seed (8 bytes), words left and whether seeded (4 each), place (8), words
    of 8 bytes; what follows is about normal numbers kept for later.
    """
    state = torch.Generator().manual_seed(0).get_state().numpy()
    state[8:12].view(np.int32)[:] = _WORDS
    state[16:24].view(np.uint64)[:] = 0
    state[24 : 24 + 8 * _WORDS].view(np.uint64)[:] = word
    return torch.from_numpy(state)
