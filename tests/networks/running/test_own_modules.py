"""Modules of a person's folder: served by name with their neighbours, and to nobody else."""

import importlib
import sys
from pathlib import Path

import pytest

from autodepth.errors import NetworkError
from autodepth.networks.running.own_modules import home_of, import_from, is_installed


@pytest.fixture
def names(tmp_path):
    """Names that no other test has, forgotten afterwards."""
    stem = f"own_{tmp_path.name.replace('-', '_')}"
    yield f"{stem}_one", f"{stem}_two"
    for name in [name for name in sys.modules if name.startswith(stem)]:
        del sys.modules[name]


def test_a_module_gets_its_neighbour_and_others_do_not(tmp_path, names):
    one, two = names
    (tmp_path / f"{one}.py").write_text("def late():\n    import later_neighbour\n")
    (tmp_path / f"{two}.py").write_text("HERE = True\n")
    module = import_from(tmp_path, one)

    assert module.__file__ == str(tmp_path / f"{one}.py")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(two)  # asked for by a test, which is not of that folder
    (tmp_path / f"{one}.py").write_text(f"import {two}\nFOUND = {two}.HERE\n")
    del sys.modules[one]
    assert import_from(tmp_path, one).FOUND
    assert home_of(one) == tmp_path
    assert str(tmp_path) not in sys.path


def test_a_name_that_means_two_modules_is_refused_with_both(tmp_path, names):
    one, _ = names
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{one}.py").write_text("")
    import_from(tmp_path / "a", one)

    with pytest.raises(NetworkError) as error:
        import_from(tmp_path / "b", one)
    assert f"{one} is both {tmp_path}/b/{one}.py and {tmp_path}/a/{one}.py" in str(error.value)


def test_what_is_installed_has_no_folder_of_a_persons():
    assert home_of("json") is None
    assert home_of("pytest") is None
    assert is_installed("anything", Path("/env/lib/python3/site-packages/anything.py"))
    assert not is_installed("anything", Path("/home/me/anything.py"))
