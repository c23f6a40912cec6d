"""Both sides of the comparison get the same images, network and dimensions."""

import json
from pathlib import Path

import numpy as np
import pytest
import search_vs_report
from search_vs_data import peer_split, space_settings, split_as_the_peer, write_images
from search_vs_runs import check_macs, run_autodepth, whole_network

from autodepth.data.load import load_data
from autodepth.data.settings import DataSettings
from autodepth.errors import InputError
from autodepth.policy.policy import Policy
from autodepth.policy.survival import survival_probabilities
from autodepth.space.domains import IntRange
from autodepth.space.file.space_file import check_space, load_space

SPACES = Path(__file__).parents[2] / "benchmarks" / "spaces"
SAME = SPACES / "same_dimensions.yaml"


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    path = tmp_path_factory.mktemp("images") / "digits.npz"
    write_images("digits", path, seed=0, cifar=Path(), test_images=100)
    return path


def test_spaces_are_fine():
    assert [check_space(path) for path in SPACES.glob("*.yaml")] == [[]] * 4


@pytest.mark.parametrize("name", ["same_dimensions", "everything"])
def test_spaces_beside_the_peer_train_alike(name, digits):
    path = SPACES / f"{name}.yaml"
    space = load_space(path, [*space_settings(digits)])
    train = {d.name: d.domain for d in space.dimensions if d.name.startswith("train.")}
    wanted = {"train.epochs": 8, "train.learning_rate": 0.1, "train.momentum": 0.9}
    if path.stem != "everything":  # it searches how networks are trained, too
        wanted |= {"train.batch_size": 128, "train.weight_decay": 5e-4}
    assert {name: train[name].value for name in wanted} == wanted
    assert (space.network.name, space.network.shortcut) == ("resnet20", "B")
    assert space.data.model_dump()["augment"] == "none"


@pytest.mark.parametrize(
    ("values", "shape"),
    [
        ({"decay_shape": "linear"}, lambda r: r),
        ({"decay_shape": "uniform"}, lambda _: 1.0),
        ({"decay_shape": "power", "decay_power": 0.5}, lambda r: r**0.5),
        ({"decay_shape": "power", "decay_power": 2.0}, lambda r: r * r),
    ],
)
def test_shapes_are_the_peers(values, shape):
    thresholds = {f"sensitivity_threshold.{stage}": 0.0 for stage in (1, 2, 3)}
    point = {"p_L": 0.3, "fine_tune_epochs": 1, **thresholds, **values}
    policy = Policy.from_dict(load_space(SAME).policy_values(point))
    ours = survival_probabilities(
        policy.survival_prob_last, 9, policy.decay_shape, power=policy.decay_power
    )
    assert ours == pytest.approx([1 - shape(block / 9) * 0.7 for block in range(1, 10)])


def test_a_shape_the_peer_lacks_is_not_searched():
    with pytest.raises(InputError):
        load_space(SAME).policy_values({"p_L": 0.3, "decay_shape": "cosine"})


def test_fine_tuning_has_the_peers_epochs():
    (epochs,) = [d for d in load_space(SAME).dimensions if d.name == "fine_tune_epochs"]
    theirs = {max(1, round(fraction / 1000 * 8)) for fraction in range(100, 1001)}
    assert isinstance(epochs.domain, IntRange)
    assert set(range(epochs.domain.low, epochs.domain.high + 1)) == theirs


def test_the_split_parts_the_training_images(digits):
    data = split_as_the_peer(load_data(DataSettings(name=f"npz:{digits}", validation=200)), digits)
    with np.load(digits) as arrays:
        labels, pixels = arrays["y_train"], arrays["x_train"]
    train, validation = peer_split(len(labels))
    assert sorted([*train, *validation]) == list(range(len(labels)))
    assert (len(validation), len(data.validation), len(data.train)) == (200, 200, 1237)
    assert np.array_equal(data.validation.pixels, pixels[validation])
    assert np.array_equal(data.train.labels, labels[train])
    assert len(data.open_test()) == 100


def test_macs_of_another_network_are_told(digits):
    whole = whole_network(digits)
    assert whole.total_macs == 2_551_424
    check_macs(whole, {"blocks": 9, "macs": 2_551_424.0})
    check_macs(whole, {"blocks": 2, "macs": 2_551_424.0 - 7 * 294_912})
    with pytest.raises(ValueError, match="of 8 blocks must have 2,256,512 MACs"):
        check_macs(whole, {"blocks": 8, "macs": 2_551_424.0})


def test_the_report_tells_when_a_level_was_reached(tmp_path, monkeypatch):
    monkeypatch.setattr(search_vs_report, "RESULTS", tmp_path)
    common = {"data": "digits", "seed": 0, "seconds": 300, "cpus": 2, "epochs": 8,
              "unpruned_macs": 100,
              "conditions": {"processor": "P", "cpus_allowed": 2, "test_images": 9,
                             "versions": {"torch": "2"}}}  # fmt: skip
    theirs = [{"val_acc": 0.9, "test_acc": 0.8, "macs": 50, "device_s": 100, "blocks": 5}]
    ours = [
        {"val_acc": 0.5, "test_acc": 0.5, "macs": 40, "spent": 10, "epochs": {"parent": 8}},
        {"spent": 15, "state": "failed", "epochs": {"parent": 4}},
        {"val_acc": 0.9, "test_acc": 0.9, "macs": 50, "spent": 20, "epochs": {"fine_tune": 2}},
    ]
    spending = {"parent": 15.0, "overhead": 5.0}
    for who, told in (
        ("peer", {"device_s": 610, "trials": theirs}),
        ("autodepth", {"device_s": 20, "trials": ours, "spending": spending}),
    ):
        path = search_vs_report.run_path("digits", who, 0)
        path.write_text(json.dumps(common | {"who": who} | told))
    path = search_vs_report.run_path("digits", "autodepth", 0, long=True)
    longer = {"who": "autodepth", "seconds": 900, "long": True, "device_s": 900}
    path.write_text(json.dumps(common | longer | {"trials": ours, "spending": spending}))
    text = search_vs_report.write_report()
    # 0.8 x 0.5 = 0.4 is reached by 0.5 x 0.6 + 0.4 x 0.5 = 0.5; 600 / 20, and 200 / 20.
    assert "| digits | peer | 0.4000 | autodepth | 0 | 20 | 20 | 1/30.0 | 1/10.0 |" in text
    assert "| digits | autodepth, P | 1 | 2 | 20 | 2.0 | 1.5 | 10 | 75.0 % | 0.5000 |" in text
    assert "| digits, 1,800 s | autodepth, P | 1 | 2 | 900 |" in text
    assert "| digits, 1,800 s | peer |" not in text
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.long
def test_what_was_on_the_front_at_any_time_is_tested(digits, tmp_path):
    with np.load(digits) as arrays:
        few = {name: values[:400] for name, values in arrays.items()}
    np.savez(tmp_path / "few.npz", **few)
    told = run_autodepth("everything", tmp_path / "few.npz", budget="3trials", seed=0, cpus=1)
    complete = [row for row in told["trials"] if row["state"] == "complete"]
    assert told["unpruned_macs"] == 2_551_424
    (control,) = [row for row in complete if row["kind"] == "unpruned"]
    assert control["macs"] == told["unpruned_macs"]
    assert control["epochs"] == {"parent": 8}
    assert 0 <= complete[0]["test_acc"] <= 1
    assert all(0 < row["spent"] <= told["device_s"] for row in complete)
