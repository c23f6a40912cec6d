"""Streams of events: each change once, a beat while nothing changes, and an end."""

import asyncio

from autodepth.dashboard.rest import events


def test_changes_are_told_once_and_silence_is_told_too(monkeypatch):
    monkeypatch.setattr(events, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(events, "_BEAT_SECONDS", 0.05)
    seen = iter([1, 1, 2, 2, *([3] * 1000)])
    told = []

    async def listen():
        async for kind, state in events.changes(lambda: next(seen), lambda: len(told) > 4):
            told.append((kind, state))

    asyncio.run(listen())
    assert told[:5] == [("change", 1), ("change", 2), ("change", 3), ("beat", 3), ("beat", 3)]
    assert events.event("beat", running=True).data["running"]
