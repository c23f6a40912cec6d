"""Weights of others on the command line: which of a file's are taken, and whose head they have."""

import json

import pytest
import torch
from typer.testing import CliRunner

from autodepth import load
from autodepth.cli.main import app
from autodepth.errors import WeightsError
from autodepth.networks.catalogue import NetworkSpec, build_module

NETWORK = ("resnet8", "--data", "digits")
SMALL = ("--set", "data.train_images=40", "--set", "data.validation=60")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run `autodepth ARGUMENTS` in an empty folder, in this process; errors come as they are."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        done = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done

    return run


def state_of(seed, classes=10):
    torch.manual_seed(seed)
    spec = NetworkSpec(name="resnet8", channels=1, height=8, width=8, classes=classes)
    return build_module(spec).state_dict()


@pytest.fixture
def two_states(tmp_path):
    """A checkpoint of timm's kind: the weights, and their moving average."""
    states = {"state_dict": state_of(1), "state_dict_ema": state_of(2)}
    torch.save(states, tmp_path / "two.pth")
    return states


@pytest.mark.parametrize("key", ["state_dict", "state_dict_ema"])
def test_the_weights_that_are_named_are_those_that_are_exported(run, tmp_path, two_states, key):
    (tmp_path / "p.yaml").write_text("branches_removed: 0\ntrain: {epochs: 0}\n")
    done = run(
        "prune", *NETWORK, *SMALL, "--weights", "two.pth", "--weights-key", key,
        "--policy", "p.yaml", "--to", "out", "--formats", "none",
    )  # fmt: skip

    assert f"weights are those at {key} of two.pth" in done.stderr
    kept = load(tmp_path / "out").state_dict()
    assert kept.keys() == two_states[key].keys()
    assert all(torch.equal(tensor, two_states[key][name]) for name, tensor in kept.items())


def test_every_command_that_takes_weights_takes_the_key(run, tmp_path, two_states):
    """What they give with a key is what they give for a file of those weights alone."""
    torch.save(two_states["state_dict"], tmp_path / "alone.pth")
    told = []
    for weights in (("alone.pth",), ("two.pth", "--weights-key", "state_dict")):
        measured = run("evaluate", *NETWORK, "--json", "--weights", *weights)
        scored = run(
            "sensitivity", *NETWORK, *SMALL, "--json", "--criterion", "magnitude,ablation_loss",
            "--weights", *weights,
        )  # fmt: skip
        looked = run("inspect", "resnet8", "--input", "1x8x8", "--json", "--weights", *weights)
        results = [json.loads(done.stdout) for done in (measured, scored, looked)]
        results[0].pop("opened_at")
        results[2].pop("notes")  # say where the weights were
        told.append(results)

    assert told[0] == told[1]


def test_a_search_begins_with_them_and_says_so(run, two_states):
    arguments = ("search", "--network", *NETWORK, "--weights", "two.pth", "--budget", "1trials")
    for key, other in (("state_dict", "state_dict_ema"), ("state_dict_ema", "state_dict")):
        done = run(*arguments, "--weights-key", key, "--dry-run")
        assert f"weights are those at {key} of two.pth" in " ".join(done.stdout.split())
        assert f"at {other} of" not in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("command", "more"), [("inspect", ("--input", "1x8x8")), ("evaluate", ("--data", "digits"))]
)
def test_a_key_that_is_not_there_is_one_message(run, two_states, command, more):
    told = "it has nothing at --weights-key ema; its keys are state_dict"
    with pytest.raises(WeightsError, match=told):
        run(command, "resnet8", *more, "--weights", "two.pth", "--weights-key", "ema")


def test_the_test_images_are_not_shown_to_a_head_that_nobody_trained(run, tmp_path):
    """A search may start one anew, and trains it; what `evaluate` gave would be a guess."""
    torch.save(state_of(1, classes=7), tmp_path / "seven.pth")

    run("inspect", "resnet8", "--input", "1x8x8", "--weights", "seven.pth")
    with pytest.raises(WeightsError, match=r"linear\.weight \(7x64 in the file, 10x64 in the netw"):
        run("evaluate", *NETWORK, "--weights", "seven.pth")
