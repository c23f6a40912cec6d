"""Running ONNX files by OpenVINO on the CPU, without torch: the one way in to OpenVINO."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np


def open_in_openvino(path: Path, *, threads: int, batch: int) -> Callable[[], object]:
    """Return what runs an ONNX file once, on zeros.

    Args:
        path: the file.
        threads: CPU threads.
        batch: images per pass.
    """
    import openvino  # noqa: PLC0415 - only where it is asked for

    core = openvino.Core()
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": "f32",  # as everywhere else; bfloat16 answers otherwise
    }
    model = core.read_model(path)
    (given,) = model.inputs
    shape = [batch, *(size.get_length() for size in list(given.partial_shape)[1:])]
    model.reshape(shape)
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    images = np.zeros(shape, dtype=np.float32)
    return lambda: request.infer([images])
