"""What a network's class does beside forward: train(), eval(), hooks, contexts, calls, scripts."""

import copy
import json
import sys
from types import MethodType, ModuleType

import pytest
import torch
from torch import nn

from autodepth.data.settings import Normalisation
from autodepth.errors import NetworkError
from autodepth.export.bundles.architecture import Architecture
from autodepth.export.bundles.bundle import rebuild
from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.gates.gates import GatedNetwork
from autodepth.networks.residual_network import ResidualNetwork
from autodepth.networks.running.copying import copied
from autodepth.networks.weights.own_files import save_weights
from autodepth.trial.device.runtimes.formats.torch_program import make_program
from autodepth.trial.phases.recovery import recalibrate_batch_norm

# torch.jit's own: it is deprecated, and looks for gradients of what no optimizer holds
pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning"),
    pytest.mark.filterwarnings("ignore:Full backward hook is firing:UserWarning"),
]
SHAPE = (4, 8, 8)
IMAGES = torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(0))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.drop = nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5)
        self.conv.padding = (1, 1)

    def forward(self, x):
        return torch.relu(x + self.drop(self.norm(self.conv(x))))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.norm = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.blocks, self.head = nn.Sequential(Block(), Block(), Block()), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.blocks(self.norm(self.stem(x))).mean((2, 3)))


class FrozenNorms(Net):
    def train(self, mode=True):
        super().train(mode)
        for part in self.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.eval()
        return self


class FrozenStem(Net):
    """A part that never trains: in evaluation, and without gradients."""

    def train(self, mode=True):
        super().train(mode)
        self.norm.eval()
        for parameter in self.stem.parameters():
            parameter.requires_grad_(False)
        return self


class FrozenBlock(Block):
    def train(self, mode=True):
        return super().train(mode is None)


class FrozenPart(Net):
    def __init__(self):
        super().__init__()
        self.blocks[1] = FrozenBlock()


class DropoutInEvaluation(Net):
    def eval(self):
        super().eval()
        return self.train(mode=False)

    def train(self, mode=True):
        super().train(mode)
        for block in self.blocks:
            block.drop.train()
        return self


class FrozenParameter(Net):
    def __init__(self):
        super().__init__()
        self.stem.requires_grad_(False)


@pytest.mark.parametrize(
    "kind", [FrozenNorms, FrozenStem, FrozenPart, DropoutInEvaluation, FrozenParameter]
)
def test_the_same_parts_train_as_in_the_network_given_wherever_it_goes(kind):
    module, other = kind(), kind()
    network = ResidualNetwork.from_module(module, SHAPE)
    assert all(p.requires_grad for p in Net().parameters())
    read = (network, network.without([]), copy.deepcopy(network).without([3]))

    for mode in (True, False):
        other.train(mode)
        flags = {name: part.training for name, part in other.named_modules()}
        wanted = {name: p.requires_grad for name, p in other.named_parameters()}
        for each in (*(r.module for r in read), GatedNetwork(network).module):
            each.train(mode)
            parts = dict(each.named_modules())
            assert all(parts[n].training == flags[n] for n in parts if n in flags and n)
            assert all(p.requires_grad == wanted[n] for n, p in each.named_parameters())


def test_frozen_statistics_move_neither_in_training_nor_in_recalibration():
    network = ResidualNetwork.from_module(FrozenNorms(), SHAPE).without([2])
    for norm in (part for part in network.module.modules() if isinstance(part, nn.BatchNorm2d)):
        norm.running_mean.fill_(0.25)
    before = copy.deepcopy(network.module.state_dict())
    gated = GatedNetwork(network)

    gated.train()
    gated(IMAGES).sum().backward()
    recalibrate_batch_norm(network, [(IMAGES, torch.zeros(4))], 1)

    assert all(torch.equal(before[n], t) for n, t in network.module.state_dict().items())


def after_hook(_, __, value):
    return value * 2


def before_hook(_, args):
    return (args[0] * 3, *args[1:])


