"""A study whose storage is a bucket: a real server of S3's protocol, on this machine."""

import importlib.util
import subprocess
import sys
import time
import urllib.request

import pytest

from autodepth.records.fsck import broken_invariants
from autodepth.records.ledger import Ledger
from autodepth.records.studies import find_study
from autodepth.study.cluster import node_probe
from autodepth.trial.cache.cache import open_store
from autodepth.trial.cache.entry import is_entry

MISSING = [name for name in ("moto", "s3fs") if importlib.util.find_spec(name) is None]
pytestmark = [
    pytest.mark.long,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
]
PLACE = "s3://studies/of/mine"
SETTINGS = (
    "network.name=resnet14",
    "data.train_images=48",
    "data.validation=60",
    "train.epochs=1",
    "search.fine_tune_epochs=1",  # so that every network leaves something
    "sampler.name=random",
)


@pytest.fixture
def bucket(free_port, tmp_path):
    """The environment that leads to a server with an empty bucket, and its files."""
    import s3fs

    url = f"http://127.0.0.1:{free_port()}"
    environment = {
        "AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "canary",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
    }  # fmt: skip
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", url.rpartition(":")[2]]
    with (tmp_path / "server").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_for(url, server)
        files = s3fs.S3FileSystem(key="me", secret="canary", endpoint_url=url)
        files.mkdir("studies")
        yield environment, files
    finally:
        server.terminate()
        server.wait()


def wait_for(url, server):
    end = time.monotonic() + 120
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"{url} does not answer")


def entries(files):
    """Return the stages that are whole in the cache of the bucket."""
    files.invalidate_cache()
    found = files.find("studies/of/mine/cache")
    return {path.split("/")[-2] for path in found if is_entry(path.split("/")[-2])}


def weights(files):
    files.invalidate_cache()
    return files.find("studies/of/mine/weights")


def test_what_nodes_leave_in_a_bucket_is_found_whole_and_taken_away(bucket, monkeypatch):
    environment, files = bucket
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    where = f"{PLACE}/probe"
    node_probe.leave_word(where, "word", "driver")

    assert node_probe.answer_word(where, "word", "driver", "10.0.0.2") == ""
    store = open_store(where)
    assert len(store.names()) == 2
    assert all(usage.size > 0 and usage.used > 0 for usage in store.usage())
    left = next(path for path in files.find("studies/of/mine/probe") if files.size(path) == 4)
    files.pipe_file(left, b"worm")
    hosts = ("driver", "10.0.0.2")
    told = " ".join(node_probe.answer_word(where, "word", host, host) for host in hosts)
    assert "DamagedEntryError: word.txt is not what was written" in told
    store.clear()
    files.invalidate_cache()
    assert files.find("studies/of/mine") == []


def test_a_study_its_cache_and_its_resumption_live_in_a_bucket(bucket, ray_head, a_person):
    environment, files = bucket
    address = ray_head(**environment)

    def autodepth(*words, expected=0):
        there = ("--ray-address", address, "--storage", PLACE, "--concurrency", "1")
        done = subprocess.run(
            [sys.executable, "-m", "autodepth", *words, *there],
            capture_output=True, text=True, check=False, env={**a_person, **environment},
        )  # fmt: skip
        assert done.returncode == expected, done.stderr
        assert "canary" not in done.stdout + done.stderr
        return done.stderr

    settings = [word for context in SETTINGS for word in ("--set", context)]
    autodepth("search", "--budget", "3trials", "--study", "first", *settings)
    kept = entries(files)
    autodepth("resume", "first", "--budget", "+2trials")
    gone_on = entries(files)
    autodepth("search", "--budget", "3trials", "--study", "again", *settings)

    for name, trials in (("first", 5), ("again", 3)):
        assert broken_invariants(find_study(name)) == []
        with Ledger.open(find_study(name).ledger_path, read_only=True) as ledger:
            assert [trial.state.value for trial in ledger.trials()] == ["complete"] * trials
            assert all(trial.node for trial in ledger.trials())
    assert kept
    assert kept < gone_on
    assert entries(files) == gone_on  # what the second study needed was there
    assert weights(files) == []  # the driver has fetched what it wanted
    assert not files.exists("studies/of/mine/probe")

    environment["AWS_ENDPOINT_URL"] = "http://127.0.0.1:9"
    told = autodepth("search", "--budget", "3trials", "--study", "away", *settings, expected=1)
    assert f"cannot write to {PLACE}" in " ".join(told.split())
