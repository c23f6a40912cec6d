"""What may be queued is checked before it is."""

import pytest

from autodepth.errors import InputError, SpaceFileError
from autodepth.service.queue.wishes import SearchWish, checked_policy, joined_formats
from autodepth.space.file.shipped import default_space

OWN_TASK = """
version: 1
network: {name: resnet20}
task: {name: "os.path:join"}
search: {branches_removed: {type: int, min: 0, max: 3}}
"""


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"budget": "5"}, "has no unit"),
        ({"study": "../x"}, "a name must be"),
        ({"space": "nothing"}, "space must be one of"),
        ({"space": "digits_resnet20", "space_text": "version: 1"}, "exclude each other"),
        ({"concurrency": 0}, "at least 1"),
        ({"settings": ["train.epoch=3"]}, "epoch"),
        ({"network": "os:system"}, "imports no code of your own, but got 'os:system'"),
        ({"settings": ["network.name=os:system"]}, "imports no code of your own"),
        ({"space_text": OWN_TASK}, "imports no code of your own, but got 'os.path:join'"),
        ({"settings": ["task.name=os.path:join"]}, "^digits_resnet20.yaml:16:1: data: must be"),
        ({"formats": ["int8"]}, "made from onnx"),
        ({"formats": ["tflite"]}, "must be one of torch"),
    ],
)
def test_what_cannot_be_searched_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        SearchWish(**{"study": "new", "budget": "1h", **given}).check()


def test_mistakes_of_a_space_are_told_by_their_place_and_no_other_path():
    text = f"nothing: 1\n{default_space().read_text()}"
    with pytest.raises(SpaceFileError) as error:
        SearchWish(study="new", budget="1h", space_text=text).check()
    assert all(mistake.startswith("space.yaml:1:1: nothing") for mistake in error.value.mistakes)


def test_what_is_kept_is_what_was_said():
    wish = SearchWish(study="new", budget="1h", settings=["seed=3"], formats=["onnx", "int8"])
    wish.check()
    assert wish.arguments() == {"budget": "1h", "set": ["seed=3"], "formats": "onnx,int8"}


@pytest.mark.parametrize("told", [{"nothing": 1}, {"p_L": float("nan")}, {"train": 3}, {"p_L": {}}])
def test_what_is_no_policy_is_refused(told):
    with pytest.raises(InputError):
        checked_policy(told)


def test_a_policy_is_kept_whole():
    assert checked_policy({"p_L": 0.5})["p_L"] == 0.5
    assert joined_formats([]) == "none"
