"""Classes are matched by their names: an order of folders says nothing about a network's scores."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from autodepth.errors import DataError

_NAMED = 5


def match_classes(
    found: Sequence[str], known: Sequence[str], renamed: Mapping[str, str], data: str
) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """Return for each class of the data which score of the network is for it, and what to tell.

    Args:
        found: names of the classes of the data, by label.
        known: names of the classes of the network, in the order of its scores.
        renamed: names that the data have for classes of the network, by the network's.
        data: name of the data, for messages.

    Raises:
        DataError: a class of the data is none of the network's, or a renaming is of a class that
            is not there, or two classes of the data come to one.
    """
    _check_renamed(found, known, renamed, data)
    names = {theirs: ours for ours, theirs in renamed.items()}
    taken = [names.get(name, name) for name in found]
    unknown = [name for name in taken if name not in known]
    if unknown:
        raise DataError(_unknown(unknown, [n for n in known if n not in taken], known, data))
    if twice := {name for name in taken if taken.count(name) > 1}:
        name = min(twice)
        raise DataError(
            f"every class must be told once, but {renamed[name]!r} and {name!r} of {data} would "
            f"both be {name!r}: give the other one its own --map"
        )
    missing = [name for name in known if name not in taken]
    notes = [f"{data} has no images of {_listed(missing)}: accuracy is of the others"]
    positions = {name: position for position, name in enumerate(known)}
    labels = np.array([positions[name] for name in taken], dtype=np.int64)
    return labels, tuple(notes if missing else ())


def _check_renamed(
    found: Sequence[str], known: Sequence[str], renamed: Mapping[str, str], data: str
) -> None:
    for ours, theirs in renamed.items():
        for name, names, whose in ((ours, known, "the network"), (theirs, found, data)):
            if name not in names:
                raise DataError(
                    "--map takes CLASS=NAME, a class of the network and its name in the data, but "
                    f"{whose} has no {name!r} (it has {_listed(names)})"
                )


def _unknown(unknown: Sequence[str], free: Sequence[str], known: Sequence[str], data: str) -> str:
    """Say which classes the network does not know, and what it may have meant by them."""
    meant = {name: near for name in unknown if (near := _nearest(name, free))}
    maps = " ".join(f"--map {near}={name}" for name, near in meant.items())
    way_out = (
        f"if {'these are' if len(meant) > 1 else 'that is'} the same, give {maps}"
        if meant
        else "where one is the same by another name, --map CLASS=NAME says so"
    )
    return (
        f"the classes of the data must be classes of the network ({_listed(known)}), but {data} "
        f"has {_listed(unknown)}; {way_out}"
    )


def _nearest(name: str, free: Sequence[str]) -> str | None:
    plain = {_plain(other): other for other in free}
    near = difflib.get_close_matches(_plain(name), list(plain), n=1, cutoff=0.6)
    return plain[near[0]] if near else None


def _plain(name: str) -> str:
    return "".join(character for character in name.casefold() if character.isalnum())


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:_NAMED])) + (
        f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    )
