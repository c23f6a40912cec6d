"""autodepth: how shallow can a residual network be, at what accuracy, and which policy gets there?

The Python API does what the command line does:

>>> from autodepth import search, load              # doctest: +SKIP
>>> result = search("search_spaces/digits_resnet20.yaml", budget="4cpu-min")
>>> network = load("exports/digits")
"""

import os
import sys

# `python -m autodepth` has put the current folder first, and this is the first of ours to run:
# from here on its files are nobody's code, but where autodepth itself lies in it.
if sys.argv[:1] == ["-m"] and "autodepth" in sys.orig_argv and not sys.flags.safe_path:
    _here = sys.path.pop(0)
    if os.path.dirname(os.path.dirname(__file__)) == _here:  # noqa: PTH120 - before pathlib
        sys.path.append(_here)
        os.environ["PYTHONPATH"] = f"{os.environ.get('PYTHONPATH', '')}:{_here}".lstrip(":")

from typing import TYPE_CHECKING, Any

from autodepth.version import __version__

__all__ = ["__version__", "load", "resume", "search"]

if TYPE_CHECKING:
    from autodepth.export.bundles.bundle import load
    from autodepth.service.search.resume import resume
    from autodepth.service.search.search import search


def __getattr__(name: str) -> Any:
    """Import what is asked for only then: torch, Ray and MLflow take seconds."""
    if name == "load":
        from autodepth.export.bundles.bundle import load  # noqa: PLC0415

        return load
    if name == "resume":
        from autodepth.service.search.resume import resume  # noqa: PLC0415

        return resume
    if name == "search":
        from autodepth.service.search.search import search  # noqa: PLC0415

        return search
    raise AttributeError(f"module 'autodepth' has no attribute {name!r}")
