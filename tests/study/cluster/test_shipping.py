"""What trials need from the driver's disk is taken along to other nodes."""

import sys
from dataclasses import replace
from pathlib import Path

from autodepth.data.settings import DataSettings
from autodepth.networks.catalogue import NetworkSpec
from autodepth.networks.catalogue.own_builder import code_folder
from autodepth.networks.running.own_modules import import_from
from autodepth.service.search.requests import SearchRequest
from autodepth.service.search.search import plan_search
from autodepth.space.file.shipped import default_space
from autodepth.study.cluster.node_probe import examples_of
from autodepth.study.cluster.shipping import pack
from autodepth.tasks import own_task
from autodepth.tasks.own_task import TaskSpec, make_task
from autodepth.tasks.task_data import read_task_data


def test_luggage_takes_weights_and_the_code_that_was_imported(tmp_path, monkeypatch):
    (tmp_path / "mynets").mkdir()
    (tmp_path / "mynets" / "__init__.py").write_text("")
    (tmp_path / "mynets" / "small.py").write_text("from mynets.parts import WIDTH\n")
    (tmp_path / "mynets" / "parts.py").write_text("WIDTH = 8\n")
    (tmp_path / "secret.py").write_text("nobody imports this\n")
    import_from(tmp_path, "mynets.small")
    spec = NetworkSpec(name="mynets.small:build", code_folder=code_folder("mynets.small:build"))
    try:
        shipped_files = pack(spec, None)
    finally:
        for name in [name for name in sys.modules if name.startswith("mynets")]:
            del sys.modules[name]
    assert sorted(shipped_files.code) == [
        "mynets/__init__.py",
        "mynets/parts.py",
        "mynets/small.py",
    ]
    assert pack(NetworkSpec(name="resnet20"), None).unpack_files() is None

    place = shipped_files.unpack_files()
    assert place is not None
    assert (place / "code" / "mynets" / "parts.py").read_text() == "WIDTH = 8\n"
    assert shipped_files.unpack_files() == place  # once per process
    assert shipped_files.unpack_code(spec).code_folder == place / "code"
    assert str(place / "code") not in sys.path


def test_weights_of_the_drivers_host_are_read_from_the_nodes_own_copy(tmp_path):
    plan = plan_search(
        SearchRequest(space=default_space(), budget="1trials", settings=["network.name=resnet14"])
    )
    file = tmp_path / "given.safetensors"
    file.write_bytes(b"given")
    context = replace(plan.context, weights=file)

    unpacked = pack(context.spec, file).unpack(context)
    assert unpacked.weights not in {None, file}
    assert Path(unpacked.weights).read_bytes() == b"given"
    assert Path(unpacked.weights).suffix == ".safetensors"  # by which its kind is told


def test_the_code_of_a_task_travels_with_that_of_the_network(tmp_path, monkeypatch):
    ink = Path(__file__).parents[2] / "tasks" / "ink.py"
    (tmp_path / "ink.py").write_text(ink.read_text())
    learns = TaskSpec(name="ink:Ink", own_code=True, code_folder=tmp_path)
    known = read_task_data(make_task(learns)).fingerprint
    files = pack(NetworkSpec(name="resnet14"), learns=learns)
    own_task._made.cache_clear()
    del sys.modules["ink"]
    (tmp_path / "ink.py").unlink()  # as on another node
    try:
        assert list(files.code) == ["ink.py"]
        assert files.unpack_code(NetworkSpec(name="resnet14")).code_folder is None
        assert examples_of(learns, files) == (known, "")
    finally:
        own_task._made.cache_clear()
        sys.modules.pop("ink", None)


def test_a_node_without_the_examples_says_so(tmp_path):
    learns = TaskSpec(name="regression", data=DataSettings(name=f"csv:{tmp_path / 'gone.csv'}"))
    found, told = examples_of(learns, pack(NetworkSpec(name="resnet14"), learns=learns))

    assert found == ""
    assert told.startswith("DataError: ")
    assert "gone.csv" in told
