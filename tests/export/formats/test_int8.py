"""Weights of eight bits."""

import json

import numpy as np


def test_eight_bits_are_written_beside_and_told_with_their_accuracy(exported):
    import onnxruntime

    to, point, told = exported
    int8 = json.loads((to / "verification.json").read_text())["int8"]
    session = onnxruntime.InferenceSession(to / "model.int8.onnx")
    images = np.zeros((7, 1, 8, 8), dtype=np.float32)

    assert session.run(["scores"], {"images": images})[0].shape == (7, 10)
    assert told[-1].startswith("model.int8.onnx: ")
    assert len(told[-1]) <= 80
    # The 32-bit file, by onnxruntime, gets as many images right as the search did.
    assert int8["float_accuracy"] == point.point.validation_accuracy
    assert int8["validation_accuracy"] > int8["float_accuracy"] - 0.1
    assert int8["calibration_images"] == 200
    assert (to / "model.int8.onnx").stat().st_size < (to / "model.onnx").stat().st_size
