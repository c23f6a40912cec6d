"""The sections of a space file that hold settings of the policy: fixed, ranges and choices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import (
    Discriminator,
    Field,
    JsonValue,
    PlainValidator,
    Strict,
    Tag,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)

from autodepth.policy.settings import GOALS, SEARCHED, SETTINGS, THRESHOLD
from autodepth.policy.training_settings import TrainingSettings
from autodepth.policy.values import Scalar, shown
from autodepth.space.conditions import Condition, parse_wanted
from autodepth.space.domains import Choice, FloatRange, IntRange
from autodepth.space.sections.section import (
    Count,
    Flag,
    Number,
    Place,
    Section,
    Whole,
    must,
    one_of,
    several,
)

_SCOPES = ("network", "stage", "block")


def scalar(value: object) -> Scalar:
    """Let a plain value through; what it must be is told by its setting's rule."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(f"must be a plain value, but got {shown(value)}")


Plain: TypeAlias = Annotated[
    Any, PlainValidator(scalar, json_schema_input_type=float | str | bool | None)
]
Wanted: TypeAlias = Annotated[
    Any,
    PlainValidator(
        parse_wanted,
        json_schema_input_type=float | str | bool | None | list[JsonValue],
    ),
]


class DomainSection(Section):
    """What ranges and choices share."""

    per: Annotated[Literal["network", "stage", "block"], one_of(*_SCOPES)] = Field(
        "network", description="what each value speaks for; for sensitivity_threshold only"
    )
    when: dict[str, Wanted] = Field(
        default_factory=dict,
        description="other settings and what they must be: a value, a list, or '> 0'",
    )

    @property
    def condition(self) -> Condition | None:
        """The condition `when` spells, if there is one."""
        return Condition(tuple(self.when.items())) if self.when else None


class FloatSection(DomainSection):
    """A range of real numbers; `type` may be left out."""

    type: Annotated[Literal["float"], one_of("float", "int", "choice")] = "float"
    min: Number = Field(description="the least value")
    max: Number = Field(description="the greatest value")
    log: Flag = Field(
        default=False, description="whether values are drawn evenly by their logarithm"
    )
    step: Annotated[float | None, must("a number or null")] = Field(
        None, description="distance of the values from min on; null takes any between"
    )

    @model_validator(mode="after")
    def _fits(self) -> FloatSection:
        self.domain()
        return self

    def domain(self) -> FloatRange:
        """Return the range.

        Raises:
            InputError: min, max, log and step do not fit together.
        """
        return FloatRange(self.min, self.max, self.log, self.step)


class IntSection(DomainSection):
    """A range of whole numbers."""

    type: Literal["int"]
    min: Whole = Field(description="the least value")
    max: Whole = Field(description="the greatest value")
    log: Flag = Field(
        default=False, description="whether values are drawn evenly by their logarithm"
    )
    step: Whole = Field(1, description="distance of the values from min on")

    @model_validator(mode="after")
    def _fits(self) -> IntSection:
        self.domain()
        return self

    def domain(self) -> IntRange:
        """Return the range.

        Raises:
            InputError: min, max, log and step do not fit together.
        """
        return IntRange(self.min, self.max, self.log, self.step)


class ChoiceSection(DomainSection):
    """A few values without order; `type` may be left out."""

    type: Annotated[Literal["choice"], one_of("choice")] = "choice"
    values: Annotated[tuple[Plain, ...], Strict(strict=False), Field(max_length=100)] = Field(
        description="the values themselves"
    )

    @model_validator(mode="after")
    def _fits(self) -> ChoiceSection:
        self.domain()
        return self

    def domain(self) -> Choice:
        """Return the choice.

        Raises:
            InputError: there is no value, or one twice.
        """
        return Choice(self.values)


def _kind(value: object) -> str:
    if not isinstance(value, dict):
        return "<fixed>"
    kind = value.get("type", "choice" if "values" in value else "float")
    return f"<{kind}>" if kind in ("int", "choice") else "<float>"


# Tags stand in angle brackets so that they can be told from keys where an error says its place.
SettingSection: TypeAlias = Annotated[
    Annotated[FloatSection, Tag("<float>")]
    | Annotated[IntSection, Tag("<int>")]
    | Annotated[ChoiceSection, Tag("<choice>")]
    | Annotated[Plain, Tag("<fixed>")],
    Discriminator(_kind),
]


DOMAIN_SECTIONS: dict[str, type[Section]] = {
    "<float>": FloatSection,
    "<int>": IntSection,
    "<choice>": ChoiceSection,
}


