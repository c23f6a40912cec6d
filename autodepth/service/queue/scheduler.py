"""What becomes of the works of a queue: started in order, watched, adopted, ended.

A work that runs is a process of its own. So a server that comes after another one looks at what
the kernel and the ledgers say: who lives goes on, and is asked what people want of it; how others
ended stands in a file; and what died without a word is carried out again, from where it was.
"""

from __future__ import annotations

import logging
import os
import subprocess
import threading
from collections.abc import Sequence
from functools import partial

from autodepth.errors import AutodepthError
from autodepth.records.driver_lock.by_hand import ask_for, role_of, take_back, trial_of
from autodepth.records.driver_lock.lock import driver_of, read_requests, wish
from autodepth.records.ledger import Ledger
from autodepth.records.studies import StudyFolder
from autodepth.records.trial_record import utc_now
from autodepth.service.queue.allowances import Allowances
from autodepth.service.queue.carrying.carrier import (
    answer_of,
    end_attempt,
    is_carried_out,
    start_attempt,
    starts_in_vain,
    status_of,
    take_lock,
    told_of,
)
from autodepth.service.queue.carrying.commands import Place, command_of, environment_of, write_files
from autodepth.service.queue.carrying.ending import (
    NO_RAY,
    outcome_of_work,
    spent_by,
    what_becomes_of,
)
from autodepth.service.queue.carrying.exported import status_of_dead_export
from autodepth.service.queue.carrying.machine import devices_here, share_of
from autodepth.service.queue.store import QueueStore
from autodepth.service.queue.work import Work
from autodepth.units import Budget, parse_budget

_LOOK_SECONDS = 0.5
_BESIDE = 1  # works at a time that need no slot
_log = logging.getLogger(__name__)


