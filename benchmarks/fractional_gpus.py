"""What four trials on one GPU finish in an hour of it, beside one trial after the other.

Small networks leave most of a GPU idle. Two studies of as many trials on one GPU: `--per-trial
0.25gpu`, four at a time, and `--per-trial 1gpu`. Every policy has a learning rate of its own, so
each trains a parent of its own and all are about the same work. Rounds alternate, so that whatever
else the machine does falls on both; told is the ratio of complete trials per GPU-hour, by round.

    python benchmarks/fractional_gpus.py --trials 16 --rounds 3        # needs a GPU

Writes benchmarks/results/fractional_gpus.{json,md}.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import torch

from autodepth.service.search.search import search

RESULTS = Path(__file__).parent / "results"
SETTINGS = (
    "train.learning_rate={type: float, min: 0.02, max: 0.1}",
    "search.fine_tune_epochs=4",
    "search.p_L=0.8",
    "confirmation.share=0",
    "sampler.name=random",
)
WAYS = {"four at a time": ("0.25gpu", 4), "one by one": ("1gpu", 1)}


def trials_per_hour(way: str, *, trials: int, network: str, data: str, round_: int) -> float:
    """Return complete trials per GPU-hour of one study."""
    per_trial, concurrency = WAYS[way]
    result = search(
        budget=f"{trials}trials",
        study=f"{per_trial}-{round_}",
        network=network,
        data=data,
        settings=SETTINGS,
        seed=round_,
        per_trial=per_trial,
        concurrency=concurrency,
    )
    return result.complete / (result.spent_device_seconds / 3600)


def main() -> None:
    """Run and write both files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--network", default="resnet20")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--to", type=Path, default=RESULTS, help="folder of the results")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("fractional_gpus needs a GPU, and this machine has none")
    rounds = []
    with tempfile.TemporaryDirectory() as home:
        os.environ["AUTODEPTH_HOME"] = home
        for round_ in range(arguments.rounds):
            ways = list(WAYS) if round_ % 2 else list(reversed(WAYS))
            rounds.append({
                way: trials_per_hour(
                    way, trials=arguments.trials, network=arguments.network, data=arguments.data,
                    round_=round_,
                )
                for way in ways
            })  # fmt: skip
            print(rounds[-1], flush=True)
    ratios = [told["four at a time"] / told["one by one"] for told in rounds]
    conditions = {
        "gpu": torch.cuda.get_device_name(),
        "trials": arguments.trials,
        "network": arguments.network,
        "data": arguments.data,
        "python": platform.python_version(),
        "torch": version("torch"),
        "ray": version("ray"),
    }
    content = {"conditions": conditions, "rounds": rounds, "ratios": ratios}
    (arguments.to / "fractional_gpus.json").write_text(json.dumps(content, indent=2) + "\n")
    lines = [
        "| round | four at a time, trials per GPU-hour | one by one | ratio |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {i} | {told['four at a time']:.0f} | {told['one by one']:.0f} | {ratio:.2f} |"
        for i, (told, ratio) in enumerate(zip(rounds, ratios, strict=True), start=1)
    ]
    lines += ["", f"Median ratio {statistics.median(ratios):.2f}; {conditions}."]
    (arguments.to / "fractional_gpus.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
