"""A policy with `quantise: int8` comes to a network of its own, the same every time."""

from dataclasses import replace

import pytest

from autodepth.policy.policy import Policy
from autodepth.policy.training_settings import TrainingSettings
from autodepth.space.sections.latency_section import LatencySection
from autodepth.trial.run_trial import run_trial

FLOATS = Policy(
    branches=(2, 5),
    fine_tune_epochs=1,
    train=TrainingSettings(epochs=4, batch_size=32, learning_rate=0.1),
)
INT8 = replace(FLOATS, quantise="int8")
SIZE = LatencySection(on="command", command="stat -c %s {onnx}")


@pytest.fixture(scope="module")
def points(context, tmp_path_factory):
    """What both policies come to, one after the other, from one cache; the second one twice."""
    place = tmp_path_factory.mktemp("trials")
    context = replace(
        context,
        cache=place / "cache",
        places={"board": SIZE, "torch": LatencySection(on="torch")},
    )

    def point(number, policy):
        folder = place / str(number)
        folder.mkdir()
        return run_trial(policy, context, folder=folder, on_epoch=lambda _: None).point

    return [point(i, policy) for i, policy in enumerate((FLOATS, INT8, INT8))]


def test_eight_bits_are_smaller_and_nearly_as_good(points):
    floats, int8, _ = points

    assert int8.validation_accuracy > floats.validation_accuracy - 0.1
    assert int8.validation_loss != floats.validation_loss
    assert (int8.macs, int8.parameters) == (floats.macs, floats.parameters)
    assert int8.value("latency_ms@board") == int8.size_bytes  # a board is given this very file
    assert 0 < int8.latency_ms < 10_000


def test_the_same_policy_comes_to_the_same_network(points):
    _, int8, again = points

    for name in ("validation_accuracy", "validation_loss", "size_bytes"):
        assert getattr(int8, name) == getattr(again, name)
    assert Policy.from_dict(INT8.to_dict()) == INT8
    assert "quantise" not in FLOATS.to_dict()


def test_where_no_onnx_is_run_a_latency_is_unknown(points):
    floats, int8, _ = points

    assert floats.unknown == {}
    assert int8.unknown == {"latency_ms@torch": "PyTorch runs no ONNX file"}
