"""A real server, Debian's Chromium, and studies to look at.

Screenshots are kept in `screenshots/` at the top of the checkout, which git ignores.
"""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from dashboard.servers import serving as in_a_thread

from autodepth.dashboard.guard import Access
from autodepth.front.objective import Objective
from autodepth.records.ledger import Ledger
from autodepth.records.studies import StudyFolder, create_study_folder
from autodepth.records.trial_record import StudyRecord, utc_now
from autodepth.trial.result import EpochReport, OperatingPoint, TrialResult

TOP = Path(__file__).parents[2]
SCREENSHOTS = TOP / "screenshots"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
WAIT_MS = 60_000  # a busy machine must not fail a test
WHOLE = 40_551_040  # MACs of ResNet-20
OBJECTIVES = (
    Objective(name="validation_accuracy", goal="maximize", reference=0.0),
    Objective(name="macs", goal="minimize", reference=float(WHOLE)),
)


@pytest.fixture(scope="module")  # Playwright has an event loop run in this thread until it ends
def chromium():
    """The browser; every test opens pages of its own in it."""
    sync_api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("needs chromium: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=list(FLAGS), timeout=WAIT_MS
        )
        yield browser
        browser.close()


class Looking:
    """A page of the explorer, and what went wrong in it."""

    def __init__(self, page, address: str) -> None:
        self.page, self.address = page, address
        self.errors: list[str] = []
        self.requested: list[str] = []
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        page.on("request", lambda request: self.requested.append(request.url))

    def open(self, **kept) -> None:
        """Open the page as an address that was kept would."""
        self.page.goto(f"{self.address}#{quote(json.dumps(kept))}", wait_until="commit")

    def drawn(self, plot: str) -> None:
        """Wait until a figure is drawn."""
        self.page.wait_for_selector(f"#{plot} .main-svg")

    def until(self, expression: str, holds: Callable[..., bool], seconds: float = 60) -> None:
        """Wait until what an expression gives fits; a page under our policy runs no text itself."""
        deadline = time.monotonic() + seconds
        while not holds(found := self.page.evaluate(expression)):
            assert time.monotonic() < deadline, f"{expression} is still {found}"
            self.page.wait_for_timeout(50)

    def judged(self, name: str, width: int, *, dark: bool) -> None:
        """Keep a picture of what is shown; it must be accessible (axe is there) and fit."""
        self.page.wait_for_timeout(200)
        self.keep(f"{name}-{width}{'-dark' if dark else ''}")
        found = self.page.evaluate("axe.run().then(r => r.violations)")
        serious = [
            (f["id"], f["help"], [n["html"][:200] for n in f["nodes"]][:3])
            for f in found
            if f["impact"] in {"serious", "critical"}
        ]
        assert serious == []
        assert self.page.evaluate("document.documentElement.scrollWidth") <= width

    def keep(self, name: str) -> Path:
        """Keep a screenshot of the whole page."""
        SCREENSHOTS.mkdir(exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)
        return SCREENSHOTS / f"{name}.png"


@pytest.fixture
def look(chromium) -> Iterator[Callable[..., Looking]]:
    """Open the explorer: `look(address, width=1280, dark=False)`."""
    contexts = []

    def opened(address: str, width: int = 1280, *, dark: bool = False) -> Looking:
        context = chromium.new_context(
            viewport={"width": width, "height": 860},
            color_scheme="dark" if dark else "light",
            permissions=["clipboard-read", "clipboard-write"],
        )
        contexts.append(context)
        return Looking(context.new_page(), address)

    yield opened
    for context in contexts:
        context.close()


@contextmanager
def serving(folder: Path, *arguments: str, **environment: str):
    """Run `autodepth dashboard`, and give the process and its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "autodepth", "dashboard", *(arguments or ("--port", "0"))],
        cwd=folder, env={**os.environ, **environment}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def served() -> Iterator[str]:
    """The address of a dashboard over this test's studies, in a thread of this process."""
    with in_a_thread(Access(host="127.0.0.1")) as port:
        yield f"http://127.0.0.1:{port}/"


def made_result(accuracy: float, macs: int, removed: tuple[int, ...] = (2, 3)) -> TrialResult:
    """Return what a trial of ResNet-20 could bring back."""
    return TrialResult(
        point=OperatingPoint(
            validation_accuracy=accuracy, validation_loss=1.2 - accuracy, macs=macs,
            effective_macs=macs, parameters=macs // 150, size_bytes=macs // 37,
            latency_ms=0.4 + macs / 2e7,
        ),
        removed=removed, sensitivities={b: 0.01 * (b % 4) ** 2 for b in range(1, 10)},
        survival=tuple(1 - 0.05 * b for b in range(1, 10)), parent_accuracy=0.95,
        pruned_accuracy=0.6, phase_seconds={"parent": 6.0, "sensitivity": 0.4, "fine_tune": 2.0},
        weights_file=None,
    )  # fmt: skip


def start_study(name: str, *, sampler: str = "tpe") -> tuple[StudyFolder, Ledger]:
    """Make an empty study that nothing drives."""
    folder = create_study_folder(name)
    plan = {
        "budget": "40 cpu-min = 2 CPUs for 20 min", "device": "cpu", "devices": 2.0,
        "limits": {"device_seconds": 2400.0, "device": "cpu", "wall_seconds": None, "trials": None},
        "network": {"name": "resnet20", "classes": 10}, "data": {"name": "digits"},
        "data_fingerprint": "ab", "unpruned": {"macs": float(WHOLE)}, "concurrency": 2,
        "space": {"sampler": {"name": sampler}},
    }  # fmt: skip
    study = StudyRecord(name=name, seed=0, objectives=OBJECTIVES, plan=plan)
    return folder, Ledger.create(folder.ledger_path, study)


