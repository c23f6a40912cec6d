"""What is looked at over REST is what commands print, and whose it is."""

import json

import pytest
from dashboard.servers import serving
from dashboard.test_server import ask
from service.queue.queues import ALICE, BOB, OWNERS, TRIALS, steered

from autodepth.cli.results.front_studies_sync import front, studies
from autodepth.cli.results.status import status
from autodepth.dashboard.guard import Access
from autodepth.service.queue.wishes import SearchWish


@pytest.mark.parametrize("command", ["studies", "front", "status"])
def test_answers_have_what_the_command_prints(make_recorded, capsys, command):
    make_recorded("digits", TRIALS)
    {"front": front, "status": status}.get(command, lambda _, **__: studies(json=True))(
        "digits", json=True
    )
    printed = json.loads(capsys.readouterr().out)
    path = "studies" if command == "studies" else f"studies/digits/{command}"
    with serving(Access(host="127.0.0.1")) as port:
        told = json.loads(ask(port, f"/api/v1/{path}")[1])
    if command == "front":
        assert told == printed
    elif command == "status":
        assert set(printed) <= set(told)
    else:
        assert [line["study"] for line in told] == [line["study"] for line in printed]


def test_a_study_is_listed_with_its_owner(make_recorded):
    with steered(OWNERS) as steering:
        steering.search(ALICE, SearchWish(study="hers", budget="1cpu-min"), "k")
        steering.store.change(1, attempt=1)
        for name in ("hers", "nobodys"):
            make_recorded(name, TRIALS)
        with serving(Access(host="127.0.0.1", owners=OWNERS, steers=True), steering) as port:
            head = {"Authorization": f"Bearer {BOB.token}"}
            told = json.loads(ask(port, "/api/v1/studies", **head)[1])
    assert {line["study"]: line["owner"] for line in told} == {"hers": "alice", "nobodys": None}


def test_branches_are_told_of_some_trials_or_of_all(make_recorded):
    make_recorded("digits", TRIALS)
    with serving(Access(host="127.0.0.1")) as port:
        asked = {}
        for trials in ([1], None):
            body = json.dumps({"trials": trials})
            response, text = ask(
                port, "/api/v1/studies/digits/branches", "POST", body,
                Content_Type="application/json",
            )  # fmt: skip
            assert response.status == 200
            asked[str(trials)] = json.loads(text)["trials"]
    assert asked == {"[1]": 1, "None": 2}
