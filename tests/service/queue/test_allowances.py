"""Allowances: what is asked for is set aside, what was taken stays taken."""

import pytest
from service.queue.queues import ALICE, BOB, OWNERS, steered

from autodepth.errors import NotAllowedError
from autodepth.service.queue.wishes import SearchWish
from autodepth.units import Budget


def ask(steering, owner, study, budget):
    return steering.search(owner, SearchWish(study=study, budget=budget), study)[0]


def test_an_allowance_is_set_aside_and_charged_exactly():
    with steered(OWNERS) as steering:
        first = ask(steering, ALICE, "a", "4cpu-min")
        ask(steering, ALICE, "b", "6cpu-min")
        with pytest.raises(NotAllowedError, match="alice has 0 cpu-s left of an allowance of 10"):
            ask(steering, ALICE, "c", "1cpu-s")
        steering.store.end(first, "done", None, 100.0)
        account = steering.allowances.account("alice")
        assert (account.charged, account.reserved, account.left) == (100.0, 360.0, 140.0)
        ask(steering, ALICE, "c", "140cpu-s")
        with pytest.raises(NotAllowedError):
            ask(steering, ALICE, "d", "1cpu-s")
    with steered(OWNERS) as steering:  # another server
        assert steering.allowances.account("alice").left == 0.0
        for each in steering.store.works(unfinished=True):
            steering.cancel(ALICE, each.number)
        assert steering.allowances.account("alice").left == 500.0
        ask(steering, BOB, "e", "1000cpu-h")  # has no limit


def test_an_allowance_needs_a_budget_of_its_kind_of_time():
    with steered(OWNERS) as steering:
        for budget in ("3trials", "1h", "1gpu-s"):
            with pytest.raises(NotAllowedError, match="a budget of cpu time is needed"):
                ask(steering, ALICE, "a", budget)


def test_what_goes_on_reserves_what_it_has_not_spent(make_recorded):
    folder = make_recorded("digits", ((0.9, 40_000_000, 40.0),), budget="2cpu-min")
    with steered(OWNERS) as steering:
        more = Budget(device_seconds=60.0, device="cpu")
        reserve = steering.allowances.reserve_more
        assert reserve(ALICE, folder, more, idle=True) == 60 + 120 - 40
        assert reserve(ALICE, folder, more, idle=False) == 60
        with pytest.raises(NotAllowedError):
            reserve(ALICE, folder, Budget(device_seconds=601.0, device="cpu"), idle=False)


def test_what_nobody_can_tell_the_cost_of_may_take_what_is_left(make_recorded):
    make_recorded("digits", ((0.9, 40_000_000, 40.0),))
    with steered(OWNERS) as steering:
        most_for = steering.allowances.most_for
        work, _ = steering.confirm(ALICE, "digits", 2, [], "c")
        other, _ = steering.confirm(BOB, "digits", 2, [], "c")
        ask(steering, ALICE, "a", "4cpu-min")
        assert most_for(work) == 360.0
        assert most_for(other) is None
        work = steering.store.change(work.number, reserved=360.0, charged=60.0)  # died once
        assert most_for(work) == 300.0
        with pytest.raises(NotAllowedError, match="alice has 0 cpu-s left"):
            ask(steering, ALICE, "b", "1cpu-s")
        work = steering.store.change(work.number, charged=365.0)  # an epoch longer than it might
        with pytest.raises(NotAllowedError, match="nothing is left of alice's allowance"):
            most_for(work)
        with pytest.raises(NotAllowedError, match="nothing is left of alice's allowance"):
            steering.policy(ALICE, "digits", {"p_L": 0.5}, "p")
