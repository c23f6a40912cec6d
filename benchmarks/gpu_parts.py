"""The parts of `gpu_check.py`: each measures one thing on a device, in plain values."""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from autodepth.data.images import ArrayImages
from autodepth.data.load import ImageData
from autodepth.data.prepare import Augmentation
from autodepth.data.settings import DataSettings, Normalisation
from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.gates.gates import GatedNetwork
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.running.layout import for_convolutions
from autodepth.policy.survival import survival_probabilities
from autodepth.policy.training_settings import TrainingSettings
from autodepth.torchvision_door import import_torchvision
from autodepth.trial.context import TrialContext
from autodepth.trial.training.config import TrainingConfig
from autodepth.trial.training.loop import train

ROOT = Path(__file__).parents[1]
P_LAST = 0.5
CONSTANT = "constant depth"
Values = dict[str, Any]


def steps(device: torch.device, *, short: bool) -> Values:
    """Return milliseconds of a step, by network and contestant."""
    found = {}
    for name, (build, size, batch) in _networks(short=short).items():
        contestants = _contestants(build, device, batch, compiled=not short)
        images = torch.randn(batch, 3, size, size, device=device)
        images = images.contiguous(memory_format=torch.channels_last)
        labels = torch.randint(0, 10, (batch,), device=device)
        seconds = _by_turns(contestants, images, labels, rounds=2 if short else 12)
        whole = seconds[CONSTANT]
        found[name] = {
            who: {"ms": round(1e3 * own, 3), "ratio": round(own / whole, 3)}
            for who, own in seconds.items()
        }
    return found


def _networks(*, short: bool) -> dict[str, tuple[Callable[[], ResidualNetwork], int, int]]:
    """Return how to build each network, its image size, and a batch."""
    if short:
        return {"resnet20": (lambda: build_network(_spec("resnet20", 16)), 16, 8)}
    return {
        "resnet56": (lambda: build_network(_spec("resnet56", 32)), 32, 128),
        "resnet50": (lambda: build_network(_spec("torchvision:resnet50", 224)), 224, 64),
        "vit_s_16": (_vit_small, 224, 64),
    }


def _spec(name: str, size: int) -> NetworkSpec:
    return NetworkSpec(name=name, classes=10, channels=3, height=size, width=size)


def _vit_small() -> ResidualNetwork:
    module = import_torchvision().models.VisionTransformer(
        image_size=224, patch_size=16, num_layers=12, num_heads=6, hidden_dim=384, mlp_dim=1536,
        num_classes=10,
    )  # fmt: skip
    return ResidualNetwork.from_module(module, (3, 224, 224), classes=10)


def _contestants(
    build: Callable[[], ResidualNetwork], device: torch.device, batch: int, *, compiled: bool
) -> dict[str, Callable[[Tensor], Tensor]]:
    """Return ways to compute outputs in training, each with a network of its own."""
    whole = build().module.to(device).train()
    for_convolutions(whole)
    ways: dict[str, Callable[[Tensor], Tensor]] = {CONSTANT: whole}
    for mode in ("batch", "sample"):
        ways[mode] = _random_depth(build, device, batch, mode)
    if compiled:
        ways["batch, compiled"] = _random_depth(build, device, batch, "batch", compiled=True)
    return ways


def _random_depth(
    build: Callable[[], ResidualNetwork],
    device: torch.device,
    batch: int,
    mode: Any,
    *,
    compiled: bool = False,
) -> Callable[[Tensor], Tensor]:
    network = build()
    network.module.to(device)
    for_convolutions(network.module)
    gated = GatedNetwork(network, mode=mode)
    gated.train()
    if compiled:
        gated.compile_branches()
    survival = survival_probabilities(P_LAST, len(network.branches))
    draws = torch.Generator().manual_seed(0)

    def outputs(images: Tensor) -> Tensor:
        gated.draw(survival, draws, batch)
        return gated(images)

    outputs.parameters = network.module.parameters  # type: ignore[attr-defined]
    return outputs


def _by_turns(
    ways: dict[str, Any], images: Tensor, labels: Tensor, *, rounds: int
) -> dict[str, float]:
    """Return the median seconds of a step of each, taken in turns shuffled every round."""
    kind, taken = images.device.type, {who: [] for who in ways}
    optimizers = {who: torch.optim.SGD(way.parameters(), 0.01) for who, way in ways.items()}
    order, shuffled = list(ways), random.Random(0)
    for number in range(2 + rounds):  # the first two warm up
        shuffled.shuffle(order)
        for who in order:
            _synchronize(images.device)
            start = time.perf_counter()
            for _ in range(5):
                with torch.autocast(kind, torch.bfloat16):
                    loss = F.cross_entropy(ways[who](images), labels)
                optimizers[who].zero_grad(set_to_none=True)
                loss.backward()
                optimizers[who].step()
            _synchronize(images.device)
            if number >= 2:
                taken[who].append((time.perf_counter() - start) / 5)
    return {who: statistics.median(seconds) for who, seconds in taken.items()}


