"""Steering: what people may do with studies and the queue; each step says why it cannot be done.

What has an effect beside the queue is entered there first, and done by the scheduler: so a server
that dies at any moment has done it, or does it when it comes back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from autodepth.errors import InputError, NotAllowedError, NotNowError, StudyError
from autodepth.policy.survival import check_choice
from autodepth.records.archive.delete import delete_study
from autodepth.records.driver_lock.asking import ask_for_concurrency, ask_to_end
from autodepth.records.driver_lock.by_hand import role_of, take_back
from autodepth.records.driver_lock.lock import driver_of
from autodepth.records.studies import LATEST, StudyFolder, check_free, find_study
from autodepth.service.agents.commands import checked_name
from autodepth.service.queue.allowances import Allowances
from autodepth.service.queue.owners import Owner
from autodepth.service.queue.scheduler import Scheduler
from autodepth.service.queue.store import QueueStore
from autodepth.service.queue.wishes import SearchWish, checked_policy, joined_formats
from autodepth.service.queue.work import Kind, NewWork, Work
from autodepth.study.confirm.baselines import ROLES
from autodepth.units import Budget, parse_budget

MOST_WAITING = 1000
"""Works of one owner that may be unfinished at a time."""
_LONGEST_KEY = 200


class Steering:
    """Steps that people take; whoever asks is an `Owner`.

    Args:
        store: the queue.
        scheduler: carries it out.
        allowances: what owners may spend.
    """

    def __init__(self, store: QueueStore, scheduler: Scheduler, allowances: Allowances) -> None:
        self.store, self.scheduler, self.allowances = store, scheduler, allowances

    def search(self, owner: Owner, wish: SearchWish, key: str) -> tuple[Work, bool]:
        """Queue a search; return its work, and whether it is new.

        Raises:
            NotAllowedError: the owner's allowance does not suffice.
            NotNowError: the name is taken.
            InputError: what is asked for cannot be searched.
        """
        wish.check()

        def enter() -> Work:
            self._check_free(wish.study)
            reserved = self.allowances.reserve(owner, parse_budget(wish.budget))
            return self._add(owner, "search", wish.study, wish.arguments(), reserved)

        return self._once(owner, key, ["search", wish.study, wish.arguments()], enter)

    def more_budget(self, owner: Owner, study: str, budget: str, key: str) -> tuple[Work, bool]:
        """Queue that a study goes on with more; what waits or is paused of it is merged into that.

        Raises: as of `search`, and
            StudyError: there is no such study.
        """
        more = budget.strip().removeprefix("+")
        added = parse_budget(more)

        def enter() -> Work:
            folder = self._own(owner, study)
            works = self.store.works(study=folder.name, unfinished=True)
            for paused in works:
                if paused.state == "paused":
                    self.store.end(paused, "stopped", "it goes on with more budget", 0.0)
            idle = all(work.state == "paused" for work in works)
            reserved = self.allowances.reserve_more(owner, folder, added, idle=idle)
            return self._add(owner, "resume", folder.name, {"budget": more}, reserved)

        return self._once(owner, key, ["budget", study, more], enter)

    def confirm(
        self, owner: Owner, study: str, seeds: int, controls: Sequence[str], key: str
    ) -> tuple[Work, bool]:
        """Queue that a front is retrained on fresh seeds; errors as of `more_budget`."""
        if seeds < 1:
            raise InputError(f"seeds must be at least 1, but got {seeds}")
        for role in controls if list(controls) != ["all"] else ():
            check_choice("control", role, tuple(ROLES))
        told = {"seeds": seeds, "control": list(controls)}
        return self._enter(owner, "confirm", study, told, key)

    def policy(
        self, owner: Owner, study: str, policy: Mapping[str, Any], key: str
    ) -> tuple[Work, bool]:
        """Queue that one policy is carried out; by the study's own driver where that runs."""
        return self._enter(owner, "policy", study, {"policy": checked_policy(policy)}, key)

    def export(
        self, owner: Owner, study: str, to: str, select: str, formats: Sequence[str], key: str
    ) -> tuple[Work, bool]:
        """Queue that a network of a front is exported to `exports/TO` beside the studies.

        Raises: as of `more_budget`, and
            NotNowError: there is a folder of that name.
        """
        checked_name(to)
        if not select.strip():
            raise InputError("select must say which network, such as knee or trial:7")

        def check() -> None:
            waiting = [w for w in self.store.works(unfinished=True) if w.arguments.get("to") == to]
            if waiting or self.scheduler.place.export(to).exists():
                raise NotNowError(f"the folder to export to must not exist, but {to!r} does")

        told = {"to": to, "select": [select], "formats": joined_formats(formats)}
        return self._enter(owner, "export", study, told, key, check)

    def register(self, owner: Owner, export: str, name: str | None, key: str) -> tuple[Work, bool]:
        """Queue that an export is put into MLflow's model registry.

        Raises:
            StudyError: there is no such export.
            NotAllowedError: it is somebody else's.
        """
        folder = self.scheduler.place.export(checked_name(export))
        if not folder.is_dir():
            raise StudyError(f"no export is called {export!r}")
        if name is not None:
            checked_name(name)
        study = self.study_of_export(export)
        return self._enter(owner, "register", study, {"export": export, "name": name}, key)

    def study_of_export(self, export: str) -> str:
        """Return the study that an export was made of by this queue.

        Raises:
            StudyError: it was not made by it.
        """
        for work in reversed(self.store.works()):
            if work.kind == "export" and work.arguments["to"] == export:
                return work.study
        raise StudyError(f"no export of this queue is called {export!r}")

    def stop(self, owner: Owner, study: str) -> list[Work]:
        """End what is unfinished of a study: what is complete stays, what runs is cancelled.

        Raises:
            StudyError: there is no such study, and none is queued.
            NotNowError: nothing of it is unfinished.
            NotAllowedError: it is somebody else's.
        """
        return self._end(owner, study, "stop")

    def pause(self, owner: Owner, study: str) -> list[Work]:
        """End a study in order so that it can go on, and let others have its slot meanwhile.

        Raises: as of `stop`.
        """
        return self._end(owner, study, "pause")

    def go_on(self, owner: Owner, study: str, key: str) -> tuple[Work, bool]:
        """Have a study go on: one that was paused, stopped or whose driver died.

        Raises: as of `more_budget`, and
            NotNowError: it runs or waits already.
        """
        study = _named(study)

        def enter() -> Work:
            works = self._works(owner, study)
            for work in works:
                if work.state == "paused":
                    return self.store.change(work.number, state="waiting", told=None)
            if works or driver_of(self.scheduler.study(study)) is not None:
                raise NotNowError(f"only what does not run can go on, but {study} runs or waits")
            folder = self._own(owner, study)
            reserved = self.allowances.reserve_more(owner, folder, Budget(), idle=True)
            return self._add(owner, "resume", folder.name, {}, reserved)

        return self._once(owner, key, ["go-on", study], enter)

    def concurrency(self, owner: Owner, study: str, trials: int) -> None:
        """Change how many trials of a running study run at a time.

        Raises:
            InputError: it is not in [1, places].
            StudyError: there is no such study, or it does not run.
            NotAllowedError: it is somebody else's.
        """
        folder = self._own(owner, study)
        try:
            ask_for_concurrency(folder, trials)
        except StudyError as error:
            raise NotNowError(str(error)) from error
        for work in self.store.works(study=folder.name, unfinished=True):
            if work.state == "running":
                self.store.change(work.number, concurrency=trials)

    def cancel(self, owner: Owner, number: int) -> Work:
        """End one piece of work, whatever it is; errors as of `stop`."""
        with self.store.transaction():
            work = self.store.work(number)
            self.check_owner(owner, work.study)
            if not work.unfinished:
                raise NotNowError(
                    f"only what is unfinished can be stopped, but work {number} is {work.state}"
                )
            return self._end_one(work, "stop")

    def delete(self, owner: Owner, study: str, confirmation: str) -> None:
        """Delete a study for good.

        Raises: as of `stop`, and
            InputError: the confirmation is not the study's name.
            NotNowError: something of it is unfinished, or a process drives it.
        """
        folder = self._own(owner, study)
        if confirmation != folder.name:
            raise InputError(
                f"deleting needs the study's name as its confirmation, {folder.name!r}, "
                f"but got {confirmation!r}"
            )
        if works := self.store.works(study=folder.name, unfinished=True):
            raise NotNowError(
                f"{folder.name} can be deleted once nothing of it is unfinished, but work "
                f"{works[0].number} is {works[0].state}"
            )
        if driver_of(folder) is not None:
            raise NotNowError(f"{folder.name} can be deleted once it does not run: stop it")
        delete_study(folder)

    def owner_of(self, study: str) -> str | None:
        """Return whose a study is: of whoever queued its search; None of nobody's."""
        works = [work for work in self.store.works(study=study) if work.kind == "search"]
        begun = [work for work in works if work.attempt or work.unfinished]
        return begun[-1].owner if begun else None

    def check_owner(self, owner: Owner, study: str) -> None:
        """Refuse what is somebody else's.

        Raises:
            NotAllowedError: it is.
        """
        whose = self.owner_of(study)
        if whose not in {None, owner.name}:
            raise NotAllowedError(f"a study is steered by its owner, and {study} is {whose}'s")

    def _own(self, owner: Owner, study: str) -> StudyFolder:
        folder = find_study(_named(study))
        self.check_owner(owner, folder.name)
        return folder

    def _works(self, owner: Owner, study: str) -> list[Work]:
        """Return what is unfinished of a study that exists or is queued."""
        works = self.store.works(study=study, unfinished=True)
        if not works:
            self._own(owner, study)
        self.check_owner(owner, study)
        return works

    def _end(self, owner: Owner, study: str, wanted: Literal["stop", "pause"]) -> list[Work]:
        study = _named(study)
        with self.store.transaction():
            works = self._works(owner, study)
            if wanted == "pause":
                works = [work for work in works if work.kind in {"search", "resume"}]
            ended = [self._end_one(work, wanted) for work in works]
        driven = ask_to_end(self.scheduler.study(study)) if not ended else None
        if not ended and driven is None:
            raise NotNowError(f"only what runs or waits can {wanted}, but nothing of {study} does")
        self.scheduler.wake()
        return ended

    def _end_one(self, work: Work, wanted: Literal["stop", "pause"]) -> Work:
        if work.state == "running":
            if work.kind == "policy":
                self._forget_policy(work)
            changed = self.store.change(work.number, wanted=wanted)
        elif wanted == "pause":
            changed = self.store.change(work.number, state="paused", told="it was paused")
        else:
            changed = self.store.end(work, "stopped", "it was stopped", 0.0)
        self.scheduler.wake()
        return changed

    def _forget_policy(self, work: Work) -> None:
        take_back(self.scheduler.study(work.study), role_of(work.arguments["policy"]))

    def _check_free(self, study: str) -> None:
        if any(work.kind == "search" for work in self.store.works(study=study, unfinished=True)):
            raise NotNowError(f"a new study needs a free name, but {study!r} is queued")
        try:
            check_free(study)
        except StudyError as error:
            raise NotNowError(str(error)) from error

    def _enter(
        self, owner: Owner, kind: Kind, study: str, told: Mapping[str, Any], key: str,
        check: Callable[[], None] = lambda: None,
    ) -> tuple[Work, bool]:  # fmt: skip
        study = _named(study)

        def enter() -> Work:
            self._works(owner, study)  # one that is queued yet will do
            check()
            self.allowances.check_left(owner)
            return self._add(owner, kind, study, told, 0.0)

        return self._once(owner, key, [kind, study, told], enter)

    def _add(
        self, owner: Owner, kind: Kind, study: str, told: Mapping[str, Any], reserved: float
    ) -> Work:
        mine = [work for work in self.store.works(unfinished=True) if work.owner == owner.name]
        if len(mine) >= MOST_WAITING:
            raise NotNowError(f"at most {MOST_WAITING} works of one owner may be unfinished")
        return self.store.add(
            NewWork(owner=owner.name, kind=kind, study=study, arguments=told, reserved=reserved)
        )

    def _once(
        self, owner: Owner, key: str, asked: Any, enter: Callable[[], Work]
    ) -> tuple[Work, bool]:
        if not key.isascii() or not key.isprintable() or not 1 <= len(key) <= _LONGEST_KEY:
            raise InputError(
                f"an idempotency key must be 1 to {_LONGEST_KEY} printable ASCII characters"
            )
        work, new = self.store.once(owner.name, key, asked, enter)
        assert work is not None
        self.scheduler.wake()
        return work, new


def _named(study: str) -> str:
    """Return the name that a study goes by in the queue."""
    return find_study(LATEST).name if study == LATEST else checked_name(study)
