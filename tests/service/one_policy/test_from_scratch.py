"""An exported network is tested beside the same one from scratch, and the study is charged."""

import pytest

from autodepth.errors import InputError
from autodepth.export.bundles.seal import read_sealed
from autodepth.export.exporting import export_selected
from autodepth.policy.policy import Policy
from autodepth.records.fsck import broken_invariants
from autodepth.records.ledger import Ledger
from autodepth.records.studies import find_study
from autodepth.service.one_policy.from_scratch import evaluate_beside_scratch
from autodepth.service.search.search import search
from autodepth.study.confirm.baselines import epochs_from_scratch

pytestmark = pytest.mark.slow

SMALL = (
    "network.name=resnet14", "data.train_images=96", "data.validation=60", "train.epochs=1",
    "confirmation.share=0", "search.fine_tune_epochs=1", "search.filter_sparsity=0.5",
)  # fmt: skip


def exported(place, *settings):
    """Search, and export the smallest network of the front; nothing was removed from the first."""
    search(budget="3trials", study="s", settings=[*SMALL, *settings], runner="in-process")
    point = export_selected(find_study("s"), "smallest", place / "out", formats=())
    return place / "out", point


def read():
    with Ledger.open(find_study("s").ledger_path, read_only=True) as ledger:
        return ledger.study, ledger.trials(), ledger.spending(), ledger.wall_spent()


def test_the_same_network_is_trained_for_what_its_policy_computed(tmp_path):
    folder, point = exported(tmp_path, "search.origin=parent", "search.sensitivity_threshold=1.0")
    before, trials, spent, wall = read()

    result = evaluate_beside_scratch(folder, 2)

    told = result.from_scratch
    after, trials_after, spent_after, wall_after = read()
    record = trials[point.trial]
    steps = [(Policy.from_dict(dict(record.policy)), record.result)]
    assert (told.epochs, told.share) == epochs_from_scratch(steps, before.plan["unpruned"]["macs"])
    assert result.macs == point.point.macs
    assert len(told.test_accuracies) == 2
    assert all(0 <= accuracy <= 1 for accuracy in told.test_accuracies)
    charged = spent_after["confirm"] - spent.get("confirm", 0.0)
    assert charged == pytest.approx(told.device_seconds)
    assert wall_after - wall == pytest.approx(told.device_seconds)  # one place of one CPU
    assert (trials_after, after.outcome) == (trials, before.outcome)
    assert broken_invariants(find_study("s")) == []
    (opening,) = read_sealed(folder / "test_openings.json")["openings"]
    assert opening["from_scratch"]["test_accuracies"] == list(told.test_accuracies)
    again = evaluate_beside_scratch(folder, 2)
    assert again.from_scratch.test_accuracies == told.test_accuracies
    assert again.openings_before == 1


def test_what_is_from_scratch_is_its_own_control_and_costs_nothing(tmp_path):
    folder, _ = exported(tmp_path, "search.origin=scratch", "search.branches_removed=1")
    before = read()

    result = evaluate_beside_scratch(folder, 1)

    assert result.from_scratch is None
    assert read() == before
    with pytest.raises(InputError, match="seeds from scratch must be at least 1, but got 0"):
        evaluate_beside_scratch(folder, 0)
    find_study("s").path.rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"the study that .* comes from is not here"):
        evaluate_beside_scratch(folder, 1)
