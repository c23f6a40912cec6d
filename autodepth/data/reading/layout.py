"""What the folders of a person mean: splits above classes, classes alone, a wrapper round them."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from autodepth.data.images import EXTENSIONS
from autodepth.errors import DataError

Role: TypeAlias = Literal["train", "validation", "test"]
ROLES: tuple[Role, ...] = get_args(Role)

_WORDS: dict[str, Role] = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "eval", "evaluation"), "validation"),
    **dict.fromkeys(("test", "testing", "tst", "holdout"), "test"),
}
# What names of splits carry besides: seg_train, test_set, images-val, train2017.
_FILLERS = {"seg", "set", "sets", "data", "dataset", "split", "image", "images", "img", "imgs"}
# Left behind by systems and tools beside what a person put there; hidden names are passed over too.
_LITTER = {"__macosx", "thumbs.db", "desktop.ini", "__pycache__", "@eadir", "$recycle.bin",
           "system volume information", "lost+found", "icon\r"}  # fmt: skip
_DEEPEST_WRAPPER = 8


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where the splits of a folder are.

    Args:
        train: holds a folder per class; so does each of the others.
        validation: None where validation images are drawn from those of `train`.
        test: None where test images are drawn from those of `train`.
        notes: what was taken for what, in sentences.
    """

    train: Path
    validation: Path | None = None
    test: Path | None = None
    notes: tuple[str, ...] = ()


def find_layout(folder: Path) -> Layout:
    """Tell splits from classes by their names and by what is in them.

    A split holds folders, one per class; a class holds images. So `train` beside `bus` and `ship`
    is a class where images lie in it, and a split where folders do. The only folder held out is
    the test split, whatever it is called; of two, one is for validation.

    Raises:
        DataError: there is no such folder, or it may be meant in two ways.
    """
    root, notes = _unwrapped(folder)
    splits = _splits(root)
    if "train" not in splits:
        _check_no_split_is_alone(root, splits)
        return Layout(train=root, notes=notes)
    held_out = [role for role in ROLES if role in splits and role != "train"]
    train = splits["train"]
    if not held_out:
        raise DataError(
            f"a folder with {train.name}/ must also have test/ or val/ with the same classes, but "
            f"{root} has neither; give folder:{train} to have a fifth of its images set apart"
            + _or_a_class(root, train)
        )
    test = splits[held_out[-1]]
    validation = splits["validation"] if len(held_out) > 1 else None
    taken = [train, *(path for path in (validation, test) if path)]
    others = [path.name for path in folders_in(root) if path not in taken]
    if held_out == ["validation"]:
        notes += (f"{test.name}/ is the only folder held out, so it is the test split",)
    if validation:
        notes += (f"{validation.name}/ is the validation split as a whole",)
    if others:
        notes += (f"left out of {root}: {', '.join(others)}, which are no split",)
    inner = {path: _unwrapped(path, splits_too=True)[0] for path in taken}
    return Layout(
        train=inner[train],
        validation=inner[validation] if validation else None,
        test=inner[test],
        notes=notes,
    )


def find_held_out(folder: Path) -> Path:
    """Return the folder of classes that may be tested on: the split held out, else the whole.

    Raises:
        DataError: there is no such folder.
    """
    root, _ = _unwrapped(folder)
    splits = _splits(root)
    held_out = splits.get("test", splits.get("validation"))
    if held_out is None and "train" in splits:
        raise DataError(
            f"{folder} must hold test images, but has {splits['train'].name}/ alone; "
            f"name the folder of its classes to take all of them: folder:{splits['train']}"
        )
    return _unwrapped(held_out or root, splits_too=True)[0]


def find_layout_by_name(folder: Path) -> Layout:
    """Return the layout as earlier versions saw it: `train` and `test`, else `val`, as written.

    Raises:
        DataError: there is no such folder, or it has `train` alone.
    """
    check_folder(folder)
    if not (folder / "train").is_dir():
        return Layout(train=folder)
    for test in (folder / "test", folder / "val"):
        if test.is_dir():
            return Layout(train=folder / "train", test=test)
    raise DataError(f"a folder with train/ must also have test/ or val/, but {folder} has neither")


