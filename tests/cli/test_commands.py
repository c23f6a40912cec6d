"""Commands as a person types them: results on stdout, mistakes in one message with status 2."""

import json

import pytest

from autodepth.records.studies import studies_root


def test_inspect_gives_branches_and_totals_as_json(run):
    done = run("inspect", "resnet56", "--json")
    found = json.loads(done.stdout)

    assert done.returncode == 0
    assert found["total_macs"] == 125_485_696
    assert found["total_parameters"] == 853_018
    assert len(found["branches"]) == 27
    assert {"index", "module", "stage", "shortcut", "removable", "macs", "parameters"} <= set(
        found["branches"][0]
    )
    assert [b["index"] for b in found["branches"] if b["shortcut"] == "projection"] == [10, 19]
    assert all(b["macs"] == 4_718_592 for b in found["branches"] if b["shortcut"] == "identity")


def test_inspect_prints_a_table_of_80_columns(run):
    lines = run("inspect", "resnet20").stdout.splitlines()

    assert max(map(len, lines)) <= 80
    assert "40,551,040" in lines[-1]


def test_init_writes_a_space_that_check_finds_without_mistakes(run, tmp_path):
    assert run("init", "cifar10_resnet56").returncode == 0
    done = run("check", "autodepth.yaml")

    assert (done.returncode, done.stdout) == (0, "autodepth.yaml: no mistakes\n")
    assert run("init").returncode == 2
    assert run("check", "trained_network").stdout == "trained_network: no mistakes\n"  # as shipped


def test_init_tells_a_script_what_it_wrote(run, tmp_path):
    told = json.loads(run("init", "cifar10_resnet56.yaml", "--to", "mine.yaml", "--json").stdout)

    assert told == {"space": "cifar10_resnet56", "file": "mine.yaml"}
    assert "resnet56" in (tmp_path / told["file"]).read_text()
    again = run("init", "--to", "mine.yaml", "--json")
    assert (again.returncode, again.stdout) == (2, "")


def test_check_tells_every_mistake_with_its_place(run, tmp_path):
    (tmp_path / "bad.yaml").write_text(
        "version: 1\nnetwork: resnet20\ndata: digits\nsearch:\n  p_l: 0.5\n"
        "  decay_shape: {values: [linear, cosin]}\n"
    )
    done = run("check", "bad.yaml")

    assert done.returncode == 2
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[0].startswith("bad.yaml:5:3: search.p_l: ")
    assert "did you mean 'p_L'" in lines[0]
    assert lines[1].startswith("bad.yaml:6:")
    assert "did you mean 'cosine'" in lines[1]
    assert len(lines) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["search"], "--budget"),
        (["search", "--budget", "50"], "has no unit"),
        (["search", "--budget", "0cpu-h"], "above zero"),
        (["search", "--budget", "1cpu-min", "--network", "resnet57"], "6n+2"),
        (["search", "--budget", "1cpu-min", "--data", "cifar11"], "did you mean 'cifar10'"),
        (["search", "nowhere.yaml", "--budget", "1cpu-min"], "nowhere.yaml: cannot be read"),
        (["search", "--budget", "1cpu-min", "--set", "train.epochs=-1"], "--set train.epochs=-1"),
        (["search", "--budget", "1cpu-min", "--study", "../up"], "a study's name must be"),
        (["front", "nothing"], "no study is called 'nothing'"),
        (["export", "nothing", "--to", "x"], "no study is called 'nothing'"),
        (["export", "--to", "x", "--formats", "onxx"], "did you mean 'onnx'"),
        (["inspect", "resnet"], "unknown network 'resnet'"),
        (["inspect", "resnet20", "--input", "32"], "CxHxW"),
        (["init", "cifar10"], "did you mean"),
    ],
)
def test_what_cannot_be_used_is_one_message_and_status_2(run, arguments, message):
    done = run(*arguments)

    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert message in " ".join(done.stderr.replace("│", " ").split())


