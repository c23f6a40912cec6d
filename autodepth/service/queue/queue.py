"""An open queue: one server per folder of studies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from autodepth.errors import InputError, StudyInUseError
from autodepth.records.storage import taking
from autodepth.service.queue.allowances import Allowances
from autodepth.service.queue.carrying.commands import Place
from autodepth.service.queue.owners import Owner
from autodepth.service.queue.scheduler import Scheduler
from autodepth.service.queue.steering import Steering
from autodepth.service.queue.store import QueueStore

_SERVER_LOCK = "server.lock"


@contextmanager
def open_queue(place: Place, owners: Sequence[Owner], *, slots: int) -> Iterator[Steering]:
    """Carry a queue out while entered; what runs then goes on afterwards.

    Args:
        place: where works are carried out.
        owners: who may ask.
        slots: how many studies are driven at a time.

    Raises:
        InputError: there is not at least one slot, or a storage stands without a cluster.
        StudyInUseError: another server has the queue.
        StorageError: the folder is full or read-only.
    """
    if slots < 1:
        raise InputError(f"slots must be at least 1, but got {slots}")
    if place.storage is not None and place.ray_address is None:
        raise InputError("--storage is where nodes of a Ray cluster write: it needs --ray-address")
    with taking(place.queue):
        place.queue.mkdir(parents=True, exist_ok=True)
        handle = os.open(place.queue / _SERVER_LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StudyInUseError(
                f"a folder of studies has one server, but another one has {place.studies}"
            ) from error
        with QueueStore(place.queue) as store:
            allowances = Allowances(store, owners)
            scheduler = Scheduler(store, place, slots=slots, allowances=allowances)
            scheduler.start()
            try:
                yield Steering(store, scheduler, allowances)
            finally:
                scheduler.close()
    finally:
        os.close(handle)
