"""The application under /api/v1: its routes, what it says of errors, and its OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from fastapi.routing import APIRoute

from autodepth.dashboard.guard import CALLER
from autodepth.dashboard.rest.models import AboutAnswer, ErrorAnswer
from autodepth.dashboard.rest.page import reference_html
from autodepth.dashboard.rest.reading import Json, reading_routes
from autodepth.dashboard.rest.steering import export_routes, queue_routes, study_routes
from autodepth.dashboard.studies import Studies
from autodepth.errors import (
    AutodepthError,
    InputError,
    NotAllowedError,
    NotNowError,
    StorageError,
    StudyError,
    StudyInUseError,
)
from autodepth.service.queue.steering import Steering
from autodepth.version import __version__

PREFIX = "/api/v1"
_ABOUT = (
    "What the page asks, and scripts may ask as well. Accuracies are of the validation split, "
    "fractions; times are seconds, points in time ISO 8601 in UTC. Send a token as "
    "`Authorization: Bearer TOKEN` where the server wants one. What enters the queue needs a "
    'header `Idempotency-Key`. Errors are `{"error": "..."}`, for people.'
)
_STATUS: tuple[tuple[type[AutodepthError], int], ...] = (
    (NotAllowedError, 403),
    (NotNowError, 409),
    (StudyInUseError, 409),
    (StudyError, 404),
    (InputError, 400),
    (StorageError, 507),
    (AutodepthError, 500),
)
_SAID = {
    400: "the body cannot be read as JSON",
    404: "there is nothing of that name",
    405: "this cannot be done here; what steers needs `autodepth serve`",
}


def rest_application(
    studies: Studies, stopping: Callable[[], bool], steering: Steering | None
) -> FastAPI:
    """Return the application.

    Args:
        studies: what there is.
        stopping: whether the server is about to end.
        steering: what people may do; None serves those who look alone.
    """
    # Neither the pages of OpenAPI: they fetch scripts from elsewhere.
    app = FastAPI(
        title="autodepth", version=__version__, description=_ABOUT,
        openapi_url=None, docs_url=None, redoc_url=None, generate_unique_id_function=_name_of,
    )  # fmt: skip
    app.add_exception_handler(AutodepthError, _told)
    app.add_exception_handler(RequestValidationError, _mistakes)
    for status, words in _SAID.items():
        app.add_exception_handler(status, partial(_said, status, words))
    failed: dict[int | str, dict[str, Any]] = {"4XX": {"model": ErrorAnswer}}
    api = APIRouter(prefix=PREFIX, responses=failed)
    api.include_router(
        reading_routes(
            studies, stopping, lambda _: None if steering is None else steering.owner_of(_)
        )
    )
    if steering is not None:
        api.include_router(queue_routes(steering, stopping))
        for routes in (study_routes, export_routes):
            api.include_router(routes(steering))

    @api.get("/about", summary="Who asks, and what this server does", tags=["about"])
    def about(request: Request) -> AboutAnswer:
        caller = request.scope[CALLER]
        return AboutAnswer(
            version=__version__, name=caller.name, role=caller.role, steers=steering is not None
        )

    @api.get("/openapi.json", include_in_schema=False)
    def document() -> Json:
        return Json(app.openapi())

    @api.get("/docs", include_in_schema=False)
    def page() -> HTMLResponse:
        return HTMLResponse(reference_html(app.openapi()))

    app.include_router(api)
    return app


def openapi_document() -> dict[str, Any]:
    """Return the OpenAPI document of a server that can be steered."""
    nobody = cast("Any", None)  # routes are listed, and none is asked
    app = rest_application(nobody, lambda: True, cast("Steering", _Unused()))
    return app.openapi()


def _nobody(_: str) -> str | None:
    return None


class _Unused:
    """Stands for what no route is asked of."""


def _name_of(route: APIRoute) -> str:
    """Return what clients that are generated call a route."""
    return f"{route.tags[0] if route.tags else 'page'}_{route.name}"


async def _told(_: Request, error: Exception) -> Response:
    status = next(status for kind, status in _STATUS if isinstance(error, kind))
    return Json({"error": str(error)}, status)


async def _said(status: int, words: str, _: Request, __: Exception) -> Response:
    return Json({"error": words}, status)


async def _mistakes(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    told = []
    for mistake in error.errors():
        place = ".".join(str(part) for part in mistake["loc"][1:]) or "body"
        words = mistake["msg"].removeprefix("Value error, ")
        told.append(f"{place}: {words[:1].lower()}{words[1:]}")
    return Json({"error": "\n".join(told)}, 422)
