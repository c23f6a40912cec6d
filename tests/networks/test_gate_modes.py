"""Both gate modes and both compensations: what they compute, and what they leave alone."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from autodepth.errors import InputError, NetworkError
from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.gates.gates import GatedNetwork
from autodepth.networks.residual_network import ResidualNetwork

IMAGES = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 3, 4, 5])
HALF = [0.5] * 6


def small(**spec):
    return build_network(NetworkSpec(name="resnet14", height=8, width=8, **spec), seed=1)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


class Stack(nn.Module):
    """Residual branches of any kind around tokens [B, N, 6]."""

    def __init__(self, *branches):
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x):
        for branch in self.branches:
            x = x + branch(x)
        return x


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def stack(*branches, tokens=(1, 2, 6)):
    return ResidualNetwork.from_module(Stack(*branches), tokens)


def linear_stack():
    return stack(*(nn.Linear(6, 6) for _ in range(3)))


def step(gated, images=IMAGES, labels=LABELS):
    loss = F.cross_entropy(gated(images), labels)
    loss.backward()
    return loss.item()


@pytest.mark.parametrize("mode", ["batch", "sample"])
def test_a_step_reaches_every_parameter_when_nothing_is_dropped(mode):
    network = small(shortcut="B")
    gated = GatedNetwork(network, mode=mode)
    gated.train()
    gated.draw([1.0] * 6, generator(), len(IMAGES))

    step(gated)

    assert set(gated.module.parameters()) == set(network.module.parameters())
    assert all(parameter.grad is not None for parameter in gated.module.parameters())
    assert gated.module.state_dict().keys() == network.module.state_dict().keys()


def test_the_gated_network_follows_a_move_of_the_one_it_was_made_from():
    network = small()
    gated = GatedNetwork(network)
    network.module.double()
    gated.eval()

    assert gated(IMAGES.double()).dtype == torch.float64
    assert not any(module.training for module in network.module.children())


def test_survival_one_trains_exactly_the_plain_network_in_sample_mode():
    plain, network = small(), small()
    gated, losses = GatedNetwork(network, mode="sample", compensation="inverted"), []
    for forward, module in ((plain.module, plain.module), (gated, network.module)):
        module.train()
        optimizer = torch.optim.SGD(module.parameters(), 0.1, momentum=0.9)
        for _ in range(4):
            gated.draw([1.0] * 6, generator(), len(IMAGES))
            optimizer.zero_grad()
            losses.append(step(forward))
            optimizer.step()

    assert losses[:4] == losses[4:]


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_sample_mode_computes_what_masking_each_sample_would(shortcut, channels_last):
    """In evaluation samples do not meet, so each must equal its own run without its branches."""
    network = small(shortcut=shortcut)
    images = IMAGES.contiguous(memory_format=torch.channels_last) if channels_last else IMAGES
    gated = GatedNetwork(network, mode="sample")
    gated.draw(HALF, generator(3), len(images))
    gated.eval()
    kept = torch.rand(6, len(images), generator=generator(3)) < 0.5

    scores = gated(images)

    for i, image in enumerate(images):
        dropped = [b.index for b in network.branches if not kept[b.index - 1, i]]
        alone = network.without(dropped).module.eval()(image[None])
        assert torch.allclose(scores[i], alone[0], atol=1e-5)


@pytest.mark.parametrize("channels_last", [False, True])
def test_gradients_of_sample_mode_are_those_of_masking(channels_last):
    network = small()
    network.module.eval()  # without batch statistics the two are the same function
    images = IMAGES.contiguous(memory_format=torch.channels_last) if channels_last else IMAGES
    gated = GatedNetwork(network, mode="sample", compensation="inverted")
    gated.draw(HALF, generator(3), len(images))
    step(gated, images)
    found = [p.grad.clone() for p in network.module.parameters()]
    network.module.zero_grad()
    kept = torch.rand(6, len(images), generator=generator(3)) < 0.5
    masks = iter((kept / 0.5)[:, :, None, None, None])
    hooks = [
        module.register_forward_hook(lambda _, __, out: out * next(masks))
        for name, module in network.module.named_modules()
        if name.startswith("layer") and name.endswith("bn2")
    ]

    step(network.module, images)

    for hook in hooks:
        hook.remove()
    for one, other in zip(found, (p.grad for p in network.module.parameters()), strict=True):
        assert torch.allclose(one, other, atol=1e-5 * other.abs().max().item())


class Rectified(nn.Module):
    """Linear branches, each with its ReLU after the addition written in another way."""

    def __init__(self):
        super().__init__()
        self.branches = nn.ModuleList(nn.Linear(6, 6) for _ in range(5))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x, masks=(1.0, 1.0, 1.0, 1.0, 1.0)):
        a, b, c, d, e = (self._dropped(*pair) for pair in zip(self.branches, masks, strict=True))
        x = self.relu(x + a(x))
        x = F.relu(x + b(x))
        x = (x + c(x)).relu_()
        x = torch.relu(x + d(x))
        total = x + e(x)
        return total + total.relu()  # read twice: this one is no part of the addition

    @staticmethod
    def _dropped(branch, mask):
        return lambda x: branch(x) if isinstance(mask, float) else branch(x) * mask


@pytest.mark.parametrize("order", [1, 2])
def test_sample_mode_takes_up_a_relu_however_it_is_written(order):
    """Gradients too, and theirs, as a gradient penalty needs them."""
    module = Rectified()
    gated = GatedNetwork(
        ResidualNetwork.from_module(module, (4, 6)), mode="sample", compensation="inverted"
    )
    tokens = torch.randn(8, 4, 6, requires_grad=True)
    gated.draw([0.5] * 5, generator(3), len(tokens))
    masks = (torch.rand(5, 8, generator=generator(3)) < 0.5) / 0.5
    assert not [n for n in gated.module.graph.nodes if n.op == "call_module"]

    found, expected = (
        gradients(out.square().sum(), [tokens, *module.parameters()], order)
        for out in (gated(tokens), module(tokens, masks[:, :, None, None]))
    )

    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, atol=1e-5 * other.abs().max().item())


def gradients(value, parameters, order):
    """Differentiate so many times, the squares of the gradients every time but the first."""
    found = torch.autograd.grad(value, parameters, create_graph=order > 1)
    return gradients(sum(g.square().sum() for g in found), parameters, 1) if order > 1 else found


def test_sample_mode_computes_survivors_only():
    network = small()
    gated = GatedNetwork(network, mode="sample")
    gated.train()
    rows = []
    for branch in network.branches:
        convolution = network.module.get_submodule(f"{branch.module}.conv1")
        convolution.register_forward_hook(lambda _, inputs, __: rows.append(len(inputs[0])))

    computed = gated.draw(HALF, generator(5), len(IMAGES))
    step(gated)

    counts = (torch.rand(6, 6, generator=generator(5)) < 0.5).sum(1).tolist()
    assert rows == [max(count, 2) for count in counts if count]  # see the single survivor below
    assert computed == sum(counts) / len(IMAGES)


def test_batch_statistics_are_those_of_the_survivors():
    network = stack(nn.BatchNorm1d(2), nn.Linear(6, 6), tokens=(2, 6))
    gated, tokens = GatedNetwork(network, mode="sample"), torch.randn(6, 2, 6)
    gated.train()
    gated.draw([0.5, 1.0], generator(2), 6)
    kept = torch.rand(2, 6, generator=generator(2))[0] < 0.5

    gated(tokens)

    assert 2 <= kept.sum() < 6
    norm = network.module.get_submodule("branches.0")
    assert torch.allclose(norm.running_mean, 0.1 * tokens[kept].mean((0, 2)), atol=1e-6)


def test_a_single_survivor_shares_its_statistics_with_a_neighbour():
    """A map of one pixel and one sample has no variance; batch norm would refuse it."""
    network = stack(nn.BatchNorm1d(6), nn.Linear(6, 6), tokens=(6,))
    gated, rows = GatedNetwork(network, mode="sample"), torch.randn(6, 6)
    gated.train()
    for seed in range(100):
        if gated.draw([0.1, 0.0], generator(seed), 6) == 1 / 6:
            break
    survivor = (torch.rand(2, 6, generator=generator(seed))[0] < 0.1).nonzero().item()

    change = gated(rows) - rows

    pair = rows[[survivor, (survivor + 1) % 6]]
    expected = F.batch_norm(pair, None, None, training=True)[0]
    assert torch.allclose(change[survivor], expected, atol=1e-5)
    assert change[[i for i in range(6) if i != survivor]].abs().max() == 0


@pytest.mark.parametrize("mode", ["batch", "sample"])
@pytest.mark.parametrize("compensation", ["test_time", "inverted"])
def test_the_mean_over_gates_of_a_linear_network_is_its_test_time_output(mode, compensation):
    gated = GatedNetwork(linear_stack(), mode=mode, compensation=compensation)
    survival, draws, chance = [0.9, 0.6, 0.5], 3000, generator(1)
    x, outputs = torch.randn(1, 2, 6).expand(4, 2, 6), []
    with torch.no_grad():
        for _ in range(draws):
            gated.draw(survival, chance, 4)
            outputs.append(gated(x)[:, 0] if mode == "sample" else gated(x)[:1, 0])
        gated.open_all(survival)
        expected = gated(x)[0, 0]
    sample = torch.cat(outputs)

    error = (sample.mean(0) - expected).abs()

    assert (error <= 5 * sample.std(0) / math.sqrt(len(sample))).all()


class Attention(nn.Module):
    """Ends in a product of two values: no factor folds into it."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x):
        return self.left(x) * self.right(x).sigmoid()


