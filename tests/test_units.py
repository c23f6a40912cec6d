"""Budgets are read as the grammar says, and refused with what to write instead."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodepth.errors import BudgetError, InputError
from autodepth.units import (
    Budget,
    format_bytes,
    format_device_time,
    format_duration,
    format_macs,
    parse_budget,
    parse_bytes,
)


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("50gpu-h", Budget(device_seconds=180_000, device="gpu")),
        ("50 gpu-h", Budget(device_seconds=180_000, device="gpu")),
        ("0.5cpu-min", Budget(device_seconds=30, device="cpu")),
        (".5CPU-MIN", Budget(device_seconds=30, device="cpu")),
        ("1gpu-d", Budget(device_seconds=86_400, device="gpu")),
        ("12h", Budget(wall_seconds=43_200)),
        ("90min", Budget(wall_seconds=5_400)),
        ("2d", Budget(wall_seconds=172_800)),
        ("400trials", Budget(trials=400)),
        ("1trial", Budget(trials=1)),
        (
            "4cpu-min, 3 min,20trials",
            Budget(device_seconds=240, device="cpu", wall_seconds=180, trials=20),
        ),
    ],
)
def test_budgets_are_read(text, budget):
    assert parse_budget(text) == budget


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("50", "no unit: write 50gpu-h or 50cpu-h"),
        ("", "a budget is NUMBER UNIT"),
        ("gpu-h", "a budget is NUMBER UNIT"),
        ("-3gpu-h", "a budget is NUMBER UNIT"),
        ("nan gpu-h", "a budget is NUMBER UNIT"),
        ("0gpu-h", "must be above zero"),
        ("0.0trials", "must be above zero"),
        ("1.5trials", "must be whole"),
        ("5gpu-hours", "must be one of gpu-s.*but got 'gpu-hours'"),
        ("5gpuh", "did you mean 'gpu-h'"),
        ("5tpu-h", "must be one of"),
        ("5gpu-h,3cpu-min", "two limits of one kind"),
        ("5gpu-h,", "a budget is NUMBER UNIT"),
        ("12h 30min", "a budget is NUMBER UNIT"),
    ],
)
def test_what_is_no_budget_is_refused_with_advice(text, message):
    with pytest.raises(BudgetError, match=message):
        parse_budget(text)


@given(st.text(max_size=30))
def test_any_text_is_a_budget_or_a_budget_error(text):
    try:
        budget = parse_budget(text)
    except BudgetError:
        return
    assert budget != Budget()


def test_a_plan_says_what_the_budget_means_here():
    assert parse_budget("50gpu-h").plan("gpu", 8) == "50 gpu-h = 8 GPUs for 6 h 15 min"
    assert parse_budget("4cpu-min").plan("cpu", 1) == "4 cpu-min = 1 CPU for 4 min"
    assert parse_budget("2h,9trials").plan("cpu", 2) == (
        "2 h of wall time, whichever ends first: 9 trials"
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.44, "0.4 s"), (9, "9 s"), (65, "1 min 5 s"), (3600, "1 h"), (22_500, "6 h 15 min"),
     (90_061, "1 d 1 h"), (59.7, "1 min")],
)  # fmt: skip
def test_durations_are_printed_in_their_two_largest_units(seconds, text):
    assert format_duration(seconds) == text


def test_quantities_are_printed_with_units():
    assert format_device_time(180_000, "gpu") == "50 gpu-h"
    assert format_device_time(90, "cpu") == "1.5 cpu-min"
    assert format_device_time(30, "cpu") == "30 cpu-s"
    assert [format_macs(m) for m in (12, 40_551_040, 4_089_184_256)] == ["12", "40.55 M", "4.09 G"]
    assert [format_bytes(b) for b in (5, 1_093_136)] == ["5 B", "1.1 MB"]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4GB", 4_000_000_000), ("500 MB", 500_000_000), ("1.5kB", 1_500), ("0B", 0),
        ("2GiB", 2 * 1024**3), (" 1tb ", 10**12), (".5KiB", 512),
    ],
)  # fmt: skip
def test_sizes_are_read_with_their_unit(text, size):
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "4", "GB", "-1GB", "4 G", "4GBs", "1e9B", "nanMB", "4,5GB"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(InputError, match="a size must be NUMBER UNIT"):
        parse_bytes(text)


def test_what_may_be_taken_besides_is_added_to_what_was_spent():
    spent = {"device_seconds": 100.0, "wall_seconds": 50.0}

    assert parse_budget("2cpu-min").beyond("cpu", **spent) == parse_budget("220cpu-s")
    assert parse_budget("1min,1gpu-s").beyond("gpu", **spent) == parse_budget("110s,101gpu-s")
    assert Budget().beyond("gpu", **spent) == Budget()
    with pytest.raises(BudgetError, match="takes gpu time, but got a budget of cpu time"):
        parse_budget("2cpu-min").beyond("gpu", **spent)
