"""Watching, steering, comparing and handing over studies from the command line."""

from __future__ import annotations

import json
import os
import pty
import sqlite3
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from autodepth.cli.search.stop_set import read_concurrency
from autodepth.errors import InputError
from autodepth.records.driver_lock.lock import ControlRequests, DriverLock, driver_of, read_requests
from autodepth.records.ledger import Ledger

TRIALS = (
    (0.9, 40_000_000, 40.0), (0.8, 10_000_000, 30.0), (None, 0, 10.0), (0.7, 20_000_000, 20.0),
)  # fmt: skip


def start(*arguments, stdout=subprocess.PIPE):
    """Run a command that goes on; what it prints is read while it does."""
    return subprocess.Popen(
        [sys.executable, "-m", "autodepth", *arguments],
        stdout=stdout, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "COLUMNS": "80", "NO_COLOR": "1", "TERM": "xterm"},
    )  # fmt: skip


def fits(text):
    return max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    "command", ["status", "front", "importance", "compare", "controls", "resume"]
)
def test_a_study_of_a_newer_autodepth_is_told_in_a_line(run, make_recorded, command):
    """Without a traceback, for whoever wrote it has only to be waited for or installed."""
    folder = make_recorded("digits", TRIALS, autodepth="9.1.0")
    with sqlite3.connect(folder.ledger_path) as connection:
        connection.execute("UPDATE trial SET result = json_set(result, '$.watts', 3)")
    connection.close()

    done = run(command, "digits")
    assert done.returncode == 2
    (told,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    assert "'watts': a newer autodepth wrote it; update this one" in told
    assert "digits was begun by autodepth 9.1.0" in told
    listed = run("studies")
    assert listed.returncode == 0
    assert "study digits left out: " in listed.stderr


def test_a_status_tells_budget_spending_trials_and_front(run, make_recorded):
    make_recorded("digits", TRIALS)
    done = run("status", "digits")
    found = json.loads(run("status", "--json").stdout)

    assert done.returncode == 0
    assert fits(done.stdout)
    told = " ".join(done.stdout.split())
    for words in (
        "resnet20 on digits", "ended: the budget was spent", "1.67 cpu-min (42% of the budget)",
        "0 running, 3 complete, 1 failed", "2 points, hypervolume 0.600",
        "90.0% went to training, scoring and measuring", "fine-tune 22.5 cpu-s 22.5%",
    ):  # fmt: skip
        assert words in told
    assert (found["useful_share"], found["driver"]) == (pytest.approx(0.9), None)
    # all of it is of the one account: what was spent is what it was spent on
    assert sum(found["spending"].values()) == pytest.approx(found["spent_device_seconds"])


def test_why_a_trial_is_where_it_is(run, make_recorded):
    make_recorded("digits", TRIALS)
    done = run("status", "digits", "--why", "3")

    assert fits(done.stdout)
    for words in (
        "3 of digits (search)", "70.00% validation accuracy at 20.00 M MACs", "branches 3 5-6",
        "1 of its members is better", "trial 1    80.00%    +10.00 points  10.00 M         50%",
        "1  parent  0.300     70.0%",
    ):  # fmt: skip
        assert words in done.stdout
    assert "a member" in run("status", "digits", "--why", "1").stdout
    failed = run("status", "--why", "2").stdout
    assert "failed" in failed
    assert "ran out" in failed
    assert json.loads(run("status", "--why", "3", "--json").stdout)["dominated_by"][0]["trial"] == 1


@pytest.mark.parametrize("name", ["[red]digits", "[/nothing]"])
def test_what_looks_like_a_style_is_printed_as_it_is(run, make_recorded, name):
    make_recorded("digits", TRIALS, ended=f"ended by {name}", data={"name": name})
    assert f"resnet20 on {name}" in run("status").stdout
    assert f"ended by {name}" in run("status").stdout


def test_watching_ends_with_the_study(make_recorded):
    folder = make_recorded("digits", TRIALS, ended=None)
    with DriverLock(folder):
        watching = start("status", "digits", "--watch")
        first = watching.stdout.readline()
        with Ledger.open(folder.ledger_path) as ledger:
            ledger.end_trial(ledger.start_trial("search", {}, {}), "failed", "why not", 1.0)
            second = watching.stdout.readline()
            ledger.end_study("it was stopped")
    out, _ = watching.communicate(timeout=60)

    assert "3 complete, 1 failed" in first
    assert "3 complete, 2 failed" in second
    assert out.splitlines()[-1] == "digits ended: it was stopped"
    assert watching.returncode == 0


def test_a_script_that_watches_reads_a_document_a_line(make_recorded):
    folder = make_recorded("digits", TRIALS, ended=None)
    with DriverLock(folder):
        watching = start("status", "digits", "--watch", "--json")
        first = json.loads(watching.stdout.readline())
    out, _ = watching.communicate(timeout=60)
    last = json.loads(out)

    assert out.count("\n") == 1
    assert first["driver"]["pid"] == os.getpid()
    assert last["driver"] is None
    assert first["trials"] == last["trials"]


def test_watching_on_a_terminal_draws_over_itself_and_leaves_the_study_alone(make_recorded):
    folder = make_recorded("digits", TRIALS, ended=None)
    here, there = pty.openpty()
    with DriverLock(folder):
        watching = start("status", "digits", "--watch", stdout=there)
        os.close(there)
        shown = ""
        while shown.count("running: process") < 2:
            shown += os.read(here, 10_000).decode()
        watching.send_signal(2)
        with suppress(OSError):  # the terminal's other end is closed
            while os.read(here, 10_000):  # or its buffer fills and the command waits for us
                pass
        _, told = watching.communicate(timeout=60)
        assert driver_of(folder) is not None
    os.close(here)

    assert "watched no longer; the study goes on" in told
    assert watching.returncode == 0


def test_a_study_is_asked_to_stop_and_waited_for(run, make_recorded):
    folder = make_recorded("digits", TRIALS, ended=None)
    with DriverLock(folder):
        done = run("stop", "digits")
        assert read_requests(folder) == ControlRequests(stop=True)
        assert f"process {os.getpid()}" in done.stderr
        waiting = start("stop", "digits", "--wait")
        time.sleep(3)
        assert waiting.poll() is None
        with Ledger.open(folder.ledger_path) as ledger:
            ledger.end_study("a person stopped it")
    out, _ = waiting.communicate(timeout=60)

    assert (done.returncode, waiting.returncode) == (0, 0)
    assert out == "digits: no process drives it; it ended: a person stopped it\n"


def test_stopping_what_does_not_run_wishes_nothing(run, make_recorded):
    folder = make_recorded("digits", TRIALS)
    done = run("stop", "digits")

    assert (done.returncode, done.stdout) == (
        0, "digits: no process drives it; it ended: the budget was spent\n",
    )  # fmt: skip
    assert read_requests(folder) == ControlRequests()
    dead = make_recorded("dead", TRIALS, ended=None)
    assert "its driver died" in run("stop", dead.name).stdout


def test_concurrency_of_a_running_study_is_set(run, make_recorded):
    folder = make_recorded("digits", TRIALS, ended=None)
    with DriverLock(folder):
        done = run("set", "digits", "concurrency=1")
        assert read_requests(folder) == ControlRequests(concurrency=1)
        too_many = run("set", "digits", "concurrency=3")
        assert read_requests(folder) == ControlRequests(concurrency=1)
    idle = run("set", "digits", "concurrency=1")

    assert done.returncode == 0
    assert "as soon as a trial ends" in done.stderr
    assert (too_many.returncode, idle.returncode) == (2, 2)
    assert "at most 2, the places this study has reserved" in too_many.stderr
    assert "no process drives digits" in idle.stderr


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("concurrency", "concurrency=N, but got 'concurrency'$"),
        ("concurency=2", "but got 'concurency=2', did you mean 'concurrency'"),
        ("budget=2", "but got 'budget=2'$"),
        ("concurrency=0", "at least 1, but got '0'"),
        ("concurrency=-1", "at least 1, but got '-1'"),
        ("concurrency=1.5", "at least 1, but got '1.5'"),
        ("concurrency=\u0662", "at least 1"),
        ("concurrency=", "at least 1, but got ''"),
        ("concurrency=" + "9" * 5000, "at least 1"),
    ],
)
def test_a_setting_is_read_strictly(setting, message):
    with pytest.raises(InputError, match=message):
        read_concurrency(setting)
    assert read_concurrency("concurrency=04") == 4


