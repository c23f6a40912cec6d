"""A study goes on while one node's Ray is killed and another is cut off; nothing is lost."""

import json
import os
import signal
import sys
from datetime import UTC, datetime

import pytest
from cluster.hosts import start_worker
from cluster.servers import start_mlflow, start_postgres, why_no_postgres
from cluster.studies import LONGER, running_on, study_folder, submission, trials, wait_for

from autodepth.records.fsck import broken_invariants
from autodepth.records.trial_record import WORKER_DIED
from autodepth.trial.result import TrialState

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(bool(why_no_postgres()), reason=why_no_postgres()),
]
STUDY = "lost"
WANTED = 12
ASK_MLFLOW = """
import json, sys
from mlflow.tracking import MlflowClient
client = MlflowClient(sys.argv[1])
found = client.get_experiment_by_name(sys.argv[2])
runs = client.search_runs([found.experiment_id], max_results=1000)
print("RUNS" + json.dumps([(run.data.tags.get("autodepth.trial"),
    run.data.tags.get("autodepth.state"), run.info.status) for run in runs]))
"""


def recovery(cluster, lost, since):
    """Wait until a trial counts as lost and another one of its policy is complete; two times."""
    ended = wait_for("its end", lambda: ended_at(cluster, lost.number))
    again = wait_for("its repetition", lambda: complete_again(cluster, lost))
    return ended - since, again - since


def ended_at(cluster, number):
    record = trials(cluster, STUDY)[number]
    return record.ended_at and datetime.fromisoformat(record.ended_at).timestamp()


def complete_again(cluster, lost):
    for record in trials(cluster, STUDY)[lost.number + 1 :]:
        if record.policy == lost.policy and record.state is TrialState.COMPLETE:
            return datetime.fromisoformat(record.ended_at).timestamp()
    return None


def test_nothing_is_lost_with_the_nodes(cluster, capsys, observed):
    desk, one, two = cluster["desk"], cluster["one"], cluster["two"]
    server = start_mlflow(desk, start_postgres(desk))
    begin = submission(
        cluster, STUDY, "--budget", f"{WANTED}trials", "--tracking-uri", server, settings=LONGER
    )
    status, text = desk.run(*begin)
    assert status == 0, text

    (killed, *_) = wait_for("a trial on one", lambda: running_on(cluster, STUDY, "one"))
    at = datetime.now(UTC).timestamp()
    for pid in one.processes("raylet"):
        os.kill(pid, signal.SIGKILL)
    told = {"killed": recovery(cluster, killed, at)}
    one.kill_all()
    start_worker(one, cluster["head"])

    (cut, *_) = wait_for("a trial on two", lambda: running_on(cluster, STUDY, "two"))
    at = datetime.now(UTC).timestamp()
    two.cut()
    told["cut off"] = recovery(cluster, cut, at)
    two.join()

    status, text = desk.run(
        "autodepth", "jobs", STUDY, "--follow", "--address", f"http://{cluster['head'].address}:8265",
        timeout=1800,
    )  # fmt: skip
    assert status == 0, text
    records = trials(cluster, STUDY)
    for trial in (killed, cut):
        assert records[trial.number].state is TrialState.FAILED
        assert records[trial.number].reason.startswith(WORKER_DIED)
    assert sum(record.state is TrialState.COMPLETE for record in records) == WANTED
    assert broken_invariants(study_folder(cluster, STUDY)) == []

    status, text = desk.run("python", "-c", ASK_MLFLOW, server, STUDY)
    assert status == 0, text
    runs = json.loads(text.partition("RUNS")[2])
    numbers = sorted(int(number) for number, _, _ in runs if number is not None)
    assert numbers == list(range(len(records)))
    states = {int(number): state for number, state, _ in runs if number is not None}
    assert states == {record.number: record.state.value for record in records}
    for what, (noticed, again) in told.items():
        observed(
            "a node is killed, or cut off from the others",
            f"{what}: until its policy is complete", again,
        )  # fmt: skip
        with capsys.disabled():  # the figures of benchmarks/results/cluster.md
            sys.stdout.write(
                f"\n{what}: noticed after {noticed:.0f} s, complete after {again:.0f} s"
            )
