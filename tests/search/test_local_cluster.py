"""A search on a Ray that was there before, and is there afterwards."""

import json
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
from autodepth.service.searching import on_cluster

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


def without_token_mode():
    """Return the environment as a person has it: other tests may have begun a Ray with tokens."""
    kept = {name: value for name, value in os.environ.items() if name != "RAY_AUTH_MODE"}
    return {**kept, "RAY_USAGE_STATS_ENABLED": "0"}


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
    environment = {**without_token_mode(), "HOME": str(place)}
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


# In a process of its own: what Ray's core reads of its environment it reads once.
SEARCHING = """
import json, sys
from autodepth.service.searching import on_cluster, search
address, *settings = sys.argv[1:]
result = search(budget="3trials", study="first", settings=settings, ray_address=address)
with on_cluster(address) as cluster:  # nobody has ended it
    nodes = [[node.name, node.cpus, node.here] for node in cluster.nodes]
    print(json.dumps([result.complete, nodes]))
"""


@pytest.mark.slow
def test_a_search_on_a_ray_that_runs_leaves_it_running(running_ray):
    done = subprocess.run(
        [sys.executable, "-c", SEARCHING, running_ray, *SETTINGS],
        capture_output=True, text=True, check=False, env=without_token_mode(),
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    complete, ((name, *node),) = json.loads(done.stdout.splitlines()[-1])
    assert (complete, node) == (3, [2, True])
    assert broken_invariants(find_study("first")) == []
    with Ledger.open(find_study("first").ledger_path, read_only=True) as ledger:
        assert ledger.study.plan["concurrency"] == 2
        assert {trial.node for trial in ledger.trials()} == {name}


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
