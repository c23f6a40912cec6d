"""Places of a stage cache."""

import uuid

import pytest


@pytest.fixture(params=["folder", "file", "memory", "async"])
def where(request, tmp_path):
    """Return a folder, or URLs of an own folder, an object store, and one behind an event loop."""
    return {
        "folder": str(tmp_path / "cache"),
        "file": f"file://{tmp_path}/cache",
        "memory": f"memory://{uuid.uuid4().hex}/cache",
        "async": f"async_wrapper::file://{tmp_path}/cache",
    }[request.param]
