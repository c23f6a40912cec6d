"""A search on a Ray that was there before, and is there afterwards."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from autodepth.errors import ClusterError, InputError
from autodepth.records.invariants import broken_invariants
from autodepth.records.ledger import Ledger
from autodepth.records.studies import find_study
from autodepth.service.searching import on_cluster, search

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]
SETTINGS = (
    "network.name=resnet14",
    "data.train_images=48",
    "data.validation=60",
    "train.epochs=1",
    "search.fine_tune_epochs={type: int, min: 0, max: 1}",
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def running_ray():
    """The address of a head with two CPUs; no other Ray of this machine is touched."""
    place = Path(tempfile.mkdtemp(prefix="adr", dir="/tmp"))  # sockets take short paths only
    port = free_port()
    command = [
        Path(sys.executable).parent / "ray", "start", "--head", "--block", "--num-cpus", "2",
        "--node-ip-address", "127.0.0.1", "--port", str(port), "--include-dashboard", "false",
        "--ray-client-server-port", str(free_port()), "--object-store-memory", "80000000",
        "--temp-dir", place, "--disable-usage-stats",
    ]  # fmt: skip
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "HOME": str(place)}
    with (place / "log").open("w") as log:
        head = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    deadline = time.monotonic() + 120
    while not (place / "ray_current_cluster").exists():
        assert head.poll() is None, (place / "log").read_text()
        assert time.monotonic() < deadline, (place / "log").read_text()
        time.sleep(0.2)
    yield f"127.0.0.1:{port}"
    family = [psutil.Process(head.pid), *psutil.Process(head.pid).children(recursive=True)]
    for process in family:
        process.send_signal(signal.SIGKILL)
    head.wait()
    psutil.wait_procs(family, timeout=30)
    shutil.rmtree(place, ignore_errors=True)


@pytest.mark.slow
def test_a_search_on_a_ray_that_runs_leaves_it_running(running_ray):
    result = search(budget="3trials", study="first", settings=SETTINGS, ray_address=running_ray)

    assert result.complete == 3
    assert broken_invariants(find_study("first")) == []
    with Ledger.open(find_study("first").ledger_path, read_only=True) as ledger:
        assert ledger.study.plan["concurrency"] == 2
        assert {trial.node for trial in ledger.trials()} == {"127.0.0.1"}
    with on_cluster(running_ray) as cluster:  # nobody has ended it
        assert cluster is not None
        assert [(node.cpus, node.here) for node in cluster.nodes] == [(2, True)]


@pytest.mark.parametrize(
    ("address", "error", "told"),
    [
        ("ray://head:10001", InputError, "from elsewhere: autodepth submit"),
        ("head", InputError, "must be HOST:PORT or auto, but got 'head'"),
        ("127.0.0.1:1", ClusterError, "no Ray cluster answers at 127.0.0.1:1"),
    ],
)
def test_an_address_of_no_cluster_is_refused_at_once(address, error, told):
    with pytest.raises(error, match=told), on_cluster(address):
        pass


def test_a_storage_with_a_password_is_refused():
    with (
        pytest.raises(InputError, match="without user and password") as refused,
        on_cluster("127.0.0.1:1", "s3://me:canary@bucket/x"),
    ):
        pass
    assert "canary" not in str(refused.value)
