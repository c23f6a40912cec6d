"""torchvision opens beside any torch, and only when it is asked for."""

import subprocess
import sys

SCRIPT = """
import sys
from autodepth.torchvision_door import import_torchvision
assert "torchvision" not in sys.modules
torchvision = import_torchvision()
assert import_torchvision() is torchvision
import torch, torchvision.datasets, torchvision.models, torchvision.transforms.v2
network = torchvision.models.resnet18(weights=None).eval()
assert network(torch.zeros(1, 3, 32, 32)).shape == (1, 1000)
"""


def test_torchvision_opens_without_warnings_in_a_fresh_interpreter():
    subprocess.run([sys.executable, "-W", "error", "-c", SCRIPT], check=True)


def test_data_settings_need_no_torch():
    script = "import sys, autodepth.data.settings; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_boxes_are_suppressed_as_torchvision_says():
    script = """
import torch
from autodepth.torchvision_door import import_torchvision, suppressed
torchvision = import_torchvision()
generator = torch.Generator().manual_seed(0)
boxes = torch.rand(300, 4, generator=generator)
boxes[:, 2:] += boxes[:, :2]
scores = torch.rand(300, generator=generator)
left, expected = suppressed(boxes, scores, 0.4), []
overlap = torchvision.ops.box_iou(boxes, boxes)
for number in scores.argsort(descending=True).tolist():
    if not any(overlap[number, other] > 0.4 for other in expected):
        expected.append(number)
assert left.tolist() == expected and 10 < len(expected) < 290
assert torchvision.ops.nms(boxes, scores, 0.4).tolist() == expected
labels = torch.arange(300) % 3
several = torchvision.ops.batched_nms(boxes, scores, labels, 0.4)
assert len(several) > len(expected)
assert suppressed(boxes[:0], scores[:0], 0.4).tolist() == []
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_code_that_fails_for_want_of_operators_is_known():
    from autodepth.torchvision_door import lacks_operators

    assert lacks_operators(RuntimeError("operator torchvision::nms does not exist"))
    assert not lacks_operators(RuntimeError("operator of another kind"))
