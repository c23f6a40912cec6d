"""Training while MLflow's server is there, is killed for 60 seconds, and is away for the whole run.

Real trainings (a ResNet-8 on digits, every trial with a parent of its own) tell a real MLflow
server, which is killed with SIGKILL. Compared is the time of a training step, run by run in turns
and, where the server is killed for a while, within one run. Afterwards every epoch of every trial
must be in MLflow exactly once and in order, by the server's own API.

    python benchmarks/mlflow_away.py --seconds 60 --rounds 2

Writes benchmarks/results/mlflow_away.json and .md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autodepth.study.driver.driver import StudyDriver
from autodepth.study.hooks import TrialReport

RESULTS = Path(__file__).parent / "results"
BATCH = 32
SETTINGS = (
    "network.name=resnet8", "data.train_images=512", "data.validation=60", "train.epochs=40",
    f"train.batch_size={BATCH}", "search.p_L=0.8", "search.fine_tune_epochs=0",
    "train.learning_rate={type: float, min: 0.01, max: 0.1}", "start_with=[]",
    "confirmation.share=0", "rungs.stages=[]", "search.origin=parent",
)  # fmt: skip
OUTAGE_SECONDS = 60.0
_START_SECONDS = 180.0


class Server:
    """An MLflow server of its own, over one store and port for all its lives.

    Args:
        folder: takes its files.
        store: a database it keeps runs in; empty for a SQLite file in the folder.
    """

    def __init__(self, folder: Path, store: str = "") -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._folder, self._store = folder, store or f"sqlite:///{folder}/mlflow.db"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--workers", "1",
             "--port", str(self.port), "--backend-store-uri", self._store,
             "--artifacts-destination", str(self._folder / "artifacts")],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        )  # fmt: skip
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{self.uri}/health", timeout=5).close()
                return
            time.sleep(0.2)
        raise RuntimeError("the MLflow server did not start")

    def kill(self) -> None:
        """Kill all of it, with no word to anybody."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


class Steps:
    """Notes when epochs of parents were told, and how long a step of theirs took."""

    def __init__(self, driver: StudyDriver) -> None:
        self._driver, self.noted = driver, []
        last.append(self)

    def __enter__(self) -> None:
        on_report = self._driver.on_report

        def note(number: int, report: TrialReport) -> bool:
            stop = on_report(number, report)
            for epoch in report.epochs:
                if epoch.phase == "parent" and not epoch.replayed:
                    self.noted.append((time.monotonic(), BATCH / epoch.images_per_second))
            return stop

        self._driver.on_report = note  # type: ignore[method-assign]

    def __exit__(self, *_: object) -> None:
        del self._driver.on_report


last: list[Steps] = []


def train(study: str, seconds: float, uri: str) -> list[tuple[float, float]]:
    """Search for so many seconds; return (when, step time) of every epoch of a parent."""
    from autodepth.service.search.search import search  # noqa: PLC0415

    search(
        budget=f"{seconds:g}s", study=study, settings=SETTINGS, runner="in-process",
        tracking_uri=uri, watch=Steps,
    )  # fmt: skip
    return last[-1].noted[1:]  # the first warms up


@contextlib.contextmanager
def killed_in_between(server: Server, after: float) -> Iterator[list[float]]:
    """Kill a server after so many seconds, and start it again when the outage is over."""
    times: list[float] = []

    def outage() -> None:
        time.sleep(after)
        server.kill()
        times.append(time.monotonic())
        time.sleep(OUTAGE_SECONDS)
        times.append(time.monotonic())
        server.start()

    thread = threading.Thread(target=outage)
    thread.start()
    yield times
    thread.join()


def arrived(study: str, uri: str) -> dict[str, int]:
    """Count what the server has of a study beside what the ledger has."""
    from mlflow.tracking import MlflowClient  # noqa: PLC0415

    from autodepth.records.ledger import Ledger  # noqa: PLC0415
    from autodepth.records.studies import find_study  # noqa: PLC0415

    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(study).experiment_id
    runs = list(client.search_runs([experiment], max_results=50_000))
    names = [run.info.run_name for run in runs]
    by_name = {run.info.run_name: run.info.run_id for run in runs}
    told = dict.fromkeys(("trials", "epochs", "missing", "twice", "out of order"), 0)
    told["twice"] += len(names) - len(set(names))
    with Ledger.open(find_study(study).ledger_path, read_only=True) as ledger:
        for record in ledger.trials():
            wanted = [epoch.step for epoch in ledger.epochs(record.number)]
            run = by_name.get(f"trial-{record.number}")
            history = [] if run is None else client.get_metric_history(run, "val/accuracy")
            steps = [metric.step for metric in history]
            told["trials"] += 1
            told["epochs"] += len(wanted)
            told["missing"] += len(set(wanted) - set(steps)) + (run is None)
            told["twice"] += len(steps) - len(set(steps))
            told["out of order"] += steps != sorted(steps)
    return told