def hooked(place, kind):
    def build():
        module = Net()
        part = module.get_submodule(place)
        if kind == "after":
            part.register_forward_hook(after_hook)
        elif kind == "before":
            part.register_forward_pre_hook(before_hook)
        elif kind == "forward":
            part.forward = MethodType(lambda self, x: type(self).forward(self, x) * 2, part)
        return module

    return build


class NoGradientInside(Block):
    def forward(self, x):
        with torch.no_grad():
            y = self.conv(x)
        return torch.relu(x + self.drop(self.norm(y)))


class NoGradientInAPart(Net):
    def __init__(self):
        super().__init__()
        self.blocks[1] = NoGradientInside()


class HalfInside(Block):
    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return torch.relu(x + self.norm(self.conv(x)).float())


class HalfInAPart(Net):
    def __init__(self):
        super().__init__()
        self.blocks[1] = HalfInside()


class CalledOtherwise(Block):
    def __call__(self, x):
        return super().__call__(x * 2)


class CalledInAPart(Net):
    def __init__(self):
        super().__init__()
        self.blocks[1] = CalledOtherwise()


class NetCalledOtherwise(Net):
    def __call__(self, x):
        return super().__call__(x * 2)


def after_gradient(_, given, __):
    return tuple(None if gradient is None else gradient * 3 for gradient in given)


def before_gradient(_, coming):
    return tuple(gradient * 2 for gradient in coming)


def with_backward_hook(place, kind):
    def build():
        module = Net()
        part = module.get_submodule(place)
        if kind == "backward":
            part.register_full_backward_hook(after_gradient)
        elif kind == "before backward":
            part.register_full_backward_pre_hook(before_gradient)
        else:
            part.weight.register_hook(lambda gradient: gradient * 5)
        return module

    return build


def with_script(place, make=torch.jit.script):
    def build():
        module = Net().eval()
        owner, _, name = place.rpartition(".")
        setattr(module.get_submodule(owner), name, make(module.get_submodule(place)))
        return module.train()

    return build


def recorded(part):
    return torch.jit.trace(part, IMAGES)


WAYS = {
    **{
        f"{kind} {place or 'network'}": hooked(place, kind)
        for kind in ("after", "before", "forward")
        for place in ("", "blocks", "blocks.1", "blocks.1.conv", "head")
    },
    **{
        f"{kind} {place}": with_backward_hook(place, kind)
        for kind in ("backward", "before backward")
        for place in ("blocks.1", "blocks.1.conv", "head")
    },
    **{f"gradient {place}": with_backward_hook(place, "") for place in ("stem", "blocks.1.conv")},
    **{f"scripted {place}": with_script(place) for place in ("stem", "blocks.1", "blocks.1.conv")},
    **{f"recorded {place}": with_script(place, recorded) for place in ("stem", "blocks.1.conv")},
    "no_grad inside": NoGradientInAPart,
    "autocast inside": HalfInAPart,
    "__call__ inside": CalledInAPart,
    "__call__": NetCalledOtherwise,
}


def run(module, *, training):
    module.train(training)
    module.zero_grad()
    torch.manual_seed(1)
    value = module(IMAGES.clone())
    value.sum().backward()
    gradients = {n: p.grad.clone() for n, p in module.named_parameters() if p.grad is not None}
    return value.detach(), gradients


@pytest.mark.parametrize("way", WAYS)
def test_hooks_contexts_calls_and_scripts_are_part_of_the_network(way):
    network = ResidualNetwork.from_module(WAYS[way](), SHAPE)

    for read in (network.module, network.without([]).module):
        for training in (True, False):
            (one, gradients), (other, read_gradients) = (
                run(each, training=training) for each in (WAYS[way](), copied(read))
            )
            assert torch.equal(one, other)
            assert gradients.keys() == read_gradients.keys()
            assert all(torch.equal(gradients[n], read_gradients[n]) for n in gradients)


@pytest.mark.parametrize("way", [way for way in WAYS if way.startswith(("scripted", "gradient"))])
def test_an_optimizer_takes_the_copy_and_moves_it_as_it_moves_the_network(way):
    module = WAYS[way]()
    gated = GatedNetwork(ResidualNetwork.from_module(module, SHAPE)).module
    states = []
    for each in (module, gated):
        torch.optim.SGD(each.parameters(), lr=0.1).zero_grad()
        run(each, training=True)
        torch.optim.SGD(each.parameters(), lr=0.1).step()
        states.append(each.state_dict())

    given, read = states
    assert all(torch.equal(given[name], read[name]) for name in given)


