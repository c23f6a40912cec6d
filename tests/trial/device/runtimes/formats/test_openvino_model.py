"""OpenVINO gives what the network gives, at the batch that is asked for."""

import numpy as np
import pytest
import torch

from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.trial.device.runtimes.formats.onnx_file import write_onnx_to_time
from autodepth.trial.device.runtimes.formats.openvino_model import open_in_openvino


def test_it_runs_a_network_at_the_batch_that_is_asked_for(tmp_path):
    pytest.importorskip("openvino")
    network = build_network(NetworkSpec(name="resnet8", channels=1, height=8, width=8))
    module = network.module.eval()
    write_onnx_to_time(module, (3, *network.input_shape), tmp_path / "network.onnx")
    (answer,) = open_in_openvino(tmp_path / "network.onnx", threads=1, batch=3)().values()
    with torch.inference_mode():
        expected = module(torch.zeros(3, *network.input_shape)).numpy()

    np.testing.assert_allclose(answer, expected, atol=1e-5)
