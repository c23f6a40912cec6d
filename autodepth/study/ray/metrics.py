"""What a running study tells Prometheus, through Ray's own metrics.

The agent of the driver's node exports it, with all that Ray knows of the node: on a cluster at the
port of `ray start --metrics-export-port`; a search's own Ray only where it was asked to, see
`metric_names`. Every name gets `ray_` before it there.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable

import ray
from ray.util.metrics import Gauge

from autodepth.front.hypervolume import relative_hypervolume
from autodepth.front.objective import objective_values
from autodepth.records.ledger import Ledger
from autodepth.records.ledger.spending import useful_share
from autodepth.study.driver.driver import StudyDriver
from autodepth.study.plan import metric_names
from autodepth.study.plan.budget import BudgetMeter

_log = logging.getLogger(__name__)


class StudyMetrics:
    """Tells a study's figures from a thread of its own, from construction until `close`.

    It reads the ledger through a connection of its own, so it never holds the driver up. Where
    Ray exports nothing there is no thread.

    Args:
        driver: of the study; Ray must have been started.
        unsent: returns how many events the tracking store does not have.
    """

    def __init__(self, driver: StudyDriver, unsent: Callable[[], int]) -> None:
        self._driver, self._unsent = driver, unsent
        self._study = {"study": driver.folder.name}
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        if _exported():
            self._gauges = {
                name: Gauge(name, description, ("study", *metric_names.OWN_TAGS.get(name, ())))
                for name, description in metric_names.METRICS.items()
            }
            self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Tell nothing more."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(metric_names.INTERVAL_SECONDS)

    def _run(self) -> None:
        problem = ""
        with Ledger.open(self._driver.ledger.database.path, read_only=True) as ledger:
            while not self._over.is_set():
                try:
                    self._tell(ledger)
                except Exception as error:  # noqa: BLE001  (metrics never end anything)
                    if not problem:
                        _log.warning("the study's metrics cannot be told: %s", error)
                    problem = str(error) or type(error).__name__
                self._over.wait(metric_names.INTERVAL_SECONDS)

    def _tell(self, ledger: Ledger) -> None:
        meter, objectives = self._driver.meter, self._driver.objectives
        for state, count in ledger.counts().items():
            self._set("trials", count, state=state.value)
        points = [member.point for member in self._driver.state.front.members]
        values = objective_values(points, objectives)
        self._set("front_points", len(points))
        self._set("hypervolume", relative_hypervolume(values, objectives))
        if points:
            self._set("best_accuracy", max(point.validation_accuracy for point in points))
        self._set("device_seconds", meter.spent, device=meter.device)
        self._set("budget_device_seconds", _allowed(meter), device=meter.device)
        self._set("budget_share", meter.share_spent)
        self._set("useful_share", useful_share(ledger.spending()))
        self._set("outbox_events", self._unsent())

    def _set(self, name: str, value: float | None, **tags: str) -> None:
        self._gauges[f"autodepth_{name}"].set(value, self._study | tags)


def _allowed(meter: BudgetMeter) -> float | None:
    """Return the device seconds that the first limit in time allows; None without such a limit."""
    allowed = meter.spent + meter.seconds_left * meter.devices
    return allowed if math.isfinite(allowed) else None


def _exported() -> bool:
    """Whether the agent of this node exports metrics."""
    here, nodes = ray.get_runtime_context().get_node_id(), ray.nodes()  # type: ignore[no-untyped-call]
    return any(node["NodeID"] == here and node["MetricsExportPort"] > 0 for node in nodes)
