"""Tasks by name: those shipped, and `package.module:callable` for one's own."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from autodepth.data.settings import DataSettings
from autodepth.errors import NetworkError, TaskError, did_you_mean
from autodepth.networks.catalogue.own_builder import code_folder, find_own, is_own
from autodepth.paths import absolute
from autodepth.space.sections.task_section import CLASSIFICATION, SHIPPED
from autodepth.tasks.checked_task import CheckedTask, place_of
from autodepth.tasks.shipped.catalogue import SHIPPED_TASKS
from autodepth.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class TaskSpec:
    """Everything needed to make a task again.

    Args:
        name: one of `SHIPPED`, or `package.module:callable`.
        arguments: what it is made with; plain values.
        own_code: whether that may be imported and called: only where a person said so. It is not
            written to files, and none can say it.
        code_folder: where its module lies if it is not installed; None for the current folder.
        data: what a task that is shipped learns from. Where that lies differs by machine, so it is
            told beside the task wherever tasks are written.
    """

    name: str = CLASSIFICATION
    arguments: Mapping[str, Any] = field(default_factory=dict)
    own_code: bool = False
    code_folder: Path | None = None
    data: DataSettings | None = None

    @property
    def is_classification(self) -> bool:
        """Whether it learns labels of images that the search reads itself."""
        return self.name == CLASSIFICATION

    @property
    def is_plain(self) -> bool:
        """Whether it is classification as it is where nobody asks for anything of it."""
        return self.is_classification and not self.arguments

    @property
    def is_own(self) -> bool:
        """Whether it is code of a person's own, which brings its examples along."""
        return is_own(self.name)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values fit for JSON; what is not written to files is not among them."""
        return {"name": self.name, "arguments": dict(self.arguments)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any] | None, *, own_code: bool = False) -> TaskSpec:
        """Return what `to_dict` told, with the permission given now; None is classification."""
        if values is None:
            return cls()
        return cls(name=str(values["name"]), arguments=dict(values["arguments"]), own_code=own_code)

    def imported(self) -> TaskSpec:
        """Return the same with the folder its code came from; make it first."""
        if not self.is_own:
            return self
        return replace(self, code_folder=code_folder(self.name))


def make_task(spec: TaskSpec) -> CheckedTask:
    """Return any task but classification; each process makes it once.

    Raises:
        TaskError: its code was not allowed, cannot be imported or fails, or gives no task.
        DataError: what it learns from cannot be read.
    """
    text = json.dumps(spec.arguments, sort_keys=True)
    return _made(spec.name, text, spec.own_code, spec.code_folder, spec.data)


@functools.lru_cache(maxsize=4)
def _made(
    name: str, arguments: str, own_code: bool, folder: Path | None, data: DataSettings | None
) -> CheckedTask:
    if name in SHIPPED_TASKS:
        return _made_here(name, json.loads(arguments), data)
    if not is_own(name):
        raise TaskError(
            f"a task must be {', '.join(SHIPPED)} or package.module:callable, but got {name!r}"
        )
    if not own_code:
        raise TaskError(
            f"the task {name} is code outside autodepth, and a file may come from anywhere: "
            "--own-code (own_code=True) allows it to be imported and called"
        )
    try:
        maker = find_own(name, absolute(folder or "."), "task")
    except NetworkError as error:
        raise TaskError(str(error)) from error
    wanted = json.loads(arguments)
    try:
        inspect.signature(maker).bind(**wanted)
    except TypeError as error:
        takes = f"{name} takes {inspect.signature(maker)}"
        where = place_of(maker)
        raise TaskError(f"{where}: {name} cannot be called: {error}; {takes}") from error
    try:
        task = maker(**wanted)
    except Exception as error:
        where = _line_in(error, place_of(maker))
        raise TaskError(f"{where}: {name} failed: {type(error).__name__}: {error}") from error
    if not isinstance(task, Task):
        raise TaskError(
            f"{place_of(maker) or name}: {name} must give an autodepth.tasks.task.Task, "
            f"but gave {task!r:.80}"
        )
    return CheckedTask(task, name)


def _made_here(name: str, arguments: dict[str, Any], data: DataSettings | None) -> CheckedTask:
    """Return a task that is shipped.

    Raises:
        TaskError: it takes no such arguments, or its data are not given.
        DataError: they cannot be read.
    """
    module, _, kind = SHIPPED_TASKS[name].maker.partition(":")
    maker = getattr(import_module(module), kind)
    if data is None:
        raise TaskError(f"the task {name} needs data")
    known = [key for key in inspect.signature(maker).parameters if key != "data"]
    if unknown := [key for key in arguments if key not in known]:
        raise TaskError(
            f"task.arguments of {name} must be of {', '.join(known)}, but got {unknown[0]!r}"
            + did_you_mean(unknown[0], known)
        )
    return CheckedTask(maker(data, **arguments), name)


def _line_in(error: BaseException, maker: str) -> str:
    """Return the line of the maker's file where an error came from; else that of the maker."""
    file = maker.rpartition(":")[0]
    last = ""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename.endswith(file) and file:
            last = f"{file}:{trace.tb_lineno}"
        trace = trace.tb_next
    return last or maker
