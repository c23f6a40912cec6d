"""Classes are matched by name: another order is mapped, other names are refused or renamed."""

import pytest

from autodepth.errors import DataError
from autodepth.export.testing.class_names import match_classes

KNOWN = ("airplane", "cat", "ship")


@pytest.mark.parametrize(
    ("found", "renamed", "labels"),
    [
        (("airplane", "cat", "ship"), {}, [0, 1, 2]),
        (("ship", "airplane", "cat"), {}, [2, 0, 1]),
        (("Ship", "airplane", "cat"), {"ship": "Ship"}, [2, 0, 1]),
        (("boat", "plane", "pet"), {"ship": "boat", "airplane": "plane", "cat": "pet"}, [2, 0, 1]),
        (("cat", "ship", "airplane"), {"cat": "ship", "ship": "cat"}, [2, 1, 0]),
    ],
)
def test_each_class_finds_its_score(found, renamed, labels):
    positions, notes = match_classes(found, KNOWN, renamed, "folder:x")
    assert positions.tolist() == labels
    assert notes == ()


def test_some_of_the_classes_are_enough_and_the_others_told():
    positions, (note,) = match_classes(("ship", "cat"), KNOWN, {}, "folder:x")
    assert positions.tolist() == [2, 1]
    assert "no images of 'airplane'" in note


@pytest.mark.parametrize(
    ("found", "renamed", "message"),
    [
        (("Ship", "cat"), {}, "has 'Ship'; if that is the same, give --map ship=Ship"),
        (("CAT", "ship"), {}, "--map cat=CAT"),
        (("cats", "ships"), {}, "if these are the same, give --map cat=cats --map ship=ships"),
        (
            ("dog", "horse"),
            {},
            r"'airplane', 'cat', 'ship'\).*has 'dog', 'horse'.*--map CLASS=NAME",
        ),
        (("0", "1"), {}, "has '0', '1'"),
        (("Ship", "ship"), {"ship": "Ship"}, "would both be 'ship'"),
        (("ship", "cat"), {"boat": "ship"}, "the network has no 'boat'"),
        (("ship", "cat"), {"ship": "boat"}, "folder:x has no 'boat'"),
    ],
)
def test_other_names_are_refused_with_the_way_out(found, renamed, message):
    with pytest.raises(DataError, match=message):
        match_classes(found, KNOWN, renamed, "folder:x")
