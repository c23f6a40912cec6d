"""The residual stream gets narrower: coupled channels go together, or it says why not."""

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from fvcore.nn import FlopCountAnalysis
from networks.stream_cases import NAMES, OF_TIMM, images, network_of, off, outputs
from torch import nn

from autodepth.errors import InputError, NetworkError
from autodepth.networks.costs.cost import count_macs
from autodepth.networks.pruning.channels.stream import find_stream
from autodepth.networks.pruning.restoring import with_shapes
from autodepth.networks.pruning.stream_width import with_stream_width
from autodepth.networks.pruning.width import prune_width
from autodepth.networks.pruning.widths import changed_shapes
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.weights.own_files import save_weights

ONE = torch.zeros(1, 3, 32, 32)


SHORT = "timm:vit_tiny_patch16_224"
LONG = [pytest.param(name, marks=pytest.mark.long) for name in OF_TIMM if name != SHORT]


@pytest.mark.parametrize("name", [*NAMES, SHORT, *LONG])
def test_at_two_widths_it_runs_trains_and_loads_again(name):
    network = network_of(name)
    before = find_stream(network)
    for share in (0.5, 0.25):
        narrow = with_stream_width(network, share)

        after = find_stream(narrow)
        assert before.stay == after.stay == {}
        for stage, width in before.widths.items():
            assert abs(after.widths[stage] - share * width) <= before.units[stage] / 2
        assert narrow.total_macs == count_macs(narrow.module, ONE) < network.total_macs
        assert narrow.total_parameters == sum(p.numel() for p in narrow.module.parameters())
        narrow.module.train()(images()).sum().backward()
        state = narrow.module.state_dict()
        assert state.keys() == network.module.state_dict().keys()
        again = with_shapes(network, changed_shapes(network.module, state))
        again.module.load_state_dict(state)
        again.module.eval()
        narrow.module.eval()
        assert torch.equal(again.module(images()), narrow.module(images()))


def resnet20_macs(stream, inner):
    """Return the multiply-accumulates of a CIFAR ResNet-20 of any widths, by hand."""
    pixels = (32 * 32, 16 * 16, 8 * 8)
    total, given = 3 * 9 * stream[0] * pixels[0], stream[0]
    for out, mid, area in zip(stream, inner, pixels, strict=True):
        for _ in range(3):
            total += 9 * mid * (given + out) * area
            given = out
    return total + stream[2] * 10


@pytest.mark.parametrize("widths", [(16, 32, 64), (8, 16, 32), (5, 9, 40), (16, 20, 21)])
def test_the_cost_is_that_of_the_formula(widths):
    network = network_of("resnet20")
    narrow = with_stream_width(network, widths=dict(enumerate(widths, start=1)))

    assert narrow.total_macs == resnet20_macs(widths, (16, 32, 64))
    half = prune_width(narrow, 0.5)
    assert half.total_macs == resnet20_macs(widths, (8, 16, 32))
    assert sum(part.macs for part in (*half.branches, *half.around)) == half.total_macs


@pytest.mark.parametrize("name", ["torchvision:resnet50", "torchvision:mobilenet_v3_large"])
def test_the_cost_is_that_of_an_independent_count(name):
    narrow = with_stream_width(network_of(name), 0.5)
    count = FlopCountAnalysis(narrow.module.eval(), ONE)
    count.unsupported_ops_warnings(enabled=False)
    layers = count.by_operator()

    assert narrow.total_macs == layers["conv"] + layers["linear"]


@pytest.mark.parametrize("name", [n for n in NAMES if n != "torchvision:vit_b_16"])
def test_stages_may_have_shares_of_their_own(name):
    network = network_of(name)
    widths = find_stream(network).widths
    last = max(widths)

    narrow = with_stream_width(network, {last: 0.75})

    assert find_stream(narrow).widths == {**widths, last: round(0.75 * widths[last])}


