"""Networks of a person's own code: called with what they take, or refused with what is wrong."""

import sys

import pytest
from torch import nn

from autodepth.errors import NetworkError
from autodepth.networks.catalogue.own_builder import code_folder, is_own, own_module

BUILDERS = """
from torch import nn

READY = nn.Linear(1, 1)

def plain(width=2):
    return nn.Linear(width, width)

def classes(num_classes, width=2):
    return nn.Linear(width, num_classes)

def anything(**options):
    if "num_classes" in options:
        raise TypeError("unexpected num_classes")
    return nn.Identity()

def broken():
    return 1 / 0

def nothing():
    return nn.Linear
"""


@pytest.fixture
def folder(tmp_path):
    name = f"builders_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(BUILDERS)
    yield tmp_path, name
    sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("nets:Net", True),
        ("my.nets:build", True),
        ("torchvision:resnet18", False),
        ("timm:vit", False),
        ("resnet20", False),
        ("my.nets:", False),
        ("my nets:Net", False),
    ],
)
def test_a_name_of_own_code_has_a_module_and_a_callable(name, own):
    assert is_own(name) is own


def test_a_builder_gets_the_arguments_and_the_classes_it_takes(folder):
    place, name = folder

    assert own_module(f"{name}:plain", 10, {}, place).out_features == 2
    assert own_module(f"{name}:plain", 10, {"width": 3}, place).out_features == 3
    assert own_module(f"{name}:classes", 10, {}, place).out_features == 10
    assert own_module(f"{name}:classes", 10, {"num_classes": 4}, place).out_features == 4
    assert code_folder(f"{name}:plain") == place


def test_a_network_that_is_ready_is_copied(folder):
    place, name = folder
    one, other = (own_module(f"{name}:READY", 10, {}, place) for _ in range(2))

    assert isinstance(one, nn.Linear)
    assert one.weight is not other.weight


@pytest.mark.parametrize(
    ("builder", "arguments", "told"),
    [
        ("plain", {"size": 3}, r"plain\(size=3\) cannot be called: .*takes \(width=2\)"),
        ("anything", {}, "is filled in where a builder takes any name"),
        ("broken", {}, "failed: ZeroDivisionError: division by zero"),
        ("nothing", {}, "must give a torch.nn.Module, but gave .*, a class: call it"),
        ("plane", {}, "has no callable 'plane', did you mean 'plain'?"),
    ],
)
def test_what_gives_no_network_is_refused_with_its_call(folder, builder, arguments, told):
    place, name = folder
    with pytest.raises(NetworkError, match=told):
        own_module(f"{name}:{builder}", 10, arguments, place)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import a_module_that_is_not_there", "cannot be imported: No module named"),
        ("raise ValueError('no')", r"cannot be imported: ValueError\('no'\)"),
        ("def", "cannot be imported: SyntaxError"),
    ],
)
def test_code_that_cannot_be_imported_is_named_with_the_cause(tmp_path, code, told):
    name = f"faulty_{abs(hash(code))}"
    (tmp_path / f"{name}.py").write_text(code)
    with pytest.raises(NetworkError, match=told):
        own_module(f"{name}:Net", 10, {}, tmp_path)


def test_a_module_that_is_nowhere_is_looked_for_in_the_folder_that_is_named(tmp_path):
    with pytest.raises(NetworkError, match=f"neither installed nor in {tmp_path}"):
        own_module("nets_that_are_nowhere:Net", 10, {}, tmp_path)
