"""A task in a person's folder, and a search space that names it."""

import sys
from pathlib import Path

import pytest

INK = (Path(__file__).parent / "ink.py").read_text()
SPACE = """
version: 1
network: resnet14
task: ink:Ink
search:
  branches_removed: {type: int, min: 0, max: 2}
train: {epochs: 1, batch_size: 40}
"""


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    """Write files into a folder, which is then the current one; some text may be exchanged."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])

    def write(*exchanged, space=""):
        code = INK
        for old, new in exchanged:
            assert old in code
            code = code.replace(old, new)
        (tmp_path / "ink.py").write_text(code)
        (tmp_path / "space.yaml").write_text(SPACE + space)
        return tmp_path / "space.yaml"

    yield write
    sys.modules.pop("ink", None)
    from autodepth.tasks import own_task

    own_task._made.cache_clear()
