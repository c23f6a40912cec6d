"""What all sections of a space file share: strictness, and messages of one form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, WrapValidator
from pydantic_core import PydanticCustomError

from autodepth.errors import did_you_mean
from autodepth.policy.values import shown

Place: TypeAlias = tuple[str | int, ...]
"""Keys and list positions that lead to a value."""


def several(mistakes: list[tuple[Place, str]]) -> PydanticCustomError:
    """Return one error for mistakes at several places within a value."""
    return PydanticCustomError("mistakes", "mistakes", {"mistakes": mistakes})


def must(rule: str, *known: str) -> WrapValidator:
    """Say in one sentence what a value must be, whatever part of its type it missed."""

    def check(value: object, handler: Callable[[object], object]) -> object:
        try:
            return handler(value)
        except ValidationError:
            hint = did_you_mean(value, known) if isinstance(value, str) else ""
            raise ValueError(f"must be {rule}, but got {shown(value)}{hint}") from None

    return WrapValidator(check)


def one_of(*known: str) -> WrapValidator:
    """Say which names there are, and which one was meant."""
    return must(f"one of {', '.join(known)}", *known)


class Section(BaseModel):
    """A part of the file: no unknown key, nothing converted, nothing changed later."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


Name: TypeAlias = Annotated[str, Field(min_length=1), must("a name")]
Number: TypeAlias = Annotated[float, must("a finite number")]
Whole: TypeAlias = Annotated[int, must("a whole number")]
Flag: TypeAlias = Annotated[bool, must("true or false")]
Count: TypeAlias = Annotated[int, Field(ge=1)]
