"""The task `embedding`: whose identities are in which split, and what is refused."""

import numpy as np
import pytest
import torch
from PIL import Image

from autodepth.data.settings import DataSettings
from autodepth.errors import DataError, TaskError
from autodepth.networks.catalogue import NetworkSpec
from autodepth.tasks.own_task import TaskSpec, make_task
from autodepth.tasks.shipped.embedding import Embedding
from autodepth.tasks.task_data import keys_of_test, read_task_data, refuse_shared

DIGITS = DataSettings(name="digits")
SPLITS = ("train", "validation", "test")


def people(folder, images):
    """Write so many images of each person, all different."""
    generator = np.random.default_rng(0)
    for person, count in images.items():
        (folder / person).mkdir(parents=True)
        for number in range(count):
            pixels = generator.integers(0, 255, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / person / f"{number}.png")
    return DataSettings(name=f"folder:{folder}", validation=0.1)


def images_in(task, split):
    return torch.cat([x for x, _ in task.batches(split, batch_size=64, generator=None)])


def test_no_identity_is_in_two_splits_and_half_are_never_trained_on(tmp_path):
    data = people(tmp_path / "faces", {f"p{n}": n % 3 + 2 for n in range(12)})
    task = Embedding(data)

    counts = [len(images_in(task, split)) for split in SPLITS]
    kinds = [len({y.item() for _, ys in task.batches(s, batch_size=9, generator=None) for y in ys})
             for s in SPLITS]  # fmt: skip
    assert kinds == [6, 3, 3]
    assert sum(counts) == sum(n % 3 + 2 for n in range(12))
    rows = torch.cat([images_in(task, split) for split in SPLITS]).flatten(1)
    assert len(rows.unique(dim=0)) == len(rows)


def test_the_seed_says_which():
    def validating(seed):
        data = DataSettings(name="digits", split_seed=seed)
        return images_in(Embedding(data), "validation").sum()

    assert validating(0) == validating(0)
    assert validating(0) != validating(1)


def test_a_batch_holds_pairs_whatever_its_size():
    for _, labels in Embedding(DIGITS).batches("validation", batch_size=4, generator=None):
        assert labels.view(-1, 2).diff().eq(0).any() if len(labels) == 4 else True


def test_its_data_are_known_by_their_content():
    task = make_task(TaskSpec(name="embedding", data=DIGITS))
    data = read_task_data(task, DIGITS)

    assert data.settings is DIGITS
    assert data.outputs == 64
    assert data.normalisation == task.normalisation
    refuse_shared(task, data.record.development, keys_of_test(task), "test")


def test_grey_images_fill_the_channels_of_a_network():
    task = Embedding(DIGITS).for_network(NetworkSpec(name="torchvision:resnet18", channels=3))

    assert images_in(task, "validation").shape[1:] == (3, 8, 8)
    assert len(task.normalisation.mean) == 3


def test_splits_of_a_folder_are_taken_together(tmp_path):
    people(tmp_path / "all" / "train", {f"p{n}": 3 for n in range(8)})
    people(tmp_path / "all" / "test", {f"p{n}": 2 for n in range(4, 10)})
    task = Embedding(DataSettings(name=f"folder:{tmp_path / 'all'}"))

    assert sum(len(images_in(task, split)) for split in SPLITS) == 8 * 3 + 6 * 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"head": "cosface"}, "task.arguments.head must be arcface or softmax, but got 'cosface'"),
        ({"dimension": 1}, "task.arguments.dimension must be a whole number above 1, but got 1"),
        ({"unseen": 1.5, "margin": 3}, r"margin must be .*\n.*unseen must be a share"),
        ({"dimensions": 3}, "but got 'dimensions', did you mean 'dimension'?"),
    ],
)
def test_arguments_outside_their_range_are_told_together(arguments, told):
    with pytest.raises(TaskError, match=told):
        make_task(TaskSpec(name="embedding", arguments=arguments, data=DIGITS))


def test_too_few_identities_and_broken_images_are_told(tmp_path):
    data = people(tmp_path / "few", {f"p{n}": 3 for n in range(5)})
    with pytest.raises(DataError, match="at least 2 identities in each split, but of 5"):
        Embedding(data)
    data = people(tmp_path / "many", {f"p{n}": 3 for n in range(9)})
    for name in ("p1", "p2", "p3", "p4"):
        (tmp_path / "many" / name / "0.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="cannot be read"):
        Embedding(data)
    with pytest.raises(DataError, match="there is none at"):
        Embedding(DataSettings(name=f"folder:{tmp_path / 'nowhere'}"))