def test_branches_that_cannot_be_folded_are_compensated_for_in_training():
    network, x = stack(nn.Linear(6, 6), Attention()), torch.randn(3, 2, 6)
    first, second = nn.Linear(6, 6), Attention()
    first.load_state_dict(network.module.get_submodule("branches.0").state_dict())
    second.load_state_dict(network.module.get_submodule("branches.1").state_dict())
    gated, survival = GatedNetwork(network), [0.5, 0.25]

    gated.open_all(survival)
    scaled = x + 0.5 * first(x)
    assert torch.allclose(gated(x), scaled + second(scaled), atol=1e-6)

    chance = generator()
    while gated.draw(survival, chance) < 2:
        pass
    kept = x + first(x)
    assert torch.allclose(gated(x), kept + 4 * second(kept), atol=1e-5)

    gated.fold(survival)
    assert torch.allclose(network.module(x), scaled + second(scaled), atol=1e-6)


@pytest.mark.parametrize("compensation", ["test_time", "inverted"])
@pytest.mark.parametrize("mode", ["batch", "sample"])
def test_any_network_trains_evaluates_and_folds(mode, compensation):
    network = stack(Attention(), nn.Linear(6, 6), nn.Sequential(nn.Linear(6, 6), nn.GELU()))
    gated, survival = GatedNetwork(network, mode=mode, compensation=compensation), [0.8, 0.6, 0.4]
    optimizer = torch.optim.SGD(gated.module.parameters(), 0.01)
    x, chance = torch.randn(5, 2, 6), generator()
    for _ in range(10):
        gated.train()
        gated.draw(survival, chance, 5)
        optimizer.zero_grad()
        gated(x.clone().requires_grad_()).square().mean().backward()
        optimizer.step()
    gated.eval()
    gated.open_all(survival)
    tested = gated(x)

    gated.fold(survival)

    assert torch.allclose(network.module(x), tested, atol=1e-6)


