"""What a search bought: an exported network on test images, beside the same one from scratch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import nn

from autodepth.errors import InputError
from autodepth.export.bundles.architecture import Architecture
from autodepth.export.bundles.bundle import read_architecture, read_record
from autodepth.export.bundles.origin import study_of
from autodepth.export.testing.evaluation import FromScratch, TestResult, evaluate_bundle
from autodepth.export.testing.opening import Only
from autodepth.lived_time import lived_seconds
from autodepth.long_work import each
from autodepth.networks.catalogue import build_network
from autodepth.networks.pruning.restoring import initialised_with_shapes
from autodepth.networks.running.layout import for_convolutions
from autodepth.policy.policy import Policy
from autodepth.records.driver_lock.lock import DriverLock
from autodepth.records.ledger import Ledger
from autodepth.records.studies import StudyFolder
from autodepth.service.search.confirm import limits_with
from autodepth.service.search.one_search import only_search
from autodepth.service.search.replan import plan_again
from autodepth.service.search.requests import StudyRequest
from autodepth.study.confirm.baselines import epochs_from_scratch
from autodepth.study.plan.plan import StudyPlan
from autodepth.trial.context import TrialContext
from autodepth.trial.phases.fine_tuning import fine_tune
from autodepth.trial.phases.parent import begun
from autodepth.trial.result import TrialResult
from autodepth.units import Budget

Chain = list[tuple[Policy, TrialResult]]


@only_search()
def evaluate_beside_scratch(
    folder: Path,
    seeds: int,
    data: str | None = None,
    *,
    own_code: bool = False,
    only: Only | None = None,
    renamed: Mapping[str, str] | None = None,
) -> TestResult:
    """Measure an exported network on test images, beside the same one trained from scratch.

    The same branches are gone and every layer has the same width. It is trained by the rate and
    the batch size of its policy, one cycle, without a teacher or random depth, for what all
    policies of its chain computed; see `epochs_from_scratch`. The device time is charged to the
    study. A network that is from scratch itself is its own control, and nothing is trained.

    Args:
        folder: a bundle.
        seeds: how often to train it, each time with other initial weights and batches.
        data: as of `evaluate_bundle`.
        own_code: likewise.
        only: likewise.
        renamed: likewise.

    Raises:
        InputError: `seeds` is below 1, or the study is not here or starts from given weights.
        BundleError, DataError, StudyError: as of `evaluate_bundle` and `plan_again`.
    """
    if seeds < 1:
        raise InputError(f"seeds from scratch must be at least 1, but got {seeds}")
    architecture, record = read_architecture(folder, own_code=own_code), read_record(folder)
    study = study_of(folder, record)
    if study is None:
        raise InputError(
            "a network is trained from scratch as its study trained it, but the study that "
            f"{folder} comes from is not here"
        )
    with Ledger.open(study.ledger_path, read_only=True) as ledger:
        chain = _chain(ledger, record["trial"])
    beside = None
    if [policy.origin for policy, _ in chain] != ["scratch"]:
        plan = plan_again(
            study, Budget(), StudyRequest(study=study.name, own_code=own_code), cluster=None
        )
        if plan.context.weights is not None:
            raise InputError(
                "what a study trains from scratch is compared with networks from scratch, but "
                f"{study.name} starts from given weights"
            )
        beside = _trained(plan, study, architecture, chain, seeds)
    return evaluate_bundle(
        folder, data, own_code=own_code, only=only, renamed=renamed, beside=beside
    )


def _chain(ledger: Ledger, number: int) -> Chain:
    """Return the policies that a trial's network went through, with their results."""
    record = ledger.trial(number)
    assert record.result is not None  # `study_of` compared its weights
    base = record.point.get("base")
    before = [] if base is None else _chain(ledger, base)
    return [*before, (Policy.from_dict(dict(record.carried_out)), record.result)]


def _trained(
    plan: StudyPlan, study: StudyFolder, architecture: Architecture, chain: Chain, seeds: int
) -> tuple[FromScratch, list[nn.Module]]:
    """Train the network once per seed, and charge the study for it."""
    epochs, share = epochs_from_scratch(chain, plan.unpruned["macs"])
    train = replace(chain[-1][0].train, fine_tune_learning_rate=None)
    policy, devices = Policy(train=train), plan.resources.devices / plan.resources.count
    plan.context.limit_threads()
    with DriverLock(study, wait=True), Ledger.open(study.ledger_path) as ledger:
        spent, wall, outcome = ledger.spent(), ledger.wall_spent(), ledger.study.outcome
        ledger.reserve(devices)
        start = lived_seconds()
        modules = [
            _train_once(replace(plan.context, replicate=seed), architecture, policy, epochs)
            for seed in each(range(1, seeds + 1), "training from scratch", seeds)
        ]
        seconds = devices * (lived_seconds() - start)
        ledger.charge_confirmation(seconds)
        ledger.extend({**ledger.study.plan, "limits": limits_with(ledger, spent, wall)})
        ledger.end_study(outcome or "interrupted")
    return FromScratch(epochs=epochs, share=share, device_seconds=seconds), modules


def _train_once(
    context: TrialContext, architecture: Architecture, policy: Policy, epochs: int
) -> nn.Module:
    context = context.started_from("scratch")
    whole = begun(build_network(architecture.network, seed=context.seed_for("init")), context)
    network = initialised_with_shapes(
        whole.without(architecture.removed), architecture.widths, context.generator("widths")
    )
    network.module.to(context.device)
    for_convolutions(network.module)
    fine_tune(
        network,
        policy,
        context,
        parent=network,
        epochs=epochs,
        purpose="training from scratch",
        on_epoch=lambda _: None,
    )
    return network.module.cpu()
