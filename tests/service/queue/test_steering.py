"""Steps of people: what can be done is entered once, what cannot says why."""

import pytest
from service.queue.queues import ALICE, BOB, OWNERS, TRIALS, steered

from autodepth.errors import InputError, NotAllowedError, NotNowError, StudyError
from autodepth.records.driver_lock.lock import DriverLock, read_requests
from autodepth.records.studies import StudyFolder, find_study
from autodepth.service.queue.owners import LOCAL
from autodepth.service.queue.wishes import SearchWish


@pytest.fixture
def steering(make_recorded):
    make_recorded("digits", TRIALS)
    with steered(OWNERS) as steering:
        yield steering


def ask(steering, study, owner=BOB, key=None):
    return steering.search(owner, SearchWish(study=study, budget="1cpu-min"), key or study)


def test_a_name_is_queued_once(steering):
    work, new = ask(steering, "a")
    assert (work.state, work.owner, new) == ("waiting", "bob", True)
    assert ask(steering, "a") == (work, False)
    with pytest.raises(NotNowError, match="'a' is queued"):
        ask(steering, "a", key="other")
    with pytest.raises(NotNowError, match="'digits' is taken"):
        ask(steering, "digits")
    for name in ("queue", "exports", "latest"):
        with pytest.raises(NotNowError, match="cannot be called"):
            ask(steering, name)
    with pytest.raises(InputError, match="printable ASCII"):
        ask(steering, "b", key="k\n")
    assert len(steering.store.works()) == 1


def test_what_waits_is_paused_goes_on_and_is_stopped(steering):
    ask(steering, "a")
    (paused,) = steering.pause(BOB, "a")
    assert (paused.state, paused.number) == ("paused", 1)
    went_on, _ = steering.go_on(BOB, "a", "g")
    assert (went_on.state, went_on.number) == ("waiting", 1)  # at its old place
    with pytest.raises(NotNowError, match="a runs or waits"):
        steering.go_on(BOB, "a", "h")
    (stopped,) = steering.stop(BOB, "a")
    assert (stopped.state, stopped.told) == ("stopped", "it was stopped")
    with pytest.raises(StudyError, match="no study is called 'a'"):
        steering.stop(BOB, "a")
    ask(steering, "a", key="again")  # the name is free again


def test_what_runs_is_asked_and_keeps_its_place(steering):
    ask(steering, "a")
    steering.store.change(1, state="running", attempt=1, slot=0)
    assert [work.wanted for work in steering.stop(BOB, "a")] == ["stop"]
    assert steering.cancel(BOB, 1).state == "running"


def test_a_study_that_a_command_drives_is_asked_too(steering):
    with DriverLock(find_study("digits")):
        assert steering.stop(BOB, "digits") == []
        assert read_requests(find_study("digits")).stop
        with pytest.raises(NotNowError, match="runs or waits"):
            steering.go_on(BOB, "digits", "g")
        with pytest.raises(NotNowError, match="once it does not run"):
            steering.delete(BOB, "digits", "digits")
        steering.concurrency(BOB, "digits", 1)
        assert read_requests(find_study("digits")).concurrency == 1
        with pytest.raises(InputError, match="at most 2"):
            steering.concurrency(BOB, "digits", 3)
    with pytest.raises(NotNowError, match="nothing of digits does"):
        steering.stop(BOB, "digits")
    with pytest.raises(NotNowError, match="only a study that runs can be changed"):
        steering.concurrency(BOB, "digits", 1)


def test_more_budget_takes_a_paused_search_with_it(steering):
    ask(steering, "later")
    resumed, _ = steering.go_on(BOB, "digits", "g")
    steering.store.end(resumed, "paused", "it was paused", 0.0)
    more, new = steering.more_budget(BOB, "digits", "+2cpu-min", "m")
    assert (more.kind, more.arguments, new) == ("resume", {"budget": "2cpu-min"}, True)
    assert steering.store.work(resumed.number).state == "stopped"
    assert steering.more_budget(BOB, "digits", "2cpu-min", "m") == (more, False)
    with pytest.raises(StudyError, match="no study is called 'nothing'"):
        steering.more_budget(BOB, "nothing", "1h", "n")


def test_nobody_steers_what_is_somebody_elses(steering):
    ask(steering, "a", owner=ALICE)
    (StudyFolder(steering.scheduler.place.studies / "a")).path.mkdir()
    for step in (
        lambda: steering.stop(BOB, "a"),
        lambda: steering.pause(BOB, "a"),
        lambda: steering.go_on(BOB, "a", "k"),
        lambda: steering.cancel(BOB, 1),
        lambda: steering.confirm(BOB, "a", 1, [], "k"),
        lambda: steering.policy(BOB, "a", {"p_L": 0.5}, "k"),
        lambda: steering.export(BOB, "a", "out", "knee", ["torch"], "k"),
    ):
        with pytest.raises(NotAllowedError, match="a is alice's"):
            step()
    assert steering.store.works()[0].state == "waiting"
    assert len(steering.store.works()) == 1


def test_an_export_has_a_name_of_its_own(steering):
    export = steering.export(BOB, "digits", "out", "knee", ["torch"], "k")[0]
    assert export.arguments == {"to": "out", "select": ["knee"], "formats": "torch"}
    with pytest.raises(NotNowError, match="'out' does"):
        steering.export(BOB, "digits", "out", "knee", ["torch"], "l")
    with pytest.raises(InputError, match="a name must be"):
        steering.export(BOB, "digits", "../out", "knee", ["torch"], "l")
    with pytest.raises(StudyError, match="no export is called 'out'"):
        steering.register(BOB, "out", None, "r")  # it is not there yet
    assert steering.study_of_export("out") == "digits"


def test_a_study_is_deleted_by_its_name_alone(steering):
    with pytest.raises(InputError, match="needs the study's name as its confirmation"):
        steering.delete(BOB, "digits", "yes")
    steering.confirm(BOB, "digits", 1, [], "k")
    with pytest.raises(NotNowError, match="work 1 is waiting"):
        steering.delete(BOB, "digits", "digits")
    steering.cancel(BOB, 1)
    with pytest.raises(NotNowError, match="work 1 is stopped"):
        steering.cancel(BOB, 1)
    steering.delete(BOB, "digits", "digits")
    with pytest.raises(StudyError):
        find_study("digits")


def test_what_nobody_can_say_the_cost_of_needs_something_left(steering):
    steering.search(ALICE, SearchWish(study="a", budget="10cpu-min"), "a")
    with pytest.raises(NotAllowedError, match="nothing is left of alice's allowance"):
        steering.confirm(ALICE, "a", 2, [], "k")
    steering.confirm(LOCAL, "digits", 2, ["all"], "k")
    with pytest.raises(InputError, match="control must be one of"):
        steering.confirm(LOCAL, "digits", 2, ["nothing"], "l")
