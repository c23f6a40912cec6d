"""What a training step costs under stochastic depth, relative to constant depth.

One run steps all contestants in turn, in an order shuffled anew every round, so that whatever
else the machine does falls on all of them alike. All share network, initial weights, images,
optimizer and survival probabilities (linear decay); autodepth's modes share the sequence of
draws as well. Writes JSON and a table under benchmarks/results/.

    python benchmarks/stochastic_depth.py                     # ResNet-56 and ResNet-110, ~15 min
    python benchmarks/stochastic_depth.py --batch 32          # smaller batches than usual, ~8 min
    python benchmarks/stochastic_depth.py --networks resnet20 --rounds 5   # a look, seconds
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import random
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.catalogue.cifar_resnet import BasicBlock, CifarResNet
from autodepth.networks.gates.gates import GatedNetwork
from autodepth.policy.survival import GateMode, survival_probabilities
from autodepth.torchvision_door import import_torchvision

RESULTS = Path(__file__).parent / "results"
CONSTANT, OPEN = "constant depth", "autodepth, gates open"
# What the ratio to constant depth may be at most.
BOUNDS = {
    OPEN: 1.03,
    "autodepth batch, p_L = 0.5": 0.80,
    "autodepth batch, p_L = 0.2": 0.68,
    "autodepth sample, p_L = 0.5": 0.84,
}


@dataclass
class Contestant:
    """One way to train.

    Args:
        prepare: draws what is dropped in the next step; returns the share of branches computed.
        forward: the network.
        optimizer: over all its parameters.
        expected: the share that `prepare` returns on average.
    """

    prepare: Callable[[], float]
    forward: Callable[[Tensor], Tensor]
    optimizer: torch.optim.Optimizer
    expected: float
    cpu_seconds: list[float] = field(default_factory=list)
    wall_seconds: list[float] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)

    def step(self, images: Tensor, labels: Tensor) -> None:
        """Train one step and note what it took."""
        _synchronize(images.device)
        wall, cpu = time.perf_counter(), time.process_time()
        share = self.prepare()
        loss = F.cross_entropy(self.forward(images), labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        _synchronize(images.device)
        self.cpu_seconds.append(time.process_time() - cpu)
        self.wall_seconds.append(time.perf_counter() - wall)
        self.shares.append(share)


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one contestant took, times in milliseconds, ratios to constant depth.

    `low` and `high` bound the ratio: 5th and 95th percentile over resampled rounds.
    """

    network: str
    contestant: str
    cpu_ms: float
    wall_ms: float
    cpu_ratio: float
    cpu_low: float
    cpu_high: float
    wall_ratio: float
    share_expected: float
    share_computed: float
    bound: float | None


def contestants(name: str, batch: int, device: torch.device) -> dict[str, Contestant]:
    """Return all ways to train a network, by what they are called in the table."""
    ways = {CONSTANT: _plain(name, device), OPEN: _ours(name, 1.0, "batch", batch, device)}
    modes: tuple[GateMode, ...] = ("batch", "sample")
    for last in (0.5, 0.2):
        for mode in modes:
            ways[f"autodepth {mode}, p_L = {last}"] = _ours(name, last, mode, batch, device)
    stochastic_depth = import_torchvision().ops.StochasticDepth
    drop_path = importlib.import_module("timm.layers").DropPath  # timm needs torchvision imported
    for last in (0.5, 0.2):
        ways[f"torchvision StochasticDepth batch, p_L = {last}"] = _plain(
            name, device, last, lambda dropped: stochastic_depth(dropped, "batch")
        )
        ways[f"torchvision StochasticDepth row, p_L = {last}"] = _plain(
            name, device, last, lambda dropped: stochastic_depth(dropped, "row")
        )
        ways[f"timm DropPath, p_L = {last}"] = _plain(name, device, last, drop_path)
    return ways


def _plain(
    name: str,
    device: torch.device,
    last: float = 1.0,
    drop: Callable[[float], nn.Module] | None = None,
) -> Contestant:
    """Return the module as its author wrote it, another library's dropping at each branch's end."""
    torch.manual_seed(0)
    module = CifarResNet(int(name.removeprefix("resnet")))
    blocks = [part for part in module.modules() if isinstance(part, BasicBlock)]
    if drop is not None:
        for block, chance in zip(blocks, survival_probabilities(last, len(blocks)), strict=True):
            block.bn2 = nn.Sequential(block.bn2, drop(1 - chance))  # type: ignore[assignment]
    _placed(module, device).train()
    return Contestant(lambda: 1.0, module, _optimizer(module), expected=1.0)


def _ours(name: str, last: float, mode: GateMode, batch: int, device: torch.device) -> Contestant:
    network = build_network(NetworkSpec(name=name))
    _placed(network.module, device)
    gated = GatedNetwork(network, mode=mode)
    gated.train()
    survival = survival_probabilities(last, len(network.branches))
    generator = torch.Generator().manual_seed(0)
    return Contestant(
        lambda: gated.draw(survival, generator, batch) / len(survival),
        gated,
        _optimizer(gated.module),
        expected=statistics.fmean(survival),
    )


def _placed(module: nn.Module, device: torch.device) -> nn.Module:
    module.to(device)
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return module


