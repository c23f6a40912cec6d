"""`autodepth front --solve`: bounds answered on the command line."""

import json


def test_bounds_are_answered_as_a_table_and_as_a_document(scored, run):
    scored("done")
    told = run("front", "done", "--solve", "macs<=60%", "--solve", "latency_ms<=4,params<=250k")
    assert told.returncode == 0
    assert "macs <= 60%" in told.stdout
    assert "learned from 12 networks" in " ".join(told.stderr.split())

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
