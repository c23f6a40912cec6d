"""Studies as jobs of a Ray cluster: submitted, listed, followed, stopped; the job API's only door.

A job is an attempt at a study: the first one begins it, each later one goes on with it. Its name
is made of both, so a study that runs is never submitted twice.
"""

from __future__ import annotations

import os
import re
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from autodepth.errors import AccessError, ClusterError, InputError, StudyError, StudyInUseError
from autodepth.service.jobs.parcel import FILES
from autodepth.study.cluster.environment import prepare_for_ray

prepare_for_ray()

from ray.exceptions import AuthenticationError  # noqa: E402
from ray.job_submission import JobStatus, JobSubmissionClient  # noqa: E402

_NAME = re.compile(r"autodepth-(?P<study>.+)\.(?P<attempt>[1-9][0-9]*)")
_STOP_SECONDS = 120  # the driver ends in order: what runs is cancelled, MLflow is told
_LOOK_SECONDS = 2.0
_MOST_MISSED = 30  # looks in a row that the cluster did not answer
STOPPED_STATUS = 143  # as a process that SIGTERM ended


@dataclass(frozen=True, kw_only=True)
class Job:
    """An attempt at a study.

    Args:
        id: its name in Ray.
        study: the study.
        attempt: counted from 1.
        status: Ray's word: PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED.
        started: ISO 8601, UTC; None before it began.
        ended: the same; None before it ended.
        exit_status: of its process; None before it ended, and where Ray does not know.
    """

    id: str
    study: str
    attempt: int
    status: str
    started: str | None
    ended: str | None
    exit_status: int | None

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return bool(JobStatus(self.status).is_terminal())

    def to_dict(self) -> dict[str, Any]:
        """Return plain values fit for JSON."""
        return asdict(self)


def job_id(study: str, attempt: int) -> str:
    """Return the name of an attempt at a study."""
    return f"autodepth-{study}.{attempt}"


def read_job_id(name: str) -> tuple[str, int] | None:
    """Return study and attempt of a job; None for one that is not ours."""
    match = _NAME.fullmatch(name)
    return None if match is None else (match["study"], int(match["attempt"]))


def entrypoint(arguments: Sequence[str], *, home: str | None, python: str) -> str:
    """Return the command line of a job; it runs in the folder that was sent.

    Args:
        arguments: of `autodepth`.
        home: folder of all studies on the head node; None for one in its user's home.
        python: of the head node.
    """
    studies = '"$HOME/autodepth-studies"' if home is None else shlex.quote(home)
    words = shlex.join([python, "-P", "-m", "autodepth", *arguments])
    return f"cd {shlex.quote(FILES)} && AUTODEPTH_HOME={studies} exec {words}"


