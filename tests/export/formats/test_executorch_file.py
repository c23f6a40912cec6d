"""The file for phones and boards: written, run and compared where its package is installed."""

import json
import sys

import pytest
import torch

from autodepth import load
from autodepth.errors import BundleError, InputError
from autodepth.export.exporting import export_selected
from autodepth.export.writing import read_formats
from autodepth.trial.device.runtimes.formats.executorch_file import open_executorch


@pytest.fixture(scope="module")
def program(study, tmp_path_factory):
    pytest.importorskip("executorch", reason="not installed: pip install autodepth[executorch]")
    to = tmp_path_factory.mktemp("executorch") / "smallest"
    export_selected(study, "smallest", to, formats=("executorch",))
    return to


def test_it_was_compared_at_three_batch_sizes_and_says_what_the_network_says(program):
    verification = json.loads((program / "verification.json").read_text())
    images = torch.randn(64, 1, 8, 8)
    run, network = open_executorch(program / "model.pte"), load(program)

    assert [check["file"] for check in verification["files"]] == ["model.safetensors", "model.pte"]
    assert set(verification["files"][1]["differences"]) == {"1", "7", "64"}
    assert verification["libraries"]["executorch"]
    for batch in (1, 5, 64):
        torch.testing.assert_close(
            run(images[:batch]), network(images[:batch]), rtol=1e-4, atol=1e-4
        )


def test_it_tells_no_place_and_an_altered_byte_is_refused(program, places_told):
    assert places_told(program) == {}
    content = (program / "model.pte").read_bytes()
    (program / "model.pte").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    try:
        with pytest.raises(BundleError, match=r"model\.pte was altered"):
            load(program)
    finally:
        (program / "model.pte").write_bytes(content)


def test_without_its_package_the_format_is_refused_before_anything_is_done(monkeypatch):
    monkeypatch.setitem(sys.modules, "executorch", None)
    with pytest.raises(InputError, match=r"pip install autodepth\[executorch\]"):
        read_formats("torch,executorch")
