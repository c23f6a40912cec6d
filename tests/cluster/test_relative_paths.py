"""What a person submits is found by paths from their folder; nothing else in it is code."""

import pytest
from cluster.studies import dashboard, storage, study_folder, trials
from cluster.test_cluster import NET

from autodepth.trial.result import TrialState

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]

SPACE = """
version: 1
network: {name: "sentnet:Net", weights: given/start.safetensors}
data: {name: "npz:given/images.npz", augment: none}
search: {fine_tune_epochs: 1, branches_removed: {type: int, min: 0, max: 2}}
train: {epochs: 0, batch_size: 8}
"""
GIVEN = """
import numpy as np, safetensors.torch as files, sentnet
files.save_file(sentnet.Net(num_classes=2).state_dict(), "given/start.safetensors")
images, labels = np.random.default_rng(0).integers(0, 255, (60, 8, 8), np.uint8), np.arange(60) % 2
np.savez("given/images.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
"""
TRAPS = ("queue", "types", "data", "yaml", "torch", "apex", "msvcrt")


def test_a_job_finds_its_files_and_executes_the_network_alone(cluster):
    desk, ran = cluster["desk"], storage(cluster) / "ran"
    (desk.folder / "given").mkdir()
    (desk.folder / "spaces").mkdir()
    (desk.folder / "sentnet.py").write_text(NET)
    (desk.folder / "spaces" / "space.yaml").write_text(SPACE)
    status, text = desk.run("python", "-c", GIVEN)
    assert status == 0, text
    for name in TRAPS:
        (desk.folder / f"{name}.py").write_text(f"open({str(ran)!r}, 'a').write(__name__)\n")
    for budget in (1, 2):  # the second job is sent the files anew, to another folder
        status, text = desk.run(
            "autodepth", "submit", "spaces/space.yaml", "--address", dashboard(cluster),
            "--study", "sent", "--storage", f"file://{storage(cluster)}", "--own-code",
            "--home", str(cluster["head"].folder / "studies"), "--budget", f"{budget}trials",
            "--follow",
        )  # fmt: skip
        assert status == 0, text

    assert [r.state for r in trials(cluster, "sent")] == [TrialState.COMPLETE] * 2
    assert not ran.exists(), ran.read_text()
    assert study_folder(cluster, "sent").plan["weights"].endswith("/given/start.safetensors")
