"""Checkpoints that other people's tools write load with equal outputs, or it is said why not."""

import argparse
import json
import shutil
import sys
from collections import Counter, defaultdict
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.torch import save_file, save_model
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel

from autodepth.errors import WeightsError
from autodepth.networks.weights.checkpoint_file import digest_of, files_of
from autodepth.networks.weights.given_weights import load_weights
from autodepth.torchvision_door import import_torchvision

import_torchvision()  # timm, Lightning, transformers and torch.compile import it
pytestmark = [  # of the tools themselves
    pytest.mark.filterwarnings("ignore:.*treespec:FutureWarning"),
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning"),
    pytest.mark.filterwarnings("ignore:TypedStorage:UserWarning"),
    pytest.mark.filterwarnings("ignore:torch.distributed is disabled:UserWarning"),
]
IMAGES = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(5))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)

    def forward(self, x):
        return x + self.norm(self.conv(x))


class Net(nn.Module):
    def __init__(self, classes=5):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.blocks = nn.Sequential(Block(), Block())
        self.fc = nn.Linear(4, classes)

    def forward(self, x):
        return self.fc(self.blocks(self.stem(x)).mean((2, 3)))


class Wrapper(nn.Module):
    def __init__(self, name):
        super().__init__()
        self.name = name
        setattr(self, name, Net())

    def forward(self, x):
        return getattr(self, self.name)(x)


def trained(seed=1, make=Net):
    torch.manual_seed(seed)
    net = make()
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
    return net.eval()


def with_prefix(prefix, state):
    return {prefix + name: tensor for name, tensor in state.items()}


def kept(tmp_path, content, name="w.pt", **options):
    torch.save(content, tmp_path / name, **options)
    return tmp_path / name


def loads(path, expected, *, net=None, key=None, classes=5, atol=0.0):
    """Load into a fresh network, check that it answers as the expected one; return the notes."""
    net = trained(99) if net is None else net
    notes = load_weights(net, path, key=key, classes=classes)
    with torch.no_grad():
        torch.testing.assert_close(net.eval()(IMAGES), expected.eval()(IMAGES), rtol=0, atol=atol)
    return notes


def refused(path, *, net=None, key=None, classes=5):
    net = trained(99) if net is None else net
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with pytest.raises(WeightsError) as error:
        load_weights(net, path, key=key, classes=classes)
    assert all(torch.equal(t, before[name]) for name, t in net.state_dict().items())
    return str(error.value)


# What tools write.


@pytest.fixture(scope="module")
def timm_files(tmp_path_factory):
    """What timm's own training script keeps: CheckpointSaver with its arguments, and an average."""
    pytest.importorskip("timm")
    from timm.utils import CheckpointSaver, ModelEmaV3

    folder = tmp_path_factory.mktemp("timm")
    net = trained()
    average = ModelEmaV3(net, decay=0.5)
    other = trained(2)
    average.module.load_state_dict(other.state_dict())
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    net(IMAGES).sum().backward()
    optimizer.step()
    arguments = argparse.Namespace(model="net", mean=(0.1, 0.2, 0.3), std=None, path=Path("x"))
    saver = CheckpointSaver(
        net, optimizer, args=arguments, model_ema=average, checkpoint_dir=str(folder)
    )
    saver.save_checkpoint(3, np.float64(71.5))
    torch.save(average.state_dict(), folder / "average_alone.pt")
    return folder / "last.pth.tar", folder / "average_alone.pt", net, other


def test_timm_training_checkpoints_load_and_say_that_an_average_is_there(timm_files):
    path, _, net, average = timm_files

    notes = loads(path, net)

    assert "weights are those at state_dict of last.pth.tar" in notes
    assert any("--weights-key state_dict_ema takes it" in note for note in notes)
    loads(path, average, key="state_dict_ema")


def test_timm_average_alone_loads(timm_files):
    _, path, _, average = timm_files
    loads(path, average)


