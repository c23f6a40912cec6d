"""Files of a hub: found where they lie, else fetched, else asked for by name and place."""

import pytest
import torch

from autodepth.errors import WeightsError
from autodepth.networks.catalogue.libraries.hub_files import checkpoints, fetched, of_repository


def unreachable(*_, **__):
    raise OSError("no route\nand much more")


def test_the_folder_of_checkpoints_is_torchs(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)

    assert checkpoints() == tmp_path / "hub" / "checkpoints"


def test_what_lies_at_its_place_is_not_fetched(tmp_path):
    place = tmp_path / "model.safetensors"
    place.touch()

    assert fetched(place, "it", unreachable, what="weights") == place
    assert of_repository("me/it", "model.safetensors", place, what="weights") == place


def test_what_cannot_be_fetched_is_asked_for_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.hf_hub_download", unreachable)

    with pytest.raises(WeightsError) as told:
        of_repository("me/it", "config.json", tmp_path / "c.json", what="its description")

    assert str(told.value) == (
        "its description could not be fetched (no route): put config.json of me/it (Hugging Face) "
        f"at {tmp_path / 'c.json'}"
    )
