"""A format that fails after training takes nothing else with it."""

import pytest

from autodepth.errors import BundleError
from autodepth.export import writing
from autodepth.export.bundles.bundle import load
from autodepth.policy.policy import Policy
from autodepth.service.one_policy import policies
from autodepth.service.search.requests import SearchRequest
from autodepth.service.search.search import plan_search


@pytest.mark.parametrize("part", ["make_program", "write_onnx"])
def test_what_was_verified_is_kept_and_the_failed_format_named(part, tmp_path, monkeypatch):
    def fails(*_arguments, **_options):
        raise BundleError(f"{part} fails on trained weights")

    monkeypatch.setattr(writing, part, fails)  # the rehearsal has its own
    plan = plan_search(
        SearchRequest(
            network="resnet8",
            budget="1trials",
            settings=["data.train_images=20", "data.validation=60"],
        )
    )

    with pytest.raises(BundleError, match=f"has all that was verified, but {part} fails"):
        policies.carry_out_policy(
            plan, Policy.from_dict({"train": {"epochs": 0}}), to=tmp_path / "out",
            on_epoch=lambda _: None,
        )  # fmt: skip

    there = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"model.safetensors", "record.json", "checksums.json"} <= there
    assert ("model.pt2" in there) == (part == "write_onnx")
    assert "model.onnx" not in there
    load(tmp_path / "out")
