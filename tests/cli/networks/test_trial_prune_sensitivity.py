"""One policy without a search: carried out, told, exported; wrong ones are one message."""

import json
import re

import pytest
import torch
from PIL import Image

from autodepth import load
from autodepth.data.load import load_data
from autodepth.data.settings import DataSettings
from autodepth.export.bundles.bundle import read_architecture
from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.pruning.width import prune_width
from autodepth.networks.weights.own_files import save_weights
from autodepth.policy.policy import Policy
from autodepth.space.file.yaml_text import parse_yaml

SPEC = NetworkSpec(name="resnet14", channels=1, height=8, width=8)
SMALL = ("--set", "data.train_images=60", "--set", "data.validation=100")


@pytest.fixture
def weights(tmp_path):
    save_weights(build_network(SPEC, seed=3).module, tmp_path / "w.safetensors")
    return "w.safetensors"


def test_a_policy_is_carried_out_told_and_exported(run, tmp_path):
    (tmp_path / "p.yaml").write_text(
        "p_L: 0.7\nbranches_removed: 2\nfilter_sparsity: 0.5\nfine_tune_epochs: 1\n"
        "train: {epochs: 1, batch_size: 20}\n"
    )
    done = run(
        "trial", "p.yaml", "--network", "resnet14", *SMALL, "--to", "out", "--formats", "torch"
    )

    assert done.returncode == 0, done.stderr
    assert "parent epoch 1" in done.stderr
    assert "fine-tune epoch 2" in done.stderr
    assert "validation accuracy (parent" in done.stdout
    told = [line for line in done.stderr.splitlines() if not line.startswith("note: ")]
    assert max(map(len, told)) <= 100
    architecture = read_architecture(tmp_path / "out")
    assert len(architecture.removed) == 2
    assert load(tmp_path / "out")(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    # The exported policy is the whole of what was done: it gives the same network again.
    again = run("trial", "out/policy.yaml", "--network", "resnet14", *SMALL, "--json")
    point = json.loads(again.stdout)["point"]
    recorded = json.loads((tmp_path / "out" / "record.json").read_text())["point"]
    assert point | {"latency_ms": 0} == recorded | {"latency_ms": 0}


def test_widths_of_single_branches_are_carried_out_exported_and_replayed(run, tmp_path):
    (tmp_path / "p.yaml").write_text(
        "branches: [3]\nwidths: {2: 0.5, 5: 0.25}\nfine_tune_epochs: 1\n"
        "train: {epochs: 1, batch_size: 20}\n"
    )
    done = run(
        "trial", "p.yaml", "--network", "resnet14", *SMALL, "--to", "out", "--formats", "torch"
    )

    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    whole = build_network(SPEC)
    narrow = prune_width(whole.without([3]), {2: 0.5, 5: 0.75})
    assert record["point"]["macs"] == narrow.total_macs < whole.total_macs
    assert record["point"]["parameters"] == narrow.total_parameters
    assert record["reached"] == {"widths": [2, 2]}
    assert load(tmp_path / "out")(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    again = run("trial", "out/policy.yaml", "--network", "resnet14", *SMALL, "--json")
    point = json.loads(again.stdout)["point"]
    assert point | {"latency_ms": 0} == record["point"] | {"latency_ms": 0}


def test_a_trained_network_is_pruned_without_training_it_first(run, tmp_path, weights):
    (tmp_path / "p.yaml").write_text("macs_target: 0.6\ntrain: {epochs: 7}\n")
    done = run(
        "prune", "resnet14", "--weights", weights, "--data", "digits", "--policy", "p.yaml",
        "--to", "slim", "--formats", "none",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "do not act" not in done.stderr  # that is of the space, which nobody searches here
    assert "sparsity" not in done.stderr
    assert "epoch 1" not in done.stderr
    policy = parse_yaml((tmp_path / "slim" / "policy.yaml").read_text()).content
    assert Policy.from_dict(policy).train.epochs == 0
    whole = build_network(SPEC)
    assert read_architecture(tmp_path / "slim").macs <= 0.6 * whole.total_macs
    kept = load(tmp_path / "slim").state_dict()
    given = build_network(SPEC, weights=tmp_path / weights).module.state_dict()
    changed = {name for name, value in kept.items() if not torch.equal(value, given[name])}
    assert all("running_" in name or "num_batches" in name for name in changed)  # measured anew


def test_all_criteria_fit_a_terminal_and_a_figure(run, tmp_path, weights):
    done = run(
        "sensitivity", "resnet14", "--weights", weights, "--data", "digits",
        "--criterion", "all", "--images", "50", "--to", "heat.png", TTY_COMPATIBLE="1",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    lines = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout).splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in done.stdout
    assert [line.split()[0] for line in lines[2:8]] == list("123456")
    assert "measured on 50 images of the validation split" in done.stderr
    assert (tmp_path / "heat.png").read_bytes().startswith(b"\x89PNG")
    for words in ("measuring sensitivity", "leaving out each branch"):
        assert words in done.stderr


def test_sensitivities_as_json_and_as_a_page(run, tmp_path, weights):
    done = run(
        "sensitivity", "resnet14", "--weights", weights, "--data", "digits",
        "--criterion", "taylor,magnitude", "--images", "50", "--to", "heat.html", "--json",
    )  # fmt: skip
    found = json.loads(done.stdout)

    assert set(found["criteria"]) == {"taylor", "magnitude"}
    for item in found["criteria"].values():
        assert list(item["raw"]) == list("123456")
        assert sum(item["scaled"].values()) / 6 == pytest.approx(1)
    page = (tmp_path / "heat.html").read_text()
    assert "heatmap" in page
    assert 'src="http' not in page  # all of plotly.js is inside


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        (None, ["trial", "gone.yaml"], "gone.yaml: cannot be read: No such file"),
        ("p_l: 0.5", ["trial", "p.yaml"], "p.yaml: unknown policy setting 'p_l', did you mean"),
        ("p_L: 1.5", ["trial", "p.yaml"], "must be a number in (0, 1], but got 1.5"),
        ("[1]", ["trial", "p.yaml"], "must be a mapping, but got"),
        ("p_L: [", ["trial", "p.yaml"], "p.yaml:1:7: not valid YAML"),
        ("{protected: [99], branches_removed: 1, train: {epochs: 0}}", ["trial", "p.yaml"],
         "1 to 9, but got 99"),
        (None, ["sensitivity", "resnet14", "--weights", "w.safetensors", "--data", "digits",
                "--criterion", "tailor"], "did you mean 'taylor'"),
        (None, ["sensitivity", "resnet14", "--weights", "w.safetensors", "--data", "digits",
                "--to", "x.gif"], "must end in .png, .svg, .pdf, .html, but got x.gif"),
    ],
)  # fmt: skip
def test_mistakes_are_one_message(run, tmp_path, weights, content, arguments, message):
    if content is not None:
        (tmp_path / "p.yaml").write_text(content)
    done = run(*arguments)

    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def unlabelled(tmp_path):
    """Digits in folders whose names mean nothing."""
    images = load_data(DataSettings(name="digits")).train
    for number, pixels in enumerate(images.pixels[:150]):
        folder = tmp_path / "any" / str(number % 2)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[..., 0]).save(folder / f"{number}.png")
    return "folder:any"


