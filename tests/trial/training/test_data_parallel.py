"""Two processes that share every batch train as one process does, and end as it does."""

import json
import pickle
import subprocess
import sys
from dataclasses import replace
from itertools import chain

import pytest
import torch

from autodepth.policy.policy import Policy
from autodepth.policy.training_settings import TrainingSettings
from autodepth.trial.run_trial import run_trial
from autodepth.trial.training.data_parallel import Ranks

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available(), reason="torch was built without distributed"
)

# Carries policies out, one after the other, and prints epochs and results by rank. Each is broken
# off after its second epoch, and goes on from its checkpoint.
RANK = """
import json, os, pickle, sys
from dataclasses import replace
from pathlib import Path
import torch
from autodepth.trial.training.data_parallel import Ranks
from autodepth.trial.phases.rank_worker import follow
from autodepth.trial.run_trial import run_trial

class BrokenOff(BaseException):
    pass

def break_off(epoch):
    if epoch.step == 2:
        raise BrokenOff

rank, ranks, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
setting, policies = pickle.loads((folder / "task").read_bytes())
torch.set_num_threads(1)
group = Ranks.join(rank, ranks, folder / "meeting", setting.device)
if rank:
    follow(group, setting)
setting = replace(setting, ranks=group, cache=folder / "cache", checkpoint_seconds=0.0)
told = []
for number, policy in enumerate(policies):
    place, epochs = folder / str(number), []
    place.mkdir()
    try:
        run_trial(policy, setting, folder=place, on_epoch=break_off)
    except BrokenOff:
        assert not group.broken
    result = run_trial(
        policy, setting, folder=place, on_epoch=lambda epoch: epochs.append(epoch.to_json())
    )
    told.append({"epochs": epochs, "result": result.to_dict()})
print(json.dumps(told), flush=True)
os._exit(0)  # the other goes when the connection is gone
"""


def on_ranks(folder, context, policies, ranks=2):
    folder.mkdir()
    (folder / "task").write_bytes(pickle.dumps((context, policies)))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(rank), str(ranks), str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(ranks)
    ]
    out, errors = processes[0].communicate(timeout=280)
    others = [process.communicate(timeout=60)[1] for process in processes[1:]]
    assert out, "\n".join([errors, *others])
    return [
        ([json.loads(epoch) for epoch in told["epochs"]], told["result"])
        for told in json.loads(out)
    ]


def alone(folder, context, policy):
    folder.mkdir()
    epochs = []
    result = run_trial(
        policy, context, folder=folder, on_epoch=lambda e: epochs.append(json.loads(e.to_json()))
    )
    return epochs, result.to_dict()


TRAIN = TrainingSettings(epochs=3, batch_size=32, learning_rate=0.02, precision="float32")
POLICIES = {
    "hybrid": Policy(
        survival_prob_last=0.6, sensitivity_threshold=(1.0,), fine_tune_epochs=2,
        filter_sparsity=0.25, train=TRAIN,
    ),
    "distilled": Policy(
        survival_prob_last=0.7, branches_removed=2, criterion="magnitude", fine_tune_epochs=2,
        distillation=0.5, weight_sparsity=0.3, patience=2,
        train=replace(TRAIN, label_smoothing=0.1, learning_rate=0.005),
    ),
    "by sample": Policy(
        survival_prob_last=0.5, gate_mode="sample", decay_shape="sensitivity",
        train=replace(TRAIN, batch_size=33),  # of a few images often one survives alone
    ),
}  # fmt: skip
RECIPE = {
    "recipe": Policy(
        survival_prob_last=0.7, branches_removed=2, criterion="magnitude", fine_tune_epochs=2,
        train=replace(
            TRAIN, optimizer="adamw", learning_rate=1e-4, schedule="cosine", clip_norm=1.0,
            weight_decay_on="matrices", ema=0.9, mixup=0.2, cutmix=1.0, auto_augment="trivial",
            erasing=0.25, class_weights="balanced",
        ),
    ),
}  # fmt: skip


GENTLE = replace(TRAIN, learning_rate=0.005)  # at higher rates what is rounded soon counts
NARROW = Policy(
    origin="scratch", survival_prob_last=0.8, branches_removed=2, stream_width=0.5,
    fine_tune_epochs=1, train=GENTLE,
)  # fmt: skip
NARROW_STREAMS = {
    "from scratch": NARROW,
    "cut out": replace(NARROW, origin="parent", filter_sparsity=0.25),
    "grown and cut": Policy(
        origin="member", base=NARROW, branches_removed=1, stream_width=0.5, width_growth=2.0,
        fine_tune_epochs=2, train=GENTLE,
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    "policies",
    [
        POLICIES,
        pytest.param(NARROW_STREAMS, marks=pytest.mark.long),
        pytest.param(RECIPE, marks=pytest.mark.long),
    ],
    ids=["whole streams", "narrow streams", "recipe of today"],
)
def test_two_ranks_come_to_what_one_process_comes_to(context, tmp_path, policies):
    # The last batch of 32 has three images, so the ranks have parts of unequal size.
    few = replace(context.data, train=context.data.train.subset(range(99)))
    context = replace(context, data=few)
    both = on_ranks(tmp_path / "both", context, list(policies.values()))
    for (name, policy), (epochs, result) in zip(policies.items(), both, strict=True):
        wanted, straight = alone(tmp_path / name, context, policy)

        # Each policy of a chain has its own fine-tuning, and the first one three epochs besides.
        count = 3 + sum(step.fine_tune_epochs for step in policy.chain)
        assert len(epochs) == len(wanted) == count
        for epoch, other in zip(epochs, wanted, strict=True):
            # Sums in another order round otherwise, on some processors more than on others.
            assert epoch["train_loss"] == pytest.approx(other["train_loss"], abs=5e-3), name
            for equal in ("phase", "step", "branches_computed", "branches_expected"):
                assert epoch[equal] == other[equal]
            assert epoch["gradient_norms"] == pytest.approx(other["gradient_norms"], rel=1e-2)
        assert result["removed"] == list(straight["removed"])
        point, other = result["point"], straight["point"]
        close = pytest.approx(other["validation_accuracy"], abs=0.03)  # three images of a hundred
        assert point["validation_accuracy"] == close
        assert point["macs"] == other["macs"]
        assert point["validation_loss"] == pytest.approx(other["validation_loss"], abs=5e-3)
        assert point["effective_macs"] == pytest.approx(other["effective_macs"], rel=1e-3)


def test_parts_of_a_batch_are_the_batch():
    for count in (0, 1, 3, 64, 65):
        rows = [list(range(count))[Ranks(rank, 4).part(count)] for rank in range(4)]

        assert list(chain(*rows)) == list(range(count))
        assert max(map(len, rows)) - min(map(len, rows)) <= 1


def test_a_share_of_a_loss_counts_by_its_rows():
    loss, scores = torch.tensor(2.0), torch.ones(3, 10)

    assert Ranks().share(loss, scores, 3) is loss
    assert Ranks(1, 2).share(loss, scores, 4) == 1.5
    # Of no rows a mean is not a number; its rank has no part in the loss.
    assert Ranks(1, 2).share(torch.tensor(float("nan")), torch.ones(0, 10), 1) == 0