def test_inverted_compensation_leaves_the_weights_alone_when_folded():
    network = small()
    before = copy.deepcopy(network.module.state_dict())

    GatedNetwork(network, compensation="inverted").fold(HALF)

    assert all(
        torch.equal(value, before[key]) for key, value in network.module.state_dict().items()
    )


class Broadcast(nn.Module):
    """A branch that widens its shortcut: it cannot go."""

    def __init__(self):
        super().__init__()
        self.widen = nn.Linear(1, 6)
        self.layer = nn.Linear(6, 6)

    def forward(self, x):
        x = x + self.widen(x)
        return x + self.layer(x)


def test_a_branch_that_cannot_be_removed_is_never_dropped():
    network = ResidualNetwork.from_module(Broadcast(), (1, 2, 1))
    gated = GatedNetwork(network)
    stuck = [branch.index for branch in network.branches if not branch.removable]

    computed = {gated.draw([0.0, 0.0], generator(seed)) for seed in range(20)}

    assert stuck == [1]
    assert computed == {1}
    assert gated(torch.randn(3, 2, 1)).shape == (3, 2, 6)


@pytest.mark.parametrize("mode", ["batch", "sample"])
@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW])
def test_what_is_dropped_keeps_its_weights_moments_and_statistics(mode, optimizer):
    network = small()
    gated = GatedNetwork(network, mode=mode)
    gated.train()
    momentum = {"momentum": 0.9} if optimizer is torch.optim.SGD else {}
    optimizer = optimizer(network.module.parameters(), lr=0.1, weight_decay=0.1, **momentum)
    gated.draw([1.0] * 6, generator(), len(IMAGES))
    step(gated)
    optimizer.step()
    optimizer.zero_grad()
    dropped = network.module.get_submodule("layer2.1")
    before = copy.deepcopy(dropped.state_dict())
    states = copy.deepcopy([optimizer.state[p] for p in dropped.parameters()])
    gated.draw([1.0, 1.0, 1.0, 0.0, 1.0, 1.0], generator(), len(IMAGES))

    step(gated)
    optimizer.step()

    assert all(p.grad is None for p in dropped.parameters())
    assert all(torch.equal(value, before[key]) for key, value in dropped.state_dict().items())
    for parameter, state in zip(dropped.parameters(), states, strict=True):
        assert state
        assert all(torch.equal(v, state[k]) for k, v in optimizer.state[parameter].items())


