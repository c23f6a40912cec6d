"""What changes in how a search chooses have brought, at equal work.

Known networks: a policy that would only fine-tune a network less than was done already is passed
over, and known parents are taken by the share of their policies that reached the front. Gaps first:
until the sampler learns, policies on known parents fall into gaps of the front, the one that
promises most for its work; scores are told while a trial runs. On average: a policy promises the
hypervolume it adds on average, so that better networks of a member's cost are looked for too.

Runs of `search_vs_plain_tune.py --who autodepth` from before and after each lie beside each other.
Some ran on a machine half as fast, so time is told in units of what the run's own unpruned control
took to train; it reserves one of two CPUs, as every trial does.

    python benchmarks/search_changes.py

Writes benchmarks/results/search_changes/README.md.
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean

from search_vs_curves import at
from search_vs_report import RESULTS, Run, run_of

KEPT = RESULTS.parent / "search_changes"
FOLDERS = {
    "before": KEPT / "before",
    "known networks": KEPT / "known_networks",
    "gaps first": KEPT / "gaps_first",
    "on average": RESULTS,
}
SEEDS = (0, 1, 2)
MOMENTS = (2.5, 3.0, 4.0, 5.0, 6.0)


def runs(folder: Path) -> list[Run]:
    """Return the runs of a folder, in the order of their seeds."""
    paths = [folder / f"cifar10-jpeg_autodepth_seed{seed}.json" for seed in SEEDS]
    return [run_of(json.loads(path.read_text())) for path in paths]


def control_seconds(run: Run) -> float:
    """Return how long the unpruned control took to train, in device seconds."""
    (control,) = [trial for trial in run.told["trials"] if trial["kind"] == "unpruned"]
    return float(control["stage_s"]["parent"])


def row(name: str, found: list[Run]) -> str:
    """Return one line of the table."""
    volumes = [[at(run.steps, m * control_seconds(run)) for run in found] for m in MOMENTS]
    shown = [f"{fmean(each):.4f} ({', '.join(f'{v:.3f}' for v in each)})" for each in volumes]
    seconds = ", ".join(f"{control_seconds(run):.0f}" for run in found)
    return f"| {name} | {seconds} | {' | '.join(shown)} |"


def main() -> None:
    """Write the table."""
    heads = " | ".join(f"after {moment:g}" for moment in MOMENTS)
    text = "\n".join(
        [
            "# search_changes",
            "",
            "Written by `python benchmarks/search_changes.py`, which says what is compared.",
            "CIFAR-10 JPEG, ResNet-20, 5,000 training images, two CPUs. Hypervolume on the test",
            "split of fronts chosen on validation, mean and each of seeds 0, 1, 2, after so many",
            "times what the control took to train.",
            "",
            f"| runs | control, s | {heads} |",
            f"|---|---|{'---|' * len(MOMENTS)}",
            *(row(name, runs(folder)) for name, folder in FOLDERS.items()),
            "",
        ]
    )
    (KEPT / "README.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
