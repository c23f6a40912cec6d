"""What a measured network says of the table of branches that predicted it. Plain numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from autodepth.service.solving.branch_table import BranchTable


@dataclass(frozen=True, kw_only=True)
class Correction:
    """How one latency differs from what the table says.

    Branches that go are predicted well, narrower ones are not: a layer takes time however few
    channels it has. So what is wrong is laid to narrower branches first, and to all the rest then.

    Args:
        saved: share of what narrower branches save by the table that they do save.
        longer: how many times as long as by this networks take.
    """

    saved: float = 1.0
    longer: float = 1.0

    def of(self, table: BranchTable, metric: str) -> BranchTable:
        """Return a table corrected in one metric."""
        around = {**table.around, metric: table.around[metric] * self.longer}
        branches = {
            branch: {
                width: {**costs, metric: self._corrected(by_width[1.0][metric], costs[metric])}
                for width, costs in by_width.items()
            }
            for branch, by_width in table.branches.items()
        }
        return replace(table, around=around, branches=branches)

    def after(
        self, table: BranchTable, metric: str, widths: Mapping[int, float], measured: float
    ) -> Correction:
        """Return a correction by which the network takes as long as measured, or longer.

        What was too long by this one stays too long, so no network is tried twice.

        Args:
            table: as it was measured.
            metric: the latency.
            widths: of the network's branches; 0 is without it.
            measured: what the network takes, milliseconds, more than by this correction.
        """
        predicted = table.of(widths)[metric]
        narrow = {branch: width for branch, width in widths.items() if 0 < width < 1}
        saving = table.of(dict.fromkeys(narrow, 1.0))[metric] - table.of(narrow)[metric]
        saved = self.saved
        if saving > 0:
            saved = min(saved, max(0.0, 1 - (measured - predicted) / saving))
        longer = measured / (predicted + (1 - saved) * saving)
        return Correction(saved=saved, longer=max(self.longer, longer))

    def _corrected(self, whole: float, own: float) -> float:
        return self.longer * (whole - self.saved * (whole - own))
