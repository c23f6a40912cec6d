"""What every command says of itself, and that what it prints fits a terminal."""

import shlex

import pytest
import typer
from typer.testing import CliRunner

from autodepth.cli.main import app
from autodepth.records.ledger import Ledger

COMMANDS = typer.main.get_command(app).commands
TRIALS = [(0.95, 40_000_000, 60.0), (0.93, 20_000_000, 30.0), (None, 0, 5.0), (0.8, 9_000_000, 9.0)]
NAME = "resnet110-photographs-20261125-071448"  # as a search calls its study
# Commands that print what is recorded, with what they print here in full.
PRINTING = {
    "studies": ["studies"],
    "status": ["status", NAME],
    "why": ["status", NAME, "--why", "1"],
    "front": ["front", NAME],
    "controls": ["controls", NAME],
    "importance": ["importance", NAME],
    "compare": ["compare", NAME, "other"],
}


@pytest.fixture
def in_80_columns(monkeypatch):
    """Run a command in this process on a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")
    return lambda *words, **environment: CliRunner().invoke(app, words, env=environment)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_that_it_would_take(name, in_80_columns):
    command = COMMANDS[name]
    lines = [line.strip() for line in command.help.splitlines()]
    (example,) = [line.removeprefix("Example: ") for line in lines if line.startswith("Example: ")]
    words = shlex.split(example)
    assert words[:2] == ["autodepth", name]
    with command.make_context(name, words[2:]):  # options and values are of this command
        pass
    shown = in_80_columns(name, "--help").output
    assert "Example: autodepth" in shown
    assert max(map(len, shown.splitlines())) <= 80


@pytest.fixture
def recorded(make_recorded, recorded_result):
    """Two studies, one of them with confirmations and a control."""
    for name in ("other", NAME):
        folder = make_recorded(name, TRIALS, policy={"p_L": 0.5, "criterion": "ablation_loss"})
    with Ledger.open(folder.ledger_path) as ledger:
        for kind, role in (("confirm", ""), ("control", "from_scratch_equal_device_time")):
            for replicate, accuracy in enumerate((0.92, 0.90), start=1):
                number = ledger.start_trial(kind, {}, {}, about=1, role=role, replicate=replicate)
                ledger.complete_trial(number, recorded_result(accuracy, 20_000_000), 10.0)


@pytest.mark.parametrize("words", PRINTING.values(), ids=PRINTING)
def test_what_is_printed_fits_80_columns_and_has_no_colour_where_none_is_wanted(
    words, recorded, in_80_columns
):
    done = in_80_columns(*words, NO_COLOR="1", FORCE_COLOR="1")

    assert done.exit_code in {0, 1}, done.output
    assert done.exception is None or isinstance(done.exception, SystemExit)
    plain = done.output.replace("\x1b[1m", "").replace("\x1b[0m", "").replace("\x1b[2m", "")
    assert "\x1b[" not in plain
    tables = [line for line in plain.splitlines() if line.startswith(" ")]  # sentences wrap
    assert all(len(line) <= 80 for line in tables)
