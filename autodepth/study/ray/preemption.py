"""Notice that a node leaves its cluster, as a spot instance has minutes before it is taken.

Ray calls such a node draining and places nothing new on it, but a worker that is there would go on,
with trial after trial.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import ray
from ray._private.state import state  # where Ray Train and Ray Data ask the same

from autodepth.trial.carry_out import StopTrial

_LOOK_SECONDS = 2.0


class NodePreempted(StopTrial):
    """The node of this worker leaves: another worker has to go on elsewhere."""


class PreemptionNotice:
    """Whether this process has to go; asked by training where it can be put down.

    Args:
        given: set once its node leaves.
    """

    def __init__(self, given: threading.Event) -> None:
        self._given = given
        self.heeded = False
        """Whether training was told, so that it has been put down."""

    def __call__(self) -> bool:
        """Return whether to put training down now."""
        self.heeded = self.heeded or self._given.is_set()
        return self.heeded


@contextmanager
def watching_for_notice() -> Iterator[PreemptionNotice]:
    """Ask Ray again and again whether this node leaves.

    Raises:
        NodeLeaves: it does already.
    """
    if _leaves():
        raise NodePreempted
    given, over = threading.Event(), threading.Event()

    def look() -> None:
        while not over.wait(_LOOK_SECONDS):
            with suppress(Exception):  # a head that does not answer says nothing of this node
                if _leaves():
                    given.set()
                    return

    threading.Thread(target=look, name="notice", daemon=True).start()
    try:
        yield PreemptionNotice(given)
    finally:
        over.set()


def _leaves() -> bool:
    return ray.get_runtime_context().get_node_id() in state.get_draining_nodes()
