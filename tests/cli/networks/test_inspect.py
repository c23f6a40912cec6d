"""`autodepth inspect` tells every part of a network and what it costs."""

import json
import re
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from autodepth.cli.main import app
from autodepth.errors import InputError, WeightsError
from autodepth.networks.catalogue.cifar_resnet import CifarResNet

RUN = CliRunner()


def inspect(*arguments, columns=120):
    done = RUN.invoke(app, ["inspect", *arguments], env={"COLUMNS": str(columns)})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def test_the_json_adds_up_and_names_every_branch():
    told = json.loads(inspect("resnet20", "--json").stdout)
    parts = [*told["branches"], told["stem"], told["between"], told["head"]]

    assert sum(part["macs"] for part in parts) == told["total_macs"] == 40_551_040
    assert sum(part["parameters"] for part in parts) == told["total_parameters"] == 269_722
    assert [branch["index"] for branch in told["branches"]] == list(range(1, 10))
    assert told["branches"][3] == {
        "index": 4,
        "module": "layer2.0",
        "stage": 2,
        "shortcut": "projection",
        "removable": True,
        "obstacle": "",
        "widths_left_alone": "",
        "macs": 3_538_944,
        "share": 3_538_944 / 40_551_040,
        "parameters": 13_952,
    }
    assert sum(part["share"] for part in parts) == pytest.approx(1)
    assert told["stream"] == [
        {"stage": stage, "width": width, "multiple_of": 1, "left_alone": ""}
        for stage, width in ((1, 16), (2, 32), (3, 64))
    ]
    assert told["notes"] == []
    assert told["equal_off_by"] == 0


def test_the_network_read_is_said_to_be_the_one_given():
    assert (
        "equal to the network given (off by 0 of the largest output)" in inspect("resnet8").stderr
    )


def test_the_table_has_a_row_for_stem_head_and_total():
    rows = [line.split() for line in inspect("resnet20").stdout.splitlines()]

    assert (
        " ".join(rows[0]) == "branch module stage shortcut removable widths wide MACs share params"
    )
    assert rows[1] == ["stem", "442,368", "1.1%", "464"]
    assert rows[2] == [
        "1",
        "layer1.0",
        "1",
        "identity",
        "yes",
        "yes",
        "16",
        "4,718,592",
        "11.6%",
        "4,672",
    ]
    assert rows[-2] == ["head", "640", "0.0%", "650"]
    assert rows[-1] == ["total", "40,551,040", "100.0%", "269,722"]


def test_a_stream_that_keeps_its_width_says_why(tmp_path, monkeypatch):
    (tmp_path / "turned_net.py").write_text(
        "from torch import nn\n"
        "class Turned(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.stem, self.f = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)\n"
        "    def forward(self, x):\n"
        "        x = self.stem(x)\n"
        "        return (x + self.f(x)).flip(1).mean((2, 3))\n"
    )
    monkeypatch.chdir(tmp_path)

    done = inspect("turned_net:Turned", "--json")
    why = "flip mixes channels or cuts them up"

    assert json.loads(done.stdout)["stream"] == [
        {"stage": 1, "width": None, "multiple_of": None, "left_alone": why}
    ]
    assert f"note: stage 1 keeps its width: {why}" in done.stderr
    assert "stays" in inspect("turned_net:Turned").stdout


def test_the_input_shape_counts():
    told = json.loads(inspect("resnet8", "--input", "1x16x16", "--json").stdout)

    assert told["stem"]["macs"] == 16 * 9 * 16 * 16


def test_a_network_of_sequences_takes_two_numbers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "of_sequences.py").write_text(
        (Path(__file__).parents[2] / "networks" / "sequences.py").read_text()
    )
    told = json.loads(inspect("of_sequences:Sequences", "--input", "1x1000", "--json").stdout)

    assert [branch["module"] for branch in told["branches"]] == ["blocks.0", "blocks.1", "blocks.2"]
    assert {branch["macs"] for branch in told["branches"]} == {2 * 8 * 8 * 5 * 500}


def test_weights_that_fit_are_taken_and_others_refused(tmp_path):
    file = tmp_path / "weights.pt"
    torch.save(CifarResNet(8).state_dict(), file)

    assert json.loads(inspect("resnet8", "--weights", str(file), "--json").stdout)["branches"]
    with pytest.raises(WeightsError, match=r"missing: layer1.1.conv1.weight.* and \d+ more"):
        inspect("resnet14", "--weights", str(file))


