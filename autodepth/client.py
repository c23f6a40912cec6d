"""A thin client of `autodepth serve`: each method is one request of its REST API.

>>> from autodepth.client import Client                                    # doctest: +SKIP
>>> client = Client("http://127.0.0.1:8700")
>>> client.search("small", budget="4cpu-min", settings=["network.name=resnet14"])
>>> client.wait("small")["state"]
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

from autodepth.errors import AutodepthError, InputError, NotAllowedError, NotNowError, StudyError

_SECONDS = 60.0
_DRY_RUN_SECONDS = 660.0  # the server ends one sooner
_LOOK_SECONDS = 0.5
_PIECE = 2**20
_KINDS: Mapping[int, type[AutodepthError]] = {
    401: NotAllowedError,
    403: NotAllowedError,
    404: StudyError,
    409: NotNowError,
    400: InputError,
    422: InputError,
}


_UNANSWERED = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
)


class Client:
    """A server that is asked.

    What enters the queue is asked under a key: the same call with the same `key` is done once,
    and a request whose answer was lost is asked again under its own.

    Args:
        address: of the server, such as `http://127.0.0.1:8700`, with the path of a proxy if any.
        token: that is shown; None where the server wants none.
        patience: seconds for which a server that does not answer is asked again.
    """

    def __init__(self, address: str, token: str | None = None, *, patience: float = 30.0) -> None:
        self._api = f"{address.rstrip('/')}/api/v1"
        self._patience = patience
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy and no netrc of this machine
        if token is not None:
            self._session.headers["Authorization"] = f"Bearer {token}"

    def studies(self) -> list[dict[str, Any]]:
        """Return the studies, newest first."""
        return list(self._get("studies"))

    def status(self, study: str) -> dict[str, Any]:
        """Return where a study stands, as `autodepth status --json`."""
        return dict(self._get(f"studies/{_in_path(study)}/status"))

    def front(self, study: str) -> list[dict[str, Any]]:
        """Return the networks that no other beats, as `autodepth front --json`."""
        return list(self._get(f"studies/{_in_path(study)}/front"))

    def trial(self, study: str, number: int) -> dict[str, Any]:
        """Return everything about one trial."""
        return dict(self._get(f"studies/{_in_path(study)}/trials/{number}"))

    def queue(self, *, unfinished: bool = False) -> list[dict[str, Any]]:
        """Return the works of the queue in their order."""
        return list(self._get("queue", unfinished=unfinished)["works"])

    def work(self, number: int) -> dict[str, Any]:
        """Return one piece of work."""
        return dict(self._get(f"queue/{number}"))

    def search(
        self, study: str, *, budget: str, key: str | None = None, **options: Any
    ) -> dict[str, Any]:
        """Queue a search, and return its work.

        Args:
            study: a new name.
            budget: what may be spent, such as `50gpu-h`.
            key: tells this wish from others; None makes one.
            options: of `autodepth search`: `space`, `space_text`, `settings`, `network`, ...
        """
        asked = {"study": study, "budget": budget, **options}
        return dict(self._post("queue", asked, key or _new_key()))

    def dry_run(self, *, budget: str, **options: Any) -> dict[str, Any]:
        """Return what a search would do and what its budget affords; a few steps are timed.

        Args:
            budget: as of `search`.
            options: likewise.
        """
        asked = {"budget": budget, **options}
        return dict(self._ask("POST", "dry-run", json=asked, timeout=_DRY_RUN_SECONDS))

    def stop(self, study: str) -> list[dict[str, Any]]:
        """Stop a study: what is complete stays."""
        return list(self._post(f"studies/{_in_path(study)}/stop"))

    def pause(self, study: str) -> list[dict[str, Any]]:
        """Pause a study; others have its slot meanwhile."""
        return list(self._post(f"studies/{_in_path(study)}/pause"))

    def go_on(self, study: str, *, key: str | None = None) -> dict[str, Any]:
        """Have a study go on that was paused or stopped."""
        return self._enter(study, "go-on", None, key)

    def set_concurrency(self, study: str, trials: int) -> None:
        """Change how many trials of a running study run at a time."""
        self._post(f"studies/{_in_path(study)}/concurrency", {"trials": trials})

    def add_budget(self, study: str, budget: str, *, key: str | None = None) -> dict[str, Any]:
        """Add to a study's budget, and have it go on."""
        return self._enter(study, "budget", {"budget": budget}, key)

    def enqueue(
        self, study: str, policy: Mapping[str, Any], *, key: str | None = None
    ) -> dict[str, Any]:
        """Have a policy of your own carried out in a study."""
        return self._enter(study, "policies", {"policy": dict(policy)}, key)

    def confirm(
        self, study: str, *, seeds: int = 2, controls: tuple[str, ...] = (), key: str | None = None
    ) -> dict[str, Any]:
        """Have a front retrained on fresh seeds, beside controls."""
        asked = {"seeds": seeds, "controls": list(controls)}
        return self._enter(study, "confirm", asked, key)

    def export(
        self, study: str, to: str, *, select: str = "knee", key: str | None = None, **options: Any
    ) -> dict[str, Any]:
        """Have a network of a front exported; `options` may name `formats`."""
        return self._enter(study, "exports", {"to": to, "select": select, **options}, key)

    def download(self, export: str, file: Path) -> Path:
        """Write an export into a zip file, and return that."""
        path = f"{self._api}/exports/{_in_path(export)}/archive"
        with self._session.get(path, stream=True, timeout=_SECONDS) as response:
            _checked(response)
            with file.open("xb") as out:
                for piece in response.iter_content(_PIECE):
                    out.write(piece)
        return file

    def register(
        self, export: str, name: str | None = None, *, key: str | None = None
    ) -> dict[str, Any]:
        """Have an export put into MLflow's model registry."""
        path = f"exports/{_in_path(export)}/register"
        return dict(self._post(path, {"name": name}, key or _new_key()))

    def delete(self, study: str) -> None:
        """Delete a study for good."""
        self._ask("DELETE", f"studies/{_in_path(study)}", params={"confirm": study})

    def accounts(self) -> list[dict[str, Any]]:
        """Return what everybody may spend."""
        return list(self._get("accounts"))

    def wait(self, study: str) -> dict[str, Any]:
        """Wait until nothing of a study waits or runs, and return its last work.

        Raises:
            StudyError: the queue has none of it.
        """
        while True:
            works = self._get("queue", study=study)["works"]
            if not works:
                raise StudyError(f"the queue has nothing of {study!r}")
            if not any(work["state"] in {"waiting", "running"} for work in works):
                return self.work(works[-1]["number"])
            time.sleep(_LOOK_SECONDS)

    def _enter(self, study: str, step: str, asked: Any, key: str | None) -> dict[str, Any]:
        return dict(self._post(f"studies/{_in_path(study)}/{step}", asked, key or _new_key()))

    def _get(self, path: str, **params: Any) -> Any:
        return self._ask("GET", path, params=params)

    def _post(self, path: str, asked: Any = None, key: str | None = None) -> Any:
        headers = {} if key is None else {"Idempotency-Key": key}
        return self._ask("POST", path, json=asked, headers=headers)

    def _ask(self, method: str, path: str, **request: Any) -> Any:
        """Ask, and ask again while nobody answers: all that is asked here is done once."""
        give_up = time.monotonic() + self._patience
        request.setdefault("timeout", _SECONDS)
        while True:
            try:
                response = self._session.request(method, f"{self._api}/{path}", **request)
            except _UNANSWERED as error:
                if time.monotonic() > give_up:
                    raise AutodepthError(f"nothing answers at {self._api}") from error
                time.sleep(_LOOK_SECONDS)
                continue
            return _checked(response).json()


def _checked(response: requests.Response) -> requests.Response:
    if response.ok:
        return response
    try:
        told = response.json()["error"]
    except (ValueError, KeyError, TypeError):
        told = f"the server answered {response.status_code}"
    raise _KINDS.get(response.status_code, AutodepthError)(told)


def _in_path(name: str) -> str:
    return quote(name, safe="")


def _new_key() -> str:
    return uuid.uuid4().hex
