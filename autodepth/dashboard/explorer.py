"""The explorer as a web application: its page, its API, and its stream of events."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Body, FastAPI, Query, Request
from fastapi.responses import FileResponse, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from fastapi.staticfiles import StaticFiles

from autodepth.dashboard.answers import (
    blocks_answer,
    branches_answer,
    front_answer,
    status_answer,
    trial_answer,
    trials_answer,
)
from autodepth.dashboard.guard import Access, Guard
from autodepth.dashboard.studies import Studies
from autodepth.errors import AutodepthError, InputError, StudyError
from autodepth.records.trial_record import utc_now

_LOOK_SECONDS, _BEAT_SECONDS = 0.5, 4.0
Trials = Annotated[list[int] | None, Body(embed=True)]


class Json(Response):
    """Plain values as JSON; FastAPI's own way looks at every number of ten thousand trials."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Return the text; NaN is no JSON, and an error here."""
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode()


def explorer(access: Access, stopping: Callable[[], bool]) -> Guard:
    """Return the application.

    Args:
        access: who may ask.
        stopping: whether the server is about to end; open streams end then.
    """
    # Neither the pages of OpenAPI: they fetch scripts from elsewhere.
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.add_exception_handler(AutodepthError, _told)
    studies = Studies()
    threading.Thread(target=studies.warm, daemon=True).start()
    app.include_router(_of_studies(studies))

    @app.get("/api/events", response_class=EventSourceResponse)
    async def _events(study: str) -> AsyncIterator[ServerSentEvent]:
        async for event in _changes(studies, study, stopping):
            yield event

    @app.get("/plotly.js")
    def _plotly() -> FileResponse:
        import plotly  # noqa: PLC0415 - only where to find its file

        file = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
        cached = {"Cache-Control": "private, max-age=3600"}  # 5 MB
        return FileResponse(file, media_type="text/javascript", headers=cached)

    app.mount("/", StaticFiles(directory=explorer_folder(), html=True))
    return Guard(app, access)


def _of_studies(studies: Studies) -> APIRouter:
    api = APIRouter(prefix="/api")

    @api.get("/studies")
    def _studies() -> Json:
        return Json(studies.list())

    @api.get("/studies/{name}/trials")
    def _trials(name: str, instance: str = "", revision: int = 0) -> Json:
        return Json(trials_answer(studies.view(name).look(), instance, revision))

    @api.get("/studies/{name}/front")
    def _front(name: str) -> Json:
        return Json(front_answer(studies.view(name).look()))

    @api.get("/studies/{name}/status")
    def _status(name: str) -> Json:
        view = studies.view(name)
        return Json(status_answer(view, view.look()))

    @api.post("/studies/{name}/branches")
    def _branches(name: str, trials: Trials = None) -> Json:
        wanted = None if trials is None else set(trials)
        return Json(branches_answer(studies.view(name).look(), wanted))

    @api.get("/studies/{name}/trials/{number}")
    def _trial(name: str, number: int) -> Json:
        view = studies.view(name)
        return Json(trial_answer(view, view.look(), number))

    @api.get("/studies/{name}/trials/{number}/blocks")
    def _blocks(name: str, number: int) -> Json:
        view = studies.view(name)
        found = view.look()
        return Json(blocks_answer(view, found, number, studies.branches(found)))

    @api.get("/studies/{name}/importance")
    def _importance(name: str) -> Json:
        return Json(studies.importance(studies.view(name).look()))

    @api.get("/hypervolume")
    def _hypervolume(study: Annotated[list[str], Query()]) -> Json:
        return Json(studies.hypervolume(study))

    return api


def explorer_folder() -> Path:
    """Return the folder of the page: inside the installed package, else the checkout's."""
    package = Path(__file__).parents[1]
    installed = package / "dashboards"
    return (installed if installed.is_dir() else package.parent / "dashboards") / "explorer"


async def _changes(
    studies: Studies, name: str, stopping: Callable[[], bool]
) -> AsyncIterator[ServerSentEvent]:
    """Tell of every change of a study and, every few seconds, that there was none."""
    view = await asyncio.to_thread(studies.view, name)
    told: object = None
    beats = 0.0
    while not stopping():
        now = await asyncio.to_thread(lambda: (view.stamp(), view.driver() is not None))
        if now != told or beats >= _BEAT_SECONDS:
            kind = "beat" if now == told else "change"
            told, beats = now, 0.0
            yield ServerSentEvent(
                event=kind, data={"now": utc_now(), "running": now[1]}, retry=1000
            )
        await asyncio.sleep(_LOOK_SECONDS)
        beats += _LOOK_SECONDS


async def _told(_: Request, error: Exception) -> Response:
    status = 404 if isinstance(error, StudyError) else 400 if isinstance(error, InputError) else 500
    return Json({"error": str(error)}, status)
