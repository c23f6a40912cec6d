"""What a terminal shows fits 80 columns and tells the truth."""

from dataclasses import replace

import pytest
from rich.console import Console

from autodepth.cli.tables import front_plot, front_table
from autodepth.front.selection import FrontPoint, best_first
from autodepth.report.wording import shorten
from autodepth.trial.result import OperatingPoint


def member(trial, accuracy, macs, removed=()):
    point = OperatingPoint(
        validation_accuracy=accuracy,
        validation_loss=0.5,
        macs=macs,
        effective_macs=macs,
        parameters=84_346,
        size_bytes=345_528,
        latency_ms=1.25,
    )
    return FrontPoint(trial=trial, point=point, policy={}, removed=removed)


FRONT = [member(0, 0.861, 2_516_608), member(412, 0.842, 1_336_960, (5, 6, 8, 9)),
         member(7, 0.8, 747_136, tuple(range(2, 10)))]  # fmt: skip


def printed(what):
    console = Console(width=80, no_color=True, force_terminal=False)
    with console.capture() as capture:
        console.print(what)
    return capture.get()


def test_the_table_names_every_point_the_most_accurate_first():
    lines = printed(front_table(best_first(FRONT), 2_516_608)).splitlines()

    assert [line.split()[0] for line in lines] == ["trial", "0", "412", "7"]
    assert "86.1%" in lines[1]
    assert "53%" in lines[2]
    assert lines[3].rstrip().endswith("2-9")
    assert max(map(len, lines)) <= 80


def test_filters_are_told_where_any_are_gone():
    narrow = [replace(FRONT[0], policy={"filter_sparsity": 0.4}), *FRONT[1:]]
    lines = printed(front_table(best_first(narrow), 2_516_608)).splitlines()

    assert [line.split()[-1] for line in lines] == ["filters", "-40%", "-0%", "-0%"]
    assert max(map(len, lines)) <= 80


def test_a_long_front_is_thinned_evenly_and_keeps_its_ends():
    front = [member(i, 0.5 + i / 100, 1000 * (i + 1)) for i in range(30)]

    lines = printed(front_table(best_first(front), 30_000, rows=5)).splitlines()[1:]

    assert [line.split()[0] for line in lines] == ["29", "22", "15", "7", "0"]


@pytest.mark.parametrize("colour", [True, False])
@pytest.mark.parametrize("front", [FRONT, FRONT[:1]])
def test_the_plot_shows_every_point_of_the_front_in_80_columns(front, colour):
    others = [member(8, 0.83, 2_000_000).point, member(9, 0.1, 2_000_000).point]
    text = front_plot(front, others, colour=colour).plain

    assert text.count("●") == len(front)
    assert max(map(len, text.splitlines())) <= 80
    assert len(text.splitlines()) <= 15


@pytest.mark.parametrize(
    ("numbers", "text"), [((), "-"), ((4,), "4"), ((3, 1, 2, 7), "1-3 7"), ((2, 4, 6), "2 4 6")]
)
def test_numbers_in_a_row_are_joined(numbers, text):
    assert shorten(numbers) == text
