"""Where in a file the weights of a network lie: under which keys, behind which prefixes.

Keys of a file and prefixes of names are one thing here, a place: `state_dict.module` holds
`conv.weight` where the file has {"state_dict": {"module.conv.weight": ...}}. A place counts where
the network's own names are found below it, so no prefix is known by heart, and none is taken off
that the network has.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from autodepth.errors import WeightsError
from autodepth.networks.weights.checkpoint_file import Unread

_USUAL = ("state_dict", "model_state_dict", "model", "net", "weights")
_AVERAGED = re.compile(r"(^|[._])(ema|swa|avg|averaged?|shadow|teacher|momentum|target)([._]|$)")
_WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
_DEEPEST, _SHOWN = 4, 3
_COUNTER = "num_batches_tracked"  # files of old versions lack it, and nothing reads it


@dataclass(frozen=True, kw_only=True)
class Place:
    """A place in a file, and how well a network's tensors fit what lies there.

    Args:
        name: keys and prefixes by dots; empty for the top.
        found: the file's tensors by the network's names.
        missing: names the network has and the place has not.
        unexpected: names below the place that the network has not.
        reshaped: names whose shapes differ.
        beside: names that lie in the same state dict, but not below the place.
    """

    name: str
    found: Mapping[str, Tensor]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    reshaped: tuple[str, ...]
    beside: tuple[str, ...]

    @property
    def is_averaged(self) -> bool:
        """Whether it holds an average over training by its name, such as `state_dict_ema`."""
        return _AVERAGED.search(self.name) is not None

    def fits(self, wanted: Mapping[str, Tensor], classes: int) -> bool:
        """Whether all is there, but for a head of another number of classes."""
        if self.missing or self.unexpected:
            return False
        heads = {(len(self.found[n]), len(wanted[n])) for n in self.reshaped if wanted[n].ndim}
        return not self.reshaped or (
            len(heads) == 1
            and {wide for _, wide in heads} == {classes}
            and all(self.found[n].shape[1:] == wanted[n].shape[1:] for n in self.reshaped)
        )


def find_place(
    content: Any, wanted: Mapping[str, Tensor], *, key: str | None, classes: int
) -> tuple[Place, list[str]]:
    """Return where a network's weights lie in a file, and other places that would do as well.

    Where several fit, those of the network come before averages of it, usual keys before others.

    Args:
        content: what the file holds.
        wanted: the network's state dict.
        key: where to look, as of `Place.name` or the beginning of one; None looks everywhere.
        classes: size of the network's output; a head of another size may differ in that.

    Raises:
        WeightsError: nothing fits, or several do and none comes first.
    """
    states = [s for s in _state_dicts(content) if key is None or _meets(s[0], key)]
    nearest: list[Place] = []
    for spelling in range(3):
        places = [
            place
            for name, state in states
            for place in _Names(name, state, wanted, spelling).places()
            if key is None or _is_below(place.name, key)
        ]
        fitting = [place for place in places if place.fits(wanted, classes)]
        if fitting:
            return _chosen(fitting)
        nearest += places
    nearest = [place for place in nearest if place.found]
    if not nearest:
        raise WeightsError(_nothing_like_it(content, states, wanted, key))
    best = max(nearest, key=lambda p: len(p.found) - len(p.reshaped) - len(p.unexpected))
    raise WeightsError(_misfit(best, wanted))


def listing(names: Collection[str]) -> str:
    """Return the first few of some names, and how many more there are."""
    few = ", ".join(list(names)[:_SHOWN])
    return f"{few} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else few


def _chosen(fitting: list[Place]) -> tuple[Place, list[str]]:
    def rank(place: Place) -> tuple[bool, bool, int]:
        top = place.name.partition(".")[0]
        usual = _USUAL.index(top) if top in _USUAL else len(_USUAL) * bool(top)
        return (bool(place.reshaped), place.is_averaged, usual)

    first, *others = sorted(fitting, key=rank)
    if others and rank(others[0]) == rank(first):
        raise WeightsError(
            f"several weights in it fit the network, at {listing([p.name for p in fitting])}: say "
            f"which with --weights-key {first.name} (in a space network.weights_key)"
        )
    return first, [place.name for place in others]


def _state_dicts(
    content: Any, name: str = "", depth: int = 0
) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
    """Yield every mapping that holds tensors by name, and where it lies."""
    if not isinstance(content, Mapping) or depth > _DEEPEST:
        return
    tensors = {str(k): v for k, v in content.items() if isinstance(v, Tensor)}
    if tensors:
        yield name, tensors
    for key, value in content.items():
        yield from _state_dicts(value, _join(name, str(key)), depth + 1)


class _Names:
    """Names of one state dict and of the network, spelled so that they can meet.

    Args:
        name: where the state dict lies.
        state: its tensors.
        wanted: the network's.
        spelling: 0 as they are, 1 without what wrappers put into them, 2 also without what all
            names of the network begin with, for a network that is a wrapper itself.
    """

    def __init__(
        self, name: str, state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], spelling: int
    ) -> None:
        self._name, self._state, self._wanted = name, state, wanted
        self._inside = dict(zip(_spelled(wanted, spelling), wanted, strict=True))
        self._given = dict(zip(_spelled(state, min(spelling, 1)), state, strict=True))

    def places(self) -> Iterator[Place]:
        """Yield the places below which most of the network's names are."""
        if len(self._inside) < len(self._wanted) or len(self._given) < len(self._state):
            return  # two names have become one
        splits = (split for key in self._given for split in _splits(key))
        counts = Counter(prefix for prefix, rest in splits if rest in self._inside)
        most = max(counts.values(), default=0)
        prefixes = sorted(prefix for prefix, count in counts.items() if count == most)
        if not self._is_most(most):
            prefixes = prefixes[:1]  # one is enough to tell what does not fit
        for prefix in prefixes:
            yield self._place(prefix, [p for p in prefixes if p != prefix and _is_below(p, prefix)])

    def _place(self, prefix: str, apart: list[str]) -> Place:
        """Return a place; what lies below those apart is no part of it."""
        keys = {
            short: key for short in self._inside if (key := _join(prefix, short)) in self._given
        }
        if self._is_most(len(keys)):
            taken = set(keys.values())
            keys |= _elsewhere(
                [short for short in self._inside if short not in keys],
                [key for key in self._given if key not in taken],
            )
        prefixes = {key.removesuffix(short).rstrip(".") for short, key in keys.items()}
        used = set(keys.values())
        below = [
            key
            for key in self._given
            if any(_is_below(key, p) for p in prefixes)
            and not any(_is_below(key, p) for p in apart)
        ]
        inside = set(below)
        found = {self._inside[s]: self._state[self._given[key]] for s, key in keys.items()}
        tied = {self._wanted[n].data_ptr() for n in found if self._wanted[n].numel()}
        return Place(
            name=_join(self._name, prefix),
            found=found,
            missing=tuple(
                n
                for n, t in self._wanted.items()
                if n not in found and not n.endswith(_COUNTER) and t.data_ptr() not in tied
            ),
            unexpected=tuple(key for key in below if key not in used),
            reshaped=tuple(n for n, t in found.items() if t.shape != self._wanted[n].shape),
            beside=tuple(key for key in self._given if key not in inside),
        )

    def _is_most(self, count: int) -> bool:
        return 2 * count >= len(self._inside)


