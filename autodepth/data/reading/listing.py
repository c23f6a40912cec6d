"""Which files of a class folder are images, at any depth, and what else lies there."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autodepth.data.images import EXTENSIONS, FORMER_EXTENSIONS
from autodepth.data.reading.layout import folders_in, is_litter
from autodepth.errors import DataError, did_you_mean

_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The images of one split.

    Args:
        root: holds the class folders.
        images: per class, the files below `root`, sorted.
        notes: what else lay there, in a sentence.
    """

    root: Path
    images: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def class_names(root: Path, *, fewest: int = 2) -> tuple[str, ...]:
    """Return the sorted names of the class folders.

    Raises:
        DataError: there are fewer than `fewest`, or two differ in case alone.
    """
    for entry in root.iterdir():
        if entry.is_symlink() and not entry.exists() and not is_litter(entry.name):
            raise DataError(
                f"links must lead somewhere, but {entry} does not: mend it, or remove it"
            )
    names = tuple(path.name for path in folders_in(root))
    if len(names) < fewest:
        raise DataError(
            f"{root} must hold one folder per class, at least {fewest}, but has {len(names)}"
        )
    lower: dict[str, str] = {}
    for name in names:
        if "\udc80" <= max(name) <= "\udcff":  # bytes that Python could not decode
            raise DataError(f"classes must have names in UTF-8, but {root} has {name!r}: rename it")
        alike = unicodedata.normalize("NFC", name).casefold()
        if (other := lower.setdefault(alike, name)) != name:
            raise DataError(
                f"classes must differ in more than case, but {root} has {other!r} and {name!r}: "
                "join them, or rename one"
            )
    return names


def check_same_classes(roots: Sequence[Path], classes: Sequence[tuple[str, ...]]) -> None:
    """Raise DataError unless every split holds the classes of the first."""
    for root, others in zip(roots[1:], classes[1:], strict=True):
        if others == classes[0]:
            continue
        odd = [
            f"{name!r} is in {where.name}/ only" + did_you_mean(name, known)
            for where, names, known in (
                (roots[0], classes[0], others),
                (root, others, classes[0]),
            )
            for name in sorted(set(names) - set(known))
        ]
        more = f" and {len(odd) - _NAMED} more" if len(odd) > _NAMED else ""
        raise DataError(
            f"{roots[0]} and {root} must hold the same classes, but "
            + "; ".join(odd[:_NAMED])
            + more
        )


def list_images(root: Path, classes: Sequence[str], *, former: bool = False) -> Listing:
    """List the images of every class; links to folders are followed, but for those back up.

    Args:
        root: holds the class folders.
        classes: their names.
        former: whether to list what earlier versions did: fewer kinds of files, and nothing
            behind a link to a folder inside a class.

    Raises:
        DataError: a class has no images.
    """
    extensions = FORMER_EXTENSIONS if former else EXTENSIONS
    known = ", ".join(extensions)
    found: list[tuple[str, ...]] = []
    others: list[str] = []
    for name in classes:
        files = sorted(_walk(root, name, follow=not former))
        images = tuple(file for file in files if file.lower().endswith(extensions))
        if not images:
            raise DataError(
                f"a class folder must hold images ({known}), but {root / name} has none; "
                "fill it, or take the class away from every split"
            )
        others += sorted(set(files).difference(images))
        found.append(images)
    if others:
        first = f"the first {'is' if len(others) == 1 else 'are'} {', '.join(others[:_NAMED])}"
        notes = (f"left out of {root}: {len(others):,} that are no images ({known}), {first}",)
    return Listing(root=root, images=tuple(found), notes=notes if others else ())


def _walk(root: Path, name: str, *, follow: bool) -> list[str]:
    files: list[str] = []
    top = Path(os.path.realpath(root))
    seen = {str(top), *map(str, top.parents)}
    for folder, inside, here in os.walk(root / name, followlinks=follow):
        real = os.path.realpath(folder)
        if real in seen:  # a link that leads back up, or to a neighbour
            inside.clear()
            continue
        seen.add(real)
        inside[:] = sorted(entry for entry in inside if not is_litter(entry))
        paths = (f"{folder}/{file}" for file in here if not is_litter(file))
        files += [os.path.relpath(path, root) for path in paths if not _is_pipe_or_device(path)]
    return files


def _is_pipe_or_device(path: str) -> bool:
    """Whether reading would wait for somebody; a link to nowhere is told when it is read."""
    return Path(path).exists() and not Path(path).is_file()
