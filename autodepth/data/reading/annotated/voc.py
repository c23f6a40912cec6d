"""Images with boxes as Pascal VOC has them: an XML file for each image."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np

from autodepth.data.images import EXTENSIONS
from autodepth.data.reading.annotated.coco import Scenes
from autodepth.data.reading.layout import Role, folders_in, role_of
from autodepth.errors import DataError

_TOLD = 10  # mistakes
_EDGES = ("xmin", "ymin", "xmax", "ymax")


def read_voc(folder: Path) -> Mapping[Role, Scenes]:
    """Read every image of a folder that has boxes, by the split that its list or folder speaks of.

    Objects marked `difficult` are left out, as in training on Pascal VOC.

    Args:
        folder: holds `Annotations`, `JPEGImages` and, where it says the splits, lists such as
            `ImageSets/Main/train.txt`; or folders such as `train/` and `valid/`, in each of which
            XML files lie beside the images; or these in one place. A folder around it is fine.

    Raises:
        DataError: there is none, or a file does not hold what it must; every mistake is told.
    """
    if not folder.is_dir():
        raise DataError(f"voc:PATH must name a folder, but there is none at {folder}")
    files = _files_of_splits(folder)
    mistakes: list[str] = []
    found = {role: [_read(file, mistakes) for file in each] for role, each in files.items()}
    if mistakes:
        more = f"\n... and {len(mistakes) - _TOLD:,} more"
        raise DataError("\n".join(mistakes[:_TOLD]) + more * (len(mistakes) > _TOLD))
    classes = tuple(sorted({name for image in found["train"] for name in image.names}))
    for role, images in found.items():
        others = {name for image in images for name in image.names} - set(classes)
        if others or not classes:
            told = f"objects of {role} are {', '.join(sorted(others)[:3])}, which train has not"
            raise DataError(f"{folder}: {told if classes else 'no image of train has an object'}")
    return {role: _scenes(images, classes) for role, images in found.items()}


class _Image:
    """What one XML file says."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names: list[str] = []
        self.boxes: list[tuple[float, ...]] = []


def _files_of_splits(folder: Path) -> dict[Role, list[Path]]:
    root = folder
    while not (root / "Annotations").is_dir() and len(inside := folders_in(root)) == 1:
        if any(root.glob("*.xml")):
            break
        root = inside[0]
    if (root / "Annotations").is_dir():
        found = _listed(root)
    else:
        splits = {role_of(place.name): place for place in folders_in(root)}
        found = {role: sorted(p.glob("*.xml")) for role, p in splits.items() if role is not None}
        found = {role: files for role, files in found.items() if files} or {
            "train": sorted(root.glob("*.xml"))
        }
    if not found.get("train"):
        raise DataError(
            f"voc:PATH must hold Annotations with XML files as Pascal VOC has them, or train/ with "
            f"XML files beside its images, but {folder} has neither"
        )
    return found


def _listed(root: Path) -> dict[Role, list[Path]]:
    """Return the XML files of each list of `ImageSets/Main`; without lists all train."""
    lists = root / "ImageSets" / "Main"
    names: dict[str, Role] = {"train": "train", "val": "validation", "test": "test"}
    if not (lists / "train.txt").is_file():
        names = {"trainval": "train", "test": "test"}
    found: dict[Role, list[Path]] = {}
    for name, role in names.items():
        file = lists / f"{name}.txt"
        if file.is_file():
            stems = [line.split()[0] for line in file.read_text().splitlines() if line.strip()]
            found[role] = [root / "Annotations" / f"{stem}.xml" for stem in stems]
    return found or {"train": sorted((root / "Annotations").glob("*.xml"))}


def _read(file: Path, mistakes: list[str]) -> _Image:
    image = _Image(file)
    try:
        text = file.read_bytes()
        # By declarations a file may grow for ever.
        assert b"<!" not in text.replace(b"<!--", b""), "it declares a document type"
        tree = ET.fromstring(text)  # noqa: S314 - without declarations
    except (OSError, ET.ParseError, AssertionError) as error:
        mistakes.append(f"{file}: cannot be read: {error}")
        return image
    image.path = _image_of(file, tree.findtext("filename") or "")
    if not image.path.is_file():
        mistakes.append(f"{file}: there is no image {image.path}")
    for number, item in enumerate(tree.iter("object"), start=1):
        if (item.findtext("difficult") or "0").strip() == "1":
            continue
        name = (item.findtext("name") or "").strip()
        try:
            edges = [float(item.findtext(f"bndbox/{edge}") or "") for edge in _EDGES]
        except ValueError:
            edges = []
        if not name or not edges or edges[2] < edges[0] or edges[3] < edges[1]:
            told = f"must have a name and a bndbox of {', '.join(_EDGES)}, the smaller ones first"
            mistakes.append(f"{file}: object {number} {told}")
            continue
        image.names.append(name)
        # Pixels are counted from 1 there, and the last one is inside.
        image.boxes.append((edges[0] - 1, edges[1] - 1, edges[2], edges[3]))
    return image


def _image_of(file: Path, name: str) -> Path:
    """Return where the image of an XML file is: as it says, or as it is called."""
    images = file.parent.parent / "JPEGImages"
    folders = [images, file.parent] if images.is_dir() else [file.parent]
    places = [folder / each for folder in folders for each in (name, file.stem) if each]
    paths = [p.with_name(p.name + end) for p in places for end in ("", *sorted(EXTENSIONS))]
    return next((path for path in paths if path.is_file()), places[0])


def _scenes(images: list[_Image], classes: tuple[str, ...]) -> Scenes:
    number = {name: place for place, name in enumerate(classes, start=1)}
    return Scenes(
        paths=tuple(image.path for image in images),
        boxes=tuple(np.array(i.boxes, dtype=np.float32).reshape(-1, 4) for i in images),
        labels=tuple(np.array([number[n] for n in i.names], dtype=np.int64) for i in images),
        classes=classes,
    )
