"""What would be put on the hub is the bundle, whole, with a card that the hub reads."""

import json
import sys
from types import SimpleNamespace

import pytest
import yaml
from typer.testing import CliRunner

from autodepth.cli.main import app
from autodepth.errors import AutodepthError, BundleError, InputError
from autodepth.export.bundles import bundle as files
from autodepth.export.bundles.bundle import write_checksums
from autodepth.service.publish import push as pushing
from autodepth.service.publish.push import read_place, upload, write_repository

CARD = "---\npipeline_tag: image-classification\nlibrary_name: onnx\n---\n\n# Model Card\n"


@pytest.fixture
def bundle(tmp_path, monkeypatch):
    """A folder with the files of a bundle, in name only."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    for name in files._ALWAYS:
        (folder / name).write_text(CARD if name == files.CARD else name)
    write_checksums(folder)
    monkeypatch.setattr(pushing, "read_architecture", lambda path, **_: files.check(path))
    return folder


def test_the_repository_is_the_bundle_with_large_files_under_lfs(bundle, tmp_path):
    to = tmp_path / "there" / "repository"
    write_repository(bundle, "hf://me/digits", to)
    front_matter = yaml.safe_load((to / "README.md").read_text().split("---")[1])

    files.check(to)
    assert {p.name for p in to.iterdir()} - {p.name for p in bundle.iterdir()} == {".gitattributes"}
    assert "*.safetensors filter=lfs" in (to / ".gitattributes").read_text()
    assert front_matter["library_name"] == "onnx"
    assert [path.name for path in to.parent.iterdir()] == ["repository"]


def test_an_altered_bundle_is_not_pushed(bundle, tmp_path):
    (bundle / files.POLICY).write_text("other")

    with pytest.raises(BundleError, match=r"policy\.yaml was altered"):
        write_repository(bundle, "hf://me/digits", tmp_path / "repository")
    assert not (tmp_path / "repository").exists()


@pytest.mark.parametrize("place", ["me/digits", "hf://digits", "hf://me/../digits", "hf://me/a b"])
def test_a_place_is_an_owner_and_a_name(place):
    with pytest.raises(InputError, match="must be hf://OWNER/NAME, but got"):
        read_place(place)


def test_what_stands_in_the_way_of_an_upload_is_said(bundle, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match="pip install huggingface_hub, or give --to FOLDER"):
        upload(bundle, "hf://me/digits")


def test_a_hub_that_cannot_be_reached_is_said_plainly(bundle, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setenv("HF_TOKEN", "hf_none")
    monkeypatch.setattr(hub, "HfApi", lambda: hub.hf_api.HfApi(endpoint="http://127.0.0.1:9"))
    with pytest.raises(AutodepthError, match=r"the hub must take me/digits, but: .*--to FOLDER"):
        upload(bundle, "hf://me/digits")


def test_a_script_is_told_what_was_pushed_and_where(bundle, monkeypatch, tmp_path):
    uploaded = []
    hub = SimpleNamespace(
        create_repo=lambda name, **_: uploaded.append(name),
        upload_folder=lambda folder_path, **_: uploaded.append((folder_path / files.CARD).exists()),
    )
    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(HfApi=lambda: hub))

    def told(*options):
        words = ["push", str(bundle), "hf://me/digits", "--json", *options]
        return json.loads(CliRunner().invoke(app, words).stdout)

    pushed = {"folder": str(bundle), "place": "hf://me/digits"}
    to = tmp_path / "repository"
    assert told("--to", str(to)) == {**pushed, "address": None, "repository": str(to)}
    assert (uploaded, (to / files.CARD).exists()) == ([], True)
    address = "https://huggingface.co/me/digits"
    assert told() == {**pushed, "address": address, "repository": None}
    assert uploaded == ["me/digits", True]
