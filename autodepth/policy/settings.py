"""Every setting of a policy, once: name, default, range, what it shapes, what it means.

All that has to know settings reads this table: the checks of a policy, the sections of a space
file, its JSON Schema and reference page, and the keys by which trials share their stages. A new
setting is a line here and the code that acts on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from autodepth.policy.depth_schedule import DEPTH_SCHEDULES, DepthSchedule
from autodepth.policy.setting import (
    FINITE,
    FROM_ONE,
    NOT_NEGATIVE,
    POSITIVE,
    PROBABILITY,
    SHARE,
    Acts,
    Phase,
    Setting,
    named,
    number,
    settings_of,
    whole,
)
from autodepth.policy.survival import (
    COMPENSATIONS,
    DECAY_SHAPES,
    GATE_MODES,
    Compensation,
    DecayShape,
    GateMode,
)
from autodepth.policy.training_settings import SCHEDULES, Schedule, TrainingSettings

Criterion = Literal[
    "ablation_accuracy", "ablation_loss", "ablation_kl", "block_influence", "magnitude",
    "bn_scale", "taylor", "norm_ratio", "random", "evenly_spaced", "stage_ends",
]  # fmt: skip
CRITERIA: tuple[Criterion, ...] = get_args(Criterion)
ThresholdScope = Literal["network", "stage", "block"]
RemovalMode = Literal["one_shot", "greedy", "iterative", "joint", "joint_widths"]
REMOVAL_MODES: tuple[RemovalMode, ...] = get_args(RemovalMode)
Recovery = Literal["none", "recalibrate", "reconstruct"]
RECOVERIES: tuple[Recovery, ...] = get_args(Recovery)
Origin = Literal["parent", "scratch", "member"]
ORIGINS: tuple[Origin, ...] = get_args(Origin)
Quantisation = Literal["none", "int8"]
QUANTISATIONS: tuple[Quantisation, ...] = get_args(Quantisation)

_ALWAYS: Acts = lambda _: True  # noqa: E731
_BRANCHES: Mapping[Phase, Acts] = {"branches": _ALWAYS}
_PRUNING: Mapping[Phase, Acts] = {"pruning": _ALWAYS}
_FINE_TUNE: Mapping[Phase, Acts] = {"fine_tune": _ALWAYS}
_DEPTH: Mapping[Phase, Acts] = {"parent": lambda policy: policy.drops_branches}
_GATES: Mapping[Phase, Acts] = {**_DEPTH, "fine_tune": lambda policy: policy.fine_tune_p_L < 1}


@dataclass(frozen=True, kw_only=True)
class PolicySettings:
    """What a policy is made of. The order is that of the dimensions of a search."""

    origin: Origin = named(
        "parent",
        ORIGINS,
        "what a network comes from: a trained parent that it is cut out of, its own initial "
        "weights, or a member of the front that goes on",
        {"parent": lambda p: p.origin == "scratch", "pruning": lambda p: p.origin == "scratch"},
    )
    survival_prob_last: float = number(
        1.0, PROBABILITY, "survival probability of the last branch", _DEPTH, name="p_L"
    )
    decay_shape: DecayShape = named("linear", DECAY_SHAPES, "how survival falls with depth", _DEPTH)
    decay_power: float = number(1.0, POSITIVE, "exponent of the power shape", _DEPTH)
    survival: tuple[float, ...] | None = number(
        None,
        PROBABILITY,
        "survival probability of each branch, in place of p_L and a shape",
        _DEPTH,
        nullable=True,
        many=True,
        searched=False,
    )
    depth_schedule: DepthSchedule = named(
        "constant", DEPTH_SCHEDULES, "how p_L moves while training", _DEPTH
    )
    depth_schedule_cutoff: float = number(
        0.5, PROBABILITY, "share of training the schedule turns at", _DEPTH
    )
    gate_mode: GateMode = named("batch", GATE_MODES, "what a branch is dropped for", _GATES)
    compensation: Compensation = named(
        "test_time", COMPENSATIONS, "where dropping is compensated for", _GATES
    )
    criterion: Criterion = named(
        "ablation_loss",
        CRITERIA,
        "what a branch's sensitivity is",
        {
            "parent": lambda p: p.drops_branches and p.decay_shape == "sensitivity",
            "branches": lambda p: p.removal not in {"joint", "joint_widths"},
        },
    )
    sensitivity_threshold: tuple[float, ...] | None = number(
        None,
        FINITE,
        "branches whose sensitivity, in means of the network's branches, lies below it are "
        "removed; null removes none",
        _BRANCHES,
        nullable=True,
        many=True,
    )
    threshold_per: ThresholdScope = named(
        "network",
        get_args(ThresholdScope),
        "what each threshold speaks for",
        _BRANCHES,
        searched=False,
    )
    branches_removed: int | None = whole(
        None,
        0,
        "how many branches are gone then, in place of a threshold; where a member lacks more, "
        "some come back",
        _BRANCHES,
        nullable=True,
    )
    macs_target: float | None = number(
        None,
        PROBABILITY,
        "share of the MACs left when no more branches go, in place of a threshold",
        _BRANCHES,
        nullable=True,
    )
    branches: tuple[int, ...] | None = whole(
        None,
        1,
        "numbers of exactly the branches that go, in place of a threshold",
        _BRANCHES,
        nullable=True,
        many=True,
        searched=False,
    )
    protected: tuple[int, ...] = whole(
        (), 1, "numbers of branches that stay", _BRANCHES, many=True, searched=False
    )
    removal: RemovalMode = named(
        "one_shot",
        REMOVAL_MODES,
        "whether branches go at once, step by step, with fine-tuning between, or as the set of "
        "them without which outputs change least, whatever the criterion; by joint_widths they "
        "may become narrower too, where macs_target says how much is left",
        _BRANCHES,
    )
    removal_step: int = whole(1, 1, "branches removed per step, if not at once", _BRANCHES)
    between_epochs: int = whole(1, 1, "passes after each step of iterative removal", _BRANCHES)
    stream_width: float = number(
        1.0,
        PROBABILITY,
        "share of the residual stream's channels that is left; from scratch, of all channels",
        {"pruning": lambda policy: policy.stream_width < 1},
    )
    filter_sparsity: float = number(
        0.0, SHARE, "share of each branch's inner channels to take out", _PRUNING
    )
    widths: tuple[tuple[int, float], ...] = number(
        (),
        PROBABILITY,
        "share of its inner channels that is left to a branch, by number, in place of "
        "filter_sparsity",
        {"pruning": lambda policy: policy.widths != ()},
        by_branch=True,
        searched=False,
    )
    width_growth: float = number(
        1.0,
        FROM_ONE,
        "how many times as many inner channels the branches of a member get; it computes the same "
        "at first",
        {"pruning": lambda policy: policy.width_growth > 1},
    )
    weight_sparsity: float = number(0.0, SHARE, "share of all weights to set to zero", _PRUNING)
    least_per_stage: int = whole(
        1, 0, "branches that stay in each stage at least; 0 lets it be emptied", _BRANCHES
    )
    recovery: Recovery = named(
        "recalibrate",
        RECOVERIES,
        "what a cut network gets before it is fine-tuned: none; recalibrate, batch statistics "
        "measured anew; or reconstruct, these and its branches' last layers fitted to the "
        "parent's features, where its residual stream is as wide",
        _PRUNING,
    )
    recalibration_batches: int = whole(
        10,
        0,
        "batches of training images that recovery takes",
        {"pruning": lambda policy: policy.recovery != "none"},
    )
    fine_tune_epochs: int = whole(0, 0, "passes over the training split after removal", _FINE_TUNE)
    fine_tune_schedule: Schedule = named(
        "one_cycle", SCHEDULES, "the rate while fine-tuning", _FINE_TUNE
    )
    fine_tune_p_L: float = number(  # noqa: N815 - the name of the papers
        1.0, PROBABILITY, "survival probability of the last branch left", _FINE_TUNE
    )
    distillation: float = number(
        0.0, SHARE, "weight of the parent's soft scores in fine-tuning", _FINE_TUNE
    )
    distillation_temperature: float = number(
        4.0, FROM_ONE, "of both softmaxes", {"fine_tune": lambda p: p.distillation > 0}
    )
    feature_distillation: float = number(
        0.0,
        NOT_NEGATIVE,
        "weight of the parent's features after each addition that stays, beside the loss of "
        "fine-tuning, where the residual stream is as wide",
        {"fine_tune": lambda p: p.compares_features},
    )
    patience: int | None = whole(
        None,
        1,
        "epochs of fine-tuning without a better validation loss; null is no limit",
        _FINE_TUNE,
        nullable=True,
    )
    quantise: Quantisation = named(
        "none",
        QUANTISATIONS,
        "numbers of the final network: int8 quantises it after training, by onnxruntime; accuracy, "
        "size and latency are of that file",
        {},
        of_labels=True,
    )
    train: TrainingSettings = field(default_factory=TrainingSettings)


SETTINGS: Mapping[str, Setting] = {
    **settings_of(PolicySettings),
    **settings_of(TrainingSettings, "train."),
}
"""All of them, by the name that a point, a `when` and `--set` use."""
SEARCHED: Mapping[str, Setting] = {
    n: setting for n, setting in SETTINGS.items() if setting.searched
}
"""Those that a space file may give a range; the order is that of the dimensions."""
THRESHOLD = "sensitivity_threshold"
GOALS = (THRESHOLD, "branches_removed", "macs_target", "branches")
"""Settings that say how much goes; a policy has one at most."""
RANDOM_DEPTH = tuple(
    name
    for name, setting in SEARCHED.items()
    if set(setting.shapes) == {"parent"} and not name.startswith("train.")
)
"""Settings that act only while a parent is trained with random depth."""
