"""The process of an attempt: it holds the lock, and says how it ended, whoever started it."""

import os
import signal
import time

from autodepth.service.queue.carrying.carrier import (
    answer_of,
    end_attempt,
    is_carried_out,
    start_attempt,
    status_of,
    take_lock,
    told_of,
)


def started(folder, attempt, *command):
    return start_attempt(folder, attempt, command, {}, take_lock(folder), sorted(
        os.sched_getaffinity(0)
    ))  # fmt: skip


def test_an_attempt_holds_its_lock_and_tells_how_it_ended(tmp_path):
    folder = tmp_path / "1"
    child = started(folder, 1, "studies", "--json")
    assert is_carried_out(folder)
    assert take_lock(folder) is None
    assert child.wait(240) == 0
    assert not is_carried_out(folder)
    assert (status_of(folder, 1), answer_of(folder, 1)) == (0, [])
    assert (status_of(folder, 2), answer_of(folder, 2)) == (None, None)

    started(folder, 2, "status", "nothing").wait(240)
    assert status_of(folder, 2) == 2
    assert told_of(folder).startswith("no study is called 'nothing'")


def test_one_that_is_killed_leaves_no_end(tmp_path):
    folder = tmp_path / "1"
    child = started(folder, 1, "mcp")  # waits for somebody who never asks, or ends by itself
    end_attempt(folder)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait(240)
    while is_carried_out(folder):
        time.sleep(0.01)
    assert status_of(folder, 1) is None


def test_of_a_traceback_its_last_line_is_told(tmp_path):
    (tmp_path / "log.txt").write_text(
        "error: of before\nTraceback (most recent call last):\n  File x\n    y\nValueError: why\n"
    )
    assert told_of(tmp_path) == "ValueError: why"


def test_nothing_is_said_of_what_was_never_started(tmp_path):
    end_attempt(tmp_path)
    assert (told_of(tmp_path), status_of(tmp_path, 1)) == ("", None)
    assert not is_carried_out(tmp_path)
