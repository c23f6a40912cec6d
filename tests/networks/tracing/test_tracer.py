"""Networks as people write them: whatever they do besides, their residual branches are found."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from autodepth.errors import NetworkError
from autodepth.networks.catalogue import NetworkSpec, build_module, build_network
from autodepth.networks.gates.gates import GatedNetwork
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.torchvision_door import import_torchvision

SHAPE = (4, 8, 8)
IMAGES = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(0))


def conv(channels=4, out=None):
    return nn.Conv2d(channels, out or channels, 3, padding=1)


def convs(count):
    return nn.ModuleList(conv() for _ in range(count))


def blocks_of(module, shape=SHAPE):
    return [branch.module for branch in ResidualNetwork.from_module(module, shape).branches]


class Block(nn.Module):
    """x + f(x), written by each test."""

    def __init__(self):
        super().__init__()
        self.conv = conv()

    def forward(self, x):
        return x + self.conv(x)


class FunctionalDropout(Block):
    def forward(self, x):
        return x + F.dropout(self.conv(x), 0.5, self.training)


class Padding(Block):
    """Control flow and loops over sizes, and tensors made from sizes."""

    def forward(self, x):
        _, _, height, width = x.shape
        y = self.conv(x)
        if height % 3:
            y = F.pad(y, (0, -width % 3, 0, -height % 3))
        for axis in range(2, len(y.shape)):
            y = y + torch.arange(y.shape[axis], device=y.device).float().mean()
        torch._assert(height == 8, "made for 8 pixels")
        return x + y[:, :, :height, :width]


class TwoModes(nn.Module):
    """A layer that is another one in training."""

    def __init__(self):
        super().__init__()
        self.conv = conv()

    def forward(self, x):
        return self.conv(x + torch.randn_like(x)) if self.training else self.conv(x)


class MaskInTraining(nn.Module):
    """Calls a layer in another way in training."""

    def __init__(self):
        super().__init__()
        self.layer = Masked()

    def forward(self, x):
        return self.layer(x, torch.rand_like(x)) if self.training else self.layer(x)


class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = conv()

    def forward(self, x, mask=None):
        return self.conv(x if mask is None else x * mask)


class DataDependent(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = conv()

    def forward(self, x):
        return self.conv(x) if x.mean() > 0 else x


class Around(Block):
    """A residual block around a layer that cannot be traced, or does two things."""

    def __init__(self, layer):
        super().__init__()
        self.conv = layer


@pytest.mark.parametrize(
    "block",
    [
        Block,
        FunctionalDropout,
        Padding,
        lambda: Around(TwoModes()),
        lambda: Around(MaskInTraining()),
        lambda: Around(DataDependent()),
    ],
)
def test_a_block_is_found_and_computes_what_it_did_in_both_modes(block):
    module = nn.Sequential(conv(), block(), nn.ReLU(), block())
    network = ResidualNetwork.from_module(module, SHAPE)

    assert [branch.module for branch in network.branches] == ["1", "3"]
    assert set(network.module.state_dict()) == set(module.state_dict())
    for training in (False, True):
        outputs = []
        for each in (module, network.module):
            torch.manual_seed(0)
            outputs.append(each.train(training)(IMAGES))
        assert torch.equal(*outputs)


def test_a_layer_that_cannot_be_looked_into_is_told_with_place_and_advice():
    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Sequential(DataDependent())

        def forward(self, x):
            return self.inner(x) if x.sum() > 0 else x

    network = ResidualNetwork.from_module(nn.Sequential(Block(), Whole()), SHAPE)
    hidden = nn.Sequential(conv(), Whole())

    assert len(network.branches) == 1
    assert network.without([1]).notes == network.notes
    (note,) = network.notes
    assert note.startswith("not looked into: 1, since symbolically traced variables")
    assert "test_tracer.py, line" in note
    assert "torch.fx.wrap" in note
    with pytest.raises(NetworkError, match=r"no residual branch.*not looked into: 1.*fx\.wrap"):
        ResidualNetwork.from_module(hidden, SHAPE)


def test_a_size_that_cannot_be_told_is_not_taken_for_another():
    class OfEightPixels(Block):
        def forward(self, x):
            return x + self.conv(x) if x.shape[2] == 8 else x

    module = nn.Sequential(Block(), DataDependent(), OfEightPixels())
    network = ResidualNetwork.from_module(module, SHAPE)

    assert [branch.module for branch in network.branches] == ["0"]
    assert [note[:18] for note in network.notes] == [f"not looked into: {i}" for i in "12"]
    assert torch.equal(network.module.eval()(IMAGES), module.eval()(IMAGES))


class Res2NetBlock(nn.Module):
    """Inner additions between the parts of a split."""

    def __init__(self):
        super().__init__()
        self.first, self.convs, self.last = (
            conv(4, 6),
            nn.ModuleList(conv(2) for _ in range(3)),
            conv(6, 4),
        )

    def forward(self, x):
        parts = torch.chunk(self.first(x), 3, 1)
        done = []
        for i, layer in enumerate(self.convs):
            y = layer(parts[i] if i == 0 else done[-1] + parts[i])
            done.append(y)
        return F.relu(self.last(torch.cat(done, 1)) + x)


class Mixer(nn.Module):
    """An attention that adds within itself, as its own block's branch."""

    def __init__(self):
        super().__init__()
        self.norm, self.block = nn.BatchNorm2d(4), Block()

    def forward(self, x):
        return x + self.block(self.norm(x))


