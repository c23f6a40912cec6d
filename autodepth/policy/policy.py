"""Policy: everything one trial is told to do."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, get_args

from autodepth.errors import InputError, did_you_mean
from autodepth.policy.depth_schedule import DEPTH_SCHEDULES, DepthSchedule, check_cutoff
from autodepth.policy.survival import (
    COMPENSATIONS,
    DECAY_SHAPES,
    GATE_MODES,
    Compensation,
    DecayShape,
    GateMode,
    check_choice,
    check_survival_prob,
)
from autodepth.policy.training_settings import TrainingSettings

ThresholdScope = Literal["network", "stage", "block"]
THRESHOLD_SCOPES: tuple[ThresholdScope, ...] = get_args(ThresholdScope)
Criterion = Literal[
    "ablation_accuracy", "ablation_loss", "block_influence", "magnitude", "bn_scale", "taylor",
    "norm_ratio", "random", "evenly_spaced",
]  # fmt: skip
CRITERIA: tuple[Criterion, ...] = get_args(Criterion)
RemovalMode = Literal["one_shot", "greedy", "iterative"]
REMOVAL_MODES: tuple[RemovalMode, ...] = get_args(RemovalMode)
FineTuneSchedule = Literal["one_cycle", "constant"]
FINE_TUNE_SCHEDULES: tuple[FineTuneSchedule, ...] = get_args(FineTuneSchedule)

RANDOM_DEPTH = (
    *("p_L", "decay_shape", "decay_power", "depth_schedule", "depth_schedule_cutoff"),
    *("gate_mode", "compensation"),
)
"""Settings that act only while a parent is trained, by their names in a space file."""

_TUPLES = ("survival", "sensitivity_threshold", "branches", "protected")


@dataclass(frozen=True, kw_only=True)
class Policy:
    """One choice of everything: how to train, what to remove, how to recover.

    Args:
        survival_prob_last: p_L in (0, 1]; 1 trains the plain network.
        decay_shape: how p_l falls with depth; see `survival_probabilities`.
        decay_power: exponent of the `power` shape, above 0; ignored by the others.
        survival: p_l of each branch, in (0, 1], in place of p_L and a shape.
        depth_schedule: how p_L moves while training; see `survival_prob_last_at`.
        depth_schedule_cutoff: share of training in (0, 1] that the schedule turns at.
        gate_mode: whether a branch is dropped for a whole `batch` or for each `sample` by itself.
        compensation: `test_time` (branches scaled by p_l, then folded) or `inverted` (by 1/p_l in
            training).
        criterion: what a branch's sensitivity is; see `autodepth.trial.criteria`.
        sensitivity_threshold: branches whose sensitivity, in means of the network's branches,
            lies below their threshold are removed. One value per network, stage or block, as
            `threshold_per` says. At most one of this, `branches_removed`, `macs_target` and
            `branches` is given; without any, no branch is removed.
        threshold_per: what each threshold speaks for.
        branches_removed: how many branches go, at least 0.
        macs_target: branches go until so much of the network's MACs is left, a share in (0, 1].
        branches: numbers of exactly the branches that go, in the order in which they do; nothing
            is scored.
        protected: numbers of branches that stay.
        least_per_stage: how many branches stay in each stage at least, the best ones; 0 lets a
            stage be emptied.
        removal: `one_shot` by one scoring; `greedy` scores anew after each step, with batch
            statistics recalibrated; `iterative` also fine-tunes after each step.
        removal_step: branches removed per step of the latter two, at least 1.
        between_epochs: passes over the training split after each step of `iterative`.
        filter_sparsity: share in [0, 1) of the inner channels of each branch left that is taken
            out, those of least magnitude; the residual stream keeps its width.
        weight_sparsity: share in [0, 1) of the weights left, over all layers, that is set to zero
            and stays so while fine-tuning, those of least magnitude.
        recalibration_batches: training batches that batch statistics are measured anew on after
            something was removed; 0 leaves them.
        fine_tune_epochs: passes over the training split after removal, at least 0.
        fine_tune_schedule: `one_cycle`, or a `constant` rate as the classic control.
        fine_tune_p_L: survival probability of the last branch left, while fine-tuning.
        distillation: weight in [0, 1) of the parent's soft scores in the fine-tuning loss; 0 is
            none.
        distillation_temperature: of both softmaxes, at least 1.
        patience: fine-tuning ends after so many epochs without a better validation loss, and
            the best epoch's weights are taken; None always trains all epochs.
        train: training settings.
    """

    survival_prob_last: float = 1.0
    decay_shape: DecayShape = "linear"
    decay_power: float = 1.0
    survival: tuple[float, ...] | None = None
    depth_schedule: DepthSchedule = "constant"
    depth_schedule_cutoff: float = 0.5
    gate_mode: GateMode = "batch"
    compensation: Compensation = "test_time"
    criterion: Criterion = "ablation_loss"
    sensitivity_threshold: tuple[float, ...] | None = None
    threshold_per: ThresholdScope = "network"
    branches_removed: int | None = None
    macs_target: float | None = None
    branches: tuple[int, ...] | None = None
    protected: tuple[int, ...] = ()
    least_per_stage: int = 1
    removal: RemovalMode = "one_shot"
    removal_step: int = 1
    between_epochs: int = 1
    filter_sparsity: float = 0.0
    weight_sparsity: float = 0.0
    recalibration_batches: int = 0
    fine_tune_epochs: int = 0
    fine_tune_schedule: FineTuneSchedule = "one_cycle"
    fine_tune_p_L: float = 1.0  # noqa: N815 - the name of the papers
    distillation: float = 0.0
    distillation_temperature: float = 4.0
    patience: int | None = None
    train: TrainingSettings = field(default_factory=TrainingSettings)

    def __post_init__(self) -> None:
        check_survival_prob(self.survival_prob_last)
        check_survival_prob(self.fine_tune_p_L, "fine_tune_p_L")
        for chance in self.survival or ():
            check_survival_prob(chance, "survival")
        check_cutoff(self.depth_schedule_cutoff)
        for name, known in _CHOICES.items():
            check_choice(name, getattr(self, name), known)
        for name, (rule, holds) in _NUMBERS.items():
            value = getattr(self, name)
            if not (holds(value) if value is not None else name in _NULLABLE):
                raise InputError(f"{name} must be {rule}, but got {value}")
        thresholds = self.sensitivity_threshold
        if thresholds is not None and (not thresholds or any(map(math.isnan, thresholds))):
            raise InputError(f"sensitivity_threshold must hold numbers, but got {thresholds}")
        if self.branches is not None:
            _check_branches(self.branches, self.protected)
        goals = [name for name in _GOALS if getattr(self, name) is not None]
        if len(goals) > 1:
            raise InputError(f"at most one of {', '.join(_GOALS)} may be given, but got {goals}")

    @property
    def removes_branches(self) -> bool:
        """Whether any branch may go."""
        return any(getattr(self, name) is not None for name in _GOALS)

    @property
    def scores_branches(self) -> bool:
        """Whether branches have to be scored to know which of them go."""
        return self.removes_branches and self.branches is None

    def removing(self, **goal: Any) -> Policy:
        """Return the policy with another goal of removal; without one, no branch is removed.

        Args:
            goal: one of `sensitivity_threshold`, `branches_removed`, `macs_target`, `branches`.
        """
        return replace(self, **{**dict.fromkeys(_GOALS), **goal})

    def to_dict(self) -> dict[str, Any]:
        """Return plain values under the names of a space file (`p_L`, not the long name)."""
        values = asdict(self)
        for name in _TUPLES:
            values[name] = None if values[name] is None else list(values[name])
        return {"p_L": values.pop("survival_prob_last"), **values}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Policy:
        """Read what `to_dict` wrote.

        Raises:
            InputError: a name is unknown or a value outside its range.
        """
        names = ["p_L", *(item.name for item in fields(cls) if item.name != "survival_prob_last")]
        _check_names(values, names, "")
        values = dict(values)
        train = values.pop("train", {})
        if not isinstance(train, dict):
            raise InputError(f"train must hold settings by their names, but got {train!r}")
        _check_names(train, [item.name for item in fields(TrainingSettings)], "train.")
        _check_numbers(values, ("p_L", "fine_tune_p_L", "depth_schedule_cutoff", *_NUMBERS), "")
        _check_numbers(train, [name for name in train if name != "precision"], "train.")
        values["survival_prob_last"] = values.pop("p_L", cls.survival_prob_last)
        for name in _TUPLES:
            if values.get(name) is not None:
                values[name] = _as_tuple(values[name])
        return cls(train=TrainingSettings(**train), **values)


def _as_tuple(value: Any) -> tuple[Any, ...]:
    """Return a list as a tuple, and one value alone as the tuple of it, as a space file has it."""
    return tuple(value) if isinstance(value, list | tuple) else (value,)


_GOALS = ("sensitivity_threshold", "branches_removed", "macs_target", "branches")
_NULLABLE = (*_GOALS, "patience")
_CHOICES: dict[str, tuple[str, ...]] = {
    "decay_shape": DECAY_SHAPES,
    "depth_schedule": DEPTH_SCHEDULES,
    "gate_mode": GATE_MODES,
    "compensation": COMPENSATIONS,
    "criterion": CRITERIA,
    "threshold_per": THRESHOLD_SCOPES,
    "removal": REMOVAL_MODES,
    "fine_tune_schedule": FINE_TUNE_SCHEDULES,
}
_NUMBERS: dict[str, tuple[str, Callable[[float], bool]]] = {
    "decay_power": ("above 0", lambda value: value > 0),
    "branches_removed": ("at least 0", lambda value: value >= 0),
    "macs_target": ("in (0, 1]", lambda value: 0 < value <= 1),
    "removal_step": ("at least 1", lambda value: value >= 1),
    "between_epochs": ("at least 1", lambda value: value >= 1),
    "filter_sparsity": ("in [0, 1)", lambda value: 0 <= value < 1),
    "weight_sparsity": ("in [0, 1)", lambda value: 0 <= value < 1),
    "least_per_stage": ("at least 0", lambda value: value >= 0),
    "recalibration_batches": ("at least 0", lambda value: value >= 0),
    "fine_tune_epochs": ("at least 0", lambda value: value >= 0),
    "distillation": ("in [0, 1)", lambda value: 0 <= value < 1),
    "distillation_temperature": ("at least 1", lambda value: value >= 1),
    "patience": ("at least 1", lambda value: value >= 1),
}


def _check_branches(branches: tuple[int, ...], protected: tuple[int, ...]) -> None:
    """Refuse what is wrong in any network; which branches there are is known to `Removal`."""
    if len(set(branches)) < len(branches) or any(branch < 1 for branch in branches):
        raise InputError(f"branches must be different numbers from 1, but got {list(branches)}")
    if kept := sorted(set(branches) & set(protected)):
        raise InputError(f"branches must name no protected branch, but got {kept[0]}")


def _check_numbers(values: dict[str, Any], names: Iterable[str], prefix: str) -> None:
    for name in names:
        value = values.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float | None):
            raise InputError(f"{prefix}{name} must be a number, but got {value!r}")


def _check_names(values: dict[str, Any], known: list[str], prefix: str) -> None:
    for name in values:
        if name not in known:
            raise InputError(
                f"unknown policy setting {prefix + name!r}" + did_you_mean(name, known)
            )
