"""Programs of a person's own: whatever they do, they end within their time."""

import os
import sys
import time
from pathlib import Path

import pytest

from autodepth.errors import MeasurementError
from autodepth.trial.device.runtimes.program import read_ms, run_program


def test_what_it_prints_is_returned_and_it_sees_its_variables():
    assert run_program("echo $WHO", 60, {"WHO": "you"}) == "you\n"
    assert run_program([sys.executable, "-c", "print(3)"], 60) == "3\n"
    assert run_program("sleep 0.2; echo 4.5", 60) == "4.5\n"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("echo no board here >&2; exit 3", "ended with status 3: no board here"),
        ("exit 1", "ended with status 1$"),
        ("kill -9 $$", "ended with status -9"),
        ("yes", "printed more than 65,536 bytes"),
        (["/no/such/program"], "cannot be started: .*No such file"),
        ("sleep 60", "took longer than 0.5 s"),
        ("exec >&-; sleep 60", "took longer than 0.5 s"),  # its output ends, it does not
    ],
)
def test_what_goes_wrong_is_told(command, said):
    limit = 0.5 if "sleep 60" in command else 60
    with pytest.raises(MeasurementError, match=said):
        run_program(command, limit)


def test_the_time_after_its_output_ended_counts_too():
    began = time.monotonic()
    with pytest.raises(MeasurementError, match="took longer than 2 s"):
        run_program("sleep 1.8; exec >&-; sleep 60", 2.0)
    assert time.monotonic() - began < 3.5  # not once more 2 s


def test_what_it_started_is_ended_with_it(tmp_path):
    started = tmp_path / "pid"
    with pytest.raises(MeasurementError, match="took longer"):
        run_program(f"sleep 60 & echo $! > {started}; wait", 1.0)

    deadline = time.monotonic() + 30
    while _runs(int(started.read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _runs(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{process}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize(
    ("printed", "ms"), [("3\n", 3.0), ("loading\n 0.25 ms \n\n", 0.25), ("1e-3", 0.001)]
)
def test_milliseconds_stand_on_the_last_line(printed, ms):
    assert read_ms(printed) == ms


@pytest.mark.parametrize("printed", ["", "\n", "fast", "3 s", "-1", "0", "nan", "inf", "3\nbye"])
def test_anything_else_is_no_time(printed):
    with pytest.raises(MeasurementError, match="must print milliseconds above 0"):
        read_ms(printed)