def made_point(draw: random.Random) -> dict[str, float | int | str]:
    """Draw a policy."""
    return {
        "p_L": round(draw.uniform(0.5, 1.0), 2),
        "decay_shape": draw.choice(["linear", "uniform", "cosine"]),
        "criterion": draw.choice(["ablation_loss", "taylor", "magnitude"]),
        "branches_removed": draw.randint(0, 6),
        "fine_tune_epochs": draw.randint(1, 8),
        "train.learning_rate": round(10 ** draw.uniform(-3, -1), 5),
    }


def outcome_of(point, draw: random.Random) -> TrialResult:
    """Return a result that depends on the policy."""
    gone = int(point["branches_removed"])
    macs = int(WHOLE * (1 - 0.11 * gone) * draw.uniform(0.6, 1.0))
    accuracy = 0.97 - 0.25 * math.exp(-0.8 * point["fine_tune_epochs"]) - 0.01 * gone**1.5
    accuracy -= 0.2 * (point["p_L"] - 0.8) ** 2 + abs(draw.gauss(0, 0.02))
    removed = tuple(sorted(draw.sample(range(1, 10), gone)))
    return made_result(max(0.1, accuracy), macs, removed)


def add_trial(ledger: Ledger, draw: random.Random, kind="search", **about) -> int:
    """Enter one trial that is complete."""
    point = made_point(draw) if kind == "search" else {}
    policy = {k: v for k, v in point.items() if "." not in k}
    number = ledger.start_trial(kind, point, policy, **about)
    result = outcome_of(point, draw) if point else made_result(0.955, WHOLE, ())
    for step, stage in enumerate(("parent", "parent", "fine_tune", "fine_tune"), start=1):
        final = result.point.validation_accuracy
        ledger.record([(number, EpochReport(
            phase=stage, step=step, train_loss=2 / step, train_accuracy=final - 0.2 / step,
            validation_accuracy=final - 0.3 / step, branches_expected=8, branches_computed=8,
            gradient_norms={1: 0.5}, images_per_second=900, seconds=1,
        ))])  # fmt: skip
    ledger.complete_trial(number, result, 8.4, spent=ledger.spent() + 9)
    return number


def made_study(name: str, trials: int, *, sampler="tpe", seed=0, ended=True) -> StudyFolder:
    """Record a study of some trials, its front confirmed on two seeds with a control."""
    draw = random.Random(seed)
    folder, ledger = start_study(name, sampler=sampler)
    with ledger:
        ledger.database._connection.execute("PRAGMA synchronous = OFF")
        add_trial(ledger, draw, "unpruned")
        for _ in range(trials - 1):
            add_trial(ledger, draw)
        ledger.end_trial(ledger.start_trial("search", made_point(draw), {}), "failed", "NaN", 3.0)
        for member in ledger.front():
            for replicate in (1, 2):
                for kind, role in (("confirm", ""), ("control", "random_removal")):
                    number = ledger.start_trial(
                        kind, {}, {}, about=member.trial, role=role, replicate=replicate
                    )
                    point = member.point
                    lost = draw.uniform(0.005, 0.02) + (0.02 if role else 0)
                    result = made_result(point.validation_accuracy - lost, point.macs)
                    ledger.complete_trial(number, result, 5.0)
        if ended:
            ledger.end_study("the budget was spent")
    return folder


def large_study(name: str, trials: int) -> StudyFolder:
    """Record a study of thousands of trials: the same rows, in one transaction."""
    draw = random.Random(1)
    folder, ledger = start_study(name)
    rows = []
    for number in range(trials):
        point = made_point(draw)
        result = outcome_of(point, draw)
        values = [o.value(result.point) for o in OBJECTIVES]
        rows.append((number, "complete", "search", json.dumps(point), "{}", "", 0, utc_now(),
                     utc_now(), 8.0 * (number + 1), json.dumps(values),
                     json.dumps(result.to_dict())))  # fmt: skip
    with ledger, ledger.database.transaction() as connection:
        connection.executemany(
            "INSERT INTO trial (number, state, kind, point, policy, role, replicate, started_at,"
            " ended_at, spent, candidate, result) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
        connection.executemany(
            "INSERT INTO spending (trial, stage, device_seconds) VALUES (?, 'fine_tune', 8.0)",
            [(number,) for number in range(trials)],
        )
    return folder


@pytest.fixture
def make_study() -> Callable[..., StudyFolder]:
    """Record studies of some trials: `made_study`."""
    return made_study


@pytest.fixture
def make_large() -> Callable[..., StudyFolder]:
    """Record studies of thousands of trials: `large_study`."""
    return large_study


@pytest.fixture
def serve(tmp_path: Path):
    """Run a dashboard while in a context: `serving`."""
    return lambda *arguments, **environment: serving(tmp_path, *arguments, **environment)


@pytest.fixture
def add() -> Callable[..., int]:
    """Enter one more trial: `add_trial`."""
    return add_trial
