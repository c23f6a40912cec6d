"""Networks by name: torchvision, timm, and code of one's own."""

import os
import sys
import textwrap
from collections import Counter
from dataclasses import replace

import pytest
import torch

from autodepth.errors import NetworkError, NewerStudyError
from autodepth.networks.catalogue import (
    NetworkSpec,
    build_module,
    build_network,
    default_classes,
    default_input,
)
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.weights.own_files import save_weights

OWN = '''
import torch
from torch import nn


class Block(nn.Module):
    """Three residuals in three spellings, one behind a switch."""

    def __init__(self, width, use=True):
        super().__init__()
        self.use = use
        conv = nn.Conv2d(width, width, 3, padding=1)
        self.f = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), conv)
        self.g = nn.Conv2d(width, width, 1, bias=False)
        self.h = nn.Linear(width, width)

    def forward(self, x):
        x.add_(self.f(x))
        if self.use:
            x = torch.add(x, self.g(x), alpha=0.5)
        return self.h(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) + x


class Net(nn.Module):
    def __init__(self, width=8, depth=2, use=True, num_classes=5):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.Sequential(*(Block(width, use) for _ in range(depth)))
        self.head = nn.Linear(width, num_classes)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


class Choosy(Net):
    def forward(self, x):
        return super().forward(x if x.mean() > 0 else -x)


def broken(width=8):
    raise RuntimeError("out of luck")


def number():
    return 3
'''


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module of a person's own in the current directory."""
    package = tmp_path / "mine"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "nets.py").write_text(textwrap.dedent(OWN))
    (package / "needy.py").write_text("import a_library_that_is_not_there")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "mine"]:
        del sys.modules[name]


def build(name, classes=5, **arguments):
    spec = NetworkSpec(name=name, classes=classes, height=8, width=8, arguments=arguments)
    return build_network(replace(spec, own_code=True))


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(("use", "branches"), [(True, 6), (False, 4)])
def test_a_network_of_ones_own_is_built_from_its_arguments(use, branches):
    network = build("mine.nets:Net", width=4, use=use)

    network.module.train()(torch.randn(2, 3, 8, 8)).sum().backward()
    network.without([1, 2]).module.train()(torch.randn(2, 3, 8, 8)).sum().backward()

    assert [branch.shortcut for branch in network.branches] == ["identity"] * branches
    assert network.module.get_submodule("head").weight.shape == (5, 4)


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("mine.nets:Nett", {}, r"mine\.nets has no callable 'Nett', did you mean 'Net'\?"),
        ("mine.netz:Net", {}, "no Python module 'mine.netz'.*neither installed nor in"),
        ("yours:Net", {}, "no Python module 'yours'"),
        ("mine.needy:Net", {}, "mine.needy cannot be imported.*a_library_that_is_not_there"),
        ("mine.nets:Net", {"deep": 3}, r"unexpected keyword argument 'deep'.*takes \(width=8"),
        ("mine.nets:broken", {}, r"mine.nets:broken\(\) failed: RuntimeError: out of luck"),
        ("mine.nets:number", {}, "must give a torch.nn.Module, but gave 3"),
        ("mine.nets:Net", {"num_classes": 7}, r"must give 5 scores per image, but gave \(1, 7\)"),
        (
            "mine.nets:Choosy",
            {},
            r"Choosy cannot be traced: .*\(nets.py, line \d+\); move .*fx.wrap",
        ),
    ],
)
def test_what_is_wrong_with_a_builder_is_told(name, arguments, message):
    with pytest.raises(NetworkError, match=message):
        build(name, **arguments)


@pytest.mark.usefixtures("own")
def test_code_of_ones_own_runs_only_where_that_was_asked_for():
    with pytest.raises(NetworkError, match="a file may come from elsewhere: allow it"):
        build_network(NetworkSpec(name="mine.nets:Net"))

    assert "mine" not in sys.modules


@pytest.mark.usefixtures("own")
def test_without_a_number_of_classes_the_builder_decides():
    assert default_classes("mine.nets:Net") == 0
    assert build("mine.nets:Net", classes=0).module.get_submodule("head").out_features == 5


