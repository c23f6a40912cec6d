"""What is read of a repository or folder of Hugging Face, and what is asked for offline."""

import json

import pytest
import torch

from autodepth.errors import NetworkError, WeightsError
from autodepth.networks.catalogue.libraries.hf_files import (
    absolute_name,
    described,
    height_and_width,
    is_kind,
    trained_on,
    weights_of,
)


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Return the folder in which files are looked for; nothing can be fetched."""

    def unreachable(*_, **__):
        raise OSError("no route")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", unreachable)
    return tmp_path / "hub" / "checkpoints"


def test_kinds_repositories_and_folders_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ("vit", "google/vit-base-patch16-224", "./mine", "/data/mine", "~/mine")

    assert [is_kind(name) for name in names] == [True, False, False, False, False]
    assert absolute_name("./mine") == str(tmp_path / "mine")
    assert absolute_name("google/vit") == "google/vit"


@pytest.mark.parametrize(
    ("size", "pixels"),
    [
        (224, (224, 224)),
        ([256, 192], (256, 192)),
        ({"height": 224, "width": 196}, (224, 196)),
        ({"shortest_edge": 256}, (256, 256)),
        ({"longest_edge": 800}, None),
        (None, None),
    ],
)
def test_sizes_are_read_as_configurations_write_them(size, pixels):
    assert height_and_width(size) == pixels


def test_preprocessing_tells_the_size_that_a_network_sees(tmp_path):
    file = tmp_path / "preprocessor_config.json"
    assert trained_on(str(tmp_path)) is None

    file.write_text(json.dumps({"size": {"shortest_edge": 256}, "crop_size": 224}))
    assert trained_on(str(tmp_path)) == (224, 224)

    file.write_text(json.dumps({"size": 384, "crop_size": 224, "do_center_crop": False}))
    assert trained_on(str(tmp_path)) == (384, 384)


def test_offline_each_file_is_asked_for_by_its_place(places):
    place = places / "me--it"

    with pytest.raises(NetworkError) as told:
        described("me/it")
    assert f"put config.json of me/it (Hugging Face) at {place / 'config.json'}" in str(told.value)

    with pytest.raises(WeightsError) as told:
        weights_of("me/it")
    assert str(told.value).endswith(f"at {place / 'model.safetensors'}")
    assert trained_on("me/it") is None


def test_files_at_those_places_are_taken(places):
    place = places / "me--it"
    place.mkdir(parents=True)
    (place / "config.json").write_text('{"model_type": "vit"}')
    (place / "preprocessor_config.json").write_text('{"size": 96}')
    (place / "model.safetensors").touch()

    assert described("me/it") == {"model_type": "vit"}
    assert trained_on("me/it") == (96, 96)
    assert weights_of("me/it") == place / "model.safetensors"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (None, "needs config.json in its folder"),
        ("{", "is no JSON"),
        ('{"hidden_size": 3}', "must say the kind of network as model_type"),
        ("[]", "must say the kind of network as model_type"),
    ],
)
def test_a_folder_that_describes_no_network_is_refused(tmp_path, text, rule):
    if text is not None:
        (tmp_path / "config.json").write_text(text)

    with pytest.raises(NetworkError, match=rule):
        described(str(tmp_path))


def test_weights_of_a_folder_are_safetensors_alone(tmp_path):
    (tmp_path / "pytorch_model.bin").touch()

    with pytest.raises(WeightsError, match=r"holds no model\.safetensors"):
        weights_of(str(tmp_path))
    (tmp_path / "model.safetensors.index.json").touch()
    assert weights_of(str(tmp_path)) == tmp_path / "model.safetensors.index.json"

    with pytest.raises(WeightsError, match="is a kind of network, which has no weights"):
        weights_of("vit")
