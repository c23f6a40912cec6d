"""Which command carries a work out: the one that a person would type.

Every attempt but the first finds what the earlier ones left, so each command goes on from there:
`search --go-on` with a study that it began, `resume --total` without adding twice, `confirm` and
`enqueue --carry-out` with the trials that are still missing.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from autodepth.atomic import write_atomically
from autodepth.records.studies import EXPORTS, HOME_VARIABLE, QUEUE
from autodepth.service.agents.commands import options
from autodepth.service.queue.work import Work
from autodepth.space.file.shipped import default_space, shipped_spaces
from autodepth.space.file.yaml_text import write_yaml

SPACE_FILE, POLICY_FILE = "space.yaml", "policy.yaml"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where works are carried out: the same for all of a server.

    Args:
        studies: folder of all studies.
        queue: folder of the queue.
        ray_address: of a Ray cluster; None for this machine.
        storage: where its nodes write; None likewise.
        tracking_uri: MLflow store; None for the file beside the studies.
        notify: who is told of all searches, as `search --notify`.
    """

    studies: Path
    queue: Path
    ray_address: str | None = None
    storage: str | None = None
    tracking_uri: str | None = None
    notify: Sequence[str] = ()

    @classmethod
    def of(cls, studies: Path, **others: Any) -> Self:
        """Return the place whose queue lies beside the studies; `others` are its other fields."""
        return cls(studies=studies, queue=studies / QUEUE, **others)

    def folder(self, number: int) -> Path:
        """Return the folder of a work."""
        return self.queue / str(number)

    def export(self, name: str) -> Path:
        """Return the folder of an export."""
        return self.studies / EXPORTS / name


def command_of(work: Work, place: Place) -> list[str]:
    """Return the words of `autodepth` that carry the next attempt at a work out."""
    given, folder = dict(work.arguments), place.folder(work.number)
    cluster = options(ray_address=place.ray_address, storage=place.storage)
    store = options(tracking_uri=place.tracking_uri)
    told = [*store, *options(notify=list(place.notify))]
    if work.kind == "search":
        asked, space = _search_words(given, folder)
        again = ["--go-on"] if work.attempt else []
        words = ["search", f"--study={work.study}", *asked, *again, *cluster, *told]
        return [*words, "--json", space]
    if work.kind == "resume":
        words = ["resume", *options(total=work.total), *cluster, *told]
    elif work.kind == "confirm":
        words = ["confirm", *options(**given, at_most=work.total), *cluster]
    elif work.kind == "policy":
        words = ["enqueue", "--carry-out", *options(at_most=work.total), *cluster]
    elif work.kind == "export":
        words = ["export", *options(**{**given, "to": place.export(given["to"])})]
        words += store if given.get("register") else []
    else:
        folder = place.export(given["export"])
        return ["register", *options(name=given.get("name")), *store, "--json", str(folder)]
    policy = [str(folder / POLICY_FILE)] if work.kind == "policy" else []
    return [*words, "--json", work.study, *policy]


def dry_run_of(arguments: Mapping[str, Any], place: Place, folder: Path) -> list[str]:
    """Return the words of `autodepth` that say what a search would do.

    Args:
        arguments: as of a work that searches.
        place: where it would be carried out.
        folder: has the text of its space, where it has one.
    """
    cluster = options(ray_address=place.ray_address, storage=place.storage)
    asked, space = _search_words(arguments, folder)
    return ["search", *asked, *cluster, "--dry-run", space]


def _search_words(arguments: Mapping[str, Any], folder: Path) -> tuple[list[str], str]:
    """Return the options of a search, and its space file."""
    given = dict(arguments)
    text, name = given.pop("space_text", None), given.pop("space", None)
    trained = given.get("weights") is not None
    shipped = default_space(trained=trained) if name is None else shipped_spaces()[name]
    return options(**given), str(shipped if text is None else folder / SPACE_FILE)


def write_files(work: Work, place: Place) -> None:
    """Write what a work's command reads into the work's folder."""
    folder = place.folder(work.number)
    folder.mkdir(parents=True, exist_ok=True)
    if (text := work.arguments.get("space_text")) is not None:
        write_atomically(folder / SPACE_FILE, text)
    if work.kind == "policy":
        write_atomically(folder / POLICY_FILE, write_yaml(work.arguments["policy"]))


def shown(work: Work, place: Place) -> str:
    """Return the command that does the same, for a shell in the server's folder.

    Paths are from there, and shipped spaces are named. Where MLflow is and who is told stays with
    the server: there may be a password in it.
    """
    plain = replace(place, tracking_uri=None, notify=())
    words = [word for word in command_of(work, plain) if word not in {"--json", "--go-on"}]
    if work.kind == "resume" and "budget" in work.arguments:  # what a person adds, not the sum
        words = [word for word in words if not word.startswith("--total=")]
        words[1:1] = options(budget=work.arguments["budget"])
    names = {str(path): name for name, path in shipped_spaces().items()}
    here = f"{Path.cwd()}/"
    return shlex.join(["autodepth", *(names.get(w, w).replace(here, "") for w in words)])


def environment_of(share: Mapping[str, str], place: Place) -> dict[str, str]:
    """Return what a work's process finds in its environment besides the server's own."""
    return {**share, HOME_VARIABLE: str(place.studies)}