def loop(device: torch.device, *, short: bool) -> Values:
    """Return images per second of training, ours and bare, and the host's work for a step."""
    count, batch = (128, 16) if short else (20_000, 128)
    context, settings = _setting(device, count), _training(batch)
    _train(context, settings)  # warms up, and takes the images to the device
    seconds: dict[str, list[float]] = {"autodepth": [], "bare": []}
    host = []
    for _ in range(1 if short else 3):
        start, worked = time.perf_counter(), time.process_time()
        _train(context, settings)
        _synchronize(device)
        host.append((time.process_time() - worked) / (count // batch))
        seconds["autodepth"].append(time.perf_counter() - start)
        seconds["bare"].append(_bare(context, settings, device))
    speed = {who: count / statistics.median(each) for who, each in seconds.items()}
    return {
        **{f"{who}, images per second": round(value) for who, value in speed.items()},
        "autodepth / bare": round(speed["autodepth"] / speed["bare"], 3),
        "host, ms per step": round(1e3 * statistics.median(host), 3),
    }


def _setting(device: torch.device, count: int) -> TrialContext:
    """Return a context with made images of CIFAR's size."""
    rng = np.random.default_rng(0)

    def images(number: int) -> ArrayImages:
        pixels = rng.integers(0, 256, (number, 32, 32, 3), dtype=np.uint8)
        return ArrayImages(pixels, np.arange(number, dtype=np.int64) % 10)

    data = ImageData(
        settings=DataSettings(name="cifar10"), train=images(count), validation=images(20),
        classes=tuple("0123456789"), height=32, width=32, channels=3, fingerprint="made",
    )  # fmt: skip
    constants = Normalisation(mean=(0.5,) * 3, std=(0.25,) * 3)
    return TrialContext(
        spec=_spec("resnet20" if count < 1000 else "resnet56", 32), weights=None, data=data,
        normalisation=constants, augmentation=Augmentation(flip=True), sensitivity_images=None,
        device=device, threads=1, seed=0,
    )  # fmt: skip


def _training(batch: int) -> TrainingSettings:
    return TrainingSettings(epochs=1, batch_size=batch, learning_rate=0.01, precision="bfloat16")


def _train(context: TrialContext, settings: TrainingSettings) -> None:
    """Train an epoch at constant depth as a trial does."""
    network = build_network(context.spec, seed=0)
    network.module.to(context.device)
    for_convolutions(network.module)
    task = context.task_of(settings)
    train(
        GatedNetwork(network),
        context.training_batches(settings.batch_size, "check", task),
        context.validation_batches(),
        TrainingConfig(
            epochs=1, learning_rate=settings.learning_rate, settings=settings, task=task,
            survival=lambda _: (1.0,) * len(network.branches),
        ),
        gate_generator=context.generator("gates"),
        on_epoch=lambda _: None,
    )  # fmt: skip


def _bare(context: TrialContext, settings: TrainingSettings, device: torch.device) -> float:
    """Return the seconds of an epoch of a loop that has all on the device and checks nothing."""
    module = build_network(context.spec, seed=0).module.to(device).train()
    for_convolutions(module)
    pixels = torch.from_numpy(context.data.train.pixels).to(device)  # type: ignore[union-attr]
    labels = torch.from_numpy(context.data.train.labels).to(device)
    optimizer = torch.optim.SGD(module.parameters(), 0.01, momentum=0.9, nesterov=True)
    _synchronize(device)
    start = time.perf_counter()
    for rows in torch.randperm(len(labels), device=device).split(settings.batch_size):
        images = ((pixels[rows].permute(0, 3, 1, 2).float() / 255) - 0.5) / 0.25
        images = torch.where(
            torch.rand(len(rows), 1, 1, 1, device=device) < 0.5, images.flip(3), images
        )
        with torch.autocast(device.type, torch.bfloat16):
            loss = F.cross_entropy(module(images), labels[rows])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    _synchronize(device)
    return time.perf_counter() - start


def waits(device: torch.device, *, short: bool) -> Values:  # noqa: ARG001 - as all parts
    """Return how often an epoch of few and one of many steps wait for the GPU."""
    if device.type != "cuda":
        return {
            "left out": "only CUDA tells; tests/trial/training/test_no_waiting.py counts on a CPU"
        }
    told = {}
    for count in (1024, 4096):
        context, settings = _setting(device, count), _training(128)
        _train(context, settings)
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            _train(context, settings)
            torch.cuda.set_sync_debug_mode("default")
        told[f"{count // 128} steps"] = sum("synchron" in str(w.message) for w in found)
    return told


def tests(device: torch.device, *, short: bool) -> Values:  # noqa: ARG001 - as all parts
    """Return the last line of the tests that need a GPU."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "long or not long",
         "tests/study/test_gpus.py", "tests/data/test_batches.py"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    last = (done.stdout or done.stderr).strip().splitlines()[-1:]
    return {"status": done.returncode, "told": " ".join(last)}


def search(device: torch.device, *, short: bool) -> Values:
    """Return what a search in this process comes to."""
    from autodepth import search as run  # noqa: PLC0415 - seconds, and not needed by other parts

    unit = "gpu-s" if device.type == "cuda" else "cpu-s"
    result = run(
        budget=f"{20 if short else 90}{unit}", study=f"check-{time.time_ns()}",
        runner="in-process", settings=["confirmation.share=0"],
    )  # fmt: skip
    return {
        "trials": result.trials,
        "complete": result.complete,
        "hypervolume": round(result.hypervolume, 4),
        "device seconds": round(result.spent_device_seconds, 1),
    }


PARTS = {"steps": steps, "loop": loop, "waits": waits, "tests": tests, "search": search}


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
