"""Training that was broken off goes on to the very bits of training without a break."""

import json
import resource
import signal
import subprocess
import sys
import uuid
from contextlib import contextmanager
from dataclasses import replace
from itertools import accumulate, product
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from autodepth.policy.policy import Policy
from autodepth.policy.training_settings import TrainingSettings
from autodepth.trial.cache.cache import StageCache, content_key
from autodepth.trial.phases.parent import train_parent
from autodepth.trial.run_trial import run_trial
from autodepth.trial.training.checkpoints import Checkpoints
from autodepth.trial.training.state import TrainingState

TRAIN = TrainingSettings(epochs=3, batch_size=32, learning_rate=0.1)
RECIPE = replace(
    TRAIN, epochs=2, optimizer="adamw", learning_rate=1e-3, schedule="cosine", clip_norm=1.0,
    weight_decay_on="matrices", ema=0.9, mixup=0.2, cutmix=1.0, auto_augment="trivial",
    erasing=0.25, class_weights="balanced",
)  # fmt: skip
HYBRID = Policy(
    survival_prob_last=0.6, sensitivity_threshold=(1.0,), fine_tune_epochs=3, train=TRAIN
)
KEY = content_key(stage="parent")


class BrokenOffError(Exception):
    pass


@pytest.fixture
def cached(context, tmp_path):
    few = replace(context.data, train=context.data.train.subset(range(96)))
    return replace(context, data=few, cache=tmp_path / "cache", checkpoint_seconds=0.0)


def run(policy, context, folder, *, until=None):
    """Run a trial and return its epochs and weights; break it off after so many new epochs."""
    epochs = []

    def hear(epoch):
        epochs.append(epoch)
        if sum(e.seconds > 0 for e in epochs) == until:
            raise BrokenOffError

    result = run_trial(policy, context, folder=folder, on_epoch=hear)
    return epochs, result, load_file(folder / result.weights_file)


_straight = {}


def straight(policy, context, folder):
    """Return what a trial without a break and without a cache gives."""
    key = (policy, context.spec.name)
    if key not in _straight:
        _straight[key] = run(policy, replace(context, cache=None), folder)
    return _straight[key]


def untimed(epochs):
    return [replace(e, seconds=0, images_per_second=0, replayed=False) for e in epochs]


def assert_same(one, other):
    assert untimed(one[0]) == untimed(other[0])
    assert replace(one[1].point, latency_ms=0) == replace(other[1].point, latency_ms=0)
    for name in ("removed", "sensitivities", "survival", "parent_accuracy", "pruned_accuracy"):
        assert getattr(one[1], name) == getattr(other[1], name)
    assert one[2].keys() == other[2].keys()
    assert all(torch.equal(one[2][name], other[2][name]) for name in one[2])


def new(epochs):
    return [epoch.step for epoch in epochs if epoch.seconds > 0]


def partial(context):
    return [key for key in StageCache(context.cache).kept() if key.endswith(".partial")]


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"gate_mode": "sample", "compensation": "inverted"},
        pytest.param(
            {"decay_shape": "sensitivity", "depth_schedule": "ramp"}, marks=pytest.mark.long
        ),
        {"fine_tune_schedule": "constant", "patience": 2, "distillation": 0.5},
        {"fine_tune_p_L": 0.7, "weight_sparsity": 0.5, "filter_sparsity": 0.5},
        {"removal": "iterative", "between_epochs": 2, "fine_tune_epochs": 1},
        {
            "train": RECIPE,
            "fine_tune_schedule": "cosine",
            "patience": 2,
            "feature_distillation": 0.5,
        },
        pytest.param(
            {"train": replace(TRAIN, momentum=0.0, epochs=4), "fine_tune_epochs": 0},
            marks=pytest.mark.long,
        ),
    ],
    ids=lambda change: "-".join(change) or "hybrid",
)
def test_a_trial_broken_off_after_every_epoch_ends_as_without_a_break(cached, tmp_path, change):
    policy = replace(HYBRID, **change)
    wanted = straight(policy, cached, tmp_path)

    for attempt in range(1, len(wanted[0]) + 1):
        with pytest.raises(BrokenOffError):
            run(policy, cached, tmp_path, until=1)
        assert len(partial(cached)) <= 1, attempt
    broken = run(policy, cached, tmp_path)

    assert new(broken[0]) == []
    assert_same(broken, wanted)
    assert partial(cached) == []


