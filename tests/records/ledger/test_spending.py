"""Device time by what it went to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodepth.records.ledger.spending import useful_share


@given(st.dictionaries(
    st.sampled_from(["parent", "prune", "confirm", "failed", "overhead"]), st.floats(0, 1e6)
))  # fmt: skip
def test_the_useful_share_is_what_is_neither_failed_nor_overhead(
    spending: dict[str, float],
) -> None:
    useful = sum(s for stage, s in spending.items() if stage not in {"failed", "overhead"})
    total = sum(spending.values())
    found = useful_share(spending)
    assert found is None if total == 0 else found == pytest.approx(useful / total, abs=1e-9)
