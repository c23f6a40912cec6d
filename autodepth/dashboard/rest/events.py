"""Streams of events: what changed is told, and every few seconds that nothing did."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from fastapi.sse import ServerSentEvent

from autodepth.records.trial_record import utc_now

T = TypeVar("T")
_LOOK_SECONDS, _BEAT_SECONDS = 0.5, 4.0


async def changes(
    look: Callable[[], T], stopping: Callable[[], bool]
) -> AsyncIterator[tuple[str, T]]:
    """Yield `change` or `beat`, and what was seen, until the server is about to end.

    Args:
        look: returns what tells one state from another; called in another thread.
        stopping: whether the server is about to end.
    """
    told: T | None = None
    beats = 0.0
    while not stopping():
        now = await asyncio.to_thread(look)
        if now != told or beats >= _BEAT_SECONDS:
            kind = "beat" if now == told else "change"
            told, beats = now, 0.0
            yield kind, now
        await asyncio.sleep(_LOOK_SECONDS)
        beats += _LOOK_SECONDS


def event(kind: str, **told: object) -> ServerSentEvent:
    """Return an event with the time; whoever lost the connection asks again after a second."""
    return ServerSentEvent(event=kind, data={"now": utc_now(), **told}, retry=1000)
