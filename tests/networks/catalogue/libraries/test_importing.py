"""A library that is not installed is told with what installs it."""

import pytest

from autodepth.errors import NetworkError
from autodepth.networks.catalogue.libraries.importing import import_extra


def test_what_is_not_there_is_told_with_the_extra_that_brings_it():
    with pytest.raises(NetworkError, match=r"networks of Nobody need .* 'autodepth\[nobody\]'"):
        import_extra("no_such_library", "nobody", "Nobody")


def test_what_is_there_is_returned():
    assert import_extra("json", "json", "JSON").loads("1") == 1
