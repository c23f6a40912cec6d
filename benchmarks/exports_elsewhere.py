"""Do exports run, and say the right thing, where there is nothing but onnxruntime and numpy?

Of a study three networks are exported: the knee, the smallest within a point of the best, the
smallest. All formats are verified as always. Then a fresh virtual environment gets onnxruntime and
numpy, and `predict.py` classifies test images in it; what it says is compared with what PyTorch
says of the loaded bundle. The test split is opened once per network, and recorded in the bundle.

    python benchmarks/exports_elsewhere.py STUDY --to FOLDER
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from autodepth import load
from autodepth.data.batches import Batches
from autodepth.data.images import Images
from autodepth.data.load import load_data
from autodepth.data.settings import without_place
from autodepth.export.bundles.bundle import VERIFICATION, read_architecture, read_record
from autodepth.export.bundles.origin import searched_data
from autodepth.export.exporting import export_wishes
from autodepth.export.testing.evaluation import evaluate_bundle
from autodepth.records.studies import find_study

RESULTS = Path(__file__).parent / "results"
WISHES = ("knee", "accuracy>=best-1%", "smallest")
IMAGES = 200


def main() -> None:
    """Export, classify, and write results/exports_elsewhere_STUDY.{json,md}."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study")
    parser.add_argument("--to", type=Path, required=True, help="folder of the exports and the venv")
    given = parser.parse_args()
    given.to.mkdir(parents=True)
    python = bare_python(given.to / "venv")
    rows = of_study(given.study, given.to / given.study, python)
    found = {"alone": installed(python), "torch": version("torch"), "rows": rows}
    to = RESULTS / f"exports_elsewhere_{given.study}"
    to.with_suffix(".json").write_text(json.dumps(found, indent=2) + "\n")
    to.with_suffix(".md").write_text(table(found))
    print(table(found))


def bare_python(folder: Path) -> Path:
    """Return the interpreter of a new virtual environment with onnxruntime and numpy."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [folder / "bin" / "pip", "--quiet", "--disable-pip-version-check", "install"]
    pins = [f"{name}=={version(name)}" for name in ("onnxruntime", "numpy")]
    subprocess.run([*pip, *pins], check=True)
    return folder / "bin" / "python"


def installed(python: Path) -> list[str]:
    """Return what the environment holds."""
    done = subprocess.run(
        [python, "-m", "pip", "--disable-pip-version-check", "freeze"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.split("\n")[:-1]


def of_study(name: str, to: Path, python: Path) -> list[dict[str, Any]]:
    """Export three networks of a study and classify test images by each."""
    exports = export_wishes(find_study(name), WISHES, to, tell=print)
    settings = searched_data(exports[0].folder)
    images = load_data(settings).open_test()
    every = max(1, len(images) // IMAGES)
    sample = images.subset(np.arange(len(images))[::every][:IMAGES])
    np.save(to / "images.npy", sample.pixels)
    rows = []
    for export in exports:
        said = predicted(python, export.folder, to / "images.npy")
        classes = read_architecture(export.folder).classes
        record, point = read_record(export.folder), export.point
        checks = json.loads((export.folder / VERIFICATION).read_text())["files"]
        rows.append(
            {
                "data": without_place(settings.name).rpartition(":")[2],
                "network": record_network(export.folder),
                "selected": export.wish,
                "trial": point.trial,
                "removed": len(point.removed),
                "macs_left": point.point.macs / record["unpruned"]["macs"],
                "validation_accuracy": point.point.validation_accuracy,
                "test_accuracy": evaluate_bundle(export.folder).test_accuracy,
                "differences": {c["file"]: max(c["differences"].values()) for c in checks},
                "images": len(sample),
                "right": sum(classes[y] == s for y, s in zip(sample.labels, said, strict=True)),
                "as_in_pytorch": sum(
                    map(str.__eq__, said, in_pytorch(export.folder, sample, classes))
                ),
            }
        )
    return rows


def record_network(folder: Path) -> str:
    """Return the name of the network that was searched."""
    return read_architecture(folder).network.name


def predicted(python: Path, folder: Path, images: Path) -> list[str]:
    """Return the class that predict.py gives each image, where only numpy and onnxruntime are."""
    done = subprocess.run(
        [python, folder / "predict.py", images],
        check=True, capture_output=True, text=True, env={"PATH": os.defpath},
    )  # fmt: skip
    return [line.rpartition(": ")[2].rpartition(" (")[0] for line in done.stdout.splitlines()]


def in_pytorch(folder: Path, images: Images, classes: tuple[str, ...]) -> list[str]:
    """Return the class that the loaded bundle gives each image."""
    architecture, network = read_architecture(folder), load(folder)
    batches = Batches(
        images,
        batch_size=IMAGES,
        device="cpu",
        normalisation=architecture.normalisation,
        channels=architecture.network.channels,
    )
    with torch.inference_mode():
        return [classes[i] for x, _ in batches for i in network(x).argmax(1).tolist()]


def table(found: dict[str, Any]) -> str:
    """Return what came out, as Markdown."""
    lines = [
        "# Exports where there is nothing but onnxruntime and numpy",
        "",
        f"All that is installed there: {', '.join(found['alone'])}. `off by` is the largest "
        "difference of a score from the searched network's at batch 1, 7 and 64, as a share of "
        "the largest score; `model.safetensors` must be equal bit for bit, and is. `right` counts "
        "what `predict.py` said of test images there; `as in PyTorch` how often PyTorch says the "
        "same of the loaded bundle.",
        "",
        "| data, network | selected | branches removed | MACs left | validation | test "
        "| model.pt2 off by | model.onnx off by | right | as in PyTorch |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in found["rows"]:
        off = row["differences"]
        assert off["model.safetensors"] == 0
        lines.append(
            f"| {row['data']}, {row['network']} | {row['selected']} | {row['removed']} | "
            f"{row['macs_left']:.0%} | {row['validation_accuracy']:.1%} | "
            f"{row['test_accuracy']:.1%} | {off['model.pt2']:.0e} | {off['model.onnx']:.0e} | "
            f"{row['right']} of {row['images']} | {row['as_in_pytorch']} of {row['images']} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
