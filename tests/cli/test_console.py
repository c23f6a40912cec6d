"""Long work on a terminal, and not a word of it elsewhere."""

import numpy as np
import pytest
from PIL import Image

from autodepth.cli.console import Bars, give
from autodepth.long_work import each, long_work, shown_by


def work():
    with shown_by(Bars().show), long_work("exporting [knee]", 2) as advance:
        for _ in each(range(4), "verifying model.onnx", 4):
            give("a result")
        advance(1)


def test_a_terminal_shows_each_work_on_a_line_while_it_goes_on(capfd, monkeypatch):
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    work()
    shown = capfd.readouterr()

    assert "exporting [knee]" in shown.err
    assert "verifying model.onnx" in shown.err
    assert "0%" in shown.err
    assert "\x1b[3" not in shown.err  # no colour
    assert shown.err.rstrip().endswith(("\x1b[2K", "\x1b[?25h"))  # gone again, the cursor is back
    assert shown.out == "a result\n" * 4


def test_without_a_terminal_nothing_is_shown(capfd):
    work()

    assert capfd.readouterr() == ("a result\n" * 4, "")


@pytest.mark.slow
@pytest.mark.parametrize("terminal", ["0", "1"])
def test_a_data_set_is_seen_to_be_read_and_steps_to_be_timed(run, tmp_path, terminal):
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(60):
            pixels = np.full((16, 16, 3), number, dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    done = run(
        "search", "--data", "folder:photos", "--network", "resnet14", "--budget", "9trials",
        "--dry-run", "--json", TTY_COMPATIBLE=terminal,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("{")
    for words in ("decoding images", "timing a few steps"):
        assert (words in done.stderr) == (terminal == "1")
