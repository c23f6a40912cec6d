"""Garbage is not looked for meanwhile, and afterwards as before."""

import gc

import pytest

from autodepth.garbage import no_collection


@pytest.fixture(params=[True, False])
def collecting(request):
    before = gc.isenabled()
    (gc.enable if request.param else gc.disable)()
    yield request.param
    (gc.enable if before else gc.disable)()


def test_collection_is_off_within_and_afterwards_as_before(collecting):
    with no_collection():
        assert not gc.isenabled()

    assert gc.isenabled() == collecting


def test_an_error_within_brings_collection_back(collecting):
    with pytest.raises(KeyError), no_collection():
        raise KeyError

    assert gc.isenabled() == collecting
