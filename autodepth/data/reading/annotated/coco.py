"""Images with boxes as COCO has them: JSON files beside the images, told apart by their names."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from autodepth.data.reading.layout import Role, folders_in, is_litter, role_of
from autodepth.errors import DataError

_TOLD = 10  # mistakes
_SLACK = 1.0  # pixels that a box may stand over
Index: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False, kw_only=True)
class Scenes:
    """Images with boxes.

    Args:
        paths: one file per image.
        boxes: float32 [M, 4] per image: left, top, right, bottom in its pixels.
        labels: int64 [M] per image, from 1 in the order of `classes`.
        classes: their names.
    """

    paths: tuple[Path, ...]
    boxes: tuple[npt.NDArray[np.float32], ...]
    labels: tuple[Index, ...]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def subset(self, index: Index) -> Scenes:
        """Return the images at `index`, in its order."""
        return Scenes(
            paths=tuple(self.paths[i] for i in index),
            boxes=tuple(self.boxes[i] for i in index),
            labels=tuple(self.labels[i] for i in index),
            classes=self.classes,
        )


def read_coco(folder: Path) -> Mapping[Role, Scenes]:
    """Read every COCO file of a folder, by the split its name or its folder speaks of.

    Args:
        folder: holds one file, for all images; or several such as
            `annotations/instances_train.json`, or one in each of `train/`, `valid/` and `test/`.

    Raises:
        DataError: there is none, a file is of no split, or it does not hold what it must; every
            mistake is told with its line.
    """
    files = _files(folder)
    if len(files) == 1:
        return {"train": _read(files[0], folder)}
    found: dict[Role, Path] = {}
    for file in files:
        role = _role(file, folder)
        if role is None or role in found:
            told = "is of no split" if role is None else f"is of the split {role}, and so is "
            other = found[role].name if role is not None and role in found else ""
            raise DataError(
                f"COCO files must be called after train, val or test, each once, but {file} "
                f"{told}{other}"
            )
        found[role] = file
    if "train" not in found:
        raise DataError(f"of the COCO files of {folder} one must be called after train")
    read = {role: _read(file, folder) for role, file in found.items()}
    for role, scenes in read.items():
        if scenes.classes != read["train"].classes:
            raise DataError(
                f"categories must be those of {found['train']}, but {found[role]} has "
                f"{', '.join(scenes.classes)}"
            )
    return read


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataError(f"coco:PATH must name a folder, but there is none at {folder}")
    places = [folder, *folders_in(folder)]
    names = [file for place in places for file in sorted(place.glob("*.json"))]
    files = [file for file in names if not is_litter(file.name)]
    instances = [file for file in files if "instances" in file.name]  # beside captions, key points
    if not files:
        raise DataError(
            f"coco:PATH must hold JSON files as COCO has them, in it or in a folder of it, but "
            f"{folder} has none"
        )
    return instances or files


def _role(file: Path, folder: Path) -> Role | None:
    """Return the split that a file's name speaks of, else that of its folder."""
    words = re.findall(r"[A-Za-z]+", file.stem)
    roles = {role for word in words if (role := role_of(word))}
    if len(roles) == 1:
        return roles.pop()
    return None if file.parent == folder else role_of(file.parent.name)


def _read(file: Path, folder: Path) -> Scenes:
    text = file.read_text(encoding="utf-8-sig", errors="replace")
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{file}:{error.lineno}:{error.colno}: no JSON: {error.msg}") from error
    if not isinstance(content, dict):
        raise DataError(f"{file}:1: must be an object with images, annotations and categories")
    reading = _Reading(file, folder, text, content)
    scenes = reading.scenes()
    if reading.mistakes:
        told = "\n".join(reading.mistakes[:_TOLD])
        more = f"\n... and {len(reading.mistakes) - _TOLD:,} more"
        raise DataError(told + more * (len(reading.mistakes) > _TOLD))
    return scenes


