"""What one thread at a time may do: PyTorch has it once for the whole process.

Tracing patches `nn.Module.__call__`, exporters silence logging and warnings, and a network is
initialised from the global generator. Two threads at once would record each other's layers, draw
each other's numbers, or leave a patch behind.
"""

from __future__ import annotations

import os
import threading
from contextlib import ContextDecorator
from types import TracebackType


class _OneThread(ContextDecorator):
    """Lets one thread in, as often as it likes; as a context, or around a function."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        # A child that was forked while another thread was in would wait for it for ever.
        os.register_at_fork(
            before=self._lock.acquire,
            after_in_parent=self._lock.release,
            after_in_child=self._lock.release,
        )

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()


one_thread = _OneThread()
"""Held by whoever reads a network, builds one from a seed, or exports one."""
