"""What people are told of a study, in its ledger: each of them once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from autodepth.records.ledger.database import Database
from autodepth.records.trial_record import utc_now

NoticeState = Literal["waiting", "sending", "sent", "given up"]


@dataclass(frozen=True, kw_only=True)
class Notice:
    """One thing that one place is told.

    Args:
        number: in the order of noting.
        key: tells it from whatever else that place is told of the study.
        noted_at: ISO 8601, UTC.
        state: `sending` is left where whoever sent it died meanwhile: it may have arrived, so it
            is not sent again.
        content: plain values.
    """

    number: int
    key: str
    noted_at: str
    state: NoticeState
    content: Mapping[str, Any]


class Notices:
    """What one place is told, kept in a ledger that is open for writing.

    Args:
        database: the ledger's.
        place: a key for the place; never a URL, which may be a secret.
    """

    def __init__(self, database: Database, place: str) -> None:
        self._database = database
        self._place = place

    def note(self, contents: Iterable[Mapping[str, Any]]) -> None:
        """Enter what is to be told; what has a `key` that is known changes nothing."""
        with self._database.transaction() as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO notice (place, key, noted_at, state, content)"
                " VALUES (?, ?, ?, 'waiting', ?)",
                [(self._place, content["key"], utc_now(), json.dumps(dict(content)))
                 for content in contents],
            )  # fmt: skip

    def all(self) -> list[Notice]:
        """Return everything that was noted, in that order."""
        rows = self._database.query(
            "SELECT number, key, noted_at, state, content FROM notice WHERE place = ?"
            " ORDER BY number",
            self._place,
        )
        return [Notice(**{**dict(row), "content": json.loads(row["content"])}) for row in rows]

    def waiting(self) -> list[Notice]:
        """Return what is still to be sent, the oldest first."""
        return [notice for notice in self.all() if notice.state == "waiting"]

    def move(self, notice: Notice, state: NoticeState) -> None:
        """Enter what became of a notice."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE notice SET state = ? WHERE number = ?", (state, notice.number)
            )
