"""Images in class folders: with splits above them, or drawn into splits."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from autodepth.data.content import keys_of_files
from autodepth.data.images import GREY_MODES, UNREADABLE, ArrayImages, FileImages, Images, upright
from autodepth.data.reading.layout import find_held_out, find_layout, find_layout_by_name
from autodepth.data.reading.listing import Listing, check_same_classes, class_names, list_images
from autodepth.data.splits import check_every_class, split_test, split_test_by_content
from autodepth.errors import DataError
from autodepth.long_work import long_work

# Larger sets stay files: ImageNet decoded at 224 pixels would take 190 GB.
IN_MEMORY_BYTES = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a source holds.

    Args:
        train: images to train on, those to validate by among them.
        test: returns the test images; they are read no sooner.
        classes: name of each class, by label.
        validation: images to validate by, where the source sets them apart itself.
        drawn: whether test images were drawn from all, and not set apart by the source.
        notes: what was taken for what, and what was left out, in sentences.
    """

    train: Images
    test: Callable[[], Images]
    classes: tuple[str, ...]
    validation: Images | None = None
    drawn: bool = False
    notes: tuple[str, ...] = ()


def read_folder(folder: Path, image_size: int | None, *, by_content: bool = True) -> Parts:
    """List the images of a folder and draw test images where it sets none apart.

    Nothing is decoded. Images are in the order of class and content, so that names do not matter.

    Args:
        folder: holds train/ and a held-out split in any of the usual spellings, each with one
            folder per class, or the class folders themselves: then a fifth of the images is the
            test part. One folder round all of that is looked through.
        image_size: as in `DataSettings`.
        by_content: whether images are known by their content; earlier versions knew them by name,
            and listed fewer kinds of files.

    Raises:
        DataError: folders or images are missing or do not fit each other.
    """
    try:
        return _read(folder, image_size, by_content=by_content)
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error}") from error


def read_unlabelled(folder: Path, image_size: int | None) -> Parts:
    """List all images of a folder, at any depth, as of one class; a fifth is the test part.

    Args:
        folder: holds images, and folders of images whose names mean nothing.
        image_size: as in `DataSettings`.

    Raises:
        DataError: there are no images, or they do not fit each other.
    """
    root = folder.absolute()
    try:
        if not root.is_dir():
            raise DataError(f"unlabelled:PATH must name a folder, but there is none at {folder}")
        listing = list_images(root.parent, (root.name,))
        firsts = [listing.root / listing.images[0][0]]
        shape = _first_shape(firsts, image_size, by_content=True)
        images = _file_images(listing, shape, resize=image_size is not None, by_content=True)
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error}") from error
    train, test = _drawn(images)
    return Parts(
        train=train, test=lambda: test, classes=("unlabelled",), drawn=True, notes=listing.notes
    )


def read_held_out(folder: Path, shape: tuple[int, int, int], *, resize: bool) -> Parts:
    """List the images of a folder that a network may be tested on: its test split, else all.

    Args:
        folder: as of `read_folder`; a class is enough.
        shape: height, width and channels the network takes.
        resize: whether images are brought to it, or must have it.

    Raises:
        DataError: as of `read_folder`.
    """
    try:
        root = find_held_out(folder)
        classes = class_names(root, fewest=1)
        listing = list_images(root, classes)
        images = _file_images(listing, shape, resize=resize, by_content=True)
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error}") from error
    return Parts(train=images, test=lambda: images, classes=classes, notes=listing.notes)


