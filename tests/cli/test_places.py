"""Commands in places and at terminals that nobody has at home: one message, and no traceback."""

import os
import subprocess
import sys

import pytest

LONG = "/tmp/" + "x" * 300
TRIED = {
    "no HOME": ("studies", {"HOME": None}, 0, "no studies in"),
    "a narrow dumb terminal": ("studies", {"TERM": "dumb", "COLUMNS": "20"}, 0, "no studies in"),
    "a terminal of no width": ("--help", {"COLUMNS": "0"}, 0, "Usage"),
    "ASCII alone": (
        "studies", {"LANG": "C", "LC_ALL": "C", "PYTHONIOENCODING": "ascii"}, 0, "no studies in"
    ),
    "a time zone that is none": ("studies", {"TZ": "Nowhere/At_All"}, 0, "no studies in"),
    "a path that is too long": ("studies", {"AUTODEPTH_HOME": LONG}, 2, "must be shorter"),
    "a folder of a strange name": (
        "studies", {"AUTODEPTH_HOME": "a b'\"c\nd\u00e9"}, 0, "no studies in"
    ),
}  # fmt: skip


@pytest.mark.parametrize("place", TRIED)
def test_a_command_says_what_it_has_to_say_anywhere(place, tmp_path):
    command, changes, status, told = TRIED[place]
    environment = {**os.environ, **changes}
    ran = subprocess.run(
        [sys.executable, "-m", "autodepth", command], cwd=tmp_path,
        env={name: value for name, value in environment.items() if value is not None},
        capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip

    assert ran.returncode == status, ran.stderr
    assert told in " ".join((ran.stdout + ran.stderr).split())
    assert "Traceback" not in ran.stderr
