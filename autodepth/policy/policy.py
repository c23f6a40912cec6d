"""Policy: everything one trial is told to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

from autodepth.errors import InputError, did_you_mean
from autodepth.policy.setting import Phase, check_settings, settings_of
from autodepth.policy.settings import GOALS, SETTINGS, PolicySettings
from autodepth.policy.training_settings import TrainingSettings

_NAMES = {
    item.metadata["setting"].name or item.name: item.name
    for item in fields(PolicySettings)
    if "setting" in item.metadata
}
"""Attributes of a policy by their names in files."""
_LATER = (
    "origin", "stream_width", "width_growth", "widths", "recovery", "feature_distillation",
    "quantise",
)  # fmt: skip
"""Settings that files leave out at their defaults: there are ledgers from before there were any."""


@dataclass(frozen=True, kw_only=True)
class Policy(PolicySettings):
    """One choice of everything: how to train, what to remove, how to recover.

    Each setting is told in `autodepth.policy.settings`, with its range and default.

    Args:
        base: of a policy whose origin is `member`, the policy of that network: it is carried out
            first, with all that it goes on from itself.

    Raises:
        InputError: a setting is not what it must be, two goals of removal are given, or a member
            has no base.
    """

    base: Policy | None = None

    def __post_init__(self) -> None:
        check_settings(self)
        if self.sensitivity_threshold == ():
            raise InputError("sensitivity_threshold must hold numbers, but got none")
        if self.branches is not None:
            _check_branches(self.branches, self.protected)
        goals = [name for name in GOALS if getattr(self, name) is not None]
        if len(goals) > 1:
            raise InputError(f"at most one of {', '.join(GOALS)} may be given, but got {goals}")
        if (self.origin == "member") != (self.base is not None):
            told = "nothing" if self.base is None else f"one beside origin {self.origin!r}"
            raise InputError(f"base must be a policy where origin is 'member', but got {told}")

    @property
    def chain(self) -> tuple[Policy, ...]:
        """The policies that are carried out one after the other, this one last."""
        return (self,) if self.base is None else (*self.base.chain, self)

    @cached_property
    def carried_out(self) -> Policy:
        """What a trial does: a network from scratch or from a member trains no parent.

        From scratch, as large a share of each stage goes, from its end, as shallower networks of a
        family lack them: untrained branches are worth nothing yet. What is left is trained as a
        parent would be and for as long as parent and fine-tuning together, without a teacher. The
        member that a network goes on from takes the place of a trained parent.
        """
        train = self.train
        if self.origin == "parent" or not train.epochs:
            return self
        if self.origin == "member":
            return replace(
                self, survival_prob_last=1.0, survival=None, train=replace(train, epochs=0)
            )
        return replace(
            self,
            survival_prob_last=1.0,
            survival=None,
            decay_shape="linear",
            depth_schedule="constant",
            criterion="stage_ends",
            removal="one_shot",
            recovery="none",
            fine_tune_epochs=train.epochs + self.fine_tune_epochs,
            fine_tune_schedule=train.schedule,
            fine_tune_p_L=self.survival_prob_last,
            distillation=0.0,
            feature_distillation=0.0,
            patience=None,
            train=replace(train, epochs=0, fine_tune_learning_rate=train.learning_rate),
        )

    @property
    def drops_branches(self) -> bool:
        """Whether its parent is trained with random depth."""
        least = min(self.survival, default=1.0) if self.survival else self.survival_prob_last
        return least < 1.0 and self.train.epochs > 0

    @property
    def is_elastic(self) -> bool:
        """Whether the whole network is trained beside networks of random depth."""
        return self.drops_branches and self.train.elastic > 0

    @property
    def compares_features(self) -> bool:
        """Whether fine-tuning keeps to the parent's features; a narrower stream has others."""
        return self.feature_distillation > 0 and self.stream_width == 1

    @property
    def has_teacher(self) -> bool:
        """Whether the parent is run beside a network that is fine-tuned."""
        return self.distillation > 0 or self.compares_features

    @property
    def removes_branches(self) -> bool:
        """Whether any branch may go."""
        return any(getattr(self, name) is not None for name in GOALS)

    @property
    def narrows_branches(self) -> bool:
        """Whether any branch loses inner channels."""
        return self.filter_sparsity > 0 or any(width < 1 for _, width in self.widths)

    def channels_gone(self, branches: Iterable[int]) -> dict[int, float]:
        """Return the share of its inner channels that each of some branches loses, by number."""
        own = dict(self.widths)
        return {b: 1 - own[b] if b in own else self.filter_sparsity for b in branches}

    @property
    def scores_branches(self) -> bool:
        """Whether branches have to be scored to know which of them go."""
        return self.removes_branches and self.branches is None

    @property
    def removes_jointly(self) -> bool:
        """Whether sets of branches are judged to know which of them go."""
        return self.removal in {"joint", "joint_widths"} and self.scores_branches

    @property
    def chooses_widths(self) -> bool:
        """Whether widths of branches are judged to know which become narrower or go."""
        to_macs = self.macs_target is not None and self.base is None
        return self.removal == "joint_widths" and to_macs

    def removing(self, **goal: Any) -> Policy:
        """Return the policy with another goal of removal; without one, no branch is removed.

        Args:
            goal: one of `sensitivity_threshold`, `branches_removed`, `macs_target`, `branches`.
        """
        return replace(self, **{**dict.fromkeys(GOALS), **goal})

    def shaping(self, phase: Phase) -> dict[str, Any]:
        """Return the settings that shape a phase of this policy's trial, by their names in files.

        What makes no difference to it is left out: the shape of the decay where nothing is
        dropped, the temperature where nothing is distilled.
        """
        shaping = {
            name: self.value(name)
            for name, setting in SETTINGS.items()
            if (acts := setting.shapes.get(phase)) is not None and acts(self)
        }
        if phase == "parent" and self.base is not None:
            shaping["base"] = self.base.to_dict()
        return shaping

    @cached_property
    def parent_shaping(self) -> tuple[tuple[str, Any], ...]:
        """What shapes the parent, as something to compare by: a search asks again and again."""
        return tuple(self.shaping("parent").items())

    def value(self, name: str) -> Any:
        """Return a setting by its name in files."""
        if name in _NAMES:
            return getattr(self, _NAMES[name])
        return getattr(self.train, name.removeprefix("train."))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values under the names of a space file (`p_L`, not the long name)."""
        values = {name: getattr(self, attribute) for name, attribute in _NAMES.items()}
        for name in _LATER:  # so that policies of before are written as they were
            if values[name] == getattr(PolicySettings, _NAMES[name]):
                del values[name]
        for name, value in values.items():
            if SETTINGS[name].by_branch:
                values[name] = {str(branch): own for branch, own in value}  # as JSON has keys
            elif isinstance(value, tuple):
                values[name] = list(value)
        if self.base is not None:
            values["base"] = self.base.to_dict()
        return {**values, "train": self.train.to_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Policy:
        """Read what `to_dict` wrote; the base may be there as a policy already.

        Raises:
            InputError: a name is unknown or a value not what it must be.
        """
        _check_names(values, [*_NAMES, "train", "base"], "")
        values = dict(values)
        base = values.pop("base", None)
        if isinstance(base, dict):
            base = cls.from_dict(base)
        elif base is not None and not isinstance(base, Policy):
            raise InputError(f"base must hold settings by their names, but got {base!r}")
        train = values.pop("train", {})
        if not isinstance(train, dict):
            raise InputError(f"train must hold settings by their names, but got {train!r}")
        _check_names(train, list(settings_of(TrainingSettings)), "train.")
        for name, value in values.items():
            if SETTINGS[name].many and value is not None:
                values[name] = _as_tuple(value)
            if SETTINGS[name].by_branch:
                values[name] = _as_pairs(value)
        given = {_NAMES[name]: value for name, value in values.items()}
        return cls(
            train=TrainingSettings(**train),
            base=base,
            **given,
        )


def in_full(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `to_dict` wrote, with what it leaves out."""
    left_out = {name: getattr(PolicySettings, _NAMES[name]) for name in _LATER}
    return {**{n: v for n, v in left_out.items() if not SETTINGS[n].by_branch}, **values}


