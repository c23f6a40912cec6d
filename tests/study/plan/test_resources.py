"""What a trial reserves: read, fitted to a machine, charged, and refused where it does not fit."""

import json

import pytest
from typer.testing import CliRunner

from autodepth.cli.main import app
from autodepth.errors import BudgetError, InputError
from autodepth.study.cluster.nodes import Node
from autodepth.study.plan.resource_request import ResourceRequest, parse_per_trial
from autodepth.study.plan.resources import allocate, choose_resources


@pytest.mark.parametrize(
    ("wish", "concurrency", "count", "gpus", "charged", "whole"),
    [
        (None, None, 4, 1.0, 4.0, 4),
        (None, 8, 8, 0.5, 4.0, 4),
        (None, 6, 6, 0.5, 3.0, 3),  # two on each: a third of a fourth GPU serves nobody
        ("0.25gpu", None, 16, 0.25, 4.0, 4),
        ("0.25gpu", 3, 3, 0.25, 0.75, 1),
        ("0.4gpu", None, 8, 0.4, 3.2, 4),
        ("2gpu", None, 2, 2.0, 4.0, 4),
        ("2gpu", 1, 1, 2.0, 2.0, 2),
        ("3gpu", None, 1, 3.0, 3.0, 3),
        ("1gpu,8cpu", None, 2, 1.0, 2.0, 2),  # the CPUs are the narrower
    ],
)
def test_trials_share_gpus_and_are_charged_for_what_they_reserve(
    wish, concurrency, count, gpus, charged, whole
):
    made = allocate(
        "gpu", [(16, 4)], concurrency=concurrency,
        wish=parse_per_trial(wish) if wish else ResourceRequest(),
    )  # fmt: skip

    assert (made.count, made.gpus, made.whole_gpus) == (count, gpus, whole)
    assert made.devices == pytest.approx(charged)
    assert len(made.bundles) == made.ranks == max(1, int(gpus))
    assert sum(bundle["GPU"] for bundle in made.bundles) == gpus


@pytest.mark.parametrize(
    ("wish", "concurrency", "count", "cpus", "ranks", "threads"),
    [
        (None, None, 6, 1, 1, 1),
        (None, 4, 4, 1, 1, 1),
        ("2cpu", None, 3, 2, 1, 2),
        ("4cpu", 1, 1, 4, 1, 4),
        ("2x2cpu", None, 1, 4, 2, 2),
        ("3x1cpu", 2, 2, 3, 3, 1),
    ],
)
def test_trials_share_cpus(wish, concurrency, count, cpus, ranks, threads):
    made = allocate(
        "cpu", [(6, 0)], concurrency=concurrency,
        wish=parse_per_trial(wish) if wish else ResourceRequest(),
    )  # fmt: skip

    assert (made.count, made.cpus, made.ranks, made.threads) == (count, cpus, ranks, threads)
    assert (made.devices, made.whole_gpus) == (count * cpus, 0)


@pytest.mark.parametrize(
    ("device", "gpus", "wish", "concurrency", "told"),
    [
        ("gpu", 4, "8gpu", None, "1 trial of 8gpu .* 16 CPUs and 4 GPUs: room for 0"),
        ("gpu", 4, "0.5gpu", 9, "9 trials of 0.5gpu .* room for 8"),
        ("gpu", 1, "0.25gpu,8cpu", 3, "room for 2"),
        ("cpu", 0, "3x8cpu", None, "it has 16 CPUs: room for 0"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_there_is(device, gpus, wish, concurrency, told):
    with pytest.raises(InputError, match=told):
        allocate(device, [(16, gpus)], concurrency=concurrency, wish=parse_per_trial(wish))


def test_a_trial_of_several_processes_stays_on_one_of_several_machines():
    made = allocate("cpu", [(3, 0), (4, 0)], concurrency=None, wish=parse_per_trial("2x1cpu"))

    assert (made.count, made.cpus, made.ranks) == (3, 2, 2)
    with pytest.raises(InputError, match=r"4 trials of 2x1cpu .* 7 CPUs: room for 3"):
        allocate("cpu", [(3, 0), (4, 0)], concurrency=4, wish=parse_per_trial("2x1cpu"))


def test_gpus_are_refused_where_trials_compute_on_cpus():
    with pytest.raises(InputError, match="but the budget is one of CPU time"):
        choose_resources("cpu", per_trial=parse_per_trial("1gpu"))


def test_the_plan_says_what_each_trial_has():
    words = ["search", "--dry-run", "--budget", "1cpu-min", "--per-trial", "1cpu", "--json"]
    plan = json.loads(CliRunner().invoke(app, words).stdout)

    assert plan["per_trial"] == "1cpu"
    assert plan["devices"] == plan["concurrency"]


def node(name, cpus, gpus=0, *, here=False):
    return Node(name=name, id=name * 2, cpus=cpus, gpus=gpus, here=here)


@pytest.mark.parametrize(
    ("nodes", "wish", "count", "cpus"),
    [
        ([node("a", 4), node("b", 4)], None, 8, 1),
        ([node("a", 4), node("b", 4)], 2, 2, 4),
        ([node("a", 4), node("b", 4)], 3, 3, 2),
        ([node("a", 8), node("b", 1)], 2, 2, 4),
    ],
)
def test_a_trial_on_cpus_stays_on_one_node(nodes, wish, count, cpus):
    resources = choose_resources("cpu", wish, nodes)

    assert (resources.count, resources.cpus) == (count, cpus)


def test_gpus_of_all_nodes_count_and_several_trials_may_share_one():
    nodes = [node("a", 8, 2), node("b", 8, 1), node("c", 4)]

    assert choose_resources("gpu", None, nodes).count == 3
    shared = choose_resources("gpu", 6, nodes)
    assert (shared.count, shared.gpus, shared.devices) == (6, 0.5, 3.0)
    assert choose_resources("cpu", None, nodes).count == 20


def test_wishes_the_nodes_cannot_meet_are_refused():
    nodes = [node("a", 2), node("b", 2)]
    with pytest.raises(BudgetError, match="no node of the cluster has one"):
        choose_resources("gpu", None, nodes)
    with pytest.raises(InputError, match=r"must be in \[1, 4\] \(CPUs of the cluster\), but got 5"):
        choose_resources("cpu", 5, nodes)