@pytest.mark.parametrize("command", ["evaluate", "bench"])
def test_a_folder_that_is_no_bundle_is_status_1(run, tmp_path, command):
    done = run(command, str(tmp_path))

    assert done.returncode == 1
    assert "is not a bundle" in done.stderr


def test_a_dry_run_prints_the_plan_and_leaves_nothing(run, tmp_path):
    done = run("search", "--budget", "4cpu-min", "--dry-run")

    assert done.returncode == 0
    for words in ("budget", "9 residual branches", "7.25 k to 2.52 M MACs", "trials"):
        assert words in done.stdout
    assert not (tmp_path / "studies").exists()


def test_no_studies_is_said_with_what_to_do(run):
    done = run("studies")

    assert "autodepth search --budget" in done.stdout
    assert json.loads(run("studies", "--json").stdout) == []


@pytest.mark.slow
def test_a_search_from_the_command_line_to_an_exported_network(run, run_apart, tmp_path, grey_npz):
    common = [
        "--set",
        "train.epochs=2",
        "--set",
        "search.fine_tune_epochs={type: int, min: 0, max: 2}",
    ]
    search = run_apart(
        "search", "--data", f"npz:{grey_npz}", "--network", "resnet8", "--budget", "5trials",
        "--study", "grey", "--json", *common, "--set", "data.train_images=100",
        "--concurrency", "1",
    )  # fmt: skip
    assert search.returncode == 0, search.stderr
    result = json.loads(search.stdout)
    listed = json.loads(run("studies", "--json").stdout)
    front = json.loads(run("front", "grey", "--json").stdout)

    assert result["complete"] == 5
    assert "trial 4 complete" in search.stderr
    assert [study["study"] for study in listed] == ["grey"]
    assert front == result["front"]
    assert {"trial", "validation_accuracy", "macs", "parameters", "policy"} <= set(front[0])
    exported = run("export", "grey", "--select", "knee", "--to", "out", "--formats", "torch")
    assert exported.returncode == 0, exported.stderr
    assert [line.split()[0] for line in exported.stderr.splitlines()] == [
        "model.safetensors", "model.pt2",
    ]  # fmt: skip
    assert exported.stdout.startswith("out: trial ")
    timed = run("bench", "out", "--against", "parent", "--seconds", "0.1")
    rows = [line.split() for line in timed.stdout.splitlines()]
    assert max(map(len, timed.stdout.splitlines())) <= 80
    assert [r[:3] for r in rows if r[:1] == ["128"]] == [
        ["128", "PyTorch", network] for network in ("export", "parent")
    ]
    impossible = run("export", "grey", "--select", "macs<=1", "--select", "knee", "--to", "no")
    assert impossible.returncode == 2
    assert "nearest: trial" in impossible.stderr
    assert not (tmp_path / "no").exists()
    evaluated = run("evaluate", "out", "--json")
    assert json.loads(evaluated.stdout)["images"] == 100
    again = run("evaluate", "out")
    assert "was shown the test split" in again.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("without_ray")
def test_a_budget_too_small_for_any_trial_is_status_3_with_advice(run):
    done = run("search", "--budget", "1cpu-s", "--study", "tiny")

    assert done.returncode == 3
    assert done.stdout == ""
    assert "raise the budget" in done.stderr


def test_a_shell_completes_commands_and_names_of_studies(run_apart):
    for name in ("digits-one", "other"):
        (studies_root() / name).mkdir(parents=True)
        (studies_root() / name / "ledger.sqlite").touch()

    def completed(words):
        asked = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
        return run_apart(_AUTODEPTH_COMPLETE="complete_bash", **asked).stdout.split()

    assert completed("autodepth res") == ["resume"]
    assert completed("autodepth status di") == ["digits-one"]
    assert completed("autodepth status --json di") == ["digits-one"]
    assert completed("autodepth stop la") == ["latest"]
