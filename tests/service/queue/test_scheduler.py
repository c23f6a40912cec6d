"""The scheduler: in order, within its slots, each once; ends are entered, policies handed over."""

import json
import os
import time
from types import SimpleNamespace

import pytest
from service.queue.queues import ALICE, BOB, OWNERS, TRIALS, steered

from autodepth.records.driver_lock.by_hand import asked_for, role_of
from autodepth.records.driver_lock.lock import DriverLock, read_requests
from autodepth.records.ledger import Ledger
from autodepth.records.studies import find_study
from autodepth.service.queue import scheduler
from autodepth.service.queue.carrying.carrier import is_carried_out
from autodepth.service.queue.carrying.ending import NO_RAY
from autodepth.service.queue.owners import LOCAL
from autodepth.service.queue.scheduler import as_text
from autodepth.service.queue.wishes import SearchWish
from autodepth.units import parse_budget

NOWHERE = "npz:nowhere.npz"  # a search of it ends at once: there is no such file


def ask(steering, *studies, **wish):
    for study in studies:
        steering.search(
            LOCAL, SearchWish(study=study, budget="1trials", data=NOWHERE, **wish), study
        )


def states(steering):
    return [work.state for work in steering.store.works()]


def carried_out(steering):
    """Look until nothing runs or waits; return what ran at the same time, look by look."""
    seen = []
    while any(state in {"waiting", "running"} for state in states(steering)):
        steering.scheduler.look()
        seen.append([w.number for w in steering.store.works() if w.state == "running"])
        time.sleep(0.02)
    return seen


@pytest.mark.slow
def test_works_start_in_order_within_their_slots_and_end_once():
    with steered(slots=2) as steering:
        ask(steering, "a", "b", "c")
        steering.scheduler.look()
        assert states(steering) == ["running", "running", "waiting"]
        assert [work.slot for work in steering.store.works()] == [0, 1, None]
    with steered(slots=2) as steering:  # another server adopts them
        seen = carried_out(steering)
        assert max(map(len, seen)) == 2
        assert states(steering) == ["failed"] * 3
        for work in steering.store.works():
            assert work.attempt == 1
            assert "nowhere.npz" in work.told
            assert not is_carried_out(steering.scheduler.place.folder(work.number))
        starts = [work.started_at for work in steering.store.works()]
        assert starts == sorted(starts)


def test_what_is_asked_of_a_study_waits_for_what_was_asked_before(make_recorded):
    make_recorded("digits", TRIALS)
    with steered(slots=3) as steering:
        steering.confirm(LOCAL, "digits", 1, [], "1")
        steering.export(LOCAL, "digits", "out", "knee", [], "2")
        steering.store.change(1, state="paused")
        steering.store.change(2, state="paused")
        with DriverLock(find_study("digits")):  # by somebody's command
            steering.store.change(1, state="waiting")
            steering.store.change(2, state="waiting")
            steering.scheduler.look()
            assert states(steering) == ["waiting", "waiting"]


def test_a_policy_is_handed_to_the_driver_and_taken_back_at_its_end(make_recorded, recorded_result):
    folder = make_recorded("digits", TRIALS)
    with steered(slots=1) as steering:
        with DriverLock(folder):
            steering.policy(LOCAL, "digits", {"p_L": 0.5}, "1")
            steering.policy(LOCAL, "digits", {"p_L": 0.6}, "2")
            steering.scheduler.look()
            assert states(steering) == ["running"] * 2
            first, second = (work.arguments["policy"] for work in steering.store.works())
            assert set(asked_for(folder)) == {role_of(first), role_of(second)}
            with Ledger.open(folder.ledger_path) as ledger:
                number = ledger.start_trial("search", {}, first, role=role_of(first))
                ledger.complete_trial(number, recorded_result(0.7, 10), 1.0)
            steering.scheduler.look()
            done, waits = steering.store.works()
            assert (done.state, done.told) == ("done", f"trial {number}")
            assert waits.state == "running"
            steering.cancel(LOCAL, 2)
            steering.scheduler.look()
        assert states(steering) == ["done", "stopped"]
        assert asked_for(folder) == {}


