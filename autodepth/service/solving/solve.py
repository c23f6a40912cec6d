"""A study asked for a bound it was not made for: which network keeps it, and what that comes to.

What branches are worth was measured when the parents of the study were scored, and what they cost
is known, so an integer program answers (`policy/choosing/variants.py`). Nothing is trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from autodepth.errors import InputError, SelectionError, StudyError
from autodepth.front.selection import FrontPoint
from autodepth.front.violations import violations_of
from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.policy.choosing.variants import Bounds, Variant, choose_variants
from autodepth.policy.policy import Policy
from autodepth.policy.removal import floors
from autodepth.service.solving.branch_table import METRICS, branch_table
from autodepth.service.solving.evidence import Evidence
from autodepth.service.solving.expectation import Expectation
from autodepth.service.solving.template import Template
from autodepth.space.objectives import Constraint, parse_constraint
from autodepth.trial.device.latency import measure_table
from autodepth.trial.device.latency_table import tables_of

Asked = tuple[Constraint, ...]
"""Bounds that have to hold together."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A network that keeps what was asked for.

    Args:
        bounds: what was asked for.
        policy: comes to it: its branches and their widths by number, all else as of the template.
        costs: of the network, by metric; the latency is predicted.
        template: number of the trial that it is fine-tuned like, from the same parent.
        expected: accuracy that it will come to; of another task how good its leading metric is,
            from worst to best. None where too little is known.
        spread: standard deviation of that.
        measured: the best network on the front that keeps the bounds; None where none does.
    """

    bounds: Asked
    policy: Policy
    costs: Mapping[str, float]
    template: int
    expected: float | None
    spread: float | None
    measured: FrontPoint | None

    @property
    def asked(self) -> str:
        """The bounds in words."""
        return ", ".join(map(str, self.bounds))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values fit for JSON."""
        return {
            "bounds": [str(bound) for bound in self.bounds],
            "removed": list(self.policy.branches or ()),
            "widths": {str(branch): width for branch, width in self.policy.widths},
            **self.costs,
            "expected": self.expected,
            "spread": self.spread,
            "template": self.template,
            "measured": None if self.measured is None else self.measured.to_dict(),
            "policy": self.policy.to_dict(),
        }


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
        if bound.metric not in METRICS:
            raise InputError(
                f"a bound to solve for must be of {', '.join(METRICS)}, but got {part.strip()!r}"
            )
        bounds.append(bound)
    return tuple(bounds)


