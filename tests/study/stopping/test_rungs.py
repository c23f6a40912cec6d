"""Rungs stop the hopeless, say why, and never stop what may still reach the front."""

from __future__ import annotations

import math
import statistics
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodepth.errors import InputError
from autodepth.front.dominance import dominates
from autodepth.study.stopping.rungs import Rungs

GOALS = ("maximize", "minimize")
# (accuracy at 25 %, cost, accuracy at the end): gaps at the rung stay, for the most part.
KNOWN = [
    (0.80, 100, 0.90),
    (0.70, 80, 0.86),
    (0.60, 60, 0.83),
    (0.50, 50, 0.77),
    (0.78, 100, 0.88),
    (0.40, 90, 0.74),
]
# Few distinct values, so that ties and equal points are common; None came to no end.
PEERS = st.lists(
    st.tuples(
        st.integers(0, 20).map(lambda n: n / 20),
        st.integers(1, 6),
        st.one_of(st.none(), st.integers(0, 20).map(lambda n: n / 20)),
        st.sampled_from([0.01, 0.1]),
    ),
    max_size=25,
)


def with_peers(peers=KNOWN, **kwargs):
    """Return rungs at which peers passed 25 % of four epochs, numbered from 0."""
    rungs = Rungs(at=(0.25,), **kwargs)
    for number, (accuracy, cost, end, *rate) in enumerate(peers):
        shape = {"rate": rate[0]} if rate else {}
        rungs.note(number, "fine_tune", 1, 4, accuracy, cost, **shape)
        if end is not None:
            rungs.final(number, end)
    return rungs


def judged(rungs, accuracy, cost, *, trial=99, **shape):
    return rungs.report(trial, "fine_tune", 1, 4, accuracy, cost, **shape)


def test_a_hopeless_trial_is_stopped_and_the_reason_is_said():
    verdict = judged(with_peers(), 0.45, 75)

    assert (verdict.trial, verdict.rung, verdict.rank, verdict.of) == (99, "fine_tune 25 %", 2, 7)
    assert verdict.stop
    assert verdict.reason == (
        "rank 2 at fine_tune 25 %: 15.0 points below trial 2, which costs 20.0 % less; expected to "
        "end 5.0 below it, more than the 0.5 that are open (7 trials compared)"
    )


def test_a_cheap_trial_goes_on_however_inaccurate_it_is():
    verdict = judged(with_peers(), 0.15, 49)

    assert (verdict.rank, verdict.stop) == (1, False)
    assert "none that costs no more is more accurate" in verdict.reason


def test_a_small_gap_is_left_open():
    verdict = judged(with_peers(margin=1.0), 0.79, 100)

    assert (verdict.rank, verdict.stop) == (2, False)
    assert "1.0 points below trial 0, which costs as much" in verdict.reason
    assert "within the" in verdict.reason


def test_a_wider_margin_stops_less():
    assert judged(with_peers(margin=0.5), 0.57, 60).stop
    assert not judged(with_peers(margin=50), 0.57, 60).stop


def test_nobody_is_stopped_before_enough_came_to_the_end():
    running = [(accuracy, cost, None) for accuracy, cost, _ in KNOWN]
    rungs = with_peers(running)
    stops = []
    for number, (*_, end) in enumerate(KNOWN):
        stops.append(judged(rungs, 0.45, 75).stop)
        rungs.final(number, end)

    assert stops == [False] * 5 + [True]
    assert "nobody is stopped before 5" in judged(with_peers(running), 0.45, 75).reason


def test_the_best_by_rank_and_contribution_go_on():
    assert not judged(with_peers(keep=1), 0.3, 100).stop
    second = judged(with_peers(keep=0.7), 0.57, 60)

    assert (second.rank, second.stop) == (2, False)
    assert "among the best 70 % by rank and contribution" in second.reason
    assert judged(with_peers(keep=0.5), 0.57, 60).stop


def test_within_a_rank_the_larger_contribution_is_kept():
    # Beside each, (0.78, 100) is of rank 2 too. Four stand before them, and there is room for one.
    large, small = (0.68, 85), (0.41, 86)
    verdicts = [judged(with_peers(keep=0.7), *point) for point in (large, small)]

    assert [(verdict.rank, verdict.stop) for verdict in verdicts] == [(2, False), (2, True)]
    assert judged(with_peers(), *large).stop


def test_where_a_rung_tells_nothing_of_the_end_nothing_is_stopped():
    same = [(accuracy, cost, 0.9) for accuracy, cost, _ in KNOWN]
    reverse = [(accuracy, cost, 1 - accuracy) for accuracy, cost, _ in KNOWN]

    for peers in (same, reverse):
        verdict = judged(with_peers(peers, keep=0, margin=0), 0.1, 200)
        assert (verdict.rank > 1, verdict.stop) == (True, False)
        assert "accuracy here told nothing of the end" in verdict.reason


