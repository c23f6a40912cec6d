"""Errors are of the kinds that the command line ends with, and hints name what is near."""

import inspect
import re

import pytest

from autodepth import errors
from autodepth.errors import (
    AutodepthError,
    InputError,
    NewerStudyError,
    SpaceFileError,
    check_known,
    did_you_mean,
)


@pytest.mark.parametrize(
    ("word", "hint"),
    [("mac", ", did you mean 'macs'?"), ("latency", ", did you mean 'latency_ms'?"), ("x", "")],
)
def test_the_nearest_known_word_is_named_and_nothing_where_none_is_near(word, hint):
    assert did_you_mean(word, ["macs", "parameters", "latency_ms"]) == hint


def test_names_that_only_a_newer_autodepth_can_have_written_are_all_told():
    check_known("a trial", ["macs"], ["macs", "state"])
    with pytest.raises(NewerStudyError, match=r"a trial must .* it has 'joules', 'watts': a newer"):
        check_known("a trial", ["watts", "macs", "joules"], ["macs"])


def test_a_space_file_error_holds_every_mistake():
    error = SpaceFileError(iter(["a:1:1: p: wrong", "a:2:1: q: wrong"]))

    assert error.mistakes == ("a:1:1: p: wrong", "a:2:1: q: wrong")
    assert str(error) == "a:1:1: p: wrong\na:2:1: q: wrong"


def test_what_a_person_wrote_is_a_value_error_too():
    assert issubclass(InputError, ValueError)


def test_the_tree_at_the_top_is_that_of_the_classes():
    drawn, above = {}, {}
    for indent, name in re.findall(r"^([│├└─ ]*)(\w+Error)\b", errors.__doc__, re.MULTILINE):
        depth = len(indent) // 4
        drawn[name], above[depth] = above.get(depth - 1), name
    kinds = dict(inspect.getmembers(errors, inspect.isclass))
    made = {
        name: None if kind is AutodepthError else kind.__bases__[0].__name__
        for name, kind in kinds.items()
        if issubclass(kind, AutodepthError)
    }

    assert drawn == made
