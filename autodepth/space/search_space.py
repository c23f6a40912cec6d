"""SearchSpace: everything a study may vary, and everything it holds fixed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from autodepth.errors import InputError, did_you_mean
from autodepth.policy.settings import SEARCHED, THRESHOLD
from autodepth.policy.values import Scalar, shown
from autodepth.space.conditions import dependency_order
from autodepth.space.domains import Dimension, Domain, Fixed, largest_value
from autodepth.space.objectives import Constraint
from autodepth.space.objectives import place_of as metric_place
from autodepth.space.sections.latency_section import LatencySection, place_named
from autodepth.space.sections.messages import find_mistakes, place_of, shown_place
from autodepth.space.sections.models import (
    DataSection,
    NetworkSection,
    ObjectiveSection,
    SpaceModel,
)
from autodepth.space.sections.search_models import (
    ConfirmationSection,
    LimitsSection,
    RungsSection,
    SamplerSection,
    StartPoint,
)
from autodepth.space.sections.section import Section
from autodepth.space.sections.setting_models import (
    ChoiceSection,
    DomainSection,
    FloatSection,
    IntSection,
)
from autodepth.space.sections.task_section import CLASSIFICATION, TaskSection


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """What may be searched.

    Args:
        network: the network to thin out.
        data: the images, and how they are split and prepared.
        objectives: what to make better; none before a task of one's own has said its metrics.
        constraints: bounds every network of the front keeps.
        dimensions: the settings of the policy, the fixed ones included; each follows those its
            condition names. A setting that is not among them takes the policy's default.
        threshold_per: what each sensitivity threshold speaks for.
        sensitivity_images: validation images each branch is scored on; None for all.
        sampler: how policies are proposed.
        start_with: policies to try first.
        rungs: when trials are compared and the hopeless stopped.
        confirmation: what becomes of the front before it is reported.
        limits: what ends a trial, or the study, though there is budget left.
        seed: the study's seed.
        branches: numbers of exactly the branches that go; None where something else decides.
        task: what is learned; `data` are its own unless it is classification.
        latency: places where networks are timed, by name.
        notify: who is told when it matters, as `env:NAME` or `file:PATH` of what holds a URL.
    """

    network: NetworkSection
    data: DataSection
    objectives: tuple[ObjectiveSection, ...]
    constraints: tuple[Constraint, ...]
    dimensions: tuple[Dimension, ...]
    threshold_per: Literal["network", "stage", "block"]
    sensitivity_images: int | None
    sampler: SamplerSection
    start_with: tuple[StartPoint, ...]
    rungs: RungsSection
    confirmation: ConfirmationSection
    limits: LimitsSection
    seed: int
    branches: tuple[int, ...] | None = None
    task: TaskSection = field(default_factory=TaskSection)
    notify: tuple[str, ...] = ()
    latency: Mapping[str, LatencySection] = field(default_factory=dict)

    @property
    def asked(self) -> tuple[str, ...]:
        """Every metric that an objective or a constraint names."""
        named = [*(o.name for o in self.objectives), *(c.metric for c in self.constraints)]
        return tuple(dict.fromkeys(named))

    @property
    def places(self) -> dict[str, LatencySection]:
        """Where networks are timed beside the trial's device: what is listed, and what is asked."""
        asked = (name for metric in self.asked if (name := metric_place(metric)) is not None)
        named = {name: place_named(name, self.latency) for name in (*self.latency, *asked)}
        return {name: place for name, place in named.items() if place is not None}

    @property
    def narrows_branches(self) -> bool:
        """Whether policies may make single branches narrower."""
        domains = {d.name: d.domain for d in self.dimensions}
        sparsity = domains.get("filter_sparsity", Fixed(0.0))
        removal = domains.get("removal", Fixed("one_shot"))
        return bool(largest_value(sparsity)) or removal.contains("joint_widths")

    @classmethod
    def from_model(cls, model: SpaceModel) -> SearchSpace:
        """Take over a space file that was found without mistakes."""
        settings = {name: _setting(model, name) for name in SEARCHED}
        dimensions = {
            name: Dimension(name, setting.domain(), setting.condition)
            if isinstance(setting, FloatSection | IntSection | ChoiceSection)
            else Dimension(name, Fixed(setting))
            for name, setting in settings.items()
            if place_of(name)[1] in _section(model, name).model_fields_set
        }
        order = dependency_order(
            {name: d.condition.names if d.condition else () for name, d in dimensions.items()}
        )
        threshold = settings[THRESHOLD]
        return cls(
            network=model.network,
            data=model.data,
            objectives=_objectives(model),
            constraints=model.constraints,
            dimensions=tuple(dimensions[name] for name in order),
            threshold_per=threshold.per if isinstance(threshold, DomainSection) else "network",
            sensitivity_images=model.sensitivity.images,
            sampler=model.sampler,
            start_with=_starts(model, dimensions),
            rungs=model.rungs,
            confirmation=model.confirmation,
            limits=model.limits,
            seed=model.seed,
            branches=model.search.branches,
            task=model.task,
            notify=model.notify,
            latency=model.latency,
        )

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> SearchSpace:
        """Read what `to_dict` wrote.

        Raises:
            InputError: the content is not that of a space file; every mistake is told.
        """
        model, mistakes = find_mistakes(dict(content))
        if model is None:
            lines = (f"{shown_place(mistake.place)}: {mistake.message}" for mistake in mistakes)
            raise InputError("\n".join(lines))
        return cls.from_model(model)

    def to_dict(self) -> dict[str, Any]:
        """Return the content of a space file that reads as this space, fit for JSON."""
        settings: dict[str, dict[str, Any]] = {"search": {}, "train": {}}
        for dimension in self.dimensions:
            setting = dimension.domain.to_setting()
            if isinstance(setting, dict):
                if dimension.name == THRESHOLD:
                    setting["per"] = self.threshold_per
                if dimension.condition:
                    setting["when"] = dimension.condition.to_when()
            section, key = place_of(dimension.name)
            settings[section][key] = setting
        if self.branches is not None:
            settings["search"]["branches"] = list(self.branches)
        classifies = self.task.name == CLASSIFICATION and not self.task.arguments
        objectives = [objective.model_dump(mode="json") for objective in self.objectives]
        latency = {
            name: place.model_dump(mode="json", exclude_unset=True)
            for name, place in self.latency.items()
        }
        return {
            "version": 1,
            "network": self.network.model_dump(mode="json", exclude_unset=True),
            **({} if classifies else {"task": self.task.model_dump(mode="json")}),
            "data": self.data.model_dump(mode="json", exclude_unset=True),
            **({"objectives": objectives} if objectives else {}),
            "constraints": [str(constraint) for constraint in self.constraints],
            **settings,
            "sensitivity": {"images": self.sensitivity_images},
            "sampler": self.sampler.model_dump(mode="json"),
            "start_with": [p if isinstance(p, str) else dict(p) for p in self.start_with],
            "rungs": self.rungs.model_dump(mode="json"),
            "confirmation": self.confirmation.model_dump(mode="json"),
            "limits": self.limits.model_dump(mode="json"),
            "seed": self.seed,
            **({"notify": list(self.notify)} if self.notify else {}),
            **({"latency": latency} if latency else {}),
        }

    def dimensions_for(self, num_stages: int, num_branches: int) -> tuple[Dimension, ...]:
        """Return the dimensions for one network: a threshold for each stage or block it has.

        Args:
            num_stages: stages of the network, at least 1.
            num_branches: its residual branches, L, at least 1.

        Returns:
            The dimensions in order, `sensitivity_threshold` replaced by
            `sensitivity_threshold.1`, `.2`, ... unless one value speaks for the whole network.
        """
        counts = {"network": 0, "stage": num_stages, "block": num_branches}
        return self._expanded(counts[self.threshold_per])

    def policy_values(self, point: Mapping[str, Scalar]) -> dict[str, Any]:
        """Return a point as the values a policy is read from, the fixed ones added.

        Args:
            point: value by name of each searched dimension that counts at this point, as
                `dimensions_for` names them. Fixed ones may be left out.

        Returns:
            Values by the names of a space file: training settings under `train`, thresholds as a
            list. What does not count at this point is left to the policy's default.

        Raises:
            InputError: a value is missing, outside its domain, or of no setting that counts here.
        """
        thresholds = sum(name.startswith(f"{THRESHOLD}.") for name in point)
        per_part = self.threshold_per != "network"
        complete: dict[str, Scalar] = {}
        for dimension in self._expanded(max(1, thresholds) if per_part else 0):
            if dimension.counts_at(complete):
                complete[dimension.name] = _value_at(point, dimension.name, dimension.domain)
        for name in point:
            if name not in complete:
                known = did_you_mean(name, complete)
                raise InputError(f"{name!r} is no setting that counts at this point{known}")
        return self._nested(complete)

    def _expanded(self, thresholds: int) -> tuple[Dimension, ...]:
        """Return the dimensions with so many thresholds, numbered from 1; 0 for one without."""
        numbers = range(1, thresholds + 1)
        return tuple(
            part
            for whole in self.dimensions
            for part in (
                [dataclasses.replace(whole, name=f"{THRESHOLD}.{i}") for i in numbers]
                if whole.name == THRESHOLD and thresholds
                else [whole]
            )
        )

    def _nested(self, complete: Mapping[str, Scalar]) -> dict[str, Any]:
        values: dict[str, Any] = {
            "threshold_per": self.threshold_per,
            "protected": list(self.network.protect),
            "branches": None if self.branches is None else list(self.branches),
            "train": {},
        }
        thresholds = []
        for name, value in complete.items():
            section, key = place_of(name) if name in SEARCHED else ("search", name)
            if key.split(".")[0] == THRESHOLD:
                thresholds.append(value)
            elif section == "train":
                values["train"][key] = value
            else:
                values[key] = value
        values[THRESHOLD] = thresholds if thresholds and thresholds != [None] else None
        return values


