"""A bundle's study and data are found on this machine, or have to be named."""

import pytest

from autodepth.errors import DataError
from autodepth.export.testing.evaluation import evaluate_bundle
from autodepth.records.studies import HOME_VARIABLE


def test_data_of_ones_own_is_found_through_the_study_or_has_to_be_named(
    data, bundle, home, tmp_path, monkeypatch
):
    to, _ = bundle
    found = evaluate_bundle(to)
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "elsewhere"))

    with pytest.raises(DataError, match=r"npz:numerals\.npz .* not here: give --data npz:PATH"):
        evaluate_bundle(to)
    named = evaluate_bundle(to, data)
    assert (named.data, named.test_accuracy) == ("npz:numerals.npz", found.test_accuracy)
    assert named.openings_before == 1
