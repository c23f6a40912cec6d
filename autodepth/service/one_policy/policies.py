"""One policy without a search: a trial, a pruning, the sensitivities it would act on."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from autodepth.errors import InputError, SpaceFileError
from autodepth.export.exporting import export_network
from autodepth.export.writing import FORMATS, Format, Tell, refuse_existing
from autodepth.long_work import each
from autodepth.networks.pruning.magnitude import weights_left_alone
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.policy.policy import Policy
from autodepth.policy.removal import unit_of
from autodepth.policy.settings import Criterion
from autodepth.service.search.rehearsal import rehearse
from autodepth.space.file.space_file import read_document
from autodepth.study.plan.inputs.fitted_space import left_alone, odd_channels
from autodepth.study.plan.plan import StudyPlan
from autodepth.trial.phases.parent import score_branches, train_parent
from autodepth.trial.result import TrialResult
from autodepth.trial.run_trial import OnEpoch, run_trial


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """What each removable branch of a network is worth by one criterion.

    Args:
        raw: by branch number, in the criterion's unit.
        scaled: the same in means of the network's branches, which thresholds speak in.
    """

    raw: Mapping[int, float]
    scaled: Mapping[int, float]


def read_policy(path: Path) -> Policy:
    """Read a policy file, such as the policy.yaml of an exported network.

    Raises:
        InputError: the file is missing, no YAML, or holds no policy.
    """
    document = read_document(path)
    if document.mistakes:
        told = (f"{path}:{line}:{col}: {m.message}" for (line, col), m in document.mistakes)
        raise SpaceFileError(told)
    try:
        return Policy.from_dict(document.content)
    except (InputError, TypeError) as error:
        raise InputError(f"{path}: {error}") from error


def without_fine_tuning(share: str) -> Policy:
    """Return the policy that leaves a share of the MACs, with no label and no gradient.

    Args:
        share: of the MACs to leave, such as `60%` or `0.6`.

    Raises:
        InputError: it is no share.
    """
    text = share.strip()
    try:
        number = float(text.removesuffix("%")) * (0.01 if text.endswith("%") else 1)
    except ValueError:
        number = 0.0
    if not 0 < number <= 1:
        raise InputError(f"macs must be a share above 0 %, at most 100 %, but got {share!r}")
    return Policy(
        macs_target=number, removal="joint", recovery="reconstruct", recalibration_batches=16
    )


def carry_out_policy(
    plan: StudyPlan,
    policy: Policy,
    *,
    to: Path | None,
    formats: Sequence[Format] = FORMATS,
    on_epoch: OnEpoch,
    tell: Tell = lambda _: None,
) -> TrialResult:
    """Carry out one policy, and export the network it ends with.

    Args:
        plan: network, data, device and seed; its budget and its searched dimensions play no part.
        policy: what to do.
        to: folder to write; must not exist. None keeps nothing.
        formats: what to export besides weights and architecture. It is tried before anything is
            trained; should one fail later all the same, the others are there.
        on_epoch: told of every epoch.
        tell: told of widths that are left alone, and of every file that was verified.

    Raises:
        InputError: the policy does not fit the network, or `to` exists.
        DivergenceError: training left the finite numbers.
        BundleError: a format failed after training; what else there is lies in `to`.
    """
    if to is not None:
        refuse_existing(to)
    notes = left_alone(plan.network) if policy.narrows_branches else []
    if policy.weight_sparsity and (note := weights_left_alone(plan.network)):
        notes.append(note)
    if policy.narrows_branches or policy.stream_width < 1 or policy.chooses_widths:
        notes += odd_channels(plan.network, plan.context.places.values())
    for note in notes:
        if note not in plan.notes:
            tell(f"note: {note}")
    rehearse(
        plan,
        branches=policy.branches or (),
        narrowed=policy if policy.narrows_branches else None,
        formats=() if to is None else formats,
    )
    folder = Path(tempfile.mkdtemp(prefix="autodepth-"))
    try:
        plan.context.limit_threads()
        result = run_trial(policy, plan.context, folder=folder, on_epoch=on_epoch)
        if to is not None and result.weights_file is not None:
            export_network(
                to,
                weights=folder / result.weights_file,
                plan=plan.to_dict(),
                result=result,
                policy=policy.to_dict(),
                record={"seed": plan.context.seed},
                images=None if (images := plan.context.data.record) is None else images.to_bytes(),
                own_code=plan.context.spec.own_code,
                formats=formats,
                whole=False,
                tell=tell,
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return result


def measure_sensitivities(
    plan: StudyPlan, criteria: Sequence[Criterion], images: int | None
) -> tuple[ResidualNetwork, dict[Criterion, Sensitivity]]:
    """Score every removable branch of a network with given weights, by several criteria.

    Args:
        plan: network, weights, data, device and seed.
        criteria: names, see `autodepth.trial.phases.branches.criteria`.
        images: validation images to measure on, evenly spread; None takes all.

    Returns:
        The network, and the scores by criterion.
    """
    plan.context.limit_threads()
    context = replace(plan.context, sensitivity_images=images)
    given = Policy(train=replace(Policy().train, epochs=0))
    network = train_parent(given, context, lambda _: None).network
    found = {}
    for criterion in each(criteria, "measuring sensitivity", len(criteria)):
        raw = score_branches(replace(given, criterion=criterion), context, network)
        unit = unit_of(raw)
        found[criterion] = Sensitivity(raw=raw, scaled={b: s / unit for b, s in raw.items()})
    return network, found
