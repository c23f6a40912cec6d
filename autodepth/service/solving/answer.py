"""Bounds that a person asks for, and the network that answers them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from autodepth.errors import InputError
from autodepth.front.selection import FrontPoint
from autodepth.policy.policy import Policy
from autodepth.space.objectives import LATENCY, Constraint, parse_constraint, place_of

Asked = tuple[Constraint, ...]
"""Bounds that have to hold together."""
_ROUNDING = 1e-9  # of a bound
_METRICS = ("macs", "parameters", "size_bytes", LATENCY)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A network that keeps what was asked for.

    Args:
        bounds: what was asked for.
        policy: comes to it: its branches and their widths by number, all else as of the template.
        costs: of the network, by metric; latencies as the table of branches predicts them.
        template: number of the trial that it is fine-tuned like, from the same parent.
        expected: accuracy that it will come to; of another task how good its leading metric is,
            from worst to best. None where too little is known.
        spread: standard deviation of that.
        measured: the best network on the front that keeps the bounds; None where none does.
        times: latencies by metric as the network was built and measured, milliseconds.
        predicted_only: why others that bounds are on were not.
        tries: how many networks were built and measured, this one among them.
    """

    bounds: Asked
    policy: Policy
    costs: Mapping[str, float]
    template: int
    expected: float | None
    spread: float | None
    measured: FrontPoint | None
    times: Mapping[str, float] = field(default_factory=dict)
    predicted_only: Mapping[str, str] = field(default_factory=dict)
    tries: int = 0

    @property
    def asked(self) -> str:
        """The bounds in words."""
        return ", ".join(map(str, self.bounds))

    def widths(self, branches: Iterable[int]) -> dict[int, float]:
        """Return the share of inner channels that is left to each branch, 0 without it."""
        whole = dict.fromkeys(branches, 1.0)
        return whole | dict(self.policy.widths) | dict.fromkeys(self.policy.branches or (), 0.0)

    def over(self, unpruned: Mapping[str, float]) -> float:
        """Return by what share of a bound the worst one is broken, by what was measured; or 0.

        Args:
            unpruned: what the whole network costs, by metric.
        """
        costs = {**self.costs, **self.times}
        worst = max(b.excess(costs[b.metric], unpruned[b.metric]) for b in self.bounds)
        return worst if worst > _ROUNDING else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values fit for JSON."""
        return {
            "bounds": [str(bound) for bound in self.bounds],
            "removed": list(self.policy.branches or ()),
            "widths": {str(branch): width for branch, width in self.policy.widths},
            **self.costs,
            "times": dict(self.times),
            "predicted_only": dict(self.predicted_only),
            "tries": self.tries,
            "expected": self.expected,
            "spread": self.spread,
            "template": self.template,
            "measured": None if self.measured is None else self.measured.to_dict(),
            "policy": self.policy.to_dict(),
        }


def is_latency(metric: str) -> bool:
    """Whether a metric is the latency on the trial's device or at a place."""
    return metric == LATENCY or place_of(metric) is not None


def read_bounds(text: str) -> Asked:
    """Read bounds: `macs<=60M`, or several that hold together, joined by commas.

    Raises:
        InputError: one cannot be read, or is of what no network is chosen by.
    """
    bounds = []
    for part in text.split(","):
        try:
            bound = parse_constraint(part)
        except InputError as error:
            raise InputError(f"a bound {error}") from error
        if bound.metric not in _METRICS and not is_latency(bound.metric):
            raise InputError(
                f"a bound to solve for must be of {', '.join(_METRICS)} or {LATENCY}@PLACE, but "
                f"got {part.strip()!r}"
            )
        bounds.append(bound)
    return tuple(bounds)