def read_whole(folder: Path, image_size: int | None) -> Parts:
    """List all images of a folder as ones to train on: those of its splits together, by class.

    Args:
        folder: as of `read_folder`; each split may have classes of its own.
        image_size: as in `DataSettings`.

    Raises:
        DataError: as of `read_folder`.
    """
    try:
        layout = find_layout(folder)
        roots = [root for root in (layout.train, layout.validation, layout.test) if root]
        per_root = {root: class_names(root, fewest=1) for root in roots}
        listed = {root: list_images(root, classes) for root, classes in per_root.items()}
        of_class: dict[str, list[str]] = {}
        top = Path(os.path.commonpath(roots))
        for root, listing in listed.items():
            for name, paths in zip(per_root[root], listing.images, strict=True):
                below = root.relative_to(top)
                of_class.setdefault(name, []).extend(str(below / path) for path in paths)
        classes = tuple(sorted(of_class))
        listing = Listing(
            root=top,
            images=tuple(tuple(of_class[name]) for name in classes),
            notes=tuple(note for each in listed.values() for note in each.notes),
        )
        firsts = [top / paths[0] for paths in listing.images]
        shape = _first_shape(firsts, image_size, by_content=True)
        images = _file_images(listing, shape, resize=image_size is not None, by_content=True)
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error}") from error
    notes = (*layout.notes, *listing.notes)
    return Parts(train=images, test=lambda: images, classes=classes, notes=notes)


def fits_memory(images: Images) -> bool:
    """Whether images are to be held decoded."""
    small = len(images) * int(np.prod(images.shape)) < IN_MEMORY_BYTES
    return isinstance(images, ArrayImages) or small


def held(images: Images) -> Images:
    """Return images decoded where they are to be held so, else as they are.

    Raises:
        DataError: some cannot be read, or are not what the first ones are.
    """
    return images.decode_all() if isinstance(images, FileImages) and fits_memory(images) else images


def look(images: Images) -> None:
    """Look at images that stay files: see `FileImages.look_at_all`."""
    if isinstance(images, FileImages):
        images.look_at_all()


def _read(folder: Path, image_size: int | None, *, by_content: bool) -> Parts:
    layout = find_layout(folder) if by_content else find_layout_by_name(folder)
    roots = [root for root in (layout.train, layout.validation, layout.test) if root is not None]
    names = [class_names(root) for root in roots]
    classes = names[0]
    check_same_classes(roots, names)
    listed = {root: list_images(root, classes, former=not by_content) for root in roots}
    firsts = [layout.train / paths[0] for paths in listed[layout.train].images]
    shape = _first_shape(firsts, image_size, by_content=by_content)
    found = {
        root: _file_images(listing, shape, resize=image_size is not None, by_content=by_content)
        for root, listing in listed.items()
    }
    train = found[layout.train]
    if layout.test is None:
        whole = train
        train, test = _drawn(whole)
        check_every_class(train.labels, classes, "train", whole)
        check_every_class(test.labels, classes, "test", whole)
    else:
        test = found[layout.test]
    return Parts(
        train=train,
        test=lambda: test,
        classes=classes,
        validation=found[layout.validation] if layout.validation else None,
        drawn=layout.test is None,
        notes=(*layout.notes, *(note for listing in listed.values() for note in listing.notes)),
    )


def _drawn(images: FileImages) -> tuple[FileImages, FileImages]:
    """Return the images to train on and the test images of a folder that has no splits."""
    if images.keys is None:
        train, test = (split_test(images.labels, part) for part in ("train", "test"))
    else:
        test, train = split_test_by_content(images.labels, images.keys)
    return images.subset(train), images.subset(test)


def _file_images(
    listing: Listing, shape: tuple[int, int, int], *, resize: bool, by_content: bool
) -> FileImages:
    counts = [len(paths) for paths in listing.images]
    images = FileImages(
        folder=str(listing.root),
        paths=tuple(path for paths in listing.images for path in paths),
        labels=np.repeat(np.arange(len(counts), dtype=np.int64), counts),
        shape=shape,
        resize=resize,
    )
    if not by_content:
        return images
    with long_work("telling images apart"):
        keys = keys_of_files(images.folder, images.paths)
    return replace(images, keys=keys).subset(np.lexsort((keys, images.labels)))


def _first_shape(
    firsts: list[Path], image_size: int | None, *, by_content: bool
) -> tuple[int, int, int]:
    """Return height, width and channels, judged by the first training image of every class."""
    modes, sizes = [], []
    for path in firsts:
        try:
            with Image.open(path) as image:
                modes.append(image.mode)
                sizes.append((upright(image) if by_content else image).size)
        except UNREADABLE as error:
            raise DataError(f"image {path} cannot be read: {error}") from error
    width, height = (image_size, image_size) if image_size else sizes[0]
    return height, width, 1 if set(modes) <= set(GREY_MODES) else 3