def test_wishes_are_said_again_to_a_driver_that_has_not_heard_them(make_recorded):
    folder = make_recorded("digits", TRIALS)
    with steered() as steering:
        steering.go_on(LOCAL, "digits", "g")
        steering.store.change(1, state="running", attempt=1, slot=0, concurrency=1)
        for wanted in ("run", "pause"):
            steering.store.change(1, wanted=wanted)
            with DriverLock(folder):
                steering.scheduler.look()
                asked = read_requests(folder)
            assert (asked.concurrency, asked.stop) == (1, wanted == "pause")


def test_one_whose_ray_did_not_start_is_told_of_while_it_is_tried_again(monkeypatch):
    def start_and_end(*words):
        os.close(words[4])
        return SimpleNamespace(poll=lambda: os.EX_UNAVAILABLE)

    monkeypatch.setattr(scheduler, "start_attempt", start_and_end)
    with steered() as steering:
        ask(steering, "a")
        folder = steering.scheduler.place.folder(1)
        for attempt in range(1, 6):
            steering.scheduler.look()
            work = steering.store.work(1)
            assert (work.state, work.attempt) == ("running", attempt)
            assert work.told is None if attempt == 1 else f"{attempt - 1} of at most 5" in work.told
            (folder / f"end-{attempt}.json").write_text(json.dumps({"status": NO_RAY}))
        (folder / "log.txt").write_text("error: a local Ray does not start: it timed out")
        steering.scheduler.look()
        work = steering.store.work(1)
        assert work.state == "failed"
        assert work.told.endswith("5 times in a row: a local Ray does not start: it timed out")


def test_time_of_ended_attempts_is_charged_once(make_recorded):
    folder = make_recorded("digits", TRIALS, ended=None)
    with steered((BOB,)) as steering:
        steering.go_on(BOB, "digits", "g")
        steering.store.change(
            1, state="running", attempt=1, slot=0, wanted="pause", spent_before=30.0
        )
        for _ in range(2):
            steering.scheduler.look()
        work = steering.store.work(1)
        assert (work.state, work.charged) == ("paused", 40.0)
        with Ledger.open(folder.ledger_path) as ledger:
            ledger.balance(100.0)
        steering.store.change(1, state="running", attempt=2, wanted="stop", spent_before=70.0)
        steering.scheduler.look()
        assert steering.store.work(1).charged == 70.0


@pytest.mark.parametrize("text", ["3cpu-min", "1gpu-h,400trials", "12h", "1.5h,2cpu-s", "7trials"])
def test_a_budget_as_text_is_the_same_budget(text):
    assert parse_budget(as_text(parse_budget(text))) == parse_budget(text)


def test_a_confirmation_begins_with_what_its_owner_has_left(make_recorded, monkeypatch):
    begun = []

    def start_and_live(_folder, _attempt, command, _environment, lock, _cpus):
        begun.append(command)
        os.close(lock)
        return SimpleNamespace(poll=lambda: None)

    monkeypatch.setattr(scheduler, "start_attempt", start_and_live)
    make_recorded("digits", TRIALS)
    with steered(OWNERS, slots=1) as steering:
        steering.search(ALICE, SearchWish(study="a", budget="4cpu-min"), "a")
        steering.store.change(1, state="paused")
        steering.confirm(ALICE, "digits", 2, [], "c")
        steering.policy(ALICE, "digits", {"p_L": 0.5}, "p")
        steering.scheduler.look()
        assert "--at-most=360.000000cpu-s" in begun[0]
        assert steering.store.work(2).reserved == 360.0
        assert steering.allowances.account("alice").left == 0.0

        steering.store.end(steering.store.work(2), "done", None, 361.0)
        steering.scheduler.look()
        policy = steering.store.work(3)
        assert (policy.state, policy.told) == ("failed", "nothing is left of alice's allowance")
        assert len(begun) == 1
