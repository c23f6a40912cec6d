"""What people are told is in the ledger once for each place, and what became of it."""

from __future__ import annotations

from autodepth.records.ledger import Ledger
from autodepth.records.ledger.notices import Notices


def test_a_key_is_noted_once_for_each_place_and_keeps_its_state(ledger: Ledger) -> None:
    here, there = (Notices(ledger.database, place) for place in ("here", "there"))
    here.note([{"key": "half", "text": "a"}, {"key": "done", "text": "b"}])
    half, _ = here.waiting()
    here.move(half, "sent")
    here.note([{"key": "half", "text": "told again"}])
    there.note([{"key": "half", "text": "a"}])

    assert [(n.key, n.state, n.content["text"]) for n in here.all()] == [
        ("half", "sent", "a"), ("done", "waiting", "b"),
    ]  # fmt: skip
    assert [notice.key for notice in here.waiting()] == ["done"]
    assert [notice.key for notice in there.waiting()] == ["half"]
