"""How far one driver goes: reports per second that it takes in, and what it spends them on.

A simulated study: trials are made up (`scale.py`), their epochs end on a simulated clock, and any
number of workers has one each. Everything on the driver's side is real: Optuna's TPE, rungs,
front, ledger on a disk, the budget, and what Ray's callbacks do with each message
(`ray_runner.py`): reports come as JSON, are entered, compared and answered. Left out are Ray Tune
itself and the network.

Told is CPU time of this process, which other work on the machine stretches little; time that the
disk takes to confirm a commit stands beside it. Where every worker reports once in an epoch, a
driver that takes in R reports per second keeps W workers busy whose epochs last W / R seconds.

    python benchmarks/driver_scaling.py         # 10, 100, 1,000 and 5,000 workers, about 10 minutes

Writes benchmarks/results/driver_scaling.{json,md}.
"""

from __future__ import annotations

import argparse
import heapq
import json
import platform
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest import mock

import psutil
from scale import epoch, made_up

from autodepth.records.ledger import Ledger
from autodepth.records.ledger.database import Database
from autodepth.records.studies import StudyFolder
from autodepth.service.search.requests import SearchRequest
from autodepth.service.search.search import plan_search
from autodepth.space.file.shipped import default_space
from autodepth.study.driver import driver as study_driver
from autodepth.study.driver.build import make_driver
from autodepth.study.driver.driver import StudyDriver
from autodepth.study.driver.front import FrontWeights
from autodepth.study.hooks import TrialReport
from autodepth.study.plan.plan import StudyPlan
from autodepth.study.plan.resources import Resources
from autodepth.study.propose.sampling.optuna_sampler import OptunaSampler
from autodepth.study.run import start_ledger
from autodepth.study.stopping.rungs import Rungs
from autodepth.trial.carry_out import TrialOutcome, TrialTask
from autodepth.trial.device.device import cpu_name
from autodepth.trial.result import EpochReport, TrialState

RESULTS = Path(__file__).parent / "results"
WORKERS = (10, 100, 1_000, 5_000)
SETTINGS = (
    "rungs.stages=[fine_tune]",
    "rungs.at=[0.25, 0.5]",
    "confirmation.share=0",
    "search.fine_tune_epochs={type: int, min: 8, max: 16}",
    "search.p_L={type: float, min: 0.5, max: 1.0, step: 0.01}",
    "train.epochs=4",
)
# What is timed on its own, and where it is called.
PARTS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "sampler": (OptunaSampler, ("ask", "tell", "tell_failed")),
    "rungs": (Rungs, ("report",)),
    "front": (FrontWeights, ("add",)),
    "ledger: epochs and verdicts": (Ledger, ("record",)),
    "ledger: beginnings and ends": (Ledger, ("start_trial", "complete_trial", "end_trial")),
    "wishes of people": (study_driver, ("read_requests",)),
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One number of workers; CPU time of the process unless it says otherwise.

    Args:
        workers: how many.
        trials: that ended, one way or the other.
        stopped: of these, at a rung.
        reports: messages with epochs.
        reports_per_second: messages taken in per CPU second, with all that trials cost.
        report_ms: CPU of one message, median.
        trial_ms: CPU of beginning and ending one trial, mean.
        commits: transactions of the ledger.
        commit_wait_ms: time one waited for the disk (wall time beyond CPU time), mean.
        busy: share of the workers that had a trial, mean over simulated time.
        parts: share of the CPU time by what it went to.
        memory_mb: of the process.
    """

    workers: int
    trials: int
    stopped: int
    reports: int
    reports_per_second: float
    report_ms: float
    trial_ms: float
    commits: int
    commit_wait_ms: float
    busy: float
    parts: dict[str, float]
    memory_mb: float


class Timers:
    """CPU seconds of the parts of a driver."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PARTS, 0.0)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Time the parts meanwhile."""
        with ExitStack() as stack:
            for part, (owner, names) in PARTS.items():
                for name in names:
                    timed = self._timed(part, getattr(owner, name))
                    stack.enter_context(mock.patch.object(owner, name, timed))
            yield

    def _timed(self, part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **named: Any) -> Any:
            start = time.process_time()
            try:
                return call(*arguments, **named)
            finally:
                self.seconds[part] += time.process_time() - start

        return timed


