"""A residual addition is found however it is written; what looks like one and is none is told."""

import functools
import operator

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from autodepth.errors import NetworkError
from autodepth.networks.gates.gates import GatedNetwork
from autodepth.networks.residual_network import ResidualNetwork

SHAPE = (4, 8, 8)
IMAGES = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(0))
HALF = torch.full((1,), 0.5)


def conv(stride=1):
    return nn.Conv2d(4, 4, 3, stride, 1)


def subtracted_in_place(x, f):
    x = x.clone()
    x -= f
    return x


TAKEN = {
    "x + f": operator.add,
    "f + x": lambda x, f: f + x,
    "x.__add__(f)": lambda x, f: x.__add__(f),
    "x += f": operator.iadd,
    "torch.add": torch.add,
    "torch.add(alpha)": lambda x, f: torch.add(x, f, alpha=0.5),
    "torch.add(x, other=)": lambda x, f: torch.add(x, other=f),
    "torch.add(input=, other=)": lambda x, f: torch.add(input=x, other=f),
    "torch.add(other=, input=f, alpha)": lambda x, f: torch.add(other=f, input=x, alpha=2),
    "x.add(other=)": lambda x, f: x.add(other=f),
    "x.add(other=, alpha)": lambda x, f: x.add(other=f, alpha=0.25),
    "f.add(x)": lambda x, f: f.add(x),
    "f.add_(other=x)": lambda x, f: f.add_(other=x),
    "sum([x, f])": lambda x, f: sum([x, f]),
    "sum((f, x))": lambda x, f: sum((f, x)),
    "reduce": lambda x, f: functools.reduce(operator.add, [x, f]),
    "stack.sum(0)": lambda x, f: torch.stack([x, f]).sum(0),
    "stack.sum(dim)": lambda x, f: torch.stack((x, f), dim=1).sum(dim=1),
    "torch.sum(stack)": lambda x, f: torch.sum(torch.stack(tensors=[f, x]), dim=0),
    "stack.mean(0)": lambda x, f: torch.stack([x, f]).mean(0),
    "x - f": operator.sub,
    "x.sub(other=)": lambda x, f: x.sub(other=f),
    "x -= f": subtracted_in_place,
    "torch.sub": torch.sub,
    "torch.sub(alpha=-1)": lambda x, f: torch.sub(x, f, alpha=-1),
    "torch.subtract(alpha)": lambda x, f: torch.subtract(x, f, alpha=0.5),
    "torch.rsub": lambda x, f: torch.rsub(f, x),
    "addcmul": lambda x, f: torch.addcmul(x, f, HALF),
    "x.addcmul(value)": lambda x, f: x.addcmul(HALF, f, value=3),
    "aten.add": torch.ops.aten.add,
    "aten.add.Tensor": lambda x, f: torch.ops.aten.add.Tensor(x, f, alpha=2),
    "aten.sub.Tensor": torch.ops.aten.sub.Tensor,
    "FloatFunctional.add": nn.quantized.FloatFunctional().add,
    "half of each": lambda x, f: 0.5 * x + 0.5 * f,
    "scaled sum": lambda x, f: (x + f) / 2**0.5,
    "lerp to the sum": lambda x, f: torch.lerp(x, x + f, 0.5),
}


class Way(nn.Module):
    def __init__(self, way):
        super().__init__()
        self.conv, self.norm, self.way = conv(), nn.BatchNorm2d(4), way
        self.held = getattr(way, "__self__", None)

    def forward(self, x):
        return F.relu(self.way(x, self.norm(self.conv(x))))


def two_blocks(way):
    return nn.Sequential(conv(), Way(way), Way(operator.add)).eval()


