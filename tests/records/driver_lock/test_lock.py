"""One driver at a time, told apart by the kernel; wishes reach it whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import timeit
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodepth.errors import InputError, StudyError, StudyInUseError
from autodepth.records.driver_lock import heartbeat
from autodepth.records.driver_lock import lock as control
from autodepth.records.driver_lock.lock import (
    ControlRequests,
    DriverLock,
    delete_requests,
    driver_of,
    read_requests,
    tell_ending,
    wish,
)
from autodepth.records.studies import StudyFolder

DRIVE = """
import os, sys, time
from pathlib import Path
from autodepth.records.driver_lock.lock import DriverLock
from autodepth.records.studies import StudyFolder
with DriverLock(StudyFolder(Path(sys.argv[1]))):
    if "fork" in sys.argv:
        born, tell = os.pipe()
        if os.fork() == 0:
            os.close(1)  # the parent's end of the pipe would stay open
            os.write(tell, b".")
            time.sleep(30)
        os.read(born, 1)  # from here on the child has let go of the lock
    print("driving", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    (tmp_path / "digits").mkdir()
    return StudyFolder(tmp_path / "digits")


@pytest.fixture
def drive(folder: StudyFolder) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Drive the study from a process of its own, until its input ends."""
    started: list[subprocess.Popen[str]] = []

    def drive(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", DRIVE, str(folder.path), *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "driving\n"
        return process

    yield drive
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_nobody_drives_a_study_that_was_never_started(folder: StudyFolder) -> None:
    assert driver_of(folder) is None
    assert not list(folder.path.iterdir())


def test_the_driver_is_named_while_it_drives(folder: StudyFolder) -> None:
    with DriverLock(folder):
        driver = driver_of(folder)
        assert driver is not None
        assert (driver.pid, driver.host) == (os.getpid(), socket.gethostname())
        assert driver.since.endswith("+00:00")
        assert driver_of(folder) == driver  # looking at it did not disturb it
    assert driver_of(folder) is None
    with DriverLock(folder):
        assert driver_of(folder) is not None


def test_a_second_process_is_refused_with_who_drives(
    folder: StudyFolder, drive: Callable[..., subprocess.Popen[str]]
) -> None:
    process = drive()
    message = f"one driver at a time, but process {process.pid} on .* has driven digits since 20"
    with pytest.raises(StudyError, match=message), DriverLock(folder):
        pass
    driver = driver_of(folder)
    assert driver is not None
    assert driver.pid == process.pid
    process.communicate("")
    with DriverLock(folder):
        assert process.returncode == 0


@pytest.mark.parametrize("arguments", [(), ("fork",)])
def test_a_driver_that_is_killed_leaves_the_study_free(
    folder: StudyFolder, drive: Callable[..., subprocess.Popen[str]], arguments: tuple[str, ...]
) -> None:
    process = drive(*arguments)  # with a child that lives on, too
    process.kill()
    process.wait()
    assert driver_of(folder) is None
    with DriverLock(folder):
        driver = driver_of(folder)
        assert driver is not None
        assert driver.pid == os.getpid()


def test_looking_all_the_time_keeps_no_driver_from_starting(folder: StudyFolder) -> None:
    with DriverLock(folder):
        pass
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            driver_of(folder)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(50):
            with DriverLock(folder):
                pass
    finally:
        done.set()
        for thread in threads:
            thread.join()


def test_a_lock_without_a_name_is_still_a_lock(
    folder: StudyFolder, drive: Callable[..., subprocess.Popen[str]]
) -> None:
    drive()
    (folder.path / "driver.lock").write_text("not a name")
    driver = driver_of(folder)
    assert driver is not None
    assert driver.pid == 0


def test_a_driver_that_lives_is_not_taken_over(
    folder: StudyFolder,
    drive: Callable[..., subprocess.Popen[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(heartbeat, "LEASE_SECONDS", 5.0)
    drive()
    message = r"showed [0-9.]+ s ago that it lives; --takeover is for drivers that have not"
    with pytest.raises(StudyInUseError, match=message), DriverLock(folder, takeover=True):
        pass
    monkeypatch.setattr(heartbeat, "_boot", lambda: "of another machine")  # then it is watched
    message = "if it or its machine is gone, autodepth resume digits --takeover"
    with pytest.raises(StudyInUseError, match=message), DriverLock(folder, takeover=True):
        pass


@pytest.mark.parametrize("boot", [None, "of another machine"])
def test_one_that_hangs_is_taken_over_once_and_stays_out_when_it_goes_on(
    folder: StudyFolder,
    drive: Callable[..., subprocess.Popen[str]],
    monkeypatch: pytest.MonkeyPatch,
    boot: str | None,
) -> None:
    process = drive()
    process.send_signal(signal.SIGSTOP)
    with pytest.raises(StudyInUseError), DriverLock(folder):  # not unless it is asked for
        pass
    monkeypatch.setattr(heartbeat, "LEASE_SECONDS", 0.3)
    if boot is not None:
        monkeypatch.setattr(heartbeat, "_boot", lambda: boot)
    with DriverLock(folder, takeover=True):
        process.send_signal(signal.SIGCONT)
        monkeypatch.setattr(heartbeat, "LEASE_SECONDS", 5.0)
        process.communicate("", timeout=20)  # it lets go of what it had
        driver = driver_of(folder)
        assert driver is not None
        assert driver.pid == os.getpid()
        with pytest.raises(StudyInUseError), DriverLock(folder, takeover=True):
            pass
    assert driver_of(folder) is None


END_LATE = """
import signal, sys, time
from pathlib import Path
from autodepth.records.driver_lock.lock import DriverLock, tell_ending
from autodepth.records.studies import StudyFolder
study, end = StudyFolder(Path(sys.argv[1])), Path(sys.argv[2])
with DriverLock(study):
    signal.signal(signal.SIGTERM, lambda *_: tell_ending(study))
    print("driving", flush=True)
    while not end.exists():
        time.sleep(0.01)
"""


def test_who_goes_on_waits_for_a_driver_that_is_about_to_end_and_says_so(
    folder: StudyFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = tmp_path / "end"
    command = [sys.executable, "-c", END_LATE, str(folder.path), str(end)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as former:
        assert former.stdout is not None
        assert former.stdout.readline() == "driving\n"
        former.terminate()
        told: list[str] = []

        def tell(message: str, *of: object) -> None:
            told.append(message % of)
            end.touch()  # only now it ends: who had not waited were refused

        monkeypatch.setattr(control._log, "warning", tell)
        monkeypatch.setattr(control, "_MOMENT_SECONDS", 60.0)
        with DriverLock(folder, wait=True):
            driver = driver_of(folder)

    assert driver is not None
    assert driver.pid == os.getpid()
    about = f"process {former.pid} on {socket.gethostname()}, which drives digits"
    assert told == [f"waiting for {about} and is about to end"]


@pytest.mark.parametrize("ending", [False, True])
def test_who_goes_on_does_not_wait_for_ever(
    folder: StudyFolder,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    *,
    ending: bool,
) -> None:
    monkeypatch.setattr(control, "_MOMENT_SECONDS", 60.0 if ending else 0.05)
    monkeypatch.setattr(control, "_ENDING_SECONDS", 0.05 if ending else 60.0)
    with DriverLock(folder):
        if ending:
            tell_ending(folder)
        with pytest.raises(StudyInUseError, match="has driven digits since"):
            DriverLock(folder, wait=True).__enter__()

    assert [record.levelname for record in caplog.records] == ["WARNING"] * ending


def test_wishes_add_up_until_they_are_forgotten(folder: StudyFolder) -> None:
    assert read_requests(folder) == ControlRequests(stop=False, concurrency=None)
    assert wish(folder, concurrency=3) == ControlRequests(concurrency=3)
    assert wish(folder, stop=True) == ControlRequests(stop=True, concurrency=3)
    assert read_requests(folder) == ControlRequests(stop=True, concurrency=3)
    delete_requests(folder)
    delete_requests(folder)
    assert read_requests(folder) == ControlRequests()


def test_a_new_driver_does_not_hear_what_was_wished_of_the_last(folder: StudyFolder) -> None:
    wish(folder, stop=True)
    with DriverLock(folder):
        assert not read_requests(folder).stop
        wish(folder, stop=True)
        assert read_requests(folder).stop


def test_of_two_wishes_at_once_none_is_lost(folder: StudyFolder) -> None:
    for _ in range(20):
        delete_requests(folder)
        threads = [
            threading.Thread(target=wish, args=(folder,), kwargs=change)
            for change in ({"stop": True}, {"concurrency": 2})
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert read_requests(folder) == ControlRequests(stop=True, concurrency=2)


@pytest.mark.parametrize(
    "changes", [{"concurrency": 0}, {"concurrency": True}, {"concurrency": 1.5}, {"stop": "yes"}]
)
def test_a_wish_out_of_range_is_refused_and_changes_nothing(
    folder: StudyFolder, changes: dict[str, object]
) -> None:
    wish(folder, concurrency=2)
    with pytest.raises(InputError, match="must be"):
        wish(folder, **changes)
    assert read_requests(folder) == ControlRequests(concurrency=2)


@given(
    st.binary(max_size=60)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["stop", "concurrency", "x"]), inner, max_size=3)
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_whatever_is_in_the_file_there_are_wishes_or_none(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    folder = StudyFolder(tmp_path_factory.mktemp("study"))
    (folder.path / "wishes.json").write_bytes(content)
    wishes = read_requests(folder)
    if wishes != ControlRequests():
        assert json.loads(content) == {
            name: value for name, value in vars(wishes).items() if name in json.loads(content)
        }


def test_reading_wishes_is_cheap(folder: StudyFolder) -> None:
    wish(folder, concurrency=2)
    rounds = timeit.repeat(lambda: read_requests(folder), number=20, repeat=5)
    assert min(rounds) / 20 < 0.005  # the best of them: a busy machine holds others up
