"""The model card says what the bundle is, in the sections of Hugging Face's template."""

import json

import pytest
from huggingface_hub import ModelCard

from autodepth.export.bundles.bundle import read_architecture
from autodepth.export.model_card import model_card
from autodepth.space.file.yaml_text import parse_yaml


@pytest.fixture
def write(exported):
    to, _, _ = exported
    record = json.loads((to / "record.json").read_text())
    policy = parse_yaml((to / "policy.yaml").read_text()).content

    def write(**changes):
        architecture = read_architecture(to)
        return model_card(
            "digits", to, architecture, policy=policy, record=record | changes, checks=[]
        )

    return write


def test_the_card_is_one_that_hugging_face_reads(exported):
    card = ModelCard.load(exported[0] / "README.md")

    assert card.data.pipeline_tag == "image-classification"
    assert card.data.library_name == "onnx"
    sections = [line[3:] for line in card.text.splitlines() if line.startswith("## ")]
    assert sections == [
        "Model Details",
        "Uses",
        "How to Get Started with the Model",
        "Training Details",
        "Evaluation",
        "Bias, Risks, and Limitations",
        "Technical Specifications",
    ]


def test_the_card_has_policy_point_parent_seed_hardware_and_convention(exported):
    to, point, _ = exported
    text = (to / "README.md").read_text()
    record = json.loads((to / "record.json").read_text())
    unpruned = f"{record['unpruned']['macs']:,.0f}"

    for words in (
        f"| filter_sparsity | {point.policy['filter_sparsity']} |",
        f"| train.epochs | {point.policy['train']['epochs']} |",
        f"| validation accuracy | {record['parent_accuracy']:.2%} | ",
        f" | {point.point.validation_accuracy:.2%} |",
        f"| MACs per image | {unpruned} | {point.point.macs:,} |",
        f"Every draw comes from seed {record['seed']}.",
        f"{point.point.latency_ms:.3f} ms for one image in PyTorch, {record['hardware']}, ",
        "FLOPs = 2 x MACs",
        "biased upward",
        "| `model.onnx` |",
    ):
        assert words in text


def test_fresh_seeds_are_told_with_their_mean_and_spread(write):
    assert "was not confirmed on fresh seeds" in write()
    told = write(confirmed=[0.90, 0.92, 0.94])
    assert "on 3 fresh seeds: 92.0 ± 2.0 % validation accuracy" in told
    assert "on 1 fresh seed: 90.0 % validation accuracy" in write(confirmed=[0.9])


def test_studies_that_recorded_no_hardware_say_so(write):
    assert "hardware not recorded" in write(hardware=None, threads=None)


def test_names_cannot_break_out_of_a_table(write):
    data = {"name": "folder:a|b<script>"}
    assert "| name | folder:a\\|b&lt;script> |" in write(data=data)
