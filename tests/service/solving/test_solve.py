"""New bounds, asked of a study that has ended: kept to the last multiply-accumulate."""

import time

import pytest

from autodepth.errors import InputError, SelectionError
from autodepth.networks.pruning.width import prune_width
from autodepth.records.ledger import Ledger
from autodepth.service.solving import solve
from autodepth.service.solving.evidence import read_evidence
from autodepth.service.solving.solve import Solver, read_bounds
from autodepth.trial.device.latency_table import LatencyTable

SHARES = (97, 90, 80, 75, 66, 60, 50)
WISHES = [
    *(f"{what} <= {share}%" for what in ("macs", "params") for share in SHARES),
    *(f"latency_ms <= {share}%" for share in SHARES[:6]),
]


def solver_of(folder):
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        return Solver(read_evidence(ledger))


@pytest.mark.parametrize("narrower", [False, True])
def test_twenty_bounds_of_three_kinds_are_answered_at_once(scored, network, narrower):
    began = time.process_time()  # what else the machine does is not counted
    solver = solver_of(scored(narrower=narrower))
    answers = [solver.answer(read_bounds(wish)) for wish in WISHES]

    assert len(answers) == 20
    assert time.process_time() - began < 10
    assert any(answer.policy.widths for answer in answers) == narrower
    for answer in answers:
        smaller, (bound,) = network.without(answer.policy.branches), answer.bounds
        smaller = prune_width(smaller, answer.policy.channels_gone(range(1, 10)))
        assert answer.costs["macs"] == smaller.total_macs
        assert answer.costs["parameters"] == smaller.total_parameters
        whole = {
            "macs": network.total_macs,
            "parameters": network.total_parameters,
            "latency_ms": 5.5,
        }
        assert bound.excess(answer.costs[bound.metric], whole[bound.metric]) <= 0
        assert 0 < answer.expected <= 1
        assert answer.spread > 0
        if answer.measured is not None:
            cost = answer.measured.point.value(bound.metric)
            assert bound.excess(cost, whole[bound.metric]) <= 0


def test_bounds_of_one_wish_hold_together_and_the_better_parent_is_taken(scored):
    bounds = read_bounds("macs<=70%, parameters >= 200k, size_bytes<=1M")
    answer = solver_of(scored()).answer(bounds)
    assert answer.asked == "macs <= 70%, parameters >= 200000, size_bytes <= 1000000"
    assert answer.costs["macs"] <= 0.7 * 40_551_040
    assert answer.costs["parameters"] >= 200_000
    # There the first branches, which have few parameters, are worth least.
    assert answer.policy.train.weight_decay == 3.0
    assert answer.to_dict()["removed"] == list(answer.policy.branches)


def test_latencies_are_measured_where_the_study_did_not_ask_for_them(scored):
    answer = solver_of(scored(latencies=False)).answer(read_bounds("latency_ms<=80%"))
    assert answer.policy.branches
    assert answer.costs["latency_ms"] > 0


def test_what_narrower_branches_take_is_measured_too(scored, monkeypatch):
    asked = []

    def measured(network, device, threads, widths=()):
        asked.append(tuple(widths))
        branches = dict.fromkeys(range(1, 10), 1.0)
        narrow = {width: dict.fromkeys(branches, 0.9) for width in widths}  # hardly faster
        return LatencyTable(
            device="cpu", threads=1, whole_ms=10.0, around_ms=1.0, branches_ms=branches,
            narrow_ms=narrow,
        )  # fmt: skip

    monkeypatch.setattr(solve, "measure_table", measured)
    answer = solver_of(scored(latencies=False, narrower=True)).answer(
        read_bounds("latency_ms<=75%")
    )

    assert asked == [(0.25, 0.5, 0.75)]
    taken = {1.0: 1.0, 0.0: 0.0}
    widths = {b: dict(answer.policy.widths).get(b, 1.0) for b in range(1, 10)}
    widths |= dict.fromkeys(answer.policy.branches, 0.0)
    assert answer.costs["latency_ms"] == pytest.approx(
        1.0 + sum(taken.get(width, 0.9) for width in widths.values())
    )
    assert answer.costs["latency_ms"] <= 7.5


def test_what_no_network_keeps_is_refused_with_what_the_barest_one_has(scored):
    with pytest.raises(
        SelectionError, match=r"no network keeps macs <= 1000: .* macs 4\.43e\+05, and of each"
    ):
        solver_of(scored()).answer(read_bounds("macs<=1k"))


def test_what_is_no_bound_is_refused():
    with pytest.raises(InputError, match=r"a bound must be METRIC <= NUMBER.*'macs=1'"):
        read_bounds("macs=1")
    with pytest.raises(InputError, match=r"must be of macs, .*'accuracy >= 0\.9'"):
        read_bounds("macs<=50%, accuracy >= 0.9")
