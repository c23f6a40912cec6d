"""What the documentation names is there: files, commands, options."""

import re
import shlex
from pathlib import Path

import pytest
import typer
from fault_times import measured, with_times

from autodepth.cli.main import app
from autodepth.space.reference import reference_page

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "SECURITY.md", *(ROOT / "docs").rglob("*.md")])
GENERATED = {ROOT / "docs" / "reference" / "cli.md"}  # by `make docs`
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)(?:#[^)]*)?\)")
SHOWN_BY = re.compile(r"`((?:tests|benchmarks)/[\w./-]+|test_\w+\.py)`")
COMMANDS = typer.main.get_command(app).commands


def commands_of(page):
    """Yield (line number, words) of every command line of ours on a page."""
    lines = page.read_text().splitlines()
    for number, line in enumerate(lines, start=1):
        if not re.match(r" {4,}autodepth [a-z]", line):
            continue
        text, following = line.strip(), number
        while text.endswith("\\"):
            text = text[:-1] + lines[following].strip()
            following += 1
        yield number, shlex.split(text, comments=True)[1:]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file(page):
    targets = [(page.parent / target).resolve() for target in LINK.findall(page.read_text())]

    assert [str(t) for t in targets if not t.exists() and t not in GENERATED] == []


def test_every_test_and_benchmark_that_a_page_names_is_there():
    tests = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    named = {(page.name, name) for page in PAGES for name in SHOWN_BY.findall(page.read_text())}
    gone = {(page, name) for page, name in named if not ((ROOT / name).exists() or name in tests)}

    assert gone == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_and_option_exists(page):
    for number, words in commands_of(page):
        where = f"{page.name}:{number}: {' '.join(words)}"
        assert words[0] in COMMANDS, where
        known = {option for param in COMMANDS[words[0]].params for option in param.opts}
        used = {word.partition("=")[0] for word in words if word.startswith("-")}
        assert used <= known | {"--help"}, where


def test_every_command_is_told_in_the_readme():
    text = (ROOT / "README.md").read_text()

    assert [name for name in COMMANDS if f"autodepth {name}" not in text] == []


def test_the_reference_of_space_files_is_that_of_the_models():
    page = ROOT / "docs" / "reference" / "space.md"

    assert page.read_text() == reference_page(), "write it anew: make schema"


def test_the_times_in_the_table_of_faults_are_those_that_were_measured():
    page = (ROOT / "docs" / "reliability.md").read_text()

    assert page == with_times(page, measured()), "write it anew: python benchmarks/fault_times.py"


def test_times_are_of_the_fault_that_they_were_measured_of(tmp_path):
    lines = ["| fault | measured | time |", "|---|---|---|"]
    lines += [f"| Ray's head is killed | until it goes on | {s} s |" for s in (4.0, 6.0)]
    (tmp_path / "fault_times.md").write_text("\n".join(lines) + "\n")
    page = (ROOT / "docs" / "reliability.md").read_text()
    told = [row for row in with_times(page, measured(tmp_path)).splitlines() if " s until" in row]

    assert len(told) == 1
    assert told[0].startswith("| Ray's head is killed |")
    assert told[0].endswith("| 4.0 s and 6.0 s until it goes on |")
    with pytest.raises(ValueError, match=r"but not: .*the driver is bored"):
        with_times(page, {"the driver is bored": "1 s"})


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text()
    pages = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")]

    assert [page for page in pages if f": {page}\n" not in navigation] == []
