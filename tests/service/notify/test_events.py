"""What is told of a study follows from its ledger alone."""

import pytest

from autodepth.records.ledger import Ledger
from autodepth.records.trial_record import EXHAUSTED, INTERRUPTED, SPENT
from autodepth.service.notify.events import budget_event, driver_event, front_event

TRIALS = [(0.95, 40_000_000, 60.0), (0.9, 20_000_000, 60.0), (0.8, 30_000_000, 1.0)]


@pytest.fixture
def of(make_recorded):
    """Open the ledger of a study of so many of the trials, on 4 cpu-min; ended as told."""
    opened = []

    def of(count=3, ended=None):
        folder = make_recorded("digits", TRIALS[:count], ended=ended)
        opened.append(Ledger.open(folder.ledger_path))
        return opened[-1]

    yield of
    for ledger in opened:
        ledger.close()


def test_who_came_to_the_front_is_told_once(of):
    ledger = of()
    event = front_event(ledger, ())

    assert (event.key, event.event, event.trials, event.front) == ("front/1", "front", (0, 1), 2)
    assert event.text == "digits: 2 trials came to the front; 2 on the front, the best 95.0%"
    assert front_event(ledger, {0}).text.startswith("digits: trial 1 came to the front")
    assert front_event(ledger, {0, 1}) is None


def test_half_of_the_budget_is_told_when_it_is_spent_and_not_before(of):
    assert budget_event(of(1)) is None


def test_half_of_the_budget_has_the_budget_in_its_key(of):
    event = budget_event(of(2))

    assert event.event == "half"
    assert event.key == f"half/{event.text.partition('(')[2].partition(')')[0]}"
    assert event.share_spent >= 0.5


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [(SPENT, "done"), (EXHAUSTED, "done"), ("5 trials in a row failed", "failed")],
)
def test_how_a_study_ended_is_told(of, outcome, kind):
    event = budget_event(of(2, outcome))

    assert event.event == kind
    assert outcome in event.text


def test_who_interrupted_a_study_is_not_told(of):
    assert budget_event(of(2, INTERRUPTED)) is None


def test_each_driver_is_taken_up_once(of):
    ledger = of(0)
    keys = []
    for _ in range(2):
        ledger.begin_driving()
        event = driver_event(ledger, "taken-up", "a new one goes on")
        keys.append(event.key)

    assert keys == ["taken-up/driver-1", "taken-up/driver-2"]
    assert (event.best, event.hypervolume) == (None, 0.0)
    assert event.text == "digits: a new one goes on; nothing on the front"