@pytest.mark.parametrize("lengths", [c for c in product((1, 2), repeat=2) if sum(c) < 4])
def test_wherever_breaks_fall_the_weights_are_the_same(cached, tmp_path, lengths):
    policy = replace(HYBRID, fine_tune_epochs=0)
    for length in lengths:
        with pytest.raises(BrokenOffError):
            run(policy, cached, tmp_path, until=length)
    broken = run(policy, cached, tmp_path)

    assert new(broken[0]) == list(range(sum(lengths) + 1, 4))
    assert_same(broken, straight(policy, cached, tmp_path))


DROPOUT = """
from torch import nn
from torch.nn import functional as F

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.drop = nn.Conv2d(8, 8, 3, padding=1), nn.Dropout(0.5)

    def forward(self, x):
        return x + self.drop(F.relu(self.conv(x)))

def build(num_classes=10):
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), Block(), Block(), Block(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, num_classes),
    )
"""


@pytest.fixture
def dropout(cached, tmp_path, monkeypatch):
    (tmp_path / "own_with_dropout.py").write_text(DROPOUT)
    monkeypatch.syspath_prepend(str(tmp_path))
    spec = replace(cached.spec, name="own_with_dropout:build", own_code=True)
    yield replace(cached, spec=spec)
    sys.modules.pop("own_with_dropout", None)


def test_layers_that_draw_by_themselves_go_on_where_they_were(dropout, tmp_path):
    wanted = straight(HYBRID, dropout, tmp_path)
    torch.manual_seed(123)  # what others draw does not matter
    for _ in wanted[0]:
        with pytest.raises(BrokenOffError):
            run(HYBRID, dropout, tmp_path, until=1)

    before = torch.get_rng_state()
    broken = run(HYBRID, dropout, tmp_path)

    assert_same(broken, wanted)
    assert torch.equal(torch.get_rng_state(), before)


KILLED = """
import os, pickle, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from test_checkpoints import HYBRID, run_trial
policy, context = HYBRID, pickle.loads(Path(sys.argv[1]).read_bytes())

def hear(epoch):
    if epoch.step == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

run_trial(policy, context, folder=Path(sys.argv[1]).parent, on_epoch=hear)
"""


@pytest.mark.parametrize("step", [pytest.param(2, marks=pytest.mark.long), 5])
def test_another_process_goes_on_for_one_that_was_killed(cached, tmp_path, step):
    import pickle

    (tmp_path / "setting").write_bytes(pickle.dumps(cached))
    command = [sys.executable, "-c", KILLED, str(tmp_path / "setting"), str(step)]
    done = subprocess.run([*command, str(Path(__file__).parent)], timeout=200, check=False)
    assert done.returncode == -signal.SIGKILL

    broken = run(HYBRID, cached, tmp_path)

    assert new(broken[0]) == list(range(step + 1, 7))
    assert_same(broken, straight(HYBRID, cached, tmp_path))


# Longer training continues shorter training


CONSTANT = replace(HYBRID, fine_tune_schedule="constant")


@pytest.mark.parametrize("change", [{}, {"patience": 3}, {"fine_tune_p_L": 0.7}])
def test_longer_training_at_a_constant_rate_goes_on_from_shorter(cached, tmp_path, change):
    short, long = (replace(CONSTANT, fine_tune_epochs=n, **change) for n in (2, 4))
    first = run(short, cached, tmp_path)
    longer = run(long, cached, tmp_path)
    again = run(short, cached, tmp_path)

    assert new(first[0]) == [1, 2, 3, 4, 5]
    assert new(longer[0]) == [6, 7]
    assert new(again[0]) == []
    assert_same(first, straight(short, cached, tmp_path))
    assert_same(longer, straight(long, cached, tmp_path))
    assert_same(again, straight(short, cached, tmp_path))
    assert partial(cached) == []


