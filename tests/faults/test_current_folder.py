"""The current folder is nobody's code: whatever its files are called, no command executes them."""

import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from own_networks import net_code

from autodepth.errors import NetworkError
from autodepth.networks.catalogue import NetworkSpec, build_network
from autodepth.networks.running.own_modules import import_from

DOORS = (
    "autodepth.cli.main", "autodepth.dashboard.server", "autodepth.export.exporting",
    "autodepth.records.mlflow.sync", "autodepth.study.ray.runner",
    "autodepth.service.search.search",
)  # fmt: skip
# What libraries try to import and do without, and names that people give to files.
ABSENT = ("apex", "cupy", "pandas", "tensorflow", "usercustomize", "data", "model", "train")
CANARY = "import os\nopen(os.environ['RAN'], 'a').write(__name__ + '\\n')\n"
NET = net_code(first="from neighbour_of_the_net import WIDTH", width="WIDTH")
TINY = (
    "--set", "data.train_images=40", "--set", "train.epochs=1",
    "--set", "search.fine_tune_epochs=1", "--set", "start_with=[]",
)  # fmt: skip
COMMAND = (shutil.which("autodepth", path=Path(sys.executable).parent) or "autodepth",)
AS_MODULE = (sys.executable, "-m", "autodepth")
SEARCH = ("search", "--budget", "1trials", "--study", "s", "--concurrency", "1",
          "--network", "net_of_this_folder:Net", *TINY)  # fmt: skip
OTHERS = (
    ("init",),
    ("check", "autodepth.yaml"),
    ("inspect", "net_of_this_folder:Net", "--input", "1x8x8"),
    ("resume", "s", "--budget", "+1trials", "--own-code"),
    ("confirm", "s", "--seeds", "1", "--own-code"),
    ("status", "s"),
    ("front", "s"),
    ("controls", "s"),
    ("report", "s", "--to", "report.html"),
    ("export", "s", "--to", "out", "--own-code"),
    ("evaluate", "out", "--own-code"),
    ("bench", "out", "--own-code"),
    ("register", "out", "--own-code"),
    ("trial", "out/policy.yaml", "--network", "net_of_this_folder:Net", "--data", "digits"),
    ("sync", "s", "--optuna"),
    ("save", "s", "s.tar.gz"),
    ("load", "s.tar.gz", "--study", "t"),
    ("fsck", "s"),
    ("cache",),
    ("doctor",),
)


@pytest.fixture(scope="module")
def names():
    """Every module that Python has, that we import, or that libraries would if it were there."""
    for door in DOORS:
        importlib.import_module(door)
    loaded = {name.partition(".")[0] for name in sys.modules}
    found = {*loaded, *sys.stdlib_module_names, *ABSENT}
    return sorted(name for name in found if name.isidentifier() and name != "autodepth")


@pytest.fixture
def trap(names, tmp_path, monkeypatch):
    """A folder with a file for each of them, which tells when it is executed, and a network."""
    folder = tmp_path / "trap"
    folder.mkdir()
    for name in names:
        (folder / f"{name}.py").write_text(CANARY)
    (folder / "net_of_this_folder.py").write_text(CANARY + NET)
    (folder / "neighbour_of_the_net.py").write_text(CANARY + "WIDTH = 4\n")
    monkeypatch.setenv("RAN", str(tmp_path / "ran"))
    return folder


def executed(trap):
    told = trap.parent / "ran"
    found = set(told.read_text().split()) if told.exists() else set()
    told.unlink(missing_ok=True)
    return found


def run(trap, *command):
    return subprocess.run(
        command, cwd=trap, capture_output=True, text=True, check=False,
        env={**os.environ, "COLUMNS": "100"},
    )  # fmt: skip


def test_what_is_light_executes_nothing_of_the_folder(trap):
    for arguments in (("--version",), ("studies",)):
        done = run(trap, *COMMAND, *arguments)

        assert (done.returncode, executed(trap)) == (0, set()), done.stderr


