"""A node is drained, as one that is about to be taken away: its trials go on elsewhere in time."""

import time
from datetime import UTC, datetime

import pytest
from cluster.studies import (
    SMALL,
    dashboard,
    running_on,
    study_folder,
    submission,
    trials,
    wait_for,
)

from autodepth.records.fsck import broken_invariants
from autodepth.records.ledger import Ledger
from autodepth.records.trial_record import NODE_LEAVES
from autodepth.trial.result import TrialState

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600)]
STUDY = "leaving"
WANTED = 5
LONG = [*SMALL, "train.epochs=200", "rungs.stages=[]"]  # a trial must not end before the drain
NOTICE_SECONDS = 120
FIND_NODE = """
import sys, ray
ray.init(address=sys.argv[1], log_to_driver=False)
print("NODE", *(n["NodeID"] for n in ray.nodes() if n["NodeManagerAddress"] == sys.argv[2]))
"""


def node_of(cluster, host):
    """Return Ray's name for a host."""
    head = cluster["head"]
    status, text = head.run(
        "python", "-c", FIND_NODE, f"{head.address}:6379", cluster[host].address
    )
    assert status == 0, text
    return text.partition("NODE ")[2].strip()


def drain(cluster, node):
    """Tell the cluster that a node leaves soon, as what watches over spot instances does."""
    head = cluster["head"]
    status, text = head.run(
        "ray", "drain-node", "--address", f"{head.address}:6379", "--node-id", node,
        "--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "it is taken away",
        "--deadline-remaining-seconds", str(NOTICE_SECONDS),
    )  # fmt: skip
    assert status == 0, text


def epochs(cluster, number):
    with Ledger.open(study_folder(cluster, STUDY).ledger_path, read_only=True) as ledger:
        return ledger.epochs(number)


def in_training(cluster, host):
    """Return the trials on a host that have trained for a while by themselves."""
    running = running_on(cluster, STUDY, host)
    return [r for r in running if sum(not e.replayed for e in epochs(cluster, r.number)) > 3]


def test_what_a_node_with_notice_trained_goes_on_elsewhere_and_nothing_new_comes_there(
    cluster, observed
):
    """Row 28: no new trial there, and what runs is put down at the end of its epoch."""
    desk, two = cluster["desk"], cluster["two"]
    node = node_of(cluster, "two")
    begin = submission(cluster, STUDY, "--budget", f"{WANTED}trials", settings=LONG)
    status, text = desk.run(*begin)
    assert status == 0, text
    (left, *_) = wait_for("a trial that trains on two", lambda: in_training(cluster, "two"))
    begun = time.monotonic()
    drain(cluster, node)
    told = datetime.now(UTC)
    wait_for("the end of all that is on two", lambda: not two.processes("raylet"))
    observed(
        "a node leaves with notice (Ray drains it)",
        "until nothing is left on it",
        time.monotonic() - begun,
    )
    assert time.monotonic() - begun < NOTICE_SECONDS

    status, text = desk.run(
        "autodepth", "jobs", STUDY, "--follow", "--address", dashboard(cluster), timeout=1800
    )
    assert status == 0, text
    records = trials(cluster, STUDY)
    ended = records[left.number]
    assert (ended.state, ended.reason) == (TrialState.FAILED, NODE_LEAVES)
    later = [r for r in records if datetime.fromisoformat(r.started_at) > told]
    assert later
    assert two.address not in {record.node for record in later}
    (again,) = [r for r in records[left.number + 1 :] if r.policy == left.policy]
    assert again.state is TrialState.COMPLETE
    before, after = epochs(cluster, left.number), epochs(cluster, again.number)
    assert [epoch.step for epoch in after if epoch.replayed] == [epoch.step for epoch in before]
    assert sum(record.state is TrialState.COMPLETE for record in records) == WANTED
    assert broken_invariants(study_folder(cluster, STUDY)) == []
