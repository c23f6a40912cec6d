"""A dry run is the command's, of one search at a time; nothing is queued."""

import asyncio
import json
import subprocess
import sys

import pytest
from service.queue.queues import SMALL

from autodepth.errors import InputError, NotNowError
from autodepth.records.studies import studies_root, study_folders
from autodepth.service.agents import commands
from autodepth.service.queue.carrying.commands import Place
from autodepth.service.queue.carrying.dry_run import DryRuns
from autodepth.service.queue.wishes import SearchWish

SAYS_ITS_WORDS = """
import json, sys
from pathlib import Path
print(json.dumps({"words": sys.argv[1:], "space": Path(sys.argv[-2]).read_text()}))
"""


@pytest.fixture
def told(monkeypatch):
    """Have a program of a test's own take the command's place."""

    def put(text):
        program = [sys.executable, "-c", text]
        monkeypatch.setattr(commands, "_program", lambda *words: [*program, *words])

    return put


def asked(*wishes):
    """Ask for dry runs at once; return what came of each."""

    async def ask():
        runs, place = DryRuns(), Place.of(studies_root(), ray_address="auto")
        plans = (runs.plan(wish.arguments(), place) for wish in wishes)
        return await asyncio.gather(*plans, return_exceptions=True)

    return asyncio.run(ask())


def test_it_is_the_command_that_would_begin_the_search(told):
    told(SAYS_ITS_WORDS)
    text = "version: 1\n"
    (found,) = asked(SearchWish(study="new", budget="3trials", space_text=text, settings=["a=1"]))
    *words, _, json_word = found["words"]
    assert words == ["search", "--budget=3trials", "--set=a=1", "--ray-address=auto", "--dry-run"]
    assert (json_word, found["space"]) == ("--json", text)


def test_one_is_made_at_a_time(told):
    told("print('{}')")
    wish = SearchWish(study="new", budget="3trials")
    first, second = asked(wish, wish)
    assert first == {}
    assert isinstance(second, NotNowError)


def test_what_the_command_cannot_use_is_told_as_such(told):
    told("import sys; sys.stderr.write('error: no such data'); sys.exit(2)")
    (error,) = asked(SearchWish(study="new", budget="3trials"))
    assert isinstance(error, InputError)
    assert str(error) == "no such data"


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_it_says_what_the_command_says():
    wish = SearchWish(study="new", budget="3trials", settings=SMALL)
    runs = DryRuns()
    found = asyncio.run(runs.plan(wish.arguments(), Place.of(studies_root())))
    typed = subprocess.run(
        [sys.executable, "-m", "autodepth", "search", "--budget=3trials", "--dry-run", "--json",
         *(f"--set={setting}" for setting in SMALL)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    printed = json.loads(typed.stdout)
    assert set(found) == set(printed)
    for same in ("network", "data_fingerprint", "macs", "branches", "limits"):
        assert found[same] == printed[same]
    assert study_folders() == []
