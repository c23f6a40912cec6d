"""A study goes on where its files lie at another path, if they are the files it began with."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from autodepth.errors import DataError, StudyError, WeightsError
from autodepth.export.bundles.bundle import read_architecture
from autodepth.export.bundles.origin import searched_data
from autodepth.export.exporting import export_selected
from autodepth.networks.catalogue import NetworkSpec, build_module
from autodepth.policy.policy import Policy
from autodepth.records.archive.load import load_study
from autodepth.records.archive.save import save_study
from autodepth.records.ledger import Ledger
from autodepth.records.studies import find_study
from autodepth.service.search.confirm import confirm
from autodepth.service.search.requests import ConfirmRequest, ResumeRequest, SearchRequest
from autodepth.service.search.resume import plan_resume, resume
from autodepth.service.search.search import plan_search, search
from autodepth.space.file.space_file import load_space
from autodepth.trial.phases.keys import parent_content

COUNT = 24


def make_photos(folder, classes=("cat", "ship"), count=COUNT, shade=0):
    draw = np.random.default_rng(0)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for i in range(count):
            pixels = draw.integers(0, 200, (8, 8, 3), dtype=np.uint8) + shade
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A study that began elsewhere, from given weights and photographs, and that is gone there."""
    place = tmp_path_factory.mktemp("there")
    photos, weights = make_photos(place / "photos"), place / "given.th"
    spec = NetworkSpec(name="resnet8", classes=2, height=8, width=8)
    torch.save({"state_dict": build_module(spec).state_dict()}, weights)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("AUTODEPTH_HOME", "studies")
        search(
            budget="1trials", study="s", data="folder:photos", network="resnet8",
            weights="given.th", settings=["search.fine_tune_epochs=1"], runner="in-process",
        )  # fmt: skip
        save_study(find_study("s"), place / "s.tar.gz")
    kept = tmp_path_factory.mktemp("archive")
    for path in (place / "s.tar.gz", photos, weights):
        shutil.move(path, kept / path.name)
    shutil.rmtree(place)
    return kept


@pytest.fixture
def here(saved, tmp_path, monkeypatch):
    """Another machine's folder, with the study, its photographs and weights at other paths."""
    place = tmp_path / "here"
    place.mkdir()
    shutil.copytree(saved / "photos", place / "pictures")
    shutil.copy(saved / "given.th", place / "start.th")
    monkeypatch.chdir(place)
    monkeypatch.setenv("HOME", str(place))
    load_study(saved / "s.tar.gz")
    return place


def correct(study, **paths):
    """Change paths in a study's space file, as a person does."""
    file = find_study(study).space_path
    space = load_space(file).to_dict()
    text = file.read_text()
    for section, path in paths.items():
        key = {"data": "name", "network": "weights"}[section]
        assert space[section][key] in text
        text = text.replace(space[section][key], path)
    file.write_text(text)


def test_what_is_not_where_it_was_is_asked_for(here):
    with pytest.raises(DataError, match=r"photos\b.*; say where .* --data"):
        resume("s", budget="+1trials", runner="in-process")
    with pytest.raises(WeightsError, match=r"given.th does not exist; say where .* --weights"):
        resume("s", budget="+1trials", data="folder:pictures", runner="in-process")


def test_it_goes_on_with_the_images_and_weights_where_they_are_now(here):
    result = resume(
        "s", budget="+1trials", data="folder:pictures", weights="start.th", runner="in-process"
    )

    assert (result.complete, result.outcome) == (2, "the budget was spent")
    told = load_space(find_study("s").space_path)
    assert told.data.name == f"folder:{here / 'pictures'}"
    assert told.network.weights == str(here / "start.th")
    plan, _ = plan_resume(ResumeRequest(study="s", budget="+1trials"))  # not to be told again
    assert plan.context.weights == here / "start.th"


@pytest.mark.parametrize(
    "spell",
    [
        str,
        lambda path: path.name,
        lambda path: f"./nothing/../{path.name}",
        lambda path: f"~/{path.name}",
    ],
    ids=["absolute", "relative", "dotted", "home"],
)
def test_paths_may_be_corrected_in_the_space_file(here, spell):
    (here / "nothing").mkdir()
    correct("s", data=f"folder:{spell(here / 'pictures')}", network=spell(here / "start.th"))
    plan, _ = plan_resume(ResumeRequest(study="s", budget="+1trials"))

    assert plan.context.weights.is_absolute()
    assert plan.context.weights.samefile(here / "start.th")
    images = Path(plan.context.data.settings.name.partition(":")[2])
    assert images.is_absolute()
    assert images.samefile(here / "pictures")


