"""The same search by one worker node and by two: trials per minute, and what served no trial.

    python benchmarks/two_nodes.py            # as root; hosts made of network namespaces

Each node has one CPU; on a machine of two cores the second node takes the core that the driver and
Ray run on, so the ratio stays well below 2. Both searches begin with an empty cache, one after the
other, `--rounds` times; what is compared is the median of each.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from cluster.hosts import hosts, start_head, start_worker
from cluster.studies import LONGER, storage, study_folder, submission

from autodepth.records.ledger import Ledger
from autodepth.trial.result import TrialState


@dataclass(frozen=True, kw_only=True)
class Speed:
    """How a study went.

    Args:
        per_minute: complete trials, from the first start to the last end.
        idle: share of the reserved device time that served no trial: starting workers, waiting
            for the driver, waiting for a parent that another trial trains.
    """

    per_minute: float
    idle: float


def main() -> None:
    """Run both searches and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=1)
    chosen = parser.parse_args()
    found: dict[int, list[Speed]] = {1: [], 2: []}
    with hosts(
        ("head", "one", "two", "desk"), Path(tempfile.mkdtemp(prefix="adc", dir="/tmp"))
    ) as made:
        (storage(made)).mkdir()
        start_head(made["head"])
        for name in ("one", "two"):
            start_worker(made[name], made["head"])
        for number in range(chosen.rounds):
            for nodes, speeds in found.items():
                speeds.append(measure(made, f"nodes{nodes}-{number}", nodes, chosen))
    print("| nodes | trials per minute | ratio | reserved time without a trial |")
    print("|---|---|---|---|")
    alone = statistics.median(speed.per_minute for speed in found[1])
    for nodes, speeds in found.items():
        rate = statistics.median(speed.per_minute for speed in speeds)
        idle = statistics.median(speed.idle for speed in speeds)
        print(f"| {nodes} | {rate:.2f} | {rate / alone:.2f} | {idle:.0%} |")


def measure(made: dict, study: str, nodes: int, chosen: argparse.Namespace) -> Speed:
    """Search with so many nodes and return how it went."""
    place = storage(made) / study  # a cache of its own
    command = submission(
        made, study, "--budget", f"{chosen.trials}trials", "--concurrency", str(nodes),
        "--storage", f"file://{place}", "--follow",
        settings=[*LONGER, f"train.epochs={chosen.epochs}"],
    )  # fmt: skip
    status, text = made["desk"].run(*command, timeout=1800)
    if status:
        sys.exit(text)
    with Ledger.open(study_folder(made, study).ledger_path, read_only=True) as ledger:
        done = [r for r in ledger.trials() if r.state is TrialState.COMPLETE and r.ended_at]
        first = min(datetime.fromisoformat(record.started_at) for record in done)
        last = max(datetime.fromisoformat(record.ended_at) for record in done if record.ended_at)
        idle = ledger.spending().get("overhead", 0.0) / ledger.spent()
    return Speed(per_minute=60 * len(done) / (last - first).total_seconds(), idle=idle)


if __name__ == "__main__":
    main()
