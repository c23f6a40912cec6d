"""Python modules in a person's folder: imported by name when one was named, and else by nobody.

A folder on `sys.path` would lend its files to whatever any library tries to import, a `msvcrt.py`
or `pandas.py` too. Here a folder serves the module that was named and, from then on, the modules
that came from it.
"""

from __future__ import annotations

import importlib
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

from autodepth.errors import NetworkError

_INSTALLED = {"site-packages", "dist-packages"}


def import_from(folder: Path, name: str) -> ModuleType:
    """Import a module that is installed, or lies in a folder.

    Args:
        folder: where it is looked for; absolute.
        name: `package.module`.

    Raises:
        NetworkError: both have one, or another folder served one, and they are not the same.
        ImportError: as Python raises it; and whatever else the module raises.
    """
    top = name.partition(".")[0]
    # Python has one module of a name: what is imported from here would get another folder's.
    for each in (top, *_FINDER.served_from_elsewhere(folder)):
        mine = PathFinder.find_spec(each, [str(folder)])
        if mine is not None and mine.origin is not None:  # a folder without __init__.py yields
            _refuse_another(each, mine.origin)
    _FINDER.serve(top, folder)
    return importlib.import_module(name)


def home_of(name: str) -> Path | None:
    """Return the folder that an imported module came from; None where it is installed.

    Args:
        name: `package.module`.
    """
    top = name.partition(".")[0]
    module = sys.modules[top]
    place = next(iter(getattr(module, "__path__", ())), None) or getattr(module, "__file__", None)
    if place is None or is_installed(top, Path(place)):
        return None
    return Path(place).absolute().parent


def is_installed(module: str, file: Path) -> bool:
    """Whether a module comes with Python or from a package registry, wherever that put it."""
    return module.partition(".")[0] in sys.stdlib_module_names or bool(_INSTALLED & {*file.parts})


class _Finder(MetaPathFinder):
    """Finds modules in people's folders: those that were named, and for those their neighbours."""

    def __init__(self) -> None:
        self._homes: dict[str, Path] = {}

    def serve(self, top: str, folder: Path) -> None:
        """Let anybody import a module, or package, of a folder."""
        self._homes[top] = folder
        if self not in sys.meta_path:
            sys.meta_path.append(self)  # the last to be asked, so it hides nothing

    def served_from_elsewhere(self, folder: Path) -> list[str]:
        """Return the names of the modules and packages that other folders serve."""
        return [name for name, home in self._homes.items() if home != folder]

    def find_spec(
        self,
        fullname: str,
        path: object = None,
        target: ModuleType | None = None,  # noqa: ARG002 - as Python calls it
    ) -> ModuleSpec | None:
        """Return where a module is, to those who may have it."""
        home = self._homes.get(fullname) or self._homes.get(_importing())
        if path is not None or home is None:
            return None
        found = PathFinder.find_spec(fullname, [str(home)])
        if found is not None:
            self.serve(fullname, home)
        return found


_FINDER = _Finder()


def _refuse_another(top: str, mine: str) -> None:
    """Refuse a name that means two modules: one would hide the other."""
    if (loaded := sys.modules.get(top)) is not None:
        other = getattr(loaded, "__file__", None)
    else:
        finders = (finder for finder in sys.meta_path if finder is not _FINDER)
        found = (finder.find_spec(top, None) for finder in finders)
        other = next((spec.origin for spec in found if spec is not None), None)
    if other is not None and Path(other).resolve() != Path(mine).resolve():
        raise NetworkError(
            f"a module must have a name of its own, but {top} is both {mine} and {other}: "
            "rename the one that is yours, or use the two in a process each (of a notebook, "
            "restart the kernel)"
        )


def _importing() -> str:
    """Return the package, or module, whose code asks for an import that is under way."""
    frame = sys._getframe(1)  # noqa: SLF001 - Python tells a finder nothing of who asks
    own = {__name__, "importlib", "importlib._bootstrap", "importlib._bootstrap_external"}
    while frame.f_back is not None and frame.f_globals.get("__name__") in own:
        frame = frame.f_back
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]
