"""Carries trials out on Ray, through Ray Tune.

Ray Tune places trials, keeps the workers and hands results back; what to try, when to stop and
what is true is decided by the `StudyDriver`, in the driver process. Workers are used again for
the next trial, so a process start is paid once per worker.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autodepth.study.cluster.environment import prepare_for_ray

prepare_for_ray(own=True)

from ray import tune
from ray.tune.execution import class_cache
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from autodepth.errors import AutodepthError
from autodepth.records.trial_record import WORKER_DIED
from autodepth.study.cluster.shutdown import shut_down_ray
from autodepth.study.driver.driver import StudyDriver
from autodepth.study.hooks import TrialHooks, TrialReport
from autodepth.study.plan.resources import Resources
from autodepth.study.ray.local import start_local
from autodepth.study.ray.metrics import StudyMetrics
from autodepth.study.ray.stopped_workers import StoppedWorkers
from autodepth.study.ray.worker import RemoteContext, work
from autodepth.trial.carry_out import ERROR_FILE, TrialOutcome
from autodepth.trial.context import TrialContext
from autodepth.trial.result import EpochReport, TrialState

# Tune hands these to its workers as arguments of their processes, which every user of the machine
# can read; workers have them from the environment anyway.
class_cache.ENV_VARS_TO_PROPAGATE.difference_update(
    ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SECURITY_TOKEN", "AWS_SESSION_TOKEN")
)


def run_on_ray(
    driver: StudyDriver,
    context: TrialContext,
    resources: Resources,
    remote: RemoteContext | None = None,
    unsent: Callable[[], int] = lambda: 0,
) -> None:
    """Run trials on Ray until the driver has no more or asks to stop.

    Args:
        driver: decides.
        context: what all trials share.
        resources: how many run at a time, and what each reserves.
        remote: what workers of an existing cluster need; None on a Ray of this study's own.
        unsent: returns how many events the tracking store does not have, for the metrics.
    """
    local = remote is None  # else this process is connected to a cluster already
    for name in ("ray", "ray.tune"):
        logging.getLogger(name).setLevel(logging.ERROR)
    scratch = Path(tempfile.mkdtemp(prefix="autodepth-ray-"))
    if local:
        take_workers_that_wait()
        start_local(resources)
    metrics, stopped = StudyMetrics(driver, unsent), StoppedWorkers(driver.on_standstill)
    trainable = tune.with_parameters(work, context=context, resources=resources, remote=remote)
    tuner = tune.Tuner(
        tune.with_resources(
            trainable, tune.PlacementGroupFactory(resources.bundles, strategy="STRICT_PACK")
        ),
        tune_config=tune.TuneConfig(
            search_alg=_Tasks(driver),
            scheduler=_Reports(driver),
            num_samples=-1,
            max_concurrent_trials=resources.count,
            reuse_actors=True,
            trial_dirname_creator=_folder_name,
        ),
        run_config=tune.RunConfig(
            name="study",
            storage_path=str(scratch),
            verbose=0,
            stop=_Stopper(driver, stopped),
            callbacks=[_Ends(driver, stopped)],
        ),
    )
    try:
        with driver.reserved():
            tuner.fit()
    except tune.TuneError as error:
        if isinstance(error.__context__, AutodepthError):  # Tune wraps what its hooks raise
            raise error.__context__ from None
        raise
    finally:
        metrics.close()
        if local:
            shut_down_ray()
        shutil.rmtree(scratch, ignore_errors=True)


def take_workers_that_wait() -> None:
    """Have Tune use the workers that a Ray of our own starts ahead, with what they loaded.

    Tune gives its workers an environment, so that new ones are started. On a Ray that this process
    starts they have its environment anyway.
    """
    class_cache.DEFAULT_ENV_VARS.clear()
    class_cache.ENV_VARS_TO_PROPAGATE.clear()


def _last_words(trial: Any) -> str:
    """Return the last line of a trial's error, from its local file: storage has it only later."""
    try:
        lines = Path(trial.error_file).read_text().strip().splitlines()
    except (OSError, TypeError):
        lines = []
    return lines[-1].strip() if lines else "nothing is known of why"


def _folder_name(trial: Any) -> str:
    return str(trial.config["number"])


class _Hook:
    """Holds the driver's hooks for those of Tune.

    Tune pickles its hooks to restore a run from them. Nothing here is ever restored that way (the
    ledger is), so the driver stays out of it.
    """

    def __init__(self, hooks: TrialHooks) -> None:
        super().__init__()
        self._hooks = hooks

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _Tasks(_Hook, Searcher):
    """Hands the driver's tasks to Tune; results reach the driver through `_Reports`."""

    def suggest(self, trial_id: str) -> Any:  # noqa: ARG002
        task = self._hooks.next()
        if task == "wait":
            return None
        if task == "done":
            return Searcher.FINISHED
        return {
            "number": task.number,
            "policy": task.policy.to_dict(),
            "folder": str(task.folder.resolve()),
            "replicate": task.replicate,
            "bounded": task.bounded,
            "hangs_after": task.hangs_after,
        }

    def on_trial_complete(self, *_: Any, **__: Any) -> None:
        """Nothing to do: the driver was told."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing to keep: the ledger has it."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing was kept."""


class _Stopper(_Hook, tune.Stopper):
    """Stops everything at once when a person asks for it, or workers do not answer any more."""

    def __init__(self, hooks: TrialHooks, stopped: StoppedWorkers) -> None:
        super().__init__(hooks)
        self._stopped = stopped

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:  # noqa: ARG002
        return False

    def stop_all(self) -> bool:
        self._stopped.look()
        return self._hooks.tick()


class _Reports(_Hook, FIFOScheduler):
    """Passes what trials report on to the driver, and stops those that it gives up."""

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:  # noqa: ARG002
        report = TrialReport(
            restarted=result.get("again", ""),
            epochs=[EpochReport.from_json(text) for text in result.get("epochs", ())],
            node=result.get("node", ""),
        )
        stop = self._hooks.on_report(trial.config["number"], report)
        return self.STOP if stop and "outcome" not in result else self.CONTINUE


class _Ends(_Hook, tune.Callback):
    """Passes the ends of trials on to the driver."""

    def __init__(self, hooks: TrialHooks, stopped: StoppedWorkers) -> None:
        super().__init__(hooks)
        self._stopped = stopped

    def on_trial_result(self, *, trial: Any, result: dict[str, Any], **_: Any) -> None:  # type: ignore[override]
        self._stopped.told(trial.config["number"], result)
        if "outcome" in result:
            _keep_trace(Path(trial.config["folder"]), result.get("trace", ""))
            self._end(trial, TrialOutcome.from_json(result["outcome"]))

    def on_trial_complete(self, *, trial: Any, **_: Any) -> None:  # type: ignore[override]
        self._end(trial, None)

    def on_trial_error(self, *, trial: Any, **_: Any) -> None:  # type: ignore[override]
        reason = f"{WORKER_DIED}: {_last_words(trial)}"
        self._end(trial, TrialOutcome(state=TrialState.FAILED, reason=reason, lost=True))

    def _end(self, trial: Any, outcome: TrialOutcome | None) -> None:
        number = trial.config["number"]
        self._stopped.over(number)
        self._hooks.on_end(number, outcome)


def _keep_trace(folder: Path, trace: str) -> None:
    """Write down where a trial on another node failed, as trials here do themselves."""
    if trace:
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            (folder / ERROR_FILE).write_text(trace)
