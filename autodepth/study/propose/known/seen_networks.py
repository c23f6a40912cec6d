"""The networks that policies end with, and what is known of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

Known = TypeVar("Known")


@dataclass(frozen=True, kw_only=True)
class FinalNetwork:
    """Where a policy ends.

    Args:
        network: content key of the pruned network, parent included.
        epochs: of fine-tuning it.
    """

    network: str
    epochs: int


class SeenNetworks(Generic[Known]):
    """What is known, by end."""

    def __init__(self) -> None:
        self._known: dict[str, dict[int, Known]] = {}

    def add(self, end: FinalNetwork, known: Known) -> None:
        """Note what is known of an end."""
        self._known.setdefault(end.network, {})[end.epochs] = known

    def get(self, end: FinalNetwork) -> Known | None:
        """Return what is known of this very end."""
        return self._known.get(end.network, {}).get(end.epochs)

    def pop(self, end: FinalNetwork) -> Known | None:
        """Forget an end; return what was known of it."""
        return self._known.get(end.network, {}).pop(end.epochs, None)

    def reached(self, end: FinalNetwork) -> bool:
        """Return whether the same network is known after as many epochs, or more.

        Costs are equal then, and less fine-tuning is not expected to do better.
        """
        return max(self._known.get(end.network, ()), default=-1) >= end.epochs
