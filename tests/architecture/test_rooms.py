"""Rooms stay small enough to know, and the picture of them is the one the imports draw."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "autodepth"
MOST_ENTRIES, MOST_LINES = 9, 400


def rooms():
    inits = sorted(PACKAGE.rglob("__init__.py"))
    return [file.parent for file in inits if file.parent != PACKAGE]


@pytest.mark.parametrize("room", rooms(), ids=lambda room: str(room.relative_to(PACKAGE)))
def test_a_room_has_at_most_nine_files_and_rooms(room):
    files = [file for file in room.glob("*.py") if file.stem != "__init__"]
    below = [init.parent for init in room.glob("*/__init__.py")]

    assert 0 < len(files) + len(below) <= MOST_ENTRIES


def test_no_file_is_longer_than_four_hundred_lines():
    lengths = {
        str(file.relative_to(PACKAGE)): len(file.read_text().splitlines())
        for file in PACKAGE.rglob("*.py")
    }
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}


def test_the_pictures_of_the_rooms_are_current():
    place = ROOT / "docs" / "figures" / "rooms.py"
    spec = importlib.util.spec_from_file_location("drawn_rooms", place)
    drawing = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = drawing  # dataclasses look there
    spec.loader.exec_module(drawing)

    for name, container in drawing.FIGURES.items():
        found = place.with_name(name).read_text(encoding="utf-8")
        assert found == drawing.picture(container), "python docs/figures/rooms.py draws it anew"


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: page.stem)
def test_every_file_of_the_repository_that_a_page_names_is_there(page):
    named = re.findall(r"\b(?:tests|benchmarks|autodepth)/[\w/]+\.py\b", page.read_text())

    assert [name for name in named if not (ROOT / name).is_file()] == []
