"""Each place is told each thing once, whatever it answers and whoever drives."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
from service.notify.receiver import SECRET

from autodepth.records.ledger import Ledger
from autodepth.records.ledger.notices import Notices
from autodepth.records.trial_record import SPENT
from autodepth.service.notify import notifier
from autodepth.service.notify.notifier import Notifier, telling
from autodepth.service.notify.places import read_places
from autodepth.service.search.search import search

SMALL = (
    "network.name=resnet14", "data.train_images=64", "data.validation=60", "train.epochs=1",
    "search={branches_removed: {type: int, min: 0, max: 3}, fine_tune_epochs: 1}",
)  # fmt: skip


@pytest.fixture
def driven(make_recorded, recorded_result):
    """A study that is driven: its folder, its ledger, and what enters one more trial."""
    folder = make_recorded("digits", [(0.8, 30_000_000, 10.0)], ended=None)
    with Ledger.open(folder.ledger_path) as ledger:
        ledger.begin_driving()

        def complete(accuracy, macs, seconds):
            number = ledger.start_trial("search", {}, {"p_L": accuracy})
            spent = ledger.spent() + seconds
            ledger.complete_trial(number, recorded_result(accuracy, macs), seconds, spent=spent)

        yield folder, ledger, complete


def told(receiver):
    return Counter(message["key"] for message in receiver.taken)


def test_what_happened_while_it_was_down_slow_or_refusing_is_told_once(receiver, driven, caplog):
    folder, ledger, complete = driven
    (place,) = read_places(["env:HOOK"])
    with telling(folder, [place], token=ledger.token, taken_up=True):
        complete(0.9, 20_000_000, 120.0)  # down; half of the budget is spent
        receiver.start()
        receiver.status = 503
        receiver.until(lambda: receiver.asked > 3)
        receiver.status, receiver.delay = 200, 2.0
        receiver.until(lambda: receiver.taken)
        complete(0.95, 10_000_000, 110.0)
        receiver.delay = 0.0
        receiver.until(lambda: told(receiver)["front/2"])
        ledger.end_study(SPENT)
    ended = ledger.study.ended_at
    half = next(key for key in told(receiver) if key.startswith("half/"))

    assert set(told(receiver).values()) == {1}
    assert {"taken-up/driver-1", half, "front/2", f"done/{ended}"} <= set(told(receiver))
    assert sorted(n for m in receiver.taken for n in m["trials"]) == [0, 1, 2]
    assert "env:HOOK is told later" in caplog.text
    assert SECRET not in caplog.text
    kept = b"".join(file.read_bytes() for file in folder.path.glob("ledger.sqlite*"))
    assert SECRET.encode() not in kept


def test_the_next_driver_tells_what_the_last_one_could_not_and_nothing_twice(receiver, driven):
    folder, ledger, complete = driven
    (place,) = read_places(["env:HOOK"])
    complete(0.9, 20_000_000, 10.0)
    with telling(folder, [place], token=ledger.token, taken_up=False):
        pass
    assert [n.state for n in Notices(ledger.database, place.key).all()] == ["waiting"]
    receiver.start()
    for _ in range(2):
        with telling(folder, [place], token=ledger.begin_driving(), taken_up=False):
            pass

    assert told(receiver) == {"front/1": 1}


def test_what_may_have_been_sent_when_its_driver_died_is_not_sent_again(receiver, driven):
    folder, ledger, complete = driven
    (place,) = read_places(["env:HOOK"])
    notices = Notices(ledger.database, place.key)
    notices.note([{"key": "front/0", "trials": [0]}])
    notices.move(notices.all()[0], "sending")
    receiver.start()
    complete(0.9, 20_000_000, 10.0)
    with telling(folder, [place], token=ledger.token, taken_up=False):
        pass

    assert told(receiver) == {"front/1": 1}


def test_after_a_day_nobody_is_told(receiver, driven, monkeypatch):
    folder, ledger, _ = driven
    (place,) = read_places(["env:HOOK"])
    monkeypatch.setattr(notifier, "GIVE_UP_SECONDS", 0.0)
    receiver.start()
    with telling(folder, [place], token=ledger.token, taken_up=False):
        pass

    assert [n.state for n in Notices(ledger.database, place.key).all()] == ["given up"]
    assert receiver.asked == 0


def test_a_driver_that_fails_is_told_without_passwords_and_one_that_was_replaced_tells_nothing(
    receiver, driven
):
    folder, ledger, _ = driven
    (place,) = read_places(["env:HOOK"])
    receiver.start()
    with (
        pytest.raises(RuntimeError),
        telling(folder, [place], token=ledger.token, taken_up=False),
    ):
        raise RuntimeError(f"http://me:{SECRET}@host went away")
    (failed,) = (message for message in receiver.taken if message["event"] == "failed")
    assert "RuntimeError: http://host went away" in failed["text"]

    before = len(receiver.taken)
    late = Notifier(folder, place, token=ledger.token)
    ledger.begin_driving()
    late.tell("failed", "too late")
    late.close()
    assert len(receiver.taken) == before


@pytest.mark.slow
def test_a_search_tells_and_is_not_told_of_by_the_thread_that_trains(receiver, monkeypatch):
    receiver.start()
    receiver.delay = 1.0
    told_by, deliver = set(), notifier.deliver

    def noted(*arguments):
        told_by.add(threading.current_thread().name)
        deliver(*arguments)

    monkeypatch.setattr(notifier, "deliver", noted)
    result = search(
        budget="3trials", study="small", settings=(*SMALL, "notify=[env:HOOK]"),
        notify=["env:HOOK"], runner="in-process",
    )  # fmt: skip
    kinds = [message["event"] for message in receiver.taken]

    assert result.outcome == SPENT
    assert kinds[-1] == "done"
    assert set(told(receiver).values()) == {1}
    assert told_by == {"notify"}
