"""A classification whose space asks for more than accuracy: searched, exported, tested."""

import pytest

from autodepth.export.testing.evaluation import evaluate_bundle

ASKED = ["top5", "macro_f1", "worst_class_accuracy", "accuracy_of_3"]
SPACE = f"""
version: 1
network: resnet14
data: {{name: digits, train_images: 200, validation: 100}}
task: {{name: classification, arguments: {{metrics: [{", ".join(ASKED)}]}}}}
objectives:
  - {{name: validation_macro_f1, reference: 0}}
  - {{name: macs, reference: 100%}}
constraints: ["validation_top5 >= 0.2"]
search:
  p_L: {{min: 0.5, max: 1.0}}
  branches_removed: {{type: int, min: 0, max: 3}}
train: {{epochs: 4, batch_size: 40, learning_rate: 0.1}}
sensitivity: {{images: 40}}
confirmation: {{share: 0}}
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_is_asked_for_is_measured_everywhere(studied):
    found = studied(SPACE, 3)
    wanted = ["accuracy", *ASKED]

    for member in found.front:
        point = member.point
        assert list(point.metrics) == [f"validation_{name}" for name in wanted]
        assert point.leading == point.validation_accuracy == point.value("validation_accuracy")
        assert point.value("validation_top5") >= max(0.2, point.validation_accuracy)
    assert "validation_macro_f1" in found.card
    result = evaluate_bundle(found.bundle)
    assert list(result.metrics) == [f"test_{name}" for name in wanted]
    assert result.metrics["test_accuracy"] == pytest.approx(result.test_accuracy)