def _declared(prefix: str) -> dict[str, Any]:
    """Declare the settings of a section; all may be left out, their rules are the editor's help."""
    return {
        name.removeprefix(prefix): (
            SettingSection,
            Field(
                default=None,
                description=f"{setting.meaning}; {setting.text}",
                json_schema_extra=_without_default,
            ),
        )
        for name, setting in SEARCHED.items()
        if name.startswith("train.") == bool(prefix)
    }


def _without_default(schema: dict[str, JsonValue]) -> None:
    """Keep `null` out of the schema: the default of what is left out is the policy's."""
    del schema["default"]


class SettingsSection(Section):
    """A section whose keys are settings of the policy."""

    prefix: ClassVar[str] = ""

    @field_validator("*", mode="after")
    @classmethod
    def _obeys_rule(cls, setting: Any, info: ValidationInfo) -> Any:
        name = f"{cls.prefix}{info.field_name}"
        if name not in SEARCHED:  # a list: `branches` is never searched
            return setting
        if mistakes := list(_setting_mistakes(name, setting)):
            raise several(mistakes)
        return setting


def _always_given(setting: Any) -> bool:
    return setting is not None and not (isinstance(setting, DomainSection) and setting.when)


class _WithBranches(SettingsSection):
    """What is searched: when branches are dropped, which are removed, how long to recover."""

    branches: Annotated[
        tuple[Count, ...] | None,
        Strict(strict=False),
        must("a list of branch numbers, from 1, or null"),
    ] = Field(
        default=None,
        description=SETTINGS["branches"].meaning,
        json_schema_extra=_without_default,
    )

    @model_validator(mode="after")
    def _one_goal(self) -> Self:
        """Refuse two goals of removal that hold together; with conditions it is told later."""
        goals = [name for name in GOALS if _always_given(getattr(self, name))]
        if len(goals) > 1:
            message = f"at most one of {', '.join(GOALS)} may be given, but got {goals[0]} too"
            raise several([((goals[1],), message)])
        return self


class _OfTraining(SettingsSection):
    """How networks are trained; every setting may be searched too."""

    prefix: ClassVar[str] = "train."

    @model_validator(mode="after")
    def _has_rate_of_its_own(self) -> Self:
        """Refuse AdamW at the rate that SGD has by default."""
        optimizer = getattr(self, "optimizer", None)
        names = optimizer.values if isinstance(optimizer, ChoiceSection) else (optimizer,)
        if "adamw" in names and getattr(self, "learning_rate", None) is None:
            rate = TrainingSettings.learning_rate
            message = f"adamw needs a learning_rate, such as 0.001, since {rate} is one of sgd"
            raise several([(("optimizer",), message)])
        return self


if TYPE_CHECKING:  # to a type checker a model made at run time is no type
    PolicySection: TypeAlias = _WithBranches
    TrainSection: TypeAlias = _OfTraining
else:
    PolicySection = create_model(
        "PolicySection", __base__=_WithBranches, __doc__=_WithBranches.__doc__, **_declared("")
    )
    TrainSection = create_model(
        "TrainSection", __base__=_OfTraining, __doc__=_OfTraining.__doc__, **_declared("train.")
    )


def _setting_mistakes(name: str, setting: Any) -> Iterator[tuple[Place, str]]:
    """Yield (place within the setting, message) of everything against the setting's rule."""
    rule = SEARCHED[name]
    yield from _origin_mistakes(name, setting)
    values: dict[Place, object] = {(): setting}
    if isinstance(setting, ChoiceSection):
        values = {("values", i): value for i, value in enumerate(setting.values)}
    elif isinstance(setting, FloatSection | IntSection):
        if rule.choices:
            yield (), f"{rule.text}: write `values: [{rule.choices[0]}, ...]` in place of a range"
            return
        if rule.whole and isinstance(setting, FloatSection):
            yield (), "takes whole numbers only: add `type: int`"
            return
        values = {("min",): setting.min, ("max",): setting.max}
    for place, value in values.items():
        complaint = rule.complaint(value)
        if complaint:
            yield place, complaint
    if isinstance(setting, DomainSection) and "per" in setting.model_fields_set:
        if name != THRESHOLD:
            yield ("per",), f"only {THRESHOLD} may differ per stage or block"
        elif setting.per != "network" and None in values.values():
            yield ("values",), f"null cannot be chosen for one {setting.per} alone"


def _origin_mistakes(name: str, setting: Any) -> Iterator[tuple[Place, str]]:
    values = setting.values if isinstance(setting, ChoiceSection) else [setting]
    if name == "origin" and set(values) == {"member"}:
        yield (), "member needs others beside it that it goes on from: parent, scratch or both"
