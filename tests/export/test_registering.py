"""A bundle in a real MLflow store answers a real image there; told twice, it is one."""

import json
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from autodepth import load
from autodepth.errors import BundleError, InputError, TrackingError
from autodepth.export.bundles.bundle import read_architecture
from autodepth.export.exporting import export_selected
from autodepth.records.ledger import Ledger
from autodepth.records.mlflow.sync import default_tracking_uri
from autodepth.records.studies import HOME_VARIABLE
from autodepth.service.publish.register import register_bundle

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning"),
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),
]


@pytest.fixture(autouse=True)
def no_pickles(monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")


def real_images(folder):
    """Five digits, 0 to 4, as the network takes them."""
    constants = read_architecture(folder).normalisation
    shares = load_digits().images[:5, None] / 16
    return ((shares - constants.mean[0]) / constants.std[0]).astype(np.float32)


def test_the_champion_is_loaded_by_mlflow_and_answers_real_images(
    study, exported, home, places_told, tmp_path
):
    import mlflow
    from mlflow.tracking import MlflowClient

    folder, point, _ = exported
    found = register_bundle(folder)
    again = register_bundle(folder, champion=False)
    uri = default_tracking_uri(home)
    client = MlflowClient(uri)
    version = client.get_model_version_by_alias("source", "champion")
    experiment = client.get_experiment_by_name("source").experiment_id
    members = client.search_logged_models([experiment])
    with Ledger.open(study.ledger_path, read_only=True) as ledger:
        front = ledger.front()
    mlflow.set_tracking_uri(uri)
    network = mlflow.pytorch.load_model("models:/source@champion")
    served = mlflow.pyfunc.load_model("models:/source@smallest")
    images = real_images(folder)
    with torch.inference_mode():
        expected = load(folder)(torch.from_numpy(images))
    files = mlflow.artifacts.download_artifacts("models:/source@champion", dst_path=str(tmp_path))

    assert places_told(Path(files)) == {}
    assert (found.version, again.version) == ("1", "1")
    assert found.aliases[0] == "champion"
    assert "smallest" in again.aliases
    assert torch.equal(network(torch.from_numpy(images)), expected)
    np.testing.assert_array_equal(served.predict(images), expected.numpy())
    assert served.metadata.signature.inputs.inputs[0].shape == (-1, 1, 8, 8)
    assert served.input_example.shape == (1, 1, 8, 8)
    assert version.description.startswith("---\npipeline_tag")
    assert version.tags["autodepth.trial"] == str(point.trial)
    assert sorted(model.name for model in members) == sorted(f"trial-{p.trial}" for p in front)
    accuracies = {p.trial: p.point.validation_accuracy for p in front}
    for model in members:
        measured = {metric.key: metric.value for metric in model.metrics}
        assert measured["final_accuracy"] == accuracies[int(model.name.removeprefix("trial-"))]
        assert client.get_run(model.source_run_id).info.run_name == model.name


def test_a_bundle_without_its_study_is_registered_by_its_folders_name(
    exported, tmp_path, monkeypatch
):
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "nothing-here"))
    uri = f"sqlite:///{tmp_path}/elsewhere.db"
    monkeypatch.chdir(tmp_path)  # where a store without a server keeps files
    found = register_bundle(exported[0], name="alone", tracking_uri=uri)

    assert found.aliases == ("champion", "smallest")
    client = MlflowClient(uri)
    (model,) = client.search_logged_models([client.get_experiment_by_name("alone").experiment_id])
    assert {metric.key for metric in model.metrics} > {"final_accuracy", "macs_m", "latency_ms"}


def test_a_server_that_is_away_is_said_plainly_and_the_export_stays(exported, home):
    with pytest.raises(TrackingError, match=r"127\.0\.0\.1:9.*`autodepth register .* tries again"):
        register_bundle(exported[0], tracking_uri="http://someone:secret@127.0.0.1:9")
    load(exported[0])


def test_what_mlflow_could_not_load_is_not_registered(study, exported, home, tmp_path):
    export_selected(study, "smallest", tmp_path / "bare", formats=())

    with pytest.raises(BundleError, match=r"model\.pt2 is what MLflow loads"):
        register_bundle(tmp_path / "bare")
    with pytest.raises(InputError, match="without / and :"):
        register_bundle(exported[0], name="a/b")


@pytest.mark.long
def test_a_real_server_serves_the_champion(exported, home, tmp_path):
    root = str(Path(sys.executable).parent / "mlflow")
    store, serving = free_port(), free_port()
    tracking = subprocess.Popen(
        [root, "server", "--port", str(store), "--workers", "1",
         "--backend-store-uri", f"sqlite:///{tmp_path}/m.db",
         "--artifacts-destination", str(tmp_path / "artifacts")],
        env={"PATH": str(Path(root).parent), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    uri, server = f"http://127.0.0.1:{store}", None
    try:
        answers(f"{uri}/health", tracking)
        assert "champion" in register_bundle(exported[0], tracking_uri=uri).aliases
        server = subprocess.Popen(
            [root, "models", "serve", "-m", "models:/source@champion", "--env-manager", "local",
             "--port", str(serving), "--workers", "1"],
            env={"PATH": f"{Path(root).parent}:/usr/bin:/bin", "MLFLOW_TRACKING_URI": uri,
                 "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"},
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        answers(f"http://127.0.0.1:{serving}/ping", server)
        images = real_images(exported[0])
        request = urllib.request.Request(
            f"http://127.0.0.1:{serving}/invocations",
            data=json.dumps({"inputs": images.tolist()}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as reply:
            scores = np.array(json.load(reply)["predictions"])
    finally:
        for process in (server, tracking):
            if process is not None:
                process.terminate()
                process.wait()

    with torch.inference_mode():
        expected = load(exported[0])(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def answers(url, process, seconds=240):
    """Wait until a server that was just started answers."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(f"{url} does not answer")
