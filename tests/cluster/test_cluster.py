"""Studies submitted from one host to a Ray cluster of three; each test a part of one story."""

import json
import time

import pytest
from cluster.hosts import TOKEN
from cluster.studies import (
    SMALL,
    dashboard,
    jobs,
    storage,
    study_folder,
    submission,
    trials,
)
from own_networks import net_code

from autodepth.records.fsck import broken_invariants
from autodepth.trial.result import TrialState

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]

NET = net_code(depth=3, stride=2)


def test_a_study_completes_on_both_workers(cluster):
    desk, head = cluster["desk"], cluster["head"]
    status, text = desk.run(*submission(cluster, "both", "--budget", "8trials", "--follow"))

    assert status == 0, text
    records = trials(cluster, "both")
    assert len([r for r in records if r.state is TrialState.COMPLETE]) == 8, text
    assert {r.node for r in records} == {cluster["one"].address, cluster["two"].address}
    assert broken_invariants(study_folder(cluster, "both")) == []
    assert any((storage(cluster) / "cache").iterdir())
    weights = storage(cluster) / "weights"
    assert [path for path in weights.rglob("*") if path.is_file()] == []
    assert TOKEN not in text
    for path in (*(head.folder / "studies").rglob("*"), *storage(cluster).rglob("*")):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes()


def test_a_study_that_is_done_is_not_searched_again(cluster):
    status, text = cluster["desk"].run(
        *submission(cluster, "both", "--budget", "8trials", "--follow")
    )

    assert status == 0, text
    assert "both is done" in text
    assert [job["attempt"] for job in jobs(cluster, "both")] == [2, 1]
    assert len(trials(cluster, "both")) == 8


def test_a_study_runs_once_and_stops_in_order_and_goes_on(cluster):
    desk = cluster["desk"]
    long = [*SMALL, "train.epochs=30"]
    begin = submission(cluster, "long", "--budget", "9trials", settings=long)
    status, text = desk.run("sh", "-c", 'exec "$@" 2>told', "sh", *begin, "--json")
    assert status == 0, (desk.folder / "told").read_text()
    told = json.loads(text)
    assert (told["id"], told["address"]) == ("autodepth-long.1", dashboard(cluster))

    status, text = desk.run(*begin)
    assert status == 75, text
    assert "autodepth-long.1 runs long already" in text

    while not study_folder(cluster, "long").ledger_path.exists() or not trials(cluster, "long"):
        time.sleep(1)
    status, text = desk.run("autodepth", "stop", "long", "--address", dashboard(cluster))
    assert status == 0, text
    assert "stopped" in text
    ended = trials(cluster, "long")
    assert all(record.state.ended for record in ended)
    assert broken_invariants(study_folder(cluster, "long")) == []

    short = submission(cluster, "long", "--budget", f"{len(ended)}trials", "--follow")
    status, text = desk.run(*short)
    assert status == 0, text
    assert [job["exit_status"] for job in jobs(cluster, "long")][:1] == [0]


def test_a_node_that_does_not_reach_the_storage_is_named_before_the_first_trial(cluster):
    private = f"file://{cluster['one'].private}/storage"
    status, text = cluster["desk"].run(
        *submission(cluster, "alone", "--budget", "2trials", "--follow", "--storage", private)
    )

    assert status == 1, text
    assert f"every node must reach {private}" in text
    assert f"{cluster['one'].address}: it does not see what the driver wrote there" in text
    assert not study_folder(cluster, "alone").path.exists()


def test_without_the_token_nothing_is_told(cluster):
    status, text = cluster["desk"].run(
        "autodepth", "jobs", "--address", dashboard(cluster), RAY_AUTH_TOKEN="wrong"
    )
    assert status == 77
    assert "does not take the token" in text


def test_code_and_weights_of_the_drivers_host_reach_the_nodes(cluster):
    head = cluster["head"]
    (head.folder / "ownnet.py").write_text(NET)
    make = (
        "import ownnet, safetensors.torch as files\n"
        "files.save_file(ownnet.Net().state_dict(), 'w.safetensors')"
    )
    status, text = head.run("python", "-c", make)
    assert status == 0, text
    status, text = head.run(
        "autodepth", "search", "--ray-address", f"{head.address}:6379", "--study", "own",
        "--storage", f"file://{storage(cluster)}", "--budget", "2trials",
        "--network", "ownnet:Net", "--weights", "w.safetensors", "--set", "data.train_images=60",
        AUTODEPTH_HOME=str(head.folder / "studies"),
    )  # fmt: skip

    assert status == 0, text
    records = trials(cluster, "own")
    assert [record.state for record in records] == [TrialState.COMPLETE] * 2
    assert {record.node for record in records} <= {cluster[n].address for n in ("one", "two")}
    assert broken_invariants(study_folder(cluster, "own")) == []
