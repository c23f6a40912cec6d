"""Training while a receiver of webhooks is there, down, slow and refusing.

A real training (a ResNet-8 on digits, in this process) with a message more to send in every epoch.
Every other epoch the notifier stands still, so epochs are compared with their neighbours in one
training: runs by themselves differ by more than what is looked for. It looks five times a second,
in place of every two seconds, and asks a receiver that does not take a message again after a
second, in place of 5 seconds to 10 minutes. Compared is the CPU time of a training step, of the
thread that trains and of the whole process; time by the clock is told too, but other work on the
machine is in it. Afterwards the receiver is back, and each message must have come once.

    python benchmarks/webhook_away.py --epochs 150      # 10 minutes

Writes benchmarks/results/webhook_away.json and .md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from crash_loop import stages_of_its_own
from mlflow_away import BATCH, RESULTS
from mlflow_away import SETTINGS as TRAINING

from autodepth.records.ledger import Ledger
from autodepth.records.studies import find_study
from autodepth.service.notify import notifier
from autodepth.service.notify.places import read_places
from autodepth.service.search.search import search
from autodepth.study.hooks import TrialReport

if TYPE_CHECKING:
    from autodepth.study.driver.driver import StudyDriver

STEPS = 512 // BATCH  # of an epoch
SLOW_SECONDS = 2.0
HOOK = "AUTODEPTH_HOOK"
CONDITIONS = ("there", "down", "slow", "refusing")
KINDS = ("thread", "process", "wall")
Times = tuple[float, float, float]


class Receiver:
    """A receiver of webhooks on this machine: down, or answering with a status after a while."""

    def __init__(self) -> None:
        self.status, self.delay = 200, 0.0
        self.keys: list[str] = []
        receiver = self

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if (status := receiver.status) == 200:
                    receiver.keys.append(json.loads(body)["key"])
                time.sleep(receiver.delay)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        self._answer = Answer
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.port = self._server.server_port
        self._serve()

    def _serve(self) -> None:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Close the port."""
        self._server.shutdown()
        self._server.server_close()

    def start(self) -> None:
        """Open it again."""
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), self._answer)
        self._serve()


@contextmanager
def being(receiver: Receiver, condition: str) -> Iterator[None]:
    """Have a receiver in some condition while entered."""
    if condition == "down":
        receiver.stop()
    receiver.status = 503 if condition == "refusing" else 200
    receiver.delay = SLOW_SECONDS if condition == "slow" else 0.0
    yield
    receiver.status, receiver.delay = 200, 0.0
    if condition == "down":
        receiver.start()


class Standing:
    """Whether the notifier stands still: it does nothing then."""

    still = False


class InTurns(notifier.Notifier):
    """A notifier that does nothing while it is to stand still."""

    def _note(self, *, final: bool) -> None:
        if final or not Standing.still:
            super()._note(final=final)

    def _send(self) -> None:
        if not Standing.still:
            super()._send()


class Epochs:
    """Notes what a step takes, epoch by epoch; has a message noted in each, and turns the notifier.

    All of it in the thread that trains, between two epochs.
    """

    def __init__(self, driver: StudyDriver) -> None:
        self._driver, self.noted = driver, list[Times]()
        place = read_places([f"env:{HOOK}"])[0]
        self._notices = notifier.Notices(driver.ledger.database, place.key)
        self._before: Times | None = None
        last.append(self)

    def __enter__(self) -> None:
        on_report = self._driver.on_report

        def note(number: int, report: TrialReport) -> bool:
            stop = on_report(number, report)
            if any(epoch.phase == "parent" for epoch in report.epochs):
                self._note(_now())
            return stop

        self._driver.on_report = note  # type: ignore[method-assign]

    def __exit__(self, *_: object) -> None:
        Standing.still = False
        del self._driver.on_report

    def _note(self, now: Times) -> None:
        if self._before is not None:
            taken = (1000 * (b - a) / STEPS for a, b in zip(self._before, now, strict=True))
            self.noted.append((next(taken), next(taken), next(taken)))
        number = len(self.noted)
        message = {"key": f"made-up/{number}", "event": "front", "trials": [], "text": "made up"}
        self._notices.note([{"study": self._driver.folder.name, **message}])
        Standing.still = number % 2 == 1
        self._before = _now()


last: list[Epochs] = []


def _now() -> Times:
    return time.thread_time(), time.process_time(), time.monotonic()


