"""Routes by which people steer: the queue, studies, exports, accounts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.responses import PlainTextResponse, StreamingResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

from autodepth.dashboard.guard import CALLER
from autodepth.dashboard.rest import models
from autodepth.dashboard.rest.documents import Document
from autodepth.dashboard.rest.events import changes, event
from autodepth.dashboard.rest.exports import (
    archive_of,
    export_folder,
    export_folders,
    size_of,
    verification_of,
)
from autodepth.dashboard.rest.models import WorkAnswer
from autodepth.errors import InputError, NotAllowedError, SpaceFileError, StudyError
from autodepth.service.queue.carrying.carrier import LOG_FILE
from autodepth.service.queue.carrying.dry_run import DryRuns
from autodepth.service.queue.owners import Owner
from autodepth.service.queue.steering import Steering
from autodepth.service.queue.wishes import SearchWish
from autodepth.service.queue.work import Work
from autodepth.space.file.shipped import shipped_spaces

_ARCHIVE = "application/octet-stream"  # that of zip is none that clients are generated for
_BYTES = {"type": "string", "format": "binary"}
# Of routes that enter something in the queue.
_ENTERS: dict[str, Any] = {
    "status_code": 201,
    "responses": {
        200: {"model": WorkAnswer, "description": "It was asked for under this key before."}
    },
}
_LONGEST_LOG = 100_000  # bytes from its end


def _steerer(request: Request) -> Owner:
    caller: Owner = request.scope[CALLER]
    if caller.role != "steer":
        raise NotAllowedError(f"{caller.name} may look and not steer: that needs a token to steer")
    return caller


def _key(
    idempotency_key: Annotated[
        str | None,
        Header(description="Tells this wish from another: asked again, it is done once."),
    ] = None,
) -> str:
    if idempotency_key is None:
        raise InputError(
            "what is entered in the queue needs a header Idempotency-Key, of your own making: "
            "asked again under the same one, it is done once"
        )
    return idempotency_key


Steerer = Annotated[Owner, Depends(_steerer)]
Number = Annotated[int, Path(ge=1, lt=2**31, description="Of a work.")]
Key = Annotated[str, Depends(_key)]


class Answers:
    """Works as they are told."""

    def __init__(self, steering: Steering) -> None:
        self._steering = steering

    def work(self, work: Work) -> WorkAnswer:
        """Return all that is told of one piece of work."""
        return self.works([work], answered=True)[0]

    def works(self, works: list[Work], *, answered: bool = False) -> list[WorkAnswer]:
        """Return what is told of works."""
        unfinished = self._steering.store.works(unfinished=True)
        waiting = [work.number for work in unfinished if work.state == "waiting"]
        before = {number: place for place, number in enumerate(waiting)}
        place = self._steering.scheduler.place
        return [
            WorkAnswer.of(work, place, before.get(work.number), answered=answered) for work in works
        ]

    def entered(self, response: Response, done: tuple[Work, bool]) -> WorkAnswer:
        """Return what is told of a work that was asked for, 201 where it is new."""
        work, new = done
        response.status_code = 201 if new else 200
        return self.work(work)


def queue_routes(  # noqa: C901 - a route each
    steering: Steering, stopping: Callable[[], bool]
) -> APIRouter:
    """Return the routes of the queue."""
    api, answers, dry_runs = APIRouter(tags=["queue"]), Answers(steering), DryRuns()

    @api.get("/queue", summary="The queue")
    def queue(
        unfinished: Annotated[bool, Query(description="Leave out what has ended.")] = False,
        study: Annotated[models.Name | None, Query(description="Of one study alone.")] = None,
        last: Annotated[int, Query(ge=1, le=1000, description="At most so many.")] = 1000,
    ) -> models.QueueAnswer:
        works = steering.store.works(study=study, unfinished=unfinished)[-last:]
        return models.QueueAnswer(slots=steering.scheduler.slots, works=answers.works(works))

    @api.get(
        "/queue/events", summary="Changes of the queue as they happen",
        response_class=EventSourceResponse,
    )  # fmt: skip
    async def events() -> AsyncIterator[ServerSentEvent]:
        async for kind, revision in changes(lambda: steering.store.revision, stopping):
            yield event(kind, revision=revision)

    @api.post("/queue", **_ENTERS, summary="Queue a search")
    def queue_search(
        asked: models.SearchRequest, owner: Steerer, key: Key, response: Response
    ) -> WorkAnswer:
        return answers.entered(response, steering.search(owner, asked.wish(), key))

    @api.post("/dry-run", summary="What a search would do, as search --dry-run --json")
    async def dry_run(asked: models.DryRunRequest, _: Steerer) -> Document:
        wish = asked.wish()
        await asyncio.to_thread(wish.check)
        return Document(**await dry_runs.plan(wish.arguments(), steering.scheduler.place))

    @api.get("/queue/{number}", summary="One piece of work")
    def work(number: Number) -> WorkAnswer:
        return answers.work(steering.store.work(number))

    @api.get(
        "/queue/{number}/log", summary="What its process has said", response_class=PlainTextResponse
    )
    def log(number: Number) -> PlainTextResponse:
        place = steering.scheduler.place.folder(steering.store.work(number).number)
        try:
            text = (place / LOG_FILE).read_bytes()[-_LONGEST_LOG:]
        except FileNotFoundError:
            text = b""
        return PlainTextResponse(text.decode(errors="replace"))

    @api.post("/queue/{number}/stop", summary="Stop one piece of work")
    def stop_work(number: Number, owner: Steerer) -> WorkAnswer:
        return answers.work(steering.cancel(owner, number))

    @api.get("/accounts", summary="What everybody may spend")
    def accounts() -> list[models.AccountAnswer]:
        return [models.AccountAnswer.of(each) for each in steering.allowances.accounts()]

    @api.get("/spaces", summary="Space files that come with autodepth, by name", tags=["spaces"])
    def spaces() -> dict[str, str]:
        return {name: path.read_text(encoding="utf-8") for name, path in shipped_spaces().items()}

    @api.post("/spaces/check", summary="Mistakes of a space, by line and column", tags=["spaces"])
    def check_space(asked: models.SpaceRequest, _: Steerer) -> models.MistakesAnswer:
        try:
            SearchWish(study="new", budget="1h", **asked.model_dump()).check()
        except SpaceFileError as error:
            return models.MistakesAnswer(mistakes=list(error.mistakes))
        except InputError as error:
            return models.MistakesAnswer(mistakes=[str(error)])
        return models.MistakesAnswer(mistakes=[])

    return api


def study_routes(steering: Steering) -> APIRouter:
    """Return the routes that steer a study."""
    api, answers = APIRouter(prefix="/studies/{name}", tags=["steering"]), Answers(steering)

    @api.post("/stop", summary="Stop a study: what is complete stays")
    def stop(name: str, owner: Steerer) -> list[WorkAnswer]:
        return answers.works(steering.stop(owner, name))

    @api.post("/pause", summary="Pause a study; others have its slot meanwhile")
    def pause(name: str, owner: Steerer) -> list[WorkAnswer]:
        return answers.works(steering.pause(owner, name))

    @api.post("/go-on", **_ENTERS, summary="Have a study go on")
    def go_on(name: str, owner: Steerer, key: Key, response: Response) -> WorkAnswer:
        return answers.entered(response, steering.go_on(owner, name, key))

    @api.post("/concurrency", summary="Change how many trials run at a time")
    def concurrency(
        name: str, asked: models.ConcurrencyRequest, owner: Steerer
    ) -> models.ConcurrencyAnswer:
        steering.concurrency(owner, name, asked.trials)
        return models.ConcurrencyAnswer(study=name, concurrency=asked.trials)

    @api.post("/budget", **_ENTERS, summary="Add to a budget, and go on")
    def budget(
        name: str, asked: models.BudgetRequest, owner: Steerer, key: Key, response: Response
    ) -> WorkAnswer:
        return answers.entered(response, steering.more_budget(owner, name, asked.budget, key))

    @api.post(
        "/policies",
        **_ENTERS,
        summary="Have a policy of your own carried out",
    )
    def policies(
        name: str, asked: models.PolicyRequest, owner: Steerer, key: Key, response: Response
    ) -> WorkAnswer:
        return answers.entered(response, steering.policy(owner, name, asked.policy, key))

    @api.post("/confirm", **_ENTERS, summary="Retrain the front on fresh seeds")
    def confirm(
        name: str, asked: models.ConfirmRequest, owner: Steerer, key: Key, response: Response
    ) -> WorkAnswer:
        done = steering.confirm(owner, name, asked.seeds, asked.controls, key)
        return answers.entered(response, done)

    @api.post("/exports", **_ENTERS, summary="Export a network of the front")
    def export(
        name: str, asked: models.ExportRequest, owner: Steerer, key: Key, response: Response
    ) -> WorkAnswer:
        done = steering.export(owner, name, asked.to, asked.select, asked.formats, key)
        return answers.entered(response, done)

    @api.delete("", summary="Delete a study for good")
    def delete(
        name: str,
        owner: Steerer,
        confirm: Annotated[str, Query(description="The study's name once more.")],
    ) -> models.DeletedAnswer:
        steering.delete(owner, name, confirm)
        return models.DeletedAnswer(study=name, deleted=True)

    return api


def export_routes(steering: Steering) -> APIRouter:
    """Return the routes of exports."""
    api, answers = APIRouter(prefix="/exports", tags=["exports"]), Answers(steering)

    def told(name: str) -> models.ExportAnswer:
        folder = export_folder(steering.scheduler.place.export(name).parent, name)
        try:
            study = steering.study_of_export(name)
        except StudyError:
            study = None
        found: Any = verification_of(folder)
        size = size_of(folder)
        return models.ExportAnswer(name=name, study=study, bytes=size, verification=found)

    @api.get("", summary="What was exported")
    def exports() -> list[models.ExportAnswer]:
        folders = export_folders(steering.scheduler.place.export("any").parent)
        return [told(folder.name) for folder in folders]

    @api.get("/{name}", summary="One export, and how it was verified")
    def export(name: str) -> models.ExportAnswer:
        return told(name)

    @api.get(
        "/{name}/archive",
        summary="An export as a zip file",
        response_class=StreamingResponse,
        responses={200: {"content": {_ARCHIVE: {"schema": _BYTES}}}},
    )
    def archive(name: str) -> StreamingResponse:
        folder = export_folder(steering.scheduler.place.export(name).parent, name)
        headers = {"Content-Disposition": f'attachment; filename="{folder.name}.zip"'}
        return StreamingResponse(archive_of(folder), media_type=_ARCHIVE, headers=headers)

    @api.post(
        "/{name}/register",
        **_ENTERS,
        summary="Register an export in MLflow",
    )
    def register(
        name: str, asked: models.RegisterRequest, owner: Steerer, key: Key, response: Response
    ) -> WorkAnswer:
        return answers.entered(response, steering.register(owner, name, asked.name, key))

    return api
