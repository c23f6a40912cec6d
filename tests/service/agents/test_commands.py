"""Commands for agents: no value is taken for an option, errors come as they are, searches go on."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest

from autodepth.errors import AutodepthError, InputError
from autodepth.service.agents import commands
from autodepth.service.agents.commands import answer, begin, checked_name, options, space_file


def test_every_value_stands_behind_its_option():
    given = options(budget="--json", data=None, set=("a=1", "--own-code"), dry_run=True, why=3)

    assert given == ["--budget=--json", "--set=a=1", "--set=--own-code", "--dry-run", "--why=3"]


@pytest.mark.parametrize("name", ["--steer", "../other", "a/b", "", "x" * 65, "a\nb"])
def test_a_name_is_neither_a_path_nor_an_option(name):
    with pytest.raises(InputError, match="a name must be 1 to 64 of"):
        checked_name(name)


def test_a_space_is_a_shipped_one_or_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").touch()

    assert space_file(None) == []
    assert space_file("digits_resnet20")[0].endswith("/search_spaces/digits_resnet20.yaml")
    assert space_file("mine.yaml") == [str(tmp_path / "mine.yaml")]
    with pytest.raises(InputError, match=r"one of cifar.* or a file, but got '--own-code'"):
        space_file("--own-code")


def program(monkeypatch, text):
    monkeypatch.setattr(commands, "_program", lambda *_: [sys.executable, "-c", text])


def test_what_a_command_prints_beside_its_document_is_left_out(monkeypatch):
    program(monkeypatch, "import sys; print('[1]'); print('bars', file=sys.stderr)")

    assert asyncio.run(answer("studies")) == [1]


@pytest.mark.parametrize(
    ("printed", "told"),
    [("starting\nerror: no study\nof that name", "no study\nof that name"),
     ("killed", "killed"), ("", "it ended without a word")],
)  # fmt: skip
def test_the_error_of_a_command_is_told(monkeypatch, printed, told):
    program(monkeypatch, f"import sys; sys.stderr.write({printed!r}); sys.exit(2)")
    for asked in (lambda: answer("status"), lambda: begin("digits", "search")):
        with pytest.raises(AutodepthError) as error:
            asyncio.run(asked())
        assert str(error.value) == told


def test_a_search_goes_on_without_who_asked_for_it(monkeypatch):
    program(monkeypatch, "import time; time.sleep(600)")
    monkeypatch.setattr(commands, "_is_driven", lambda _: True)
    found = asyncio.run(begin("digits", "search"))
    try:
        assert os.getsid(found["pid"]) == found["pid"]  # a session of its own
        assert found["log"].endswith("/studies/digits.log")
    finally:
        process = commands._started.pop()
        process.kill()
        process.wait()
