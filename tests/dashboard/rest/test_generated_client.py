"""The document is good enough for a generator of clients, whose client then steers a server."""

import json
import os
import subprocess
import sys

import pytest
from dashboard.servers import serving
from service.queue.queues import BOB, OWNERS, TRIALS, steered

from autodepth.dashboard.guard import Access
from autodepth.dashboard.rest.application import openapi_document

GENERATOR = "openapi-python-client==0.29.1"  # wants another typer than ours: a place of its own
STEPS = """
import sys
from autodepth_client import AuthenticatedClient
from autodepth_client.api.queue import queue_queue as queue
from autodepth_client.api.queue import queue_queue_search as search
from autodepth_client.api.queue import queue_stop_work as stop_work
from autodepth_client.api.steering import steering_budget as budget
from autodepth_client.api.steering import steering_delete as delete
from autodepth_client.api.steering import steering_pause as pause
from autodepth_client.api.studies import studies_status as status
from autodepth_client.models import BudgetRequest, ErrorAnswer, SearchRequest

client = AuthenticatedClient(base_url=sys.argv[1], token=sys.argv[2])
asked = SearchRequest(study="new", budget="1trials", settings=["seed=3"])
for _ in range(2):
    work = search.sync(client=client, body=asked, idempotency_key="k")
    assert (work.number, work.state) == (1, "waiting"), work
again = search.sync(client=client, body=asked, idempotency_key="other")
assert isinstance(again, ErrorAnswer) and "is queued" in again.error, again
assert [each.state for each in pause.sync("new", client=client)] == ["paused"]
added = BudgetRequest(budget="2cpu-min")
more = budget.sync("digits", client=client, body=added, idempotency_key="m")
assert [each.kind for each in queue.sync(client=client).works] == ["search", "resume"]
assert stop_work.sync(more.number, client=client).state == "stopped"
assert status.sync("digits", client=client).front == 2
assert delete.sync("digits", client=client, confirm="digits").deleted
"""


def run(*words, **environment):
    done = subprocess.run(
        list(map(str, words)), capture_output=True, text=True, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_a_generated_client_steers(make_recorded, tmp_path):
    place = tmp_path / "generator"
    run(sys.executable, "-m", "venv", place)
    python = place / "bin" / "python"
    installing = [python, "-m", "pip", "install", "-q", GENERATOR]
    if subprocess.run(installing, capture_output=True, check=False).returncode:
        pytest.skip(f"{GENERATOR} cannot be installed here")
    document = tmp_path / "openapi.json"
    document.write_text(json.dumps(openapi_document()))
    told = run(
        place / "bin" / "openapi-python-client", "generate", "--path", document,
        "--output-path", tmp_path / "autodepth-client", "--fail-on-warning",
        PATH=f"{place / 'bin'}:{os.environ['PATH']}",
    )  # fmt: skip
    assert "rror" not in told.stdout, told.stdout
    make_recorded("digits", TRIALS)
    with steered(OWNERS) as steering:
        access = Access(host="127.0.0.1", owners=OWNERS, steers=True)
        with serving(access, steering) as port:
            run(
                python, "-c", STEPS, f"http://127.0.0.1:{port}", BOB.token,
                PYTHONPATH=str(tmp_path / "autodepth-client"),
            )  # fmt: skip
        assert [work.state for work in steering.store.works()] == ["paused", "stopped"]
