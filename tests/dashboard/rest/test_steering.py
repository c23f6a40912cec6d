"""Routes by which people steer: what enters the queue is 201 once, and 200 from then on."""

import json
from contextlib import contextmanager

import pytest
from dashboard.servers import serving
from dashboard.test_server import ask
from service.queue.queues import TRIALS, steered

from autodepth.dashboard.guard import Access

HEAD = {"Content_Type": "application/json"}


@contextmanager
def asked(make_recorded):
    make_recorded("digits", TRIALS)
    with steered() as steering, serving(Access(host="127.0.0.1", steers=True), steering) as port:

        def say(method, path, told=None, **head):
            body = None if told is None else json.dumps(told)
            response, text = ask(port, f"/api/v1{path}", method, body, **HEAD, **head)
            return response.status, json.loads(text)

        yield steering, say


def test_every_step_enters_one_work(make_recorded):
    steps = {
        "queue": ("/queue", {"study": "new", "budget": "1trials"}),
        "budget": ("/studies/digits/budget", {"budget": "+1cpu-min"}),
        "confirm": ("/studies/digits/confirm", {}),
        "policies": ("/studies/digits/policies", {"policy": {"p_L": 0.5}}),
        "exports": ("/studies/digits/exports", {"to": "out", "formats": []}),
    }
    with asked(make_recorded) as (_, say):
        for number, (key, (path, told)) in enumerate(steps.items(), start=1):
            for status in (201, 200):
                found, work = say("POST", path, told, Idempotency_Key=key)
                assert (found, work["number"], work["place"]) == (status, number, number - 1)
        assert say("GET", "/queue/2")[1]["study"] == "digits"
        assert [w["number"] for w in say("GET", "/queue?study=digits")[1]["works"]] == [2, 3, 4, 5]
        assert say("POST", "/queue/2/stop")[1]["state"] == "stopped"
        assert say("POST", "/studies/digits/pause")[0] == 409  # none of it is a search
        stopped = say("POST", "/studies/digits/stop")[1]
        assert [(work["number"], work["state"]) for work in stopped] == [
            (3, "stopped"), (4, "stopped"), (5, "stopped"),
        ]  # fmt: skip
        assert say("GET", "/queue?unfinished=true")[1]["works"][0]["number"] == 1
        assert say("DELETE", "/studies/digits?confirm=other")[0] == 400
        assert say("DELETE", "/studies/digits")[0] == 422
        assert say("DELETE", "/studies/digits?confirm=digits") == (
            200, {"study": "digits", "deleted": True},
        )  # fmt: skip


@pytest.mark.parametrize(
    ("told", "mistake"),
    [
        ({"space": "digits_resnet20"}, None),
        ({"space_text": "train: {epoch: 3}"}, "space.yaml:1:9: train.epoch"),
        ({"settings": ["seed=x"]}, "seed"),
        ({"space": "nothing"}, "space must be one of"),
    ],
)
def test_a_space_is_checked_before_it_is_queued(make_recorded, told, mistake):
    with asked(make_recorded) as (_, say):
        status, answer = say("POST", "/spaces/check", told)
        assert status == 200
        assert any(mistake in told for told in answer["mistakes"]) if mistake else True
        assert bool(answer["mistakes"]) == bool(mistake)
        assert "digits_resnet20" in say("GET", "/spaces")[1]


def test_exports_are_listed_with_their_verification(make_recorded):
    with asked(make_recorded) as (steering, say):
        assert say("GET", "/exports")[1] == []
        folder = steering.scheduler.place.export("out")
        folder.mkdir(parents=True)
        (folder / "verification.json").write_text('{"ok": true}')
        told = {"name": "out", "study": None, "bytes": 12, "verification": {"ok": True}}
        assert say("GET", "/exports")[1] == [told]
        assert say("GET", "/exports/out")[1] == told
        assert say("GET", "/exports/nothing")[0] == 404
        # Nobody's: it was not made by this queue.
        assert say("POST", "/exports/out/register", {}, Idempotency_Key="r")[0] == 404


def test_a_log_is_text(make_recorded):
    with asked(make_recorded) as (steering, say):
        say("POST", "/queue", {"study": "new", "budget": "1trials"}, Idempotency_Key="k")
        folder = steering.scheduler.place.folder(1)
        folder.mkdir(parents=True)
        (folder / "log.txt").write_text('"<b>"')
        assert say("GET", "/queue/1/log") == (200, "<b>")
        assert say("GET", "/queue/2/log")[0] == 404
