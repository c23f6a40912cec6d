"""Places where networks are timed, as a space file names them."""

import pytest

from autodepth.space.file.space_file import load_space
from autodepth.space.search_space import SearchSpace
from autodepth.space.sections.latency_section import LatencySection, place_named

SPACE = """
version: 1
network: resnet20
data: digits
objectives:
  - {name: validation_accuracy, reference: 0.5}
  - {name: latency_ms@openvino, reference: 100%}
constraints: [latency_ms@phone <= 70%, peak_memory_mb@32 <= 2]
latency:
  phone: {on: command, command: "ssh phone bench < {onnx}", limit: 10s, batch: 4}
  onnxruntime: {threads: 2}
search: {}
"""


@pytest.fixture
def space(tmp_path):
    file = tmp_path / "space.yaml"
    file.write_text(SPACE)
    return load_space(file)


def test_places_are_those_listed_and_those_asked_for(space):
    assert list(space.places) == ["phone", "onnxruntime", "openvino"]
    assert space.places["onnxruntime"] == LatencySection(on="onnxruntime", threads=2)
    assert space.places["openvino"] == LatencySection(on="openvino")
    assert space.places["phone"].limit_seconds == 10
    assert [place.suffix for place in space.places.values()] == [".onnx"] * 3
    assert space.asked == (
        "validation_accuracy", "latency_ms@openvino", "latency_ms@phone", "peak_memory_mb@32",
    )  # fmt: skip
    assert space.objectives[1].goal == "minimize"


def test_a_space_keeps_its_places_when_it_is_written(space):
    again = SearchSpace.from_dict(space.to_dict())

    assert again.places == space.places
    assert again.constraints == space.constraints


def test_a_program_of_ones_own_is_no_place_by_itself():
    assert place_named("torch-compile", {}).suffix == ".pt2"
    assert place_named("command", {}) is None
    assert place_named("phone", {}) is None
