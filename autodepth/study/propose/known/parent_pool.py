"""Which parents there are, which are being trained, and whether the next policy takes a known one.

A parent is the costly part of a trial, and any number of policies can share one. So work that goes
into new parents is kept in proportion to work that goes into what is tried on them, and the fewer
of the new ones brought a member of the front, the less goes into further ones. Work is counted in
epochs of the whole network, not in seconds: the same study decides the same.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import Literal

from autodepth.policy.settings import SETTINGS
from autodepth.policy.values import Scalar

ParentState = Literal["new", "training", "ready", "given_up"]


def shapes_parent(name: str, point: Mapping[str, object]) -> bool:
    """Return whether a searched setting shapes the parent.

    Args:
        name: of the setting.
        point: settings it is searched with; where branches are scored while a parent is trained,
            by what they are scored shapes it.
    """
    if point.get("origin", "parent") != "parent":  # none is trained
        return name in {"origin", "base"}
    if name == "criterion":
        return point.get("decay_shape") == "sensitivity"
    return name in SETTINGS and "parent" in SETTINGS[name].shapes


class ParentPool:
    """The parents of one study, by content key.

    Args:
        seed: of the choice between known parents.
        balance: how much work may go into new parents per work on known ones, while every parent
            brings a member of the front.
    """

    def __init__(self, *, seed: int, balance: float = 0.5) -> None:
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._balance = balance
        self._ready: set[str] = set()
        self._points: dict[str, dict[str, Scalar]] = {}  # of those that the space can name
        self._training: dict[str, int] = {}  # the trial that trains it
        self._given_up: set[str] = set()
        self._merit: dict[str, float] = {}
        self._tried: dict[str, int] = {}
        self._accuracy: dict[str, float] = {}
        self._work = {"new": 0.0, "known": 0.0}

    def state(self, key: str) -> ParentState:
        """Return where a parent is in its life."""
        if key in self._ready:
            return "ready"
        if key in self._given_up:
            return "given_up"
        return "training" if key in self._training else "new"

    def started(self, key: str, trial: int) -> None:
        """A trial began that trains a new parent, or uses one that is there."""
        if key not in self._ready:
            self._training.setdefault(key, trial)

    def add_work(self, *, new: float, known: float) -> None:
        """Note how many epochs of the whole network a trial spends on its parent and after."""
        self._work["new"] += new
        self._work["known"] += known

    def ready(self, key: str, point: Mapping[str, Scalar] | None) -> None:
        """A parent is trained; `point` is that of a policy that has it, None outside the space."""
        self._training.pop(key, None)
        self._ready.add(key)
        if point is None:
            return
        self._points.setdefault(key, {n: v for n, v in point.items() if shapes_parent(n, point)})

    @property
    def any_known(self) -> bool:
        """Whether a parent is ready that the space can name."""
        return bool(self._points)

    @property
    def work(self) -> float:
        """Epochs of the whole network that trials were begun for, parents and the rest."""
        return math.fsum(self._work.values())

    def lost(self, trial: int, *, given_up: bool = False) -> None:
        """A trial ended; a parent it was training is not there, and with `given_up` never is."""
        for key in [key for key, owner in self._training.items() if owner == trial]:
            del self._training[key]
            if given_up:
                self._given_up.add(key)

    def trained(self, key: str, accuracy: float) -> None:
        """A parent has this validation accuracy, a fraction, so far in its training."""
        self._accuracy[key] = accuracy

    def accuracy(self, key: str) -> float | None:
        """Return a parent's validation accuracy, a fraction; None where it is not known."""
        return self._accuracy.get(key)

    def credit(self, key: str) -> None:
        """A policy on this parent reached the front."""
        self._merit[key] = self._merit.get(key, 0.0) + 1.0

    def tried(self, key: str) -> None:
        """A policy on this parent came to an end, good or not."""
        self._tried[key] = self._tried.get(key, 0) + 1

    def choose_known(self) -> dict[str, Scalar] | None:
        """Return the settings of a parent the next policy should take, or None for any.

        Parents whose policies reached the front more often are taken more often.
        """
        success = (1 + len(self._merit)) / (1 + len(self._ready))  # Laplace's rule of succession
        balance = self._balance * min(success, 1.0)
        if not self._points or self._work["new"] <= balance * self._work["known"]:
            return None
        return self.known()

    def known(self) -> dict[str, Scalar] | None:
        """Return the settings of one of the parents that are ready; None without any."""
        keys = list(self._points)
        if not keys:
            return None
        weights = [(1 + self._merit.get(key, 0.0)) / (1 + self._tried.get(key, 0)) for key in keys]
        return dict(self._points[self._random.choices(keys, weights)[0]])
