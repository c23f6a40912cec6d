"""What a trial brings back. Plain numbers: no torch here."""

from __future__ import annotations

import enum
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from autodepth.errors import InputError, check_known
from autodepth.policy.policy import widths_in
from autodepth.space.objectives import MEMORY, is_at

Phase = Literal["parent", "sensitivity", "prune", "fine_tune", "measure"]
"""What a trial goes through, in this order."""
ACCURACY = "validation_accuracy"
"""The leading metric of classification."""


class TrialState(enum.StrEnum):
    """Where a trial is in its life; every trial ends in exactly one of the ended states."""

    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"
    INFEASIBLE = "infeasible"  # breaks a bound for certain, or trained to what is not finite
    STOPPED = "stopped"  # compared with others at a rung and given up
    CANCELLED = "cancelled"  # the budget ended or a person interrupted

    @property
    def ended(self) -> bool:
        """Whether the trial can change no more."""
        return self is not TrialState.RUNNING


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """What one network costs and achieves.

    Args:
        validation_accuracy: top-1 fraction on the validation split, in [0, 1]; of another task,
            how good its leading metric is between its worst, 0, and its best, 1: what networks are
            compared by. It is written as `quality` then.
        validation_loss: mean loss on the validation split.
        macs: convolution and linear multiply-accumulates per image (FlopCounterMode / 2).
        effective_macs: of these, the ones whose weight is not zero; fewer than `macs` only after
            pruning of single weights, which makes no dense kernel faster.
        parameters: number of parameters.
        size_bytes: size of the weights file.
        latency_ms: median time of one image (batch 1) on the trial's device, milliseconds.
        elsewhere: costs that were measured besides, by name: `latency_ms@NAME` of a place,
            `peak_memory_mb`, `peak_memory_mb@BATCH`.
        unknown: why others of these could not be measured, by name.
        metrics: of another task than classification every metric, by its name on this split, such
            as `validation_miou`; the leading one is `metric`.
        metric: name of the leading metric.
        unit: what stands behind its values; `%` for a fraction.
        goal: which way it is better.
    """

    validation_accuracy: float
    validation_loss: float
    macs: int
    effective_macs: int
    parameters: int
    size_bytes: int
    latency_ms: float
    elsewhere: Mapping[str, float] = field(default_factory=dict)
    unknown: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    metric: str = ACCURACY
    unit: str = "%"
    goal: Literal["maximize", "minimize"] = "maximize"

    def __post_init__(self) -> None:
        if not 0.0 <= self.validation_accuracy <= 1.0:
            raise InputError(
                f"validation_accuracy must be in [0, 1], but got {self.validation_accuracy}"
            )
        if not math.isfinite(self.validation_loss):
            raise InputError(f"validation_loss must be finite, but got {self.validation_loss}")
        for name in ("macs", "effective_macs", "parameters", "size_bytes", "latency_ms"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"{name} must be at least 0, but got {getattr(self, name)}")

    def knows(self, names: Iterable[str]) -> bool:
        """Whether all of some metrics are known."""
        return all(math.isfinite(self.value(name)) for name in names)

    def value(self, name: str) -> float:
        """Return a metric of the task, or a cost, by its name; a cost not known is infinite."""
        if name in self.metrics:
            return float(self.metrics[name])
        if is_at(name) or name == MEMORY:
            return float(self.elsewhere.get(name, math.inf))
        return float(getattr(self, name))

    @property
    def leading(self) -> float:
        """The leading metric, in its own unit."""
        return self.value(self.metric)

    @property
    def metric_in_words(self) -> str:
        """The leading metric as a sentence names it."""
        return self.metric if self.metrics else self.metric.replace("_", " ")

    @property
    def column(self) -> str:
        """The leading metric as the head of a column: `accuracy`, `miou`."""
        return self.metric.removeprefix("validation_")

    @property
    def more_is_better(self) -> float:
        """The leading metric, with its sign turned where less of it is better."""
        return self.leading if self.goal == "maximize" else -self.leading

    def shown(self, value: float | None = None, digits: int = 1) -> str:
        """Return a value of the leading metric, by default this network's, with its unit."""
        return format_metric(self.leading if value is None else value, self.unit, digits)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values by name; a task's metrics stand among them."""
        values = asdict(self)
        about = {name: values.pop(name) for name in ("metric", "unit", "goal")}
        metrics = values.pop("metrics")
        values |= values.pop("elsewhere")
        if not values["unknown"]:
            del values["unknown"]
        if not metrics:
            return values
        quality = values.pop(ACCURACY)
        return {**metrics, **values, "quality": quality, **about}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> OperatingPoint:
        """Read what `to_dict` wrote.

        Raises:
            NewerStudyError: a newer autodepth wrote it.
        """
        elsewhere = {name: v for name, v in values.items() if is_at(name) or name == MEMORY}
        if "quality" not in values:
            plain = {name: v for name, v in values.items() if name not in elsewhere}
            check_known("what a network costs", plain, (item.name for item in fields(cls)))
            return cls(**plain, elsewhere=elsewhere)
        known = {item.name for item in fields(cls)} - {ACCURACY}
        plain = {name: value for name, value in values.items() if name in known}
        beside = {"quality", *elsewhere}
        metrics = {n: v for n, v in values.items() if n not in known and n not in beside}
        return cls(
            **plain, validation_accuracy=values["quality"], metrics=metrics, elsewhere=elsewhere
        )


