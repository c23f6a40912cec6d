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
