"""New bounds, asked of a study that has ended: kept to the last multiply-accumulate."""

import time

import pytest

from autodepth.errors import SelectionError
from autodepth.networks.pruning.width import prune_width
from autodepth.records.ledger import Ledger
from autodepth.service.solving import stopwatch
from autodepth.service.solving.answer import read_bounds
from autodepth.service.solving.evidence import read_evidence
from autodepth.service.solving.solve import Solver
from autodepth.service.solving.stopwatch import Stopwatch
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
    assert answer.times["latency_ms"] > 0


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

    monkeypatch.setattr(stopwatch, "measure_table", measured)
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


def gains_little(narrower, gone):
    """What narrower branches save by the table is a fifth of what they save here."""
    return 0.5 * sum(0.2 * (1 - width) for width in narrower) + 0.5 * gone


def gains_less_together(narrower, gone):
    """Nothing is saved but by branches that go, and the more they are the less by each."""
    return 0.5 * gone * (1 - 0.02 * gone)


@pytest.mark.parametrize("device", [gains_little, gains_less_together])
@pytest.mark.parametrize("share", [95, 80, 60])
def test_a_bound_that_the_table_alone_breaks_is_kept_by_what_is_measured(
    scored, network, monkeypatch, share, device
):
    macs = {branch.index: branch.macs for branch in network.branches}
    built = []

    def latency_ms(_, metric, smaller):
        """Return milliseconds that do not add up as the table says: 0.5 for a whole branch."""
        assert metric == "latency_ms"
        widths = [branch.macs / macs[branch.index] for branch, _ in smaller.kept()]
        built.append(smaller)
        return 5.5 - device(widths, 9 - len(widths))

    monkeypatch.setattr(Stopwatch, "latency_ms", latency_ms)
    answer = solver_of(scored(narrower=True)).answer(read_bounds(f"latency_ms<={share}%"))
    bound = share / 100 * 5.5

    assert latency_ms(None, "latency_ms", built[0]) > bound
    assert answer.costs["latency_ms"] <= bound  # as the table predicts it, and
    assert answer.times["latency_ms"] <= bound  # as it is
    assert answer.times["latency_ms"] >= bound - 0.5  # not needlessly small
    assert answer.tries == len(built) - 1 > 1
    last, left = built[-2], network.without(answer.policy.branches)
    gone = answer.policy.channels_gone(branch.index for branch in left.branches)
    assert last.total_macs == prune_width(left, gone).total_macs
    told = answer.to_dict()
    assert (told["times"], told["tries"]) == (answer.times, answer.tries)


def test_a_prediction_that_holds_is_measured_once(scored, network, monkeypatch):
    monkeypatch.setattr(Stopwatch, "latency_ms", lambda *_: 4.0)
    answer = solver_of(scored(narrower=True)).answer(read_bounds("latency_ms<=4.2, macs<=90%"))
    assert (answer.tries, answer.times) == (1, {"latency_ms": 4.0})


def test_where_nothing_measured_keeps_a_bound_the_nearest_is_answered(scored, monkeypatch):
    times = iter([5.0, 4.5, 4.7, 4.8, 4.9, 5.1, 5.2])
    monkeypatch.setattr(Stopwatch, "latency_ms", lambda *_: next(times))
    solver = solver_of(scored(narrower=True))
    answer = solver.answer(read_bounds("latency_ms<=4"))

    assert answer.times == {"latency_ms": 4.5}
    assert answer.over(solver.unpruned) == pytest.approx(0.125)


def test_what_is_not_measured_is_told_to_be_predicted_only(scored):
    answer = solver_of(scored()).answer(read_bounds("latency_ms<=80%"))
    assert (answer.tries, answer.times) == (0, {})
    assert answer.predicted_only["latency_ms"].startswith("it was measured on cpu, but this is ")
    assert solver_of(scored("other")).answer(read_bounds("macs<=80%")).predicted_only == {}


def test_what_no_network_keeps_is_refused_with_what_the_barest_one_has(scored):
    with pytest.raises(
        SelectionError, match=r"no network keeps macs <= 1000: .* macs 4\.43e\+05, and of each"
    ):
        solver_of(scored()).answer(read_bounds("macs<=1k"))
