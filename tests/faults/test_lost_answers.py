"""Answers of MLflow get lost, or its database restarts: everything is there exactly once."""

import http.client
import itertools
import logging
import math
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections import Counter, defaultdict
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from crash_loop import SETTINGS
from mlflow_away import Server

from autodepth.policy.policy import in_full
from autodepth.records.fsck import broken_invariants
from autodepth.records.ledger import Ledger
from autodepth.records.mlflow import payload as projection
from autodepth.records.mlflow import sync as tracker
from autodepth.records.mlflow.sync import Tracker, sync_study
from autodepth.records.studies import find_study
from autodepth.service.search.search import search
from autodepth.trial.result import TrialState

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
EPOCHS = 3
# Which answers get lost, again and again for each thing that is asked for: MLflow's own client asks
# again once, so it finds one lost answer out by itself and gives up over two.
LOST = (True, False, True, True, False, False)


class Proxy(ThreadingHTTPServer):
    """Forwards to a real server, waits until it has answered, and then loses answers to writes."""

    daemon_threads = True

    def __init__(self, uri):
        super().__init__(("127.0.0.1", 0), _Forward)
        self.behind = urlsplit(uri).netloc
        self.loses = defaultdict(lambda: itertools.cycle(LOST))
        self.how = itertools.cycle(("500", "cut"))
        self.lost = Counter()
        self.uri = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Forward(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def forward(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        ours = {"host", "connection", "accept-encoding"}
        kept = {name: v for name, v in self.headers.items() if name.lower() not in ours}
        behind = http.client.HTTPConnection(self.server.behind, timeout=120)
        behind.request(self.command, self.path, body=body, headers=kept)
        answer = behind.getresponse()
        content = answer.read()  # whatever was asked for has been done
        behind.close()
        name = "artifact" if "artifacts" in self.path else urlsplit(self.path).path.split("/")[-1]
        writes = self.command != "GET" and name != "search"
        if writes and answer.status == 200 and next(self.server.loses[name]):
            self.server.lost[name] += 1
            if next(self.server.how) == "cut":
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            self.answer(500, b'{"error_code": "INTERNAL_ERROR", "message": "lost"}')
            return
        self.answer(answer.status, content)

    def answer(self, status, content):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = forward  # noqa: N815

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path):
    """A real MLflow server."""
    server = Server(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def proxy(server, monkeypatch):
    monkeypatch.setattr(tracker, "_RETRY_SECONDS", 0.1)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    with Proxy(server.uri) as proxy:
        yield proxy
        proxy.shutdown()


@pytest.fixture
def add_trials(recorded_result):
    """Return what lets trials run and end: each better than the last, but every fourth fails."""

    def add(folder, count):
        with Ledger.open(folder.ledger_path) as ledger:
            like = ledger.epochs(0)[0]
            for number in range(len(ledger.trials()), len(ledger.trials()) + count):
                ledger.start_trial("search", {}, {"p_L": 0.5, "train": {"epochs": EPOCHS}})
                for step in range(1, EPOCHS + 1):
                    epoch = replace(like, step=step, validation_accuracy=0.1 * step)
                    ledger.record([(number, epoch)])
                if number % 4 == 3:
                    ledger.end_trial(number, TrialState.FAILED, "ran out", 1.0)
                    continue
                result = recorded_result(0.8 + 0.01 * number, 20_000_000 - number)
                ledger.complete_trial(number, result, 2.0)

    return add


def told(client, run):
    """Return every value that MLflow has of a run, as often as it has it."""
    return Counter(
        (key, metric.step, metric.timestamp, metric.value)
        for key in run.data.metrics
        for metric in client.get_metric_history(run.info.run_id, key)
    )


def check_everything_is_there_once(folder, uri):
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(folder.name)
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    by_name = {run.info.run_name: run for run in runs}
    with Ledger.open(folder.ledger_path, read_only=True) as ledger:
        records = ledger.trials()
        front = {member.trial for member in ledger.front()}
        names = Counter([folder.name, *(f"trial-{record.number}" for record in records)])
        assert Counter(run.info.run_name for run in runs) == names
        for record in records:
            run, epochs = by_name[f"trial-{record.number}"], ledger.epochs(record.number)
            values = [
                *projection.epoch_measurements(record, epochs),
                *projection.final_measurements(record, on_front=record.number in front),
            ]
            wanted = {(v.key, v.step, v.timestamp, v.value) for v in values}
            found = told(client, run)
            assert wanted <= found.keys(), run.info.run_name
            assert {key for key, *_ in found.keys() - wanted} <= {"on_front"}  # it was once
            assert set(found.values()) == {1}
            assert run.data.params == projection.params(in_full(record.policy))
            assert run.info.status == projection.RUN_STATUS[record.state]
            assert run.data.tags["autodepth.state"] == record.state.value
            assert len(run.inputs.dataset_inputs) == 1
        study = by_name[folder.name]
        volume = client.get_metric_history(study.info.run_id, "hypervolume")
        complete = sum(record.result is not None for record in records)
        assert [metric.step for metric in volume] == list(range(1, complete + 1))
        assert not any(math.isnan(metric.value) for metric in volume)
        assert study.info.status == "FINISHED"


def test_whatever_answer_is_lost_everything_is_in_mlflow_exactly_once(
    proxy, server, make_recorded, add_trials, observed
):
    """Row 8: the server has done it, and answers 500 or not at all."""
    folder = make_recorded("doubtful", [(0.7, 30_000_000, 3.0)], ended=None)
    sender = Tracker(folder, tracking_uri=proxy.uri)
    for _ in range(4):
        add_trials(folder, 3)
    with Ledger.open(folder.ledger_path) as ledger:
        ended = time.monotonic()
        ledger.end_study("the budget was spent")
    while sender.unsent_events():
        assert sender._thread.is_alive()
        time.sleep(0.2)
    observed("MLflow's answers are lost", "until it has every trial", time.monotonic() - ended)
    unsent = sender.close(timeout=300)
    lost, proxy.loses = dict(proxy.lost), defaultdict(lambda: itertools.repeat(False))
    sent = sync_study(folder, proxy.uri)  # once more, all of it

    assert unsent == 0
    assert sent == 13
    assert lost["create"] >= 5  # of the experiment and of runs, once and twice in a row
    assert min(lost[name] for name in ("log-batch", "update", "log-inputs")) >= 3
    check_everything_is_there_once(folder, server.uri)


POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))  # where Debian's package has it


