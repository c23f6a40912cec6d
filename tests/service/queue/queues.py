"""Queues of tests: steered, and carried out by nobody unless a test does it."""

from __future__ import annotations

from contextlib import contextmanager

from autodepth.records.studies import studies_root
from autodepth.service.queue.allowances import Allowances
from autodepth.service.queue.carrying.commands import Place
from autodepth.service.queue.owners import LOCAL, Owner
from autodepth.service.queue.scheduler import Scheduler
from autodepth.service.queue.steering import Steering
from autodepth.service.queue.store import QueueStore
from autodepth.units import parse_budget

ALICE = Owner(name="alice", role="steer", token="a" * 20, allowance=parse_budget("10cpu-min"))
BOB = Owner(name="bob", role="steer", token="b" * 20)
READER = Owner(name="carol", role="read", token="c" * 20)
OWNERS = (ALICE, BOB, READER)
TRIALS = ((0.9, 40_000_000, 40.0), (0.8, 10_000_000, 30.0))
SMALL = (
    "network.name=resnet14",
    "data.train_images=96",
    "data.validation=60",
    "train.epochs=1",
    "search={macs_target: {min: 0.4, max: 0.9}, fine_tune_epochs: 1}",
)


@contextmanager
def steered(owners=(LOCAL,), slots=2):
    """Give what people steer by; its scheduler looks when a test says so."""
    place = Place.of(studies_root())
    with QueueStore(place.queue) as store:
        allowances = Allowances(store, owners)
        scheduler = Scheduler(store, place, slots=slots, allowances=allowances)
        yield Steering(store, scheduler, allowances)