class Scheduler:
    """Carries the works of a queue out, from a thread of its own between `start` and `close`.

    Args:
        store: the queue.
        place: where works are carried out.
        slots: how many studies are driven at a time, at least 1.
        allowances: what owners may spend.
    """

    def __init__(
        self, store: QueueStore, place: Place, *, slots: int, allowances: Allowances
    ) -> None:
        self._store, self.place, self.slots = store, place, slots
        self._allowances = allowances
        self._children: list[subprocess.Popen[bytes]] = []
        self._asked: set[tuple[int, int]] = set()  # works and attempts that were asked to end
        self._wake, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="queue", daemon=True)

    def start(self) -> None:
        """Begin to carry works out."""
        self._thread.start()

    def wake(self) -> None:
        """Look at once: something was asked for."""
        self._wake.set()

    def close(self) -> None:
        """Start nothing any more; what runs goes on."""
        self._over.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        told = ""
        while not self._over.is_set():
            try:
                self.look()
                told = ""
            except Exception as error:  # noqa: BLE001  (the next look may do)
                if told != (told := f"{type(error).__name__}: {error}"):
                    _log.warning("the queue waits: %s", told)
            self._wake.wait(_LOOK_SECONDS)
            self._wake.clear()

    def look(self) -> None:
        """Enter what has ended, ask what people want of what runs, and start what is next."""
        self._children = [child for child in self._children if child.poll() is None]
        for work in self._store.works(unfinished=True):
            if work.state == "running":
                self._look_at(work)
        self._start_next()

    def study(self, name: str) -> StudyFolder:
        """Return the folder that a study of that name has, or would have."""
        return StudyFolder(self.place.studies / name)

    def _look_at(self, work: Work) -> None:
        study = self.study(work.study)
        driven = work.drives and driver_of(study) is not None
        if work.kind == "policy" and work.slot is None:
            self._look_for_trial(work, study, driven=driven)
            return
        if driven or is_carried_out(self.place.folder(work.number)):
            self._ask(work, study, driven=driven)
            return
        folder = self.place.folder(work.number)
        status, in_vain = status_of(folder, work.attempt), self._starts_in_vain(work)
        outcome = outcome_of_work(work, study, answer_of(folder, work.attempt))
        charged = max(0.0, spent_by(study) - work.spent_before) if work.drives else 0.0
        if work.kind == "export" and status is None:
            status = status_of_dead_export(self.place.export(work.arguments["to"]), work.study)
        with self._store.transaction():
            work = self._store.work(work.number)  # somebody may have asked for more meanwhile
            words = partial(self._last_words, work)
            state, told = what_becomes_of(work, status, outcome, words, in_vain)
            self._store.end(work, state, told, charged)

    def _look_for_trial(self, work: Work, study: StudyFolder, *, driven: bool) -> None:
        """See what became of a policy that was handed to the driver of a study that ran."""
        role = role_of(work.arguments["policy"])
        with Ledger.open(study.ledger_path, read_only=True) as ledger:
            trial = trial_of(ledger.trials(), role)
        if trial is not None or work.wanted != "run":
            take_back(study, role)
        if trial is not None:
            self._store.end(work, "done", f"trial {trial.number}", 0.0)
        elif work.wanted != "run":
            self._store.end(work, "stopped", "it was stopped", 0.0)
        elif not driven:  # its budget ended before: it gets a process of its own
            take_back(study, role)
            self._store.end(work, "waiting", "the study ended before", 0.0)

    def _ask(self, work: Work, study: StudyFolder, *, driven: bool) -> None:
        """Ask a work that runs for what people want; a new driver has forgotten earlier wishes.

        One that does not drive its study yet is asked by a signal, once: it may be about to end.
        """
        attempt = (work.number, work.attempt)
        if work.wanted != "run" and not driven and attempt not in self._asked:
            self._asked.add(attempt)
            end_attempt(self.place.folder(work.number))
        elif driven:
            asked = read_requests(study)
            if work.wanted != "run" and not asked.stop:
                self._asked.add(attempt)
                wish(study, stop=True)
            if work.concurrency not in {None, asked.concurrency}:
                wish(study, concurrency=work.concurrency)

    def _starts_in_vain(self, work: Work) -> int:
        return starts_in_vain(self.place.folder(work.number), work.attempt, NO_RAY)

    def _last_words(self, work: Work) -> str:
        return told_of(self.place.folder(work.number)) or "it ended without a word"

    def _start_next(self) -> None:
        works = self._store.works(unfinished=True)
        running = [work for work in works if work.state == "running"]
        taken = [work.slot for work in running if work.slot is not None]
        free = sorted(set(range(self.slots)) - set(taken))[: max(0, self.slots - len(taken))]
        beside = _BESIDE - sum(not work.drives for work in running)
        earlier: set[str] = set()
        for work in works:
            ready = work.state == "waiting" and work.study not in earlier
            if work.kind == "policy" and work.state == "waiting" and self._hand_over(work):
                continue
            if work.state != "paused":
                earlier.add(work.study)  # what is asked of a study is done in its order
            if not ready or self._is_held(work):
                continue
            if work.drives and free:
                self._start(work, free.pop(0))
            elif not work.drives and beside:
                self._start(work, None)
                beside -= 1

    def _hand_over(self, work: Work) -> bool:
        """Have the driver of a study that runs carry a policy out; return whether there is one."""
        study = self.study(work.study)
        if driver_of(study) is None:
            return False
        with self._store.transaction():
            if self._store.work(work.number).state == "waiting":
                ask_for(study, work.arguments["policy"])
                self._store.change(
                    work.number, state="running", slot=None,
                    started_at=work.started_at or utc_now(),
                    told="the study's driver has it, and carries it out once it has a place",
                )  # fmt: skip
        return True

    def _is_held(self, work: Work) -> bool:
        """Whether a work has to wait for a process that is not of the queue."""
        return work.drives and driver_of(self.study(work.study)) is not None

    def _start(self, work: Work, slot: int | None) -> None:
        folder = self.place.folder(work.number)
        lock = take_lock(folder)
        if lock is None:
            return
        try:
            work, command = self._begun(work, slot)
        except AutodepthError as error:
            os.close(lock)
            self._store.end(work, "failed", str(error), 0.0)
            return
        except BaseException:
            os.close(lock)
            raise
        if not command:
            os.close(lock)
            return
        cpus, visible = self._share(slot)
        environment = environment_of(visible, self.place)
        self._children.append(start_attempt(folder, work.attempt, command, environment, lock, cpus))

    def _begun(self, work: Work, slot: int | None) -> tuple[Work, list[str]]:
        """Enter that an attempt begins; return its command, empty where nobody wants it now."""
        study = self.study(work.study)
        with self._store.transaction():
            work = self._store.work(work.number)
            if work.state != "waiting":
                return work, []
            work = self._bounded(work, study)
            write_files(work, self.place)
            command = command_of(work, self.place)
            work = self._store.change(
                work.number, state="running", attempt=work.attempt + 1, slot=slot,
                told=work.told if self._starts_in_vain(work) else None,
                started_at=work.started_at or utc_now(), spent_before=spent_by(study),
            )  # fmt: skip
        return work, command

    def _share(self, slot: int | None) -> tuple[Sequence[int], dict[str, str]]:
        """Return the CPUs of a slot, and what tells its process which GPUs it has."""
        if slot is None or self.slots == 1 or self.place.ray_address is not None:
            return (), {}
        cpus, gpus = share_of(slot, self.slots, *devices_here())
        return cpus, {"CUDA_VISIBLE_DEVICES": ",".join(gpus)} if gpus else {}

    def _bounded(self, work: Work, study: StudyFolder) -> Work:
        """Enter what a work may take from now on.

        Raises:
            NotAllowedError: nothing is left of its owner's allowance for what reserved nothing.
        """
        if work.kind not in {"confirm", "policy"}:
            return self._store.change(work.number, total=self._total(work, study))
        if (most := self._allowances.most_for(work)) is None:
            return work
        left = Budget(device_seconds=most, device=study.plan["device"])
        return self._store.change(work.number, total=as_text(left), reserved=work.charged + most)

    def _total(self, work: Work, study: StudyFolder) -> str | None:
        """Return what a study may spend in all from its first attempt at more budget on."""
        more = work.arguments.get("budget") if work.kind == "resume" else None
        if more is None or work.total is not None:
            return work.total
        limits = Budget(**study.plan["limits"]).plus(parse_budget(more))
        return as_text(limits)


def as_text(budget: Budget) -> str:
    """Return a budget as `parse_budget` reads it."""
    parts = []
    if budget.device_seconds is not None:
        parts.append(f"{budget.device_seconds:.6f}{budget.device}-s")
    if budget.wall_seconds is not None:
        parts.append(f"{budget.wall_seconds:.6f}s")
    if budget.trials is not None:
        parts.append(f"{budget.trials}trials")
    return ",".join(parts)
