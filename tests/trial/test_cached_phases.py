"""A stage that was carried out before is found again, and changes nothing of the result."""

from dataclasses import replace

import pytest

from autodepth.policy.policy import Policy
from autodepth.policy.removal import unit_of
from autodepth.policy.training_settings import TrainingSettings
from autodepth.trial import cached_phases as stages
from autodepth.trial.cache.cache import StageCache
from autodepth.trial.run_trial import run_trial

TRAIN = TrainingSettings(epochs=2, batch_size=32, learning_rate=0.1)
HYBRID = Policy(
    survival_prob_last=0.6, sensitivity_threshold=(1.0,), fine_tune_epochs=2, train=TRAIN
)


@pytest.fixture
def count(monkeypatch):
    """Count the stages that are really carried out."""
    calls = {"train_parent": 0, "score_branches": 0, "fine_tune": 0}

    def counted(name, call):
        def counting(*arguments, **named):
            calls[name] += 1
            return call(*arguments, **named)

        return counting

    for name in calls:
        monkeypatch.setattr(stages, name, counted(name, getattr(stages, name)))
    return calls


@pytest.fixture
def cached(context, tmp_path):
    return replace(context, cache=tmp_path / "cache")


def run(policy, context, folder):
    epochs = []
    result = run_trial(policy, context, folder=folder, on_epoch=epochs.append)
    return result, epochs


def same(one, other):
    return replace(one.point, latency_ms=0) == replace(other.point, latency_ms=0)


def test_a_trial_repeated_is_found_whole_and_equal(context, cached, tmp_path, count):
    without, epochs_without = run(HYBRID, context, tmp_path)
    first, _ = run(HYBRID, cached, tmp_path)
    weights = (tmp_path / first.weights_file).read_bytes()
    done = dict(count)

    again, epochs = run(HYBRID, cached, tmp_path)

    assert count == done
    assert same(without, first)
    assert same(first, again)
    assert (again.removed, again.survival) == (first.removed, first.survival)
    assert again.sensitivities == first.sensitivities
    assert (tmp_path / again.weights_file).read_bytes() == weights
    plain = [replace(e, seconds=0, images_per_second=0, replayed=False) for e in epochs]
    assert plain == [
        replace(e, seconds=0, images_per_second=0, replayed=False) for e in epochs_without
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"sensitivity_threshold": (1.2,)},
        {"criterion": "magnitude"},
        pytest.param({"filter_sparsity": 0.5}, marks=pytest.mark.long),
        {"fine_tune_epochs": 1},
        {"distillation": 0.5},
        {"train": replace(TRAIN, fine_tune_learning_rate=0.01)},
    ],
)
def test_what_does_not_shape_the_parent_shares_it(context, cached, tmp_path, count, change):
    run(HYBRID, cached, tmp_path)
    policy = replace(HYBRID, **change)

    shared, _ = run(policy, cached, tmp_path)
    alone, _ = run(policy, context, tmp_path)

    assert count["train_parent"] == 2  # once for the cache, once alone
    assert same(shared, alone)


@pytest.mark.parametrize(
    "change",
    [
        {"survival_prob_last": 0.7},
        pytest.param({"decay_shape": "uniform"}, marks=pytest.mark.long),
        {"depth_schedule": "ramp"},
        {"gate_mode": "sample"},
        pytest.param({"compensation": "inverted"}, marks=pytest.mark.long),
        {"train": replace(TRAIN, learning_rate=0.05)},
        pytest.param({"train": replace(TRAIN, epochs=3)}, marks=pytest.mark.long),
    ],
)
def test_what_shapes_the_parent_makes_another(cached, tmp_path, count, change):
    run(HYBRID, cached, tmp_path)
    run(replace(HYBRID, **change), cached, tmp_path)

    assert count["train_parent"] == 2


def test_another_seed_and_other_data_make_another_parent(cached, tmp_path, count):
    run(HYBRID, cached, tmp_path)
    run(HYBRID, replace(cached, seed=12), tmp_path)
    run(HYBRID, replace(cached, replicate=1), tmp_path)
    images = replace(cached.data, fingerprint="other")
    run(HYBRID, replace(cached, data=images), tmp_path)

    assert count["train_parent"] == 4


def test_where_nothing_is_dropped_the_shape_does_not_count(cached, tmp_path, count):
    plain = replace(HYBRID, survival_prob_last=1.0)
    run(plain, cached, tmp_path)
    run(replace(plain, decay_shape="cosine", gate_mode="sample"), cached, tmp_path)

    assert (count["train_parent"], count["fine_tune"]) == (1, 1)


def test_thresholds_that_remove_the_same_branches_are_one_fine_tuning(cached, tmp_path, count):
    one, _ = run(HYBRID, cached, tmp_path)
    going = max(one.sensitivities[b] for b in one.removed)
    unit = unit_of(one.sensitivities)
    between = replace(HYBRID, sensitivity_threshold=((going / unit + 1.0) / 2,))

    other, epochs = run(between, cached, tmp_path)

    assert other.removed == one.removed
    assert count["fine_tune"] == 1
    assert same(one, other)
    assert [e.phase for e in epochs] == ["parent"] * 2 + ["fine_tune"] * 2


@pytest.mark.parametrize("removal", ["greedy", "iterative"])
def test_a_removal_that_goes_further_begins_where_another_ended(cached, tmp_path, count, removal):
    policy = Policy(removal=removal, recalibration_batches=1, train=TRAIN)
    first, _ = run(replace(policy, branches_removed=2), cached, tmp_path)
    steps = dict(count)

    further, epochs = run(replace(policy, branches_removed=3), cached, tmp_path)
    between = 1 if removal == "iterative" else 0
    assert count["score_branches"] - steps["score_branches"] == 1
    assert count["fine_tune"] - steps["fine_tune"] == between
    assert set(first.removed) < set(further.removed)
    assert [e.phase for e in epochs] == ["parent"] * 2 + ["prune"] * 3 * between
    alone, epochs_alone = run(replace(policy, branches_removed=3), replace(cached, cache=None),
                              tmp_path)  # fmt: skip
    assert same(further, alone)
    assert further.removed == alone.removed
    assert [e.train_loss for e in epochs] == [e.train_loss for e in epochs_alone]


def test_a_small_limit_keeps_the_newest_stage_only(cached, tmp_path):
    run(HYBRID, replace(cached, cache_limit_bytes=1), tmp_path)

    (entry,) = StageCache(cached.cache).entries()
    assert entry.kind == "fine_tuned"


def test_a_damaged_entry_is_trained_again(cached, tmp_path, count):
    first, _ = run(HYBRID, cached, tmp_path)
    for path in cached.cache.glob("*/model.safetensors"):
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)

    again, _ = run(HYBRID, cached, tmp_path)

    assert count["train_parent"] == 2
    assert same(first, again)
