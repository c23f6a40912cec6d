"""Submitting and following from the command line; a real cluster is in ../cluster."""

import json
from types import SimpleNamespace

import pytest
from cli.documents import has_the_keys_of
from ray.job_submission import JobDetails, JobStatus, JobType
from typer.testing import CliRunner

from autodepth.cli.main import app
from autodepth.service.jobs import jobs

ADDRESS = "http://head:8265"


@pytest.fixture
def give(tmp_path, monkeypatch):
    """Run a command in an empty folder, beside a cluster whose jobs fail once they are followed."""
    held = {}

    def submit(*, entrypoint, submission_id, runtime_env):
        held[submission_id] = JobDetails(
            type=JobType.SUBMISSION, submission_id=submission_id, entrypoint=entrypoint,
            status=JobStatus.RUNNING, start_time=1_760_000_000_000,
        )  # fmt: skip

    def logs(name):
        end = {"status": JobStatus.FAILED, "end_time": 1_760_000_060_000, "driver_exit_code": 3}
        held[name] = held[name].model_copy(update=end)
        return "trial 0 complete\n"

    client = SimpleNamespace(
        list_jobs=lambda: list(held.values()), submit_job=submit, get_job_logs=logs
    )
    monkeypatch.setattr(jobs, "JobSubmissionClient", lambda _: client)
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "")  # ours is forgotten after the test
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, [*words, "--address", ADDRESS])


def test_a_script_learns_the_job_and_its_cluster(give):
    done = give("submit", "--budget", "1trials", "--study", "a", "--json")
    told = json.loads(done.stdout)

    assert done.exit_code == 0
    assert has_the_keys_of("submit", told)
    assert (told["id"], told["address"]) == ("autodepth-a.1", ADDRESS)
    assert (told["status"], told["exit_status"]) == ("RUNNING", None)
    assert has_the_keys_of("jobs", json.loads(give("jobs", "--json").stdout))


def test_without_json_the_first_line_is_the_job(give):
    done = give("submit", "--budget", "1trials", "--study", "a", "--follow")

    assert (done.exit_code, done.stdout) == (3, "autodepth-a.1\ntrial 0 complete\n")
    assert "autodepth-a.1: FAILED" in done.stderr


@pytest.mark.parametrize("command", ["submit", "jobs"])
def test_what_a_job_writes_is_no_part_of_the_document(give, command):
    begin = ("submit", "--budget", "1trials", "--study", "a", "--json")
    if command == "jobs":
        give(*begin)
        done = give("jobs", "--follow", "--json")
        (told,) = json.loads(done.stdout)
    else:
        done = give(*begin, "--follow")
        told = json.loads(done.stdout)

    assert done.exit_code == 3
    assert (told["status"], told["exit_status"]) == ("FAILED", 3)
    assert "trial 0 complete" in done.stderr
