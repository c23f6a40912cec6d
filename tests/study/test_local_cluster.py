"""A search on a Ray that was there before, and is there afterwards."""

import json
import re
import subprocess
import sys

import pytest

from autodepth.errors import ClusterError, InputError
from autodepth.records.fsck import broken_invariants
from autodepth.records.ledger import Ledger
from autodepth.records.studies import find_study, list_studies
from autodepth.service.search.search import on_cluster
from autodepth.version import __version__

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]
SETTINGS = (
    "network.name=resnet8",
    "data.train_images=48",
    "data.validation=60",
    "train.epochs=1",
    "search.fine_tune_epochs={type: int, min: 0, max: 1}",
)


# In a process of its own: what Ray's core reads of its environment it reads once.
SEARCHING = """
import json, sys
from pathlib import Path
from autodepth.errors import ClusterError
from autodepth.service.search.search import on_cluster, search
address, *settings = sys.argv[1:]
result = search(budget="3trials", study="first", settings=settings, ray_address=address)
with on_cluster(address) as cluster:  # nobody has ended it
    nodes = [[node.name, node.cpus, node.here] for node in cluster.nodes]
    cluster.check_sees(Path(sys.executable))
    try:
        cluster.check_sees(Path("/no/image.jpg"))
    except ClusterError as error:
        print(json.dumps([result.complete, nodes, str(error)]))
"""


@pytest.mark.slow
def test_a_search_on_a_ray_that_runs_leaves_it_running(ray_head, a_person):
    done = subprocess.run(
        [sys.executable, "-c", SEARCHING, ray_head(), *SETTINGS],
        capture_output=True, text=True, check=False, env=a_person,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    complete, ((name, *node),), blind = json.loads(done.stdout.splitlines()[-1])
    assert blind.endswith(f"every node must have /no/image.jpg, but {name} has not")
    assert (complete, node) == (3, [2, True])
    assert broken_invariants(find_study("first")) == []
    with Ledger.open(find_study("first").ledger_path, read_only=True) as ledger:
        assert ledger.study.plan["concurrency"] == 2
        assert {trial.node for trial in ledger.trials()} == {name}


@pytest.mark.long
def test_workers_of_another_version_are_refused_before_the_first_trial(
    ray_head, a_person, tmp_path
):
    (tmp_path / "theirs" / "autodepth").mkdir(parents=True)
    (tmp_path / "theirs" / "autodepth" / "__init__.py").touch()
    (tmp_path / "theirs" / "autodepth" / "version.py").write_text('__version__ = "0.0.1"\n')
    address = ray_head(PYTHONPATH=str(tmp_path / "theirs"))
    done = subprocess.run(
        [sys.executable, "-m", "autodepth", "search", "--budget", "3trials", "--study", "first",
         "--ray-address", address],
        capture_output=True, text=True, check=False, env=a_person, cwd=tmp_path,
    )  # fmt: skip

    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    wrong = (
        rf"all nodes must run autodepth {re.escape(__version__)}, the driver's, "
        r"but [0-9.]+ has autodepth 0\.0\.1$"
    )
    assert re.search(wrong, " ".join(done.stderr.split())), done.stderr
    assert list_studies() == []


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("token", ["a7" * 32, None])
def test_without_a_clusters_token_nothing_begins_and_the_status_is_77(
    ray_head, a_person, token, tmp_path
):
    address = ray_head(**_with_token("5e" * 32))
    done = subprocess.run(
        [sys.executable, "-m", "autodepth", "search", "--budget=1trials", "--study=kept-out",
         "--ray-address", address, *(f"--set={context}" for context in SETTINGS)],
        capture_output=True, text=True, check=False,
        env={**a_person, "HOME": str(tmp_path), **_with_token(token)},
    )  # fmt: skip

    assert done.returncode == 77, done.stderr
    assert "token" in done.stderr
    assert "5e5e" not in done.stderr
    assert "a7a7" not in done.stderr
    assert "Traceback" not in done.stderr
    assert list_studies() == []


def _with_token(token):
    """Return what enters a cluster that wants a token; nothing for None."""
    return {} if token is None else {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}


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


TASK_SPACE = """
version: 1
network: resnet8
task: regression
data: csv:ink/ink.csv
search:
  branches_removed: {type: int, min: 0, max: 2}
  fine_tune_epochs: {type: int, min: 0, max: 1}
train: {epochs: 1, batch_size: 32}
sensitivity: {images: 20}
confirmation: {share: 0}
"""
SEARCHING_A_TASK = """
import json, sys
from autodepth.service.search.search import search
result = search("space.yaml", budget="3trials", study="ink", ray_address=sys.argv[1])
print(json.dumps([result.complete, [p.point.metric for p in result.front]]))
"""


@pytest.mark.slow
@pytest.mark.long
def test_a_task_that_is_shipped_runs_on_a_ray_that_was_there(ray_head, a_person, tmp_path):
    from study.shipped.test_regression_study import write_ink

    write_ink(tmp_path / "ink", 80)
    (tmp_path / "space.yaml").write_text(TASK_SPACE)
    done = subprocess.run(
        [sys.executable, "-c", SEARCHING_A_TASK, ray_head()],
        capture_output=True, text=True, check=False, env=a_person, cwd=tmp_path,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    complete, metrics = json.loads(done.stdout.splitlines()[-1])
    assert complete == 2  # each stage keeps its one branch: no third network is left to try
    assert set(metrics) == {"validation_mae"}