@dataclass
class _Reading:
    """One file as it is read, and what is wrong with it."""

    file: Path
    folder: Path
    text: str
    content: dict[str, Any]
    mistakes: list[str] = field(default_factory=list)

    def scenes(self) -> Scenes:
        categories = {
            item["id"]: str(item["name"]) for _, item in self._items("categories", "id", "name")
        }
        order = sorted(categories)
        number = {category: place for place, category in enumerate(order, start=1)}
        images = self._images()
        boxes: dict[Any, list[list[float]]] = {key: [] for key in images}
        labels: dict[Any, list[int]] = {key: [] for key in images}
        for place, item in self._items("annotations", "image_id", "category_id", "bbox"):
            if item.get("iscrowd"):
                continue
            image = images.get(item["image_id"])
            if image is None:
                self._say("annotations", place, f"image_id {item['image_id']!r} is of no image")
            elif item["category_id"] not in number:
                self._say("annotations", place, f"category_id {item['category_id']!r} is of none")
            elif told := _odd(item["bbox"], image):
                self._say("annotations", place, told)
            else:
                left, top, width, height = item["bbox"]
                boxes[item["image_id"]].append([left, top, left + width, top + height])
                labels[item["image_id"]].append(number[item["category_id"]])
        return Scenes(
            paths=tuple(self._path(image["file_name"]) for image in images.values()),
            boxes=tuple(np.array(b, dtype=np.float32).reshape(-1, 4) for b in boxes.values()),
            labels=tuple(np.array(each, dtype=np.int64) for each in labels.values()),
            classes=tuple(categories[key] for key in order),
        )

    def _images(self) -> dict[Any, dict[str, Any]]:
        found: dict[Any, dict[str, Any]] = {}
        places: dict[Any, int] = {}
        for place, item in self._items("images", "id", "file_name"):
            places[item["id"]] = place
            found[item["id"]] = item
            if not self._path(item["file_name"]).is_file():
                self._say("images", place, f"there is no image {item['file_name']}")
        ids = Counter(item.get("id") for item in self.content.get("images", []) if _is_item(item))
        self.mistakes += [
            f"{self.file}:{self._line('images', places[key])}: images[{places[key]}]: id {key!r} "
            "is that of another image, too"
            for key, count in ids.items()
            if count > 1
        ]
        return found

    def _items(self, key: str, *needed: str) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the items of a list that have what they need, with their places."""
        items = self.content.get(key)
        if not isinstance(items, list) or (not items and key != "annotations"):
            self.mistakes.append(f"{self.file}:1: {key} must be a list of at least one")
            return
        for place, item in enumerate(items):
            missing = [name for name in needed if not _is_item(item) or name not in item]
            if missing:
                self._say(key, place, f"must have {', '.join(needed)}, but has no {missing[0]}")
            else:
                yield place, item

    def _path(self, name: str) -> Path:
        """Return where an image is: beside the file, or in one of the usual folders."""
        stem = re.sub(r"^(instances|person_keypoints|captions)_", "", self.file.stem)
        places = [self.file.parent, self.folder, *(self.folder / n for n in (stem, "images"))]
        places.append(self.folder / "images" / stem)
        files = [place / name for place in places]
        files = [place / name for place in places]
        return next((file for file in files if file.is_file()), files[0])

    def _say(self, key: str, place: int, told: str) -> None:
        self.mistakes.append(f"{self.file}:{self._line(key, place)}: {key}[{place}]: {told}")

    def _line(self, key: str, place: int) -> int:
        """Return the line an item of a list begins on."""
        match = re.search(rf'"{key}"\s*:\s*\[', self.text)
        if match is None or len(self.mistakes) > _TOLD:  # it will not be told
            return 1
        decoder, position = json.JSONDecoder(), match.end()
        for _ in range(place + 1):
            begin = re.compile(r"[\s,]*").match(self.text, position)
            assert begin is not None
            position = decoder.raw_decode(self.text, start := begin.end())[1]
        return self.text.count("\n", 0, start) + 1


def _is_item(item: object) -> bool:
    return isinstance(item, dict)


def _odd(box: Any, image: Mapping[str, Any]) -> str:
    """Return what is wrong with a box `[left, top, width, height]`; empty if nothing is."""
    numbers = isinstance(box, list) and len(box) == 4 and all(map(_is_number, box))
    if not numbers:
        return f"bbox must be [left, top, width, height], but is {box!r:.60}"
    left, top, width, height = box
    if width <= 0 or height <= 0:
        return f"bbox must have a width and a height above 0, but is {box}"
    sizes: Sequence[Any] = (image.get("width"), image.get("height"))
    ends = (left + width, top + height)
    beyond = [s for s, end in zip(sizes, ends, strict=True) if _is_number(s) and end > s + _SLACK]
    if left < -_SLACK or top < -_SLACK or beyond:
        return f"bbox must lie in the image of {sizes[0]}x{sizes[1]}, but is {box}"
    return ""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
