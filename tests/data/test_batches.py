"""Batches: every image once, normalised, moved and mirrored as drawn, without copies."""

import gc
import itertools
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from autodepth.data.batches import Batches, _residents, resident
from autodepth.data.images import ArrayImages, FileImages, random_box
from autodepth.data.prepare import Augmentation
from autodepth.data.reading.folders import read_folder
from autodepth.data.settings import IMAGENET, Normalisation
from autodepth.errors import DataError, InputError

IDENTITY = Normalisation(mean=(0.0,) * 3, std=(1.0,) * 3)
CPU = torch.device("cpu")


def batches(images, *, seed=None, normalisation=IDENTITY, batch_size=8, channels=3, **options):
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    return Batches(
        images,
        batch_size=batch_size,
        device="cpu",
        normalisation=normalisation,
        channels=channels,
        generator=generator,
        **options,
    )


def pixels_of(passed):
    """Undo the identity normalisation: uint8 [N, H, W, C]."""
    x = torch.cat([x for x, _ in passed])
    return (x * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


def as_files(images, folder):
    """The same images as lossless files."""
    paths = tuple(f"{number}.png" for number in range(len(images)))
    for path, image in zip(paths, images.pixels, strict=True):
        Image.fromarray(image).save(folder / path)
    return FileImages(
        folder=str(folder), paths=paths, labels=images.labels, shape=images.shape, resize=False
    )


def test_without_a_generator_images_come_in_order_and_normalised(random_images):
    images = random_images(20)
    passed = batches(images, normalisation=IMAGENET)
    x = torch.cat([x for x, _ in passed])
    y = torch.cat([y for _, y in passed])
    unit = torch.from_numpy(images.pixels).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(v)[:, None, None] for v in (IMAGENET.mean, IMAGENET.std))
    torch.testing.assert_close(x, (unit - mean) / std)
    assert (x.dtype, y.dtype) == (torch.float32, torch.int64)
    assert y.tolist() == images.labels.tolist()
    assert [len(y) for _, y in passed] == [8, 8, 4]
    assert len(passed) == 3


def test_a_generator_shuffles_every_image_once_and_labels_go_along(random_images):
    images = random_images(20)
    passed = list(batches(images, seed=0))
    known = {
        image.tobytes(): label for image, label in zip(images.pixels, images.labels, strict=True)
    }
    found = [image.tobytes() for image in pixels_of(passed)]
    labels = torch.cat([y for _, y in passed]).tolist()
    assert found != list(known)
    assert dict(zip(found, labels, strict=True)) == known


def test_equal_seeds_give_equal_passes_and_the_next_pass_differs(random_images):
    images, augment = random_images(20), Augmentation(crop=True, flip=True)
    first, other = (batches(images, seed=1, augment=augment) for _ in range(2))
    next(iter(other))  # left early: the second pass is the second pass all the same
    once, again, counterpart = pixels_of(first), pixels_of(first), pixels_of(other)
    np.testing.assert_array_equal(again, counterpart)
    assert (once != again).any()


def test_augmented_images_are_shifts_and_mirror_images_over_black(random_images):
    images = random_images(24, size=16)
    padded = np.pad(images.pixels, ((0, 0), (2, 2), (2, 2), (0, 0)))
    possible = {}
    for number, down, across in itertools.product(range(24), range(5), range(5)):
        window = padded[number, down : down + 16, across : across + 16]
        possible[window.tobytes()] = (number, down, across, False)
        possible[window[:, ::-1].tobytes()] = (number, down, across, True)
    passed = batches(images, seed=0, augment=Augmentation(crop=True, flip=True))
    found = [possible[image.tobytes()] for _ in range(8) for image in pixels_of(passed)]
    assert {number for number, *_ in found} == set(range(24))
    assert {(down, across) for _, down, across, _ in found} == set(
        itertools.product(range(5), range(5))
    )
    assert 60 < sum(mirrored for *_, mirrored in found) < 132  # of 192


@pytest.mark.parametrize(("crop", "flip"), [(True, False), (False, True)])
def test_shifts_and_mirroring_come_apart(random_images, crop, flip):
    images = random_images(64, size=16)
    kept = {image.tobytes() for image in images.pixels}
    mirrored = {image[:, ::-1].tobytes() for image in images.pixels}
    passed = batches(images, seed=0, augment=Augmentation(crop=crop, flip=flip))
    found = {image.tobytes() for image in pixels_of(passed)}
    assert (found <= kept | mirrored) == flip
    assert not (crop and found & mirrored)


def test_a_single_last_image_is_left_out_of_training_only(random_images):
    images = random_images(17)
    assert [len(y) for _, y in batches(images, seed=0)] == [8, 8]
    assert len(batches(images, seed=0)) == 2
    assert [len(y) for _, y in batches(images)] == [8, 8, 1]


def test_grey_images_fill_the_channels_the_network_takes(random_images):
    images = random_images(10, channels=1)
    np.testing.assert_array_equal(pixels_of(batches(images)), np.repeat(images.pixels, 3, axis=3))
    one = Normalisation(mean=(0.0,), std=(1.0,))
    assert next(iter(batches(images, channels=1, normalisation=one)))[0].shape == (8, 1, 16, 16)