@pytest.mark.parametrize("spelling", TAKEN)
def test_an_addition_is_taken_and_leaving_it_out_is_adding_nothing(spelling):
    way = TAKEN[spelling]
    module = two_blocks(way)
    network = ResidualNetwork.from_module(module, SHAPE)
    gated = GatedNetwork(network)
    gated.eval()
    with torch.no_grad():
        x = module[0](IMAGES)
        by_hand = module[2](F.relu(way(x.clone(), torch.zeros_like(x))))

        rounding = 1e-6 if "addcmul" in spelling else 0  # its product is fused on some CPUs
        assert torch.allclose(network.module.eval()(IMAGES), module(IMAGES), rounding, rounding)
        assert len(network.branches) == 2
        assert torch.equal(network.without([1]).module(IMAGES), by_hand)
        gated.bypass(1)
        assert torch.equal(gated(IMAGES), by_hand)
    shortcut = "projection" if spelling == "half of each" else "identity"
    assert network.branches[0].shortcut == shortcut


@pytest.mark.parametrize(
    "way",
    [
        lambda x, f: torch.lerp(x, f, 0.5),
        lambda x, f: x.lerp(f, HALF),
        lambda x, f: f - x,
        lambda x, f: torch.add(f, x, alpha=2),
        lambda x, f: torch.stack([x, f, f.relu(), f.sigmoid(), f.tanh()]).sum(0),
    ],
)
def test_what_looks_like_one_and_is_not_taken_is_counted(way):
    module = nn.Sequential(*two_blocks(way), Way(way))
    network = ResidualNetwork.from_module(module, SHAPE)

    assert [branch.module for branch in network.branches] == ["2"]
    assert [note.partition(":")[0] for note in network.notes] == [
        "2 places not taken (1 and 1 more)"
    ]


@pytest.mark.parametrize(
    "way", [lambda x, f: x * f - x.mean(), lambda _, f: f - f.mean((2, 3), keepdim=True)]
)
def test_differences_that_are_no_residuals_are_left_alone(way):
    module = two_blocks(way)
    network = ResidualNetwork.from_module(module, SHAPE)

    assert [branch.module for branch in network.branches] == ["2"]
    assert network.notes == ()
    assert torch.equal(network.module.eval()(IMAGES), module(IMAGES))


