"""Which widths of a trained ResNet-56's branches go together, and what choosing them takes.

For shares of the MACs and several draws of images: sets of branches judged together (`joint`); a
width of each branch by what single ones lose, summed up; and widths judged together
(`joint_widths`). What is left has its statistics measured anew, or is fitted to the whole network's
features too. Test accuracy and KL divergence as of `masks_judged.py`, and the processor time of
choosing in epochs of the whole network on 4,500 images, from steps of training timed beside it.

    python benchmarks/widths_judged.py --data folder:CIFAR10 --weights resnet56.th
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kept_rows import KeptRows
from masks_judged import (
    BATCH,
    EPOCH_IMAGES,
    JUDGED,
    RECALIBRATED,
    Chooser,
    Told,
    epoch_seconds,
    judge_trained,
)

from autodepth.networks.pruning.width import prune_width
from autodepth.policy.choosing.mask_search import closest
from autodepth.policy.choosing.variants import choose_variants
from autodepth.policy.policy import Policy
from autodepth.policy.training_settings import TrainingSettings
from autodepth.trial.context import TrialContext
from autodepth.trial.phases.branches.joint import judge_masks
from autodepth.trial.phases.branches.joint_widths import JointWidths
from autodepth.trial.phases.parent import train_parent
from autodepth.trial.phases.pruning import removal_from
from autodepth.trial.phases.recovery import fit_features, recalibrate_batch_norm

SHARES = (0.75, 0.5, 0.33)
HOWS = ("joint sets", "widths in sum", "joint widths")
RECOVERIES = ("recalibrated", "reconstructed")
WAYS = [(how, recovery) for how in HOWS for recovery in RECOVERIES]


class Widths:
    """Chooses widths of one network on one draw of images."""

    def __init__(self, chooser: Chooser) -> None:
        self._chooser, self.seconds = chooser, dict[str, float]()
        context, parent = chooser.context, chooser.parent
        self._removals = {
            share: removal_from(parent, Policy(removal="joint_widths", macs_target=share))
            for share in SHARES
        }
        start = time.process_time()
        self._masks = judge_masks(context, parent, self._removals[SHARES[0]])
        self.seconds["joint sets"] = time.process_time() - start
        start = time.process_time()
        self._joint = JointWidths(context, parent)
        self._alone = self._joint.alone()
        self.seconds["widths in sum"] = time.process_time() - start

    def by(self, how: str, share: float) -> Mapping[int, float]:
        """Return widths of the branches that are not whole."""
        removal = self._removals[share]
        if how == "joint sets":
            allowed = {mask: far for mask, far in self._masks.items() if removal.allows(mask)}
            return dict.fromkeys(closest(allowed, removal.met), 0.0)
        if how == "widths in sum":
            chosen = choose_variants(*self._joint.problem(removal, self._alone)) or {}
            return {b: variant.width for b, variant in chosen.items() if variant.width < 1}
        start = time.process_time()
        found = self._joint.chosen(removal, self._alone)[0]
        self.seconds[f"joint widths, {share:.0%}"] = time.process_time() - start
        return found

    def tested(self, widths: Mapping[int, float], recovery: str) -> dict[str, float]:
        """Return accuracy, divergence and share of MACs of what is left."""
        chooser, parent = self._chooser, self._chooser.parent
        smaller = parent.without([branch for branch, width in widths.items() if not width])
        network = prune_width(smaller, {b: 1 - width for b, width in widths.items() if width})
        batches = chooser.context.training_batches(BATCH, "recalibration")
        recalibrate_batch_norm(network, batches, RECALIBRATED)
        if recovery == "reconstructed":
            fit_features(parent, network, chooser.policy, chooser.context)
        share = network.total_macs / parent.total_macs
        return {"macs": share, **chooser.tested_network(network)}


def measure(context: TrialContext, told: Told, kept: KeptRows) -> None:
    """Keep one row per draw of images, share, way to choose and recovery, and one of costs."""
    for seed in told["seeds"]:
        if kept.find(seed=seed, how="costs"):
            continue
        setting = replace(context, seed=seed)
        parent = train_parent(Policy(train=TrainingSettings(epochs=0)), setting, print).network
        widths = Widths(Chooser(setting, parent, told["test_images"]))
        epoch = epoch_seconds(setting, parent)
        for share in SHARES:
            for how in HOWS:
                chosen = widths.by(how, share)
                for recovery in RECOVERIES:
                    found = widths.tested(chosen, recovery)
                    row = {"seed": seed, "share": share, "how": how, "recovery": recovery, **found}
                    kept.add({**row, "widths": {str(b): w for b, w in chosen.items()}})
        costs = {name: seconds / epoch for name, seconds in widths.seconds.items()}
        kept.add({"seed": seed, "how": "costs", "epoch_seconds": epoch, "epochs": costs})


def table(rows: list[dict[str, Any]], told: Told) -> str:
    """Return the rows as Markdown."""
    tested, costs = [r for r in rows if "share" in r], [r for r in rows if "epochs" in r]
    lines = [
        "ResNet-56 with public CIFAR-10 weights on CIFAR-10 JPEG, no fine-tuning; test accuracy in "
        f"percent and KL divergence from the whole network in nats on {told['test_images']:,} test "
        f"images, {len(told['seeds'])} draws of {JUDGED} judged training images; one CPU thread, "
        f"torch {told['torch']}, commit {told['commit']}.",
        "",
        f"| share of MACs at most | {' | '.join(f'{h}, {r}' for h, r in WAYS)} |",
        "|---" * (1 + len(WAYS)) + "|",
    ]
    for share in SHARES:
        cells = []
        for way in WAYS:
            found = [r for r in tested if (r["share"], r["how"], r["recovery"]) == (share, *way)]
            names = ("accuracy", "divergence", "macs")
            accuracy, far, macs = (statistics.mean(r[name] for r in found) for name in names)
            cells.append(f"{accuracy:.1%} (KL {far:.2f}, {macs:.0%})")
        lines.append(f"| {share:.0%} | " + " | ".join(cells) + " |")
    took = ", ".join(
        f"{name} {statistics.mean(cost['epochs'][name] for cost in costs):.2f}"
        for name in costs[0]["epochs"]
    )
    told_costs = (
        f"Choosing takes, in epochs of the whole network on {EPOCH_IMAGES:,} images: {took}."
    )
    return "\n".join([*lines, "", told_costs, ""])


def main() -> None:
    """Judge widths of branches."""
    keys = ("seed", "share", "how", "recovery")
    judge_trained(__doc__, measure, table, to="widths_judged.md", seeds=(0, 1, 2), keys=keys)


if __name__ == "__main__":
    main()