def test_started_as_a_module_it_executes_no_more_than_python_does_before(trap, tmp_path):
    """`python -m` looks into the current folder while it starts, which only its `-P` prevents."""
    other = tmp_path / "other"
    shutil.copytree(trap, other)
    its = run(trap, sys.executable, "-I", "-c", "import runpy, sys; print(*sys.modules)").stdout
    for name in its.split():
        (other / f"{name}.py").unlink(missing_ok=True)
    started = run(other, *AS_MODULE, "studies")

    assert (started.returncode, executed(trap)) == (0, set()), started.stderr
    safe = run(trap, sys.executable, "-P", "-m", "autodepth", "studies")
    assert (safe.returncode, executed(trap)) == (0, set()), safe.stderr


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_search_executes_the_network_that_was_named_and_what_that_imports(trap):
    done = run(trap, *COMMAND, *SEARCH)

    assert done.returncode == 0, done.stderr
    assert executed(trap) == {"net_of_this_folder", "neighbour_of_the_net"}


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_no_command_executes_anything_else(trap):
    assert run(trap, *COMMAND, *SEARCH).returncode == 0
    executed(trap)
    for arguments in OTHERS:
        done = run(trap, *COMMAND, *arguments)

        assert done.returncode in {0, 3}, (arguments, done.stderr)
        assert executed(trap) <= {"net_of_this_folder", "neighbour_of_the_net"}, arguments


@pytest.mark.parametrize("name", ["queue", "yaml", "torch", "code"])
def test_a_network_in_a_file_called_like_an_installed_module_is_refused(tmp_path, name):
    (tmp_path / f"{name}.py").write_text("def net(): ...\n")
    spec = NetworkSpec(name=f"{name}:net", own_code=True, code_folder=tmp_path)

    with pytest.raises(NetworkError, match=rf"{name} is both {tmp_path}/{name}.py and .*: rename"):
        build_network(spec)


@pytest.fixture
def own(tmp_path):
    """Import from a folder, and forget what was imported."""
    before = set(sys.modules)
    yield lambda name: import_from(tmp_path, name)
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_folder_serves_its_own_modules_alone(tmp_path, own):
    (tmp_path / "own_net_served.py").write_text(
        "import own_part_served\n\ndef late():\n    import own_late_served.inner as inner\n"
        "    return inner\n"
    )
    (tmp_path / "own_part_served.py").write_text("import importlib\n"
        "other = importlib.import_module('own_other_served')\n")  # fmt: skip
    (tmp_path / "own_late_served").mkdir()
    (tmp_path / "own_late_served" / "inner.py").write_text("from own_part_served import other\n")
    for name in ("own_other_served", "own_unasked_served"):
        (tmp_path / f"{name}.py").write_text("")
    net = own("own_net_served")

    assert net.late().other is sys.modules["own_other_served"]
    assert str(tmp_path) not in sys.path
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("own_unasked_served")


def test_the_same_name_in_another_folder_is_another_module(tmp_path, own):
    (tmp_path / "own_net_twice.py").write_text("")
    own("own_net_twice")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "own_net_twice.py").write_text("")

    with pytest.raises(NetworkError, match=r"own_net_twice is both .*/b/own_net_twice.py and"):
        import_from(tmp_path / "b", "own_net_twice")


def test_a_neighbour_of_the_same_name_in_another_folder_is_not_taken_for_this_ones(tmp_path, own):
    for folder in (tmp_path, tmp_path / "b"):
        folder.mkdir(exist_ok=True)
        (folder / f"own_net_in_{folder.name[:1]}.py").write_text("import own_layers_twice\n")
        (folder / "own_layers_twice.py").write_text(f"place = {str(folder)!r}\n")
    first = own(f"own_net_in_{tmp_path.name[:1]}")

    assert own(first.__name__) is first
    with pytest.raises(NetworkError, match=r"own_layers_twice is both .*/b/.* a process each"):
        import_from(tmp_path / "b", "own_net_in_b")