class Solver:
    """Answers bounds from what a study knows.

    Args:
        evidence: what it knows.
        own_code: whether its network may be built by code of a person's own.

    Raises:
        NetworkError: its network cannot be built.
    """

    def __init__(self, evidence: Evidence, *, own_code: bool = False) -> None:
        self._evidence = evidence
        plan = evidence.plan
        self._network = build_network(NetworkSpec.from_dict(plan["network"], own_code=own_code))
        judged = {w for t in evidence.templates for lost in t.narrower.values() for w in lost}
        self.widths = sorted(judged - {0.0, 1.0})
        """Shares of channels that branches may be left with; none where no trial judged any."""
        latencies = tables_of(plan).get("latency_ms")
        self._costs = branch_table(self._network, latencies, self.widths)
        self.unpruned: Mapping[str, float] = {**self._costs.without(()), **plan["unpruned"]}
        """What the whole network costs, by metric."""
        self.expectation = Expectation(evidence.known)
        """What accuracies are predicted by."""

    def answer(self, bounds: Asked) -> Answer:
        """Return the network that is expected to be the most accurate within some bounds.

        Raises:
            SelectionError: no network that the study could make keeps them.
            StudyError: one is on a latency that was not measured and cannot be here.
        """
        if any(bound.metric == "latency_ms" for bound in bounds):
            self._measure_latencies()
        solved: dict[str, dict[int, float] | None] = {}
        found = []
        for template in self._evidence.templates:
            if template.problem not in solved:
                solved[template.problem] = self._chosen(template, bounds)
            if (widths := solved[template.problem]) is not None:
                found.append(self._answer(template, widths, bounds))
        if not found:
            raise SelectionError(self._unkept(bounds))
        return max(found, key=lambda answer: answer.expected or 0.0)  # the first among equals

    def _answer(self, template: Template, widths: Mapping[int, float], bounds: Asked) -> Answer:
        costs = self._costs.of(widths)
        predicted = self.expectation.of(
            epochs=template.policy.fine_tune_epochs,
            share=costs["macs"] / self._network.total_macs,
            lost=template.lost(widths),
            parent=self._evidence.quality(template.result.parent_accuracy),
        )
        return Answer(
            bounds=bounds,
            policy=template.cut(widths),
            costs={n: cost if n == "latency_ms" else round(cost) for n, cost in costs.items()},
            template=template.number,
            expected=None if predicted is None else predicted.mean,
            spread=None if predicted is None else predicted.spread,
            measured=self._measured(bounds),
        )

    def _chosen(self, template: Template, bounds: Asked) -> dict[int, float] | None:
        """Return the width of each branch, 0 where it goes; None if the bounds cannot be kept."""
        variants = {
            branch: _variants(branch, by_width, template)
            for branch, by_width in self._costs.branches.items()
        }
        limits = self._limits(bounds)
        stages = {branch.index: branch.stage for branch in self._network.branches}
        staying = floors(stages, template.policy.least_per_stage)
        chosen = choose_variants(variants, replace(limits, staying=staying))
        if chosen is None:
            return None
        return {branch: variant.width for branch, variant in chosen.items()}

    def _limits(self, bounds: Asked) -> Bounds:
        """Return what branches may cost, what is around them apart."""
        most: dict[str, float] = {}
        least: dict[str, float] = {}
        for bound in bounds:
            name = bound.metric
            limit = bound.bound.of(self.unpruned[name]) - self._costs.around[name]
            if bound.relation == "<=":
                most[name] = min(limit, most.get(name, limit))
            else:
                least[name] = max(limit, least.get(name, limit))
        return Bounds(most=most, least=least)

    def _measured(self, bounds: Asked) -> FrontPoint | None:
        keeping = [
            member
            for member in self._evidence.front
            if max(violations_of(member.point, bounds, self.unpruned).values()) <= 0
        ]
        return max(keeping, key=lambda m: m.point.validation_accuracy, default=None)

    def _unkept(self, bounds: Asked) -> str:
        least = self._costs.without([b.index for b in self._network.branches if b.removable])
        bare = ", ".join(f"{b.metric} {least[b.metric]:,.4g}" for b in bounds)
        return (
            f"no network keeps {', '.join(map(str, bounds))}: without any branch that may go there "
            f"is {bare}, and of each stage as many stay as its policy says"
        )

    def _measure_latencies(self) -> None:
        """Measure what branches add to the latency, where the study did not need to know."""
        if "latency_ms" in self._costs.around:
            return
        plan = self._evidence.plan
        if plan["device"] == "gpu" and not torch.cuda.is_available():
            raise StudyError(
                "a latency can be solved for where it was measured or can be, but this study did "
                "not ask for latencies, and the GPU it ran on is not here"
            )
        device = torch.device("cuda" if plan["device"] == "gpu" else "cpu")
        table = measure_table(self._network, device, plan["threads"], self.widths)
        self._costs = branch_table(self._network, table, self.widths)
        self.unpruned = {**self.unpruned, "latency_ms": table.whole_ms}


def _variants(
    branch: int, by_width: Mapping[float, Mapping[str, float]], template: Template
) -> list[Variant]:
    """Return what may become of a branch: it stays, becomes narrower, or goes."""
    whole = by_width[1.0]
    variants = [Variant(width=1.0, lost=0.0, costs=whole)]
    if branch in template.policy.protected:
        return variants
    costs = {width: by_width.get(width) for width in template.narrower.get(branch, {})}
    if branch in template.worth:
        costs[0.0] = dict.fromkeys(whole, 0.0)
    variants += [
        Variant(width=width, lost=template.lost_with(branch, width), costs=cost)
        for width, cost in costs.items()
        if width < 1 and cost is not None
    ]
    return variants
