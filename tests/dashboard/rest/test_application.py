"""The application: its document, its errors, and who is told what it does."""

import json

import pytest
from dashboard.servers import serving
from dashboard.test_server import ask
from service.queue.queues import BOB, OWNERS, READER, TRIALS, steered

from autodepth.dashboard.guard import Access
from autodepth.dashboard.rest.application import openapi_document


def test_every_route_of_the_document_has_a_summary_an_answer_and_a_name_of_its_own():
    document = openapi_document()
    names = set()
    for path, methods in document["paths"].items():
        assert path.startswith("/api/v1/")
        for method, operation in methods.items():
            assert operation["summary"], path
            assert operation["tags"], path
            names.add(operation["operationId"])
            good = [status for status in operation["responses"] if status.startswith("2")]
            assert good, (method, path)
            assert "4XX" in operation["responses"], (method, path)
    assert len(names) == sum(map(len, document["paths"].values()))


def test_a_server_gives_its_document_and_a_page_that_runs_and_fetches_nothing(make_recorded):
    make_recorded("digits", TRIALS)
    with steered(OWNERS) as steering:
        access = Access(host="127.0.0.1", owners=OWNERS, steers=True)
        with serving(access, steering) as port:
            head = {"Authorization": f"Bearer {BOB.token}"}
            response, text = ask(port, "/api/v1/openapi.json", **head)
            assert (response.status, json.loads(text)) == (200, openapi_document())
            response, page = ask(port, "/api/v1/docs", **head)
            assert (response.status, response.headers["Content-Type"][:9]) == (200, "text/html")
            assert "POST /api/v1/queue" in page
            for word in ("<script", "src=", "http:", "https:", "@import", "onload"):
                assert word not in page
            for owner, role in ((BOB, "steer"), (READER, "read")):
                _, text = ask(port, "/api/v1/about", Authorization=f"Bearer {owner.token}")
                told = json.loads(text)
                assert (told["name"], told["role"], told["steers"]) == (owner.name, role, True)


def test_the_dashboard_steers_nothing(make_recorded):
    make_recorded("digits", TRIALS)
    with serving(Access(host="127.0.0.1")) as port:
        told = json.loads(ask(port, "/api/v1/about")[1])
        assert (told["role"], told["steers"]) == ("read", False)
        paths = json.loads(ask(port, "/api/v1/openapi.json")[1])["paths"]
        changing = {path for path, methods in paths.items() if set(methods) - {"get"}}
        assert changing == {"/api/v1/studies/{name}/branches"}
        head = {"Content_Type": "application/json", "Idempotency_Key": "k"}
        for method, path in (
            ("POST", "queue"),
            ("POST", "studies/digits/stop"),
            ("DELETE", "studies/digits"),
        ):
            response, _ = ask(port, f"/api/v1/{path}", method, "{}", **head)
            assert response.status in {404, 405}, path


@pytest.mark.parametrize("root", ["", "/autodepth", "/a/b"])
@pytest.mark.parametrize("stripped", [True, False])
def test_a_proxy_may_show_it_below_a_path(make_recorded, root, stripped):
    make_recorded("digits", TRIALS)
    access = Access(
        host="127.0.0.1", token="correct horse battery staple", root_path=root,
        name="depth.example",
    )  # fmt: skip
    prefix = "" if stripped else root
    head = {"Host": "depth.example", "Origin": "https://depth.example"}
    with serving(access) as port:
        page, text = ask(port, f"{prefix}/", **head)
        assert (page.status, f'action="{root}/login"' in text) == (401, True)
        body = "token=correct+horse+battery+staple"
        right, _ = ask(port, f"{prefix}/login", "POST", body, **head)
        assert (right.status, right.headers["Location"]) == (303, f"{root}/")
        cookie = right.headers["Set-Cookie"]
        assert f"Path={root}/" in cookie
        head["Cookie"] = cookie.partition(";")[0]
        for path in ("/", "/explorer.js", "/api/v1/studies", "/api/v1/docs"):
            assert ask(port, prefix + path, **head)[0].status == 200, path
        head["Host"] = "evil.example"
        assert ask(port, f"{prefix}/", **head)[0].status == 421
