"""A task is made by name where a person allowed it."""

import re
import sys
from pathlib import Path

import pytest

from autodepth.errors import TaskError
from autodepth.tasks.own_task import TaskSpec, make_task


def test_code_of_ones_own_runs_where_it_is_allowed(in_folder):
    in_folder()

    with pytest.raises(TaskError, match="--own-code"):
        make_task(TaskSpec(name="ink:Ink"))
    assert "ink" not in sys.modules

    task = make_task(TaskSpec(name="ink:Ink", own_code=True))
    assert list(task.metrics) == ["mae", "off"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ink:Inc", "has no callable 'Inc', did you mean 'Ink'"),
        ("ink:functional", "has no callable"),
        ("nowhere:Task", "no Python module 'nowhere' for the task"),
        ("ink:DataLoader", "cannot be called"),
        ("ink:load_digits", "must give an autodepth.tasks.task.Task"),
    ],
)
def test_what_makes_no_task_is_told(in_folder, name, text):
    in_folder()

    with pytest.raises(TaskError, match=text):
        make_task(TaskSpec(name=name, own_code=True))


def test_what_its_maker_raises_has_its_line(in_folder):
    in_folder(("at = torch.arange(8.0)", "at = torch.arange(8.0) / 0 @ 3"))
    number = 1 + Path("ink.py").read_text().splitlines().index(
        "        at = torch.arange(8.0) / 0 @ 3"
    )

    with pytest.raises(TaskError, match=rf"^ink\.py:{number}: ink:Ink failed: TypeError"):
        make_task(TaskSpec(name="ink:Ink", own_code=True))


def test_a_spec_is_read_as_it_was_written_and_without_permission():
    spec = TaskSpec(name="ink:Ink", arguments={"size": 3}, own_code=True)

    assert TaskSpec.from_dict(spec.to_dict()) == TaskSpec(name="ink:Ink", arguments={"size": 3})
    assert TaskSpec.from_dict(None).is_classification


def test_the_guide_shows_the_task_that_is_tested():
    root = Path(__file__).parents[2]
    guide = (root / "docs" / "guides" / "own_task.md").read_text()
    code, *_ = re.findall(r"^```python\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)

    assert code == (root / "tests" / "tasks" / "ink.py").read_text()
