"""The final network in eight-bit integers: a network of its own, with its own operating point."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from autodepth.errors import InputError
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.running.copying import copied
from autodepth.space.sections.latency_section import LatencySection
from autodepth.trial.context import TrialContext
from autodepth.trial.device.runtimes.formats.int8_file import calibrating, write_int8
from autodepth.trial.device.runtimes.formats.onnx_file import write_onnx
from autodepth.trial.device.runtimes.formats.onnx_session import Array, open_onnx
from autodepth.trial.device.runtimes.formats.torch_program import make_program
from autodepth.trial.device.runtimes.runners import open_runner
from autodepth.trial.phases.measuring.measurement import costs_elsewhere, operating_point
from autodepth.trial.result import OperatingPoint
from autodepth.trial.training.evaluation import evaluate

_BATCH = 64


def quantised_point(
    network: ResidualNetwork, whole: ResidualNetwork, context: TrialContext
) -> OperatingPoint:
    """Quantise a network that will not change any more, and measure what comes of it.

    Accuracy and loss are the quantised network's on the validation split, the size is that of its
    ONNX file, and the latency that of one image in onnxruntime on the CPU: PyTorch does not run it.

    Args:
        network: in evaluation mode, on its device; left as it is.
        whole: before anything was removed.
        context: has images to calibrate and to measure by.

    Raises:
        BundleError: onnxruntime cannot quantise it.
        InputError: what is learned is not one label per image.
    """
    task = context.task
    if task.images is None:
        raise InputError("quantise: int8 is made for classification alone")
    with TemporaryDirectory(prefix="autodepth-int8-") as scratch:
        floats, file = Path(scratch, "floats.onnx"), Path(scratch, "int8.onnx")
        module = copied(network.module).cpu().eval()
        write_onnx(make_program(module, network.input_shape), floats)
        write_int8(floats, file, _calibration(context))
        run = open_onnx(file, threads=context.threads)
        evaluation = evaluate(
            lambda images: torch.from_numpy(run(_plain(images))).to(images.device),
            context.validation_batches(),
            task,
        )
        return operating_point(
            network,
            evaluation,
            size_bytes=file.stat().st_size,
            latency=_latency_ms(file, network, context.threads),
            elsewhere=costs_elsewhere(network, whole, context, file),
            task=task,
        )


def _calibration(context: TrialContext) -> Iterator[Array]:
    images = context.task.images
    assert images is not None
    for batch, _ in images.batches(calibrating(images.data.train), _BATCH):
        yield _plain(batch)


def _plain(images: torch.Tensor) -> Array:
    plain: Array = images.cpu().contiguous().numpy()
    return plain


def _latency_ms(file: Path, network: ResidualNetwork, threads: int) -> float:
    runner = open_runner(LatencySection(on="onnxruntime", threads=threads))
    try:
        return runner.measure([runner.prepare(file, network.input_shape)])[0].ms
    finally:
        runner.close()
