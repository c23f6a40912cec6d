"""The life of a trial: one policy in, one result out. Read this file first.

train the parent -> sensitivity of each branch -> prune -> fine-tune -> measure

Parents, sensitivities and fine-tuned networks of earlier trials are found again, and training
that was broken off goes on (`cached_phases.py`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from autodepth.atomic import sha256_of
from autodepth.errors import InfeasibleError
from autodepth.lived_time import lived_seconds
from autodepth.networks.gates.training_head import without_training_head
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.weights.own_files import save_weights
from autodepth.policy.policy import Policy
from autodepth.space.objectives import LATENCY
from autodepth.tasks.task import Task
from autodepth.trial.cached_phases import CachedPhases
from autodepth.trial.context import TrialContext
from autodepth.trial.device.latency import latency_beside
from autodepth.trial.device.latency_table import covers
from autodepth.trial.phases.branches.finalists import Choice, quickly_recovered
from autodepth.trial.phases.measuring.measurement import costs_elsewhere, operating_point, told_by
from autodepth.trial.phases.measuring.quantising import quantised_point
from autodepth.trial.phases.parent import Parent, untrained_network
from autodepth.trial.phases.pruning import Means, Pruned, prune, prune_to
from autodepth.trial.phases.recovery import fit_features, recalibrate_batch_norm
from autodepth.trial.result import EpochReport, Phase, TrialResult
from autodepth.trial.training.config import Epoch
from autodepth.trial.training.evaluation import Evaluation, evaluate

WEIGHTS_FILE = "model.safetensors"
OnEpoch = Callable[[EpochReport], None]


def run_trial(
    policy: Policy, context: TrialContext, *, folder: Path, on_epoch: OnEpoch
) -> TrialResult:
    """Carry out one policy.

    Args:
        policy: what to do.
        context: network, data, device and seed.
        folder: an existing folder that takes the weights of the final network.
        on_epoch: told of every epoch while the trial runs; what it raises ends the trial.

    Raises:
        DivergenceError: training left the finite numbers.
        InfeasibleError: the pruned network breaks a bound on its costs; it is not fine-tuned.
        InputError: the policy does not fit the network.
    """
    policy = policy.carried_out
    context = context.started_from(policy.chain[0].origin)
    context.limit_threads()  # sums of floats depend on how many add them up
    tables = context.latency_tables
    clock, phases = _PhaseClock(), CachedPhases(policy, context)
    report = _Reporter(on_epoch, context.task)
    with clock("parent"):
        parent = _parent(policy, context, phases, report)
        untrained = policy.origin == "scratch"
        parent_accuracy = 0.0 if untrained else _measured(parent.network, context).leading
    with clock("sensitivity"):
        sensitivities, variants = phases.scores(parent), phases.variants(parent)
        masks = phases.masks_of(parent)
        report.scored(sensitivities)
    with clock("prune"):
        pruned = _pruned(parent, policy, context, sensitivities, phases, report)
        network = pruned.network
        _check_bounds(pruned, parent, policy, context)
        pruned_accuracy = 0.0 if untrained else _measured(network, context).leading
    with clock("fine_tune"):
        phases.recover(pruned, parent, report.of("fine_tune", network.total_macs))
    with clock("measure"):
        network = without_training_head(network)
        context.limit_threads()  # once more: a task's own code may have let in others
        size = save_weights(network.module, folder / WEIGHTS_FILE)
        if policy.quantise == "int8":
            point = quantised_point(network, parent.network, context)
        else:
            point = operating_point(
                network,
                _measured(network, context),
                size_bytes=size,
                latency=latency_beside(network, parent.network, tables.get(LATENCY)),
                elsewhere=costs_elsewhere(network, parent.network, context),
                task=context.task,
            )
    return TrialResult(
        point=point,
        removed=tuple(sorted(pruned.order)),
        sensitivities=sensitivities,
        survival=parent.survival,
        parent_accuracy=parent_accuracy,
        pruned_accuracy=pruned_accuracy,
        phase_seconds=clock.seconds,
        weights_file=WEIGHTS_FILE,
        weights_sha256=sha256_of(folder / WEIGHTS_FILE),
        reached=pruned.reached,
        variants=variants,
        widths=pruned.widths,
        masks=masks,
    )


def _measured(network: ResidualNetwork, context: TrialContext) -> Evaluation:
    return evaluate(network.module, context.validation_batches(), context.task)


def _parent(
    policy: Policy, context: TrialContext, phases: CachedPhases, report: _Reporter
) -> Parent:
    """Return the network that branches are removed from: a parent, or that of another policy."""
    if policy.base is None:
        return phases.parent(report.of("parent"))
    whole = untrained_network(context)
    whole.module.cpu()
    base = _final_network(policy.base.carried_out, context, report.of_base())
    return phases.goes_on_from(base, whole)


def _final_network(policy: Policy, context: TrialContext, report: _Reporter) -> Parent:
    """Carry out a policy that another goes on from; what was done before is found again."""
    phases = CachedPhases(policy, context)
    parent = _parent(policy, context, phases, report)
    pruned = _pruned(parent, policy, context, phases.scores(parent), phases, report)
    phases.recover(pruned, parent, report.of("fine_tune", pruned.network.total_macs))
    return Parent(network=pruned.network, survival=parent.survival)


def _pruned(
    parent: Parent,
    policy: Policy,
    context: TrialContext,
    sensitivities: dict[int, float],
    phases: CachedPhases,
    report: _Reporter,
) -> Pruned:
    rounds = itertools.count(1)

    def between(network: ResidualNetwork) -> None:
        purpose = f"fine-tuning between {next(rounds)}"
        phases.recover_between(
            network, parent, report.of("prune", network.total_macs), purpose=purpose
        )

    def means(policy: Policy) -> Means:
        def recalibrate(network: ResidualNetwork) -> None:
            count = 0 if policy.recovery == "none" else policy.recalibration_batches
            batches = context.training_batches(policy.train.batch_size, "recalibration")
            recalibrate_batch_norm(network, batches, count)

        return Means(
            score=phases.scores_again,
            choose=lambda: phases.choice(parent, quickly_cut),
            recalibrate=recalibrate,
            fine_tune_between=between,
            reconstruct=lambda network: fit_features(parent.network, network, policy, context),
        )

    def quickly_cut(choice: Choice) -> ResidualNetwork:
        fewer = quickly_recovered(policy)
        return prune_to(parent.network, fewer, choice, means(fewer)).network

    return prune(parent.network, policy, sensitivities, means(policy))


def _check_bounds(pruned: Pruned, parent: Parent, policy: Policy, context: TrialContext) -> None:
    network = pruned.network
    for constraint in context.constraints:
        table = context.latency_tables.get(constraint.metric)
        if table is not None:
            if not covers(policy.to_dict()):
                continue
            widths = {**dict(policy.widths), **pruned.widths}
            predicted = table.predict(network.removed, policy.filter_sparsity, widths)
            if table.breaks(constraint, predicted):
                raise InfeasibleError(f"breaks {constraint}: {predicted:.3g} ms predicted")
        if constraint.metric not in {"macs", "parameters"}:
            continue
        name = f"total_{constraint.metric}"
        value, whole = float(getattr(network, name)), float(getattr(parent.network, name))
        if constraint.excess(value, whole) > 0:
            raise InfeasibleError(f"breaks {constraint}: {value:,.0f} {constraint.metric}")


class _Reporter:
    """Tells of epochs, counted through from the trial's first."""

    def __init__(
        self,
        on_epoch: OnEpoch,
        task: Task,
        *,
        steps: Iterator[int] | None = None,
        of_base: bool = False,
    ) -> None:
        self._on_epoch, self._steps = on_epoch, steps or itertools.count(1)
        self._task = task
        self._untold: Mapping[int, float] = {}
        self._of_base = of_base

    def of_base(self) -> _Reporter:
        """Return what tells of the policy that this one goes on from, as of a parent."""
        return _Reporter(self._on_epoch, self._task, steps=self._steps, of_base=True)

    def scored(self, sensitivities: Mapping[int, float]) -> None:
        """Tell what the parent's branches are worth with the next epoch."""
        self._untold = sensitivities

    def of(self, phase: Phase, macs: int = 0) -> Callable[[Epoch], None]:
        """Return what tells of epochs of one phase, in which a network of so many MACs trains."""
        if self._of_base:
            phase, macs = "parent", 0

        def tell(epoch: Epoch) -> None:
            told, self._untold = self._untold, {}
            report = _report(epoch, phase, next(self._steps), macs, told)
            self._on_epoch(replace(report, **_led_by(epoch.evaluation, self._task)))

        return tell


class _PhaseClock:
    """Time of each phase in seconds, in the order they were entered."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, phase: Phase) -> Iterator[None]:
        start = lived_seconds()
        yield
        self.seconds[phase] = lived_seconds() - start


def _led_by(evaluation: Evaluation, task: Task) -> dict[str, Any]:
    told = told_by(evaluation, task)
    return {name: told[name] for name in ("metrics", "unit") if told}


def _report(
    epoch: Epoch, phase: Phase, step: int, macs: int, sensitivities: Mapping[int, float]
) -> EpochReport:
    return EpochReport(
        phase=phase,
        step=step,
        train_loss=epoch.train_loss,
        train_accuracy=epoch.train_accuracy,
        validation_accuracy=epoch.evaluation.accuracy,
        branches_expected=epoch.branches_expected,
        branches_computed=epoch.branches_computed,
        gradient_norms=epoch.gradient_norms,
        images_per_second=epoch.images_per_second,
        macs=macs,
        replayed=epoch.replayed,
        seconds=epoch.seconds,
        sensitivities=sensitivities,
    )
