"""A study asked for a bound it was not made for: which network keeps it, and what that comes to.

What branches are worth was measured when the parents of the study were scored, and what they cost
is known, so an integer program answers (`policy/choosing/variants.py`). Nothing is trained; where
a bound is on a latency, the network is built and measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from autodepth.errors import MeasurementError, SelectionError
from autodepth.front.selection import FrontPoint
from autodepth.front.violations import violations_of
from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.pruning.width import prune_width
from autodepth.policy.choosing.variants import Bounds, Variant, choose_variants
from autodepth.policy.removal import floors
from autodepth.service.solving.answer import Answer, Asked, is_latency
from autodepth.service.solving.branch_table import BranchTable, branch_table
from autodepth.service.solving.correction import Correction
from autodepth.service.solving.evidence import Evidence
from autodepth.service.solving.expectation import Expectation
from autodepth.service.solving.stopwatch import Stopwatch
from autodepth.service.solving.template import Template

_MOST_TRIES = 6  # networks that are built and measured for one answer


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
        self._stopwatch = Stopwatch(plan, self._network, own_code=own_code)
        self._costs = branch_table(self._network, self._stopwatch.tables, self.widths)
        self.unpruned: Mapping[str, float] = {**self._costs.without(()), **plan["unpruned"]}
        """What the whole network costs, by metric."""
        self.expectation = Expectation(evidence.known)
        """What accuracies are predicted by."""

    def answer(self, bounds: Asked, *, measure: bool = True) -> Answer:
        """Return the network that is expected to be the most accurate within some bounds.

        Times of branches do not quite add up. So where a bound is on a latency whose device is
        here the network is built and measured, and where it breaks the bound another one is looked
        for by a table that this corrected.

        Args:
            bounds: what has to hold together.
            measure: whether to do so; else latencies are predicted only.

        Returns:
            The first network that keeps the bounds as it was measured; of a few tries that did not
            the one that breaks them least.

        Raises:
            SelectionError: no network that the study could make keeps them, as predicted.
            StudyError: one is on a latency that was not measured and cannot be here.
        """
        latencies = list(dict.fromkeys(b.metric for b in bounds if is_latency(b.metric)))
        self._know(latencies)
        if not measure or not latencies:
            return self._best(bounds, self._costs)
        corrections = dict.fromkeys(latencies, Correction())
        tried: list[Answer] = []
        while len(tried) < _MOST_TRIES:
            try:
                answer = self._measured(self._best(bounds, self._by(corrections)), latencies)
            except SelectionError:
                if not tried:
                    raise
                break
            tried.append(answer)
            if not answer.times or not answer.over(self.unpruned):
                break
            widths, before = answer.widths(self._costs.branches), dict(corrections)
            for name, ms in answer.times.items():
                corrections[name] = before[name].after(self._costs, name, widths, ms)
            if corrections == before:
                break
        best = min(tried, key=lambda answer: answer.over(self.unpruned))
        return replace(best, tries=len(tried) if best.times else 0)

    def _by(self, corrections: Mapping[str, Correction]) -> BranchTable:
        """Return the table as corrected, by metric."""
        table = self._costs
        for name, correction in corrections.items():
            table = correction.of(table, name)
        return table

    def _best(self, bounds: Asked, table: BranchTable) -> Answer:
        """Return the best answer if branches cost what a table says.

        Raises:
            SelectionError: there is none.
        """
        solved: dict[str, dict[int, float] | None] = {}
        found = []
        for template in self._evidence.templates:
            if template.problem not in solved:
                solved[template.problem] = self._chosen(template, bounds, table)
            if (widths := solved[template.problem]) is not None:
                found.append(self._answer(template, widths, bounds))
        if not found:
            raise SelectionError(self._unkept(bounds))
        return max(found, key=lambda answer: answer.expected or 0.0)  # the first among equals

    def _measured(self, answer: Answer, latencies: Sequence[str]) -> Answer:
        """Return an answer with its network's latencies measured, where they can be."""
        network = self._network.without(answer.policy.branches or ())
        gone = answer.policy.channels_gone(branch.index for branch in network.branches)
        network = prune_width(network, gone)
        network.module.eval()
        times, unknown = {}, {}
        for metric in latencies:
            try:
                times[metric] = self._stopwatch.latency_ms(metric, network)
            except MeasurementError as error:
                unknown[metric] = str(error)
        return replace(answer, times=times, predicted_only=unknown)

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
            costs={n: cost if is_latency(n) else round(cost) for n, cost in costs.items()},
            template=template.number,
            expected=None if predicted is None else predicted.mean,
            spread=None if predicted is None else predicted.spread,
            measured=self._on_front(bounds),
        )

    def _chosen(
        self, template: Template, bounds: Asked, table: BranchTable
    ) -> dict[int, float] | None:
        """Return the width of each branch, 0 where it goes; None if the bounds cannot be kept."""
        variants = {
            branch: _variants(branch, by_width, template)
            for branch, by_width in table.branches.items()
        }
        stages = {branch.index: branch.stage for branch in self._network.branches}
        staying = floors(stages, template.policy.least_per_stage)
        limits = self._limits(bounds, table.around)
        chosen = choose_variants(variants, replace(limits, staying=staying))
        if chosen is None:
            return None
        return {branch: variant.width for branch, variant in chosen.items()}

    def _limits(self, bounds: Asked, around: Mapping[str, float]) -> Bounds:
        """Return what branches may cost, what is around them apart."""
        most: dict[str, float] = {}
        least: dict[str, float] = {}
        for bound in bounds:
            name = bound.metric
            limit = bound.bound.of(self.unpruned[name]) - around[name]
            if bound.relation == "<=":
                most[name] = min(limit, most.get(name, limit))
            else:
                least[name] = max(limit, least.get(name, limit))
        return Bounds(most=most, least=least)

    def _on_front(self, bounds: Asked) -> FrontPoint | None:
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

    def _know(self, latencies: Sequence[str]) -> None:
        """Measure what branches add to latencies, where the study did not need to know."""
        for metric in latencies:
            if metric not in self._costs.around:
                self._stopwatch.know(metric, self.widths)
                tables = self._stopwatch.tables
                self._costs = branch_table(self._network, tables, self.widths)
                self.unpruned = {**self.unpruned, metric: tables[metric].whole_ms}


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
