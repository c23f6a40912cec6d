"""`autodepth mlflow` prints where the charts are, for a person or a script, and may open them."""

import json
import signal
import webbrowser
from contextlib import contextmanager

import pytest
from cli.documents import has_the_keys_of

from autodepth.service.publish import charts
from autodepth.service.publish.charts import Charts

URL = "http://127.0.0.1:5000/#/experiments/7/runs"


@pytest.fixture(autouse=True)
def opened(monkeypatch):
    """What was opened in a browser, and that the end of the server was waited for."""
    happened = []

    @contextmanager
    def shown(study, *, tracking_uri, port):
        yield Charts(study=study, url=URL), lambda: happened.append("ended")

    monkeypatch.setattr(charts, "charts_shown", shown)
    monkeypatch.setattr(webbrowser, "open", happened.append)
    before = signal.getsignal(signal.SIGTERM)
    yield happened
    signal.signal(signal.SIGTERM, before)


def test_the_address_is_printed_and_opened_and_the_server_waited_for(run, opened):
    done = run("mlflow", "digits", "--open")

    assert (done.returncode, done.stdout) == (0, f"{URL}\n")
    assert opened == [URL, "ended"]


def test_a_script_reads_the_address(run, opened):
    told = json.loads(run("mlflow", "digits", "--json").stdout)

    assert told == {"study": "digits", "url": URL}
    assert has_the_keys_of("mlflow", told)
    assert opened == ["ended"]