class Step(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = conv()

    def forward(self, x):
        return x + F.relu(self.conv(x))


class LongSkip(nn.Module):
    """As in super-resolution: a skip around all steps, and a convolution at its end."""

    def __init__(self, cut_into_modules, steps):
        super().__init__()
        self.steps = nn.ModuleList((Step if cut_into_modules else conv)() for _ in range(steps))
        self.tail, self.cut_into_modules = conv(), cut_into_modules

    def forward(self, x):
        first = x
        for step in self.steps:
            x = step(x) if self.cut_into_modules else x + F.relu(step(x))
        return first + self.tail(x)


@pytest.mark.parametrize("steps", [2, 4])
def test_steps_under_a_long_skip_are_found_however_they_are_cut_into_modules(steps):
    found = []
    for cut in (True, False):
        network = ResidualNetwork.from_module(nn.Sequential(conv(), LongSkip(cut, steps)), SHAPE)
        found.append([(b.macs, b.parameters, b.shortcut, b.removable) for b in network.branches])
        (note,) = network.notes
        assert note.startswith("1 place not taken (1): a skip around several branches")
    assert found[0] == found[1]
    assert len(found[0]) == steps


class UNet(nn.Module):
    """Additive skips over levels, one step at the bottom, as in LinkNet."""

    def __init__(self, levels, cut_into_modules):
        super().__init__()
        self.down = nn.ModuleList(conv(2) for _ in range(levels))
        self.up = nn.ModuleList(nn.ConvTranspose2d(4, 4, 2, 2) for _ in range(levels))
        self.bottom, self.cut_into_modules = (
            (Step if cut_into_modules else conv)(),
            cut_into_modules,
        )

    def forward(self, x):
        skips = []
        for down in self.down:
            skips.append(x)
            x = F.relu(down(x))
        x = self.bottom(x) if self.cut_into_modules else x + F.relu(self.bottom(x))
        for up in self.up:
            x = skips.pop() + up(x)
        return x


@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize("cut", [True, False])
def test_the_step_at_the_bottom_of_additive_skips_is_found(levels, cut):
    network = ResidualNetwork.from_module(nn.Sequential(conv(), UNet(levels, cut)), SHAPE)

    (branch,) = network.branches
    assert branch.parameters == sum(p.numel() for p in conv().parameters())


class Tokens(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.layers = layers

    def forward(self, x):
        return self.layers(x.flatten(2)).mean(1)


class Decoded(Tokens):
    def forward(self, x):
        x = x.flatten(2)
        return self.layers(x, x * 2).mean(1)


LAYER = {"d_model": 8, "nhead": 2, "dim_feedforward": 16, "batch_first": True}


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize(
    ("build", "branches"),
    [
        (lambda **k: Tokens(nn.TransformerEncoderLayer(**k)), 2),
        (lambda **k: Tokens(nn.TransformerEncoder(nn.TransformerEncoderLayer(**k), 2)), 4),
        (lambda **k: Decoded(nn.TransformerDecoderLayer(**k)), 3),
        (lambda **k: Decoded(nn.TransformerDecoder(nn.TransformerDecoderLayer(**k), 2)), 6),
    ],
)
def test_torchs_own_transformer_layers_are_looked_into(build, branches, norm_first):
    module = build(**LAYER, norm_first=norm_first).eval()
    network = ResidualNetwork.from_module(module, (4, 2, 4))
    images = torch.randn(2, 4, 2, 4)

    assert len(network.branches) == branches
    assert torch.allclose(network.module.eval()(images), module(images), atol=1e-6)


def test_additions_inside_a_branch_are_counted():
    class Inner(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.step = nn.BatchNorm2d(4), Step()

        def forward(self, x):
            return x + self.step(self.norm(x))

    network = ResidualNetwork.from_module(nn.Sequential(conv(), Inner()), SHAPE)

    (note,) = network.notes
    assert note.startswith("1 place not taken (1.step): adds x + f(x) inside another branch")


def test_a_network_without_any_branch_says_what_looked_like_one():
    with pytest.raises(NetworkError, match=r"no residual branch.*1 place not taken \(1\)"):
        ResidualNetwork.from_module(nn.Sequential(conv(), Way(lambda x, f: f - x)), SHAPE)


class Mixer(nn.Module):
    """A block of two additions: a mixing without weights, and layers."""

    def __init__(self, mix):
        super().__init__()
        self.mix, self.norm = mix, nn.LayerNorm(4)
        self.mlp = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 4))

    def forward(self, x):
        x = x + self.mix(x)
        return x + self.mlp(self.norm(x))


def mixers(mix):
    class Mixers(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks, self.head = nn.Sequential(Mixer(mix), Mixer(mix)), nn.Linear(4, 3)

        def forward(self, x):
            return self.head(self.blocks(x.flatten(2).mT).mean(1))

    return Mixers()


@pytest.mark.parametrize(
    "mix",
    [
        lambda x: torch.fft.fftn(x, dim=(1, 2)).real,  # FNet, as transformers has it
        lambda x: torch.fft.fft(torch.fft.fft(x, dim=-1), dim=-2).real,
        lambda x: torch.fft.fft2(x).real,
        lambda x: torch.roll(x, 1, 1),
        lambda x: x.matmul(x.mT).softmax(-1).matmul(x),
        lambda x: F.scaled_dot_product_attention(x, x, x),
    ],
)
def test_a_mixing_without_weights_is_told(mix):
    network = ResidualNetwork.from_module(mixers(mix), SHAPE)

    assert len(network.branches) == 2
    (note,) = network.notes
    assert note.startswith("2 places not taken (blocks.0 and 1 more): adds x + f(x), but f has no")


def test_an_activation_spelled_out_is_no_mixing():
    def gelu(x):
        return 0.5 * x * (1 + torch.tanh(0.79788456 * (x + 0.044715 * x.pow(3))))

    assert ResidualNetwork.from_module(mixers(gelu), SHAPE).notes == ()