@pytest.fixture(scope="module")
def lightning_file(tmp_path_factory):
    """A checkpoint of Lightning's trainer, of a module with a loss and hyperparameters."""
    lightning = pytest.importorskip("lightning")

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.save_hyperparameters({"lr": 0.1, "folder": Path("x")})
            self.net = trained().train()
            self.criterion = nn.CrossEntropyLoss(weight=torch.ones(5))

        def training_step(self, batch, _):
            return self.criterion(self.net(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), self.hparams.lr, momentum=0.9)

    folder = tmp_path_factory.mktemp("lightning")
    data = torch.utils.data.TensorDataset(IMAGES, torch.tensor([0, 1]))
    module = Module()
    trainer = lightning.Trainer(
        max_steps=1, accelerator="cpu", logger=False, enable_progress_bar=False,
        enable_checkpointing=False, default_root_dir=folder, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(module, torch.utils.data.DataLoader(data, batch_size=2))
    trainer.save_checkpoint(folder / "last.ckpt")
    return folder / "last.ckpt", module.net


def test_lightning_checkpoints_load_and_say_what_is_left_out(lightning_file):
    path, net = lightning_file

    notes = loads(path, net)

    assert notes[0] == "weights are those at state_dict.net of last.ckpt"
    assert "left out: criterion.weight" in notes[1]


def test_torchvision_reference_checkpoints_load(tmp_path):
    net, average = trained(), AveragedModel(trained(2))
    content = {
        "model": net.state_dict(),
        "optimizer": torch.optim.SGD(net.parameters(), 0.1, momentum=0.9).state_dict(),
        "lr_scheduler": {"last_epoch": 3, "_last_lr": [0.1]},
        "epoch": 3,
        "args": argparse.Namespace(lr=0.1, device=torch.device("cpu")),
        "model_ema": average.state_dict(),
    }
    path = kept(tmp_path, content)

    loads(path, net)
    loads(path, average.module, key="model_ema")


def test_files_of_before_torch_1_6_load_with_objects_beside(tmp_path):
    net = trained()
    content = {"model": net.state_dict(), "args": argparse.Namespace(lr=0.1)}

    loads(kept(tmp_path, content, _use_new_zipfile_serialization=False), net)


def test_averages_by_swa_load(tmp_path):
    average = AveragedModel(trained())
    average.update_parameters(trained(3))

    loads(kept(tmp_path, average.state_dict()), average.module)


def test_compiled_networks_load(tmp_path):
    net = trained()
    partly = trained()
    partly.blocks[1] = torch.compile(partly.blocks[1])

    loads(kept(tmp_path, torch.compile(net).state_dict()), net)
    loads(kept(tmp_path, partly.state_dict()), net)


def test_networks_trained_by_several_processes_load(tmp_path):
    net = trained()
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        parallel = nn.parallel.DistributedDataParallel(net)
        loads(kept(tmp_path, {"model": torch.compile(parallel).state_dict()}), net)
    finally:
        torch.distributed.destroy_process_group()


def test_only_some_layers_in_data_parallel_load(tmp_path):
    net, state = trained(), trained()
    state.blocks = nn.DataParallel(state.blocks)

    loads(kept(tmp_path, state.state_dict()), net)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_converted_and_it_is_told(tmp_path, kind):
    net = trained()
    path = kept(tmp_path, trained().to(kind).state_dict())

    notes = loads(path, net, atol=0.05)

    assert f"{str(kind)[6:]}, and were converted" in notes[0]


def test_safetensors_load_also_as_save_model_writes_them(tmp_path):
    net = trained()
    save_file(net.state_dict(), tmp_path / "a.safetensors")
    save_model(net, str(tmp_path / "b.safetensors"))
    shutil.copy(tmp_path / "a.safetensors", tmp_path / "named_otherwise.bin")

    for name in ("a.safetensors", "b.safetensors", "named_otherwise.bin"):
        loads(tmp_path / name, net)


def test_tied_weights_that_are_in_the_file_once_load(tmp_path):
    def tied(seed=1):
        net = trained(seed)
        net.blocks[1].conv.weight = net.blocks[0].conv.weight
        return net

    save_model(tied(), str(tmp_path / "w.safetensors"))

    loads(tmp_path / "w.safetensors", tied(), net=tied())


@pytest.fixture(scope="module")
def transformers_network():
    transformers = pytest.importorskip("transformers")
    config = transformers.ResNetConfig(
        embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic", num_labels=5
    )
    return lambda seed: trained(seed, lambda: transformers.ResNetForImageClassification(config))


@pytest.mark.parametrize("size", ["1GB", "3KB"], ids=["whole", "in shards"])
def test_folders_of_transformers_load(tmp_path, transformers_network, size):
    net, other = transformers_network(1), transformers_network(2)
    net.save_pretrained(tmp_path, max_shard_size=size)

    load_weights(other, tmp_path)

    assert torch.equal(other(IMAGES).logits, net(IMAGES).logits)
    assert len(files_of(tmp_path)) == (
        1 if size == "1GB" else 1 + len(list(tmp_path.glob("*-of-*")))
    )


def test_shards_of_torch_load_and_their_digest_is_of_all_of_them(tmp_path):
    net, index = trained(), {}
    for number, (name, tensor) in enumerate(net.state_dict().items()):
        index[name] = kept(tmp_path, {name: tensor}, f"pytorch_model-{number}.bin").name
    path = tmp_path / "pytorch_model.bin.index.json"
    path.write_text(json.dumps({"weight_map": index}))

    loads(path, net)
    before = digest_of(path)
    kept(tmp_path, {"fc.bias": torch.zeros(5)}, index["fc.bias"])

    assert digest_of(path) != before
    (tmp_path / index["fc.bias"]).unlink()
    assert "names pytorch_model-" in refused(path)


# Keys and prefixes.

PREFIXES = ["module.", "model.", "net.", "backbone.", "encoder.module.", "a.b.c.", "_orig_mod."]
KEYS = [None, "state_dict", "model", "params", "weights", "ema", "module", "net.state", "best"]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("prefix", ["", *PREFIXES])
def test_any_key_and_any_prefix_is_found_by_the_names_of_the_network(tmp_path, key, prefix):
    net = trained()
    content = with_prefix(prefix, net.state_dict())
    for part in reversed(key.split(".") if key else []):
        content = {part: content, "epoch": 3}

    loads(kept(tmp_path, content), net)


@pytest.mark.parametrize("name", ["model", "module", "net", "backbone"])
def test_a_network_that_is_a_wrapper_loads_its_own_names_and_those_of_what_it_wraps(tmp_path, name):
    net = trained(make=lambda: Wrapper(name))
    inner = getattr(net, name)
    forms = [net.state_dict(), inner.state_dict(), with_prefix("module.", net.state_dict())]

    for form in forms:
        loads(kept(tmp_path, form), net, net=trained(98, lambda: Wrapper(name)))


def test_a_data_parallel_network_loads_its_own_names_and_those_of_what_it_wraps(tmp_path):
    net = trained()

    for form in (net.state_dict(), with_prefix("module.", net.state_dict())):
        loads(kept(tmp_path, form), net, net=nn.DataParallel(trained(98)))


def test_a_head_beside_its_backbone_is_found(tmp_path):
    net = trained()
    state = {
        ("head." if name.startswith("fc") else "backbone.") + name: tensor
        for name, tensor in net.state_dict().items()
    }

    loads(kept(tmp_path, {"state_dict": state, "meta": {"epoch": 3}}), net)


def test_of_an_average_and_the_network_beside_it_the_network_is_taken(tmp_path):
    net, average = trained(), trained(2)
    one = with_prefix("online_model.", net.state_dict()) | with_prefix(
        "ema_model.", average.state_dict()
    )
    path = kept(tmp_path, one)

    assert "--weights-key ema_model takes it" in " ".join(loads(path, net))
    loads(path, average, key="ema_model")
    inside = kept(tmp_path, net.state_dict() | with_prefix("ema.", average.state_dict()), "i.pt")
    loads(inside, net)
    loads(inside, average, key="ema")


def test_which_of_two_networks_is_not_guessed(tmp_path):
    first, second = trained(), trained(2)
    both = with_prefix("encoder_q.", first.state_dict())
    both |= with_prefix("encoder_k.", second.state_dict())
    path = kept(tmp_path, {"state_dict": both})

    told = refused(path)

    assert "state_dict.encoder_k, state_dict.encoder_q" in told
    assert "--weights-key" in told
    loads(path, second, key="state_dict.encoder_k")


def test_a_key_that_is_not_there_is_refused_with_those_that_are(tmp_path):
    path = kept(tmp_path, {"state_dict": trained().state_dict(), "epoch": 3})

    told = refused(path, key="state_dict_ema")

    assert "nothing at --weights-key state_dict_ema; its keys are state_dict, epoch" in told


# A head for other classes.


def test_a_head_for_other_classes_starts_afresh_and_all_else_loads(tmp_path):
    given = trained(make=lambda: Net(1000))
    net = trained(98)
    head = net.fc.weight.clone()

    notes = load_weights(net, kept(tmp_path, {"model": given.state_dict()}), classes=5)

    assert "fc.weight, fc.bias start at random: w.pt is for 1000 classes, the network for 5" in (
        " ".join(notes)
    )
    assert torch.equal(net.fc.weight, head)
    assert torch.equal(net.stem.weight, given.stem.weight)


def test_other_shapes_than_of_a_head_are_refused(tmp_path):
    wide = trained(make=lambda: Net(1000)).state_dict()
    wide["stem.weight"] = torch.zeros(4, 1, 3, 3)
    embedding = trained().state_dict() | {"stem.bias": torch.zeros(7)}

    assert "stem.weight (4x1x3x3 in the file, 4x3x3x3" in refused(kept(tmp_path, wide))
    assert "stem.bias (7 in the file, 4 in" in refused(kept(tmp_path, embedding))
    other = kept(tmp_path, trained(make=lambda: Net(1000)).state_dict())
    assert "fc.weight (1000x4 in the file, 5x4" in refused(other, classes=0)


# What is refused, by its cause.


def scripted(folder):
    torch.jit.save(torch.jit.trace(trained(), IMAGES), folder / "w.pt")


def exported(folder):
    torch.export.save(torch.export.export(trained(), (IMAGES,)), folder / "w.pt")


def arrays(folder, save):
    with (folder / "w.pt").open("wb") as file:
        save(file, np.zeros(3))


def text(folder, content):
    (folder / "w.pt").write_bytes(content)


def quantised(state):
    return {
        n: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8) if t.is_floating_point() else t
        for n, t in state.items()
    }