def measure(seconds: float, rounds: int) -> dict[str, Any]:
    """Carry out all runs in turns."""
    from autodepth.records.mlflow.sync import sync_study  # noqa: PLC0415
    from autodepth.records.studies import find_study  # noqa: PLC0415

    steps: dict[str, list[float]] = {"there": [], "away": [], "before": [], "killed": []}
    after: dict[str, dict[str, int]] = {}
    with tempfile.TemporaryDirectory(prefix="mlflow-away-") as folder:
        os.environ["AUTODEPTH_HOME"] = str(Path(folder) / "studies")
        server = Server(Path(folder))
        try:
            for turn in range(rounds):
                server.start()
                steps["there"] += [s for _, s in train(f"there-{turn}", seconds, server.uri)]
                after[f"there-{turn}"] = arrived(f"there-{turn}", server.uri)
                server.kill()
                steps["away"] += [s for _, s in train(f"away-{turn}", seconds, server.uri)]
            server.start()
            for turn in range(rounds):
                sync_study(find_study(f"away-{turn}"), server.uri)
                after[f"away-{turn}"] = arrived(f"away-{turn}", server.uri)
            with killed_in_between(server, seconds / 2) as outage:
                whole = seconds + OUTAGE_SECONDS + 30  # after which a sender tries again at last
                noted = train("killed", whole, server.uri)
            after["killed"] = arrived("killed", server.uri)
            down, up = outage
            steps["killed"] = [step for when, step in noted if down <= when <= up]
            steps["before"] = [step for when, step in noted if not down <= when <= up]
        finally:
            server.kill()
    return {"step_seconds": {name: _summary(times) for name, times in steps.items()},
            "arrived": after}  # fmt: skip


def _summary(times: list[float]) -> dict[str, float]:
    ordered = sorted(times)
    return {
        "epochs": len(times),
        "median_ms": 1e3 * statistics.median(times),
        "p90_ms": 1e3 * ordered[int(0.9 * (len(ordered) - 1))],
    }


def main() -> None:
    """Measure, and write it down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--note", default="", help="what else the machine did")
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    told = measure(arguments.seconds, arguments.rounds)
    told |= {
        "command": f"mlflow_away.py --seconds {arguments.seconds:g} --rounds {arguments.rounds}",
        "note": arguments.note, "cpus": os.cpu_count(), "python": platform.python_version(),
        **{name: version(name) for name in ("mlflow", "torch")},
    }  # fmt: skip
    (RESULTS / "mlflow_away.json").write_text(json.dumps(told, indent=2, sort_keys=True) + "\n")
    lines = _lines(told)
    (RESULTS / "mlflow_away.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def _lines(told: dict[str, Any]) -> list[str]:
    steps = told["step_seconds"]
    lines = [
        f"MLflow's server killed for 60 s and for whole runs; `{told['command']}`, {told['cpus']} "
        f"CPUs, MLflow {told['mlflow']}, torch {told['torch']}. {told['note']}".strip(),
        "",
        "| training step | epochs | median | 90 % | median beside the server there |",
        "|---|---|---|---|---|",
    ]
    for name, title, beside in (
        ("there", "server there, whole runs", "there"),
        ("away", "server away, whole runs", "there"),
        ("before", "one run, server there", "before"), ("killed", "same run, its 60 s", "before"),
    ):  # fmt: skip
        row, base = steps[name], steps[beside]["median_ms"]
        lines.append(
            f"| {title} | {row['epochs']} | {row['median_ms']:.2f} ms | {row['p90_ms']:.2f} ms | "
            f"{row['median_ms'] / base:.3f} |"
        )
    lines += ["", "| study | trials | epochs | missing | twice | out of order |", "|---" * 6 + "|"]
    for study, row in sorted(told["arrived"].items()):
        lines.append(f"| {study} | " + " | ".join(str(value) for value in row.values()) + " |")
    return lines


if __name__ == "__main__":
    main()