class Stem(nn.Module):
    """A residual network of any width whose layers are known, the reference for narrowing it."""

    def __init__(self, width, kinds, norm="batch"):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.Sequential(*(BLOCKS[kind](width) for kind in kinds))
        self.norm = nn.BatchNorm2d(width) if norm == "batch" else nn.Identity()
        self.head = nn.Linear(width, 4)

    def forward(self, x):
        return self.head(F.relu(self.norm(self.blocks(self.stem(x)))).mean((2, 3)))


class Basic(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.one, self.two = nn.Conv2d(width, 6, 3, padding=1), nn.Conv2d(6, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, x):
        return F.relu(self.norm(self.two(F.relu(self.one(x)))) + x)


class Excited(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.one, self.two = nn.Conv2d(width, 6, 3, padding=1), nn.Conv2d(6, width, 3, padding=1)
        self.squeeze, self.excite = nn.Linear(width, 3), nn.Linear(3, width)

    def forward(self, x):
        y = self.two(F.relu(self.one(x)))
        s = self.excite(F.relu(self.squeeze(y.mean((2, 3))))).sigmoid()
        return x + y * s[:, :, None, None]


class Scaled(nn.Module):
    """Depthwise, then pointwise, under a layer scale."""

    def __init__(self, width):
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.up, self.down = nn.Conv2d(width, 10, 1), nn.Conv2d(10, width, 1)
        self.gamma = nn.Parameter(torch.rand(width, 1, 1))

    def forward(self, x):
        return x + self.gamma * self.down(F.gelu(self.up(self.depthwise(x))))


class Projected(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.one, self.two = nn.Conv2d(width, 6, 3, 1, 1), nn.Conv2d(6, width, 3, padding=1)
        self.norm, self.shortcut = nn.BatchNorm2d(width), nn.Conv2d(width, width, 1)

    def forward(self, x):
        return self.shortcut(x) + self.norm(self.two(F.relu(self.one(x))))


BLOCKS = {"basic": Basic, "excited": Excited, "scaled": Scaled, "projected": Projected}


@pytest.mark.parametrize("seed", range(4))
def test_a_wide_network_made_of_a_narrow_one_and_zeros_becomes_that_again(seed):
    torch.manual_seed(seed)
    kinds = [sorted(BLOCKS)[i] for i in torch.randint(len(BLOCKS), (3,))]
    narrow = int(torch.randint(2, 8, ()))
    small, large = Stem(narrow, kinds).eval(), Stem(8, kinds).eval()
    places = torch.randperm(8)[:narrow].sort().values
    with torch.no_grad():  # the small one's weights at some channels, nothing at the others
        for key, tensor in large.state_dict().items():
            given = small.state_dict()[key]
            if tensor.shape == given.shape:
                tensor.copy_(given)
                continue
            tensor.fill_(1.0 if key.endswith("running_var") else 0.0)
            sizes = zip(tensor.shape, given.shape, strict=True)
            grid = [places if n != m else torch.arange(n) for n, m in sizes]
            tensor[torch.meshgrid(*grid, indexing="ij")] = given
    network = ResidualNetwork.from_module(large, (3, 8, 8))

    result = with_stream_width(network, narrow / 8)

    x = torch.randn(2, 3, 8, 8)
    assert find_stream(network).stay == {}
    assert {key: t.shape for key, t in result.module.state_dict().items()} == {
        key: t.shape for key, t in small.state_dict().items()
    }
    assert torch.allclose(result.module.eval()(x), small(x), atol=1e-5)


class Tokens(nn.Module):
    """A vision transformer of one block, as torch has the parts."""

    def __init__(self, width, heads):
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.places = nn.Parameter(torch.randn(1, 5, width))
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.up, self.down = nn.Linear(width, 7), nn.Linear(7, width)
        self.head = nn.Linear(width, 4)

    def forward(self, x):
        t = self.patches(x).flatten(2).transpose(1, 2)
        t = torch.cat([self.token.expand(x.shape[0], -1, -1), t], 1) + self.places
        y = self.before(t)
        t = t + self.attention(y, y, y, need_weights=False)[0]
        t = t + self.down(F.gelu(self.up(self.after(t))))
        return self.head(t[:, 0])


def test_the_same_channels_and_heads_taken_out_by_hand_give_the_same():
    torch.manual_seed(0)
    wide, narrow = Tokens(12, 3), Tokens(8, 2)
    state = wide.state_dict()
    by_hand = {}
    for key, tensor in narrow.state_dict().items():
        given = state[key]
        if "in_proj" in key:  # queries, keys and values of the first two heads of three
            given = given.view(3, 12, *given.shape[1:])[:, :8].flatten(0, 1)
        by_hand[key] = given[tuple(slice(length) for length in tensor.shape)]
    narrow.load_state_dict(by_hand)
    network = ResidualNetwork.from_module(wide, (3, 8, 8))

    result = with_stream_width(network, widths={1: 8}, choose="first")

    x = torch.randn(3, 3, 8, 8)
    assert torch.allclose(result.module.eval()(x), narrow.eval()(x), atol=1e-6)
    assert result.module.get_submodule("attention").num_heads == 2


def test_positions_looked_up_in_a_table_follow_the_stream():
    """As transformers has them for CLIP and SigLIP."""

    class Numbered(Tokens):
        def __init__(self, width, heads):
            super().__init__(width, heads)
            del self.places
            self.table = nn.Embedding(5, width)
            self.register_buffer("numbers", torch.arange(5)[None])

        @property
        def places(self):
            return self.table(self.numbers)

    torch.manual_seed(0)
    network = ResidualNetwork.from_module(Numbered(12, 3), (3, 8, 8))
    assert find_stream(network).stay == {}

    narrow = with_stream_width(network, widths={1: 8}, choose="first")
    table = narrow.module.get_submodule("table")
    assert torch.equal(table.weight, network.module.get_submodule("table").weight[:, :8])
    assert (table.num_embeddings, table.embedding_dim) == (5, 8)
    state = narrow.module.state_dict()
    again = with_shapes(network, changed_shapes(network.module, state))
    again.module.load_state_dict(state)
    x = torch.randn(3, 3, 8, 8)
    assert torch.equal(again.module.eval()(x), narrow.module.eval()(x))


def test_channels_of_small_magnitude_go_and_option_a_keeps_its_order():
    network = network_of("resnet20").without(())
    strong = {1: [1, 4, 9], 2: [0, 9, 12, 17, 31], 3: [2, 16, 25, 28, 33, 47, 60]}
    with torch.no_grad():  # 8 and then 16 channels of zeros come before those of the last stage
        for tensor in network.module.parameters():
            tensor.mul_(0.01)
        for stage, channels in strong.items():
            for block in range(3):
                weight = network.module.get_parameter(f"layer{stage}.{block}.conv2.weight")
                weight[channels] *= 1000

    narrow = with_stream_width(network, widths={1: 3, 2: 5, 3: 7})

    for stage, channels in strong.items():
        kept = narrow.module.get_parameter(f"layer{stage}.2.conv2.weight")
        given = network.module.get_parameter(f"layer{stage}.2.conv2.weight")
        assert torch.equal(kept, given[channels])


def test_fresh_weights_give_as_much_variance_as_before():
    network = network_of("resnet20")
    quarter = with_stream_width(network, 0.25, choose="first", fresh=True)
    plain = with_stream_width(network, 0.25, choose="first")

    for key, scale in {
        "layer2.1.conv1.weight": 2.0,
        "layer2.1.conv2.weight": 1.0,
        "linear.weight": 2.0,
    }.items():
        fresh, left = (n.module.get_parameter(key) for n in (quarter, plain))
        assert torch.allclose(fresh, left * scale)
    assert torch.equal(quarter.module.bn1.bias, plain.module.bn1.bias)


def test_a_file_of_weights_is_enough_to_build_it_elsewhere(tmp_path):
    narrow = with_stream_width(network_of("resnet20").without([2]), {1: 0.5, 2: 0.5, 3: 0.7})
    save_weights(narrow.module, tmp_path / "w.safetensors")
    code = f"""
import torch
from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.pruning.restoring import with_shapes
from autodepth.networks.weights.own_files import load_saved, read_saved
from autodepth.networks.pruning.widths import changed_shapes
network = build_network(NetworkSpec(name="resnet20")).without([2])
path = __import__("pathlib").Path({str(tmp_path / "w.safetensors")!r})
narrow = with_shapes(network, changed_shapes(network.module, read_saved(path)))
load_saved(narrow.module, path)
images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(5))
torch.save(narrow.module.eval()(images).detach(), {str(tmp_path / "out.pt")!r})
"""
    subprocess.run([sys.executable, "-c", code], check=True)

    given = torch.load(tmp_path / "out.pt", weights_only=True)
    assert torch.allclose(given, narrow.module.eval()(images()), atol=1e-5)


def test_images_cast_to_the_type_of_a_layers_weight_leave_it_its_channels():
    class Cast(Stem):
        def forward(self, images):
            return super().forward(images.to(self.stem.weight.dtype))

    network = ResidualNetwork.from_module(Cast(8, ["basic", "basic"]), (3, 8, 8))

    assert find_stream(network).widths == {1: 8}
    narrow = with_stream_width(network, 0.5)
    narrow.module(torch.zeros(2, 3, 8, 8)).sum().backward()
    assert narrow.total_macs < network.total_macs


def test_a_stream_that_is_cut_up_stays_and_says_why():
    class Shuffled(Basic):
        def forward(self, x):
            y = super().forward(x)
            return y.unflatten(1, (2, 4)).transpose(1, 2).flatten(1, 2)

    class Net(Stem):
        def __init__(self):
            super().__init__(8, ["basic"])
            self.blocks = nn.Sequential(Shuffled(8), Basic(8))

    network = ResidualNetwork.from_module(Net(), (3, 8, 8))

    found = find_stream(network)

    assert found.widths == {}
    assert found.told() == ["stage 1 keeps its width: unflatten mixes channels or cuts them up"]
    with pytest.raises(NetworkError, match="stage 1 keeps its width: unflatten"):
        with_stream_width(network, 0.5)
    assert with_stream_width(network, 1.0).total_macs == network.total_macs


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"shares": 0.0}, "must be above 0, but got 0.0"),
        ({"shares": float("nan")}, "must be above 0, but got nan"),
        ({"shares": {4: 0.5}}, "stage must be one of 1 to 3, but got 4"),
        ({"widths": {1: 20, 2: 16, 3: 64}}, "at least 20, but got 16"),
        ({}, "by shares or by widths, one of them"),
        ({"shares": 0.5, "choose": "last"}, "choose must be one of magnitude, first"),
    ],
)
def test_what_no_stream_can_have_is_refused(given, told):
    with pytest.raises(InputError, match=told):
        with_stream_width(network_of("resnet20"), **given)


def test_heads_and_group_norms_say_what_a_width_must_be_a_multiple_of():
    torch.manual_seed(0)
    network = ResidualNetwork.from_module(Tokens(12, 3), (3, 8, 8))
    assert find_stream(network).units == {1: 4}
    with pytest.raises(InputError, match="multiple of 4 and at least that, but got 6"):
        with_stream_width(network, widths={1: 6})
    assert find_stream(with_stream_width(network, 0.1)).widths == {1: 4}


def test_the_network_is_left_as_it_was():
    network = network_of("resnet20")
    before = {name: value.clone() for name, value in network.module.state_dict().items()}
    code = network.module.code
    given = outputs(network.module, training=False)

    with_stream_width(network, 0.5)

    assert network.module.code == code
    assert all(torch.equal(v, before[k]) for k, v in network.module.state_dict().items())
    assert off(outputs(network.module, training=False), given) == 0.0