class GlobalSkip(nn.Module):
    """A skip around everything, with a convolution at its end."""

    def __init__(self):
        super().__init__()
        self.body, self.tail = nn.Sequential(*(Block() for _ in range(3))), conv()

    def forward(self, x):
        x = F.relu(x)
        return x + self.tail(self.body(x))


class Parallel(nn.Module):
    """Two branches side by side behind one norm."""

    def __init__(self):
        super().__init__()
        self.norm, self.a, self.b = nn.BatchNorm2d(4), conv(), nn.Sequential(conv(), conv())

    def forward(self, x):
        y = self.norm(x)
        return x + self.a(y) + self.b(y)


class TwoBranches(nn.Module):
    """Pre-activation; two residual additions in one module; layer scale and squeeze-excitation."""

    def __init__(self):
        super().__init__()
        self.layers, self.squeeze = convs(2), nn.Conv2d(4, 4, 1)
        self.scale = nn.Parameter(torch.ones(4, 1, 1))

    def forward(self, x):
        y = self.layers[0](F.relu(x))
        x = x + y * self.squeeze(y.mean((2, 3), keepdim=True)).sigmoid()
        return self.scale * self.layers[1](F.relu(x)) + x


class ClassToken(nn.Module):
    """A learned token that attends to the image: x + f(x, image)."""

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 1, 4))
        self.blocks = nn.ModuleList(nn.Linear(4, 4) for _ in range(2))

    def forward(self, x):
        x = x.flatten(2).mT
        token = self.token.expand(x.shape[0], -1, -1)
        for layer in self.blocks:
            token = token + layer(torch.cat((token, x), 1)).mean(1, keepdim=True)
        return token


@pytest.mark.parametrize(
    ("block", "branches"),
    [
        (Res2NetBlock, 1),
        (Mixer, 1),
        (GlobalSkip, 3),
        (Parallel, 2),
        (TwoBranches, 2),
        (ClassToken, 2),
    ],
)
def test_nested_parallel_and_several_branches(block, branches):
    network = ResidualNetwork.from_module(nn.Sequential(conv(), block()), SHAPE)
    gated = GatedNetwork(network)
    gated.eval()

    assert [branch.shortcut for branch in network.branches] == ["identity"] * branches
    for branch in network.branches:
        gated.bypass(branch.index)
        assert torch.equal(gated(IMAGES), network.without([branch.index]).module.eval()(IMAGES))
    bare = network.without(range(1, branches + 1))
    assert bare.total_macs == network.total_macs - sum(b.macs for b in network.branches)
    assert all(
        "1." not in name or "tail" in name
        for name, _ in bare.module.named_parameters()
        if name != "1.token"
    )


class Pyramid(nn.Module):
    """A top-down pathway: sums of two long paths, read at every level."""

    def __init__(self):
        super().__init__()
        self.stages, self.laterals, self.outs = convs(3), convs(3), convs(3)

    def forward(self, x):
        levels = []
        for stage in self.stages:
            x = F.max_pool2d(stage(x), 2)
            levels.append(x)
        y = self.laterals[2](levels[2])
        outs = [self.outs[2](y)]
        for i in (1, 0):
            y = self.laterals[i](levels[i]) + F.interpolate(y, scale_factor=2.0)
            outs.append(self.outs[i](y))
        return sum(out.mean((2, 3)) for out in outs)


