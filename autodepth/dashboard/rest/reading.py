"""Routes that look: studies, their fronts, trials and what they come to. They change nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from autodepth.dashboard.answers import (
    blocks_answer,
    branches_answer,
    controls_answer,
    front_answer,
    front_columns_answer,
    status_answer,
    trial_answer,
    trials_answer,
)
from autodepth.dashboard.rest import documents
from autodepth.dashboard.rest.events import changes, event
from autodepth.dashboard.studies import Studies

OwnerOf = Callable[[str], str | None]


class Json(Response):
    """Plain values as JSON; FastAPI's own way looks at every number of ten thousand trials."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Return the text; NaN is no JSON, and an error here."""
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode()


def _told(model: Any) -> dict[int | str, dict[str, Any]]:
    return {200: {"model": model}}


def reading_routes(  # noqa: C901 - a route each
    studies: Studies, stopping: Callable[[], bool], owner_of: OwnerOf
) -> APIRouter:
    """Return the routes.

    Args:
        studies: what there is.
        stopping: whether the server is about to end; open streams end then.
        owner_of: returns whose a study is.
    """
    api = APIRouter(tags=["studies"])

    @api.get(
        "/studies", summary="Studies, newest first", responses=_told(list[documents.StudyLine])
    )
    def all_studies() -> Json:
        return Json([{**line, "owner": owner_of(line["study"])} for line in studies.list()])

    @api.get(
        "/studies/{name}/status",
        summary="Where a study stands",
        responses=_told(documents.StatusAnswer),
    )
    def status(name: str) -> Json:
        view = studies.view(name)
        return Json(status_answer(view, view.look()))

    @api.get(
        "/studies/{name}/front",
        summary="Networks that no other beats",
        responses=_told(list[documents.FrontMember]),
    )
    def front(name: str) -> Json:
        return Json(front_answer(studies.view(name).look()))

    @api.get(
        "/studies/{name}/front/columns",
        summary="The front in columns",
        responses=_told(documents.ColumnsAnswer),
    )
    def front_columns(name: str) -> Json:
        return Json(front_columns_answer(studies.view(name).look()))

    @api.get(
        "/studies/{name}/controls",
        summary="The front beside its controls",
        responses=_told(list[documents.Document]),
    )
    def controls(name: str) -> Json:
        return Json(controls_answer(studies.view(name).look()))

    @api.get(
        "/studies/{name}/trials",
        summary="Trials in columns",
        responses=_told(documents.TrialsAnswer),
    )
    def trials(
        name: str,
        instance: Annotated[str, Query(description="Of the last answer; empty for all.")] = "",
        revision: Annotated[int, Query(description="Of the last answer.")] = 0,
    ) -> Json:
        return Json(trials_answer(studies.view(name).look(), instance, revision))

    @api.get(
        "/studies/{name}/trials/{number}",
        summary="A trial explained",
        responses=_told(documents.TrialAnswer),
    )
    def trial(name: str, number: int) -> Json:
        view = studies.view(name)
        return Json(trial_answer(view, view.look(), number))

    @api.get(
        "/studies/{name}/trials/{number}/blocks",
        summary="Blocks of a trial's network",
        responses=_told(documents.Document),
    )
    def blocks(name: str, number: int) -> Json:
        view = studies.view(name)
        found = view.look()
        return Json(blocks_answer(view, found, number, studies.branches(found)))

    @api.post(
        "/studies/{name}/branches",
        summary="What trials measured of each branch",
        responses=_told(documents.Document),
    )
    def branches(name: str, asked: documents.BranchesRequest) -> Json:
        wanted = None if asked.trials is None else set(asked.trials)
        return Json(branches_answer(studies.view(name).look(), wanted))

    @api.get(
        "/studies/{name}/importance",
        summary="Which settings matter",
        responses=_told(documents.Document),
    )
    def importance(name: str) -> Json:
        return Json(studies.importance(studies.view(name).look()))

    @api.get(
        "/hypervolume",
        summary="Hypervolume of studies over device time",
        responses=_told(documents.Document),
    )
    def hypervolume(study: Annotated[list[str], Query()]) -> Json:
        return Json(studies.hypervolume(study))

    @api.get(
        "/events", summary="Changes of a study as they happen", response_class=EventSourceResponse
    )
    async def events(study: str) -> AsyncIterator[ServerSentEvent]:
        view = await asyncio.to_thread(studies.view, study)

        def look() -> tuple[object, bool]:
            return view.stamp(), view.driver() is not None

        async for kind, (_, running) in changes(look, stopping):
            yield event(kind, running=running)

    return api
