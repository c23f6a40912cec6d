"""The Ray that a search starts for itself: closed to everybody but this machine's user."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from autodepth.errors import RayStartError
from autodepth.study.cluster.environment import (
    no_code_of_ours,
    prepare_for_ray,
    signal_handlers_kept,
)

prepare_for_ray(own=True)

import ray
from ray._private import ray_constants

from autodepth.study.cluster.token import keep_token_private
from autodepth.study.plan.metric_names import metrics_port
from autodepth.study.plan.resources import Resources

# What a trial imports, 3 s of work: workers do that while the driver is still about to begin, and
# not when devices are reserved.
_LOADED_AHEAD = ("autodepth.study.ray.worker", "torch._dynamo", "torch.utils.benchmark")

# Ray's own is a minute. It gives up the workers that have not begun by then, and never answers a
# driver that waits for the first of them: on a machine that is busy a search hung for good.
_WORKER_START_SECONDS = 300


def start_local(resources: Resources) -> None:
    """Start a Ray with as many devices as the places have, and connect to it.

    Raises:
        InputError: $AUTODEPTH_METRICS_PORT is no port.
        RayStartError: Ray does not start.
    """
    port = metrics_port()
    keep_token_private()
    with signal_handlers_kept(), _on_loopback():
        try:
            ray.init(
                address="local",
                num_cpus=max(1, round(resources.count * resources.cpus)),
                num_gpus=resources.whole_gpus or None,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                job_config=no_code_of_ours(),
                _metrics_export_port=port,
                _system_config={
                    "enable_metrics_collection": port is not None,
                    "preload_python_modules": list(_LOADED_AHEAD),
                    "worker_register_timeout_seconds": _WORKER_START_SECONDS,
                },
            )
        except Exception as error:  # on a busy machine its parts have half a minute to find another
            raise RayStartError(f"a local Ray does not start: {error}") from error


@contextmanager
def _on_loopback() -> Iterator[None]:
    """Let a Ray that is started within listen on the loopback address alone.

    On Linux it takes the machine's own address otherwise, and its agent then tells metrics, and
    answers requests, to everybody who reaches that. It has no setting for this but the one that it
    keeps to on other systems.
    """
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before
