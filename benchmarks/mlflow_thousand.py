"""A study of 1,000 trials in MLflow's own pages: does the ready-made view stay usable?

Two studies of made-up trials, a small and a large one, are sent to one real MLflow server and
opened in Chromium in turn: the shared view with its three charts, the table of the front, and the
page that compares runs chosen by hand. Told are what each shows, the memory of the page, and the
time of a look, as wall and as CPU seconds of server and browser together.

    python benchmarks/mlflow_thousand.py --trials 1000        # about 10 minutes; needs chromium
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
from mlflow.tracking import MlflowClient
from playwright.sync_api import Browser, Page, sync_playwright
from scale import RESULTS, measure

from autodepth.records.mlflow.sync import sync_study
from autodepth.records.mlflow.views import view_link
from autodepth.records.studies import StudyFolder
from autodepth.report.study_files import write_study_files

SMALL, LOOKS, WAIT_MS = 50, 3, 600_000
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking")
CHARTS = "[...document.querySelectorAll('.js-plotly-plot')].filter(g => g.data)"
DRAWN = f"{CHARTS}.map(g => [g.data.at(-1).type, (g.data.at(-1).x ?? []).length])"
LINES = "document.querySelectorAll('.parcoords svg, .parcoords canvas').length"


@contextmanager
def mlflow_server(home: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Run MLflow's server over a SQLite file; give its address and process."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{home}/mlflow.db"]
    command += ["--artifacts-destination", str(home / "artifacts")]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (home / "server.log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{address}/health", timeout=10).close()
                break
            except OSError:
                time.sleep(1)
        yield address, psutil.Process(process.pid)
    finally:
        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()
        process.kill()
        process.wait()


def look(
    browser: Browser, server: psutil.Process, address: str, ready: Callable[[Page], Any]
) -> dict[str, Any]:
    """Open an address in a fresh profile, wait until it is ready, and tell what that took."""
    context = browser.new_context(viewport={"width": 1600, "height": 2000})
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    answers: list[int] = []
    page.on("requestfinished", lambda _: answers.append(1))
    watched = [server, *server.children(recursive=True)]
    watched += psutil.Process().children(recursive=True)
    watched = list({process.pid: process for process in watched}.values())
    before, start = _cpu(watched), time.monotonic()
    page.goto(address, wait_until="commit")
    shown = ready(page)
    wall, cpu = time.monotonic() - start, _cpu(watched) - before
    memory = context.new_cdp_session(page)
    memory.send("HeapProfiler.collectGarbage")
    heap = memory.send("Runtime.getHeapUsage")["usedSize"] / 1e6
    context.close()
    return {"wall_s": wall, "cpu_s": cpu, "heap_mb": heap, "requests": len(answers), "shows": shown}


def _cpu(processes: list[psutil.Process]) -> float:
    total = 0.0
    for process in processes:
        try:
            total += sum(process.cpu_times()[:2])
        except psutil.Error:
            continue
    return total


def three_charts(page: Page) -> str:
    """Wait for the ready-made view: scatter, parallel coordinates, contour."""
    page.wait_for_selector(".js-plotly-plot .main-svg")
    page.get_by_text("Parallel Coordinates").first.wait_for()
    page.wait_for_selector(".parcoords")
    while page.evaluate(f"{CHARTS}.length") < 2:
        page.wait_for_timeout(100)
    drawn = page.evaluate(DRAWN)
    points = max(count for _, count in drawn)
    return f"{points} points, {page.evaluate(LINES) and 'lines,'} {len(drawn)} plotly charts"


def compared(page: Page) -> str:
    """Wait for the page that compares; tell how many runs."""
    page.wait_for_selector(".js-plotly-plot .main-svg")
    return page.get_by_text("Comparing").first.inner_text()


def table(page: Page) -> str:
    """Wait for the table of the front's runs."""
    page.wait_for_selector("[role=row] a[href*='/runs/']")
    return page.get_by_text("matching runs").inner_text().replace("\n", " ")


