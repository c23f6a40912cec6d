"""Every command line and snippet of the documentation is run as it stands, or says why not."""

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from textwrap import indent

import numpy as np
import pytest
import torch
import typer
from digit_scenes import write_scenes
from docs.command_lines import PAGES, command_lines
from PIL import Image
from ruamel.yaml import YAML

from autodepth.cli.main import app
from autodepth.networks.catalogue import NetworkSpec, build_module

LISTED = YAML(typ="safe").load((Path(__file__).parent / "commands.yaml").read_text())
RUN = [entry for entry in LISTED if "not_run" not in entry]
COMMANDS = typer.main.get_command(app).commands
NETWORKS = """
from torch import nn


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        convolution = nn.Conv2d(channels, channels, 3, padding=1)
        self.f = nn.Sequential(nn.BatchNorm2d(channels), convolution)

    def forward(self, x):
        return x + self.f(x)


def build(num_classes=10):
    stem, blocks = nn.Conv2d(3, 4, 3, padding=1), [Block(4) for _ in range(3)]
    pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(stem, *blocks, *pool, nn.Linear(4, num_classes))
"""
TINY = """
version: 1
network: resnet8
data: {name: digits, train_images: 40}
search: {fine_tune_epochs: 1, branches_removed: {type: int, min: 0, max: 1}}
train: {epochs: 1}
"""
# By page and the text they begin with: what takes the place of what.
SNIPPETS = {
    ("README.md", "from autodepth"): {"autodepth.yaml": "tiny.yaml", "4cpu-min": "1trials"},
    ("tutorial.md", "from PIL"): {},
    ("own_task.md", '"""A task in one file'): {},
    ("serve.md", "from autodepth.client"): {
        "from autodepth.client": "import subprocess, sys\n"
        'serve = [sys.executable, "-m", "autodepth", "serve", "--port", "0"]\n'
        "server = subprocess.Popen(serve, stdout=subprocess.PIPE, text=True)\n"
        "address = server.stdout.readline().strip()\n"
        "from autodepth.client",
        '"http://127.0.0.1:8700"': "address",
        '"4cpu-min", settings=["network.name=resnet14"]': '"1trials", '
        'space_text=open("tiny.yaml").read()',
        'print(client.front("small"))': 'assert client.front("small")\nserver.terminate()',
    },
    ("export.md", "import numpy"): {
        "import numpy as np, onnxruntime": "import numpy as np, onnxruntime\n"
        "images = np.zeros((1, 1, 8, 8), np.float32)"
    },
}
# Pages of tasks that are shipped, and the space file that each begins with.
OF_TASKS = {
    "embedding": "faces.yaml",
    "detection": "boxes.yaml",
    "segmentation": "maps.yaml",
    "regression": "ages.yaml",
}
PART_OF_A_FILE = ("class Block", "class Backbone", "class WithAge")  # no program of their own


def snippets(page):
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def test_the_list_has_every_command_line_once_and_no_other():
    listed = [entry["said"] for entry in LISTED]

    assert len(set(listed)) == len(listed)
    assert {line for page in PAGES for line in command_lines(page)} == set(listed)


def test_every_snippet_is_listed():
    found = [(page.name, text) for page in PAGES for text in snippets(page)]
    whole = [(page, text) for page, text in found if not text.startswith(PART_OF_A_FILE)]

    assert len(whole) == len(SNIPPETS)
    for page, beginning in SNIPPETS:
        assert any(name == page and text.startswith(beginning) for name, text in whole)


def ours(text):
    """Return the words after `autodepth`; None for a command line of another program."""
    text = text.partition(" | ")[0].rpartition("&& ")[2]
    words = shlex.split(text.replace("$(cat token.txt)", "t"))
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    return words[1:] if words[:1] == ["autodepth"] else None


@pytest.mark.parametrize("key", ["said", "run"])
def test_every_command_line_of_ours_can_be_read(key):
    """Options are known, values are of their kind, and what is required is there."""
    read = 0
    for entry in LISTED:
        if (words := ours(entry.get(key, entry["said"]))) is None:
            continue
        name, *arguments = words
        with COMMANDS[name].make_context(name, arguments):
            read += 1

    assert read > 70


