"""What memory does judging sets of branches take on a vision transformer, beside a training step?

ViT-S/16 of timm at 224 pixels, random weights. Each part runs in a process of its own, which tells
the most memory that it had resident: the network alone; two training steps of it; the sets that
keep most values at a time, each with one branch more than the one before, so that they part at
every branch; and the whole joint search, from images to a front of sets. On one CPU thread the
search takes about as long as one or two epochs of 4,500 images, or as much less as it judges fewer:

    python benchmarks/memory_of_judging.py --judged 64
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.policy.policy import Policy
from autodepth.service.search.requests import SearchRequest
from autodepth.service.search.search import plan_search
from autodepth.space.file.shipped import default_space
from autodepth.trial.device.device import device_name
from autodepth.trial.phases.branches.joint import JUDGED_IMAGES, judge_masks
from autodepth.trial.phases.branches.judging import Judge
from autodepth.trial.phases.pruning import removal_from

RESULTS = Path(__file__).parent / "results"
SIDE = 224
SPEC = NetworkSpec(name="timm:vit_small_patch16_224", classes=10, height=SIDE, width=SIDE)
STEPS = 2
_TOLD = "told: "


def step(network: ResidualNetwork, batch: int) -> dict[str, Any]:
    """Train the network for some steps by SGD with momentum."""
    module = network.module.train()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.01, momentum=0.9)
    inputs, labels = torch.randn(batch, *network.input_shape), torch.zeros(batch).long()
    for _ in range(STEPS):
        optimizer.zero_grad()
        F.cross_entropy(module(inputs), labels).backward()
        optimizer.step()
    return {}


def nested(network: ResidualNetwork, batch: int) -> dict[str, Any]:
    """Judge sets that part at every branch."""
    numbers = [branch.index for branch in network.branches if branch.removable]
    masks = [numbers[:count] for count in range(len(numbers) + 1)]
    images, labels = torch.randn(batch, *network.input_shape), torch.zeros(batch).long()
    return {"sets": len(Judge(network, [(images, labels)])(masks))}


def search(network: ResidualNetwork, count: int) -> dict[str, Any]:
    """Search for sets of branches at every cost, by so many images out of files."""
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        _write_images(folder, 3 * count)  # of which a fifth is set apart
        request = SearchRequest(
            space=default_space(), network=SPEC.name, data=f"folder:{folder}", budget="1trials",
            settings=[f"data.validation={count}", f"data.image_size={SIDE}"],
        )  # fmt: skip
        context = plan_search(request).context
        removal = removal_from(network, Policy(removal="joint", branches_removed=1))
        return {"sets": len(judge_masks(context, network, removal))}


def _write_images(folder: Path, count: int) -> None:
    draws = np.random.default_rng(0)
    for number in range(count):
        path = folder / f"class{number % SPEC.classes}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draws.integers(0, 256, (SIDE, SIDE, 3), np.uint8)).save(path)


def alone(_network: ResidualNetwork, _batch: int) -> dict[str, Any]:
    """Do nothing with the network."""
    return {}


PARTS: dict[str, Callable[[ResidualNetwork, int], dict[str, Any]]] = {
    "network alone": alone, "steps": step, "sets": nested, "search": search,
}  # fmt: skip


def carry_out(part: str, batch: int) -> None:
    """Do one part, and print what it took."""
    torch.set_num_threads(1)
    network = build_network(SPEC)
    network.module.eval()
    start = time.process_time()
    more = PARTS[part](network, batch)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(_TOLD + json.dumps({"peak_mb": peak, "cpu_s": time.process_time() - start, **more}))


def measured(part: str, batch: int) -> dict[str, Any]:
    """Return what one part takes in a process of its own."""
    command = [sys.executable, __file__, "--part", part, "--batch", str(batch)]
    ended = subprocess.run(
        command, check=True, capture_output=True, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    (line,) = (line for line in ended.stdout.splitlines() if line.startswith(_TOLD))
    found = {"part": part, "batch": batch, **json.loads(line[len(_TOLD) :])}
    print(found, flush=True)
    return found


def table(rows: list[dict[str, Any]]) -> str:
    """Return what the parts took as Markdown."""
    first, step_row, sets_row, search_row = rows
    lines = [
        f"ViT-S/16 of timm at 224 pixels, random weights, one thread of "
        f"{device_name(torch.device('cpu'))}, torch {version('torch')}; peak of resident memory of "
        "a process, MB of 2^20 bytes, and processor time.",
        "", "| process | peak, MB | beyond the network alone | CPU seconds |", "|---|---|---|---|",
    ]  # fmt: skip
    told = {
        "network alone": "network alone",
        "steps": f"{STEPS} training steps on {step_row['batch']} images",
        "sets": f"{sets_row['sets']} sets judged, on {sets_row['batch']} images",
        "search": f"the joint search, by {search_row['batch']} images",
    }
    for row in rows:
        beyond = row["peak_mb"] - first["peak_mb"]
        lines.append(
            f"| {told[row['part']]} | {row['peak_mb']:,.0f} | {beyond:,.0f} | {row['cpu_s']:.0f} |"
        )
    return "\n".join([*lines, ""])


def main() -> None:
    """Measure, and write results/memory_of_judging.{md,json}."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=PARTS, help="only this, in this process")
    parser.add_argument("--batch", type=int, default=32, help="images at a time")
    parser.add_argument(
        "--judged", type=int, default=JUDGED_IMAGES, help="images that the search judges by"
    )
    parser.add_argument("--to", type=Path, default=RESULTS / "memory_of_judging.md")
    args = parser.parse_args()
    if args.part:
        carry_out(args.part, args.batch)
        return
    rows = [measured(part, args.judged if part == "search" else args.batch) for part in PARTS]
    args.to.with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n")
    args.to.write_text(table(rows))
    print(table(rows))


if __name__ == "__main__":
    main()