class Positions(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.left, self.right = conv(), conv(), conv()
        self.position = nn.Parameter(torch.zeros(1, 4, 8, 8))

    def forward(self, x):
        x = self.conv(x) + self.position
        return self.left(x) + self.right(x)


@pytest.mark.parametrize("module", [Pyramid, Positions])
def test_additions_that_are_no_residuals_are_left_alone(module):
    with pytest.raises(NetworkError, match=r"no residual branch that can be dropped$"):
        blocks_of(module())


def test_a_branch_that_others_read_is_told():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = conv(4, 8)

        def forward(self, x):
            y = self.conv(x)
            return torch.cat((x + y[:, :4], y[:, 4:]), 1)

    with pytest.raises(
        NetworkError,
        match=r"; 1 place not taken \(1\): adds x \+ f\(x\), but part of f\(x\) is read",
    ):
        blocks_of(nn.Sequential(conv(), Shared()))


def test_stochastic_depth_of_a_network_is_taken_out_as_module_and_as_function():
    vision = import_torchvision()
    globals()["drop"] = vision.ops.stochastic_depth  # as a file imports it

    class Dropping(Block):
        def __init__(self):
            super().__init__()
            self.drop = vision.ops.StochasticDepth(0.5, "row")

        def forward(self, x):
            x = x + self.drop(self.conv(x))
            return x + drop(self.conv(x), 0.5, "row", self.training)  # noqa: F821

    network = ResidualNetwork.from_module(nn.Sequential(conv(), Dropping()), SHAPE)
    network.module.train()

    assert len(network.branches) == 2
    assert torch.equal(network.module(IMAGES), network.module(IMAGES))


def test_a_size_that_a_branch_hands_on_does_not_hold_it():
    class Attend(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = convs(2)

        def forward(self, x):
            for layer in self.layers:
                y = layer(x)
                height, width = y.shape[2:]
                x = (x + y).reshape(-1, 4, height, width)
            return x

    assert len(blocks_of(Attend())) == 2


def test_additions_in_place_train_also_where_the_original_could_not():
    class InPlace(Block):
        def forward(self, x):
            return x.add_(self.conv(x))

    module = nn.Sequential(conv(), InPlace(), InPlace())
    network = ResidualNetwork.from_module(module, SHAPE)

    network.module.train()(IMAGES).sum().backward()

    assert len(network.branches) == 2
    assert module[0].weight.grad is not None


def test_torchs_own_transformer_layers_are_looked_into():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True)

    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

        def forward(self, x):
            return self.encoder(x.flatten(2)).mean(1)

    module = Tokens()
    network = ResidualNetwork.from_module(module, (4, 2, 4))
    images = torch.randn(2, 4, 2, 4)

    assert len(network.branches) == 4
    assert torch.allclose(network.module.eval()(images), module.eval()(images), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "size", "identity", "projection"),
    [("swin_t", 64, 24, 0), ("maxvit_t", 224, 51, 4), ("mobilenet_v3_small", 64, 6, 0)],
)
def test_families_with_flags_and_sizes_in_their_functions(name, size, identity, projection):
    spec = NetworkSpec(name=f"torchvision:{name}", classes=10, height=size, width=size)
    module = build_module(spec)
    network = ResidualNetwork.from_module(module, spec.input_shape)
    images = torch.randn(1, 3, size, size)
    shortcuts = [branch.shortcut for branch in network.branches]

    assert (shortcuts.count("identity"), shortcuts.count("projection")) == (identity, projection)
    assert set(network.module.state_dict()) == set(module.state_dict())
    assert torch.equal(network.module.eval()(images), module.eval()(images))


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("swin_t", 64),
        ("resnet18", 64),
        ("convnext_tiny", 64),
        ("regnet_y_400mf", 64),
        ("efficientnet_b0", 64),
    ],
)
def test_a_thinned_network_trains_reloads_and_its_parts_add_up(name, size):
    spec = NetworkSpec(name=f"torchvision:{name}", classes=4, height=size, width=size)
    network = build_network(spec)
    last = {branch.stage: branch.index for branch in network.branches}
    gone = [b.index for b in network.branches if b.index != last[b.stage]]
    thin = network.without(gone)

    thin.module.train()(torch.randn(2, 3, size, size)).sum().backward()
    network.without(gone).module.load_state_dict(thin.module.state_dict())

    parts = [*network.branches, *network.around]
    assert sum(part.macs for part in parts) == network.total_macs
    assert sum(part.parameters for part in parts) == network.total_parameters
    assert set(thin.module.state_dict()) < set(network.module.state_dict())
