"""Each reason why a network cannot be read has its own sentence and way out."""

import random
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from autodepth.errors import NetworkError
from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.residual_network import ResidualNetwork

SHAPE = (3, 8, 8)
IMAGES = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(0))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        return x + F.relu(self.conv(x))


class Net(nn.Module):
    def __init__(self, num_classes=4):
        super().__init__()
        self.blocks = nn.Sequential(Block(), Block())
        self.fc = nn.Linear(3, num_classes)

    def scores(self, x):
        return self.fc(self.blocks(x).mean((2, 3)))

    def forward(self, images):
        return self.scores(images)


class TwoInputs(Net):
    def forward(self, images, mask):
        return self.scores(images * mask)


class KeywordOnly(Net):
    def forward(self, *, pixel_values):
        return self.scores(pixel_values)


class NoInput(Net):
    def forward(self):
        return self.scores(torch.zeros(1, *SHAPE))


class Dictionary(Net):
    def forward(self, images):
        return {"features": images, "logits": self.scores(images)}


class Pair(Net):
    def forward(self, images):
        return self.scores(images), images


@dataclass
class Output:
    logits: torch.Tensor


class Dataclass(Net):
    def forward(self, images):
        return Output(logits=self.scores(images))


class Record:
    def __init__(self, logits):
        self.logits = logits


class Object(Net):
    def forward(self, images):
        return Record(self.scores(images))


class Auxiliary(Net):
    def __init__(self, num_classes=4):
        super().__init__(num_classes)
        self.auxiliary = nn.Linear(3, num_classes)

    def forward(self, images):
        scores = self.scores(images)
        return (scores, self.auxiliary(images.mean((2, 3)))) if self.training else scores


class OfValues(Net):
    def forward(self, images):
        return self.scores(images if images.mean() > 0 else -images)


class OfType(Net):
    def forward(self, images):
        x = self.blocks(images)
        if type(x) is not torch.Tensor:
            x = x[0]
        return self.fc(x.mean((2, 3)))


class Unregistered(Net):
    def __init__(self):
        super().__init__()
        self.hidden = [nn.Conv2d(3, 3, 1)]

    def forward(self, images):
        return self.scores(self.hidden[0](images))


class OfModes(Net):
    def forward(self, images):
        return self.scores(self.blocks[0].conv(images) if self.training else images)


class OfDraws(Net):
    def forward(self, images):
        return self.scores(images * random.random())


class Pooling(Net):
    def __init__(self, size):
        super().__init__()
        self.pool = nn.MaxPool2d(size)

    def forward(self, images):
        return self.scores(self.pool(images))


class Flat(Net):
    def forward(self, images):
        return self.fc(self.blocks(images).flatten(1))


def grey():
    return nn.Sequential(nn.Conv2d(1, 3, 1), Net())


def partly_double():
    net = Net()
    net.fc.double()
    return net


def not_finite():
    net = Net()
    with torch.no_grad():
        net.blocks[1].conv.bias[0] = float("nan")
    return net


def on_meta():
    with torch.device("meta"):
        return Net()


def scripted():
    return torch.jit.script(Net())


def recorded_by_jit():
    return torch.jit.trace(Net().eval(), IMAGES)


def quantised():
    return torch.ao.quantization.quantize_dynamic(Net(), {nn.Linear}, dtype=torch.qint8)


REFUSED = [
    (TwoInputs, r"forward needs 2 inputs \(images, mask\)(.*\n)*.*self\.network\(images, mask="),
    (KeywordOnly, r"by name only \(pixel_values\)(.*\n)*.*self\.network\(pixel_values=images\)"),
    (NoInput, "forward takes no input"),
    (Dictionary, r"a dict of features, logits(.*\n)*.*self\.network\(images\)\['logits'\]"),
    (Pair, r"gave a tuple(.*\n)*.*self\.network\(images\)\[0\]"),
    (Dataclass, r"gave a Output(.*\n)*.*self\.network\(images\)\.logits"),
    (Object, r"gave a Record(.*\n)*.*self\.network\(images\)\.logits"),
    (Auxiliary, r"auxiliary heads; turn those off in the builder.*aux_logits=False(.*\n)*.*\[0\]"),
    (OfValues, r"test_causes\.py, line \d+\); move what depends on the values of tensors"),
    (OfType, r"it runs, but what was recorded of it does not(.*)isinstance, type"),
    (Unregistered, "assign the layer to an attribute of the network"),
    (OfModes, "it differs between training and evaluation; write what differs as a submodule"),
    (OfDraws, "it draws random numbers in evaluation; turn that off there"),
    (lambda: Pooling(16), r"images of 3x8x8.*the images are too small for it \(--input CxHxW"),
    (grey, r"it takes images of 1 channels \(--input CxHxW"),
    (Flat, r"it is made for images of another size \(--input CxHxW"),
    (partly_double, "parts of it are in another precision: build all of it in float32"),
    (
        not_finite,
        r"weights that are not finite \(NaN or infinity\), first in blocks\.1\.conv\.bias",
    ),
    (on_meta, "on the meta device, which have no values; build it on the CPU"),
    (scripted, r"Net is scripted or traced by torch\.jit.*load_state_dict\(scripted\.state_dict"),
    (recorded_by_jit, r"Net is scripted or traced by torch\.jit"),
    (quantised, r"is quantised \(fc is Linear\).*let the export quantise it"),
    (lambda: Net, "must be an instance, but got the class Net: call it"),
    (lambda: [Net()], r"must be a torch\.nn\.Module, but got \[Net"),
    (lambda: Net(7), r"must give 4 scores per image, but gave \(1, 7\)"),
]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize(("build", "told"), REFUSED)
def test_a_network_that_cannot_be_read_is_told_why_and_what_to_do(build, told):
    with pytest.raises(NetworkError, match=told):
        ResidualNetwork.from_module(build(), SHAPE, classes=4)