def test_scripted_parts_are_noted_where_branches_may_be_in_them():
    (note,) = ResidualNetwork.from_module(WAYS["scripted blocks.1"](), SHAPE).notes

    assert note.startswith("not looked into: blocks.1, since it is scripted or traced by torch.jit")
    assert ResidualNetwork.from_module(WAYS["scripted blocks.1.conv"](), SHAPE).notes == ()


@pytest.mark.parametrize("kind", ["backward", "before backward"])
def test_a_backward_hook_around_all_branches_is_the_cause_that_is_told(kind):
    with pytest.raises(NetworkError, match=r"blocks, since it has a backward hook, which acts on"):
        ResidualNetwork.from_module(with_backward_hook("blocks", kind)(), SHAPE)


def test_a_hook_on_the_gradient_of_the_scores_is_refused_by_its_cause():
    with pytest.raises(NetworkError, match=r"off by .*; likely it has a backward hook"):
        ResidualNetwork.from_module(with_backward_hook("", "before backward")(), SHAPE)


@pytest.fixture
def exported(monkeypatch, tmp_path):
    """Return a network less some branches, and the same from its description and weights alone."""

    def exported(builder, removed):
        home = ModuleType("nets_beside_forward")
        home.build = builder
        monkeypatch.setitem(sys.modules, home.__name__, home)
        spec = NetworkSpec(
            name=f"{home.__name__}:build", classes=0, channels=4, height=8, width=8, own_code=True
        )
        network = build_network(spec).without(removed)
        for number, parameter in enumerate(network.module.parameters()):  # as if it were trained
            with torch.no_grad():
                parameter.mul_(1 + number / 100)
        save_weights(network.module, tmp_path / "model.safetensors")
        architecture = Architecture(
            network=spec,
            removed=tuple(removed),
            widths={},
            normalisation=Normalisation(mean=(0.5,), std=(0.5,)),
            classes=("a", "b", "c"),
            macs=network.total_macs,
        )
        text = json.dumps(json.loads(architecture.to_json()))
        described = Architecture.from_json(text, own_code=True)
        return network.module, rebuild(described, tmp_path / "model.safetensors")

    return exported


@pytest.mark.parametrize(
    "kind", [FrozenNorms, FrozenStem, FrozenPart, DropoutInEvaluation, FrozenParameter]
)
def test_the_same_parts_train_after_an_export_and_a_reload(exported, kind):
    other = kind()
    network, reloaded = exported(kind, [1])

    for mode in (True, False):
        for each in (other, network, reloaded):
            each.train(mode)
        flags = {name: part.training for name, part in other.named_modules()}
        wanted = {name: p.requires_grad for name, p in other.named_parameters()}
        there = dict(reloaded.named_modules())
        assert "blocks.0.conv" not in there
        assert all(there[n].training == flags[n] for n in there if n in flags and n)
        assert all(p.requires_grad == wanted[n] for n, p in reloaded.named_parameters())
        (one, gradients), (again, same) = (run(each, training=mode) for each in (network, reloaded))
        assert torch.equal(one, again)
        assert gradients.keys() == same.keys()


@pytest.mark.parametrize("way", WAYS)
def test_hooks_contexts_calls_and_scripts_go_through_an_export_and_a_reload(exported, way):
    network, reloaded = exported(WAYS[way], [2])

    for training in (False, True):
        (one, gradients), (other, same) = (
            run(each, training=training) for each in (network, reloaded)
        )
        assert torch.equal(one, other)
        assert all(torch.equal(gradients[name], same[name]) for name in gradients | same)


@pytest.mark.parametrize(
    "way", [f"{kind} {place}" for kind in ("after", "before") for place in ("network", "blocks.1")]
)
def test_forward_hooks_go_into_programs(exported, way):
    network, reloaded = exported(WAYS[way], [3])
    program = make_program(reloaded.eval(), SHAPE).module()

    with torch.no_grad():
        expected = network.eval()(IMAGES)
        assert torch.allclose(program(IMAGES), expected, atol=1e-6)