def scaled(state, how):
    return {n: how(t) if t.is_floating_point() else t for n, t in state.items()}


def optimizer(_):
    net = trained()
    made = torch.optim.Adam(net.parameters())
    F.mse_loss(net(IMAGES), torch.zeros(2, 5)).backward()
    made.step()
    return made.state_dict()


CONTENTS = {
    "whole network": (lambda _: nn.Sequential(trained()), "torch.nn.modules.container.Sequential"),
    "network at a key": (lambda _: {"model": trained(), "epoch": 3}, "whole network as an object"),
    "optimizer": (optimizer, "state of an optimizer"),
    "optimizer at a key": (lambda _: {"optimizer": optimizer(_), "epoch": 1}, "of an optimizer"),
    "int8": (lambda s: scaled(s, lambda t: t.to(torch.int8)), "stem.weight is int8"),
    "uint8": (lambda s: scaled(s, lambda t: t.to(torch.uint8)), "stem.weight is uint8"),
    "qint8": (quantised, "stem.weight is qint8"),
    "float8": (lambda s: scaled(s, lambda t: t.to(torch.float8_e4m3fn)), "is float8_e4m3fn"),
    "complex": (lambda s: scaled(s, lambda t: t.to(torch.complex64)), "is complex64"),
    "nan": (lambda s: s | {"blocks.1.conv.weight": s["blocks.1.conv.weight"] * torch.nan},
            "blocks.1.conv.weight holds NaN"),
    "infinity": (lambda s: s | {"fc.bias": torch.full((5,), torch.inf)}, "fc.bias holds NaN or"),
    "list": (lambda s: list(s.values()), "no state dict"),
    "numbers": (lambda _: {"stem.weight": 3}, "no state dict"),
    "another network": (lambda _: {"x.weight": torch.zeros(2)}, "none of its names is"),
    "one missing": (lambda s: {n: t for n, t in s.items() if n != "fc.bias"}, "missing: fc.bias"),
    "one more": (lambda s: s | {"more.weight": torch.zeros(2)}, "unexpected: more.weight"),
}  # fmt: skip


