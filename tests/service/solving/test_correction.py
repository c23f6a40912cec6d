"""A correction makes a table say what was measured, of narrower branches first."""

import pytest

from autodepth.service.solving.branch_table import BranchTable
from autodepth.service.solving.correction import Correction

MS = "latency_ms"
TABLE = BranchTable(
    around={MS: 1.0, "macs": 5.0},
    branches={n: {w: {MS: 2.0 * w, "macs": 10.0 * w} for w in (1.0, 0.5, 0.25)} for n in (1, 2, 3)},
)
WIDTHS = {1: 0.0, 2: 0.5, 3: 0.25}  # 2.5 ms, of which narrower branches save the same


def test_what_narrower_branches_save_is_scaled_to_what_was_measured():
    correction = Correction().after(TABLE, MS, WIDTHS, 4.0)
    corrected = correction.of(TABLE, MS)

    assert correction == Correction(saved=pytest.approx(0.4), longer=pytest.approx(1.0))
    assert corrected.of(WIDTHS)[MS] == pytest.approx(4.0)
    assert corrected.of(WIDTHS)["macs"] == TABLE.of(WIDTHS)["macs"]
    assert corrected.without([1, 2])[MS] == pytest.approx(TABLE.without([1, 2])[MS])


@pytest.mark.parametrize(
    ("widths", "measured"), [({1: 0.0, 2: 1.0, 3: 1.0}, 5.5), (WIDTHS, 6.0), (WIDTHS, 50.0)]
)
def test_what_they_do_not_explain_is_laid_to_all(widths, measured):
    correction = Correction().after(TABLE, MS, widths, measured)

    assert correction.longer == pytest.approx(measured / 5.0)
    assert correction.of(TABLE, MS).of(widths)[MS] == pytest.approx(measured)


def test_what_was_too_long_stays_so():
    first = Correction().after(TABLE, MS, WIDTHS, 4.5)
    other = {1: 1.0, 2: 0.5, 3: 0.0}
    second = first.after(TABLE, MS, other, 4.3)

    assert second.of(TABLE, MS).of(WIDTHS)[MS] >= 4.5
    assert second.of(TABLE, MS).of(other)[MS] >= 4.3
    assert second.saved <= first.saved


def test_what_was_faster_corrects_nothing():
    assert Correction().after(TABLE, MS, WIDTHS, 2.0) == Correction()