@pytest.mark.parametrize("channels_last", [True, False])
def test_the_memory_layout_is_the_one_asked_for(random_images, channels_last):
    x, _ = next(iter(batches(random_images(8), channels_last=channels_last)))
    assert x.is_contiguous(memory_format=torch.channels_last) == channels_last
    assert x.is_contiguous() != channels_last


def test_read_only_arrays_are_shared_not_copied(random_images):
    """Ray's object store hands out arrays that cannot be written to."""
    images = random_images(20)
    images.pixels.flags.writeable = False
    images.labels.flags.writeable = False
    assert resident(images, CPU).data_ptr() == images.pixels.ctypes.data
    before = images.pixels.copy()
    list(batches(images, seed=0, augment=Augmentation(crop=True, flip=True)))
    np.testing.assert_array_equal(images.pixels, before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_holds_one_copy_and_gives_the_same_pass(random_images):
    images, cuda = random_images(20), torch.device("cuda")
    copy = resident(images, cuda)
    assert resident(images, cuda).data_ptr() == copy.data_ptr()
    augment = Augmentation(crop=True, flip=True)
    passes = [
        Batches(
            images,
            batch_size=8,
            device=device,
            normalisation=IMAGENET,
            channels=3,
            augment=augment,
            generator=torch.Generator().manual_seed(0),
        )
        for device in (CPU, cuda)
    ]
    for (x, y), (x_gpu, y_gpu) in zip(*passes, strict=True):
        assert (x_gpu.is_cuda, y_gpu.is_cuda) == (True, True)
        torch.testing.assert_close(x_gpu.cpu(), x)
        assert torch.equal(y_gpu.cpu(), y)


def test_a_copy_goes_when_its_images_go(random_images):
    meta = torch.device("meta")
    images = random_images(4)
    copy = resident(images, meta)
    assert resident(images, meta) is copy
    del images
    gc.collect()
    assert copy not in [held for copies in _residents.values() for held in copies.values()]


@pytest.mark.parametrize("augment", [Augmentation(), Augmentation(crop=True, flip=True)])
def test_streamed_files_give_the_same_batches_as_arrays(tmp_path, random_images, augment):
    images = random_images(50)
    files = as_files(images, tmp_path)
    for (x, y), (x_file, y_file) in zip(
        batches(images, seed=3, augment=augment),
        batches(files, seed=3, augment=augment),
        strict=True,
    ):
        assert torch.equal(x, x_file)
        assert torch.equal(y, y_file)


def test_streamed_files_that_are_resized_get_random_boxes_in_training(
    tmp_path, make_classes, monkeypatch
):
    monkeypatch.setattr("autodepth.data.reading.folders.IN_MEMORY_BYTES", 0)
    files = read_folder(make_classes(tmp_path, size=(40, 30)), 16).train
    plain = pixels_of(batches(files))
    np.testing.assert_array_equal(plain, files.decode_all().pixels)
    augment = Augmentation(crop=True, flip=True)
    once, again = (pixels_of(batches(files, seed=0, augment=augment)) for _ in range(2))
    np.testing.assert_array_equal(once, again)
    assert not {image.tobytes() for image in once} & {image.tobytes() for image in plain}


def test_leaving_a_streamed_pass_early_ends_its_threads(tmp_path, random_images):
    files = as_files(random_images(50), tmp_path)
    passed = iter(batches(files, batch_size=2))
    next(passed)
    passed.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode")]


def test_an_unreadable_file_in_a_stream_is_named(tmp_path, random_images):
    files = as_files(random_images(20), tmp_path)
    (tmp_path / "11.png").write_text("no image")
    with pytest.raises(DataError, match=r"11.png cannot be read"):
        list(batches(files))


@pytest.mark.parametrize("size", [(1, 1), (40, 30), (7, 500)])
def test_random_boxes_lie_inside_the_image(size):
    rng = np.random.default_rng(0)
    for draws in [*rng.random((200, 4)), np.zeros(4), np.full(4, np.nextafter(1, 0))]:
        left, top, right, bottom = random_box(size, draws.tolist())
        assert 0 <= left < right <= size[0] + 1e-9
        assert 0 <= top < bottom <= size[1] + 1e-9


def test_arguments_that_do_not_fit_are_refused(random_images):
    images = random_images(8)
    for options, message in [
        ({"batch_size": 0}, "batch_size must be at least 1, but got 0"),
        ({"channels": 1}, "images have 3 channels, but the network takes 1"),
        ({"normalisation": Normalisation(mean=(0.0,), std=(1.0,))}, r"per channel \(3\)"),
        ({"augment": Augmentation(flip=True)}, "augmentation needs a generator"),
    ]:
        with pytest.raises(InputError, match=message):
            batches(images, **options)


def test_images_of_other_types_or_shapes_are_refused():
    for pixels, labels, message in [
        (np.zeros((2, 4, 4, 3)), np.zeros(2, np.int64), "must be uint8"),
        (np.zeros((2, 4, 4, 2), np.uint8), np.zeros(2, np.int64), "C = 1 or 3"),
        (np.zeros((2, 4, 4, 3), np.uint8), np.zeros(3, np.int64), "one per image"),
    ]:
        with pytest.raises(DataError, match=message):
            ArrayImages(pixels, labels)