def _starts(model: SpaceModel, dimensions: Mapping[str, Dimension]) -> tuple[StartPoint, ...]:
    """Return the policies to try first; small networks from scratch begin by themselves."""
    if "start_with" not in model.model_fields_set and "origin" in dimensions:
        return () if dimensions["origin"].domain.contains("scratch") else model.start_with
    return model.start_with


def _objectives(model: SpaceModel) -> tuple[ObjectiveSection, ...]:
    """Return what to make better; none where it is left to the task."""
    left_out = "objectives" not in model.model_fields_set
    return () if left_out and model.task.name != CLASSIFICATION else model.objectives


def _section(model: SpaceModel, name: str) -> Section:
    return model.train if place_of(name)[0] == "train" else model.search


def _setting(model: SpaceModel, name: str) -> Any:
    return getattr(_section(model, name), place_of(name)[1])


def _value_at(point: Mapping[str, Scalar], name: str, domain: Domain) -> Scalar:
    if name not in point:
        if isinstance(domain, Fixed):
            return domain.value
        raise InputError(
            f"the point must give {name}, but it gives {', '.join(point) or 'nothing'}"
        )
    value = point[name]
    if not domain.contains(value):
        raise InputError(f"{name} must be in {domain}, but got {shown(value)}")
    return value