def test_what_goes_on_is_what_is_nearest_below(cached, tmp_path):
    for epochs, trained in ((1, [1, 2, 3, 4]), (3, [5, 6]), (2, [5]), (4, [7]), (4, [])):
        found = run(replace(CONSTANT, fine_tune_epochs=epochs), cached, tmp_path)
        assert new(found[0]) == trained


def test_training_that_patience_ended_is_not_longer_with_more_epochs(cached, tmp_path):
    rising = replace(TRAIN, fine_tune_learning_rate=2.0)
    policy = replace(CONSTANT, train=rising, patience=1, fine_tune_epochs=30)
    first = run(policy, cached, tmp_path)
    assert len(first[0]) < 20

    more = run(replace(policy, fine_tune_epochs=31), cached, tmp_path)

    assert new(more[0]) == []
    assert_same(more, first)


def test_a_one_cycle_is_never_gone_on_with(cached, tmp_path):
    run(HYBRID, cached, tmp_path)
    longer = run(replace(HYBRID, fine_tune_epochs=4), cached, tmp_path)

    assert new(longer[0]) == [4, 5, 6, 7]


# What may go wrong


@pytest.mark.parametrize(
    ("file", "harm"),
    [
        ("state.safetensors", "flip"),
        ("state.safetensors", "delete"),
        ("state.json", "truncate"),
        ("manifest.json", "truncate"),
        ("manifest.json", "delete"),
    ],
)
def test_a_damaged_checkpoint_counts_as_absent(cached, tmp_path, file, harm):
    policy = replace(HYBRID, fine_tune_epochs=0)
    with pytest.raises(BrokenOffError):
        run(policy, cached, tmp_path, until=2)
    (path,) = cached.cache.glob(f"*.partial/{file}")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    if harm == "delete":
        path.unlink()
    else:
        path.write_bytes(content if harm == "flip" else content[:-10])

    broken = run(policy, cached, tmp_path)

    assert new(broken[0]) == [1, 2, 3]
    assert_same(broken, straight(policy, cached, tmp_path))


@contextmanager
def no_file_larger_than(size):
    """Let the system refuse to write more to any file, as a full disk does."""
    was = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, was[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, was)


def test_on_a_full_disk_training_goes_on(cached, tmp_path, caplog):
    policy, epochs = replace(HYBRID, fine_tune_epochs=0), []
    cache = StageCache(tmp_path / "full")
    plain = train_parent(policy, cached, lambda _: None)

    with no_file_larger_than(100_000):
        checkpoints = Checkpoints(cache, KEY, seconds=0.0)
        parent = train_parent(policy, cached, epochs.append, checkpoints=checkpoints)

    weights = parent.network.module.state_dict()
    assert len(epochs) == 3
    assert "could not take an entry" in caplog.text
    assert list((tmp_path / "full").iterdir()) == []
    for name, tensor in plain.network.module.state_dict().items():
        assert torch.equal(weights[name], tensor)


def test_a_cache_that_is_away_changes_nothing(cached, tmp_path):
    (tmp_path / "file").touch()
    away = run(HYBRID, replace(cached, cache=str(tmp_path / "file")), tmp_path)

    assert_same(away, straight(HYBRID, cached, tmp_path))


def test_a_trial_goes_on_behind_a_url_too(cached, tmp_path):
    remote = replace(cached, cache=f"memory://{tmp_path.name}")
    with pytest.raises(BrokenOffError):
        run(HYBRID, remote, tmp_path, until=2)
    with pytest.raises(BrokenOffError):
        run(HYBRID, remote, tmp_path, until=3)
    broken = run(HYBRID, remote, tmp_path)

    assert new(broken[0]) == [6]
    assert_same(broken, straight(HYBRID, cached, tmp_path))