def _elsewhere(names: list[str], left: list[str]) -> dict[str, str]:
    """Return keys of names below another prefix, such as a head beside its backbone."""
    found = {}
    for name in names:
        keys = [key for key in left if key == name or key.endswith(f".{name}")]
        if len(keys) == 1:
            found[name] = keys[0]
    return found


def _spelled(names: Collection[str], spelling: int) -> list[str]:
    if spelling == 0:
        return list(names)
    parts = [[part for part in name.split(".") if part not in _WRAPPERS] for name in names]
    common = 0
    if spelling > 1:
        while len({tuple(p[: common + 1]) for p in parts}) == 1 and len(parts[0]) > common + 1:
            common += 1
    return [".".join(part[common:]) for part in parts]


def _splits(key: str) -> Iterator[tuple[str, str]]:
    """Yield each prefix of a name with what is left: none of it, its first part, ..."""
    yield "", key
    for dot in re.finditer(r"\.", key):
        yield key[: dot.start()], key[dot.end() :]


def _join(*parts: str) -> str:
    return ".".join(filter(None, parts))


def _is_below(name: str, place: str) -> bool:
    return not place or name == place or name.startswith(f"{place}.")


def _meets(name: str, key: str) -> bool:
    return _is_below(name, key) or _is_below(key, name)


def _misfit(place: Place, wanted: Mapping[str, Tensor]) -> str:
    where = f" (looking at {place.name})" if place.name else ""
    reshaped = [
        f"{name} ({_shape(place.found[name])} in the file, {_shape(wanted[name])} in the network)"
        for name in place.reshaped
    ]
    kinds = {"missing": place.missing, "unexpected": place.unexpected, "of another shape": reshaped}
    told = "; ".join(f"{what}: {listing(names)}" for what, names in kinds.items() if names)
    return f"it does not fit the network{where}; {told}"


def _nothing_like_it(
    content: Any,
    states: list[tuple[str, Mapping[str, Tensor]]],
    wanted: Mapping[str, Tensor],
    key: str | None,
) -> str:
    values = list(content.values()) if isinstance(content, Mapping) else [content]
    for value in values:
        if isinstance(value, Unread) and value.is_module:
            return (
                f"it holds a whole network as an object ({value.stands_for}), which would run code "
                "to be read: where it was made, torch.save(network.state_dict(), 'w.pt') keeps "
                "the weights alone"
            )
    keys = list(map(str, content)) if isinstance(content, Mapping) else []
    if key is not None and not states:
        return f"it has nothing at --weights-key {key}; its keys are {listing(keys)}"
    if {"param_groups", "state"} <= set(keys) or ("optimizer" in keys and not _any_usual(keys)):
        return f"it holds the state of an optimizer, and no weights; its keys are {listing(keys)}"
    if not states:
        held = f"; its keys are {listing(keys)}" if keys else ""
        return f"it holds no state dict (a mapping from names to tensors){held}"
    name, largest = max(states, key=lambda item: len(item[1]))
    return (
        f"none of its names is the network's: it has {listing(list(largest))}"
        f"{f' at {name}' if name else ''}, the network {listing(list(wanted))}"
    )


def _any_usual(keys: list[str]) -> bool:
    return bool(set(keys) & set(_USUAL))


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "scalar"
