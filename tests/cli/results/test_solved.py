"""`autodepth front --solve`: bounds answered on the command line."""

import json

from autodepth.cli.results import solved
from autodepth.policy.policy import Policy
from autodepth.service.solving.answer import Answer, read_bounds


def test_bounds_are_answered_as_a_table_and_as_a_document(scored, run):
    scored("done")
    told = run("front", "done", "--solve", "macs<=60%", "--solve", "latency_ms<=4,params<=250k")
    assert told.returncode == 0
    assert "macs <= 60%" in told.stdout
    said = " ".join(told.stderr.split())
    assert "learned from 12 networks" in said
    assert "latency_ms is predicted only: it was measured on cpu, but this is " in said
    assert "on front" in told.stdout
    assert "removed" in told.stdout

    document = json.loads(run("front", "done", "--solve", "macs<=60%", "--json").stdout)
    (answer,) = document["answers"]
    assert answer["macs"] <= 0.6 * 40_551_040
    assert document["learned_from"] == 12
    assert document["trial"] is None


def test_whether_branches_can_become_narrower_is_said(scored, run):
    scored("narrower", narrower=True)
    scored("removal")
    wish = ("--solve", "macs<=60%")
    assert "branches go or stay whole" in " ".join(run("front", "removal", *wish).stderr.split())
    assert "branches go or stay whole" not in run("front", "narrower", *wish).stderr

    told = [
        json.loads(run("front", name, *wish, "--json").stdout) for name in ("removal", "narrower")
    ]
    assert [document["widths"] for document in told] == [[], [0.25, 0.5, 0.75]]


def test_what_cannot_be_asked_is_refused(scored, run):
    scored("done")
    alone = run("front", "done", "--carry-out")
    assert alone.returncode == 2
    assert "--carry-out needs bounds to solve for" in alone.stderr
    two = run("front", "done", "--solve", "macs<=60%", "--solve", "macs<=50%", "--carry-out")
    assert two.returncode == 2
    assert "--carry-out takes one --solve, but got 2" in two.stderr


def told_of(capsys, **answered):
    bounds = read_bounds("latency_ms<=4, latency_ms@phone<=9")
    answer = Answer(
        bounds=bounds, policy=Policy(branches=(1,)), template=1, expected=0.9, spread=0.01,
        costs={"macs": 1_000, "parameters": 10, "latency_ms": 3.5, "latency_ms@phone": 8.0},
        measured=None, **answered,
    )  # fmt: skip
    solved.print_answers([answer], {"latency_ms": 10.0, "latency_ms@phone": 20.0})
    out, err = capsys.readouterr()
    return out, " ".join(err.split())


def test_latencies_are_told_as_measured_and_as_predicted(capsys):
    out, err = told_of(capsys, times={"latency_ms": 3.9}, predicted_only={"latency_ms@phone": "no"})
    cells = out.split()
    assert cells[cells.index("3.9") :][:2] == ["3.9", "ms"]
    assert all(told in cells for told in ("~3.5", "phone", "~8", "removed", "front"))
    assert "latency_ms@phone is predicted only: no" in err
    assert "nothing was found" not in err


def test_bounds_that_nothing_measured_keeps_are_told(capsys):
    times = {"latency_ms": 5.0, "latency_ms@phone": 9.0}
    _, err = told_of(capsys, times=times, tries=6)
    assert "nothing was found that keeps it; of 6 networks" in err
    assert "over it least, by 25.0%" in err