# How often, and what


def state(number):
    return TrainingState(epochs=[], tensors={"network/w": torch.zeros(number)}, values={})


class Clock:
    """Seconds that go by when they are told to."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@given(
    seconds=st.floats(0.5, 100),
    epochs=st.lists(st.floats(0.01, 60), min_size=1, max_size=30),
    writing=st.just(0.0) | st.floats(0, 5),
)
@settings(max_examples=40, deadline=None)
def test_checkpoints_are_as_far_apart_as_they_shall_be_and_cost_little(seconds, epochs, writing):
    clock, cache, kept = Clock(), StageCache(f"memory://{uuid.uuid4().hex}"), []
    checkpoints = Checkpoints(cache, KEY, seconds=seconds, clock=clock)

    def slow_state():
        clock.now += writing
        return state(3)

    for number, length in enumerate(epochs, start=1):
        clock.now += length
        ended = clock.now
        checkpoints.offer(number, slow_state)
        if cache.kept() == [f"{KEY}.{number:06d}.partial"]:
            kept.append((ended, clock.now))

    starts, ends = [start for start, _ in kept], [0.0, *(end for _, end in kept)]
    gaps = [start - end for start, end in zip(starts, ends, strict=False)]
    assert all(gap >= max(seconds, 19 * writing * (i > 0)) - 1e-9 for i, gap in enumerate(gaps))
    # The first epoch to end when one is due is kept.
    due = [total for total in accumulate(epochs) if total >= seconds]
    assert starts[:1] == pytest.approx(due[:1])


def test_short_training_leaves_no_checkpoint(cached, tmp_path):
    with pytest.raises(BrokenOffError):
        run(HYBRID, replace(cached, checkpoint_seconds=60.0), tmp_path, until=2)

    assert StageCache(cached.cache).kept() == []


def test_whoever_has_to_go_keeps_what_it_trained_at_once(cached, tmp_path):
    chances = iter([False, True])  # notice comes within the second epoch
    leaving = replace(cached, checkpoint_seconds=60.0, leaving=lambda: next(chances))
    with pytest.raises(BrokenOffError):
        run(HYBRID, leaving, tmp_path, until=2)
    broken = run(HYBRID, cached, tmp_path)

    assert new(broken[0]) == [3, 4, 5, 6]
    assert_same(broken, straight(HYBRID, cached, tmp_path))


def test_a_checkpoint_is_tensors_and_plain_values(cached, tmp_path):
    with pytest.raises(BrokenOffError):
        run(HYBRID, cached, tmp_path, until=2)
    (entry,) = cached.cache.iterdir()

    assert {path.name for path in entry.iterdir()} == {
        "state.safetensors", "state.json", "manifest.json",
    }  # fmt: skip
    assert json.loads((entry / "manifest.json").read_text())["kind"] == "partial"
    assert len(json.loads((entry / "state.json").read_text())["epochs"]) == 2
    assert {name.partition("/")[0] for name in load_file(entry / "state.safetensors")} == {
        "network", "optimizer", "generator", "layers",
    }  # fmt: skip


def test_a_state_is_what_was_written(tmp_path):
    tensors = {
        "best/a": torch.randn(3, 2),
        "network/b": torch.tensor(3),
        "generator/gates": torch.Generator().get_state(),
    }
    values = {"best": {"loss": float("inf"), "waited": 2}, "rate": 0.1 + 0.2}
    TrainingState(epochs=[], tensors=tensors, values=values).write(tmp_path)

    again = TrainingState.read(tmp_path)

    assert again.values == values
    assert again.tensors.keys() == tensors.keys()
    assert all(torch.equal(again.tensors[name], tensors[name]) for name in tensors)
    assert set(again.of("best")) == {"a"}