def test_a_branch_that_cannot_be_removed_says_why(tmp_path, monkeypatch):
    (tmp_path / "spreading_net.py").write_text(
        "from torch import nn\n"
        "class Spreading(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.f, self.g = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)\n"
        "    def forward(self, x):\n"
        "        x = x + self.f(x)\n"
        "        mean = x.mean((2, 3), keepdim=True)\n"
        "        return mean + self.g(mean).expand_as(x)\n"
    )
    monkeypatch.chdir(tmp_path)

    first, second = json.loads(inspect("spreading_net:Spreading", "--json").stdout)["branches"]
    table = inspect("spreading_net:Spreading").stdout

    assert (first["removable"], first["obstacle"]) == (True, "")
    assert (second["removable"], second["obstacle"]) == (
        False,
        "its shortcut has another shape than the sum",
    )
    assert "its shortcut has another shape than the sum" in table


@pytest.mark.parametrize("terminal", [False, True])
def test_long_names_stay_whole_and_take_more_lines_on_a_terminal_only(
    tmp_path, monkeypatch, terminal
):
    name = "encoder_layer_with_a_name_of_its_own"
    module = f"long_names_{terminal}"  # Python has one module of a name
    (tmp_path / f"{module}.py").write_text(
        "from torch import nn\n"
        "class Block(nn.Sequential):\n"
        "    def forward(self, x):\n"
        "        return x + super().forward(x)\n"
        "class Net(nn.Sequential):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        f"        self.{name} = Block(nn.Conv2d(3, 3, 1))\n"
    )
    monkeypatch.chdir(tmp_path)
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")

    table = re.sub("\x1b\\[[0-9;]*m", "", inspect(f"{module}:Net", columns=80).stdout)
    lines = table.splitlines()

    assert (name in table) is not terminal
    assert (max(map(len, lines)) <= 80) is terminal
    column = slice(lines[0].index("module"), lines[0].index("stage"))
    assert name in "".join(line[column].strip() for line in lines)


def test_a_network_of_ones_own_with_arguments_and_a_note(tmp_path, monkeypatch):
    (tmp_path / "inspected_net.py").write_text(
        "from torch import nn\n"
        "class Block(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.f = nn.Sequential(nn.Conv2d(3, 3, 1))\n"
        "    def forward(self, x):\n"
        "        return x + self.f(x)\n"
        "class Choosy(Block):\n"
        "    def forward(self, x):\n"
        "        return x + self.f(x) if x.sum() > 0 else x\n"
        "def build(depth):\n"
        "    return nn.Sequential(*(Block() for _ in range(depth)), Choosy())\n"
    )
    monkeypatch.chdir(tmp_path)

    done = inspect("inspected_net:build", "--argument", "depth=2", "--json")
    told = json.loads(done.stdout)

    assert [branch["module"] for branch in told["branches"]] == ["0", "1"]
    assert told["notes"][0].startswith("not looked into: 2, since")
    assert "note: not looked into: 2" in done.stderr


def test_what_a_policy_leaves_is_listed(tmp_path):
    (tmp_path / "p.yaml").write_text("branches: [3]\nwidths: {2: 0.5, 5: 0.25}\n")
    told = json.loads(inspect("resnet20", "--policy", str(tmp_path / "p.yaml"), "--json").stdout)
    macs = {branch["index"]: branch["macs"] for branch in told["branches"]}

    assert sorted(macs) == [1, 2, 4, 5, 6, 7, 8, 9]
    assert (macs[1], macs[2], macs[5]) == (4_718_592, 4_718_592 // 2, 4_718_592 // 4)
    assert told["total_macs"] == 40_551_040 - 4_718_592 * (1 + 1 / 2 + 3 / 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resnet20", "--input", "3x32x32x3"], "input must be CxHxW, .* or CxT of sequences"),
        (["resnet20", "--input", "3x32"], "does not take images of 3x32"),
        (["resnet20", "--shortcut", "C"], "shortcut must be A or B"),
        (["torchvision:resnet18", "--argument", "depth"], "argument must be NAME=VALUE"),
        (["torchvision:resnet18", "--argument", "depth=["], "argument 'depth=\\['"),
        (["torchvision:resnet19"], "did you mean"),
    ],
)
def test_what_cannot_be_used_is_told(arguments, message):
    with pytest.raises(InputError, match=message):
        inspect(*arguments)
