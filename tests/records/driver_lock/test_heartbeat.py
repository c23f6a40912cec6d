"""The name in a study's lock: renewed while its process lives, read by anybody."""

import os
import time

import pytest

from autodepth.records.driver_lock import heartbeat
from autodepth.records.driver_lock.heartbeat import (
    LEASE_SECONDS,
    Driver,
    Lease,
    is_dead,
    read_driver,
)


@pytest.fixture
def handle(tmp_path):
    handle = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    yield handle
    os.close(handle)


def write(handle, text):
    os.pwrite(handle, text.encode().ljust(1024), 0)


def test_the_holder_is_read_and_its_name_goes_with_it(handle):
    lease = Lease(handle)
    driver = read_driver(handle)
    lease.end()

    assert driver.pid == os.getpid()
    assert driver.age < LEASE_SECONDS
    assert not driver.ending
    assert read_driver(handle) is None


def test_it_shows_again_and_again_that_it_lives(handle, monkeypatch):
    monkeypatch.setattr(heartbeat, "RENEWED_SECONDS", 0.01)
    lease = Lease(handle)
    first = read_driver(handle).renewed
    deadline = time.monotonic() + 10
    while read_driver(handle).renewed == first and time.monotonic() < deadline:
        time.sleep(0.01)
    renewed = read_driver(handle).renewed
    lease.end()

    assert renewed > first


def test_others_see_that_it_is_about_to_end(handle):
    lease = Lease(handle)
    lease.tell_ending()
    ending = read_driver(handle).ending
    lease.end()

    assert ending


@pytest.mark.parametrize("text", ["", "no JSON", "[1]", '{"pid": 1}', '{"other": 2}'])
def test_what_is_no_name_is_none(handle, text):
    write(handle, text)

    assert read_driver(handle) is None


@pytest.mark.parametrize(
    ("behind", "dead"), [(LEASE_SECONDS / 2, False), (LEASE_SECONDS * 2, True)]
)
def test_a_holder_on_this_machine_is_dead_after_its_lease(handle, monkeypatch, behind, dead):
    monkeypatch.setattr(heartbeat, "_boot", lambda: "this start")
    lease = Lease(handle)
    now = time.monotonic()
    monkeypatch.setattr(heartbeat.time, "monotonic", lambda: now + behind)
    found = is_dead(handle)
    monkeypatch.undo()
    lease.end()

    assert found is dead


def test_a_holder_on_another_machine_is_watched_since_its_clock_says_nothing(handle, monkeypatch):
    write(handle, '{"pid": 1, "host": "elsewhere", "since": "", "boot": "another", "renewed": 5}')
    assert read_driver(handle).age is None
    monkeypatch.setattr(heartbeat, "LEASE_SECONDS", 0.2)
    monkeypatch.setattr(heartbeat, "_LOOK_SECONDS", 0.01)
    assert is_dead(handle)

    renewals = iter(range(100))
    monkeypatch.setattr(
        heartbeat.time, "sleep", lambda _: write(handle, f'{{"renewed": {next(renewals)}}}')
    )
    assert not is_dead(handle)


def test_two_renewals_of_one_driver_are_one_driver():
    one = Driver(pid=1, host="h", since="s", renewed=1.0)

    assert one == Driver(pid=1, host="h", since="s", renewed=2.0, ending=True)
    assert one != Driver(pid=2, host="h", since="s", renewed=1.0)