def format_metric(value: float, unit: str, digits: int = 1) -> str:
    """Return a metric's value for a person: `97.2%`, `3.21 px`."""
    if unit == "%":
        return f"{value:.{digits}%}"
    return f"{value:.{digits + 3}g}{' ' if unit else ''}{unit}"


@dataclass(frozen=True, kw_only=True)
class EpochReport:
    """One epoch of training or fine-tuning, as the search hears of it while a trial runs.

    Args:
        phase: `parent`, `prune` (fine-tuning between two removals) or `fine_tune`.
        step: epochs since the trial began, all phases counted through, from 1.
        train_loss: mean loss over the epoch's steps (augmented images, open gates only).
        train_accuracy: top-1 fraction of the same.
        validation_accuracy: top-1 fraction on the validation split after the epoch.
        branches_expected: mean over steps of the sum of survival probabilities.
        branches_computed: mean number of branches really computed per step.
        gradient_norms: by branch number, the mean L2 norm of its gradient when it was computed.
        images_per_second: training images by the time of their steps.
        macs: multiply-accumulates per image of the network that is fine-tuned; 0 for a parent.
        replayed: whether an earlier trial trained this epoch; it took no time now.
        seconds: time of the epoch, validation included.
        metrics: of another task than classification every metric, as of `OperatingPoint`, the
            leading one first.
        unit: what stands behind the values of that one.
        sensitivities: as in the trial's result, told with the first epoch after they were measured
            so that others hear of them before the trial ends; else empty.
    """

    phase: Phase
    step: int
    train_loss: float
    train_accuracy: float
    validation_accuracy: float
    branches_expected: float
    branches_computed: float
    gradient_norms: Mapping[int, float]
    images_per_second: float
    macs: int = 0
    replayed: bool = False
    seconds: float
    sensitivities: Mapping[int, float] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    unit: str = "%"

    @property
    def metric(self) -> str:
        """Name of the leading metric."""
        return next(iter(self.metrics), ACCURACY)

    @property
    def leading(self) -> float:
        """The leading metric, in its own unit."""
        return next(iter(self.metrics.values()), self.validation_accuracy)

    def shown(self, digits: int = 1) -> str:
        """Return the value of the leading metric with its unit."""
        return format_metric(self.leading, self.unit, digits)

    def to_json(self) -> str:
        """Return the report as text; numbers that are not finite stay what they are."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> EpochReport:
        """Read what `to_json` wrote."""
        values = json.loads(text)
        for name in ("gradient_norms", "sensitivities"):
            values[name] = {int(branch): value for branch, value in values[name].items()}
        return cls(**values)

    @property
    def generalisation_gap(self) -> float:
        """Training accuracy minus validation accuracy, fractions."""
        return self.train_accuracy - self.validation_accuracy


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """One policy carried out.

    Args:
        point: what the final network costs and achieves.
        removed: numbers (1..L) of the branches that were removed.
        sensitivities: what each removable branch is worth by the policy's criterion, in its unit
            (validation cross-entropy by default), by branch number; empty where none was scored.
        survival: p_1..p_L the parent was trained with.
        parent_accuracy: leading metric (validation accuracy) of the parent before removal; 0 where
            the network is trained from scratch.
        pruned_accuracy: the same after removal, before fine-tuning.
        phase_seconds: device time of each phase.
        weights_file: name of the saved weights inside the trial's folder, None if none were kept.
        weights_sha256: of that file, in hexadecimal; empty where it was not taken.
        batch_size: images per step where memory did not suffice for those of the policy; else None.
        reached: by setting, what sparsity acted on and how much there was of it: branches for
            `filter_sparsity` and `widths`, weight tensors for `weight_sparsity`; without those the
            policy has at 0. Records of earlier versions tell none.
        variants: how far the parent's outputs change with each branch narrower, by its number and
            the share of channels left, where widths were chosen: as `sensitivities` then are
            without it. At 1 they change by batch statistics alone, at 0 the branch is gone.
        widths: share of inner channels left to branches that were chosen to be narrower; those that
            the policy names are not among them.
        masks: how far the parent's outputs change without sets of its branches, where sets were
            judged: those that policies of any goal remove.
    """

    point: OperatingPoint
    removed: tuple[int, ...]
    sensitivities: Mapping[int, float]
    survival: tuple[float, ...]
    parent_accuracy: float
    pruned_accuracy: float
    phase_seconds: Mapping[str, float]
    weights_file: str | None = None
    weights_sha256: str = ""
    batch_size: int | None = None
    reached: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    variants: Mapping[int, Mapping[float, float]] = field(default_factory=dict)
    widths: Mapping[int, float] = field(default_factory=dict)
    masks: Mapping[frozenset[int], float] = field(default_factory=dict)

    def own_widths(self, policy: Mapping[str, Any]) -> dict[int, float]:
        """Return widths of single branches: what the policy names, and what was chosen.

        Args:
            policy: as plain values, by the names of a policy file.
        """
        return {**widths_in(policy), **self.widths}

    def to_dict(self) -> dict[str, Any]:
        """Return plain values fit for JSON; what was not judged or chosen is left out."""
        values = asdict(self)
        if masks := values.pop("masks"):
            values["masks"] = [[sorted(mask), far] for mask, far in masks.items()]
        if widths := values.pop("widths"):
            values["widths"] = {str(branch): width for branch, width in widths.items()}
        if variants := values.pop("variants"):
            values["variants"] = {
                str(branch): {str(width): lost for width, lost in widths.items()}
                for branch, widths in variants.items()
            }
        values["sensitivities"] = {str(k): v for k, v in self.sensitivities.items()}
        values["stage_seconds"] = values.pop("phase_seconds")  # as ledgers have it
        return values | {"point": self.point.to_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> TrialResult:
        """Read what `to_dict` wrote.

        Raises:
            NewerStudyError: a newer autodepth wrote it.
        """
        values = dict(values)
        known = {item.name for item in fields(cls)} - {"phase_seconds"} | {"stage_seconds"}
        check_known("a trial's result", values, known)
        values["point"] = OperatingPoint.from_dict(values["point"])
        values["phase_seconds"] = values.pop("stage_seconds")
        values["removed"] = tuple(values["removed"])
        values["survival"] = tuple(values["survival"])
        values["sensitivities"] = {int(k): v for k, v in values["sensitivities"].items()}
        widths = values.get("widths", {})
        values["widths"] = {int(branch): width for branch, width in widths.items()}
        values["variants"] = {
            int(branch): {float(width): lost for width, lost in widths.items()}
            for branch, widths in values.get("variants", {}).items()
        }
        values["masks"] = {frozenset(mask): far for mask, far in values.get("masks", ())}
        values["reached"] = {name: tuple(two) for name, two in values.get("reached", {}).items()}
        return cls(**values)