def test_studies_are_compared(run, make_recorded, tmp_path):
    make_recorded("slow", TRIALS)
    make_recorded("quick", ((0.9, 40_000_000, 4.0), (0.9, 10_000_000, 6.0)))
    done = run("compare", "slow", "quick", "--to", "figure.svg")
    found = json.loads(run("compare", "slow", "quick", "--json").stdout)

    assert done.returncode == 0
    assert fits(done.stdout)
    told = " ".join(done.stdout.split())
    for words in (
        "slow 4 1.67 cpu-min 2 0.600 0.000 0.000 0.000 0.000",
        "quick 2 10 cpu-s 1 0.675 0.000 0.000 0.000 0.675",
        "slow against quick attains 0 of the 1 points of its front, and dominates 0 never reaches "
        "its final hypervolume of 0.675",
        "quick against slow attains 2 of the 2 points of its front, and dominates 2 reaches its "
        "final hypervolume of 0.600 after 10 cpu-s, 7.0 times faster (1.17 cpu-min there)",
    ):  # fmt: skip
        assert words in told
    assert (tmp_path / "figure.svg").read_bytes().startswith(b"<?xml")
    assert found["rivalries"][1]["speedup"] == pytest.approx(7)


def test_a_comparison_of_many_with_long_names_fits_80_columns(run, make_recorded):
    names = [letter * 64 for letter in "abc"]
    for name in names:
        make_recorded(name, ((0.9, 40_000_000, 4e6), (0.8, 10_000_000, 3e6)))
    done = run("compare", *names)
    assert fits(done.stdout)
    assert done.stdout.count("against") == 6
    assert fits(run("status", names[0]).stdout)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare", "digits"], "at least two"),
        (["compare", "digits", "digits"], "and differ"),
        (["compare", "digits", "other"], "start from equal networks"),
        (["compare", "digits", "nothing"], "no study is called 'nothing'"),
        (["compare", "digits", "digits", "--to", "x.gif"], "must end in .png"),
        (["status", "digits", "--why", "9"], "4 trials, numbered from 0, but got 9"),
        (["status", "digits", "--why", "1", "--watch"], "exclude each other"),
        (["status", "nothing"], "no study is called 'nothing'"),
        (["stop", "nothing"], "no study is called 'nothing'"),
        (["set", "digits", "concurency=1"], "did you mean 'concurrency'"),
        (["save", "nothing", "x.tar.gz"], "no study is called 'nothing'"),
        (["load", "nothing.tar.gz"], "a file that `autodepth save` wrote, not nothing.tar.gz"),
    ],
)
def test_what_cannot_be_used_is_one_message_and_status_2(run, make_recorded, arguments, message):
    make_recorded("digits", TRIALS)
    make_recorded("other", TRIALS, unpruned={"macs": 41e6})
    done = run(*arguments)

    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert message in done.stderr


def test_a_study_is_handed_over_as_one_file(run, make_recorded, tmp_path):
    folder = make_recorded("digits", TRIALS)
    saved = run("save", "digits", "digits.tar.gz")
    loaded = run("load", "digits.tar.gz", "--study", "copy")

    assert saved.stdout.startswith("digits.tar.gz: digits in 5 files, ")
    assert "copy: 4 trials, 2 on the front" in loaded.stdout
    assert run("front", "copy", "--json").stdout == run("front", "digits", "--json").stdout
    copy = Path(folder.path.parent, "copy", "trials", "1", "model.safetensors")
    assert copy.read_bytes() == b"weights of trial 1"
    assert run("load", "digits.tar.gz").returncode == 2
