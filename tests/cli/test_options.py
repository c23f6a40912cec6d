"""Options that commands share are read alike."""

import pytest

from autodepth.cli.options import known_studies, read_concurrency
from autodepth.errors import InputError


@pytest.mark.parametrize(("text", "read"), [(None, None), ("auto", "auto"), ("4", 4)])
def test_a_concurrency_is_a_number_or_auto_or_not_given(text, read):
    assert read_concurrency(text) == read


@pytest.mark.parametrize("text", ["-1", "2.5", "Auto", "", "four"])
def test_any_other_concurrency_is_refused_as_it_was_written(text):
    with pytest.raises(InputError, match=f"a whole number or auto, but got {text!r}"):
        read_concurrency(text)


def test_a_shell_completes_studies_and_the_latest(make_recorded):
    for name in ("digits", "birds"):
        make_recorded(name, [(0.9, 10, 1.0)])

    assert known_studies("") == ["latest", "birds", "digits"]
    assert known_studies("d") == ["digits"]
    assert known_studies("x") == []
