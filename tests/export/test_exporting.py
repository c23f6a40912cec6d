"""Several wishes, a folder each."""

import json

import pytest

from autodepth.errors import InputError
from autodepth.export.bundles.bundle import read_architecture
from autodepth.export.exporting import export_wishes
from autodepth.export.verification import (
    BATCHES,
    INPUTS,
)


def test_several_wishes_get_a_folder_each(study, tmp_path):
    wishes = ["smallest", "accuracy>=1%"]
    exports = export_wishes(study, wishes, tmp_path / "all", formats=())

    names = ["smallest", "accuracy-at-least-1"]
    assert [export.folder.name for export in exports] == names
    for export in exports:
        assert read_architecture(export.folder).macs == export.point.point.macs
        assert json.loads((export.folder / "record.json").read_text())["selected"] == export.wish


def test_every_format_is_seen_to_be_written_and_verified(study, tmp_path, heard):
    export_wishes(study, ["smallest"], tmp_path / "seen")

    images = INPUTS * len(BATCHES)
    assert heard["exporting seen"] == [3, 3]
    assert {"writing model.pt2", "writing model.onnx"} <= set(heard)
    for file in ("model.safetensors", "model.pt2", "model.onnx"):
        assert heard[f"verifying {file}"] == [images, images]


def test_one_wish_that_cannot_be_met_keeps_all_from_being_written(study, tmp_path):
    with pytest.raises(InputError, match="nearest: trial"):
        export_wishes(study, ["smallest", "macs<=1"], tmp_path / "all")
    with pytest.raises(InputError, match="every selection must be another one"):
        export_wishes(study, ["knee", "knee"], tmp_path / "all")
    assert list(tmp_path.glob("all/*")) == []