@pytest.mark.parametrize("case", CONTENTS)
def test_what_cannot_be_loaded_is_refused_by_its_cause(tmp_path, case):
    make, told = CONTENTS[case]

    assert told in refused(kept(tmp_path, make(trained().state_dict())))


FILES = {
    "TorchScript": (scripted, "TorchScript program"),
    "torch.export": (exported, "program of torch.export"),
    "empty": (lambda f: text(f, b""), "is empty"),
    "git-lfs": (lambda f: text(f, b"version https://git-lfs.github.com/spec/v1\n"), "git lfs pull"),
    "web page": (lambda f: text(f, b"\n<!DOCTYPE html><html>"), "web page"),
    "hdf5": (lambda f: text(f, b"\x89HDF\r\n\x1a\n"), "HDF5"),
    "gguf": (lambda f: text(f, b"GGUF\x03"), "GGUF"),
    "gzip": (lambda f: text(f, b"\x1f\x8b\x08"), "unpack it first"),
    "npy": (lambda f: arrays(f, np.save), "another library"),
    "npz": (lambda f: arrays(f, np.savez), "another library"),
    "torn": (lambda f: text(f, kept(f, {"a": torch.zeros(99)}, "x").read_bytes()[:-99]), "w.pt"),
    "text": (lambda f: text(f, b"weights"), "no file of torch"),
    "folder": (lambda f: (f / "w.pt" / "logs").mkdir(parents=True), "is a folder with logs"),
    "empty folder": (lambda f: (f / "w.pt").mkdir(), "is a folder with nothing"),
    "nothing": (lambda _: None, "does not exist"),
}


