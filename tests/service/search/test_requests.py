"""Command line, job and Python make the same requests, which are read once."""

import inspect
from dataclasses import MISSING, fields
from pathlib import Path

import pytest
from typer.testing import CliRunner

from autodepth import resume, search
from autodepth.cli.main import app
from autodepth.cli.search import search as command
from autodepth.cli.search.submit_jobs import _as_arguments
from autodepth.errors import BudgetError
from autodepth.service.search import resume as resuming
from autodepth.service.search import search as searching
from autodepth.service.search.requests import BesideRequest, ResumeRequest, SearchRequest
from autodepth.study.plan.plan import PlanRequest
from autodepth.study.plan.resource_request import ResourceRequest
from autodepth.units import Budget, parse_budget


class Asked(Exception):  # noqa: N818 - no error: what was asked for has arrived
    pass


@pytest.fixture
def asked(monkeypatch):
    """Return the request that a command, or a function, acts on; nothing is planned."""

    def stop(request, **_):
        raise Asked(request)

    for place, name in (
        (command, "_begin"), (command, "_go_on"), (searching, "plan_search"),
        (resuming, "plan_resume"),
    ):  # fmt: skip
        monkeypatch.setattr(place, name, stop)

    def of(what, *words, **wishes):
        if callable(what):
            with pytest.raises(Asked) as caught:
                what(*words, **wishes)
            return caught.value.args[0]
        error = CliRunner().invoke(app, [what, *words]).exception
        assert isinstance(error, Asked), error
        return error.args[0]

    return of


def test_a_search_is_asked_for_alike_by_command_line_and_python(asked):
    words = [
        "--budget", "2h,9trials", "--data", "npz:x.npz", "--network", "resnet14", "--seed", "3",
        "--set", "train.epochs=3", "--set", "rungs.stages=[]", "--concurrency", "2",
        "--per-trial", "2x1cpu", "--formats", "torch,onnx", "--own-code", "--study", "s",
        "--weights-key", "ema", "--start-from", "latest", "--trust-data", "--tracking-uri", "u",
        "--notify", "env:HOOK",
    ]  # fmt: skip
    wishes = {
        "budget": "2h,9trials", "data": "npz:x.npz", "network": "resnet14", "seed": 3,
        "settings": ["train.epochs=3", "rungs.stages=[]"], "concurrency": 2,
        "per_trial": "2x1cpu", "formats": ("torch", "onnx"), "own_code": True, "study": "s",
        "weights_key": "ema", "start_from": "latest", "trust_data": True, "tracking_uri": "u",
        "notify": ("env:HOOK",),
    }  # fmt: skip

    assert asked("search", *words) == asked(search, **wishes) == SearchRequest(**wishes)


def test_a_resumption_is_asked_for_alike_by_command_line_and_python(asked):
    words = [
        "s", "--budget", "+1trials", "--concurrency", "auto", "--data", "npz:x.npz", "--own-code",
        "--takeover", "--tracking-uri", "u", "--notify", "env:A", "--notify", "http://b",
    ]  # fmt: skip
    wishes = {
        "budget": "+1trials", "concurrency": "auto", "data": "npz:x.npz", "own_code": True,
        "takeover": True, "tracking_uri": "u", "notify": ("env:A", "http://b"),
    }  # fmt: skip

    assert asked("resume", *words) == asked(resume, "s", **wishes)
    assert asked(resume, "s", **wishes) == ResumeRequest(study="s", **wishes)


def test_a_job_asks_for_what_was_submitted(asked):
    request = SearchRequest(
        budget="50gpu-h", study="s", data="digits", network="resnet14", weights=Path("w.th"),
        weights_key="ema", settings=["train.epochs=3"], seed=3, concurrency="auto", own_code=True,
        tracking_uri="u", ray_address="auto", storage="s3://bucket/ad", space=Path("space.yaml"),
    )  # fmt: skip

    assert asked(*_as_arguments(request)) == request


@pytest.mark.parametrize(
    ("function", "request_class", "beyond"),
    [(search, SearchRequest, set()), (resume, ResumeRequest, {"total"})],
)
def test_a_function_takes_what_its_request_holds(function, request_class, beyond):
    held = {f.name: f.default for f in fields(request_class) if f.name not in beyond}
    taken = {name: p.default for name, p in inspect.signature(function).parameters.items()}
    del taken["watch"]

    assert taken == {k: inspect.Parameter.empty if v is MISSING else v for k, v in held.items()}


def test_texts_are_read_once_for_the_plan():
    request = SearchRequest(
        budget="2h,9trials", per_trial="2x1cpu", concurrency="auto", network="own:net"
    )

    assert request.plan_request() == PlanRequest(
        budget=Budget(wall_seconds=7200.0, trials=9),
        per_trial=ResourceRequest(cpus=2, ranks=2),
        own_code=True,
    )


def test_a_budget_is_added_or_takes_the_place_of_what_was():
    before = Budget(trials=5)

    assert ResumeRequest(study="s").limits(before) == before
    assert ResumeRequest(study="s", budget="+2trials").limits(before) == Budget(trials=7)
    assert ResumeRequest(study="s", total="2trials").limits(before) == Budget(trials=2)
    with pytest.raises(BudgetError, match="only what limits a budget can be added"):
        ResumeRequest(study="s", budget="+1h").limits(before)


def test_what_is_asked_for_beside_a_search_may_take_time_and_no_count():
    assert BesideRequest(study="a").most == Budget()
    assert BesideRequest(study="a", at_most="2cpu-min").most == parse_budget("120cpu-s")
    with pytest.raises(BudgetError, match="time such as 10cpu-min, but got '3trials'"):
        _ = BesideRequest(study="a", at_most="3trials").most
