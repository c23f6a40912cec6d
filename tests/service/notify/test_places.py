"""A place is read without its URL being shown, and a message is taken, or it is said why not."""

import sys

import pytest
from service.notify.receiver import SECRET

from autodepth.errors import InputError, TrackingError
from autodepth.service.notify.places import deliver, read_places

MESSAGE = {"key": "half/2h", "study": "digits", "text": "digits: half of the budget is spent"}


def test_places_are_read_once_each_and_show_no_secret(receiver, tmp_path):
    file = tmp_path / "hook"
    file.write_text(f"{receiver.url}\n")
    told = ["env:HOOK", f"file:{file}", receiver.url, "env:HOOK"]
    places = read_places(told)

    assert [place.url for place in places] == [receiver.url] * 3
    assert [place.name for place in places] == ["env:HOOK", f"file:{file}", "http://127.0.0.1..."]
    assert len({place.key for place in places}) == 3
    assert SECRET not in repr(places)


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ("env:MISSING", "env:MISSING has no URL"),
        ("file:/nowhere", "file:/nowhere must be a file that holds a URL"),
        (SECRET, "it has no URL"),
        (f"nobody-knows://{SECRET}", "nobody-knows://... must be a URL that apprise knows"),
    ],
)
def test_what_is_no_place_is_said_without_the_secret(told, why):
    with pytest.raises(InputError) as error:
        read_places([told])

    assert why in str(error.value)
    assert SECRET not in str(error.value)


def test_without_apprise_a_webhook_is_a_place_and_mail_is_not(monkeypatch):
    monkeypatch.setitem(sys.modules, "apprise", None)
    assert read_places(["https://host/hook"])
    with pytest.raises(
        InputError, match=r"mailto://\.\.\. must be a webhook .*autodepth\[notify\]"
    ):
        read_places([f"mailto://me:{SECRET}@host"])


def test_a_message_arrives_with_its_key(receiver):
    receiver.start()
    deliver(read_places(["env:HOOK"])[0], MESSAGE)

    assert (receiver.taken, receiver.keys) == ([MESSAGE], ["half/2h"])


def test_apprise_sends_what_is_no_webhook(receiver):
    receiver.start()
    (place,) = read_places([f"json://127.0.0.1:{receiver.port}/{SECRET}"])
    deliver(place, MESSAGE)

    assert receiver.taken[0]["title"] == "autodepth: digits"
    assert receiver.taken[0]["message"] == MESSAGE["text"]
    receiver.status = 500
    with pytest.raises(TrackingError, match="not taken"):
        deliver(place, MESSAGE)


@pytest.mark.parametrize(("status", "told"), [(503, "status 503"), (302, "status 302")])
def test_a_refusal_is_told_and_a_redirect_is_one(receiver, status, told):
    (place,) = read_places(["env:HOOK"])
    with pytest.raises(TrackingError, match="ConnectionError"):  # it is down
        deliver(place, MESSAGE)
    receiver.start()
    receiver.status = status
    with pytest.raises(TrackingError, match=told) as error:
        deliver(place, MESSAGE)

    assert (receiver.asked, receiver.taken) == (1, [])
    assert SECRET not in str(error.value)


def test_what_was_taken_in_and_not_answered_in_time_counts_as_delivered(receiver):
    receiver.start()
    receiver.delay = 2.0
    deliver(read_places(["env:HOOK"])[0], MESSAGE)

    assert receiver.asked == 1
