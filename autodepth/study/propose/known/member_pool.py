"""The networks that were trained so far, for policies that go on from one of them."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from autodepth.front.dominance import pareto_front
from autodepth.policy.policy import Policy
from autodepth.policy.values import Scalar
from autodepth.study.propose.predict.cost_model import CarriedOut

# Each link of a chain is found again, or carried out again where it is not.
_LONGEST_CHAIN = 4


@dataclass(frozen=True, kw_only=True)
class Member:
    """A network on the front.

    Args:
        point: the settings that its policy was searched with.
        policy: that ended with it.
        end: what became of it.
    """

    point: Mapping[str, Scalar]
    policy: Policy
    end: CarriedOut


class MemberPool:
    """Networks of complete trials, by the trial's number.

    Args:
        seed: of the choice between members of the front.
    """

    def __init__(self, *, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._all: dict[int, Member] = {}
        self._front: list[Member] = []

    def add(self, point: Mapping[str, Scalar], policy: Policy, end: CarriedOut) -> None:
        """Take in the network of a complete trial."""
        member = Member(point=dict(point), policy=policy, end=end)
        self._all[end.trial] = member
        candidates = [*self._front, member]
        values = [(m.end.accuracy, m.end.macs) for m in candidates]
        self._front = [candidates[i] for i in pareto_front(values, ("maximize", "minimize"))]

    def policy(self, trial: int) -> Policy:
        """Return what a trial carried out.

        Raises:
            KeyError: no such trial is complete.
        """
        return self._all[trial].policy

    @property
    def front(self) -> list[Member]:
        """The members of the front of accuracy against MACs."""
        return list(self._front)

    @property
    def bases(self) -> list[Member]:
        """Members of the front that others may go on from: their chain is not too long yet."""
        return [m for m in self._front if len(m.policy.chain) < _LONGEST_CHAIN]

    def choose(self) -> int | None:
        """Return the trial of a member to go on from; None where there is none."""
        bases = self.bases
        return self._random.choice(bases).end.trial if bases else None