class Postgres:
    """A PostgreSQL of its own, on one port of the loopback address for all its lives."""

    def __init__(self, folder):
        self.data, self.log = folder / "data", folder / "log"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.user = {"user": "postgres"} if os.geteuid() == 0 else {}  # it refuses to run as root
        self._run("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-N")
        self.control("start")
        self._run("createdb", "-h", "127.0.0.1", "-p", self.port, "-U", "postgres", "mlflow")
        self.store = f"postgresql+psycopg2://postgres@127.0.0.1:{self.port}/mlflow"

    def control(self, what, how="fast"):
        """Start, stop or restart it; wait until that is done."""
        options = f"-c listen_addresses=127.0.0.1 -c unix_socket_directories= -p {self.port}"
        mode = [] if what == "start" else ["-m", how]
        self._run("pg_ctl", what, "-w", "-D", self.data, "-l", self.log, "-o", options, *mode)

    def _run(self, name, *arguments):
        command = [POSTGRES[-1] / name, *map(str, arguments)]
        subprocess.run(
            command, check=True, timeout=120, stdout=subprocess.DEVNULL, cwd="/", **self.user
        )


@pytest.fixture
def postgres():
    if not POSTGRES:
        pytest.skip("no PostgreSQL here (Debian: apt-get install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="adp"))  # not pytest's own: others may not enter it
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    postgres = Postgres(folder)
    yield postgres
    postgres.control("stop", "immediate")
    shutil.rmtree(folder)


@pytest.fixture
def server_on_postgres(postgres, tmp_path):
    server = Server(tmp_path, postgres.store)
    try:
        server.start()
        yield server
    finally:
        server.kill()


class Restarts(logging.Handler):
    """Lets PostgreSQL crash, be away until that is noticed, and restart: after one trial each.

    Args:
        postgres: what MLflow keeps runs in.
        driver: of the study.
    """

    def __init__(self, postgres, driver):
        super().__init__(logging.WARNING)
        self.postgres, self.driver = postgres, driver
        self.noticed, self.last = threading.Event(), 0.0
        self.acts = iter((self.crash, self.be_away, self.restart))

    def crash(self):
        self.postgres.control("restart", "immediate")

    def be_away(self):
        self.postgres.control("stop")
        assert self.noticed.wait(120)

    def restart(self):
        self.postgres.control("start")
        self.postgres.control("restart")
        self.last = time.monotonic()

    def emit(self, record):
        if "does not take the trials" in record.getMessage():
            self.noticed.set()  # of a row of failures the first alone is told
        elif "takes the trials again" in record.getMessage():
            self.noticed.clear()

    def __enter__(self):
        on_end = self.driver.on_end

        def then_act(number, outcome=None):
            on_end(number, outcome)
            next(self.acts, lambda: None)()

        self.driver.on_end = then_act
        logging.getLogger(tracker.__name__).addHandler(self)

    def __exit__(self, *_):
        del self.driver.on_end
        logging.getLogger(tracker.__name__).removeHandler(self)


def test_postgresql_that_restarts_under_mlflow_holds_nothing_up_and_has_everything_once(
    postgres, server_on_postgres, monkeypatch, observed
):
    """Row 27: it crashes, is away for a trial, and is restarted, and the study goes on."""
    monkeypatch.setattr(tracker, "_RETRY_SECONDS", 0.1)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    uri, watched = server_on_postgres.uri, []

    def watch(driver):
        watched.append(Restarts(postgres, driver))
        return watched[0]

    result = search(
        budget="6trials", study="restarted", settings=SETTINGS, runner="in-process",
        tracking_uri=uri, watch=watch,
    )  # fmt: skip
    seconds = time.monotonic() - watched[0].last
    observed(
        "PostgreSQL under MLflow crashes, is away, restarts",
        "until MLflow has every trial",
        seconds,
    )
    folder = find_study("restarted")

    assert (result.complete, result.unsent) == (6, 0)
    assert watched[0].last > 0
    check_everything_is_there_once(folder, uri)
    sync_study(folder, uri)  # once more, all of it
    check_everything_is_there_once(folder, uri)
    assert broken_invariants(folder) == []