def _optimizer(module: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        module.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4, nesterov=True
    )


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure(
    name: str, *, rounds: int, warm_up: int, batch: int, device: torch.device
) -> Iterator[Row]:
    """Step all contestants in turn, `warm_up` rounds uncounted, and tell what each took."""
    ways = contestants(name, batch, device)
    generator, order = torch.Generator().manual_seed(0), random.Random(0)
    images = torch.randn(batch, 3, 32, 32, generator=generator).to(device)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(10, (batch,), generator=generator).to(device)
    for _ in range(warm_up + rounds):
        for way in order.sample(list(ways.values()), len(ways)):
            way.step(images, labels)
    for way in ways.values():
        del way.cpu_seconds[:warm_up], way.wall_seconds[:warm_up], way.shares[:warm_up]
    constant = ways[CONSTANT]
    for label, way in ways.items():
        low, high = _interval(way.cpu_seconds, constant.cpu_seconds)
        yield Row(
            network=name,
            contestant=label,
            cpu_ms=statistics.median(way.cpu_seconds) * 1e3,
            wall_ms=statistics.median(way.wall_seconds) * 1e3,
            cpu_ratio=_ratio(way.cpu_seconds, constant.cpu_seconds),
            cpu_low=low,
            cpu_high=high,
            wall_ratio=_ratio(way.wall_seconds, constant.wall_seconds),
            share_expected=way.expected,
            share_computed=statistics.fmean(way.shares),
            bound=BOUNDS.get(label),
        )


def _ratio(times: list[float], reference: list[float]) -> float:
    return statistics.median(times) / statistics.median(reference)


def _interval(times: list[float], reference: list[float]) -> tuple[float, float]:
    """Return the 5th and 95th percentile of the ratio over resampled rounds (bootstrap)."""
    chance, rounds = random.Random(0), range(len(times))
    ratios = []
    for _ in range(1000):
        drawn = chance.choices(rounds, k=len(rounds))
        ratios.append(_ratio([times[i] for i in drawn], [reference[i] for i in drawn]))
    percentiles = statistics.quantiles(ratios, n=20)
    return percentiles[0], percentiles[-1]


def conditions(arguments: argparse.Namespace) -> dict[str, object]:
    """Return what the numbers were measured with."""
    libraries = ("autodepth", "torch", "torchvision", "timm")
    return {
        "processor": _processor(torch.device(arguments.device)),
        "threads": torch.get_num_threads(),
        "rounds": arguments.rounds,
        "warm_up": arguments.warm_up,
        "batch": arguments.batch,
        "image": "3x32x32, channels_last, float32",
        "optimizer": "SGD, Nesterov momentum 0.9, weight decay 1e-4",
        "seed": 0,
        "versions": {"python": platform.python_version()} | {n: version(n) for n in libraries},
    }


def _processor(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    lines = Path("/proc/cpuinfo")
    models = [
        line.partition(":")[2].strip()
        for line in (lines.read_text().splitlines() if lines.exists() else ())
        if line.startswith("model name")
    ]
    return f"{models[0]}, {len(models)} cores" if models else platform.machine()


def table(rows: list[Row], conditions: dict[str, object]) -> str:
    """Return the rows as Markdown."""
    head = (
        f"Training step relative to constant depth. {conditions['processor']}, "
        f"{conditions['threads']} thread(s), batch {conditions['batch']} of {conditions['image']}; "
        f"{conditions['optimizer']}; {conditions['rounds']} interleaved rounds, medians; in "
        "brackets the 5th to 95th percentile over resampled rounds.\n\n"
        "| network | training | CPU ms | CPU ratio | wall ratio | branches computed (expected) "
        "| at most |\n|---|---|---|---|---|---|---|\n"
    )
    return head + "".join(
        f"| {r.network} | {r.contestant} | {r.cpu_ms:.1f} "
        f"| {r.cpu_ratio:.3f} ({r.cpu_low:.3f} to {r.cpu_high:.3f}) | {r.wall_ratio:.3f} "
        f"| {r.share_computed:.3f} ({r.share_expected:.3f}) | {r.bound or ''} |\n"
        for r in rows
    )


def main() -> None:
    """Run, print the table and write both files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="+", default=["resnet56", "resnet110"])
    parser.add_argument("--rounds", type=int, default=30, help="interleaved steps that count")
    parser.add_argument("--warm-up", type=int, default=6, help="rounds before them")
    parser.add_argument("--batch", type=int, default=128, help="images per step")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--to", type=Path, default=RESULTS, help="folder of the results")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for name in arguments.networks:
        rows += measure(
            name,
            rounds=arguments.rounds,
            warm_up=arguments.warm_up,
            batch=arguments.batch,
            device=torch.device(arguments.device),
        )
    told = conditions(arguments)
    text = table(rows, told)
    print(text)
    arguments.to.mkdir(parents=True, exist_ok=True)
    stem = arguments.to / f"stochastic_depth_{arguments.device}_batch{arguments.batch}"
    content = {"conditions": told, "rows": [asdict(row) for row in rows]}
    stem.with_suffix(".json").write_text(json.dumps(content, indent=2) + "\n")
    stem.with_suffix(".md").write_text(text)


if __name__ == "__main__":
    main()
