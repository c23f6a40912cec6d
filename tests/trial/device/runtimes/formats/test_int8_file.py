"""An ONNX file in eight-bit integers is smaller and answers nearly the same."""

import numpy as np
import torch

from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.trial.device.runtimes.formats.int8_file import write_int8
from autodepth.trial.device.runtimes.formats.onnx_file import write_onnx
from autodepth.trial.device.runtimes.formats.onnx_session import open_onnx
from autodepth.trial.device.runtimes.formats.torch_program import make_program


def test_it_is_smaller_and_answers_nearly_the_same(tmp_path):
    network = build_network(NetworkSpec(name="resnet8", channels=1, height=8, width=8))
    floats, eight = tmp_path / "floats.onnx", tmp_path / "int8.onnx"
    write_onnx(make_program(network.module.eval(), network.input_shape), floats)
    images = torch.rand(
        32, *network.input_shape, generator=torch.Generator().manual_seed(0)
    ).numpy()
    write_int8(floats, eight, [images])
    exact, near = (open_onnx(file, threads=1)(images) for file in (floats, eight))

    assert eight.stat().st_size < 0.6 * floats.stat().st_size
    assert np.corrcoef(exact.ravel(), near.ravel())[0, 1] > 0.99