class Clock:
    """Seconds of the simulated study."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Return them."""
        return self.now


class Commits:
    """Counts transactions and what they waited for."""

    def __init__(self) -> None:
        self.count, self.waited = 0, 0.0

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch all transactions of this process."""
        real = Database.transaction

        @contextmanager
        def transaction(database: Database) -> Iterator[Any]:
            wall, cpu = time.perf_counter(), time.process_time()
            with real(database) as connection:
                yield connection
            self.count += 1
            self.waited += time.perf_counter() - wall - (time.process_time() - cpu)

        with mock.patch.object(Database, "transaction", transaction):
            yield


class Cluster:
    """Workers on a simulated clock, and what a runner does for them.

    Args:
        driver: of the study.
        plan: of the study.
        clock: the simulated one.
        workers: how many.
        seed: of the epochs' lengths.
    """

    def __init__(
        self, driver: StudyDriver, plan: StudyPlan, clock: Clock, workers: int, seed: int
    ) -> None:
        self.driver, self.plan, self.clock = driver, plan, clock
        self.free, self.workers = workers, workers
        self.random = random.Random(seed)
        self.events: list[tuple[float, int, int, list[str], TrialTask]] = []
        self.parents: set[str] = set()
        self.report_times: list[float] = []
        self.trial_time = 0.0
        self.ended = self.stopped = 0
        self.busy = 0.0

    def run(self, trials: int) -> None:
        """Go on until so many trials ended."""
        self._fill()
        while self.ended < trials and self.events:
            before = self.clock.now
            moment, number, step, messages, task = heapq.heappop(self.events)
            self.busy += (moment - before) * (self.workers - self.free)
            self.clock.now = moment
            if step < len(messages):
                if self._report(number, messages[step]):
                    self._later(number, step + 1, messages, task)
                    continue
                self.stopped += 1
                outcome = None
            else:
                result = made_up(task.policy, self.plan)
                outcome = TrialOutcome(state=TrialState.COMPLETE, result=result)
            start = time.process_time()
            outcome = outcome and TrialOutcome.from_json(outcome.to_json())  # as it travels
            self.driver.on_end(number, outcome)
            self.trial_time += time.process_time() - start
            self.ended, self.free = self.ended + 1, self.free + 1
            self._fill()

    def _fill(self) -> None:
        start = time.process_time()
        while self.free and isinstance(task := self.driver.next(), TrialTask):
            self.free -= 1
            self._later(task.number, 0, self._messages(task), task)
        self.trial_time += time.process_time() - start

    def _later(self, number: int, step: int, messages: list[str], task: TrialTask) -> None:
        moment = self.clock.now + self.random.uniform(0.5, 1.5)
        heapq.heappush(self.events, (moment, number, step, messages, task))

    def _messages(self, task: TrialTask) -> list[str]:
        """Return what the trial's worker sends: epochs of a parent that is there in one message."""
        policy, end = task.policy, made_up(task.policy, self.plan).point
        cost_model = self.driver.proposer.cost_model
        parent = cost_model.parent(policy)
        trained = [
            replace(epoch(step, 0.9), phase="parent", macs=0, replayed=parent in self.parents)
            for step in range(1, policy.train.epochs + 1)
        ]
        self.parents.add(parent)
        count = policy.fine_tune_epochs
        tuned = [
            replace(
                epoch(len(trained) + step, end.validation_accuracy * (1 - 0.3 / (1 + step))),
                macs=end.macs,
            )
            for step in range(1, count + 1)
        ]
        told = [[e] for e in trained] if trained and not trained[0].replayed else [trained]
        return [
            json.dumps([e.to_json() for e in group]) for group in [*told, *([e] for e in tuned)]
        ]

    def _report(self, number: int, message: str) -> bool:
        """Do what the runner's callbacks do; return whether the trial goes on."""
        start = time.process_time()
        epochs = [EpochReport.from_json(text) for text in json.loads(message)]
        over = self.driver.tick()
        over = self.driver.on_report(number, TrialReport(epochs=epochs)) or over
        self.report_times.append(time.process_time() - start)
        return not over


