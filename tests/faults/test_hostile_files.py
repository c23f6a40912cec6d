"""Weights, data, names, policies and exports made to do harm, through the command line.

All of them go through one process, after sound ones that import what is needed; it notes whatever
it is made to do, and how much memory it takes beyond that of the sound ones.
"""

import io
import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save, save_file

from autodepth.data.settings import Normalisation
from autodepth.export.bundles import bundle
from autodepth.export.bundles.architecture import Architecture
from autodepth.networks.catalogue import NetworkSpec, build_network

pytestmark = [pytest.mark.slow, pytest.mark.timeout(800)]
MOST_MEGABYTES = 200
WATCHED = """
import json, sys
from autodepth.cli.main import main
ACTS = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "os.remove", "os.rename", "os.mkdir",
        "subprocess.Popen", "socket.connect", "socket.bind", "pickle.find_class", "ctypes.dlopen")
noted, watching = [], False
def note(event, arguments):
    if not watching:
        return
    writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    if event in ACTS or writes:
        noted.append(f"{now}: {event} {arguments!r:.200}")
sys.addaudithook(note)
def peak():
    lines = open("/proc/self/status")
    return next(int(line.split()[1]) / 1024 for line in lines if "VmHWM" in line)
def run(arguments):
    global now
    now = " ".join(arguments)
    sys.argv = ["autodepth", *arguments]
    try:
        main()
        return 0
    except SystemExit as end:
        return end.code or 0
with open(sys.argv[1]) as file:
    wanted = json.load(file)
sound = [run(arguments) for arguments in wanted["sound"]]
before, watching = peak(), True
status = {}
for name, arguments in wanted["hostile"].items():
    print(f"--- {name}", file=sys.stderr, flush=True)
    status[name] = run(arguments)
watching = False
print()
print(json.dumps({"sound": sound, "status": status, "noted": noted, "more": peak() - before}))
"""