@pytest.fixture(scope="module")
def belongings(tmp_path_factory):
    """A folder with all that the pages name: images, weights, a network, a policy."""
    place = tmp_path_factory.mktemp("mine")
    draw = np.random.default_rng(0)
    for folder, classes, size in (
        ("photos", ("cat", "ship"), 24),
        ("newer", ("cat", "ship"), 24),
        ("cifar10", "abcdefghij", 32),
        ("faces", "abcdefghij", 16),
    ):
        for name in classes:
            (place / folder / name).mkdir(parents=True)
            for i in range(20):
                pixels = draw.integers(0, 255, (size, size, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(place / folder / name / f"{i}.png")
    pixels, labels = draw.integers(0, 255, (69, 8, 8), dtype=np.uint8), np.arange(69) % 3
    parts = {"train": slice(60), "test": slice(60, 69)}
    arrays = {f"x_{name}": pixels[part] for name, part in parts.items()}
    arrays |= {f"y_{name}": labels[part] for name, part in parts.items()}
    np.savez(place / "images.npz", **arrays)
    np.save(place / "images.npy", pixels)
    spec = NetworkSpec(name="resnet56", classes=10)
    for name in ("resnet56.th", "F"):
        torch.save({"state_dict": build_module(spec).state_dict()}, place / name)
    (place / "my_networks.py").write_text(NETWORKS)
    (place / "policy.yaml").write_text(
        "branches_removed: 1\nfine_tune_epochs: 1\ntrain: {epochs: 1, batch_size: 32}\n"
    )
    (place / "tiny.yaml").write_text(TINY)
    (guide,) = (page for page in PAGES if page.name == "own_task.md")
    (place / "ink.py").write_text(snippets(guide)[0])
    space, _ = re.findall(r"^```yaml\n(.*?)^```", guide.read_text(), re.MULTILINE | re.DOTALL)
    (place / "ink.yaml").write_text(space)
    for page in PAGES:
        if page.stem in OF_TASKS:
            pattern = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
            (space,) = pattern.findall(page.read_text())
            (place / OF_TASKS[page.stem]).write_text(space)
    shipped = Path(__file__).parents[1] / "tasks" / "shipped"
    for name in ("small_detector.py", "small_maps.py"):
        (place / name).write_text((shipped / name).read_text())
    write_scenes(place / "scenes", {"train": 60, "valid": 12, "test": 12}, classes=2)
    (place / "ages").mkdir()
    rows = ["image,age"]
    for i in range(120):
        pixels = draw.integers(0, 255, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(place / "ages" / f"{i}.png")
        rows.append(f"{i}.png,{pixels.mean():.2f}")
    (place / "ages" / "ages.csv").write_text("\n".join(rows))
    (place / "tokens.toml").write_text(
        '[alice]\ntoken = "a-token-of-some-length"\nrole = "steer"\n'
    )
    (place / "tokens.toml").chmod(0o600)
    (place / "token.txt").write_text("a-token-of-some-length-0123456789")
    return place


def carried_out(entry, place):
    """Run a command line in the shell, as a person does; return its status and what it wrote."""
    environment = {name: value for name, value in os.environ.items() if name != "AUTODEPTH_HOME"}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    with subprocess.Popen(
        ["bash", "-c", entry.get("run", entry["said"])], cwd=place, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, process_group=0,
    ) as process:  # fmt: skip
        told = []
        for line in process.stdout:
            told.append(line)
            if "until" in entry and entry["until"] in line:
                os.killpg(process.pid, signal.SIGINT)
                break
        told.append(process.stdout.read())
    return process.returncode, "".join(told)


def written(place, name, beginning, changes):
    """Write a snippet as a program, and return its file."""
    (page,) = (page for page in PAGES if page.name == name)
    (text,) = (text for text in snippets(page) if text.startswith(beginning))
    for said, meant in changes.items():
        assert said in text
        text = text.replace(said, meant)
    (place / "snippet.py").write_text(f'if __name__ == "__main__":\n{indent(text, "    ")}')
    return "snippet.py"


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_command_lines_do_what_the_pages_say(belongings):
    """In one folder, one after the other: what one writes another reads."""
    failed = {}
    for entry in RUN:
        status, told = carried_out(entry, belongings)
        expected = {0, 130} if "until" in entry else {entry.get("status", 0)}
        if status not in expected or "Traceback" in told:
            failed[entry["said"]] = (status, told[-800:])
    for (name, beginning), changes in SNIPPETS.items():
        status, told = carried_out(
            {"said": f"python {written(belongings, name, beginning, changes)}"}, belongings
        )
        if status:
            failed[f"{name}: {beginning}"] = (status, told[-800:])
    assert failed == {}
