"""What every section of a space file refuses, in one form."""

from typing import Annotated

import pytest
from pydantic import ValidationError

from autodepth.space.sections.section import Count, Flag, Name, Number, Section, Whole, one_of


class Some(Section):
    name: Name = "a"
    number: Number = 1.0
    whole: Whole = 1
    flag: Flag = True
    count: Annotated[Count, "as in the files"] = 1
    kind: Annotated[str, one_of("linear", "power")] = "linear"


def mistake(**given):
    with pytest.raises(ValidationError) as error:
        Some(**given)
    (detail,) = error.value.errors()
    return detail["msg"].removeprefix("Value error, ")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"name": ""}, "must be a name, but got ''"),
        ({"number": "1"}, "must be a finite number, but got '1'"),
        ({"number": float("inf")}, "must be a finite number, but got .inf"),
        ({"number": True}, "must be a finite number, but got true"),
        ({"whole": 1.0}, "must be a whole number, but got 1.0"),
        ({"flag": "yes"}, "must be true or false, but got 'yes'"),
        ({"flag": None}, "must be true or false, but got null"),
    ],
)
def test_nothing_is_converted_and_the_rule_comes_before_what_was_given(given, told):
    assert mistake(**given) == told


def test_a_whole_number_is_a_number():
    assert Some(number=3).number == 3.0


def test_a_section_does_not_change():
    with pytest.raises(ValidationError):
        Some().name = "b"


def test_an_unknown_key_is_refused():
    assert mistake(nam="b") == "Extra inputs are not permitted"
