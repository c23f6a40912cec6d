"""What every search keeps, whoever samples and whoever runs it: in process, on Ray, or made up.

The simulated runner trains nothing, so it is held to the driver's part of each promise in a second.
"""

from types import SimpleNamespace

import pytest
from study.simulated import SimulatedStudy

from autodepth.records.ledger import Ledger
from autodepth.records.studies import find_study
from autodepth.service.search.search import search
from autodepth.trial.result import TrialState

TINY = (
    "network.name=resnet14",
    "data.train_images=48",
    "data.validation=60",
    "train.epochs=1",
    "sampler.startup_trials=2",
    "search={p_L: {type: float, min: 0.8, max: 1.0, step: 0.1},"
    " decay_shape: {type: choice, values: [linear, power]},"
    " decay_power: {type: choice, values: [0.5, 2.0], when: {decay_shape: power}},"
    " branches_removed: {type: int, min: 0, max: 3},"
    " filter_sparsity: {type: float, min: 0.0, max: 0.8, step: 0.2},"
    " fine_tune_epochs: {type: int, min: 0, max: 1}}",
)
RUNNERS = [
    "simulated",
    "in-process",
    pytest.param(
        "ray",
        marks=[
            pytest.mark.slow,
            pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
            pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning"),
            pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
        ],
    ),
]
ON_RAY = RUNNERS[-1].marks
LONG_ON_RAY = [*RUNNERS[:-1], pytest.param("ray", marks=[*ON_RAY, pytest.mark.long])]


def simulated(name, *settings, budget, seed):
    study = SimulatedStudy(name, budget, *TINY, *settings, concurrency=1, seed=seed)
    while (task := study.next()) is not None:
        study.report(task)
        study.carry_out(task)
    study.end("the budget was spent")
    with Ledger.open(find_study(name).ledger_path, read_only=True) as ledger:
        trials, front = ledger.trials(), tuple(ledger.front())
    complete = sum(trial.result is not None for trial in trials)
    return SimpleNamespace(front=front, complete=complete), trials


def run(name, runner, *settings, budget="6trials", seed=0):
    if runner == "simulated":
        return simulated(name, *settings, budget=budget, seed=seed)
    result = search(
        budget=budget, study=name, seed=seed, settings=[*TINY, *settings], runner=runner,
        concurrency=2 if runner == "ray" else None,
    )  # fmt: skip
    with Ledger.open(find_study(name).ledger_path, read_only=True) as ledger:
        return result, ledger.trials()


@pytest.mark.parametrize(
    ("sampler", "runner"),
    [(name, "simulated") for name in ("tpe", "nsga2", "random")]
    + [(name, "in-process") for name in ("tpe", "nsga2", "gp", "qmc", "random")]
    + [
        pytest.param(name, "ray", marks=[*ON_RAY, pytest.mark.long])
        for name in ("tpe", "nsga2", "qmc")
    ],
)
def test_every_sampler_brings_a_study_to_its_end(sampler, runner):
    result, trials = run("samplers", runner, f"sampler.name={sampler}", "sampler.population=3")

    assert result.complete == len(trials) == 6
    assert all(("decay_power" in t.point) == (t.point["decay_shape"] == "power")
               for t in trials if t.kind == "search")  # fmt: skip
    assert result.front


@pytest.mark.parametrize("runner", LONG_ON_RAY)
def test_bounds_on_costs_are_kept_and_what_breaks_them_is_never_trained(runner):
    result, trials = run("costs", runner, "constraints=[macs <= 60%, params <= 70%]")
    (unpruned,) = [trial.result.point for trial in trials if trial.kind == "unpruned"]
    refused = [trial for trial in trials if trial.state is TrialState.INFEASIBLE]

    assert all(member.point.macs <= 0.6 * unpruned.macs for member in result.front)
    assert all(member.point.parameters <= 0.7 * unpruned.parameters for member in result.front)
    assert all("macs <=" in t.reason or "parameters <=" in t.reason for t in refused)
    for trial in trials:  # nothing that was fine-tuned breaks a bound
        if trial.result is not None and trial.kind == "search":
            assert trial.result.point.macs <= 0.6 * unpruned.macs
    with Ledger.open(find_study("costs").ledger_path, read_only=True) as ledger:
        for trial in refused:
            assert all(epoch.phase == "parent" for epoch in ledger.epochs(trial.number))


@pytest.mark.parametrize("runner", LONG_ON_RAY)
def test_bounds_known_only_afterwards_keep_trials_off_the_front(runner):
    # A made-up study needs no table of latencies, which takes seconds to measure.
    bound = "size_bytes <= 1G" if runner == "simulated" else "latency_ms <= 10000"
    result, trials = run("after", runner, f"constraints=[accuracy >= 0.999, {bound}]")

    assert result.front == ()
    assert all("validation_accuracy >= 0.999" in t.reason for t in trials if t.result is not None)


@pytest.mark.parametrize("runner", LONG_ON_RAY)
def test_a_search_begins_with_the_policies_it_is_given(runner):
    first = (
        "start_with=[{p_L: 0.9, branches_removed: 2, fine_tune_epochs: 1}, "
        "{p_L: 0.8, branches_removed: 1}, unpruned]"
    )
    _, trials = run("first", runner, first, budget="5trials")
    tried = [(t.point["p_L"], t.point["branches_removed"]) for t in trials if t.kind == "search"]

    assert tried[:2] == [(0.9, 2), (0.8, 1)]
    if runner != "ray":  # else it waits for the control, which trains the same parent
        assert tried[2] == (1.0, 0)


@pytest.mark.parametrize(
    ("sampler", "runner"),
    [("tpe", "simulated"), ("tpe", "in-process"), ("random", "simulated")]
    + [
        pytest.param(name, "in-process", marks=pytest.mark.long)
        for name in ("random", "nsga2", "gp", "qmc")
    ],
)
def test_the_same_seed_gives_the_same_policies(sampler, runner):
    wanted = f"sampler.name={sampler}"
    points = [
        [trial.point for trial in run(name, runner, wanted, seed=seed)[1]]
        for name, seed in (("one", 5), ("two", 5), ("other", 6))
    ]

    assert points[0] == points[1] != points[2]