def study(workers: int, trials: int, home: Path, *, sampler: str) -> Row:
    """Run a simulated study on so many workers until so many trials ended."""
    plan = plan_search(
        SearchRequest(
            space=default_space(),
            budget=f"{trials + workers}trials",
            settings=[*SETTINGS, f"sampler.name={sampler}"],
        )
    )
    places = Resources(device="gpu", count=workers, cpus=1.0, gpus=1.0)
    folder = StudyFolder(home / "study")
    folder.path.mkdir(parents=True)
    clock, commits, timers = Clock(), Commits(), Timers()
    with start_ledger(plan, folder) as ledger, commits.watched(), timers.running():
        wide = replace(plan, resources=places)
        driver = make_driver(wide, folder, ledger, side_by_side=True)
        driver.meter._clock = clock  # noqa: SLF001 - the study is simulated
        driver.meter.start()
        cluster = Cluster(driver, plan, clock, workers, seed=0)
        start = time.process_time()
        cluster.run(trials)
        seconds = time.process_time() - start
    times = sorted(cluster.report_times)
    return Row(
        workers=workers,
        trials=cluster.ended,
        stopped=cluster.stopped,
        reports=len(times),
        reports_per_second=len(times) / seconds,
        report_ms=1000 * times[len(times) // 2],
        trial_ms=1000 * cluster.trial_time / cluster.ended,
        commits=commits.count,
        commit_wait_ms=1000 * commits.waited / commits.count,
        busy=cluster.busy / (workers * clock.now),
        parts={part: spent / seconds for part, spent in timers.seconds.items()},
        memory_mb=psutil.Process().memory_info().rss / 1e6,
    )


def main() -> None:
    """Run and write both files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=int, nargs="*", default=WORKERS)
    parser.add_argument("--least-trials", type=int, default=300, help="at least so many end")
    parser.add_argument("--per-worker", type=float, default=1.1, help="trials that end, at least")
    parser.add_argument("--sampler", default="tpe", help="tpe, random, ...")
    parser.add_argument("--to", type=Path, default=RESULTS, help="folder of the results")
    arguments = parser.parse_args()
    rows = []
    for workers in arguments.workers:
        trials = max(arguments.least_trials, round(arguments.per_worker * workers))
        with tempfile.TemporaryDirectory() as home:
            rows.append(study(workers, trials, Path(home), sampler=arguments.sampler))
        print(rows[-1], flush=True)
    told = {
        "command": "python benchmarks/driver_scaling.py",
        "processor": cpu_name(),
        "python": platform.python_version(),
        "optuna": version("optuna"),
        "sampler": arguments.sampler,
        "seed": 0,
        "times": "CPU time of the process, on a machine busy with other work",
    }
    content = {"conditions": told, "rows": [asdict(row) for row in rows]}
    (arguments.to / "driver_scaling.json").write_text(json.dumps(content, indent=2) + "\n")
    (arguments.to / "driver_scaling.md").write_text(table(rows, told))


def table(rows: list[Row], told: dict[str, Any]) -> str:
    """Return the page."""
    lines = [
        "| workers | trials ended | stopped | reports | reports/s | ms per report | ms per trial "
        "| commits | disk wait per commit, ms | workers busy | shortest epoch, s |",
        "|---" * 11 + "|",
    ]
    lines += [
        f"| {r.workers:,} | {r.trials:,} | {r.stopped:,} | {r.reports:,} "
        f"| {r.reports_per_second:.0f} | {r.report_ms:.2f} | {r.trial_ms:.1f} "
        f"| {r.commits:,} | {r.commit_wait_ms:.1f} | {100 * r.busy:.0f} % "
        f"| {r.workers / r.reports_per_second:.2g} |"
        for r in rows
    ]
    parts = list(rows[0].parts)
    lines += ["", f"| share of the CPU time, % | {' | '.join(f'{r.workers:,}' for r in rows)} |"]
    lines += ["|---" * (len(rows) + 1) + "|"]
    lines += [
        f"| {part} | {' | '.join(f'{100 * r.parts[part]:.0f}' for r in rows)} |" for part in parts
    ]
    conditions = "; ".join(f"{name} {value}" for name, value in told.items())
    return "\n".join([*lines, "", f"{conditions}."]) + "\n"


if __name__ == "__main__":
    main()
