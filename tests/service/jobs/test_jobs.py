"""Names, command lines and parcels of jobs; no cluster."""

import shlex
from dataclasses import replace

import pytest

from autodepth.errors import InputError
from autodepth.service.jobs import parcel
from autodepth.service.jobs.jobs import (
    Job,
    Jobs,
    entrypoint,
    exit_status,
    job_id,
    read_job_id,
)
from autodepth.service.jobs.parcel import FILES, pack_parcel

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


def test_a_parcel_holds_a_persons_files_and_autodepth(tmp_path):
    mine, target = tmp_path / "mine", tmp_path / "target"
    for name in ("space.yaml", ".env", "nets/own.py", "exports/x/model.onnx", "big.npz"):
        (mine / name).parent.mkdir(parents=True, exist_ok=True)
        (mine / name).write_text(name)
    target.mkdir()
    packed = pack_parcel(mine, target, ["*.npz"])

    theirs = [p for p in (target / FILES).rglob("*") if p.is_file()]
    named = sorted(str(p.relative_to(target / FILES)) for p in theirs)
    assert named == ["nets/own.py", "space.yaml"]
    assert sorted(p.name for p in target.iterdir()) == ["autodepth", FILES]
    assert not FILES.isidentifier()  # nodes import from the folder that holds it
    assert (packed.files, packed.size) == (2, len("space.yaml") + len("nets/own.py"))
    assert (target / "autodepth" / "cli" / "main.py").is_file()
    assert (target / "autodepth" / "search_spaces" / "digits_resnet20.yaml").is_file()


def test_too_large_a_parcel_names_what_is_large(tmp_path, monkeypatch):
    monkeypatch.setattr(parcel, "LIMIT_BYTES", 100)
    (tmp_path / "images.bin").write_bytes(bytes(500))
    (tmp_path / "small.yaml").write_text("a: 1")

    with pytest.raises(InputError, match=r"at most 100 B .*the largest: images.bin \(500 B\)"):
        pack_parcel(tmp_path, tmp_path / "target")