@pytest.mark.parametrize("case", FILES)
def test_files_of_other_kinds_are_refused_by_their_cause(tmp_path, case):
    make, told = FILES[case]
    make(tmp_path)

    assert told in refused(tmp_path / "w.pt")


@pytest.mark.parametrize("name", ["w.onnx", "w.pb", "w.msgpack"])
def test_files_of_other_tools_are_refused_by_name(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x08\x07")

    assert "bring the network's PyTorch weights" in refused(tmp_path / name)


@pytest.mark.parametrize("index", ["[]", "{", '{"weight_map": 3}', '{"weight_map": {"a": 3}}'])
def test_an_index_that_is_none_is_refused(tmp_path, index):
    (tmp_path / "w.index.json").write_text(index)

    assert "must be an index of shards" in refused(tmp_path / "w.index.json")


def test_shards_are_looked_for_beside_their_index_alone(tmp_path):
    outside = kept(tmp_path, trained().state_dict())
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "w.index.json"
    path.write_text(json.dumps({"weight_map": {"fc.bias": f"../{outside.name}"}}))

    assert "names w.pt, which is not beside it" in refused(path)


def test_a_distributed_checkpoint_is_refused_with_what_makes_one_file_of_it(tmp_path):
    from torch.distributed import checkpoint

    checkpoint.save({"model": trained().state_dict()}, checkpoint_id=tmp_path / "dcp", no_dist=True)

    assert "dcp_to_torch" in refused(tmp_path / "dcp")


class Runs:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return exec, (f"open({self.path!r}, 'w')",)


def test_objects_beside_the_tensors_are_not_imported_and_files_that_run_code_are_refused(
    tmp_path, monkeypatch
):
    net, canary = trained(), tmp_path / "canary"
    elsewhere = ModuleType("elsewhere")
    elsewhere.Settings = type("Settings", (), {"__module__": "elsewhere"})
    settings = elsewhere.Settings()
    settings.rate = 0.1
    content = {"model": net.state_dict(), "settings": settings}
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "elsewhere", elsewhere)
        sound = kept(tmp_path, content)
        hostile = kept(tmp_path, {**content, "more": Runs(canary)}, "hostile.pt")

    loads(sound, net)  # where no such module is

    assert "which may run code" in refused(hostile)
    assert not canary.exists()


class OwnConfig(dict):
    """As EasyDict, yacs and others are."""

    def __setstate__(self, state):
        self.update(state)


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(
    "beside",
    [OwnConfig(lr=0.1), defaultdict(list, a=[1]), [OwnConfig(lr=0.1)], Counter("abc")],
    ids=["mapping", "defaultdict", "list", "counter"],
)
def test_a_mapping_of_another_kind_beside_the_tensors_is_read_or_refused_with_the_way_out(
    beside, protocol, tmp_path
):
    network = trained()
    content = {"state_dict": network.state_dict(), "config": beside}
    path = kept(tmp_path, content, pickle_protocol=protocol)

    if type(beside) is Counter and protocol == 2:  # torch reads it
        loads(path, network)
    else:
        assert "writes tensors alone" in refused(path)