def test_the_front_is_confirmed_and_an_export_finds_its_images(here):
    export_selected(find_study("s"), "knee", here / "out", formats=())
    result = confirm(
        ConfirmRequest(
            study="s", seeds=1, data="folder:pictures", weights="start.th", runner="in-process"
        )
    )

    assert result.complete > 1
    told = find_study("s").plan
    assert told["data"]["name"] == f"folder:{here / 'pictures'}"
    assert told["weights"] == str(here / "start.th")
    assert searched_data(here / "out").name == f"folder:{here / 'pictures'}"


def test_images_are_normalised_as_when_the_study_began(here):
    """Whatever says other constants since: they are no part of what the study was told."""
    began = find_study("s").plan["normalisation"]
    described = {"image_mean": [0.1, 0.2, 0.3], "image_std": [1.0, 1.0, 1.0]}
    (here / "preprocessor_config.json").write_text(json.dumps(described))
    moved = {"data": "folder:pictures", "weights": "start.th"}
    anew = plan_search(SearchRequest(budget="1trials", network="resnet8", **moved))
    plan, _ = plan_resume(ResumeRequest(study="s", budget="+1trials", **moved))
    resume("s", budget="+1trials", runner="in-process", **moved)
    export_selected(find_study("s"), "knee", here / "out", formats=())

    assert anew.context.normalisation.mean == (0.1, 0.2, 0.3)
    assert plan.to_dict()["normalisation"] == began
    assert any(note.startswith("images are normalised as when the study") for note in plan.notes)
    assert find_study("s").plan["normalisation"] == began
    exported = read_architecture(here / "out").normalisation
    assert [list(exported.mean), list(exported.std)] == [began["mean"], began["std"]]


def test_stages_are_found_again(here, saved):
    keys = []
    for data in ("pictures", str(saved / "photos")):
        plan, _ = plan_resume(
            ResumeRequest(study="s", budget="+1trials", data=f"folder:{data}", weights="start.th")
        )
        keys.append(parent_content(Policy(), plan.context, plan.network))

    assert keys[0] == keys[1]


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"shade": 1}, "(data_fingerprint|images.train): "),
        ({"count": COUNT - 4}, r"images.train: \d+ -> \d+"),
        ({"classes": ("cat", "boat")}, r"classes: \['cat', 'ship'\] -> \['boat', 'cat'\]"),
    ],
    ids=["pixels", "fewer", "names"],
)
def test_other_images_are_refused_with_what_differs(here, other, told):
    make_photos(here / "others", **other)

    with pytest.raises(StudyError, match=rf"the data of s changed since:\s+{told}") as refused:
        plan_resume(
            ResumeRequest(study="s", budget="+1trials", data="folder:others", weights="start.th")
        )
    assert "say where it is with --data" in str(refused.value)


def test_other_weights_are_refused(here):
    content = torch.load(here / "start.th", weights_only=True)
    for tensor in content["state_dict"].values():
        tensor.add_(1)
    torch.save(content, here / "other.th")

    with pytest.raises(StudyError, match="the weights of s changed since"):
        plan_resume(
            ResumeRequest(study="s", budget="+1trials", data="folder:pictures", weights="other.th")
        )


def test_a_study_of_relative_paths_goes_on_from_where_it_was_begun(here):
    """As earlier versions wrote them: in the space file and in the ledger's plan."""
    folder = find_study("s")
    correct("s", data="folder:pictures", network="start.th")
    with Ledger.open(folder.ledger_path) as ledger:
        plan = json.loads(json.dumps(ledger.study.plan))
        plan["data"]["name"] = plan["space"]["data"]["name"] = "folder:pictures"
        plan["space"]["network"]["weights"], plan["weights"] = "start.th", str(here / "start.th")
        del plan["images"]
        ledger.extend(plan)

    assert resume("s", budget="+1trials", runner="in-process").complete == 2
    assert load_space(folder.space_path).data.name == f"folder:{here / 'pictures'}"
