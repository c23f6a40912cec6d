"""Every task that a space file may name is there, and is a task."""

from importlib import import_module

from autodepth.space.sections.task_section import CLASSIFICATION, SHIPPED
from autodepth.tasks.shipped.catalogue import SHIPPED_TASKS
from autodepth.tasks.task import Task


def test_every_name_of_a_space_file_is_a_task():
    assert {*SHIPPED} == {CLASSIFICATION, *SHIPPED_TASKS}
    for shipped in SHIPPED_TASKS.values():
        module, _, name = shipped.maker.partition(":")
        assert issubclass(getattr(import_module(module), name), Task)
