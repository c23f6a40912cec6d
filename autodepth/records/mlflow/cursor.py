"""How much of a study a tracking store has received, kept in the ledger."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from autodepth.records.ledger import Ledger

STUDY = -1  # stands for the run of the study itself where a trial's number is asked for


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far one run has been sent.

    Args:
        run_id: the store's name for the run.
        epochs_sent: steps sent so far, counted from 1.
        state_sent: the state the run was ended with; None while it is open.
        on_front: whether the store was told that the trial is on the front; None if nothing.
    """

    run_id: str
    epochs_sent: int = 0
    state_sent: str | None = None
    on_front: bool | None = None


class Outbox:
    """The part of a ledger that belongs to one tracking store.

    Args:
        ledger: open for writing.
        store: a key for the store; never a URI, which may carry a password.
    """

    def __init__(self, ledger: Ledger, store: str) -> None:
        self._database = ledger.database
        self._store = store

    def pending(self) -> list[int]:
        """Return the trials the store does not know the end of, running ones included."""
        rows = self._database.query(
            "SELECT number FROM trial LEFT JOIN tracking ON store = ? AND trial = number"
            " WHERE state_sent IS NOT state ORDER BY number",
            self._store,
        )
        return [row["number"] for row in rows]

    def depth(self) -> int:
        """Return how many events the store does not have: epochs, and how trials ended."""
        rows = self._database.query(
            "WITH behind AS (SELECT number, ended_at, COALESCE(epochs_sent, 0) AS sent"
            " FROM trial LEFT JOIN tracking ON store = ? AND trial = number"
            " WHERE state_sent IS NOT state)"
            " SELECT (SELECT COUNT(ended_at) FROM behind)"
            " + (SELECT COUNT(*) FROM behind JOIN epoch ON trial = number AND step > sent)",
            self._store,
        )
        return int(rows[0][0])

    def on_front(self) -> list[int]:
        """Return the trials the store believes to be on the front."""
        rows = self._database.query(
            "SELECT trial FROM tracking WHERE store = ? AND on_front = 1", self._store
        )
        return [row["trial"] for row in rows]

    def progress(self, trial: int) -> Progress | None:
        """Return how far a trial has been sent; None if the store has never heard of it."""
        rows = self._database.query(
            "SELECT run_id, epochs_sent, state_sent, on_front FROM tracking"
            " WHERE store = ? AND trial = ?",
            self._store,
            trial,
        )
        if not rows:
            return None
        progress = Progress(**dict(rows[0]))
        on_front = progress.on_front
        return replace(progress, on_front=None if on_front is None else bool(on_front))

    def save(self, trial: int, progress: Progress) -> None:
        """Keep how far a trial has been sent."""
        values: dict[str, Any] = {"store": self._store, "trial": trial, **asdict(progress)}
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO tracking VALUES"
                " (:store, :trial, :run_id, :epochs_sent, :state_sent, :on_front)",
                values,
            )

    def forget(self) -> None:
        """Start over: the store is new, or everything is to be sent again."""
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM tracking WHERE store = ?", (self._store,))
