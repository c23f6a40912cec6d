"""`autodepth inspect` tells every part of a network and what it costs."""

import json

import pytest
from typer.testing import CliRunner

from autodepth.cli.main import app
from autodepth.errors import InputError

RUN = CliRunner()


def inspect(*arguments):
    done = RUN.invoke(app, ["inspect", *arguments], env={"COLUMNS": "120"})
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
        "macs": 3_538_944,
        "parameters": 13_952,
    }
    assert told["notes"] == []


def test_the_table_has_a_row_for_stem_head_and_total():
    rows = [line.split() for line in inspect("resnet20").stdout.splitlines()]

    assert rows[1] == ["stem", "442,368", "1.1%", "464"]
    assert rows[2] == ["1", "layer1.0", "1", "identity", "yes", "4,718,592", "11.6%", "4,672"]
    assert rows[-2] == ["head", "640", "0.0%", "650"]
    assert rows[-1] == ["total", "40,551,040", "100.0%", "269,722"]


def test_the_input_shape_counts():
    told = json.loads(inspect("resnet8", "--input", "1x16x16", "--json").stdout)

    assert told["stem"]["macs"] == 16 * 9 * 16 * 16


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resnet20", "--input", "32x32"], "input must be CxHxW"),
        (["resnet20", "--shortcut", "C"], "shortcut must be A or B"),
        (["torchvision:resnet18", "--argument", "depth"], "argument must be NAME=VALUE"),
        (["torchvision:resnet18", "--argument", "depth=["], "argument 'depth=\\['"),
        (["torchvision:resnet19"], "did you mean"),
    ],
)
def test_what_cannot_be_used_is_told(arguments, message):
    with pytest.raises(InputError, match=message):
        inspect(*arguments)