def check_folder(folder: Path) -> None:
    """Raise DataError unless there is a folder."""
    if not folder.is_dir():
        kind = "a file, no folder" if folder.exists() else "no folder"
        raise DataError(f"folder:PATH must name a folder, but there is none at {folder}: {kind}")


def role_of(name: str) -> Role | None:
    """Return the split a folder's name speaks of, in any case and common spelling."""
    words = [word for word in re.findall(r"[a-z]+", name.lower()) if word not in _FILLERS]
    if len(words) != 1:
        return None
    return _WORDS.get(words[0]) or _WORDS.get(re.sub(r"(set|data|images)$", "", words[0]))


def is_litter(name: str) -> bool:
    """Whether a name was left behind by a tool and is never meant."""
    return name.startswith(".") or name.lower() in _LITTER


def folders_in(root: Path) -> list[Path]:
    """Return the folders in a folder that a person put there, by name; links are followed."""
    return sorted(e for e in root.iterdir() if not is_litter(e.name) and e.is_dir())


def _unwrapped(folder: Path, *, splits_too: bool = False) -> tuple[Path, tuple[str, ...]]:
    """Go down through folders that hold nothing but one folder of folders."""
    check_folder(folder)
    root = folder
    for _ in range(_DEEPEST_WRAPPER):  # a link may lead back up
        inside = folders_in(root)
        if len(inside) != 1 or not folders_in(inside[0]) or _holds_files(root):
            break
        if role_of(inside[0].name) and not splits_too:
            break
        root = inside[0]
    return root, (() if root == folder else (f"{root} is taken, the only folder of {folder}",))


def _holds_files(root: Path) -> bool:
    return any(
        not is_litter(entry.name) and entry.name.lower().endswith(EXTENSIONS)
        for entry in os.scandir(root)
    )


def _splits(root: Path) -> dict[Role, Path]:
    """Return the folders that are splits, by role.

    Names that say more than a role, such as ILSVRC2012_img_train, count where they complete what
    others leave open: a class may be called so.

    Raises:
        DataError: two are of one role.
    """
    inside = [path for path in folders_in(root) if folders_in(path)]
    clear: dict[Role, Path] = {}
    wide: dict[Role, Path] = {}
    for found, read in ((clear, role_of), (wide, _role_among_words)):
        for path in inside:
            role = read(path.name)
            if role is None or (found is wide and role in clear):
                continue
            if role in found:
                raise DataError(
                    f"a folder must have one {role} split, but {root} has {found[role].name}/ and "
                    f"{path.name}/: join them, or move one elsewhere"
                )
            found[role] = path
    both = clear | wide
    return both if "train" in both and len(both) > 1 else clear


def _role_among_words(name: str) -> Role | None:
    """Return the only split that a word of a name speaks of."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)
    roles = {role for word in words if (role := role_of(word))}
    return roles.pop() if len(roles) == 1 else None


def _check_no_split_is_alone(root: Path, splits: dict[Role, Path]) -> None:
    inside = folders_in(root)
    if splits:
        split = next(iter(splits.values()))
        raise DataError(
            f"a folder with {split.name}/ must also have train/, with the same classes, but {root} "
            f"has {', '.join(f'{path.name}/' for path in inside[:5])} and no train/ of folders"
            + _or_a_class(root, split)
        )
    roles = {role_of(path.name) for path in inside}
    if len(inside) > 1 and None not in roles and "train" in roles:
        raise DataError(
            f"a split must hold one folder per class, but {', '.join(p.name for p in inside)} of "
            f"{root} hold none: sort the images into folders, such as {inside[0].name}/CLASS/"
        )
    for path in inside:
        if {"train"} < {role_of(inner.name) for inner in folders_in(path)} - {None}:
            raise DataError(
                f"splits must lie above the classes, but {path} holds "
                f"{', '.join(f'{inner.name}/' for inner in folders_in(path))}: move the images to "
                f"train/{path.name}/ and test/{path.name}/"
            )


def _or_a_class(root: Path, split: Path) -> str:
    beside = [path.name for path in folders_in(root) if role_of(path.name) is None]
    return (
        f"; if {split.name} is a class as {beside[0]} is, put its images into the folder itself"
        if beside
        else ""
    )