class Jobs:
    """The jobs of one cluster.

    Args:
        address: of its dashboard, `http://HEAD:8265`.

    Raises:
        AccessError: it wants another token.
        InputError: the address is no URL.
        ClusterError: nothing answers there.
    """

    def __init__(self, address: str) -> None:
        if not address.startswith(("http://", "https://")):
            raise InputError(f"the address must be http://HEAD:8265, but got {address!r}")
        self._address = address
        os.environ["RAY_API_SERVER_ADDRESS"] = address  # else RAY_ADDRESS would win over ours
        with self._told_plainly():
            self._client = JobSubmissionClient(address)

    def list(self, study: str | None = None) -> list[Job]:
        """Return the attempts at studies, or at one, the latest first."""
        with self._told_plainly():
            details = self._client.list_jobs()
        found = []
        for each in details:
            ours = read_job_id(each.submission_id or "")
            if ours and study in {None, ours[0]}:
                found.append(_job(each, *ours))
        return sorted(found, key=lambda job: (job.started or "~", job.attempt), reverse=True)

    def submit(self, study: str, command: str, folder: Path) -> Job:
        """Begin the next attempt at a study.

        Args:
            study: its name.
            command: see `entrypoint`.
            folder: sent to the cluster; where the command runs.

        Raises:
            StudyInUseError: an attempt at it runs.
        """
        attempts = self.list(study)
        if running := [job for job in attempts if not job.over]:
            raise _in_use(running[0].id, study, self._address)
        name = job_id(study, 1 + max((job.attempt for job in attempts), default=0))
        with self._told_plainly():
            try:
                self._client.submit_job(
                    entrypoint=command,
                    submission_id=name,
                    runtime_env={
                        "working_dir": str(folder),
                        # Read by what stops the job; Ray's own 3 s would kill the driver.
                        "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(_STOP_SECONDS)},
                    },
                )
            except RuntimeError as error:
                if name in {job.id for job in self.list(study)}:  # someone was quicker
                    raise _in_use(name, study, self._address) from error
                raise
        return self._find(study, name)

    def follow(self, job: Job, tell: Callable[[str], None]) -> Job:
        """Tell what a job writes until it has ended; a connection that breaks is tried again."""
        told, missed = 0, 0
        while True:
            over = job.over  # asked before its log is read: the end of that is then not missed
            try:
                log = self._log(job)
                missed = 0
                if len(log) > told:
                    tell(log[told:])
                    told = len(log)
                if over:
                    return job
                job = self._find(job.study, job.id)
            except ClusterError:
                missed += 1
                if missed >= _MOST_MISSED:
                    raise
            if not job.over:
                time.sleep(_LOOK_SECONDS)

    def stop(self, study: str) -> Job:
        """Ask a study's job to end in order, and wait until it has.

        Raises:
            StudyError: no attempt at it runs.
        """
        running = [job for job in self.list(study) if not job.over]
        if not running:
            raise StudyError(
                f"only a study that runs can be stopped, but no job at {self._address} runs {study}"
            )
        job = running[0]
        with self._told_plainly():
            self._client.stop_job(job.id)
        deadline = time.monotonic() + _STOP_SECONDS + 30
        while not (job := self._find(study, job.id)).over and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
        return job

    def _log(self, job: Job) -> str:
        with self._told_plainly():
            return str(self._client.get_job_logs(job.id))

    def _find(self, study: str, name: str) -> Job:
        for job in self.list(study):
            if job.id == name:
                return job
        raise ClusterError(f"{self._address} does not know the job {name} any more")

    @contextmanager
    def _told_plainly(self) -> Iterator[None]:
        try:
            yield
        except AuthenticationError as error:
            raise AccessError(
                f"the Ray cluster at {self._address} does not take the token it was given, or "
                "wants one and was given none: set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or "
                "RAY_AUTH_TOKEN_PATH to the cluster's token"
            ) from error
        except OSError as error:
            raise ClusterError(f"no Ray cluster answers at {self._address}") from error
        except RuntimeError as error:
            raise ClusterError(f"the Ray cluster at {self._address} refused: {error}") from error


def exit_status(job: Job) -> int:
    """Return what a process that followed a job to its end exits with: the job's own status."""
    if job.status == JobStatus.STOPPED:
        return STOPPED_STATUS
    if job.exit_status is not None:
        return job.exit_status
    return 0 if job.status == JobStatus.SUCCEEDED else 1


def _job(details: Any, study: str, attempt: int) -> Job:
    return Job(
        id=details.submission_id,
        study=study,
        attempt=attempt,
        status=str(details.status.value),
        started=_time(details.start_time),
        ended=_time(details.end_time),
        exit_status=details.driver_exit_code,
    )


def _time(milliseconds: int | None) -> str | None:
    if not milliseconds:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")


def _in_use(name: str, study: str, address: str) -> StudyInUseError:
    return StudyInUseError(
        f"a study runs once at a time, but the job {name} runs {study} already: follow it with "
        f"autodepth jobs {study} --follow --address {address}"
    )
