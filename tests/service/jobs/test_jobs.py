"""Names, command lines and parcels of jobs; no cluster."""

import shlex
from dataclasses import replace

import pytest

from autodepth.errors import InputError
from autodepth.service.jobs.jobs import (
    Job,
    Jobs,
    entrypoint,
    exit_status,
    job_id,
    read_job_id,
)
from autodepth.service.jobs.parcel import FILES

JOB = Job(
    id="autodepth-a.1", study="a", attempt=1, status="RUNNING", started=None, ended=None,
    exit_status=None,
)  # fmt: skip


@pytest.mark.parametrize(("study", "attempt"), [("digits", 1), ("a.2", 3), ("autodepth-x.1", 12)])
def test_a_jobs_name_tells_study_and_attempt(study, attempt):
    assert read_job_id(job_id(study, attempt)) == (study, attempt)


@pytest.mark.parametrize("name", ["raysubmit_1", "autodepth-x", "autodepth-x.0", "autodepth-.1x"])
def test_jobs_of_others_are_left_alone(name):
    assert read_job_id(name) is None


def test_a_command_line_keeps_its_words_apart():
    line = entrypoint(["search", "--study", "a b; rm -rf $HOME"], home="/my studies", python="py")
    *entering, setting, word, python, safe = shlex.split(line)[:7]

    assert entering == ["cd", FILES, "&&"]
    assert (setting, word) == ("AUTODEPTH_HOME=/my studies", "exec")
    assert (python, safe) == ("py", "-P")
    assert shlex.split(line)[7:] == ["-m", "autodepth", "search", "--study", "a b; rm -rf $HOME"]
    assert f'{FILES} && AUTODEPTH_HOME="$HOME/autodepth-studies" exec' in entrypoint(
        [], home=None, python="py"
    )


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [("SUCCEEDED", 0, 0), ("FAILED", 3, 3), ("FAILED", None, 1), ("STOPPED", None, 143)],
)
def test_who_follows_a_job_ends_as_it_does(status, code, told):
    assert exit_status(replace(JOB, status=status, exit_status=code)) == told


def test_an_address_that_is_no_url_is_refused():
    with pytest.raises(InputError, match=r"must be http://HEAD:8265, but got 'head:8265'"):
        Jobs("head:8265")
