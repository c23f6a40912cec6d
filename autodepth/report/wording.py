"""Formats numbers of trials as text, alike on a terminal and on a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autodepth.front.verdict import Comparison, Spread
from autodepth.policy.policy import widths_in


def shown_spread(spread: Spread, unit: str = "%") -> str:
    """Return mean and standard deviation, and how many seeds: `97.1±0.4 (3)`, in percent.

    Args:
        spread: of the leading metric.
        unit: of that metric; any but `%` is told in its own numbers.
    """
    if unit != "%":
        sd = "" if spread.sd is None else f"±{spread.sd:.2g}"
        return f"{spread.mean:.4g}{sd} ({spread.n})"
    sd = "" if spread.sd is None else f"±{100 * spread.sd:.1f}"
    return f"{100 * spread.mean:.1f}{sd} ({spread.n})"


def shown_difference(comparison: Comparison, unit: str = "%") -> tuple[str, str, str]:
    """Return the difference in percentage points, its p-value, and the verdict.

    Args:
        comparison: of the leading metric; above 0 where the member is better.
        unit: of that metric; any but `%` is told in its own numbers.
    """
    if comparison.difference is None:
        return "-", "-", comparison.verdict
    p = comparison.p_value
    tested = "-" if p is None else "<0.01" if p < 0.01 else f"{p:.2f}"
    if unit != "%":
        sd = "" if comparison.sd is None else f"±{comparison.sd:.2g}"
        return f"{comparison.difference + 0.0:+.3g}{sd}", tested, comparison.verdict
    sd = "" if comparison.sd is None else f"±{100 * comparison.sd:.1f}"
    points = round(100 * comparison.difference, 1) + 0.0  # never -0.0
    return f"{points:+.1f}{sd}", tested, comparison.verdict


def shown_filters(policy: Mapping[str, Any], sign: str = "") -> str:
    """Return what share of inner channels is gone from branches, or how many have their own.

    Args:
        policy: plain values, by the names of a policy file.
        sign: stands before a share.
    """
    if own := widths_in(policy):
        return f"{sum(width < 1 for width in own.values())} narrower"
    return f"{sign}{float(policy.get('filter_sparsity', 0.0)):.0%}"


def shorten(numbers: Sequence[int]) -> str:
    """Print branch numbers with runs joined: `1-3 5`; a dash for none."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return " ".join(f"{r[0]}-{r[-1]}" if len(r) > 1 else str(r[0]) for r in runs) or "-"
