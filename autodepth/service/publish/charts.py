"""The ready-made charts of a study in MLflow, on a server that is there or is started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from autodepth.errors import InputError, TrackingError
from autodepth.long_work import long_work
from autodepth.records.mlflow.remote_status import experiment_of
from autodepth.records.mlflow.sync import (
    default_tracking_uri,
    is_server,
    sync_study,
    without_password,
)
from autodepth.records.mlflow.views import charts_address
from autodepth.records.studies import MLFLOW_ARTIFACTS, find_study, studies_root
from autodepth.report.study_files import write_study_files

_HOST = "127.0.0.1"
_START_SECONDS = 180.0  # on a busy machine MLflow takes half a minute
_END_SECONDS = 10.0
_PAUSE_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class Charts:
    """Where the charts of a study are.

    Args:
        study: its name.
        url: the address of the page, without a password.
    """

    study: str
    url: str


@contextmanager
def charts_shown(
    study: str, *, tracking_uri: str | None = None, port: int = 0
) -> Iterator[tuple[Charts, Callable[[], object] | None]]:
    """Have the charts of a study shown while entered.

    A study that the store does not have yet is sent first.

    Args:
        study: its name, or `latest`.
        tracking_uri: any MLflow tracking URI; None takes the store beside the studies.
        port: of the server that is started where the URI is none; 0 for any that is free.

    Yields:
        Where they are, and what waits for the end of the server that was started; None without one.

    Raises:
        StudyError: there is no such study.
        InputError: the port cannot be had.
        TrackingError: MLflow does not answer, or does not start.
    """
    folder, root = find_study(study), studies_root()
    uri = tracking_uri or default_tracking_uri(root)
    if (experiment := experiment_of(folder.name, uri)) is None:
        sync_study(folder, uri, write_study_files)
        experiment = experiment_of(folder.name, uri)
        assert experiment is not None
    if is_server(uri):
        server = without_password(uri)
        yield Charts(study=folder.name, url=charts_address(server, experiment)), None
        return
    with _served(uri, root / MLFLOW_ARTIFACTS, port) as (server, ended):
        yield Charts(study=folder.name, url=charts_address(server, experiment)), ended


@contextmanager
def _served(uri: str, artifacts: Path, port: int) -> Iterator[tuple[str, Callable[[], object]]]:
    port = _free(port)
    address = f"http://{_HOST}:{port}"
    environment = {
        **os.environ,
        "MLFLOW_BACKEND_STORE_URI": uri,  # not among the arguments: it may hold a password
        "MLFLOW_ARTIFACTS_DESTINATION": str(artifacts),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # which is for language models
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    with TemporaryFile() as log:
        process = subprocess.Popen(  # noqa: S603 - our own Python
            _command(port), env=environment, stdout=log, stderr=log, process_group=0
        )
        try:
            _wait_until_it_answers(address, process, log)
            yield address, process.wait
        finally:
            _end(process)


def _command(port: int) -> list[str]:
    where = ["--host", _HOST, "--port", str(port), "--workers", "1"]
    return [sys.executable, "-m", "mlflow", "ui", *where]


def _wait_until_it_answers(address: str, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
    end = time.monotonic() + _START_SECONDS
    with long_work("starting MLflow") as _:
        while process.poll() is None and time.monotonic() < end:
            with suppress(OSError):
                urllib.request.urlopen(f"{address}/health", timeout=5).close()  # noqa: S310 - http
                return
            time.sleep(_PAUSE_SECONDS)
    log.seek(0)
    told = log.read().decode(errors="replace").strip().splitlines()
    raise TrackingError(
        "MLflow's server must start, but "
        + (f"it ended: {without_password(told[-1])}" if told else f"{address} does not answer")
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a server and the processes it has started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_END_SECONDS)


def _free(port: int) -> int:
    with socket.socket() as found:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((_HOST, port))
        except OSError as error:
            raise InputError(
                f"port {port} must be free, but: {error.strerror}; choose another with --port, "
                "or 0 for any that is free"
            ) from error
        return int(found.getsockname()[1])
