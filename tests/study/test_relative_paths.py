"""Paths are meant from the folder where they are said, whichever folder a trial runs in."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from own_networks import net_code
from PIL import Image

from autodepth.data.images import FileImages
from autodepth.data.reading import folders
from autodepth.errors import InputError
from autodepth.networks.catalogue import NetworkSpec, build_module
from autodepth.paths import absolute, absolute_location
from autodepth.records.cache_place import cache_location
from autodepth.records.ledger import Ledger
from autodepth.records.studies import find_study
from autodepth.service.search.requests import SearchRequest
from autodepth.service.search.resume import resume
from autodepth.service.search.search import plan_search, search

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]
ON_RAY = [pytest.mark.slow, pytest.mark.timeout(900)]
NET = net_code(
    first="from neighbour import WIDTH", width="WIDTH", classes=2, channels=3,
    inside="from parts.late import pooled; self.pooled = pooled", pooled="self.pooled",
)  # fmt: skip
SPACE = """
version: 1
network: {name: resnet8, weights: given/start.th}
data: {name: "folder:given/photos", augment: none}
search: {fine_tune_epochs: 1, filter_sparsity: {values: [0.25, 0.5]}}
train: {epochs: 0, batch_size: 8}
"""


@pytest.fixture(scope="module")
def belongings(tmp_path_factory):
    """What a person has in a folder: photographs, weights, a network, a space file."""
    place = tmp_path_factory.mktemp("belongings")
    draw = np.random.default_rng(0)
    for name in ("cat", "ship"):
        (place / "given" / "photos" / name).mkdir(parents=True)
        for i in range(20):
            pixels = draw.integers(0, 255, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(place / "given" / "photos" / name / f"{i}.png")
    spec = NetworkSpec(name="resnet8", classes=2, height=8, width=8)
    torch.save({"state_dict": build_module(spec).state_dict()}, place / "given" / "start.th")
    (place / "space.yaml").write_text(SPACE)
    (place / "own_net_here.py").write_text(NET)
    (place / "neighbour.py").write_text("WIDTH = 4\n")
    (place / "parts").mkdir()
    (place / "parts" / "late.py").write_text("def pooled(x):\n    return x.mean((2, 3))\n")
    return place


@pytest.fixture
def here(belongings, tmp_path, monkeypatch):
    """The current folder with all of it; images stay files, as those of a large set do."""
    place = tmp_path / "here"
    shutil.copytree(belongings, place)
    monkeypatch.chdir(place)
    monkeypatch.setenv("AUTODEPTH_HOME", "my-studies")
    monkeypatch.setenv("AUTODEPTH_CACHE", "my-cache")
    monkeypatch.setattr(folders, "IN_MEMORY_BYTES", 0)
    yield place
    for name in ("own_net_here", "neighbour", "parts", "parts.late"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    "runner", ["in-process", pytest.param("ray", marks=[*ON_RAY, pytest.mark.long])]
)
def test_a_study_finds_its_files_and_goes_on_from_another_folder(here, runner, monkeypatch):
    # The control leaves nothing in the cache where weights are given; a policy its scores.
    result = search("space.yaml", budget="2trials", study="s", concurrency=1, runner=runner)

    assert result.complete == 2, trials("s")
    assert any((here / "my-cache").iterdir())
    monkeypatch.chdir("/")
    monkeypatch.setenv("AUTODEPTH_HOME", str(here / "my-studies"))
    monkeypatch.setenv("AUTODEPTH_CACHE", str(here / "my-cache"))
    assert resume("s", budget="+1trials", runner="in-process").complete == 3, trials("s")


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_network_of_this_folder_reaches_the_workers(here):
    result = search(
        "space.yaml", budget="1trials", study="s", concurrency=1, network="own_net_here:Net",
        settings=["train.epochs=1", "search.filter_sparsity=0"],  # its branches have one layer
    )  # fmt: skip

    assert result.complete == 1, trials("s")


def trials(study):
    with Ledger.open(find_study(study).ledger_path, read_only=True) as ledger:
        return [(record.state, record.reason) for record in ledger.trials()]


@pytest.mark.parametrize(
    "spell",
    ["{}", "./{}", "given/../{}", "~/{}", "{here}/{}"],
    ids=["plain", "dot", "up", "home", "absolute"],
)
def test_every_spelling_of_a_path_is_the_same_file(here, spell, monkeypatch):
    monkeypatch.setenv("HOME", str(here))
    weights, photos = (
        spell.replace("{here}", str(here)).format(name)
        for name in ("given/start.th", "given/photos")
    )
    plan = plan_search(
        SearchRequest(budget="1trials", data=f"folder:{photos}", weights=weights, network="resnet8")
    )

    assert isinstance(plan.context.data.train, FileImages)
    for path, file in (
        (plan.context.weights, here / "given/start.th"),
        (Path(plan.context.data.train.folder), here / "given/photos"),
        (Path(plan.space.network.weights), here / "given/start.th"),
        (Path(plan.space.data.name.partition(":")[2]), here / "given/photos"),
    ):
        assert path.is_absolute()
        assert path.samefile(file)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("a/b", "{here}/a/b"),
        ("~/b", "{here}/b"),
        ("/a/b", "/a/b"),
        ("s3://bucket/a", "s3://bucket/a"),
        ("file:///shared/a", "file:///shared/a"),
    ],
)
def test_a_cache_is_a_folder_from_the_root_or_a_url(here, said, meant, monkeypatch):
    monkeypatch.setenv("AUTODEPTH_CACHE", said)
    monkeypatch.setenv("HOME", str(here))

    assert cache_location() == meant.format(here=here)
    assert absolute_location(said) == meant.format(here=here)


def test_a_home_that_nobody_has_and_a_folder_that_is_gone_are_told(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="a home that is there, but got ~nobody-of-this-name/x"):
        absolute("~nobody-of-this-name/x")
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(InputError, match="meant from the current folder, but that is gone"):
        absolute("x")