def test_a_learning_rate_alone_stops_nothing():
    # The rate tells everything of the end, and what is seen at the rung nothing.
    low = [(0.80, 100, 0.70, 0.01), (0.79, 99, 0.72, 0.01), (0.50, 98, 0.71, 0.01)]
    high = [(0.80, 97, 0.90, 0.1), (0.81, 96, 0.91, 0.1), (0.50, 95, 0.92, 0.1)]
    rungs = with_peers(low + high, keep=0, margin=0)

    assert not judged(rungs, 0.7, 100, rate=0.01).stop


def test_a_learning_rate_that_hides_where_a_curve_goes_is_allowed_for():
    # A low rate halves the error from here on, a high one leaves a quarter of it.
    slow = [(1 - e, 100 - 10 * n, 1 - e / 2, 0.01) for n, e in enumerate([0.2, 0.3, 0.42, 0.5])]
    fast = [(1 - e, 100 - 10 * n, 1 - e / 4, 0.1) for n, e in enumerate([0.38, 0.56, 0.8])]
    rate_unknown = [peer[:3] for peer in slow + fast]

    assert not judged(with_peers(slow + fast), 0.66, 100, rate=0.1).stop
    assert judged(with_peers(slow + fast), 0.66, 100, rate=0.01).stop
    assert judged(with_peers(rate_unknown), 0.66, 100).stop


def test_an_accuracy_that_is_not_a_number_stops_and_is_no_peer():
    rungs = with_peers()
    verdict = judged(rungs, math.nan, 10)

    assert (verdict.rank, verdict.of, verdict.stop) == (7, 7, True)
    assert "not a number" in verdict.reason
    assert judged(rungs, 0.2, 20, trial=100).of == 7
    assert Rungs().report(0, "fine_tune", 1, 4, math.nan, 10).stop


def test_a_repeated_epoch_that_is_not_a_number_takes_the_earlier_one_away():
    rungs = with_peers()
    judged(rungs, 0.9, 10)
    verdict = judged(rungs, math.nan, 10)

    assert (verdict.of, verdict.stop) == (7, True)
    assert judged(rungs, 0.45, 10, trial=100).rank == 1


@pytest.mark.parametrize(
    ("epochs", "expected"),
    [
        (1, {}),
        (2, {1: 50}),
        (3, {1: 25, 2: 50}),
        (4, {1: 25, 2: 50}),
        (5, {2: 25, 3: 50}),
        (16, {4: 25, 8: 50}),
        (160, {40: 25, 80: 50}),
    ],
)
def test_a_rung_is_the_first_epoch_at_its_share_and_never_the_last(epochs, expected):
    rungs = Rungs()
    found = {
        epoch: verdict.rung
        for epoch in range(1, epochs + 1)
        if (verdict := rungs.report(0, "fine_tune", epoch, epochs, 0.5, 1.0))
    }

    assert found == {epoch: f"fine_tune {share} %" for epoch, share in expected.items()}


def test_a_share_of_many_epochs_is_not_lost_to_rounding():
    assert Rungs(at=(0.07,)).report(0, "parent", 7, 100, 0.5, 1.0).rung == "parent 7 %"


def test_schedules_of_other_lengths_meet_at_equal_shares():
    rungs = with_peers()
    verdict = rungs.report(99, "fine_tune", 4, 16, 0.45, 75)

    assert (verdict.of, verdict.stop) == (7, True)


def test_a_parent_that_drops_more_is_not_judged_by_those_that_drop_less():
    rungs = Rungs()
    for number in range(6):
        accuracy = 0.70 + 0.02 * number
        rungs.report(number, "parent", 25, 100, accuracy, 1.0)
        rungs.report(number, "parent", 100, 100, accuracy + 0.1, 1.0)

    assert rungs.report(7, "parent", 25, 100, 0.65, 1.0).stop
    assert not rungs.report(8, "parent", 25, 100, 0.65, 0.75).stop


def test_stages_are_compared_apart():
    verdict = with_peers().report(99, "parent", 1, 4, 0.1, 1000)

    assert (verdict.rank, verdict.of, verdict.stop) == (1, 1, False)


def test_what_is_taken_in_after_a_resume_judges_as_before():
    epochs = [
        (number, epoch, accuracy if epoch < 4 else end, cost)
        for number, (accuracy, cost, end) in enumerate(KNOWN)
        for epoch in range(1, 5)
    ]
    before, after = Rungs(), Rungs()
    for number, epoch, accuracy, cost in epochs:
        before.report(number, "fine_tune", epoch, 4, accuracy, cost)
        after.note(number, "fine_tune", epoch, 4, accuracy, cost)
    for verdict in before.verdicts:
        after.recall(verdict)

    assert len(before.verdicts) == 12
    assert judged(before, 0.45, 75) == judged(after, 0.45, 75)
    assert before.verdicts == after.verdicts
    assert before.verdicts[-1].stop


def test_a_rung_that_is_repeated_counts_once():
    rungs = with_peers()
    first, second = judged(rungs, 0.45, 75), judged(rungs, 0.75, 75)

    assert (first.of, second.of) == (7, 7)
    assert (first.stop, second.stop) == (True, False)
    assert rungs.verdicts == (second,)
    other = judged(rungs, 0.9, 75, trial=100)
    last = judged(rungs, 0.74, 75)
    assert rungs.verdicts == (other, last)


