"""A receiver of webhooks, and time that passes quickly."""

from __future__ import annotations

import pytest
from service.notify.receiver import Receiver

from autodepth.service.notify import notifier, places


@pytest.fixture
def receiver(monkeypatch):
    """A receiver that is down, and who tells it looks and tries again a hundred times a second."""
    for name in ("_LOOK_SECONDS", "_FIRST_PAUSE_SECONDS", "_LONGEST_PAUSE_SECONDS"):
        monkeypatch.setattr(notifier, name, 0.01)
    monkeypatch.setattr(notifier, "_FRONT_SECONDS", 0.0)
    monkeypatch.setattr(places, "_ANSWER_SECONDS", 0.5)
    made = Receiver()
    monkeypatch.setenv("HOOK", made.url)
    yield made
    made.stop()
