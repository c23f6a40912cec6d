"""A study of thousands of trials: what the driver itself takes, with nothing trained.

The real driver, searcher (TPE), ledger and front; a trial is over at once, with a made-up result
that depends on its policy. Told are the milliseconds of ask + record + tell per trial, the
driver's memory, and the time of the front's query, as the study grows. Times are CPU time of the
process: what the disk takes to confirm commits is in driver_scaling.md.

    python benchmarks/scale.py --trials 10000        # about 10 minutes
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import psutil

from autodepth.policy.policy import Policy
from autodepth.records.ledger import Ledger
from autodepth.records.studies import StudyFolder
from autodepth.service.search.requests import SearchRequest
from autodepth.service.search.search import plan_search
from autodepth.space.file.shipped import default_space
from autodepth.study.driver.build import make_driver
from autodepth.study.hooks import TrialReport
from autodepth.study.plan.plan import StudyPlan
from autodepth.study.run import start_ledger
from autodepth.trial.carry_out import TrialOutcome, TrialTask
from autodepth.trial.result import EpochReport, OperatingPoint, TrialResult, TrialState

RESULTS = Path(__file__).parent / "results"
WINDOW = 500


@dataclass(frozen=True, kw_only=True)
class Row:
    """The driver at one size of the study; CPU time in milliseconds, memory in MB."""

    trials: int
    median_ms: float
    p95_ms: float
    front_ms: float
    front: int
    memory_mb: float
    ledger_mb: float


def made_up(policy: Policy, plan: StudyPlan) -> TrialResult:
    """Return a result as a trial could bring it: fewer filters cost accuracy, tuning helps."""
    thresholds = policy.sensitivity_threshold or (0.0,)
    share = (1 - policy.filter_sparsity) * (1 - 0.25 * statistics.mean(thresholds))
    accuracy = 0.98 - 0.4 * math.exp(-6 * share) - 0.05 * math.exp(-policy.fine_tune_epochs)
    accuracy -= 0.1 * (policy.survival_prob_last - 0.85) ** 2
    accuracy = round(accuracy * 360) / 360  # of 360 validation images
    macs = round(plan.network.total_macs * max(share, 0.03))
    branches = {branch.index: 0.1 * branch.index for branch in plan.network.branches}
    return TrialResult(
        point=OperatingPoint(
            validation_accuracy=accuracy, validation_loss=1 - accuracy, macs=macs,
            effective_macs=macs, parameters=macs // 50, size_bytes=macs // 12, latency_ms=1.0,
        ),
        removed=(2, 3), sensitivities=branches, survival=(1.0,) * len(branches),
        parent_accuracy=0.98, pruned_accuracy=0.5,
        phase_seconds={"parent": 5.0, "fine_tune": 1.0}, weights_file="model.safetensors",
    )  # fmt: skip


def epoch(step: int, accuracy: float) -> EpochReport:
    """Return a report of a fine-tuning epoch."""
    return EpochReport(
        phase="fine_tune", step=step, train_loss=1.0, train_accuracy=accuracy,
        validation_accuracy=accuracy, branches_expected=9.0, branches_computed=9.0,
        gradient_norms=dict.fromkeys(range(1, 10), 0.5), images_per_second=900.0,
        macs=1_000_000, seconds=0.5,
    )  # fmt: skip


def measure(trials: int, home: Path, name: str = "scale") -> list[Row]:
    """Run a made-up study in a folder of that name and return a row per thousand trials."""
    settings = ["rungs.stages=[]", "confirmation.share=0"]
    plan = plan_search(
        SearchRequest(space=default_space(), budget=f"{trials}trials", settings=settings)
    )
    folder = StudyFolder(home / name)
    folder.path.mkdir(parents=True)
    rows, times = [], list[float]()
    process = psutil.Process()
    with start_ledger(plan, folder) as ledger:
        driver = make_driver(plan, folder, ledger, side_by_side=False)
        driver.meter.start()
        for count in range(1, trials + 1):
            start = time.process_time()
            task = driver.next()
            assert isinstance(task, TrialTask), "the space is exhausted"
            asked = time.process_time() - start
            result = made_up(task.policy, plan)
            start = time.process_time()
            told = TrialReport(epochs=[epoch(1, result.point.validation_accuracy)])
            driver.on_report(task.number, told)
            driver.on_end(task.number, TrialOutcome(state=TrialState.COMPLETE, result=result))
            times.append(1000 * (asked + time.process_time() - start))
            if count % 1000 == 0 or count == trials:
                rows.append(_row(count, times[-WINDOW:], ledger, folder, process))
                print(rows[-1], flush=True)
    return rows


def _row(
    count: int, times: list[float], ledger: Ledger, folder: StudyFolder, process: psutil.Process
) -> Row:
    looks = []
    for _ in range(5):
        start = time.process_time()
        front = ledger.front()
        looks.append(1000 * (time.process_time() - start))
    return Row(
        trials=count,
        median_ms=statistics.median(times),
        p95_ms=statistics.quantiles(times, n=20)[-1],
        front_ms=statistics.median(looks),
        front=len(front),
        memory_mb=process.memory_info().rss / 1e6,
        ledger_mb=folder.ledger_path.stat().st_size / 1e6,
    )


def main() -> None:
    """Run and write both files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--to", type=Path, default=RESULTS, help="folder of the results")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        rows = measure(arguments.trials, Path(home))
    told = {
        "python": platform.python_version(),
        "optuna": version("optuna"),
        "times": "CPU time of the process",
        "window": f"medians and percentiles over the last {WINDOW} trials",
    }
    content = {"conditions": told, "rows": [asdict(row) for row in rows]}
    (arguments.to / "scale.json").write_text(json.dumps(content, indent=2) + "\n")
    head = (
        "| trials | ms per trial, median | 95th percentile | front query, ms | front | memory, MB "
    )
    lines = [head + "| ledger, MB |", "|---|---|---|---|---|---|---|"]
    lines += [
        f"| {r.trials:,} | {r.median_ms:.1f} | {r.p95_ms:.1f} | {r.front_ms:.1f} | {r.front} "
        f"| {r.memory_mb:.0f} | {r.ledger_mb:.1f} |"
        for r in rows
    ]
    (arguments.to / "scale.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
