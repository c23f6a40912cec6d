r"""Which widths of a trained ResNet-56's branches go together, and what choosing them takes.

For shares of the MACs and several draws of images: sets of branches judged together (`joint`); a
width of each branch by what single ones lose, summed up; and widths judged together
(`joint_widths`); and of either the best of the six closest, each recovered first (`finalists.py`).
What is left has its statistics measured anew, or is fitted to the whole network's features too, or
is fine-tuned for an epoch after that. Test accuracy and KL divergence as of `masks_judged.py`, and
the processor time of choosing in epochs of the whole network on 4,500 images, from steps of
training timed beside it.

    python benchmarks/widths_judged.py --data folder:CIFAR10 --weights resnet56.th \
        --train-images 2500
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
    Chooser,
    Told,
    epoch_seconds,
    judge_trained,
)

from autodepth.networks.pruning.width import prune_width
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.policy.choosing.variants import choose_variants
from autodepth.policy.policy import Policy
from autodepth.policy.training_settings import TrainingSettings
from autodepth.trial.context import TrialContext
from autodepth.trial.phases.branches.finalists import (
    FINALISTS,
    closest_when_recovered,
    quickly_recovered,
)
from autodepth.trial.phases.branches.joint import judge_masks, may_be_removed
from autodepth.trial.phases.branches.joint_widths import JointWidths
from autodepth.trial.phases.fine_tuning import fine_tune
from autodepth.trial.phases.parent import train_parent
from autodepth.trial.phases.pruning import removal_from
from autodepth.trial.phases.recovery import fit_features, recalibrate_batch_norm

SHARES = (0.75, 0.5, 0.33, 0.2)
SETS, SUM, WIDTHS = "joint sets", "widths in sum", "joint widths"
BEST = ", best of six recovered"
HOWS = (SETS, SETS + BEST, SUM, WIDTHS, WIDTHS + BEST)
RECOVERIES = ("recalibrated", "reconstructed", "fine-tuned")
TUNED = TrainingSettings(epochs=0, batch_size=64, learning_rate=0.02)


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
        self.seconds[SETS] = time.process_time() - start
        start = time.process_time()
        self._joint = JointWidths(context, parent)
        self._alone = self._joint.alone()
        self.seconds[SUM] = time.process_time() - start

    def by(self, how: str, share: float) -> Mapping[int, float]:
        """Return widths of the branches that are not whole."""
        removal, start = self._removals[share], time.process_time()
        if how == SUM:
            chosen = choose_variants(*self._joint.problem(removal, self._alone)) or {}
            return {b: variant.width for b, variant in chosen.items() if variant.width < 1}
        count = FINALISTS if how.endswith(BEST) else 1
        if how.startswith(SETS):
            masks = may_be_removed(self._masks, removal, (), count)
            found: list[dict[int, float]] = [dict.fromkeys(mask, 0.0) for mask in masks]
        else:
            found = self._joint.chosen(removal, self._alone, count)
        best: Mapping[int, float] = found[0]
        if count > 1:
            parent, context = self._chooser.parent, self._chooser.context
            quick = quickly_recovered(Policy(recovery="reconstruct", train=TUNED))
            best = closest_when_recovered(
                parent, found, lambda choice: self._left(choice, quick), context
            )
        self.seconds[f"{how}, {share:.0%}"] = time.process_time() - start
        return best

    def tested(self, widths: Mapping[int, float], recovery: str) -> dict[str, float]:
        """Return accuracy, divergence and share of MACs of what is left."""
        chooser, parent = self._chooser, self._chooser.parent
        fits = "recalibrate" if recovery == "recalibrated" else "reconstruct"
        policy = Policy(recovery=fits, fine_tune_epochs=1, train=TUNED)
        network = self._left(widths, policy)
        if recovery == "fine-tuned":
            fine_tune(
                network, policy, chooser.context, parent=parent, epochs=1, purpose="fine-tuning",
                masks=None, on_epoch=lambda _: None,
            )  # fmt: skip
        share = network.total_macs / parent.total_macs
        return {"macs": share, **chooser.tested_network(network)}

    def _left(self, widths: Mapping[int, float], policy: Policy) -> ResidualNetwork:
        """Return the network that a choice leaves, recovered as a policy says."""
        context, parent = self._chooser.context, self._chooser.parent
        smaller = parent.without([branch for branch, width in widths.items() if not width])
        network = prune_width(smaller, {b: 1 - width for b, width in widths.items() if width})
        batches = context.training_batches(BATCH, "recalibration")
        recalibrate_batch_norm(network, batches, policy.recalibration_batches)
        if policy.recovery == "reconstruct":
            fit_features(parent, network, policy, context)
        return network


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


def _spread(values: list[float], digits: int) -> str:
    spread = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{spread}"


def table(rows: list[dict[str, Any]], told: Told) -> str:
    """Return the rows as Markdown."""
    tested, costs = [r for r in rows if "share" in r], [r for r in rows if "epochs" in r]
    seeds = sorted({row["seed"] for row in tested})
    lines = [
        "ResNet-56 with public CIFAR-10 weights on CIFAR-10 JPEG; test accuracy in percent and KL "
        f"divergence from the whole network in nats on {told['test_images']:,} test images, mean "
        f"(and sd) of {len(seeds)} draws of {JUDGED} judged training images; statistics measured "
        "anew, features fitted to those of the whole network, then fine-tuned for an epoch of "
        f"{told['train_images']:,} images in batches of {TUNED.batch_size}, one-cycle to "
        f"{TUNED.learning_rate:g}, on labels alone; one CPU thread, torch {told['torch']}, commit "
        f"{told['commit']}.",
        "",
        "| share of MACs at most | chosen by | MACs left | recalibrated | KL | reconstructed | KL "
        "| fine-tuned |",
        "|---" * 8 + "|",
    ]
    for share in SHARES:
        for how in HOWS:
            cells = []
            for recovery in RECOVERIES:
                found = [
                    r for r in tested
                    if (r["share"], r["how"], r["recovery"]) == (share, how, recovery)
                ]  # fmt: skip
                cells.append(_spread([100 * r["accuracy"] for r in found], 1))
                if recovery != "fine-tuned":
                    cells.append(_spread([r["divergence"] for r in found], 2))
                macs = statistics.mean(r["macs"] for r in found)
            lines.append(f"| {share:.0%} | {how} | {macs:.0%} | " + " | ".join(cells) + " |")
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
