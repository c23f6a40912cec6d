"""What a script reads: one JSON document on stdout, with the keys that the docs tell."""

import json

import optuna
import pytest
import typer
from cli.documents import has_the_keys_of, told_in_the_docs
from typer.testing import CliRunner

from autodepth.cli.main import app
from autodepth.export.exporting import export_selected
from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.weights.own_files import save_weights
from autodepth.records.driver_lock.lock import DriverLock
from autodepth.records.ledger import Ledger
from autodepth.records.studies import HOME_VARIABLE, find_study
from autodepth.service.search.search import search
from autodepth.space.file.shipped import default_space

COMMANDS = typer.main.get_command(app).commands
TRIALS = [(0.95, 40_000_000, 60.0), (0.93, 20_000_000, 30.0), (None, 0, 5.0), (0.8, 9_000_000, 9.0)]
LINES = {  # what needs neither training nor a cluster; {here} is the test's folder
    "init": "init --to {here}/new.yaml",
    "inspect": "inspect resnet20",
    "check": f"check {default_space()}",
    "studies": "studies",
    "status": "status digits",
    "front": "front digits",
    "controls": "controls digits",
    "importance": "importance digits",
    "compare": "compare digits other",
    "report": "report digits --to {here}/page.html --figures {here}/figures --format svg",
    "sync": "sync digits",
    "stop": "stop digits",
    "set": "set digits concurrency=1",
    "save": "save digits {here}/digits.tar.gz",
    "load": "load {here}/other.tar.gz --study again",
    "cache": "cache",
    "fsck": "fsck digits",
    "mcp": "mcp --steer",
    "enqueue": "enqueue digits {here}/policy.yaml",
    "delete": "delete other --yes",
}
SMALL = (
    "network.name=resnet14", "data.train_images=64", "data.validation=60", "train.epochs=1",
    "search={branches_removed: {type: int, min: 0, max: 3}, fine_tune_epochs: 1}",
)  # fmt: skip
SETTINGS = "--set data.train_images=64 --set data.validation=60"
WEIGHTS = "resnet14 --weights {place}/whole.safetensors --data digits"
TRAINED = {  # what takes a study that trained, or what it exported; {place} is their folder
    "search": "search --budget 3trials --study small --go-on",  # nothing is left to do
    "sync --optuna": "sync small --optuna",
    "export": "export small --formats torch --register --to {here}/out",
    "register": "register {place}/out",
    "push": "push {place}/out hf://me/small --to {here}/repository",
    "evaluate": "evaluate {place}/out",
    "bench": "bench {place}/out --seconds 0.1",
    "sensitivity": f"sensitivity {WEIGHTS} --images 20 {SETTINGS}",
    "trial": f"trial {{place}}/out/policy.yaml --network resnet14 {SETTINGS}",
    "prune": f"prune {WEIGHTS} --policy {{place}}/out/policy.yaml --to {{here}}/slim {SETTINGS}",
    "doctor": "doctor",
}
ON_RAY = {"resume", "confirm"}  # further down
BESIDE = {"dashboard", "serve", "mlflow", "submit", "jobs"}  # elsewhere: a server, a cluster


