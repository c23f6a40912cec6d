"""What owners may spend: device time, counted in the queue, so that no restart forgets any."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from autodepth.errors import NotAllowedError
from autodepth.records.studies import StudyFolder
from autodepth.service.queue.carrying.ending import spent_by
from autodepth.service.queue.owners import Owner
from autodepth.service.queue.store import QueueStore
from autodepth.service.queue.work import Work
from autodepth.units import Budget, Device, format_device_time


@dataclass(frozen=True, kw_only=True)
class Account:
    """What an owner has, device seconds each.

    Args:
        name: the owner's.
        device: kind of device; None where nothing limits it.
        allowed: what all works of its together may take; None likewise.
        charged: what they have taken.
        reserved: what those that are unfinished may yet take.
    """

    name: str
    device: Device | None
    allowed: float | None
    charged: float
    reserved: float

    @property
    def left(self) -> float | None:
        """What may yet be asked for; None where nothing limits it."""
        return None if self.allowed is None else self.allowed - self.charged - self.reserved


class Allowances:
    """Accounts of owners, read from a queue.

    Args:
        store: the queue; whoever reserves asks within a transaction of it.
        owners: who there are.
    """

    def __init__(self, store: QueueStore, owners: Iterable[Owner]) -> None:
        self._store = store
        self._owners: Mapping[str, Owner] = {owner.name: owner for owner in owners}

    def accounts(self) -> list[Account]:
        """Return the account of everybody who may steer or has."""
        works = self._store.works()
        names = dict.fromkeys([*self._owners, *(work.owner for work in works)])
        return [self._account(name, works) for name in names]

    def account(self, name: str) -> Account:
        """Return one owner's account."""
        return self._account(name, self._store.works())

    def reserve(self, owner: Owner, budget: Budget) -> float:
        """Return the device seconds that a work of a budget reserves.

        Raises:
            NotAllowedError: the owner has less left, or the budget does not limit device time.
        """
        account = self.account(owner.name)
        wanted = budget.device_seconds
        if account.allowed is None or account.device is None:
            return wanted or 0.0
        allowance = format_device_time(account.allowed, account.device)
        if wanted is None or budget.device != account.device:
            raise NotAllowedError(
                f"{owner.name} has an allowance of {allowance}, so a budget of {account.device} "
                f"time is needed, for example 10{account.device}-min"
            )
        left = account.left or 0.0
        if wanted > left:
            told = format_device_time(max(0.0, left), account.device)
            raise NotAllowedError(
                f"{owner.name} has {told} left of an allowance of {allowance}, but "
                f"{format_device_time(wanted, account.device)} are asked for"
            )
        return wanted

    def reserve_more(self, owner: Owner, study: StudyFolder, added: Budget, *, idle: bool) -> float:
        """Return what a study that goes on reserves: what is added, and what it has not spent yet.

        Args:
            owner: whose it is.
            study: the study.
            added: to its budget.
            idle: whether no other work reserves what it has not spent.

        Raises:
            NotAllowedError: as of `reserve`.
        """
        limits = Budget(**study.plan["limits"])
        device = added.device or limits.device
        if device is None or (limits.device_seconds is None and added.device_seconds is None):
            return self.reserve(owner, added)
        rest = max(0.0, (limits.device_seconds or 0.0) - spent_by(study)) if idle else 0.0
        seconds = rest + (added.device_seconds or 0.0)
        return self.reserve(owner, Budget(device_seconds=seconds, device=device))

    def most_for(self, work: Work) -> float | None:
        """Return the device seconds that the next attempt at a work may take; None without limit.

        It is for what nobody can tell the cost of beforehand: all that is left is set aside for it
        while it runs. Whoever asks does so within a transaction of the queue.

        Raises:
            NotAllowedError: nothing is left.
        """
        account = self.account(work.owner)
        if account.left is None:
            return None
        own = max(0.0, work.reserved - work.charged)
        if (most := account.left + own) <= 0:
            raise NotAllowedError(f"nothing is left of {work.owner}'s allowance")
        return most

    def check_left(self, owner: Owner) -> None:
        """Refuse what nobody can tell the cost of beforehand, where nothing is left.

        Raises:
            NotAllowedError: nothing is.
        """
        account = self.account(owner.name)
        if account.left is not None and account.left <= 0:
            raise NotAllowedError(f"nothing is left of {owner.name}'s allowance")

    def _account(self, name: str, works: Iterable[Work]) -> Account:
        owner = self._owners.get(name)
        allowance = None if owner is None else owner.allowance
        own = [work for work in works if work.owner == name]
        return Account(
            name=name,
            device=None if allowance is None else allowance.device,
            allowed=None if allowance is None else allowance.device_seconds,
            charged=sum(work.charged for work in own),
            reserved=sum(max(0.0, w.reserved - w.charged) for w in own if w.unfinished),
        )
