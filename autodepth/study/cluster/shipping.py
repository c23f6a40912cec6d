"""What trials need from the disk of the driver's host, taken along to other nodes.

Weights to start from and code of one's own travel as bytes through Ray's object store: once to
each node, whatever its disk holds.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from autodepth.errors import InputError
from autodepth.networks.catalogue import NetworkSpec
from autodepth.networks.running.own_modules import is_installed
from autodepth.networks.weights.checkpoint_file import files_of
from autodepth.tasks.own_task import TaskSpec
from autodepth.trial.context import TrialContext

_Made = TypeVar("_Made", NetworkSpec, TaskSpec)
_MOST_CODE_BYTES = 20_000_000
_CODE, _WEIGHTS = "code", "weights"


@dataclass(frozen=True, kw_only=True)
class ShippedFiles:
    """Files by what they are for.

    Args:
        weights: the files the network starts from by their names, the first naming the others;
            empty where it starts from the seed.
        code: files of the network's and the task's own code, by their path from the folder they are
            imported from.
    """

    weights: Mapping[str, bytes]
    code: Mapping[str, bytes]

    def unpack_files(self) -> Path | None:
        """Write the files on this node, once per process.

        Returns:
            The folder; None where there is nothing to write.
        """
        return _written(self) if self.code or self.weights else None

    def unpack(self, context: TrialContext) -> TrialContext:
        """Return a setting that uses the files on this node."""
        folder = self.unpack_files()
        first = next(iter(self.weights), None)
        weights = None if folder is None or first is None else folder / _WEIGHTS / first
        spec, learns = self.unpack_code(context.spec), self.unpack_code(context.learns)
        return replace(context, weights=weights, spec=spec, learns=learns)

    def unpack_code(self, made: _Made) -> _Made:
        """Return a network or a task that is made by the code on this node."""
        if made.code_folder is None or not self.code:
            return made
        return replace(made, code_folder=_written(self) / _CODE)

    def __hash__(self) -> int:
        return hash((tuple(self.weights.items()), tuple(sorted(self.code.items()))))


def pack(
    spec: NetworkSpec, weights: Path | None = None, learns: TaskSpec | None = None
) -> ShippedFiles:
    """Pack what a network and a task need; both were made before, so their modules are imported.

    Args:
        spec: the network; code is taken along from where its own lies, if it has any.
        weights: the file it starts from, if any.
        learns: the task, likewise.

    Raises:
        InputError: the code is too large to be code.
    """
    code: dict[str, bytes] = {}
    folders = {made.code_folder for made in (spec, learns) if made is not None}
    for folder in filter(None, folders):
        code |= _code_of(folder)  # one name is one module, so no two files have one
    size = sum(map(len, code.values()))
    if size > _MOST_CODE_BYTES:
        raise InputError(
            f"code of one's own must be at most {_MOST_CODE_BYTES:,} bytes to travel to other "
            f"nodes, but the modules imported from {', '.join(map(str, folders))} have {size:,}"
        )
    files = () if weights is None else files_of(weights)
    return ShippedFiles(weights={file.name: file.read_bytes() for file in files}, code=code)


def _code_of(root: Path) -> dict[str, bytes]:
    """Return every imported module that lies below a folder and is not installed there."""
    found = {}
    for name, module in sys.modules.copy().items():
        file = getattr(module, "__file__", None)
        if not file or name.partition(".")[0] == "autodepth":
            continue
        path = Path(file)
        if path.suffix == ".py" and path.is_relative_to(root) and not is_installed(name, path):
            found[str(path.relative_to(root))] = path.read_bytes()
    return found


@functools.lru_cache(maxsize=1)
def _written(shipped_files: ShippedFiles) -> Path:
    """Write the files into a folder that only this process's user can read."""
    folder = Path(tempfile.mkdtemp(prefix="autodepth-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / _WEIGHTS).mkdir()
    for name, content in shipped_files.weights.items():
        (folder / _WEIGHTS / name).write_bytes(content)
    code = folder / _CODE
    for name, text in shipped_files.code.items():
        (code / name).parent.mkdir(parents=True, exist_ok=True)
        (code / name).write_bytes(text)
    return folder
