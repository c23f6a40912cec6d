"""Telling people what happens in a study while it runs, without ever holding it up.

As with MLflow, the driver only writes its ledger. A thread for each place reads there what has
happened, notes it for its place, and sends it: once, as its key says, whoever drives the study.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Literal

from autodepth.errors import StudyInUseError, TrackingError
from autodepth.records.ledger import Ledger
from autodepth.records.ledger.notices import Notice, Notices
from autodepth.records.mlflow.sync import without_password
from autodepth.records.studies import StudyFolder
from autodepth.service.notify.events import budget_event, driver_event, front_event
from autodepth.service.notify.places import NotifyPlace, deliver

GIVE_UP_SECONDS = 24 * 3600.0
"""After so long nobody is told any more."""
_LOOK_SECONDS = 2.0
_FRONT_SECONDS = 600.0  # so often at most one is told of the front, and of all that joined it
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 5.0, 600.0
_CLOSE_SECONDS = 30.0
_log = logging.getLogger(__name__)


@contextmanager
def telling(
    folder: StudyFolder, places: Iterable[NotifyPlace], *, token: int, taken_up: bool
) -> Iterator[None]:
    """Tell places what happens in a study that is driven while entered.

    Args:
        folder: the study's; its ledger must exist.
        places: where people are told.
        token: of the driver, see `Ledger.begin_driving`.
        taken_up: whether an earlier driver died, which this one goes on from.
    """
    notifiers = [Notifier(folder, place, token=token) for place in places]
    try:
        for notifier in notifiers if taken_up else ():
            notifier.tell("taken-up", "its driver had died, and a new one goes on")
        yield
    except Exception as error:
        for notifier in notifiers:
            notifier.tell("failed", f"{type(error).__name__}: {without_password(str(error))}")
        raise
    finally:
        for notifier in notifiers:
            notifier.closing.set()
        for notifier in notifiers:
            notifier.close()


class Notifier:
    """Tells one place, from a thread of its own, from construction until `close`.

    Args:
        folder: the study's; its ledger must exist.
        place: who is told.
        token: of the driver it belongs to.

    Raises:
        StudyError: the study has no ledger.
    """

    def __init__(self, folder: StudyFolder, place: NotifyPlace, *, token: int) -> None:
        self._place = place
        self._ledger = Ledger.open(folder.ledger_path)
        self._ledger.database.token = token
        self._notices = Notices(self._ledger.database, place.key)
        self.closing = threading.Event()
        self._seen: object = None
        self._front_due = 0.0  # on the monotonic clock
        self._pause = self._next_try = 0.0
        self._thread = threading.Thread(target=self._run, name="notify", daemon=True)
        self._thread.start()

    def tell(self, kind: Literal["taken-up", "failed"], why: str) -> None:
        """Have it told what happened to the driver."""
        try:
            self._notices.note([driver_event(self._ledger, kind, why).to_dict()])
        except Exception as error:  # noqa: BLE001  (telling never ends anything)
            _log.warning(
                "%s is not told of it (%s): %s", self._place.name, type(error).__name__, why
            )

    def close(self) -> None:
        """Send what can be sent and stop; the ledger keeps the rest for the next driver."""
        self.closing.set()
        self._thread.join(_CLOSE_SECONDS)

    def _run(self) -> None:
        with self._ledger:
            closing = False
            while not closing:
                closing = self.closing.is_set()  # asked first: the last pass then misses nothing
                try:
                    self._note(final=closing)
                    if closing or time.monotonic() >= self._next_try:
                        self._send()
                except StudyInUseError:  # whoever drives the study now tells of it
                    return
                except Exception as error:  # noqa: BLE001  (telling never ends anything)
                    self._wait_longer(type(error).__name__)
                self.closing.wait(_LOOK_SECONDS)
            if waiting := len(self._notices.waiting()):
                _log.warning(
                    "%s has not taken %d messages; the study's next driver sends them",
                    self._place.name, waiting,
                )  # fmt: skip

    def _note(self, *, final: bool) -> None:
        """Note what has happened since it was last looked at."""
        seen = (self._ledger.counts(), self._ledger.study.outcome)
        if seen == self._seen and not final:
            return
        events = [budget_event(self._ledger)]
        if final or time.monotonic() >= self._front_due:
            known = {trial for notice in self._notices.all() for trial in notice.content["trials"]}
            joined = front_event(self._ledger, known)
            events.insert(0, joined)
            if joined is not None:
                self._front_due = time.monotonic() + _FRONT_SECONDS
            self._seen = seen
        self._notices.note(event.to_dict() for event in events if event is not None)

    def _send(self) -> None:
        for notice in self._notices.waiting():
            if _age(notice) > GIVE_UP_SECONDS:
                self._notices.move(notice, "given up")
                continue
            self._notices.move(notice, "sending")
            try:
                deliver(self._place, {**notice.content, "time": notice.noted_at})
            except TrackingError as error:
                self._notices.move(notice, "waiting")
                self._wait_longer(str(error))
                return
            self._notices.move(notice, "sent")
            self._pause = 0.0

    def _wait_longer(self, why: str) -> None:
        if not self._pause:
            _log.warning("%s is told later (%s)", self._place.name, why)
        self._pause = min(max(2 * self._pause, _FIRST_PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS)
        self._next_try = time.monotonic() + self._pause


def _age(notice: Notice) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(notice.noted_at)).total_seconds()
