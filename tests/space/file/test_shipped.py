"""The shipped space files are fine, say what they are, and fit the schema for editors."""

import subprocess
import sys
from pathlib import Path

import pytest

from autodepth.space.domains import Fixed
from autodepth.space.file.shipped import default_space, shipped_spaces, space_folder
from autodepth.space.file.space_file import check_space, load_space
from autodepth.space.schema import SCHEMA_NAME

FILES = sorted(space_folder().rglob("*.y*ml"))


def test_the_promised_files_are_shipped():
    assert set(shipped_spaces()) == {
        "digits_resnet20",
        "cifar10_resnet56",
        "cifar10_resnet110",
        "cifar100_resnet110",
        "imagenet_resnet50",
        "trained_network",
    }
    assert default_space() == shipped_spaces()["digits_resnet20"]
    assert default_space(trained=True) == shipped_spaces()["trained_network"]
    assert sorted(shipped_spaces().values()) == FILES, "a file is in a folder nobody looks into"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_is_fine(path):
    assert check_space(path) == []
    searched = [d for d in load_space(path).dimensions if not isinstance(d.domain, Fixed)]
    assert searched


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_opens_with_purpose_command_and_cost(path):
    header = path.read_text().split("\nversion:", maxsplit=1)[0]
    assert header.startswith(f"# yaml-language-server: $schema={SCHEMA_NAME}\n")
    assert "\n# How shallow can" in header
    assert "\n# Run:   autodepth search " in header
    assert f"search_spaces/{path.name}" in header or path == default_space()
    assert "\n# Cost:  " in header
    assert "(estimate" in header


def test_no_torch_is_needed_to_read_a_space():
    code = (
        "import sys; from autodepth.space.file.space_file import load_space; "
        "from autodepth.space.file.shipped import default_space; load_space(default_space()); "
        "print([m for m in ('torch', 'ray', 'optuna', 'mlflow') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    assert done.stdout.strip() == "[]"