@pytest.fixture
def give(monkeypatch, capfd):
    """Run a command in this process and return the document that it gives."""
    monkeypatch.setenv("COLUMNS", "80")

    def give(line):
        done = CliRunner().invoke(app, [*line.split(), "--json"])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        assert capfd.readouterr().out == ""  # nothing went past what CliRunner holds
        return json.loads(done.stdout)

    return give


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A folder with a real study, what it exported, and weights of its unpruned network."""
    place = tmp_path_factory.mktemp("small")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(HOME_VARIABLE, str(place))
        search(budget="3trials", study="small", settings=SMALL, runner="in-process")
        export_selected(find_study("small"), "smallest", place / "out")
    network = build_network(NetworkSpec(name="resnet14", channels=1, height=8, width=8), seed=3)
    save_weights(network.module, place / "whole.safetensors")
    return place


@pytest.fixture
def place(small, monkeypatch):
    monkeypatch.setenv(HOME_VARIABLE, str(small))
    return small


def test_every_command_gives_json_as_the_docs_tell_and_is_tried():
    giving = {name for name, c in COMMANDS.items() if any("--json" in p.opts for p in c.params)}
    tried = {line.split()[0] for line in (*LINES.values(), *TRAINED.values())}

    assert giving == COMMANDS.keys()
    assert {name.split()[0] for name in told_in_the_docs()} == giving
    assert tried | ON_RAY | BESIDE == giving


@pytest.mark.slow
@pytest.mark.parametrize("name", LINES)
def test_the_keys_are_those_the_docs_tell(name, give, make_recorded, recorded_result, tmp_path):
    folder = make_recorded("digits", TRIALS, space={"sampler": {"name": "tpe"}, "constraints": []})
    make_recorded("other", TRIALS)
    with Ledger.open(folder.ledger_path) as ledger:
        for replicate in (1, 2):
            number = ledger.start_trial("confirm", {}, {}, about=1, replicate=replicate)
            ledger.complete_trial(number, recorded_result(0.9, 20_000_000), 10.0)
    (tmp_path / "policy.yaml").write_text("p_L: 0.5\n")
    if name == "load":
        give(f"save other {tmp_path}/other.tar.gz")
    with DriverLock(folder):  # `set` is for studies that run
        told = give(LINES[name].format(here=tmp_path))

    assert has_the_keys_of(name, told)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning")  # MLflow's
@pytest.mark.parametrize("name", TRAINED)
def test_the_keys_are_those_the_docs_tell_where_something_was_trained(name, give, place, tmp_path):
    told = give(TRAINED[name].format(here=tmp_path, place=place))

    assert has_the_keys_of("trial" if name == "prune" else name, told)


@pytest.mark.slow
@pytest.mark.usefixtures("without_ray")
def test_a_study_that_goes_on_tells_what_a_search_does(place, run):
    done = run("resume", "small", "--budget", "+1trials", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)

    assert has_the_keys_of("search", told)
    assert told["complete"] > 3
    assert "complete" in done.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("without_ray")
def test_a_confirmation_tells_the_front_on_fresh_seeds(place, run):
    before = json.loads(run("front", "small", "--json").stdout)
    done = run("confirm", "small", "--seeds", "1", "--control", "random removal", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    members = told["front"]

    assert has_the_keys_of("search", told)
    assert [m["trial"] for m in members] == [m["trial"] for m in before]
    assert {m["confirmed"]["accuracy"]["n"] for m in members} == {1}
    assert {c["role"] for m in members for c in m["controls"]} <= {"random removal"}
    assert members == json.loads(run("controls", "small", "--json").stdout)
    assert "on fresh seeds) complete" in done.stderr


@pytest.mark.slow
def test_what_was_written_for_optuna_is_counted_once(place, give):
    file = place / "small" / "optuna.db"
    file.unlink(missing_ok=True)
    told, again = give("sync small --optuna"), give("sync small --optuna")
    storage = optuna.storages.RDBStorage(f"sqlite:///{file}")
    trials = optuna.load_study(study_name="small", storage=storage).get_trials()
    storage.engine.dispose()
    values = {trial.user_attrs["trial"]: trial.values for trial in trials}

    assert told == {"study": "small", "file": str(file), "added": len(trials)}
    assert again == {**told, "added": 0}
    assert len(trials) >= 3
    for member in give("front small"):
        assert values[member["trial"]] == [member["validation_accuracy"], member["macs"]]


@pytest.mark.slow
def test_a_study_that_is_done_tells_its_front_and_what_mlflow_lacks(place, give, tmp_path):
    line = "search --budget 3trials --study small --go-on"
    told, elsewhere = give(line), give(f"{line} --tracking-uri sqlite:///{tmp_path}/mlflow.db")
    accuracies = {m["trial"]: m["validation_accuracy"] for m in give("front small")}

    assert {m["trial"]: m["validation_accuracy"] for m in told["front"]} == accuracies
    assert told["hypervolume"] > 0
    assert (told["unsent"], elsewhere["unsent"]) == (0, told["trials"])


LOUD = """
from autodepth.networks.catalogue.cifar_resnet import CifarResNet

print("a network of my own")


def net():
    print("is built")
    return CifarResNet(8)
"""


def test_what_a_network_of_ones_own_prints_is_no_part_of_the_document(run_apart, tmp_path):
    (tmp_path / "loud.py").write_text(LOUD)
    done = run_apart("inspect", "loud:net", "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["branches"]
    assert {"a network of my own", "is built"} <= set(done.stderr.splitlines())


def test_mistakes_are_told_as_json_too_and_with_the_same_status(run, tmp_path):
    (tmp_path / "bad.yaml").write_text("version: 1\nnetwork: resnet20\nsearch:\n  p_l: 0.5\n")
    done = run("check", "bad.yaml", "--json")
    (file,) = json.loads(done.stdout)

    assert done.returncode == 2
    assert file["file"] == "bad.yaml"
    assert any(line.startswith("bad.yaml:4:3: search.p_l: ") for line in file["mistakes"])
