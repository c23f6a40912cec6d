"""Every format of an export, for large networks with a third of their branches removed.

Random weights and small images: what is shown is that torch.export and torch.onnx pass the network
for any batch size, and that what they write is the network. Prints a table:

    python benchmarks/export_networks.py
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from autodepth.data.settings import IMAGENET
from autodepth.export.bundles.architecture import Architecture
from autodepth.export.bundles.bundle import VERIFICATION
from autodepth.export.writing import write_bundle
from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.weights.own_files import save_weights

CLASSES = 10
NETWORKS = (
    NetworkSpec(name="torchvision:resnet50", height=64, width=64),
    NetworkSpec(name="torchvision:vit_b_32", height=64, width=64, arguments={"image_size": 64}),
    NetworkSpec(name="timm:convnext_atto", height=64, width=64),
)


def main() -> None:
    """Print the table."""
    print("| network | branches | removed | MACs left | model.pt2 | model.onnx | seconds |")
    print("|---|---|---|---|---|---|---|")
    for spec in NETWORKS:
        print(row(spec), flush=True)


def row(spec: NetworkSpec) -> str:
    """Export one network and return its line of the table."""
    whole = build_network(spec)
    removable = [branch.index for branch in whole.branches if branch.removable]
    network = whole.without(removable[1::3])
    _stir(network)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        weights, to = Path(scratch) / "w.safetensors", Path(scratch) / "bundle"
        size_bytes = save_weights(network.module, weights)
        write_bundle(
            to,
            weights=weights,
            architecture=Architecture(
                network=spec,
                removed=network.removed,
                widths={},
                normalisation=IMAGENET,
                classes=tuple(map(str, range(CLASSES))),
                macs=network.total_macs,
            ),
            policy={"branches": list(network.removed)},
            record=record(whole, network, size_bytes),
            tell=lambda line: print(f"{spec.name}: {line}", file=sys.stderr, flush=True),
        )
        checks = json.loads((to / VERIFICATION).read_text())["files"]
    apart = {check["file"]: max(check["differences"].values()) for check in checks}
    seconds = time.monotonic() - start
    return (
        f"| {spec.name}, {spec.height} px | {len(whole.branches)} | {len(network.removed)} | "
        f"{network.total_macs / whole.total_macs:.0%} | {apart['model.pt2']:.0e} | "
        f"{apart['model.onnx']:.0e} | {seconds:.0f} |"
    )


@torch.no_grad()
def _stir(network: ResidualNetwork) -> None:
    """Move every weight a little, so that every branch and the head count.

    Transformers begin with a head of zeros, and ConvNeXt with branches scaled to nearly nothing:
    another network's file would give the same scores.
    """
    generator = torch.Generator().manual_seed(0)
    for parameter in network.module.parameters():
        parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))


def record(whole: ResidualNetwork, network: ResidualNetwork, size_bytes: int) -> dict[str, Any]:
    """Return what a search would have recorded of a network that was never trained."""
    return {
        "seed": 0,
        "data": {"name": "none"},
        "data_fingerprint": "none",
        "point": {
            "validation_accuracy": 1 / CLASSES,
            "macs": network.total_macs,
            "effective_macs": network.total_macs,
            "parameters": network.total_parameters,
            "size_bytes": size_bytes,
            "latency_ms": 0.0,
        },
        "unpruned": {
            "macs": whole.total_macs,
            "parameters": whole.total_parameters,
            "size_bytes": 4 * whole.total_parameters,
        },
    }


if __name__ == "__main__":
    main()
