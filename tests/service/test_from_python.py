"""`search` from Python: in threads, in a running loop, in copies of a process, in any script."""

import asyncio
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from autodepth import resume, search
from autodepth.errors import InputError
from autodepth.records.fsck import broken_invariants
from autodepth.records.ledger import Ledger
from autodepth.records.studies import find_study

SMALL = (
    "network.name=resnet8", "data.train_images=64", "data.validation=60", "train.epochs=1",
    "search.fine_tune_epochs=0",
)  # fmt: skip
PATIENCE = 240


def run(study, runner="in-process", **more):
    return search(budget="1trials", study=study, settings=SMALL, runner=runner, **more).complete


class InThread:
    """What a function returns, or raises, in a thread of its own."""

    def __init__(self, function, *arguments, **more):
        self.value = self.error = None

        def work():
            try:
                self.value = function(*arguments, **more)
            except Exception as error:  # noqa: BLE001 - it is looked at
                self.error = error

        thread = threading.Thread(target=work)
        thread.start()
        thread.join(PATIENCE)
        assert not thread.is_alive()


def test_a_second_one_at_a_time_is_refused_and_the_first_goes_on():
    refused = []

    @contextmanager
    def begin_others(driver):
        refused.extend([InThread(run, "second"), InThread(resume, "first", runner="in-process")])
        yield

    assert run("first", watch=begin_others) == 1
    for each in refused:
        assert isinstance(each.error, InputError)
        assert "one search at a time may run in a process" in str(each.error)
    assert run("second") == 1  # nothing was left of it


def test_it_runs_in_a_notebooks_loop_and_in_a_thread_and_signals_stay_as_they_were():
    async def cell():
        return run("on-the-loop"), await asyncio.to_thread(run, "in-a-thread")

    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert asyncio.run(cell()) == (1, 1)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def in_child(study, end):
    try:
        end.send(run(study))
    except InputError as error:
        end.send(str(error))


def tell_of_child(method):
    """Return what a child tells that searches, and how it ended."""
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context(method).Process(target=in_child, args=("child", theirs))
    child.start()
    assert ours.poll(PATIENCE)
    told = ours.recv()
    child.join(PATIENCE)
    return told, child.exitcode


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_child_forked_from_one_that_searched_is_told_how_to_be_started_instead():
    @contextmanager
    def try_child(driver):
        told.append(tell_of_child("fork")[0])
        yield

    told = []
    assert run("parent", watch=try_child) == 1
    told.append(tell_of_child("fork")[0])
    for each in told:
        assert "cannot search" in each
        assert "get_context('spawn')" in each


FORKS = f"""
import multiprocessing
from autodepth import search

def work():
    search(budget="1trials", study="child", settings={SMALL!r}, runner="in-process")

if __name__ == "__main__":
    child = multiprocessing.get_context(METHOD).Process(target=work)
    child.start()
    child.join()
    print(child.exitcode)
"""


@pytest.mark.long
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_child_of_each_kind_searches(method, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(FORKS.replace("METHOD", repr(method)))
    ran = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=PATIENCE, check=False
    )

    assert ran.stdout == "0\n", ran.stderr
    assert broken_invariants(find_study("child")) == []


SCRIPT = f"""
from autodepth import search
result = search(budget="1trials", study="script", settings={SMALL!r}, runner=RUNNER)
print("complete:", result.complete)
"""


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("runner", ["in-process", "ray"])
@pytest.mark.parametrize("given", ["as a file", "with -c", "on stdin"])
def test_a_script_needs_no_guard_however_it_is_given(given, runner, tmp_path):
    script = SCRIPT.replace("RUNNER", repr(runner))
    file = tmp_path / "script.py"
    file.write_text(script)
    words = {"as a file": [str(file)], "with -c": ["-c", script], "on stdin": ["-"]}[given]
    ran = subprocess.run(
        [sys.executable, *words], input=script if given == "on stdin" else None,
        capture_output=True, text=True, timeout=PATIENCE, check=False, cwd=tmp_path,
    )  # fmt: skip

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == ["complete: 1"]
    assert "Traceback" not in ran.stderr


@pytest.mark.long
@pytest.mark.slow
def test_ray_runs_in_a_thread_and_in_a_running_loop_one_after_the_other():
    async def cell():
        return run("on-the-loop", "ray"), await asyncio.to_thread(run, "in-a-thread", "ray")

    assert asyncio.run(cell()) == (1, 1)


@pytest.mark.long
@pytest.mark.slow
def test_ctrl_c_in_a_script_leaves_no_ray_behind_and_the_study_in_order(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.replace("RUNNER", "'ray'").replace("1trials", "500trials"))
    with subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as ran:
        deadline = time.monotonic() + PATIENCE
        ledger = Path(os.environ["AUTODEPTH_HOME"]) / "script" / "ledger.sqlite"
        while not (ledger.exists() and some_complete(ledger)):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        below = psutil.Process(ran.pid).children(recursive=True)
        ran.send_signal(signal.SIGINT)
        out, err = ran.communicate(timeout=PATIENCE)
    psutil.wait_procs(below, timeout=30)

    assert below
    assert not [process for process in below if process.is_running()]
    assert "complete: " in out  # search returns what there is
    assert "Traceback" not in err
    assert broken_invariants(find_study("script")) == []


def some_complete(path):
    with Ledger.open(path, read_only=True) as ledger:
        return any(record.result is not None for record in ledger.trials())
