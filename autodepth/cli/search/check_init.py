"""`autodepth check` and `autodepth init`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from autodepth.cli.console import give, give_json, say
from autodepth.cli.options import Json
from autodepth.errors import InputError, did_you_mean


def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Space files.")],
    json: Json = False,
) -> None:
    """Say every mistake of space files, with its line and column; shipped ones may be named.

    Example: autodepth check search_spaces/*.yaml
    """
    from autodepth.service.search.wanted_space import choose_space
    from autodepth.space.file.space_file import check_space

    found = {str(file): check_space(choose_space(file)) for file in files}
    faulty = any(found.values())
    if json:
        give_json([{"file": file, "mistakes": lines} for file, lines in found.items()])
    elif faulty:
        say("\n".join(line for lines in found.values() for line in lines))
    else:
        give("\n".join(f"{file}: no mistakes" for file in found))
    sys.exit(2 if faulty else 0)


def init(
    space: Annotated[
        str, typer.Argument(metavar="[SPACE]", help="A shipped space, by its file's name.")
    ] = "digits_resnet20",
    to: Annotated[Path, typer.Option(help="File to write.")] = Path("autodepth.yaml"),
    json: Json = False,
) -> None:
    """Write a shipped space as autodepth.yaml, to be edited; `search` then takes it.

    Example: autodepth init cifar10_resnet56
    """
    from autodepth.space.file.shipped import shipped_spaces

    shipped = shipped_spaces()
    name = space.removesuffix(".yaml")
    if name not in shipped:
        raise InputError(
            f"space must be one of {', '.join(sorted(shipped))}, but got {space!r}"
            + did_you_mean(name, shipped)
        )
    if to.exists():
        raise InputError(f"{to} exists already; delete it or choose another with --to")
    to.write_text(shipped[name].read_text())
    if json:
        give_json({"space": name, "file": str(to)})
    else:
        give(f"{to} written; change it, then: autodepth check {to}")
