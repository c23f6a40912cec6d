"""Carries trials out on Ray, through Ray Tune. The only import of Ray.

Ray Tune places trials, keeps the workers and hands results back; what to try, when to stop and
what is true is decided by the `StudyDriver`, in the driver process. Workers are used again for
the next trial, so a process start is paid once per worker.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Read by Ray when it is imported or started; what a person has set stays.
_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "10",  # a head that died does not come back here
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # they keep about 300 KB per trial in the driver
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # the study has its own
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
}
for _name, _value in _ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)

import ray  # noqa: E402
from ray import tune  # noqa: E402
from ray.tune.schedulers import FIFOScheduler  # noqa: E402
from ray.tune.search import Searcher  # noqa: E402

from autodepth.records.trial_record import WORKER_DIED  # noqa: E402
from autodepth.search.outcome import TrialOutcome  # noqa: E402
from autodepth.search.places import Places  # noqa: E402
from autodepth.search.ray_worker import work  # noqa: E402
from autodepth.search.study_driver import StudyDriver  # noqa: E402
from autodepth.trial.result import EpochReport, TrialState  # noqa: E402
from autodepth.trial.setting import TrialSetting  # noqa: E402


def run_on_ray(driver: StudyDriver, setting: TrialSetting, places: Places) -> None:
    """Run trials on a local Ray until the driver has no more or asks to stop."""
    for name in ("ray", "ray.tune"):
        logging.getLogger(name).setLevel(logging.ERROR)
    scratch = Path(tempfile.mkdtemp(prefix="autodepth-ray-"))
    with _signal_handlers_kept():
        ray.init(
            address="local",
            num_cpus=max(1, round(places.count * places.cpus)),
            num_gpus=places.whole_gpus or None,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    trainable = tune.with_parameters(work, setting=setting, places=places)
    try:
        driver.meter.start()
        tune.Tuner(
            tune.with_resources(
                trainable, tune.PlacementGroupFactory(places.bundles, strategy="STRICT_PACK")
            ),
            tune_config=tune.TuneConfig(
                search_alg=_Tasks(driver, spare=places.count - 1, ready=scratch / "ready"),
                scheduler=_Rungs(driver),
                num_samples=-1,
                max_concurrent_trials=places.count,
                reuse_actors=True,
                trial_dirname_creator=_folder_name,
            ),
            run_config=tune.RunConfig(
                name="study",
                storage_path=str(scratch),
                verbose=0,
                stop=_Stopper(driver),
                callbacks=[_Recorder(driver)],
            ),
        ).fit()
    finally:
        driver.meter.stop()
        ray.shutdown()
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def _signal_handlers_kept() -> Iterator[None]:
    """Put back the handler of SIGTERM that `ray.init` replaces by one that aborts the process."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)


def _last_words(trial: Any) -> str:
    """Return the last line of a trial's error, from its local file: storage has it only later."""
    try:
        lines = Path(trial.error_file).read_text().strip().splitlines()
    except (OSError, TypeError):
        lines = []
    return lines[-1].strip() if lines else "nothing is known of why"


def _folder_name(trial: Any) -> str:
    return str(trial.config["number"])


class _DriverHook:
    """Holds the driver for Tune's hooks.

    Tune pickles its hooks to restore a run from them. Nothing here is ever restored that way (the
    ledger is), so the driver stays out of it.
    """

    def __init__(self, driver: StudyDriver) -> None:
        super().__init__()
        self._driver = driver

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _Tasks(_DriverHook, Searcher):
    """Hands the driver's tasks to Tune; results reach the driver through `_Recorder`.

    While the first trial has all places, the other workers get ready for theirs: started only
    when they are needed, they would lose those to workers that are there, again and again.

    Args:
        driver: asked for tasks.
        spare: how many other workers there will be.
        ready: path of a file that does not exist; made when they are needed.
    """

    def __init__(self, driver: StudyDriver, *, spare: int, ready: Path) -> None:
        super().__init__(driver)
        self._spare, self._ready = spare, ready

    def suggest(self, trial_id: str) -> Any:  # noqa: ARG002
        task = self._driver.next_task()
        if not self._driver.first_alone:
            self._ready.touch()
        elif task is None and self._driver.running and self._spare:
            self._spare -= 1
            return {"number": -1 - self._spare, "until": str(self._ready)}
        if task is None and self._driver.waiting:
            return None
        if task is None:
            self._ready.touch()
            return Searcher.FINISHED
        return {
            "number": task.number,
            "policy": task.policy.to_dict(),
            "folder": str(task.folder.resolve()),
            "replicate": task.replicate,
            "bounded": task.bounded,
            "places": task.places,
        }

    def on_trial_complete(self, *_: Any, **__: Any) -> None:
        """Nothing to do: the driver was told."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing to keep: the ledger has it."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing was kept."""


class _Stopper(_DriverHook, tune.Stopper):
    """Stops everything at once when a person asks for it, or workers do not answer any more."""

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:  # noqa: ARG002
        return False

    def stop_all(self) -> bool:
        self._driver.settle()
        return self._driver.interrupted or self._driver.overdue


class _Rungs(_DriverHook, FIFOScheduler):
    """Passes epochs on to the driver, and stops the trials that it gives up."""

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:  # noqa: ARG002
        number = trial.config["number"]
        epochs = [EpochReport.from_json(text) for text in result.get("epochs", ())]
        if not self._driver.is_running(number):
            return self.CONTINUE
        if epochs:
            self._driver.report(number, *epochs)
        if "outcome" in result:
            return self.CONTINUE
        return self.STOP if self._driver.should_stop(number) else self.CONTINUE


class _Recorder(_DriverHook, tune.Callback):
    """Passes the ends of trials on to the driver."""

    def on_trial_result(self, *, trial: Any, result: dict[str, Any], **_: Any) -> None:  # type: ignore[override]
        if "outcome" in result:
            self._end(trial.config["number"], TrialOutcome.from_json(result["outcome"]))

    def on_trial_complete(self, *, trial: Any, **_: Any) -> None:  # type: ignore[override]
        number = trial.config["number"]
        if self._driver.is_running(number):
            self._end(number, self._driver.ending(number))

    def on_trial_error(self, *, trial: Any, **_: Any) -> None:  # type: ignore[override]
        reason = f"{WORKER_DIED}: {_last_words(trial)}"
        outcome = TrialOutcome(state=TrialState.FAILED, reason=reason, lost=True)
        self._end(trial.config["number"], outcome)

    def _end(self, number: int, outcome: TrialOutcome) -> None:
        if self._driver.is_running(number):
            self._driver.ended(number, outcome)
