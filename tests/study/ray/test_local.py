"""The Ray that a search starts for itself."""

import os

import pytest

from autodepth.errors import ClusterError
from autodepth.study.plan.resources import Resources
from autodepth.study.ray.local import ray, start_local


def test_trials_are_as_nice_as_the_command(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    start_local(Resources(device="cpu", count=1, cpus=1, gpus=0))
    try:
        assert ray.get(ray.remote(lambda: os.nice(0)).remote()) == os.nice(0)
    finally:
        ray.shutdown()


def test_one_that_does_not_start_is_told_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / ("long" * 30)))  # no socket has such a path

    with pytest.raises(ClusterError, match=r"^a local Ray does not start: ") as told:
        start_local(Resources(device="cpu", count=1, cpus=1, gpus=0))

    assert "\n" not in str(told.value)
