"""What is exported is what was searched, bit for bit, and nobody can change it unseen."""

import json

import pytest
import torch

from autodepth import load
from autodepth.errors import BundleError, InputError, SelectionError
from autodepth.export.bundles.bundle import check, read_architecture, write_checksums
from autodepth.export.bundles.seal import read_sealed, sealed
from autodepth.export.exporting import export_selected
from autodepth.export.testing.evaluation import evaluate_bundle
from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.pruning.widths import changed_shapes, take_shapes
from autodepth.networks.weights.own_files import load_saved, read_saved
from autodepth.policy.policy import Policy
from autodepth.records.ledger import Ledger
from autodepth.service.publish.push import write_repository
from autodepth.space.file.yaml_text import parse_yaml

GUARDED = (
    *("model.safetensors", "model.onnx", "model.int8.onnx", "model.pt2"),
    *("architecture.json", "policy.yaml", "record.json", "verification.json"),
    *("predict.py", "README.md", "images.safetensors"),
)
BESIDE = "model.onnx.data"  # holds weights above 2 GB


def test_a_loaded_network_equals_the_searched_one_bit_for_bit(study, bundle):
    to, point = bundle
    searched = build_network(NetworkSpec(**study.plan["network"])).without(point.removed)
    weights = study.trial_folder(point.trial) / "model.safetensors"
    assert point.policy["filter_sparsity"] > 0
    take_shapes(searched.module, changed_shapes(searched.module, read_saved(weights)))
    load_saved(searched.module, weights)
    images = torch.randn(16, 1, 8, 8)

    loaded = load(to)

    assert not loaded.training
    assert torch.equal(loaded(images), searched.module.eval()(images))


def test_a_bundle_tells_what_it_is(study, bundle):
    to, point = bundle
    architecture = read_architecture(to)
    record = json.loads((to / "record.json").read_text())
    policy = parse_yaml((to / "policy.yaml").read_text()).content

    assert architecture.removed == point.removed
    assert architecture.classes == tuple(map(str, range(10)))
    assert (record["study"], record["trial"]) == ("source", point.trial)
    assert record["measured_on"] == "validation split"
    assert Policy.from_dict(policy).to_dict() == point.policy


def test_a_bundle_holds_the_files_it_says_and_no_others(bundle):
    to, _ = bundle

    assert {path.name for path in to.iterdir()} == {*GUARDED, "checksums.json"}


@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("name", [*GUARDED, BESIDE, "checksums.json", "test_openings.json"])
def test_one_altered_byte_is_refused_with_the_files_name(bundle, name, place):
    to, _ = bundle
    (to / BESIDE).write_bytes(b"weights")
    write_checksums(to)
    (to / "test_openings.json").write_text(sealed({"openings": []}))
    check(to)
    content = bytearray((to / name).read_bytes())
    content[round(place * (len(content) - 1))] ^= 1
    (to / name).write_bytes(content)

    with pytest.raises(BundleError, match=f"{name} was altered"):
        load(to)


def test_a_list_of_checksums_cannot_leave_out_a_file_nor_name_one_elsewhere(bundle):
    to, _ = bundle
    files = read_sealed(to / "checksums.json")["files"]
    without = {name: digest for name, digest in files.items() if name != "model.safetensors"}
    (to / "checksums.json").write_text(sealed({"files": without}))
    with pytest.raises(BundleError, match=r"has no checksum of model\.safetensors"):
        load(to)

    (to / "checksums.json").write_text(sealed({"files": {**files, "../x": "0"}}))
    with pytest.raises(BundleError, match=r"outside its folder: \.\./x"):
        load(to)


@pytest.mark.parametrize("name", [*GUARDED, "checksums.json"])
def test_a_missing_file_is_named(bundle, name):
    to, _ = bundle
    (to / name).unlink()

    with pytest.raises(BundleError, match=f"{name} is missing"):
        load(to)


def test_weights_of_another_network_leave_no_bundle(study, tmp_path):
    with Ledger.open(study.ledger_path, read_only=True) as ledger:
        point = max(ledger.front(), key=lambda p: p.point.macs)
    weights = study.trial_folder(point.trial) / "model.safetensors"
    kept = weights.read_bytes()
    other = build_network(NetworkSpec(name="resnet20", channels=1, height=8, width=8))
    try:
        from autodepth.networks.weights.own_files import save_weights

        save_weights(other.module, weights)
        with pytest.raises(BundleError, match="changed since"):
            export_selected(study, f"trial:{point.trial}", tmp_path / "bad")
    finally:
        weights.write_bytes(kept)

    assert not list(tmp_path.glob("*bad*"))


def test_an_existing_folder_is_not_written_over(study, tmp_path):
    with pytest.raises(InputError, match="must not exist"):
        export_selected(study, "knee", tmp_path)


def test_an_impossible_wish_names_the_nearest(study, tmp_path):
    with pytest.raises(SelectionError, match="nearest: trial"):
        export_selected(study, "accuracy>=0.9999,macs<=1k", tmp_path / "none")


def test_a_bundle_that_is_handed_on_tells_no_place_of_this_machine(
    data, bundle, home, places_told, tmp_path
):
    to, _ = bundle
    evaluate_bundle(to)
    evaluate_bundle(to, data)
    write_repository(to, "hf://me/digits", tmp_path / "repository")

    assert json.loads((to / "record.json").read_text())["data"]["name"] == "npz:numerals.npz"
    assert places_told(tmp_path / "repository") == {}
    assert places_told(home) != {}  # where the data is stands in the study
