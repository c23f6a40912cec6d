"""Proposals of a real network and space, nothing trained; heads of Ray that are there before."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from autodepth.service.search.requests import SearchRequest
from autodepth.service.search.search import plan_search
from autodepth.space.file.shipped import default_space
from autodepth.study.driver.build import make_proposer

SMALL = ("network.name=resnet14", "data.train_images=48", "data.validation=60")


@pytest.fixture
def make_proposals():
    def proposer(*settings, first=(), sampler="random", gap_share=0.0):
        plan = plan_search(
            SearchRequest(
                space=default_space(),
                budget="1trials",
                settings=[
                    *SMALL,
                    *settings,
                    f"sampler.name={sampler}",
                    f"sampler.gap_share={gap_share}",
                    "objectives=[{name: validation_accuracy, goal: maximize, reference: 0.0},"
                    " {name: macs, goal: minimize, reference: 100%}]",
                ],
            )
        )
        dimensions = plan.space.dimensions_for(plan.network.num_stages, len(plan.network.branches))
        proposer = make_proposer(plan, dimensions, most_parked=8)
        proposer.begin_with(first)
        return proposer

    return proposer


@pytest.fixture
def free_port():
    def free_port():
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    return free_port


@pytest.fixture
def a_person():
    """The environment as a person has it: other tests may have begun a Ray with tokens."""
    kept = {name: value for name, value in os.environ.items() if name != "RAY_AUTH_MODE"}
    return {**kept, "RAY_USAGE_STATS_ENABLED": "0"}


@pytest.fixture
def ray_head(a_person, free_port):
    """Starts a head with two CPUs, in an environment of its own; no other Ray is touched."""
    with ExitStack() as heads:
        yield lambda **more: heads.enter_context(_head(free_port, {**a_person, **more}))


@contextmanager
def _head(free_port, environment):
    """Give the address of a head for as long as the context lasts."""
    place = Path(tempfile.mkdtemp(prefix="adr", dir="/tmp"))  # sockets take short paths only
    port = free_port()
    command = [
        Path(sys.executable).parent / "ray", "start", "--head", "--block", "--num-cpus", "2",
        "--node-ip-address", "127.0.0.1", "--port", str(port), "--include-dashboard", "false",
        "--ray-client-server-port", str(free_port()), "--object-store-memory", "80000000",
        "--temp-dir", place, "--disable-usage-stats",
    ]  # fmt: skip
    with (place / "log").open("w") as log:
        head = subprocess.Popen(
            command, stdout=log, stderr=log, env={**environment, "HOME": str(place)}
        )
    try:
        deadline = time.monotonic() + 120
        while not (place / "ray_current_cluster").exists():
            assert head.poll() is None, (place / "log").read_text()
            assert time.monotonic() < deadline, (place / "log").read_text()
            time.sleep(0.2)
        yield f"127.0.0.1:{port}"
    finally:
        family = [psutil.Process(head.pid), *psutil.Process(head.pid).children(recursive=True)]
        for process in family:
            process.send_signal(signal.SIGKILL)
        head.wait()
        psutil.wait_procs(family, timeout=30)
        shutil.rmtree(place, ignore_errors=True)