def train(study: str, epochs: int, condition: str, receiver: Receiver) -> list[Times]:
    """Train, the receiver being in some condition; return what a step took, by epoch."""
    stages_of_its_own(study)  # else later studies would find what earlier ones trained
    settings = (*TRAINING, f"train.epochs={epochs}")
    with being(receiver, condition):
        search(
            budget="1trials", study=study, settings=settings, runner="in-process",
            notify=[f"env:{HOOK}"], watch=Epochs,
        )  # fmt: skip
    return last[-1].noted


def ratios(epochs: list[Times]) -> dict[str, dict[str, float]]:
    """Return what a step takes where the notifier works, in units of the epochs beside it.

    The notifier works in every epoch of even number; the first two warm up.
    """
    told = {}
    for place, kind in enumerate(KINDS):
        found = sorted(
            2 * epochs[n][place] / (epochs[n - 1][place] + epochs[n + 1][place])
            for n in range(4, len(epochs) - 1, 2)
        )
        draw = random.Random(0)
        medians = sorted(statistics.median(draw.choices(found, k=len(found))) for _ in range(2000))
        told[kind] = {
            "median": statistics.median(found), "low": medians[49], "high": medians[1949],
            "ms": statistics.median(epoch[place] for epoch in epochs),
        }  # fmt: skip
    return told


def delivered(study: str, receiver: Receiver) -> dict[str, int]:
    """Have the next driver tell what is left, and count messages: noted, come, come twice."""
    folder, places = find_study(study), read_places([f"env:{HOOK}"])
    with Ledger.open(folder.ledger_path) as ledger:
        token = ledger.begin_driving()
        with notifier.telling(folder, places, token=token, taken_up=False):
            pass
        noted = {n.content["key"] for n in notifier.Notices(ledger.database, places[0].key).all()}
    came = Counter(receiver.keys)
    receiver.keys.clear()
    return {
        "messages": len(noted),
        "never": len(noted - came.keys()),
        "twice": sum(count > 1 for count in came.values()),
    }


def measure(epochs: int) -> dict[str, Any]:
    """Train once for each condition."""
    receiver = Receiver()
    os.environ[HOOK] = f"http://127.0.0.1:{receiver.port}/hook"
    told = {}
    for condition in CONDITIONS:
        steps = ratios(train(condition, epochs, condition, receiver))
        told[condition] = {"steps": steps, **delivered(condition, receiver)}
        print(condition, told[condition], flush=True)
    return told


def as_page(measured: dict[str, Any], conditions: dict[str, Any]) -> str:
    """Return the figures as Markdown: medians of ratios, with their 95 % intervals."""
    lines = [
        "What a training step takes while the notifier works, in units of the epochs beside it in "
        f"which it stands still: medians over {conditions['epochs'] // 2 - 3} epochs and their "
        "95 % intervals (bootstrap); see webhook_away.py.",
        "",
        "| receiver | ms of CPU per step | CPU of the thread that trains | CPU of the process | "
        "time by the clock | messages | never came | came twice |",
        "|---" * 8 + "|",
    ]
    for name, row in measured.items():
        cells = [
            f"{step['median']:.3f} ({step['low']:.3f} to {step['high']:.3f})"
            for step in row["steps"].values()
        ]
        counts = [str(row[key]) for key in ("messages", "never", "twice")]
        own = f"{row['steps']['thread']['ms']:.2f}"
        lines.append("| " + " | ".join([name, own, *cells, *counts]) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run and write both files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--to", type=Path, default=RESULTS, help="folder of the results")
    told = parser.parse_args()
    often = dict.fromkeys(("_FIRST_PAUSE_SECONDS", "_LONGEST_PAUSE_SECONDS"), 1.0)
    with (
        tempfile.TemporaryDirectory(prefix="webhook-away-") as home,
        patch.multiple(notifier, Notifier=InTurns, _LOOK_SECONDS=0.2, **often),
    ):
        os.environ["AUTODEPTH_HOME"] = home
        measured = measure(told.epochs)
    conditions = {
        "command": " ".join(["python", *sys.argv]), "epochs": told.epochs,
        "python": platform.python_version(), "torch": version("torch"),
        "processors": len(os.sched_getaffinity(0)), "load": os.getloadavg()[1],
    }  # fmt: skip
    content = {"conditions": conditions, "receivers": measured}
    (told.to / "webhook_away.json").write_text(json.dumps(content, indent=2) + "\n")
    (told.to / "webhook_away.md").write_text(page := as_page(measured, conditions))
    print(page)


if __name__ == "__main__":
    main()