@pytest.mark.parametrize("mode", ["batch", "sample"])
def test_gates_work_under_autocast(mode):
    gated = GatedNetwork(small(shortcut="B"), mode=mode)
    gated.train()
    for seed in range(3):
        gated.draw(HALF, generator(seed), len(IMAGES))
        with torch.autocast("cpu", torch.bfloat16):
            loss = step(gated)

    assert math.isfinite(loss)
    assert all(p.dtype == torch.float32 for p in gated.module.parameters())


@pytest.mark.parametrize("mode", ["batch", "sample"])
def test_channels_last_survives_the_gates(mode):
    network = small()
    network.module.to(memory_format=torch.channels_last)
    gated = GatedNetwork(network, mode=mode)
    gated.train()
    formats = []
    for module in network.module.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_full_backward_hook(
                lambda _, inward, outward: formats.extend([*inward, *outward])
            )
    gated.draw([0.7] * 6, generator(4), len(IMAGES))

    step(gated, IMAGES.contiguous(memory_format=torch.channels_last))

    assert formats
    assert all(g.is_contiguous(memory_format=torch.channels_last) for g in formats)


@pytest.mark.filterwarnings("ignore")  # torch.compile warns of its own internals
@pytest.mark.parametrize("mode", ["batch", "sample"])
def test_compiled_branches_compute_the_same(mode):
    tokens, losses = torch.randn(6, 2, 6, generator=generator()), []
    for compiled in (False, True):
        torch.manual_seed(0)
        gated = GatedNetwork(stack(nn.BatchNorm1d(2), Attention(), tokens=(2, 6)), mode=mode)
        if compiled:
            gated.compile_branches(backend="aot_eager", dynamic=True)
        gated.train()
        chance = generator(8)
        for _ in range(4):
            gated.draw([0.6, 0.6], chance, 6)
            loss = gated(tokens.clone().requires_grad_()).square().mean()
            loss.backward()
            losses.append(loss.item())

    assert losses[:4] == pytest.approx(losses[4:], rel=1e-5)


class Context(nn.Module):
    """Gives one vector per sample, which the addition spreads over its tokens."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, x):
        return self.layer(x.mean(1, keepdim=True))


def test_a_branch_may_be_spread_over_the_shortcut():
    gated, x = GatedNetwork(stack(Context()), mode="sample"), torch.randn(6, 2, 6)
    gated.open_all()
    whole = gated(x)
    gated.draw([0.5], generator(3), 6)
    kept = (torch.rand(1, 6, generator=generator(3)) < 0.5)[0, :, None, None]

    assert torch.allclose(gated(x), torch.where(kept, whole, x), atol=1e-6)


class SequenceFirst(nn.Module):
    """Tokens [B, N, 6] turned to [N, B, 6], as some transformers have them."""

    def __init__(self):
        super().__init__()
        self.stem, self.layer = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x):
        x = self.stem(x).transpose(0, 1)
        return (x + self.layer(x)).transpose(0, 1)


def test_sample_mode_refuses_a_branch_that_does_not_keep_samples_first():
    network = ResidualNetwork.from_module(SequenceFirst(), (2, 6))

    with pytest.raises(NetworkError, match=r"branch 1 .* does not keep samples in its first dim"):
        GatedNetwork(network, mode="sample")


def test_sample_mode_must_know_the_batch_and_get_it():
    gated = GatedNetwork(small(), mode="sample")
    with pytest.raises(InputError, match="must know the batch_size"):
        gated.draw(HALF, generator())
    gated.draw(HALF, generator(), 5)

    with pytest.raises(InputError, match="hold the 5 images that gates were drawn for, but got 6"):
        gated(IMAGES)


@pytest.mark.parametrize("settings", [{"mode": "row"}, {"compensation": "none"}])
def test_unknown_settings_are_refused(settings):
    with pytest.raises(InputError, match=r"(gate_mode|compensation) must be one of .* but got '"):
        GatedNetwork(small(), **settings)