def addresses(client: MlflowClient, uri: str, study: str) -> dict[str, tuple[str, Any]]:
    """Return what is opened, by name."""
    experiment = client.get_experiment_by_name(study).experiment_id
    front = client.search_runs([experiment], "metrics.on_front = 1", max_results=10)
    runs = quote(json.dumps([run.info.run_id for run in front]))
    filtered = quote("metrics.on_front = 1")
    return {
        "ready-made charts": (f"{uri}/{view_link(experiment)}", three_charts),
        "table of the front": (
            f"{uri}/#/experiments/{experiment}/runs?compareRunsMode=TABLE&searchFilter={filtered}",
            table,
        ),
        f"{len(front)} runs compared": (
            f"{uri}/#/compare-runs?runs={runs}&experiments={quote(json.dumps([experiment]))}",
            compared,
        ),
    }


def run(trials: int, home: Path) -> list[dict[str, Any]]:
    """Make both studies, send them, look at them in turn; return a row per page and study."""
    sizes = {"small": SMALL, "large": trials}
    rows: list[dict[str, Any]] = []
    with mlflow_server(home) as (uri, server), sync_playwright() as playwright:
        client = MlflowClient(uri)
        for name, count in sizes.items():
            measure(count, home / "made", name)
            start = time.monotonic()
            sync_study(StudyFolder(home / "made" / name), uri, write_study_files)
            rows.append({"page": "sent", "study": name, "trials": count,
                         "wall_s": time.monotonic() - start})  # fmt: skip
            print(rows[-1], flush=True)
        chromium = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        seen: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for _ in range(LOOKS):
            for name in sizes:
                for place, (address, ready) in enumerate(addresses(client, uri, name).values()):
                    page = list(addresses(client, uri, name))[place]
                    found = look(browser, server, address, ready)
                    print(name, page, found, flush=True)
                    seen.setdefault((page.lstrip("0123456789 "), name), []).append(found)
        browser.close()
    for (page, name), looks in seen.items():
        medians = {key: statistics.median(look[key] for look in looks)
                   for key in ("wall_s", "cpu_s", "heap_mb", "requests")}  # fmt: skip
        rows.append({"page": page, "study": name, "trials": sizes[name], **medians,
                     "shows": looks[-1]["shows"]})  # fmt: skip
    return rows


def as_page(conditions: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """Return the figures as Markdown: times as a ratio, which other work disturbs least."""
    by = {(row["page"], row["study"]): row for row in rows}
    lines = ["| page | shows, large study | wall, large : small | CPU, large : small | heap, MB | "
             "requests |", "|---|---|---|---|---|---|"]  # fmt: skip
    for page in dict.fromkeys(row["page"] for row in rows):
        small, large = by[page, "small"], by[page, "large"]
        ratio = {key: f"{large[key] / small[key]:.1f}" if key in large else ""
                 for key in ("wall_s", "cpu_s")}  # fmt: skip
        heap = f"{large['heap_mb']:.0f}" if "heap_mb" in large else ""
        lines.append(f"| {page} | {large.get('shows', '')} | {ratio['wall_s']} | {ratio['cpu_s']} "
                     f"| {heap} | {large.get('requests', '')} |")  # fmt: skip
    told = (
        f"A study of {by['sent', 'large']['trials']:,} trials beside one of "
        f"{by['sent', 'small']['trials']}, looked at in turn, medians of {conditions['looks']}: "
        f"MLflow {conditions['mlflow']}, SQLite, one worker, {conditions['cpus']} CPUs with a "
        f"load of {conditions['load']:.0f} by other work, so only ratios are told. MLflow's pages "
        "load 100 runs at a time; the view sorts the front first."
    )
    return f"{told}\n\n" + "\n".join(lines) + "\n"


def main() -> None:
    """Run and write both files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--to", type=Path, default=RESULTS, help="folder of the results")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        rows = run(arguments.trials, Path(home))
    conditions = {"command": " ".join(["python", *sys.argv]), "python": platform.python_version(),
                  "mlflow": version("mlflow"), "looks": LOOKS, "cpus": os.cpu_count(),
                  "load": os.getloadavg()[1]}  # fmt: skip
    content = {"conditions": conditions, "rows": rows}
    (arguments.to / "mlflow_thousand.json").write_text(json.dumps(content, indent=2) + "\n")
    (arguments.to / "mlflow_thousand.md").write_text(as_page(conditions, rows))


if __name__ == "__main__":
    main()