def widths_in(values: Mapping[str, Any]) -> dict[int, float]:
    """Return the widths of single branches, by number, that a policy has as plain values."""
    return {int(branch): float(width) for branch, width in values.get("widths", {}).items()}


def _as_tuple(value: Any) -> tuple[Any, ...]:
    """Return a list as a tuple, and one value alone as the tuple of it, as a space file has it."""
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _as_pairs(value: Any) -> Any:
    """Return a mapping by branch number as pairs in order; anything else is told as a mistake."""
    if not isinstance(value, Mapping):
        return value
    numbers = [int(key) if str(key).isdecimal() else key for key in value]
    pairs = tuple(zip(numbers, value.values(), strict=True))
    return tuple(sorted(pairs)) if all(isinstance(key, int) for key in numbers) else pairs


def _check_branches(branches: tuple[int, ...], protected: tuple[int, ...]) -> None:
    """Refuse what is wrong in any network; which branches there are is known to `Removal`."""
    if len(set(branches)) < len(branches):
        raise InputError(f"branches must be different numbers from 1, but got {list(branches)}")
    if kept := sorted(set(branches) & set(protected)):
        raise InputError(f"branches must name no protected branch, but got {kept[0]}")


def _check_names(values: dict[str, Any], known: list[str], prefix: str) -> None:
    for name in values:
        if name not in known:
            raise InputError(
                f"unknown policy setting {prefix + name!r}" + did_you_mean(name, known)
            )
