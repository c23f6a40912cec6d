"""`--formats` of prune and trial: tried before anything is trained, and said without noise."""

import json
import sys

import pytest
import torch

from autodepth import load
from autodepth.errors import BundleError
from autodepth.trial.device.runtimes.formats.torch_program import cause

NET = """
import torch.nn.functional as F
from torch import nn


class OneHead(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(c, c) for _ in range(3))

    def forward(self, x):
        t = x.flatten(2).transpose(1, 2)
        t = F.scaled_dot_product_attention(self.q(t), self.k(t), self.v(t))
        return x + t.transpose(1, 2).reshape(x.shape)


class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.head = nn.Conv2d(1, 4, 1), nn.Linear(4, 10)
        self.blocks = nn.Sequential(OneHead(4), OneHead(4), OneHead(4))
        self.blocks[1].q.weight = self.blocks[0].q.weight

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))
"""
OPERATOR = """
import torch
from torch import nn


@torch.library.custom_op("shop::double", mutates_args=())
def double(x: torch.Tensor) -> torch.Tensor:
    return x * 2


double.register_fake(torch.empty_like)
double.register_autograd(lambda ctx, gradient: gradient * 2)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x):
        return x + double(self.conv(x))


def net():
    ends = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))
    return nn.Sequential(nn.Conv2d(1, 4, 1), Block(), Block(), *ends)
"""
FEW = ("--data", "digits", "--set", "data.train_images=40", "--set", "data.validation=60")
POLICY = "branches_removed: 1\ntrain: {epochs: 1, batch_size: 20}\n"


@pytest.fixture(autouse=True)
def _imported_anew():
    """Each test has modules of its own under the same names."""
    yield
    for name in ("onehead", "shopnet"):
        sys.modules.pop(name, None)


@pytest.fixture
def net(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "onehead.py").write_text(NET)
    (tmp_path / "p.yaml").write_text(POLICY)


@pytest.mark.usefixtures("net")
def test_a_format_that_fails_is_told_before_training_and_others_go_by_formats(run, tmp_path):
    trial = ("trial", "p.yaml", "--network", "onehead:Mixed", *FEW, "--to", "out")
    refused = run(*trial)

    assert refused.returncode == 2
    assert "epoch" not in refused.stderr
    assert "tried before anything is trained" in refused.stderr
    assert "--formats torch" in refused.stderr
    assert "4D" in refused.stderr  # the cause, not what was wrapped around it
    assert "\x1b" not in refused.stderr
    assert not (tmp_path / "out").exists()

    done = run(*trial, "--formats", "torch", "--json")

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "model.pt2").is_file()
    assert not (tmp_path / "out" / "model.onnx").exists()
    point = json.loads(done.stdout)["point"]
    loaded = load(tmp_path / "out", own_code=True)
    assert sum(p.numel() for p in loaded.parameters()) == point["parameters"]
    assert loaded(torch.zeros(1, 1, 8, 8)).shape == (1, 10)


def test_an_operator_of_ones_own_goes_by_free_and_is_refused_by_onnx_before_training(run, tmp_path):
    (tmp_path / "shopnet.py").write_text(OPERATOR)
    (tmp_path / "p.yaml").write_text(POLICY)
    trial = ("trial", "p.yaml", "--network", "shopnet:net", *FEW, "--free", "shop::double")
    refused = run(*trial, "--to", "out")

    assert refused.returncode == 2
    assert "epoch" not in refused.stderr
    assert "shop.double" in refused.stderr
    assert "--formats torch" in refused.stderr

    done = run(*trial, "--to", "out", "--formats", "torch")

    assert done.returncode == 0, done.stderr
    assert "counted as free, as said: shop::double" in done.stderr
    assert "Counted as 0 MACs, as said: shop::double." in (tmp_path / "out/README.md").read_text()


@pytest.mark.usefixtures("net")
def test_formats_want_a_folder_and_names_that_exist(run):
    for extra, told in (
        (("--formats", "torch"), "give that as --to"),
        (("--to", "o", "--formats", "onx"), "'onx'"),
    ):
        refused = run("trial", "p.yaml", "--network", "resnet8", *FEW, *extra)

        assert refused.returncode == 2
        assert told in refused.stderr


def test_the_cause_of_an_error_is_what_it_began_with_in_plain_text():
    error = BundleError("Next steps:")
    error.__cause__ = ValueError("\x1b[31m\n  only four dimensions\x1b[0m\nNext steps: ...")

    assert cause(error) == "only four dimensions"


@pytest.mark.usefixtures("net")
def test_a_search_says_which_formats_fail_before_it_begins(run, tmp_path):
    search = ("search", "--budget", "1trials", "--study", "a", *FEW, "--network", "onehead:Mixed")
    refused = run(*search, "--formats", "torch,onnx")

    assert refused.returncode == 2
    assert "onnx: " in refused.stderr
    assert "4D" in refused.stderr
    assert "tried before anything is trained" in refused.stderr
    assert not (tmp_path / "studies" / "a").exists()

    planned = run(*search, "--formats", "torch", "--dry-run", "--json")

    assert planned.returncode == 0, planned.stderr
    notes = json.loads(planned.stdout)["notes"]
    assert "the untrained network could be exported to torch" in notes
    assert not any("exported" in note for note in plan_notes(run(*search, "--dry-run", "--json")))
    unknown = run(*search, "--formats", "onx", "--dry-run")
    assert unknown.returncode == 2
    assert "'onx'" in unknown.stderr


def plan_notes(done):
    return json.loads(done.stdout)["notes"]