def test_a_network_is_read_once_and_given_out_as_copies(monkeypatch, tmp_path):
    read, count = ResidualNetwork.from_module, Counter()

    def counted(module, *arguments, **more):
        count[type(module).__name__] += 1
        return read(module, *arguments, **more)

    monkeypatch.setattr(ResidualNetwork, "from_module", counted)
    spec = NetworkSpec(name="resnet8", channels=1, height=8, width=8)
    first, again = (build_network(spec, seed=1).module for _ in range(2))
    with torch.no_grad():
        first.conv1.weight.zero_()
    third = build_network(spec, seed=1).module

    assert count.total() == 1
    assert first.code == again.code
    assert torch.equal(again.conv1.weight, third.conv1.weight)
    assert third.conv1.weight.any()
    other = build_network(spec, seed=2).module
    assert not torch.equal(other.conv1.weight, third.conv1.weight)

    weights = tmp_path / "weights.safetensors"
    for module in (third, other):  # one file, other content
        save_weights(module, weights)
        os.utime(weights, ns=(0, count.total()))
        loaded = build_network(spec, seed=1, weights=weights).module
        assert torch.equal(loaded.conv1.weight, module.conv1.weight)


def test_arguments_reach_the_builders_of_a_catalogue():
    spec = NetworkSpec(name="torchvision:resnet18", height=32, width=32)
    plain, wide = (
        build_network(NetworkSpec(**{**spec.to_dict(), "arguments": arguments}))
        for arguments in ({}, {"width_per_group": 64, "zero_init_residual": True})
    )

    assert wide.total_macs == plain.total_macs
    assert not wide.module.get_submodule("layer1.0.bn2").weight.any()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet20", "takes no arguments"),
        ("torchvision:resnet18", "cannot be built with {'depth': 3}: .*unexpected keyword"),
    ],
)
def test_arguments_a_network_does_not_take_are_refused(name, message):
    with pytest.raises(NetworkError, match=message):
        build(name, depth=3)


def test_timm_networks_take_the_size_of_the_images():
    timm_is_here()
    spec = NetworkSpec(name="timm:vit_tiny_patch16_224", classes=10, height=32, width=32)
    network = build_network(spec)

    assert [b.shortcut for b in network.branches] == ["identity"] * 24
    assert default_input("timm:vit_tiny_patch16_224") == (3, 224, 224)
    assert default_classes("timm:vit_tiny_patch16_224") == 1000


def test_an_unknown_timm_network_is_refused_with_the_nearest():
    timm_is_here()
    with pytest.raises(NetworkError, match="timm has no model 'resnet_18', did you mean 'resnet"):
        build_network(NetworkSpec(name="timm:resnet_18"))


def test_without_timm_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)

    with pytest.raises(NetworkError, match=r"pip install 'autodepth\[timm\]'"):
        build_network(NetworkSpec(name="timm:resnet18"))


def timm_is_here():
    """Skip where the extra is not installed."""
    from autodepth.networks.catalogue.libraries.timm_models import import_timm

    try:
        import_timm()
    except NetworkError:
        pytest.skip("timm is an extra")


def test_what_is_built_in_inference_mode_can_be_trained():
    spec = NetworkSpec(name="resnet8", classes=10)
    with torch.inference_mode():
        first, again = build_network(spec), build_network(spec)

    for network in (first, again):
        network.module.train()
        network.module(torch.randn(2, 3, 32, 32)).sum().backward()
        assert all(p.grad is not None for p in network.module.parameters())


def test_a_network_whose_tensors_belong_to_inference_mode_is_refused():
    with torch.inference_mode():
        given = build_module(NetworkSpec(name="resnet8", classes=10))

    with pytest.raises(NetworkError, match=r"was built under torch.inference_mode\(\)"):
        ResidualNetwork.from_module(given, (3, 32, 32))


def test_a_network_as_a_newer_autodepth_wrote_it_is_refused():
    with pytest.raises(NewerStudyError, match=r"a network must .* has 'blocks'"):
        NetworkSpec.from_dict({"name": "resnet14", "blocks": 3})
