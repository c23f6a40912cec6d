"""The test split is opened once, and every opening is recorded."""

from autodepth import load
from autodepth.export.bundles.seal import read_sealed
from autodepth.export.testing.evaluation import evaluate_bundle


def test_the_test_split_is_opened_once_and_every_opening_is_recorded(bundle, home):
    to, point = bundle
    first, second = evaluate_bundle(to), evaluate_bundle(to)
    openings = read_sealed(to / "test_openings.json")["openings"]

    assert (first.openings_before, second.openings_before) == (0, 1)
    assert [opening["openings_before"] for opening in openings] == [0, 1]
    assert first.images == 359
    assert first.macs == point.point.macs
    assert first.test_accuracy == second.test_accuracy > 0.2
    load(to)  # openings carry a checksum of their own, so recording one breaks nothing
