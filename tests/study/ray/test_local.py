"""The Ray that a search starts for itself."""

import os
import subprocess
import sys
import time

import psutil
import pytest
from ray.tune.execution.class_cache import _ActorClassCache

from autodepth.errors import ClusterError
from autodepth.study.plan.resources import Resources
from autodepth.study.ray.local import ray, start_local
from autodepth.study.ray.runner import take_workers_that_wait


def test_trials_are_as_nice_as_the_command(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    start_local(Resources(device="cpu", count=1, cpus=1, gpus=0))
    try:
        assert ray.get(ray.remote(lambda: os.nice(0)).remote()) == os.nice(0)
    finally:
        ray.shutdown()


class Worker:
    def who(self):
        return os.getpid(), {"torch._dynamo", "autodepth.trial.run_trial"} <= set(sys.modules)


def test_a_trial_runs_on_a_worker_that_has_loaded_what_it_needs(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    take_workers_that_wait()
    start_local(Resources(device="cpu", count=1, cpus=1, gpus=0))
    try:
        while not (waiting := {p.pid for p in children() if p.name() == "ray::IDLE"}):
            time.sleep(0.05)
        process, loaded = ray.get(_ActorClassCache().get(Worker).remote().who.remote())
    finally:
        ray.shutdown()

    assert process in waiting
    assert loaded


# In a process of its own: what waits for an answer of Ray that never comes hears no signal.
STARTING = """
from autodepth.study.plan.resources import Resources
from autodepth.study.ray.local import ray, start_local
start_local(Resources(device="cpu", count=1, cpus=1, gpus=0))
ray.shutdown()
"""


@pytest.mark.long
def test_workers_that_are_slow_to_start_are_waited_for(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_worker_register_timeout_seconds", "1")  # so a busy machine is, to Ray

    subprocess.run([sys.executable, "-c", STARTING], check=True, timeout=240)


def children():
    return psutil.Process().children(recursive=True)


def test_one_that_does_not_start_is_told_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / ("long" * 30)))  # no socket has such a path

    with pytest.raises(ClusterError, match=r"^a local Ray does not start: ") as told:
        start_local(Resources(device="cpu", count=1, cpus=1, gpus=0))

    assert "\n" not in str(told.value)
