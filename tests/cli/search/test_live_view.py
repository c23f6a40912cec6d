"""What a person sees while a study runs, and what Ctrl-C does to it."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from autodepth.cli.search.live_view import watching
from autodepth.records.ledger import Ledger
from autodepth.records.studies import find_study
from autodepth.service.search.confirm import confirm
from autodepth.service.search.requests import ConfirmRequest, SearchRequest
from autodepth.service.search.search import carry_out_plan, plan_search
from autodepth.trial.result import TrialState

SMALL = ("network.name=resnet8", "data.train_images=96", "data.validation=60", "train.epochs=2")


def watched(capfd, name):
    request = SearchRequest(budget="3trials", settings=SMALL, study=name, runner="in-process")
    carry_out_plan(plan_search(request), request, watch=watching)
    return capfd.readouterr()


def test_a_terminal_shows_budget_trials_and_front(capfd, monkeypatch):
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "80")

    shown = watched(capfd, "live")

    assert "live" in shown.err
    assert "complete" in shown.err
    assert "●" in shown.err
    assert "share" in shown.err
    assert shown.out == ""


def test_without_a_terminal_every_trial_that_ended_is_one_line(capfd):
    lines = watched(capfd, "plain").err.splitlines()

    assert [line.split(":")[0] for line in lines] == [f"trial {i} complete" for i in range(3)]
    assert "% of the budget" in lines[-1]


def test_a_confirmation_tells_how_far_it_is_of_what_was_asked_for(capfd):
    watched(capfd, "asked")
    confirm(ConfirmRequest(study="asked", seeds=1, runner="in-process"), watch=watching)
    lines = capfd.readouterr().err.splitlines()

    assert lines
    assert all("on fresh seeds) complete" in line for line in lines)  # none of the search
    assert lines[-1].endswith("(100% of what was asked for)")


@pytest.mark.slow
@pytest.mark.long  # ../../faults/test_signals.py types Ctrl-C at a terminal
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_search_in_order(number, status, tmp_path):
    search = subprocess.Popen(
        [sys.executable, "-m", "autodepth", "search", "--budget", "10cpu-min", "--study", "cut",
         *(part for setting in SMALL for part in ("--set", setting))],
        cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    for line in search.stderr:
        if "complete" in line:
            break
    children = psutil.Process(search.pid).children(recursive=True)
    if number is signal.SIGINT:
        os.killpg(search.pid, number)  # as a terminal does: to the whole group
    else:
        search.send_signal(number)
    started = time.monotonic()
    out, _ = search.communicate(timeout=60)

    with Ledger.open(find_study("cut").ledger_path, read_only=True) as ledger:
        states = {trial.state for trial in ledger.trials()}
    assert search.returncode == status
    assert time.monotonic() - started < 30
    assert "points on the front" in out
    assert TrialState.RUNNING not in states
    psutil.wait_procs(children, timeout=10)
    assert not [child for child in children if child.is_running()]
