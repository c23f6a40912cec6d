"""A search on Ray tells its figures where it was asked to, and listens on this machine alone."""

import ipaddress
import re
import socket
import threading
import time
import urllib.request

import psutil
import pytest

from autodepth.records.ledger import Ledger
from autodepth.records.studies import find_study
from autodepth.service.search.search import search
from autodepth.study.plan import metric_names

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]
SMALL = (
    "network.name=resnet8",
    "data.train_images=96",
    "data.validation=60",
    "train.epochs=2",
    "search.fine_tune_epochs=0",
)
LINE = re.compile(r"ray_(autodepth_\w+)\{.*?(?:,state=\"(\w+)\")?,study=\"(\w+)\"\} (\S+)")


class Watch:
    """Asks for the metrics, and notes who listens where, while a search runs."""

    def __init__(self, driver, port):
        self.driver, self.port = driver, port
        self.told, self.listens = {}, set()
        self.thread = threading.Thread(target=self.look, daemon=True)
        self.over = threading.Event()

    def look(self):
        while not self.over.wait(0.5):
            for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
                try:
                    found = process.net_connections("tcp")
                except psutil.Error:
                    continue
                here = {each.laddr.ip for each in found if each.status == psutil.CONN_LISTEN}
                self.listens |= {address.removeprefix("::ffff:") for address in here}
            self.ask()

    def ask(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as got:
                text = got.read().decode()
        except OSError:
            return
        for name, state, study, value in LINE.findall(text):
            assert study == "told"
            self.told[name, state] = float(value)
        if self.told.get(("autodepth_hypervolume", ""), 0) > 0:  # 0 while only the control is there
            self.driver.interrupt()

    def __enter__(self):
        self.thread.start()

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


@pytest.mark.long
def test_a_search_tells_its_figures_on_the_loopback_address_alone(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv(metric_names.PORT_VARIABLE, str(port))
    monkeypatch.setenv("RAY_metrics_report_interval_ms", "1000")  # else Ray takes values every 10 s
    monkeypatch.setattr(metric_names, "INTERVAL_SECONDS", 1.0)
    watches = []

    def watch(driver):
        watches.append(Watch(driver, port))
        return watches[0]

    begun = time.monotonic()
    result = search(budget="3min", study="told", settings=SMALL, concurrency=2, watch=watch)
    told = watches[0].told

    assert {name for name, _ in told} == set(metric_names.METRICS)
    assert result.outcome == "interrupted", f"nothing was told in {time.monotonic() - begun:.0f} s"
    assert 1 <= told["autodepth_trials", "complete"] <= result.complete
    assert told["autodepth_trials", "failed"] == 0
    assert 0 < told["autodepth_hypervolume", ""] <= result.hypervolume + 1e-9
    with Ledger.open(find_study("told").ledger_path, read_only=True) as ledger:
        accuracies = {t.result.point.validation_accuracy for t in ledger.trials() if t.result}
        assert told["autodepth_best_accuracy", ""] in accuracies
        assert 0 < told["autodepth_device_seconds", ""] <= ledger.spent()
    assert told["autodepth_budget_device_seconds", ""] == pytest.approx(180 * 2)
    assert 0 < told["autodepth_budget_share", ""] < 1
    assert 0 < told["autodepth_useful_share", ""] <= 1
    assert watches[0].listens
    assert all(ipaddress.ip_address(address).is_loopback for address in watches[0].listens)
