"""How many images per second does a folder of JPEGs give a network, and what does each cost?

Photographs of 500x375 pixels, in random boxes of 224, mirrored, normalised, in batches of 64: by
autodepth from the files and from packed squares (`data.packed_size`), and by torchvision's
ImageFolder and DataLoader. Contestants take a pass over all images in turn, in an order shuffled
anew in every round, so what else the machine does falls on all of them alike. CPU time counts that
of the workers; the ratios are those of the same round, their median told.

    python benchmarks/folder_pipeline.py            # 1,000 images, 5 rounds, 5 minutes on one core

The photographs are cut out of the two that scikit-learn brings along, and saved at quality 90.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from autodepth.data.batches import Batches
from autodepth.data.images import FileImages
from autodepth.data.prepare import Augmentation
from autodepth.data.reading.folders import read_whole
from autodepth.data.reading.pack import packed
from autodepth.data.settings import IMAGENET
from autodepth.torchvision_door import import_torchvision
from autodepth.trial.device.device import cpu_name

RESULTS = Path(__file__).parent / "results"
SIZE, BATCH = 224, 64
Passes = Mapping[str, Callable[[], Iterable[tuple[torch.Tensor, Any]]]]
WHO = {
    "files": "autodepth, files decoded by threads",
    "packed 224": "autodepth, packed squares of 224 pixels",
    "packed 320": "autodepth, packed squares of 320 pixels",
    "workers 0": "torchvision and DataLoader, in the process",
    "workers 1": "the same, one worker",
    "workers 2": "the same, two workers",
}


def main() -> None:
    """Let the contestants take turns, and write results/folder_pipeline.{json,md}."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        photographs = Path(folder, "photographs")
        size = write_photographs(photographs, given.images, np.random.default_rng(given.seed))
        passes, packing = contestants(photographs, Path(folder, "packed"), given.seed)
        rounds = [one_round(passes, random.Random(n)) for n in range(given.rounds)]
    found = {
        "images": given.images, "seed": given.seed, "bytes_per_image": round(size / given.images),
        "cores": len(os.sched_getaffinity(0)), "cpu": cpu_name(),
        "versions": {n: version(n) for n in ("torch", "torchvision", "pillow", "numpy")},
        "packing_cpu_ms": {size: round(ms, 3) for size, ms in packing.items()}, "rounds": rounds,
    }  # fmt: skip
    to = RESULTS / "folder_pipeline"
    to.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
    to.with_suffix(".md").write_text(table(found))
    print(table(found))


def write_photographs(folder: Path, count: int, draw: np.random.Generator) -> int:
    """Write pieces of scikit-learn's photographs in two classes; return how many bytes."""
    photographs = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    total = 0
    for number in range(count):
        whole = photographs[number % 2]
        width = int(draw.integers(300, 569))
        height = round(width * 375 / 500)
        left = int(draw.integers(0, whole.width - width + 1))
        top = int(draw.integers(0, whole.height - height + 1))
        box = (left, top, left + width, top + height)
        file = folder / str(number % 2) / f"{number}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        whole.resize((500, 375), Image.Resampling.BICUBIC, box).save(file, quality=90)
        total += file.stat().st_size
    return total


def contestants(folder: Path, packs: Path, seed: int) -> tuple[Passes, dict[int, float]]:
    """Return what makes one pass of each, and the CPU time that packing an image took, ms."""
    images = read_whole(folder, SIZE).train
    assert isinstance(images, FileImages)
    packing, kept = {}, {}
    for size in (224, 320):
        begin = time.process_time()
        kept[size] = packed(images, size, packs)
        packing[size] = 1000 * (time.process_time() - begin) / len(images)
    passes = {"files": _ours(images, seed), **{f"packed {n}": _ours(kept[n], seed) for n in kept}}
    return {**passes, **{f"workers {n}": _loader(folder, n) for n in (0, 1, 2)}}, packing


def _ours(images: FileImages, seed: int) -> Callable[[], Batches]:
    batches = Batches(
        images, batch_size=BATCH, device="cpu", normalisation=IMAGENET, channels=3,
        augment=Augmentation(crop=True, flip=True), generator=torch.Generator().manual_seed(seed),
    )  # fmt: skip
    return lambda: batches


def _loader(folder: Path, workers: int) -> Callable[[], Any]:
    torchvision = import_torchvision()
    transforms = torchvision.transforms
    steps = [
        transforms.RandomResizedCrop(SIZE), transforms.RandomHorizontalFlip(),
        transforms.ToTensor(), transforms.Normalize(IMAGENET.mean, IMAGENET.std),
    ]  # fmt: skip
    files = torchvision.datasets.ImageFolder(str(folder), transforms.Compose(steps))
    return lambda: torch.utils.data.DataLoader(files, BATCH, shuffle=True, num_workers=workers)


def one_round(passes: Passes, draw: random.Random) -> dict[str, dict[str, float]]:
    """Return wall time and CPU time per image of a pass of each, in ms."""
    order = list(passes)
    draw.shuffle(order)
    found = {}
    for name in order:
        cpu, wall = _cpu_seconds(), time.perf_counter()
        count = sum(len(x) for x, _ in passes[name]())
        wall, cpu = time.perf_counter() - wall, _cpu_seconds() - cpu
        found[name] = {"wall_ms": 1000 * wall / count, "cpu_ms": 1000 * cpu / count}
    return {name: {k: round(v, 4) for k, v in found[name].items()} for name in passes}


def _cpu_seconds() -> float:
    """Return what this process and the workers that ended have computed."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def table(found: Mapping[str, Any]) -> str:
    """Return what came out, as Markdown."""
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    packing = " and ".join(f"{ms} ms at {n}" for n, ms in found["packing_cpu_ms"].items())
    lines = [
        "# A folder of JPEGs as batches of 224 pixels",
        "",
        f"`python benchmarks/folder_pipeline.py --images {found['images']} --seed {found['seed']} "
        f"--rounds {len(found['rounds'])}`: {found['bytes_per_image']:,} bytes an image, "
        f"{found['cores']} core of {found['cpu']}, shared with other work; {versions}. Medians of "
        f"rounds, in brackets the least and the most. Packing took {packing} pixels, once.",
        "",
        "| by | CPU per image | beside files | images per second of CPU | of wall time |",
        "|---|---|---|---|---|",
    ]
    for name, told in WHO.items():
        cpu = [each[name]["cpu_ms"] for each in found["rounds"]]
        ratio = [each[name]["cpu_ms"] / each["files"]["cpu_ms"] for each in found["rounds"]]
        wall = statistics.median(each[name]["wall_ms"] for each in found["rounds"])
        lines.append(
            f"| {told} | {_spread(cpu)} ms | {_spread(ratio)} | {1000 / statistics.median(cpu):.0f}"
            f" | {1000 / wall:.0f} |"
        )
    return "\n".join(lines) + "\n"


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    main()
