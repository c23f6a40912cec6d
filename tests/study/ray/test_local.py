"""The Ray that a search starts for itself."""

import pytest

from autodepth.errors import ClusterError
from autodepth.study.plan.resources import Resources
from autodepth.study.ray.local import start_local


def test_one_that_does_not_start_is_told_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / ("long" * 30)))  # no socket has such a path

    with pytest.raises(ClusterError, match=r"^a local Ray does not start: ") as told:
        start_local(Resources(device="cpu", count=1, cpus=1, gpus=0))

    assert "\n" not in str(told.value)
