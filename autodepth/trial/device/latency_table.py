"""What each branch adds to a network's latency, and so what a network will take. No torch here."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from statistics import correlation, median
from typing import Any

from autodepth.errors import check_known
from autodepth.space.objectives import LATENCY, Constraint

MARGIN = 0.1
"""The share by which a prediction must be over a bound to count as over it for certain."""
_FEWEST = 3  # trials before anything is said of their order


@dataclass(frozen=True, kw_only=True)
class LatencyTable:
    """Latency of one image (batch 1), by the parts of a network.

    Args:
        device: name of the CPU or GPU.
        threads: CPU threads.
        whole_ms: of the whole network, measured, milliseconds.
        around_ms: of what cannot be removed: stem, head, shortcuts.
        branches_ms: what each removable branch adds, by number.
        narrow_ms: the same with shares of its inner channels left, by share; where there are none,
            time is taken to shrink as channels do.
    """

    device: str
    threads: int
    whole_ms: float
    around_ms: float
    branches_ms: Mapping[int, float]
    narrow_ms: Mapping[float, Mapping[int, float]] = field(default_factory=dict)

    def predict(
        self,
        removed: Collection[int],
        filter_sparsity: float = 0.0,
        widths: Mapping[int, float] | None = None,
    ) -> float:
        """Return what a network will take without these branches, milliseconds.

        Args:
            removed: numbers of the branches that go.
            filter_sparsity: share of channels that goes from every branch left.
            widths: share that is left to some branches, by number, in its place.
        """
        left = dict.fromkeys(self.branches_ms, 1 - filter_sparsity) | dict(widths or {})
        kept = (n for n in self.branches_ms if n not in removed)
        return self.around_ms + sum(self._branch_ms(n, left[n]) for n in kept)

    def _branch_ms(self, number: int, width: float) -> float:
        """Return what a branch adds with a share of its channels left: between what was measured.

        Below the narrowest that was, the line goes on, but not below its share of that.
        """
        known = sorted((share, ms[number]) for share, ms in self.narrow_ms.items()) or [(0.0, 0.0)]
        known.append((1.0, self.branches_ms[number]))
        wider = bisect_left([share for share, _ in known], width, lo=1, hi=len(known) - 1)
        (share, ms), (next_share, next_ms) = known[wider - 1], known[wider]
        told = ms + (next_ms - ms) * (width - share) / (next_share - share)
        return max(told, ms * width / share) if width < share else told

    def breaks(self, bound: Constraint, predicted: float) -> float:
        """Return by what share a prediction breaks a bound on latency for certain; 0 if not."""
        kinder = 1 - MARGIN if bound.relation == "<=" else 1 + MARGIN
        return max(0.0, bound.excess(predicted * kinder, self.whole_ms))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values fit for JSON."""
        values = {**asdict(self), "branches_ms": _by_text(self.branches_ms)}
        narrow = {str(share): _by_text(ms) for share, ms in values.pop("narrow_ms").items()}
        return {**values, "narrow_ms": narrow} if narrow else values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LatencyTable:
        """Read what `to_dict` wrote.

        Raises:
            NewerStudyError: a newer autodepth wrote it.
        """
        check_known("a table of latencies", values, (item.name for item in fields(cls)))
        narrow = {float(share): _by_number(ms) for share, ms in values.get("narrow_ms", {}).items()}
        branches = _by_number(values["branches_ms"])
        return cls(**{**values, "branches_ms": branches, "narrow_ms": narrow})


def tables_of(plan: Mapping[str, Any]) -> dict[str, LatencyTable]:
    """Return the tables that a study's plan has, by metric."""
    told = {LATENCY: plan.get("latency_table"), **plan.get("latency_tables", {})}
    return {metric: LatencyTable.from_dict(table) for metric, table in told.items() if table}


def _by_text(values: Mapping[int, float]) -> dict[str, float]:
    return {str(number): value for number, value in values.items()}


def _by_number(values: Mapping[str, float]) -> dict[int, float]:
    return {int(number): value for number, value in values.items()}


@dataclass(frozen=True, kw_only=True)
class PredictionError:
    """How well latencies were predicted.

    Args:
        networks: how many were measured.
        median_error: median of |predicted - measured| / measured.
        rank_correlation: Spearman's; None for fewer than three networks, or equal ones.
    """

    networks: int
    median_error: float
    rank_correlation: float | None


def prediction_error(predicted: Sequence[float], measured: Sequence[float]) -> PredictionError:
    """Compare predictions with measurements, at least one, in the same order."""
    pairs = list(zip(predicted, measured, strict=True))
    tellable = len(pairs) >= _FEWEST and min(len(set(predicted)), len(set(measured))) > 1
    return PredictionError(
        networks=len(pairs),
        median_error=median(abs(p - m) / m for p, m in pairs),
        rank_correlation=correlation(_ranks(predicted), _ranks(measured)) if tellable else None,
    )


def _ranks(values: Sequence[float]) -> list[float]:
    """Return the rank of each value; equal ones share the middle of their ranks."""
    ordered = sorted(values)
    return [ordered.index(value) + (ordered.count(value) - 1) / 2 for value in values]


def covers(policy: Mapping[str, Any]) -> bool:
    """Whether a table can predict a policy's network.

    It knows networks of whole streams, cut out of a parent, in 32-bit floats.

    Args:
        policy: plain values, by the names of a policy file.
    """
    floats = policy.get("quantise", "none") == "none"
    return floats and policy.get("stream_width", 1.0) == 1 and "base" not in policy