@given(PEERS, st.integers(0, 20), st.integers(1, 6), st.sampled_from([0.01, 0.1]))
def test_the_first_front_is_never_stopped_and_the_rank_is_right(peers, accuracy, cost, rate):
    own = (accuracy / 20, cost)
    points = [(a, c) for a, c, *_ in peers]
    left, rank = [*points, own], 1
    while any(dominates(other, own, GOALS) for other in left):
        left = [p for p in left if any(dominates(other, p, GOALS) for other in left)]
        rank += 1
    verdict = judged(with_peers(peers, keep=0, margin=0, fewest=4), *own, rate=rate)

    assert verdict.rank == rank
    assert not (verdict.stop and rank == 1)
    assert verdict.of == len(peers) + 1


@given(PEERS, st.integers(0, 20), st.integers(1, 6), st.randoms(use_true_random=False))
def test_the_order_in_which_peers_came_changes_nothing(peers, accuracy, cost, generator):
    order = list(enumerate(peers))
    generator.shuffle(order)
    verdicts = []
    for numbered in (list(enumerate(peers)), order):
        rungs = Rungs(at=(0.25,), fewest=4)
        for number, (a, c, end, rate) in numbered:
            rungs.note(number, "fine_tune", 1, 4, a, c, rate=rate)
            if end is not None:
                rungs.final(number, end)
        verdicts.append(judged(rungs, accuracy / 20, cost))

    assert verdicts[0] == verdicts[1]


@given(PEERS, st.integers(0, 20), st.integers(1, 6))
def test_equal_trials_have_one_rank_and_one_fate(peers, accuracy, cost):
    rungs = with_peers(peers, fewest=4)
    judged(rungs, accuracy / 20, cost, trial=99)
    verdicts = [judged(rungs, accuracy / 20, cost, trial=number) for number in (100, 99)]

    assert verdicts[0].rank == verdicts[1].rank
    assert verdicts[0].stop == verdicts[1].stop


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"phase": "prune"}, "phase must be one of parent, fine_tune, scratch, but got 'prune'"),
        ({"epoch": 0}, r"an epoch must be in 1..4, but got 0"),
        ({"epoch": 5}, r"an epoch must be in 1..4, but got 5"),
        ({"accuracy": 97.1}, r"an accuracy must be in \[0, 1\] or not a number, but got 97.1"),
        ({"accuracy": math.inf}, "an accuracy must be"),
        ({"cost": math.nan}, "a cost must be at least 0 and finite, but got nan"),
        ({"cost": -1.0}, "a cost must be"),
        ({"rate": 0.0}, "a learning rate must be above 0 and finite, but got 0.0"),
    ],
)
def test_an_epoch_out_of_range_is_refused_and_leaves_nothing(change, message):
    epoch = {"phase": "fine_tune", "epoch": 1, "epochs": 4, "accuracy": 0.5, "cost": 1.0} | change
    rungs = Rungs()
    with pytest.raises(InputError, match=message):
        rungs.report(0, **epoch)
    with pytest.raises(InputError, match="an accuracy"):
        rungs.final(0, -0.1)

    assert rungs.verdicts == ()
    assert rungs.report(1, "fine_tune", 1, 4, 0.5, 1.0).of == 1


def test_no_rungs_judge_nothing():
    rungs = Rungs(at=())

    assert [rungs.report(0, "fine_tune", epoch, 4, 0.5, 1.0) for epoch in range(1, 5)] == [None] * 4


@pytest.fixture(scope="module")
def simulated():
    """Return the benchmark of simulated studies as a module."""
    folder = str(Path(__file__).parents[3] / "benchmarks")
    sys.path.insert(0, folder)
    try:
        import rungs_simulated
    finally:
        sys.path.remove(folder)
    return rungs_simulated


def test_simulated_studies_save_60_percent_and_lose_1(simulated):
    studies = [simulated.draw_curves(simulated.CONDITIONS["usual"], seed) for seed in range(5)]
    scores = simulated.measure(studies, ["rungs", "accuracy alone"])
    saved, lost = (
        {who: statistics.fmean(getattr(s, name) for s in all_) for who, all_ in scores.items()}
        for name in ("saved", "lost")
    )

    assert saved["rungs"] >= 0.6
    assert lost["rungs"] <= 0.01
    assert lost["accuracy alone"] > 5 * lost["rungs"]
    # A study without rungs that spends as many epochs finds less.
    assert statistics.fmean(s.lost_plain for s in scores["rungs"]) > 2 * lost["rungs"]


def test_a_simulated_study_is_the_same_every_time(simulated):
    condition = simulated.CONDITIONS["40 trials"]
    twice = [simulated.measure([simulated.draw_curves(condition, 3)], ["rungs"]) for _ in range(2)]

    assert twice[0] == twice[1]