def test_without_labels_a_network_is_cut_to_answer_as_it_did(run, tmp_path, weights, unlabelled):
    done = run(
        "prune", "resnet14", "--weights", weights, "--data", unlabelled, "--no-labels",
        "--macs", "70%", "--to", "slim", "--formats", "none",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "labels are the answers of the network given" in done.stderr
    assert "of validation images answered as before (parent 100.00%" in done.stdout
    record = json.loads((tmp_path / "slim" / "record.json").read_text())
    assert record["reached"]["recovery"][0] > 0
    architecture = read_architecture(tmp_path / "slim")
    assert len(architecture.removed) > 0
    point, whole = record["point"]["macs"], build_network(SPEC).total_macs
    assert point <= 0.7 * whole
    assert load(tmp_path / "slim")(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--macs", "0"], "macs must be a share above 0 %, at most 100 %, but got '0'"),
        (["--macs", "sixty"], "macs must be a share above 0 %, at most 100 %, but got 'sixty'"),
        (["--macs", "60%", "--policy", "p.yaml"], "either --policy FILE or --macs SHARE, but got"),
        ([], "needs either --policy FILE or --macs SHARE, but got neither"),
        (
            ["--macs", "60%", "--no-labels", "--data", "digits"],
            "--no-labels takes --data folder:PATH, but got 'digits'",
        ),
        (
            ["--macs", "60%", "--no-labels", "--data", "folder:gone"],
            "unlabelled:PATH must name a folder, but there is none at",
        ),
    ],
)
def test_what_prune_cannot_do_is_said(run, tmp_path, weights, options, message):
    data = [] if "--data" in options else ["--data", "digits"]
    done = run("prune", "resnet14", "--weights", weights, *data, *options, "--to", "slim")

    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())
    assert not (tmp_path / "slim").exists()


def test_images_without_labels_need_a_trained_network(run, unlabelled):
    name = unlabelled.replace("folder:", "unlabelled:")
    done = run(
        "search", "--data", name, "--network", "resnet14", "--budget", "1trials", "--dry-run"
    )

    assert done.returncode == 2
    assert "are the answers of a trained network: give it with --weights" in done.stderr