class Wrapped(nn.Module):
    """As the messages advise."""

    def __init__(self, network):
        super().__init__()
        self.network = network


class First(Wrapped):
    def forward(self, images):
        return self.network(images)[0] if self.training else self.network(images)


class Logits(Wrapped):
    def forward(self, images):
        return self.network(images)["logits"]


class Named(Wrapped):
    def forward(self, images):
        return self.network(pixel_values=images)


@pytest.mark.parametrize(
    ("wrapper", "build"), [(First, Auxiliary), (Logits, Dictionary), (Named, KeywordOnly)]
)
def test_the_wrapper_that_is_advised_is_the_way_out(wrapper, build):
    module = wrapper(build())
    network = ResidualNetwork.from_module(module, SHAPE, classes=4)

    assert len(network.branches) == 2
    assert torch.equal(network.module.eval()(IMAGES), module.eval()(IMAGES))


class Lazy(Net):
    def __init__(self):
        super().__init__()
        self.fc = nn.LazyLinear(4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own
@pytest.mark.parametrize(
    ("build", "note"),
    [
        (lambda: torch.compile(Net()), "OptimizedModule is taken off"),
        (lambda: nn.DataParallel(torch.compile(Net())), "DataParallel is taken off"),
        (lambda: Net().bfloat16(), "its weights are bfloat16; they are read, trained"),
        (lambda: Net().half(), "its weights are float16"),
        (lambda: Net().double(), "its weights are float64"),
        (Lazy, "its lazy layers were initialised by an image of 3x8x8"),
    ],
)
def test_what_can_simply_be_made_right_is_made_so_and_told(build, note):
    module = build()
    types = {parameter.dtype for parameter in module.parameters()}
    network = ResidualNetwork.from_module(module, SHAPE, classes=4)

    assert len(network.branches) == 2
    assert network.notes[0].startswith(note)
    assert set(network.module.state_dict()) == set(Net().state_dict())
    assert {parameter.dtype for parameter in network.module.parameters()} == {torch.float32}
    assert {parameter.dtype for parameter in module.parameters()} == types


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiled_blocks_are_looked_into():
    module = nn.Sequential(torch.compile(Block()), Block())
    network = ResidualNetwork.from_module(module, SHAPE)

    assert len(network.branches) == 2
    assert set(network.module.state_dict()) == set(module.state_dict())


def test_values_that_are_not_finite_are_told():
    class Logarithm(Net):
        def forward(self, images):
            return (self.scores(images) * 0 - 1).log()

    class OfSpread(Net):
        def forward(self, images):
            return self.scores(images / images.std())

    notes = [ResidualNetwork.from_module(net(), SHAPE).notes for net in (Logarithm, OfSpread)]

    assert notes[0][0].startswith("it gives NaN or infinity in evaluation")
    assert notes[1] == ()


BUILDERS = """
from torch import nn

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
    def forward(self, x):
        return x + self.conv(x)

class Net(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.block, self.fc = Block(), nn.Linear(3, num_classes)
    def forward(self, x):
        return self.fc(self.block(x).mean((2, 3)))

def any_name(**settings):
    return Net(settings.get("num_classes", 10))

def passed_on(*args, **settings):
    return Net(*args, **settings)

def not_passed_on(**settings):
    return nn.Conv2d(3, 3, 1, **settings)

def forgotten():
    return Net

made = Net(4)
"""


@pytest.fixture
def build(tmp_path, monkeypatch):
    (tmp_path / "given_networks.py").write_text(BUILDERS)
    monkeypatch.syspath_prepend(str(tmp_path))

    def built(name):
        spec = NetworkSpec(name=f"given_networks:{name}", classes=4, own_code=True)
        return build_network(spec)

    return built


@pytest.mark.parametrize("name", ["Net", "any_name", "passed_on", "made"])
def test_the_number_of_classes_reaches_a_builder(build, name):
    network = build(name)

    assert network.module.get_submodule("fc").out_features == 4


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("not_passed_on", r"num_classes'; it is filled in where a builder takes any name"),
        ("forgotten", r"but gave <class 'given_networks\.Net'>, a class: call it"),
    ],
)
def test_a_builder_that_gives_no_network_is_told_what_to_change(build, name, told):
    with pytest.raises(NetworkError, match=told):
        build(name)
