"""What Ray finds in this process, and what it leaves of it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
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


def prepare_for_ray(*, own: bool = False) -> None:
    """Set what a study needs; call it before Ray is imported.

    Args:
        own: whether a Ray of this study's own may be started, which then wants a token. A cluster
            says itself whether it wants one.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if not own:
        return
    # Trials are as nice as the command that starts them. Ray's own 15 gives way to all else: on a
    # machine that others use a budget would go by without a trial.
    os.environ.setdefault("RAY_worker_niceness", "0")
    if "ray" not in sys.modules:  # Ray's core reads it once
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def no_code_of_ours() -> Any:
    """Return a job configuration for `ray.init` with which workers import what is installed there.

    Ray puts the current folder, and that of the script, first on every worker's import path, so a
    `queue.py` that lies there would be executed. It leaves that to jobs that are sent a folder.
    """
    from ray.job_config import JobConfig  # noqa: PLC0415 - after `prepare_for_ray`

    class _SentNoFolder(JobConfig):
        def _runtime_env_has_working_dir(self) -> bool:
            return True

    return _SentNoFolder()


@contextmanager
def signal_handlers_kept() -> Iterator[None]:
    """Put back the handler of SIGTERM that `ray.init` replaces by one that aborts the process."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)
