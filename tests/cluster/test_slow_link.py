"""A study goes on though one of its nodes is behind a slow and lossy link."""

import time

import pytest
from cluster.studies import study_folder, submission, trials

from autodepth.records.fsck import broken_invariants
from autodepth.trial.result import TrialState

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(3600)]
WANTED = 6
# Trials long enough that the near node does not take all before the far one has begun.
SETTINGS = [
    "network.name=resnet56", "data.train_images=900", "data.validation=60", "train.epochs=40",
    "search.fine_tune_epochs={type: int, min: 0, max: 2}", "rungs.stages=[]",
]  # fmt: skip
DELAY_SECONDS, LOSS = 0.3, 0.05
# One round trip: nothing listens there, so the first answer is a refusal.
KNOCK = """
import socket, sys, time
begun = time.monotonic()
try:
    socket.create_connection((sys.argv[1], 9), 60)
except ConnectionRefusedError:
    print("TOOK", time.monotonic() - begun)
"""
ALIVE = """
import sys, ray
ray.init(address=sys.argv[1], log_to_driver=False)
print("ALIVE", *(n["Alive"] for n in ray.nodes() if n["NodeManagerAddress"] == sys.argv[2]))
"""


def answered(host, code, *arguments):
    """Return what a program prints after the word in capitals, run on a host."""
    status, text = host.run("python", "-c", code, *arguments)
    assert status == 0, text
    return text.splitlines()[-1].split()[1:]


def test_a_study_goes_on_over_a_slow_and_lossy_link_and_no_node_is_given_up(cluster, observed):
    """Row 7: progress, and no false death."""
    desk, head, two = cluster["desk"], cluster["head"], cluster["two"]
    with two.slow(delay=DELAY_SECONDS, loss=LOSS) as counts:
        (round_trip,) = answered(head, KNOCK, two.address)
        assert float(round_trip) >= 2 * DELAY_SECONDS
        begun = time.monotonic()
        begin = submission(
            cluster, "slow", "--budget", f"{WANTED}trials", "--follow", settings=SETTINGS
        )
        status, text = desk.run(*begin, timeout=1800)
        seconds = time.monotonic() - begun
        assert status == 0, text
        # Once only: a node that counted as dead would be there a second time, or gone.
        assert answered(head, ALIVE, f"{head.address}:6379", two.address) == ["True"]
    observed("a link between nodes is slow and lossy", f"for {WANTED} trials", seconds)
    records = trials(cluster, "slow")

    assert counts["lost"] > 0.02 * counts["came"]
    assert [record.state for record in records] == [TrialState.COMPLETE] * WANTED
    assert two.address in {record.node for record in records}
    assert broken_invariants(study_folder(cluster, "slow")) == []