class Touch:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def tensors_with(header, content=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content


def zipped(**members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/"), content)
    return file.getvalue()


def array(header, content=b""):
    """Return a file of NumPy's whose header says what it likes."""
    text = header.ljust(118).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + content


def saved(value):
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def hostile_weights(folder, sound):
    touch = Touch(folder / "owned")
    one = {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    state = {name: tensor.clone() for name, tensor in sound.items()}
    first = next(iter(state))
    bomb = zipped(archive__version=b"3\n", archive__data=bytes(10**6))
    return {
        "reduce.pt": saved({"state_dict": touch}),
        "reduce.pkl": pickle.dumps(touch),
        "reduce.bin": pickle.dumps({"state_dict": touch}, protocol=2),
        "reduce.safetensors": pickle.dumps(touch),
        "reduce.npz": pickle.dumps(touch),
        "whole_module.pt": saved(torch.nn.Linear(1, 1)),
        "program.pt2": zipped(**{"data__weights__model.pt": pickle.dumps(touch)}),
        "jit.pt": zipped(archive__data_pkl=pickle.dumps(touch), archive__version=b"3\n"),
        "bomb.pt": bomb,
        "list.pt": saved([1, 2, 3]),
        "numbers.pt": saved({"conv1.weight": 3}),
        "empty.pt": b"",
        "torn.pt": saved(state)[:-900],
        "text.pt": b"conv1.weight = 1",
        "wrong_shapes.safetensors": {**state, first: torch.zeros(1, 2, 3)},
        "missing.safetensors": {first: state[first]},
        "header_too_long.safetensors": struct.pack("<Q", 2**60) + b"{}",
        "header_of_nothing.safetensors": tensors_with(b""),
        "header_no_json.safetensors": tensors_with(b"{oops"),
        "header_list.safetensors": tensors_with([1]),
        "beyond_the_end.safetensors": tensors_with(one),
        "huge.safetensors": tensors_with(
            {"a": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}}
        ),
        "overflow.safetensors": tensors_with(
            {"a": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 4]}}, bytes(4)
        ),
        "negative.safetensors": tensors_with(
            {"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, bytes(4)
        ),
        "overlap.safetensors": tensors_with({**one, "b": one["a"]}, bytes(4)),
        "dtype.safetensors": tensors_with(
            {"a": {"dtype": "P64", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)
        ),
        "deep.safetensors": tensors_with(b'{"a":' + b"[" * 100_000),
    }


def hostile_arrays(folder):
    images, labels = array("{'descr': '|u1', 'fortran_order': False, 'shape': (9, 8, 8), }"), b""
    objects = io.BytesIO()
    np.save(objects, np.array([Touch(folder / "owned")], dtype=object), allow_pickle=True)
    huge = array("{'descr': '|u1', 'fortran_order': False, 'shape': (999999, 9999, 9999), }")
    code = array("__import__('os').mkdir('owned')")
    return {
        "objects.npz": zipped(**dict.fromkeys(("x_train.npy", "y_train.npy"), objects.getvalue())),
        "huge.npz": zipped(**{"x_train.npy": huge, "y_train.npy": labels}),
        "code.npz": zipped(**{"x_train.npy": code, "y_train.npy": code}),
        "torn.npz": zipped(**{"x_train.npy": images, "y_train.npy": images}),
        "names.npz": zipped(**{"..__..__x_train.npy": images}),
        "none.npz": zipped(),
        "text.npz": b"not an archive",
    }


def hostile_policies():
    return {
        "tag.yaml": b"criterion: !!python/object/apply:os.mkdir ['owned']\n",
        "bomb.yaml": b"a: &a [1,1,1,1]\nb: &b [*a,*a,*a,*a]\nc: [*b,*b,*b,*b]\n",
        "deep.yaml": b"train: " + b"[" * 100_000,
        "twice.yaml": b"p_L: 0.5\np_L: 0.6\n",
        "code.yaml": b"p_L: __import__('os').mkdir('owned')\n",
        "unknown.yaml": b"command: touch owned\n",
        "binary.yaml": bytes(range(256)),
        "list.yaml": b"[1, 2]\n",
    }


def forged_bundles(folder):
    """Write exports that were sealed again after they were altered; return their names."""
    network = NetworkSpec(name="resnet8")
    sound = Architecture(
        network=network, removed=(), widths={}, classes=tuple("abcdefghij"), macs=1,
        normalisation=Normalisation(mean=(0.5,) * 3, std=(0.5,) * 3),
    )  # fmt: skip
    state = build_network(network).module.state_dict()
    usual = {
        **dict.fromkeys(bundle._ALWAYS, b"{}"),
        bundle.ARCHITECTURE: sound.to_json().encode(),
        bundle.RECORD: b'{"data": {"name": "digits"}}',
        bundle.WEIGHTS: save({name: tensor.clone() for name, tensor in state.items()}),
    }

    def built(network):
        return replace(sound, network=network).to_json().encode()

    deep = b'{"a":' + b"[" * 100_000
    altered = {
        "pickle": {bundle.WEIGHTS: pickle.dumps(Touch(folder / "owned"))},
        "code": {bundle.ARCHITECTURE: built(replace(network, name="os:mkdir"))},
        "endless": {bundle.ARCHITECTURE: built(replace(network, classes=10**12))},
        "words": {bundle.ARCHITECTURE: built(replace(network, classes="many"))},
        "branches": {bundle.ARCHITECTURE: replace(sound, removed=(99,)).to_json().encode()},
        "deep": {bundle.ARCHITECTURE: deep},
        "binary": {bundle.ARCHITECTURE: bytes(range(256))},
        "no_record": {bundle.RECORD: b"not JSON"},
        "deep_record": {bundle.RECORD: deep},
        "list_record": {bundle.RECORD: b"[1]"},
        "other_macs": {},
    }
    for name, files in altered.items():
        (folder / name).mkdir(parents=True)
        for file, content in {**usual, **files}.items():
            (folder / name / file).write_bytes(content)
        bundle.write_checksums(folder / name)
    return altered


NAMES = {
    "up": "../outside", "absolute": "/tmp/outside", "below": "a/b", "empty": "", "dots": "..",
    "hidden": ".x", "long": "x" * 300, "look_alike": "d\u0456gits", "nul": "a\0b", "blank": "a b",
    "line": "a\nb", "shell": "$(touch owned)", "escape": "\x1b[2J", "reserved": "mlflow.db",
}  # fmt: skip
BUDGETS = ("9**9h", "1e999gpu-h", "-1h", "0trials", "nan", "1" * 5000 + "x", "__import__('os')")
SETTINGS = (
    "__class__=1", "train.__dict__=1", "train.epochs=!!python/object/apply:os.system ['id']",
    "network.name=os:system", "search.p_L={min: 0, max: .inf}", "train.epochs=" + "9" * 400,
)  # fmt: skip


def write_images(folder):
    """Write folders of classes whose files are no images, or claim to be endless ones."""
    made = {}
    for name, content in {
        "text": b"not an image", "pickle": pickle.dumps(Touch(folder / "owned")), "empty": b"",
        "torn": b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + struct.pack(">II", 60_000, 60_000),
    }.items():  # fmt: skip
        for label in "ab":
            (folder / name / label).mkdir(parents=True)
            for i in range(12):
                Image.new("L", (8, 8), i).save(folder / name / label / f"{i}.png")
            (folder / name / label / "x.png").write_bytes(content)
        made[name] = f"folder:{folder / name}"
    (folder / "nothing").mkdir()
    return {**made, "nothing": f"folder:{folder / 'nothing'}", "absent": "folder:/no/where"}


def weights_to_read(folder, sound):
    files = hostile_weights(folder, sound)
    for name, content in files.items():
        if isinstance(content, dict):
            save_file(content, folder / name)
        else:
            (folder / name).write_bytes(content)
    (folder / "a_folder.pt").mkdir()
    (folder / "loop.pt").symlink_to(folder / "loop.pt")
    return {
        f"weights {name}": ["inspect", "resnet8", "--weights", str(folder / name)]
        for name in (*files, "a_folder.pt", "loop.pt")
    }


def things_to_name(dry):
    begin = ["search", "--budget", "1trials", "--network", "resnet8"]
    return {
        **{f"name {name}": [*begin, "--study", study] for name, study in NAMES.items()},
        **{f"study {name}": ["status", study] for name, study in NAMES.items()},
        **{f"budget {b[:9]}": [*dry[:2], b, *dry[3:]] for b in BUDGETS},
        **{f"setting {each[:20]}": [*dry, "--set", each] for each in SETTINGS},
    }


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile-files")
    network = build_network(NetworkSpec(name="resnet8", channels=3, height=32, width=32), seed=0)
    sound = network.module.state_dict()
    save_file({n: t.clone() for n, t in sound.items()}, folder / "sound.safetensors")
    (folder / "sound.yaml").write_text("p_L: 0.5\n")
    outside = folder / "outside"
    outside.mkdir()
    shutil.copy(folder / "sound.yaml", outside / "ledger.sqlite")
    dry = ["search", "--budget", "1trials", "--dry-run", "--network", "resnet8"]
    hostile = {**weights_to_read(folder, sound), **things_to_name(dry)}
    for name, content in hostile_arrays(folder).items():
        (folder / f"data_{name}").write_bytes(content)
        hostile[f"data {name}"] = [*dry, "--data", f"npz:{folder / f'data_{name}'}"]
    for name, data in write_images(folder / "images").items():
        hostile[f"images {name}"] = [*dry, "--data", data, "--set", "data.image_size=8"]
    for name, content in hostile_policies().items():
        (folder / name).write_bytes(content)
        hostile[f"policy {name}"] = ["trial", str(folder / name), "--network", "resnet8"]
    (folder / "bundle").mkdir()
    (folder / "bundle" / "checksums.json").write_text('{"files": {"../../x": "00"}}')
    for name in ("bundle", "outside", "absent"):
        hostile[f"export {name}"] = ["evaluate", str(folder / name)]
    for name in forged_bundles(folder / "forged"):
        hostile[f"export forged {name}"] = ["evaluate", str(folder / "forged" / name)]
    wanted = folder / "wanted.json"
    sound_ones = [
        ["inspect", "resnet8", "--weights", str(folder / "sound.safetensors")],
        [*dry, "--data", "digits"],
        ["studies"],
    ]
    wanted.write_text(json.dumps({"sound": sound_ones, "hostile": hostile}))
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, str(wanted)],
        capture_output=True, text=True, cwd=folder, timeout=700, check=False,
        env={**os.environ, "NO_COLOR": "1", "AUTODEPTH_HOME": str(folder / "studies")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return {**json.loads(done.stdout.splitlines()[-1]), "errors": done.stderr, "folder": folder}


def test_the_sound_ones_pass_and_there_are_many_others(told):
    assert told["sound"] == [0, 0, 0]
    assert len(told["status"]) >= 60


def test_every_one_is_refused_with_status_2_and_a_message(told):
    passed = {name: status for name, status in told["status"].items() if status != 2}
    messages = told["errors"].split("--- ")[1:]

    assert {name: status for name, status in passed.items() if not name.startswith("export")} == {}
    assert set(passed.values()) <= {1}  # an export that was altered: 1
    assert "Traceback" not in told["errors"]
    assert "\x1b[2J" not in told["errors"]
    assert [message for message in messages if message.count("\n") < 2] == []


def test_nothing_is_run_written_or_called(told):
    assert told["noted"] == []
    assert not list(told["folder"].rglob("owned"))
    assert not (told["folder"] / "studies").exists()


def test_none_of_them_takes_much_memory(told):
    assert told["more"] <= MOST_MEGABYTES
