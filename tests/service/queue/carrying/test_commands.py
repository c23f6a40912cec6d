"""Works are commands that a person would type; a later attempt goes on where the first was."""

import shlex

import pytest
import typer
from service.queue.queues import TRIALS, steered

from autodepth.cli.main import app
from autodepth.service.queue.carrying.commands import (
    Place,
    command_of,
    environment_of,
    shown,
    write_files,
)
from autodepth.service.queue.owners import LOCAL
from autodepth.service.queue.wishes import SearchWish
from autodepth.space.file.shipped import default_space

SPACE = default_space().read_text()
COMMANDS = typer.main.get_command(app).commands


def is_typed_right(words):
    command = COMMANDS[words[0]]
    command.make_context(words[0], list(words[1:]), resilient_parsing=False)


@pytest.fixture
def asked(make_recorded):
    make_recorded("digits", TRIALS)
    with steered() as steering:
        wish = SearchWish(
            study="new", budget="1trials", space_text=SPACE, settings=["seed=3"],
            seed=4, concurrency=1, formats=["onnx"], trust_data=True,
        )  # fmt: skip
        steering.search(LOCAL, wish, "1")
        steering.search(LOCAL, SearchWish(study="other", budget="1h", space="digits_resnet20"), "2")
        steering.more_budget(LOCAL, "digits", "+2cpu-min", "3")
        steering.confirm(LOCAL, "digits", 2, ["all"], "4")
        steering.policy(LOCAL, "digits", {"p_L": 0.5}, "5")
        steering.export(LOCAL, "digits", "out", "--all", ["torch", "onnx"], "6")
        steering.store.change(3, total="360.0cpu-s")
        (steering.scheduler.place.export("out")).mkdir(parents=True)
        steering.register(LOCAL, "out", "name", "7")
        yield steering


def test_every_work_is_a_command_that_can_be_typed(asked):
    place, works = asked.scheduler.place, asked.store.works()
    assert [work.kind for work in works] == [
        "search", "search", "resume", "confirm", "policy", "export", "register",
    ]  # fmt: skip
    for work in works:
        write_files(work, place)
        words = command_of(work, place)
        is_typed_right(words)
        assert shlex.split(shown(work, place))[0] == "autodepth"
    assert "--go-on" not in command_of(works[0], place)
    again = asked.store.change(1, attempt=1)
    assert "--go-on" in command_of(again, place)
    assert "--go-on" not in shown(again, place)
    assert (place.folder(1) / "space.yaml").read_text() == SPACE
    assert "p_L: 0.5" in (place.folder(5) / "policy.yaml").read_text()
    assert "--total=360.0cpu-s" in command_of(works[2], place)
    assert shown(works[2], place).startswith("autodepth resume --budget=2cpu-min")
    for number in (4, 5):
        bounded = command_of(asked.store.change(number, total="9cpu-s"), place)
        is_typed_right(bounded)
        assert "--at-most=9cpu-s" in bounded
    assert "--select=--all" in command_of(works[5], place)  # a value is never an option


def test_a_command_that_is_shown_has_no_path_of_the_servers(asked, monkeypatch):
    place = asked.scheduler.place
    monkeypatch.chdir(place.studies.parent)
    told = [shown(work, place) for work in asked.store.works()]
    assert not [line for line in told if str(place.studies.parent) in line]
    assert told[0].endswith(f" {place.studies.name}/queue/1/space.yaml")
    assert told[1].endswith(" digits_resnet20")


def test_a_cluster_is_told_to_what_drives(asked):
    place = Place.of(
        asked.scheduler.place.studies, ray_address="auto", storage="/shared",
        tracking_uri="http://me:secret@127.0.0.1:5000", notify=("https://hook.example/secret",),
    )  # fmt: skip
    for work in asked.store.works():
        words = command_of(work, place)
        is_typed_right(words)
        assert ("--ray-address=auto" in words) == work.drives
        assert any("hook.example" in word for word in words) == (work.kind in {"search", "resume"})
        assert "secret" not in shown(work, place)
    assert environment_of({"CUDA_VISIBLE_DEVICES": "1"}, place)["AUTODEPTH_HOME"]
