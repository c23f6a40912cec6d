"""Sixteen people at the first click are told what one is told."""

from __future__ import annotations

import http.client
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from dashboard.servers import serving, start
from fastapi import FastAPI

from autodepth.dashboard import studies
from autodepth.dashboard.explorer import explorer
from autodepth.dashboard.guard import Access
from autodepth.networks.catalogue import NetworkSpec, build_network

PEOPLE = 16
TRIALS = ((0.9, 40_000_000, 40.0), (0.8, 10_000_000, 30.0), (0.7, 20_000_000, 20.0))
ROUTES = {
    "/api/v1/studies": "/api/v1/studies",
    "/api/v1/studies/{name}/trials": "/api/v1/studies/digits/trials",
    "/api/v1/studies/{name}/front": "/api/v1/studies/digits/front",
    "/api/v1/studies/{name}/front/columns": "/api/v1/studies/digits/front/columns",
    "/api/v1/studies/{name}/controls": "/api/v1/studies/digits/controls",
    "/api/v1/studies/{name}/status": "/api/v1/studies/digits/status",
    "/api/v1/studies/{name}/branches": "/api/v1/studies/digits/branches",
    "/api/v1/studies/{name}/trials/{number}": "/api/v1/studies/digits/trials/1",
    "/api/v1/studies/{name}/trials/{number}/blocks": "/api/v1/studies/digits/trials/1/blocks",
    "/api/v1/studies/{name}/importance": "/api/v1/studies/digits/importance",
    "/api/v1/hypervolume": "/api/v1/hypervolume?study=digits&study=other",
    "/api/v1/events": "/api/v1/events?study=digits",
    "/api/v1/about": "/api/v1/about",
    "/api/v1/docs": "/api/v1/docs",
    "/api/v1/openapi.json": "/api/v1/openapi.json",
    "/plotly.js": "/plotly.js",
    "/": "/",
}
OF_THE_MOMENT = {"now", "instance", "ends_at"}


def ask(port, path):
    """Return the status and the content, of a stream its first event, without what time changes."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=100)
    method = "POST" if path.endswith("/branches") else "GET"
    connection.request(method, path)
    answer = connection.getresponse()
    if "events" in path:
        content = answer.readline() + answer.readline().partition(b'"now"')[0]
    else:
        content = answer.read()
    connection.close()
    if answer.headers["Content-Type"] != "application/json":
        return answer.status, content
    told = json.loads(content)
    if isinstance(told, dict):
        told = {key: value for key, value in told.items() if key not in OF_THE_MOMENT}
    return answer.status, told


@pytest.fixture
def two_studies(make_recorded):
    make_recorded("digits", TRIALS)
    make_recorded("other", TRIALS)


def routes_of(app, below=""):
    """Return the paths of an application, those of its routers too, as they are asked for."""
    found = []
    for route in app.routes:
        inner = getattr(route, "original_router", None)
        if inner is not None:
            found += routes_of(inner, below + route.include_context.prefix)
        else:
            found.append(below + getattr(route, "path", "") or "/")
    return found


def test_every_route_is_among_those_that_are_tried():
    app = explorer(Access(host="127.0.0.1"), lambda: True)._app
    assert isinstance(app, FastAPI)
    assert set(routes_of(app)) == set(ROUTES)


@pytest.mark.slow
@pytest.mark.usefixtures("two_studies")
def test_sixteen_at_once_right_after_a_start_are_told_what_one_is_told():
    studies._branches.cache_clear()
    with serving(Access(host="127.0.0.1")) as port:
        alone = {path: ask(port, path) for path in ROUTES.values()}
    server = start("--port", "0", "--json")
    try:
        port = int(json.loads(server.stdout.readline())["address"].rpartition(":")[2])
        wanted = [path for path in alone for _ in range(PEOPLE)]
        wanted.sort(key=lambda path: "blocks" not in path)  # the first click is on a point
        with ThreadPoolExecutor(PEOPLE) as people:
            told = list(people.map(lambda path: ask(port, path), wanted))
    finally:
        server.kill()
        server.communicate()

    blocks = alone[ROUTES["/api/v1/studies/{name}/trials/{number}/blocks"]][1]["blocks"]
    assert blocks
    assert None not in [block["macs"] for block in blocks]
    for path, answer in zip(wanted, told, strict=True):
        assert answer == alone[path], path


@pytest.mark.usefixtures("two_studies")
def test_a_network_that_could_not_be_built_once_is_built_at_the_next_click(monkeypatch):
    studies._branches.cache_clear()
    known, found = studies.known_branches, studies.Studies()

    def fail(spec):
        raise studies.NetworkError("no memory just now")

    look = found.view("digits").look()
    monkeypatch.setattr(studies, "known_branches", fail)
    assert found.branches(look) == ()
    monkeypatch.setattr(studies, "known_branches", known)
    assert len(found.branches(look)) == 9


def test_networks_built_in_threads_are_those_built_one_after_the_other():
    spec = NetworkSpec(name="resnet20")
    images = torch.ones(1, 3, 32, 32)
    alone = [build_network(spec, seed=seed).module.state_dict() for seed in range(4)]
    running = build_network(spec).module.eval()
    expected, computed, over = running(images), [], threading.Event()

    def run():
        while not over.is_set():
            computed.append(running(images))  # as an export that is being evaluated

    beside = threading.Thread(target=run)
    beside.start()
    with ThreadPoolExecutor(4) as threads:
        built = threads.map(lambda seed: build_network(spec, seed=seed), range(4))
        states = [network.module.state_dict() for network in built]
    over.set()
    beside.join()

    assert computed
    assert all(torch.equal(each, expected) for each in computed)
    for state, other in zip(states, alone, strict=True):
        assert all(torch.equal(state[name], other[name]) for name in other)
