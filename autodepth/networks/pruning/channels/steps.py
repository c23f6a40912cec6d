"""What steps without a known kind do to channels, found by leaving some out before them.

A step lets channels pass if it gives the same whether they are left out before it or after it. If
it does not, it is tried once more with what else may have to follow: channels of its other inputs,
numbers in the call, or sizes read from the channels that have to stay what they were.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.func import functional_call

from autodepth.networks.pruning.channels.groups import ChannelGroup, Constant, Fixed, Padding
from autodepth.networks.pruning.channels.trial import (
    Lie,
    RandomValues,
    equal,
    kept,
    lie_of_channels,
)

_MOST = 16  # a number in a call may be so many times the channels


@dataclass(frozen=True)
class Place:
    """Where the channels of a group lie in a tensor."""

    group: ChannelGroup
    lie: Lie


@dataclass(frozen=True, kw_only=True)
class _Way:
    """One way to try a step.

    Args:
        groups: whose channels are left out; they are one group if it works.
        numbers: which numbers in the call follow, and how many times the channels they are.
        fixed: whether sizes read from the channels stay what they were.
    """

    groups: tuple[ChannelGroup, ...]
    numbers: tuple[tuple[tuple[Any, ...], int], ...] = ()
    fixed: bool = False


class Steps:
    """Follows channels through steps, and knows where they are.

    Args:
        flow: runs the graph.
        random: what steps are tried on.
    """

    def __init__(self, flow: fx.Interpreter, random: RandomValues) -> None:
        self._flow = flow
        self._random = random
        self.places: dict[fx.Node, list[Place]] = {}
        self.of_parts: dict[fx.Node, list[list[Place]]] = {}
        """Where channels are in each of several values that a node gives."""
        self.lost: dict[fx.Node, str] = {}
        """Why it is not known where channels are in a value that is made from some."""
        self._numbers: dict[fx.Node, dict[ChannelGroup, Any]] = {}

    def groups_at(self, nodes: Iterable[fx.Node]) -> list[ChannelGroup]:
        """Return the groups whose channels or sizes nodes have."""
        found: dict[ChannelGroup, None] = {}
        for node in nodes:
            for place in (*self.places.get(node, []), *chain(*self.of_parts.get(node, []))):
                found[place.group.resolved()] = None
            found |= {group.resolved(): None for group in self._numbers.get(node, {})}
        return list(found)

    def take(self, n: fx.Node, narrow: nn.Module | None = None) -> None:
        """Find where channels come out of a step.

        Args:
            n: the step.
            narrow: the layer that it is, where it has an entry per channel.
        """
        source = n.args[0] if n.args else None
        if n.target is operator.getitem and isinstance(source, fx.Node) and source in self.of_parts:
            parts, item = self.of_parts[source], n.args[1]
            self.places[n] = parts[item] if isinstance(item, int) else []
            return
        groups = self.groups_at(n.all_input_nodes)
        if n.target is F.pad and self._pad(n, groups):
            return
        inputs = [node for node in n.all_input_nodes if isinstance(self._value(node), Tensor)]
        given = {
            node: self._random.like(self._value(node)) for node in inputs if self.places.get(node)
        }
        try:
            full = self._run(n, given, None, None)
        except Exception:  # noqa: BLE001 - a step may raise whatever it likes
            for group in groups:
                self.refuse(n, group)
            return
        for group in groups:
            if group.resolved() is group and not any(
                self._works(n, given, full, way, narrow) for way in self._ways(n, group, groups)
            ):
                self.refuse(n, group)

    def follow(self, n: fx.Node, path: tuple[Any, ...], group: ChannelGroup) -> None:
        """Note that a number in a call is that of the channels."""
        group.resolved().constants.append(Constant(node=n.name, path=path))

    def refuse(self, n: fx.Node, group: ChannelGroup) -> None:
        """Let channels stay because of a step."""
        name = n.target if isinstance(n.target, str) else getattr(n.target, "__name__", n.target)
        if n.op == "call_module":
            name = type(self._flow.module.get_submodule(str(n.target))).__name__
        before = [self.lost[i] for i in n.all_input_nodes if i in self.lost]
        self.lost[n] = next(iter(before), f"{name} mixes channels or cuts them up")
        group.resolved().stay(self.lost[n])

    def _value(self, node: fx.Node) -> Any:
        return self._flow.env[node]

    def _ways(self, n: fx.Node, group: ChannelGroup, groups: list[ChannelGroup]) -> Iterator[_Way]:
        alike = tuple(g for g in groups if g.size == group.size and g.resolved() is g)
        sets = [(group,)] + [alike] * (len(alike) > 1)
        sizes = any(group in map(_resolved, self._numbers.get(i, {})) for i in n.all_input_nodes)
        numbers = [(path, v) for path, v in _numbers_in(n) if v and v % group.size == 0]
        numbers = [(path, v // group.size) for path, v in numbers if v <= _MOST * group.size]
        once = [(path, factor) for path, factor in numbers if factor == 1]
        choices = [(), *{tuple(numbers): None, tuple(once): None}, *((one,) for one in numbers)]
        choices = list(dict.fromkeys(choices))
        for chosen in choices:
            for together in sets:
                yield _Way(groups=together, numbers=chosen)
        if sizes:
            for together in sets:
                yield _Way(groups=together, fixed=True)

    def _works(
        self,
        n: fx.Node,
        given: dict[fx.Node, Tensor],
        full: Any,
        way: _Way,
        narrow: nn.Module | None,
    ) -> bool:
        try:
            fewer = self._run(n, given, way, narrow)
        except Exception:  # noqa: BLE001 - it may not take fewer channels
            return False
        group = way.groups[0]
        if not equal(full, fewer):
            if isinstance(full, Tensor):
                before = chain.from_iterable(self.places[node] for node in given)
                like = next((p.lie for p in before if _resolved(p.group) is group), None)
                lie = lie_of_channels(full, fewer, group.size, like)
                if lie is None:
                    return False
                self.places.setdefault(n, []).append(Place(group, lie))
            elif _holds_tensors(full):
                if not self._take_parts(n, full, fewer, group):
                    return False
            else:
                self._numbers.setdefault(n, {})[group] = fewer
        for other in way.groups[1:]:
            group.join(other)
        for path, factor in way.numbers:
            group.constants.append(Constant(node=n.name, path=path, factor=factor))
        if way.fixed:
            group.fixed += [
                Fixed(node=n.name, number=node.name, value=self._value(node))
                for node in n.all_input_nodes
                if group in map(_resolved, self._numbers.get(node, {}))
            ]
        return True

    def _take_parts(self, n: fx.Node, full: Any, fewer: Any, group: ChannelGroup) -> bool:
        if not _holds_tensors(fewer) or len(full) != len(fewer):
            return False
        found: list[list[Place]] = []
        for all_of, fewer_of in zip(full, fewer, strict=True):
            same = equal(all_of, fewer_of)
            lie = None if same else lie_of_channels(all_of, fewer_of, group.size)
            if lie is None and not same:
                return False
            found.append([Place(group, lie)] if lie else [])
        parts = self.of_parts.setdefault(n, [[] for _ in full])
        for part, places in zip(parts, found, strict=True):
            part.extend(places)
        return True

    def _run(
        self, n: fx.Node, given: dict[fx.Node, Tensor], way: _Way | None, narrow: nn.Module | None
    ) -> Any:
        """Return what a step makes of random values, all of them or those that a way leaves."""
        left_out = () if way is None else way.groups

        def value(node: fx.Node) -> Any:
            tensor = given.get(node, self._value(node))
            for place in self.places.get(node, []):
                if (group := _resolved(place.group)) in left_out:
                    tensor = place.lie.taken(tensor, group.size)
            for group, fewer in self._numbers.get(node, {}).items():
                if _resolved(group) in left_out and way is not None and not way.fixed:
                    return fewer
            return tensor.clone() if isinstance(tensor, Tensor) else tensor

        args, kwargs = n.args, n.kwargs
        if way is not None and way.numbers:
            size = len(kept(way.groups[0].size))
            changes = {path: size * factor for path, factor in way.numbers}
            args, kwargs = with_numbers(n, changes)
        given_args, given_kwargs = fx.node.map_arg((args, kwargs), value)
        if narrow is None or way is None:
            return getattr(self._flow, n.op)(n.target, given_args, given_kwargs)
        places = kept(way.groups[0].size)
        entries = {
            name: tensor.index_select(0, places) if tensor.ndim else tensor
            for name, tensor in narrow.state_dict().items()
        }
        return functional_call(narrow, entries, given_args, given_kwargs)

    def _pad(self, n: fx.Node, groups: list[ChannelGroup]) -> bool:
        """Let channels padded with channels of zeros be a part of more channels."""
        names = ("input", "pad", "mode", "value")
        call = dict(zip(names, n.args, strict=False)) | dict(n.kwargs)
        places = self.places.get(n.all_input_nodes[0], [])
        pads: Any = call["pad"]
        if len(places) != 1 or len(groups) != 1 or call.get("mode", "constant") != "constant":
            return False
        (place,) = places
        at = 2 * (self._value(n.all_input_nodes[0]).ndim - 1 - place.lie.axis)
        numbers = isinstance(pads, tuple | list) and all(isinstance(p, int) for p in pads)
        if not numbers or not any(pads[at : at + 2]) or call.get("value") not in {None, 0}:
            return False
        if min(pads) < 0 or (place.lie.repeats, place.lie.each) != (1, 1):
            return False
        (group,) = groups
        before, after = pads[at : at + 2]
        path = ("args", 1, at) if len(n.args) > 1 else ("kwargs", "pad", at)
        more = ChannelGroup(branch=group.branch, size=group.size + before + after, leaves=True)
        more.paddings.append(
            Padding(node=n.name, path=path, inside=group, before=before, after=after)
        )
        group.leaves = True
        self.places[n] = [Place(more, place.lie)]
        return True


def with_numbers(
    n: fx.Node, changes: dict[tuple[Any, ...], int]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of a call with other numbers at some places."""

    def changed(value: Any, path: tuple[Any, ...]) -> Any:
        if path in changes:
            return changes[path]
        if isinstance(value, dict):
            return {key: changed(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, tuple | list):
            items = [changed(item, (*path, place)) for place, item in enumerate(value)]
            return tuple(items) if isinstance(value, tuple) else items
        return value

    return changed(n.args, ("args",)), changed(n.kwargs, ("kwargs",))


def _numbers_in(n: fx.Node) -> list[tuple[tuple[Any, ...], int]]:
    """Return the whole numbers in a call, and where they are."""

    def found(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], int]]:
        if type(value) is int:
            yield path, value
        elif isinstance(value, dict):
            for key, item in value.items():
                yield from found(item, (*path, key))
        elif isinstance(value, tuple | list):
            for place, item in enumerate(value):
                yield from found(item, (*path, place))

    return [*found(n.args, ("args",)), *found(n.kwargs, ("kwargs",))]


def _holds_tensors(value: Any) -> bool:
    return isinstance(value, tuple | list) and any(isinstance(item, Tensor) for item in value)


def _resolved(group: ChannelGroup) -> ChannelGroup:
    return group.resolved()