class NoGradient(Net):
    def forward(self, x):
        with torch.no_grad():
            x = self.norm(self.stem(x))
        return self.head(self.blocks(x).mean((2, 3)))


class NoGradientInAPartOfItsOwn(Net):
    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(self.stem, self.norm)
        del self.stem, self.norm
        self.first.forward = MethodType(torch.no_grad()(nn.Sequential.forward), self.first)

    def forward(self, x):
        return self.head(self.blocks(self.first(x)).mean((2, 3)))


class NoGradientWanted(NoGradient):
    def __init__(self):
        super().__init__()
        self.stem.requires_grad_(False)
        self.norm.requires_grad_(False)


class Inference(Net):
    def forward(self, x):
        with torch.inference_mode():
            x = self.stem(x)
        return self.head(self.blocks(self.norm(x.clone())).mean((2, 3)))


class Counting(Net):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    def forward(self, x):
        self.calls += 1
        return super().forward(x)


class CountingAnew(Counting):
    def forward(self, x):
        if self.training:
            self.calls = self.calls + 1
        return Net.forward(self, x)


class CountingInPlace(Counting):
    def forward(self, x):
        self.calls.add_(1)
        return Net.forward(self, x)


class Counter(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    def forward(self, x):
        if self.training:
            self.calls += 1
        return x


class CountingInAPart(Net):
    def __init__(self):
        super().__init__()
        self.counter = Counter()

    def forward(self, x):
        return super().forward(self.counter(x))


class Teacher(Net):
    """Its weights follow by momentum, whatever is trained."""

    def __init__(self):
        super().__init__()
        self.teacher = copy.deepcopy(self.blocks).requires_grad_(False)

    @torch.no_grad()
    def follow(self):
        for one, other in zip(self.teacher.parameters(), self.blocks.parameters(), strict=True):
            one.mul_(0.9).add_(other, alpha=0.1)

    def forward(self, x):
        if self.training:
            self.follow()
        return super().forward(x)


class TeacherAnew(Teacher):
    @torch.no_grad()
    def follow(self):
        for one, other in zip(self.teacher.parameters(), self.blocks.parameters(), strict=True):
            one.data = one.data * 0.9 + other.data * 0.1


@pytest.mark.parametrize(
    ("build", "told"),
    [
        (
            NoGradient,
            r"norm\.bias gets a gradient in one .* without gradients .*requires_grad_",
        ),
        (Inference, r"stem\.bias gets a gradient in one .* runs without gradients"),
        (
            Counting,
            r"calls moves in one .* puts another tensor in place of a buffer, as `self",
        ),
        (CountingAnew, r"in training calls moves in one .* in place of a buffer"),
        (Teacher, r"teacher\.0\.conv\.bias moves .* changes weights itself, as a teacher"),
        (TeacherAnew, r"teacher\.0\.conv\.bias moves .* changes weights itself, as a teacher"),
    ],
)
def test_what_is_refused_is_told_by_its_own_cause(build, told):
    with pytest.raises(NetworkError, match=told) as refused:
        ResidualNetwork.from_module(build(), SHAPE)

    assert "isinstance" not in str(refused.value)
    assert "its type, Python's own variables" not in str(refused.value)


@pytest.mark.parametrize(
    "build", [NoGradientInAPartOfItsOwn, NoGradientWanted, CountingInPlace, CountingInAPart]
)
def test_the_ways_out_that_are_told_are_ways_out(build):
    network = ResidualNetwork.from_module(build(), SHAPE)

    assert len(network.branches) == 3
    assert all(
        torch.equal(t, network.module.state_dict()[n]) for n, t in build().state_dict().items()
    )
    for training in (True, False):
        given, read = build(), copied(network.module)
        (one, gradients), (other, same) = (run(each, training=training) for each in (given, read))
        assert torch.equal(one, other)
        assert gradients.keys() == same.keys()
        states = given.state_dict(), read.state_dict()
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
